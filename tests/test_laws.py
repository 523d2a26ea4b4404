"""The checks of laws pass what is right and reject planted faults."""

import numpy as np
import pytest

from tests import laws

N = 1 << 20
RNG = np.random.Generator(np.random.Philox(0))
NORMAL = RNG.standard_normal((1024, 1024))
UNIFORM = RNG.uniform(-np.sqrt(3), np.sqrt(3), (1024, 1024))


def test_pass_what_is_right() -> None:
    laws.check_law(NORMAL, laws.NORMAL)
    laws.check_law(UNIFORM, laws.UNIFORM)
    z = RNG.standard_normal(3 * N)
    z = z[np.abs(z) < 2][:N].reshape(1024, 1024)
    laws.check_law(z / laws.TRUNCATED_STD, laws.TRUNCATED)


def test_variance_half_a_percent_off() -> None:
    with pytest.raises(AssertionError, match="variance is off"):
        laws.check_moments(NORMAL * 1.005, laws.NORMAL)


def test_mean_shifted() -> None:
    with pytest.raises(AssertionError, match="mean is off"):
        laws.check_moments(NORMAL + 0.01, laws.NORMAL)


def test_skewed() -> None:
    z = NORMAL + 0.02 * (NORMAL**2 - 1)
    with pytest.raises(AssertionError, match="third moment"):
        laws.check_moments(z / z.std(), laws.NORMAL)


def test_wrong_kurtosis() -> None:
    with pytest.raises(AssertionError, match="kurtosis is off"):
        laws.check_moments(UNIFORM, laws.NORMAL)


def test_eight_bits() -> None:
    coarse = (np.floor(UNIFORM / np.sqrt(12) * 256) + 0.5) / 256 * np.sqrt(12)
    with pytest.raises(AssertionError, match="only 0% of the values are distinct"):
        laws.check_resolution(coarse)


def test_wrong_shape() -> None:
    z = np.sign(NORMAL) * np.abs(NORMAL) ** 1.02
    with pytest.raises(AssertionError, match="distribution function"):
        laws.check_shape(z, laws.NORMAL)


def test_beyond_the_limit() -> None:
    z = UNIFORM.copy()
    z[3, 4] = 1.74
    with pytest.raises(AssertionError, match="beyond the law's limit"):
        laws.check_shape(z, laws.UNIFORM)


def test_missing_tail() -> None:
    z = np.where(NORMAL > 4, NORMAL / 2, NORMAL)
    with pytest.raises(AssertionError, match="values beyond 4"):
        laws.check_tails(z, laws.NORMAL)


def test_correlated_rows() -> None:
    z = NORMAL.copy()
    z[1] = 0.25 * z[0] + np.sqrt(1 - 0.0625) * z[1]
    laws.check_independence(NORMAL)
    z[2::2] = z[1:-1:2]
    with pytest.raises(AssertionError, match="lag 1024 is correlated"):
        laws.check_independence(z)
