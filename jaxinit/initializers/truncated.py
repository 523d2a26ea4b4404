"""Normal distributions that are cut at bounds: an interval, or a disc of the plane."""

import math
from functools import partial
from typing import Any

import jax
import numpy as np

from jaxinit._checks import check_entries, check_key, is_traced, value_error
from jaxinit._distribution import Descriptor, described
from jaxinit._draw import Draw, execute, plan_draw
from jaxinit._moments import Moments, disc_normal_moments, truncated_normal_moments
from jaxinit._samples import TRUNCATED_STD, Disc, Interval, Special
from jaxinit._scale import Number, are_floats, check_scale, exactly, worst_of
from jaxinit._types import DTypeLike, Key, OutSharding, Scalars, Shape
from jaxinit._window import Window
from jaxinit.initializers.plain import size_of

_FURTHEST = {32: 10.0, 64: 35.0}
"""How many standard deviations out the truncated normal is drawn exactly, by word size."""


def _truncated_moments(
    _shape: Shape, is_complex: bool, *, mean: Any, std: Any, low: Any, high: Any
) -> Moments:
    if is_complex:
        return disc_normal_moments(mean, std, low, high)
    return truncated_normal_moments(mean, std, low, high)


@described(Descriptor(_truncated_moments))
def truncated_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    mean: Scalars | complex = 0.0,
    std: Scalars = 1.0,
    low: Scalars | complex = -2.0,
    high: Scalars | complex = 2.0,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw values from a normal distribution that is cut at two bounds.

    .. math:: W \sim N(mean, std^2) \text{ given } low \le W \le high

    and for a complex dtype :math:`W \sim CN(mean, std^2) \text{ given } |W - mean| \le r`,
    where :math:`low, high = mean \mp r`: a disc about the mean, so that
    :math:`\operatorname{E} |W - mean|^2 = std^2 (1 - t / (e^t - 1))` with
    :math:`t = (r / std)^2`.

    The bounds are values, as in PyTorch, not multiples of ``std``: with ``std=0.02`` the
    default bounds cut nothing. ``std`` is that of the distribution before the cut; for a
    distribution whose own standard deviation is stated use ``variance_scaling`` or a
    ``*_truncated_normal``.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths; any rank. A zero length gives an empty array.
        dtype: A float dtype, real or complex; None for JAX's default. Values are computed
            in float32 (float64 for float64) and rounded once.
        mean: Mean before the cut: a number, or an array that broadcasts to ``shape``;
            complex if ``dtype`` is. May be traced.
        std: Standard deviation before the cut, above 0; real, else likewise.
        low: Lower bound, as a value, likewise; of a complex dtype ``mean - r``.
        high: Upper bound, above ``low``, likewise; of a complex dtype ``mean + r``. If a
            traced option leaves nothing between the bounds the values are NaN; if bounds
            turn out further out than is drawn exactly, they are within 1 % of the right
            ones. In float64 a traced bound may differ from a known one in the last bits.
        window: A block ``(start, lengths)`` of the array, with one int for every axis: it
            alone is drawn, and equals that block of the whole. ``shape`` stays that of the
            whole. ``start`` may be traced, and must then lie inside. None for the whole.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape``, or that of the window, and ``dtype``, between the
        bounds as the dtype rounds them; complex ones within r of the mean up to rounding.

    Raises:
        ValueError: ``std`` is not above 0, ``high`` is not above ``low``, the bounds are
            further than 10 ``std`` (35 in float64) from the mean or, of a complex dtype,
            not equally far from it, or ``dtype`` cannot hold the scale.
        TypeError: An argument is of the wrong kind.

    Elsewhere:
        The distribution of ``torch.nn.init.trunc_normal_`` (``a``, ``b``). The bounds of
        ``jax.nn.initializers.truncated_normal`` are multiples of ``stddev``; Keras'
        TruncatedNormal and Haiku's cut at two of them. Complex values are cut in modulus as
        in JAX's complex ``variance_scaling``; PyTorch and Keras have none.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> key = jax.random.key(0)
        >>> w = jaxinit.truncated_normal(key, (200, 300), std=0.02, low=-0.04, high=0.04)
        >>> bool(abs(w).max() <= 0.04), round(float(w.std()), 4)  # 0.02 * 0.8796
        (True, 0.0176)
    """
    draw, start = plan_draw("truncated_normal", shape, dtype, out_sharding, window)
    lengths, is_complex = draw.shape, draw.is_complex
    shift = check_entries("mean", mean, lengths, allow_complex=is_complex)
    scale = check_entries("std", std, lengths, least=0)
    lower = check_entries("low", low, lengths, allow_complex=is_complex)
    upper = check_entries("high", high, lengths, allow_complex=is_complex)
    typed_key = check_key(key)
    if is_complex:
        shift, scale, disc = _checked_disc(draw, shift, scale, lower, upper)
        return execute(draw, typed_key, shift, scale, start=start, interval=disc)
    limits = (lower, upper)
    options = (shift, scale, *limits)
    furthest = _FURTHEST[draw.bits]
    for numbers, place in worst_of(_faults, *options):
        _check_bounds(furthest, *numbers, place=place)
    check_scale(draw.dtype, shift, scale, draw.limit, limits)
    if are_floats(options):
        least, most = (lower - shift) / scale, (upper - shift) / scale
        interval = None if (least, most) == (-2, 2) else _interval(least, most)
        scale = scale * TRUNCATED_STD if interval is None else scale
    else:
        shift, scale, interval = exactly(draw.wide, partial(_intervals, furthest), *options)
        at_two = interval.special.is_standard
        interval = None if isinstance(at_two, np.ndarray) and at_two.all() else interval
    # Cut at two standard deviations it has a faster map of its own.
    return execute(
        draw, typed_key, shift, scale, start=start, limits=limits, interval=interval
    )


def _faults(mean: Any, std: Any, low: Any, high: Any) -> Any:
    """Return what is largest where :func:`_check_bounds` finds a fault, if it does."""
    unit = np.where(std > 0, std, 1)
    start, end = (low - mean) / unit, (high - mean) / unit
    return -std, low - high, np.maximum(start, -end)


def _check_bounds(
    furthest: float,
    mean: float,
    std: float,
    low: float,
    high: float,
    *,
    place: str,
) -> None:
    if std == 0:
        advice = "Use constant for one value."
        value_error("std must be above 0", f"std=0{place}", advice)
    if high <= low:
        got = f"low={low:g}, high={high:g}{place}"
        value_error("high must be above low", got, "Give a wider interval.")
    if (low - mean) / std > furthest or (high - mean) / std < -furthest:
        rule = f"the bounds must come within {furthest:g} std of the mean"
        got = f"low={low:g}, high={high:g} for mean={mean:g}, std={std:g}{place}"
        value_error(rule, got, "No value of that distribution lies between them.")


def _interval(start: float, end: float) -> Interval:
    turned = start + end > 0
    if turned:
        start, end = -end, -start
    a, b = start * math.sqrt(0.5), end * math.sqrt(0.5)
    below, above = math.erfc(-a) / 2, math.erfc(b) / 2
    mass = math.erfc(-b) / 2 - below if end <= 0 else (math.erf(b) - math.erf(a)) / 2
    centre = (math.erf(a) + math.erf(b)) / 2
    return Interval(centre, below, above, mass, -1.0 if turned else 1.0)


def _intervals(
    furthest: float,
    f: Any,
    mean: Any,
    std: Any,
    low: Any,
    high: Any,
) -> tuple[Any, Any, Interval]:
    """Return location, scale and interval of bounds that are arrays, or not known yet.

    One value for equal bounds; NaN where nothing lies between the bounds.
    """
    one = low == high
    empty = (low > high) | (std < 0) | (std == 0) & ((mean < low) | (mean > high))
    unit = f.where(std > 0, std, 1)
    start, end = (low - mean) / unit, (high - mean) / unit
    standard = (start == -2) & (end == 2)
    turned = start + end > 0
    start, end = f.where(turned, -end, start), f.where(turned, -start, end)
    far = end < -furthest
    nearest = f.clip(-end, furthest, 1e30)
    share = -f.expm1(-(start - end) * (start + end) / 2)
    special = Special(standard, far, nearest, 2 / nearest**2, f.where(far, share, 0.5))
    start, end = f.where(far | one, -1, start), f.where(far | one, 1, end)
    a, b = start * math.sqrt(0.5), end * math.sqrt(0.5)
    below, above = f.erfc(-a) / 2, f.erfc(b) / 2
    mass = f.where(end <= 0, f.erfc(-b) / 2 - below, (f.erf(b) - f.erf(a)) / 2)
    centre = (f.erf(a) + f.erf(b)) / 2
    sign = f.where(turned, -1.0, 1.0)
    shift = f.where(empty, math.nan, f.where(one, low, mean))
    scale = f.where(one, 0, f.where(standard, std * TRUNCATED_STD, std))
    return shift, scale, Interval(centre, below, above, mass, sign, special)


def _checked_disc(
    draw: Draw, mean: Any, std: Number, low: Any, high: Any
) -> tuple[tuple[Any, Any], Any, Disc]:
    """Return location, scale and disc of a complex draw."""
    parts: list[Any] = [part for v in (mean, low, high) for part in (v.real, v.imag)]
    for numbers, place in worst_of(
        lambda std, *parts: (-std, *_misplaced(*parts)), std, *parts
    ):
        _check_disc(*numbers, place=place)
    if not any(map(is_traced, (std, *parts))):
        size, reach = size_of(mean), (high.real - low.real) / 2
        check_scale(draw.dtype, size, std, draw.limit, (size - reach, size + reach))
    known = [np.asarray(n) if isinstance(n, float) else n for n in (std, *parts)]
    return exactly(draw.wide, _disc, *known)


def _misplaced(mean: Any, mean_i: Any, low: Any, low_i: Any, high: Any, high_i: Any) -> Any:
    """Return what is above 0 if a disc has no radius, and if its centre is not the mean."""
    radius = high / 2 - low / 2
    off = abs(low / 2 + high / 2 - mean) + abs(low_i - mean_i) + abs(high_i - mean_i)
    return -radius, off - 1e-5 * (abs(radius) + abs(mean) + abs(mean_i))


def _check_disc(std: float, *parts: float, place: str) -> None:
    if std == 0:
        advice = "Use constant for one value."
        value_error("std must be above 0", f"std=0{place}", advice)
    inside, off = _misplaced(*parts)
    if inside >= 0 or off > 0:
        values = zip(("mean", "low", "high"), parts[::2], parts[1::2], strict=True)
        got = ", ".join(f"{name}={complex(x, y) if y else x:g}" for name, x, y in values)
        rule = "low and high of a complex dtype must be mean - r and mean + r, r above 0"
        advice = "Its values are cut at the distance r from the mean."
        value_error(rule, got + place, advice)


def _disc(f: Any, std: Any, *parts: Any) -> tuple[tuple[Any, Any], Any, Disc]:
    """Return location, scale and disc; NaN where :func:`_check_disc` would refuse them."""
    inside, off = _misplaced(*parts)
    radius = f.where((inside < 0) & (off <= 0), -inside, math.nan)
    cut = f.where(std > 0, (radius / f.where(std > 0, std, 1)) ** 2, 4)
    # So small that the distribution is uniform on the disc, which then gives the scale.
    scale = f.where(cut < 1e-30, radius * 1e15, std)
    cut = f.where(cut < 1e-30, 1e-30, cut)
    # NaN also where a std of 0 hides it.
    shift = parts[0] + 0 * radius, parts[1] + 0 * radius
    return shift, scale, Disc(-f.expm1(-cut), f.exp(-cut))
