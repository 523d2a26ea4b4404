"""Arrays that meet: which of their random numbers are the same, and rows drawn together."""

import functools
import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import numpy as np

from jaxinit._gaussian import host_float64
from jaxinit.trace.moments.distribution import (
    FEW,
    LIMIT,
    NODES,
    ROW_ENTRIES,
    Axis,
    Place,
    Spread,
    fresh_place,
    node_count,
    normal_nodes,
    other_dims,
    spelled_out,
    wide,
)

_TRIALS = 16  # of rows
POOLED = "averages over positions are taken to keep the scale"


class Book:
    """Which axes are independent copies of others: equal questions have equal answers.

    Attributes:
        alike: Whether sums and maxima over positions take all positions for alike.
        remarks: What was taken for granted.
    """

    def __init__(self) -> None:
        self.alike = False
        self.remarks: list[str] = []
        self._copies: dict[tuple[Axis, Place, bool], Axis] = {}
        self._rows: dict[tuple[Axis, Place, frozenset[Any]], tuple[Axis, Axis]] = {}
        self._nodes: dict[Axis, np.ndarray] = {}
        # By the table and the places; each entry keeps its table alive.
        self._condensed: dict[tuple[Any, ...], tuple[np.ndarray, Spread]] = {}

    def pooled_dims(self, x: Spread, dims: Collection[int]) -> list[int]:
        """Return those of the dimensions along which all entries count as alike."""
        kinds = x.positions() if self.alike else (False,) * len(x.shape)
        found = [d for d in dims if kinds[d]]
        if found:
            self.remarks.append(POOLED)
        return found

    def copied(self, x: Spread, wanted: Collection[Axis], *, whole: bool = True) -> Spread:
        """Return the array with some axes, and their families, replaced by copies."""
        heads = {axis.parent or axis for axis in wanted}
        places: dict[Axis, Place] = {}
        renamed: dict[Axis, Axis] = {}
        for axis, place in sorted(x.places.items(), key=lambda p: p[0].parent is not None):
            if (axis.parent or axis) not in heads:
                continue
            key = (axis, place, whole)
            if key not in self._copies:
                parent = None if axis.parent is None else renamed[axis.parent]
                self._copies[key] = Axis(axis.weights, parent, axis.whole and whole)
            renamed[axis] = self._copies[key]
        places = {renamed.get(axis, axis): place for axis, place in x.places.items()}
        return Spread(x.shape, places, x.values)

    def in_rows(self, x: Spread, axis: Axis, labels: frozenset[Any], number: int) -> Spread:
        """Return an array by rows of drawn entries instead of one entry.

        All that is computed of a row then goes together: its sum, its sum of squares, its
        maximum. The same entries have the same rows wherever they are met.
        """
        place = x.places[axis]
        count = math.prod(x.shape[d] for d, s in enumerate(place) if s in labels)
        key = (axis, place, labels)
        if key not in self._rows:
            rows, entries, nodes = _drawn_rows(axis, count, number)
            self._rows[key] = rows, entries
            self._nodes[rows] = nodes
        rows, entries = self._rows[key]
        at = list(x.places).index(axis)
        values = np.take(x.values, self._nodes[rows], axis=at)
        above = tuple(None if s in labels else s for s in place)
        pairs = list(x.places.items())
        pairs[at : at + 1] = [(rows, above), (entries, place)]
        return Spread(x.shape, dict(pairs), values)

    def paired(self, x: Spread, axis: Axis, entries: Axis, place: Place) -> Spread:
        """Return an array in which each entry of a row has its own node of a constant."""
        count = entries.size
        middles = (np.arange(count) + 0.5) / count
        nodes = (np.cumsum(axis.weights, -1)[..., None, :-1] < middles[:, None]).sum(-1)
        others = [a for a in x.places if a not in (axis, entries)]
        table = spelled_out(x, [*others, entries, axis])
        if axis.parent is not None:
            first = others.index(axis.parent)
            nodes = np.expand_dims(nodes, other_dims(len(others) + 1, (first, len(others))))
        else:
            nodes = nodes.reshape((1,) * len(others) + (count,))
        wide = np.broadcast_to(table, (*table.shape[:-2], count, table.shape[-1]))
        shape = (*np.broadcast_shapes(nodes.shape, wide.shape[:-1]), 1)
        values = np.take_along_axis(wide, np.broadcast_to(nodes[..., None], shape), -1)
        places = {a: x.places[a] for a in others}
        places[entries] = place
        return Spread(x.shape, places, values[..., 0])

    def is_entries(self, axis: Axis) -> bool:
        """Whether an axis enumerates the entries of drawn rows."""
        return axis.parent in self._nodes

    def _joined(self, x: Spread, met: Collection[Axis]) -> Spread:
        """Return an array by rows where it meets what was computed of its rows."""
        for (axis, place, labels), (rows, _) in self._rows.items():
            if rows in met and x.places.get(axis) == place:
                x = self.in_rows(x, axis, labels, 0)
        return x

    def _matched(self, x: Spread, entries: dict[Axis, tuple[Place, Place]]) -> Spread:
        """Return an array of which the constants go with the entries of rows one by one."""
        parents = {axis.parent for axis in x.places}
        whole = [a for a in x.places if a.whole and not self.is_entries(a)]
        for axis in (a for a in whole if a not in parents):
            above = () if axis.parent is None else x.places[axis.parent]
            along = _along(x.places[axis], above)
            for other, (place, rows) in entries.items():
                if axis in x.places and _along(place, rows) == along:
                    x = self.paired(x, axis, other, place)
        return x

    def condensed(self, x: Spread, most: int = NODES) -> Spread:
        """Return an array on one axis, the same one at every time."""
        key = (id(x.values), tuple(x.places.items()))
        if key not in self._condensed:
            self._condensed[key] = x.values, x.condensed(most)
        return self._condensed[key][1]

    def _recalled(self, x: Spread, met: Collection[Axis]) -> Spread:
        """Return an array as it was when what it meets was computed of it."""
        _, found = self._condensed.get((id(x.values), tuple(x.places.items())), (None, x))
        return found if any(axis in met for axis in found.places) else x

    def settled(self, x: Spread) -> Spread:
        """Return an array, of which single entries were chosen along some dimensions."""
        chosen = [
            axis
            for axis, place in x.places.items()
            if any(n == 1 and s is not None for n, s in zip(x.shape, place, strict=True))
        ]
        if not chosen:
            return x
        kept = self.copied(x, chosen, whole=False)
        return kept.moved(x.shape, lambda p: _without_units(x.shape, p))

    def combined(self, function: Callable[..., Any], operands: Sequence[Spread]) -> Spread:
        """Return a function of the entries of several arrays, which NumPy broadcasts."""
        shape = np.broadcast_shapes(*(x.shape for x in operands))
        aligned, places = self._aligned(shape, operands)
        if node_count(places) > LIMIT:
            large = [x for x in operands if x.values.size > FEW]
            most = min(NODES, int(LIMIT ** (1 / len(large))))
            operands = [
                self.condensed(x, most) if x.values.size > FEW else x for x in operands
            ]
            aligned, places = self._aligned(shape, operands)
        axes = list(places)
        tables = [spelled_out(x, axes) for x in aligned]
        tables = np.broadcast_arrays(*tables)
        result = np.asarray(
            function(*(np.ascontiguousarray(t).reshape(-1) for t in tables))
        )
        found = Spread(shape, places, wide(result).reshape(tables[0].shape))
        large = sum(axis.size >= NODES // 2 for axis in places)
        if large > 1 and all(axis.parent is None for axis in places):
            return found.condensed()  # so that all that follows from it goes together
        return found

    def _aligned(
        self, shape: tuple[int, ...], operands: Sequence[Spread]
    ) -> tuple[list[Spread], dict[Axis, Place]]:
        places: dict[Axis, Place] = {}
        aligned = []
        every = {axis for x in operands for axis in x.places}
        met = {axis for axis in every if axis in self._nodes}
        full = []
        for operand in operands:
            x = self._recalled(operand, every) if self._condensed else operand
            x = self._joined(x, met) if met else x
            lead = (None,) * (len(shape) - len(operand.shape))
            full.append(x.moved(shape, lambda place, lead=lead: (*lead, *place)))
        entries = {
            axis: (place, x.places[axis.parent])
            for x in full
            for axis, place in x.places.items()
            if axis.parent is not None and self.is_entries(axis)
        }
        for whole in full:
            x = self._matched(whole, entries) if entries else whole
            torn = [a for a, p in x.places.items() if a in places and _torn(places[a], p)]
            if torn:
                x = self.copied(x, torn)
            for axis, place in x.places.items():
                known = places.get(axis, place)
                places[axis] = tuple(
                    a if a is not None else b for a, b in zip(known, place, strict=True)
                )
            aligned.append(x)
        return aligned, places


def normal_sum(xs: Sequence[Spread], sign: float) -> Spread | None:
    """Return the sum of two independent normal arrays, or None if they are not that."""
    one, two = (_normal_moments(x) for x in xs)
    if one is None or two is None or set(xs[0].places) & set(xs[1].places):
        return None
    shape = np.broadcast_shapes(*(x.shape for x in xs))
    lead = [(None,) * (len(shape) - len(x.shape)) for x in xs]
    places = [
        (*more, *place)
        for more, x in zip(lead, xs, strict=True)
        for place in x.places.values()
    ]
    z, weights = normal_nodes()
    values = one[0] + sign * two[0] + math.hypot(one[1], two[1]) * z
    return Spread(shape, {Axis(weights): fresh_place(shape, places)}, values)


def _normal_moments(x: Spread) -> tuple[float, float] | None:
    """Return mean and standard deviation of normal entries, None for others."""
    z, weights = normal_nodes()
    if len(x.places) != 1 or next(iter(x.places)).weights is not weights:
        return None
    slope = (x.values[-1] - x.values[0]) / (z[-1] - z[0])
    mean = x.values[0] - slope * z[0]
    close = np.allclose(x.values, mean + slope * z, rtol=0, atol=1e-9 * abs(slope))
    return (float(mean), float(slope)) if close else None


def _drawn_rows(axis: Axis, count: int, number: int) -> tuple[Axis, Axis, np.ndarray]:
    """Return rows of entries, and their nodes; all entries fit the distribution exactly."""
    below = np.cumsum(axis.weights)
    nodes = np.searchsorted(below / below[-1], _even_rows(number, count))
    rows = Axis(np.full(number, 1 / number))
    return rows, Axis(np.full((number, count), 1 / count), parent=rows, whole=True), nodes


@functools.lru_cache(maxsize=64)
def _even_rows(number: int, count: int) -> np.ndarray:
    """Return evenly spaced numbers of (0, 1) in random rows: of many draws the best.

    The best are those of which the sums, and the sums of squares, vary as they should.
    """
    middles = (np.arange(number * count) + 0.5) / (number * count)
    odd = np.sqrt(12) * (middles - 0.5)
    even = (np.square(odd) - 1) / np.sqrt(0.8)

    def misfit(order: np.ndarray) -> float:
        rows = order.reshape(number, count)
        sums = [table[rows].sum(1) for table in (odd, even)]
        return sum(abs(np.square(s).mean() / count - 1) for s in sums)

    orders = np.argsort(_random_words()[:, : number * count], axis=1)
    return middles[min(orders, key=misfit)].reshape(number, count)


@functools.cache
def _random_words() -> np.ndarray:
    with host_float64():
        key = jax.random.key(0, impl="threefry2x32")
        return np.asarray(jax.random.bits(key, (_TRIALS, ROW_ENTRIES), np.uint64))


def _without_units(shape: tuple[int, ...], place: Place) -> Place:
    return tuple(None if n == 1 else s for n, s in zip(shape, place, strict=True))


def _along(place: Place, above: Place) -> list[int]:
    """Return the dimensions along which an axis varies and its parent does not."""
    return [
        d for d, s in enumerate(place) if s is not None and (not above or above[d] is None)
    ]


def _torn(place: Place, other: Place) -> bool:
    """Whether one random number stands at different places, so that there are two."""
    left, right = set(place) - {None}, set(other) - {None}
    if not left or not right:
        return False
    if not left & right:
        return True
    if any(place.index(label) != other.index(label) for label in left & right):
        return True
    pairs = zip(place, other, strict=True)
    return any(a is not None and b is not None and a != b for a, b in pairs)
