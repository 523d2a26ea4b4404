"""PyTorch's draws of integers, permutations and masks; public through `torch_cpu`."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_int, check_number, check_shape
from jaxinit._types import DTypeLike, Shape
from jaxinit.replay import _mt19937
from jaxinit.replay._arguments import check_draw, check_stream
from jaxinit.replay._draws import check_bounds
from jaxinit.replay._exact import narrow
from jaxinit.replay._native import native
from jaxinit.replay._torch_floats import unit_float64
from jaxinit.replay._torch_stream import Stream

_DTYPES = "float64", "float32", "bfloat16", "float16"
_WIDE = 1 << 28
"""Ranges from this length on take 64 bits for each integer."""


@functools.partial(boundary, name="torch_cpu.randint")
def randint(
    stream: Stream, shape: Shape, low: int, high: int | None = None
) -> tuple[Stream, jax.Array]:
    """Draw what ``torch.randint(low, high, shape)`` draws.

    Args:
        stream: The stream.
        shape: Axis lengths.
        low: The least value; or, if ``high`` is None, the bound above, from 0.
        high: One above the largest value.

    Returns:
        The stream after the draw, and the array, int32.

    Raises:
        ValueError: ``low`` is not below ``high``, or a value is beyond 32 bits.
    """
    check_stream(stream, Stream)
    lengths, (least, last) = check_shape(shape), check_bounds(low, high)
    return _integers(stream, lengths, least, last - least + 1)


@functools.partial(boundary, name="torch_cpu.randperm")
def randperm(stream: Stream, n: int) -> tuple[Stream, jax.Array]:
    """Draw what ``torch.randperm(n)`` draws.

    Args:
        stream: The stream.
        n: How many indices to permute.

    Returns:
        The stream after the draw, and the indices, int32 of shape ``(n,)``.
    """
    check_stream(stream, Stream)
    return _permutation(stream, check_int("n", n, least=0))


@functools.partial(boundary, name="torch_cpu.bernoulli")
def bernoulli(
    stream: Stream, shape: Shape, p: float = 0.5, dtype: DTypeLike | None = None
) -> tuple[Stream, jax.Array]:
    """Draw what ``torch.empty(shape).bernoulli_(p)`` draws: 1 with probability p, else 0.

    ``torch.bernoulli(tensor)`` of a float32 tensor of probabilities is another draw: it is
    ``uniform(stream, shape) < tensor``.

    Args:
        stream: The stream.
        shape: Axis lengths.
        p: The probability, from 0 to 1.
        dtype: float32, bfloat16, float16 or float64; None means JAX's default float.

    Returns:
        The stream after the draw, and the array.
    """
    check_stream(stream, Stream)
    lengths, kind = check_draw(shape, dtype, _DTYPES, 2)
    share = float(check_number("p", p, least=0.0, most=1.0))
    return _bernoulli(stream, np.array([share, 1.0]), lengths, kind)


@functools.partial(boundary, name="torch_cpu.dropout")
def dropout(
    stream: Stream, shape: Shape, p: float = 0.5, dtype: DTypeLike | None = None
) -> tuple[Stream, jax.Array]:
    """Draw the mask by which ``torch.nn.functional.dropout(x, p)`` multiplies ``x``.

    Args:
        stream: The stream.
        shape: The shape of ``x``.
        p: The probability of 0, from 0 to 1. Nothing is drawn for 0 and for 1.
        dtype: The dtype of ``x``, as in `bernoulli`.

    Returns:
        The stream after the draw, and the mask of 0 and 1 / (1 - p).

    Raises:
        ValueError: ``p`` is out of range.

    Example:
        >>> from jaxinit.replay import torch_cpu
        >>> stream = torch_cpu.manual_seed(0)
        >>> stream, mask = torch_cpu.dropout(stream, (2, 3), 0.5)
        >>> sorted(set(mask.ravel().tolist()))
        [0.0, 2.0]
    """
    check_stream(stream, Stream)
    lengths, kind = check_draw(shape, dtype, _DTYPES, 2)
    share = float(check_number("p", p, least=0.0, most=1.0))
    if share in (0.0, 1.0):
        return stream, jnp.full(lengths, 1.0 - share, kind)
    return _bernoulli(stream, np.array([1.0 - share, 1.0 - share]), lengths, kind)


@functools.partial(jax.jit, static_argnums=(1, 2, 3))
def _integers(
    stream: Stream, shape: tuple[int, ...], low: int, count: int
) -> tuple[Stream, jax.Array]:
    size = math.prod(shape)
    each = 2 if count >= _WIDE else 1
    window, raw = _mt19937.draw(stream.window, each * size)
    words = _mt19937.temper(raw).reshape(-1, each)
    values = _remainder(words, count) + np.int32(low)
    return dataclasses.replace(stream, window=window), values.reshape(shape)


@native
def _remainder(words: jax.Array, count: int) -> jax.Array:
    number = words[:, -1].astype(jnp.uint64)
    if words.shape[1] == 2:
        number = words[:, 0].astype(jnp.uint64) << 32 | number
    return (number % np.uint64(count)).astype(jnp.int32)


def swaps(words: jax.Array, size: int) -> jax.Array:
    """Return how far ahead each place of a permutation is swapped, one a word."""
    return (words % np.arange(size, size - words.shape[-1], -1, dtype=np.uint32)).astype(
        jnp.int32
    )


@functools.partial(jax.jit, static_argnums=1)
def _permutation(stream: Stream, n: int) -> tuple[Stream, jax.Array]:
    order = jnp.arange(n, dtype=jnp.int32)
    if n < 2:
        return stream, order
    window, raw = _mt19937.draw(stream.window, n - 1)
    ahead = swaps(_mt19937.temper(raw), n)

    def swap(i: jax.Array, order: jax.Array) -> jax.Array:
        pair = jnp.stack([i, i + ahead[i]])
        return order.at[pair].set(order[pair[::-1]])

    first, last = np.int32(0), np.int32(n - 1)
    order = jax.lax.fori_loop(first, last, swap, order)
    return dataclasses.replace(stream, window=window), order


@native
@functools.partial(jax.jit, static_argnums=(2, 3))
def _bernoulli(
    stream: Stream, shares: jax.Array, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> tuple[Stream, jax.Array]:
    """Return 1 over the second share with the probability of the first."""
    window, raw = _mt19937.draw(stream.window, 2 * math.prod(shape))
    words = _mt19937.temper(raw).reshape(-1, 2)
    chosen = unit_float64(words[:, 0], words[:, 1]) < shares[0]
    if dtype != np.float64:
        shares = shares.astype(jnp.float32).astype(jnp.float64)
    value = narrow(1.0 / shares[1], dtype)
    values = jnp.where(chosen, value, jnp.zeros((), dtype))
    return dataclasses.replace(stream, window=window), values.reshape(shape)
