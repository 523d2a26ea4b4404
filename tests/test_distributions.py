"""The checks of distributions pass what is right and reject planted faults."""

import numpy as np
import pytest

from tests import distributions

N = 1 << 20
RNG = np.random.Generator(np.random.Philox(0))
NORMAL = RNG.standard_normal((1024, 1024))
UNIFORM = RNG.uniform(-np.sqrt(3), np.sqrt(3), (1024, 1024))


def test_pass_what_is_right() -> None:
    distributions.check_distribution(NORMAL, distributions.NORMAL)
    distributions.check_distribution(UNIFORM, distributions.UNIFORM)
    z = RNG.standard_normal(3 * N)
    z = z[np.abs(z) < 2][:N].reshape(1024, 1024)
    distributions.check_distribution(
        z / distributions.TRUNCATED_STD, distributions.TRUNCATED
    )


def test_variance_half_a_percent_off() -> None:
    with pytest.raises(AssertionError, match="variance is off"):
        distributions.check_moments(NORMAL * 1.005, distributions.NORMAL)


def test_mean_shifted() -> None:
    with pytest.raises(AssertionError, match="mean is off"):
        distributions.check_moments(NORMAL + 0.01, distributions.NORMAL)


def test_skewed() -> None:
    z = NORMAL + 0.02 * (NORMAL**2 - 1)
    with pytest.raises(AssertionError, match="third moment"):
        distributions.check_moments(z / z.std(), distributions.NORMAL)


def test_wrong_kurtosis() -> None:
    with pytest.raises(AssertionError, match="kurtosis is off"):
        distributions.check_moments(UNIFORM, distributions.NORMAL)


def test_eight_bits() -> None:
    coarse = (np.floor(UNIFORM / np.sqrt(12) * 256) + 0.5) / 256 * np.sqrt(12)
    with pytest.raises(AssertionError, match="only 0% of the values are distinct"):
        distributions.check_resolution(coarse)


def test_wrong_shape() -> None:
    z = np.sign(NORMAL) * np.abs(NORMAL) ** 1.02
    with pytest.raises(AssertionError, match="distribution function"):
        distributions.check_shape(z, distributions.NORMAL)


def test_beyond_the_limit() -> None:
    z = UNIFORM.copy()
    z[3, 4] = 1.74
    with pytest.raises(AssertionError, match="beyond the distribution's limit"):
        distributions.check_shape(z, distributions.UNIFORM)


def test_missing_tail() -> None:
    z = np.where(NORMAL > 4, NORMAL / 2, NORMAL)
    with pytest.raises(AssertionError, match="values beyond 4"):
        distributions.check_tails(z, distributions.NORMAL)


def test_correlated_rows() -> None:
    z = NORMAL.copy()
    z[1] = 0.25 * z[0] + np.sqrt(1 - 0.0625) * z[1]
    distributions.check_independence(NORMAL)
    z[2::2] = z[1:-1:2]
    with pytest.raises(AssertionError, match="lag 1024 is correlated"):
        distributions.check_independence(z)
