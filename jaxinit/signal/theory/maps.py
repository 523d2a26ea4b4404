r"""Mean-field maps: how length and correlation move through a wide random layer.

For ``h = W f(h') + b`` with ``W ~ N(0, sigma_w^2 / n)`` and ``b ~ N(0, sigma_b^2)`` and
n to infinity, every unit is Gaussian, of a variance q that obeys

    q' = sigma_w^2 E f(sqrt(q) z)^2 + sigma_b^2,

and two inputs of equal length keep a correlation c that obeys
``c' = (sigma_w^2 E f(u) f(v) + sigma_b^2) / q``. Squared gradients shrink by
``chi_1 = sigma_w^2 E f'(sqrt(q) z)^2`` a layer. B. Poole et al., "Exponential
expressivity in deep neural networks through transient chaos", 2016; S. Schoenholz et
al., "Deep information propagation", 2017. All numbers are float64, on the host.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxinit._activations import ACTIVATION_NAMES, activation, is_own
from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_number, shown, type_error, value_error
from jaxinit._gaussian import (
    Once,
    Resolved,
    correlated,
    density,
    evaluate,
    remembered,
    resolve,
    resolve_for,
)

Nonlinearity = str | Callable[[Any], Any]
"""A name such as ``"tanh"``, or a function of one number that JAX can trace."""

_LEAST_VARIANCE = 1e-58  # below it every function is its two tangents at zero
_ROWS = 128  # variances a block, which bounds the memory of the density matrix


class Moments(NamedTuple):
    """Expectations over ``x ~ N(0, q)``, one array entry a variance."""

    mean: np.ndarray
    """E f."""
    square: np.ndarray
    """E f^2."""
    fourth: np.ndarray
    """E f^4."""
    central_fourth: np.ndarray
    """E (f - E f)^4."""
    slope_square: np.ndarray
    """E f'^2."""
    slope_fourth: np.ndarray
    """E f'^4."""
    slope_spread: np.ndarray
    """E f'^2 x^2 / q."""
    growth: np.ndarray
    """d E f^2 / d q = E f f' x / q."""

    @property
    def variance(self) -> np.ndarray:
        """Var f."""
        return np.maximum(self.square - self.mean**2, 0.0)


def as_function(nonlinearity: Nonlinearity) -> Callable[[Any], Any]:
    """Return the function that is meant; equal names give one object."""
    if isinstance(nonlinearity, str):
        name = check_choice("activation", nonlinearity, ACTIVATION_NAMES)
        return activation(name)
    if not callable(nonlinearity):
        rule = "activation must be a name or a function"
        got = f"activation={nonlinearity!r}"
        type_error(rule, got, 'Give for example "tanh" or jax.numpy.tanh.')
    try:
        hash(nonlinearity)
    except TypeError:  # an instance of a dataclass, say; caches take what has a hash
        return functools.partial(nonlinearity)
    return nonlinearity


def for_one_call(nonlinearity: Nonlinearity) -> Callable[[Any], Any]:
    """Return the function that is meant, of which nothing outlives the call.

    A user's function is read anew at each call; the library's own are in caches.
    """
    function = as_function(nonlinearity)
    return function if isinstance(function, Once) or is_own(function) else Once(function)


def differentiable(resolved: Resolved) -> np.ndarray:
    """Return the slopes, which a function in NumPy does not have."""
    if resolved.slopes is None:
        rule = "activation must be a function that JAX can differentiate"
        advice = "Write it with jax.numpy instead of numpy."
        type_error(rule, "a function in NumPy", advice)
    return resolved.slopes


@remembered
def _columns(function: Callable[[Any], Any], reach: int) -> np.ndarray:
    """Return the weighted integrands of all moments, shape (nodes, 8)."""
    resolved = resolve(function, reach)
    f, g = resolved.values, differentiable(resolved)
    with np.errstate(over="ignore", invalid="ignore"):
        powers = [
            f,
            f**2,
            f**3,
            f**4,
            g**2,
            g**4,
            (g * resolved.x) ** 2,
            f * g * resolved.x,
        ]
        columns = np.stack(powers, axis=1) * resolved.weights[:, None]
    if not np.isfinite(columns).all():
        rule = "the fourth power of the activation must be finite"
        got = f"one that is not for |x| up to {2.0**reach:g}"
        value_error(rule, got, "Ask for smaller variances.")
    return columns


def check_numbers(name: str, values: Any) -> np.ndarray:
    """Return real numbers of any shape as float64."""
    try:
        array = np.asarray(values)
        if array.dtype.kind in "biuf":
            return array.astype(np.float64)
    except (TypeError, ValueError):
        pass
    rule = f"{name} must be a number or an array of numbers"
    type_error(rule, f"{name}={shown(values)}", "Give floats.")


@boundary
def moments(nonlinearity: Nonlinearity, q: Any) -> Moments:
    """Return the moments of ``f(x)``, ``x ~ N(0, q)``, for any array of variances.

    Args:
        nonlinearity: A name or a function of one number that JAX can differentiate.
        q: Variances, finite and at least 0, of any shape.

    Returns:
        The moments, each of the shape of ``q``, to about 1e-12 relative.

    Raises:
        ValueError: A variance is negative or not finite, or f is not finite.
        TypeError: The nonlinearity is not a differentiable function.

    Example:
        >>> from jaxinit.signal import moments
        >>> round(float(moments("relu", 1.0).square), 12)
        0.5
    """
    function = for_one_call(nonlinearity)
    q = check_numbers("q", q)
    allowed = np.isfinite(q) & (q >= 0)
    if not allowed.all():
        got = f"q={q[~allowed].flat[0]:g}"
        value_error("q must be finite, at least 0", got, "It is a variance.")
    flat = np.maximum(q.reshape(-1), _LEAST_VARIANCE)
    resolved = resolve_for(function, float(flat.max(initial=1.0)))
    columns = _columns(function, resolved.reach)
    table = np.empty((flat.size, columns.shape[1]))
    for start in range(0, flat.size, _ROWS):
        rows = slice(start, start + _ROWS)
        with np.errstate(under="ignore"):
            table[rows] = density(resolved.x, flat[rows]) @ columns
    mean, square, third, fourth, slope_square, slope_fourth, spread, growth = table.T
    below = np.minimum(q.reshape(-1) / flat, 1.0)
    zero = resolved.at_zero
    mean = zero + (mean - zero) * np.sqrt(below)
    square = zero**2 + (square - zero**2) * below
    third = zero**3 + (third - zero**3) * below**1.5
    fourth = zero**4 + (fourth - zero**4) * below**2
    central = fourth - 4 * mean * third + 6 * mean**2 * square - 3 * mean**4
    slopes = (slope_square, slope_fourth, spread / flat, growth / flat)
    found = (mean, square, fourth, central, *slopes)
    return Moments(*(column.reshape(q.shape) for column in found))


@boundary
def length_map(nonlinearity: Nonlinearity, q: Any, sigma_w: float, sigma_b: float) -> Any:
    """Return the variance of the next layer's units, given that of this layer's."""
    sigma_w = float(check_number("sigma_w", sigma_w))
    sigma_b = float(check_number("sigma_b", sigma_b))
    return sigma_w**2 * moments(nonlinearity, q).square + sigma_b**2


@boundary
def correlation_map(
    nonlinearity: Nonlinearity, c: float, q: float, sigma_w: float, sigma_b: float
) -> tuple[float, float]:
    """Return the next correlation of two inputs, and the slope of the map there.

    Args:
        nonlinearity: A name or a differentiable function of one number.
        c: Correlation of the two, from -1 to 1.
        q: Variance of both, a fixed point of the length map, positive.
        sigma_w: Standard deviation of the weights times the root of the fan-in.
        sigma_b: Standard deviation of the biases.

    Returns:
        ``(c', dc'/dc)``; at c = 1 the slope is chi_1.

    Raises:
        ValueError: A number is out of range.
    """
    c = float(check_number("c", c, least=-1.0, most=1.0))
    q = float(check_number("q", q, least=_LEAST_VARIANCE))
    sigma_w = float(check_number("sigma_w", sigma_w))
    sigma_b = float(check_number("sigma_b", sigma_b))
    resolved = resolve_for(for_one_call(nonlinearity), q)
    differentiable(resolved)
    forward, slope = correlated(resolved, q, c)
    return (sigma_w**2 * forward + sigma_b**2) / q, sigma_w**2 * slope


def homogeneity(nonlinearity: Nonlinearity) -> float | None:
    """Return k where E f^2 = k q for every q, as for the ReLU family; else None."""
    resolved = resolve(for_one_call(nonlinearity))
    slopes = differentiable(resolved)
    for side in (resolved.x > 0, resolved.x < 0):
        ratio = resolved.values[side] / resolved.x[side]
        if not np.allclose(ratio, slopes[side][0], rtol=1e-9, atol=1e-12):
            return None
    return float(slopes[0] ** 2 + slopes[-1] ** 2) / 2


def correlation_series(
    nonlinearity: Nonlinearity, q: float, terms: int = 256
) -> np.ndarray:
    """Return the coefficients a_k of ``E f(u) f(v) = sum a_k c^k``, all at least 0.

    They are the squared Hermite coefficients of f(sqrt(q) z). The last one holds what is
    left of E f^2, so that c = 1 is exact; in between the error is below it times c^terms.
    """
    resolved = resolve_for(for_one_call(nonlinearity), q)
    sigma = q**0.5
    cuts = np.union1d(np.arange(-12, 12.1, 0.25), resolved.breaks / sigma)
    cuts = cuts[np.abs(cuts) <= 12]
    nodes, weights = np.polynomial.legendre.leggauss(16)
    half = np.diff(cuts)[:, None] / 2
    z = ((cuts[1:] + cuts[:-1])[:, None] / 2 + half * nodes).reshape(-1)
    f, _ = evaluate(resolved.function, sigma * z)
    mass = (half * weights).reshape(-1) * np.exp(-z * z / 4) * (2 * np.pi) ** -0.5
    before, now = np.zeros_like(z), np.exp(-z * z / 4)
    found = np.empty(terms + 1)
    for k in range(terms):
        found[k] = (mass * f * now).sum() ** 2
        before, now = now, (z * now - k**0.5 * before) / (k + 1) ** 0.5
    rest = float(moments(nonlinearity, q).square) - found[:-1].sum()
    found[-1] = max(rest, 0.0)
    return found
