"""Initializers made of initializers: parts side by side, chosen rows, a mask."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import (
    check_int,
    check_key,
    check_shape,
    shown,
    type_error,
    value_error,
)
from jaxinit._distribution import Distribution, distribution_of, mixture, with_layout
from jaxinit._draw import placed
from jaxinit._layout import Fans, Layout
from jaxinit._types import DTypeLike, Initializer, Key, OutSharding, Shape
from jaxinit.initializers.constant import constant

Value = Initializer | float | complex | np.ndarray | jax.Array
"""An initializer, or a number or an array that is put in its place."""

_TAG = 0x6A617869
"""Set before the number of a part, so that no key of a user's is met by chance."""


@dataclasses.dataclass(frozen=True, eq=False)
class Parts:
    """The initializer that :func:`parts` returns."""

    values: tuple[Value, ...]
    sizes: tuple[int, ...] | None
    axis: int

    def __call__(
        self,
        key: Key,
        shape: Shape,
        dtype: DTypeLike | None = None,
        *,
        out_sharding: OutSharding = None,
    ) -> jax.Array:
        """Return the parts side by side, each drawn with a key of its own."""
        axis, shapes = self._shapes(check_shape("parts", shape))
        keys = _keys("parts", key, len(shapes))
        triples = zip(self.values, keys, shapes, strict=True)
        drawn = [_make(value, k, own, dtype) for value, k, own in triples]
        return placed(lambda *xs: jnp.concatenate(xs, axis), out_sharding)(*drawn)

    def describe(self, shape: tuple[int, ...], dtype: Any = None) -> Distribution:
        """Return the distribution of an entry of any part."""
        _, shapes = self._shapes(shape)
        pairs = list(zip(self.values, shapes, strict=True))
        found = [_describe(value, own, dtype) for value, own in pairs]
        texts = list(dict.fromkeys(part.text for part in found))
        counts = [math.prod(own) for own in shapes]
        return mixture(" | ".join(texts), list(zip(counts, found, strict=True)))

    def with_layout(self, layout: Layout | None, fans: Fans | None) -> "Parts":
        """Return the same with a traced layout in every part; its fans are each part's."""
        fans = fans if layout is None else None
        bound = tuple(_with_layout(value, layout, fans) for value in self.values)
        return dataclasses.replace(self, values=bound)

    def _shapes(self, shape: tuple[int, ...]) -> tuple[int, list[tuple[int, ...]]]:
        axis = _axis("parts", self.axis, shape)
        length, count = shape[axis], len(self.values)
        sizes = self.sizes or (length // count,) * count
        if sum(sizes) != length:
            rule = "the sizes of the parts must add up to the length of their axis"
            got = f"sizes={self.sizes}" if self.sizes else f"{count} equal parts"
            advice = "Give one size a part."
            value_error("parts", rule, f"{got} for {length} along axis {axis}", advice)
        return axis, [(*shape[:axis], size, *shape[axis + 1 :]) for size in sizes]


@boundary
def parts(
    values: Sequence[Value], *, sizes: Sequence[int] | None = None, axis: int = -1
) -> Parts:
    r"""Return an initializer whose parts side by side are each made in their own way.

    .. math:: W = [W_1 \mid W_2 \mid \dots], \qquad W_i \sim \text{values}_i

    For weights that are fused in one array: query, key and value, the gates of a recurrent
    cell, gate and value of a gated unit. Each part has the fans of its own shape.

    Args:
        values: One entry a part: an initializer, or a number or array for one that is not
            random.
        sizes: Their lengths along ``axis``; None for parts of equal length.
        axis: The axis along which they lie; negative ones count from the last.

    Returns:
        A function ``(key, shape, dtype)``.

    Raises:
        ValueError: There is no part, a size is below 1, or the sizes are not as many as the
            values. When called: the sizes do not add up to the length of the axis.
        TypeError: An entry is neither a function nor a number or array.

    Elsewhere:
        PyTorch fills slices of the parameter. Keras has ``unit_forget_bias``, for gates in
        the order input, forget, cell, output; PyTorch's order is the same, Haiku's is
        input, cell, forget, output.

    Example:
        The bias of an LSTM whose forget gate begins open, and a fused projection:

        >>> import jax
        >>> import jaxinit
        >>> key = jax.random.key(0)
        >>> jaxinit.parts([0.0, 1.0, 0.0, 0.0])(key, (8,)).tolist()
        [0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
        >>> qkv = jaxinit.parts([jaxinit.xavier_normal] * 3, sizes=(256, 64, 64))
        >>> w = qkv(key, (256, 384))
        >>> [round(float(x.std()), 2) for x in jax.numpy.split(w, [256, 320], axis=1)]
        [0.06, 0.08, 0.08]
    """
    where = "parts"
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        advice = "Write [0.0, 1.0, 0.0, 0.0]."
        type_error(where, "values must be a sequence", f"values={shown(values)}", advice)
    if len(values) == 0:
        value_error(where, "values must have an entry a part", "none", "Give one or more.")
    for value in values:
        _check_value(where, "values", value)
    lengths = None
    if sizes is not None:
        lengths = tuple(check_int(where, "sizes", size, least=1) for size in sizes)
        if len(lengths) != len(values):
            got = f"{len(lengths)} sizes for {len(values)} values"
            value_error(where, "there must be one size a part", got, "Leave out none.")
    return Parts(tuple(values), lengths, check_int(where, "axis", axis, least=-(2**31)))


@dataclasses.dataclass(frozen=True, eq=False)
class Rows:
    """The initializer that :func:`rows` returns."""

    initializer: Initializer
    index: tuple[int, ...]
    value: Value
    axis: int

    def __call__(
        self,
        key: Key,
        shape: Shape,
        dtype: DTypeLike | None = None,
        *,
        out_sharding: OutSharding = None,
    ) -> jax.Array:
        """Return the draw of the initializer with those rows replaced."""
        lengths = check_shape("rows", shape)
        axis, index, own = self._places(lengths)
        drawn = self.initializer(key, lengths, dtype)
        other = _make(self.value, _keys("rows", key, 1)[0], own, drawn.dtype)
        at = (slice(None),) * axis + (np.array(index, np.int32),)
        return placed(lambda x, y: x.at[at].set(y), out_sharding)(drawn, other)

    def describe(self, shape: tuple[int, ...], dtype: Any = None) -> Distribution:
        """Return the distribution of an entry of any row."""
        _, index, own = self._places(shape)
        inner = distribution_of(self.initializer, shape, dtype)
        other = _describe(self.value, own, dtype)
        count = math.prod(own)
        text = f"{inner.text}, {len(index)} rows {other.text}"
        return mixture(text, [(math.prod(shape) - count, inner), (count, other)])

    def with_layout(self, layout: Layout | None, fans: Fans | None) -> "Rows":
        """Return the same with a traced layout."""
        bound = with_layout(self.initializer, layout, fans)
        value = _with_layout(self.value, layout, fans)
        return dataclasses.replace(self, initializer=bound, value=value)

    def _places(
        self, shape: tuple[int, ...]
    ) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        axis = _axis("rows", self.axis, shape)
        length = shape[axis]
        index = tuple(dict.fromkeys(i + length if i < 0 else i for i in self.index))
        bad = [i for i in index if not 0 <= i < length]
        if bad:
            rule = f"index must be of the {length} rows along axis {axis}"
            value_error("rows", rule, f"index={self.index}", "Count from 0.")
        return axis, index, (*shape[:axis], len(index), *shape[axis + 1 :])


@boundary
def rows(
    initializer: Initializer,
    index: int | Sequence[int],
    value: Value = 0.0,
    *,
    axis: int = 0,
) -> Rows:
    r"""Return an initializer that gives some rows another value or distribution.

    .. math:: W_i = v \text{ for } i \in \text{index}, \quad W_i \sim \text{initializer}
        \text{ else}

    For the row of a padding token, tokens that are added to a vocabulary, the bias of one
    class. The other rows are those that the initializer alone draws with the same key.

    Args:
        initializer: What draws the whole array.
        index: The rows, from 0; negative ones count from the last.
        value: A number, an array that broadcasts to these rows, or an initializer, which
            draws them as an array of their own.
        axis: The axis that counts rows.

    Returns:
        A function ``(key, shape, dtype)``.

    Raises:
        ValueError: When called: a row is not there.
        TypeError: An argument is of the wrong kind.

    Elsewhere:
        ``torch.nn.Embedding(padding_idx=0)`` has a row of zeros.

    Example:
        >>> import jax
        >>> from functools import partial
        >>> import jaxinit
        >>> table = jaxinit.rows(partial(jaxinit.normal, std=0.02), 0)
        >>> w = table(jax.random.key(0), (100, 16))
        >>> bool((w[0] == 0).all()), round(float(w[1:].std()), 3)
        (True, 0.02)
    """
    where = "rows"
    _check_initializer(where, initializer)
    _check_value(where, "value", value)
    given = [index] if isinstance(index, (int, np.integer)) else index
    if isinstance(given, (str, bytes)) or not isinstance(given, (Sequence, np.ndarray)):
        rule = "index must be an int or a sequence of ints"
        type_error(where, rule, f"index={shown(index)}", "Give for example [0, 3].")
    numbers = tuple(check_int(where, "index", i, least=-(2**31)) for i in given)
    return Rows(initializer, numbers, value, check_int(where, "axis", axis, least=-(2**31)))


@dataclasses.dataclass(frozen=True, eq=False)
class Where:
    """The initializer that :func:`where` returns."""

    mask: np.ndarray
    initializer: Initializer
    otherwise: Value

    def __call__(
        self,
        key: Key,
        shape: Shape,
        dtype: DTypeLike | None = None,
        *,
        out_sharding: OutSharding = None,
    ) -> jax.Array:
        """Return the draw where the mask holds, and the other values elsewhere."""
        lengths = check_shape("where", shape)
        mask = self._mask(lengths)
        drawn = self.initializer(key, lengths, dtype)
        other = _make(self.otherwise, _keys("where", key, 1)[0], lengths, drawn.dtype)
        return placed(lambda x, y: jnp.where(mask, x, y), out_sharding)(drawn, other)

    def describe(self, shape: tuple[int, ...], dtype: Any = None) -> Distribution:
        """Return the distribution of an entry, inside the mask or outside."""
        mask = self._mask(shape)
        count = int(np.broadcast_to(mask, shape).sum())
        inner = distribution_of(self.initializer, shape, dtype)
        other = self._otherwise(mask, shape, dtype)
        text = f"{inner.text} where a mask holds, else {other.text}"
        return mixture(text, [(count, inner), (math.prod(shape) - count, other)])

    def with_layout(self, layout: Layout | None, fans: Fans | None) -> "Where":
        """Return the same with a traced layout."""
        bound = with_layout(self.initializer, layout, fans)
        other = _with_layout(self.otherwise, layout, fans)
        return dataclasses.replace(self, initializer=bound, otherwise=other)

    def _otherwise(
        self, mask: np.ndarray, shape: tuple[int, ...], dtype: Any
    ) -> Distribution:
        """Return what lies outside of the mask: of an array, these entries alone."""
        if callable(self.otherwise) or np.ndim(self.otherwise) == 0:
            return _describe(self.otherwise, shape, dtype)
        outside = np.broadcast_to(np.asarray(self.otherwise), shape)
        entries = outside[~np.broadcast_to(mask, shape)]
        return _describe(entries, entries.shape, dtype)._replace(text="the given values")

    def _mask(self, shape: tuple[int, ...]) -> np.ndarray:
        try:
            fits = np.broadcast_shapes(self.mask.shape, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            got = f"mask of shape {self.mask.shape} for shape={shape}"
            value_error(
                "where", "mask must broadcast to shape", got, "Add axes of length 1."
            )
        return self.mask


@boundary
def where(
    mask: np.ndarray | jax.Array | Sequence[Any],
    initializer: Initializer,
    otherwise: Value = 0.0,
) -> Where:
    r"""Return an initializer that draws only where a mask holds.

    .. math:: W_i \sim \text{initializer where } mask_i, \quad W_i = \text{otherwise}_i
        \text{ else}

    For units that are reset, a vocabulary or a layer that grows, a pruned network: give the
    old values as ``otherwise``. What is drawn is what the initializer alone draws there
    with the same key.

    Args:
        mask: Booleans that broadcast to the shape; known, not traced.
        initializer: What draws the entries where it is True.
        otherwise: The others: a number, an array that broadcasts to the shape, or another
            initializer.

    Returns:
        A function ``(key, shape, dtype)``.

    Raises:
        ValueError: When called: ``mask`` or ``otherwise`` does not broadcast to the shape.
        TypeError: ``mask`` does not hold booleans, or another argument is of the wrong
            kind.

    Elsewhere:
        ``torch.nn.utils.prune`` keeps such a mask beside the parameter.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import jaxinit
        >>> old, dead = jnp.full((64, 3), 7.0), [False, True, False]
        >>> reset = jaxinit.where(dead, jaxinit.lecun_normal, old)
        >>> new = reset(jax.random.key(0), (64, 3))
        >>> (new == 7).all(axis=0).tolist(), round(float(new[:, 1].std()), 1)
        ([True, False, True], 0.1)
    """
    name = "where"
    _check_initializer(name, initializer)
    _check_value(name, "otherwise", otherwise)
    try:
        array = np.asarray(mask)
    except (TypeError, ValueError):
        array = np.zeros(())
    if array.dtype != np.bool_:
        rule = "mask must be an array of booleans that is known"
        type_error(name, rule, f"mask={shown(mask)}", "Compare first: mask = scores > 0.")
    return Where(array, initializer, otherwise)


def _keys(where: str, key: Key, count: int) -> list[Key]:
    inner = jax.random.fold_in(check_key(where, key), _TAG)
    return [jax.random.fold_in(inner, i) for i in range(count)]


def _make(value: Value, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    if callable(value):
        return value(key, shape, dtype)
    return constant(None, shape, dtype, value=value)


def _describe(value: Value, shape: tuple[int, ...], dtype: Any) -> Distribution:
    if callable(value):
        return distribution_of(value, shape, dtype)
    text = f"{value:.4g}" if np.ndim(value) == 0 else "an array"
    fixed = functools.partial(constant, value=value)
    return distribution_of(fixed, shape, dtype)._replace(text=text)


def _with_layout(value: Value, layout: Layout | None, fans: Fans | None) -> Value:
    return with_layout(value, layout, fans) if callable(value) else value


def _axis(where: str, axis: int, shape: tuple[int, ...]) -> int:
    if not -len(shape) <= axis < len(shape):
        got = f"axis={axis} for shape={shape}"
        value_error(where, "axis must be one of the array's", got, "Count from 0.")
    return axis % len(shape)


def _check_initializer(where: str, initializer: object) -> None:
    if not callable(initializer):
        rule = "initializer must be a function (key, shape, dtype)"
        advice = "Give for example jaxinit.lecun_normal."
        type_error(where, rule, shown(initializer), advice)


def _check_value(where: str, name: str, value: object) -> None:
    number = isinstance(value, (int, float, complex, np.number, np.ndarray, jax.Array))
    if not callable(value) and (not number or isinstance(value, bool)):
        rule = f"{name} must be initializers, numbers or arrays"
        type_error(where, rule, shown(value), "Give for example 0.0.")
