"""Uniform and normal distributions with stated parameters."""

import math
from typing import Any

import jax
import numpy as np

from jaxinit._checks import check_entries, check_key, value_error
from jaxinit._distribution import Descriptor, described
from jaxinit._draw import UNIFORM_LIMIT, execute, plan_draw
from jaxinit._moments import Moments, scaled_moments, standard_moments, uniform_moments
from jaxinit._scale import Number, check_scale, exactly, worst_of
from jaxinit._types import DTypeLike, Key, OutSharding, Scalars, Shape
from jaxinit._window import Window


def _uniform_moments(_shape: Shape, _complex: bool, *, low: Any, high: Any) -> Moments:
    return uniform_moments(low, high)


@described(Descriptor(_uniform_moments))
def uniform(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    low: Scalars = 0.0,
    high: Scalars = 1.0,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw values spread evenly between two bounds.

    .. math:: W \sim U(low, high)

    The mean is :math:`(low + high) / 2` and the standard deviation
    :math:`(high - low) / \sqrt{12}`. For a bias as PyTorch draws it, use
    :math:`\pm 1 / \sqrt{fan_{in}}` of its weight.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths; any rank. A zero length gives an empty array.
        dtype: A real float dtype; None for JAX's default. Values are computed in float32
            (float64 for float64) and rounded once.
        low: Lower bound, as a value: a number, or an array that broadcasts to ``shape``.
            May be traced. Reached only by rounding.
        high: Upper bound, likewise, no less than ``low``; equal bounds give a constant.
        window: A block ``(start, lengths)`` of the array, with one int for every axis: it
            alone is drawn, and equals that block of the whole. ``shape`` stays that of the
            whole. ``start`` may be traced, and must then lie inside. None for the whole.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape``, or that of the window, and ``dtype``.

    Raises:
        ValueError: ``high`` is below ``low``, or ``dtype`` cannot hold the range.
        TypeError: An argument is of the wrong kind.

    Elsewhere:
        The distribution of ``torch.nn.init.uniform_`` (``a``, ``b``).
        ``jax.nn.initializers.uniform`` takes ``scale`` for ``high`` and is not symmetric
        either; Keras' RandomUniform is ``(-0.05, 0.05)`` by default.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.uniform(jax.random.key(0), (200, 300), low=-0.1, high=0.1)
        >>> w.shape, bool(abs(w).max() <= 0.1)
        ((200, 300), True)
        >>> round(float(w.std()), 3)  # 0.2 / sqrt(12)
        0.058
    """
    draw, start = plan_draw(
        "uniform", shape, dtype, out_sharding, window, allow_complex=False
    )
    lower, upper = check_bounds(low, high, draw.shape)
    centre, half = exactly(
        draw.wide, lambda _, a, b: (a / 2 + b / 2, b / 2 - a / 2), lower, upper
    )
    bounds = (lower, upper)
    check_scale(draw.dtype, centre, half / UNIFORM_LIMIT, UNIFORM_LIMIT, bounds)
    symmetric = isinstance(centre, float) and centre == 0
    limits = None if symmetric else bounds
    return execute(draw, check_key(key), centre, half, start=start, limits=limits)


def check_bounds(
    low: Scalars,
    high: Scalars,
    shape: Shape,
    *,
    least: float = -math.inf,
    most: float = math.inf,
) -> tuple[Number, Number]:
    """Return two bounds of a uniform distribution in their canonical form."""
    lower = check_entries("low", low, shape, least=least)
    upper = check_entries("high", high, shape, least=least, most=most)
    for (a, b), place in worst_of(lambda a, b: (a - b,), lower, upper):
        if b < a:
            got = f"low={a:g}, high={b:g}{place}"
            value_error("high must be no less than low", got, "Swap the bounds.")
    return lower, upper


def _normal_moments(_shape: Shape, is_complex: bool, *, mean: Any, std: Any) -> Moments:
    standard = standard_moments("normal", is_complex=is_complex)
    return scaled_moments(standard, std, mean, is_complex=is_complex)


@described(Descriptor(_normal_moments))
def normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    mean: Scalars | complex = 0.0,
    std: Scalars = 1.0,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw values from a normal distribution.

    .. math:: W \sim N(mean, std^2)

    and for a complex dtype :math:`W = mean + std\,(X + iY) / \sqrt{2}` with independent X
    and Y of N(0, 1), so that :math:`\operatorname{E} |W - mean|^2 = std^2`.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths; any rank. A zero length gives an empty array.
        dtype: A float dtype, real or complex; None for JAX's default. Values are computed
            in float32 (float64 for float64) and rounded once.
        mean: Mean: a number, or an array that broadcasts to ``shape``; complex if ``dtype``
            is. May be traced.
        std: Standard deviation, likewise but real, at least 0; 0 gives a constant.
        window: A block ``(start, lengths)`` of the array, with one int for every axis: it
            alone is drawn, and equals that block of the whole. ``shape`` stays that of the
            whole. ``start`` may be traced, and must then lie inside. None for the whole.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape``, or that of the window, and ``dtype``. No value is
        further than 6.34 ``std`` from the mean (9.08 in float64): the quantile of a whole
        random word.

    Raises:
        ValueError: ``std`` is negative, or ``dtype`` cannot hold the scale.
        TypeError: An argument is of the wrong kind.

    Elsewhere:
        The distribution of ``torch.nn.init.normal_``. ``jax.nn.initializers.normal`` has
        ``stddev=0.01`` and no mean; Keras' RandomNormal has 0.05.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.normal(jax.random.key(0), (200, 300), std=0.02)
        >>> w.shape, round(float(w.std()), 3)
        ((200, 300), 0.02)
    """
    draw, start = plan_draw("normal", shape, dtype, out_sharding, window)
    shift = check_entries("mean", mean, draw.shape, allow_complex=draw.is_complex)
    scale = check_entries("std", std, draw.shape, least=0)
    check_scale(draw.dtype, size_of(shift), scale, draw.limit)
    return execute(draw, check_key(key), parts_of(shift), scale, start=start)


def parts_of(value: Any) -> Any:
    """Return real and imaginary part of complex numbers, and real ones as they are."""
    if isinstance(value, float) or not np.iscomplexobj(value):
        return value
    return value.real, value.imag


def size_of(value: Any) -> Any:
    """Return the larger part of complex numbers, and real ones as they are."""
    if isinstance(value, complex):
        return max(abs(value.real), abs(value.imag))
    if isinstance(value, np.ndarray) and value.dtype.kind == "c":
        return np.maximum(np.abs(value.real), np.abs(value.imag))
    return value
