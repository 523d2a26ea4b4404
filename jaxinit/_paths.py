"""Paths of leaves as text, patterns that match them, and the key of each leaf.

A path is the names of the containers from the root, joined by ``/``. A name that is empty
or holds a ``/`` or a quote is put in single quotes, with quotes inside doubled, so that two
different places never have the same text: ``'mlp/~/linear_0'/w`` in a Haiku tree.
"""

import functools
import hashlib
import re
from collections.abc import Sequence
from typing import Any

import jax
from jax.tree_util import DictKey, FlattenedIndexKey, GetAttrKey, SequenceKey

from jaxinit._checks import value_error

PyTree = Any
"""Any nesting of containers that JAX knows."""


def path_text(path: Sequence[Any]) -> str:
    """Return the text of a path as ``jax.tree_util`` gives it.

    The last step into a box, such as the ``.value`` of a Flax variable, is left out.
    """
    steps = list(path)
    if len(steps) > 1 and steps[-1] == GetAttrKey("value"):
        steps.pop()
    return "/".join(_quoted(_name(step)) for step in steps)


def _name(step: Any) -> str:
    if isinstance(step, (DictKey, FlattenedIndexKey)):
        return str(step.key)
    if isinstance(step, GetAttrKey):
        return step.name
    return str(step.idx) if isinstance(step, SequenceKey) else str(step)


def _quoted(name: str) -> str:
    if name and not set(name) & set("/'"):
        return name
    return "'" + name.replace("'", "''") + "'"


def flatten(where: str, tree: PyTree) -> tuple[list[str], list[Any], Any]:
    """Return the paths and the leaves of a tree, and its structure.

    Args:
        where: Name of the function that errors are to name.
        tree: Any tree. None is no leaf.

    Returns:
        Path texts, leaves, and the structure that puts leaves back.

    Raises:
        ValueError: Two leaves have the same path text, or the same 64-bit hash of it.
    """
    pairs, structure = jax.tree_util.tree_flatten_with_path(tree)
    paths = [path_text(path) for path, _ in pairs]
    _check_distinct(where, tuple(paths))
    return paths, [leaf for _, leaf in pairs], structure


@functools.lru_cache(maxsize=64)
def _check_distinct(where: str, paths: tuple[str, ...]) -> None:
    for what, names in (("paths", paths), ("64-bit hashes", [path_hash(p) for p in paths])):
        seen: dict[Any, str] = {}
        for path, name in zip(paths, names, strict=True):
            if name in seen:
                rule = f"leaves need different {what}, from which their keys are made"
                got = f"{seen[name]} and {path}"
                value_error(where, rule, got, "Rename one of them.")
            seen[name] = path


def path_hash(path: str) -> int:
    """Return 64 bits of the SHA-256 of a path: the same on every machine, forever."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big")


@functools.lru_cache(maxsize=1024)
def pattern(where: str, glob: str) -> re.Pattern[str]:
    """Return the regular expression of a glob.

    ``*`` and ``?`` stay within one name, ``**`` crosses ``/``; ``[abc]`` is one of these
    letters, ``{a,b}`` one of these texts. The whole path must match.

    Args:
        where: Name of the function that errors are to name.
        glob: The pattern.

    Returns:
        The compiled expression.

    Raises:
        ValueError: A bracket is not closed.
    """
    result, i, depth = [], 0, 0
    while i < len(glob):
        letter = glob[i]
        if glob.startswith("**/", i):
            result.append("(?:.*/)?")
            i += 3
            continue
        if glob.startswith("**", i):
            result.append(".*")
            i += 2
            continue
        if letter == "[":
            end = glob.find("]", i + 2)
            if end < 0:
                _unclosed(where, glob, "[")
            body = glob[i + 1 : end].replace("\\", "\\\\")
            result.append("[" + ("^" + body[1:] if body[0] == "!" else body) + "]")
            i = end + 1
            continue
        depth += {"{": 1, "}": -1}.get(letter, 0)
        inside = {"{": "(?:", "}": ")", ",": "|" if depth else ","}
        single = {"*": "[^/]*", "?": "[^/]", **inside}
        result.append(single.get(letter, re.escape(letter)))
        i += 1
        if depth < 0:
            _unclosed(where, glob, "}")
    if depth:
        _unclosed(where, glob, "{")
    return re.compile("".join(result), re.DOTALL)


def _unclosed(where: str, glob: str, bracket: str) -> None:
    rule = f"every {bracket} in a pattern must have its partner"
    value_error(where, rule, f"match={glob!r}", "Close it, or give a function of the path.")


def matches(where: str, glob: str, path: str) -> bool:
    """Whether the whole path matches; quotes in the path may be left out of the glob."""
    expression = pattern(where, glob)
    if expression.fullmatch(path):
        return True
    return "'" in path and bool(expression.fullmatch(path.replace("'", "")))
