"""Where lengths and correlations settle, and how many layers that takes."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_number
from jaxinit._gaussian import remembered
from jaxinit.signal.theory.maps import (
    Moments,
    Nonlinearity,
    correlation_map,
    for_one_call,
    homogeneity,
    moments,
)

_MARGIN = 1e-9  # of chi, within which a point counts as critical


class FixedPoint(NamedTuple):
    """A variance that the length map keeps."""

    q: float
    chi_q: float
    """Slope of the length map there: attracting below 1, repelling above."""

    @property
    def stable(self) -> bool:
        """Whether nearby variances come closer."""
        return self.chi_q < 1 - _MARGIN


class MeanField(NamedTuple):
    """All that the theory of infinitely wide layers says of one initialization."""

    sigma_w: float
    sigma_b: float
    fixed_points: tuple[FixedPoint, ...]
    """All variances that the length map keeps, ascending; empty where every q is."""
    q: float
    """The one that a unit input goes to; 0 if it dies out, inf if it blows up."""
    chi_q: float
    """Slope of the length map at q."""
    chi_1: float
    """Growth of squared gradients a layer, going back: the slope of the c map at 1."""
    c: float
    """The correlation that two inputs go to; NaN where there is no q to keep."""
    chi_c: float
    """Slope of the correlation map at c."""

    @property
    def xi_q(self) -> float:
        """Layers in which a difference of length falls by e."""
        return depth_scale(self.chi_q)

    @property
    def xi_c(self) -> float:
        """Layers in which a difference of correlation falls by e."""
        return depth_scale(self.chi_c)

    @property
    def xi_grad(self) -> float:
        """Layers in which squared gradients fall by e; negative where they grow."""
        return math.inf if self.chi_1 == 1 else -1 / math.log(self.chi_1)

    @property
    def phase(self) -> str:
        """``"ordered"``, ``"critical"`` or ``"chaotic"``, by chi_1."""
        if abs(self.chi_1 - 1) <= 1e-6:
            return "critical"
        return "chaotic" if self.chi_1 > 1 else "ordered"


def depth_scale(chi: float) -> float:
    """Return the layers -1 / ln(chi); inf from 1 on, 0 at 0."""
    if math.isnan(chi):
        return math.nan
    if chi >= 1:
        return math.inf
    return -1 / math.log(chi) if chi > 0 else 0.0


def solve_increasing_sign(
    function: Callable[[np.ndarray], np.ndarray], left: Any, right: Any
) -> np.ndarray:
    """Return roots of ``function`` between paired bounds with a change of sign.

    Illinois false position on whole arrays, halving where that is slow.
    """
    a, b = np.array(left, np.float64), np.array(right, np.float64)
    fa, fb = function(a), function(b)
    for step in range(200):
        width = np.abs(b - a)
        if (width <= 4e-16 * np.maximum(np.abs(a), np.abs(b))).all():
            break
        with np.errstate(invalid="ignore", divide="ignore"):
            x = (a * fb - b * fa) / (fb - fa)
        inside = (x > np.minimum(a, b)) & (x < np.maximum(a, b))
        x = np.where(inside & (step % 3 != 2), x, (a + b) / 2)
        fx = function(x)
        crossed = np.sign(fx) != np.sign(fb)
        a, fa = np.where(crossed, b, a), np.where(crossed, fb, fa / 2)
        b, fb = x, fx
        if (fx == 0).all():
            break
    return np.where(np.abs(fb) <= np.abs(fa), b, a)


class Grid(NamedTuple):
    """The moments of one function over a logarithmic grid of variances."""

    q: np.ndarray
    moments: Moments


@remembered
def moment_grid(function: Callable[[Any], Any]) -> Grid:
    """Return moments for q from 1e-20 to 1e4, or as far as f stays finite."""
    for most in (4, 3, 2, 1, 0):
        q = np.logspace(-20, most, 24 * (20 + most) + 1)
        try:
            return Grid(q, moments(function, q))
        except ValueError:
            if most == 0:
                raise
    raise AssertionError


@boundary
def fixed_points(
    nonlinearity: Nonlinearity, sigma_w: float, sigma_b: float
) -> tuple[FixedPoint, ...]:
    """Return every fixed point of the length map, ascending.

    Args:
        nonlinearity: A name or a differentiable function of one number.
        sigma_w: Standard deviation of the weights times the root of the fan-in.
        sigma_b: Standard deviation of the biases; at least 0.

    Returns:
        The fixed points up to q = 1e4. Empty where there is none, and also where the
        map is the identity (as for ReLU at ``sigma_w**2 = 2``), so that every q is one.

    Raises:
        ValueError: A standard deviation is negative or not finite.
    """
    function = for_one_call(nonlinearity)
    sw2, sb2 = _squares(sigma_w, sigma_b)
    share = homogeneity(function)
    if share is not None:
        slope = sw2 * share
        if sb2 == 0:
            identity = abs(slope - 1) <= _MARGIN
            return () if identity else (FixedPoint(0.0, slope),)
        return (FixedPoint(sb2 / (1 - slope), slope),) if slope < 1 else ()

    def drift(q: np.ndarray) -> np.ndarray:
        return (sw2 * moments(function, q).square + sb2) / q - 1

    grid = moment_grid(function)
    on_grid = (sw2 * grid.moments.square + sb2) / grid.q - 1
    roots = list(_touching(drift, grid.q, on_grid))
    change = np.nonzero((on_grid[:-1] > 0) != (on_grid[1:] > 0))[0]
    if change.size:
        roots += list(solve_increasing_sign(drift, grid.q[change], grid.q[change + 1]))
    found = [FixedPoint(float(q), float(sw2 * moments(function, q).growth)) for q in roots]
    if sb2 == 0 and moments(function, 0.0).square == 0:
        found.append(FixedPoint(0.0, float(sw2 * moments(function, 0.0).growth)))
    return tuple(sorted(found))


def _touching(
    drift: Callable[[np.ndarray], np.ndarray], q: np.ndarray, on_grid: np.ndarray
) -> list[float]:
    """Return roots between grid points of one sign: a pair, or one touching zero."""
    found: list[float] = []
    middle = np.abs(on_grid[1:-1])
    near = (middle <= np.abs(on_grid[:-2])) & (middle <= np.abs(on_grid[2:]))
    above = on_grid > 0
    same = (above[:-2] == above[1:-1]) & (above[2:] == above[1:-1])
    for i in np.nonzero(near & same & (middle < 0.05))[0]:
        sign = 1 if above[i + 1] else -1
        low, high = math.log(q[i]), math.log(q[i + 2])
        for _ in range(60):  # shrink by thirds around the least |drift|
            thirds = np.array([(2 * low + high) / 3, (low + 2 * high) / 3])
            one, two = sign * drift(np.exp(thirds))
            low, high = (low, thirds[1]) if one < two else (thirds[0], high)
            if min(one, two) < 0:
                break
        best = math.exp((low + high) / 2)
        least = float(sign * drift(np.array([best]))[0])
        if least < 0:
            ends = np.array([q[i], q[i + 2]])
            found += list(solve_increasing_sign(drift, ends, np.array([best, best])))
        elif least < 1e-12:
            found.append(best)
    return found


def _squares(sigma_w: float, sigma_b: float) -> tuple[float, float]:
    sigma_w = float(check_number("sigma_w", sigma_w, least=0.0, most=1e9))
    sigma_b = float(check_number("sigma_b", sigma_b, least=0.0, most=1e9))
    return sigma_w**2, sigma_b**2


def attractor(
    nonlinearity: Nonlinearity, sigma_w: float, sigma_b: float, start: float = 1.0
) -> float:
    """Return the q that inputs of mean square ``start`` go to; 0 or inf for none.

    Where every q is kept, it is the q of the first layer.
    """
    function = for_one_call(nonlinearity)
    q = sigma_w**2 * start + sigma_b**2
    points = fixed_points(function, sigma_w, sigma_b)
    if not points and homogeneity(function) is not None and sigma_b == 0:
        return q
    most = float(moment_grid(function).q[-1])
    for _ in range(40):
        after = sigma_w**2 * float(moments(function, q).square) + sigma_b**2
        if after > most:
            return math.inf
        if abs(after - q) <= 1e-15 * q:
            break
        q, rises = after, after > q
    else:
        rises = sigma_w**2 * float(moments(function, q).square) + sigma_b**2 > q
        beyond = [p.q for p in points if (p.q > q) == rises]
        if not beyond:
            return math.inf if rises else 0.0
        near = min(points, key=lambda p: abs(p.q - q))
        oscillates = near.chi_q < 0
        return near.q if oscillates else (min(beyond) if rises else max(beyond))
    return min((p.q for p in points), key=lambda p: abs(p - q), default=q)


@boundary
def mean_field(
    nonlinearity: Nonlinearity, sigma_w: float, sigma_b: float = 0.0
) -> MeanField:
    """Return what mean-field theory says of one activation and one initialization.

    Args:
        nonlinearity: A name (``"tanh"``) or a differentiable function of one number.
        sigma_w: Standard deviation of the weights times the root of the fan-in; a
            gain, for initializers that divide by the root of the fan-in.
        sigma_b: Standard deviation of the biases.

    Returns:
        Fixed points, susceptibilities and depth scales. For scale-invariant functions
        (the ReLU family) without biases on the critical point every q is kept; then q
        is that of the first layer on a unit input and ``fixed_points`` is empty.

    Raises:
        ValueError: A standard deviation is negative or not finite.
        TypeError: The activation cannot be differentiated.

    References:
        Poole et al. 2016, https://arxiv.org/abs/1606.05340; Schoenholz et al. 2017,
        https://arxiv.org/abs/1611.01232.

    Example:
        >>> from jaxinit.signal import mean_field
        >>> theory = mean_field("tanh", sigma_w=5 / 3)
        >>> theory.phase, round(theory.chi_1, 4)
        ('chaotic', 1.2098)
    """
    function = for_one_call(nonlinearity)
    _squares(sigma_w, sigma_b)
    points = fixed_points(function, sigma_w, sigma_b)
    q = attractor(function, sigma_w, sigma_b)
    if math.isinf(q):
        at = moments(function, moment_grid(function).q[-1])
    else:
        at = moments(function, q)
    chi_q, chi_1 = (float(sigma_w**2 * m) for m in (at.growth, at.slope_square))
    if q == 0 or math.isinf(q):
        return MeanField(sigma_w, sigma_b, points, q, chi_q, chi_1, math.nan, math.nan)
    c, chi_c = _settled_correlation(function, q, sigma_w, sigma_b, chi_1)
    return MeanField(sigma_w, sigma_b, points, q, chi_q, chi_1, c, chi_c)


def _settled_correlation(
    function: Callable[[Any], Any], q: float, sigma_w: float, sigma_b: float, chi_1: float
) -> tuple[float, float]:
    """Return c and the slope there: on [0, 1] the map is convex, so Newton is safe."""
    if chi_1 <= 1 + 1e-12:
        return 1.0, chi_1
    c = 0.0
    for _ in range(50):
        value, slope = correlation_map(function, c, q, sigma_w, sigma_b)
        step = (value - c) / (1 - slope) if slope < 1 else 0.0
        c = min(max(c + step, 0.0), 1.0)
        if abs(step) < 1e-13:
            break
    return c, correlation_map(function, c, q, sigma_w, sigma_b)[1]
