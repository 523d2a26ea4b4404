"""``auto`` on leaves that give no initializer, and with uses that were traced before."""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jaxinit
from jaxinit.models.auto import auto
from jaxinit.models.initialize import initialize
from jaxinit.models.rules import keep
from jaxinit.trace.entry import trace_params
from tests.models.tracing import spec

KEY = jax.random.key(0)
ARRAYS = {"w": jnp.ones((6, 6)), "a": jnp.full((6,), 2.0), "token": jnp.full((6,), 3.0)}
SHAPES = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), ARRAYS)


def apply(params: Any, x: Any) -> Any:
    return jnp.tanh(x @ params["w"]) ** params["a"]


def test_unused_leaves_do_not_block():
    def without(params: Any, x: Any) -> Any:
        return x @ params["w"]

    made = auto(without, ARRAYS, spec(2, 6))
    assert (made["token"].initializer, made["token"].rule) == (keep, "unused")
    drawn = initialize(KEY, ARRAYS, made)
    np.testing.assert_array_equal(drawn["token"], ARRAYS["token"])
    made = auto(without, SHAPES, spec(2, 6))
    assert (made["token"].std, made["token"].rule) == (0.0, "unused")
    np.testing.assert_array_equal(initialize(KEY, SHAPES, made)["token"], jnp.zeros(6))


def test_scales_are_ones_and_offsets_zeros():
    def norm(params: Any, x: Any) -> Any:
        x = x @ params["w"]
        x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)
        return x * params["scale"] + params["offset"]

    made = auto(norm, {"w": spec(6, 6), "scale": spec(6), "offset": spec(6)}, spec(2, 6))
    means = [made[k].distribution.mean for k in ("w", "scale", "offset")]
    assert means == [0, 1, 0]


def test_unresolved_leaves_are_listed_or_kept():
    with pytest.raises(ValueError) as error:
        auto(apply, ARRAYS, spec(2, 6))
    assert str(error.value) == (
        "auto: every leaf needs a rule; got 1 without one: a (6,) (unknown: enters pow "
        'together with the data). Add rules in front, or ("**", keep) at the end.'
    )
    made = auto(apply, ARRAYS, spec(2, 6), unresolved="keep")
    assert made["a"].initializer is keep
    assert made["a"].rule == "unknown: enters pow together with the data"
    drawn = initialize(KEY, ARRAYS, made)
    np.testing.assert_array_equal(drawn["a"], ARRAYS["a"])
    assert float(drawn["w"].std()) < 0.8
    with pytest.raises(
        ValueError, match="auto: a leaf that is to be kept must have values"
    ):
        auto(apply, SHAPES, spec(2, 6), unresolved="keep")
    rules = [("a", jaxinit.ones)]
    assert auto(apply, SHAPES, spec(2, 6), rules=rules, unresolved="keep")["a"].std == 0


def test_uses_are_not_traced_again():
    calls = []

    def counted(params: Any, x: Any) -> Any:
        calls.append(1)
        return apply(params, x)

    uses = trace_params(counted, ARRAYS, spec(2, 6))
    first = auto(counted, ARRAYS, spec(2, 6), unresolved="keep")
    assert len(calls) == 2
    for function in (counted, None):
        made = auto(function, ARRAYS, uses=uses, unresolved="keep")
        assert str(made) == str(first)
    assert len(calls) == 2


BAD = {
    "no function": (
        lambda _: auto(None, ARRAYS, spec(2, 6)),
        "auto: apply_fn must be a function; got None without uses. "
        "Give the function apply_fn(params, *inputs), or uses=...",
    ),
    "other uses": (
        lambda uses: auto(apply, {"w": ARRAYS["w"], "v": ARRAYS["a"]}, uses=uses),
        "auto: uses must be those of the same parameters; got differences at a, token, v. "
        "Trace these.",
    ),
    "other shapes": (
        lambda uses: auto(apply, ARRAYS | {"w": jnp.ones((6, 7))}, uses=uses),
        "auto: uses must be those of the same parameters; got differences at w. Trace these.",
    ),
    "no uses": (
        lambda _: auto(apply, ARRAYS, uses={"w": 1}),  # pyright: ignore[reportArgumentType]
        "auto: uses must be traced uses; got uses={'w': 1}. "
        "Give what jaxinit.trace_params returned, or None.",
    ),
    "unresolved": (
        lambda _: auto(apply, ARRAYS, spec(2, 6), unresolved="skip"),  # pyright: ignore[reportArgumentType]
        None,
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_errors(name):
    call, text = BAD[name]
    uses = trace_params(apply, ARRAYS, spec(2, 6))
    with pytest.raises((ValueError, TypeError)) as error:
        call(uses)
    if text is not None:
        assert str(error.value) == text
    else:
        assert str(error.value).startswith("auto: unresolved must be one of")


def test_low_rank_updates_start_at_nothing():
    model = nnx.LoRALinear(64, 32, lora_rank=4, rngs=nnx.Rngs(0))
    graph, state = nnx.split(model)
    params = nnx.to_pure_dict(state)

    def forward(params: Any, x: Any) -> Any:
        return nnx.merge(graph, params)(x)

    made = auto(forward, params, spec(2, 64))
    assert made["lora/lora_b"].std == 0
    assert made["lora/lora_a"].std == pytest.approx(64**-0.5)
    assert made["kernel"].std == pytest.approx(64**-0.5)


def test_fused_parts_of_unequal_sizes_have_fans_of_their_own():
    def fused(params: Any, x: Any) -> Any:
        q, k, v = jnp.split(x @ params["w"], [256, 320], axis=-1)
        return q[:, :64] * jnp.tanh(k) + v

    params = {"w": spec(256, 384)}
    made = auto(fused, params, spec(3, 256), scheme="xavier_normal")
    w = np.asarray(initialize(KEY, params, made)["w"])
    for part, size in zip(np.split(w, [256, 320], axis=1), (256, 64, 64), strict=True):
        # 4 standard errors of a standard deviation of n normal numbers, 1 / sqrt(2 n).
        std = (2 / (256 + size)) ** 0.5
        assert part.std() == pytest.approx(std, rel=4 / (2 * part.size) ** 0.5)
    made = auto(fused, params, spec(3, 256))
    assert made["w"].std == pytest.approx(256**-0.5)


def embedded(params: Any, ids: Any) -> Any:
    return jnp.maximum(params["table"][ids] @ params["w"] + params["b"], 0) @ params["v"]


EMBEDDED = {"table": spec(50, 16), "w": spec(16, 64), "b": spec(64), "v": spec(64, 3)}
KEPT = {
    k: np.resize(np.array([0.125, -0.125], "float32"), s.shape) for k, s in EMBEDDED.items()
}


@pytest.mark.parametrize("traced_before", [False, True])
@pytest.mark.parametrize(
    ("rule", "of_w", "of_v"),
    [
        (("x", None), 4, 2**0.5),  # rows of std 1 / sqrt(16)
        (("table", partial(jaxinit.normal, std=0.5)), 2, 2**0.5),
        (("table", partial(jaxinit.constant, value=0.5)), 2, 2**0.5),
        (("table", keep), 8, 2**0.5),
        (("b", partial(jaxinit.normal, std=3**0.5)), 4, 0.5**0.5),
    ],
)
def test_gains_go_by_what_rules_draw(
    rule: Any, of_w: float, of_v: float, traced_before: bool
):
    params = KEPT if rule[1] is keep else EMBEDDED
    rules = [rule] if rule[1] else []
    ids = spec(7, dtype="int32")
    uses = trace_params(embedded, params, ids) if traced_before else None
    made = auto(embedded, params, ids, rules=rules, uses=uses)
    gains = [made[k].use.gain for k in "wv"]
    assert gains == pytest.approx([of_w, of_v], rel=1e-3)
