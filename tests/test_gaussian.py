"""Quadrature against closed forms, for smooth, kinked and jumping functions."""

import math
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit._gaussian import correlated, evaluate, expectation, resolve, resolve_for


def exactly(text):
    return f"^{re.escape(text)}$"


def mean_of(function, variance=1.0, power=1):
    resolved = resolve_for(function, variance)
    return float(expectation(resolved, resolved.values**power, variance))


@pytest.mark.parametrize("variance", [1e-50, 1e-6, 0.3, 1.0, 7.0, 1e4])
def test_moments_of_the_identity(variance):
    def identity(x):
        return x

    np.testing.assert_allclose(mean_of(identity, variance, 2), variance, rtol=1e-13)
    np.testing.assert_allclose(mean_of(identity, variance, 4), 3 * variance**2, rtol=1e-13)


@pytest.mark.parametrize("variance", [1e-12, 0.01, 1.0, 30.0])
def test_smooth_closed_forms(variance):
    np.testing.assert_allclose(
        mean_of(jnp.cos, variance), math.exp(-variance / 2), rtol=1e-12, atol=1e-15
    )
    np.testing.assert_allclose(
        mean_of(jnp.sin, variance, 2), -math.expm1(-2 * variance) / 2, rtol=1e-12
    )


@pytest.mark.parametrize("kink", [-1.7320508, 0.1, 1 / 3, 2.0, 3.3])
def test_kinks_and_jumps_anywhere(kink):
    """E max(z - k, 0) = density(k) - k tail(k), P(z > k) = tail(k)."""
    tail = math.erfc(kink / math.sqrt(2)) / 2
    density = math.exp(-(kink**2) / 2) / math.sqrt(2 * math.pi)
    above = mean_of(lambda z: jnp.maximum(z - kink, 0.0))
    assert abs(above - (density - kink * tail)) < 1e-13
    assert abs(mean_of(lambda z: z > kink) - tail) < 1e-13
    assert abs(mean_of(lambda z: np.maximum(z - kink, 0.0)) - above) < 1e-13


def test_kinks_are_found_where_they_are():
    resolved = resolve(lambda x: jnp.where(x > 0.3, x**2, jnp.abs(x + 0.77)))
    np.testing.assert_allclose(resolved.breaks, [-0.77, 0.0, 0.3], atol=1e-14)


def test_kinks_at_powers_of_two_are_found():
    np.testing.assert_array_equal(resolve(jax.nn.hard_tanh).breaks, [-1.0, 0.0, 1.0])
    squared = resolve(lambda x: jnp.maximum(x - 2.0, 0.0) ** 2)
    np.testing.assert_array_equal(squared.breaks, [0.0, 2.0])
    np.testing.assert_array_equal(resolve(jax.nn.silu).breaks, [0.0])


@pytest.mark.parametrize("bound", [1.0, 0.7])
def test_correlated_box(bound):
    """E f'(u) f'(v) of a clip is the probability that both lie inside."""
    from scipy import stats

    spread: Any = 0.81 * np.array([[1.0, 0.83], [0.83, 1.0]])
    distribution = stats.multivariate_normal([0, 0], spread, abseps=1e-12, releps=1e-12)
    inside = distribution.cdf([bound] * 2, lower_limit=[-bound] * 2)
    got = correlated(resolve(lambda x: jnp.clip(x, -bound, bound)), 0.81, 0.83)[1]
    np.testing.assert_allclose(got, inside, atol=1e-10)


def test_one_node_moved_shows():
    """The check can fail: a rule that is off by 1e-10 is told from a right one."""
    resolved = resolve(jnp.tanh)
    wrong = resolved._replace(weights=resolved.weights * (1 + 1e-10))
    right = expectation(resolved, resolved.values**2, 1.0)
    assert abs(right - 0.3942944903978411744) < 1e-15
    assert abs(expectation(wrong, wrong.values**2, 1.0) - right) > 1e-12


def test_many_variances_at_once():
    resolved = resolve(jnp.tanh)
    q = np.array([[0.1, 1.0], [1e-20, 2.0]])
    both = expectation(resolved, resolved.values**2, q)
    assert both.shape == q.shape
    one = expectation(resolved, resolved.values**2, 2.0)
    np.testing.assert_allclose(both[1, 1], one, rtol=1e-15)


@pytest.mark.parametrize("correlation", [-1, -0.5, 0, 0.3, 0.9, 0.999, 1 - 1e-9, 1])
@pytest.mark.parametrize("variance", [1e-8, 1.0])
def test_correlated_relu_is_the_arc_cosine_kernel(variance, correlation):
    """Cho and Saul, "Kernel methods for deep learning", 2009, orders 1 and 0."""
    angle = math.pi - math.acos(correlation)
    forward = (math.sqrt(1 - correlation**2) + correlation * angle) / (2 * math.pi)
    got = correlated(resolve(jax.nn.relu), variance, correlation)
    np.testing.assert_allclose(got[0] / variance, forward, atol=1e-12)
    np.testing.assert_allclose(got[1], angle / (2 * math.pi), atol=1e-12)


@pytest.mark.parametrize("variance", [0.25, 4.0])
@pytest.mark.parametrize("correlation", [-0.5, 0.0, 0.7, 0.9999])
def test_correlated_sine_and_erf(variance, correlation):
    sine = correlated(resolve_for(jnp.sin, variance), variance, correlation)
    decay = math.exp(-variance)
    covariance = variance * correlation
    np.testing.assert_allclose(sine[0], decay * math.sinh(covariance), atol=1e-13)
    np.testing.assert_allclose(sine[1], decay * math.cosh(covariance), atol=1e-13)
    erf = correlated(resolve_for(jax.lax.erf, variance), variance, correlation)
    angle = math.asin(2 * covariance / (1 + 2 * variance))
    np.testing.assert_allclose(erf[0], 2 / math.pi * angle, atol=1e-12)


def test_under_a_trace_and_in_either_precision():
    @jax.jit
    def traced(x):
        return x * mean_of(lambda z: jnp.tanh(z) ** 2)

    want = mean_of(jnp.tanh, power=2)
    np.testing.assert_allclose(traced(1.0), want, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(traced)(1.0), want, rtol=1e-6)
    with jax.enable_x64(not jax.config.read("jax_enable_x64")):
        assert mean_of(lambda z: jnp.tanh(z) * jnp.tanh(z)) == pytest.approx(
            want, abs=1e-15
        )


def test_a_function_of_lower_precision_is_as_good_as_it_is():
    got = mean_of(lambda z: jnp.tanh(z.astype(jnp.float32)), power=2)
    np.testing.assert_allclose(got, 0.3942944903978411744, rtol=1e-7)


def test_numpy_functions_have_no_slopes():
    values, slopes = evaluate(np.sin, np.array([0.5, 1.0]))
    np.testing.assert_array_equal(values, np.sin([0.5, 1.0]))
    assert slopes is None


def test_refusals():
    text = (
        "the function must be finite wherever its inputs may lie; "
        "got f(-31.92)=nan. Clip it, or treat that case with jnp.where."
    )
    with pytest.raises(ValueError, match=exactly(text)):
        resolve(jnp.sqrt)
    text = (
        "the function must give one number for one number; "
        "got a result of shape (2,). Apply it per element."
    )
    with pytest.raises(TypeError, match=exactly(text)):
        resolve(lambda x: jnp.stack([x, x]))
    text = (
        "the function must be computable now, from plain numbers; "
        "got one that is not. Close over floats instead of traced values, and use "
        "jnp.where for if."
    )
    with pytest.raises(ValueError, match=exactly(text)):
        resolve(lambda x: x if x > 0 else 0.0)
    with pytest.raises(ValueError, match=re.escape(text)):
        jax.jit(lambda a: mean_of(lambda x: a * x))(1.0)
