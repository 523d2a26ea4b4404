"""``per_slice``: stacks of layers of which each has a scale of its own."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_int, type_error, value_error
from jaxinit._distribution import Distribution, distribution_of
from jaxinit._scale import check_scale
from jaxinit._types import DTypeLike, Initializer, Key, OutSharding, Shape


@dataclasses.dataclass(frozen=True)
class PerSlice:
    """The initializer that :func:`per_slice` returns."""

    initializer: Initializer
    scales: tuple[float, ...] | Callable[[int], float]
    axis: int = 0

    def __call__(
        self,
        key: Key,
        shape: Shape,
        dtype: DTypeLike | None = None,
        *,
        out_sharding: OutSharding = None,
    ) -> jax.Array:
        """Return the inner draw, each slice times its scale, rounded once."""
        scales = self._scales_for(tuple(shape))
        final = jnp.dtype(dtype or jax.dtypes.canonicalize_dtype(np.float64))
        wide = final if final.itemsize >= 4 else jnp.dtype(np.float32)
        std = distribution_of(self.initializer, tuple(shape), wide).std
        for scale in scales if std else ():
            check_scale(final, 0.0, abs(scale) * float(std or 0), 1.0)
        factor = np.asarray(scales, np.float64).astype(jnp.finfo(wide).dtype)
        factor = factor.reshape([-1 if i == self.axis else 1 for i in range(len(shape))])
        kept = {"out_sharding": out_sharding} if out_sharding is not None else {}
        return (self.initializer(key, shape, wide, **kept) * factor).astype(final)

    __call__ = boundary(__call__, "per_slice")

    def _scales_for(self, shape: tuple[int, ...]) -> tuple[float, ...]:
        if not self.axis < len(shape):
            got = f"axis={self.axis} for shape={shape}"
            value_error("axis must be one of the leaf's", got, "Give that of the stack.")
        length = shape[self.axis]
        if callable(self.scales):
            return tuple(float(self.scales(i)) for i in range(length))
        if len(self.scales) != length:
            got = f"{len(self.scales)} scales for {length} slices of axis {self.axis}"
            value_error("there must be one scale a slice", got, "Give one a layer.")
        return self.scales

    def describe(self, shape: tuple[int, ...], dtype: Any = None) -> Distribution:
        """Return the distribution; its std is the root mean square over the slices."""
        inner = distribution_of(self.initializer, shape, dtype)
        scales = self._scales_for(shape)
        low, high = min(scales, default=1.0), max(scales, default=1.0)
        text = f"{inner.text} times {low:.4g}..{high:.4g}"
        if inner.std is None or inner.mean != 0 or not scales:
            return Distribution(text)
        square = sum(s * s for s in scales) / len(scales)
        kurtosis = None
        if inner.kurtosis is not None and square > 0:
            fourth = sum(s**4 for s in scales) / len(scales)
            kurtosis = inner.kurtosis * fourth / square**2
        return Distribution(text, inner.std * math.sqrt(square), 0.0, kurtosis)


@boundary
def per_slice(
    initializer: Initializer,
    scales: Sequence[float] | Callable[[int], float],
    *,
    axis: int = 0,
) -> PerSlice:
    r"""Return an initializer that scales each layer of a stacked leaf differently.

    .. math:: W_l = s_l\, V_l, \qquad V \sim \text{initializer}

    For schemes that depend on depth, in models whose layers are scanned or vmapped.

    Args:
        initializer: What draws the whole stack; tell it a layout with ``B`` for the stack.
        scales: One factor a layer, or a function of the layer's number from 0.
        axis: The axis of the stack, from 0.

    Returns:
        A function ``(key, shape, dtype)``. It draws in float32 or wider and rounds once.

    Raises:
        ValueError: ``axis`` is negative, or a scale is no finite number.
        TypeError: ``initializer`` is not a function, or ``axis`` not an int.

    Example:
        >>> import jax
        >>> from functools import partial
        >>> import jaxinit
        >>> stack = partial(jaxinit.lecun_normal, layout="BIO")
        >>> scaled = jaxinit.per_slice(stack, lambda layer: (2 * (layer + 1)) ** -0.5)
        >>> w = scaled(jax.random.key(0), (2, 300, 300))
        >>> [round(float(x.std()) * 300**0.5, 1) for x in w]  # 1 / sqrt(2), 1 / sqrt(4)
        [0.7, 0.5]
    """
    if not callable(initializer):
        advice = "Give for example jaxinit.lecun_normal."
        type_error("initializer must be a function", f"{initializer!r}", advice)
    check_int("axis", axis, least=0)
    if callable(scales):
        return PerSlice(initializer, scales, axis)
    numbers = tuple(float(s) for s in scales)
    bad = [s for s in numbers if not math.isfinite(s)]
    if bad:
        value_error("scales must be finite", f"{bad[0]}", "Give finite factors.")
    return PerSlice(initializer, numbers, axis)
