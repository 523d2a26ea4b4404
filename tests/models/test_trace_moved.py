"""Biases and weights behind operations on whole axes: sums, sorts, scatters, callbacks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxinit import Fans, Layout
from jaxinit.trace.entry import trace_params
from tests.models.tracing import spec

INDEX = np.array([0, 0, 1, 1, 2])
BETWEEN = {
    "cumsum": (lambda h: jnp.cumsum(h, 1), "cumulative sum"),
    "cummax": (lambda h: lax.cummax(h, 0), "cumulative extreme"),
    "tile": (lambda h: jnp.tile(h, (3, 1)), "weight w"),
    "top_k": (lambda h: lax.top_k(h.T, 3)[0].T, "weight w"),
    "sort": (lambda h: jnp.sort(h, 0), "weight w"),
    "argsort": (lambda h: h[jnp.argsort(h[:, 0])], "weight w"),
    "scatter": (lambda h: jnp.zeros((9, 8)).at[INDEX].set(h, mode="drop"), "weight w"),
    "segment sum": (lambda h: jax.ops.segment_sum(h, INDEX, 3), "sum over segments"),
    "at set": (lambda h: h.at[0].set(0.0), "weight w"),
    "fft": (lambda h: jnp.fft.fft(h, axis=0).real, "Fourier transform"),
    "callback": (lambda h: jax.pure_callback(np.asarray, h, h), "unknown"),
    "solve": (lambda h: jnp.linalg.solve(jnp.eye(5), h), "unknown"),
}


@pytest.mark.parametrize("name", BETWEEN)
def test_bias_and_next_weight(name):
    f, after = BETWEEN[name]

    def apply(params, x):
        return jnp.tanh(f(x @ params["w"]) + params["b"]) @ params["v"] + params["c"]

    params = {"w": spec(10, 8), "b": spec(8), "v": spec(8, 3), "c": spec(3)}
    uses = trace_params(apply, params, spec(5, 10))
    for bias in "bc":
        assert (uses[bias].role, uses[bias].neutral) == ("bias", 0.0)
    use = uses["v"]
    assert (use.role, use.layout, use.nonlinearity) == ("weight", Layout("IO"), "tanh")
    assert (use.after or "").startswith(after)
    assert bool(use.notes) == (not after.startswith("weight"))


def test_what_is_not_followed_is_noted_without_a_nonlinearity_too():
    def apply(params, x):
        return jax.pure_callback(np.asarray, x @ params["w"], x @ params["w"]) @ params["v"]

    uses = trace_params(apply, {"w": spec(5, 5), "v": spec(5, 3)}, spec(5, 5))
    assert uses["v"].notes == (
        "the operation pure_callback is not followed and counts as standard normal",
    )


def test_experts_by_ragged_product():
    def apply(params, x, sizes):
        y = jax.nn.relu(x @ params["w"])
        return lax.ragged_dot(y, params["experts"], sizes) + params["b"]

    params = {"w": spec(10, 8), "experts": spec(4, 8, 6), "b": spec(6)}
    uses = trace_params(apply, params, spec(5, 10), spec(4, dtype="int32"))
    use = uses["experts"]
    assert (use.role, use.layout, use.fans) == ("weight", Layout("BIO"), Fans(8, 6))
    assert (use.nonlinearity, use.after) == ("relu", "weight w")
    assert uses["b"].role == "bias"


def test_position_table_at_fixed_places_is_an_embedding():
    def apply(params, tokens):
        x = params["words"][tokens] + params["places"][jnp.arange(7)]
        return x @ params["w"]

    params = {"words": spec(30, 10), "places": spec(20, 10), "w": spec(10, 8)}
    uses = trace_params(apply, params, spec(2, 7, dtype="int32"))
    assert {k: use.role for k, use in uses.items()} == {
        "words": "embedding",
        "places": "embedding",
        "w": "weight",
    }
    assert uses["places"].fans == Fans(1, 10)


def test_parameter_written_into_the_data_is_an_embedding():
    def apply(params, x):
        return (x @ params["w"]).at[:, 0].set(params["token"]) @ params["v"]

    params = {"w": spec(10, 8), "token": spec(8), "v": spec(8, 3)}
    uses = trace_params(apply, params, spec(2, 5, 10))
    assert {k: uses[k].role for k in params} == {
        "w": "weight",
        "token": "embedding",
        "v": "weight",
    }
