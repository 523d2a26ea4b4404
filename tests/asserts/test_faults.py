"""Planted faults are refused."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit import asserts
from jaxinit.asserts import Distribution, mean_limits, variance_limits
from tests.asserts.oracles import draws, orthonormal, rejected


def test_a_standard_deviation_off_by_half_a_percent() -> None:
    x = draws("normal", (2**21,), 11).astype(np.float32)
    asserts.assert_variance(x, 1.0)
    for factor in (0.995, 1.005):
        assert "variance" in rejected(asserts.assert_variance, factor * x, 1.0)
        wrong = (factor * x).astype(jnp.bfloat16)
        assert "variance" in rejected(asserts.assert_variance, wrong, 1.0)


def test_a_shifted_mean() -> None:
    x = draws("uniform", (2**20,), 12).astype(np.float32)
    asserts.assert_mean(x, 0.0, std=1.0, distribution="uniform")
    for shift in (-0.01, 0.01):
        check = partial(asserts.assert_mean, std=1.0, distribution="uniform")
        assert "mean" in rejected(check, x + np.float32(shift), 0.0)


def test_swapped_axes() -> None:
    x = draws("normal", (256, 512), 13).astype(np.float32)
    asserts.assert_array(x, (256, 512))
    assert "shape" in rejected(asserts.assert_array, x.T, (256, 512))
    right = x / math.sqrt(256)  # fan_in is the first axis
    asserts.assert_variance(right, 1 / 256)
    assert "variance" in rejected(asserts.assert_variance, x / math.sqrt(512), 1 / 256)


def test_draws_of_eight_bits() -> None:
    # jax.nn.initializers draws bfloat16 from 8 random bits.
    wrong = jax.nn.initializers.normal(1.0)(jax.random.key(0), (2048, 2048), jnp.bfloat16)
    right = jax.random.normal(jax.random.key(0), (2048, 2048)).astype(jnp.bfloat16)
    asserts.assert_distribution(right, Distribution(1.0))
    assert "mean" in rejected(asserts.assert_mean, wrong, 0.0, std=1.0)
    assert "variance" in rejected(asserts.assert_variance, wrong, 1.0)


def test_a_law_of_the_same_variance() -> None:
    normal = draws("normal", (1000,), 14)
    cut = draws("truncated_normal", (1000,), 14)
    flat = draws("uniform", (1000,), 14)
    for x, distribution in (
        (normal, "normal"),
        (cut, "truncated_normal"),
        (flat, "uniform"),
    ):
        asserts.assert_distribution(x, Distribution(1.0, distribution=distribution))
    assert "farther" in rejected(
        asserts.assert_distribution, normal, Distribution(1.0, 0.0, "truncated_normal")
    )
    assert "farther" in rejected(
        asserts.assert_distribution, cut, Distribution(1.0, 0.0, "uniform")
    )


def test_the_complex_constant_of_jax() -> None:
    initializer = jax.nn.initializers.variance_scaling(
        1.0, "fan_in", "truncated_normal", dtype=jnp.complex64
    )
    x = initializer(jax.random.key(0), (512, 2048))
    distribution = Distribution(512**-0.5, distribution="truncated_normal")
    assert "variance" in rejected(asserts.assert_distribution, x, distribution)
    right = 512**-0.5 * draws("truncated_normal", (512, 2048), 1, complex_=True)
    asserts.assert_distribution(right.astype(np.complex64), distribution)
    # About a complex mean.
    moved, mean = (right + 0.5j).astype(np.complex64), 0.5j
    asserts.assert_distribution(moved, Distribution(512**-0.5, mean, "truncated_normal"))
    assert "mean" in rejected(asserts.assert_mean, moved, -mean, std=512**-0.5)
    with pytest.raises(TypeError, match="mean may be complex only of a complex dtype; got"):
        asserts.assert_mean(moved.real, mean, std=1.0)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite(bad: float) -> None:
    x = draws("normal", (100,), 15)
    x[17] = bad
    for check in (
        partial(asserts.assert_mean, std=1.0),
        partial(asserts.assert_variance, variance=1.0),
        partial(asserts.assert_distribution, distribution=Distribution(1.0)),
        partial(asserts.assert_distribution, distribution=Distribution(0.0)),
    ):
        rejected(check, x)


def test_a_constant() -> None:
    for dtype in (np.float32, jnp.bfloat16, np.float64):
        x = np.full((5,), 0.1).astype(dtype)
        asserts.assert_distribution(x, Distribution(0.0, mean=0.1))
        x[3] = np.nextafter(np.float32(0.1), np.float32(1))
        if dtype == jnp.bfloat16:
            x[3] = 0.1006
        rejected(asserts.assert_distribution, x, Distribution(0.0, mean=0.1))
        rejected(asserts.assert_mean, x, 0.1, std=0.0)
        rejected(asserts.assert_variance, x, 0.0, mean=0.1)
    assert mean_limits(Distribution(0.0, 0.1), 5, dtype="bfloat16") == (
        0.10009765625,
        0.10009765625,
    )
    assert variance_limits(Distribution(0.0, 0.1), 5) == (0.0, 0.0)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float8_e5m2"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (64, 16), (16, 64), (2, 3, 8, 8)])
def test_orthogonality(shape: tuple[int, ...], dtype: str) -> None:
    q = orthonormal(*shape[-2:], batch=shape[:-2])
    gain = 1.5
    asserts.assert_orthogonal((gain * q).astype(jnp.dtype(dtype)), gain)
    off = 1.2 if dtype == "float8_e5m2" else 1.01  # within rounding below that
    text = rejected(
        asserts.assert_orthogonal, (off * gain * q).astype(jnp.dtype(dtype)), gain
    )
    assert "Gram" in text


def test_what_is_not_orthogonal() -> None:
    q = orthonormal(32, 32)
    fault = q.copy()
    fault[:, 0] = fault[:, 1]
    rejected(asserts.assert_orthogonal, fault)
    rejected(asserts.assert_orthogonal, draws("normal", (32, 32), 3) / math.sqrt(32))
    rejected(asserts.assert_orthogonal, q * (1 + 1e-5))  # float64: 1e-5 shows
    batch = np.stack([q, q, fault])
    rejected(asserts.assert_orthogonal, batch)
    tall = orthonormal(32, 8)
    asserts.assert_orthogonal(tall, vectors="columns")
    rejected(asserts.assert_orthogonal, tall, vectors="rows")
    turn = np.exp(1j * np.linspace(0, 3, 32)).astype(np.complex64)
    asserts.assert_orthogonal(q.astype(np.complex64) * turn)
    rejected(asserts.assert_orthogonal, q.astype(np.complex64) * turn * 1.001)


@pytest.mark.parametrize("size", [1, 2, 7, 64, 200])
def test_tolerance_leaves_room_for_jaxs_factorization(size: int) -> None:
    x = jax.random.normal(jax.random.key(size), (size, size), np.float32)
    asserts.assert_orthogonal(jnp.linalg.qr(x)[0])
