"""muP with optax: one learning rate for two widths, tied tables, errors."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax
import pytest
from flax import linen as nn

import jaxinit
from jaxinit.flax import forward
from jaxinit.presets import mup
from jaxinit.presets.mup import MuP
from tests.adapters import spec

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (256, 16))
Y = jnp.sin(3 * X[:, :1]) * X[:, 1:2]


@pytest.fixture(autouse=True)
def lenient_promotion():
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


class Net(nn.Module):
    width: int
    output: float = 1.0

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.relu(nn.Dense(self.width, name="first")(x))
        x = nn.relu(nn.Dense(self.width, name="hidden")(x))
        return nn.Dense(1, use_bias=False, name="last")(x) * self.output


@functools.cache
def found(width: int) -> MuP:
    def uses(n: int) -> Any:
        return jaxinit.trace_params(*forward(Net(n), X), X)

    return mup(uses(width), uses(64))


def losses(width: int, rate: float, *, with_mup: bool, steps: int = 30) -> list[float]:
    """Train one network, and return the mean squared error before each step."""
    factor = found(width).output["last/kernel"] if with_mup and width != 64 else 1.0
    apply_fn, params = forward(Net(width, factor), X)
    if with_mup:
        params = jaxinit.initialize(KEY, params, found(width).rules)
        optimizer = optax.chain(optax.adam(rate), found(width).scale_updates("adam"))
    else:
        made = jaxinit.auto(apply_fn, params, X, scheme="lecun_normal")
        params, optimizer = jaxinit.initialize(KEY, params, made), optax.adam(rate)

    def step(carry: Any, _: Any) -> Any:
        params, state = carry
        loss, gradient = jax.value_and_grad(lambda p: jnp.mean((apply_fn(p, X) - Y) ** 2))(
            params
        )
        updates, state = optimizer.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), loss

    run = jax.jit(lambda c: jax.lax.scan(step, c, length=steps)[1])
    return [float(loss) for loss in run((params, optimizer.init(params)))]


def test_one_learning_rate_for_two_widths():
    """A rate that is near the best at width 64 is so at width 1024; plainly it is not."""
    rate = 0.006  # the best of 0.003, 0.006, 0.01, 0.02, 0.04 at both widths
    small, wide = losses(64, rate, with_mup=True), losses(1024, rate, with_mup=True)
    assert small[-1] < 0.3 * small[0]
    assert wide[-1] < small[-1]
    assert max(wide) < 1.5 * wide[0]  # no step too far
    plain = losses(1024, rate, with_mup=False)
    assert max(plain) > 100 * plain[0]


def test_updates_are_scaled_by_path():
    one = found(1024)
    _, params = forward(Net(1024), X)
    ones = jax.tree.map(lambda s: jnp.ones(s.shape, jnp.bfloat16), params)
    pairs = ((one.scale_updates("adam"), one.adam), (one.scale_updates("sgd"), one.sgd))
    for update, factors in pairs:
        scaled, state = jax.jit(update.update)(ones, update.init(ones), ones)
        assert state == ()
        for path in factors:
            layer, leaf = path.split("/")
            assert float(scaled[layer][leaf].max()) == factors[path], path
            assert scaled[layer][leaf].dtype == jnp.bfloat16
    assert one.adam["hidden/kernel"] == 1 / 16
    assert one.sgd["last/kernel"] == 16
    assert one.output == {"last/kernel": 1 / 16}


def test_frozen_leaves_may_be_masked():
    one = found(1024)
    _, params = forward(Net(1024), X)
    params = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), params)
    mask = jax.tree.map(lambda _: True, params) | {
        "first": jax.tree.map(lambda _: False, params["first"])
    }
    optimizer = optax.chain(optax.adam(1.0), one.scale_updates("adam"))
    masked = optax.masked(optimizer, mask)
    updates: Any
    updates, _ = masked.update(
        jax.tree.map(jnp.ones_like, params), masked.init(params), params
    )
    assert float(updates["hidden"]["kernel"].mean()) == pytest.approx(-1 / 16, rel=1e-4)
    assert float(updates["first"]["kernel"].mean()) == 1


class Tied(nn.Module):
    width: int

    @nn.compact
    def __call__(self, tokens: Any) -> Any:
        table = nn.Embed(100, self.width, name="table")
        return table.attend(nn.relu(nn.Dense(self.width, name="hidden")(table(tokens))))


def test_tied_tables():
    def uses(n: int) -> Any:
        tokens = spec(5, dtype="int32")
        return jaxinit.trace_params(*forward(Tied(n), tokens), tokens)

    both = mup(uses(256), uses(64), table_std=0.02)
    assert both.output == {"table/embedding": 1 / 4}
    assert both.adam["table/embedding"] == 1
    assert both.adam["hidden/kernel"] == 1 / 4
    _, params = forward(Tied(256), spec(5, dtype="int32"))
    assert jaxinit.plan(params, both.rules)["table/embedding"].std == 0.02


def test_errors():
    one = found(1024)
    with pytest.raises(ValueError) as error:
        one.scale_updates("adam").update({"head": jnp.ones(3)}, ())
    assert str(error.value) == (
        "scale_updates: updates must have the paths of the traced uses; got head. "
        "Trace the tree that is trained."
    )
    with pytest.raises(ValueError) as error:
        one.scale_updates("adm")  # pyright: ignore[reportArgumentType]
    assert str(error.value) == (
        "scale_updates: optimizer must be one of adam, sgd; got optimizer='adm'. "
        "Did you mean 'adam'?"
    )
