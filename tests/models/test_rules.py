"""A rule without an effect is never silent."""

from typing import Any

import jax
import pytest

import jaxinit
from jaxinit import initialize, keep, lecun_normal, optional, plan, zeros

KEY = jax.random.key(0)
PARAMS = {
    "head": {
        "kernel": jax.ShapeDtypeStruct((4, 3), "float32"),
        "bias": jax.ShapeDtypeStruct((3,), "float32"),
    }
}


def error_of(f: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises((ValueError, TypeError)) as error:
        f(*args, **kwargs)
    return str(error.value)


NEAREST = [
    ("haed/*", "head/*"),
    ("kernel", "**/kernel"),
    ("head", "head/**"),
    ("kernl", "**/kernel"),
    ("*/kernl", "*/kernel"),
    ("head/kernel/w", "head/kernel"),
]


@pytest.mark.parametrize(("glob", "near"), NEAREST)
def test_a_rule_that_matches_nothing_names_what_is_near(glob, near):
    rules = [(glob, zeros), ("**", keep)]
    text = (
        f"every rule must match a leaf; got match={glob!r}, which matches none of "
        f"head/bias, head/kernel. Did you mean {near!r}? "
        f"If it may match nothing, write jaxinit.optional({glob!r})."
    )
    assert error_of(plan, PARAMS, rules) == f"plan: {text}"
    assert error_of(initialize, KEY, PARAMS, rules) == f"initialize: {text}"


def test_nothing_near_is_not_guessed():
    assert error_of(plan, PARAMS, [("zzz", zeros), ("**", keep)]) == (
        "plan: every rule must match a leaf; got match='zzz', which matches none of "
        "head/bias, head/kernel. If it may match nothing, write jaxinit.optional('zzz')."
    )


def test_a_function_that_matches_nothing():
    def is_table(path, leaf):
        return path.endswith("table")

    assert error_of(plan, PARAMS, [(is_table, zeros), ("**", zeros)]) == (
        "plan: every rule must match a leaf; got is_table, which matches none of "
        "head/bias, head/kernel. Leave it out, or mark its match by "
        "jaxinit.optional(...)."
    )


def test_a_rule_behind_the_one_that_takes_all_its_leaves():
    rules = [("**/bias", zeros), ("head/bias", keep), ("**", lecun_normal)]
    assert error_of(plan, PARAMS, rules) == (
        "plan: every rule must have an effect; got match='head/bias', all of whose leaves "
        "go to earlier rules (head/bias to '**/bias'). Put the more special rule in "
        "front, or leave it out."
    )


def test_the_rest_may_be_nothing_and_optional_rules_too():
    rules = [("head/*", zeros), (optional("tail/*"), keep), ("**", lecun_normal)]
    assert [row.rule for row in plan(PARAMS, rules)] == ["head/*", "head/*"]
    assert len(plan({}, [("a", zeros)])) == 0


def test_optional_checks_its_match_at_once():
    assert error_of(optional, "[a") == (
        "optional: every [ in a glob must have its partner; got match='[a'. "
        "Close it, or give a function of (path, leaf)."
    )
    assert error_of(optional, 3) == (
        "optional: match must be a glob or a function of (path, leaf); got match=3. "
        'Write for example "**/kernel".'
    )


def test_rules_of_auto_too():
    def apply(params, x):
        return x @ params["head"]["kernel"] + params["head"]["bias"]

    x = jax.ShapeDtypeStruct((2, 4), "float32")
    error = error_of(jaxinit.auto, apply, PARAMS, x, rules=[("haed/*", zeros)])
    assert error.startswith("auto: every rule must match a leaf; got match='haed/*'")
