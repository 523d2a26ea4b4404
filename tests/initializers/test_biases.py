"""Log-uniform values, class priors, bilinear kernels, identities of whole numbers."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jaxinit
from jaxinit import bilinear, class_prior, log_uniform
from tests import distributions

KEY = jax.random.key(11)


@pytest.mark.parametrize("activation", [None, "softplus", "sigmoid"])
def test_log_uniform(activation: str | None) -> None:
    """The logarithm of what the activation gives is uniform (Kolmogorov)."""
    options = {"low": 1e-3, "high": 0.5, "activation": activation}
    with jax.enable_x64(True):
        w = np.asarray(log_uniform(KEY, (1 << 16,), "float64", **options))
    after = {"softplus": np.logaddexp(0, w), "sigmoid": 1 / (1 + np.exp(-w)), None: w}
    value = np.log(after[activation])
    middle, half = (math.log(1e-3) + math.log(0.5)) / 2, math.log(500) / 2
    z = (value - middle) / half * math.sqrt(3)
    distributions.check_moments(z, distributions.UNIFORM)
    distributions.check_shape(z, distributions.UNIFORM)


def test_log_uniform_reaches_tiny_values() -> None:
    """An inverse softplus of 1e-30 is its logarithm, where log(expm1) would be -inf."""
    w = log_uniform(KEY, (100,), low=1e-30, high=1e-30, activation="softplus")
    np.testing.assert_allclose(w, math.log(1e-30), rtol=1e-6)
    one = log_uniform(KEY, (4,), low=0.25, high=0.25)
    np.testing.assert_array_equal(one, 0.25)


def test_log_uniform_of_traced_bounds() -> None:
    def draw(low: jax.Array) -> jax.Array:
        return log_uniform(KEY, (64,), low=low, high=0.5)

    lows = jnp.array([1e-3, 0.25])
    rows = jax.vmap(draw)(lows)
    for row, low in zip(rows, (1e-3, 0.25), strict=True):
        single = log_uniform(KEY, (64,), low=low, high=0.5)
        np.testing.assert_allclose(row, single, rtol=1e-6)


def test_class_prior() -> None:
    bias = class_prior(None, (80,), prior=0.01)
    np.testing.assert_allclose(jax.nn.sigmoid(bias), 0.01, rtol=1e-5)
    frequencies = np.array([0.6, 0.3, 0.1])
    bias = class_prior(None, (4, 3), prior=frequencies, activation="softmax")
    np.testing.assert_allclose(
        jax.nn.softmax(bias), np.tile(frequencies, (4, 1)), rtol=1e-5
    )


@pytest.mark.parametrize("window", [3, 4, 5, 6])
def test_bilinear_enlarges_a_ramp(window: int) -> None:
    """A plane stays a plane: away from the edges values rise by 1 / factor a step."""
    factor = (window + 1) // 2
    kernel = bilinear(None, (window, window, 3, 3))
    ramp = jnp.broadcast_to(jnp.arange(6.0)[:, None, None], (6, 6, 3))[None]
    large = lax.conv_transpose(
        ramp, kernel, (factor, factor), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    inner = np.asarray(large)[0, 2 * factor : -2 * factor, 2 * factor : -2 * factor]
    np.testing.assert_allclose(np.diff(inner, axis=0), 1 / factor, rtol=1e-5)
    np.testing.assert_allclose(np.diff(inner, axis=1), 0, atol=1e-6)


def test_bilinear_of_groups_and_layouts() -> None:
    grouped = bilinear(None, (4, 4, 1, 8), groups=8)
    one = bilinear(None, (4, 4, 1, 1))
    np.testing.assert_array_equal(grouped, np.broadcast_to(one, (4, 4, 1, 8)))
    plain = np.asarray(bilinear(None, (4, 4, 2, 3)))
    turned = np.asarray(bilinear(None, (3, 2, 4, 4), layout="OIHW"))
    np.testing.assert_array_equal(turned, plain.transpose(3, 2, 0, 1))


@pytest.mark.parametrize("dtype", ["int32", "uint8", "bool"])
def test_identities_of_whole_numbers(dtype: str) -> None:
    eye = jaxinit.identity(None, (3, 4), dtype)
    assert eye.dtype == dtype
    np.testing.assert_array_equal(eye, np.eye(3, 4, dtype=dtype))
    assert int(jaxinit.dirac(None, (3, 2, 2), dtype).sum()) == 2


TEXTS = {
    "log_uniform(KEY, (3,), low=0.0, high=1.0)": (
        "log_uniform: low must be above 0; got low=0. Give the smallest value."
    ),
    "log_uniform(KEY, (3,), low=2.0, high=1.0)": (
        "log_uniform: high must be no less than low; got low=2, high=1. Swap the bounds."
    ),
    "log_uniform(KEY, (3,), low=0.1, high=1.0, activation='sigmoid')": (
        "log_uniform: high must be below 1; got high=1. A sigmoid stays below it."
    ),
    "log_uniform(KEY, (3,), low=0.1, high=1.0, activation='relu')": (
        "log_uniform: activation must be one of softplus, sigmoid; got activation='relu'. "
        "Choose one of these."
    ),
    "class_prior(None, (3,), prior=1.0)": (
        "class_prior: prior must be above 0 and below 1; got prior=1. Give frequencies."
    ),
    "class_prior(None, (3,), prior='a')": (
        "class_prior: prior must be a known probability, or an array of them; got prior='a'. "
        "Give for example 0.01."
    ),
    "bilinear(None, (3, 3))": (
        "bilinear: shape must have 3, 4 or 5 axes; got shape=(3, 3). Give (window..., in, "
        "out)."
    ),
    "bilinear(None, (3, 3, 1, 4), groups=3)": (
        "bilinear: groups must divide the outputs; got groups=3 for 4 outputs. Use the "
        "layer's own."
    ),
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text: str) -> None:
    functions = (log_uniform, class_prior, bilinear)
    names = {f.__name__: f for f in functions} | {"KEY": KEY}
    with pytest.raises((ValueError, TypeError)) as error:
        eval(text, names)
    assert str(error.value) == TEXTS[text]


def test_known_to_plans() -> None:
    dt = functools.partial(log_uniform, low=1e-3, high=0.1, activation="softplus")
    params = {"dt_bias": jnp.zeros(4096), "head": jnp.zeros((4, 4, 8, 8))}
    made = jaxinit.plan(params, [("dt_bias", dt), ("head", bilinear)])
    drawn = jaxinit.initialize(KEY, params, made)
    assert not jaxinit.audit(drawn, made).off
    assert jaxinit.audit({**drawn, "head": drawn["head"] * 1.1}, made)["head"].is_off
