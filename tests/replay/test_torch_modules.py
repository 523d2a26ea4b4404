"""What modules and models promise, and what they refuse."""

import inspect
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit.replay import _torch_plan, torch_cpu
from jaxinit.replay import torch_layers as nn
from tests.replay.golden import assert_same_bits
from tests.replay.torch_models import build


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
