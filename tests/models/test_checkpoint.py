"""Only what a checkpoint lacks is drawn."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest

from jaxinit import initialize, normal, zeros

KEY = jax.random.key(0)


def spec(*shape: int, dtype: str = "float32") -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


PARAMS = {
    "embed": {"table": spec(6, 4)},
    "body": {"w": spec(4, 4, dtype="bfloat16"), "b": spec(4)},
}
RULES = [("**/b", zeros), ("**", normal)]
OLD = {
    "embed": {"table": np.full((5, 4), 7.0, np.float32)},
    "body": {"w": np.full((4, 4), 0.3, np.float32)},
}


def error_of(*args: Any, **kwargs: Any) -> str:
    with pytest.raises(ValueError) as error:
        initialize(*args, **kwargs)
    return str(error.value)


def test_what_is_there_is_taken_and_the_rest_is_drawn_as_ever():
    fresh = initialize(KEY, PARAMS, RULES)
    made = initialize(KEY, PARAMS, RULES, keep={"body": OLD["body"]})
    assert made["body"]["w"].dtype == jnp.bfloat16
    assert (made["body"]["w"] == jnp.bfloat16(0.3)).all()
    np.testing.assert_array_equal(made["embed"]["table"], fresh["embed"]["table"])


def test_a_grown_table():
    fresh = initialize(KEY, PARAMS, RULES)
    made = initialize(KEY, PARAMS, RULES, keep=OLD, mismatch="grow")
    table = made["embed"]["table"]
    assert (table[:5] == 7).all()
    np.testing.assert_array_equal(table[5:], fresh["embed"]["table"][5:])


def test_other_shapes_are_drawn_anew_if_asked_for():
    old = {
        "embed": {"table": np.ones((9, 4), np.float32)},
        "gone": np.ones(2),
        "body": OLD["body"],
    }
    fresh = initialize(KEY, PARAMS, RULES)
    made = initialize(KEY, PARAMS, RULES, keep=old, mismatch="draw")
    np.testing.assert_array_equal(made["embed"]["table"], fresh["embed"]["table"])
    assert (made["body"]["w"] == jnp.bfloat16(0.3)).all()


def test_flat_names():
    flat = {"body/w": OLD["body"]["w"], "body/b": np.ones(4, np.float32)}
    made = initialize(KEY, PARAMS, RULES, keep=flat)
    assert (made["body"]["b"] == 1).all()


def test_orbax(tmp_path):
    with ocp.StandardCheckpointer() as saver:
        saver.save(tmp_path / "saved", OLD)
    with ocp.StandardCheckpointer() as saver:
        restored = saver.restore(tmp_path / "saved")
    made = initialize(KEY, PARAMS, RULES, keep=restored, mismatch="grow")
    assert (made["embed"]["table"][:5] == 7).all()


def test_what_does_not_fit_is_listed():
    assert error_of(KEY, PARAMS, RULES, keep={**OLD, "gone": np.ones(2)}) == (
        "initialize: keep must have the paths and shapes of params; got embed/table (5, 4) "
        'for (6, 4), gone, which params lacks. Take them out, or say mismatch="draw" '
        '(draws these anew) or "grow".'
    )
    shrunk = {"embed": {"table": np.ones((9, 4), np.float32)}}
    assert "embed/table (9, 4) for (6, 4)" in error_of(
        KEY, PARAMS, RULES, keep=shrunk, mismatch="grow"
    )
    assert error_of(KEY, PARAMS, RULES, keep={"params": OLD}) == (
        "initialize: keep must hold leaves of params; got leaves params/body/w, "
        "params/embed/table, but params has body/b, body/w, embed/table. "
        "Give the part of the checkpoint that params is."
    )
    assert error_of(KEY, PARAMS, RULES, keep={"body": {"b": spec(4)}}) == (
        "initialize: a leaf of keep must have values; got only a shape for body/b. "
        "Restore its values."
    )
    assert error_of(KEY, PARAMS, RULES, keep={"body": {"b": np.ones(4, int)}}) == (
        "initialize: a leaf of keep must have the same kind of dtype; got int64 for body/b "
        "of float32. Convert it first."
    )
    assert error_of(KEY, PARAMS, RULES, keep=OLD, mismatch="drawn") == (
        "initialize: mismatch must be one of error, draw, grow; got mismatch='drawn'. "
        "Did you mean 'draw'?"
    )
