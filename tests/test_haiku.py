"""Haiku: transforms as pure functions, parameters drawn anew."""

from functools import partial
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import pytest

import jaxinit
from jaxinit.haiku import forward, reinitialize
from tests.adapters import has_std, spec

KEY = jax.random.key(0)
RULES = [
    ("**/w", jaxinit.lecun_normal),
    ("**/scale", jaxinit.ones),
    ("**/{b,offset}", jaxinit.zeros),
]


@pytest.fixture(autouse=True)
def lenient_promotion():
    with jax.numpy_dtype_promotion("standard"):
        yield


def network(x, is_training):
    x = hk.Conv2DTranspose(32, 4, 2, name="up")(x)
    x = hk.BatchNorm(True, True, 0.9, name="norm")(x, is_training=is_training)
    x = hk.DepthwiseConv2D(16, 3, name="depthwise")(jax.nn.relu(x))
    return hk.dropout(hk.next_rng_key(), 0.5, x)


def test_forward_with_state():
    x = spec(2, 8, 8, 16)
    apply_fn, params = forward(hk.transform_with_state(network), x, is_training=True)
    uses = jaxinit.trace_params(apply_fn, params, x)
    assert uses["up/w"].layout == jaxinit.Layout("HWOI")
    assert uses["depthwise/w"].layout == jaxinit.Layout("HWIO", groups=32)
    assert uses["depthwise/w"].after == "normalisation"
    new = reinitialize(KEY, params, RULES, uses=uses)
    assert has_std(new["depthwise"]["w"], 1 / 3)  # nine terms
    again = partial(apply_fn, is_training=False)
    out = again(new, jnp.ones(x.shape, x.dtype))
    assert out.shape == (2, 16, 16, 512)
    assert bool(jnp.isfinite(out).all())
    # Running variances are 1: without training the norm divides by nothing.
    assert float(out.std()) < 100
    twos = {"norm/~/mean_ema": {"average": jnp.zeros((1, 1, 1, 32), x.dtype)}}
    twos["norm/~/var_ema"] = {"average": jnp.full((1, 1, 1, 32), 4e8, x.dtype)}
    net = hk.transform_with_state(network)
    given, _ = forward(net, x, state=twos, is_training=True)
    assert float(given(new, jnp.ones(x.shape, x.dtype), is_training=False).std()) < 1e-3


def test_forward_without_state():
    x = spec(2, 64)

    def net(x):
        return hk.nets.MLP([128, 8])(x)

    apply_fn, params = forward(hk.transform(net), x)
    rules = [("mlp/~/linear_*/w", jaxinit.kaiming_normal), ("**/b", jaxinit.zeros)]
    new = reinitialize(KEY, params, rules)
    assert has_std(new["mlp/~/linear_1"]["w"], (2 / 128) ** 0.5)
    assert apply_fn(new, jnp.ones(x.shape, x.dtype)).shape == (2, 8)
    made = jaxinit.auto(apply_fn, params, x)
    assert has_std(reinitialize(KEY, params, made)["mlp/~/linear_0"]["w"], 64**-0.5)


@pytest.mark.parametrize("init", [jaxinit.kaiming_normal, jaxinit.zeros, jaxinit.normal])
def test_an_initializer_without_the_adapter(init):
    def net(x):
        return hk.Linear(3, w_init=partial(init))(x)

    name = init.__name__
    with pytest.raises(TypeError) as error:
        hk.transform(net).init(KEY, jnp.ones((1, 4)))
    assert str(error.value) == (
        f"{name}: the key comes first; got the shape (4, 3). Write {name}(key, shape, "
        "dtype). Haiku and Keras, which call (shape, dtype), take "
        f"jaxinit.haiku.initializer({name}) and jaxinit.keras.initializer({name})."
    )


def test_errors():
    x = spec(2, 8, 8, 16)

    def net(x):
        return hk.Conv2DTranspose(8, 3, name="up")(x)

    _, params = forward(hk.transform(net), x)
    with pytest.raises(ValueError, match="needs a layout") as error:
        reinitialize(KEY, params, RULES[:1] + RULES[2:])
    assert "got none for up/w (3, 3, 8, 16). Bind one" in str(error.value)
    by_type: Any = {hk.Linear: {"w": jaxinit.zeros}}
    with pytest.raises(TypeError) as error:
        reinitialize(KEY, params, by_type)
    assert str(error.value) == (
        "haiku.reinitialize: rules by layer type need a model that holds its layers; got "
        'parameters alone. Write [("**/w", jaxinit.lecun_normal), ("**/b", jaxinit.zeros)].'
    )
    with pytest.raises(TypeError) as error:
        forward(network, x)  # pyright: ignore[reportArgumentType]
    assert str(error.value) == (
        "haiku.forward: net must be what hk.transform or hk.transform_with_state gave; "
        "got function. Write forward(hk.transform(network), inputs)."
    )
