"""Deviates against SciPy in float64, ``jax.random`` and exact symmetries."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

import jaxinit
from jaxinit import _samples
from jaxinit._draw import UNIFORM_LIMIT, Distribution
from tests import distributions
from tests.registry import LAWFUL, REAL_DTYPES, Case

KEY = jax.random.key(11)
RNG = np.random.Generator(np.random.Philox(1))


def sample_words(dtype: type[np.unsignedinteger]) -> np.ndarray:
    """Return random words, and those at both ends and on both sides of the middle."""
    bits = np.iinfo(dtype).bits
    edge = np.arange(3000, dtype=dtype)
    top, middle = dtype(2**bits - 1), dtype(2 ** (bits - 1))
    spread = dtype(1) << np.arange(bits, dtype=dtype)
    parts = [edge, top - edge, middle + edge, middle - 1 - edge, spread, top - spread]
    return np.concatenate([*parts, RNG.integers(0, top, 1 << 18, dtype=dtype)])


W32 = sample_words(np.uint32)
W64 = sample_words(np.uint64)


def exact(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return |x| and 1 - |x| with float64's relative precision in both."""
    bits = words.dtype.itemsize * 8
    high = words >> (bits - 1) == 1
    folded = np.where(high, words, ~words) & words.dtype.type(2 ** (bits - 1) - 1)
    rest = words.dtype.type(2 ** (bits - 1) - 1) - folded
    scale = 2.0 ** (1 - bits)
    size, left = folded.astype(float) + 0.5, rest.astype(float) + 0.5
    return size * scale, left * scale


def quantile(size: np.ndarray, rest: np.ndarray) -> np.ndarray:
    """Return z >= 0 from both, by the SciPy function that is precise there."""
    return np.where(
        size < 0.5, math.sqrt(2) * special.erfinv(size), -special.ndtri(rest / 2)
    )


def signed(z: np.ndarray, words: np.ndarray) -> np.ndarray:
    return np.where(words >> (words.dtype.itemsize * 8 - 1) == 1, z, -z)


def run(f: Callable[..., jax.Array], *words: np.ndarray) -> np.ndarray:
    with jax.enable_x64(words[0].dtype == np.uint64):
        return np.asarray(jax.jit(f)(*map(jnp.asarray, words))).astype(np.float64)


@pytest.mark.parametrize(("words", "most"), [(W32, 1.2e-7), (W64, 3e-16)])
def test_uniform(words: np.ndarray, most: float) -> None:
    np.testing.assert_allclose(
        run(_samples.uniform, words), signed(exact(words)[0], words), rtol=most
    )


@pytest.mark.parametrize(("words", "most"), [(W32, 5e-7), (W64, 4e-15)])
def test_normal(words: np.ndarray, most: float) -> None:
    expected = signed(quantile(*exact(words)), words)
    np.testing.assert_allclose(run(_samples.normal, words), expected, rtol=most)


@pytest.mark.parametrize(("words", "most"), [(W32, 6e-7), (W64, 4e-15)])
def test_truncated_normal(words: np.ndarray, most: float) -> None:
    size, rest = exact(words)
    mass = math.erf(math.sqrt(2))
    z = (
        quantile(size * mass, rest * mass + math.erfc(math.sqrt(2)))
        / distributions.TRUNCATED_STD
    )
    np.testing.assert_allclose(
        run(_samples.truncated_normal, words), signed(z, words), rtol=most
    )


@pytest.mark.parametrize("words", [W32, W64], ids=["32", "64"])
@pytest.mark.parametrize(
    "distribution", [_samples.uniform, _samples.normal, _samples.truncated_normal]
)
def test_symmetric_about_zero(
    words: np.ndarray, distribution: Callable[..., jax.Array]
) -> None:
    np.testing.assert_array_equal(run(distribution, words), -run(distribution, ~words))


@pytest.mark.parametrize("words", [W32, W64], ids=["32", "64"])
def test_limits(words: np.ndarray) -> None:
    bits = words.dtype.itemsize * 8
    largest = run(_samples.normal, words).max()
    assert 0.999 * _samples.NORMAL_LIMIT[bits] < largest <= _samples.NORMAL_LIMIT[bits]
    assert run(_samples.truncated_normal, words).max() <= _samples.TRUNCATED_LIMIT * (
        1 + 1e-7
    )


@pytest.mark.parametrize(("words", "most"), [(W32, 1e-6), (W64, 4e-15)])
def test_complex_distributions(words: np.ndarray, most: float) -> None:
    other = RNG.permutation(words)
    top = 2.0 ** (words.dtype.itemsize * 8)
    unit, left = (words.astype(float) + 0.5) / top, ((~words).astype(float) + 0.5) / top
    angle = 2 * np.pi * (other.astype(float) + 0.5) / top
    inner = unit * -math.expm1(-4)
    square = np.where(inner < 0.5, -np.log1p(-inner), -np.log(left + unit * math.exp(-4)))
    for distribution, radius in (
        (_samples.complex_uniform, np.sqrt(2 * unit)),
        (_samples.complex_truncated_normal, np.sqrt(square) / 0.9619618280082135401761),
    ):
        for part, f in enumerate((np.cos, np.sin)):
            found = run(
                lambda r, a, distribution=distribution, part=part: distribution(r, a)[part],
                words,
                other,
            )
            assert np.max(np.abs(found - radius * f(angle)) / radius) < most


INTERVALS = [
    (-2.0, 2.0),
    (-1.0, 3.0),
    (0.5, 0.6),
    (-0.001, 0.002),
    (3.0, 9.0),
    (-9.5, -9.0),
]


@pytest.mark.parametrize(("low", "high"), INTERVALS)
def test_bounded_normal(low: float, high: float) -> None:
    found = np.asarray(
        jaxinit.truncated_normal(KEY, (4096,), "float32", low=low, high=high)
    )
    assert found.min() >= np.float32(low)
    assert found.max() <= np.float32(high)
    unit = (np.asarray(jax.random.bits(KEY, (4096,), "uint32")).astype(float) + 0.5) / 2**32
    if low > 0:  # upper tail: from above, where probabilities are precise
        tail = special.ndtr(-high) + (1 - unit) * (special.ndtr(-low) - special.ndtr(-high))
        expected = -special.ndtri(tail)
    else:
        tail = special.ndtr(low) + unit * (special.ndtr(high) - special.ndtr(low))
        expected = special.ndtri(tail)
    np.testing.assert_allclose(found, expected, rtol=4e-7, atol=4e-7)


def test_agrees_with_jax_random() -> None:
    shape = (1 << 16,)
    body = np.abs(np.asarray(jax.random.normal(KEY, shape))) < 3
    ours = jaxinit.normal(KEY, shape)
    np.testing.assert_allclose(ours[body], jax.random.normal(KEY, shape)[body], atol=4e-5)
    # JAX keeps 23 of the bits: near 0 one of its steps is 3e-7, at 3 sigma 3e-5.
    near = np.abs(np.asarray(ours)) < 1
    np.testing.assert_allclose(ours[near], jax.random.normal(KEY, shape)[near], atol=1e-6)
    uniform = jax.random.uniform(KEY, shape, minval=-1, maxval=1)
    np.testing.assert_allclose(
        jaxinit.uniform(KEY, shape, low=-1, high=1), uniform, atol=5e-7
    )
    cut = jax.random.truncated_normal(KEY, -2, 2, shape)
    np.testing.assert_allclose(jaxinit.truncated_normal(KEY, shape), cut, atol=3e-6)


def test_finer_than_jax_random() -> None:
    n = 1 << 22
    distinct = np.unique(np.asarray(jaxinit.normal(KEY, (n,), "float32"))).size
    assert (
        distinct
        > 1.15 * np.unique(np.asarray(jax.random.normal(KEY, (n,), "float32"))).size
    )
    assert distinct > 0.9 * n


@pytest.mark.parametrize("case", LAWFUL, ids=lambda c: c.name)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_distribution(case: Case, dtype: str) -> None:
    options = {"layout": jaxinit.Fans(*case.shape)} if "_" in case.name else {}
    if case.name == "truncated_normal":
        options = {}
    with jax.enable_x64(dtype == "float64"):
        sample = np.asarray(case.init(KEY, (1024, 1024), dtype, **options))
    assert case.distribution is not None
    distributions.check_distribution(
        sample.astype(np.float64) / case.std, case.distribution
    )


@pytest.mark.parametrize("distribution", ["uniform", "normal", "truncated_normal"])
@pytest.mark.parametrize("dtype", REAL_DTYPES[1:])
def test_law_in_narrow_dtypes(distribution: Distribution, dtype: str) -> None:
    """Mean exact, variance that of the exact distribution rounded once to the dtype's values."""
    exact_distribution = {
        "uniform": distributions.UNIFORM,
        "normal": distributions.NORMAL,
    }.get(distribution, distributions.TRUNCATED)
    std = 0.9
    sample = jaxinit.variance_scaling(
        KEY,
        (1024, 1024),
        dtype,
        scale=std**2,
        distribution=distribution,
        layout=jaxinit.Fans(1, 1),
    )
    values = np.unique(np.asarray(sample)).astype(np.float64)
    values = np.unique(np.concatenate([values, -values]))
    edges = (values[1:] + values[:-1]) / 2
    cdf = np.concatenate([[0.0], exact_distribution.cdf(edges / std), [1.0]])
    chance = np.diff(cdf)
    variance = float((chance * values**2).sum())
    kurtosis = float((chance * values**4).sum()) / variance**2
    z = np.asarray(sample).astype(np.float64)
    n = z.size
    assert abs(z.mean()) < distributions.SIGMAS * math.sqrt(variance / n)
    error = abs((z**2).mean() / variance - 1)
    assert error < distributions.SIGMAS * math.sqrt((kurtosis - 1) / n)


@pytest.mark.parametrize("distribution", ["uniform", "normal", "truncated_normal"])
def test_complex_variance(distribution: Distribution) -> None:
    sample = np.asarray(
        jaxinit.variance_scaling(KEY, (1024, 512), "complex64", distribution=distribution)
    ).astype(np.complex64)
    square = np.abs(sample.astype(np.complex128)) ** 2 * 1024
    error = abs(square.mean() - 1) * math.sqrt(square.size) / square.std()
    assert error < distributions.SIGMAS
    for part in (np.real(sample), np.imag(sample)):
        z = part.astype(np.float64) * math.sqrt(2 * 1024)
        assert abs(z.mean()) * math.sqrt(z.size) < distributions.SIGMAS
        spread = math.sqrt(((z**4).mean() - 1) / z.size)
        assert abs((z**2).mean() - 1) < distributions.SIGMAS * spread
    mixed = (np.real(sample) * np.imag(sample)).astype(np.float64) * 2 * 1024
    assert abs(mixed.mean()) * math.sqrt(mixed.size) / mixed.std() < distributions.SIGMAS


def test_jax_scales_the_complex_truncated_law_wrongly() -> None:
    """The defect that ours does not share, seen by the same check."""
    init = jax.nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
    square = np.abs(np.asarray(init(KEY, (1024, 512), jnp.complex64))) ** 2 * 1024.0
    error = (square.mean() - 1) * math.sqrt(square.size) / square.std()
    assert error > distributions.SIGMAS


def test_constants() -> None:
    """Against the integrals that they stand for, not against draws."""
    normal = stats.norm
    mass = 2 * normal.cdf(2) - 1
    second = integrate.quad(lambda z: z * z * normal.pdf(z), -2, 2, epsabs=1e-14)[0] / mass
    assert abs(_samples.TRUNCATED_STD - math.sqrt(second)) < 1e-12
    assert abs(_samples.TRUNCATED_LIMIT * _samples.TRUNCATED_STD - 2) < 1e-12
    # The squared modulus of CN(0, 1) is exponential.
    disc = integrate.quad(lambda r: r * math.exp(-r), 0, 4, epsabs=1e-14)[0]
    disc /= 1 - math.exp(-4)
    assert abs(_samples.DISC_TRUNCATED_STD - math.sqrt(disc)) < 1e-12
    for bits, limit in _samples.NORMAL_LIMIT.items():
        furthest = normal.isf(
            2.0 ** -(bits + 1)
        )  # of the last word, (2 w + 1) / 2^bits - 1
        assert furthest < limit < furthest * 1.02
    assert abs(UNIFORM_LIMIT - math.sqrt(3)) < 1e-12
