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
    FEW_SORTED,
    LIMIT,
    NODES,
    ROW_ENTRIES,
    Spread,
    fresh_place,
    node_count,
    normal_nodes,
    spelled_out,
    wide,
)
from jaxinit.trace.moments.random_axes import Axis, Label, Origin, Place, other_dims

_TRIALS = 16  # of rows
_TABLE = 2**18  # nodes of a table that is made small to fit
_FEWEST = 16  # nodes of what an array shares with no other
POOLED = "averages over positions are taken to keep the scale"
_TAKEN_APART = "arrays that depend on each other count as independent"


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
        self._residues: dict[tuple[int, int], tuple[Axis, Label]] = {}
        # By the table and the places; each entry keeps its table alive.
        self._condensed: dict[tuple[Any, ...], tuple[np.ndarray, Spread]] = {}

    def pooled_dims(self, x: Spread, dims: Collection[int]) -> list[int]:
        """Return those of the dimensions along which all entries count as alike."""
        ranks = [
            p[d].rank for p in x.places.values() for d in dims if isinstance(p[d], Label)
        ]
        if any(r and x.shape[d] < r.count <= FEW_SORTED for r in ranks for d in dims):
            self.remarks.append("chosen ones of few sorted entries count as independent")
        kinds = x.positions() if self.alike else (False,) * len(x.shape)
        found = [d for d in dims if kinds[d]]
        if found:
            self.remarks.append(POOLED)
        return found

    def residues(self, shape: tuple[int, ...], d: int, step: int) -> Spread:
        """Return the coordinate along a dimension modulo ``step``, always the same one."""
        key = shape[d], step
        if key not in self._residues:
            axis = Axis(np.full(step, 1 / step), whole=True)
            self._residues[key] = axis, Label()
        axis, label = self._residues[key]
        place = tuple(label if k == d else None for k in range(len(shape)))
        return Spread(shape, {axis: place}, np.arange(step))

    def copied(self, x: Spread, wanted: Collection[Axis], *, whole: bool = True) -> Spread:
        """Return the array with some axes, and their families, replaced by copies."""
        heads = {axis.parent or axis for axis in wanted}
        places: dict[Axis, Place] = {}
        renamed: dict[Axis, Axis] = {}
        for axis, place in sorted(x.places.items(), key=lambda p: p[0].parent is not None):
            if (axis.parent or axis) not in heads:
                continue
            key = (axis, place, whole)
            while self._copies.get(key) in x.places:  # then one of that copy
                key = (self._copies[key], place, whole)
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
        """Return arrays of one rank, and all their axes, shared ones at one place."""
        every = {axis for x in operands for axis in x.places}
        met = {axis for axis in every if axis in self._nodes}
        full = []
        for operand in operands:
            x = self._recalled(operand, every) if self._condensed else operand
            x = self._joined(x, met) if met else x
            lead = (None,) * (len(shape) - len(operand.shape))
            full.append(x.moved(shape, lambda place, lead=lead: (*lead, *place)))
        whole = self._traced_back(full) if len(every) > 1 else full
        found, places = self._met(whole)
        shared = [axis for axis in places if sum(axis in x.places for x in found) > 1]
        apart = _alike(places)
        if whole is full and not apart:
            return found, places
        if not shared and not apart:  # the same at other places, which are independent
            return self._met(full)
        narrow = None if apart else _narrowed(found, places, shared)
        if narrow is None:
            self.remarks.append(_TAKEN_APART)
            return self._met(full)
        axes = {axis: place for x in narrow for axis, place in x.places.items()}
        return narrow, {axis: places.get(axis, place) for axis, place in axes.items()}

    def _traced_back(self, xs: list[Spread]) -> list[Spread]:
        """Return arrays as functions of what they share; the list itself if they do not."""
        while True:
            shared = _alike({axis for x in xs for axis in x.places})
            # The last computed ones first, which may be made of the others.
            for axis in sorted(shared, key=lambda a: len(a.roots), reverse=True):
                found = [self._spelled(x, axis) if axis in x.places else x for x in xs]
                whole = [x for x in found if x is not None]
                if len(whole) == len(xs):
                    xs = whole
                    break
            else:
                return xs

    def _spelled(self, x: Spread, axis: Axis) -> Spread | None:
        """Return an array by what an axis was computed of, if that can be."""
        clash = axis.origin and [a for a in axis.origin.places if a in x.places]
        if axis.origin and clash:
            there = {a: axis.origin.moved(a, x.places[axis]) for a in clash}
            if not all(p and _torn(x.places[a], p) for a, p in there.items()):
                return None
            x = self.copied(x, clash)
        return x.expanded(axis)

    def _met(self, xs: Sequence[Spread]) -> tuple[list[Spread], dict[Axis, Place]]:
        """Return arrays of which no axis stands at two places, and all their axes."""
        places: dict[Axis, Place] = {}
        aligned = []
        entries = {
            axis: (place, x.places[axis.parent])
            for x in xs
            for axis, place in x.places.items()
            if axis.parent is not None and self.is_entries(axis)
        }
        for whole in xs:
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


def _alike(axes: Collection[Axis]) -> list[Axis]:
    """Return the axes that depend on another one of them."""
    found = [a for a in axes if len(a.roots) > 1]
    if not found:
        return []
    return [a for a in axes if any(a is not b and a.roots & b.roots for b in axes)]


def _narrowed(
    xs: list[Spread], axes: Collection[Axis], shared: Collection[Axis]
) -> list[Spread] | None:
    """Return arrays of which one table can be made; None if they share too much for that.

    What an array shares with no other becomes one random number: given what it shares,
    its entries keep their distribution.
    """
    if node_count(axes) <= _TABLE:
        return xs
    large = [x for x in xs if node_count(set(x.places) - set(shared)) > FEW]
    if any(x.values.dtype.kind != "f" for x in large):
        return None
    most = int((_TABLE / node_count(shared)) ** (1 / max(1, len(large))))
    return [x.given(shared, min(most, NODES)) for x in xs] if most >= _FEWEST else None


def normal_sum(xs: Sequence[Spread], sign: float) -> Spread | None:
    """Return the sum of two independent normal arrays, or None if they are not that."""
    one, two = (_normal_moments(x) for x in xs)
    if one is None or two is None:
        return None
    (first,), (second,) = (x.places for x in xs)
    if first.roots & second.roots:
        return None
    shape = np.broadcast_shapes(*(x.shape for x in xs))
    lead = [(None,) * (len(shape) - len(x.shape)) for x in xs]
    places = [
        (*more, *place)
        for more, x in zip(lead, xs, strict=True)
        for place in x.places.values()
    ]
    z, weights = normal_nodes()
    std = math.hypot(one[1], two[1])
    sums = (one[1] * z[:, None] + sign * two[1] * z) / std
    place = fresh_place(shape, places)
    origin = Origin(dict(zip((first, second), places, strict=True)), place, sums, z)
    values = one[0] + sign * two[0] + std * z
    return Spread(shape, {Axis(weights, origin=origin): place}, values)


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
    rows = Axis(np.full(number, 1 / number), since=axis.roots)
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
    if any(place.index(s) != other.index(s) for s in left & right):
        return True
    return not (left <= right or right <= left)  # a sum lacks labels of its terms
