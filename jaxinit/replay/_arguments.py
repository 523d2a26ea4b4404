"""Checks of what only replay takes: seeds, and the dtypes that a stream can give."""

import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import (
    check_dtype,
    check_number,
    check_shape,
    type_error,
    value_error,
)
from jaxinit._types import DTypeLike, Shape

Seed = int | np.integer | jax.Array
"""A Python int, or an integer array of rank 0, which may be traced."""

_MOST = (1 << 31) - 1 - (1 << 17)
"""Words that one draw may take: places in an array are counted in int32."""


def check_seed(where: str, seed: Seed, *, least: int, most: int) -> int | jax.Array:
    """Return a seed as a Python int, or as a uint32 array if it is an array."""
    rule = f"seed must be an int from {least} to {most}"
    if isinstance(seed, jax.Array):
        if not jnp.issubdtype(seed.dtype, jnp.integer):
            got = f"an array of dtype {seed.dtype.name}"
            type_error(where, rule, got, "Give a plain int, or an integer array.")
        if seed.shape != ():
            got = f"an array of shape {seed.shape}"
            value_error(where, rule, got, "For many seeds use jax.vmap.")
        return seed.astype(jnp.uint32)
    try:
        if isinstance(seed, (bool, np.bool_)):
            raise TypeError
        number = operator.index(seed)
    except TypeError:
        type_error(where, rule, f"seed={seed!r}", "Give a plain int.")
    if not least <= number <= most:
        value_error(where, rule, f"seed={number}", "Give a seed in that range.")
    return number


def check_draw(
    where: str,
    shape: Shape,
    dtype: DTypeLike | None,
    allowed: tuple[str, ...],
    words: int,
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of a draw that takes at most ``words`` words a value."""
    lengths = check_shape(where, shape)
    result = check_dtype(where, dtype)
    if result.name not in allowed:
        rule = f"dtype must be one of {', '.join(allowed)}"
        advice = "Draw float32 and convert the result."
        type_error(where, rule, f"dtype={result.name}", advice)
    check_size(where, lengths, words)
    return lengths, result


def check_size(where: str, shape: tuple[int, ...], words: int) -> None:
    """Check that a draw of at most ``words`` words a value is not too large."""
    most = _MOST // words
    if math.prod(shape) > most:
        rule = f"one draw makes at most {most} values"
        value_error(where, rule, f"shape={shape}", "Draw it in parts.")


def check_static(where: str, name: str, value: float, least: float = -math.inf) -> float:
    """Return a finite Python float: 64-bit constants cannot be traced in 32 bits."""
    if isinstance(value, jax.Array):
        rule = f"{name} must be a Python number"
        advice = "Its 64 bits go into the result, so it cannot be an array."
        type_error(where, rule, f"an array of dtype {value.dtype.name}", advice)
    return float(check_number(where, name, value, least=least))
