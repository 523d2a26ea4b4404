"""Paths of leaves as text, patterns that match them, and the key of each leaf.

A path is the names of the containers from the root, joined by ``/``. A name that is empty
or holds a ``/`` or a quote is put in single quotes, with quotes inside doubled, so that two
different places never have the same text: ``'mlp/~/linear_0'/w`` in a Haiku tree.
"""

import functools
import hashlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.tree_util import DictKey, FlattenedIndexKey, GetAttrKey, SequenceKey

from jaxinit._checks import value_error
from jaxinit._globs import compile_glob

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


def flatten(tree: PyTree) -> tuple[list[str], list[Any], Any]:
    """Return the paths and the leaves of a tree, and its structure.

    Args:
        tree: Any tree. None is no leaf.

    Returns:
        Path texts, leaves, and the structure that puts leaves back.

    Raises:
        ValueError: Two leaves have the same path text, or the same 64-bit hash of it.
    """
    pairs, structure = jax.tree_util.tree_flatten_with_path(tree)
    paths = [path_text(path) for path, _ in pairs]
    _check_distinct(tuple(paths))
    return paths, [leaf for _, leaf in pairs], structure


def is_array(leaf: object) -> bool:
    """Whether a leaf is an array, or stands for one."""
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def has_values(leaf: object) -> bool:
    """Whether a leaf is an array, of values that are known now or traced."""
    return isinstance(leaf, (np.ndarray, np.generic, jax.Array))


@functools.lru_cache(maxsize=64)
def _check_distinct(paths: tuple[str, ...]) -> None:
    for what, names in (("paths", paths), ("64-bit hashes", [path_hash(p) for p in paths])):
        seen: dict[Any, str] = {}
        for path, name in zip(paths, names, strict=True):
            if name in seen:
                rule = f"leaves need different {what}, from which their keys are made"
                got = f"{seen[name]} and {path}"
                value_error(rule, got, "Rename one of them.")
            seen[name] = path


def path_hash(path: str) -> int:
    """Return 64 bits of the SHA-256 of a path: the same on every machine, forever."""
    return int.from_bytes(hashlib.sha256(path.encode()).digest()[:8], "big")


def matches(glob: str, path: str) -> bool:
    """Whether the whole path matches; quotes in the path may be left out of the glob."""
    compiled = compile_glob(glob)
    if compiled.matches(path):
        return True
    return "'" in path and compiled.matches(path.replace("'", ""))
