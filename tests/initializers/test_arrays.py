"""Options that are arrays: every entry has a distribution of its own."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jaxinit
from jaxinit._distribution import distribution_of
from jaxinit._moments import (
    disc_normal_moments,
    scaled_moments,
    standard_moments,
    truncated_normal_moments,
    uniform_moments,
)
from tests.distributions import ALPHA, SIGMAS

KEY = jax.random.key(5)
SHAPE = (4, 48)
# Floats that float32 holds exactly, one a row; the last row is one value in some of them.
ROWS = np.array([[0.125], [0.5], [0.75], [2.0]])
CUT = {
    "mean": ROWS,
    "std": 2 * ROWS,
    "low": ROWS - 1,
    "high": [[3.0], [2.5], [1.0], [10.0]],
}
CASES: dict[str, dict[str, Any]] = {
    "uniform": {"low": -ROWS, "high": [[0.125], [1.0], [0.0], [2.5]]},
    "normal": {"mean": ROWS, "std": [[1.0], [0.0], [3.0], [0.5]]},
    "truncated_normal": CUT,
    "log_uniform": {"low": ROWS, "high": 2.0, "activation": "softplus"},
    "kaiming_uniform": {"gain": ROWS},
    "kaiming_normal": {"a": ROWS},
    "variance_scaling": {"scale": ROWS, "distribution": "normal"},
    "sparse": {"std": ROWS, "sparsity": 0.25},
}
each = pytest.mark.parametrize("name", CASES)


def arrays(options: dict[str, Any]) -> dict[str, Any]:
    return {n: v for n, v in options.items() if isinstance(v, (list, np.ndarray))}


def row(options: dict[str, Any], i: int) -> dict[str, Any]:
    return options | {n: float(np.asarray(v)[i, 0]) for n, v in arrays(options).items()}


def assert_same(found: Any, wanted: Any) -> None:
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))


@pytest.mark.parametrize("name", [name for name in CASES if name != "sparse"])
def test_rows_are_those_of_single_numbers(name: str) -> None:
    """Known, traced and under vmap; in the dtypes that are rounded to from the same draw."""
    init, options = getattr(jaxinit, name), CASES[name]
    rows = [init(KEY, SHAPE, "float32", **row(options, i))[i] for i in range(4)]
    wanted = jnp.stack(rows)
    assert_same(init(KEY, SHAPE, "float32", **options), wanted)
    for dtype in ("bfloat16", "float8_e4m3fn"):
        assert_same(init(KEY, SHAPE, dtype, **options), np.asarray(wanted).astype(dtype))
    given = {n: jnp.asarray(v, jnp.float32) for n, v in arrays(options).items()}
    rest = {n: v for n, v in options.items() if n not in given}

    def draw(given: dict[str, Any]) -> jax.Array:
        return init(KEY, SHAPE, "float32", **given, **rest)

    pair = jax.tree.map(lambda v: jnp.stack([v, v[::-1]]), given)
    traced, batch = jax.jit(lambda g, p: (draw(g), jax.vmap(draw)(p)))(given, pair)
    assert_same(traced, wanted)
    assert_same(batch[0], wanted)
    assert jax.eval_shape(draw, given) == jax.ShapeDtypeStruct(SHAPE, jnp.float32)


def test_in_64_bits() -> None:
    with jax.enable_x64(True):
        for name in ("truncated_normal", "log_uniform"):
            init, options = getattr(jaxinit, name), CASES[name]
            found = init(KEY, SHAPE, "float64", **options)
            rows = [init(KEY, SHAPE, "float64", **row(options, i))[i] for i in range(4)]
            assert_same(found, jnp.stack(rows))


@pytest.mark.parametrize("name", ["truncated_normal", "log_uniform"])
def test_window_and_placement(name: str) -> None:
    """A window takes its block of the options; devices exchange nothing."""
    init = functools.partial(getattr(jaxinit, name), **CASES[name])
    columns = np.linspace(3.0, 4.0, SHAPE[1])
    whole = init(KEY, SHAPE, "float32", high=columns)
    block = init(KEY, SHAPE, "float32", high=columns, window=((1, 7), (2, 20)))
    assert_same(block, whole[1:3, 7:27])
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(AxisType.Auto,) * 2)
    sharding = NamedSharding(mesh, PartitionSpec("x", "y"))
    assert_same(init(KEY, SHAPE, "float32", high=columns, out_sharding=sharding), whole)


def test_no_temporaries() -> None:
    def draw(low: jax.Array, high: jax.Array) -> jax.Array:
        return jaxinit.uniform(KEY, (1024, 4096), "bfloat16", low=low, high=high)

    column = jnp.zeros((1024, 1))
    analysis = jax.jit(draw).lower(column, column + 1).compile().memory_analysis()
    assert analysis is not None
    assert analysis.temp_size_in_bytes <= 4 * column.nbytes


def test_gradient() -> None:
    def total(mean: jax.Array, std: jax.Array) -> jax.Array:
        return jaxinit.normal(KEY, SHAPE, "float32", mean=mean, std=std).sum()

    by_mean, by_std = jax.grad(total, (0, 1))(jnp.ones((4, 1)), jnp.ones(48))
    sample = jaxinit.normal(KEY, SHAPE, "float32")
    np.testing.assert_allclose(by_mean, 48 * np.ones((4, 1)))
    np.testing.assert_allclose(by_std, sample.sum(0), rtol=1e-4, atol=1e-5)


@each
def test_descriptor(name: str) -> None:
    """The mean square over all entries, as plans and audits hold weights to it."""
    init = functools.partial(getattr(jaxinit, name), **CASES[name])
    found = distribution_of(init, SHAPE)
    assert found.std is not None
    assert found.kurtosis is not None
    assert isinstance(found.mean, float)
    keys = jax.random.split(KEY, 200)
    sample = np.asarray(jax.vmap(lambda key: init(key, SHAPE, "float32"))(keys), np.float64)
    count = sample.size
    assert abs(sample.mean() - found.mean) < SIGMAS * found.std / math.sqrt(count)
    square = ((sample - found.mean) ** 2).mean() / found.std**2
    assert abs(square - 1) < SIGMAS * math.sqrt((found.kurtosis - 1) / count)
    assert found.low - 1e-6 <= sample.min() <= sample.max() <= found.high + 1e-6
    params = {"w": jax.ShapeDtypeStruct((64, 64), jnp.float32)}
    wide = functools.partial(getattr(jaxinit, name), **row(CASES[name], 2))
    options = {
        n: np.full((64, 1), v) for n, v in wide.keywords.items() if n in ("std", "a")
    }
    plan = jaxinit.plan(params, [("w", functools.partial(wide, **options))])
    assert not jaxinit.audit(jaxinit.initialize(KEY, params, plan), plan).off


def test_moments_of_arrays_are_mixtures() -> None:
    """Of equal entries those of one; of two entries the mean of both."""
    normal = standard_moments("normal", is_complex=True)
    for of, options in (
        (uniform_moments, (-1.0, 2.0)),
        (truncated_normal_moments, (1.0, 2.0, -1.0, 3.0)),
        (disc_normal_moments, (1j, 2.0, -1 + 1j, 1 + 1j)),
        (functools.partial(scaled_moments, normal, is_complex=True), (2.0, 1j)),
    ):
        one = of(*options)
        many = of(*(np.full(5000, option) for option in options))
        assert many[:3] == pytest.approx(one[:3], rel=1e-9)
        assert many[3:5] == one[3:5]
    pair = scaled_moments(normal, [1.0, 2.0], [0, 2j], is_complex=True)
    assert pair.mean == 1j
    assert pair.std == pytest.approx(math.sqrt(1 + 2.5))
    # E |z + d|^4 = E |z|^4 + 4 |d|^2 E |z|^2 + |d|^4 of circular z.
    fourth = (2 + 4 + 1 + 2 * 16 + 4 * 4 + 1) / 2
    assert pair.kurtosis == pytest.approx(fourth / 3.5**2)


def test_as_data() -> None:
    config = {"name": "uniform", "low": [[0.0], [1.0]], "high": [2.0, 3.0, 4.0]}
    init = jaxinit.from_config(config)
    assert init(KEY, (2, 3)).shape == (2, 3)
    assert jaxinit.get_config(init) == config


ERRORS = {
    "uniform(K, (4, 5), low=np.zeros(4))": "uniform: low must be a number, or an array that "
    "broadcasts to shape; got low of shape (4,) for shape=(4, 5). Give it length 1 on the "
    "axes along which it does not change.",
    "uniform(K, (5,), high=np.ones((2, 5)))": "uniform: high must be a number, or an array "
    "that broadcasts to shape; got high of shape (2, 5) for shape=(5,). Give it no more axes "
    "than that.",
    "uniform(K, (4, 3), low=[0, 1, 2], high=1.5)": "uniform: high must be no less than low; "
    "got low=2, high=1.5 at index 2. Swap the bounds.",
    "log_uniform(K, (3,), low=[1, 0, 1], high=2)": "log_uniform: low must be above 0; got "
    "low=0 at index 1. Give the smallest value.",
    "normal(K, (2, 2), std=[[1], [-3]])": "normal: std must be a finite number, at least 0; "
    "got std=-3 at index (1, 0). Give a value in that range.",
    "normal(K, (2,), mean=[0, np.nan])": "normal: mean must be a finite number; got mean=nan "
    "at index 1. Give a value in that range.",
    "normal(K, (2,), mean=np.array([1j, 0]))": "normal: mean must be a finite number; got an "
    "array of dtype complex128. Give floats.",
    "normal(K, (2,), std=[[1], [1, 2]])": "normal: std must be a finite number, at least 0; "
    "got std=[[1], [1, 2]]. Give a float.",
    "normal(K, (3,), 'float16', std=[1, 1e5, 1])": "normal: values must stay below 65504, the "
    "largest float16; got std=100000, which draws values up to 633800 at index 1. Use a "
    "smaller scale or a wider dtype.",
    "normal(K, (3,), 'float16', std=[1, 1, 1e-9])": "normal: std must be above 2.98e-08, which "
    "float16 rounds to 0; got std=1e-09 at index 2. Use a wider dtype, or scale the weight up "
    "here and down in the layer.",
    "normal(K, (2, 1), 'bfloat16', mean=[[1], [9]], std=.01)": "normal: values must spread "
    "over more than one bfloat16; got a spread of 0.0346 at 9, in steps of 0.0625 at index "
    "(1, 0). Use a wider dtype, or constant for one value.",
    "truncated_normal(K, (3,), std=[1, 0, 1])": "truncated_normal: std must be above 0; got "
    "std=0 at index 1. Use constant for one value.",
    "truncated_normal(K, (2,), low=[-1, 2])": "truncated_normal: high must be above low; got "
    "low=2, high=2 at index 1. Give a wider interval.",
    "truncated_normal(K, (2,), 'float32', low=[0, 11], high=12)": "truncated_normal: the bounds must "
    "come within 10 std of the mean; got low=11, high=12 for mean=0, std=1 at index 1. No "
    "value of that distribution lies between them.",
    "xavier_normal(K, (2, 2), gain=[1, -1])": "xavier_normal: gain must be a finite number, "
    "at least 0; got gain=-1 at index 1. Give a value in that range.",
    "truncated_normal(K, (2,), 'complex64', mean=[0, 1j])": "truncated_normal: low and high "
    "of a complex dtype must be mean - r and mean + r, r above 0; got mean=0+1j, low=-2, "
    "high=2 at index 1. Its values are cut at the distance r from the mean.",
    "truncated_normal(K, (2,), 'complex64', low=1, high=-1)": "truncated_normal: low and high "
    "of a complex dtype must be mean - r and mean + r, r above 0; got mean=0, low=1, high=-1. "
    "Its values are cut at the distance r from the mean.",
}


@pytest.mark.parametrize("text", ERRORS)
def test_text(text: str) -> None:
    name, arguments = text.split("(", maxsplit=1)
    with pytest.raises((ValueError, TypeError)) as error:
        eval(f"init({arguments}", {"init": getattr(jaxinit, name), "K": KEY, "np": np})
    assert str(error.value) == ERRORS[text]


def check_cut(sample: np.ndarray, mean: complex, std: float, radius: float) -> None:
    """Fail unless modulus and angle about the mean are those of a cut circular normal."""
    off = (sample.ravel() - mean).astype(complex)
    count, cut = off.size, (radius / std) ** 2
    assert np.abs(off).max() <= radius * (1 + 1e-6) + 3e-7
    modulus = -np.expm1(-((np.abs(off) / std) ** 2)) / -math.expm1(-cut)
    for quantile in (modulus, np.angle(off) / (2 * math.pi) + 0.5):
        steps = (np.arange(count) + 0.5) / count
        distance = np.abs(np.sort(quantile) - steps).max() + 0.5 / count
        assert distance < math.sqrt(math.log(2 / ALPHA) / 2 / count)


@pytest.mark.parametrize("radius", [2**-7, 4.0, 9.0])
def test_complex_truncated_normal(radius: float) -> None:
    mean, std = 1 + 1j, 2.0
    options = {"mean": mean, "std": std, "low": mean - radius, "high": mean + radius}
    init = functools.partial(jaxinit.truncated_normal, KEY, (300, 200), "complex64")
    sample = init(**options)
    traced = jax.jit(lambda o: init(**o))(options)
    assert_same(traced, sample)
    check_cut(np.asarray(sample), mean, std, radius)
    with pytest.raises(AssertionError):
        check_cut(np.asarray(sample), mean, 0.9 * std, 1.1 * radius)
    found = distribution_of(functools.partial(init.func, **options), (3,), "complex64")
    cut = (radius / std) ** 2
    assert found.std == pytest.approx(std * math.sqrt(1 - cut / math.expm1(cut)), rel=1e-6)
    square = np.abs(np.asarray(sample) - mean) ** 2
    assert found.std is not None
    assert found.kurtosis == pytest.approx(
        (square**2).mean() / square.mean() ** 2, rel=0.02
    )
    assert found.mean == mean


def test_complex_truncated_normal_by_fan() -> None:
    """That of all scaled initializers, after the right factor: E |w|^2 = 1 / fan."""
    w = jaxinit.lecun_truncated_normal(KEY, (300, 200), "complex64")
    spread = 300**-0.5 / math.sqrt(1 - 4 / math.expm1(4))
    check_cut(np.asarray(w), 0, spread, 2 * spread)
    plain = jaxinit.truncated_normal(
        KEY, (300, 200), "complex64", std=spread, low=-2 * spread, high=2 * spread
    )
    np.testing.assert_allclose(w, plain, rtol=1e-6)


def test_complex_bounds_that_turn_out_wrong() -> None:
    def draw(mean: Any, std: Any, low: Any, high: Any) -> jax.Array:
        return jaxinit.truncated_normal(
            KEY, (3,), "complex64", mean=mean, std=std, low=low, high=high
        )

    means, stds = jnp.array([1j, 0j, 0j, 0j]), jnp.array([1.0, 1.0, 0.0, 0.0])
    lows, highs = jnp.array([-2.0, 2.0, 1.0, -1.0]), jnp.array([2.0, -2.0, 1.0, 1.0])
    found = jax.jit(jax.vmap(draw))(means, stds, lows, highs)
    assert jnp.isnan(found[:3]).all()
    assert not found[3].any()

    def size(radius: jax.Array) -> jax.Array:
        return jnp.abs(draw(0j, 1.0, -radius, radius)).sum()

    steps = [float(size(jnp.float32(1 + s))) for s in (-0.01, 0.01)]
    slope = jax.grad(size)(jnp.float32(1.0))
    np.testing.assert_allclose(slope, (steps[1] - steps[0]) / 0.02, rtol=1e-3)


def test_complex_mean() -> None:
    plain = jaxinit.normal(KEY, (300, 200), "complex64", std=2.0)
    moved: Callable[..., jax.Array] = functools.partial(
        jaxinit.normal, mean=3 - 1j, std=2.0
    )
    sample = moved(KEY, (300, 200), "complex64")
    assert_same(sample, plain + np.complex64(3 - 1j))
    rows = jaxinit.normal(
        KEY, (300, 200), "complex64", std=2.0, mean=np.array([3 - 1j, 0] * 100)
    )
    assert_same(rows[:, ::2], sample[:, ::2])
    assert_same(rows[:, 1::2], plain[:, 1::2])
    params = {"w": jax.ShapeDtypeStruct((300, 200), jnp.complex64)}
    plan = jaxinit.plan(params, [("w", moved)])
    assert "3-1j" in str(plan)
    assert not jaxinit.audit({"w": sample}, plan).off
    assert jaxinit.audit({"w": sample.conj()}, plan).off
