"""Kaiming's distributions, which keep a signal behind a nonlinearity; also named He's."""

import math
from collections.abc import Callable
from typing import Any

import jax

from jaxinit._checks import check_entries
from jaxinit._distribution import Descriptor, described
from jaxinit._draw import Distribution
from jaxinit._gains import calculate_gain
from jaxinit._layout import Fans, Layout
from jaxinit._moments import Moments
from jaxinit._scale import exactly
from jaxinit._types import DTypeLike, Key, OutSharding, Scalars, Shape
from jaxinit._window import Window
from jaxinit.initializers.scaled import Mode, draw_scaled, moments_by_fan


def _gain(
    shape: Shape,
    nonlinearity: str | Callable[[jax.Array], jax.Array],
    a: Scalars,
    gain: Scalars | None,
) -> Scalars:
    if gain is not None:
        return gain
    slope = check_entries("a", a, shape)
    if callable(nonlinearity) or nonlinearity != "leaky_relu":
        return calculate_gain(nonlinearity)
    if isinstance(slope, float) and abs(slope) > 1e100:  # whose square overflows
        return math.sqrt(2) / abs(slope)
    return exactly(None, lambda f, x: f.sqrt(2 / (1 + x * x)), slope)


def _descriptor(distribution: Distribution) -> Descriptor:
    def moments(
        shape: Shape,
        is_complex: bool,
        *,
        a: Any,
        mode: Mode,
        nonlinearity: Any,
        gain: Any,
        layout: Any,
    ) -> Moments:
        factor = _gain(shape, nonlinearity, a, gain)
        return moments_by_fan(shape, is_complex, distribution, factor, mode, layout)

    return Descriptor(moments, gain="gain", layout="fans", activation="nonlinearity")


@described(_descriptor("uniform"))
def kaiming_uniform(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    a: Scalars = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str | Callable[[jax.Array], jax.Array] = "leaky_relu",
    gain: Scalars | None = None,
    layout: str | Layout | Fans | None = None,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw uniform weights that keep the variance of a signal behind a nonlinearity.

    .. math:: W \sim U(-b, b), \qquad b = gain \sqrt{3 / fan}

    The standard deviation is :math:`gain / \sqrt{fan}`. Also named ``he_uniform``.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths, two or more unless ``layout`` says what they are. A zero length
            gives an empty array.
        dtype: A float dtype, real or complex; None for JAX's default. Values are computed
            in float32 (float64 for float64) and rounded once.
        a: Negative slope of ``"leaky_relu"``; the default 0 makes that ReLU, with gain
            sqrt(2). Ignored for others. A number, or an array that broadcasts to
            ``shape``. May be traced.
        mode: ``"fan_in"`` keeps the forward signal, ``"fan_out"`` the gradients; or
            ``"fan_avg"``, ``"fan_geo_avg"``.
        nonlinearity: What stands before this layer: a name known to ``calculate_gain``, or
            a function, whose gain is computed.
        gain: The gain itself, at least 0, in place of ``nonlinearity`` and ``a``; None for
            theirs. A number, or an array that broadcasts to ``shape``. May be traced.
        layout: The role of each axis, as letters or a ``Layout``, or the ``Fans`` outright;
            None for ``"IO"`` with window axes in front.
        window: A block ``(start, lengths)`` of the array, with one int for every axis: it
            alone is drawn, and equals that block of the whole. ``shape`` stays that of the
            whole. ``start`` may be traced, and must then lie inside. None for the whole.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape``, or that of the window, and ``dtype``.

    Raises:
        ValueError: ``layout`` does not fit ``shape``, a number is out of range, a choice
            or the nonlinearity is unknown, or ``dtype`` cannot hold the scale.
        TypeError: An argument is of the wrong kind.

    References:
        He et al., "Delving deep into rectifiers", ICCV 2015, equations 10, 14 and 15.

    Elsewhere:
        The distribution of ``torch.nn.init.kaiming_uniform_``. JAX's and Keras'
        ``he_uniform`` is the default here. PyTorch's layers call it with ``a=sqrt(5)``,
        which is :math:`U(\pm 1/\sqrt{fan_{in}})`.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.kaiming_uniform(jax.random.key(0), (600, 100))
        >>> bool(abs(w).max() <= 0.1), round(float(w.std()), 3)  # b = sqrt(6 / 600)
        (True, 0.058)
    """
    factor = _gain(shape, nonlinearity, a, gain)
    return draw_scaled(
        "uniform", mode, factor, key, shape, dtype, layout, window, out_sharding
    )


@described(_descriptor("normal"))
def kaiming_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    a: Scalars = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str | Callable[[jax.Array], jax.Array] = "leaky_relu",
    gain: Scalars | None = None,
    layout: str | Layout | Fans | None = None,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw normal weights that keep the variance of a signal behind a nonlinearity.

    .. math:: W \sim N(0, \sigma^2), \qquad \sigma = gain / \sqrt{fan}

    Also named ``he_normal``.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths, two or more unless ``layout`` says what they are. A zero length
            gives an empty array.
        dtype: A float dtype, real or complex; None for JAX's default. Values are computed
            in float32 (float64 for float64) and rounded once.
        a: Negative slope of ``"leaky_relu"``; the default 0 makes that ReLU, with gain
            sqrt(2). Ignored for others. A number, or an array that broadcasts to
            ``shape``. May be traced.
        mode: ``"fan_in"`` keeps the forward signal, ``"fan_out"`` the gradients; or
            ``"fan_avg"``, ``"fan_geo_avg"``.
        nonlinearity: What stands before this layer: a name known to ``calculate_gain``, or
            a function, whose gain is computed.
        gain: The gain itself, at least 0, in place of ``nonlinearity`` and ``a``; None for
            theirs. A number, or an array that broadcasts to ``shape``. May be traced.
        layout: The role of each axis, as letters or a ``Layout``, or the ``Fans`` outright;
            None for ``"IO"`` with window axes in front.
        window: A block ``(start, lengths)`` of the array, with one int for every axis: it
            alone is drawn, and equals that block of the whole. ``shape`` stays that of the
            whole. ``start`` may be traced, and must then lie inside. None for the whole.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape``, or that of the window, and ``dtype``.

    Raises:
        ValueError: ``layout`` does not fit ``shape``, a number is out of range, a choice
            or the nonlinearity is unknown, or ``dtype`` cannot hold the scale.
        TypeError: An argument is of the wrong kind.

    References:
        He et al., "Delving deep into rectifiers", ICCV 2015, equations 10, 14 and 15.

    Elsewhere:
        The distribution of ``torch.nn.init.kaiming_normal_``. JAX's and Keras'
        ``he_normal`` is
        truncated: ``kaiming_truncated_normal`` here.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> key = jax.random.key(0)
        >>> w = jaxinit.kaiming_normal(key, (3, 3, 64, 128), jax.numpy.bfloat16)
        >>> w.dtype.name, round(float(w.astype("float32").std()), 3)  # sqrt(2 / 576)
        ('bfloat16', 0.059)
    """
    factor = _gain(shape, nonlinearity, a, gain)
    return draw_scaled(
        "normal", mode, factor, key, shape, dtype, layout, window, out_sharding
    )


@described(_descriptor("truncated_normal"))
def kaiming_truncated_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    a: Scalars = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str | Callable[[jax.Array], jax.Array] = "leaky_relu",
    gain: Scalars | None = None,
    layout: str | Layout | Fans | None = None,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw truncated normal weights that keep the variance behind a nonlinearity.

    .. math:: W = s Z, \quad Z \sim N(0, 1) \text{ given } |Z| \le 2, \quad
        s^2 \operatorname{E} |Z|^2 = gain^2 / fan

    with a complex Z for a complex dtype. No weight is beyond 2.274 standard deviations
    (complex: 2.08). Also named ``he_truncated_normal``.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths, two or more unless ``layout`` says what they are. A zero length
            gives an empty array.
        dtype: A float dtype, real or complex; None for JAX's default. Values are computed
            in float32 (float64 for float64) and rounded once.
        a: Negative slope of ``"leaky_relu"``; the default 0 makes that ReLU, with gain
            sqrt(2). Ignored for others. A number, or an array that broadcasts to
            ``shape``. May be traced.
        mode: ``"fan_in"`` keeps the forward signal, ``"fan_out"`` the gradients; or
            ``"fan_avg"``, ``"fan_geo_avg"``.
        nonlinearity: What stands before this layer: a name known to ``calculate_gain``, or
            a function, whose gain is computed.
        gain: The gain itself, at least 0, in place of ``nonlinearity`` and ``a``; None for
            theirs. A number, or an array that broadcasts to ``shape``. May be traced.
        layout: The role of each axis, as letters or a ``Layout``, or the ``Fans`` outright;
            None for ``"IO"`` with window axes in front.
        window: A block ``(start, lengths)`` of the array, with one int for every axis: it
            alone is drawn, and equals that block of the whole. ``shape`` stays that of the
            whole. ``start`` may be traced, and must then lie inside. None for the whole.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape``, or that of the window, and ``dtype``.

    Raises:
        ValueError: ``layout`` does not fit ``shape``, a number is out of range, a choice
            or the nonlinearity is unknown, or ``dtype`` cannot hold the scale.
        TypeError: An argument is of the wrong kind.

    References:
        He et al., "Delving deep into rectifiers", ICCV 2015, equations 10, 14 and 15, for
        the variance.

    Elsewhere:
        With the defaults, the distribution of JAX's and Keras' ``he_normal``.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.kaiming_truncated_normal(jax.random.key(0), (800, 100))
        >>> round(float(w.std()), 3), bool(abs(w).max() < 2.274 * 0.05)
        (0.05, True)
    """
    factor = _gain(shape, nonlinearity, a, gain)
    return draw_scaled(
        "truncated_normal", mode, factor, key, shape, dtype, layout, window, out_sharding
    )


# The same functions under their other names.
he_uniform = kaiming_uniform
he_normal = kaiming_normal
he_truncated_normal = kaiming_truncated_normal
