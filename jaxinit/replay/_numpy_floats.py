"""From raw Mersenne words to the doubles of NumPy's legacy generator.

All runs with 64-bit types. NumPy is compiled without fused operations: every product is
rounded before it is added to.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay._chunks import Columns
from jaxinit.replay._exact import narrow, product
from jaxinit.replay._native import native
from jaxinit.replay._rows import bucket, draw_rows, first, mersenne


def unit(first: jax.Array, second: jax.Array) -> jax.Array:
    """Return a double in [0, 1), a multiple of 2^-53."""
    high, low = (first >> 5).astype(jnp.float64), (second >> 6).astype(jnp.float64)
    return high * 2.0**-27 + low * 2.0**-53


def doubles(
    stream: Any, count: jax.Array, room: int, of: Callable[[jax.Array], jax.Array]
) -> tuple[Any, jax.Array]:
    """Draw doubles on [0, 1), and return what is computed of them, and some more."""

    def work(words: jax.Array) -> tuple[jax.Array]:
        return (of(unit(words[:, 0], words[:, 1]))[:, None],)

    stream, values, _ = draw_rows(mersenne, stream, count, room, 2, work)
    return stream, values


def scaled(values: jax.Array, factor: jax.Array, term: jax.Array) -> jax.Array:
    """Return ``factor * values + term``, rounded twice."""
    return product(values, factor) + term


def finish(values: jax.Array, dtype: np.dtype[Any]) -> jax.Array:
    """Return doubles in the dtype that was asked for, subnormal float32 included."""
    return narrow(values, dtype, True)


def _point(words: jax.Array) -> tuple[jax.Array, ...]:
    """Return coordinates in [-1, 1), and the squared distance from the centre."""
    a, b, c, d = (words[:, i] for i in range(4))
    x, y = 2 * unit(a, b) - 1, 2 * unit(c, d) - 1
    return x, y, product(x, x) + product(y, y)


def in_circle(words: jax.Array) -> jax.Array:
    """Return which rows of four words are points in the unit circle, not its centre."""
    square = _point(words)[2]
    return (square < 1) & (square != 0)


def polar(words: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return two normals of each such row by Marsaglia's polar method, in NumPy's order."""
    x, y, square = _point(words)
    radius = jnp.sqrt(-2 * jnp.log(square) / square)
    return radius * y, radius * x


Pair = Callable[[jax.Array], tuple[jax.Array, jax.Array]]


def normals_in_pairs(
    stream: Any,
    affine: np.ndarray,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    pair: Pair,
    accept: Callable[[jax.Array], jax.Array] | None = None,
    share: float = 1.0,
) -> tuple[Any, jax.Array]:
    """Draw normals, two of each four words; of an odd number the stream keeps the last.

    Args:
        stream: The stream, a `MersenneStream`.
        affine: Mean and standard deviation.
        shape: The shape.
        dtype: The dtype.
        pair: From rows of four words to their two normals.
        accept: Which rows are taken; None means all.
        share: The share of these rows.

    Returns:
        The stream after the draw, and the array.
    """
    size = math.prod(shape)
    if size == 0:
        return stream, jnp.zeros(shape, dtype)
    fresh = size - (stream.spare is not None)
    pairs = -(-fresh // 2)
    static = pair, accept, share, bucket(pairs), fresh % 2 == 1, dtype
    stream, values = _normals(stream, affine, np.int32(pairs), *static)
    return stream, first(values, shape)


@native
@functools.partial(jax.jit, static_argnums=(3, 4, 5, 6, 7, 8))
def _normals(
    stream: Any,
    affine: jax.Array,
    count: jax.Array,
    pair: Pair,
    accept: Callable[[jax.Array], jax.Array] | None,
    share: float,
    room: int,
    odd: bool,
    dtype: np.dtype[Any],
) -> tuple[Any, jax.Array]:
    def work(words: jax.Array) -> Columns:
        values = (scaled(x, affine[1], affine[0]) for x in pair(words))
        return tuple(finish(x, dtype)[:, None] for x in values)

    tries = work, accept, share
    after, values, last = draw_rows(mersenne, stream, count, room, 4, *tries)
    if stream.spare is not None:
        values = jnp.concatenate([work(stream.spare[None])[1][0], values])
    return dataclasses.replace(after, spare=last if odd else None), values
