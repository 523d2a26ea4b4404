"""What the tracer does not know, it says."""

import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxinit.trace.entry import trace_params
from tests.models.tracing import spec, use_of

UNKNOWN = {
    "product with itself transposed": (
        lambda w, x: x @ (w @ w.T),
        "multiplied with another parameter",
    ),
    "positive by exp": (
        lambda w, x: x @ jnp.exp(w),
        "passed through a nonlinear function before the product",
    ),
    "positive by exp of a part": (
        lambda w, x: x @ jnp.exp(w / 3),
        "passed through a nonlinear function before the product",
    ),
    "a triangle from a vector": (
        lambda w, x: x @ jnp.zeros((36, 36)).at[jnp.arange(36), 0].set(w.reshape(-1))[:6],
        "enters scatter, which is not followed",
    ),
    "mixed by a fixed basis": (
        lambda w, x: (
            x @ jnp.einsum("kl,lkio->io", w, np.arange(1296.0).reshape(6, 6, 6, 6))
        ),
        "mixed by a constant array before it multiplies the data",
    ),
    "sum of products by hand": (
        lambda w, x: (x[:, :, None] * w).sum(1),
        "multiplied with the signal and summed, so perhaps a weight",
    ),
    "returned": (lambda w, x: (x.sum(), w), "returned without meeting the data"),
    "returned after exp": (
        lambda w, x: (x.sum(), jnp.exp(w)),
        "returned without meeting the data",
    ),
    "sorted": (lambda w, x: x @ jnp.sort(w, axis=0), "enters sort, which is not followed"),
    "compared": (lambda w, x: jnp.maximum(x, w), "enters max together with the data"),
    "solved": (
        lambda w, x: jnp.linalg.solve(w, x.T),
        None,
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_says_why(name):
    f, reason = UNKNOWN[name]
    use = use_of(f, (6, 6), spec(6, 6))
    assert use.role == "unknown"
    assert use.reason
    if reason is not None:
        assert use.reason == reason


def test_slope_of_a_learned_activation():
    def apply(params, x):
        y = x @ params["w"]
        y = jnp.where(y > 0, y, params["slope"] * y)
        return y @ params["v"]

    params = {"w": spec(3, 4), "slope": spec(), "v": spec(4, 2)}
    uses = trace_params(apply, params, spec(2, 3))
    assert uses["slope"].role == "unknown"
    assert uses["slope"].reason == "shapes the activation, whose gain depends on its value"
    # E f(z)^2 = (1 + E slope^2) / 2 for a slope of variance 1
    assert uses["v"].gain == pytest.approx(1.0)
    text = "slope, whose use is unknown, counts as standard normal"
    assert uses["v"].notes == (text,)
    assert uses["v"].nonlinearity == "learned"


def test_running_average_is_no_bias():
    def apply(params, x):
        mean = x.mean(0)
        return 0.9 * params["mean"] + 0.1 * mean

    use = trace_params(apply, {"mean": spec(3)}, spec(8, 3))["mean"]
    assert use.role == "unknown"


def test_norm_over_a_scaled_signal_keeps_the_scale():
    def norm(x):
        return (x - x.mean(-1, keepdims=True)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-6)

    def apply(params, x):
        y = norm(x @ params["w"]) * params["s"]
        return norm(y) @ params["v"]

    params = {"w": spec(3, 4), "s": spec(4), "v": spec(4, 2)}
    uses = trace_params(apply, params, spec(2, 3))
    assert uses["s"].role == "scale"
    assert uses["v"].after == "normalisation"
