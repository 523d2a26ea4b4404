"""Sorted entries: order statistics of independent ones."""

from collections.abc import Sequence
from typing import Any

from jaxinit.trace.moments.dependencies import Book
from jaxinit.trace.moments.distribution import FEW_SORTED, Spread, fresh, mixture, scalar
from jaxinit.trace.moments.random_axes import Axis, Label, Place, Rank


def rank_of(x: Spread, d: int) -> Rank | None:
    """Return which order statistics the entries along a dimension are, if they are."""
    found = [place[d].rank for place in x.places.values() if isinstance(place[d], Label)]
    return next((rank for rank in found if rank is not None), None)


def ranked(x: Spread, d: int, name: Any, size: int) -> Spread:
    """Return some entries along a sorted dimension, which are known order statistics."""
    start, step = (x.shape[d] - 1, -1) if name[0] == "rev" else (name[1], name[3])
    shape = (*x.shape[:d], size, *x.shape[d + 1 :])
    places: dict[Axis, Place] = {}
    for axis, place in x.places.items():
        label = place[d]
        if not isinstance(label, Label) or label.rank is None:
            kept = label if label is None or size > 1 else None
            places[axis if kept is label else Axis(axis.weights)] = (
                *place[:d], kept, *place[d + 1 :]
            )  # fmt: skip
            continue
        rank = label.rank.chosen(start, step)
        new = Label(label.position, rank) if size > 1 else None
        since = axis.since if rank.count <= FEW_SORTED else frozenset()
        places[Axis(rank.weights_of(size), since=since)] = (
            *place[:d],
            new,
            *place[d + 1 :],
        )
    return Spread(shape, places, x.values)


def sort(_: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    """Return sorted arrays: all move with the first one, which alone is in order then."""
    first, *others = xs
    return [
        _sorted(first, params["dimension"]),
        *(
            fresh(x, out.shape, x.positions())
            for x, out in zip(others, outs[1:], strict=True)
        ),
    ]


def _sorted(x: Spread, d: int) -> Spread:
    """Return independent entries in ascending order along a dimension."""
    y = mixture([(1.0, x)], x.shape, x.positions())
    places: dict[Axis, Place] = {}
    for axis, place in y.places.items():
        label = Label(x.positions()[d], Rank(axis.weights, x.shape[d]))
        few = x.shape[d] <= FEW_SORTED
        since = frozenset().union(*(a.roots for a in x.places)) if few else frozenset()
        places[Axis(axis.weights, since=since)] = (
            *place[:d],
            label if place[d] else None,
            *place[d + 1 :],
        )
    return Spread(y.shape, places, y.values)


def note_ranks(book: Book, x: Spread, dims: Sequence[int]) -> None:
    """Remark that entries are chosen along a sorted dimension, without their ranks."""
    labels = [place[d] for place in x.places.values() for d in dims]
    if any(isinstance(label, Label) and label.rank for label in labels):
        book.remarks.append("a sorted entry counts as any entry")


def top(_: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    """Return the k greatest entries, in descending order."""
    x, last = xs[0], len(xs[0].shape) - 1
    d = params.get("axis", params.get("reduction_dimension", last)) % len(x.shape)
    ordered = _sorted(x, d)
    if ordered.places:
        falling = ranked(ordered, d, ("rev",), x.shape[d])
        return [ranked(falling, d, ("slice", 0, params["k"], 1), params["k"])]
    return [scalar(x.values, outs[0].shape)]
