"""``parts``: initializers side by side, and what all composed initializers share."""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
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
from jaxinit._layout import Fans, Layout
from jaxinit._placement import check_out_sharding, mesh_context, placed
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
        axis, shapes = self._shapes(check_shape(shape))
        keys = part_keys(key, len(shapes))
        triples = zip(self.values, keys, shapes, strict=True)
        drawn = [make_value(value, k, own, dtype) for value, k, own in triples]
        joined = functools.partial(jnp.concatenate, axis=axis)
        return place_result(lambda *xs: joined(xs), out_sharding, *drawn)

    __call__ = boundary(__call__, "parts")

    def describe(self, shape: tuple[int, ...], dtype: Any = None) -> Distribution:
        """Return the distribution of an entry of any part."""
        _, shapes = self._shapes(shape)
        pairs = list(zip(self.values, shapes, strict=True))
        found = [described_value(value, own, dtype) for value, own in pairs]
        texts = list(dict.fromkeys(part.text for part in found))
        counts = [math.prod(own) for own in shapes]
        return mixture(" | ".join(texts), list(zip(counts, found, strict=True)))

    def with_layout(self, layout: Layout | None, fans: Fans | None) -> "Parts":
        """Return the same with a traced layout in every part; its fans are each part's."""
        fans = fans if layout is None else None
        bound = tuple(value_with_layout(value, layout, fans) for value in self.values)
        return dataclasses.replace(self, values=bound)

    def _shapes(self, shape: tuple[int, ...]) -> tuple[int, list[tuple[int, ...]]]:
        axis = axis_of(self.axis, shape)
        length, count = shape[axis], len(self.values)
        sizes = self.sizes or (length // count,) * count
        if sum(sizes) != length:
            rule = "the sizes of the parts must add up to the length of their axis"
            got = f"sizes={self.sizes}" if self.sizes else f"{count} equal parts"
            advice = "Give one size a part."
            value_error(rule, f"{got} for {length} along axis {axis}", advice)
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
    if isinstance(values, (str, bytes)) or not isinstance(values, Sequence):
        advice = "Write [0.0, 1.0, 0.0, 0.0]."
        type_error("values must be a sequence", f"values={shown(values)}", advice)
    if len(values) == 0:
        value_error("values must have an entry a part", "none", "Give one or more.")
    for value in values:
        check_value("values", value)
    lengths = None
    if sizes is not None:
        lengths = tuple(check_int("sizes", size, least=1) for size in sizes)
        if len(lengths) != len(values):
            got = f"{len(lengths)} sizes for {len(values)} values"
            value_error("there must be one size a part", got, "Leave out none.")
    return Parts(tuple(values), lengths, check_int("axis", axis, least=-(2**31)))


def part_keys(key: Key, count: int) -> list[Key]:
    """Return keys for the parts of one array."""
    inner = jax.random.fold_in(check_key(key), _TAG)
    return [jax.random.fold_in(inner, i) for i in range(count)]


def place_result(
    f: Callable[..., jax.Array], sharding: OutSharding, *arrays: jax.Array
) -> jax.Array:
    """Return ``f(*arrays)``, placed."""
    shape = jax.eval_shape(f, *arrays).shape
    place = check_out_sharding(sharding, shape)
    with mesh_context(place):
        return placed(f, place)(*arrays)


def make_value(value: Value, key: Key, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Return a part: drawn, or of a given value."""
    if callable(value):
        return value(key, shape, dtype)
    return constant(None, shape, dtype, value=value)


def described_value(value: Value, shape: tuple[int, ...], dtype: Any) -> Distribution:
    """Return the distribution of a part."""
    if callable(value):
        return distribution_of(value, shape, dtype)
    text = f"{value:.4g}" if np.ndim(value) == 0 else "an array"
    fixed = functools.partial(constant, value=value)
    return distribution_of(fixed, shape, dtype)._replace(text=text)


def value_with_layout(value: Value, layout: Layout | None, fans: Fans | None) -> Value:
    """Return a part with a traced layout, if it is drawn."""
    return with_layout(value, layout, fans) if callable(value) else value


def axis_of(axis: int, shape: tuple[int, ...]) -> int:
    """Return the axis counted from 0."""
    if not -len(shape) <= axis < len(shape):
        got = f"axis={axis} for shape={shape}"
        value_error("axis must be one of the array's", got, "Count from 0.")
    return axis % len(shape)


def check_initializer(initializer: object) -> None:
    """Refuse what is no function."""
    if not callable(initializer):
        rule = "initializer must be a function (key, shape, dtype)"
        advice = "Give for example jaxinit.lecun_normal."
        type_error(rule, shown(initializer), advice)


def check_value(name: str, value: object) -> None:
    """Refuse what is neither a function nor a number or array."""
    number = isinstance(value, (int, float, complex, np.number, np.ndarray, jax.Array))
    if not callable(value) and (not number or isinstance(value, bool)):
        rule = f"{name} must be initializers, numbers or arrays"
        type_error(rule, shown(value), "Give for example 0.0.")
