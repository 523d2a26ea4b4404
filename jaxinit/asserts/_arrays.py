"""Assertions on one array: its form, its mean, its variance, its whole distribution."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit import _checks
from jaxinit._boundary import boundary
from jaxinit._types import DTypeLike
from jaxinit.asserts._distributions import (
    Distribution,
    check_alpha,
    check_known,
    mean_limits,
    variance_limits,
)
from jaxinit.asserts._moments import Array, Measured, measure
from jaxinit.asserts._report import Finding, settle


@boundary
def assert_array(
    x: Array,
    shape: tuple[int | None, ...] | None = None,
    dtype: DTypeLike | None = None,
    *,
    rank: int | None = None,
) -> None:
    """Assert the shape, dtype and rank of an array; what is None is not looked at.

    Args:
        x: The array; under ``jax.jit`` no ``chex.chexify`` is needed.
        shape: The exact shape, with None for an axis of any length.
        dtype: The exact dtype.
        rank: The number of axes.

    Raises:
        AssertionError: If one of them differs; the text lists all that do.
        TypeError: If ``x`` is no array.

    Example:
        >>> import jax.numpy as jnp
        >>> from jaxinit import asserts
        >>> asserts.assert_array(jnp.zeros((3, 4)), shape=(3, None), rank=2)
    """
    check_array(x)
    settle("assert_array", form(x, shape, dtype, rank))


@boundary
def assert_mean(
    x: Array,
    mean: complex = 0.0,
    *,
    std: float,
    distribution: str = "normal",
    kurtosis: float | None = None,
    alpha: float = 1e-9,
) -> None:
    """Assert that an array can have been drawn with this mean.

    Args:
        x: One or more independent draws, of any shape and float or complex dtype.
        mean: The mean of the distribution, before rounding to the dtype; it may be complex
            if ``x`` is.
        std: Its standard deviation, as in :class:`Distribution`; at 0 every value is the
            mean.
        distribution: ``"normal"``, ``"uniform"``, ``"truncated_normal"``, ``"other"``.
        kurtosis: Of an ``"other"`` distribution.
        alpha: Probability, at most, that draws which are right are rejected.

    Raises:
        AssertionError: If the sample mean is outside :func:`mean_limits`.
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of its range.

    Example:
        >>> import jax
        >>> from jaxinit import asserts
        >>> x = jax.random.normal(jax.random.key(0), (256, 256))
        >>> asserts.assert_mean(x, 0.0, std=1.0)
    """
    check_array(x)
    expected = Distribution(std, mean, distribution, kurtosis)
    got = measure(x, expected)
    settle("assert_mean", _mean(x, got, expected, check_alpha(alpha)))


@boundary
def assert_variance(
    x: Array,
    variance: float,
    *,
    mean: complex = 0.0,
    distribution: str = "normal",
    kurtosis: float | None = None,
    alpha: float = 1e-9,
) -> None:
    """Assert that an array can have been drawn with this variance.

    What is tested is the mean of ``abs(x - mean)**2``, with the ``mean`` given, not that
    of the sample. Few draws can only show gross faults: to see a standard deviation
    that is wrong by 1 % takes some 400 000, by 10 % some 4000. Arrays of several keys
    may be stacked.

    Args:
        x: One or more independent draws, of any shape and float or complex dtype.
        variance: The variance of the distribution, before rounding to the dtype; at 0
            every value is the mean.
        mean: Its mean.
        distribution: ``"normal"``, ``"uniform"``, ``"truncated_normal"``, ``"other"``.
        kurtosis: Of an ``"other"`` distribution.
        alpha: Probability, at most, that draws which are right are rejected.

    Raises:
        AssertionError: If the sample variance is outside :func:`variance_limits`.
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of its range.

    Example:
        >>> import jax
        >>> from jaxinit import asserts
        >>> x = 0.1 * jax.random.normal(jax.random.key(0), (256, 256))
        >>> asserts.assert_variance(x, 0.01)
    """
    check_array(x)
    std = math.sqrt(check_known("variance", variance, 0.0))
    expected = Distribution(std, mean, distribution, kurtosis)
    got = measure(x, expected)
    settle("assert_variance", _variance(x, got, expected, check_alpha(alpha)))


@boundary
def assert_distribution(
    x: Array, distribution: Distribution, *, alpha: float = 1e-9
) -> None:
    """Assert that an array can have been drawn from this distribution.

    Every value is finite, none is farther from the mean than a uniform or truncated
    distribution reaches, and mean and variance are within their limits at ``alpha / 2``
    each. With ``std=0``, every value is the mean itself.

    Args:
        x: One or more independent draws, of any shape and float or complex dtype.
        distribution: The distribution before rounding to the dtype.
        alpha: Probability, at most, that draws which are right are rejected.

    Raises:
        AssertionError: If one of them does not hold; the text lists all that do not.
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of its range.

    Example:
        >>> import jax
        >>> from jaxinit import asserts
        >>> x = jax.random.uniform(jax.random.key(0), (256, 256), minval=-1.0)
        >>> expected = asserts.Distribution(std=3**-0.5, distribution="uniform")
        >>> asserts.assert_distribution(x, expected)
    """
    check_array(x)
    settle("assert_distribution", of_distribution(x, distribution, check_alpha(alpha)))


def check_array(x: Any) -> None:
    """Refuse what is not an array."""
    if not isinstance(x, (jax.Array, np.ndarray, np.generic)):
        rule = "x must be a jax.Array or a numpy.ndarray"
        _checks.type_error(rule, f"x of type {type(x).__name__}", "Pass an array.")


def form(
    x: Any, shape: tuple[int | None, ...] | None, dtype: DTypeLike | None, rank: int | None
) -> list[Finding]:
    """Return the findings on shape, dtype and rank."""
    findings = []
    if rank is not None:
        rule = f"the rank must be {rank}"
        findings.append(Finding(x.ndim == rank, rule, {"rank": x.ndim}))
    if shape is not None:
        fits = len(shape) == x.ndim and all(
            want in (None, got) for want, got in zip(shape, x.shape, strict=True)
        )
        rule = f"the shape must be {tuple(shape)}"
        findings.append(Finding(fits, rule, {"shape": str(tuple(x.shape))}))
    if dtype is not None:
        want = jnp.dtype(dtype)
        rule = f"the dtype must be {want.name}"
        findings.append(Finding(x.dtype == want, rule, {"dtype": str(x.dtype)}))
    return findings


def of_distribution(x: Array, distribution: Distribution, alpha: float) -> list[Finding]:
    """Return the findings on range, mean and variance; NaN fails each of them."""
    got = measure(x, distribution)
    if distribution.std == 0:
        return _constant(x, got, distribution)
    findings = [
        *_mean(x, got, distribution, alpha / 2),
        *_variance(x, got, distribution, alpha / 2),
    ]
    reach = distribution.radius(is_complex=jnp.issubdtype(x.dtype, np.complexfloating))
    if math.isfinite(reach):
        edge = np.asarray([
            distribution.mean - reach * distribution.std,
            distribution.mean + reach * distribution.std,
        ])
        if x.dtype.name in _checks.NARROW_FLOATS:  # rounding keeps the order
            edge = edge.astype(x.dtype).astype(np.float64)
        most = float(np.max(np.abs(edge - distribution.mean))) / distribution.std
        rule = (
            f"no value may be farther than {most:.6g} standard deviations from the mean"
            f" ({_described(x, distribution)})"
        )
        ok = got.radius <= most * (1 + got.slack)
        findings.append(Finding(ok, rule, {"farthest": got.radius}))
    return findings


def _constant(x: Array, got: Measured, distribution: Distribution) -> list[Finding]:
    ok = (x == np.asarray(distribution.mean).astype(x.dtype)).all()
    rule = f"every value must be {distribution.mean:g} in {x.dtype.name}"
    return [Finding(ok, rule, {"largest_difference": got.radius})]


def _mean(
    x: Array, got: Measured, distribution: Distribution, alpha: float
) -> list[Finding]:
    if distribution.std == 0:
        return _constant(x, got, distribution)
    low, high = mean_limits(distribution, x.size, dtype=x.dtype, alpha=alpha)
    low, high = low - got.slack * distribution.std, high + got.slack * distribution.std
    if jnp.issubdtype(x.dtype, np.complexfloating):
        most = abs(high - low) / 2
        ok = got.shift * distribution.std <= most
        rule = f"the mean must be within {most:.6g} of {distribution.mean:g}"
        values = {"distance": got.shift * distribution.std}
    else:
        mean = np.real(distribution.mean) + got.shift * distribution.std
        low, high = np.real(low), np.real(high)
        ok = (mean >= low) & (mean <= high)
        rule = f"the mean must be in [{low:.6g}, {high:.6g}]"
        values = {"mean": mean}
    described = _described(x, distribution)
    rule += f" (expected {distribution.mean:g}, {described}, n={x.size}, alpha={alpha:g})"
    return [Finding(ok, rule, values)]


def _variance(
    x: Array, got: Measured, distribution: Distribution, alpha: float
) -> list[Finding]:
    if distribution.std == 0:
        return _constant(x, got, distribution)
    low, high = variance_limits(distribution, x.size, dtype=x.dtype, alpha=alpha)
    margin = got.slack * distribution.std
    low = max(0.0, math.sqrt(low) - margin) ** 2
    high = (math.sqrt(high) + margin) ** 2
    variance = got.square * distribution.std**2
    rule = (
        f"the variance must be in [{low:.6g}, {high:.6g}]"
        f" (expected {distribution.std**2:.6g},"
        f" {_described(x, distribution)}, n={x.size}, alpha={alpha:g})"
    )
    ok = (variance >= low) & (variance <= high)
    return [Finding(ok, rule, {"variance": variance})]


def _described(x: Array, distribution: Distribution) -> str:
    name, kurtosis = distribution.distribution, ""
    if distribution.kurtosis is not None:
        kurtosis = f" of kurtosis {distribution.kurtosis:g}"
    return f"{name} distribution{kurtosis} in {x.dtype.name}"
