"""Whole models: the constructors in the README, against recorded and living ones."""

import json
import re
import types
import zlib
from functools import partial
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit.replay
from jaxinit.replay import torch_cpu
from jaxinit.replay import torch_layers as nn
from tests.replay.golden import assert_same_bits, from_torch
from tests.replay.torch_models import build, theirs

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
