"""What a PyTorch layer draws, as plain data, and the drawing of it."""

import dataclasses
import functools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import is_traced
from jaxinit.replay import _mt19937, _torch_stream
from jaxinit.replay._native import native
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
            law = 0.0, draw.scale
            stream, values = _torch_stream.normal(stream, draw.shape, law, dtype)
            if draw.zero is not None:
                values = values.at[_zeros(draw)].set(0)
            results.append(values)
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
    make = _traced if is_traced(stream.window) else _eager
    window, tensors = make(stream.window, draws, counts, dtype)
    results += tensors
    return dataclasses.replace(stream, window=window)


def _bounds(draw: Draw) -> tuple[float, float]:
    return (-draw.scale, draw.scale) if draw.law == "uniform" else (0.0, draw.scale)


def _fill(draw: Draw, dtype: np.dtype[Any]) -> np.ndarray:
    return np.full(draw.shape, draw.scale if draw.law == "fill" else 0, dtype)


def _traced(
    window: jax.Array, draws: list[Draw], counts: list[int], dtype: np.dtype[Any]
) -> tuple[jax.Array, list[jax.Array]]:
    """Make the tensors inside a larger program."""
    window, raw = _mt19937.draw(window, sum(counts))
    words, start, tensors = _mt19937.temper(raw), 0, []
    for draw, count in zip(draws, counts, strict=True):
        values = jnp.asarray(_fill(draw, dtype))
        if count:
            part = words[start : start + count]
            law = draw.law, _torch_stream.is_small(_bounds(draw), dtype)
            scalars = np.array(_bounds(draw))
            values = _values(part, scalars, math.prod(draw.shape), dtype, *law)
            values = values.reshape(draw.shape)
        if draw.zero is not None:
            values = values.at[_zeros(draw)].set(0)
        tensors.append(values)
        start += count
    return window, tensors


def _eager(
    window: jax.Array, draws: list[Draw], counts: list[int], dtype: np.dtype[Any]
) -> tuple[jax.Array, list[jax.Array]]:
    """Make the tensors by a few programs of fixed size, whatever their shapes are."""
    raw = [np.asarray(window)]
    for _ in range(0, sum(counts), _DRAWN):
        window, part = _draw_words(window)
        raw.append(np.asarray(part))
    flat, start, tensors = np.concatenate(raw), _mt19937.LENGTH, []
    for draw, count in zip(draws, counts, strict=True):
        values = _fill(draw, dtype)
        if count:
            words = flat[start : start + count]
            values = _pieces(words, draw, dtype).reshape(draw.shape)
        if draw.zero is not None:
            values[_zeros(draw)] = 0
        tensors.append(jnp.asarray(values))
        start += count
    return jnp.asarray(flat[start - _mt19937.LENGTH : start]), tensors


def _pieces(words: np.ndarray, draw: Draw, dtype: np.dtype[Any]) -> np.ndarray:
    """Return the values of one tensor from its raw words, in pieces of fixed size."""
    size, each = math.prod(draw.shape), 2 if dtype == np.float64 else 1
    rest = size % BLOCK if draw.law == "normal" else 0
    if rest:
        full = (size - rest) * each
        words = np.concatenate([words[:full], words[-BLOCK * each :]])
    law = draw.law, _torch_stream.is_small(_bounds(draw), dtype)
    scalars, parts, start = np.array(_bounds(draw)), [], 0
    while start < words.size:
        left = words.size - start
        length = next((n for n in _SIZES if n >= left), _SIZES[-1])
        part = words[start : start + length]
        padded = np.pad(part, (0, length - part.size))
        values = _piece(padded, scalars, length // each, dtype, *law)
        parts.append(np.asarray(values)[: part.size // each])
        start += length
    values = np.concatenate(parts)
    return np.concatenate([values[: size - BLOCK], values[-BLOCK:]]) if rest else values


_SIZES = 1 << 12, 1 << 15, 1 << 18
_DRAWN = 128 * _mt19937.LENGTH
_draw_words = jax.jit(lambda window: _mt19937.draw(window, _DRAWN))


@native
@functools.partial(jax.jit, static_argnums=(2, 3, 4, 5))
def _piece(
    raw: jax.Array,
    scalars: jax.Array,
    size: int,
    dtype: np.dtype[Any],
    law: str,
    small: bool,
) -> jax.Array:
    return _values(_mt19937.temper(raw), scalars, size, dtype, law, small)


@native
def _values(
    words: jax.Array,
    scalars: jax.Array,
    size: int,
    dtype: np.dtype[Any],
    law: str,
    small: bool,
) -> jax.Array:
    scalars = jnp.asarray(scalars)
    if law == "uniform":
        return _torch_stream.uniform_from_words(words, scalars, dtype, small)
    return _torch_stream.normal_from_words(words, size, scalars, dtype, small)


def _zeros(draw: Draw) -> Any:
    return ... if draw.zero == "all" else draw.zero
