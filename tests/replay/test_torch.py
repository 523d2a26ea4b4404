"""PyTorch's CPU stream against recorded draws, and against PyTorch where installed."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit.replay import numpy_legacy, torch_cpu
from jaxinit.replay import torch_layers as nn
from jaxinit.replay._native import native
from jaxinit.replay._torch_floats import box_muller
from tests.replay.golden import (
    X64,
    assert_recorded,
    assert_same_bits,
    cases,
    name,
)

RENAMED = {"a": "low", "b": "high"}
DRAWS = [c for c in cases("torch_cpu") if c["fn"].endswith("_")]
LAYERS = [c for c in cases("torch_cpu") if c["fn"].startswith("Sequential")]
SMALL = ([2, 2], [4, 4], [17], [33, 7], [3, 5])
EXACT = [c for c in DRAWS if c["fn"] != "orthogonal_" and c["shape"] in SMALL]
LARGE = [c for c in DRAWS if c["shape"] == [1000, 1001] and c["seed"] == 42]
DTYPES = ("float32", "bfloat16", "float16", *(("float64",) if X64 else ()))
SIZES = (1, 2, 15, 16, 17, 31, 624, 625)


def replay(case):
    stream = torch_cpu.manual_seed(case["seed"])
    function = case["fn"].removesuffix("_")
    args = dict(case["args"])
    if function in ("uniform", "trunc_normal"):
        args = {RENAMED.get(str(k), str(k)): v for k, v in args.items()}
    draw = getattr(torch_cpu, function)
    return draw(stream, case["shape"], dtype=case["dtype"], **args)[1]


@pytest.mark.parametrize("case", EXACT, ids=name)
def test_recorded(case):
    assert_recorded(replay(case), case)


@pytest.mark.parametrize("case", LARGE[:2], ids=name)
def test_recorded_a_million(case):
    assert_recorded(replay(case), case)


@pytest.mark.parametrize("case", [c for c in DRAWS if c["fn"] == "orthogonal_"], ids=name)
def test_orthogonal_recorded(case):
    w = np.asarray(replay(case)).ravel()
    for part, recorded in ((w[:16], case["first"]), (w[-4:], case["last"])):
        known = np.array([float.fromhex(x) for x in recorded])
        np.testing.assert_allclose(part, known, rtol=0, atol=2e-6)


@pytest.mark.parametrize("seed", [0, 42])
def test_model_recorded(seed):
    model = [nn.Conv2d(3, 8, 3), None, nn.ConvTranspose2d(8, 4, 2), None]
    model += [nn.Linear(100, 10), nn.Embedding(7, 5), nn.LSTM(5, 6)]
    model.append(nn.MultiheadAttention(8, 2))
    _, state = torch_cpu.build(torch_cpu.manual_seed(seed), model, "float32")
    known = [c for c in LAYERS if c["seed"] == seed]
    assert [f"Sequential:{k}" for k in state] == [c["fn"] for c in known]
    for w, case in zip(state.values(), known, strict=True):
        assert_recorded(w, case)


def test_seeds_may_be_traced():
    def draw(seed):
        stream = torch_cpu.manual_seed(seed)
        stream, a = torch_cpu.normal(stream, (3,), 0.5, 2.0, "float32")
        stream, b = torch_cpu.normal(stream, (4, 9), dtype="float32")
        stream, c = torch_cpu.xavier_uniform(stream, (3, 5), dtype="bfloat16")
        return a, b, c

    together = jax.jit(jax.vmap(draw))(jnp.asarray([0, 7]))
    for i, seed in enumerate((0, 7)):
        for ours, alone in zip(together, draw(seed), strict=True):
            assert_same_bits(ours[i], alone)


def test_without_compilation():
    words = np.random.RandomState(3).randint(0, 2**32, (4, 16), dtype=np.uint32)
    args = words, np.float64(0.25), np.float64(0.02), np.dtype(np.float32), False
    known = native(jax.jit(box_muller, static_argnums=(3, 4)))(*args)
    with jax.disable_jit():
        for ours, compiled in zip(native(box_muller)(*args), known, strict=True):
            assert_same_bits(ours, compiled)


def test_a_model_is_its_layers_one_after_another():
    parts = [nn.Linear(3, 4), nn.Embedding(2, 3), nn.GRU(2, 3)]
    end, whole = torch_cpu.build(torch_cpu.manual_seed(1), parts, "float32")
    stream = torch_cpu.manual_seed(1)
    for i, part in enumerate(parts):
        stream, state = torch_cpu.build(stream, part, "float32")
        for key, w in state.items():
            assert_same_bits(whole[f"{i}.{key}"], w)
    assert_same_bits(end.window, stream.window)


def test_empty_shapes_draw_nothing():
    stream = torch_cpu.manual_seed(1)
    for draw in (torch_cpu.uniform, torch_cpu.normal, torch_cpu.trunc_normal):
        after, w = draw(stream, (0, 3))
        assert w.shape == (0, 3)
        assert_same_bits(after.window, stream.window)


def test_integers_and_masks_without_torch():
    # PyTorch's own arithmetic on the words that NumPy gives of the same generator.
    words = np.random.RandomState(3).randint(0, 2**32, 40, dtype=np.uint32)
    stream = torch_cpu.manual_seed(3)
    _, x = torch_cpu.randint(stream, (40,), -3, 17)
    np.testing.assert_array_equal(x, (words % 20).astype(np.int64) - 3)
    order = list(range(10))
    for i in range(9):
        j = i + int(words[i]) % (10 - i)
        order[i], order[j] = order[j], order[i]
    assert torch_cpu.randperm(stream, 10)[1].tolist() == order
    number = (words[::2].astype(np.uint64) << np.uint64(32) | words[1::2]) % 2**53
    _, mask = torch_cpu.dropout(stream, (4, 5), 0.3, "float32")
    kept = (number * 2.0**-53 < 0.7).reshape(4, 5)
    assert_same_bits(mask, np.where(kept, np.float32(1) / np.float32(0.7), np.float32(0)))
    _, x = torch_cpu.bernoulli(stream, (20,), 0.3, "bfloat16")
    np.testing.assert_array_equal(x, number * 2.0**-53 < 0.3)


START = torch_cpu.manual_seed(0)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: torch_cpu.manual_seed(2**64),
            ValueError,
            "torch_cpu.manual_seed: seed must be an int from -9223372036854775808 to "
            "18446744073709551615; got seed=18446744073709551616. Give a seed in that "
            "range.",
        ),
        (
            lambda: torch_cpu.uniform(START, (2,), 1.0, 0.0),
            ValueError,
            "torch_cpu.uniform: high must be at least low; got low=1, high=0. Swap the "
            "two.",
        ),
        (
            lambda: torch_cpu.normal(START, (2,), dtype="float8_e5m2"),
            TypeError,
            "torch_cpu.normal: dtype must be one of float64, float32, bfloat16, float16;"
            " got dtype=float8_e5m2. Draw float32 and convert the result.",
        ),
        (
            lambda: torch_cpu.xavier_normal(START, (5,)),
            ValueError,
            "torch_cpu.xavier_normal: shape needs at least 2 axes; got shape=(5,). For "
            "a bias use uniform or normal with its bounds.",
        ),
        (
            lambda: torch_cpu.kaiming_uniform(START, (5, 0)),
            ValueError,
            "torch_cpu.kaiming_uniform: shape must have no axis of length 0; got "
            "shape=(5, 0). PyTorch fails there, too.",
        ),
        (
            lambda: torch_cpu.kaiming_normal(START, (5, 2), mode="fan_avg"),
            ValueError,
            "torch_cpu.kaiming_normal: mode must be one of fan_in, fan_out; got "
            "mode='fan_avg'. Did you mean 'fan_in'?",
        ),
        (
            lambda: torch_cpu.calculate_gain("gelu"),
            ValueError,
            "torch_cpu.calculate_gain: nonlinearity must be one of linear, conv1d, "
            "conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d, "
            "sigmoid, tanh, relu, selu, leaky_relu; got nonlinearity='gelu'. Did you "
            "mean 'selu'?",
        ),
        (
            lambda: torch_cpu.trunc_normal(START, (2,), std=0.0),
            ValueError,
            "torch_cpu.trunc_normal: std must be above 0 and low below high; got std=0,"
            " low=-2, high=2. Give bounds that leave room.",
        ),
        (
            lambda: torch_cpu.normal(numpy_legacy.seed(0), (2,)),  # pyright: ignore[reportArgumentType]
            TypeError,
            "torch_cpu.normal: stream must come from torch_cpu.manual_seed(seed); got one "
            "from numpy_legacy.seed(seed). The streams of different libraries are not "
            "exchangeable.",
        ),
        (
            lambda: torch_cpu.uniform(START, (2,), -3e38, 3e38, "float32"),
            ValueError,
            "torch_cpu.uniform: width must be at most 3.4e38 in size; got width=6e+38. "
            "Draw with another scale, and scale the result.",
        ),
        (
            lambda: torch_cpu.dropout(START, (2,), 1.5),
            ValueError,
            "torch_cpu.dropout: p must be a finite number, at least 0 and at most 1; got "
            "p=1.5. Give a value in that range.",
        ),
        (
            lambda: torch_cpu.sparse(START, (2,), 0.5),
            ValueError,
            "torch_cpu.sparse: shape must have two axes; got shape=(2,). Reshape the "
            "result instead.",
        ),
        (
            lambda: nn.Conv2d(4, 6, 3, groups=4),
            ValueError,
            "torch_layers.Conv2d: groups must divide in_channels and out_channels; got groups=4 with"
            " 4 and 6. Choose a common divisor.",
        ),
        (
            lambda: nn.Conv2d(4, 6, (3, 3, 3)),
            ValueError,
            "torch_layers.Conv2d: kernel_size must be an int or 2 ints; got kernel_size=(3, 3, 3). "
            "Give one length for each axis.",
        ),
        (
            lambda: nn.Linear(0, 3),
            ValueError,
            "torch_layers.Linear: in_features must be an int, at least 1; got in_features=0. Give 1 "
            "or more.",
        ),
        (
            lambda: nn.Embedding(3, 2, padding_idx=3),
            ValueError,
            "torch_layers.Embedding: padding_idx must be the number of a row; got padding_idx=3 with"
            " 3 rows. Give None for no such row.",
        ),
        (
            lambda: nn.MultiheadAttention(5, 2),
            ValueError,
            "torch_layers.MultiheadAttention: num_heads must divide embed_dim; got embed_dim=5, "
            "num_heads=2. Choose a divisor.",
        ),
        (
            lambda: torch_cpu.build(START, [3]),  # pyright: ignore[reportArgumentType]
            TypeError,
            "torch_layers.build: model must be a layer, or a list or dict of layers; "
            "got 3. Use None for a ReLU.",
        ),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == text
