"""The state of PyTorch's CPU generator as a value, and its two basic draws."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay import _float64, _mt19937
from jaxinit.replay._torch_floats import (
    BLOCK,
    affine,
    box_muller,
    box_muller_serial,
    box_muller_wide,
    narrow,
    unit_float32,
    unit_float64,
)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stream:
    """Where PyTorch's CPU generator stands: a pytree that draws take and return.

    A stream is a value. A draw does not change the one that it is given; it returns the
    next. The number of words drawn so far needs no place in it.

    Attributes:
        window: The last 624 raw words of the generator, uint32 of shape ``(624,)``.
        spare: The words of the last pair of serial normals, uint32 of shape ``(4,)``.
        kept: Whether the second value of that pair is still to be given out; bool.
    """

    window: jax.Array
    spare: jax.Array
    kept: jax.Array


Shape = tuple[int, ...]
Dtype = np.dtype[Any]


@jax.jit
def start(seed: jax.Array) -> Stream:
    """Return the stream of a uint32 seed."""
    spare = jnp.zeros((4,), jnp.uint32)
    return Stream(_mt19937.window_from_seed(seed), spare, jnp.array(False))


def words_of_uniform(size: int, dtype: Dtype) -> int:
    """Return how many words a uniform tensor takes."""
    return size * (2 if dtype == np.float64 else 1)


def words_of_normal(size: int, dtype: Dtype) -> int:
    """Return how many words a normal tensor of 16 values or more takes.

    If the last block is not full, the last 16 values are drawn again. The narrow dtypes
    do not draw for that block before.
    """
    if size % BLOCK == 0:
        return words_of_uniform(size, dtype)
    if dtype.itemsize == 2:
        return size // BLOCK * BLOCK + BLOCK
    return words_of_uniform(size + BLOCK, dtype)


def uniform_values(words: jax.Array, low: float, high: float, dtype: Dtype) -> jax.Array:
    """Return a flat uniform tensor from its words."""
    if dtype == np.float64:
        unit, wide = unit_float64(words.reshape(-1, 2)), np.float64
    else:
        unit, wide = unit_float32(words), np.float32
    # Arrays, not numbers: the optimiser must not see them as constants.
    values = affine(unit, jnp.asarray(wide(low)), jnp.asarray(wide(high)))
    if dtype.itemsize == 2:
        values = narrow(values, dtype).astype(jnp.float32)
    top, bottom = (jnp.asarray(x, dtype).astype(wide) for x in (high, low))
    return jnp.where(values == top, bottom, values).astype(dtype)


def normal_values(words: jax.Array, mean: float, std: float, dtype: Dtype) -> jax.Array:
    """Return a flat normal tensor of 16 values or more from its words, raw blocks."""
    if dtype == np.float64:
        wide = _float64.constant(mean), _float64.constant(std)
        return box_muller_wide(words.reshape(-1, 2), *wide)
    narrowed = jnp.asarray(np.float32(mean)), jnp.asarray(np.float32(std))
    return narrow(box_muller(words, *narrowed), dtype)


def normal_from_words(
    words: jax.Array, size: int, mean: float, std: float, dtype: Dtype
) -> jax.Array:
    """Return a flat normal tensor of 16 values or more from `words_of_normal` words."""
    rest = size % BLOCK
    if rest:
        each = 2 if dtype == np.float64 else 1
        full = size // BLOCK * BLOCK * each
        words = jnp.concatenate([words[:full], words[-BLOCK * each :]])
    values = normal_values(words, mean, std, dtype)
    if rest:
        values = jnp.concatenate([values[: size - BLOCK], values[-BLOCK:]])
    return values


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4))
def uniform(
    stream: Stream, shape: Shape, low: float, high: float, dtype: Dtype
) -> tuple[Stream, jax.Array]:
    """Draw ``torch.empty(shape).uniform_(low, high)``."""
    count = words_of_uniform(math.prod(shape), dtype)
    window, raw = _mt19937.draw(stream.window, count)
    values = uniform_values(_mt19937.temper(raw), low, high, dtype)
    return dataclasses.replace(stream, window=window), values.reshape(shape)


def normal(
    stream: Stream, shape: Shape, mean: float, std: float, dtype: Dtype
) -> tuple[Stream, jax.Array]:
    """Draw ``torch.empty(shape).normal_(mean, std)``."""
    size = math.prod(shape)
    if size >= BLOCK:
        return _normal_blocks(stream, shape, mean, std, dtype)
    if size == 0:
        return stream, jnp.zeros(shape, dtype)
    law = _float64.constant(mean), _float64.constant(std)
    raw, rows = _serial_words(stream)
    # Compiled once for all small tensors, since it is the longest of the programs.
    values = _serial_values(rows, *law, dtype == np.float64)
    return _serial_take(stream, raw, rows, values, shape, dtype)


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4))
def _normal_blocks(
    stream: Stream, shape: Shape, mean: float, std: float, dtype: Dtype
) -> tuple[Stream, jax.Array]:
    size = math.prod(shape)
    window, raw = _mt19937.draw(stream.window, words_of_normal(size, dtype))
    values = normal_from_words(_mt19937.temper(raw), size, mean, std, dtype)
    return dataclasses.replace(stream, window=window), values.reshape(shape)


@jax.jit
def _serial_words(stream: Stream) -> tuple[jax.Array, jax.Array]:
    """Return raw words for the largest small tensor; the kept pair and theirs."""
    _, raw = _mt19937.draw(stream.window, 2 * BLOCK)
    fresh = _mt19937.temper(raw).reshape(-1, 4)
    return raw, jnp.concatenate([stream.spare[None], fresh])


_serial_values = jax.jit(box_muller_serial, static_argnums=3)


@functools.partial(jax.jit, static_argnums=(4, 5))
def _serial_take(
    stream: Stream,
    raw: jax.Array,
    rows: jax.Array,
    values: jax.Array,
    shape: Shape,
    dtype: Dtype,
) -> tuple[Stream, jax.Array]:
    """Hand out the values due, and move the stream on by the pairs used."""
    size = math.prod(shape)
    kept = stream.kept.astype(jnp.int32)
    values = jax.lax.dynamic_slice(values, (2 - kept,), (size,))
    used = (size - kept + 1) // 2
    both = jnp.concatenate([stream.window, raw])
    window = jax.lax.dynamic_slice(both, (4 * used,), (_mt19937.LENGTH,))
    after = Stream(window, rows[used], (size - kept) % 2 == 1)
    return after, narrow(values, dtype).reshape(shape)
