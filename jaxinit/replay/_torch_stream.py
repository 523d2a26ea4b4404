"""The state of PyTorch's CPU generator as a value, and its two basic draws."""

import dataclasses
import functools
import math
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay import _mt19937
from jaxinit.replay._chunks import Columns
from jaxinit.replay._exact import is_small, narrow
from jaxinit.replay._native import native
from jaxinit.replay._rows import draw_rows, mersenne
from jaxinit.replay._torch_floats import (
    BLOCK,
    affine,
    as_taken,
    box_muller,
    box_muller_serial,
    box_muller_wide,
    units,
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

    start: ClassVar[str] = "torch_cpu.manual_seed(seed)"


Shape = tuple[int, ...]
Dtype = np.dtype[Any]
Pair = tuple[float, float]


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


def uniform_from_words(
    words: jax.Array, bounds: jax.Array, dtype: Dtype, small: bool
) -> jax.Array:
    """Return a flat uniform tensor from its words."""
    bounds = as_taken(bounds, dtype)
    return affine(units(words, dtype), bounds[0], bounds[1], dtype, small)


def normal_from_words(
    words: jax.Array, moments: jax.Array, dtype: Dtype, small: bool
) -> Columns:
    """Return the values of rows of `BLOCK` values of a normal tensor, as columns."""
    moments = as_taken(moments, dtype)
    if dtype == np.float64:
        return box_muller_wide(words, moments[0], moments[1])
    return box_muller(words, moments[0], moments[1], dtype, small)


def uniform(
    stream: Stream, shape: Shape, bounds: Pair, dtype: Dtype
) -> tuple[Stream, jax.Array]:
    """Draw ``torch.empty(shape).uniform_(low, high)``."""
    return uniform_of(stream, np.array(bounds), shape, dtype, is_small(bounds, dtype))


@native
@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def uniform_of(
    stream: Stream, bounds: jax.Array, shape: Shape, dtype: Dtype, small: bool
) -> tuple[Stream, jax.Array]:
    """Draw uniform numbers whose bounds are traced."""

    def work(words: jax.Array) -> Columns:
        return (uniform_from_words(words.reshape(-1), bounds, dtype, small)[:, None],)

    size = math.prod(shape)
    if size == 0:
        return stream, jnp.zeros(shape, dtype)
    each = words_of_uniform(1, dtype)
    stream, values, _ = draw_rows(mersenne, stream, size, size, each, work)
    return stream, values.reshape(shape)


def normal(
    stream: Stream, shape: Shape, moments: Pair, dtype: Dtype, serial: bool = False
) -> tuple[Stream, jax.Array]:
    """Draw ``torch.empty(shape).normal_(mean, std)``.

    Tensors that are not contiguous are ``serial``, as all below 16 values are.

    Returns:
        The stream after the draw, and the tensor.
    """
    small = is_small(moments, dtype)
    return normal_of(stream, np.array(moments), shape, dtype, small, serial)


@native
@functools.partial(jax.jit, static_argnums=(2, 3, 4, 5))
def normal_of(
    stream: Stream,
    moments: jax.Array,
    shape: Shape,
    dtype: Dtype,
    small: bool,
    serial: bool,
) -> tuple[Stream, jax.Array]:
    """Draw normals whose mean and std are traced."""
    size = math.prod(shape)
    if size == 0:
        return stream, jnp.zeros(shape, dtype)
    if size < BLOCK or serial:
        return _normal_serial(stream, moments, shape, dtype, small)

    def work(words: jax.Array) -> Columns:
        return normal_from_words(words, moments, dtype, small)

    each = words_of_uniform(BLOCK, dtype)
    full, rest = divmod(size, BLOCK)
    stream, values, _ = draw_rows(mersenne, stream, full, full + (rest > 0), each, work)
    if rest:
        skipped = words_of_normal(size, dtype) - full * each
        words, after = mersenne(stream, skipped)
        stream = after(skipped)
        last = jnp.concatenate(work(words[None, -each:]), axis=1)[0]
        values = jax.lax.dynamic_update_slice(values, last, (np.int32(size - BLOCK),))
    return stream, values[:size].reshape(shape)


def _normal_serial(
    stream: Stream, moments: jax.Array, shape: Shape, dtype: Dtype, small: bool
) -> tuple[Stream, jax.Array]:
    """Hand out the kept value, then pairs, and move the stream on by the pairs used."""
    size = math.prod(shape)
    pairs = -(-size // 2)
    raw, after = _mt19937.ahead(stream.window, 4 * pairs)
    rows = jnp.concatenate([stream.spare[None], _mt19937.temper(raw).reshape(-1, 4)])
    values = box_muller_serial(rows, moments[0], moments[1])
    kept = stream.kept.astype(jnp.int32)
    values = jax.lax.dynamic_slice(values, (2 - kept,), (size,))
    used = (size - kept + 1) // 2
    moved = Stream(after(4 * used), rows[used], (size - kept) % 2 == 1)
    return moved, narrow(values, dtype, small).reshape(shape)
