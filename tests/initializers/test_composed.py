"""Initializers made of initializers: parts, rows, where."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

import jaxinit
from jaxinit import (
    Fans,
    lecun_normal,
    normal,
    orthogonal,
    parts,
    rows,
    where,
    xavier_normal,
)
from jaxinit._distribution import distribution_of
from tests.initializers.test_descriptors import check_sample

KEY = jax.random.key(5)
OLD = np.linspace(-1, 1, 96 * 64, dtype=np.float32).reshape(96, 64)
MASK = np.arange(64) % 4 == 0
CASES: dict[str, Any] = {
    "three parts": parts([lecun_normal, functools.partial(normal, std=2.0), 0.5], axis=0),
    "unequal parts": parts([xavier_normal] * 3, sizes=[40, 16, 8]),
    "gates": parts([orthogonal, jaxinit.identity, 0.0, orthogonal]),
    "padding row": rows(normal, 0),
    "drawn rows": rows(normal, [1, -1, 5], functools.partial(normal, std=3.0)),
    "columns": rows(lecun_normal, [0], 4.0, axis=1),
    "mask": where(MASK, normal, 0.25),
    "mask of a draw": where(MASK, normal, functools.partial(normal, std=2.0)),
    "old values": where(MASK, normal, OLD),
    "nested": rows(parts([normal, 0.0]), 3, 1.0),
}
each = pytest.mark.parametrize("name", CASES)


@each
def test_one_form(name: str) -> None:
    """Right shape and dtype, the same eagerly, under jit, vmap and on a mesh."""
    init, shape = CASES[name], (96, 64)
    value = init(KEY, shape)
    assert (value.shape, value.dtype) == (shape, jnp.float32)
    assert init(KEY, shape, "bfloat16").dtype == jnp.bfloat16
    np.testing.assert_array_equal(jax.jit(lambda k: init(k, shape))(KEY), value)
    keys = jax.random.split(KEY, 3)
    mapped = jax.vmap(lambda k: init(k, shape))(keys)
    np.testing.assert_allclose(mapped, [init(k, shape) for k in keys], rtol=0, atol=2e-6)
    place = NamedSharding(jax.make_mesh((8,), ("x",)), P("x"))
    assert init(KEY, shape, out_sharding=place).sharding.is_equivalent_to(place, 2)


@each
def test_described(name: str) -> None:
    init, shape = CASES[name], (96, 64)
    keys = jax.random.split(KEY, 8)
    drawn = np.stack([np.asarray(init(key, shape), np.float64) for key in keys])
    found = distribution_of(init, shape)
    if name == "old values":
        assert (found.std, found.kurtosis) != (None, 3.0)
    assert found.std is not None
    assert math.isclose(drawn.std(), found.std, rel_tol=0.02)
    assert abs(drawn.mean() - (found.mean or 0)) < 0.03
    if found.kurtosis is not None and name not in ("old values", "gates"):
        check_sample(drawn, found)


def test_the_rest_is_what_the_initializer_draws() -> None:
    alone = np.asarray(normal(KEY, (96, 64)))
    table = np.asarray(rows(normal, [2, -1])(KEY, (96, 64)))
    changed = (table != alone).any(axis=1)
    assert np.flatnonzero(changed).tolist() == [2, 95]
    masked = np.asarray(where(MASK, normal, OLD)(KEY, (96, 64)))
    np.testing.assert_array_equal(masked[:, MASK], alone[:, MASK])
    np.testing.assert_array_equal(masked[:, ~MASK], OLD[:, ~MASK])


def test_parts_are_independent_and_have_their_own_fans() -> None:
    made = parts([xavier_normal] * 3, sizes=(256, 64, 64))
    w = np.asarray(made(KEY, (256, 384)))
    stds = [part.std() for part in np.split(w, [256, 320], axis=1)]
    np.testing.assert_allclose(stds, [0.0625, 0.0791, 0.0791], rtol=0.03)
    q, k = w[:, :64], w[:, 256:320]
    assert abs(np.corrcoef(q.ravel(), k.ravel())[0, 1]) < 5 / math.sqrt(q.size)


def test_forget_bias_in_a_plan() -> None:
    params = {"lstm": {"bias": jnp.zeros(256), "kernel": jnp.zeros((64, 256))}}
    rules = [("**/bias", parts([0.0, 1.0, 0.0, 0.0])), ("**", parts([orthogonal] * 4))]
    made = jaxinit.plan(params, rules)
    assert made["lstm/bias"].distribution.text == "0 | 1"
    assert made["lstm/bias"].distribution.is_fixed
    assert made["lstm/bias"].std == pytest.approx(math.sqrt(3) / 4)
    drawn = jaxinit.initialize(KEY, params, made)
    assert not jaxinit.audit(drawn, made).off
    np.testing.assert_array_equal(drawn["lstm"]["bias"][64:128], 1)
    wrong = {"lstm": {**drawn["lstm"], "kernel": 1.2 * drawn["lstm"]["kernel"]}}
    assert [f.path for f in jaxinit.audit(wrong, made).off] == ["lstm/kernel"]


def test_traced_layout_reaches_the_parts() -> None:
    def apply(params: Any, x: jax.Array) -> jax.Array:
        return x @ params["w"].T

    params = {"w": jnp.zeros((64, 16))}
    uses = jaxinit.trace_params(apply, params, jnp.ones((2, 16)))
    inner = (
        parts([lecun_normal] * 4, axis=0),
        rows(lecun_normal, 0),
        where([True], lecun_normal),
    )
    for init in inner:
        made = jaxinit.plan(params, [("**", init)], uses=uses)
        drawn = jaxinit.initialize(KEY, params, made)["w"]
        assert float(drawn[1:].std()) == pytest.approx(0.25, rel=0.1)
        assert made["w"].std == pytest.approx(0.25, rel=0.02)


TEXTS = {
    "parts([])": "parts: values must have an entry a part; got none. Give one or more.",
    "parts([0.0], sizes=[1, 2])": (
        "parts: there must be one size a part; got 2 sizes for 1 values. Leave out none."
    ),
    "parts([0.0, 1.0])(KEY, (5,))": (
        "parts: the sizes of the parts must add up to the length of their axis; got 2 equal "
        "parts for 5 along axis 0. Give one size a part."
    ),
    "parts(['a'])": (
        "parts: values must be initializers, numbers or arrays; got 'a'. Give for example 0.0."
    ),
    "rows(normal, 9)(KEY, (5, 2))": (
        "rows: index must be of the 5 rows along axis 0; got index=(9,). Count from 0."
    ),
    "rows(normal, 'a')": (
        "rows: index must be an int or a sequence of ints; got index='a'. Give for example "
        "[0, 3]."
    ),
    "rows(normal, 0, axis=2)(KEY, (5, 2))": (
        "rows: axis must be one of the array's; got axis=2 for shape=(5, 2). Count from 0."
    ),
    "where([1, 0], normal)": (
        "where: mask must be an array of booleans that is known; got mask=[1, 0]. Compare "
        "first: mask = scores > 0."
    ),
    "where([True, False, True], normal)(KEY, (5, 2))": (
        "where: mask must broadcast to shape; got mask of shape (3,) for shape=(5, 2). Add "
        "axes of length 1."
    ),
    "where([True], 3)": (
        "where: initializer must be a function (key, shape, dtype); got 3. Give for example "
        "jaxinit.lecun_normal."
    ),
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text: str) -> None:
    names = {"parts": parts, "rows": rows, "where": where, "normal": normal, "KEY": KEY}
    with pytest.raises((ValueError, TypeError)) as error:
        eval(text, names)
    assert str(error.value) == TEXTS[text]


def test_fans_bound_by_hand_stay() -> None:
    bound = functools.partial(lecun_normal, layout=Fans(4, 4))
    assert distribution_of(parts([bound, bound]), (8, 8)).std == pytest.approx(0.5)
