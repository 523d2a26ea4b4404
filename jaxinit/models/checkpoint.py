"""Leaves that a checkpoint has: taken over, and told apart from those still to be drawn."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import listed, value_error
from jaxinit._paths import PyTree, flatten, has_values, is_array

Mismatch = Literal["error", "draw", "grow"]
"""What becomes of leaves whose shape in the checkpoint is another one."""

MISMATCHES: tuple[Mismatch, ...] = get_args(Mismatch)


class Restored(NamedTuple):
    """What a checkpoint gives a tree, by path.

    Attributes:
        whole: Leaves of the right shape.
        blocks: Leaves that fill the first entries along each axis of a larger one.
    """

    whole: dict[str, Any]
    blocks: dict[str, Any]


def restored_leaves(
    checkpoint: PyTree,
    mismatch: Mismatch,
    paths: Sequence[str],
    leaves: Sequence[Any],
) -> Restored:
    """Return what of a checkpoint goes into a tree.

    Args:
        checkpoint: Any tree of arrays, or a flat mapping from paths.
        mismatch: Whether another shape, or a leaf that the tree lacks, is an error;
            or such leaves are drawn; or smaller ones fill a part of the larger.
        paths: The paths of the tree.
        leaves: Its leaves.

    Returns:
        The values by path.

    Raises:
        ValueError: The checkpoint has no leaf of the tree, a leaf without values, or one
            of another shape or kind of dtype, as ``mismatch`` says.
    """
    names, values, _ = flatten(checkpoint)
    there = {n: v for n, v in zip(names, values, strict=True) if is_array(v)}
    plain = {name.replace("'", ""): name for name in there}
    whole: dict[str, Any] = {}
    blocks: dict[str, Any] = {}
    odd: list[str] = []
    seen: set[str] = set()
    for path, leaf in zip(paths, leaves, strict=True):
        name = path if path in there else plain.get(path.replace("'", ""))
        if name is None or not is_array(leaf):
            continue
        seen.add(name)
        value, shape = there[name], tuple(leaf.shape)
        _check_value(path, value, leaf)
        if tuple(value.shape) == shape:
            whole[path] = value
        elif mismatch == "grow" and _fits(tuple(value.shape), shape):
            blocks[path] = value
        elif mismatch != "draw":
            odd.append(f"{path} {tuple(value.shape)} for {shape}")
    if not seen:
        rule = "keep must hold leaves of params"
        got = f"leaves {listed(names)}, but params has {listed(paths)}"
        value_error(rule, got, "Give the part of the checkpoint that params is.")
    if mismatch != "draw":
        odd += [f"{name}, which params lacks" for name in there if name not in seen]
    if odd:
        rule = "keep must have the paths and shapes of params"
        advice = 'Take them out, or say mismatch="draw" (draws these anew) or "grow".'
        value_error(rule, listed(odd), advice)
    return Restored(whole, blocks)


def _check_value(path: str, value: Any, leaf: Any) -> None:
    if not has_values(value):
        rule = "a leaf of keep must have values"
        value_error(rule, f"only a shape for {path}", "Restore its values.")
    kinds = (jnp.floating, jnp.complexfloating, jnp.integer, jnp.bool_)
    if not any(
        jnp.issubdtype(value.dtype, k) and jnp.issubdtype(leaf.dtype, k) for k in kinds
    ):
        rule = "a leaf of keep must have the same kind of dtype"
        got = f"{value.dtype.name} for {path} of {jnp.dtype(leaf.dtype).name}"
        value_error(rule, got, "Convert it first.")


def _fits(old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    return len(old) == len(new) and all(a <= b for a, b in zip(old, new, strict=True))


def grown(drawn: jax.Array, old: Any) -> jax.Array:
    """Return the larger array with its first entries along each axis replaced."""
    block = tuple(slice(0, n) for n in np.shape(old))
    return drawn.at[block].set(jnp.asarray(old, drawn.dtype))
