"""Xavier's distributions, between forward and backward signal; also named Glorot's."""

import jax

from jaxinit._distribution import described
from jaxinit._layout import Fans, Layout
from jaxinit._types import DTypeLike, Key, OutSharding, Scalars, Shape
from jaxinit._window import Window
from jaxinit.initializers.scaled import by_gain, draw_scaled


@described(by_gain("uniform", "fan_avg", is_linear=False))
def xavier_uniform(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    gain: Scalars = 1.0,
    layout: str | Layout | Fans | None = None,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw uniform weights whose variance suits the signal both ways.

    .. math:: W \sim U(-b, b), \qquad b = gain \sqrt{6 / (fan_{in} + fan_{out})}

    The standard deviation is :math:`gain \sqrt{2 / (fan_{in} + fan_{out})}`. Also named
    ``glorot_uniform``.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths, two or more unless ``layout`` says what they are. A zero length
            gives an empty array.
        dtype: A float dtype, real or complex; None for JAX's default. Values are computed
            in float32 (float64 for float64) and rounded once.
        gain: Factor on the standard deviation, at least 0, dimensionless; see
            ``calculate_gain``. A number, or an array that broadcasts to ``shape``. May be
            traced.
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
        Glorot and Bengio, "Understanding the difficulty of training deep feedforward neural
        networks", AISTATS 2010, equation 16, where the gain is 1.

    Elsewhere:
        The distribution of ``torch.nn.init.xavier_uniform_``,
        ``jax.nn.initializers.glorot_uniform`` (which has no gain) and Keras' GlorotUniform.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.xavier_uniform(jax.random.key(0), (400, 200))
        >>> bool(abs(w).max() <= 0.1), round(float(w.std()), 3)  # b = sqrt(6 / 600)
        (True, 0.058)
    """
    return draw_scaled(
        "uniform", "fan_avg", gain, key, shape, dtype, layout, window, out_sharding
    )


@described(by_gain("normal", "fan_avg", is_linear=False))
def xavier_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    gain: Scalars = 1.0,
    layout: str | Layout | Fans | None = None,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw normal weights whose variance suits the signal both ways.

    .. math:: W \sim N(0, \sigma^2), \qquad \sigma = gain \sqrt{2 / (fan_{in} + fan_{out})}

    Also named ``glorot_normal``.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths, two or more unless ``layout`` says what they are. A zero length
            gives an empty array.
        dtype: A float dtype, real or complex; None for JAX's default. Values are computed
            in float32 (float64 for float64) and rounded once.
        gain: Factor on the standard deviation, at least 0, dimensionless; see
            ``calculate_gain``. A number, or an array that broadcasts to ``shape``. May be
            traced.
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
        Glorot and Bengio, AISTATS 2010, equation 12, where the gain is 1.

    Elsewhere:
        The distribution of ``torch.nn.init.xavier_normal_``. JAX's and Keras'
        ``glorot_normal`` is
        truncated: ``xavier_truncated_normal`` here.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.xavier_normal(jax.random.key(0), (400, 200), gain=5 / 3)
        >>> round(float(w.std()), 2)  # 5 / 3 * sqrt(2 / 600)
        0.1
    """
    return draw_scaled(
        "normal", "fan_avg", gain, key, shape, dtype, layout, window, out_sharding
    )


@described(by_gain("truncated_normal", "fan_avg", is_linear=False))
def xavier_truncated_normal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    gain: Scalars = 1.0,
    layout: str | Layout | Fans | None = None,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw truncated normal weights whose variance suits the signal both ways.

    .. math:: W = s Z, \quad Z \sim N(0, 1) \text{ given } |Z| \le 2, \quad
        s^2 \operatorname{E} |Z|^2 = 2\,gain^2 / (fan_{in} + fan_{out})

    with a complex Z for a complex dtype. No weight is beyond 2.274 standard deviations
    (complex: 2.08). Also named ``glorot_truncated_normal``.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths, two or more unless ``layout`` says what they are. A zero length
            gives an empty array.
        dtype: A float dtype, real or complex; None for JAX's default. Values are computed
            in float32 (float64 for float64) and rounded once.
        gain: Factor on the standard deviation, at least 0, dimensionless; see
            ``calculate_gain``. A number, or an array that broadcasts to ``shape``. May be
            traced.
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
        Glorot and Bengio, AISTATS 2010, equation 12, for the variance.

    Elsewhere:
        The distribution of JAX's and Keras' ``glorot_normal``. PyTorch has none.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.xavier_truncated_normal(jax.random.key(0), (400, 200))
        >>> round(float(w.std()), 3), bool(abs(w).max() < 2.274 * (2 / 600) ** 0.5)
        (0.058, True)
    """
    return draw_scaled(
        "truncated_normal", "fan_avg", gain, key, shape, dtype, layout, window, out_sharding
    )


# The same functions under their other names.
glorot_uniform = xavier_uniform
glorot_normal = xavier_normal
glorot_truncated_normal = xavier_truncated_normal
