"""Moments of distributions, as functions of their options.

An option may be an array: the moments are then those of an entry chosen at random.
"""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

_ROWS = 4096  # entries whose quadratures are held at a time


@functools.cache
def gauss_legendre() -> tuple[np.ndarray, np.ndarray]:
    """Return 128 nodes and weights for (-1, 1), computed when first wanted."""
    return np.polynomial.legendre.leggauss(128)


class Moments(NamedTuple):
    """Moments and bounds of the entries of one array; None where they are not known.

    Of complex entries ``std`` is the root of ``E |w - mean|^2``, ``kurtosis`` is
    ``E |w - mean|^4 / std^4``, and the bounds are those of the real part. ``name`` is the
    distribution's; initializers of one name differ by location and scale only.
    """

    std: float | None = None
    mean: float | complex | None = None
    kurtosis: float | None = None
    low: float = -math.inf
    high: float = math.inf
    name: str = ""


def standard_moments(distribution: str, *, is_complex: bool) -> Moments:
    """Return the moments of a standard distribution: mean 0 and std 1.

    Args:
        distribution: ``"uniform"`` (complex: on a disc), ``"normal"``, or
            ``"truncated_normal"``, cut at two standard deviations (complex: in modulus).
        is_complex: Whether its samples are complex.

    Returns:
        The moments.
    """
    if distribution == "normal":
        return Moments(1.0, 0.0, 2.0 if is_complex else 3.0, name=distribution)
    if distribution == "uniform":
        # On the unit disc E r^2 = 1/2 and E r^4 = 1/3.
        limit = math.sqrt(2 if is_complex else 3)
        return Moments(1.0, 0.0, 4 / 3 if is_complex else 1.8, -limit, limit, distribution)
    if not is_complex:
        cut = truncated_normal_moments(0.0, 1.0, -2.0, 2.0)
        limit = 2 / (cut.std or 1.0)
        return Moments(1.0, 0.0, cut.kurtosis, -limit, limit, distribution)
    # Of a complex normal t = |z|^2 is exponential, here cut at 4.
    tail = math.exp(-4)
    square, fourth = (1 - 5 * tail) / (1 - tail), (2 - 26 * tail) / (1 - tail)
    limit = 2 / math.sqrt(square)
    return Moments(1.0, 0.0, fourth / square**2, -limit, limit, distribution)


def scaled_moments(
    standard: Moments, std: Any, mean: Any = 0.0, *, is_complex: bool = False
) -> Moments:
    """Return the moments of ``mean + std * sample``; a std of 0 makes it one value.

    Args:
        standard: The moments of the sample, of mean 0 and std 1.
        std: Factor on it, or an array of them.
        mean: What is added, or an array, perhaps complex.
        is_complex: Whether the sample is.

    Returns:
        The moments.
    """
    means, stds = np.broadcast_arrays(_known(mean), _known(std))
    middles = np.real(means)
    if means.ndim > 0:
        kurtosis = standard.kurtosis or math.nan
        mixed = mixed_moments(means, stds**2, kurtosis * stds**4, is_complex=is_complex)
        reach = np.zeros_like(stds)
        np.multiply(stds, standard.high, out=reach, where=stds > 0)
        return _bounded(mixed, middles - reach, middles + reach)
    centre, scale = means.item(), float(stds)
    middle = middles.item()
    if scale == 0:
        return Moments(0.0, centre, None, middle, middle, standard.name)
    low, high = middle + scale * standard.low, middle + scale * standard.high
    return Moments(scale, centre, standard.kurtosis, low, high, standard.name)


def _known(value: Any) -> Any:
    array = np.asarray(value)
    return array.astype(complex if array.dtype.kind == "c" else float)


def _bounded(moments: Moments, low: np.ndarray, high: np.ndarray) -> Moments:
    if not low.size:
        return moments
    return moments._replace(low=float(low.min()), high=float(high.max()))


def uniform_moments(low: Any, high: Any) -> Moments:
    """Return the moments of U(low, high); of arrays those of all entries together."""
    lower, upper = np.broadcast_arrays(_known(low), _known(high))
    width, centre = upper - lower, lower / 2 + upper / 2
    if lower.ndim > 0:
        mixed = mixed_moments(centre, width**2 / 12, width**4 / 80)
    else:
        standard = standard_moments("uniform", is_complex=False)
        mixed = scaled_moments(standard, float(width) / math.sqrt(12), float(centre))
    return _bounded(mixed, lower, upper)


def mixed_moments(
    means: np.ndarray,
    variances: Any,
    fourths: Any,
    *,
    weights: Any = None,
    is_complex: bool = False,
) -> Moments:
    """Return the moments of entries of which each has its own symmetric distribution.

    Args:
        means: Mean of each entry.
        variances: Variance of each.
        fourths: Fourth central moment of each.
        weights: How often each occurs; None for once.
        is_complex: Whether they are circular, complex ones.

    Returns:
        The moments of an entry that is chosen at random.
    """
    if not means.size:
        return Moments()
    mean = np.average(means, weights=weights).item()
    off = np.abs(means - mean)
    square = float(np.average(variances + off**2, weights=weights))
    if square == 0:
        return Moments(0.0, mean)
    fourths = fourths + (4 if is_complex else 6) * variances * off**2 + off**4
    fourth = float(np.average(fourths, weights=weights))
    return Moments(math.sqrt(square), mean, fourth / square**2)


def fixed_moments(values: Any, share: float = 1.0) -> Moments:
    """Return the moments of values that are not random, and 0 elsewhere.

    Args:
        values: One value or an array of them.
        share: The share of the entries that hold them; the others are 0.

    Returns:
        The moments. There is no kurtosis, since nothing is drawn.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biufV":  # V: bfloat16 and narrower
        return Moments()
    exact = array.astype(float)
    if exact.size == 0 or share == 0:
        return Moments(0.0, 0.0, None, 0.0, 0.0)
    mean = share * float(exact.mean())
    spread = share * float(np.mean((exact - mean) ** 2)) + (1 - share) * mean**2
    ends = [float(exact.min()), float(exact.max())] + [0.0] * (share < 1)
    return Moments(math.sqrt(spread), mean, None, min(ends), max(ends))


def truncated_normal_moments(mean: Any, std: Any, low: Any, high: Any) -> Moments:
    """Return the moments of a normal distribution that is cut at two bounds.

    By Gauss-Legendre quadrature over the part that has mass, which is exact to rounding and
    cancels nowhere, where differences of densities do for narrow or distant intervals.
    """
    options = np.broadcast_arrays(*map(_known, (mean, std, low, high)))
    centre, scale, lower, upper = (np.ravel(o) for o in options)
    start, end = (lower - centre) / scale, (upper - centre) / scale
    if not start.size or not (start < end).all():
        return Moments()
    means, variances, fourths = _in_pieces(_cut, start, end)
    means = centre + scale * means
    if options[0].ndim > 0:
        mixed = mixed_moments(means, variances * scale**2, fourths * scale**4)
        return _bounded(mixed, lower, upper)
    name = "truncated_normal" if (start[0], end[0]) == (-2, 2) else ""
    kurtosis = float(fourths[0] / variances[0] ** 2)
    spread = float(scale[0] * np.sqrt(variances[0]))
    return Moments(spread, float(means[0]), kurtosis, float(low), float(high), name)


def _in_pieces(of: Callable[..., Sequence[np.ndarray]], *arrays: np.ndarray) -> Any:
    """Return what a function makes of long arrays, of some entries at a time."""
    pieces = [slice(i, i + _ROWS) for i in range(0, len(arrays[0]), _ROWS)]
    return np.concatenate([of(*(a[piece] for a in arrays)) for piece in pieces], axis=1)


def _cut(start: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, variance and fourth central moment of N(0, 1) between two bounds."""
    turned = start + end > 0
    start, end = np.where(turned, -end, start), np.where(turned, -start, end)
    peak = np.minimum(end, 0.0)
    # Beyond, the density is below exp(-80) of its peak.
    even = start == -end
    start = np.maximum(start, -np.sqrt(peak * peak + 160))
    end = np.minimum(end, math.sqrt(160))
    half = (end - start) / 2
    nodes, weights = gauss_legendre()
    x = half[:, None] * (nodes + 1)  # counted from the start
    at = (start - peak)[:, None] + x, (start + peak)[:, None] + x
    density = weights * np.exp(-at[0] * at[1] / 2)
    density /= density.sum(axis=1, keepdims=True)
    first = np.where(even, half, (density * x).sum(axis=1))
    off = x - first[:, None]
    second, fourth = ((density * off**n).sum(axis=1) for n in (2, 4))
    return (start + first) * np.where(turned, -1, 1), second, fourth


def disc_normal_moments(mean: Any, std: Any, low: Any, high: Any) -> Moments:
    """Return the moments of complex normal values in a disc about their mean.

    The square of the modulus has an exponential distribution that is cut there.
    """
    options = np.broadcast_arrays(*map(_known, (mean, std, low, high)))
    centre, scale, lower, upper = map(np.ravel, options)
    middle, radius = np.real(centre), np.real(upper - lower) / 2
    cut = (radius / scale) ** 2
    if not cut.size or not (cut > 0).all():
        return Moments()
    second, fourth = _in_pieces(_cut_disc, cut)
    if options[0].ndim > 0:
        variances, fourths = second * scale**2, fourth * scale**4
        mixed = mixed_moments(centre, variances, fourths, is_complex=True)
        return _bounded(mixed, middle - radius, middle + radius)
    spread, kurtosis = scale * np.sqrt(second), fourth / second**2
    name = "truncated_normal" if cut[0] == 4 else ""
    ends = (middle - radius).item(), (middle + radius).item()
    return Moments(spread.item(), centre.item(), kurtosis.item(), *ends, name)


def _cut_disc(cut: np.ndarray) -> list[np.ndarray]:
    """Return mean and mean square of an exponential distribution that is cut."""
    nodes, weights = gauss_legendre()
    square = np.minimum(cut, 160)[:, None] / 2 * (nodes + 1)
    density = weights * np.exp(-square)
    density /= density.sum(axis=1, keepdims=True)
    return [(density * square**n).sum(axis=1) for n in (1, 2)]
