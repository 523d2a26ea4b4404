"""The draws that NumPy's and Python's generators share: doubles, integers, choices."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import check_int, check_shape, type_error, value_error
from jaxinit._types import DTypeLike, Shape
from jaxinit.replay._arguments import (
    Started,
    check_draw,
    check_range,
    check_static,
    check_stream,
)
from jaxinit.replay._native import native
from jaxinit.replay._numpy_floats import finish, scaled
from jaxinit.replay._rows import Source, bucket, draw_rows, first
from jaxinit.replay._walks import Bound, leading, multiplied, shuffle

Units = Callable[
    [Any, jax.Array, int, Callable[[jax.Array], jax.Array]], tuple[Any, jax.Array]
]
_LEAST, _MOST = -(1 << 31), (1 << 31) - 1
_StreamT = TypeVar("_StreamT")


def check_bounds(low: int, high: int | None, endpoint: bool = False) -> tuple[int, int]:
    """Return the least and the largest value of a range as NumPy writes it."""
    if high is None:
        low, high = 0, low
    low = check_int("low", low, least=_LEAST)
    last = check_int("high", high, least=_LEAST) - (not endpoint)
    if not low <= last <= _MOST:
        rule = f"low must be below high, and both within {_LEAST} to {_MOST}"
        value_error(rule, f"low={low}, high={high}", "Results are int32.")
    return low, last


@dataclasses.dataclass(frozen=True)
class Draws:
    """What a generator does with its words. Static in every program.

    Attributes:
        kind: The class of its streams.
        source: Its words.
        units: From a stream, a count, a length and a function of doubles on [0, 1) to
            the stream after so many draws, and so many values of that function.
        bound: How a word becomes a bounded integer.
        swap: Likewise, in permutations.
        distinct: From a stream, ``a`` and a size to the next stream and so many different
            indices below ``a``; None for the first ones of a permutation.
    """

    kind: type[Started]
    source: Source
    units: Units
    bound: Bound
    swap: Bound
    distinct: Callable[[Any, int, int], tuple[Any, jax.Array]] | None = None

    def floats(
        self, stream: object, shape: Shape, dtype: DTypeLike | None, **numbers: float
    ) -> tuple[np.ndarray, tuple[int, ...], np.dtype[Any]]:
        """Return the numbers, the shape and the dtype of a draw of floats, checked."""
        check_stream(stream, self.kind)
        lengths, kind = check_draw(shape, dtype, ("float32", "float64"), 2)
        for name, number in numbers.items():
            least = 0.0 if name == "scale" else -math.inf
            numbers[name] = check_static(name, number, least)
        check_range(np.dtype(np.float64), **numbers)
        return np.array([*numbers.values()]), lengths, kind

    def uniform(
        self, stream: _StreamT, shape: Shape, dtype: DTypeLike | None, **bounds: float
    ) -> tuple[_StreamT, jax.Array]:
        """Draw uniform numbers between two bounds, which are called as they are given."""
        ends, lengths, kind = self.floats(stream, shape, dtype, **bounds)
        start, end = ends.tolist()
        check_range(np.dtype(np.float64), width=end - start)
        affine, size = np.array([start, end - start]), math.prod(lengths)
        count, room = np.int32(size), bucket(size)
        stream, values = _uniform(self.units, stream, affine, count, room, kind)
        return stream, first(values, lengths)

    def integers(
        self, stream: _StreamT, shape: Shape, low: int, high: int | None, end: bool = False
    ) -> tuple[_StreamT, jax.Array]:
        """Draw int32 of a range."""
        check_stream(stream, self.kind)
        lengths, bounds = check_shape(shape), check_bounds(low, high, end)
        size = math.prod(lengths)
        stream, values = integers(self.source, stream, size, *bounds, self.bound)
        return stream, values.reshape(lengths)

    def permutation(self, stream: _StreamT, n: int) -> tuple[_StreamT, jax.Array]:
        """Draw an order of the first ints."""
        check_stream(stream, self.kind)
        return permutation(self.source, stream, check_int("n", n, least=0), 1, self.swap)

    def choice(
        self,
        stream: _StreamT,
        a: int,
        shape: Shape,
        replace: bool,
        p: Sequence[float] | np.ndarray | None,
    ) -> tuple[_StreamT, jax.Array]:
        """Draw some of the first ints."""
        check_stream(stream, self.kind)
        a, lengths = check_int("a", a, least=1), check_shape(shape)
        size = _check_choice_size(a, lengths, replace, p is not None)
        if p is not None:
            shares, count = _check_shares(a, p), np.int32(size)
            stream, values = _by_share(self.units, stream, shares, count, bucket(size))
        elif replace:
            stream, values = integers(self.source, stream, size, 0, a - 1, self.bound)
        elif self.distinct is not None:
            stream, values = self.distinct(stream, a, size)
        else:
            stream, values = permutation(self.source, stream, a, 1, self.swap)
        return stream, values[:size].reshape(lengths)


def _check_shares(size: int, p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the cumulative sums of probabilities as NumPy forms them."""
    try:
        share = np.asarray(p, np.float64)
    except (TypeError, ValueError):
        type_error("p must be a sequence of numbers", f"p={p!r}", "Give a list.")
    if share.shape != (size,) or not np.all(share >= 0) or abs(share.sum() - 1) > 1e-8:
        rule = f"p must be {size} probabilities that sum to 1"
        got = f"p of shape {share.shape} with sum {share.sum():g}"
        value_error(rule, got, "Divide p by its sum.")
    total = share.cumsum()
    return total / total[-1]


def _check_choice_size(a: int, shape: tuple[int, ...], replace: bool, given: bool) -> int:
    """Return the number of choices, refusing what cannot be chosen."""
    size = math.prod(shape)
    if not replace and given:
        advice = "Choose without p, or with replacement."
        value_error("p needs replace=True", "replace=False with p", advice)
    if not replace and size > a:
        rule = "without replacement at most a values can be chosen"
        value_error(rule, f"a={a}, shape={shape}", "Set replace=True.")
    return size


def integers(
    source: Source, stream: Any, size: int, low: int, last: int, bound: Bound
) -> tuple[Any, jax.Array]:
    """Draw int32 from ``low`` to ``last``, each from the first word that is accepted."""
    nothing = low == last and bound is not leading  # Python draws even then
    if size == 0 or nothing:
        return stream, jnp.full((size,), low, jnp.int32)
    wide = bound is leading and last - low == 0xFFFFFFFF  # Python takes 33 bits
    share = 0.999 if bound is multiplied and last - low < 1 << 20 else 0.5
    ends = np.uint32(last - low), np.int32(low)
    static = bucket(size), bound, share, wide
    stream, values = _integers(source, stream, np.int32(size), ends, *static)
    return stream, first(values, (size,))


@native
@functools.partial(jax.jit, static_argnums=(0, 4, 5, 6, 7))
def _integers(
    source: Source,
    stream: Any,
    count: jax.Array,
    ends: tuple[jax.Array, jax.Array],
    room: int,
    bound: Bound,
    share: float,
    wide: bool,
) -> tuple[Any, jax.Array]:
    largest, low = ends

    def values(words: jax.Array) -> tuple[jax.Array, jax.Array]:
        if wide:
            return words[:, 0], words[:, 1] < np.uint32(1 << 31)
        return bound(words[:, 0], largest)

    def work(words: jax.Array) -> tuple[jax.Array]:
        return (values(words)[0].astype(jnp.int32)[:, None] + low,)

    tries = 2 if wide else 1, work, lambda words: values(words)[1], share
    return draw_rows(source, stream, count, room, *tries)[:2]


permutation = native(functools.partial(jax.jit, static_argnums=(0, 2, 3, 4))(shuffle))


@native
@functools.partial(jax.jit, static_argnums=(0, 4))
def _by_share(
    units: Units, stream: Any, total: jax.Array, count: jax.Array, room: int
) -> tuple[Any, jax.Array]:
    def of(values: jax.Array) -> jax.Array:
        return jnp.searchsorted(total, values, side="right").astype(jnp.int32)

    return units(stream, count, room, of)


@native
@functools.partial(jax.jit, static_argnums=(0, 4, 5))
def _uniform(
    units: Units,
    stream: Any,
    affine: jax.Array,
    count: jax.Array,
    room: int,
    dtype: np.dtype[Any],
) -> tuple[Any, jax.Array]:
    def of(values: jax.Array) -> jax.Array:
        return finish(scaled(values, affine[1], affine[0]), dtype)

    return units(stream, count, room, of)
