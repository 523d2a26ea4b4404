"""Floating-point operations whose rounding is the same on every machine.

A compiler may contract ``a * b + c`` to one fused operation or leave it as two, so the
bits of such a line depend on the machine. Here every product that is not exact in its
dtype is kept as an exact sum of products of half length; then fusing changes nothing.
The second hazard is that XLA merges constants, ``(a + 1) - 1`` to ``a``: no sum below
subtracts a constant from a sum that contains it.

The tools are those of Dekker, Knuth and Boldo and Melquiond ("Emulation of FMA and
correctly rounded sums: proved algorithms using rounding to odd", IEEE Transactions on
Computers 57, 2008). They hold for float32 and float64 while nothing under- or overflows.
"""

import jax
import jax.numpy as jnp
import numpy as np

Real = jax.Array | np.floating
Double = tuple[Real, Real]
"""An unevaluated sum of two floats, or the two halves of one."""

# Integer type, half unit and mask that round a float to the upper half of its bits.
_HALVES = {
    "float32": (np.int32, 1 << 11, -1 << 12),
    "float64": (np.int64, 1 << 26, -1 << 27),
}


def split(x: Real) -> Double:
    """Return the halves (high, low) of a float: ``x`` is exactly their sum."""
    integer, half, mask = _HALVES[x.dtype.name]
    if isinstance(x, np.floating):
        high = ((x.view(integer) + integer(half)) & integer(mask)).view(x.dtype)
        return high, x - high
    bits = jax.lax.bitcast_convert_type(x, integer)
    bits = (bits + integer(half)) & integer(mask)
    high = jax.lax.bitcast_convert_type(bits, x.dtype)
    return high, x - high


def two_sum(a: Real, b: Real) -> Double:
    """Return the rounded sum and its error."""
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


def two_product(a: Double, b: Double) -> Double:
    """Return two floats whose sum is exactly the product of two split floats."""
    high = a[0] * b[0]
    middle = a[0] * b[1] + a[1] * b[0]  # exact: both terms are of half length
    total = high + middle
    error = middle - (total - high)
    return total, error + a[1] * b[1]


def product(a: Double, b: Double) -> jax.Array:
    """Return the rounded product of two split floats."""
    total, error = two_product(a, b)
    return total + error


def add_exact(value: Double, c: Real) -> jax.Array:
    """Return ``value[0] + value[1] + c``, rounded once."""
    total, error = two_sum(value[0], c)
    return total + _sum_to_odd(error, value[1])


def fma(a: Double, b: Double, c: Real) -> jax.Array:
    """Return ``a * b + c``, rounded once, of two split floats and a float."""
    return add_exact(two_product(a, b), c)


def _sum_to_odd(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return ``a + b`` rounded to odd, so that a later rounding is not a second one."""
    total, error = two_sum(a, b)
    integer = _HALVES[total.dtype.name][0]
    bits = jax.lax.bitcast_convert_type(total, integer)
    width = total.dtype.itemsize * 8
    away = bits ^ jax.lax.bitcast_convert_type(error, integer)
    step = integer(1) | away >> (width - 1)  # +1 or -1, towards the exact sum
    fix = (error != 0) & ((bits & integer(1)) == 0)
    odd = jnp.where(fix, bits + step, bits)
    return jax.lax.bitcast_convert_type(odd, total.dtype)
