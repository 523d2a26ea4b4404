"""Operations that sum or compare many entries, one rule a primitive."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxinit.trace.moments.dependencies import POOLED, Book
from jaxinit.trace.moments.distribution import (
    Spread,
    fresh,
    gaussian,
    labels,
    mixture,
    positive,
    scalar,
)
from jaxinit.trace.moments.moves import Rule
from jaxinit.trace.moments.reductions import greatest, pooled, summed, windowed_sum


def _reduce_sum(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    if xs[0].size == 0:
        return [scalar(0.0, outs[0].shape)]
    return [_without(summed(book, xs[0], params["axes"]), params["axes"])]


def _reduce_max(book: Book, xs: Sequence[Spread], params: Any, _outs: Any) -> list[Spread]:
    return [_without(greatest(book, xs[0], params["axes"]), params["axes"])]


def _negated(rule: Rule) -> Rule:
    """Return the rule of the minimum, from that of the maximum."""

    def least(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
        negative = [x.mapped(lambda table: -table.astype(np.float64)) for x in xs]
        return [x.mapped(np.negative) for x in rule(book, negative, params, outs)]

    return least


def _without(x: Spread, dims: Sequence[int]) -> Spread:
    kept = [d for d in range(len(x.shape)) if d not in dims]
    return x.moved((x.shape[d] for d in kept), lambda place: (place[d] for d in kept))


def _cumsum(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    x, count = xs[0], xs[0].shape[params["axis"]]
    book.remarks.append("terms of a cumulative sum count as independent")
    # Over all positions, the number of terms is uniform from 1 to count.
    return [windowed_sum(x, outs[0].shape, (count + 1) / 2, (count**2 - 1) / 12)]


def _reduce_prod(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    x, dims = xs[0], params["axes"]
    count = math.prod(x.shape[d] for d in dims)
    one = _without(pooled(x, dims, 1), dims)
    if count == 1 or not x.places:
        return [one.mapped(lambda table: table**count)]
    book.remarks.append("factors of a product over an axis count as independent")
    # E prod x = (E x)^n and E (prod x)^2 = (E x^2)^n.
    mean, square = x.mean() ** count, x.square() ** count
    return [gaussian(outs[0].shape, mean, square - mean**2, one.positions())]


def _dot_general(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    (contract, batch) = params["dimension_numbers"]
    left, right = xs
    rank_left = len(left.shape) - len(contract[0]) - len(batch[0])
    rank_right = len(right.shape) - len(contract[1]) - len(batch[1])
    a = _arranged(left, batch[0], contract[0], before=0, after=rank_right)
    b = _arranged(right, batch[1], contract[1], before=rank_left, after=0)
    product = book.combined(np.multiply, [a, b])
    first = len(product.shape) - len(contract[0])
    dims = range(first, len(product.shape))
    count = math.prod(product.shape[d] for d in dims)
    shape = outs[0].shape
    if count == 0:
        return [scalar(0.0, shape)]
    total = _without(summed(book, product, dims, rows=False), dims)
    if count == 1:
        return [total]
    # One term is little of the sum, and nobody sees it: the sum is normal.
    make = positive if (product.values >= 0).all() else gaussian
    return [make(shape, total.mean(), total.variance(), total.positions())]


def mixed(book: Book, x: Spread, dims: Sequence[int], out: Any, kinds: Any) -> Spread:
    """Return a weighted average over dimensions, with weights that add up to 1.

    Positions are taken for alike, so it has the distribution of one entry.
    """
    book.remarks.append(POOLED)
    return fresh(pooled(x, dims, 1), out.shape, kinds)


def _arranged(
    x: Spread, batch: Sequence[int], contract: Sequence[int], *, before: int, after: int
) -> Spread:
    """Return the array as (batch, units, its own dimensions, units, what is summed)."""
    own = [d for d in range(len(x.shape)) if d not in (*batch, *contract)]
    order = [*batch, *[None] * before, *own, *[None] * after, *contract]
    shape = [1 if d is None else x.shape[d] for d in order]
    return x.moved(shape, lambda place: (None if d is None else place[d] for d in order))


def taps(eqn: Any) -> tuple[float, float]:
    """Return how many products an output of a convolution sums: mean and mean square.

    Padding and the gaps of a dilated input are not counted.
    """
    params, (left, right) = eqn.params, [atom.aval.shape for atom in eqn.invars[:2]]
    numbers = params["dimension_numbers"]
    pairs = zip(
        numbers.lhs_spec[2:], numbers.rhs_spec[2:], numbers.out_spec[2:], strict=True
    )
    mean = square = 1.0
    for k, (d, w, o) in enumerate(pairs):
        counts = _counts(
            left[d],
            right[w],
            eqn.outvars[0].aval.shape[o],
            params["window_strides"][k],
            params["padding"][k][0],
            params["lhs_dilation"][k],
            params["rhs_dilation"][k],
        )
        mean *= counts.mean()
        square *= np.square(counts).mean()
    features = right[numbers.rhs_spec[1]]
    return features * mean, features**2 * square


def _counts(
    length: int, window: int, outputs: int, stride: int, low: int, gap: int, spacing: int
) -> np.ndarray:
    """Return for each output along a dimension how many entries its window holds."""
    starts = np.arange(outputs)[:, None] * stride - low
    at = starts + np.arange(window)[None, :] * spacing
    return ((at >= 0) & (at <= (length - 1) * gap) & (at % gap == 0)).sum(1).astype(float)


def convolved(eqn: Any, book: Book, xs: Sequence[Spread]) -> Spread:
    """Return the convolution of two arrays, none of them a weight to be drawn."""
    count, square = taps(eqn)
    book.remarks.append("entries that data convolves with data count as independent")
    product = book.combined(np.multiply, [fresh(x, (1,)) for x in xs])
    return windowed_sum(product, eqn.outvars[0].aval.shape, count, square - count**2)


def _windows(eqn_params: Any, before: tuple[int, ...], after: tuple[int, ...]) -> list[Any]:
    keys = ("window_dimensions", "window_strides", "padding")
    columns = zip(before, after, *(eqn_params[key] for key in keys), strict=True)
    gaps = eqn_params.get("base_dilation") or (1,) * len(before)
    spacings = eqn_params.get("window_dilation") or (1,) * len(before)
    return [
        _counts(n, window, m, stride, low, gap, spacing)
        for (n, m, window, stride, (low, _)), gap, spacing in zip(
            columns, gaps, spacings, strict=True
        )
    ]


def _window_sum(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    x, shape = xs[0], outs[0].shape
    counts = _windows(params, x.shape, shape)
    mean = math.prod(c.mean() for c in counts)
    square = math.prod(np.square(c).mean() for c in counts)
    if _is_pooled(book, x, params):
        factor = math.sqrt(square)
        return [fresh(x.mapped(lambda v: v * factor), shape, x.positions())]
    return [windowed_sum(x, shape, mean, square - mean**2)]


def _is_pooled(book: Book, x: Spread, params: Any) -> bool:
    dims = [d for d, n in enumerate(params["window_dimensions"]) if n > 1]
    return bool(dims) and book.pooled_dims(x, dims) == dims


def _window_max(book: Book, xs: Sequence[Spread], params: Any, outs: Any) -> list[Spread]:
    if _is_pooled(book, xs[0], params):
        return [fresh(xs[0], outs[0].shape, xs[0].positions())]
    return [_window_top(xs[0], params, outs[0].shape)]


def _window_top(x: Spread, params: Any, shape: tuple[int, ...]) -> Spread:
    """Return the maximum over windows, each of as many independent entries as it holds."""
    distribution = fresh(x, (2,))
    if not distribution.places:
        return scalar(distribution.values, shape)
    shares = _shares(_windows(params, x.shape, shape))
    tops = [
        (share, _top_of(distribution, int(count)))
        for count, share in shares.items()
        if count
    ]
    return mixture(tops, shape, x.positions())


def _shares(counts: Sequence[np.ndarray]) -> dict[float, float]:
    """Return the share of the windows that hold each number of entries."""
    found = {1.0: 1.0}
    for along in counts:
        sizes, times = np.unique(along, return_counts=True)
        shares = times / times.sum()
        previous, found = found, {}
        for size, share in previous.items():
            for more, part in zip(sizes, shares, strict=True):
                product = size * float(more)
                found[product] = found.get(product, 0.0) + share * float(part)
    return found


def _top_of(distribution: Spread, count: int) -> Spread:
    (axis,) = distribution.places
    row = Spread((count,), {axis: labels((count,))}, distribution.values)
    return greatest(Book(), row, [0])


SUMS: dict[str, Rule] = {
    "cumsum": _cumsum,
    "dot_general": _dot_general,
    "reduce_and": _negated(_reduce_max),
    "reduce_max": _reduce_max,
    "reduce_min": _negated(_reduce_max),
    "reduce_or": _reduce_max,
    "reduce_prod": _reduce_prod,
    "reduce_sum": _reduce_sum,
    "reduce_window_max": _window_max,
    "reduce_window_min": _negated(_window_max),
    "reduce_window_sum": _window_sum,
}
"""The rules, by the name of the primitive."""
