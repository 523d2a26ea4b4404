"""Biases and rates: log-uniform values, and class priors."""

import functools
import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import (
    check_choice,
    check_dtype,
    is_traced,
    shown,
    type_error,
    value_error,
)
from jaxinit._distribution import Descriptor, described
from jaxinit._moments import Moments, fixed_moments, gauss_legendre, mixed_moments
from jaxinit._placement import (
    check_out_sharding,
    handed_over,
    mesh_context,
    placed,
)
from jaxinit._scale import exactly, wide_dtype, worst_of
from jaxinit._types import DTypeLike, Key, OutSharding, Scalars, Shape
from jaxinit._window import Window, block_of, check_window
from jaxinit.initializers.constant import constant
from jaxinit.initializers.plain import check_bounds, uniform

Inverse = Literal["softplus", "sigmoid"]
"""What a model applies to a parameter."""


def _before(activation: Inverse | None, value: Any, module: Any = jnp) -> Any:
    """Return what the activation takes to ``value``."""
    if activation == "softplus":
        return value + module.log(-module.expm1(-value))
    if activation == "sigmoid":
        return module.log(value) - module.log1p(-value)
    return value


def _moments(
    _shape: Shape, _complex: bool, *, low: Any, high: Any, activation: Any
) -> Moments:
    """Return the moments by Gauss-Legendre quadrature over the logarithm."""
    bounds = [np.asarray(v, float) for v in (low, high)]
    start, end = (x[..., None] for x in np.broadcast_arrays(*map(np.log, bounds)))
    nodes, mass = gauss_legendre()
    x = np.exp((start + end) / 2 + (end - start) / 2 * nodes)
    values = _before(activation, x, np)
    # The nodes of all entries are one mixture, of points.
    weights = np.broadcast_to(mass, values.shape)
    found = mixed_moments(values, 0.0, 0.0, weights=weights)
    least, most = (_before(activation, v, np) for v in bounds)
    return found._replace(low=float(np.min(least)), high=float(np.max(most)))


@described(Descriptor(_moments))
def log_uniform(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    low: Scalars,
    high: Scalars,
    activation: Inverse | None = None,
    window: Window | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw values whose logarithm is spread evenly between two bounds.

    .. math:: \log f(W) \sim U(\log low, \log high)

    where f is the activation that the model applies to the parameter, if any. For step
    sizes, decay rates and length scales that are to cover several orders of magnitude.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths; any rank. A zero length gives an empty array.
        dtype: A real float dtype; None for JAX's default. Values are computed in float32
            (float64 for float64) and rounded once.
        low: Lower bound of f(W), above 0: a number, or an array that broadcasts to
            ``shape``. May be traced.
        high: Upper bound of f(W), likewise, no less than ``low``; below 1 for
            ``"sigmoid"``.
        activation: f: ``"softplus"``, ``"sigmoid"``, or None for W itself. The values are
            then those that f takes to the log-uniform ones.
        window: A block ``(start, lengths)`` of the array, which alone is drawn; None for
            the whole.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape``, or that of the window, and ``dtype``.

    Raises:
        ValueError: A bound is out of range, or ``high`` is below ``low``.
        TypeError: An argument is of the wrong kind.

    References:
        Gu and Dao, "Mamba: linear-time sequence modeling with selective state spaces",
        2023, section 3.6: the bias of its step size is the inverse softplus of a
        log-uniform one between 0.001 and 0.1.

    Elsewhere:
        PyTorch, JAX and Keras have none.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> options = {"low": 0.001, "high": 0.1, "activation": "softplus"}
        >>> bias = jaxinit.log_uniform(jax.random.key(0), (4000,), **options)
        >>> step = jax.nn.softplus(bias)
        >>> round(float(jax.numpy.log10(step).mean()), 1), bool(step.max() <= 0.1001)
        (-2.0, True)
    """
    if activation is not None:
        check_choice("activation", activation, get_args(Inverse))
    most = 1.0 if activation == "sigmoid" else math.inf
    lower, upper = check_bounds(low, high, shape, least=0, most=most)
    for (a, b), at in worst_of(lambda a, b: (-a, b), lower, upper):
        if a == 0:
            value_error("low must be above 0", f"low=0{at}", "Give the smallest value.")
        if b == most:
            advice = "A sigmoid stays below it."
            value_error("high must be below 1", f"high=1{at}", advice)
    result = check_dtype(dtype)
    wide = wide_dtype(result)
    start, end = exactly(wide, lambda f, a, b: (f.log(a), f.log(b)), lower, upper)
    drawn = uniform(key, shape, wide, low=start, high=end, window=window)
    place = check_out_sharding(out_sharding, drawn.shape)
    _, first = check_window(window, tuple(shape))
    bounds = [b if is_traced(b) else np.asarray(b, wide) for b in (lower, upper)]
    given = handed_over((tuple(bounds), first))
    with mesh_context(place):
        return _finish(result, activation, place, drawn, *given)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _finish(
    dtype: np.dtype[Any],
    activation: Inverse | None,
    sharding: OutSharding,
    exponent: jax.Array,
    bounds: tuple[jax.Array, jax.Array],
    first: Any,
) -> jax.Array:
    def values(exponent: jax.Array, bounds: tuple[jax.Array, ...], first: Any) -> jax.Array:
        block = exponent.shape if first is not None else None
        low, high = (
            block_of(jnp.asarray(b, exponent.dtype), exponent.ndim, block, first)
            for b in bounds
        )
        value = jnp.clip(jnp.exp(exponent), low, high)
        return _before(activation, value).astype(dtype)

    return placed(values, sharding)(exponent, bounds, first)


def _prior_moments(
    _shape: Shape, _complex: bool, *, prior: Any, activation: Any
) -> Moments:
    return fixed_moments(_log_odds(prior, activation))


@described(Descriptor(_prior_moments, is_fixed=True))
def class_prior(
    key: Key | None,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    prior: float | Sequence[float] | np.ndarray | jax.Array,
    activation: Literal["sigmoid", "softmax"] = "sigmoid",
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Return the bias of a classifier that begins at the frequencies of its classes.

    .. math:: b = \log \frac{p}{1 - p} \text{ (sigmoid)}, \qquad
        b_k = \log p_k \text{ (softmax)}

    With small weights the first predictions are then p, so that rare classes do not
    dominate the first steps.

    Args:
        key: Not used; any key, or None.
        shape: Axis lengths of the bias.
        dtype: A float dtype; None for JAX's default.
        prior: Probability of the class, or one a class along the last axis; above 0, and
            below 1 for ``"sigmoid"``.
        activation: What the model applies to its outputs.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: A probability is out of range, or they do not broadcast to ``shape``.
        TypeError: An argument is of the wrong kind.

    References:
        Lin et al., "Focal loss for dense object detection", ICCV 2017, section 4.1, which
        takes p = 0.01.

    Elsewhere:
        PyTorch, JAX and Keras have none.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> options = {"prior": [0.7, 0.2, 0.1], "activation": "softmax"}
        >>> bias = jaxinit.class_prior(None, (3,), **options)
        >>> [round(float(p), 2) for p in jax.nn.softmax(bias)]
        [0.7, 0.2, 0.1]
    """
    check_choice("activation", activation, ("sigmoid", "softmax"))
    value = _log_odds(prior, activation)
    return constant(key, shape, dtype, value=value, out_sharding=out_sharding)


def _log_odds(prior: Any, activation: str) -> np.ndarray:
    rule = "prior must be a known probability, or an array of them"
    try:
        p = np.asarray(None if is_traced(prior) else prior)
    except (TypeError, ValueError):
        p = np.asarray(None)
    if p.dtype.kind not in "iuf":
        type_error(rule, f"prior={shown(prior)}", "Give for example 0.01.")
    p = p.astype(np.float64)
    sigmoid = activation == "sigmoid"
    bad = ~((p > 0) & ((p < 1) if sigmoid else (p <= 1)))
    if bad.any():
        rule = f"prior must be above 0 and {'below' if sigmoid else 'at most'} 1"
        value_error(rule, f"prior={p[bad].flat[0]:g}", "Give frequencies.")
    return np.log(p) - np.log1p(-p) if sigmoid else np.log(p)
