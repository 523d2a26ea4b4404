"""A block of a large array: where it begins, and how long it is."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinit._checks import check_shape, is_traced, type_error, value_error
from jaxinit._types import Scalar, Shape

Window = tuple[Sequence[Scalar], Shape]
"""Where a block of an array begins, which may be traced, and its axis lengths."""


def check_window(
    window: Window | None, shape: tuple[int, ...]
) -> tuple[tuple[int, ...] | None, Any]:
    """Return the lengths of a block and where it begins.

    Args:
        window: What the user gave.
        shape: Axis lengths of the whole.

    Returns:
        None and None for the whole. Else the lengths, and the first index on every axis as
        two ``uint32`` words, upper and lower.
    """
    if window is None:
        return None, None
    rule = "window must be a pair (start, shape), each with one int for every axis"
    advice = "Write it as ((0, 256), (64, 64))."
    try:
        start, block = window
        start = tuple(start)
    except (TypeError, ValueError):
        type_error(rule, f"window={window!r}", advice)
    lengths = check_shape(block)
    if not len(start) == len(lengths) == len(shape):
        value_error(rule, f"window={window!r} for shape={shape}", advice)
    for i, n, whole in zip(start, lengths, shape, strict=True):
        kind = jnp.result_type(i) if hasattr(i, "dtype") or isinstance(i, int) else None
        if kind is None or not jnp.issubdtype(kind, jnp.integer) or np.shape(i) != ():
            type_error(rule, f"window={window!r}", advice)
        if n > whole or (not is_traced(i) and not 0 <= int(i) <= whole - n):
            rule = "window must lie inside the array"
            got = f"window={window!r} for shape={shape}"
            value_error(rule, got, "Give the shape of the whole array as shape.")
    words = [_two_words(i) for i in start]
    if any(map(is_traced, start)):
        return lengths, jnp.stack([jnp.stack(list(map(jnp.asarray, w))) for w in words])
    return lengths, np.array(words, np.uint32).reshape(len(shape), 2)


def block_of(
    values: jax.Array, rank: int, lengths: tuple[int, ...] | None, start: Any
) -> jax.Array:
    """Return the block of an array that broadcasts to a whole of that rank."""
    if lengths is None or values.ndim == 0:
        return values
    axes = range(rank - values.ndim, rank)
    first = jnp.asarray(start)[:, 1].astype(jnp.int32)
    spread = [n == 1 for n in values.shape]  # along these one value serves all
    begin = [0 * first[i] if one else first[i] for i, one in zip(axes, spread, strict=True)]
    size = [1 if one else lengths[i] for i, one in zip(axes, spread, strict=True)]
    return lax.dynamic_slice(values, begin, size)


def _two_words(index: Any) -> tuple[Any, Any]:
    if not is_traced(index):
        high, low = divmod(int(index), 2**32)
        return np.uint32(high), np.uint32(low)
    if index.dtype.itemsize == 8:
        high = jax.lax.shift_right_logical(index, index.dtype.type(32))
        return high.astype(jnp.uint32), index.astype(jnp.uint32)
    return jnp.uint32(0), index.astype(jnp.uint32)
