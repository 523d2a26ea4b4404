"""Right draws pass as often as stated."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxinit
from jaxinit import asserts
from jaxinit.asserts import Distribution, mean_limits, variance_limits
from tests.asserts.oracles import REAL, SMALL, draws


def too_many(count: int, trials: int, alpha: float) -> bool:
    """Whether more alarms came than alpha allows, itself with a false alarm of 1e-9."""
    return bool(stats.binom.sf(count - 1, trials, alpha) < 1e-9)


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("kind", REAL)
def test_false_alarms_are_rare(kind: str, complex_: bool) -> None:
    alpha, trials = 0.01, 20_000
    distribution = Distribution(1.0, distribution=kind)
    dtype = np.complex64 if complex_ else np.float32
    for n in SMALL:
        x = draws(kind, (trials if n < 300 else 2000, n), n, complex_)
        square, mean = np.mean(np.abs(x) ** 2, axis=1), np.mean(x, axis=1)
        low, high = variance_limits(distribution, n, dtype=dtype, alpha=alpha)
        alarms = int(np.sum((square < low) | (square > high)))
        assert not too_many(alarms, len(x), alpha), (n, alarms)
        most = mean_limits(distribution, n, dtype=dtype, alpha=alpha)[1]
        alarms = int(np.sum(np.abs(mean) > most))
        assert not too_many(alarms, len(x), alpha), (n, alarms)


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_false_alarms_are_rare_in_rounded_dtypes(dtype: str) -> None:
    alpha, trials, std = 0.01, 4000, 1 / 32
    for kind in REAL:
        distribution = Distribution(std, distribution=kind)
        for n in (1, 3, 30, 1000):
            x = std * draws(kind, (trials if n < 1000 else 500, n), n)
            x = x.astype(jnp.dtype(dtype))
            x = x.astype(np.float64)
            low, high = variance_limits(distribution, n, dtype=dtype, alpha=alpha)
            square = np.mean(x**2, axis=1)
            alarms = int(np.sum((square < low) | (square > high)))
            assert not too_many(alarms, len(x), alpha), (distribution, n, alarms)
            low, high = mean_limits(distribution, n, dtype=dtype, alpha=alpha)
            mean = np.mean(x, axis=1)
            alarms = int(np.sum((mean < low) | (mean > high)))
            assert not too_many(alarms, len(x), alpha), (distribution, n, alarms)


def test_false_alarms_are_rare_where_only_the_kurtosis_is_known() -> None:
    alpha, trials = 0.01, 10_000
    for n in SMALL[:-1]:
        sparse = draws("normal", (trials, n), 1) * math.sqrt(10)
        sparse *= draws("uniform", (trials, n), 2) < math.sqrt(3) * -0.8
        signs = np.sign(draws("normal", (trials, n), 3))
        samples = {30.0: sparse, 1.0: signs, 1.8: draws("uniform", (trials, n), 4)}
        for kurtosis, x in samples.items():
            distribution = Distribution(1.0, distribution="other", kurtosis=kurtosis)
            low, high = variance_limits(distribution, n, alpha=alpha)
            square = np.mean(x**2, axis=1)
            alarms = int(np.sum((square < low - 1e-12) | (square > high + 1e-12)))
            assert not too_many(alarms, trials, alpha), (kurtosis, n, alarms)
            most = mean_limits(distribution, n, alpha=alpha)[1]
            alarms = int(np.sum(np.abs(np.mean(x, axis=1)) > most))
            assert not too_many(alarms, trials, alpha), (kurtosis, n, alarms)


def test_the_calibration_test_can_fail() -> None:
    # The normal approximation rejects 100 normal draws eight times as often as stated.
    x = draws("normal", (20_000, 10), 10)
    alarms = int(np.sum(np.abs(np.mean(x**2, axis=1) - 1) > 2.576 * math.sqrt(2 / 10)))
    assert too_many(alarms, 20_000, 0.01)


def test_assertions_accept_jaxs_own_float32_draws() -> None:
    keys = jax.random.split(jax.random.key(1), 60)
    failures = 0
    for key in keys:
        x = jax.random.normal(key, (64, 64))
        try:
            asserts.assert_distribution(0.02 * x, Distribution(0.02), alpha=0.05)
        except AssertionError:
            failures += 1
    assert failures < 12  # P(B(60, 0.05) >= 12) < 1e-4, and Chernoff leaves a margin


NARROW = ("bfloat16", "float8_e5m2")


@pytest.mark.parametrize("dtype", ["float32", "complex64", *NARROW])
def test_assertions_accept_the_initializers(dtype: str) -> None:
    key, shape, std = jax.random.key(3), (300, 700), 700**-0.5
    for mode in REAL[:2] if dtype == "complex64" else REAL:
        x = jaxinit.variance_scaling(key, shape, dtype, mode="fan_out", distribution=mode)
        asserts.assert_distribution(x, Distribution(std, distribution=mode))
    if dtype != "complex64":
        x = jaxinit.normal(key, shape, dtype, mean=1.0, std=0.25)
        asserts.assert_distribution(x, Distribution(0.25, mean=1.0))
    x = jaxinit.orthogonal(key, (4, 40, 70), dtype, gain=1.5, layout="BIO")
    asserts.assert_orthogonal(x, 1.5)
    asserts.assert_distribution(
        jaxinit.ones(key, shape, dtype), Distribution(0.0, mean=1.0)
    )
