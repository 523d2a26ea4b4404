"""Phase diagrams: depth scales over a grid of (sigma_w, sigma_b), by theory."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import value_error
from jaxinit.signal.theory.critical import critical_line
from jaxinit.signal.theory.maps import (
    Nonlinearity,
    check_numbers,
    correlation_series,
    for_one_call,
    homogeneity,
    moments,
)
from jaxinit.signal.theory.mean_field import moment_grid, solve_increasing_sign


class PhaseDiagram(NamedTuple):
    """Theory over a grid; arrays have the shape (sigma_b, sigma_w)."""

    sigma_w: np.ndarray
    sigma_b: np.ndarray
    q: np.ndarray
    """Fixed point of the length map that a unit input goes to; 0 or inf for none."""
    chi_1: np.ndarray
    """Growth of squared gradients a layer."""
    c: np.ndarray
    """Fixed point of the correlation map; NaN without a q."""
    xi_c: np.ndarray
    """Depth scale of correlations, in layers."""
    edge: tuple[np.ndarray, np.ndarray]
    """The edge of chaos, (sigma_w, sigma_b) along it."""


@boundary
def phase_diagram(
    nonlinearity: Nonlinearity,
    sigma_w: Sequence[float] | Any,
    sigma_b: Sequence[float] | Any,
) -> PhaseDiagram:
    """Return depth scales over a grid of initializations.

    Args:
        nonlinearity: A name or a differentiable function of one number.
        sigma_w: Standard deviations of the weights times the root of the fan-in; positive.
        sigma_b: Standard deviations of the biases; at least 0.

    Returns:
        The diagram. Correlations in the chaotic phase come from a series of 256 terms:
        exact for smooth functions, to about 1e-4 for kinked ones.

    Raises:
        ValueError: A standard deviation is negative or not finite, or sigma_w is zero.
    """
    function = for_one_call(nonlinearity)
    pairs = (("sigma_w", sigma_w), ("sigma_b", sigma_b))
    sw, sb = (check_numbers(n, v).reshape(-1) for n, v in pairs)
    if not (np.isfinite(sw).all() and np.isfinite(sb).all()) or min(sw.min(), sb.min()) < 0:
        rule = "sigma_w and sigma_b must be finite, at least 0"
        got = f"sigma_w from {sw.min():g}, sigma_b from {sb.min():g}"
        value_error(rule, got, "Give another range.")
    grid_w, grid_b = (v.reshape(-1) for v in np.meshgrid(sw, sb))
    q = _lengths(function, grid_w**2, grid_b**2)
    known = np.clip(q, 1e-16, moment_grid(function).q[-1])
    chi_1 = grid_w**2 * moments(function, known).slope_square
    c, chi_c = np.full_like(q, np.nan), np.full_like(q, np.nan)
    settled = (q > 0) & np.isfinite(q)
    ordered = settled & (chi_1 <= 1)
    c[ordered], chi_c[ordered] = 1.0, chi_1[ordered]
    for i in np.nonzero(settled & (chi_1 > 1))[0]:
        terms = grid_w[i] ** 2 * correlation_series(function, float(q[i])) / q[i]
        terms[0] += grid_b[i] ** 2 / q[i]
        c[i], chi_c[i] = _stable_correlation(terms)
    with np.errstate(divide="ignore", invalid="ignore"):
        xi_c = np.where(chi_c < 1, -1 / np.log(chi_c), np.inf)
    xi_c[~settled] = np.nan
    shape = (len(sb), len(sw))
    q, chi_1, c, xi_c = (column.reshape(shape) for column in (q, chi_1, c, xi_c))
    return PhaseDiagram(sw, sb, q, chi_1, c, xi_c, _edge(function))


def _lengths(function: Any, sw2: np.ndarray, sb2: np.ndarray) -> np.ndarray:
    """Return for each pair the fixed point that a unit input goes to."""
    share = homogeneity(function)
    if share is not None:
        slope = sw2 * share
        with np.errstate(divide="ignore", invalid="ignore"):
            kept = np.where(slope < 1, sb2 / (1 - slope), np.inf)
        return np.where((np.abs(slope - 1) < 1e-9) & (sb2 == 0), sw2, kept)
    grid = moment_grid(function)
    start = np.clip(sw2 + sb2, 1e-3, grid.q[-1])
    first = np.searchsorted(grid.q, start)
    drift = (sw2[:, None] * grid.moments.square + sb2[:, None]) / grid.q - 1
    rises = np.take_along_axis(drift, first[:, None], 1)[:, 0] > 0
    number = np.arange(len(grid.q))
    # The next change of sign, above where the length rises, else below.
    ahead = np.where(rises[:, None], number >= first[:, None], number <= first[:, None])
    other = ahead & ((drift > 0) != rises[:, None])
    up = np.argmax(other, axis=1)
    down = len(number) - 1 - np.argmax(other[:, ::-1], axis=1)
    end = np.where(rises, up, down)
    found = other.any(axis=1)
    low = np.where(rises, end - 1, end)[found]
    q = np.where(rises, np.inf, 0.0)

    def exact(at: np.ndarray) -> np.ndarray:
        return (sw2[found] * moments(function, at).square + sb2[found]) / at - 1

    if found.any():
        q[found] = solve_increasing_sign(exact, grid.q[low], grid.q[low + 1])
    return q


def _stable_correlation(terms: np.ndarray) -> tuple[float, float]:
    """Return the stable fixed point of a convex power series on [0, 1], and its slope."""
    polynomial = np.polynomial.polynomial
    slopes = polynomial.polyder(terms)
    c = 0.0
    for _ in range(60):
        slope = polynomial.polyval(c, slopes)
        step = (polynomial.polyval(c, terms) - c) / (1 - slope) if slope < 1 else 0.0
        c = min(c + max(float(step), 0.0), 1.0)
        if step < 1e-13:
            break
    return c, float(polynomial.polyval(c, slopes))


def _edge(function: Any) -> tuple[np.ndarray, np.ndarray]:
    share = homogeneity(function)
    if share is not None:
        return np.array([share**-0.5]), np.array([0.0])
    q = moment_grid(function).q
    line = critical_line(function, q[q > 1e-8])
    real = np.isfinite(line.sigma_b)
    return np.asarray(line.sigma_w)[real], np.asarray(line.sigma_b)[real]
