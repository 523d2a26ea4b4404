"""Doubles whose rounding is the same on every machine.

A compiler may contract ``a * b + c`` to one fused operation or leave it as two, so the
bits of such a line depend on the machine. Here every product that is not exact in
float64 is kept as an exact sum of products of half length; then fusing changes nothing.
The second hazard is that XLA merges constants, ``(a + 1) - 1`` to ``a``: no sum below
subtracts a constant from a sum that contains it.

The tools are those of Dekker, Knuth and Boldo and Melquiond ("Emulation of FMA and
correctly rounded sums: proved algorithms using rounding to odd", IEEE Transactions on
Computers 57, 2008). They hold while nothing under- or overflows.
"""

import jax
import jax.numpy as jnp
import numpy as np

Double = tuple[jax.Array, jax.Array]
"""An unevaluated sum of two doubles."""

_HALF, _MASK = np.int64(1 << 26), np.int64(-1 << 27)


def _split(x: jax.Array) -> Double:
    """Return the halves (high, low) of a double: ``x`` is exactly their sum."""
    bits = (jax.lax.bitcast_convert_type(x, jnp.int64) + _HALF) & _MASK
    high = jax.lax.bitcast_convert_type(bits, jnp.float64)
    return high, x - high


def two_sum(a: jax.Array, b: jax.Array) -> Double:
    """Return the rounded sum and its error."""
    total = a + b
    b_part = total - a
    return total, (a - (total - b_part)) + (b - b_part)


def two_product(x: jax.Array, y: jax.Array) -> Double:
    """Return two doubles whose sum is exactly the product."""
    a, b = _split(x), _split(y)
    high = a[0] * b[0]
    middle = a[0] * b[1] + a[1] * b[0]  # exact: both terms are of half length
    total = high + middle
    return total, middle - (total - high) + a[1] * b[1]


def product(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return the rounded product, which nothing after it can be fused with."""
    total, error = two_product(x, y)
    return jnp.where(total == 0, x * y, total + error)  # the halves lose the zero's sign


def fma(x: jax.Array, y: jax.Array, z: jax.Array) -> jax.Array:
    """Return ``x * y + z``, rounded once."""
    high, low = two_product(x, y)
    total, error = two_sum(high, z)
    return jnp.where(high == 0, x * y + z, total + _to_odd(error, low))


def fma_single(x: jax.Array, y: jax.Array, z: jax.Array) -> jax.Array:
    """Return ``x * y + z``, rounded once to float32, of doubles that are float32."""
    return _to_odd(x * y, z)  # the product is exact; whoever narrows it rounds


def _to_odd(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return ``a + b`` rounded to odd, so that a later rounding is not a second one."""
    total, error = two_sum(a, b)
    bits = jax.lax.bitcast_convert_type(total, jnp.int64)
    away = bits ^ jax.lax.bitcast_convert_type(error, jnp.int64)
    step = np.int64(1) | away >> 63  # +1 or -1, towards the exact sum
    fix = (error != 0) & ((bits & np.int64(1)) == 0)
    odd = jnp.where(fix, bits + step, bits)
    return jax.lax.bitcast_convert_type(odd, jnp.float64)


def narrow(x: jax.Array, dtype: np.dtype, small: bool = False) -> jax.Array:
    """Return doubles rounded to float32, and from there to the dtype, as C does.

    XLA flushes what is subnormal; where such floats are due, ``small``, and in the
    narrower dtypes, they are made from integers.
    """
    if dtype == np.float64:
        return x
    single = x.astype(jnp.float32)
    if small:
        units = jnp.rint(jnp.abs(x) * 2.0**149).astype(jnp.int32)
        units = units | jnp.where(jnp.signbit(x), np.int32(-(1 << 31)), np.int32(0))
        tiny = jax.lax.bitcast_convert_type(units, jnp.float32)
        single = jnp.where(jnp.abs(x) < 2.0**-126, tiny, single)
    if dtype == np.float32:
        return single
    bits = jax.lax.bitcast_convert_type(single, jnp.uint32)
    if dtype == np.float16:  # without float16 arithmetic, which some machines lack
        size = bits & np.uint32(0x7FFFFFFF)
        least = size + np.uint32(0xFFF) + (size >> 13 & np.uint32(1)) >> 13
        least = jnp.minimum(least - np.uint32(112 << 10), np.uint32(0x7C00))
        tiny = jnp.rint(jnp.abs(single) * np.float32(2.0**24)).astype(jnp.uint32)
        least = jnp.where(size < np.uint32(113 << 23), tiny, least)
        bits = least << 16 | bits & np.uint32(1 << 31)
    else:
        bits = bits + np.uint32(0x7FFF) + (bits >> 16 & np.uint32(1))
    return jax.lax.bitcast_convert_type((bits >> 16).astype(jnp.uint16), dtype)


def single(x: jax.Array) -> jax.Array:
    """Return doubles rounded to float32, subnormal ones too, as doubles."""
    tiny = jnp.rint(x * 2.0**149) * 2.0**-149
    rounded = x.astype(jnp.float32).astype(jnp.float64)
    return jnp.where(jnp.abs(x) < 2.0**-126, tiny, rounded)


def is_small(numbers: tuple[float, float], dtype: np.dtype) -> bool:
    """Whether what is scaled by one number and added to another can be subnormal."""
    sizes = [abs(x) for x in numbers if x]
    if dtype == np.float64 or not sizes:
        return False
    return max(sizes) < 2.0**-70 or min(sizes) < 2.0**-126


def equal(x: jax.Array, y: jax.Array) -> jax.Array:
    """Return where floats are equal, by their bits: XLA takes subnormal ones for zero."""
    unsigned = {2: jnp.uint16, 4: jnp.uint32, 8: jnp.uint64}[x.dtype.itemsize]
    a, b = (jax.lax.bitcast_convert_type(v, unsigned) for v in (x, y))
    return (a == b) | ((a | b) << 1 == 0)
