"""Constants that constructors compute with tensors, and what they do to drawn ones."""

import math
import re
from functools import partial

import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit.replay import torch_cpu
from jaxinit.replay import torch_layers as ours
from tests.replay.golden import assert_same_bits, from_torch


def build(make, seed=0, dtype="float32"):
    return torch_cpu.build(torch_cpu.manual_seed(seed), make, dtype)[1]


def relative_position_index(torch, height, width):
    """As in torchvision's Swin."""
    coords = torch.stack(
        torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    )
    flat = torch.flatten(coords, 1)
    relative = (flat[:, :, None] - flat[:, None, :]).permute(1, 2, 0).contiguous()
    relative[:, :, 0] += height - 1
    relative[:, :, 1] += width - 1
    relative[:, :, 0] *= 2 * width - 1
    return relative.sum(-1)


def attention_mask(torch, size, window, shift):
    """As in the Swin of its authors."""
    image, count = torch.zeros((1, size, size, 1)), 0
    cuts = slice(0, -window), slice(-window, -shift), slice(-shift, None)
    for rows in cuts:
        for columns in cuts:
            image[:, rows, columns, :] = count
            count += 1
    n = size // window
    parts = image.view(1, n, window, n, window, 1).permute(0, 1, 3, 2, 4, 5).contiguous()
    parts = parts.view(-1, window * window)
    mask = parts.unsqueeze(1) - parts.unsqueeze(2)
    return mask.masked_fill(mask != 0, (-100.0)).masked_fill(mask == 0, 0.0)


def constants(torch):
    """What is equal in every bit."""
    nn = torch.nn
    net = nn.Module()
    net.register_buffer("index", relative_position_index(torch, 3, 4))
    net.register_buffer("flat", relative_position_index(torch, 2, 2).view(-1))
    net.register_buffer("mask", attention_mask(torch, 8, 4, 2))
    net.register_buffer("ids", torch.arange(9).expand((1, -1)))
    net.register_buffer("types", torch.zeros(net.ids.size(), dtype=torch.long))
    net.register_buffer("on", torch.tril(torch.ones((3, 3), dtype=torch.bool)))
    causal = torch.full((4, 4), float("-inf"))
    net.register_buffer("causal", torch.triu(causal, diagonal=1))
    lower = torch.empty(4, 4)
    lower.fill_(float("-inf"))
    net.register_buffer("lower", lower.triu_(1))
    net.register_buffer("mean", torch.tensor([0.485, 0.456]).view(-1, 1, 1) / 3)
    net.register_buffer("anchors", torch.tensor([[1, 2], [3, 4]]).float() * 0.7)
    net.register_buffer("steps", torch.linspace(-0.7, 1.3, 17))
    net.register_buffer("rates", torch.arange(0, 8, 2).float() / 8 + 0.1)
    net.register_buffer("count", torch.tensor(0))
    net.register_buffer("blur", torch.tensor([1.0, 3, 3, 1]).outer(torch.ones(4)) / 64.0)
    net.register_buffer("cum", torch.cumsum(torch.ones(3, 4), 1) - 0.5)
    net.register_buffer("pairs", torch.tril_indices(4, 4, -1)[:, [0, 2]])
    net.register_buffer("big", torch.arange(6).view(2, 3).repeat(2, 2).flip(0).roll(1, 1))
    net.register_buffer("joined", torch.cat([torch.zeros(2), torch.arange(3)]))
    chosen = torch.zeros(5, 2)
    chosen[torch.tensor([1, 3])] = torch.ones(2, 2) * 3
    chosen[chosen[:, 0] > 2, 1] = 0.5
    net.register_buffer("chosen", chosen)
    index = net.index.clone()
    index += 1
    net.register_buffer("later", index)
    net.register_buffer("wide", torch.where(net.on, 1.5, -2.0)[None].expand(2, -1, -1))
    rates = [x.item() for x in torch.linspace(0, 0.3, 5)]
    pieces = torch.linspace(0, 0.2, 6).split([2, 4])
    net.scale = nn.Parameter(torch.tensor(rates + pieces[1].tolist()) * torch.ones(9))
    net.slopes = nn.Parameter(torch.arange(1.0, 4) ** 2 // 2 % 3)
    padded = nn.functional.pad(torch.arange(6.0).view(2, 3), (0, 2, 1, 0), "constant", 0.5)
    net.register_buffer("padded", padded)
    net.register_buffer("bands", torch.ones((5, 5), dtype=bool).triu(-1).tril(1))
    assert padded.to(torch.device("cpu")).device.type == "cpu"
    found, counts = torch.tensor([3, 1, 3]).unique(return_counts=True)
    net.register_buffer("found", torch.stack([found, counts]))
    net.log = nn.Parameter(torch.ones([]) * math.log(1 / 0.07))
    return net


def drawn(torch):
    """What constructors do to drawn tensors, also with constants."""
    nn = torch.nn
    net = nn.Module()
    net.lower = nn.Parameter(torch.tril(torch.randn(4, 5), 1))
    net.sum = nn.Parameter(torch.arange(4.0) / 3 + torch.randn(3, 4) * 0.1)
    net.both = nn.Parameter(torch.cat([torch.randn(2, 3), torch.zeros(1, 3)]))
    net.pair = nn.Parameter(torch.stack([torch.rand(4), torch.rand(4)], 1))
    net.tiled = nn.Parameter(torch.randn(2, 1, 3).repeat(2, 3, 1))
    net.near = nn.Parameter(torch.randn(30).clamp(min=-0.5, max=0.75))
    net.bent = nn.Parameter(torch.rand(2, 3, 4).permute(2, 0, 1).reshape(4, 6))
    net.rows = nn.Parameter(torch.randn(5, 3))
    with torch.no_grad():
        net.rows[torch.tensor([0, 4])] = 0.25
        net.rows *= 2.0
        net.rows[1] += torch.arange(3) / 7
        net.rows.masked_fill_(torch.eye(5, 3) == 1, 9.0)
        parameter = net.sum
        parameter -= 0.125
    net.fixed = nn.Parameter(torch.full((3,), 0.5, dtype=torch.float32))
    nn.init.zeros_(net.fixed[1:])
    return net


def test_relative_positions_of_swin():
    state = build(partial(constants, ours))
    rows, columns = np.divmod(np.arange(12), 4)
    known = (rows[:, None] - rows + 2) * 7 + columns[:, None] - columns + 3
    assert state["index"].dtype == jnp.asarray(known).dtype
    np.testing.assert_array_equal(state["index"], known)
    np.testing.assert_array_equal(state["later"], known + 1)
    np.testing.assert_array_equal(state["causal"], np.triu(np.full((4, 4), -np.inf), 1))
    assert state["chosen"].tolist() == [[0, 0], [3, 0.5], [0, 0], [3, 0.5], [0, 0]]
    assert state["big"].shape == (4, 6)
    assert state["cum"][0].tolist() == [0.5, 1.5, 2.5, 3.5]


def test_a_copy_has_the_values_of_its_moment():
    def make():
        first, second = ours.zeros(2), ours.ones(2)
        second.copy_(first)
        first.fill_(3.0)
        first.data = ours.functional.pad(first, (0, 0)) + 1.0
        for _ in range(200):  # and takes no longer for a long past
            second, first = first.copy_(second), second.copy_(first)
        return {"first": ours.Parameter(first), "second": ours.Parameter(second)}

    state = build(make)
    assert {k: v.tolist() for k, v in state.items()} == {"first": [0, 0], "second": [0, 0]}


@pytest.mark.parity
@pytest.mark.parametrize("make", [constants, drawn])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_constants_live(torch, make, dtype):
    if make is drawn and dtype == "bfloat16":
        pytest.skip("has a tensor in float32")
    torch.manual_seed(3)
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        known = make(torch).state_dict()
    finally:
        torch.set_default_dtype(torch.float32)
    state = build(partial(make, ours), 3, dtype)
    assert list(state) == list(known)
    for key, w in state.items():
        if known[key].is_floating_point():
            assert_same_bits(w, from_torch(known[key]))
        else:
            np.testing.assert_array_equal(w, known[key].numpy(), key)


def curves(torch):
    """What is of sines, powers and logarithms, which libraries round differently."""
    x = torch.arange(0, 8, 2).float() / 8
    frequencies = 1.0 / (10000**x)
    angles = torch.outer(torch.arange(6).float(), frequencies)
    table = torch.zeros(6, 8)
    table[:, 0::2] = torch.sin(angles)
    table[:, 1::2] = angles.cos()
    signs = torch.sign(x - 0.3) * torch.log2(torch.abs(x) + 1.0) / np.log2(8)
    powers = torch.pow(2, -torch.exp(x)) + torch.sqrt(x) * torch.logspace(0, 1, 4)
    net = torch.nn.Module()
    for name, value in (("f", frequencies), ("t", table), ("s", signs), ("p", powers)):
        net.register_buffer(name, value)
    return net


@pytest.mark.parity
def test_curves_live(torch):
    known = curves(torch).state_dict()
    for key, w in build(partial(curves, ours)).items():
        assert w.dtype == np.float32
        np.testing.assert_array_max_ulp(np.asarray(w), known[key].numpy(), 4)


def test_values_that_are_drawn_are_not_known():
    with pytest.raises(ValueError) as error:
        build(lambda: [ours.Parameter(ours.randn(3).cumsum(0))])
    assert str(error.value) == (
        "Tensor: values are known only of tensors into which nothing is drawn; "
        "got Tensor(shape=(3,)). Compute it of the state dict that build returns."
    )


def test_the_dtype_of_build_may_be_named():
    options = {"device": "cpu", "dtype": ours.float32}
    state = build(lambda: ours.Linear(3, 4, **options))
    assert_same_bits(state["weight"], build(lambda: ours.Linear(3, 4))["weight"])
    text = "Linear: all tensors of a model have one dtype, which build takes; got "
    with pytest.raises(TypeError, match=re.escape(text + "dtype=dtype('float64')")):
        build(lambda: ours.Linear(3, 4, dtype=ours.float64))


def test_a_draw_of_another_dtype_is_refused():
    make = partial(ours.Parameter, ours.randn(3, dtype=ours.float64))
    with pytest.raises(ValueError) as error:
        build(lambda: {"w": make()})
    assert str(error.value) == (
        "torch_layers.build: all drawn tensors of a model must have the dtype of build; got "
        "w in float64 with dtype=float32. Leave out the dtype of the tensor."
    )
