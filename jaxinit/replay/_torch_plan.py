"""What a PyTorch layer draws, as plain data, and the drawing of it."""

import dataclasses
import functools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay import _mt19937, _torch_stream
from jaxinit.replay._torch_floats import BLOCK
from jaxinit.replay._torch_stream import Stream


@dataclasses.dataclass(frozen=True)
class Draw:
    """One tensor of a layer.

    Attributes:
        name: Its name in the layer's state dict.
        shape: Axis lengths.
        law: ``"uniform"`` on [-scale, scale), ``"normal"`` with std ``scale``, or
            ``"fill"`` with ``scale``, which draws nothing.
        scale: The number that the law takes.
        place: Its place in the state dict, where that is not the order of drawing.
        zero: ``"all"`` if the layer clears the tensor after drawing it, or the number
            of a row that it clears.
    """

    name: str
    shape: tuple[int, ...]
    law: Literal["uniform", "normal", "fill"]
    scale: float
    place: int = 0
    zero: Literal["all"] | int | None = None


def kaiming_bound(fan_in: int) -> float:
    """Return the bound of ``kaiming_uniform_(a=sqrt(5))``, in PyTorch's operations."""
    gain = math.sqrt(2.0 / (1 + math.sqrt(5) ** 2))
    return math.sqrt(3.0) * (gain / math.sqrt(fan_in))


def xavier_std(fan_in: int, fan_out: int) -> float:
    """Return the standard deviation of the Xavier laws, in PyTorch's operations."""
    return math.sqrt(2.0 / float(fan_in + fan_out))


def execute(
    stream: Stream, draws: list[Draw], dtype: np.dtype[Any]
) -> tuple[Stream, list[jax.Array]]:
    """Return the stream after the draws, and the tensors in their order.

    Words are made for as many tensors as possible at a time. Only small normals stand
    alone, as they may use a value that an earlier one has left.

    Args:
        stream: The stream.
        draws: What to draw.
        dtype: The dtype of all tensors.

    Returns:
        The stream and the tensors.
    """
    results: list[jax.Array] = []
    pending: list[Draw] = []
    for draw in draws:
        if draw.law == "normal" and 0 < math.prod(draw.shape) < BLOCK:
            stream = _flush(stream, pending, results, dtype)
            pending = []
            stream, values = _torch_stream.normal(
                stream, draw.shape, 0.0, draw.scale, dtype
            )
            results.append(_cleared(values, draw))
        else:
            pending.append(draw)
    return _flush(stream, pending, results, dtype), results


def _words(draw: Draw, dtype: np.dtype[Any]) -> int:
    size = math.prod(draw.shape)
    if draw.law == "fill" or size == 0:
        return 0
    count = _torch_stream.words_of_uniform
    return (count if draw.law == "uniform" else _torch_stream.words_of_normal)(size, dtype)


def _flush(
    stream: Stream, draws: list[Draw], results: list[jax.Array], dtype: np.dtype[Any]
) -> Stream:
    counts = [_words(d, dtype) for d in draws]
    window, words = _take_words(stream.window, sum(counts))
    start = 0
    for draw, count in zip(draws, counts, strict=True):
        unnamed = dataclasses.replace(draw, name="", place=0)
        results.append(_tensor(words, jnp.int32(start), count, unnamed, dtype))
        start += count
    return dataclasses.replace(stream, window=window)


@functools.partial(jax.jit, static_argnums=1)
def _take_words(window: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    window, raw = _mt19937.draw(window, count)
    return window, _mt19937.temper(raw)


@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def _tensor(
    words: jax.Array, start: jax.Array, count: int, draw: Draw, dtype: np.dtype[Any]
) -> jax.Array:
    """Make one tensor; compiled once for all of one shape and law."""
    if draw.law == "fill" or count == 0:
        return jnp.full(draw.shape, draw.scale, dtype)
    part = jax.lax.dynamic_slice(words, (start,), (count,))
    if draw.law == "uniform":
        values = _torch_stream.uniform_values(part, -draw.scale, draw.scale, dtype)
    else:
        size = math.prod(draw.shape)
        values = _torch_stream.normal_from_words(part, size, 0.0, draw.scale, dtype)
    return _cleared(values.reshape(draw.shape), draw)


def _cleared(values: jax.Array, draw: Draw) -> jax.Array:
    if draw.zero is None:
        return values
    return jnp.zeros_like(values) if draw.zero == "all" else values.at[draw.zero].set(0)
