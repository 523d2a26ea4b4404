"""``rows`` and ``where``: initializers for some of the entries of an array."""

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
    check_shape,
    shown,
    type_error,
    value_error,
)
from jaxinit._distribution import Distribution, distribution_of, mixture, with_layout
from jaxinit._layout import Fans, Layout
from jaxinit._types import DTypeLike, Initializer, Key, OutSharding, Shape
from jaxinit.initializers.composed import (
    Value,
    axis_of,
    check_initializer,
    check_value,
    described_value,
    make_value,
    part_keys,
    place_result,
    value_with_layout,
)


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
        lengths = check_shape(shape)
        axis, index, own = self._places(lengths)
        drawn = self.initializer(key, lengths, dtype)
        other = make_value(self.value, part_keys(key, 1)[0], own, drawn.dtype)
        at = (slice(None),) * axis + (np.array(index, np.int32),)
        return place_result(lambda x, y: x.at[at].set(y), out_sharding, drawn, other)

    __call__ = boundary(__call__, "rows")

    def describe(self, shape: tuple[int, ...], dtype: Any = None) -> Distribution:
        """Return the distribution of an entry of any row."""
        _, index, own = self._places(shape)
        inner = distribution_of(self.initializer, shape, dtype)
        other = described_value(self.value, own, dtype)
        count = math.prod(own)
        text = f"{inner.text}, {len(index)} rows {other.text}"
        return mixture(text, [(math.prod(shape) - count, inner), (count, other)])

    def with_layout(self, layout: Layout | None, fans: Fans | None) -> "Rows":
        """Return the same with a traced layout."""
        bound = with_layout(self.initializer, layout, fans)
        value = value_with_layout(self.value, layout, fans)
        return dataclasses.replace(self, initializer=bound, value=value)

    def _places(
        self, shape: tuple[int, ...]
    ) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
        axis = axis_of(self.axis, shape)
        length = shape[axis]
        index = tuple(dict.fromkeys(i + length if i < 0 else i for i in self.index))
        bad = [i for i in index if not 0 <= i < length]
        if bad:
            rule = f"index must be of the {length} rows along axis {axis}"
            value_error(rule, f"index={self.index}", "Count from 0.")
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
    check_initializer(initializer)
    check_value("value", value)
    given = [index] if isinstance(index, (int, np.integer)) else index
    if isinstance(given, (str, bytes)) or not isinstance(given, (Sequence, np.ndarray)):
        rule = "index must be an int or a sequence of ints"
        type_error(rule, f"index={shown(index)}", "Give for example [0, 3].")
    numbers = tuple(check_int("index", i, least=-(2**31)) for i in given)
    return Rows(initializer, numbers, value, check_int("axis", axis, least=-(2**31)))


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
        lengths = check_shape(shape)
        mask = self._mask(lengths)
        drawn = self.initializer(key, lengths, dtype)
        other = make_value(self.otherwise, part_keys(key, 1)[0], lengths, drawn.dtype)
        chosen = functools.partial(jnp.where, mask)
        return place_result(chosen, out_sharding, drawn, other)

    __call__ = boundary(__call__, "where")

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
        other = value_with_layout(self.otherwise, layout, fans)
        return dataclasses.replace(self, initializer=bound, otherwise=other)

    def _otherwise(
        self, mask: np.ndarray, shape: tuple[int, ...], dtype: Any
    ) -> Distribution:
        """Return what lies outside of the mask: of an array, these entries alone."""
        if callable(self.otherwise) or np.ndim(self.otherwise) == 0:
            return described_value(self.otherwise, shape, dtype)
        outside = np.broadcast_to(np.asarray(self.otherwise), shape)
        entries = outside[~np.broadcast_to(mask, shape)]
        return described_value(entries, entries.shape, dtype)._replace(
            text="the given values"
        )

    def _mask(self, shape: tuple[int, ...]) -> np.ndarray:
        try:
            fits = np.broadcast_shapes(self.mask.shape, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            got = f"mask of shape {self.mask.shape} for shape={shape}"
            value_error("mask must broadcast to shape", got, "Add axes of length 1.")
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
    check_initializer(initializer)
    check_value("otherwise", otherwise)
    try:
        array = np.asarray(mask)
    except (TypeError, ValueError):
        array = np.zeros(())
    if array.dtype != np.bool_:
        rule = "mask must be an array of booleans that is known"
        type_error(rule, f"mask={shown(mask)}", "Compare first: mask = scores > 0.")
    return Where(array, initializer, otherwise)
