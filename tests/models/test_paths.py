"""The paths of leaves, and the keys that come of them."""

import dataclasses
import itertools
import re
from typing import Any

import jax
import numpy as np
import pytest
from flax.core import FrozenDict

from jaxinit import zeros
from jaxinit._paths import flatten, matches, path_hash
from jaxinit.models.keys import fold_in, leaf_keys
from jaxinit.models.plan import plan

KEY = jax.random.key(0)


def spec(*shape: int, dtype: Any = "float32") -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def error_of(f: Any, *args: Any, **kwargs: Any) -> str:
    with pytest.raises((ValueError, TypeError)) as error:
        f(*args, **kwargs)
    return str(error.value)


# ----------------------------------------------------------------------------- paths


def test_paths_of_containers():
    @jax.tree_util.register_dataclass
    @dataclasses.dataclass
    class Layer:
        w: Any

    tree = {
        "a": [spec(1), (spec(2),)],
        "b/c": {"w": spec(3)},
        "d": Layer(spec(4)),
        "": spec(5),
    }
    paths, _, _ = flatten(tree)
    assert paths == ["''", "a/0", "a/1/0", "'b/c'/w", "d/w"]
    assert flatten(FrozenDict({"a": {"b": spec(1)}}))[0] == ["a/b"]


def test_paths_are_unambiguous():
    names = ["a", "a/b", "b", "'a'", "a'b", ""]
    seen = set()
    for first in names:
        for second in names:
            (path,), _, _ = flatten({first: {second: spec(1)}})
            assert path not in seen
            seen.add(path)


def test_same_paths_are_refused():
    class Twins:
        pass

    names = (jax.tree_util.DictKey("x"), jax.tree_util.DictKey("x"))
    jax.tree_util.register_pytree_with_keys(
        Twins, lambda _: ([(name, 1.0) for name in names], None), lambda *_: Twins()
    )
    assert error_of(flatten, {"t": Twins()}) == (
        "leaves need different paths, from which their keys are made; "
        "got t/x and t/x. Rename one of them."
    )


GLOBS = [
    ("**", "a/b/c", True),
    ("*", "a", True),
    ("*", "a/b", False),
    ("**/w", "w", True),
    ("**/w", "a/b/w", True),
    ("**/w", "a/bw", False),
    ("a/**", "a/b/c", True),
    ("a/**/w", "a/w", True),
    ("a/**/w", "a/b/c/w", True),
    ("**/{query,key}/kernel", "l/0/key/kernel", True),
    ("**/{query,key}/kernel", "l/0/value/kernel", False),
    ("l/[0-3]/w", "l/2/w", True),
    ("l/[!0-3]/w", "l/2/w", False),
    ("l/?/w", "l/2/w", True),
    ("l.w", "lxw", False),
    ("'b/c'/w", "'b/c'/w", True),
    ("b/c/w", "'b/c'/w", True),
    ("**/w", "'b/c'/w", True),
    ("a**/w", "ab/c/w", True),
    ("a**/w", "bb/c/w", False),
    ("*a**b", "xa/yb", True),
    ("{a,b/{c,d}}/w", "b/d/w", True),
    ("{a,b/{c,d}}/w", "b/w", False),
    ("[]a]", "]", True),
    ("[!a-c]", "b", False),
    ("[^a-c]", "d", True),
    ("a,b", "a,b", True),
    ("", "", True),
    ("{,x}", "x", True),
]


@pytest.mark.parametrize(("glob", "path", "answer"), GLOBS)
def test_globs(glob, path, answer):
    assert matches(glob, path) is answer


def test_a_glob_of_many_stars_is_as_quick_as_any():
    """A backtracking matcher needs more than 2^60 steps here."""
    assert not matches("*a" * 60 + "b", "a" * 120)
    assert not matches("**a" * 60 + "b", "a/" * 120)
    assert matches("{a,aa}" * 40, "a" * 60)


def test_globs_are_those_of_a_regular_expression():
    """On all short paths and many short globs, against Python's re."""
    single = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    pieces = [*single, "a", "b", "/"]
    paths = ["".join(p) for n in range(4) for p in itertools.product("ab/", repeat=n)]
    for glob in itertools.product(pieces, repeat=3):
        joined = "".join(glob)
        if "***" in joined:  # read from the left
            continue
        expression = re.compile("".join(single.get(p, p) for p in tokens(joined)))
        for path in paths:
            expected = expression.fullmatch(path) is not None
            assert matches(joined, path) is expected, (joined, path)


def tokens(glob: str) -> list[str]:
    return re.findall(r"\*\*/|\*\*|.", glob)


@pytest.mark.parametrize(
    ("glob", "text"),
    [
        ("[!]", "every [ in a glob must have its partner; got match='[!]'. Close it, or"),
        ("a}", "every } in a glob must have its partner; got match='a}'. Close it, or"),
        (
            "l/[z-a]",
            "a range of letters in a glob must go upwards; got [z-a] in "
            "match='l/[z-a]'. Write [a-z].",
        ),
    ],
)
def test_wrong_globs_are_refused(glob, text):
    assert error_of(plan, {"a": spec(1)}, [(glob, zeros)]).startswith(f"plan: {text}")


def test_open_brackets_are_refused():
    assert error_of(plan, {"a": spec(1)}, [("a/{b,c", zeros)]) == (
        "plan: every { in a glob must have its partner; got match='a/{b,c'. "
        "Close it, or give a function of (path, leaf)."
    )


# ------------------------------------------------------------------------------ keys


def test_host_keys_are_those_of_jax():
    paths = [f"layer/{i}/w" for i in range(50)]
    for key in (KEY, jax.random.key(2**31 + 7)):
        for path, mine in zip(paths, leaf_keys(key, paths), strict=True):
            high, low = divmod(path_hash(path), 1 << 32)
            theirs = jax.random.fold_in(
                jax.random.fold_in(key, np.uint32(high)), np.uint32(low)
            )
            np.testing.assert_array_equal(
                jax.random.key_data(mine), jax.random.key_data(theirs), strict=True
            )


def test_fold_in_rejects_a_flipped_bit():
    keys = np.array([[1, 2]], np.uint32)
    assert (
        fold_in(keys, np.array([3], np.uint32)) != fold_in(keys, np.array([2], np.uint32))
    ).all()


def test_traced_and_other_keys():
    paths = ["a", "b/c"]
    traced = jax.jit(lambda key: [jax.random.key_data(k) for k in leaf_keys(key, paths)])(
        KEY
    )
    host = [jax.random.key_data(k) for k in leaf_keys(KEY, paths)]
    np.testing.assert_array_equal(traced, host)
    held = jax.jit(lambda: [jax.random.key_data(k) for k in leaf_keys(KEY, paths)])()
    np.testing.assert_array_equal(held, host)
    rbg = jax.random.key(0, impl="rbg")
    eager = leaf_keys(rbg, paths)[1]
    high, low = divmod(path_hash("b/c"), 1 << 32)
    theirs = jax.random.fold_in(jax.random.fold_in(rbg, np.uint32(high)), np.uint32(low))
    np.testing.assert_array_equal(jax.random.key_data(eager), jax.random.key_data(theirs))


def test_hash_is_pinned():
    assert path_hash("layer/kernel") == int.from_bytes(
        bytes.fromhex("70e39db97188eb1d"), "big"
    )
