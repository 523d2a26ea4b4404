"""A key to random words: the bits that every draw is made of.

For threefry keys the words are those of ``jax.random.bits`` with partitionable threefry,
bit for bit, written as one unrolled elementwise expression of each element's own index. So
a compiled draw needs no array but its result, and every device can make its own part.
Other key implementations go through ``jax.random.bits``.
"""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinit._types import Key

# Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"; Random123, threefry.h.
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA

THREEFRY = "threefry2x32"
"""The name of JAX's own implementation."""

FUSED_TAG = "fused_fry"
"""What stands for the implementation of fused keys."""

_Pair = tuple[jax.Array, jax.Array]


def threefry_2x32(key: Any, counter: Any) -> Any:
    """Return the two words of Threefry-2x32 with 20 rounds, of JAX or NumPy arrays."""
    schedule = (*key, key[0] ^ key[1] ^ np.uint32(_PARITY))
    x0, x1 = counter[0] + schedule[0], counter[1] + schedule[1]
    for group in range(1, 6):
        for distance in _ROTATIONS[(group - 1) % 2]:
            x0 = x0 + x1
            x1 = _rotate_left(x1, distance) ^ x0
        x0 = x0 + schedule[group % 3]
        x1 = x1 + (schedule[(group + 1) % 3] + np.uint32(group))
    return x0, x1


def _rotate_left(x: Any, distance: int) -> Any:
    return (x << np.uint32(distance)) | (x >> np.uint32(32 - distance))


def stream_index(shape: Sequence[int]) -> _Pair:
    """Return the high and low word of the row-major index of every element.

    They broadcast to the shape; the high word is a constant up to 2^32 elements.
    """
    high, low = linear_index(shape, [_along(shape, axis) for axis in range(len(shape))])
    return (guarded(high) if math.prod(shape) > 2**32 else high), guarded(low)


def guarded(index: jax.Array) -> jax.Array:
    """Return the index as it is, so that LLVM does not follow it.

    LLVM's vectorizer, as JAX 0.12 has it, follows every path from a loop's index through
    additions and shifts to a call such as tanh, of which threefry has 2^20 and more. It
    stops at a minimum, and at nothing that it can prove to be idle.
    """
    return lax.min(index, lax.optimization_barrier(jnp.uint32(0xFFFFFFFF)))


def _along(shape: Sequence[int], axis: int) -> _Pair:
    """Return the coordinate on an axis as two words."""
    if shape[axis] <= 2**32:
        return jnp.uint32(0), lax.broadcasted_iota(jnp.uint32, shape, axis)
    with jax.enable_x64(True):
        whole = lax.broadcasted_iota(jnp.uint64, shape, axis)
        return (whole >> np.uint64(32)).astype(jnp.uint32), whole.astype(jnp.uint32)


def linear_index(shape: Sequence[int], coordinates: Sequence[_Pair]) -> _Pair:
    """Return the high and low word of the row-major index of each coordinate.

    The coordinates are two ``uint32`` arrays an axis, that broadcast together.
    """
    high = low = jnp.uint32(0)
    wide = math.prod(shape) > 2**32
    stride = 1
    for length, (above, along) in reversed(list(zip(shape, coordinates, strict=True))):
        if length > 1:
            step = along if stride == 1 else along * jnp.uint32(stride % 2**32)
            total = low + step
            if wide:
                carry = (total < step).astype(jnp.uint32)
                high = high + _high_product(along, stride) + carry
            if length > 2**32:
                high = high + above * jnp.uint32(stride % 2**32)
            low = total
        stride *= length
    return high, low


def _high_product(x: jax.Array, factor: int) -> jax.Array:
    """Return bits 32 to 63 of ``x * factor`` using 32-bit arithmetic only."""
    half = jnp.uint32(16)
    mask = jnp.uint32(0xFFFF)
    x_low, x_high = x & mask, x >> half
    f_low, f_high = jnp.uint32(factor % 2**16), jnp.uint32(factor % 2**32 >> 16)
    middle = x_high * f_low + (x_low * f_low >> half)
    crossed = x_low * f_high + (middle & mask)
    low_part = x_high * f_high + (middle >> half) + (crossed >> half)
    return low_part + x * jnp.uint32(factor >> 32)


def is_threefry(key: Key) -> bool:
    """Whether the words of this typed key are made by our own expression."""
    return is_threefry_implementation(jax.random.key_impl(key))


def is_threefry_implementation(implementation: object) -> bool:
    """Whether this is Threefry-2x32, as ``jax.random.key_impl`` gives it."""
    return str(implementation) in {THREEFRY, "fry", FUSED_TAG}


def key_words(key: Key) -> _Pair:
    """Return the two words of a threefry key."""
    data = jax.random.key_data(key)
    return data[0], data[1]


def subkey_words(key: _Pair, number: int) -> _Pair:
    """Return the words of ``jax.random.split(key, n)[number]``, for any n above it."""
    return threefry_2x32(key, (jnp.uint32(0), jnp.uint32(number)))


def index_bits(key: _Pair, high: jax.Array, low: jax.Array, bits: int) -> jax.Array:
    """Return the random bits, 8 to 64 of them, at each index of the stream of a key."""
    first, second = threefry_2x32(key, (high, low))
    if bits == 64:
        return (first.astype(jnp.uint64) << jnp.uint64(32)) | second.astype(jnp.uint64)
    return (first ^ second).astype({8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32}[bits])


def random_bits(
    key: Key, shape: tuple[int, ...], bits: int, streams: int
) -> list[jax.Array]:
    """Return one array of words for each stream.

    Args:
        key: One typed key.
        shape: Axis lengths of each array.
        bits: 32 or 64, the size of a word. 64 needs 64-bit mode.
        streams: How many arrays. One alone is the stream of the key itself; several are
            those of ``jax.random.split(key, streams)``.

    Returns:
        The arrays, all of ``shape``, of ``uint32`` or ``uint64``.
    """
    if not is_threefry(key):
        keys = [key] if streams == 1 else list(jax.random.split(key, streams))
        dtype = jnp.uint32 if bits == 32 else jnp.uint64
        return [jax.random.bits(k, shape, dtype) for k in keys]
    root = key_words(key)
    roots = [root] if streams == 1 else [subkey_words(root, i) for i in range(streams)]
    index = stream_index(shape)
    return [jnp.broadcast_to(index_bits(r, *index, bits), shape) for r in roots]
