"""The tracer on leaves that are no plain weights."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
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


def test_what_no_output_needs_is_no_use():
    def apply(params, x):
        jnp.sort(x @ params["old"])  # which would make it unknown
        return x @ params["w"]

    uses = trace_params(apply, {"w": spec(3, 4), "old": spec(3, 5)}, spec(2, 3))
    assert [uses[k].role for k in ("w", "old")] == ["weight", "unused"]


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


def test_number_behind_a_product():
    def apply(params, x):
        h = jnp.sin(30 * (x @ params["w0"] + params["b"]))
        h = jnp.tanh(1.5 * (h @ params["w1"]) / 16)
        return 0.1 * (h @ params["w2"])

    params = {"w0": spec(64, 256), "b": spec(256), "w1": spec(256, 256), "w2": spec(256, 3)}
    uses = trace_params(apply, params, spec(5, 64))
    assert [uses[k].output_factor for k in ("w0", "w1", "w2")] == [30.0, 1.5 / 16, 1.0]
    assert uses["w0"].notes == ("its product is multiplied by 30 inside of a sine",)
    # E sin^2 = (1 - exp(-2 s^2)) / 2 for the standard deviation s = 1 that is asked for.
    assert uses["w1"].gain == pytest.approx(((1 - np.exp(-2)) / 2) ** -0.5, rel=1e-3)


def test_queries_and_keys_say_what_their_dot_products_sum():
    def apply(params, x):
        heads = {k: (x @ params[k]).reshape(5, 4, 16) for k in "qkv"}
        scores = jax.nn.softmax(jnp.einsum("ihd,jhd->hij", heads["q"], heads["k"]))
        return jnp.einsum("hij,jhd->ihd", scores, heads["v"]).reshape(5, 64) @ params["o"]

    uses = trace_params(apply, {k: spec(64, 64) for k in "qkvo"}, spec(5, 64))
    assert [uses[k].dot_size for k in "qkvo"] == [16, 16, None, None]
    # The number in front of a dot product is no matter of the weight.
    uses = trace_params(
        lambda p, x: jax.nn.softmax((x @ p["q"] / 8) @ (x @ p["k"]).T) @ x,
        {k: spec(64, 64) for k in "qk"},
        spec(5, 64),
    )
    assert [uses[k].output_factor for k in "qk"] == [1.0, 1.0]
