"""How the entries of an array are distributed, as functions of a few random numbers.

An array without data is described by one of its entries, ``f(a, b, ...)``: a table of
values over the nodes of *axes*, each axis one random number (the output of a unit, the
rest of a sum, the row of a constant table). Two arrays that share an axis depend on each
other exactly as their tables say; two that share none are independent.

Along which dimensions of the array an axis takes new values is its *place*: one label for
each dimension, None where the number is the same. Reshapes and transposes move labels, so
``x * x`` is a square while ``x[:, :4] * x[:, 4:]`` is a product of independent numbers.
A label says whether its dimension runs over positions (of a sequence, an image, a batch)
or over features.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np

from jaxinit.trace.moments.random_axes import (
    Axis,
    Label,
    Origin,
    Place,
    is_position,
    other_dims,
)

LIMIT = 2**20  # nodes of one table, 8 MiB
NODES = 256  # of an axis that stands for a whole distribution
ROW_ENTRIES = 2**16  # in all rows that are drawn together
_MOST_ROWS = 32  # of a constant table such as a causal mask
FEW_SORTED = 32  # entries, of which one tells much of the others
FEW = 4  # that such a table may take
_MOST_ENTRIES = 2**18  # of a constant that are looked at one by one


@dataclasses.dataclass(frozen=True, eq=False)
class Spread:
    """The distribution of the entries of an array.

    Attributes:
        shape: The array's shape.
        places: The place of each axis; labels stand at dimensions of two or more only.
        values: The entry at the nodes, one dimension an axis; floats are float64.
        top_of: The array of which these are the maxima, if they are.
        joined: The arrays that were joined along a dimension to make this one, if any.
    """

    shape: tuple[int, ...]
    places: dict[Axis, Place]
    values: np.ndarray
    top_of: "Spread | None" = None
    joined: "tuple[int, tuple[Spread, ...]] | None" = None

    @property
    def size(self) -> int:
        """The number of entries of the array."""
        return math.prod(self.shape)

    def moved(
        self, shape: Iterable[int], move: Callable[[Place], Iterable[Any]]
    ) -> "Spread":
        """Return the same entries elsewhere."""
        places = {axis: tuple(move(place)) for axis, place in self.places.items()}
        return Spread(tuple(shape), places, self.values, self.top_of)

    def mapped(self, function: Callable[[np.ndarray], Any]) -> "Spread":
        """Return a function of every entry."""
        return Spread(self.shape, self.places, np.asarray(function(self.values)))

    def mean(self) -> float:
        """Return the mean of the entries."""
        return float(self.expect(self.values, self.places).item())

    def square(self) -> float:
        """Return the mean square of the entries."""
        return float(self.expect(np.square(self.values), self.places).item())

    def variance(self) -> float:
        """Return the variance of the entries."""
        return float(self.expect(np.square(self.values - self.mean()), self.places).item())

    def expect(self, table: np.ndarray, over: Collection[Axis]) -> np.ndarray:
        """Return the mean over some axes given the others; their dimensions become 1."""
        numbers = tuple(i for i, axis in enumerate(self.places) if axis in over)
        return (table * self.weights(over)).sum(numbers, keepdims=True)

    def weights(self, over: Collection[Axis]) -> np.ndarray:
        """Return the probability of the nodes of some axes given the others."""
        axes = list(self.places)
        found = np.ones((1,) * len(axes))
        for i, axis in enumerate(axes):
            if axis not in over:
                continue
            table = axis.weights
            if axis.parent is not None:
                j = axes.index(axis.parent)
                table, pair = (table, (j, i)) if j < i else (table.T, (i, j))
                found = found * np.expand_dims(table, other_dims(len(axes), pair))
            else:
                found = found * np.expand_dims(table, other_dims(len(axes), (i,)))
        return found

    def own_labels(self, axis: Axis) -> set[Any]:
        """Return the labels at which an axis takes new values and its parent does not."""
        above = self.places.get(axis.parent, ()) if axis.parent is not None else ()
        return set(self.places[axis]) - set(above) - {None}

    def positions(self) -> tuple[bool, ...]:
        """Return for each dimension whether it runs over positions."""
        columns = zip(*self.places.values(), strict=True)
        found = tuple(any(s is not None and is_position(s) for s in c) for c in columns)
        return found or (False,) * len(self.shape)

    def condensed(self, most: int = NODES) -> "Spread":
        """Return the entries on one axis; forgets what they share with other arrays."""
        if not self.places:
            return self
        weights = np.broadcast_to(self.weights(self.places), self.values.shape)
        values, weights = condensed(self.values.reshape(-1), weights.reshape(-1), most)
        place = fresh_place(self.shape, self.places.values())
        origin = None
        if values.size > 1 and all(axis.parent is None for axis in self.places):
            # It lives as long as what follows from it: in half the memory.
            table = self.values.astype(np.float32)
            origin = Origin(self.places, place, table, values)
        return Spread(self.shape, {Axis(weights, origin=origin): place}, values)

    def given(self, kept: Collection[Axis], most: int) -> "Spread":
        """Return the array with all axes but some made one of ``most`` nodes at most."""
        gone = [axis for axis in self.places if axis not in kept]
        axes = [axis for axis in self.places if axis in kept]
        if node_count(gone) <= most or any(axis.parent for axis in self.places):
            return self
        wide = (node_count(axes), node_count(gone))
        table = np.broadcast_to(self.values, [axis.size for axis in self.places])
        table = spelled_out(dataclasses.replace(self, values=table), [*axes, *gone])
        weights = functools.reduce(np.multiply.outer, [axis.weights for axis in gone])
        ends = np.concatenate([[0.0], levels(most), [1.0]])
        values = _at_levels(table.reshape(wide), weights.reshape(-1), ends)
        since = frozenset().union(*(axis.roots for axis in gone))
        new = Axis(np.diff(ends), since=since)
        place = fresh_place(self.shape, [self.places[axis] for axis in gone])
        places = {axis: self.places[axis] for axis in axes} | {new: place}
        sizes = [axis.size for axis in places]
        return Spread(self.shape, places, values.reshape(sizes))

    def expanded(self, axis: Axis) -> "Spread | None":
        """Return the array as one of what an axis was computed of, if that can be."""
        origin, at = axis.origin, list(self.places).index(axis)
        if origin is None:
            return None
        if self.values.size // axis.size * origin.table.size > LIMIT:
            return None
        pairs: list[tuple[Axis, Any]] = list(self.places.items())
        pairs[at : at + 1] = [(a, origin.moved(a, pairs[at][1])) for a in origin.places]
        if any(place is None for _, place in pairs):
            return None
        return Spread(self.shape, dict(pairs), origin.at(self.values, at))


def fresh_place(shape: tuple[int, ...], places: Iterable[Place]) -> Place:
    """Return new labels wherever one of these places has one."""
    columns = zip(*places, strict=True)
    marks = [[s for s in column if s is not None] for column in columns] or [[]] * len(
        shape
    )
    return tuple(
        Label(any(map(is_position, labels))) if labels and n > 1 else None
        for n, labels in zip(shape, marks, strict=True)
    )


def labels(shape: tuple[int, ...], positions: Sequence[bool] | None = None) -> Place:
    """Return new labels for all dimensions; by default all run over features."""
    kinds = positions or (False,) * len(shape)
    return tuple(Label(k) if n > 1 else None for n, k in zip(shape, kinds, strict=True))


def scalar(value: Any, shape: tuple[int, ...]) -> Spread:
    """Return an array of which all entries are one number."""
    return Spread(shape, {}, wide(np.asarray(value)))


def source(
    shape: tuple[int, ...],
    values: np.ndarray,
    weights: np.ndarray,
    positions: Sequence[bool] | None = None,
) -> Spread:
    """Return an array of independent entries."""
    return Spread(shape, {Axis(weights): labels(shape, positions)}, wide(values))


def gaussian(
    shape: tuple[int, ...],
    mean: float,
    variance: float,
    positions: Sequence[bool] | None = None,
) -> Spread:
    """Return an array of independent normal entries."""
    if not variance > 0:
        return scalar(float(mean), shape)
    z, weights = normal_nodes()
    return source(shape, mean + math.sqrt(variance) * z, weights, positions)


def positive(
    shape: tuple[int, ...],
    mean: float,
    variance: float,
    positions: Sequence[bool] | None = None,
) -> Spread:
    """Return an array of independent positive entries, log-normal ones."""
    if not (variance > 0 and mean > 0):
        return scalar(float(mean), shape)
    z, weights = normal_nodes()
    values = log_normal(np.asarray(mean), np.asarray(variance), z)
    return source(shape, values, weights, positions)


def log_normal(mean: np.ndarray, variance: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Return log-normal numbers of that mean and variance, from standard normal ones."""
    # x = m exp(s z - s^2 / 2) has mean m and variance m^2 (exp(s^2) - 1).
    with np.errstate(divide="ignore", invalid="ignore"):
        squared = np.where(mean > 0, np.log1p(variance / np.square(mean)), 0.0)
    return mean * np.exp(np.sqrt(squared) * z - squared / 2)


@functools.cache
def normal_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Return 256 nodes of the standard normal distribution.

    They stand in panels, so that kinks do no harm. Zero, where most activations have
    their kink, is the edge of a panel.
    """
    nodes, weights = np.polynomial.legendre.leggauss(8)
    left = np.arange(-8, 8, 0.5)
    z = (left[:, None] + 0.25 * (nodes + 1)).reshape(-1)
    mass = np.tile(weights, left.size) * np.exp(-z * z / 2)
    return z, mass / mass.sum()


@functools.cache
def levels(count: int) -> np.ndarray:
    """Return inner levels of probability, evenly spaced on the normal scale."""
    z = np.linspace(-6, 6, count + 1)[1:-1]
    return np.array([0.5 * math.erfc(-u / math.sqrt(2)) for u in z])


def wide(values: np.ndarray) -> np.ndarray:
    """Return floats as float64."""
    # The narrow floats of ml_dtypes are of kind V for NumPy.
    return values if values.dtype.kind in "biuc" else values.astype(np.float64)


def _at_levels(table: np.ndarray, weights: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the mean of each row's entries between levels of their probability.

    Rows are spread about their mean so that they keep their variance.
    """
    order = np.argsort(table, axis=1)
    rows, mass = np.take_along_axis(table, order, 1), weights[order]
    zero = np.zeros((len(rows), 1))
    below = np.hstack([zero, mass.cumsum(1)])
    sums = np.hstack([zero, (mass * rows).cumsum(1)])
    pairs = zip(below, sums, strict=True)
    totals = np.stack([np.interp(ends * b[-1], b, s) for b, s in pairs])
    found, share = np.diff(totals) / np.diff(ends), np.diff(ends)
    mean = found @ share
    variance = np.maximum((mass * rows**2).sum(1) - mean**2, 0.0)
    kept = (found**2) @ share - mean**2
    widen = np.sqrt(np.where(kept > 0, variance / np.where(kept > 0, kept, 1), 1.0))
    return mean[:, None] + (found - mean[:, None]) * widen[:, None]


def condensed(
    values: np.ndarray, weights: np.ndarray, most: int = NODES
) -> tuple[np.ndarray, np.ndarray]:
    """Return a distribution on fewer nodes, of the same mean and variance."""
    atoms, where = np.unique(values, return_inverse=True)
    mass = np.bincount(where.reshape(-1), weights)
    if atoms.size <= most:
        return atoms, mass
    below = np.cumsum(mass)
    group = np.searchsorted(levels(most - 2), (below - mass / 2) / below[-1])
    if values.dtype.kind in "biu":
        first = np.searchsorted(group, np.unique(group))
        return atoms[first], np.add.reduceat(mass, first)
    finite = np.isfinite(atoms)
    group = np.where(finite, group + 1, np.where(atoms < 0, 0, most))
    kept, index = np.unique(group, return_inverse=True)
    total = np.bincount(index, mass)
    centre = np.bincount(index, mass * atoms) / np.where(total > 0, total, 1)
    centre[kept == 0], centre[kept == most] = -np.inf, np.inf
    if finite.all():
        mean = mass @ atoms / mass.sum()
        spread = total @ np.square(centre - mean)
        if spread > 0:
            widen = math.sqrt(mass @ np.square(atoms - mean) / spread)
            # Numbers of one sign must keep it: roots and logarithms may follow.
            wider = mean + (centre - mean) * widen
            same = (atoms[0] < 0 or wider.min() >= 0) and (
                atoms[-1] > 0 or wider.max() <= 0
            )
            centre = wider if same else centre
    return centre, total


def is_one_number(array: np.ndarray) -> bool:
    """Whether all entries are the same number, or all are none."""
    return bool((array == array.flat[0]).all() or (array != array).all())


def constant(array: np.ndarray) -> Spread:
    """Return the distribution of the entries of a constant.

    Of many entries a part is taken, of the mean square of all.
    """
    if array.size == 0 or is_one_number(array):
        return scalar(array.flat[0] if array.size else 0.0, array.shape)
    varied = [d for d in range(array.ndim) if (array != array.take([0], d)).any()]
    place = tuple(Label() if d in varied else None for d in range(array.ndim))
    core = array[tuple(slice(None) if d in varied else 0 for d in range(array.ndim))]
    flat = core.reshape(-1)
    step = flat.size // _MOST_ENTRIES | 1
    while math.gcd(step, core.shape[-1]) > 1:
        step += 2  # so that all columns are met
    taken = wide(flat[::step])
    if len(varied) > 1 and np.unique(taken).size <= FEW:
        atoms, where = np.unique(core, return_inverse=True)
        if atoms.size <= FEW:
            codes = where.reshape(-1, core.shape[-1])
            return _rows(array.shape, place, varied[-1], wide(atoms), codes)
    if taken.size < flat.size and taken.dtype.kind == "f":
        square = np.square(flat, dtype=np.float64).mean()
        taken = taken * math.sqrt(square / np.square(taken).mean()) if square else taken
    weights = np.full(taken.size, 1 / taken.size)
    values, weights = condensed(taken, weights)
    return Spread(array.shape, {Axis(weights, whole=True): place}, values)


def _rows(
    shape: tuple[int, ...], place: Place, last: int, atoms: np.ndarray, codes: np.ndarray
) -> Spread:
    """Return a table of few values: first its row, then the value in that row."""
    shares = np.stack([(codes == k).mean(1) for k in range(atoms.size)], axis=1)
    shares, counts = np.unique(shares, axis=0, return_counts=True)
    if len(counts) > _MOST_ROWS:
        # Rows of few entries count most in a softmax: groups grow away from both ends.
        steps = np.arange(len(counts)) + 0.5
        ends = np.log(steps / (len(counts) - steps))
        edges = np.linspace(ends[0], ends[-1], _MOST_ROWS)[1:-1]
        _, group = np.unique(np.searchsorted(edges, ends), return_inverse=True)
        total = np.bincount(group, counts)
        columns = [np.bincount(group, counts * share) / total for share in shares.T]
        shares, counts = np.stack(columns, axis=1), total
    rows = Axis(counts / counts.sum(), whole=True)
    entries = Axis(shares, parent=rows, whole=True)
    above = tuple(None if d == last else label for d, label in enumerate(place))
    table = np.broadcast_to(atoms, shares.shape)
    return Spread(shape, {rows: above, entries: place}, table)


def node_count(places: Iterable[Axis]) -> int:
    """Return how many nodes a table over these axes has."""
    return math.prod(axis.size for axis in places)


def spelled_out(x: Spread, axes: list[Axis]) -> np.ndarray:
    """Return the table with one dimension for each of these axes, in their order."""
    own = sorted(x.places, key=axes.index)
    table = x.values.transpose([list(x.places).index(axis) for axis in own])
    sizes = [axis.size if axis in x.places else 1 for axis in axes]
    return table.reshape(sizes)


def fresh(
    x: Spread, shape: Sequence[int], positions: Sequence[bool] | None = None
) -> Spread:
    """Return independent entries of the same distribution, for those that are looked up."""
    if not x.places:
        return scalar(x.values, tuple(shape))
    if len(x.places) == 1:
        (axis,) = x.places
        place = labels(tuple(shape), positions)
        return Spread(tuple(shape), {Axis(axis.weights, since=axis.since): place}, x.values)
    return mixture([(1.0, x)], shape, positions)


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
