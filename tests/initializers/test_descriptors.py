"""Each initializer's descriptor says what it draws."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import jaxinit
from jaxinit import Fans
from jaxinit._distribution import (
    Descriptor,
    described,
    descriptor_of,
    distribution_of,
)
from jaxinit._moments import (
    Moments,
    fixed_moments,
    standard_moments,
    truncated_normal_moments,
    uniform_moments,
)
from jaxinit.initializers.named import BY_NAME
from tests.distributions import SIGMAS
from tests.registry import CASES, Case

each = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
KEYS = jax.random.split(jax.random.key(3), 8)


def check_sample(sample: np.ndarray, moments: Any) -> None:
    """Fail unless mean, mean square and bounds of many arrays are those that are stated."""
    n = sample.size
    error = abs(sample.mean() - moments.mean)
    assert error <= SIGMAS * moments.std / math.sqrt(n) + 1e-6, f"mean off by {error:.3g}"
    square = (np.abs(sample - moments.mean) ** 2).mean()
    if moments.std == 0 or moments.kurtosis is None:
        assert math.isclose(square, moments.std**2, rel_tol=1e-5, abs_tol=1e-12)
    else:
        error = abs(square / moments.std**2 - 1)
        bound = SIGMAS * math.sqrt((moments.kurtosis - 1) / n)
        assert error <= bound, f"variance off by {error:.3g}, bound {bound:.3g}"
        fourth = (np.abs(sample - moments.mean) ** 4).mean() / square**2
        assert abs(fourth / moments.kurtosis - 1) < 0.1, "kurtosis"
    real = np.real(sample)
    assert moments.low - 1e-6 <= real.min() <= real.max() <= moments.high + 1e-6


def stacked(
    init: Callable[..., jax.Array], shape: tuple[int, ...], dtype: Any
) -> np.ndarray:
    drawn = jax.vmap(lambda key: init(key, shape, dtype))(KEYS)
    return np.asarray(drawn).astype(complex if jnp.iscomplexobj(drawn) else float)


@each
def test_descriptor_is_that_of_the_draws(case: Case) -> None:
    found = distribution_of(case.init, case.shape)
    assert found.is_fixed == (not case.random)
    if case.distribution is not None:
        assert found.std == pytest.approx(case.std, rel=1e-12)
        assert found.mean == case.mean
        assert found.kurtosis == pytest.approx(case.distribution.kurtosis, rel=1e-12)
    check_sample(stacked(case.init, case.shape, "float32"), found)


@pytest.mark.parametrize("case", [c for c in CASES if c.complex], ids=lambda c: c.name)
def test_complex(case: Case) -> None:
    found = distribution_of(case.init, case.shape, "complex64")
    check_sample(stacked(case.init, case.shape, "complex64"), found)


def test_a_wrong_descriptor_is_found() -> None:
    sample = stacked(jaxinit.normal, (64, 96), "float32")
    for wrong in (
        Moments(1.03, 0.0, 3.0),
        Moments(1.0, 0.05, 3.0),
        Moments(1.0, 0.0, 1.8),
        Moments(1.0, 0.0, 3.0, -3.0, 3.0),
    ):
        with pytest.raises(AssertionError):
            check_sample(sample, wrong)


@each
def test_gain_option(case: Case) -> None:
    """The gain option scales the standard deviation by that factor."""
    descriptor = descriptor_of(case.init)
    assert descriptor is not None
    if descriptor.gain is None:
        assert descriptor.with_gain(2.0) == {}
        return
    init = BY_NAME[case.name]
    once = distribution_of(functools.partial(init, **descriptor.with_gain(1.0)), case.shape)
    thrice = distribution_of(
        functools.partial(init, **descriptor.with_gain(3.0)), case.shape
    )
    assert thrice.std == pytest.approx(3 * (once.std or 0), rel=1e-12)


@each
def test_layout_is_known(case: Case) -> None:
    descriptor = descriptor_of(case.init)
    assert descriptor is not None
    parameters = inspect.signature(BY_NAME[case.name]).parameters
    assert (descriptor.layout is not None) == ("layout" in parameters)
    if descriptor.layout == "fans":
        bound = functools.partial(case.init, layout=Fans(25, 25))
        scaled = distribution_of(bound, (7,)).std
        assert scaled == pytest.approx(distribution_of(bound, (9, 9)).std)


@pytest.mark.parametrize(
    ("low", "high"),
    [(-2, 2), (-0.1, 3), (1.0, 2.5), (5, 5.5), (-math.inf, 0.3), (-1e30, -3), (-9, 40)],
)
def test_truncated_normal(low: float, high: float) -> None:
    found = truncated_normal_moments(0.25, 2.0, 0.25 + 2 * low, 0.25 + 2 * high)
    cut = stats.truncnorm(low, high)
    assert found.std == pytest.approx(2 * cut.std(), rel=1e-9)
    assert found.mean == pytest.approx(0.25 + 2 * cut.mean(), rel=1e-9)
    assert found.kurtosis == pytest.approx(float(cut.stats("k")) + 3, rel=1e-6)


def test_narrow_truncated_normal_is_uniform() -> None:
    found = truncated_normal_moments(0.0, 1.0, 1.0, 1 + 1e-6)
    assert found.std == pytest.approx(1e-6 / math.sqrt(12), rel=1e-6)
    assert found.kurtosis == pytest.approx(1.8, rel=1e-6)


def test_standard_moments() -> None:
    cut = stats.truncnorm(-2, 2)
    kurtosis = {
        ("normal", False): 3.0,
        ("normal", True): 2.0,
        ("uniform", False): 1.8,
        ("uniform", True): 4 / 3,
        ("truncated_normal", False): float(cut.stats("k")) + 3,
    }
    for (name, is_complex), value in kurtosis.items():
        found = standard_moments(name, is_complex=is_complex)
        assert found.kurtosis == pytest.approx(value, rel=1e-12)
        assert found.name == name


def test_of_arrays() -> None:
    """Entries with different bounds: the moments of an entry chosen at random."""
    low, high = np.array([0.0, -3.0]), np.array([1.0, 5.0])
    rng = np.random.Generator(np.random.Philox(1))
    sample = rng.uniform(low, high, (200_000, 2))
    check_sample(sample, uniform_moments(low, high))
    values = np.array([0.5, 2.0, -1.0])
    spread = fixed_moments(values, 0.25)
    filled = np.concatenate([values, np.zeros(9)])
    assert spread.mean == pytest.approx(filled.mean())
    assert spread.std == pytest.approx(filled.std())
    assert (spread.low, spread.high) == (-1.0, 2.0)


def test_descriptor_goes_through_partials_and_wrappers() -> None:
    @functools.wraps(jaxinit.lecun_normal)
    def boxed(*args: Any, **options: Any) -> Any:
        return jaxinit.lecun_normal(*args, **options)

    inner = functools.partial(boxed, gain=3.0)
    found = distribution_of(functools.partial(inner, gain=2.0), (16, 4))
    assert found.std == pytest.approx(0.5)
    assert found.text == "lecun_normal(gain=2)"
    assert descriptor_of(functools.partial(jaxinit.normal, jax.random.key(0))) is None
    assert distribution_of(jax.nn.initializers.he_normal(), (3,)).std is None


def test_a_new_initializer_is_one_function_with_its_descriptor() -> None:
    def moments(shape: Any, is_complex: bool, *, gain: float) -> Moments:
        return Moments(gain / math.sqrt(shape[0]), 0.0, 1.0)

    @described(Descriptor(moments, gain="gain"))
    def signs(key: Any, shape: Any, dtype: Any = None, *, gain: float = 1.0) -> jax.Array:
        sign = jax.random.rademacher(key, shape).astype(dtype or jnp.float32)
        return sign * gain / math.sqrt(shape[0])

    rules = [("**", functools.partial(signs, gain=2.0))]
    params = {"w": jax.ShapeDtypeStruct((64, 64), jnp.float32)}
    made = jaxinit.plan(params, rules)
    assert made["w"].std == 0.25
    drawn = jaxinit.initialize(jax.random.key(0), params, made)
    assert not jaxinit.audit(drawn, made).off

    def apply(params: Any, x: jax.Array) -> jax.Array:
        return x @ params["w"]

    chosen = jaxinit.auto(apply, params, jnp.ones((2, 64), jnp.float32), scheme=signs)
    assert chosen["w"].std == pytest.approx(1 / 8)
    assert chosen["w"].distribution.text == "signs(gain=1)"


@pytest.mark.parametrize("scheme", ["he_normal", "variance_scaling", "orthogonal"])
def test_auto_by_any_name(scheme: str) -> None:
    def apply(params: Any, x: jax.Array) -> jax.Array:
        return jax.nn.relu(x @ params["a"]) @ params["b"]

    shapes = {"a": (64, 64), "b": (64, 64)}
    params = {k: jax.ShapeDtypeStruct(s, jnp.float32) for k, s in shapes.items()}
    made = jaxinit.auto(apply, params, jnp.ones((2, 64), jnp.float32), scheme=scheme)
    assert made["a"].std == pytest.approx(1 / 8)
    assert made["b"].std == pytest.approx(math.sqrt(2) / 8)


def test_options_are_checked() -> None:
    wrong: Any = jaxinit.normal
    with pytest.raises(ValueError) as error:
        distribution_of(functools.partial(wrong, stdd=1), (3,))
    assert str(error.value) == (
        "an option of normal must be one of mean, std, window, out_sharding; got "
        "stdd=1. "
        "Did you mean 'std'?"
    )
    with pytest.raises(TypeError) as error_2:
        distribution_of(jaxinit.constant, (3,))
    assert str(error_2.value) == (
        'constant: constant needs the option value; got options []. Add "value".'
    )
