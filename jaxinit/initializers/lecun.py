"""LeCun's distributions, which keep a linear signal."""

import jax

from jaxinit._distribution import described
from jaxinit._layout import Fans, Layout
from jaxinit._types import DTypeLike, Key, OutSharding, Scalars, Shape
from jaxinit._window import Window
from jaxinit.initializers.scaled import by_gain, draw_scaled


@described(by_gain("uniform", "fan_in", is_linear=True))
def lecun_uniform(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    gain: Scalars = 1.0,
    layout: str | Layout | Fans | None = None,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw uniform weights that keep the variance of a linear signal.

    .. math:: W \sim U(-b, b), \qquad b = gain \sqrt{3 / fan_{in}}

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths, two or more unless ``layout`` says what they are. A zero length
            gives an empty array.
        dtype: A float dtype, real or complex; None for JAX's default. Values are computed
            in float32 (float64 for float64) and rounded once.
        gain: Factor on the standard deviation, at least 0, dimensionless. May be traced.
        layout: The role of each axis, as letters or a ``Layout``, or the ``Fans`` outright;
            None for ``"IO"`` with window axes in front.
        window: A block ``(start, lengths)`` of the array, with one int for every axis: it
            alone is drawn, and equals that block of the whole. ``shape`` stays that of the
            whole. ``start`` may be traced, and must then lie inside. None for the whole.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape``, or that of the window, and ``dtype``.

    Raises:
        ValueError: ``layout`` does not fit ``shape``, ``gain`` is negative, or ``dtype``
            cannot hold the scale.
        TypeError: An argument is of the wrong kind.

    References:
        LeCun et al., "Efficient BackProp", 1998, equation 16, for the variance.

    Elsewhere:
        The distribution of JAX's and Keras' ``lecun_uniform``, which have no gain. PyTorch
        has none.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.lecun_uniform(jax.random.key(0), (300, 100))
        >>> bool(abs(w).max() <= 0.1), round(float(w.std()), 3)
        (True, 0.058)
    """
    return draw_scaled(
        "uniform", "fan_in", gain, key, shape, dtype, layout, window, out_sharding
    )


@described(by_gain("normal", "fan_in", is_linear=True))
def lecun_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    gain: Scalars = 1.0,
    layout: str | Layout | Fans | None = None,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw normal weights that keep the variance of a linear signal.

    .. math:: W \sim N(0, gain^2 / fan_{in})

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths, two or more unless ``layout`` says what they are. A zero length
            gives an empty array.
        dtype: A float dtype, real or complex; None for JAX's default. Values are computed
            in float32 (float64 for float64) and rounded once.
        gain: Factor on the standard deviation, at least 0, dimensionless. May be traced.
        layout: The role of each axis, as letters or a ``Layout``, or the ``Fans`` outright;
            None for ``"IO"`` with window axes in front.
        window: A block ``(start, lengths)`` of the array, with one int for every axis: it
            alone is drawn, and equals that block of the whole. ``shape`` stays that of the
            whole. ``start`` may be traced, and must then lie inside. None for the whole.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape``, or that of the window, and ``dtype``.

    Raises:
        ValueError: ``layout`` does not fit ``shape``, ``gain`` is negative, or ``dtype``
            cannot hold the scale.
        TypeError: An argument is of the wrong kind.

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
    return draw_scaled(
        "normal", "fan_in", gain, key, shape, dtype, layout, window, out_sharding
    )


@described(by_gain("truncated_normal", "fan_in", is_linear=True))
def lecun_truncated_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    gain: Scalars = 1.0,
    layout: str | Layout | Fans | None = None,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw truncated normal weights that keep the variance of a linear signal.

    .. math:: W = s Z, \quad Z \sim N(0, 1) \text{ given } |Z| \le 2, \quad
        s^2 \operatorname{E} |Z|^2 = gain^2 / fan_{in}

    with a complex Z for a complex dtype. No weight is beyond 2.274 standard deviations
    (complex: 2.08).

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths, two or more unless ``layout`` says what they are. A zero length
            gives an empty array.
        dtype: A float dtype, real or complex; None for JAX's default. Values are computed
            in float32 (float64 for float64) and rounded once.
        gain: Factor on the standard deviation, at least 0, dimensionless. May be traced.
        layout: The role of each axis, as letters or a ``Layout``, or the ``Fans`` outright;
            None for ``"IO"`` with window axes in front.
        window: A block ``(start, lengths)`` of the array, with one int for every axis: it
            alone is drawn, and equals that block of the whole. ``shape`` stays that of the
            whole. ``start`` may be traced, and must then lie inside. None for the whole.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape``, or that of the window, and ``dtype``.

    Raises:
        ValueError: ``layout`` does not fit ``shape``, ``gain`` is negative, or ``dtype``
            cannot hold the scale.
        TypeError: An argument is of the wrong kind.

    References:
        LeCun et al., "Efficient BackProp", 1998, equation 16, for the variance.

    Elsewhere:
        The distribution of JAX's, Flax's and Keras' ``lecun_normal``, which have no gain.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.lecun_truncated_normal(jax.random.key(0), (400, 100))
        >>> round(float(w.std()), 3), bool(abs(w).max() < 2.274 * 0.05)
        (0.05, True)
    """
    return draw_scaled(
        "truncated_normal", "fan_in", gain, key, shape, dtype, layout, window, out_sharding
    )
