"""Distributions whose variance follows from the fans: Xavier, Kaiming, LeCun."""

import math
from typing import Any, Literal, get_args

import jax
import numpy as np

from jaxinit._checks import (
    check_choice,
    check_entries,
    check_key,
    is_traced,
)
from jaxinit._distribution import Descriptor, described
from jaxinit._draw import (
    DISTRIBUTIONS,
    UNIFORM_LIMIT,
    Distribution,
    execute,
    plan_draw,
)
from jaxinit._layout import Fans, Layout, resolve_fans
from jaxinit._moments import Moments, scaled_moments, standard_moments
from jaxinit._scale import check_scale, exactly
from jaxinit._types import DTypeLike, Key, OutSharding, Scalars, Shape
from jaxinit._window import Window

Mode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
MODES: tuple[Mode, ...] = get_args(Mode)


def fan_of(fans: Fans, mode: Mode) -> float:
    """Return the one number that a mode makes of the fans."""
    check_choice("mode", mode, MODES)
    return {
        "fan_in": float(fans.fan_in),
        "fan_out": float(fans.fan_out),
        "fan_avg": (fans.fan_in + fans.fan_out) / 2,
        "fan_geo_avg": math.sqrt(fans.fan_in) * math.sqrt(fans.fan_out),
    }[mode]


def moments_by_fan(
    shape: Shape, is_complex: bool, distribution: str, gain: Any, mode: Mode, layout: Any
) -> Moments:
    """Return the moments of what :func:`draw_scaled` draws."""
    fans = resolve_fans(tuple(shape), layout)
    std = np.asarray(gain, float) / math.sqrt(fan_of(fans, mode))
    return scaled_moments(standard_moments(distribution, is_complex=is_complex), std)


def _moments(
    shape: Shape,
    is_complex: bool,
    *,
    scale: Any,
    mode: Mode,
    distribution: str,
    layout: Any,
) -> Moments:
    gain = np.sqrt(np.asarray(scale, float))
    return moments_by_fan(shape, is_complex, distribution, gain, mode, layout)


def by_gain(distribution: Distribution, mode: Mode, *, is_linear: bool) -> Descriptor:
    """Return the descriptor of an initializer of std ``gain / sqrt(fan)``."""

    def moments(shape: Shape, is_complex: bool, *, gain: Any, layout: Any) -> Moments:
        return moments_by_fan(shape, is_complex, distribution, gain, mode, layout)

    return Descriptor(moments, gain="gain", layout="fans", is_linear=is_linear)


@described(Descriptor(_moments, gain="scale", gain_power=2, layout="fans"))
def variance_scaling(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    scale: Scalars = 1.0,
    mode: Mode = "fan_in",
    distribution: Distribution = "truncated_normal",
    layout: str | Layout | Fans | None = None,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw weights of a stated variance over fan, of any of three distributions.

    .. math:: \operatorname{E} W = 0, \qquad \operatorname{Var} W = scale / fan

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths, two or more unless ``layout`` says what they are. A zero length
            gives an empty array.
        dtype: A float dtype, real or complex; None for JAX's default. Values are computed
            in float32 (float64 for float64) and rounded once.
        scale: Variance times fan, at least 0, dimensionless: a number, or an array that
            broadcasts to ``shape``. May be traced.
        mode: Which fan: ``"fan_in"``, ``"fan_out"``, their mean ``"fan_avg"`` or their
            geometric mean ``"fan_geo_avg"``.
        distribution: ``"uniform"`` on :math:`\pm\sqrt{3\,scale/fan}` (complex: on a disc),
            ``"normal"``, or ``"truncated_normal"`` cut at two standard deviations of the
            uncut distribution (complex: in modulus) and scaled back to the stated variance.
        layout: The role of each axis, as letters or a ``Layout``, or the ``Fans`` outright;
            None for ``"IO"`` with window axes in front.
        window: A block ``(start, lengths)`` of the array, with one int for every axis: it
            alone is drawn, and equals that block of the whole. ``shape`` stays that of the
            whole. ``start`` may be traced, and must then lie inside. None for the whole.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape``, or that of the window, and ``dtype``.

    Raises:
        ValueError: ``layout`` does not fit ``shape``, ``scale`` is negative, a choice is
            unknown, or ``dtype`` cannot hold the scale.
        TypeError: An argument is of the wrong kind.

    Elsewhere:
        ``jax.nn.initializers.variance_scaling`` has the same distributions, but for
        complex numbers, whose truncated distribution it scales to a variance 1.9 % too
        large. Keras calls the truncated distribution ``"normal"`` too.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> key = jax.random.key(0)
        >>> w = jaxinit.variance_scaling(key, (100, 300), mode="fan_avg")
        >>> round(float(w.std()) * 200**0.5, 1)
        1.0
    """
    variance = check_entries("scale", scale, shape, least=0)
    check_choice("distribution", distribution, DISTRIBUTIONS)
    gain = exactly(None, lambda f, v: f.sqrt(v), variance)
    return draw_scaled(
        distribution, mode, gain, key, shape, dtype, layout, window, out_sharding
    )


def draw_scaled(
    distribution: Distribution,
    mode: Mode,
    gain: Scalars,
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None,
    layout: str | Layout | Fans | None,
    window: Window | None,
    out_sharding: OutSharding,
) -> jax.Array:
    """Return a draw of standard deviation ``gain / sqrt(fan)``, of unchecked arguments."""
    draw, start = plan_draw(distribution, shape, dtype, out_sharding, window)
    factor = check_entries("gain", gain, draw.shape, least=0)
    fans = resolve_fans(draw.shape, layout)
    root = math.sqrt(fan_of(fans, mode))
    unit = UNIFORM_LIMIT if distribution == "uniform" and not draw.is_complex else 1.0
    if not is_traced(factor):
        check_scale(draw.dtype, 0.0, factor / root, draw.limit)
    scale = exactly(draw.wide, lambda _, g: g / root * unit, factor)
    return execute(draw, check_key(key), 0.0, scale, start=start)
