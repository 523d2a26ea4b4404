"""Sample moments, on the host in float64 or traced with few roundings."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit import _checks
from jaxinit.asserts._distributions import Distribution, check_float, check_mean, widened
from jaxinit.asserts._report import Value

Array = jax.Array | np.ndarray

_FOLD = 64  # summands added in one go; the sums of these are added in the same way
_CHUNK = 2**20  # elements widened to float64 at a time


@dataclass(frozen=True)
class Measured:
    """Sample moments about the distribution's mean, in units of its standard deviation.

    Attributes:
        shift: Mean of ``x - mean``; for complex ``x`` its modulus.
        square: Mean of ``abs(x - mean)**2``.
        radius: Largest ``abs(x - mean)``.
        slack: Bound of the rounding error of the draw and of this measurement.
    """

    shift: Value
    square: Value
    radius: Value
    slack: float


def measure(x: Array, distribution: Distribution) -> Measured:
    """Return the moments of an array of at least one float or complex number."""
    check_mean(distribution, check_float("x", x.dtype))
    if x.size == 0:
        rule = "x must have at least one element"
        advice = "Without a draw there is nothing to test."
        _checks.value_error(rule, f"x of shape {x.shape}", advice)
    if isinstance(x, jax.Array) and _checks.is_traced(x):
        return _traced(x, distribution)
    return _on_host(np.asarray(x), distribution)


def _on_host(x: np.ndarray, distribution: Distribution) -> Measured:
    flat = x.reshape(-1)
    is_complex = jnp.issubdtype(x.dtype, np.complexfloating)
    wide = np.complex128 if is_complex else np.float64
    total, square, radius = 0.0, 0.0, 0.0
    for start in range(0, flat.size, _CHUNK):
        z = (flat[start : start + _CHUNK].astype(wide) - distribution.mean) / (
            distribution.std or 1.0
        )
        squares = z.real**2 + z.imag**2
        total += z.sum()
        square += squares.sum()
        radius = np.maximum(radius, np.sqrt(squares.max()))  # np.maximum keeps NaN
    shift = total / x.size
    shift = abs(shift) if is_complex else shift
    return Measured(shift, square / x.size, radius, _slack(x.dtype, distribution))


def _traced(x: jax.Array, distribution: Distribution) -> Measured:
    wide = widened(x.dtype)
    z = (x.astype(wide) - distribution.mean) / (distribution.std or 1.0)
    is_complex = jnp.issubdtype(x.dtype, np.complexfloating)
    squares = jnp.square(z.real) + jnp.square(z.imag) if is_complex else jnp.square(z)
    shift = _sum(z) / x.size
    shift = jnp.abs(shift) if is_complex else shift
    levels = math.ceil(math.log(x.size + 1, _FOLD)) + x.ndim
    sums = levels * _FOLD / 2 * float(jnp.finfo(wide).eps)
    radius = jnp.sqrt(jnp.max(squares))
    return Measured(
        shift, _sum(squares) / x.size, radius, _slack(x.dtype, distribution) + sums
    )


def _slack(dtype: np.dtype, distribution: Distribution) -> float:
    """Return what a few roundings in the dtype that draws are made in can shift."""
    is_wide = dtype.name in ("float64", "complex128")
    eps = float(np.finfo(np.float64 if is_wide else np.float32).eps)
    return 8 * eps * (1 + abs(distribution.mean) / (distribution.std or 1.0))


def _sum(values: jax.Array) -> jax.Array:
    """Return the sum over blocks of 64, then over their sums, ...; axis by axis.

    Few roundings on any path, and a sharded array stays where it is.
    """
    while values.ndim:
        *rest, length = values.shape
        block = min(_FOLD, length)
        padding = [(0, 0)] * len(rest) + [(0, -length % block)]
        values = jnp.pad(values, padding).reshape(*rest, -1, block).sum(axis=-1)
        values = values[..., 0] if length == block else values
    return values
