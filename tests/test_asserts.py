"""The assertions: limits against reference numbers, calibration, planted faults, texts."""

import json
import math
import re
from functools import partial
from pathlib import Path

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec
from scipy import special, stats

import jaxinit
from jaxinit import asserts
from jaxinit.asserts import Law, Orthogonal, mean_limits, variance_limits
from jaxinit.asserts._laws import _squares, rounded
from jaxinit.asserts._moments import measure as measure_moments

DATA = Path(__file__).parent / "data"
REAL = ("normal", "uniform", "truncated_normal")
RADIUS = 2.2736944686771129  # of the truncated law of unit variance
SMALL = (1, 2, 3, 5, 10, 30, 300)


def load(name: str) -> dict:
    return json.loads((DATA / name).read_text())


def draws(distribution: str, shape: tuple[int, ...], seed: int, complex_: bool = False):
    """Return unit-variance draws in float64, by NumPy and SciPy alone."""
    rng = np.random.default_rng(seed)
    if not complex_:
        if distribution == "normal":
            return rng.standard_normal(shape)
        if distribution == "uniform":
            return rng.uniform(-math.sqrt(3), math.sqrt(3), shape)
        u = rng.uniform(stats.norm.cdf(-2), stats.norm.cdf(2), shape)
        return stats.norm.ppf(u) * RADIUS / 2
    turn = np.exp(2j * np.pi * rng.random(shape))
    u = rng.random(shape)
    if distribution == "normal":
        return turn * np.sqrt(-np.log1p(-u))
    if distribution == "uniform":
        return turn * np.sqrt(2 * u)
    square = -np.log1p(-u * -math.expm1(-4))  # |z|^2 of the complex normal, cut at 4
    return turn * np.sqrt(square / ((1 - 5 * math.exp(-4)) / -math.expm1(-4)))


# --- the limits ------------------------------------------------------------------------


def test_variance_limits_are_the_reference_ones() -> None:
    rows = load("variance_thresholds.json")
    assert len(rows["table"]) + len(rows["large_n"]) > 200
    for row in rows["table"] + rows["large_n"]:
        law = Law(1.0, distribution=row["dist"])
        low, high = variance_limits(law, row["n"], alpha=row["alpha"])
        assert high == pytest.approx(row["chernoff_hi"], rel=1e-9), row
        if row["n"] >= 3:
            assert low == pytest.approx(row["chernoff_lo"], rel=1e-5), row
        if "exact_lo" in row:  # rigorous: the exact limits lie within
            assert low <= row["exact_lo"] * (1 + 1e-6), row
            assert high >= row["exact_hi"] * (1 - 1e-6), row


def test_limits_are_sharp_to_the_normal_approximation_at_large_n() -> None:
    for distribution, kurtosis in zip(REAL, (3, 1.8, 2.365536717129651), strict=True):
        low, high = variance_limits(Law(1.0, distribution=distribution), n=10**12)
        width = math.sqrt(2 * math.log(2e9) * (kurtosis - 1) / 1e12)
        assert high - 1 == pytest.approx(width, rel=1e-4)
        assert 1 - low == pytest.approx(width, rel=1e-4)


def test_rounded_moments_are_the_reference_ones() -> None:
    rows = load("rounding.json")["rounded"]
    assert {row["dtype"] for row in rows} >= {"bfloat16", "float16", "float8_e4m3fn"}
    for row in rows:
        if row["dtype"] == "float16" and row["sigma_def"] != "sqrt(1/512)":
            continue  # slow, and the same but for its subnormals
        values, mass = rounded(Law(row["sigma"], distribution=row["dist"]), row["dtype"])
        square = mass @ values**2
        ratio = square / row["sigma"] ** 2
        assert ratio == pytest.approx(float(row["var_ratio"]), abs=1e-13), row
        kurtosis = mass @ values**4 / square**2
        assert kurtosis == pytest.approx(float(row["kurtosis"]), abs=1e-11), row


def test_limits_of_eight_bit_floats_are_about_the_rounded_variance() -> None:
    # float8_e5m2 takes 0.29 % from the variance of a normal law: 20 times the width.
    low, high = variance_limits(Law(1.0), 10**9, dtype="float8_e5m2")
    assert high < 0.998
    assert low < 1 - 2.8907e-03 < high
    low, high = variance_limits(Law(1.0), 10**9, dtype="bfloat16")
    assert low < 1 < high


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"])
def test_limits_follow_a_mean_that_rounding_moves(dtype: str) -> None:
    # Around 1 the cells are twice as wide above as below.
    law = Law(std=0.1, mean=1.0)
    x = (1 + 0.1 * draws("normal", (2**20,), 5)).astype(jnp.dtype(dtype))
    asserts.assert_law(x, law, alpha=1e-6)
    n = 10**10
    low, high = mean_limits(law, n, dtype=dtype)
    values, mass = rounded(law, dtype)
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
    # number exp(t^2 / 4); for an isotropic law E exp(t Re w) = E I_0(t |w|).
    t = np.linspace(0.01, 12, 300)[:, None]
    squares, mass = _squares(distribution, False)
    log_mean = np.log(np.cosh(t * np.sqrt(squares)) @ mass)
    assert np.all(log_mean <= t[:, 0] ** 2 / 2)
    squares, mass = _squares(distribution, True)
    log_mean = np.log(special.i0(t * np.sqrt(squares)) @ mass)
    assert np.all(log_mean <= t[:, 0] ** 2 / 4)
    assert squares @ mass == pytest.approx(1, abs=1e-12)


# --- calibration: right draws pass ------------------------------------------------------


def too_many(count: int, trials: int, alpha: float) -> bool:
    """Whether more alarms came than alpha allows, itself with a false alarm of 1e-9."""
    return bool(stats.binom.sf(count - 1, trials, alpha) < 1e-9)


@pytest.mark.parametrize("complex_", [False, True])
@pytest.mark.parametrize("distribution", REAL)
def test_false_alarms_are_rare(distribution: str, complex_: bool) -> None:
    alpha, trials = 0.01, 20_000
    law = Law(1.0, distribution=distribution)
    dtype = np.complex64 if complex_ else np.float32
    for n in SMALL:
        x = draws(distribution, (trials if n < 300 else 2000, n), n, complex_)
        square, mean = np.mean(np.abs(x) ** 2, axis=1), np.mean(x, axis=1)
        low, high = variance_limits(law, n, dtype=dtype, alpha=alpha)
        alarms = int(np.sum((square < low) | (square > high)))
        assert not too_many(alarms, len(x), alpha), (n, alarms)
        most = mean_limits(law, n, dtype=dtype, alpha=alpha)[1]
        alarms = int(np.sum(np.abs(mean) > most))
        assert not too_many(alarms, len(x), alpha), (n, alarms)


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2"])
def test_false_alarms_are_rare_in_rounded_dtypes(dtype: str) -> None:
    alpha, trials, std = 0.01, 4000, 1 / 32
    for distribution in REAL:
        law = Law(std, distribution=distribution)
        for n in (1, 3, 30, 1000):
            x = std * draws(distribution, (trials if n < 1000 else 500, n), n)
            x = x.astype(jnp.dtype(dtype))
            x = x.astype(np.float64)
            low, high = variance_limits(law, n, dtype=dtype, alpha=alpha)
            square = np.mean(x**2, axis=1)
            alarms = int(np.sum((square < low) | (square > high)))
            assert not too_many(alarms, len(x), alpha), (distribution, n, alarms)
            low, high = mean_limits(law, n, dtype=dtype, alpha=alpha)
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
            law = Law(1.0, distribution="other", kurtosis=kurtosis)
            low, high = variance_limits(law, n, alpha=alpha)
            square = np.mean(x**2, axis=1)
            alarms = int(np.sum((square < low - 1e-12) | (square > high + 1e-12)))
            assert not too_many(alarms, trials, alpha), (kurtosis, n, alarms)
            most = mean_limits(law, n, alpha=alpha)[1]
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
            asserts.assert_law(0.02 * x, Law(0.02), alpha=0.05)
        except AssertionError:
            failures += 1
    assert failures < 12  # P(B(60, 0.05) >= 12) < 1e-4, and Chernoff leaves a margin


NARROW = ("bfloat16", "float8_e5m2")


@pytest.mark.parametrize("dtype", ["float32", "complex64", *NARROW])
def test_assertions_accept_the_initializers(dtype: str) -> None:
    key, shape, std = jax.random.key(3), (300, 700), 700**-0.5
    for mode in REAL[:2] if dtype == "complex64" else REAL:
        x = jaxinit.variance_scaling(key, shape, dtype, mode="fan_out", distribution=mode)
        asserts.assert_law(x, Law(std, distribution=mode))
    if dtype != "complex64":
        x = jaxinit.normal(key, shape, dtype, mean=1.0, std=0.25)
        asserts.assert_law(x, Law(0.25, mean=1.0))
    x = jaxinit.orthogonal(key, (4, 40, 70), dtype, gain=1.5, layout="BIO")
    asserts.assert_orthogonal(x, 1.5)
    asserts.assert_law(jaxinit.ones(key, shape, dtype), Law(0.0, mean=1.0))


# --- planted faults ---------------------------------------------------------------------


def rejected(check, *args, **kwargs) -> str:
    with pytest.raises(AssertionError) as caught:
        check(*args, **kwargs)
    return str(caught.value)


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
    asserts.assert_law(right, Law(1.0))
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
        asserts.assert_law(x, Law(1.0, distribution=distribution))
    assert "farther" in rejected(
        asserts.assert_law, normal, Law(1.0, 0.0, "truncated_normal")
    )
    assert "farther" in rejected(asserts.assert_law, cut, Law(1.0, 0.0, "uniform"))


def test_the_complex_constant_of_jax() -> None:
    initializer = jax.nn.initializers.variance_scaling(
        1.0, "fan_in", "truncated_normal", dtype=jnp.complex64
    )
    x = initializer(jax.random.key(0), (512, 2048))
    law = Law(512**-0.5, distribution="truncated_normal")
    assert "variance" in rejected(asserts.assert_law, x, law)
    right = 512**-0.5 * draws("truncated_normal", (512, 2048), 1, complex_=True)
    asserts.assert_law(right.astype(np.complex64), law)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_finite(bad: float) -> None:
    x = draws("normal", (100,), 15)
    x[17] = bad
    for check in (
        partial(asserts.assert_mean, std=1.0),
        partial(asserts.assert_variance, variance=1.0),
        partial(asserts.assert_law, law=Law(1.0)),
        partial(asserts.assert_law, law=Law(0.0)),
    ):
        rejected(check, x)


def test_a_constant() -> None:
    for dtype in (np.float32, jnp.bfloat16, np.float64):
        x = np.full((5,), 0.1).astype(dtype)
        asserts.assert_law(x, Law(0.0, mean=0.1))
        x[3] = np.nextafter(np.float32(0.1), np.float32(1))
        if dtype == jnp.bfloat16:
            x[3] = 0.1006
        rejected(asserts.assert_law, x, Law(0.0, mean=0.1))
        rejected(asserts.assert_mean, x, 0.1, std=0.0)
        rejected(asserts.assert_variance, x, 0.0, mean=0.1)
    assert mean_limits(Law(0.0, 0.1), 5, dtype="bfloat16") == (0.10009765625, 0.10009765625)
    assert variance_limits(Law(0.0, 0.1), 5) == (0.0, 0.0)


def orthonormal(rows: int, columns: int, batch: tuple[int, ...] = ()) -> np.ndarray:
    tall = draws("normal", (*batch, max(rows, columns), min(rows, columns)), rows + columns)
    q = np.linalg.qr(tall)[0]
    return q if rows >= columns else np.swapaxes(q, -1, -2)


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


# --- trees ------------------------------------------------------------------------------


def tree() -> dict:
    kernel = draws("normal", (64, 64), 21).astype(np.float32)
    return {
        "dense": {"kernel": kernel / 8, "bias": np.zeros(64, np.float32)},
        "head": [orthonormal(8, 4).astype(np.float32), np.ones(4, np.float32)],
    }


EXPECTED = {
    "dense": {"kernel": Law(1 / 8), "bias": Law(0.0)},
    "head": [Orthogonal(), Law(0.0, mean=1.0)],
}


def test_a_tree_that_is_right() -> None:
    asserts.assert_tree(tree(), EXPECTED)
    asserts.assert_tree(tree(), {"dense": None, "head": None})
    asserts.assert_tree(tree(), jax.eval_shape(tree))
    asserts.assert_tree(tree(), lambda path, _: Law(1 / 8) if "kernel" in path else None)
    asserts.assert_tree(np.zeros(3), Law(0.0))


def test_a_tree_lists_every_leaf_that_fails() -> None:
    wrong = tree()
    wrong["dense"]["bias"][3] = 0.5
    wrong["head"][0] *= 2
    assert rejected(asserts.assert_tree, wrong, EXPECTED) == (
        "assert_tree: 2 of 4 leaves fail (alpha=1e-09 for all):\n"
        "  ['dense']['bias']: every value must be 0 in float32;"
        " got largest_difference=0.5.\n"
        "  ['head'][0]: columns must be orthogonal and of length 1: no entry of the Gram"
        " matrix over gain**2 more than 1.35e-06 from the identity (8 x 4, float32);"
        " got difference=3."
    )
    wrong = tree()
    wrong["dense"]["kernel"] = wrong["dense"]["kernel"].T.astype(np.float64)[1:]
    wrong["head"] = [wrong["head"][0].T, wrong["head"][1]]
    assert rejected(asserts.assert_tree, wrong, jax.eval_shape(tree)) == (
        "assert_tree: 2 of 4 leaves fail (alpha=1e-09 for all):\n"
        "  ['dense']['kernel']: the shape must be (64, 64); got shape=(63, 64).\n"
        "  ['dense']['kernel']: the dtype must be float32; got dtype=float64.\n"
        "  ['head'][0]: the shape must be (8, 4); got shape=(4, 8)."
    )


def test_a_tree_shares_alpha_among_its_laws() -> None:
    x = np.full((1,), 4.0)  # 4 standard deviations, P = 6e-5
    law = Law(1.0)
    rejected(asserts.assert_tree, [x], law, alpha=0.01)
    asserts.assert_tree([x] * 1000, law, alpha=0.01)


def test_a_tree_of_another_structure() -> None:
    with pytest.raises(ValueError, match=r"structure|key"):
        asserts.assert_tree(tree(), {"dense": EXPECTED["dense"]})


# --- under jit --------------------------------------------------------------------------


def chexified(check):
    return chex.chexify(jax.jit(check), async_check=False)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64"])
def test_under_jit(dtype: str) -> None:
    x = jnp.asarray(draws("normal", (300, 700), 31, complex_=dtype == "complex64"), dtype)
    run = chexified(lambda x: asserts.assert_law(x, Law(1.0)))
    run(x)
    for wrong in (x * 1.05, x + 0.05, x.at[3, 4].set(math.nan)):
        assert rejected(run, wrong.astype(dtype)).startswith(
            "[Chex] chexify assertion 'assert_law' failed: the "
        )


def test_sums_under_jit_are_exact_enough() -> None:
    x = draws("normal", (2**22,), 32).astype(np.float32)
    exact = np.mean(x.astype(np.float64) ** 2)
    square = jax.jit(lambda x: measure_moments("t", x, Law(1.0)).square)
    assert abs(float(square(x)) - exact) < 1e-6


def test_orthogonality_and_trees_under_jit() -> None:
    q = orthonormal(64, 32)
    run = chexified(asserts.assert_orthogonal)
    run(q.astype(np.float32))
    rejected(run, 1.01 * q.astype(np.float32))
    check = chexified(lambda params: asserts.assert_tree(params, EXPECTED))
    check(tree())
    wrong = tree()
    wrong["head"][1] += 1
    assert rejected(check, wrong) == (
        "[Chex] chexify assertion 'assert_tree' failed: ['head'][1]: every value must be 1"
        " in float32; got largest_difference=1.0. (`check` failed)"
    )


def test_under_vmap_inside_jit() -> None:
    x = jnp.asarray(draws("normal", (4, 1000), 33), np.float32)
    run = chexified(jax.vmap(lambda x: asserts.assert_variance(x, 1.0)))
    run(x)
    rejected(run, x.at[2].multiply(2))


def test_a_sharded_array_is_not_gathered() -> None:
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    x = jnp.asarray(draws("normal", (400, 500), 34), np.float32)
    x = jax.device_put(x, NamedSharding(mesh, PartitionSpec("a", "b")))
    moments = jax.jit(lambda x: measure_moments("t", x, Law(1.0)).square)
    text = moments.lower(x).compile().as_text() or ""
    assert "all-reduce" in text
    gathered = re.findall(r"= f32\[([\d,]+)\]\S* all-gather", text)
    assert max((math.prod(map(int, s.split(","))) for s in gathered), default=0) < 1000
    run = chexified(lambda x: asserts.assert_law(x, Law(1.0)))
    run(x)
    rejected(run, 1.05 * x)


def test_shapes_under_jit_need_no_chexify() -> None:
    check = jax.jit(lambda x: asserts.assert_array(x, (3, None), np.float32, rank=2))
    check(jnp.zeros((3, 4), np.float32))
    rejected(check, jnp.zeros((4, 3), np.float32))


def test_without_chexify_a_trace_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"chex\.chexify"):
        jax.jit(lambda x: asserts.assert_mean(x, std=1.0))(jnp.zeros(3))


def test_chex_can_silence_them() -> None:
    chex.disable_asserts()
    try:
        asserts.assert_mean(np.full(100, 9.0), std=1.0)
        jax.jit(lambda x: asserts.assert_mean(x, std=2.0))(jnp.zeros(3))
    finally:
        chex.enable_asserts()
    rejected(asserts.assert_mean, np.full(100, 9.0), std=1.0)


# --- texts ------------------------------------------------------------------------------


def test_texts_of_failures() -> None:
    x = np.full((100,), 2.0, np.float32)
    assert rejected(asserts.assert_mean, x, std=1.0) == (
        "assert_mean: the mean must be in [-0.654469, 0.654469] (expected 0, normal law in"
        " float32, n=100, alpha=1e-09); got mean=2."
    )
    assert rejected(asserts.assert_variance, x, 0.01, distribution="uniform") == (
        "assert_variance: the variance must be in [0.00470954, 0.016118] (expected 0.01,"
        " uniform law in float32, n=100, alpha=1e-09); got variance=4."
    )
    law = Law(1.0, distribution="other", kurtosis=2)
    assert rejected(asserts.assert_law, 3 * x, law).splitlines()[1] == (
        "assert_law: the variance must be in [0.360868, 1.81985] (expected 1, other law of"
        " kurtosis 2 in float32, n=100, alpha=5e-10); got variance=36."
    )
    assert rejected(asserts.assert_mean, x.astype(np.complex64), std=1.0) == (
        "assert_mean: the mean must be within 0.499398 of 0 (expected 0, normal law in"
        " complex64, n=100, alpha=1e-09); got distance=2."
    )
    assert rejected(asserts.assert_array, x, (3, None), jnp.bfloat16, rank=2) == (
        "assert_array: the rank must be 2; got rank=1.\n"
        "assert_array: the shape must be (3, None); got shape=(100,).\n"
        "assert_array: the dtype must be bfloat16; got dtype=float32."
    )


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: Law(-1.0),
            ValueError,
            "Law: std must be a finite number, at least 0; got std=-1."
            " Give a value in that range.",
        ),
        (
            lambda: Law(1.0, distribution="norml"),
            ValueError,
            "Law: distribution must be one of normal, uniform, truncated_normal, other;"
            " got distribution='norml'. Did you mean 'normal'?",
        ),
        (
            lambda: Law(1.0, kurtosis=3.0),
            ValueError,
            'Law: kurtosis goes with distribution="other", and only with it;'
            " got distribution='normal', kurtosis=3.0. Give both, or neither.",
        ),
        (
            lambda: asserts.assert_mean(np.zeros(3), std=1.0, alpha=1.5),
            ValueError,
            "assert_mean: alpha is a probability between 0 and 1; got alpha=1.5."
            " 1e-9 is the default.",
        ),
        (
            lambda: asserts.assert_mean([1.0], std=1.0),  # pyright: ignore[reportArgumentType]
            TypeError,
            "assert_mean: x must be a jax.Array or a numpy.ndarray; got x of type list."
            " Pass an array.",
        ),
        (
            lambda: asserts.assert_variance(np.zeros((0, 3)), 1.0),
            ValueError,
            "assert_variance: x must have at least one element; got x of shape (0, 3)."
            " Without a draw there is nothing to test.",
        ),
        (
            lambda: asserts.assert_orthogonal(np.zeros(3)),
            ValueError,
            "assert_orthogonal: shape needs at least 2 axes; got shape=(3,). Matrices are"
            " in the last two axes; reshape a kernel as its layer uses it.",
        ),
        (
            lambda: asserts.assert_orthogonal(np.eye(3), 0.0),
            ValueError,
            "Orthogonal: gain must be a number above 0 that is known; got gain=0.0."
            " Give the length that each vector is to have.",
        ),
        (
            lambda: asserts.assert_tree({"a": np.zeros(3)}, {"a": 0.5}),
            TypeError,
            "assert_tree: ['a']: expected must be a Law, an Orthogonal, a"
            " jax.ShapeDtypeStruct or None; got 0.5. Give one of these for each leaf.",
        ),
        (
            lambda: jax.jit(lambda s: Law(s).std)(1.0),
            TypeError,
            "Law: std must be known before the program runs; got a traced std."
            " A bound is computed from it; give a Python float.",
        ),
    ],
)
def test_texts_of_bad_arguments(call, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == text


def test_integers_are_refused() -> None:
    with pytest.raises(
        TypeError, match=r"^assert_law: x must have one of the dtypes float64"
    ):
        asserts.assert_law(np.arange(3), Law(1.0))
