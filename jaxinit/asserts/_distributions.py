"""The distributions that weights are drawn from, and the limits of their sample moments."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxinit import _checks
from jaxinit._boundary import boundary
from jaxinit._types import DTypeLike
from jaxinit.asserts._limits import (
    Atoms,
    gamma_limits,
    lower_limit,
    quadrature,
    upper_limit,
)

DISTRIBUTIONS = ("normal", "uniform", "truncated_normal", "other")

# Moments of the standard normal distribution cut at 2 (density and mass from erf), and of
# the complex one cut at modulus 2, E|z|^2 = (1 - 5 e^-4) / (1 - e^-4).
_CUT = 2.0
_TRUNCATED_VARIANCE = 1 - 2 * _CUT * math.exp(-2) / (
    math.sqrt(2 * math.pi) * math.erf(math.sqrt(2))
)
_TRUNCATED_COMPLEX_VARIANCE = (1 - 5 * math.exp(-4)) / (1 - math.exp(-4))


@boundary
@dataclass(frozen=True)
class Distribution:
    """What weights are drawn from, as far as an assertion asks.

    Attributes:
        std: Standard deviation before rounding to the dtype; 0 for a constant. Of a
            complex distribution the root of ``E|w - mean|^2``.
        mean: Mean before rounding to the dtype; complex only of a complex distribution.
        distribution: ``"normal"``; ``"uniform"`` (complex: on the disc);
            ``"truncated_normal"``, cut two standard deviations of its parent from the
            mean (complex: in modulus), as in JAX, Keras and Haiku; ``"other"``, of
            which nothing is known but ``kurtosis``.
        kurtosis: ``E|w - mean|^4 / std^4`` of an ``"other"`` distribution, at least 1.
    """

    std: float
    mean: complex = 0.0
    distribution: str = "normal"
    kurtosis: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "std", check_known("std", self.std, 0.0))
        mean = _checks.check_entries("mean", self.mean, (), allow_complex=True)
        if not isinstance(mean, complex):
            mean = check_known("mean", mean, -math.inf)
        object.__setattr__(self, "mean", mean)
        _checks.check_choice("distribution", self.distribution, DISTRIBUTIONS)
        if (self.kurtosis is not None) != (self.distribution == "other"):
            rule = 'kurtosis goes with distribution="other", and only with it'
            got = f"distribution={self.distribution!r}, kurtosis={self.kurtosis!r}"
            _checks.value_error(rule, got, "Give both, or neither.")
        if self.kurtosis is not None:
            number = check_known("kurtosis", self.kurtosis, 1.0)
            object.__setattr__(self, "kurtosis", number)

    def radius(self, *, is_complex: bool) -> float:
        """Return the largest distance from the mean, in standard deviations."""
        if self.distribution == "uniform":
            return math.sqrt(2.0 if is_complex else 3.0)
        if self.distribution == "truncated_normal":
            variance = _TRUNCATED_COMPLEX_VARIANCE if is_complex else _TRUNCATED_VARIANCE
            return _CUT / math.sqrt(variance)
        return math.inf


@boundary
def variance_limits(
    distribution: Distribution,
    n: int,
    *,
    dtype: DTypeLike = np.float32,
    alpha: float = 1e-9,
) -> tuple[float, float]:
    r"""Return the limits of the sample variance about the known mean.

    A sample of the distribution keeps ``low <= mean(abs(x - distribution.mean)**2) <=
    high`` with probability ``1 - alpha`` at least, for every ``n``. The limits are
    Chernoff's: both roots of :math:`n I(s) = \log(2 / \alpha)`, where :math:`I` is the
    rate function of the squares, e.g. :math:`I(s) = (s - 1 - \log s) / 2` for a normal
    distribution. They are wider than the exact ones by 23 % at n = 1, 2 % at n = 1000.

    For a float of 16 bits or fewer the distribution is the one after rounding, summed over
    all values that the dtype has. For ``"other"`` distributions the lower limit holds for
    every distribution of that kurtosis (the worst one has two values); the upper is that
    of the gamma distribution with the same kurtosis, which is exact for squares of normal
    draws and safe where the squares have no heavier tail than that.

    Args:
        distribution: The distribution before rounding.
        n: How many draws.
        dtype: The dtype that the draws are rounded to.
        alpha: Probability, at most, that a right sample falls outside.

    Returns:
        ``(low, high)``.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of its range.

    Example:
        >>> from jaxinit import asserts
        >>> low, high = asserts.variance_limits(asserts.Distribution(std=1.0), n=30)
        >>> round(low, 4), round(high, 4)
        (0.0972, 3.7493)
    """
    n = _checks.check_int("n", n, least=1)
    dtype = check_float("dtype", dtype)
    check_mean(distribution, dtype)
    alpha = check_alpha(alpha)
    return _variance_limits(distribution, n, dtype.name, alpha)


@boundary
def mean_limits(
    distribution: Distribution,
    n: int,
    *,
    dtype: DTypeLike = np.float32,
    alpha: float = 1e-9,
) -> tuple[Any, Any]:
    r"""Return the limits of the sample mean.

    ``low <= mean(x) <= high`` holds with probability ``1 - alpha`` at least. Normal,
    uniform and truncated normal distributions are strictly sub-Gaussian, so the limits are
    :math:`\mu \pm \sigma \sqrt{2 \log(2/\alpha) / n}`; rounded distributions get
    Chernoff's; ``"other"`` distributions Bernstein's, with the scale :math:`\sigma
    \sqrt{\kappa / 12}` that the kurtosis implies. Of a complex distribution, ``abs(mean(x)
    - distribution.mean)`` stays below half of ``abs(high - low)``.

    Args:
        distribution: The distribution before rounding.
        n: How many draws.
        dtype: The dtype that the draws are rounded to.
        alpha: Probability, at most, that a right sample falls outside.

    Returns:
        ``(low, high)``.

    Raises:
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of its range.

    Example:
        >>> from jaxinit import asserts
        >>> low, high = asserts.mean_limits(asserts.Distribution(std=1.0), n=10_000)
        >>> round(high, 4), high == -low
        (0.0654, True)
    """
    n = _checks.check_int("n", n, least=1)
    dtype = check_float("dtype", dtype)
    check_mean(distribution, dtype)
    alpha = check_alpha(alpha)
    return _mean_limits(distribution, n, dtype.name, alpha)


def check_float(name: str, dtype: DTypeLike) -> np.dtype:
    """Return the dtype if it is a float or complex one; float64 needs no x64 here."""
    known = _checks.REAL_DTYPES + _checks.COMPLEX_DTYPES
    result = jnp.dtype(dtype)
    if result.name not in known:
        rule = f"{name} must have one of the dtypes {', '.join(known)}"
        _checks.type_error(rule, result.name, "Weights are floats.")
    return result


def check_mean(distribution: Distribution, dtype: np.dtype) -> None:
    """Refuse a complex mean of real numbers."""
    if isinstance(distribution.mean, complex) and dtype.name not in _checks.COMPLEX_DTYPES:
        rule = "mean may be complex only of a complex dtype"
        got = f"mean={distribution.mean:g} for {dtype.name}"
        _checks.type_error(rule, got, "Give a float.")


def widened(dtype: np.dtype) -> np.dtype:
    """Return the dtype that draws are made in before they are rounded to this one."""
    return np.dtype(np.float32) if dtype.name in _checks.NARROW_FLOATS else dtype


def check_known(name: str, value: float, least: float) -> float:
    """Return the number, which must be known since a bound is computed from it."""
    number = _checks.check_number(name, value, least=least)
    if isinstance(number, float):
        return number
    rule = f"{name} must be known before the program runs"
    advice = "A bound is computed from it; give a Python float."
    _checks.type_error(rule, f"a traced {name}", advice)


def check_alpha(alpha: float) -> float:
    """Return the false-alarm probability as a float between 0 and 1."""
    number = check_known("alpha", alpha, 0.0)
    if not 0 < number < 1:
        rule = "alpha is a probability between 0 and 1"
        _checks.value_error(rule, f"alpha={number:g}", "1e-9 is the default.")
    return number


@functools.lru_cache(maxsize=4096)
def _variance_limits(
    distribution: Distribution, n: int, dtype: str, alpha: float
) -> tuple[float, float]:
    rate = math.log(2 / alpha) / n
    if dtype in _checks.NARROW_FLOATS and distribution.distribution != "other":
        values, weights = rounded(distribution, dtype)
        squares = ((values - distribution.mean) ** 2, weights)
        return max(0.0, lower_limit(squares, rate)), upper_limit(squares, rate)
    is_complex = dtype in _checks.COMPLEX_DTYPES
    if distribution.kurtosis is not None:
        k = distribution.kurtosis
        low = lower_limit((np.array([0.0, k]), np.array([1 - 1 / k, 1 / k])), rate)
        high = gamma_limits(1 / (k - 1), rate)[1] if k > 1 else 1.0
    elif distribution.distribution == "normal":
        low, high = gamma_limits(1.0 if is_complex else 0.5, rate)
    else:
        squares = _squares(distribution.distribution, is_complex)
        low, high = lower_limit(squares, rate), upper_limit(squares, rate)
    return max(0.0, low) * distribution.std**2, high * distribution.std**2


@functools.lru_cache(maxsize=4096)
def _mean_limits(
    distribution: Distribution, n: int, dtype: str, alpha: float
) -> tuple[Any, Any]:
    rate = math.log(2 / alpha) / n
    if dtype in _checks.NARROW_FLOATS and distribution.distribution != "other":
        atoms = rounded(distribution, dtype)
        return lower_limit(atoms, rate), upper_limit(atoms, rate)
    z = math.sqrt(2 * rate)
    if distribution.kurtosis is not None:
        z += math.sqrt(distribution.kurtosis / 12) * rate
    if dtype in _checks.COMPLEX_DTYPES:
        # |mean|^2 of an isotropic sub-Gaussian distribution: one tail, two real dimensions.
        z = math.sqrt(gamma_limits(1.0, math.log(1 / alpha))[1] / n)
    return (
        distribution.mean - z * distribution.std,
        distribution.mean + z * distribution.std,
    )


@functools.lru_cache
def _squares(distribution: str, is_complex: bool) -> Atoms:
    """Return the distribution of |w|^2 at unit variance, as a quadrature."""
    radius, weights = quadrature(
        Distribution(1.0, distribution=distribution).radius(is_complex=is_complex)
    )
    squares = radius**2
    if is_complex:
        weights = weights * radius
    if distribution == "truncated_normal":
        of_parent = _TRUNCATED_COMPLEX_VARIANCE if is_complex else _TRUNCATED_VARIANCE / 2
        weights = weights * np.exp(-squares * of_parent)
    return squares, weights / np.sum(weights)


@functools.lru_cache(maxsize=256)
def rounded(distribution: Distribution, dtype: str) -> Atoms:
    """Return the distribution after one rounding to nearest even: every value of the dtype.

    Args:
        distribution: A real distribution that is not ``"other"``.
        dtype: One of the narrow floats.

    Returns:
        The values in rising order, and their probabilities.
    """
    if distribution.std == 0:
        only = np.asarray([distribution.mean]).astype(jnp.dtype(dtype)).astype(np.float64)
        return only, np.ones(1)
    values = _representable(dtype)
    middles = (values[1:] + values[:-1]) / 2
    edges = np.concatenate([[-np.inf], middles, [np.inf]])
    edges = (edges - np.real(distribution.mean)) / distribution.std
    keep = (edges[1:] > -40) & (edges[:-1] < 40)  # beyond, e^(-800)
    mass = _mass(distribution.distribution, edges[:-1][keep], edges[1:][keep])
    values, mass = values[keep][mass > 0], mass[mass > 0]
    return values, mass / np.sum(mass)


def _mass(distribution: str, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Return the probability of each interval under the distribution of unit variance."""
    radius = Distribution(1.0, distribution=distribution).radius(is_complex=False)
    low, high = np.clip(low, -radius, radius), np.clip(high, -radius, radius)
    if distribution == "uniform":
        return (high - low) / (2 * radius)
    if distribution == "truncated_normal":
        parent = math.sqrt(_TRUNCATED_VARIANCE)
        low, high = low * parent, high * parent
    # Each interval is mirrored to the side where its mass is a difference of small tails.
    mirror = low + high < 0
    low, high = np.where(mirror, -high, low), np.where(mirror, -low, high)
    inner = np.abs(high) < 1
    by_erf = _each(math.erf, high) - _each(math.erf, low)
    by_erfc = _each(math.erfc, low) - _each(math.erfc, high)
    return np.where(inner, by_erf, by_erfc) / 2


def _each(function: Callable[[float], float], x: np.ndarray) -> np.ndarray:
    return np.array([function(value) for value in (x / math.sqrt(2)).tolist()])


@functools.lru_cache
def _representable(dtype: str) -> np.ndarray:
    info = jnp.finfo(dtype)
    words = np.arange(2**info.bits, dtype=np.uint16 if info.bits > 8 else np.uint8)
    with np.errstate(invalid="ignore"):  # NaN patterns
        values = words.view(jnp.dtype(dtype)).astype(np.float64)
    return np.unique(values[np.isfinite(values)])
