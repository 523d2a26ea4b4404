"""The limits against reference numbers."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from jaxinit import asserts
from jaxinit.asserts import Distribution, mean_limits, variance_limits
from jaxinit.asserts._distributions import _squares, rounded
from tests.asserts.oracles import (
    REAL,
    draws,
    load,
)


def test_variance_limits_are_the_reference_ones() -> None:
    rows = load("variance_thresholds.json")
    assert len(rows["table"]) + len(rows["large_n"]) > 200
    for row in rows["table"] + rows["large_n"]:
        distribution = Distribution(1.0, distribution=row["dist"])
        low, high = variance_limits(distribution, row["n"], alpha=row["alpha"])
        assert high == pytest.approx(row["chernoff_hi"], rel=1e-9), row
        if row["n"] >= 3:
            assert low == pytest.approx(row["chernoff_lo"], rel=1e-5), row
        if "exact_lo" in row:  # rigorous: the exact limits lie within
            assert low <= row["exact_lo"] * (1 + 1e-6), row
            assert high >= row["exact_hi"] * (1 - 1e-6), row


def test_limits_are_sharp_to_the_normal_approximation_at_large_n() -> None:
    for distribution, kurtosis in zip(REAL, (3, 1.8, 2.365536717129651), strict=True):
        low, high = variance_limits(Distribution(1.0, distribution=distribution), n=10**12)
        width = math.sqrt(2 * math.log(2e9) * (kurtosis - 1) / 1e12)
        assert high - 1 == pytest.approx(width, rel=1e-4)
        assert 1 - low == pytest.approx(width, rel=1e-4)


def test_rounded_moments_are_the_reference_ones() -> None:
    rows = load("rounding.json")["rounded"]
    assert {row["dtype"] for row in rows} >= {"bfloat16", "float16", "float8_e4m3fn"}
    for row in rows:
        if row["dtype"] == "float16" and row["sigma_def"] != "sqrt(1/512)":
            continue  # slow, and the same but for its subnormals
        values, mass = rounded(
            Distribution(row["sigma"], distribution=row["dist"]), row["dtype"]
        )
        square = mass @ values**2
        ratio = square / row["sigma"] ** 2
        assert ratio == pytest.approx(float(row["var_ratio"]), abs=1e-13), row
        kurtosis = mass @ values**4 / square**2
        assert kurtosis == pytest.approx(float(row["kurtosis"]), abs=1e-11), row


def test_limits_of_eight_bit_floats_are_about_the_rounded_variance() -> None:
    # float8_e5m2 takes 0.29 % from the variance of a normal distribution: 20 times the width.
    low, high = variance_limits(Distribution(1.0), 10**9, dtype="float8_e5m2")
    assert high < 0.998
    assert low < 1 - 2.8907e-03 < high
    low, high = variance_limits(Distribution(1.0), 10**9, dtype="bfloat16")
    assert low < 1 < high


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"])
def test_limits_follow_a_mean_that_rounding_moves(dtype: str) -> None:
    # Around 1 the cells are twice as wide above as below.
    distribution = Distribution(std=0.1, mean=1.0)
    x = (1 + 0.1 * draws("normal", (2**20,), 5)).astype(jnp.dtype(dtype))
    asserts.assert_distribution(x, distribution, alpha=1e-6)
    n = 10**10
    low, high = mean_limits(distribution, n, dtype=dtype)
    values, mass = rounded(distribution, dtype)
    centre = mass @ values
    assert low < centre < high
    spread = math.sqrt(mass @ (values - centre) ** 2)
    assert high - low == pytest.approx(
        2 * spread * math.sqrt(2 * math.log(2e9) / n), rel=0.01
    )
    if dtype.startswith("float8"):
        assert not low < 1.0 < high


@pytest.mark.parametrize("distribution", ["uniform", "truncated_normal"])
def test_the_laws_are_strictly_sub_gaussian(distribution: str) -> None:
    # The limits of the mean rest on E exp(t x) <= exp(t^2 / 2), of each part of a complex
    # number exp(t^2 / 4); for an isotropic distribution E exp(t Re w) = E I_0(t |w|).
    t = np.linspace(0.01, 12, 300)[:, None]
    squares, mass = _squares(distribution, False)
    log_mean = np.log(np.cosh(t * np.sqrt(squares)) @ mass)
    assert np.all(log_mean <= t[:, 0] ** 2 / 2)
    squares, mass = _squares(distribution, True)
    log_mean = np.log(special.i0(t * np.sqrt(squares)) @ mass)
    assert np.all(log_mean <= t[:, 0] ** 2 / 4)
    assert squares @ mass == pytest.approx(1, abs=1e-12)
