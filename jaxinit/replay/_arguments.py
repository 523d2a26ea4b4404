"""Checks of what only replay takes: seeds, and the dtypes that a stream can give."""

import math
import operator
from typing import Any, ClassVar, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import (
    check_dtype,
    check_number,
    check_shape,
    is_traced,
    type_error,
    value_error,
)
from jaxinit._types import DTypeLike, Shape

Seed = int | np.integer | jax.Array
"""A Python int, or an integer array of rank 0, which may be traced."""

_MOST = (1 << 31) - 1 - (1 << 17)
"""Words that one draw may take: places in an array are counted in int32."""


class Started(Protocol):
    """A stream: its class says how one is started."""

    start: ClassVar[str]


def check_stream(stream: object, kind: type[Started]) -> None:
    """Refuse what is no stream of this library."""
    if not isinstance(stream, kind):
        other = getattr(type(stream), "start", None)
        got = f"one from {other}" if isinstance(other, str) else f"stream={stream!r}"
        rule = f"stream must come from {kind.start}"
        advice = "The streams of different libraries are not exchangeable."
        type_error(rule, got, advice)


def check_seed(seed: Seed, *, least: int, most: int) -> int | jax.Array:
    """Return a seed as a Python int, or as a uint32 array if it is traced."""
    rule = f"seed must be an int from {least} to {most}"
    if isinstance(seed, jax.Array):
        if not jnp.issubdtype(seed.dtype, jnp.integer):
            got = f"an array of dtype {seed.dtype.name}"
            type_error(rule, got, "Give a plain int, or an integer array.")
        if seed.shape != ():
            got = f"an array of shape {seed.shape}"
            value_error(rule, got, "For many seeds use jax.vmap.")
        if is_traced(seed):  # the range is not checked, but no bit may be lost
            if seed.dtype.itemsize > 4 and not _low_bits_count(least, most):
                got = f"a traced array of dtype {seed.dtype.name}"
                type_error(rule, got, "Trace it as uint32 or int32.")
            return seed.astype(jnp.uint32)
    try:
        if isinstance(seed, (bool, np.bool_)):
            raise TypeError
        number = operator.index(seed)  # pyright: ignore[reportArgumentType]
    except TypeError:
        type_error(rule, f"seed={seed!r}", "Give a plain int.")
    if not least <= number <= most:
        value_error(rule, f"seed={number}", "Give a seed in that range.")
    return number


def _low_bits_count(least: int, most: int) -> bool:
    return least == -(1 << 63) and most == (1 << 64) - 1  # torch.manual_seed


def words_of(number: int) -> list[int]:
    """Return a non-negative int as 32-bit words, lowest first, at least one."""
    count = max(1, -(-number.bit_length() // 32))
    return [number >> 32 * i & 0xFFFFFFFF for i in range(count)]


def check_draw(
    shape: Shape, dtype: DTypeLike | None, allowed: tuple[str, ...], words: int
) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and dtype of a draw that takes at most ``words`` words a value."""
    lengths = check_shape(shape)
    result = check_dtype(dtype)
    if result.name not in allowed:
        rule = f"dtype must be one of {', '.join(allowed)}"
        advice = "Draw float32 and convert the result."
        type_error(rule, f"dtype={result.name}", advice)
    check_size(lengths, words)
    return lengths, result


def check_size(shape: tuple[int, ...], words: int) -> None:
    """Check that a draw of at most ``words`` words a value is not too large."""
    most = _MOST // words
    if math.prod(shape) > most:
        rule = f"one draw makes at most {most} values"
        value_error(rule, f"shape={shape}", "Draw it in parts.")


def check_static(name: str, value: float, least: float = -math.inf) -> float:
    """Return a finite Python float: 64-bit constants cannot be traced in 32 bits."""
    if isinstance(value, jax.Array):
        rule = f"{name} must be a Python number"
        advice = "Its 64 bits go into the result, so it cannot be an array."
        type_error(rule, f"an array of dtype {value.dtype.name}", advice)
    return float(check_number(name, value, least=least))


def check_range(dtype: np.dtype[Any], **values: float) -> None:
    """Check that all arithmetic with these numbers stays within the floats."""
    if dtype == np.float64:
        rule, low, high = (
            "{} must be 0, or from 1e-200 to 1.79e308 in size",
            1e-200,
            1.79e308,
        )
    else:
        rule, low, high = "{} must be at most 3.4e38 in size", 0.0, 3.4028234e38
    for name, value in values.items():
        if value != 0 and not low <= abs(value) <= high:
            advice = "Draw with another scale, and scale the result."
            value_error(rule.format(name), f"{name}={value:g}", advice)
