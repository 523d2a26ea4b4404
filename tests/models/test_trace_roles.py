"""The tracer on leaves that are no plain weights."""

import jax
import jax.numpy as jnp
from jax import lax

from jaxinit import Fans, Layout
from jaxinit.trace.entry import trace_params
from tests.models.tracing import spec, use_of


def test_embedding_lookup():
    use = use_of(lambda w, i: jnp.tanh(w[i]), (30, 8), spec(2, 5, dtype="int32"))
    assert (use.role, use.layout, use.fans) == ("embedding", Layout("IO"), Fans(1, 8))


def test_embedding_by_one_hot_product():
    def f(w, i):
        return jax.nn.one_hot(i, 30) @ w

    use = use_of(f, (30, 8), spec(2, 5, dtype="int32"))
    assert use.role == "embedding"
    assert use.reason == "looked up by a product"


def test_tied_embedding_keeps_both_uses():
    def f(w, i):
        return jnp.tanh(w[i]) @ w.T

    use = use_of(f, (30, 8), spec(2, 5, dtype="int32"))
    assert use.role == "embedding"
    (other,) = use.others
    assert (other.role, other.layout, other.fans) == ("weight", Layout("OI"), Fans(8, 30))
    assert other.nonlinearity == "tanh"


def test_position_table_and_class_token():
    def apply(params, x):
        y = x @ params["w"]
        token = jnp.broadcast_to(params["token"], (2, 1, 4))
        return jnp.concatenate([token, y], axis=1) + params["position"]

    params = {"w": spec(3, 4), "token": spec(1, 1, 4), "position": spec(1, 6, 4)}
    uses = trace_params(apply, params, spec(2, 5, 3))
    assert uses["token"].role == "embedding"
    assert uses["token"].reason == "joined to the data"
    assert uses["position"].role == "embedding"
    assert uses["position"].reason == "added at every position"


def test_bias_and_scale_have_neutral_values():
    def apply(params, x):
        y = x @ params["w"] + params["b"]
        y = y * params["s"] / params["d"]
        return y * (1 + params["gemma"]) * jnp.exp(params["log"]) - params["c"]

    params = {"w": spec(3, 4)} | {k: spec(4) for k in ("b", "s", "d", "gemma", "log", "c")}
    uses = trace_params(apply, params, spec(2, 3))
    assert {k: (uses[k].role, uses[k].neutral) for k in params if k != "w"} == {
        "b": ("bias", 0.0),
        "s": ("scale", 1.0),
        "d": ("scale", 1.0),
        "gemma": ("scale", 0.0),
        "log": ("scale", 0.0),
        "c": ("bias", 0.0),
    }


def test_stored_statistics_of_a_batch_norm():
    def apply(params, x):
        y = x @ params["w"] - params["mean"]
        y = y * (lax.rsqrt(params["var"] + 1e-5) * params["scale"])
        return jnp.maximum(y, 0) @ params["v"]

    params = {"w": spec(3, 4), "v": spec(4, 2)} | {
        k: spec(4) for k in ("mean", "var", "scale")
    }
    uses = trace_params(apply, params, spec(2, 3))
    assert uses["var"].role == "scale"
    assert uses["var"].neutral == 1.0
    assert uses["mean"].neutral == 0.0
    assert uses["v"].after == "normalisation"
    assert uses["v"].nonlinearity == "relu"


def test_learned_first_state():
    def apply(params, x):
        def step(h, x):
            return jnp.tanh(h @ params["u"] + x @ params["w"]), None

        return lax.scan(step, params["h"], x)[0]

    params = {"u": spec(4, 4), "w": spec(4, 4), "h": spec(4)}
    uses = trace_params(apply, params, spec(5, 4))
    assert uses["h"].role == "embedding"
    assert uses["h"].reason == "the state that a loop starts from"
    assert uses["u"].nonlinearity == "tanh"
    assert uses["u"].after == "addition"


def test_unused():
    uses = trace_params(
        lambda p, x: x @ p["w"], {"w": spec(3, 4), "old": spec(5)}, spec(2, 3)
    )
    assert uses["old"].role == "unused"
    assert uses["old"].reason == "no output depends on it"


def test_experts_chosen_by_the_data_are_weights():
    def f(w, x, i):
        return jnp.einsum("bd,bdf->bf", jnp.tanh(x), w[i])

    use = use_of(f, (4, 16, 8), spec(3, 16), spec(3, dtype="int32"))
    assert (use.role, use.layout, use.fans) == ("weight", Layout("BIO"), Fans(16, 8))
    assert use.reason == "chosen by the data"


def test_products_of_two_tables_stay_tables():
    def apply(params, i, j):
        return jnp.einsum("bd,bd->b", params["u"][i], params["v"][j])

    tokens = spec(3, dtype="int32")
    uses = trace_params(apply, {"u": spec(30, 8), "v": spec(40, 8)}, tokens, tokens)
    assert [use.role for use in uses.values()] == ["embedding", "embedding"]


def test_bias_behind_a_scale_that_makes_features():
    def apply(params, x):
        return jnp.tanh(x[:, :, None] * params["w"] + params["b"])

    uses = trace_params(apply, {"w": spec(16, 8), "b": spec(8)}, spec(3, 16))
    assert uses["b"].role == "bias"
