"""Exact distributions, and checks of samples against them.

Every bound is a standard error times a factor, from a false-alarm probability of 1e-9 a
check: about a thousand checks a run and a thousand runs give one false alarm in a thousand.
"""

import dataclasses
import math
from collections.abc import Callable

import numpy as np
from scipy import special, stats

ALPHA = 1e-9
SIGMAS = float(stats.norm.isf(ALPHA / 2))  # 6.1
TRUNCATED_STD = math.sqrt(1 - 4 * stats.norm.pdf(2) / math.erf(math.sqrt(2)))


@dataclasses.dataclass(frozen=True)
class Distribution:
    """A distribution of mean 0 and variance 1: kurtosis, largest modulus, distribution function."""

    kurtosis: float
    limit: float
    cdf: Callable[[np.ndarray], np.ndarray]


def _truncated_cdf(z: np.ndarray) -> np.ndarray:
    mass = math.erf(math.sqrt(2))
    return 0.5 + (special.ndtr(np.clip(z * TRUNCATED_STD, -2, 2)) - 0.5) / mass


UNIFORM = Distribution(1.8, math.sqrt(3), lambda z: np.clip(0.5 + z / math.sqrt(12), 0, 1))
NORMAL = Distribution(3.0, 6.338, special.ndtr)
# Kurtosis from reference numbers computed to 40 digits.
TRUNCATED = Distribution(2.365536717129649511650, 2 / TRUNCATED_STD, _truncated_cdf)


def check_moments(
    sample: np.ndarray, distribution: Distribution, *, variance: float = 1.0
) -> None:
    """Fail unless mean, variance and third moment are within chance of the distribution's."""
    n = sample.size
    z = sample.ravel() / math.sqrt(variance)
    error = abs(z.mean()) * math.sqrt(n)
    assert error < SIGMAS, f"mean is off by {error:.1f} standard errors"
    error = abs((z**2).mean() - 1) / math.sqrt((distribution.kurtosis - 1) / n)
    assert error < SIGMAS, f"variance is off by {error:.1f} standard errors"
    spread = math.sqrt((z**6).mean() / n)
    error = abs((z**3).mean()) / spread
    assert error < SIGMAS, f"third moment is off by {error:.1f} standard errors"
    spread = math.sqrt((z**4).var() / n)
    error = abs((z**4).mean() - distribution.kurtosis) / spread
    assert error < SIGMAS, f"kurtosis is off by {error:.1f} standard errors"


def check_shape(sample: np.ndarray, distribution: Distribution) -> None:
    """Fail if the distribution function is off anywhere (Kolmogorov), or values too far."""
    z = np.sort(sample.ravel().astype(np.float64))
    n = z.size
    expected = distribution.cdf(z)
    steps = np.arange(n + 1) / n
    distance = max(np.abs(expected - steps[:-1]).max(), np.abs(expected - steps[1:]).max())
    bound = math.sqrt(math.log(2 / ALPHA) / 2 / n)
    assert distance < bound, f"distribution function is off by {distance:.2g}"
    assert np.abs(z).max() <= distribution.limit * (1 + 1e-6), (
        "a value is beyond the distribution's limit"
    )


def check_tails(sample: np.ndarray, distribution: Distribution) -> None:
    """Fail if either tail holds too many or too few values, at several depths."""
    z = sample.ravel().astype(np.float64)
    for depth in (1.0, 1.5, 1.7, 2.0, 2.2, 3.0, 4.0, 4.5):
        chance = float(distribution.cdf(np.array(-depth)))
        for tail in (z, -z):
            count = int((tail < -depth).sum())
            low, high = stats.binom.ppf([ALPHA / 2, 1 - ALPHA / 2], z.size, chance)
            assert low <= count <= high, f"{count} values beyond {depth}, not {low}..{high}"


def check_resolution(sample: np.ndarray) -> None:
    """Fail if a million values come from fewer than some four million."""
    distinct = np.unique(sample).size / sample.size
    assert distinct > 0.9, f"only {distinct:.0%} of the values are distinct"


def check_independence(sample: np.ndarray) -> None:
    """Fail if values at small lags, or along either axis of a matrix, are correlated."""
    z = sample.ravel().astype(np.float64)
    z = z / math.sqrt((z**2).mean())
    last = sample.shape[-1]
    for lag in {1, 2, 3, 7, 8, 16, 32, last, last + 1}:
        if lag < z.size:
            error = abs((z[lag:] * z[:-lag]).sum()) / math.sqrt(z.size - lag)
            assert error < SIGMAS, f"lag {lag} is correlated: {error:.1f} standard errors"


def check_distribution(sample: np.ndarray, distribution: Distribution) -> None:
    """Run every check on a sample that should have mean 0 and variance 1."""
    z = np.asarray(sample, np.float64)
    check_moments(z, distribution)
    check_shape(z, distribution)
    check_tails(z, distribution)
    check_resolution(z)
    check_independence(z)
