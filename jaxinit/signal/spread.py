"""How the entries of an array are distributed, as functions of a few random numbers.

An array without data is described by one of its entries, ``f(a, b, ...)``: a table of
values over the nodes of *axes*, each axis one random number (the output of a unit, the
rest of a sum, the row of a constant table). Two arrays that share an axis depend on each
other exactly as their tables say; two that share none are independent.

Along which dimensions of the array an axis takes new values is its *place*: one label for
each dimension, None where the number is the same. Reshapes and transposes move labels, so
``x * x`` is a square while ``x[:, :4] * x[:, 4:]`` is a product of independent numbers.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import jax
import numpy as np

from jaxinit._gaussian import host_float64

Place = tuple[Any, ...]

LIMIT = 2**20  # nodes of one table, 8 MiB
NODES = 256  # of an axis that stands for a whole distribution
_REST_NODES = 8  # of the rest of a sum, a small and smooth part of it
_MOST_ROWS = 32  # of a constant table such as a causal mask
_FEW_VALUES = 4  # that such a table may take
_ROW_ENTRIES = 2**16  # in all rows that are drawn together
_LONGEST_ROW = 512
_FEWEST_ROWS = 64
_FEW_ENTRIES = 16
_MOST_UNEVEN = 0.1  # variance of a sum of positive terms over its squared mean
_HIDDEN = -1e29  # entries below are masked, and no maximum
_RARE = 1e-290  # keeps logarithms of empty sets finite


@dataclasses.dataclass(eq=False)
class Axis:
    """One random number.

    Attributes:
        weights: The probability of each node; given a parent, one row for each of its nodes.
        parent: The axis that these depend on.
        whole: Whether the entries along its dimensions are an enumeration, as those of a
            constant are, not independent draws. A sum over all of them is then certain.
    """

    weights: np.ndarray
    parent: "Axis | None" = None
    whole: bool = False

    @property
    def size(self) -> int:
        """The number of nodes."""
        return self.weights.shape[-1]


@dataclasses.dataclass(eq=False)
class Spread:
    """The distribution of the entries of an array.

    Attributes:
        shape: The array's shape.
        places: The place of each axis; labels stand at dimensions of two or more only.
        values: The entry at the nodes, one dimension an axis; floats are float64.
        top_of: The array of which these are the maxima, if they are.
    """

    shape: tuple[int, ...]
    places: dict[Axis, Place]
    values: np.ndarray
    top_of: "Spread | None" = None

    @property
    def size(self) -> int:
        """The number of entries of the array."""
        return math.prod(self.shape)

    def moved(self, shape: Iterable[int], move: Callable[[Place], Iterable[Any]]) -> "Spread":
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
                found = found * np.expand_dims(table, _others(len(axes), pair))
            else:
                found = found * np.expand_dims(table, _others(len(axes), (i,)))
        return found

    def own_labels(self, axis: Axis) -> set[Any]:
        """Return the labels at which an axis takes new values and its parent does not."""
        above = self.places.get(axis.parent, ()) if axis.parent is not None else ()
        return set(self.places[axis]) - set(above) - {None}

    def condense(self, most: int = NODES) -> None:
        """Describe the entries by one axis; forgets what they share with other arrays."""
        if not self.places:
            return
        weights = np.broadcast_to(self.weights(self.places), self.values.shape)
        values, weights = condensed(self.values.reshape(-1), weights.reshape(-1), most)
        place = fresh_place(self.shape, self.places.values())
        self.places, self.values = {Axis(weights): place}, values


def _others(count: int, kept: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(k for k in range(count) if k not in kept)


def fresh_place(shape: tuple[int, ...], places: Iterable[Place] | None = None) -> Place:
    """Return new labels wherever one of these places has one, or else everywhere."""
    given = None if places is None else list(places)
    marked = [
        n > 1 and (given is None or any(place[d] is not None for place in given))
        for d, n in enumerate(shape)
    ]
    return tuple(object() if mark else None for mark in marked)


def scalar(value: Any, shape: tuple[int, ...]) -> Spread:
    """Return an array of which all entries are one number."""
    return Spread(shape, {}, _wide(np.asarray(value)))


def source(shape: tuple[int, ...], values: np.ndarray, weights: np.ndarray) -> Spread:
    """Return an array of independent entries."""
    return Spread(shape, {Axis(weights): fresh_place(shape)}, _wide(values))


def gaussian(shape: tuple[int, ...], mean: float, variance: float) -> Spread:
    """Return an array of independent normal entries."""
    if not variance > 0:
        return scalar(float(mean), shape)
    z, weights = normal_nodes()
    return source(shape, mean + math.sqrt(variance) * z, weights)


def positive(shape: tuple[int, ...], mean: float, variance: float) -> Spread:
    """Return an array of independent positive entries, log-normal ones."""
    if not (variance > 0 and mean > 0):
        return scalar(float(mean), shape)
    z, weights = normal_nodes()
    return source(shape, _log_normal(np.asarray(mean), np.asarray(variance), z), weights)


def _log_normal(mean: np.ndarray, variance: np.ndarray, z: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        squared = np.where(mean > 0, np.log1p(variance / np.square(mean)), 0.0)
    return mean * np.exp(np.sqrt(squared) * z - squared / 2)


@functools.cache
def normal_nodes() -> tuple[np.ndarray, np.ndarray]:
    """Return 256 nodes of the standard normal law: panels, so that kinks do no harm.

    Zero, where most activations have their kink, is the edge of a panel.
    """
    nodes, weights = np.polynomial.legendre.leggauss(8)
    left = np.arange(-8, 8, 0.5)
    z = (left[:, None] + 0.25 * (nodes + 1)).reshape(-1)
    mass = np.tile(weights, left.size) * np.exp(-z * z / 2)
    return z, mass / mass.sum()


@functools.cache
def _rest_nodes() -> tuple[np.ndarray, np.ndarray]:
    z, weights = np.polynomial.hermite_e.hermegauss(_REST_NODES)
    return z, weights / weights.sum()


@functools.cache
def _levels(count: int) -> np.ndarray:
    """Return inner levels of probability, evenly spaced on the normal scale."""
    z = np.linspace(-6, 6, count + 1)[1:-1]
    return np.array([0.5 * math.erfc(-u / math.sqrt(2)) for u in z])


def _wide(values: np.ndarray) -> np.ndarray:
    # The narrow floats of ml_dtypes are of kind V for NumPy.
    return values if values.dtype.kind in "biuc" else values.astype(np.float64)


def condensed(
    values: np.ndarray, weights: np.ndarray, most: int = NODES
) -> tuple[np.ndarray, np.ndarray]:
    """Return a distribution on fewer nodes, of the same mean and variance."""
    atoms, where = np.unique(values, return_inverse=True)
    mass = np.bincount(where.reshape(-1), weights)
    if atoms.size <= most:
        return atoms, mass
    below = np.cumsum(mass)
    group = np.searchsorted(_levels(most - 2), (below - mass / 2) / below[-1])
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
            same = (atoms[0] < 0 or wider.min() >= 0) and (atoms[-1] > 0 or wider.max() <= 0)
            centre = wider if same else centre
    return centre, total


def constant(array: np.ndarray) -> Spread:
    """Return the distribution of the entries of a constant."""
    array = _wide(array)
    if array.size == 0 or (array == array.flat[0]).all():
        return scalar(array.flat[0] if array.size else 0.0, array.shape)
    varied = [d for d in range(array.ndim) if (array != array.take([0], d)).any()]
    place = tuple(object() if d in varied else None for d in range(array.ndim))
    core = array[tuple(slice(None) if d in varied else 0 for d in range(array.ndim))]
    if len(varied) > 1:
        atoms, where = np.unique(core, return_inverse=True)
        if atoms.size <= _FEW_VALUES:
            codes = where.reshape(-1, core.shape[-1])
            return _rows(array.shape, place, varied[-1], atoms, codes)
    weights = np.full(core.size, 1 / core.size)
    values, weights = condensed(core.reshape(-1), weights)
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


class Book:
    """Which axes are independent copies of others: equal questions have equal answers."""

    def __init__(self) -> None:
        self._copies: dict[tuple[Axis, Place, bool], Axis] = {}
        self._rows: dict[tuple[Axis, Place, frozenset[Any]], tuple[Axis, Axis]] = {}
        self._nodes: dict[Axis, np.ndarray] = {}
        self._condensed: dict[int, tuple[dict[Axis, Place], np.ndarray]] = {}

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

    def in_rows(
        self, x: Spread, axis: Axis, labels: frozenset[Any], number: int
    ) -> Spread:
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
        table = _spelled_out(x, [*others, entries, axis])
        if axis.parent is not None:
            first = others.index(axis.parent)
            nodes = np.expand_dims(nodes, _others(len(others) + 1, (first, len(others))))
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
        for axis in [a for a in x.places if a.whole and not self.is_entries(a)]:
            along = _along(x.places[axis], x.places.get(axis.parent, ()))
            for other, (place, above) in entries.items():
                if axis in x.places and _along(place, above) == along:
                    x = self.paired(x, axis, other, place)
        return x

    def condense(self, x: Spread, most: int = NODES) -> None:
        """Describe an array by one axis; equal arrays get the same one."""
        content = (tuple(x.places.items()), x.values.shape, x.values.tobytes(), most)
        key = hash(content)
        if key not in self._condensed:
            x.condense(most)
            self._condensed[key] = x.places, x.values
        x.places, x.values = self._condensed[key]

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

    def combined(
        self, function: Callable[..., Any], operands: Sequence[Spread]
    ) -> Spread:
        """Return a function of the entries of several arrays, which NumPy broadcasts."""
        shape = np.broadcast_shapes(*(x.shape for x in operands))
        aligned, places = self._aligned(shape, operands)
        if _nodes(places) > LIMIT:
            large = [x for x in operands if x.values.size > _FEW_VALUES]
            most = min(NODES, int(LIMIT ** (1 / len(large))))
            for x in large:
                self.condense(x, most)
            aligned, places = self._aligned(shape, operands)
        axes = list(places)
        tables = [_spelled_out(x, axes) for x in aligned]
        tables = np.broadcast_arrays(*tables)
        result = np.asarray(function(*(np.ascontiguousarray(t).reshape(-1) for t in tables)))
        found = Spread(shape, places, _wide(result).reshape(tables[0].shape))
        if sum(axis.size >= NODES // 2 and axis.parent is None for axis in places) > 1:
            if not any(axis.parent is not None for axis in places):
                self.condense(found)  # so that all that follows from it goes together
        return found

    def _aligned(
        self, shape: tuple[int, ...], operands: Sequence[Spread]
    ) -> tuple[list[Spread], dict[Axis, Place]]:
        places: dict[Axis, Place] = {}
        aligned = []
        met = {axis for x in operands for axis in x.places if axis in self._nodes}
        full = []
        for operand in operands:
            x = self._joined(operand, met) if met else operand
            lead = (None,) * (len(shape) - len(operand.shape))
            full.append(x.moved(shape, lambda place, lead=lead: (*lead, *place)))
        entries = {
            axis: (place, x.places[axis.parent])
            for x in full
            for axis, place in x.places.items()
            if axis.parent is not None and self.is_entries(axis)
        }
        for x in full:
            x = self._matched(x, entries) if entries else x
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


def _drawn_rows(
    axis: Axis, count: int, number: int
) -> tuple[Axis, Axis, np.ndarray]:
    """Return rows of entries, and their nodes; all entries together fit the law exactly."""
    below = np.cumsum(axis.weights)
    middles = (_shuffled(number * count) + 0.5) / (number * count)
    nodes = np.searchsorted(below / below[-1], middles).reshape(number, count)
    rows = Axis(np.full(number, 1 / number))
    return rows, Axis(np.full((number, count), 1 / count), parent=rows, whole=True), nodes


@functools.lru_cache(maxsize=64)
def _shuffled(count: int) -> np.ndarray:
    with host_float64():
        key = jax.random.key(0, impl="threefry2x32")
        return np.asarray(jax.random.permutation(key, count))


def _nodes(places: Iterable[Axis]) -> int:
    return math.prod(axis.size for axis in places)


def _without_units(shape: tuple[int, ...], place: Place) -> Place:
    return tuple(None if n == 1 else s for n, s in zip(shape, place, strict=True))


def _along(place: Place, above: Place) -> list[int]:
    """Return the dimensions along which an axis takes new values and its parent does not."""
    return [d for d, s in enumerate(place) if s is not None and (not above or above[d] is None)]


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


def _spelled_out(x: Spread, axes: list[Axis]) -> np.ndarray:
    """Return the table with one dimension for each of these axes, in their order."""
    own = sorted(x.places, key=axes.index)
    table = x.values.transpose([list(x.places).index(axis) for axis in own])
    sizes = [axis.size if axis in x.places else 1 for axis in axes]
    return table.reshape(sizes)


class Uneven(ArithmeticError):
    """A sum that a few of its terms dominate, so that it has no law known here."""


def summed(
    book: Book, x: Spread, dims: Collection[int], *, rows: bool = True
) -> Spread:
    """Return the sum over dimensions, which become 1.

    Of few entries it is exact in rows drawn once for all, see :meth:`Book.in_rows`. Else it
    is the entry itself and the rest, independent of it: so an array minus its own mean has
    the right variance. The rest is normal, and log-normal where no entry is negative.

    Args:
        book: Where rows are kept.
        x: The array.
        dims: The dimensions.
        rows: Whether more is to be known of the sum than its mean and variance.

    Returns:
        The sum.

    Raises:
        Uneven: A few large terms dominate.
    """
    for group, count in _groups(x, dims):
        x = _in_rows(book, x, group, count) if rows else x
        x = _sum_alike(book, x, group, count, strict=rows)
    return x


def _groups(x: Spread, dims: Collection[int]) -> list[tuple[list[int], int]]:
    """Return the dimensions by the axes that vary along them, and how many entries."""
    groups: dict[frozenset[Axis], list[int]] = {}
    for d in dims:
        if x.shape[d] != 1:
            key = frozenset(a for a, place in x.places.items() if place[d] is not None)
            groups.setdefault(key, []).append(d)
    return [(group, math.prod(x.shape[d] for d in group)) for group in groups.values()]


def _varied(x: Spread, dims: Collection[int]) -> tuple[list[Axis], list[Axis]]:
    """Return the axes that vary along dimensions: independent ones, and enumerated ones."""
    labels = {place[d] for place in x.places.values() for d in dims} - {None}
    varied = [a for a, p in x.places.items() if any(p[d] is not None for d in dims)]
    whole = [
        a
        for a in varied
        if a.whole and x.own_labels(a) <= labels
    ]
    return [a for a in varied if a not in whole], whole


def _dropped(x: Spread, dims: Collection[int]) -> Spread:
    shape = tuple(1 if d in dims else n for d, n in enumerate(x.shape))
    return x.moved(shape, lambda p: (None if d in dims else s for d, s in enumerate(p)))


def _without_axes(x: Spread, table: np.ndarray, axes: Sequence[Axis]) -> Spread:
    numbers = tuple(i for i, axis in enumerate(x.places) if axis in axes)
    places = {axis: place for axis, place in x.places.items() if axis not in axes}
    return Spread(x.shape, places, table.squeeze(numbers))


def _sum_alike(
    book: Book, x: Spread, dims: list[int], count: int, *, strict: bool
) -> Spread:
    drawn, whole = _varied(x, dims)
    if drawn and x.values.size * _REST_NODES > LIMIT:
        book.condense(x)
        drawn, whole = _varied(x, dims)
    table = x.values.astype(np.float64)
    if not drawn and not whole:
        return dataclasses.replace(_dropped(x, dims), values=table * count, top_of=None)
    if not drawn:
        total = _widened(x, table, count * x.expect(table, whole), count)
        return _without_axes(_dropped(x, dims), total, whole)
    centre = x.expect(table, drawn)
    variance = x.expect(np.square(table - centre), drawn)
    rest = count * x.expect(centre, whole) - centre
    rest_variance = np.maximum(count * x.expect(variance, whole) - variance, 0)
    x = _dropped(x, dims)
    return _with_rest(x, table, rest, rest_variance, drawn, strict=strict)


def _widened(x: Spread, table: np.ndarray, total: np.ndarray, count: int) -> np.ndarray:
    """Return the sums of rows with the variance that is known, that of the rows being off.

    Sums of one sign, and of very few, stay: what is left of them may be close to 0.
    """
    rows = next(iter(x.places))
    if len(x.places) != 2 or count <= _FEW_ENTRIES or (table >= 0).all() or rows.whole:
        return total
    mean = total.mean()
    spread = np.square(total - mean).mean()
    wanted = count * np.square(table - table.mean()).mean()
    return mean + (total - mean) * math.sqrt(wanted / spread) if spread > 0 else total


def _with_rest(
    x: Spread,
    table: np.ndarray,
    rest: np.ndarray,
    variance: np.ndarray,
    drawn: list[Axis],
    *,
    strict: bool,
) -> Spread:
    """Return the entry plus a rest of that mean and variance; x gives shape and places."""
    if not (variance > 1e-15 * np.square(rest)).any():
        return Spread(x.shape, x.places, np.broadcast_to(table + rest, table.shape))
    z, weights = _rest_nodes()
    rest, variance = rest[..., None], variance[..., None]
    if (table >= 0).all() and (rest >= 0).all():
        uneven = variance / np.maximum(np.square(rest), 1e-300)
        if strict and x.expect(np.minimum(uneven, 100)[..., 0], x.places).item() > _MOST_UNEVEN:
            raise Uneven
        more = _log_normal(rest, variance, z)
    else:
        more = rest + np.sqrt(variance) * z
    place = fresh_place(x.shape, [x.places[a] for a in drawn])
    return Spread(x.shape, {**x.places, Axis(weights): place}, table[..., None] + more)


def windowed_sum(x: Spread, shape: tuple[int, ...], count: float, extra: float) -> Spread:
    """Return the sum of ``count`` independent entries, of a number of variance ``extra``."""
    mean, variance = x.mean(), x.variance()
    total = max(count * variance + extra * mean**2, 0.0)
    make = positive if (x.values >= 0).all() else gaussian
    return make(shape, count * mean, total)


def _in_rows(book: Book, x: Spread, dims: list[int], count: int) -> Spread:
    """Return an array by rows where these are short and their entries are drawn."""
    drawn, whole = _varied(x, dims)
    if count > _LONGEST_ROW or not (drawn or whole):
        return x
    if not whole and (len(drawn) > 1 or drawn[0].parent is not None):
        book.condense(x)
        drawn, _ = _varied(x, dims)
    y, entries = x, next((axis for axis in whole if book.is_entries(axis)), None)
    if entries is None:
        shared = _nodes(x.places) // _nodes([*drawn, *whole])
        # On the way, all that is constant along a row is spelled out for each entry.
        room = min(LIMIT // shared, 4 * LIMIT // (shared * _nodes(whole)), _ROW_ENTRIES)
        lone = len(drawn) == 1 and drawn[0].parent is None
        if not lone or room < _FEWEST_ROWS * count:
            return x
        place = x.places[drawn[0]]
        labels = frozenset(place[d] for d in dims)
        y = book.in_rows(x, drawn[0], labels, room // count)
        entries = list(y.places)[list(x.places).index(drawn[0]) + 1]
    elif drawn:
        return x
    for axis in whole:
        if axis is not entries:
            y = book.paired(y, axis, entries, y.places[entries])
    x.places, x.values = y.places, y.values
    return x


def greatest(book: Book, x: Spread, dims: Collection[int]) -> Spread:
    """Return the maximum over dimensions, which become 1.

    It is exact in rows, see :meth:`Book.in_rows`, and else an order statistic that is
    taken for independent of each entry: exact in a softmax, which does not depend on it.
    """
    top = x
    for group, count in _groups(x, dims):
        top = _in_rows(book, top, group, count)
        drawn, whole = _varied(top, group)
        if not drawn and _nodes(whole) == count:
            numbers = tuple(i for i, axis in enumerate(top.places) if axis in whole)
            table = top.values.max(numbers, keepdims=True)
            top = _without_axes(_dropped(top, group), table, whole)
        else:
            top = dataclasses.replace(_greatest_alike(top, group, count), top_of=x)
    return top


def _greatest_alike(x: Spread, dims: list[int], count: int) -> Spread:
    drawn, whole = _varied(x, dims)
    if not drawn and not whole:
        return _dropped(x, dims)
    if _nodes(whole) > 8:  # a power for each class: else its entries count as draws
        drawn, whole = [*drawn, *whole], []
    varied = [*whole, *drawn]
    shared = [axis for axis in x.places if axis not in varied]
    axes = [*shared, *varied]
    table = _spelled_out(x, axes)
    full = _spelled_out(Spread(x.shape, x.places, _full_weights(x, varied)), axes)
    weights = np.broadcast_to(full, table.shape).reshape(_nodes(shared), _nodes(whole), -1)
    rows = table.reshape(weights.shape)
    most = max(4, min(64, NODES // len(rows)))
    found = [_maximum(v, w, count, most) for v, w in zip(rows, weights, strict=True)]
    values = np.stack([row for row, _ in found]).reshape(*(a.size for a in shared), -1)
    y = _dropped(x, dims)
    place = fresh_place(y.shape, [y.places[a] for a in varied])
    top = Axis(found[0][1])
    return Spread(y.shape, {**{a: y.places[a] for a in shared}, top: place}, values)


def _full_weights(x: Spread, over: list[Axis]) -> np.ndarray:
    return np.broadcast_to(x.weights(over), x.values.shape)


def _maximum(
    values: np.ndarray, weights: np.ndarray, count: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the greatest of many: ``count * share`` independent draws from each class.

    It is described by the means between levels of probability, which are the same for
    all rows, widened to the right variance.
    """
    order = np.argsort(values, axis=None, kind="stable")
    ordered = values.reshape(-1)[order].astype(np.float64)
    classes = np.broadcast_to(np.arange(len(values))[:, None], values.shape).reshape(-1)[order]
    mass = weights.reshape(-1)[order]
    power = np.zeros(mass.size)
    for k in range(len(values)):
        share = weights[k].sum()
        if share > 0:
            below = np.cumsum(np.where(classes == k, mass, 0)) / share
            power += count * share * np.log(np.maximum(below, _RARE))
    cumulative = np.exp(power)
    cumulative[-1] = 1
    mass = np.diff(cumulative, prepend=0)
    seen = ordered > _HIDDEN
    if (mass * seen).sum() > 0:
        ordered, mass = ordered[seen], mass[seen] / mass[seen].sum()
    edges = np.concatenate([[0], _levels(most), [1]])
    reached = np.concatenate([[0], np.cumsum(mass)])
    integral = np.interp(edges, reached, np.concatenate([[0], np.cumsum(mass * ordered)]))
    means, shares = np.diff(integral) / np.diff(edges), np.diff(edges)
    mean = shares @ means
    inner = shares @ np.square(means - mean)
    if inner > 0:
        widen = math.sqrt(mass @ np.square(ordered - mean) / inner)
        means = mean + (means - mean) * widen
    return means, shares
