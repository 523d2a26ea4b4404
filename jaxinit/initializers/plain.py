"""Uniform, normal and truncated normal distributions with stated parameters."""

import math
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from jaxinit._checks import check_key, check_number, is_traced, value_error
from jaxinit._distribution import (
    Descriptor,
    Moments,
    described,
    scaled_moments,
    standard_moments,
    truncated_normal_moments,
    uniform_moments,
)
from jaxinit._draw import UNIFORM_LIMIT, Draw, execute, plan_draw
from jaxinit._samples import TRUNCATED_STD, Interval, Special
from jaxinit._scale import check_scale, exactly
from jaxinit._types import DTypeLike, Key, OutSharding, Scalar, Shape
from jaxinit._window import Window

_FURTHEST = {32: 10.0, 64: 35.0}
"""How many standard deviations out the truncated normal is drawn exactly, by word size."""


def _uniform_moments(_shape: Shape, _complex: bool, *, low: Any, high: Any) -> Moments:
    return uniform_moments(low, high)


@described(Descriptor(_uniform_moments))
def uniform(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    low: Scalar = 0.0,
    high: Scalar = 1.0,
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
        low: Lower bound, as a value. May be traced. Reached only by rounding.
        high: Upper bound, as a value, no less than ``low``; equal bounds give a constant.
            May be traced. Reached only by rounding.
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
    where = "uniform"
    lower = check_number(where, "low", low)
    upper = check_number(where, "high", high)
    if not is_traced(lower) and not is_traced(upper) and upper < lower:
        got = f"low={lower:g}, high={upper:g}"
        value_error(where, "high must be no less than low", got, "Swap the bounds.")
    draw, start = plan_draw(
        where, "uniform", shape, dtype, out_sharding, window, allow_complex=False
    )
    centre, half = exactly(
        draw.wide, lambda _, a, b: (a / 2 + b / 2, b / 2 - a / 2), lower, upper
    )
    bounds = (lower, upper)
    check_scale(where, draw.dtype, centre, half / UNIFORM_LIMIT, UNIFORM_LIMIT, bounds)
    symmetric = not is_traced(centre) and centre == 0
    limits = None if symmetric else bounds
    return execute(draw, check_key(where, key), centre, half, start=start, limits=limits)


def _normal_moments(_shape: Shape, is_complex: bool, *, mean: Any, std: Any) -> Moments:
    standard = standard_moments("normal", is_complex=is_complex)
    return scaled_moments(standard, float(std), float(mean))


@described(Descriptor(_normal_moments))
def normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    mean: Scalar = 0.0,
    std: Scalar = 1.0,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw values from a normal distribution.

    .. math:: W \sim N(mean, std^2)

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths; any rank. A zero length gives an empty array.
        dtype: A float dtype, real or complex; None for JAX's default. Values are computed
            in float32 (float64 for float64) and rounded once. A complex value has
            independent parts, each of variance ``std**2 / 2``.
        mean: Mean. May be traced.
        std: Standard deviation, at least 0; 0 gives a constant. May be traced.
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
    where = "normal"
    shift = check_number(where, "mean", mean)
    scale = check_number(where, "std", std, least=0)
    draw, start = plan_draw(where, "normal", shape, dtype, out_sharding, window)
    check_scale(where, draw.dtype, shift, scale, draw.limit)
    return execute(draw, check_key(where, key), shift, scale, start=start)


def _truncated_moments(
    _shape: Shape, _complex: bool, *, mean: Any, std: Any, low: Any, high: Any
) -> Moments:
    return truncated_normal_moments(*map(float, (mean, std, low, high)))


@described(Descriptor(_truncated_moments))
def truncated_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    mean: Scalar = 0.0,
    std: Scalar = 1.0,
    low: Scalar = -2.0,
    high: Scalar = 2.0,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw values from a normal distribution that is cut at two bounds.

    .. math:: W \sim N(mean, std^2) \text{ given } low \le W \le high

    The bounds are values, as in PyTorch, not multiples of ``std``: with ``std=0.02`` the
    default bounds cut nothing. ``std`` is that of the distribution before the cut; for a
    distribution whose own standard deviation is stated use ``variance_scaling`` or a
    ``*_truncated_normal``.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths; any rank. A zero length gives an empty array.
        dtype: A real float dtype; None for JAX's default. Values are computed in float32
            (float64 for float64) and rounded once.
        mean: Mean before the cut. May be traced.
        std: Standard deviation before the cut, above 0. May be traced.
        low: Lower bound, as a value. May be traced.
        high: Upper bound, as a value, above ``low``. May be traced. If a traced option
            leaves nothing between the bounds the values are NaN; if bounds turn out
            further out than is drawn exactly, they are within 1 % of the right ones. In
            float64 a traced bound may differ from a known one in the last bits.
        window: A block ``(start, lengths)`` of the array, with one int for every axis: it
            alone is drawn, and equals that block of the whole. ``shape`` stays that of the
            whole. ``start`` may be traced, and must then lie inside. None for the whole.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape``, or that of the window, and ``dtype``, between the
        bounds as the dtype rounds them.

    Raises:
        ValueError: ``std`` is not above 0, ``high`` is not above ``low``, the bounds are
            further than 10 ``std`` (35 in float64) from the mean, or ``dtype`` cannot hold
            the scale.
        TypeError: An argument is of the wrong kind.

    Elsewhere:
        The distribution of ``torch.nn.init.trunc_normal_`` (``a``, ``b``). The bounds of
        ``jax.nn.initializers.truncated_normal`` are multiples of ``stddev``; Keras'
        TruncatedNormal and Haiku's cut at two of them.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> key = jax.random.key(0)
        >>> w = jaxinit.truncated_normal(key, (200, 300), std=0.02, low=-0.04, high=0.04)
        >>> bool(abs(w).max() <= 0.04), round(float(w.std()), 4)  # 0.02 * 0.8796
        (True, 0.0176)
    """
    where = "truncated_normal"
    shift = check_number(where, "mean", mean)
    scale = check_number(where, "std", std, least=0)
    lower, upper = check_number(where, "low", low), check_number(where, "high", high)
    draw, start = plan_draw(
        where, "truncated_normal", shape, dtype, out_sharding, window, allow_complex=False
    )
    typed_key = check_key(where, key)
    limits = (lower, upper)
    if not (
        isinstance(shift, float)
        and isinstance(scale, float)
        and isinstance(lower, float)
        and isinstance(upper, float)
    ):
        furthest = _FURTHEST[draw.bits]
        shift, scale, interval = exactly(
            draw.wide, partial(_traced, furthest), shift, scale, lower, upper
        )
        return execute(
            draw, typed_key, shift, scale, start=start, limits=limits, interval=interval
        )
    least, most = _standard_bounds(where, draw, shift, scale, lower, upper)
    reach = max(abs(least), abs(most))
    if lower <= shift <= upper:
        reach = min(reach, draw.limit)
    check_scale(where, draw.dtype, shift, scale, reach, limits)
    if (least, most) == (-2, 2):  # the distribution that has a faster map of its own
        scale, interval = scale * TRUNCATED_STD, None
    else:
        interval = _interval(least, most)
    return execute(
        draw, typed_key, shift, scale, start=start, limits=limits, interval=interval
    )


def _standard_bounds(
    where: str, draw: Draw, mean: float, std: float, low: float, high: float
) -> tuple[float, float]:
    """Return the bounds in standard deviations about the mean."""
    if std == 0:
        value_error(where, "std must be above 0", "std=0", "Use constant for one value.")
    if high <= low:
        got = f"low={low:g}, high={high:g}"
        value_error(where, "high must be above low", got, "Give a wider interval.")
    start, end = (low - mean) / std, (high - mean) / std
    furthest = _FURTHEST[draw.bits]
    if start > furthest or end < -furthest:
        rule = f"the bounds must come within {furthest:g} std of the mean"
        got = f"low={low:g}, high={high:g} for mean={mean:g}, std={std:g}"
        value_error(where, rule, got, "No value of that distribution lies between them.")
    return start, end


def _interval(start: float, end: float) -> Interval:
    turned = start + end > 0
    if turned:
        start, end = -end, -start
    a, b = start * math.sqrt(0.5), end * math.sqrt(0.5)
    below, above = math.erfc(-a) / 2, math.erfc(b) / 2
    mass = math.erfc(-b) / 2 - below if end <= 0 else (math.erf(b) - math.erf(a)) / 2
    centre = (math.erf(a) + math.erf(b)) / 2
    return Interval(centre, below, above, mass, -1.0 if turned else 1.0)


def _traced(
    furthest: float,
    f: Any,
    mean: jax.Array,
    std: jax.Array,
    low: jax.Array,
    high: jax.Array,
) -> tuple[jax.Array, jax.Array, Interval]:
    """Return location, scale and interval of bounds that are not known yet.

    One value for equal bounds; NaN where nothing lies between the bounds.
    """
    one = low == high
    empty = (low > high) | (std < 0) | (std == 0) & ((mean < low) | (mean > high))
    unit = jnp.where(std > 0, std, 1)
    start, end = (low - mean) / unit, (high - mean) / unit
    standard = (start == -2) & (end == 2)
    turned = start + end > 0
    start, end = jnp.where(turned, -end, start), jnp.where(turned, -start, end)
    far = end < -furthest
    nearest = jnp.clip(-end, furthest, 1e30)
    share = -f.expm1(-(start - end) * (start + end) / 2)
    special = Special(standard, far, nearest, 2 / nearest**2, jnp.where(far, share, 0.5))
    start, end = jnp.where(far | one, -1, start), jnp.where(far | one, 1, end)
    a, b = start * math.sqrt(0.5), end * math.sqrt(0.5)
    below, above = f.erfc(-a) / 2, f.erfc(b) / 2
    mass = jnp.where(end <= 0, f.erfc(-b) / 2 - below, (f.erf(b) - f.erf(a)) / 2)
    centre = (f.erf(a) + f.erf(b)) / 2
    sign = jnp.where(turned, -1.0, 1.0)
    shift = jnp.where(empty, jnp.nan, jnp.where(one, low, mean))
    scale = jnp.where(one, 0, jnp.where(standard, std * TRUNCATED_STD, std))
    return shift, scale, Interval(centre, below, above, mass, sign, special)
