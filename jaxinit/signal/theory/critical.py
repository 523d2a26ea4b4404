"""The edge of chaos: where gradients neither vanish nor explode, chi_1 = 1."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_number
from jaxinit._gaussian import resolve
from jaxinit.signal.theory.maps import (
    Nonlinearity,
    check_numbers,
    for_one_call,
    homogeneity,
    moments,
)
from jaxinit.signal.theory.mean_field import moment_grid, solve_increasing_sign


class CriticalPoint(NamedTuple):
    """An initialization with chi_1 = 1 at a fixed point q of the length map."""

    sigma_w: float
    sigma_b: float
    q: float
    """The fixed point; NaN where every q is one, 0 for the limit of small signals."""
    chi_q: float
    """Slope of the length map at q: the point attracts below 1 and repels above."""


@boundary
def critical_line(nonlinearity: Nonlinearity, q: Any) -> CriticalPoint:
    """Return the edge of chaos as a curve in q: arrays where ``q`` is an array.

    ``sigma_w^2 = 1 / E f'^2`` and ``sigma_b^2 = q - sigma_w^2 E f^2``, over N(0, q).
    Where that is negative there is no such initialization: ``sigma_b`` is NaN.

    Args:
        nonlinearity: A name or a differentiable function of one number.
        q: Variances, positive.

    Returns:
        The curve.
    """
    q = check_numbers("q", q)
    at = moments(for_one_call(nonlinearity), q)
    with np.errstate(divide="ignore", invalid="ignore"):
        sw2 = 1 / at.slope_square
        sb2 = q - sw2 * at.square
        # Rounding of q, where the curve starts at sigma_b = 0.
        sb2 = np.where(np.abs(sb2) <= 1e-14 * q, 0.0, sb2)
        return CriticalPoint(np.sqrt(sw2), np.sqrt(sb2), q, sw2 * at.growth)  # pyright: ignore[reportArgumentType]


@boundary
def critical_points(
    nonlinearity: Nonlinearity, sigma_b: float = 0.0
) -> tuple[CriticalPoint, ...]:
    """Return the initializations on the edge of chaos with that bias, by rising q.

    Args:
        nonlinearity: A name or a differentiable function of one number.
        sigma_b: Standard deviation of the biases, at least 0.

    Returns:
        The points with q up to 1e4, empty where there is none (softplus, or the ReLU
        family with a bias). With ``sigma_b=0`` a function that is linear near zero
        has the limit ``q = 0``, approached by signals that shrink like a power of depth.

    Raises:
        ValueError: ``sigma_b`` is negative or not finite.

    Example:
        >>> from jaxinit.signal import critical_points
        >>> [round(p.sigma_w, 6) for p in critical_points("tanh", sigma_b=0.05**0.5)]
        [1.32701]
    """
    function = for_one_call(nonlinearity)
    sigma_b = float(check_number("sigma_b", sigma_b, least=0.0))
    share = homogeneity(function)
    if share is not None:
        exists = sigma_b == 0 and share > 0
        return (CriticalPoint(share**-0.5, 0.0, math.nan, 1.0),) if exists else ()
    found = []
    if sigma_b == 0:
        found += _limit_of_small_signals(function)

    def excess(q: np.ndarray) -> np.ndarray:
        return _bias_variance(function, q) / q - sigma_b**2 / q

    for q in _roots(function, excess):
        sigma_w, _, _, chi_q = (float(v) for v in critical_line(function, q))
        found.append(CriticalPoint(sigma_w, sigma_b, float(q), chi_q))
    return tuple(found)


@boundary
def doubly_critical_points(nonlinearity: Nonlinearity) -> tuple[CriticalPoint, ...]:
    """Return the points on the edge of chaos that also have chi_q = 1.

    There the length of a signal, too, drifts only like a power of depth. GELU, SiLU and
    Mish have one such point; tanh and its like only the limit of small signals; for the
    ReLU family the whole edge, a single point, is one.

    Args:
        nonlinearity: A name or a differentiable function of one number.

    Returns:
        The points with q from 1e-6 to 1e4.

    References:
        D. Roberts, S. Yaida, B. Hanin, "The principles of deep learning theory", 2021,
        section 5.3.4, https://arxiv.org/abs/2106.10165.

    Example:
        >>> from jaxinit.signal import doubly_critical_points
        >>> (point,) = doubly_critical_points("gelu")
        >>> round(point.sigma_w**2, 8), round(point.sigma_b**2, 8)
        (1.98305826, 0.17292239)
    """
    function = for_one_call(nonlinearity)
    if homogeneity(function) is not None:
        return critical_points(function)

    def excess(q: np.ndarray) -> np.ndarray:
        at = moments(function, q)
        return at.growth / at.slope_square - 1

    points = (critical_line(function, q) for q in _roots(function, excess))
    return tuple(
        CriticalPoint(*(float(v) for v in point)) for point in points if point.sigma_b >= 0
    )


def _bias_variance(function: Callable[[Any], Any], q: np.ndarray) -> np.ndarray:
    at = moments(function, q)
    with np.errstate(divide="ignore"):
        return q - at.square / at.slope_square


def _roots(
    function: Callable[[Any], Any], excess: Callable[[np.ndarray], np.ndarray]
) -> list[float]:
    """Return where ``excess`` changes sign between variances of the grid, from 1e-6 up."""
    q = moment_grid(function).q
    q = q[q >= 1e-6]
    on_grid = excess(q)
    ok = np.isfinite(on_grid[:-1]) & np.isfinite(on_grid[1:])
    change = np.nonzero(ok & ((on_grid[:-1] > 0) != (on_grid[1:] > 0)))[0]
    if not change.size:
        return []
    return list(solve_increasing_sign(excess, q[change], q[change + 1]))


def _limit_of_small_signals(function: Callable[[Any], Any]) -> list[CriticalPoint]:
    resolved = resolve(function)
    if resolved.at_zero != 0:
        return []
    share = float(moments(function, 0.0).slope_square)
    return [CriticalPoint(share**-0.5, 0.0, 0.0, 1.0)] if share > 1e-20 else []
