"""Unsigned 64-bit and 128-bit integers as uint32 limbs.

JAX has no 64-bit integers unless they are switched on, so a 64-bit number is a pair
``(high, low)`` of uint32 arrays. All arithmetic wraps, as in C.
"""

import jax
import jax.numpy as jnp
import numpy as np

Pair = tuple[jax.Array, jax.Array]
"""A 64-bit number: the high and the low 32 bits."""


def pair(value: int) -> tuple[np.uint32, np.uint32]:
    """Return the low 64 bits of a Python int as constants."""
    return np.uint32(value >> 32 & 0xFFFFFFFF), np.uint32(value & 0xFFFFFFFF)


def multiply_wide(a: jax.Array, b: jax.Array | np.uint32) -> Pair:
    """Return all 64 bits of a product of two uint32, from 16-bit halves."""
    half = np.uint32(0xFFFF)
    a_high, a_low = a >> 16, a & half
    b_high, b_low = b >> np.uint32(16), b & half
    middle = a_high * b_low + (a_low * b_low >> 16)
    other = a_low * b_high + (middle & half)
    return a_high * b_high + (middle >> 16) + (other >> 16), a * b


def add(a: Pair, b: Pair) -> Pair:
    """Return ``a + b`` modulo 2^64."""
    low = a[1] + b[1]
    carry = (low < b[1]).astype(jnp.uint32)
    return a[0] + b[0] + carry, low


def subtract(a: Pair, b: Pair) -> Pair:
    """Return ``a - b`` modulo 2^64."""
    borrow = (a[1] < b[1]).astype(jnp.uint32)
    return a[0] - b[0] - borrow, a[1] - b[1]


def shift_left(a: Pair, count: int) -> Pair:
    """Return ``a`` shifted left by a static ``0 <= count < 64``."""
    high, low = a
    if count == 0:
        return a
    if count >= 32:
        return low << (count - 32), jnp.zeros_like(low)
    return high << count | low >> (32 - count), low << count


def shift_right(a: Pair, count: int) -> Pair:
    """Return ``a`` shifted right by a static ``0 <= count < 64``."""
    high, low = a
    if count == 0:
        return a
    if count >= 32:
        return jnp.zeros_like(high), high >> (count - 32)
    return high >> count, low >> count | high << (32 - count)


def shift_right_by(a: Pair, count: jax.Array) -> Pair:
    """Return ``a`` shifted right by any ``count``; 64 and more give zero."""
    high, low = a
    right = jax.lax.shift_right_logical
    left = jax.lax.shift_left
    # JAX's shifts by 32 and more (as unsigned) are zero, as wanted here.
    over = right(high, count), right(low, count) | left(high, np.uint32(32) - count)
    under = jnp.zeros_like(high), right(high, count - np.uint32(32))
    small = count < np.uint32(32)
    return jnp.where(small, over[0], under[0]), jnp.where(small, over[1], under[1])


def shift_left_by(a: Pair, count: jax.Array) -> Pair:
    """Return ``a`` shifted left by any ``count``; 64 and more give zero."""
    high, low = a
    right = jax.lax.shift_right_logical
    left = jax.lax.shift_left
    near = left(high, count) | right(low, np.uint32(32) - count), left(low, count)
    far = left(low, count - np.uint32(32)), jnp.zeros_like(low)
    small = count < np.uint32(32)
    return jnp.where(small, near[0], far[0]), jnp.where(small, near[1], far[1])


def count_leading_zeros(a: Pair) -> jax.Array:
    """Return how many bits stand before the highest set one; 64 for zero."""
    high, low = a
    below = np.uint32(32) + jax.lax.clz(low)
    return jnp.where(high == 0, below, jax.lax.clz(high))


def multiply_high(a: Pair, b: Pair) -> Pair:
    """Return the high 64 bits of the 128-bit product."""
    top = multiply_wide(a[0], b[0])
    left = multiply_wide(a[0], b[1])
    right = multiply_wide(a[1], b[0])
    bottom = multiply_wide(a[1], b[1])
    zero = jnp.zeros_like(top[0])
    middle = add(add(left, (zero, bottom[0])), (zero, right[1]))
    return add(add(top, (zero, middle[0])), (zero, right[0]))
