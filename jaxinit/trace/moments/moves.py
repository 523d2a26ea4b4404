"""Operations that move entries: what becomes of their places, one rule a primitive."""

import dataclasses
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np

from jaxinit._primitives import IDENTITIES, REARRANGED, SCATTERS
from jaxinit.trace.axes import axis_map
from jaxinit.trace.moments.dependencies import Book
from jaxinit.trace.moments.distribution import (
    Spread,
    fresh,
    labels,
    mixture,
    scalar,
)
from jaxinit.trace.moments.order import note_ranks, rank_of, ranked, sort, top
from jaxinit.trace.moments.random_axes import Axis, Label, Place

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
    names = list(names)
    whole = _within_one(x, names)
    if whole is not None:
        return part(book, whole[0], shape, whole[1])
    for d, name in enumerate(names):
        if name is not None and rank_of(x, d) and name[0] in ("slice", "rev"):
            x, names[d] = ranked(x, d, name, shape[d]), None
    named = [d for d, name in enumerate(names) if name is not None]
    note_ranks(book, x, named)
    if _is_mixed(x, named):
        book.remarks.append("parts of what was joined count as its average")
    broken = [a for a, p in x.places.items() if a.whole and any(p[d] for d in named)]
    if broken:
        x = book.copied(x, broken, whole=False)

    def move(place: Place) -> list[Any]:
        pairs = zip(place, names, strict=True)
        return [s if s is None or n is None else (*n, s) for s, n in pairs]

    return book.settled(x.moved(shape, move))


def _within_one(x: Spread, names: Sequence[Any]) -> tuple[Spread, list[Any]] | None:
    """Return the one array of several joined ones that a slice is of, and the slice."""
    d, parts = x.joined or (0, ())
    name = names[d] if parts else None
    if name is None or name[0] != "slice":
        return None
    start = 0
    for one in parts:
        stop = start + one.shape[d]
        if start <= name[1] and name[2] <= stop:
            inside = ("slice", name[1] - start, name[2] - start, name[3])
            all_of_it = inside == ("slice", 0, one.shape[d], 1)
            return one, [*names[:d], None if all_of_it else inside, *names[d + 1 :]]
        start = stop
    return None


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
    starts = [_one_number(i) for i in xs[1:]] or [None] * len(shape)
    names: list[Any] = []
    for n, m, start in zip(x.shape, shape, starts, strict=True):
        known = start if start is None else min(max(start, 0), n - m)
        name = ("chosen", Label()) if known is None else ("slice", known, known + m, 1)
        names.append(None if n == m else name)
    return [part(book, x, shape, names)]


def _one_number(x: Spread) -> int | None:
    """Return the index that all entries are, if it is known."""
    return None if x.places else int(x.values)


def _rev(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    chosen = params["dimensions"]
    names = [("rev",) if d in chosen else None for d in range(len(xs[0].shape))]
    return [part(book, xs[0], outs[0].shape, names)]


def _gather(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    # The dimensions of the slices are those of the operand, in order; the rest counts them.
    numbers, x = params["dimension_numbers"], xs[0]
    gone = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
    known = _one_number(xs[1]) if len(xs) > 1 else None
    for d in numbers.start_index_map:
        if known is not None and params["slice_sizes"][d] == 1 and rank_of(x, d):
            start = min(max(known, 0), x.shape[d] - 1)
            x = ranked(x, d, ("slice", start, start + 1, 1), 1)
    note_ranks(book, x, numbers.start_index_map)
    kept = [p for d, p in enumerate(x.positions()) if d not in gone]
    found = [True] * len(outs[0].shape)
    for d, position in zip(numbers.offset_dims, kept, strict=True):
        found[d] = position
    return [fresh(x, outs[0].shape, found)]


def _joined(x: Spread, parts: Sequence[Spread], dims: Collection[int]) -> Spread:
    """Return a mixture, marked as one along dimensions if its parts are not all alike."""
    tables = {(y.values.tobytes(), *(a.weights.tobytes() for a in y.places)) for y in parts}
    if len(tables) == 1:
        return x

    def move(place: Place) -> list[Any]:
        return [
            dataclasses.replace(s, mixed=True) if d in dims and s is not None else s
            for d, s in enumerate(place)
        ]

    return x.moved(x.shape, move)


def _is_mixed(x: Spread, dims: Iterable[int]) -> bool:
    found = [place[d] for place in x.places.values() for d in dims]
    return any(isinstance(label, Label) and label.mixed for label in found)


def _in_any(xs: Sequence[Spread]) -> list[bool]:
    return [any(column) for column in zip(*(x.positions() for x in xs), strict=True)]


def _concatenate(_: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    shape = outs[0].shape
    parts = [(x.size / math.prod(shape), x) for x in xs if x.size]
    whole = mixture(parts, shape, _in_any(xs))
    marked = _joined(whole, [x for _, x in parts], [params["dimension"]])
    return [dataclasses.replace(marked, joined=(params["dimension"], tuple(xs)))]


def _stack(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    d, shape = params["axis"], outs[0].shape
    wide = (*shape[:d], 1, *shape[d + 1 :])
    grown = [x.moved(wide, lambda place: (*place[:d], None, *place[d:])) for x in xs]
    return _concatenate(book, grown, {"dimension": d}, outs)


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
    inside, marks = 1.0, []
    for d, (n, m, (low, _, inner)) in enumerate(
        zip(x.shape, shape, params["padding_config"], strict=True)
    ):
        share = sum(0 <= low + i * (inner + 1) < m for i in range(n)) / m
        if inner and n > 1 and abs(share * (inner + 1) - 1) < 2 * (inner + 1) / m:
            marks.append(book.residues(shape, d, inner + 1).mapped(partial(_is, low)))
        else:
            inside *= share
    names = [
        None if config == (0, 0, 0) else ("pad", *config)
        for config in params["padding_config"]
    ]
    kept = part(book, x, shape, names)
    if inside < 1:
        place = tuple(s if n else None for n, s in zip(names, labels(shape), strict=True))
        axis = Axis(np.array([1 - inside, inside]))
        marks.append(Spread(shape, {axis: place}, np.array([False, True])))
    for within in marks:
        kept = book.combined(np.where, [within, kept, xs[1]])
    return [kept]


def _is(low: int, residues: np.ndarray) -> np.ndarray:
    return residues == low % residues.size


def _same(_: Book, xs: Sequence[Spread], _params: Any, _outs: Any) -> list[Spread]:
    return list(xs)


def _placed(book: Book, xs: Sequence[Spread], _params: Any, outs: Any) -> list[Spread]:
    x, more = xs
    share = min(1.0, more.size / max(1, x.size))
    if share < 1 and _is_mixed(x, range(len(x.shape))):
        book.remarks.append("entries that are written over count as any entries")
    kinds = x.positions() if x.places else _guessed(more, outs[0].shape)
    whole = mixture([(1 - share, x), (share, more)], outs[0].shape, kinds)
    return [_joined(whole, [x, more], range(len(whole.shape)))]


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
    "sort": sort,
    "split": _split_array,
    "stack": _stack,
    "tile": _tile,
    "top_k": top,
    "approx_top_k": top,
    "cummax": _running,
    "cummin": _running,
    "unstack": _unstack,
}
"""The rules, by the name of the primitive."""

INDICES = frozenset({"dynamic_slice", "gather"})
"""What takes further operands that are known or left out."""

NEEDED = {
    "dynamic_slice": (0,),
    "dynamic_update_slice": (0, 1),
    "gather": (0,),
} | dict.fromkeys(SCATTERS, (0, 2))
"""Which operands count; indices need not be known."""
