"""IEEE double precision in uint32, for when JAX's 64-bit mode is off.

A number is a sign, an exponent and a significand of 64 bits of which 53 may be set; its
value is ``(-1)^sign * significand * 2^(exponent - 63)`` and the highest bit is set,
unless the number is zero. Sums, products, quotients and roots are rounded to the
nearest, ties to even, as the hardware does. Infinities, NaN and subnormal doubles do
not occur in what is computed here and are not represented.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay._uint64 import (
    Pair,
    add,
    count_leading_zeros,
    multiply_high,
    multiply_wide,
    shift_left,
    shift_left_by,
    shift_right,
    shift_right_by,
    subtract,
)

_ZERO_EXPONENT = np.int32(-(1 << 20))


class Float64(NamedTuple):
    """Arrays of doubles; all four fields have one shape, or broadcast to it."""

    sign: jax.Array  # uint32, 0 or 1
    exponent: jax.Array  # int32
    high: jax.Array  # uint32, the upper half of the significand
    low: jax.Array  # uint32, the lower half


def constant(value: float) -> Float64:
    """Return a Python float as scalars."""
    return from_floats(np.asarray(value, np.float64))


def from_floats(values: np.ndarray) -> Float64:
    """Return a NumPy array of float64, exactly, as NumPy arrays: constants."""
    fraction, exponent = np.frexp(np.abs(values))
    bits = (fraction * 2.0**53).astype(np.uint64) << np.uint64(11)
    exponent = np.where(values == 0, _ZERO_EXPONENT, exponent - 1).astype(np.int32)
    sign = np.signbit(values).astype(np.uint32)
    high, low = (bits >> np.uint64(32)).astype(np.uint32), bits.astype(np.uint32)
    return Float64(sign, exponent, high, low)  # pyright: ignore[reportArgumentType]


def from_integer(value: Pair, scale: int) -> Float64:
    """Return ``value * 2^scale`` for integers below 2^53, exactly."""
    count = count_leading_zeros(value)
    high, low = shift_left_by(value, count)
    exponent = np.int32(63 + scale) - count.astype(jnp.int32)
    exponent = jnp.where(high == 0, _ZERO_EXPONENT, exponent)
    return Float64(jnp.zeros_like(high), exponent, high, low)


def negate(a: Float64) -> Float64:
    """Return ``-a``."""
    return a._replace(sign=a.sign ^ np.uint32(1))


def where(condition: jax.Array, a: Float64, b: Float64) -> Float64:
    """Return ``a`` where the condition holds, ``b`` elsewhere."""
    return Float64(*(jnp.where(condition, x, y) for x, y in zip(a, b, strict=True)))


def rounded(
    sign: jax.Array, exponent: jax.Array, significand: Pair, sticky: jax.Array
) -> Float64:
    """Return a normalised 64-bit significand rounded to 53 bits.

    Args:
        sign: As in `Float64`.
        exponent: As in `Float64`.
        significand: Its highest bit is set, or it is zero.
        sticky: Whether anything is left below the 64 bits.
    """
    high, low = significand
    low = low | sticky.astype(jnp.uint32)
    odd = low >> 11 & np.uint32(1)
    after = low + np.uint32(0x3FF) + odd
    high = high + (after < low).astype(jnp.uint32)
    carried = (high == 0) & (significand[0] != 0)
    high = jnp.where(carried, np.uint32(1 << 31), high)
    return Float64(
        sign, exponent + carried.astype(jnp.int32), high, after & np.uint32(0xFFFFF800)
    )


def multiply(a: Float64, b: Float64) -> Float64:
    """Return the rounded product."""
    high, low = multiply_high((a.high, a.low), (b.high, b.low))
    # The lower 64 bits of the product matter only by being zero or not. They are
    # below * 2^32 + bottom, and the lowest bits of a product are those of its factors.
    bottom = a.low * b.low
    cross = multiply_wide(a.low, b.low)[0] + a.high * b.low + a.low * b.high
    top = (high >> 31).astype(jnp.bool_)
    sticky = (cross | bottom) != 0
    # One place to the left unless the product already fills its 64 bits. The bit that
    # comes in from below stands under the 53 kept ones and one guard: sticky will do.
    shifted = high << 1 | low >> 31, low << 1
    exponent = a.exponent + b.exponent + top.astype(jnp.int32)
    zero = (a.high == 0) | (b.high == 0)
    return rounded(
        a.sign ^ b.sign,
        jnp.where(zero, _ZERO_EXPONENT, exponent),
        (jnp.where(top, high, shifted[0]), jnp.where(top, low, shifted[1])),
        sticky,
    )


def sum_of(a: Float64, b: Float64) -> Float64:
    """Return the rounded sum."""
    swap = (a.exponent < b.exponent) | (
        (a.exponent == b.exponent)
        & ((a.high < b.high) | ((a.high == b.high) & (a.low < b.low)))
    )
    large, small = where(swap, b, a), where(swap, a, b)
    # One place to the right makes room for a carry; 10 spare bits are left below.
    top = shift_right((large.high, large.low), 1)
    count = jnp.minimum(large.exponent - small.exponent + 1, 64).astype(jnp.uint32)
    part = shift_right_by((small.high, small.low), count)
    back = shift_left_by(part, count)
    lost = (back[0] != small.high) | (back[1] != small.low)
    part = part[0], part[1] | lost.astype(jnp.uint32)
    same = a.sign == b.sign
    plus, minus = add(top, part), subtract(top, part)
    value = jnp.where(same, plus[0], minus[0]), jnp.where(same, plus[1], minus[1])
    count = count_leading_zeros(value)
    exponent = large.exponent + 1 - count.astype(jnp.int32)
    zero = count == np.uint32(64)
    return rounded(
        jnp.where(zero, a.sign & b.sign, large.sign),
        jnp.where(zero, _ZERO_EXPONENT, exponent),
        shift_left_by(value, count),
        jnp.zeros_like(zero),
    )


def to_float32(a: Float64) -> jax.Array:
    """Return the numbers rounded to float32, subnormal results as zero."""
    unit, half = np.uint32(1 << 8), np.uint32(1 << 7)
    rest = a.high & np.uint32(0xFF)
    odd_or_more = (a.low != 0) | ((a.high & unit) != 0)
    up = (rest > half) | ((rest == half) & odd_or_more)
    kept = (a.high >> 8) + up.astype(jnp.uint32)
    # The leading bit adds one to the exponent, and so does a carry out of the rest.
    exponent = (a.exponent + 126).astype(jnp.uint32)
    bits = (exponent << 23) + kept
    usual = (a.exponent >= -126) & (a.exponent <= 127)
    bits = jnp.where(usual, bits, np.uint32(0)) | a.sign << 31
    return jax.lax.bitcast_convert_type(bits, jnp.float32)


def _float(value: jax.Array) -> jax.Array:
    """Return a uint32 below 2^24 as float32, exactly."""
    return value.astype(jnp.int32).astype(jnp.float32)


def _approximate(value: Pair) -> jax.Array:
    """Return a 64-bit integer as float32, good to 22 bits."""
    # uint32 goes through two halves, as its direct conversion is slow on some machines.
    high = value[0].astype(jnp.float32) * np.float32(2.0**32)
    return high + value[1].astype(jnp.float32)


_SAFE = np.float32(1 - 2.0**-21)
"""Makes an estimate that is good to 22 bits one from below."""


def _times_small(value: Pair, digit: jax.Array) -> Pair:
    """Return ``value * digit`` modulo 2^64."""
    high, low = multiply_wide(value[1], digit)
    return high + value[0] * digit, low


def divide(a: Float64, b: Float64) -> Float64:
    """Return the rounded quotient of ``a`` by a nonzero ``b``.

    Three digits of 19 bits by estimates from below; the remainder stays exact, as what
    wraps around in 64 bits cancels.
    """
    divisor = shift_right((b.high, b.low), 11)
    remainder = shift_right((a.high, a.low), 11)
    inverse = _SAFE / _approximate(divisor)
    quotient = jnp.zeros_like(a.high), jnp.zeros_like(a.high)
    for _ in range(3):
        estimate = _approximate(remainder) * inverse * np.float32(2.0**19)
        digit = estimate.astype(jnp.int32).astype(jnp.uint32)
        remainder = subtract(shift_left(remainder, 19), _times_small(divisor, digit))
        quotient = add(shift_left(quotient, 19), (jnp.zeros_like(digit), digit))
    less = subtract(remainder, divisor)
    more = less[0] >> 31 == 0
    quotient = add(quotient, (jnp.zeros_like(a.high), more.astype(jnp.uint32)))
    sticky = jnp.where(more, less[0] | less[1], remainder[0] | remainder[1]) != 0
    count = count_leading_zeros(quotient)
    # quotient = a / b * 2^57, up to the two exponents.
    exponent = a.exponent - b.exponent + 6 - count.astype(jnp.int32)
    exponent = jnp.where(a.high == 0, _ZERO_EXPONENT, exponent)
    significand = shift_left_by(quotient, count)
    return rounded(a.sign ^ b.sign, exponent, significand, sticky)


def square_root(a: Float64) -> Float64:
    """Return the rounded square root of a number that is not negative.

    Three digits as in `divide`, from sqrt(x) - s = (x - s^2) / (sqrt(x) + s).
    """
    odd = (a.exponent & 1) != 0
    even = shift_right((a.high, a.low), 11)
    double = shift_right((a.high, a.low), 10)
    x = jnp.where(odd, double[0], even[0]), jnp.where(odd, double[1], even[1])
    root = jnp.sqrt(_approximate(x))  # of a number in [2^52, 2^54)

    first = (root * _SAFE * np.float32(2.0**-8)).astype(jnp.int32).astype(jnp.uint32)
    square = shift_left(multiply_wide(first, first), 16)
    remainder = subtract(x, square)
    sum_ = first.astype(jnp.float32) * np.float32(2.0**8) + root
    estimate = _approximate(remainder) / sum_ * (_SAFE * np.float32(2.0**11))
    digit = estimate.astype(jnp.int32).astype(jnp.uint32)
    # (first 2^19 + digit)^2 = first^2 2^38 + digit (first 2^20 + digit)
    head = shift_left((jnp.zeros_like(first), first), 20)
    taken = _times_small(add(head, (jnp.zeros_like(digit), digit)), digit)
    remainder = subtract(shift_left(remainder, 22), taken)
    value = add(shift_right(head, 1), (jnp.zeros_like(digit), digit))

    sum_ = _approximate(value) * np.float32(2.0**-11) + root
    estimate = _approximate(remainder) / sum_ * (_SAFE * np.float32(2.0**-22 * 2.0**29))
    digit = estimate.astype(jnp.int32).astype(jnp.uint32)
    head = shift_left(value, 19)
    taken = _times_small(add(head, (jnp.zeros_like(digit), digit)), digit)
    remainder = subtract(shift_left(remainder, 36), taken)
    value = add(shift_left(value, 18), (jnp.zeros_like(digit), digit))

    one = jnp.zeros_like(digit), jnp.ones_like(digit)
    less = subtract(remainder, add(shift_left(value, 1), one))
    more = less[0] >> 31 == 0
    value = add(value, (jnp.zeros_like(digit), more.astype(jnp.uint32)))
    sticky = jnp.where(more, less[0] | less[1], remainder[0] | remainder[1]) != 0
    count = count_leading_zeros(value)  # value = sqrt(x) 2^29, in [2^55, 2^56)
    exponent = (a.exponent - odd.astype(jnp.int32)) // 2 + 8 - count.astype(jnp.int32)
    zero = a.high == 0
    exponent = jnp.where(zero, _ZERO_EXPONENT, exponent)
    high, low = shift_left_by(value, count)
    high, low = jnp.where(zero, 0, high), jnp.where(zero, 0, low)
    return rounded(a.sign, exponent, (high, low), sticky & ~zero)


def to_bits(a: Float64) -> Pair:
    """Return the numbers as IEEE words, the form in which to store them."""
    high, low = shift_right((a.high & np.uint32(0x7FFFFFFF), a.low), 11)
    exponent = jnp.where(a.high == 0, 0, a.exponent + 1023).astype(jnp.uint32)
    return high | exponent << 20 | a.sign << 31, low


def from_bits(bits: Pair) -> Float64:
    """Return numbers from IEEE words; inverse of `to_bits`."""
    high, low = bits
    exponent = (high >> 20 & np.uint32(0x7FF)).astype(jnp.int32)
    zero = exponent == 0
    top, bottom = shift_left((high, low), 11)
    return Float64(
        high >> 31,
        jnp.where(zero, _ZERO_EXPONENT, exponent - 1023),
        jnp.where(zero, np.uint32(0), top | np.uint32(1 << 31)),
        jnp.where(zero, np.uint32(0), bottom),
    )


def to_float64(a: Float64) -> jax.Array:
    """Return the numbers as JAX's own float64, which 64-bit mode must allow."""
    high, low = to_bits(a)
    return jax.lax.bitcast_convert_type(jnp.stack([low, high], axis=-1), jnp.float64)
