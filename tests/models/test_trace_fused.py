"""The tracer on weights that stand for several, side by side."""

import jax
import jax.numpy as jnp

from jaxinit import Fans, Layout
from jaxinit.trace.entry import trace_params
from tests.models.tracing import spec, use_of


def test_fused_weight_cut_behind_the_product():
    def f(w, x):
        q, k, v = jnp.split(x @ w, 3, axis=-1)
        return q * jnp.tanh(k) + v

    use = use_of(f, (6, 15), spec(4, 6))
    assert use.splits == (5, 5, 5)
    assert use.fans == Fans(6, 5)


def test_fused_weight_cut_behind_reshape_and_bias():
    def apply(params, x):
        y = (x @ params["w"] + params["b"]).reshape(4, 3, 5)
        return y[:, 0] * y[:, 1] + y[:, 2]

    uses = trace_params(apply, {"w": spec(6, 15), "b": spec(15)}, spec(4, 6))
    assert uses["w"].splits == (1, 1, 1)
    assert uses["w"].fans == Fans(6, 5)
    assert uses["b"].role == "bias"


def test_fused_weight_cut_before_the_product():
    def f(w, x):
        a, b = jnp.split(w, 2, axis=1)
        return (x @ a) * (x @ b)

    use = use_of(f, (6, 10), spec(4, 6))
    assert use.splits == (5, 5)
    assert use.fans == Fans(6, 5)
    assert use.layout == Layout("IO")


def test_fused_gates_of_a_sum():
    def apply(params, x, h):
        a, b = jnp.split(x @ params["w"] + h @ params["u"], 2, axis=-1)
        return jax.nn.sigmoid(a) * jnp.tanh(b)

    uses = trace_params(apply, {"w": spec(3, 8), "u": spec(4, 8)}, spec(2, 3), spec(2, 4))
    assert uses["w"].splits == uses["u"].splits == (4, 4)
    assert uses["u"].fans == Fans(4, 4)


def test_parts_along_the_inputs_count_together():
    def f(w, x):
        return x[:, :4] @ w[:4] + x[:, 4:] @ w[4:]

    use = use_of(f, (6, 5), spec(2, 6))
    assert use.splits is None
    assert use.fans == Fans(6, 5)
    assert use.notes == ("used in parts along its inputs; fan_in counts all",)


def test_kernels_laid_side_by_side():
    def apply(params, x):
        w = jnp.concatenate([params["a"], params["b"]], axis=1)
        b = jnp.concatenate([params["c"], params["d"]])
        return x @ w + b.reshape(1, -1)

    params = {"a": spec(6, 2), "b": spec(6, 3), "c": spec(2), "d": spec(3)}
    uses = trace_params(apply, params, spec(4, 6))
    assert uses["a"].fans == Fans(6, 2)
    assert uses["b"].fans == Fans(6, 3)
    assert [uses[k].role for k in "cd"] == ["bias", "bias"]
