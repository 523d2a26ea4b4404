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


def linear_index(shape: Sequence[int], coordinates: Sequence[jax.Array]) -> _Pair:
    """Return the high and low word of the row-major index of each coordinate.

    The coordinates are ``uint32`` arrays, one an axis, that broadcast together.
    """
    high = low = jnp.uint32(0)
    wide = math.prod(shape) > 2**32
    stride = 1
    for length, along in reversed(list(zip(shape, coordinates, strict=True))):
        if length > 1:
            step = along if stride == 1 else along * jnp.uint32(stride % 2**32)
            total = low + step
            if wide:
                carry = (total < step).astype(jnp.uint32)
                high = high + _high_product(along, stride) + carry
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
    return str(jax.random.key_impl(key)) in {"threefry2x32", "fry"}


def key_words(key: Key) -> _Pair:
    """Return the two words of a threefry key."""
    data = jax.random.key_data(key)
    return data[0], data[1]


def subkey_words(key: _Pair, number: int) -> _Pair:
    """Return the words of ``jax.random.split(key, n)[number]``, for any n above it."""
    return threefry_2x32(key, (jnp.uint32(0), jnp.uint32(number)))


def index_words(key: _Pair, high: jax.Array, low: jax.Array, bits: int) -> jax.Array:
    """Return the random word, of 32 or 64 bits, at each index of the stream of a key."""
    first, second = threefry_2x32(key, (high, low))
    if bits == 32:
        return first ^ second
    return (first.astype(jnp.uint64) << jnp.uint64(32)) | second.astype(jnp.uint64)


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
    coordinates = [
        lax.broadcasted_iota(jnp.uint32, shape, axis) for axis in range(len(shape))
    ]
    high, low = linear_index(shape, coordinates)
    # Changes no value. LLVM's vectorizer, as JAX 0.12 has it, follows every path from the
    # loop's index through additions and shifts to a call such as tanh, of which there are
    # 2^20 and more; it stops at a minimum, and at nothing that it can prove to be idle.
    low = lax.min(low, lax.optimization_barrier(jnp.uint32(0xFFFFFFFF)))
    return [jnp.broadcast_to(index_words(r, high, low, bits), shape) for r in roots]
