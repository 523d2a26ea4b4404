"""Sums and maxima of many entries: order statistics, and rows where entries are few."""

import dataclasses
import functools
import math
from collections.abc import Collection, Sequence

import numpy as np

from jaxinit.trace.moments.dependencies import Book
from jaxinit.trace.moments.distribution import (
    LIMIT,
    NODES,
    ROW_ENTRIES,
    Spread,
    fresh_place,
    gaussian,
    levels,
    log_normal,
    node_count,
    positive,
    spelled_out,
)
from jaxinit.trace.moments.random_axes import Axis

_LONGEST_ROW = 512
_FEWEST_ROWS = 64
_FEW_ENTRIES = 16
_REST_NODES = 8  # of the rest of a sum, a small and smooth part of it
_MANY = 256  # entries, of whose mean 3 nodes are enough
_MOST_UNEVEN = 0.1  # variance of a sum of positive terms over its squared mean
_HIDDEN = -1e29  # entries below are masked, and no maximum
_RARE = 1e-290  # keeps logarithms of empty sets finite


@functools.cache
def _rest_nodes(count: int) -> tuple[np.ndarray, np.ndarray]:
    z, weights = np.polynomial.hermite_e.hermegauss(count)
    return z, weights / weights.sum()


class UnevenError(ArithmeticError):
    """A sum that a few of its terms dominate, so that it has no distribution known here."""


def summed(book: Book, x: Spread, dims: Collection[int], *, rows: bool = True) -> Spread:
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
        UnevenError: A few large terms dominate.
    """
    alike = book.pooled_dims(x, dims)
    x = pooled(x, alike, math.prod(x.shape[d] for d in alike)) if alike else x
    for group, count in _groups(x, dims):
        x = _in_rows(book, x, group, count) if rows else x
        x = _sum_alike(book, x, group, count, strict=rows)
    return x


def pooled(x: Spread, dims: Collection[int], count: float) -> Spread:
    """Return ``count`` times the entry at one position: all positions are alike."""
    one = _dropped(x, dims)
    return one if count == 1 else one.mapped(lambda table: table * count)


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
    whole = [a for a in varied if a.whole and x.own_labels(a) <= labels]
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
        x = book.condensed(x)
        drawn, whole = _varied(x, dims)
    table = x.values.astype(np.float64)
    if not drawn and not whole:
        return dataclasses.replace(_dropped(x, dims), values=table * count, top_of=None)
    if not drawn:
        total = _widened(x, table, count * x.expect(table, whole), count)
        return _without_axes(_dropped(x, dims), total, whole)
    # Of n entries of mean m and variance v one is seen; the rest has (n - 1) m, (n - 1) v.
    centre = x.expect(table, drawn)
    variance = x.expect(np.square(table - centre), drawn)
    rest = count * x.expect(centre, whole) - centre
    rest_variance = np.maximum(count * x.expect(variance, whole) - variance, 0)
    x = _dropped(x, dims)
    nodes = _rest_nodes(3 if count >= _MANY else _REST_NODES)
    return _with_rest(x, table, (rest, rest_variance), drawn, nodes, strict=strict)


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
    moments: tuple[np.ndarray, np.ndarray],
    drawn: list[Axis],
    nodes: tuple[np.ndarray, np.ndarray],
    *,
    strict: bool,
) -> Spread:
    """Return the entry plus a rest of that mean and variance; x gives shape and places."""
    rest, variance = moments
    if not (variance > 1e-15 * np.square(rest)).any():
        return Spread(x.shape, x.places, np.broadcast_to(table + rest, table.shape))
    z, weights = nodes
    rest, variance = rest[..., None], variance[..., None]
    if (table >= 0).all() and (rest >= 0).all():
        uneven = variance / np.maximum(np.square(rest), 1e-300)
        if (
            strict
            and x.expect(np.minimum(uneven, 100)[..., 0], x.places).item() > _MOST_UNEVEN
        ):
            raise UnevenError
        more = log_normal(rest, variance, z)
    else:
        more = rest + np.sqrt(variance) * z
    place = fresh_place(x.shape, [x.places[a] for a in drawn])
    return Spread(x.shape, {**x.places, Axis(weights): place}, table[..., None] + more)


def windowed_sum(x: Spread, shape: tuple[int, ...], count: float, extra: float) -> Spread:
    """Return the sum of ``count`` independent entries; ``extra``: the count's variance."""
    # N terms, N independent of them: Var = E N v + Var N m^2.
    mean, variance = x.mean(), x.variance()
    total = max(count * variance + extra * mean**2, 0.0)
    make = positive if (x.values >= 0).all() else gaussian
    kinds = x.positions() if len(x.shape) == len(shape) else None
    return make(shape, count * mean, total, kinds)


def _in_rows(book: Book, x: Spread, dims: list[int], count: int) -> Spread:
    """Return an array by rows where these are short and their entries are drawn."""
    drawn, whole = _varied(x, dims)
    if count > _LONGEST_ROW or not (drawn or whole):
        return x
    if not whole and (len(drawn) > 1 or drawn[0].parent is not None):
        x = book.condensed(x)
        drawn, _ = _varied(x, dims)
    y, entries = x, next((axis for axis in whole if book.is_entries(axis)), None)
    if entries is None:
        shared = node_count(x.places) // node_count([*drawn, *whole])
        # On the way, all that is constant along a row is spelled out for each entry.
        room = min(LIMIT // shared, 4 * LIMIT // (shared * node_count(whole)), ROW_ENTRIES)
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
    return y


def greatest(book: Book, x: Spread, dims: Collection[int]) -> Spread:
    """Return the maximum over dimensions, which become 1.

    It is exact in rows, see :meth:`Book.in_rows`, and else an order statistic that is
    taken for independent of each entry: exact in a softmax, which does not depend on it.
    """
    top = pooled(x, book.pooled_dims(x, dims), 1)
    for group, count in _groups(top, dims):
        top = _in_rows(book, top, group, count)
        drawn, whole = _varied(top, group)
        if not drawn and node_count(whole) == count:
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
    if node_count(whole) > 8:  # a power for each class: else its entries count as draws
        drawn, whole = [*drawn, *whole], []
    varied = [*whole, *drawn]
    shared = [axis for axis in x.places if axis not in varied]
    axes = [*shared, *varied]
    table = spelled_out(x, axes)
    full = spelled_out(Spread(x.shape, x.places, _full_weights(x, varied)), axes)
    weights = np.broadcast_to(full, table.shape).reshape(
        node_count(shared), node_count(whole), -1
    )
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
    classes = np.broadcast_to(np.arange(len(values))[:, None], values.shape).reshape(-1)[
        order
    ]
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
    edges = np.concatenate([[0], levels(most), [1]])
    reached = np.concatenate([[0], np.cumsum(mass)])
    integral = np.interp(edges, reached, np.concatenate([[0], np.cumsum(mass * ordered)]))
    means, shares = np.diff(integral) / np.diff(edges), np.diff(edges)
    mean = shares @ means
    inner = shares @ np.square(means - mean)
    if inner > 0:
        widen = math.sqrt(mass @ np.square(ordered - mean) / inner)
        means = mean + (means - mean) * widen
    return means, shares
