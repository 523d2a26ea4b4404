"""Whole models: the constructors in the README, against recorded and living ones."""

import copy
import inspect
import json
import math
import re
import types
import zlib
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit.replay
from jaxinit.replay import _torch_plan, torch_cpu
from jaxinit.replay import torch_layers as nn
from tests.replay.golden import assert_same_bits, from_torch

README = (Path(jaxinit.replay.__file__).parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)
MODELS = [b for b in BLOCKS if b.startswith(("import math", "def "))]
RECORDED = json.loads(
    (Path(__file__).parent.parent / "data" / "replay_models.json").read_text()
)["models"]
VGG11 = [64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M"]


def constructors(library):
    """Return the README's constructors with ``nn`` bound to a library."""
    names = {}
    exec("\n\n".join(MODELS), names)
    names["nn"] = library
    return types.SimpleNamespace(**{k: v for k, v in names.items() if callable(v)})


OURS = constructors(nn)
MAKERS = {
    "resnet18": partial(OURS.resnet, (2, 2, 2, 2)),
    "resnet50": partial(OURS.resnet, (3, 4, 6, 3), True),
    "vgg11_bn": partial(OURS.vgg_bn, VGG11),
    "mobilenet_v2": OURS.mobilenet_v2,
    "vit_b_16": OURS.vit,
    "convnext_tiny": OURS.convnext,
    "vit_tiny": OURS.timm_vit,
    "gpt2": partial(OURS.gpt2, 500, 64, 48, 3),
    "bert": partial(OURS.bert, 500, 48, 2, 96, 64),
}
LARGE = {"resnet50", "vgg11_bn", "vit_b_16", "convnext_tiny"}


def build(model, seed, dtype="float32"):
    return torch_cpu.build(torch_cpu.manual_seed(seed), model, dtype)


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.parity] * (n in LARGE)) for n in MAKERS],
)
def test_models_recorded(name):
    known = RECORDED[name]
    stream, state = build(MAKERS[name], known["seed"])
    assert list(state) == list(known["tensors"])
    for key, w in state.items():
        if isinstance(known["tensors"][key], int):
            assert zlib.crc32(np.asarray(w).tobytes()) == known["tensors"][key], key
        else:  # an inverse normal distribution function, of which 3 in 10^4 are rounded
            crc, total = known["tensors"][key]
            wide = np.asarray(w, np.float64)
            close = abs(wide.sum() - float.fromhex(total)) < 1e-3 * 2**-23 * w.size * 0.05
            assert close or zlib.crc32(np.asarray(w).tobytes()) == crc, key
    _, after = torch_cpu.uniform(stream, (1,), dtype="float32")
    assert float(after[0]) == float.fromhex(known["after"])


class Library:
    """PyTorch under the one name that the README's constructors use."""

    def __init__(self, torch):
        self.torch = torch
        inverse = {"trunc_normal_inverse_": self.inverse}
        self.init = types.SimpleNamespace(**{**vars(torch.nn.init), **inverse})

    def inverse(self, tensor, mean=0.0, std=1.0, a=-2.0, b=2.0):
        low, high = ((1 + math.erf((x - mean) / std / 2**0.5)) / 2 for x in (a, b))
        with self.torch.no_grad():
            tensor.uniform_(2 * low - 1, 2 * high - 1).erfinv_()
            return tensor.mul_(std * math.sqrt(2.0)).add_(mean).clamp_(min=a, max=b)

    def __getattr__(self, name):
        if hasattr(self.torch.nn, name):
            return getattr(self.torch.nn, name)
        return getattr(self.torch, name)


def theirs(torch, make, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        model = make(Library(torch))
    state = {k: v for k, v in model.state_dict().items() if "num_batches" not in k}
    return model, {k: from_torch(v) for k, v in state.items()}


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


SMALL = {
    "resnet": lambda c: c.resnet((1, 2), True),
    "vit": lambda c: c.vit(16, 2, 2, 4, 8),
    "convnext": lambda c: c.convnext((8, 12, 16, 20), (1, 2, 1, 1)),
    "nanogpt": lambda c: c.nanogpt(90, 12, 24, 2),
    "nanogpt without biases": lambda c: c.nanogpt(90, 12, 24, 1, False),
    "bert": lambda c: c.bert(50, 16, 2, 32, 20),
}


@pytest.mark.parity
@pytest.mark.parametrize("name", SMALL)
def test_models_live(torch, name):
    make = SMALL[name]
    _, known = theirs(torch, lambda library: make(constructors(library)), 7)
    stream, state = build(partial(make, OURS), 7)
    assert list(state) == list(known)
    for key, w in state.items():
        assert_same_bits(w, known[key])
    _, after = torch_cpu.uniform(stream, (3,), dtype="float32")
    assert_same_bits(after, from_torch(torch.rand(3)))


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


KINDS = [k for k in vars(nn).values() if isinstance(k, type) and issubclass(k, nn.Layer)]


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


@pytest.mark.parity
def test_inverse_normal_live(torch):
    known = Library(torch)
    torch.manual_seed(3)
    with torch.no_grad():
        tensor = known.inverse(torch.empty(100000), 0.5, 1.5, -2.0, 3.0).numpy()

    def draw(parameter):
        nn.init.trunc_normal_inverse_(parameter, 0.5, 1.5, -2.0, 3.0)

    _, state = build(lambda: [nn.Parameter(100000, draw)], 3)
    ours = np.asarray(state["0"])
    steps = np.abs(ours.view(np.int32) - tensor.view(np.int32))
    assert np.mean(steps > 0) < 0.001
    np.testing.assert_allclose(ours, tensor, rtol=0, atol=2.5e-7)


@pytest.mark.huggingface
@pytest.mark.parametrize("name", ["gpt2", "gpt2_lm", "bert"])
def test_hugging_face_live(name):
    torch, hf = pytest.importorskip("torch"), pytest.importorskip("transformers")
    torch.manual_seed(5)
    if name != "bert":
        config = hf.GPT2Config(
            n_layer=2, n_embd=24, n_head=4, vocab_size=90, n_positions=16
        )
        kind = {"gpt2": hf.GPT2Model, "gpt2_lm": hf.GPT2LMHeadModel}[name]
        model, ours = kind(config), partial(getattr(OURS, name), 90, 16, 24, 2)
    else:
        sizes = {"vocab_size": 90, "hidden_size": 24, "num_hidden_layers": 2}
        sizes |= {"intermediate_size": 40, "max_position_embeddings": 16}
        model = hf.BertModel(hf.BertConfig(num_attention_heads=4, **sizes))
        ours = partial(OURS.bert, 90, 24, 2, 40, 16)
    known = model.state_dict()
    _, state = build(ours, 5)
    assert list(state) == list(known)
    for key, w in state.items():
        assert_same_bits(w, from_torch(known[key]))


def test_readme_runs():
    names = {}
    exec("\n".join(BLOCKS), names)
    assert names["logits"].shape == (1, 1000)


@pytest.mark.parity
def test_a_flax_resnet_computes_what_pytorch_does(torch):
    names = {}
    exec("\n".join(b for b in BLOCKS if b in MODELS or "class ResNet" in b), names)
    counts = 1, 1, 1, 2
    variables = names["resnet_variables"](3, counts)
    model, _ = theirs(torch, lambda nn: constructors(nn).resnet(counts), 3)
    x = np.linspace(-1, 1, 2 * 40 * 40 * 3, dtype=np.float32).reshape(2, 40, 40, 3)
    ours = names["ResNet"](counts).apply(variables, jnp.asarray(x))
    with torch.no_grad():
        known = forward_of_resnet(torch, model.eval(), torch.tensor(x).permute(0, 3, 1, 2))
    np.testing.assert_allclose(ours, known.numpy(), rtol=0, atol=2e-5)
    assert float(np.std(known.numpy())) > 0.05


def forward_of_resnet(torch, model, x):
    x = torch.nn.functional.max_pool2d(model.bn1(model.conv1(x)).relu(), 3, 2, 1)
    for layer in (model.layer1, model.layer2, model.layer3, model.layer4):
        for block in layer:
            y = block.bn2(block.conv2(block.bn1(block.conv1(x)).relu()))
            x = (y + (block.downsample(x) if hasattr(block, "downsample") else x)).relu()
    return model.fc(x.mean((2, 3)))


def test_a_replaced_layer_has_drawn():
    def make():
        model = nn.Module()
        model.body, model.head = nn.Linear(3, 4), nn.Linear(4, 2)
        model.head = nn.Linear(4, 5)
        return model

    _, state = build(make, 0)
    _, whole = build([nn.Linear(3, 4), nn.Linear(4, 2), nn.Linear(4, 5)], 0)
    assert list(state) == ["body.weight", "body.bias", "head.weight", "head.bias"]
    assert_same_bits(state["head.weight"], whole["2.weight"])


def test_modules_of_a_user_have_names_of_their_own():
    class Net(nn.Linear):
        signature = "x -> y"

        def __init__(self, width):
            super().__init__(width, 2)
            self.gates = self.axes = 3

    _, state = build(lambda: Net(5), 0)
    assert_same_bits(state["weight"], build(nn.Linear(5, 2), 0)[1]["weight"])
    assert list(inspect.signature(Net).parameters) == ["width"]


def test_buffers_of_integers_stay_integers():
    model = nn.Module()
    model.register_buffer("index", np.arange(6).reshape(2, 3))
    model.register_buffer("mask", np.tril(np.ones((2, 2))) == 1)
    model.register_buffer("scale", np.ones(2))
    model.register_buffer("count", nn.tensor(3))
    model.register_buffer("places", nn.arange(1, 4).expand((2, -1)))
    _, state = build(model, 0, "bfloat16")
    kinds = {name: x.dtype.kind for name, x in state.items()}
    assert kinds == {"index": "i", "mask": "b", "scale": "V", "count": "i", "places": "i"}
    assert state["index"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert state["places"].tolist() == [[1, 2, 3], [1, 2, 3]]


def test_a_layer_that_is_used_twice_is_one():
    layer = nn.Linear(3, 3)
    _, state = build([layer, None, layer], 0)
    assert_same_bits(state["0.weight"], state["2.weight"])
    assert len(state) == 4


def test_copies_have_the_numbers_of_the_first():
    _, state = build(nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 4), 2), 0)
    _, one = build(nn.TransformerEncoderLayer(8, 2, 4), 0)
    for key, w in one.items():
        assert_same_bits(state[f"layers.0.{key}"], w)
        assert_same_bits(state[f"layers.1.{key}"], w)


def test_seeds_of_a_model_may_be_traced():
    def draw(seed):
        return torch_cpu.build(torch_cpu.manual_seed(seed), model, "float32")[1]

    model = [nn.Linear(30, 20), nn.Embedding(9, 5), nn.Embedding(2, 3)]
    together = jax.jit(jax.vmap(draw))(jnp.asarray([0, 7]))
    for i, seed in enumerate((0, 7)):
        for key, w in draw(seed).items():
            assert_same_bits(together[key][i], w)


def test_models_of_more_words_than_are_made_at_a_time(monkeypatch):
    model = [nn.Linear(30, 20), nn.Conv1d(3, 5, 4), nn.Embedding(9, 5), nn.Linear(3, 3)]
    stream, whole = build(model, 4)
    monkeypatch.setattr(_torch_plan, "_MOST_WORDS", 100)
    after, parts = build(model, 4)
    for key, w in whole.items():
        assert_same_bits(parts[key], w)
    assert_same_bits(after.window, stream.window)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: build(nn.Embedding(2**29, 4), 0),
            ValueError,
            "torch_layers.build: one draw makes at most 1073676287 values; got "
            "shape=(536870912, 4). Draw it in parts.",
        ),
        (
            lambda: build(lambda: None, 0),
            TypeError,
            "torch_layers.build: model must be a layer, or a list or dict of layers; got "
            "None. Let the function return the model.",
        ),
        (
            lambda: nn.Linear(3, 4, dtype="float16"),
            TypeError,
            "torch_layers.Linear: all tensors of a model have one dtype, which build takes; got "
            "dtype='float16'. Give dtype to build instead.",
        ),
        (
            lambda: nn.Linear(3, 4, biass=False),
            TypeError,
            "torch_layers.Linear: an argument must be one of in_features, out_features, bias, "
            "device, dtype; got biass=False. Did you mean 'bias'?",
        ),
        (
            lambda: nn.init.sparse_(nn.zeros(3, 4)),  # pyright: ignore[reportCallIssue]
            TypeError,
            "torch_init.sparse_: sparsity must be given; got tensor. Add sparsity=....",
        ),
        (
            lambda: nn.init.trunc_normal_(nn.zeros(3), a=5.0, b=6.0),
            ValueError,
            "torch_init.trunc_normal_: the bounds must hold more than 0.3 of the normal "
            "distribution; got a share of 2.86e-07. PyTorch's values cannot be replayed there.",
        ),
        (
            lambda: build(lambda: [nn.Parameter(3, partial(nn.init.normal_, std=1e39))], 0),
            ValueError,
            "torch_layers.build: std must be at most 3.4e38 in size; got std=1e+39. Draw with "
            "another scale, and scale the result.",
        ),
        (
            lambda: nn.LSTM(3, 4, proj_size=4),
            ValueError,
            "torch_layers.LSTM: proj_size must be smaller than hidden_size; got proj_size=4, "
            "hidden_size=4. Give 0 for no projection.",
        ),
        (
            lambda: build([nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2)][::2], 0),
            ValueError,
            "torch_layers.build: nothing may be drawn between the modules of a model that "
            "it does not hold; got 4 tensors with others between. Give build a function "
            "that makes the model, so that all is recorded.",
        ),
        (
            lambda: nn.init.orthogonal_(nn.zeros(4, 4)[:, :2]),
            ValueError,
            "torch_init.orthogonal_: this draw needs a tensor whose values "
            "follow each other in memory; got a part of shape (4, 2) and strides (4, 1). Draw "
            "the whole tensor.",
        ),
        (
            lambda: nn.zeros(4, 4).t().view(2, 8),
            ValueError,
            "Tensor.view: a view must not need a copy; got shape=(4, 4). Clone it first.",
        ),
        (
            lambda: nn.init.normal_(nn.zeros(3), generator=7),
            TypeError,
            "torch_init.normal_: generator must be None; got 7. Leave it out: the draws are of "
            "the stream that build takes.",
        ),
        (
            lambda: nn.zeros(3, dtype="float16"),
            TypeError,
            "torch_layers.zeros: all tensors of a model have one dtype, which build takes; got "
            "dtype='float16'. Give dtype to build instead.",
        ),
        (
            lambda: nn.Linear(2, 2).to("cuda").to(jnp.float16),
            TypeError,
            "Module.to: a device must be its name; got device=<class 'jax.numpy.float16'>. "
            "Give dtype to build instead.",
        ),
        (
            lambda: nn.AdaptiveLogSoftmaxWithLoss(8, 30, [5, 5]),
            ValueError,
            "torch_layers.AdaptiveLogSoftmaxWithLoss: cutoffs must rise from 1 on and stay "
            "below n_classes; got cutoffs=[5, 5], n_classes=30. Give at least one cutoff.",
        ),
        (
            lambda: nn.Sequential(nn.Linear(2, 2), "relu"),
            TypeError,
            "torch_layers.Sequential: it must hold modules; got 'relu'. Use None for a ReLU.",
        ),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == text
