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

Block = tuple[tuple[int, ...], jax.Array]
"""Axis lengths of a block, and its first index on every axis as two ``uint32`` words."""

_OURS = 0x6A61786E
"""The upper word of the counters that inner streams come from: 'jaxn'."""


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


def stream_index(shape: Sequence[int], block: Block | None = None) -> _Pair:
    """Return the high and low word of the row-major index of every element.

    Args:
        shape: Axis lengths of the array.
        block: The lengths of a block of it, and the two words of its first index on every
            axis; None for the whole array.

    Returns:
        The words, which broadcast to the shape of the block. The high word is a constant
        up to 2^32 elements of the array.
    """
    lengths = shape if block is None else block[0]
    along = [_along(lengths, axis) for axis in range(len(lengths))]
    wide = math.prod(shape) > 2**32
    high, low = linear_index(shape, along)
    if block is not None:
        offset = linear_index(shape, [(w[0], w[1]) for w in block[1]])
        if wide:
            carry = (low + offset[1] < low).astype(jnp.uint32)
            high = high + offset[0] + carry
        low = low + offset[1]
    return (guarded(high) if wide else high), guarded(low)


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


def inner_key(key: Key, number: int) -> Key:
    """Return the key of one of the streams that a draw needs beside each other.

    They are no keys that ``jax.random.split`` or ``fold_in`` make of the same key, as long
    as nobody splits it into 2^62 parts, or folds in our own word.
    """
    if not is_threefry(key):
        return jax.random.fold_in(jax.random.fold_in(key, _OURS), number)
    words = threefry_2x32(key_words(key), (jnp.uint32(_OURS), jnp.uint32(number)))
    return jax.random.wrap_key_data(jnp.stack(words), impl=jax.random.key_impl(key))


def index_bits(key: _Pair, high: jax.Array, low: jax.Array, bits: int) -> jax.Array:
    """Return the random bits, 8 to 64 of them, at each index of the stream of a key."""
    first, second = threefry_2x32(key, (high, low))
    if bits == 64:
        return (first.astype(jnp.uint64) << jnp.uint64(32)) | second.astype(jnp.uint64)
    return (first ^ second).astype({8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32}[bits])


def random_bits(
    key: Key, shape: tuple[int, ...], bits: int, streams: int, block: Block | None = None
) -> list[jax.Array]:
    """Return one array of random bits for each stream.

    Args:
        key: One typed key.
        shape: Axis lengths of each array.
        bits: 32 or 64, how many an element. 64 needs 64-bit mode.
        streams: How many arrays. One alone is the stream of the key itself; several are
            those of inner keys.
        block: The block of the array that is wanted; None for the whole.

    Returns:
        The arrays, of ``uint32`` or ``uint64``.
    """
    keys = [key] if streams == 1 else [inner_key(key, i) for i in range(streams)]
    if not is_threefry(key):
        return [_bits_of_jax(k, shape, bits, block) for k in keys]
    index = stream_index(shape, block)
    lengths = shape if block is None else block[0]
    found = [index_bits(key_words(k), *index, bits) for k in keys]
    return [jnp.broadcast_to(x, lengths) for x in found]


def _bits_of_jax(
    key: Key, shape: tuple[int, ...], bits: int, block: Block | None
) -> jax.Array:
    drawn = jax.random.bits(key, shape, jnp.uint32 if bits == 32 else jnp.uint64)
    if block is None:
        return drawn
    lengths, start = block
    return lax.dynamic_slice(drawn, [w[1].astype(jnp.int32) for w in start], lengths)
