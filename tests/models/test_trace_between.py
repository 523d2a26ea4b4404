"""What stands between two weights: activations, gains, and notes on them."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxinit import Fans
from jaxinit.trace.entry import trace_params
from jaxinit.trace.use import ParamUse
from tests.models.tracing import spec, use_of


def between(f: Callable[..., Any]) -> ParamUse:
    def apply(params, x):
        return f(x @ params["w"] + params["b"]) @ params["v"]

    params = {"w": spec(6, 6), "b": spec(6), "v": spec(6, 2)}
    return trace_params(apply, params, spec(3, 6))["v"]


def gauss_hermite_gain(f: Callable[..., Any]) -> float:
    nodes, weights = np.polynomial.hermite_e.hermegauss(180)
    values = np.asarray(f(jnp.asarray(nodes, jnp.float32)), np.float64)
    return float(1 / np.sqrt(weights @ values**2 / weights.sum()))


SMOOTH = {
    "tanh": jnp.tanh,
    "silu": jax.nn.silu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "mish": jax.nn.mish,
    "sin": jnp.sin,
    "custom": lambda x: jnp.sin(x) + 0.3 * jnp.tanh(2 * x) * x,
}


@pytest.mark.parametrize("name", SMOOTH)
def test_gain_of_the_expression(name):
    use = between(SMOOTH[name])
    assert use.nonlinearity == name
    assert use.after == "weight w"
    assert use.gain == pytest.approx(gauss_hermite_gain(SMOOTH[name]), rel=1e-4)


KINKED = {
    "relu": (jax.nn.relu, 2**0.5),
    "leaky_relu": (lambda x: jax.nn.leaky_relu(x, 0.2), (2 / 1.04) ** 0.5),
    "3 relu": (lambda x: 3 * jnp.maximum(x, 0), 2**0.5 / 3),
    "linear": (lambda x: x, 1.0),
    "0.125 linear": (lambda x: x / 8, 8.0),
    "hard_tanh": (jax.nn.hard_tanh, 1.392036),
    "relu_squared": (lambda x: jax.nn.relu(x) ** 2, 0.816497),
    "selu": (jax.nn.selu, 1.0),
    "relu6": (jax.nn.relu6, 1.414214),
    "hard_swish": (jax.nn.hard_swish, 1.736657),
}


@pytest.mark.parametrize("name", KINKED)
def test_gain_of_kinked_expressions(name):
    f, gain = KINKED[name]
    use = between(f)
    assert use.nonlinearity == name
    assert use.gain == pytest.approx(gain, rel=2e-6)


def test_traced_activation_can_be_called():
    use = between(SMOOTH["custom"])
    assert use.activation is not None
    x = jnp.linspace(-3, 3, 7)
    np.testing.assert_allclose(use.activation(x), SMOOTH["custom"](x), rtol=1e-6)


def softmax_mix(y: Any) -> Any:
    return jax.nn.softmax(y) * 1.0


ORIGINS = {
    "normalisation": lambda y: (
        (y - y.mean(-1, keepdims=True)) / (y.std(-1, keepdims=True) + 1e-6)
    ),
    "softmax": jax.nn.softmax,
    "log-softmax": jax.nn.log_softmax,
    "residual addition": lambda y: y + jnp.tanh(y) * jax.nn.softmax(y),
    "product": lambda y: y * jax.nn.sigmoid(y[:, ::-1] @ jnp.ones((6, 6))),
    "maximum pooling": lambda y: lax.reduce_window(
        y, -jnp.inf, lax.max, (1, 1), (1, 1), "SAME"
    ),
}


@pytest.mark.parametrize("name", ORIGINS)
def test_what_stands_between_is_named(name):
    assert between(ORIGINS[name]).after == name


def test_average_pooling_is_named_and_its_division_is_no_activation():
    def pooled(y: Any) -> Any:
        y = jnp.maximum(y, 0)
        return lax.reduce_window(y, 0.0, lax.add, (1, 2), (1, 1), "SAME") / 2

    use = between(pooled)
    assert (use.after, use.nonlinearity) == ("average pooling", "linear")


def test_residual_stream_is_said():
    def apply(params, x):
        h = x @ params["a"]
        h = h + jnp.maximum(h @ params["b"], 0) @ params["c"]
        return jnp.maximum(h, 0) @ params["d"]

    params = {k: spec(6, 6) for k in "abcd"}
    uses = trace_params(apply, params, spec(3, 6))
    assert [uses[k].after for k in "abcd"] == [
        "input",
        "weight a",
        "weight b",
        "residual addition",
    ]
    assert [uses[k].nonlinearity for k in "abcd"] == ["linear", "linear", "relu", "relu"]


def test_dropout_is_counted():
    def apply(params, x, key):
        y = jnp.maximum(x @ params["w"], 0)
        kept = jax.random.bernoulli(key, 0.9, y.shape)
        return jnp.where(kept, y / 0.9, 0.0) @ params["v"]

    key = jax.eval_shape(lambda: jax.random.key(0))
    uses = trace_params(apply, {"w": spec(6, 6), "v": spec(6, 6)}, spec(3, 6), key)
    assert uses["v"].nonlinearity == "relu"
    # E (m y / 0.9)^2 = E y^2 / 0.9 with E y^2 = 1/2
    assert uses["v"].gain == pytest.approx(1.8**0.5, rel=1e-3)
    assert uses["v"].notes == ()


def test_mean_pooling_is_said():
    use = between(lambda y: jnp.maximum(y, 0)).gain
    assert use == pytest.approx(2**0.5)

    def apply(params, x):
        y = jnp.maximum(jnp.einsum("bti,io->bto", x, params["w"]), 0)
        return y.mean(1) @ params["v"]

    uses = trace_params(apply, {"w": spec(6, 6), "v": spec(6, 6)}, spec(3, 5, 6))
    assert uses["v"].after == "reduction of weight w"
    assert uses["v"].gain == pytest.approx(2**0.5)
    assert uses["v"].notes == ("averages over positions are taken to keep the scale",)


def test_nothing_is_allocated():
    huge = spec(1 << 20, 1 << 20)
    use = use_of(lambda w, x: x @ w, (1 << 20, 1 << 20), huge)
    assert use.fans == Fans(1 << 20, 1 << 20)


def test_table_prints():
    text = str(trace_params(lambda p, x: x @ p["w"], {"w": spec(3, 4)}, spec(2, 3)))
    assert text == (
        "path  shape   role    layout  fan_in  fan_out  after  gain\n"
        "----  ------  ------  ------  ------  -------  -----  --------\n"
        "w     (3, 4)  weight  IO      3       4        input  linear 1"
    )


def test_errors():
    with pytest.raises(TypeError) as error:
        trace_params(3, {"w": spec(2)})  # pyright: ignore[reportArgumentType]
    assert str(error.value) == (
        "trace_params: apply_fn must be a function; got 3. "
        "Give the function apply_fn(params, *inputs)."
    )
    with pytest.raises(TypeError) as error:
        trace_params(lambda p: p, {"w": "text"})
    assert str(error.value) == (
        "trace_params: params must hold arrays; got 1 other leaves. "
        "Give the model's parameters, or shapes of them by jax.eval_shape."
    )


def test_positions_that_are_added_before_a_normalisation():
    def apply(p, ids):
        x = p["table"][ids] + p["positions"][: ids.shape[1]]
        return (x - x.mean(-1, keepdims=True)) @ p["w"]

    params = {"table": spec(9, 6), "positions": spec(8, 6), "w": spec(6, 3)}
    uses = trace_params(apply, params, jax.ShapeDtypeStruct((2, 4), "int32"))
    roles = [uses[k].role for k in ("table", "positions", "w")]
    assert roles == ["embedding", "embedding", "weight"]
