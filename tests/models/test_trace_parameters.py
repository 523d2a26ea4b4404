"""Parameters that meet each other, constants or noise before they meet the data."""

from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from jaxinit import Fans, Layout
from jaxinit.trace.entry import trace_params
from jaxinit.trace.roles.parameters import CHOSEN, MASKED, SCALE_FREE
from jaxinit.trace.use import LOW_RANK
from tests.models.tracing import NHWC, conv, spec, use_of

MIXED = "data or noise is mixed into it before use"
KEY = jax.random.key(0)


def standard(w: Any) -> Any:
    axes = tuple(range(w.ndim - 1))
    return (w - w.mean(axes)) / jnp.sqrt(w.var(axes) + 1e-5)


TRIANGLE = np.tri(6, 8, dtype=np.float32)
FOLLOWED = {
    "weight norm": (lambda w, x: x @ (w / jnp.linalg.norm(w, axis=0)), SCALE_FREE),
    "standardised": (lambda w, x: x @ standard(w), SCALE_FREE),
    "masked by an array": (lambda w, x: x @ (w * TRIANGLE), MASKED),
    "masked by where": (lambda w, x: x @ jnp.where(TRIANGLE > 0, w, 0), MASKED),
    "masked by an input": (lambda w, x, m: x @ (w * m), MIXED),
    "entries replaced": (
        lambda w, x: x @ w.at[jnp.arange(6), jnp.arange(6)].set(0.0),
        "some of its entries are replaced before use",
    ),
    "rows permuted": (lambda w, x: x @ w[np.arange(6)[::-1].copy()], CHOSEN),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_weight_stays_a_weight_with_a_note(name):
    f, note = FOLLOWED[name]
    more = [spec(6, 8)] if note == MIXED else []
    use = use_of(f, (6, 8), spec(5, 6), *more)
    assert (use.role, use.layout, use.fans) == ("weight", Layout("IO"), Fans(6, 8))
    assert note in use.notes


def test_bias_after_a_changed_weight_is_a_bias():
    def apply(params, x, mask, noise):
        y = x @ (params["mean"] + params["deviation"] * noise)
        y = y + params["bias"] + params["spread"] * noise[0]
        return jnp.tanh(y) @ (params["masked"] * mask) + params["last"]

    params = {"mean": spec(6, 8), "deviation": spec(6, 8), "bias": spec(8)}
    params |= {"spread": spec(8), "masked": spec(8, 3), "last": spec(3)}
    uses = trace_params(apply, params, spec(5, 6), spec(8, 3), spec(6, 8))
    assert {path: use.role for path, use in uses.items()} == {
        "mean": "weight",
        "deviation": "weight",
        "bias": "bias",
        "spread": "unknown",
        "masked": "weight",
        "last": "bias",
    }
    assert uses["masked"].nonlinearity == "tanh"


def test_scale_of_a_noisy_bias_is_unknown_and_not_one():
    def apply(params, x, noise):
        return x @ params["w"] + (params["mean"] + params["deviation"] * noise)

    params = {"w": spec(6, 8), "mean": spec(8), "deviation": spec(8)}
    uses = trace_params(apply, params, spec(5, 6), spec(8))
    assert uses["mean"].role == "bias"
    assert uses["deviation"].role == "unknown"

    def drawn(params, x, key):
        noise = jax.random.normal(key, (8,))
        return x @ params["w"] + (params["mean"] + params["deviation"] * noise)

    key = jax.eval_shape(lambda: jax.random.key(0))
    uses = trace_params(drawn, params, spec(5, 6), key)
    assert uses["mean"].role == "bias"
    assert uses["deviation"].role == "unknown"


def test_circulant_matrix_has_one_axis_of_two_roles():
    index = (np.arange(6)[:, None] - np.arange(6)) % 6
    use = use_of(lambda w, x: x @ w[index], (6,), spec(5, 6))
    assert (use.role, use.layout, use.fans) == ("weight", None, Fans(6, 6))
    assert CHOSEN in use.notes


LOW_RANKS = {
    "merged": lambda p, x: x @ (p["w"] + 2 * (p["a"] @ p["b"])),
    "merged, out by in": lambda p, x: x @ (p["w"].T + p["b"].T @ p["a"].T).T,
    "beside": lambda p, x: x @ p["w"] + 2 * ((x @ p["a"]) @ p["b"]),
    "beside, merged": lambda p, x: x @ p["w"] + x @ (p["a"] @ p["b"]),
}


@pytest.mark.parametrize("name", LOW_RANKS)
def test_low_rank_update(name):
    params = {"w": spec(6, 8), "a": spec(6, 2), "b": spec(2, 8)}
    uses = trace_params(LOW_RANKS[name], params, spec(5, 6))
    assert {k: (uses[k].role, uses[k].layout, uses[k].fans) for k in "wab"} == {
        "w": ("weight", Layout("IO"), Fans(6, 8)),
        "a": ("weight", Layout("IO"), Fans(6, 2)),
        "b": ("weight", Layout("IO"), Fans(2, 8)),
    }
    assert uses["b"].reason == LOW_RANK
    assert {uses["w"].reason, uses["a"].reason} == {""}


def test_parallel_branches_of_the_same_rank_are_no_low_rank_update():
    def apply(params, x):
        return x @ params["w"] + (x @ params["a"]) @ params["b"]

    params = {"w": spec(6, 8), "a": spec(6, 6), "b": spec(6, 8)}
    assert trace_params(apply, params, spec(5, 6))["b"].reason == ""


def layer_norm(x: Any, p: Any) -> Any:
    y = (x - x.mean(-1, keepdims=True)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-6)
    return y * p["g"] + p["s"]


QUERIES = {
    "plain": lambda p: p["l"] @ p["q"],
    "with a bias": lambda p: p["l"] @ p["q"] + p["b"],
    "normalised": lambda p: layer_norm(p["l"], p) @ p["q"],
}


@pytest.mark.parametrize("name", QUERIES)
def test_learned_queries_are_data(name):
    def apply(params, x):
        scores = QUERIES[name](params) @ (x @ params["k"]).T
        return jax.nn.softmax(scores) @ (x @ params["v"])

    params = {k: spec(6, 8) for k in "qkv"} | {"l": spec(4, 6), "b": spec(8)}
    params |= {"g": spec(6), "s": spec(6)}
    uses = trace_params(
        lambda p, x: jax.vmap(lambda y: apply(p, y))(x), params, spec(3, 5, 6)
    )
    assert (uses["l"].role, uses["l"].fans) == ("embedding", Fans(1, 6))
    assert (uses["q"].role, uses["q"].layout) == ("weight", Layout("IO"))
    assert uses["q"].after == ("normalisation" if name == "normalised" else "embedding l")
    used = {"plain": {}, "with a bias": {"b": "bias"}, "normalised": {"g": "scale"}}[name]
    assert {k: uses[k].role for k in used} == used


def test_kernel_that_is_normalised_masked_and_scaled():
    def apply(params, x, mask):
        norm = jnp.sqrt(jnp.sum(params["v"] ** 2, (0, 1, 2)))
        y = conv(params["v"] * (params["g"] / norm), x, NHWC) + params["b"]
        return conv(params["m"] * mask, jnp.tanh(y), NHWC)

    params = {"v": spec(3, 3, 2, 4), "g": spec(4), "b": spec(4), "m": spec(3, 3, 4, 5)}
    uses = trace_params(apply, params, spec(1, 5, 5, 2), spec(3, 3, 4, 5))
    assert (uses["v"].layout, uses["v"].fans) == (Layout("HWIO"), Fans(18, 36))
    assert SCALE_FREE in uses["v"].notes
    assert (uses["g"].role, uses["g"].neutral) == ("scale", 1.0)
    assert (uses["b"].role, uses["m"].role) == ("bias", "weight")
    assert (uses["m"].fans, uses["m"].nonlinearity) == (Fans(36, 45), "tanh")


def test_complex_weight_of_two_real_ones():
    def apply(params, x):
        return jnp.real(x.astype("complex64") @ lax.complex(params["re"], params["im"]))

    uses = trace_params(apply, {"re": spec(6, 8), "im": spec(6, 8)}, spec(5, 6))
    for use in uses.values():
        assert (use.role, use.layout, use.fans) == ("weight", Layout("IO"), Fans(6, 8))


class Linen(nn.Module):
    kind: str

    @nn.compact
    def __call__(self, x: Any) -> Any:
        dense = nn.Dense(32)
        if self.kind == "spectral":
            return nn.SpectralNorm(dense)(x, update_stats=False)
        return nn.WeightNorm(dense)(x)


@pytest.mark.parametrize("kind", ["spectral", "weight"])
@pytest.mark.parametrize("state", ["a parameter", "an input"])
def test_flax_norms_of_weights(kind, state):
    x = spec(4, 256)
    model = Linen(kind)
    given = jax.eval_shape(model.init, KEY, x)
    if state == "a parameter":
        uses = trace_params(model.apply, given, x)
        prefix = "params/Dense_0/"
    else:
        params = {"Dense_0": given["params"].pop("Dense_0")}

        def apply(params: Any, rest: Any, x: Any) -> Any:
            return model.apply({**rest, "params": {**rest["params"], **params}}, x)

        uses = trace_params(apply, params, given, x)
        prefix = "Dense_0/"
    kernel = uses[prefix + "kernel"]
    assert (kernel.role, kernel.layout, kernel.fans) == (
        "weight",
        Layout("IO"),
        Fans(256, 32),
    )
    assert SCALE_FREE in kernel.notes
    assert uses[prefix + "bias"].role == "bias"


@pytest.mark.skipif(not hasattr(nnx, "SpectralNorm"), reason="a later Flax has them")
@pytest.mark.parametrize("kind", ["SpectralNorm", "WeightNorm"])
def test_nnx_norms_of_weights(kind):
    rngs = nnx.Rngs(0)
    model = getattr(nnx, kind)(nnx.Linear(256, 32, rngs=rngs), rngs=rngs)
    graph, state = nnx.split(model)
    params = nnx.to_pure_dict(state)
    uses = trace_params(lambda p, x: nnx.merge(graph, p)(x), params, spec(4, 256))
    use = uses["layer_instance/kernel"]
    assert (use.role, use.layout, use.fans) == ("weight", Layout("IO"), Fans(256, 32))
    assert uses["layer_instance/bias"].role == "bias"


def test_equinox_weight_norm():
    model = eqx.nn.WeightNorm(eqx.nn.Linear(256, 32, key=KEY), "weight")
    uses = trace_params(lambda m, x: m(x), model, spec(256))
    roles = {path.split("/")[-1]: use.role for path, use in uses.items()}
    assert roles == {"weight": "weight", "bias": "bias", "g": "scale"}
    assert uses["layer/weight"].fans == Fans(256, 32)


def test_learned_image_under_a_kernel_that_data_makes_is_an_embedding():
    def apply(params, style):
        image = jnp.repeat(params["image"], 2, axis=0)
        kernel = (style @ params["w"]).reshape(2, 3, 3, 4, 5)

        def one(x, k):
            return conv(k, x[None], NHWC)[0]

        return jax.vmap(one)(image, kernel) + params["b"]

    params = {"image": spec(1, 8, 8, 4), "w": spec(6, 180), "b": spec(5)}
    uses = trace_params(apply, params, spec(2, 6))
    assert {k: uses[k].role for k in params} == {
        "image": "embedding",
        "w": "weight",
        "b": "bias",
    }
