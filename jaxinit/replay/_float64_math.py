"""Logarithm, sine and cosine of software doubles, to about 2^-60.

Results are rounded from some 60 correct bits, so they are the correctly rounded doubles
but for about one in a hundred, which is off by one unit in the last place, as those of
any C library are.
"""

import decimal
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay._float64 import Float64, rounded
from jaxinit.replay._uint64 import (
    Pair,
    add,
    count_leading_zeros,
    multiply_high,
    multiply_wide,
    pair,
    shift_left,
    shift_left_by,
    shift_right,
    shift_right_by,
    subtract,
)

_CONTEXT = decimal.Context(prec=50)
_INTERVALS = 128


def _fixed(value: decimal.Decimal) -> int:
    """Return a number in [0, 1) times 2^64, to the nearest integer."""
    scaled = _CONTEXT.multiply(value, decimal.Decimal(1 << 64))
    return min(int(scaled.to_integral_value()), (1 << 64) - 1)


def _logarithm_tables() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return reciprocals c in units of 2^-10, and the halves of log(c) 2^64.

    Interval i of significands is [128 + i, 129 + i) / 256; c is the reciprocal of its
    upper end rounded down, so c m <= 1, and c = 1 in the last.
    """
    units = [256 * 1024 // (129 + i) for i in range(_INTERVALS)]
    logs = [
        _fixed(_CONTEXT.ln(_CONTEXT.divide(decimal.Decimal(c), decimal.Decimal(1024))))
        for c in units
    ]
    high, low = zip(*(pair(x) for x in logs), strict=True)
    return np.array(units, np.uint32), np.array(high), np.array(low)


_RECIPROCAL, _LOG_HIGH, _LOG_LOW = _logarithm_tables()
_LN2 = pair(_fixed(_CONTEXT.ln(decimal.Decimal(2))))


def _inverse(n: int) -> int:
    """Return 2^64 / n, rounded down."""
    return (1 << 64) // n


def minus_log(a: Float64) -> Float64:
    """Return ``-log(a)`` for ``2^-120 < a < 1``.

    With a = m 2^E, 1/2 <= m < 1, and a table of c close to 1 / m, the result is
    -E log(2) + log(c) - log(1 - r) with r = 1 - m c: all terms are positive.
    """
    power = (-(a.exponent + 1)).astype(jnp.uint32)  # -E
    index = (a.high >> 24 & np.uint32(_INTERVALS - 1)).astype(jnp.int32)
    units = jnp.asarray(_RECIPROCAL)[index]
    log_c = jnp.asarray(_LOG_HIGH)[index], jnp.asarray(_LOG_LOW)[index]

    m = shift_right((a.high, a.low), 10)
    high, low = multiply_wide(m[1], units)
    high = high + m[0] * units
    r = ~high, ~low
    r = add(r, (jnp.zeros_like(low), jnp.ones_like(low)))  # below 2^-6.8

    tail = jnp.full_like(low, pair(_inverse(10))[0])
    for k in (9, 8, 7, 6):
        tail = pair(_inverse(k))[0] + multiply_wide(r[0], tail)[0]
    series = tail, jnp.zeros_like(tail)
    for k in (5, 4, 3, 2):
        high, low = multiply_high(r, series)
        series = add((high, low), _full(pair(_inverse(k)), low))
    count = count_leading_zeros(r)
    half = shift_right(shift_left_by(r, count), 1)
    # -log(1 - r) = r (1 + r series) = term 2^-(63 + count)
    term = add(half, multiply_high(half, multiply_high(r, series)))

    below_half = power != 0  # then the sum has 7 bits before the point, else none
    multiple = multiply_wide(power, _LN2[1])
    upper = multiply_wide(power, _LN2[0])
    middle = upper[1] + multiple[0]
    top = upper[0] + (middle < upper[1]).astype(jnp.uint32)
    scaled = top << 25 | middle >> 7, middle << 25 | multiple[1] >> 7
    shifted = shift_right(log_c, 7)
    base = add(scaled, shifted)
    base = (
        jnp.where(below_half, base[0], log_c[0]),
        jnp.where(below_half, base[1], log_c[1]),
    )
    down = count + jnp.where(below_half, np.uint32(6), np.uint32(0xFFFFFFFF))
    total = add(base, shift_right_by(term, down))
    scale = jnp.where(below_half, np.int32(57), np.int32(64))

    alone = ~below_half & (units == np.uint32(1024))
    total = jnp.where(alone, term[0], total[0]), jnp.where(alone, term[1], total[1])
    scale = jnp.where(alone, np.int32(63) + count.astype(jnp.int32), scale)
    return _from_fixed(jnp.zeros_like(a.sign), total, scale)


def _full(value: tuple[np.uint32, np.uint32], like: jax.Array) -> Pair:
    return jnp.full_like(like, value[0]), jnp.full_like(like, value[1])


def _from_fixed(sign: jax.Array, value: Pair, scale: jax.Array) -> Float64:
    """Return an inexact ``value * 2^-scale``, rounded."""
    count = count_leading_zeros(value)
    exponent = np.int32(63) - scale - count.astype(jnp.int32)
    inexact = jnp.ones_like(count, dtype=jnp.bool_)
    return rounded(sign, exponent, shift_left_by(value, count), inexact)


_TWO_OVER_PI = decimal.Decimal("0.63661977236758134307553505349005744813783858296183")
_PI_OVER_FOUR = decimal.Decimal("0.78539816339744830961566084581987572104929234984378")
_SHORT = 28
"""The high terms of the series are kept in 32 bits, scaled up by 2^28."""


def _factorials(start: int) -> tuple[list[int], list[int]]:
    """Return 2^64 / n! for five n from ``start``, and 2^60 / n! for the next four."""
    inverse = [
        _fixed(_CONTEXT.divide(decimal.Decimal(1), decimal.Decimal(math.factorial(n))))
        for n in range(start, start + 18, 2)
    ]
    return inverse[:5], [x >> (32 - _SHORT) for x in inverse[5:]]


_SIN, _COS = _factorials(3), _factorials(2)


def circle(angle: Float64, want_sin: jax.Array) -> Float64:
    """Return the sine where it is wanted, else the cosine, of angles in [0, 2 pi].

    The absolute error is about 2^-60. Both series have one form, x (1 - x^2 / 3! + ...)
    and 1 - x^2 / 2! + ..., so that only one of them is evaluated.
    """
    down = (np.int32(2) - angle.exponent).astype(jnp.uint32)
    theta = shift_right_by((angle.high, angle.low), down)  # units of 2^-61
    turn = multiply_high(theta, _full(pair(_fixed(_TWO_OVER_PI)), theta[0]))
    quadrant = turn[0] >> 29
    part = shift_left(turn, 3)
    fold = part[0] >> 31 == 1
    other = ~part[0], ~part[1]
    part = jnp.where(fold, other[0], part[0]), jnp.where(fold, other[1], part[1])
    quarter_pi = _full(pair(_fixed(_PI_OVER_FOUR)), theta[0])
    x = multiply_high(shift_left(part, 1), quarter_pi)
    z = multiply_high(x, x)

    odd = want_sin ^ fold ^ ((quadrant & 1) == 1)  # whether the sine's series is due

    def choose(sin: int, cos: int) -> jax.Array:
        return jnp.where(odd, np.uint32(sin), np.uint32(cos))

    tail = choose(_SIN[1][-1], _COS[1][-1])
    for sin, cos in zip(_SIN[1][-2::-1], _COS[1][-2::-1], strict=True):
        tail = choose(sin, cos) - multiply_wide(z[0], tail)[0]
    series = tail >> _SHORT, tail << (32 - _SHORT)
    for sin, cos in zip(_SIN[0][::-1], _COS[0][::-1], strict=True):
        high, low = pair(sin), pair(cos)
        c = choose(int(high[0]), int(low[0])), choose(int(high[1]), int(low[1]))
        series = subtract(c, multiply_high(z, series))
    high, low = multiply_high(z, series)
    rest = ~high, ~low  # 1 - z series
    short = multiply_high(x, rest)
    value = jnp.where(odd, short[0], rest[0]), jnp.where(odd, short[1], rest[1])
    sign = jnp.where(want_sin, quadrant >> 1, (quadrant + np.uint32(1)) >> 1)
    scale = jnp.full_like(angle.exponent, 64)
    return _from_fixed(sign & np.uint32(1), value, scale)
