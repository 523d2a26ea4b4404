"""Constants, and the arrays that are constant along a pattern."""

import contextlib
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinit._checks import (
    NARROW_FLOATS,
    check_any_dtype,
    check_key,
    check_shape,
    is_traced,
    type_error,
    value_error,
)
from jaxinit._distribution import Descriptor, described
from jaxinit._moments import Moments, fixed_moments
from jaxinit._placement import check_out_sharding, handed_over, mesh_context, placed
from jaxinit._types import DTypeLike, Key, OutSharding, Scalar, Shape


@dataclasses.dataclass(frozen=True)
class Pattern:
    """Where an array is not zero.

    Attributes:
        shape: Axis lengths.
        dtype: Dtype of the result.
        sharding: Placement of the result, or None.
        pair: Two axes whose coordinates must agree, or None.
        period: The second coordinate of the pair counts modulo this.
        fixed: Axes whose coordinate must be the given one.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    sharding: OutSharding
    pair: tuple[int, int] | None = None
    period: int = 1
    fixed: tuple[tuple[int, int], ...] = ()


def filled(pattern: Pattern, value: Any) -> jax.Array:
    """Return the value, broadcast, where the pattern holds, and 0 elsewhere."""
    with mesh_context(pattern.sharding):
        return _fill(pattern, handed_over(value))


@functools.partial(jax.jit, static_argnames="pattern")
def _fill(pattern: Pattern, value: jax.Array) -> jax.Array:
    """Return the value, broadcast, where the pattern holds, and 0 elsewhere."""
    wide = max(pattern.shape, default=0) > 2**32
    word = jnp.uint64 if wide else jnp.uint32

    def along(axis: int) -> jax.Array:
        return lax.broadcasted_iota(word, pattern.shape, axis)

    def values(value: jax.Array) -> jax.Array:
        result = jnp.broadcast_to(value.astype(pattern.dtype), pattern.shape)
        zero = jnp.zeros_like(result)
        if pattern.pair is not None:
            first, second = pattern.pair
            with jax.enable_x64(True) if wide else contextlib.nullcontext():
                agree = along(first) == along(second) % word(pattern.period)
            result = jnp.where(agree, result, zero)
        for axis, index in pattern.fixed:
            with jax.enable_x64(True) if wide else contextlib.nullcontext():
                there = along(axis) == word(index)
            result = jnp.where(there, result, zero)
        return result

    return placed(values, pattern.sharding)(value)


def _constant_moments(_shape: Shape, _complex: bool, *, value: Any = 0.0) -> Moments:
    return fixed_moments(value)


@described(Descriptor(_constant_moments, is_fixed=True))
def zeros(
    key: Key | None,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: OutSharding = None,
) -> jax.Array:
    """Return zeros, as biases mostly begin.

    Args:
        key: Not used; any key, or None.
        shape: Axis lengths; any rank.
        dtype: Any dtype; None for JAX's default float.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: ``shape`` has a negative length.
        TypeError: An argument is of the wrong kind.

    Elsewhere:
        ``torch.nn.init.zeros_`` and ``jax.nn.initializers.zeros``.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> jaxinit.zeros(jax.random.key(0), (3,)).tolist()
        [0.0, 0.0, 0.0]
    """
    return _constant(key, shape, dtype, 0.0, out_sharding)


@described(Descriptor(functools.partial(_constant_moments, value=1.0), is_fixed=True))
def ones(
    key: Key | None,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: OutSharding = None,
) -> jax.Array:
    """Return ones, as scales mostly begin.

    Args:
        key: Not used; any key, or None.
        shape: Axis lengths; any rank.
        dtype: Any dtype; None for JAX's default float.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: ``shape`` has a negative length.
        TypeError: An argument is of the wrong kind.

    Elsewhere:
        ``torch.nn.init.ones_`` and ``jax.nn.initializers.ones``.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> jaxinit.ones(jax.random.key(0), (3,)).tolist()
        [1.0, 1.0, 1.0]
    """
    return _constant(key, shape, dtype, 1.0, out_sharding)


@described(Descriptor(_constant_moments, is_fixed=True))
def constant(
    key: Key | None,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    value: Scalar | complex | Sequence[Any],
    out_sharding: OutSharding = None,
) -> jax.Array:
    """Return one value everywhere, or an array spread over the shape.

    Args:
        key: Not used; any key, or None.
        shape: Axis lengths; any rank.
        dtype: Any dtype; None for JAX's default float. The value is rounded to it once.
        value: A number, or an array that broadcasts to ``shape``. May be traced.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: ``value`` does not broadcast to ``shape``, or ``dtype`` cannot hold it.
        TypeError: An argument is of the wrong kind.

    Elsewhere:
        ``torch.nn.init.constant_`` (``val``) and ``jax.nn.initializers.constant``.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> jaxinit.constant(jax.random.key(0), (2, 2), value=[0.5, 2.0]).tolist()
        [[0.5, 2.0], [0.5, 2.0]]
    """
    return _constant(key, shape, dtype, value, out_sharding)


def _constant(
    key: Key | None,
    shape: Shape,
    dtype: DTypeLike | None,
    value: Any,
    out_sharding: OutSharding,
) -> jax.Array:
    check_unused_key(key)
    lengths = check_shape(shape)
    result = check_any_dtype(dtype)
    fill_value = rounded("value", value, result)
    try:
        fits = np.broadcast_shapes(fill_value.shape, lengths) == lengths
    except ValueError:
        fits = False
    if not fits:
        got = f"value of shape {fill_value.shape} for shape={lengths}"
        value_error("value must broadcast to shape", got, "Give one number.")
    sharding = check_out_sharding(out_sharding, lengths)
    return filled(Pattern(lengths, result, sharding), fill_value)


def check_unused_key(key: Key | None) -> None:
    """Refuse what is neither a key nor None."""
    if key is not None:
        check_key(key)


def rounded(name: str, value: Any, dtype: np.dtype[Any]) -> Any:
    """Return the value in the dtype, refusing one that the dtype cannot hold."""
    if is_traced(value):
        return value
    try:
        exact = np.asarray(value)
    except ValueError:
        exact = np.asarray(None)
    if not (
        np.issubdtype(exact.dtype, np.number) or jnp.issubdtype(exact.dtype, np.floating)
    ):
        rule = f"{name} must be a number or an array of numbers"
        type_error(rule, f"{name}={value!r}", "Give a float.")
    if dtype.kind == "c" or exact.dtype.kind != "c":
        wide = exact.astype(np.complex128 if dtype.kind == "c" else np.float64)
        with np.errstate(all="ignore"):
            result = _once(wide, dtype)
            back = result.astype(wide.dtype)
        whole = jnp.issubdtype(dtype, np.integer) or dtype == np.bool_
        held = (back == wide) if whole else np.isfinite(back) & ((back != 0) | (wide == 0))
        if bool(np.all(held)):
            return result
    rule = f"{name} must be a finite number that {dtype.name} can hold"
    shown = f"{exact.item():g}" if exact.size == 1 else f"an array of shape {exact.shape}"
    value_error(rule, f"{name}={shown}", "Use a wider dtype.")


def _once(wide: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Return float64 values rounded once: NumPy reaches narrow floats by way of float32.

    Rounded to odd there, a value on its way keeps the side of every tie that it is on.

    Args:
        wide: The values.
        dtype: What they are rounded to.

    Returns:
        The values in the dtype.
    """
    if dtype.name not in NARROW_FLOATS:
        return wide.astype(dtype)
    near = wide.astype(np.float32)
    inward = np.where(np.abs(near) > np.abs(wide), np.nextafter(near, np.float32(0)), near)
    sticky = (inward != wide) & np.isfinite(near)
    odd = inward.view(np.uint32) | sticky.astype(np.uint32)
    return odd.view(np.float32).astype(dtype)
