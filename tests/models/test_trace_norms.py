"""Norms: over pooled features, with stored statistics, folded into one factor and shift."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

from collections import Counter
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jaxinit.trace.entry import trace_params
from jaxinit.trace.use import Uses
from tests.models.tracing import spec

KEY = jax.random.key(0)
POOLS = {"mean": lambda x: x.mean(1), "max": lambda x: nn.relu(x).max(1)}
NORMS = {
    "LayerNorm": partial(nn.LayerNorm),
    "LayerNorm, slow variance": partial(nn.LayerNorm, use_fast_variance=False),
    "RMSNorm": partial(nn.RMSNorm),
    "GroupNorm": partial(nn.GroupNorm, 2),
    "BatchNorm, stored": partial(nn.BatchNorm, use_running_average=True),
    "BatchNorm": partial(nn.BatchNorm, use_running_average=False),
}


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("norm", NORMS)
def test_norm_of_pooled_features(norm, pool):
    class Model(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            y = POOLS[pool](nn.Dense(8)(x))
            return nn.Dense(3)(NORMS[norm](name="norm")(y))

    params = jax.eval_shape(Model().init, KEY, spec(2, 5, 6))
    apply = lambda p, x: Model().apply(p, x, mutable=["batch_stats"])[0]  # noqa: E731
    uses = trace_params(apply, params, spec(2, 5, 6))
    assert (uses["params/norm/scale"].role, uses["params/norm/scale"].neutral) == (
        "scale",
        1,
    )
    biases = [use for path, use in uses.items() if path.endswith("bias")]
    assert {(use.role, use.neutral) for use in biases} == {("bias", 0.0)}
    assert uses["params/Dense_1/kernel"].role == "weight"
    head = uses["params/Dense_0/kernel"]
    if head.fans is not None and head.fans.fan_in != 8:
        head = uses["params/Dense_1/kernel"]
    assert (head.after, head.nonlinearity) == ("normalisation", "linear")
    if pool == "mean" and norm.startswith("LayerNorm"):
        assert head.gain == pytest.approx(1)
    if norm == "BatchNorm, stored":
        assert uses["batch_stats/norm/mean"].role == "bias"
        assert uses["batch_stats/norm/var"].role == "scale"


STORED = {
    "factor and shift": lambda p, x: (
        x * (lax.rsqrt(p["var"] + 1e-3) * p["gamma"])
        + (p["beta"] - p["mean"] * (lax.rsqrt(p["var"] + 1e-3) * p["gamma"]))
    ),
    "in order": lambda p, x: (
        (x - p["mean"]) * lax.rsqrt(p["var"] + 1e-3) * p["gamma"] + p["beta"]
    ),
    "divided": lambda p, x: (
        (x - p["mean"]) / jnp.sqrt(p["var"] + 1e-3) * p["gamma"] + p["beta"]
    ),
}


@pytest.mark.parametrize("how", STORED)
@pytest.mark.parametrize("stored", ["parameters", "inputs", "constants"])
def test_stored_statistics(how, stored):
    statistics = {"mean": jnp.linspace(0.0, 1, 4), "var": jnp.linspace(1.0, 2, 4)}

    def apply(params, x, *more):
        given = more[0] if more else statistics
        return jnp.tanh(STORED[how]({**given, **params}, x @ params["w"])) @ params["v"]

    params = {"w": spec(6, 4), "v": spec(4, 3), "gamma": spec(4), "beta": spec(4)}
    shapes = {"mean": spec(4), "var": spec(4)}
    more = [shapes] if stored == "inputs" else []
    if stored == "parameters":
        params |= shapes
    uses = trace_params(apply, params, spec(5, 6), *more)
    found = {name: (use.role, use.neutral) for name, use in uses.items()}
    expected = {"gamma": ("scale", 1.0), "beta": ("bias", 0.0)}
    expected |= {"w": ("weight", None), "v": ("weight", None)}
    if stored == "parameters":
        expected |= {"mean": ("bias", 0.0), "var": ("scale", 1.0)}
    assert found == expected


def keras_uses(model: Any, x: Any, *, is_training: bool, stored: bool) -> Uses:
    """Return the uses; with stored statistics among the parameters or closed over."""
    fixed = [variable.value for variable in model.non_trainable_variables]
    own = [jax.ShapeDtypeStruct(v.shape, v.dtype) for v in model.trainable_variables]

    def apply(params: Any, x: Any) -> Any:
        rest = params["stored"] if stored else fixed
        return model.stateless_call(params["own"], rest, x, training=is_training)[0]

    params = {"own": own} | ({"stored": fixed} if stored else {})
    return trace_params(apply, params, x)


@pytest.mark.keras
@pytest.mark.parametrize("is_training", [False, True])
@pytest.mark.parametrize("stored", [False, True])
def test_keras_norms(is_training, stored):
    keras = pytest.importorskip("keras")
    layers = keras.layers
    model = keras.Sequential([
        layers.Input((8, 8, 3)),
        layers.Conv2D(8, 3, use_bias=False),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.DepthwiseConv2D(3, use_bias=False),
        layers.BatchNormalization(),
        layers.GroupNormalization(2),
        layers.GlobalAveragePooling2D(),
        layers.LayerNormalization(),
        layers.Dense(3),
    ])
    uses = keras_uses(model, spec(2, 8, 8, 3), is_training=is_training, stored=stored)
    roles = Counter(use.role for path, use in uses.items() if path.startswith("own"))
    assert roles == {"weight": 3, "bias": 5, "scale": 4}
    head = next(use for use in uses.values() if use.shape == (8, 3))
    assert head.after == "normalisation"
    if stored:
        rest = Counter(u.role for path, u in uses.items() if path.startswith("stored"))
        assert rest == ({"unused": 4} if is_training else {"bias": 2, "scale": 2})


def test_statistics_of_a_table_that_is_used_again():
    """The mean over features has not the axes of the tables that the features are made of."""

    def apply(params, tokens):
        x = params["e"][tokens] + params["q"][jnp.arange(8)][None]
        x = x - x.mean(-1, keepdims=True)
        return x @ params["e"].T

    params = {"e": spec(50, 16), "q": spec(10, 16)}
    uses = trace_params(apply, params, jax.ShapeDtypeStruct((1, 8), "int32"))
    assert [use.role for use in uses.values()] == ["embedding", "embedding"]
    assert uses["e"].others[0].role == "weight"
