"""Chernoff limits: how far a mean of n draws can stray, for every n.

For independent draws of Y with K(t) = log E exp(tY), a mean above K'(t) has probability
at most exp(-n (t K'(t) - K(t))). Nothing is taken to be large or normal.
"""

import math

import numpy as np

Atoms = tuple[np.ndarray, np.ndarray]
"""Values, and their probabilities, of a discrete distribution (or of a quadrature)."""


def upper_limit(atoms: Atoms, rate: float) -> float:
    """Return the limit that the mean of n draws passes with probability e^(-n rate).

    Args:
        atoms: The distribution of one draw.
        rate: ``log(1 / probability) / n``.

    Returns:
        The limit; the largest value itself, where no smaller limit is safe.
    """
    values, weights = atoms
    centre = float(values @ weights)
    y = values - centre
    top = int(np.argmax(y))
    below = values - values[top]
    scale, variance = float(y[top]), float(weights @ (y * y))
    if variance == 0 or scale <= 0 or rate >= -math.log(weights[top]):
        return centre + max(scale, 0.0)
    low, high, t = 0.0, math.inf, math.sqrt(2 * rate / variance)
    tilted = weights
    for _ in range(300):
        excess, tilted, curvature = _excess(y, below, weights, t)
        excess -= rate
        if abs(excess) <= 1e-10 * rate or t * scale > 1e30 or high - low <= 1e-13 * t:
            break
        low, high = (t, high) if excess < 0 else (low, t)
        step = excess / (t * curvature) if curvature > 0 else math.inf
        t = t - step
        if not low < t < high:  # Newton left the bracket
            t = 4 * low if high == math.inf else (low + high) / 2
            if low > 0 and high < math.inf:
                t = math.sqrt(low * high)
    # Not centre plus a shift: near an end of the values nothing would be left of the sum.
    return float(tilted @ values) if t * scale >= 1 else centre + float(tilted @ y)


def lower_limit(atoms: Atoms, rate: float) -> float:
    """Return the limit that the mean falls short of with probability e^(-n rate)."""
    values, weights = atoms
    return -upper_limit((-values, weights), rate)


def gamma_limits(shape: float, rate: float) -> tuple[float, float]:
    """Return both limits for a gamma distribution of mean 1: the squares of normal draws.

    Args:
        shape: 1/2 for the square of a normal draw, 1 for a complex one.
        rate: As in :func:`upper_limit`, for each side.

    Returns:
        The two roots of ``shape (s - 1 - log s) = rate``.
    """
    depth = rate / shape

    def root(low: float, high: float) -> float:  # u = log s
        sign = 1.0 if high > 0 else -1.0
        for _ in range(200):
            u = (low + high) / 2
            outside = math.expm1(u) - u > depth
            low, high = (low, u) if outside == (sign > 0) else (u, high)
        return math.exp((low + high) / 2)

    span = depth + math.sqrt(2 * depth)
    return root(-1 - span, 0.0), root(0.0, math.log1p(2 * span))


def quadrature(radius: float) -> Atoms:
    """Return nodes and weights of the tanh-sinh rule for integrals over (0, radius).

    The nodes crowd at both ends, so that tilts by e^(t r^2) stay exact for t of either
    sign and of any size that a limit asks for.
    """
    step = 1 / 32
    u = np.arange(-4.5, 4.5 + step, step)
    x = 1 / (1 + np.exp(-np.pi * np.sinh(u)))
    slope = np.pi * np.cosh(u) / (2 + 2 * np.cosh(np.pi * np.sinh(u)))  # dx/du
    return radius * x, radius * step * slope


def _excess(
    y: np.ndarray, below: np.ndarray, weights: np.ndarray, t: float
) -> tuple[float, np.ndarray, float]:
    """Return t K'(t) - K(t), the tilted probabilities, and K''(t).

    Args:
        y: The values less their mean.
        below: The values less the largest of them.
        weights: Their probabilities.
        t: The tilt.
    """
    exponent = t * y
    if np.max(np.abs(exponent)) < 1:  # keeps the digits of a small K
        grown = np.expm1(exponent)
        tilted = weights * (1 + grown)
        tilted /= np.sum(tilted)
        cumulant = math.log1p(float(weights @ (grown - exponent)))
        distance = y
    else:  # keeps the digits of a mean close to the largest value
        tilted = weights * np.exp(t * below)
        total = float(np.sum(tilted))
        tilted /= total
        cumulant, distance = math.log(total), below
    slope = float(tilted @ distance)
    curvature = float(tilted @ (distance - slope) ** 2)
    return t * slope - cumulant, tilted, curvature
