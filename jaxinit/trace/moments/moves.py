"""Operations that move entries: what becomes of their places, one rule a primitive."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxinit._primitives import IDENTITIES, REARRANGED, SCATTERS
from jaxinit.trace.axes import axis_map
from jaxinit.trace.moments.dependencies import Book
from jaxinit.trace.moments.distribution import (
    Axis,
    Label,
    Place,
    Spread,
    condensed,
    labels,
    scalar,
    source,
)

Rule = Callable[[Book, Sequence[Spread], dict[str, Any], Sequence[Any]], list[Spread]]
"""From the operands, the options and the abstract results to the results."""


def _rearranged(name: str) -> Rule:
    """Return the rule of what moves whole axes; a merge undoes its split."""

    def rule(_: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
        x, shape = xs[0], tuple(outs[0].shape)
        if x.size == 0:
            return [scalar(0.0, shape)]
        groups = axis_map(name, params, x.shape, shape)

        def move(place: Place) -> list[Any]:
            found: list[Any] = [None] * len(shape)
            for before, after in groups:
                sizes = tuple(x.shape[d] for d in before)
                label = _merged([place[d] for d in before], sizes)
                parts = _split(label, tuple(shape[d] for d in after))
                for d, part in zip(after, parts, strict=True):
                    found[d] = part
            return found

        return [x.moved(shape, move)]

    return rule


def _merged(labels: list[Any], sizes: tuple[int, ...]) -> Any:
    if len(labels) == 1 or all(label is None for label in labels):
        return labels[0]
    first = labels[0]
    if isinstance(first, tuple) and first[0] == "split":
        whole = [("split", first[1], sizes, k) for k in range(len(sizes))]
        if labels == whole:
            return first[1]
    return ("merge", tuple(labels), sizes)


def _split(label: Any, sizes: tuple[int, ...]) -> list[Any]:
    if label is None or len(sizes) == 1:
        return [label] * len(sizes)
    if isinstance(label, tuple) and label[0] == "merge" and label[2] == sizes:
        return list(label[1])
    return [("split", label, sizes, k) for k in range(len(sizes))]


def part(book: Book, x: Spread, shape: Sequence[int], names: Sequence[Any]) -> Spread:
    """Return some entries: others, of the same distribution, where a name is given."""
    named = [d for d, name in enumerate(names) if name is not None]
    _note_ranks(book, x, named)
    broken = [a for a, p in x.places.items() if a.whole and any(p[d] for d in named)]
    if broken:
        x = book.copied(x, broken, whole=False)

    def move(place: Place) -> list[Any]:
        pairs = zip(place, names, strict=True)
        return [s if s is None or n is None else (*n, s) for s, n in pairs]

    return book.settled(x.moved(shape, move))


def _slice(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    x, shape = xs[0], outs[0].shape
    strides = params["strides"] or (1,) * len(shape)
    triples = zip(params["start_indices"], params["limit_indices"], strides, strict=True)
    names = [
        None if n == m else ("slice", int(a), int(b), int(c))
        for n, m, (a, b, c) in zip(x.shape, shape, triples, strict=True)
    ]
    return [part(book, x, shape, names)]


def _split_array(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    start, found = 0, []
    for out in outs:
        names: list[Any] = [None] * len(out.shape)
        size = out.shape[params["axis"]]
        names[params["axis"]] = ("slice", start, start + size, 1)
        found.append(part(book, xs[0], out.shape, names))
        start += size
    return found


def _dynamic_slice(
    book: Book, xs: Sequence[Spread], _params: Any, outs: Any
) -> list[Spread]:
    x, shape = xs[0], outs[0].shape
    pairs = zip(x.shape, shape, strict=True)
    names = [None if n == m else ("chosen", Label()) for n, m in pairs]
    return [part(book, x, shape, names)]


def _rev(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    chosen = params["dimensions"]
    names = [("rev",) if d in chosen else None for d in range(len(xs[0].shape))]
    return [part(book, xs[0], outs[0].shape, names)]


def fresh(
    x: Spread, shape: Sequence[int], positions: Sequence[bool] | None = None
) -> Spread:
    """Return independent entries of the same distribution, for those that are looked up."""
    if not x.places:
        return scalar(x.values, tuple(shape))
    if len(x.places) == 1:
        (axis,) = x.places
        return source(tuple(shape), x.values, axis.weights, positions)
    return mixture([(1.0, x)], shape, positions)


def _gather(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    # The dimensions of the slices are those of the operand, in order; the rest counts them.
    numbers, x = params["dimension_numbers"], xs[0]
    gone = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    _note_ranks(book, x, numbers.start_index_map)
    kept = [p for d, p in enumerate(x.positions()) if d not in gone]
    found = [True] * len(outs[0].shape)
    for d, position in zip(numbers.offset_dims, kept, strict=True):
        found[d] = position
    return [fresh(x, outs[0].shape, found)]


def _sort(_: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    found = []
    for x, out in zip(xs, outs, strict=True):
        kinds = x.positions()
        rank = Label(kinds[params["dimension"]], ranked=True)
        y = fresh(x, out.shape, kinds)
        found.append(_relabelled(y, params["dimension"], rank))
    return found


def _relabelled(x: Spread, dim: int, new: Label) -> Spread:
    def move(place: Place) -> list[Any]:
        return [new if d == dim and s is not None else s for d, s in enumerate(place)]

    return x.moved(x.shape, move)


def _note_ranks(book: Book, x: Spread, dims: Sequence[int]) -> None:
    labels = [place[d] for place in x.places.values() for d in dims]
    if any(isinstance(label, Label) and label.ranked for label in labels):
        book.remarks.append("a sorted entry counts as any entry")


def _top(_: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    # The k greatest of n entries are those beyond the quantile 1 - k / n, nearly.
    x = xs[0]
    d = params.get("axis", params.get("reduction_dimension", len(x.shape) - 1))
    if not x.places:
        return [scalar(x.values, outs[0].shape)]
    all_weights = np.broadcast_to(x.weights(x.places), x.values.shape).reshape(-1)
    order = np.argsort(x.values.reshape(-1), kind="stable")[::-1]
    values, weights = x.values.reshape(-1)[order], all_weights[order]
    share = params["k"] / x.shape[d] * weights.sum()
    left = np.clip(share - (np.cumsum(weights) - weights), 0, weights)
    top = condensed(values[left > 0], left[left > 0])
    return [source(outs[0].shape, *top, x.positions())]


def mixture(
    parts: Sequence[tuple[float, Spread]],
    shape: Sequence[int],
    positions: Sequence[bool] | None = None,
) -> Spread:
    """Return entries each of which is, with these probabilities, of one of the parts."""
    tables, masses = [], []
    for share, x in parts:
        weights = np.broadcast_to(x.weights(x.places), x.values.shape).reshape(-1)
        values, weights = condensed(x.values.reshape(-1), weights)
        tables.append(values)
        masses.append(share * weights / weights.sum())
    values, weights = condensed(np.concatenate(tables), np.concatenate(masses))
    if values.size == 1:
        return scalar(values[0], tuple(shape))
    return source(tuple(shape), values, weights, positions)


def _in_any(xs: Sequence[Spread]) -> list[bool]:
    return [any(column) for column in zip(*(x.positions() for x in xs), strict=True)]


def _concatenate(_: Book, xs: Sequence[Spread], _params: Any, outs: Any) -> list[Spread]:
    shape = outs[0].shape
    parts = [(x.size / math.prod(shape), x) for x in xs if x.size]
    return [mixture(parts, shape, _in_any(xs))]


def _stack(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    d, shape = params["axis"], outs[0].shape
    wide = (*shape[:d], 1, *shape[d + 1 :])
    grown = [x.moved(wide, lambda place: (*place[:d], None, *place[d:])) for x in xs]
    return _concatenate(book, grown, {}, outs)


def _tile(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    names = [None if n == 1 else ("tile", n) for n in params["reps"]]
    return [part(book, xs[0], outs[0].shape, names)]


def _unstack(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    d, x = params["axis"], xs[0]
    found = []
    for i, out in enumerate(outs):
        names: list[Any] = [None] * len(x.shape)
        names[d] = ("slice", i, i + 1, 1)
        one = part(book, x, (*x.shape[:d], 1, *x.shape[d + 1 :]), names)
        found.append(one.moved(out.shape, lambda place: (*place[:d], *place[d + 1 :])))
    return found


def _pad(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    x, shape = xs[0], outs[0].shape
    inside = 1.0
    for n, m, (low, high, inner) in zip(
        x.shape, shape, params["padding_config"], strict=True
    ):
        inside *= sum(0 <= low + i * (inner + 1) < m for i in range(n)) / m
        del high
    names = [
        None if config == (0, 0, 0) else ("pad", *config)
        for config in params["padding_config"]
    ]
    kept = part(book, x, shape, names)
    if inside == 1:
        return [kept]
    marks = np.array([False, True])
    place = tuple(s if n else None for n, s in zip(names, labels(shape), strict=True))
    within = Spread(shape, {Axis(np.array([1 - inside, inside])): place}, marks)
    return [book.combined(np.where, [within, kept, xs[1]])]


def _same(_: Book, xs: Sequence[Spread], _params: Any, _outs: Any) -> list[Spread]:
    return list(xs)


def _placed(_: Book, xs: Sequence[Spread], _params: Any, outs: Any) -> list[Spread]:
    x, more = xs
    share = min(1.0, more.size / max(1, x.size))
    kinds = x.positions() if x.places else _guessed(more, outs[0].shape)
    return [mixture([(1 - share, x), (share, more)], outs[0].shape, kinds)]


def _scattered(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    x, more = xs
    book.remarks.append("scattered entries keep their own scale")
    if not x.places:
        return [fresh(more, outs[0].shape, _guessed(more, outs[0].shape))]
    return _placed(book, xs, params, outs)


def _running(book: Book, xs: Sequence[Spread], _params: Any, _outs: Any) -> list[Spread]:
    book.remarks.append("running extremes keep the scale")
    return [fresh(xs[0], xs[0].shape, xs[0].positions())]


def _guessed(x: Spread, shape: Sequence[int]) -> Sequence[bool]:
    same = len(x.shape) == len(shape)
    return x.positions() if same else [d < len(shape) - 1 for d in range(len(shape))]


MOVES: dict[str, Rule] = {
    **dict.fromkeys(IDENTITIES, _same),
    **{name: _rearranged(name) for name in REARRANGED - {"rev"}},
    **dict.fromkeys(SCATTERS, _scattered),
    "concatenate": _concatenate,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _placed,
    "gather": _gather,
    "pad": _pad,
    "rev": _rev,
    "scatter": _placed,
    "slice": _slice,
    "sort": _sort,
    "split": _split_array,
    "stack": _stack,
    "tile": _tile,
    "top_k": _top,
    "approx_top_k": _top,
    "cummax": _running,
    "cummin": _running,
    "unstack": _unstack,
}
"""The rules, by the name of the primitive."""

NEEDED = {
    "dynamic_slice": (0,),
    "dynamic_update_slice": (0, 1),
    "gather": (0,),
} | dict.fromkeys(SCATTERS, (0, 2))
"""Which operands count; indices need not be known."""
