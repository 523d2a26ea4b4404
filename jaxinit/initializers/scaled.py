"""Laws whose variance follows from the fans of the weight: Xavier, Kaiming, LeCun."""

import math
from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp

from jaxinit._checks import (
    check_choice,
    check_dtype,
    check_key,
    check_number,
    check_out_sharding,
    check_shape,
    is_traced,
)
from jaxinit._draw import LAWS, UNIFORM_LIMIT, Draw, Law, check_scale, execute
from jaxinit._gains import calculate_gain
from jaxinit._layout import Fans, Layout, resolve_fans
from jaxinit._types import DTypeLike, Key, OutSharding, Scalar, Shape

Mode = Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"]
MODES: tuple[Mode, ...] = get_args(Mode)


def fan_of(where: str, fans: Fans, mode: Mode) -> float:
    """Return the one number that a mode makes of the fans."""
    check_choice(where, "mode", mode, MODES)
    return {
        "fan_in": float(fans.fan_in),
        "fan_out": float(fans.fan_out),
        "fan_avg": (fans.fan_in + fans.fan_out) / 2,
        "fan_geo_avg": math.sqrt(fans.fan_in) * math.sqrt(fans.fan_out),
    }[mode]


def variance_scaling(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    scale: Scalar = 1.0,
    mode: Mode = "fan_in",
    distribution: Law = "truncated_normal",
    layout: str | Layout | Fans | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw weights of a stated variance over fan, of any of three laws.

    .. math:: \operatorname{E} W = 0, \qquad \operatorname{Var} W = scale / fan

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths, two or more unless ``layout`` says what they are. A zero length
            gives an empty array.
        dtype: A float dtype, real or complex; None for JAX's default. Values are computed
            in float32 (float64 for float64) and rounded once.
        scale: Variance times fan, at least 0, dimensionless. May be traced.
        mode: Which fan: ``"fan_in"``, ``"fan_out"``, their mean ``"fan_avg"`` or their
            geometric mean ``"fan_geo_avg"``.
        distribution: ``"uniform"`` on :math:`\pm\sqrt{3\,scale/fan}` (complex: on a disc),
            ``"normal"``, or ``"truncated_normal"`` cut at two standard deviations of the
            uncut law (complex: in modulus) and scaled back to the stated variance.
        layout: The role of each axis, as letters or a ``Layout``, or the ``Fans`` outright;
            None for ``"IO"`` with window axes in front.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: ``layout`` does not fit ``shape``, ``scale`` is negative, a choice is
            unknown, or ``dtype`` cannot hold the scale.
        TypeError: An argument is of the wrong kind.

    Elsewhere:
        ``jax.nn.initializers.variance_scaling`` has the same laws, but for complex numbers,
        whose truncated law it scales to a variance 1.9 % too large. Keras calls the
        truncated law ``"normal"`` too.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> key = jax.random.key(0)
        >>> w = jaxinit.variance_scaling(key, (100, 300), mode="fan_avg")
        >>> round(float(w.std()) * 200**0.5, 1)
        1.0
    """
    where = "variance_scaling"
    variance = check_number(where, "scale", scale, least=0)
    check_choice(where, "distribution", distribution, LAWS)
    gain = jnp.sqrt(variance) if is_traced(variance) else math.sqrt(variance)
    return _scaled(where, distribution, key, shape, dtype, gain, mode, layout, out_sharding)


def xavier_uniform(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    gain: Scalar = 1.0,
    layout: str | Layout | Fans | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw uniform weights whose variance suits the signal both ways.

    .. math:: W \sim U(-b, b), \qquad b = gain \sqrt{6 / (fan_{in} + fan_{out})}

    The standard deviation is :math:`gain \sqrt{2 / (fan_{in} + fan_{out})}`. Also named
    ``glorot_uniform``.

    Args:
        key: As in ``variance_scaling``.
        shape: As in ``variance_scaling``.
        dtype: As in ``variance_scaling``.
        gain: Factor on the standard deviation, at least 0, dimensionless; see
            ``calculate_gain``. May be traced.
        layout: As in ``variance_scaling``.
        out_sharding: As in ``variance_scaling``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: As ``variance_scaling``.
        TypeError: As ``variance_scaling``.

    References:
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", AISTATS 2010, equation 16, where the gain is 1.

    Elsewhere:
        The law of ``torch.nn.init.xavier_uniform_``, ``jax.nn.initializers.glorot_uniform``
        (which has no gain) and Keras' GlorotUniform.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.xavier_uniform(jax.random.key(0), (400, 200))
        >>> bool(abs(w).max() <= 0.1), round(float(w.std()), 3)  # b = sqrt(6 / 600)
        (True, 0.058)
    """
    return _xavier(
        "xavier_uniform", "uniform", key, shape, dtype, gain, layout, out_sharding
    )


def xavier_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    gain: Scalar = 1.0,
    layout: str | Layout | Fans | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw normal weights whose variance suits the signal both ways.

    .. math:: W \sim N(0, \sigma^2), \qquad \sigma = gain \sqrt{2 / (fan_{in} + fan_{out})}

    Also named ``glorot_normal``.

    Args:
        key: As in ``variance_scaling``.
        shape: As in ``variance_scaling``.
        dtype: As in ``variance_scaling``.
        gain: Factor on the standard deviation, at least 0, dimensionless; see
            ``calculate_gain``. May be traced.
        layout: As in ``variance_scaling``.
        out_sharding: As in ``variance_scaling``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: As ``variance_scaling``.
        TypeError: As ``variance_scaling``.

    References:
        Glorot and Bengio, AISTATS 2010, equation 12, where the gain is 1.

    Elsewhere:
        The law of ``torch.nn.init.xavier_normal_``. JAX's and Keras' ``glorot_normal`` is
        truncated: ``xavier_truncated_normal`` here.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.xavier_normal(jax.random.key(0), (400, 200), gain=5 / 3)
        >>> round(float(w.std()), 2)  # 5 / 3 * sqrt(2 / 600)
        0.1
    """
    return _xavier("xavier_normal", "normal", key, shape, dtype, gain, layout, out_sharding)


def xavier_truncated_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    gain: Scalar = 1.0,
    layout: str | Layout | Fans | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw truncated normal weights whose variance suits the signal both ways.

    .. math:: \operatorname{Var} W = 2\,gain^2 / (fan_{in} + fan_{out})

    The law is a normal one cut at two of its standard deviations and scaled to the stated
    variance, so that no weight is beyond 2.274 of them. Also ``glorot_truncated_normal``.

    Args:
        key: As in ``variance_scaling``.
        shape: As in ``variance_scaling``.
        dtype: As in ``variance_scaling``.
        gain: Factor on the standard deviation, at least 0, dimensionless; see
            ``calculate_gain``. May be traced.
        layout: As in ``variance_scaling``.
        out_sharding: As in ``variance_scaling``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: As ``variance_scaling``.
        TypeError: As ``variance_scaling``.

    References:
        Glorot and Bengio, AISTATS 2010, equation 12, for the variance.

    Elsewhere:
        The law of JAX's and Keras' ``glorot_normal``. PyTorch has none.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.xavier_truncated_normal(jax.random.key(0), (400, 200))
        >>> round(float(w.std()), 3), bool(abs(w).max() < 2.274 * (2 / 600) ** 0.5)
        (0.058, True)
    """
    where = "xavier_truncated_normal"
    return _xavier(where, "truncated_normal", key, shape, dtype, gain, layout, out_sharding)


def kaiming_uniform(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    a: Scalar = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str | Callable[[jax.Array], jax.Array] = "leaky_relu",
    layout: str | Layout | Fans | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw uniform weights that keep the variance of a signal behind a nonlinearity.

    .. math:: W \sim U(-b, b), \qquad b = gain \sqrt{3 / fan}

    The standard deviation is :math:`gain / \sqrt{fan}`. Also named ``he_uniform``.

    Args:
        key: As in ``variance_scaling``.
        shape: As in ``variance_scaling``.
        dtype: As in ``variance_scaling``.
        a: Negative slope of ``"leaky_relu"``; the default 0 makes that ReLU, with gain
            sqrt(2). Ignored for others. May be traced.
        mode: ``"fan_in"`` keeps the forward signal, ``"fan_out"`` the gradients; or
            ``"fan_avg"``, ``"fan_geo_avg"``.
        nonlinearity: What stands before this layer: a name known to ``calculate_gain``, or
            a function, whose gain is computed.
        layout: As in ``variance_scaling``.
        out_sharding: As in ``variance_scaling``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: As ``variance_scaling``, and for an unknown nonlinearity.
        TypeError: As ``variance_scaling``.

    References:
        He et al., "Delving deep into rectifiers", ICCV 2015, equations 10, 14 and 15.

    Elsewhere:
        The law of ``torch.nn.init.kaiming_uniform_``. JAX's and Keras' ``he_uniform`` is
        the default here. PyTorch's layers call it with ``a=sqrt(5)``, which is
        :math:`U(\pm 1/\sqrt{fan_{in}})`.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.kaiming_uniform(jax.random.key(0), (600, 100))
        >>> bool(abs(w).max() <= 0.1), round(float(w.std()), 3)  # b = sqrt(6 / 600)
        (True, 0.058)
    """
    where = "kaiming_uniform"
    gain = _kaiming_gain(where, nonlinearity, a)
    return _scaled(where, "uniform", key, shape, dtype, gain, mode, layout, out_sharding)


def kaiming_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    a: Scalar = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str | Callable[[jax.Array], jax.Array] = "leaky_relu",
    layout: str | Layout | Fans | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw normal weights that keep the variance of a signal behind a nonlinearity.

    .. math:: W \sim N(0, \sigma^2), \qquad \sigma = gain / \sqrt{fan}

    Also named ``he_normal``.

    Args:
        key: As in ``variance_scaling``.
        shape: As in ``variance_scaling``.
        dtype: As in ``variance_scaling``.
        a: As in ``kaiming_uniform``.
        mode: As in ``kaiming_uniform``.
        nonlinearity: As in ``kaiming_uniform``.
        layout: As in ``variance_scaling``.
        out_sharding: As in ``variance_scaling``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: As ``variance_scaling``, and for an unknown nonlinearity.
        TypeError: As ``variance_scaling``.

    References:
        He et al., "Delving deep into rectifiers", ICCV 2015, equations 10, 14 and 15.

    Elsewhere:
        The law of ``torch.nn.init.kaiming_normal_``. JAX's and Keras' ``he_normal`` is
        truncated: ``kaiming_truncated_normal`` here.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> key = jax.random.key(0)
        >>> w = jaxinit.kaiming_normal(key, (3, 3, 64, 128), jax.numpy.bfloat16)
        >>> w.dtype.name, round(float(w.astype("float32").std()), 3)  # sqrt(2 / 576)
        ('bfloat16', 0.059)
    """
    where = "kaiming_normal"
    gain = _kaiming_gain(where, nonlinearity, a)
    return _scaled(where, "normal", key, shape, dtype, gain, mode, layout, out_sharding)


def kaiming_truncated_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    a: Scalar = 0.0,
    mode: Mode = "fan_in",
    nonlinearity: str | Callable[[jax.Array], jax.Array] = "leaky_relu",
    layout: str | Layout | Fans | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw truncated normal weights that keep the variance behind a nonlinearity.

    .. math:: \operatorname{Var} W = gain^2 / fan

    The law is a normal one cut at two of its standard deviations and scaled to the stated
    variance. Also named ``he_truncated_normal``.

    Args:
        key: As in ``variance_scaling``.
        shape: As in ``variance_scaling``.
        dtype: As in ``variance_scaling``.
        a: As in ``kaiming_uniform``.
        mode: As in ``kaiming_uniform``.
        nonlinearity: As in ``kaiming_uniform``.
        layout: As in ``variance_scaling``.
        out_sharding: As in ``variance_scaling``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: As ``variance_scaling``, and for an unknown nonlinearity.
        TypeError: As ``variance_scaling``.

    References:
        He et al., "Delving deep into rectifiers", ICCV 2015, equations 10, 14 and 15, for
        the variance.

    Elsewhere:
        With the defaults, the law of JAX's and Keras' ``he_normal``.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.kaiming_truncated_normal(jax.random.key(0), (800, 100))
        >>> round(float(w.std()), 3), bool(abs(w).max() < 2.274 * 0.05)
        (0.05, True)
    """
    where = "kaiming_truncated_normal"
    gain = _kaiming_gain(where, nonlinearity, a)
    law = "truncated_normal"
    return _scaled(where, law, key, shape, dtype, gain, mode, layout, out_sharding)


def lecun_uniform(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    gain: Scalar = 1.0,
    layout: str | Layout | Fans | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw uniform weights that keep the variance of a linear signal.

    .. math:: W \sim U(-b, b), \qquad b = gain \sqrt{3 / fan_{in}}

    Args:
        key: As in ``variance_scaling``.
        shape: As in ``variance_scaling``.
        dtype: As in ``variance_scaling``.
        gain: Factor on the standard deviation, at least 0, dimensionless. May be traced.
        layout: As in ``variance_scaling``.
        out_sharding: As in ``variance_scaling``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: As ``variance_scaling``.
        TypeError: As ``variance_scaling``.

    References:
        LeCun et al., "Efficient BackProp", 1998, equation 16, for the variance.

    Elsewhere:
        The law of JAX's and Keras' ``lecun_uniform``, which have no gain. PyTorch has none.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.lecun_uniform(jax.random.key(0), (300, 100))
        >>> bool(abs(w).max() <= 0.1), round(float(w.std()), 3)
        (True, 0.058)
    """
    where = "lecun_uniform"
    factor = check_number(where, "gain", gain, least=0)
    law = "uniform"
    return _scaled(where, law, key, shape, dtype, factor, "fan_in", layout, out_sharding)


def lecun_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    gain: Scalar = 1.0,
    layout: str | Layout | Fans | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw normal weights that keep the variance of a linear signal.

    .. math:: W \sim N(0, gain^2 / fan_{in})

    Args:
        key: As in ``variance_scaling``.
        shape: As in ``variance_scaling``.
        dtype: As in ``variance_scaling``.
        gain: Factor on the standard deviation, at least 0, dimensionless. May be traced.
        layout: As in ``variance_scaling``.
        out_sharding: As in ``variance_scaling``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: As ``variance_scaling``.
        TypeError: As ``variance_scaling``.

    References:
        LeCun et al., "Efficient BackProp", 1998, equation 16.

    Elsewhere:
        JAX's and Keras' ``lecun_normal`` is truncated: ``lecun_truncated_normal`` here.
        PyTorch has none.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.lecun_normal(jax.random.key(0), (400, 100))
        >>> round(float(w.std()), 3)
        0.05
    """
    where = "lecun_normal"
    factor = check_number(where, "gain", gain, least=0)
    law = "normal"
    return _scaled(where, law, key, shape, dtype, factor, "fan_in", layout, out_sharding)


def lecun_truncated_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    gain: Scalar = 1.0,
    layout: str | Layout | Fans | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw truncated normal weights that keep the variance of a linear signal.

    .. math:: \operatorname{Var} W = gain^2 / fan_{in}

    The law is a normal one cut at two of its standard deviations and scaled to the stated
    variance.

    Args:
        key: As in ``variance_scaling``.
        shape: As in ``variance_scaling``.
        dtype: As in ``variance_scaling``.
        gain: Factor on the standard deviation, at least 0, dimensionless. May be traced.
        layout: As in ``variance_scaling``.
        out_sharding: As in ``variance_scaling``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: As ``variance_scaling``.
        TypeError: As ``variance_scaling``.

    References:
        LeCun et al., "Efficient BackProp", 1998, equation 16, for the variance.

    Elsewhere:
        The law of JAX's, Flax's and Keras' ``lecun_normal``, which have no gain.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.lecun_truncated_normal(jax.random.key(0), (400, 100))
        >>> round(float(w.std()), 3), bool(abs(w).max() < 2.274 * 0.05)
        (0.05, True)
    """
    where = "lecun_truncated_normal"
    factor = check_number(where, "gain", gain, least=0)
    law = "truncated_normal"
    return _scaled(where, law, key, shape, dtype, factor, "fan_in", layout, out_sharding)


# The same functions under their other names.
glorot_normal = xavier_normal
glorot_truncated_normal = xavier_truncated_normal
glorot_uniform = xavier_uniform
he_normal = kaiming_normal
he_truncated_normal = kaiming_truncated_normal
he_uniform = kaiming_uniform


def _xavier(
    where: str,
    law: Law,
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None,
    gain: Scalar,
    layout: str | Layout | Fans | None,
    out_sharding: OutSharding,
) -> jax.Array:
    factor = check_number(where, "gain", gain, least=0)
    return _scaled(where, law, key, shape, dtype, factor, "fan_avg", layout, out_sharding)


def _kaiming_gain(
    where: str, nonlinearity: str | Callable[[jax.Array], jax.Array], a: Scalar
) -> float | jax.Array:
    slope = check_number(where, "a", a)
    if nonlinearity != "leaky_relu":
        return calculate_gain(nonlinearity)
    root = jnp.sqrt if is_traced(slope) else math.sqrt
    return root(2 / (1 + slope * slope))


def _scaled(
    where: str,
    law: Law,
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None,
    gain: float | jax.Array,
    mode: Mode,
    layout: str | Layout | Fans | None,
    out_sharding: OutSharding,
) -> jax.Array:
    """Draw from the law with standard deviation ``gain / sqrt(fan)``."""
    lengths = check_shape(where, shape)
    draw = Draw(
        law,
        lengths,
        check_dtype(where, dtype, allow_complex=True),
        check_out_sharding(where, out_sharding),
    )
    std = gain / math.sqrt(fan_of(where, resolve_fans(where, lengths, layout), mode))
    check_scale(where, draw, 0.0, std, draw.limit)
    real_uniform = law == "uniform" and not draw.is_complex
    scale = std * UNIFORM_LIMIT if real_uniform else std
    return execute(draw, check_key(where, key), 0.0, scale)
