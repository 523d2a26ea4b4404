"""Drawing all tensors of a model: which draws are needed, and all of a kind at once.

The writes of a model are gone through three times: backwards, to find those whose values
nobody will see; forwards, to place the draws in the stream; and forwards again, to put
the drawn values where they belong. Draws of a static length are collected, and one
compiled program makes their words and values, row by row of one length.
"""

import dataclasses
import functools
import math
from collections.abc import Iterable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay import _mt19937, _torch_special, _torch_stream
from jaxinit.replay._arguments import check_size
from jaxinit.replay._chunks import Columns
from jaxinit.replay._exact import is_small
from jaxinit.replay._native import native
from jaxinit.replay._rows import values_of
from jaxinit.replay._torch_floats import BLOCK
from jaxinit.replay._torch_record import Tensor, View
from jaxinit.replay._torch_stream import Stream
from jaxinit.replay._torch_writes import DRAWS, UPDATES, Write

_ROW = 4096
"""Values that are made at a time; a multiple of `BLOCK`."""

_MOST_WORDS = 1 << 28
"""Words that are in memory at a time, unless one tensor needs more."""

_FARTHEST = 9.0
"""No value of PyTorch's normals lies as many standard deviations from the mean."""

Dtype = np.dtype[Any]


def execute(
    stream: Stream, writes: list[Write], tensors: list[Tensor], dtype: Dtype
) -> tuple[Stream, dict[int, jax.Array]]:
    """Return the stream after all writes, and the values of some tensors by their id.

    Args:
        stream: The stream.
        writes: All writes of the model, in order.
        tensors: The tensors whose values are wanted.
        dtype: The dtype of all tensors.

    Returns:
        The stream and the values.
    """
    live = _live(writes, tensors)
    stream, drawn = _draw_all(stream, writes, live, dtype)
    values: dict[int, Any] = {}
    for write in writes:
        if write.order in live:
            _put(write, drawn.pop(write.order, None), values, dtype)
    return stream, {id(t): jnp.asarray(_held(values, t, dtype)) for t in tensors}


def _live(writes: list[Write], tensors: Iterable[Tensor]) -> set[int]:
    """Return the places of the writes that the wanted tensors depend on."""
    wanted = {id(t) for t in tensors}
    live: set[int] = set()
    for write in reversed(writes):
        if id(write.tensor) not in wanted:
            continue
        live.add(write.order)
        if write.part is None and write.kind not in UPDATES:
            wanted.discard(id(write.tensor))
        if write.kind == "copy":
            wanted.add(id(_base(write.source)))
    return live


def _base(tensor: Tensor) -> Tensor:
    return tensor.base if isinstance(tensor, View) else tensor


_RowKind = Literal["uniform", "normal", "inverse"]
_KINDS: tuple[_RowKind, ...] = "uniform", "normal", "inverse"
_GROUPS = tuple((kind, small) for kind in _KINDS for small in (False, True))


@dataclasses.dataclass(frozen=True)
class _Draw:
    """A draw that takes a static number of words.

    Attributes:
        order: The place of its write.
        kind: How its words become values.
        numbers: What that takes: bounds, or mean and standard deviation, ...
        shape: The shape of its values.
        words: How many words it takes.
        live: Whether its values are wanted.
    """

    order: int
    kind: _RowKind
    numbers: tuple[float, ...]
    shape: tuple[int, ...]
    words: int
    live: bool


def _static(write: Write, live: bool, dtype: Dtype) -> _Draw | None:
    """Return a write as a draw of static length, or None if it is none."""
    size, numbers = math.prod(write.shape), write.numbers
    kind: Any = write.kind
    words = _torch_stream.words_of_uniform(size, dtype)
    if kind == "trunc_normal" and _never_cut(*numbers):
        kind, numbers = "normal", numbers[:2]
    if kind == "trunc_normal_inverse":
        kind, numbers = "inverse", _torch_special.uniform_bounds(*numbers) + numbers
    elif kind == "normal" and (size >= BLOCK or size == 0) and not _apart(write):
        words = _torch_stream.words_of_normal(size, dtype) if size else 0
    elif kind != "uniform":
        return None
    return _Draw(write.order, kind, numbers, write.shape, words, live)


def _apart(write: Write) -> bool:
    return write.part is not None and not write.part.contiguous


def _never_cut(mean: float, std: float, low: float, high: float) -> bool:
    return low < mean - _FARTHEST * std and mean + _FARTHEST * std < high


def _draw_all(
    stream: Stream, writes: list[Write], live: set[int], dtype: Dtype
) -> tuple[Stream, dict[int, jax.Array]]:
    """Return the stream after all draws, and the values of those that are live."""
    drawn: dict[int, jax.Array] = {}
    pending: list[_Draw] = []
    kept = 0
    for write in writes:
        if write.kind not in DRAWS:
            continue
        check_size(write.shape, 2)
        _torch_special.check_numbers(write.kind, write.numbers, dtype)
        draw = _static(write, write.order in live, dtype)
        if draw is None:
            stream = _flush(stream, pending, drawn, dtype)
            pending, kept = [], 0
            alone = write.shape, write.kind, write.numbers, dtype, _apart(write)
            stream, drawn[write.order] = _torch_special.draw(stream, *alone)
            continue
        words = draw.words if draw.live else 0
        if kept + words > _MOST_WORDS:
            stream = _flush(stream, pending, drawn, dtype)
            pending, kept = [], 0
        pending.append(draw)
        kept += words
    return _flush(stream, pending, drawn, dtype), drawn


@dataclasses.dataclass(frozen=True)
class _Layout:
    """The static part of a program: which rows make which values.

    Attributes:
        runs: Numbers of words to keep and to skip, in turn.
        values: For each live draw: its group, its first row there, the number of its
            values that come from whole blocks, and its shape.
    """

    runs: tuple[int, ...]
    values: tuple[tuple[int, int, int, tuple[int, ...]], ...]


def _flush(
    stream: Stream, draws: list[_Draw], drawn: dict[int, jax.Array], dtype: Dtype
) -> Stream:
    """Make the values of draws that follow each other."""
    if not any(d.words for d in draws):
        drawn.update({d.order: jnp.zeros(d.shape, dtype) for d in draws})
        return stream
    each = 2 if dtype == np.float64 else 1
    runs, kept = [0], 0
    rows: list[list[tuple[float, ...]]] = [[] for _ in _GROUPS]
    values, orders = [], []
    for draw in draws:
        keep = draw.live or draw.words < _mt19937.LENGTH
        if keep == (len(runs) % 2 == 1):
            runs[-1] += draw.words
        else:
            runs.append(draw.words)
        if draw.live:
            pair = draw.numbers[0], draw.numbers[1]
            group = _GROUPS.index((draw.kind, is_small(pair, dtype)))
            size = math.prod(draw.shape)
            whole = size // BLOCK * BLOCK if draw.kind == "normal" else size
            starts = [kept + i * each for i in range(0, whole, _ROW)]
            if whole < size:
                starts.append(kept + draw.words - BLOCK * each)
            values.append((group, len(rows[group]), whole, draw.shape))
            rows[group] += [(start, *draw.numbers) for start in starts]
            orders.append(draw.order)
        kept += draw.words if keep else 0
    tables = tuple(
        (np.array([r[0] for r in g], np.int32), np.array([r[1:] for r in g], np.float64))
        for g in rows
    )
    layout = _Layout(tuple(runs), tuple(values))
    window, results = _program(stream.window, tables, layout, dtype)
    drawn.update(zip(orders, results, strict=True))
    return dataclasses.replace(stream, window=window)


@native
@functools.partial(jax.jit, static_argnums=(2, 3))
def _program(
    window: jax.Array,
    tables: tuple[tuple[jax.Array, jax.Array], ...],
    layout: _Layout,
    dtype: Dtype,
) -> tuple[jax.Array, list[jax.Array]]:
    """Return the window after all words, and the values of the live draws."""
    kept = []
    for i, count in enumerate(layout.runs):
        if i % 2:
            window = _mt19937.skip(window, count)
        else:
            window, raw = _mt19937.draw(window, count)
            kept.append(raw)
    length = _ROW * (2 if dtype == np.float64 else 1)
    words = jnp.concatenate([*kept, jnp.zeros((length,), jnp.uint32)])

    def row(kind: str, small: bool, table: tuple[jax.Array, jax.Array]) -> jax.Array:
        start, numbers = table
        part = _mt19937.temper(jax.lax.dynamic_slice(words, (start,), (length,)))
        if kind == "normal":

            def work(words: jax.Array) -> Columns:
                return _torch_stream.normal_from_words(words, numbers, dtype, small)

            part = part.reshape(_ROW // BLOCK, -1)
            return values_of(work, part, start >= 0).reshape(-1)
        values = _torch_stream.uniform_from_words(part, numbers[:2], dtype, small)
        if kind == "inverse":
            values = _torch_special.inverse_values(values, numbers[2:], dtype)
        return values

    groups = [
        jax.lax.map(functools.partial(row, *kind), table) if len(table[0]) else words
        for kind, table in zip(_GROUPS, tables, strict=True)
    ]
    results = []
    for group, first, whole, shape in layout.values:
        size, rows = math.prod(shape), groups[group]
        count = -(-whole // _ROW)
        flat = rows[first : first + count].reshape(-1)[:whole]
        if whole < size:
            last = rows[first + count, :BLOCK]
            flat = jnp.concatenate([flat[: size - BLOCK], last])
        results.append(flat.reshape(shape))
    return window, results


def _held(values: dict[int, Any], tensor: Tensor, dtype: Dtype) -> Any:
    """Return the values of a tensor; until it is written to it is zero."""
    return values[id(tensor)] if id(tensor) in values else np.zeros(tensor.shape, dtype)


def _put(
    write: Write, drawn: jax.Array | None, values: dict[int, Any], dtype: Dtype
) -> None:
    """Do one write on the values."""
    key = id(write.tensor)
    part, old = write.part, _held(values, write.tensor, dtype)
    if part is None:
        values[key] = _value(write, drawn, old, values, dtype)
        return
    places: Any = slice(part.start, part.start + math.prod(part.shape))
    if not part.contiguous:
        places = part.places().reshape(-1)
    flat = jnp.asarray(old).reshape(-1)
    new = _value(write, drawn, flat[places].reshape(part.shape), values, dtype)
    if write.kind in DRAWS:
        order = part.order
        new = new.reshape([part.shape[i] for i in order]).transpose(np.argsort(order))
    flat = flat.at[places].set(jnp.asarray(new).reshape(-1))
    values[key] = flat.reshape(write.tensor.shape)


def _value(
    write: Write, drawn: jax.Array | None, old: Any, values: dict[int, Any], dtype: Dtype
) -> Any:
    number = write.numbers[0] if write.numbers else 0.0
    if write.kind == "fill":
        return np.full(write.shape, number, dtype)
    if write.kind == "mask":
        return jnp.where(np.asarray(write.source), np.full((), number, dtype), old)
    if write.kind == "array":
        real = jnp.issubdtype(write.source.dtype, jnp.floating)
        return jnp.asarray(write.source, dtype if real else None)
    if write.kind == "copy":
        source = write.source
        value = _held(values, _base(source), dtype)
        if isinstance(source, View):
            return jnp.asarray(value).reshape(-1)[source.part.places()]
        return value
    if write.kind in UPDATES:
        by = write.numbers if write.source is None else write.source
        by = np.asarray(by, np.float64)
        return _updated(jnp.asarray(old), by, write.kind, dtype)
    return drawn


@native
@functools.partial(jax.jit, static_argnums=(2, 3))
def _updated(old: jax.Array, number: jax.Array, kind: str, dtype: Dtype) -> jax.Array:
    return _torch_special.stepped(old, number, kind, dtype)
