"""PyTorch's layers, and what people do to models after their constructors."""

import copy
import inspect
from functools import partial

import numpy as np
import pytest

from jaxinit.replay import torch_cpu
from jaxinit.replay import torch_layers as nn
from tests.replay.golden import assert_same_bits, from_torch
from tests.replay.torch_models import build, theirs


def layers(nn):
    """Layers with the arguments in the order in which people paste them."""
    encoder = nn.TransformerEncoderLayer(8, 2, 16, 0.1, "relu", 1e-5, True)
    decoder = nn.TransformerDecoderLayer(8, 2, 16)
    return [
        nn.Conv2d(4, 8, 3, 2, 1),
        nn.Conv2d(4, 8, 3, 2, 1, 1, 2, False),
        nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2),
        nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, 1, False, 2),
        nn.Conv1d(4, 8, 3, groups=2, bias=False),
        nn.ConvTranspose1d(4, 6, 3, groups=2),
        nn.Conv3d(2, 4, (1, 2, 3), (1, 2, 2), padding="valid"),
        nn.Linear(5, 6, False),
        nn.Bilinear(3, 4, 5),
        nn.Embedding(9, 4, 3, 1.0),
        nn.Embedding(3, 2, padding_idx=-1),
        nn.EmbeddingBag(40, 4, 1.0, padding_idx=2),
        nn.BatchNorm1d(5, 1e-3, None),
        nn.BatchNorm2d(5, 1e-3, 0.1, False),
        nn.BatchNorm3d(5, 1e-3, 0.1, True, False),
        nn.InstanceNorm2d(5, 1e-5, 0.1, True, True),
        nn.LayerNorm((3, 4), 1e-6, True, False),
        nn.RMSNorm(4, 1e-6),
        nn.GroupNorm(2, 4, 1e-5, True),
        nn.PReLU(3, 0.1),
        nn.LSTM(5, 6, 1, True, True),
        nn.LSTM(5, 6, 2, False, True, 0.5, True),
        nn.LSTM(5, 6, 2, proj_size=3, bidirectional=True),
        nn.GRU(3, 4, 2, True, True, 0.1, True),
        nn.RNN(3, 4, 1, "relu", False),
        nn.RNNCell(3, 4, True, "relu"),
        nn.LSTMCell(3, 4),
        nn.GRUCell(3, 4, False),
        nn.MultiheadAttention(8, 2, 0.0),
        nn.MultiheadAttention(4, 2, 0.1, True, True, True),
        nn.MultiheadAttention(6, 2, bias=False, kdim=3, vdim=5),
        nn.TransformerEncoder(encoder, 3, nn.LayerNorm(8)),
        nn.TransformerDecoder(decoder, 2),
        nn.Transformer(8, 2, 2, 1, 16, batch_first=True),
        nn.ParameterList([nn.Parameter(nn.zeros(3)), nn.Parameter(nn.ones(2))]),
        nn.AdaptiveLogSoftmaxWithLoss(8, 30, [5, 12], 2.0, True),
    ]


@pytest.mark.parity
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor")
@pytest.mark.filterwarnings("ignore:dropout option")
def test_layers_live(torch, dtype):
    torch.set_default_dtype(getattr(torch, dtype))
    try:
        _, known = theirs(torch, lambda nn: nn.ModuleList(layers(nn)), 7)
        after = from_torch(torch.rand(3))
    finally:
        torch.set_default_dtype(torch.float32)
    stream, state = build(lambda: layers(nn), 7, dtype)
    assert list(state) == list(known)
    for key, w in state.items():
        assert_same_bits(w, known[key])
    assert_same_bits(torch_cpu.uniform(stream, (3,), dtype=dtype)[1], after)


KINDS = [getattr(nn, name) for name in nn.__all__]
KINDS = [k for k in KINDS if isinstance(k, type) and issubclass(k, nn.Layer)]


@pytest.mark.parity
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_signatures_live(torch, kind):
    theirs = getattr(torch.nn, kind.__name__, None)
    if theirs is None or kind is nn.Layer:
        pytest.skip("a base class, or of another library")
    known = inspect.signature(theirs).parameters
    if kind.__name__ in ("LSTM", "GRU", "RNN"):  # written as ``*args`` in PyTorch
        known = inspect.signature(torch.nn.RNNBase).parameters
        extra = {"mode", "proj_size"} if kind is not nn.LSTM else {"mode"}
        known = {k: v for k, v in known.items() if k not in extra}
    ours = dict(inspect.signature(kind).parameters)
    if kind is nn.RNN:
        assert list(ours)[3] == "nonlinearity"
        del ours["nonlinearity"]
    wanted = {k: (v.kind, v.default) for k, v in known.items()}
    optional = {"bias"} if "bias" not in known else set()  # of PyTorch 2.14
    found = {k: (v.kind, v.default) for k, v in ours.items() if k not in optional}
    if "activation" in found:  # PyTorch writes a function
        found["activation"] = wanted["activation"]
    assert list(found.items()) == list(wanted.items())


@pytest.mark.parametrize("kind", vars(nn)["_torch_plain"].__all__)
def test_modules_without_parameters_have_their_own_names(kind):
    assert getattr(nn, kind).__name__ == kind


def passes(nn):
    """All that people do to a model after its constructor."""
    net = nn.Sequential(
        nn.Linear(5, 6), nn.Sequential(nn.Conv1d(2, 4, 3), nn.ReLU()), nn.LSTM(4, 5)
    )
    net.append(copy.deepcopy(net[0]))
    net.extra = nn.Parameter(nn.randn(3, 20) * 0.5)
    net.register_buffer("scale", nn.rand(4) / 3)

    def orthogonal(m):
        if isinstance(m, nn.Linear):
            nn.init.orthogonal_(m.weight, 0.5)
            nn.init.normal_(m.bias, std=0.1)

    net.apply(orthogonal)
    for m in net.modules():
        assert not isinstance(m, nn.modules.batchnorm._BatchNorm)
        m.register_forward_hook(print)
        if isinstance(m, nn.Conv1d):
            nn.init.dirac_(m.weight, 2)
            nn.init.constant_(m.bias, 0.1)
    for name, parameter in net[2].named_parameters():
        if "weight_hh" in name:
            for gate in parameter.chunk(4):
                nn.init.xavier_normal_(gate)
        elif "bias_ih" in name:
            parameter.zero_()[5:10].fill_(1)
        elif "bias" in name:
            parameter.data.uniform_(-1, 1).mul_(0.3).add_(0.1)
    nn.init.trunc_normal_(net.extra, 0.0, 1.0, -1.0, 1.0)
    net[0] = nn.Linear(5, 3)
    nn.init.sparse_(net[0].weight, 0.4)
    net[3].bias[2:].normal_()
    net[0].weight.div_(3.0)
    net.square = nn.Parameter(nn.empty(4, 4))
    nn.init.eye_(net.square)
    net.square[1] = 2.0
    net[3].weight.data = nn.rand(6, 5)
    for m in (nn.Embedding(4, 3, 1), nn.GRUCell(2, 3), nn.BatchNorm1d(3), nn.PReLU(2)):
        net.append(m)
        m.reset_parameters()
    net.append(nn.MultiheadAttention(4, 2))
    net[-1]._reset_parameters()
    net[0].reset_parameters()
    fan_in, _ = nn.init._calculate_fan_in_and_fan_out(net[0].weight)
    with nn.no_grad():
        net[0].bias *= fan_in
        net[0].bias.data += 1.0
    net.tied = nn.Linear(6, 5)
    net.tied.weight = net[3].weight
    views(nn, net)
    return net


def views(nn, net):
    """Parts that are not contiguous, other shapes, sums, and what people do to lists."""
    patch = nn.Conv2d(3, 8, 4, device=None)
    w = patch.weight.data
    nn.init.xavier_uniform_(w.view([w.shape[0], -1]), generator=None)
    patch.weight[:, 1].normal_(0.5, 2.0)
    patch.weight[2, :, 1:].uniform_(-1, 1)
    net.table = nn.Parameter(nn.Tensor(7, 6))
    nn.init.xavier_normal(net.table)
    net.table.t()[1:3].normal_()
    net.table.T[5].uniform_()
    net.table[:2].view(3, 4).transpose(0, 1)[1].normal_()
    net.scale = nn.Parameter(np.float64(0.3) * nn.randn(3, requires_grad=True))
    net.shift = nn.Parameter(1 - 2.0 * -nn.rand(size=(2, 2)))
    parts = nn.ModuleList([patch, nn.Linear(2, 2), nn.Linear(3, 2), nn.PReLU()])
    parts += [nn.Linear(2, 1), nn.Linear(4, 4)]
    parts.pop(1)
    del parts[-1], parts[1:2]
    net.parts = parts.to("cpu")
    net.register_buffer("index", nn.zeros(4).view(2, 2))
    net.more = nn.ModuleDict([
        ["attend", nn.MultiheadAttention(4, 2)],
        ["norm", nn.RMSNorm(3)],
    ])
    net.more["layer"] = nn.TransformerEncoderLayer(4, 2, 4)
    net.more["free"] = nn.BatchNorm1d(3, track_running_stats=False)
    for m in net.more.modules():
        if hasattr(m, "bias") and m.bias is not None:
            nn.init.constant_(m.bias, 0.1)
        if getattr(m, "q_proj_weight", 0) is None:
            m.in_proj_weight.data = m.in_proj_weight.data * 2
    for names in net[2]._all_weights:
        for name in names[2:]:
            getattr(net[2], name).data[5:10].fill_(1.0)
    x = nn.randn_like(nn.zeros(3, 4)).unsqueeze(0).permute(2, 0, 1)
    net.made = nn.Parameter(x.contiguous().sub(1.0) if x.ndim == 3 else x)
    net.drawn = nn.Parameter(nn.normal(0.5, 2.0, size=(3, 2)))
    net.given = nn.Embedding.from_pretrained(nn.tensor([[1.0, 2.0]]), padding_idx=0)
    shared = nn.Linear(2, 2)
    net.twice = nn.Sequential(shared, nn.ReLU(), shared, nn.ModuleList([shared]))
    net.twice.apply(lambda m: isinstance(m, nn.Linear) and nn.init.normal_(m.weight))
    for name, parameter in net.twice.named_parameters("twice", recurse=True):
        nn.init.uniform_(parameter, 0.0, len(name))
    net.register_buffer("mask", nn.tril(nn.ones(4, 4)).view(1, 1, 4, 4))
    net.register_buffer("rest", nn.triu(nn.rand(3, 5), 1))
    rates = [x.item() for x in nn.linspace(0, 0.1, 3)]
    net.drop = nn.Dropout(rates[1])
    w = net.given.weight
    w.data = nn.init.trunc_normal_(w.data.to(w.device), std=0.1).to(w.dtype)
    first, second = nn.rand(5, 4).split(3)
    net.halves = nn.ParameterList([first, second.squeeze(), nn.eye(2)])


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:.*is now deprecated in favor of")
def test_second_passes_live(torch):
    _, known = theirs(torch, passes, 11)
    stream, state = build(partial(passes, nn), 11)
    assert list(state) == list(known)
    for key, w in state.items():
        assert_same_bits(w, known[key])
    _, after = torch_cpu.uniform(stream, (3,), dtype="float32")
    assert_same_bits(after, from_torch(torch.rand(3)))
