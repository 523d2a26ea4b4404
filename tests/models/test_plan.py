"""Rules, plans and what they draw."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit
from jaxinit import (
    kaiming_normal,
    lecun_normal,
    normal,
    orthogonal,
    per_slice,
    xavier_uniform,
    zeros,
)
from jaxinit.models.initialize import initialize
from jaxinit.models.keys import path_key
from jaxinit.models.plan import Plan, keep, plan

KEY = jax.random.key(0)


def spec(*shape: int, dtype: Any = "float32") -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def error_of(f: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises((ValueError, TypeError)) as error:
        f(*args, **kwargs)
    return str(error.value)


# ------------------------------------------------------------------------------ plan

PARAMS = {
    "embed": {"table": spec(50, 16)},
    "layers": [
        {"kernel": spec(16, 32), "bias": spec(32)},
        {"kernel": spec(32, 8, dtype="bfloat16"), "bias": spec(8)},
    ],
}
RULES = [
    ("**/bias", zeros),
    ("embed/*", functools.partial(normal, std=0.02)),
    (lambda _, leaf: leaf.dtype == jnp.bfloat16, xavier_uniform),
    ("**", kaiming_normal),
]


def test_first_matching_rule_wins():
    made = plan(PARAMS, RULES)
    assert [row.distribution.text for row in made] == [
        "normal(std=0.02)",
        "zeros",
        "kaiming_normal",
        "zeros",
        "xavier_uniform",
    ]
    assert made["layers/0/kernel"].std == pytest.approx((2 / 16) ** 0.5)
    assert made["layers/1/kernel"].std == pytest.approx((2 / 40) ** 0.5)


def test_plan_prints():
    assert str(plan(PARAMS, RULES)) == PRINTED


PRINTED = """\
path             shape     dtype     distribution      std     rule
---------------  --------  --------  ----------------  ------  --------
embed/table      (50, 16)  float32   normal(std=0.02)  0.02    embed/*
layers/0/bias    (32,)     float32   zeros             0       **/bias
layers/0/kernel  (16, 32)  float32   kaiming_normal    0.3536  **
layers/1/bias    (8,)      float32   zeros             0       **/bias
layers/1/kernel  (32, 8)   bfloat16  xavier_uniform    0.2236  <lambda>"""


def test_all_leaves_without_a_rule_are_listed():
    assert error_of(plan, PARAMS, [("**/bias", zeros)]) == (
        "plan: every leaf needs a rule; got 3 without one: embed/table (50, 16); "
        "layers/0/kernel (16, 32); layers/1/kernel (32, 8). "
        'Add rules in front, or ("**", keep) at the end.'
    )


def test_rules_are_checked_at_once():
    assert error_of(plan, PARAMS, {"**": zeros}).startswith(
        "plan: rules must be a list of pairs (match, initializer); got rules={"
    )
    assert error_of(plan, PARAMS, [("**", 3)]) == (
        "plan: an initializer must be a function (key, shape, dtype), or keep; "
        "got 3 for match='**'. "
        'Write [("**/bias", jaxinit.zeros), ("**", jaxinit.lecun_normal)].'
    )
    assert error_of(plan, PARAMS, [(3, zeros)]).startswith(
        "plan: match must be a glob or a function of (path, leaf); got match=3."
    )
    assert error_of(plan, PARAMS, [(lambda _, leaf: leaf.shape, zeros)]) == (
        "plan: a match function must return True or False; got (50, 16) for 'embed/table'. "
        "Compare names, shapes or dtypes, not values."
    )


def test_kept_leaves_need_values():
    assert error_of(plan, PARAMS, [("layers/**", keep), ("**", zeros)]) == (
        "plan: a leaf that is to be kept must have values; got only shapes for "
        "layers/0/bias, layers/0/kernel, layers/1/bias, layers/1/kernel. "
        "Give arrays for these, or an initializer."
    )


def test_traced_layout_reaches_the_rules():
    params = {"w": spec(3, 64, 32)}

    def apply(params, x):
        return jax.lax.scan(lambda x, w: (x @ w @ w.T, None), x, params["w"])[0]

    uses = jaxinit.trace_params(apply, params, spec(4, 64))
    blind = plan(params, [("**", lecun_normal)])
    told = plan(params, [("**", lecun_normal)], uses=uses)
    assert blind["w"].std == pytest.approx((3 * 64) ** -0.5)
    assert told["w"].std == pytest.approx(64**-0.5)
    own = functools.partial(lecun_normal, layout="BOI")
    assert plan(params, [("**", own)], uses=uses)["w"].std == pytest.approx(32**-0.5)


DISTRIBUTIONS = [
    functools.partial(normal, std=0.3, mean=1.0),
    functools.partial(jaxinit.uniform, low=-1.0, high=3.0),
    functools.partial(jaxinit.truncated_normal, std=1.0, low=-1.0, high=2.0),
    functools.partial(jaxinit.variance_scaling, scale=2.0, mode="fan_out"),
    functools.partial(kaiming_normal, nonlinearity="gelu"),
    functools.partial(jaxinit.kaiming_uniform, a=5**0.5),
    jaxinit.xavier_truncated_normal,
    functools.partial(orthogonal, gain=3.0),
    per_slice(
        functools.partial(lecun_normal, layout=jaxinit.Fans(300, 300)),
        [1.0] * 200 + [3.0] * 200,
    ),
    jaxinit.parts([orthogonal, orthogonal], sizes=(100, 200), axis=1),
]


@pytest.mark.parametrize("initializer", DISTRIBUTIONS)
def test_stated_law_is_that_of_the_draw(initializer):
    shape = (400, 300)
    distribution = plan({"w": spec(*shape)}, [("**", initializer)])["w"].distribution
    drawn = np.asarray(initializer(KEY, shape), np.float64)
    count = drawn.size
    assert distribution.std is not None
    assert distribution.mean is not None
    assert distribution.kurtosis is not None
    # Five standard errors: a false alarm in 2e6 checks.
    error = 5 * np.sqrt((distribution.kurtosis - 1) / count) / 2
    assert abs(drawn.std() / distribution.std - 1) < error
    assert abs(drawn.mean() - distribution.mean) < 5 * distribution.std / np.sqrt(count)
    fourth = ((drawn - drawn.mean()) ** 4).mean() / drawn.var() ** 2
    assert fourth == pytest.approx(distribution.kurtosis, abs=0.15 * distribution.kurtosis)


# -------------------------------------------------------------------------- initialize


def equal(a: Any, b: Any) -> bool:
    same = jax.tree.map(lambda x, y: x.dtype == y.dtype and bool((x == y).all()), a, b)
    return all(jax.tree.leaves(same))


def test_values_are_those_of_single_calls():
    made = initialize(KEY, PARAMS, RULES)
    one = kaiming_normal(path_key(KEY, "layers/0/kernel"), (16, 32), jnp.float32)
    assert equal(made["layers"][0]["kernel"], one)
    assert made["layers"][1]["kernel"].dtype == jnp.bfloat16
    assert jax.tree.structure(made) == jax.tree.structure(PARAMS)


def test_other_leaves_do_not_move():
    made = initialize(KEY, PARAMS, RULES)
    more = {"aaa": spec(7, 7), "layers": PARAMS["layers"], "zzz": spec(3, 3)}
    again = initialize(KEY, more, [rule for rule in RULES if rule[0] != "embed/*"])
    assert equal(made["layers"], again["layers"])


def test_seeds_and_leaves_have_streams_of_their_own():
    params = {name: spec(40, 40) for name in "abc"}
    rules = [("**", lecun_normal)]
    drawn = [
        np.asarray(leaf).ravel()
        for seed in range(3)
        for leaf in jax.tree.leaves(initialize(jax.random.key(seed), params, rules))
    ]
    table = np.corrcoef(drawn) - np.eye(len(drawn))
    assert abs(table).max() < 5.5 / 40  # standard error 1 / 40 over 36 pairs


def test_jit_and_vmap_give_the_same_bits():
    made = plan(PARAMS, RULES)
    keys = jax.random.split(KEY, 3)
    stacked = jax.vmap(lambda key: initialize(key, PARAMS, made))(keys)
    loop = [initialize(key, PARAMS, made) for key in keys]
    assert equal(stacked, jax.tree.map(lambda *x: jnp.stack(x), *loop))
    assert equal(jax.jit(lambda key: initialize(key, PARAMS, made))(keys[0]), loop[0])


def test_keep_and_missing_leaves_of_a_checkpoint():
    loaded = {"body": jnp.ones((3, 3)), "head": spec(3, 5)}

    def has_values(path: str, leaf: Any) -> bool:
        return isinstance(leaf, jax.Array)

    made = initialize(KEY, loaded, [(has_values, keep), ("**", lecun_normal)])
    assert made["body"] is loaded["body"]
    assert made["head"].shape == (3, 5)


class Stateful:
    """A custom initializer whose values depend on what can change between two calls."""

    def __init__(self, value):
        self.value = value

    def __call__(self, _, shape, dtype=None):
        return jnp.full(shape, self.value, dtype)


@pytest.mark.parametrize("is_placed", [False, True])
def test_custom_initializers_are_never_stale(is_placed):
    mesh = jax.make_mesh((2,), ("d",), devices=jax.devices()[:2])
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    options: Any = {"out_shardings": place} if is_placed else {}
    held, array = Stateful(1.0), np.ones((4,), np.float32)

    def from_array(key, shape, dtype=None, *, values):
        return jnp.array(values, dtype)

    rules = [
        ("a", held),
        ("b", functools.partial(from_array, values=array)),
        ("c", functools.partial(jaxinit.constant, value=0.0)),
        ("d", functools.partial(jaxinit.constant, value=-0.0)),
    ]
    params = {name: spec(4) for name in "abcd"}
    first = jax.block_until_ready(initialize(KEY, params, rules, **options))
    held.value = 2.0
    array[:] = 2.0
    second = initialize(KEY, params, rules, **options)
    for name in "ab":
        assert (first[name] == 1).all(), name
        assert (second[name] == 2).all(), name
    assert not np.signbit(second["c"]).any()
    assert np.signbit(second["d"]).all()


@pytest.mark.parametrize("is_placed", [False, True])
def test_custom_initializers_give_what_their_call_gives(is_placed):
    mesh = jax.make_mesh((2,), ("d",), devices=jax.devices()[:2])
    place = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("d"))
    options: Any = {"out_shardings": place} if is_placed else {}
    params = {f"layer{i}": spec(4, 4) for i in range(3)}
    made = initialize(KEY, params, [("**", jax.nn.initializers.normal(0.3))], **options)
    one = jax.nn.initializers.normal(0.3)(path_key(KEY, "layer1"), (4, 4), "float32")
    if is_placed:  # one program with the placement: rounded as that program is
        np.testing.assert_allclose(made["layer1"], one, rtol=1e-6)
        assert made["layer1"].sharding.is_equivalent_to(place, 2)
    else:
        np.testing.assert_array_equal(made["layer1"], one, strict=True)


def test_static_leaves_are_left_alone():
    tree = {"w": spec(2, 2), "name": "relu", "f": jnp.tanh}
    made = initialize(KEY, tree, [("**", lecun_normal)])
    assert made["name"] == "relu"
    assert made["f"] is jnp.tanh


def test_refusals_name_the_leaf():
    assert error_of(initialize, KEY, {"a": {"b": spec(3)}}, [("**", lecun_normal)]) == (
        "initialize: an initializer refused a leaf; got a/b (3,) by lecun_normal, whose "
        "error is: "
        "lecun_normal: shape needs at least 2 axes; got shape=(3,). For a bias use "
        "zeros, or a "
        "plain distribution with an explicit std; to scale by the weight's fans pass "
        "layout=Fans(fan_in, fan_out). Change the rule '**'."
    )

    def wrong(key, shape, dtype=None):
        return jnp.zeros((2, 2), "float32")

    assert error_of(initialize, KEY, {"a": spec(3)}, [("**", wrong)]) == (
        "initialize: an initializer must give the shape and dtype that it is asked for; "
        "got float32[2, 2] for a (3,). Change wrong."
    )


def test_plan_of_another_tree_is_refused():
    made = plan({"a": spec(3)}, [("**", zeros)])
    assert isinstance(made, Plan)
    assert error_of(initialize, KEY, {"a": spec(4)}, made) == (
        "initialize: the plan must be for the paths, shapes and dtypes of this tree; got "
        "differences at a (3,) float32, a (4,) float32. Make a plan of this tree."
    )


# ------------------------------------------------------------------------- per slice


def test_per_slice_scales_each_layer():
    inner = functools.partial(lecun_normal, layout="BIO")
    shape = (4, 30, 30)
    w = per_slice(inner, lambda i: 1 / (i + 1))(KEY, shape, jnp.float32)
    plain = inner(KEY, shape, jnp.float32)
    for i in range(4):
        np.testing.assert_array_equal(w[i], plain[i] * np.float32(1 / (i + 1)))
    low = per_slice(inner, [1.0, 0.5, 0.25, 3.0])(KEY, shape, jnp.bfloat16)
    wide = per_slice(inner, [1.0, 0.5, 0.25, 3.0])(KEY, shape, jnp.float32)
    np.testing.assert_array_equal(low, wide.astype(jnp.bfloat16))


def test_per_slice_states_the_moments_of_all_slices_together():
    """E s^2 = 5/2 and E s^4 = 17/2, of scales 1 and 2."""
    stated = per_slice(functools.partial(normal, std=3.0), [1.0, 2.0]).describe((2, 50, 50))
    assert stated.std == pytest.approx(3 * math.sqrt(5 / 2), rel=1e-12)
    assert stated.kurtosis == pytest.approx(3 * (17 / 2) / (5 / 2) ** 2, rel=1e-12)


def test_per_slice_errors():
    assert error_of(per_slice, 3, [1.0]) == (
        "per_slice: initializer must be a function; got 3. Give for example "
        "jaxinit.lecun_normal."
    )
    assert error_of(per_slice, lecun_normal, [float("nan")]) == (
        "per_slice: scales must be finite; got nan. Give finite factors."
    )
    assert error_of(per_slice(lecun_normal, [1.0]), KEY, (4, 3, 3)) == (
        "per_slice: there must be one scale a slice; got 1 scales for 4 slices of axis 0. "
        "Give one a layer."
    )
    assert error_of(per_slice(lecun_normal, [1.0], axis=3), KEY, (4, 3)) == (
        "per_slice: axis must be one of the leaf's; got axis=3 for shape=(4, 3). "
        "Give that of the stack."
    )
