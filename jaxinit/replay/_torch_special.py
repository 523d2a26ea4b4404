"""The initializers of PyTorch that are more than one draw and a scale."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay import _mt19937, _torch_stream
from jaxinit.replay._torch_stream import Stream


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def trunc_normal(
    stream: Stream,
    shape: tuple[int, ...],
    law: tuple[float, float, float, float],
    dtype: np.dtype[Any],
) -> tuple[Stream, jax.Array]:
    """Draw whole tensors until each place has once been within the bounds."""
    mean, std = law[:2]
    low, high = (jnp.asarray(x, dtype) for x in law[2:])

    def outside(values: jax.Array) -> jax.Array:
        return (values < low) | (values > high)

    def body(state: tuple[Stream, jax.Array]) -> tuple[Stream, jax.Array]:
        stream, values = state
        stream, fresh = _torch_stream.normal(stream, shape, mean, std, dtype)
        return stream, jnp.where(outside(values), fresh, values)

    # The first draw is the loop's too, so that it is compiled once.
    start = stream, jnp.full(shape, jnp.inf, dtype)
    return jax.lax.while_loop(lambda s: jnp.any(outside(s[1])), body, start)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def orthogonal(
    stream: Stream, shape: tuple[int, ...], gain: float, dtype: np.dtype[Any]
) -> tuple[Stream, jax.Array]:
    """Draw a normal matrix and make it orthogonal by QR, the diagonal of R positive."""
    rows, columns = shape[0], math.prod(shape[1:])
    stream, matrix = _torch_stream.normal(stream, (rows, columns), 0.0, 1.0, dtype)
    wide = rows < columns
    q, r = jnp.linalg.qr(matrix.T if wide else matrix)
    q = q * jnp.sign(jnp.diagonal(r))
    values = (q.T if wide else q) * jnp.asarray(gain, dtype)
    return stream, values.reshape(shape)


@functools.partial(jax.jit, static_argnums=(1, 2, 3, 4))
def sparse(
    stream: Stream, shape: tuple[int, ...], zeros: int, std: float, dtype: np.dtype[Any]
) -> tuple[Stream, jax.Array]:
    """Draw normals, then shuffle the row numbers of each column as ``randperm`` does."""
    rows, columns = shape
    stream, values = _torch_stream.normal(stream, shape, 0.0, std, dtype)
    steps = max(rows - 1, 0)
    if not steps or not columns:
        return stream, jnp.zeros_like(values) if zeros else values
    window, raw = _mt19937.draw(stream.window, steps * columns)
    words = _mt19937.temper(raw).reshape(columns, steps)
    remaining = np.arange(rows, 1, -1, dtype=np.uint32)
    jump = (words % remaining).astype(jnp.int32)
    place = np.arange(columns)

    def swap(i: jax.Array, order: jax.Array) -> jax.Array:
        other = i + jump[:, i]
        here, there = order[:, i], order[place, other]
        return order.at[place, other].set(here).at[:, i].set(there)

    order = jnp.broadcast_to(jnp.arange(rows), (columns, rows))
    order = jax.lax.fori_loop(0, min(zeros, steps), swap, order)
    values = values.at[order[:, :zeros].T, place].set(0)
    return dataclasses.replace(stream, window=window), values
