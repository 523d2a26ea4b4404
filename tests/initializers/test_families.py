"""What each family promises beyond what all of them do."""

import functools
import math
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from scipy import stats

import jaxinit
from jaxinit import Fans, Layout
from jaxinit.initializers.sparse import lowest
from tests import distributions

KEY = jax.random.key(3)


# Scaled -----------------------------------------------------------------------------------

SHAPE = (3, 3, 64, 128)  # fans 576 and 1152
STDS = [
    ("xavier_uniform", {"gain": 2.0}, 2 * math.sqrt(2 / 1728)),
    ("xavier_normal", {}, math.sqrt(2 / 1728)),
    ("xavier_truncated_normal", {"gain": 0.5}, 0.5 * math.sqrt(2 / 1728)),
    ("kaiming_uniform", {"a": math.sqrt(5)}, math.sqrt(1 / 3 / 576)),
    ("kaiming_normal", {"mode": "fan_out", "nonlinearity": "relu"}, math.sqrt(2 / 1152)),
    ("kaiming_normal", {"nonlinearity": "tanh"}, 5 / 3 / math.sqrt(576)),
    ("kaiming_normal", {"nonlinearity": "linear", "a": 3.0}, 1 / math.sqrt(576)),
    ("kaiming_normal", {"nonlinearity": jnp.sin}, 1.520866623178814 / math.sqrt(576)),
    ("kaiming_truncated_normal", {"mode": "fan_avg"}, math.sqrt(2 / 864)),
    ("lecun_uniform", {}, math.sqrt(1 / 576)),
    ("lecun_normal", {"gain": 3.0}, 3 * math.sqrt(1 / 576)),
    ("lecun_truncated_normal", {}, math.sqrt(1 / 576)),
    ("variance_scaling", {"scale": 3.0}, math.sqrt(3 / 576)),
    ("variance_scaling", {"mode": "fan_geo_avg"}, (576 * 1152) ** -0.25),
    ("variance_scaling", {"layout": "OIHW"}, math.sqrt(1 / (3 * 64 * 128))),
    ("kaiming_normal", {"layout": Fans(50, 1)}, math.sqrt(2 / 50)),
    ("kaiming_normal", {"layout": Layout("HWIO", groups=64)}, math.sqrt(2 / 576)),
    ("xavier_normal", {"layout": Layout("HWIO", groups=64)}, math.sqrt(2 / (576 + 18))),
]


@pytest.mark.parametrize(("name", "options", "std"), STDS)
def test_standard_deviation(name: str, options: dict, std: float) -> None:
    w = np.asarray(getattr(jaxinit, name)(KEY, SHAPE, **options), np.float64)
    z = w / std
    spread = math.sqrt((z**4).mean() / z.size)
    assert abs((z**2).mean() - 1) < distributions.SIGMAS * spread


PEERS = [
    ("xavier_uniform", "glorot_uniform", 2e-7),
    ("xavier_truncated_normal", "glorot_normal", 2e-6),
    ("kaiming_uniform", "he_uniform", 2e-7),
    ("kaiming_truncated_normal", "he_normal", 2e-6),
    ("lecun_uniform", "lecun_uniform", 2e-7),
    ("lecun_truncated_normal", "lecun_normal", 2e-6),
]


@pytest.mark.parametrize(("ours", "theirs", "most"), PEERS)
def test_same_law_and_numbers_as_jax(ours: str, theirs: str, most: float) -> None:
    found = getattr(jaxinit, ours)(KEY, SHAPE)
    expected = getattr(jax.nn.initializers, theirs)()(KEY, SHAPE)
    # JAX keeps 23 bits of each word, we keep 32: half of one of its steps.
    np.testing.assert_allclose(found, expected, atol=most)


def test_bias_bound_of_pytorch() -> None:
    bias = jaxinit.kaiming_uniform(KEY, (2000,), a=math.sqrt(5), layout=Fans(400, 2000))
    assert float(jnp.abs(bias).max()) <= 1 / math.sqrt(400)
    assert float(jnp.abs(bias).max()) > 0.99 / math.sqrt(400)


def test_zero_gain_gives_zeros() -> None:
    assert not jaxinit.xavier_normal(KEY, (3, 4), gain=0).any()


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float8_e4m3fn"])
def test_the_scale_is_not_rounded(dtype: str) -> None:
    """With 1000 inputs bfloat16 rounds the standard deviation itself by 0.4 %."""
    std = 1000**-0.5
    w = jaxinit.lecun_normal(KEY, (1000, 1 << 12), dtype)
    wide = np.asarray(jaxinit.lecun_normal(KEY, (1000, 1 << 12), "float32"), np.float64)
    z = np.asarray(w).astype(np.float64)
    assert abs((wide**2).mean() / std**2 - 1) < distributions.SIGMAS * math.sqrt(
        2 / wide.size
    )
    most = {"bfloat16": 2e-5, "float16": 1e-6, "float8_e4m3fn": 3e-3}[dtype]
    assert abs((z**2).mean() / (wide**2).mean() - 1) < most


# Plain ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 1.0), (0.1, 0.3), (-3.0, -1.0), (2.0, 2.0)]
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_uniform_bounds(low: float, high: float, dtype: str) -> None:
    w = jaxinit.uniform(KEY, (1 << 16,), dtype, low=low, high=high)
    assert w.min() >= jnp.asarray(low, dtype)
    assert w.max() <= jnp.asarray(high, dtype)
    middle = np.asarray(w, np.float64).mean() - (low + high) / 2
    rounding = 0 if dtype == "float32" else max(abs(low), abs(high)) / 512
    assert (
        abs(middle)
        <= distributions.SIGMAS * (high - low) / math.sqrt(12 * w.size) + rounding
    )


def test_uniform_bounds_hold_where_the_centre_is_rounded() -> None:
    """Down by a step of low's, so that without limits 1 in 12 values would be below low."""
    step = float(np.finfo(np.float32).eps)
    low, high = 1.0 - step, 1.0 + 2 * step
    w = jaxinit.uniform(KEY, (4096,), "float32", low=low, high=high)
    assert float(w.min()) == low
    assert float(w.max()) <= high


@pytest.mark.parametrize("distribution", ["uniform", "normal", "truncated_normal"])
def test_complex_draws_of_variance_1_keep_their_rounding(distribution: Any) -> None:
    """With a scale of 1 the product that is left is the one inside."""
    init = functools.partial(
        jaxinit.variance_scaling, distribution=distribution, layout=Fans(1, 1)
    )
    added = jax.jit(lambda k: init(k, (64, 96), "complex64") + 1)(KEY)
    np.testing.assert_array_equal(added, init(KEY, (64, 96), "complex64") + 1)


@pytest.mark.parametrize(
    ("mean", "std", "low", "high"),
    [(0, 1, -1, 1), (1, 2, 0, 3), (0, 1, 2, 6), (-1, 0.5, -8, -2), (0, 0.02, -2, 2)],
)
def test_truncated_normal_distribution(
    mean: float, std: float, low: float, high: float
) -> None:
    n = 1 << 17
    w = jaxinit.truncated_normal(KEY, (n,), mean=mean, std=std, low=low, high=high)
    distribution = stats.truncnorm((low - mean) / std, (high - mean) / std, mean, std)
    z = np.sort(np.asarray(w, np.float64))
    steps = np.arange(n + 1) / n
    cdf = distribution.cdf(z)
    distance = max(np.abs(cdf - steps[:-1]).max(), np.abs(cdf - steps[1:]).max())
    assert distance < math.sqrt(math.log(2 / distributions.ALPHA) / 2 / n)
    assert abs(
        z.mean() - distribution.mean()
    ) < distributions.SIGMAS * distribution.std() / math.sqrt(n)


@pytest.mark.parametrize(
    ("low", "high", "std", "mean"),
    [
        (20, 21, 1, 0),
        (-40, -39, 1, 0),
        (-30, -12, 2, 1),
        (11, 1e9, 1, 0),
        (1e30, 2e30, 1, 0),
    ],
)
def test_traced_bounds_that_turn_out_far(
    low: float, high: float, std: float, mean: float
) -> None:
    """Where float32 has no probability left, values are finite and nearly right."""
    draw = jax.jit(
        lambda *o: jaxinit.truncated_normal(
            KEY, (1 << 14,), jnp.float32, low=o[0], high=o[1], std=o[2], mean=o[3]
        )
    )
    w = np.asarray(draw(*map(float, (low, high, std, mean))), np.float64)
    assert np.isfinite(w).all()
    assert w.min() >= np.float32(low)
    assert w.max() <= np.float32(high)
    if max(abs(low), abs(high)) < 1e6:
        a, b = (low - mean) / std, (high - mean) / std
        # The mean of what lies beyond z is z + 1 / z, to 1 / z^3.
        near = a if a > 0 else b
        want = mean + std * (near + 1 / near)
        assert abs(w.mean() - want) < 0.1 * std / abs(near)


def test_traced_bounds_with_one_value_or_none_between() -> None:
    draw = jax.jit(
        lambda low, high, std: jaxinit.truncated_normal(
            KEY, (5,), low=low, high=high, std=std, mean=0.5
        )
    )
    assert draw(3.0, 3.0, 1.0).tolist() == [3.0] * 5
    assert draw(0.0, 1.0, 0.0).tolist() == [0.5] * 5
    for impossible in [(1.0, 0.0, 1.0), (0.0, 1.0, -1.0), (2.0, 3.0, 0.0)]:
        assert np.isnan(draw(*impossible)).all()


@pytest.mark.parametrize("bounds", [(-2.0, 2.0, 1.0, 0.0), (-1.0, 3.0, 0.5, 0.25)])
def test_gradient_in_bounds(bounds: tuple[float, ...]) -> None:
    """Also of the bounds that have a map of their own, two standard deviations."""
    total = jax.jit(
        lambda *o: jaxinit.truncated_normal(
            KEY, (64,), low=o[0], high=o[1], std=o[2], mean=o[3]
        ).sum()
    )
    slopes = jax.grad(total, argnums=(0, 1, 2, 3))(*bounds)
    for i, slope in enumerate(slopes):
        step = np.eye(4)[i] / 128
        ends = [float(total(*(bounds + s * step))) for s in (-1, 1)]
        np.testing.assert_allclose(slope, (ends[1] - ends[0]) * 64, rtol=5e-3, atol=5e-3)


def test_gradient_at_scale_0_is_finite() -> None:
    slope = jax.grad(lambda s: jaxinit.variance_scaling(KEY, (4, 4), scale=s).sum())
    assert float(slope(0.0)) == 0.0
    assert np.isfinite(slope(1e-30))


def test_widest_uniform() -> None:
    with jax.enable_x64(True):
        w = jaxinit.uniform(KEY, (1000,), "float64", low=-1.7e308, high=1.7e308)
    assert np.isfinite(w).all()
    assert abs(np.asarray(w) / 1.7e308).max() > 0.99


def test_a_slice_whose_scale_its_dtype_rounds_to_0() -> None:
    layers = jaxinit.per_slice(functools.partial(jaxinit.normal, std=1.0), [1.0, 1e-4])
    assert layers(KEY, (2, 3), "float32").all()
    with pytest.raises(ValueError, match=r"^per_slice: std must be above 0\.000977"):
        layers(KEY, (2, 3), "float8_e4m3fn")


# Constants --------------------------------------------------------------------------------


def test_constant() -> None:
    w = jaxinit.constant(None, (2, 3), "bfloat16", value=[1.0, 2.0, 0.1])
    assert w.tolist() == [[1.0, 2.0, 0.10009765625]] * 2
    assert jaxinit.constant(None, (2,), "int32", value=3).tolist() == [3, 3]
    assert jaxinit.zeros(None, (2,), "bool").tolist() == [False, False]
    assert jaxinit.constant(None, (), "complex64", value=1 + 2j) == 1 + 2j


def test_constant_is_rounded_once() -> None:
    """1 + 2^-8 + 2^-30 lies above the tie of bfloat16; by way of float32 it would not."""
    value = 1 + 2.0**-8 + 2.0**-30
    assert float(jaxinit.constant(None, (), "bfloat16", value=value)) == 1 + 2.0**-7
    assert float(jaxinit.constant(None, (), "bfloat16", value=1 + 2.0**-8)) == 1.0
    assert float(jaxinit.constant(None, (), "bfloat16", value=-value)) == -1 - 2.0**-7
    values = np.random.Generator(np.random.Philox(0)).standard_normal(1000).tolist()
    found = jaxinit.constant(None, (1000,), "float16", value=values)
    np.testing.assert_array_equal(found, np.float16(values))  # direct in NumPy


def test_identity_hands_its_input_on() -> None:
    x = jax.random.normal(KEY, (5, 6))
    np.testing.assert_array_equal(x @ jaxinit.identity(KEY, (6, 6)), x)
    wide = x @ jaxinit.identity(KEY, (6, 8), gain=2)
    np.testing.assert_array_equal(wide, jnp.pad(2 * x, ((0, 0), (0, 2))))
    np.testing.assert_array_equal(x @ jaxinit.identity(KEY, (6, 4)), x[:, :4])
    batch = jaxinit.identity(KEY, (3, 6, 4))
    np.testing.assert_array_equal(batch, jnp.stack([jnp.eye(6, 4)] * 3))
    np.testing.assert_array_equal(
        jaxinit.identity(KEY, (6, 3, 4), layout="IBO"), batch.transpose(1, 0, 2)
    )


@pytest.mark.parametrize("rank", [3, 4, 5])
@pytest.mark.parametrize(("groups", "inputs", "outputs"), [(1, 4, 6), (2, 4, 6), (3, 2, 6)])
def test_dirac_hands_its_input_on(
    rank: int, groups: int, inputs: int, outputs: int
) -> None:
    window = "DHW"[5 - rank :]
    per_group = inputs if groups == 1 else inputs // 2
    shape = (*[3] * (rank - 2), per_group, outputs)
    kernel = jaxinit.dirac(KEY, shape, groups=groups)
    size = (2, *[5] * (rank - 2), per_group * groups)
    x = jnp.asarray(np.random.default_rng(0).standard_normal(size), kernel.dtype)
    y = lax.conv_general_dilated(
        x,
        kernel,
        (1,) * (rank - 2),
        "SAME",
        dimension_numbers=(f"N{window}C", f"{window}IO", f"N{window}C"),
        feature_group_count=groups,
    )
    for group in range(groups):
        kept = min(per_group, outputs // groups)
        x_part = x[..., group * per_group :][..., :kept]
        y_part = y[..., group * (outputs // groups) :][..., :kept]
        np.testing.assert_allclose(y_part, x_part, rtol=1e-6)
    assert int((kernel != 0).sum()) == groups * min(per_group, outputs // groups)


@pytest.mark.parametrize(
    ("window", "centre"), [((2,), (1,)), ((4, 3), (2, 1)), ((1, 6), (0, 3))]
)
def test_centre_of_even_windows(window: tuple[int, ...], centre: tuple[int, ...]) -> None:
    """``dirac`` takes ``k // 2`` as PyTorch does, ``delta_orthogonal`` ``(k - 1) // 2``."""
    before = tuple((k - 1) // 2 for k in window)
    for init, place in [(jaxinit.dirac, centre), (jaxinit.delta_orthogonal, before)]:
        places = np.argwhere(np.asarray(init(KEY, (*window, 2, 3))))[:, : len(window)]
        assert (places == place).all()
        assert len(places)


def test_dirac_groups_from_the_layout() -> None:
    stated = jaxinit.dirac(KEY, (3, 2, 6), groups=3)
    same = jaxinit.dirac(KEY, (3, 2, 6), layout=Layout("WIO", groups=3))
    np.testing.assert_array_equal(stated, same)


# Orthogonal -------------------------------------------------------------------------------

MATRICES = [
    ((6, 6), None),
    ((9, 4), None),
    ((4, 9), None),
    ((1, 5), None),
    ((5, 1), None),
    ((1, 1), None),
    ((3, 3, 4, 8), None),
    ((8, 4, 3, 3), "OIHW"),
    ((7, 5, 4), "BIO"),
    ((5, 7, 4), "IBO"),
    ((6, 2, 5), "IOO"),
    ((2, 2, 3, 3, 4), "BBOII"),
    ((300, 200), None),
]


def as_matrices(w: jax.Array, layout: str | None) -> np.ndarray:
    """Return (batch, inputs and window, outputs)."""
    axes = layout or ("D" * w.ndim + "HWIO")[-w.ndim :]
    order = [
        a
        for group in ("B", "IDHW", "O")
        for a, letter in enumerate(axes)
        if letter in group
    ]
    sizes = [
        math.prod(n for n, letter in zip(w.shape, axes, strict=True) if letter in group)
        for group in ("B", "IDHW", "O")
    ]
    return np.asarray(w).transpose(order).reshape(sizes)


@pytest.mark.parametrize(
    ("shape", "layout", "dtype"),
    [(*matrix, "float32") for matrix in MATRICES]
    + [
        (*matrix, dtype)
        for matrix in MATRICES[::4]
        for dtype in ("float64", "complex64", "bfloat16")
    ],
)
def test_orthogonal(shape: tuple[int, ...], layout: str | None, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        w = jaxinit.orthogonal(KEY, shape, dtype, gain=1.5, layout=layout)
    q = as_matrices(w, layout).astype(np.complex128) / 1.5
    if q.shape[1] < q.shape[2]:
        q = q.transpose(0, 2, 1)
    gram = q.conj().transpose(0, 2, 1) @ q
    eps = {"float64": 2.0**-53, "bfloat16": 2.0**-8}.get(dtype, 2.0**-24)
    # Reflections lose a few roundings each; of rounded entries errors add up as a walk.
    assert np.abs(gram - np.eye(q.shape[2])).max() < 16 * eps * math.sqrt(q.shape[1])


def test_orthogonal_is_haar() -> None:
    """Entries, trace and determinant of many small matrices against the exact distribution."""
    n, count = 4, 40_000
    q = np.asarray(jaxinit.orthogonal(KEY, (count, n, n), layout="BIO"), np.float64)
    # The square of an entry is Beta(1/2, (n - 1) / 2), so its mean is 1/n, kurtosis 3n/(n+2).
    for row in range(n):
        for column in range(n):
            entry = q[:, row, column]
            assert abs(entry.mean()) < distributions.SIGMAS / math.sqrt(n * count)
            beta = stats.beta(0.5, (n - 1) / 2)
            distance = stats.kstest(entry**2, beta.cdf).statistic
            assert distance < math.sqrt(math.log(2 / distributions.ALPHA) / 2 / count)
    # E tr(Q) = 0, E tr(Q)^2 = 1, E tr(Q^2) = 1 (Diaconis and Shahshahani 1994).
    trace = np.trace(q, axis1=1, axis2=2)
    assert abs(trace.mean()) < distributions.SIGMAS / math.sqrt(count)
    for statistic in (trace**2, np.trace(q @ q, axis1=1, axis2=2)):
        error = abs(statistic.mean() - 1) * math.sqrt(count) / statistic.std()
        assert error < distributions.SIGMAS
    positive = int((np.linalg.det(q) > 0).sum())
    assert abs(positive - count / 2) < distributions.SIGMAS * math.sqrt(count) / 2


def test_haar_check_rejects_missing_signs() -> None:
    """QR without its sign fix: the trace is not what it should be."""
    g = np.random.Generator(np.random.Philox(0)).standard_normal((40_000, 4, 4))
    trace = np.trace(np.linalg.qr(g)[0], axis1=1, axis2=2)
    assert abs(trace.mean()) > distributions.SIGMAS / math.sqrt(40_000)


def test_delta_orthogonal() -> None:
    w = np.array(jaxinit.delta_orthogonal(KEY, (4, 3, 8, 16)), np.float64)
    np.testing.assert_allclose(w[1, 1] @ w[1, 1].T, np.eye(8), atol=1e-5)
    w[1, 1] = 0
    assert not w.any()
    centre = np.asarray(jax.nn.initializers.delta_orthogonal()(KEY, (4, 3, 8, 16)))
    assert centre[1, 1].any()


def test_delta_orthogonal_keeps_length_through_many_layers() -> None:
    x = jax.random.normal(KEY, (1, 8, 8, 16))

    def layer(x: jax.Array, key: jax.Array) -> tuple[jax.Array, None]:
        w = jaxinit.delta_orthogonal(key, (3, 3, 16, 16))
        dims = ("NHWC", "HWIO", "NHWC")
        return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=dims), None

    y, _ = lax.scan(layer, x, jax.random.split(KEY, 200))
    # Each of 200 steps rounds the length by a few parts in 2^24.
    np.testing.assert_allclose((y**2).sum(), (x**2).sum(), rtol=200 * 8 * 2.0**-24)


def test_delta_orthogonal_layout() -> None:
    w = jaxinit.delta_orthogonal(KEY, (16, 8, 3), layout="OIW")
    same = jaxinit.delta_orthogonal(KEY, (3, 8, 16))
    np.testing.assert_allclose(w[:, :, 1] @ w[:, :, 1].T, w[:, :, 1] @ w[:, :, 1].T)
    np.testing.assert_allclose(w[:, :, 1].T @ w[:, :, 1], np.eye(8), atol=1e-5)
    assert w.shape == (16, 8, 3)
    assert same.shape == (3, 8, 16)


# Sparse -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "layout", "sparsity", "zeros"),
    [
        ((5, 8), None, 0.25, 2),
        ((5, 8), None, 0.3, 3),
        ((5, 10), None, 0.1, 1),
        ((5, 10), None, 0.7, 7),
        ((5, 8), None, 0.0, 0),
        ((5, 8), None, 1.0, 8),
        ((8, 5), "OI", 0.3, 3),
        ((3, 4, 5), "OIO", 0.5, 8),
        ((3, 4, 8), None, 0.3, 3),
    ],
)
def test_sparse_zeros(
    shape: tuple[int, ...], layout: str | None, sparsity: float, zeros: int
) -> None:
    w = jaxinit.sparse(KEY, shape, sparsity=sparsity, std=2.0, layout=layout)
    axes = layout or ("HWIO")[-len(shape) :]
    outputs = tuple(a for a, letter in enumerate(axes) if letter == "O")
    counts = np.unique((np.asarray(w) == 0).sum(axis=outputs))
    assert counts.tolist() == [zeros]


@pytest.mark.parametrize(
    ("axes", "count", "most"),
    [
        ((1,), 7, 2**32),
        ((0,), 5, 2**32),
        ((0, 2), 30, 2**32),
        ((1,), 7, 5),
        ((1,), 23, 2),
        ((1,), 24, 2**32),
        ((1,), 1, 1),
    ],
)
def test_lowest_words_of_every_row(axes: tuple[int, ...], count: int, most: int) -> None:
    """Exactly so many, the first of equals, as a stable sort has it."""
    words = np.random.Generator(np.random.Philox(1)).integers(0, most, (6, 24, 7))
    found = np.asarray(lowest(jnp.asarray(words, jnp.uint32), axes, count))
    order = [a for a in range(3) if a not in axes] + list(axes)
    length = math.prod(words.shape[a] for a in axes)
    rows = words.transpose(order).reshape(-1, length)
    expected = np.zeros(rows.shape, bool)
    first = np.argsort(rows, axis=1, kind="stable")[:, :count]
    np.put_along_axis(expected, first, True, 1)
    np.testing.assert_array_equal(found.transpose(order).reshape(-1, length), expected)


def test_sparse_is_normal_but_for_its_zeros() -> None:
    shape, dtype = (30, 40), jnp.float32
    w = jaxinit.sparse(KEY, shape, dtype, sparsity=0.3)
    normal = jaxinit.normal(KEY, shape, dtype)
    np.testing.assert_array_equal(w, jnp.where(w == 0, 0, normal * jnp.float32(0.01)))
    with jax.threefry_partitionable(False):
        again = jaxinit.sparse(KEY, shape, dtype, sparsity=0.3)
    np.testing.assert_array_equal(w, again)


def test_sparse_law_of_the_others() -> None:
    w = np.asarray(jaxinit.sparse(KEY, (512, 1024), sparsity=0.5), np.float64)
    kept = w[w != 0] / 0.01
    assert kept.size == 512 * 512
    distributions.check_moments(kept, distributions.NORMAL)
    share = (w == 0).mean(axis=0) - 0.5
    assert np.abs(share).max() < distributions.SIGMAS * 0.5 / math.sqrt(512)


# By name ----------------------------------------------------------------------------------


def test_from_config_of_every_initializer() -> None:
    from tests.registry import CASES

    for case in CASES:
        f = jaxinit.from_config({"name": case.name, **case.options})
        np.testing.assert_array_equal(f(KEY, case.shape), case.init(KEY, case.shape))


def test_from_config_binds_only_what_is_given() -> None:
    assert jaxinit.from_config({"name": "he_normal"}) is jaxinit.kaiming_normal
    bound = jaxinit.from_config({"name": "kaiming_uniform", "a": 0, "mode": "fan_in"})
    assert isinstance(bound, functools.partial)
    assert bound.keywords == {"a": 0, "mode": "fan_in"}


def test_get_returns_functions_as_they_are() -> None:
    own = functools.partial(jaxinit.normal, std=2.0)
    assert jaxinit.get(own) is own


def test_many_orthogonal_matrices_in_one_program() -> None:
    """Whole batches given to LAPACK, eight at once, waited for each other for ever."""
    code = (
        "import jax, jaxinit\n"
        "def tree(key):\n"
        "    return [jaxinit.orthogonal(k, (64, 64)) for k in jax.random.split(key, 8)]\n"
        "keys = jax.random.split(jax.random.key(0), 32)\n"
        "print(len(jax.block_until_ready(jax.jit(jax.vmap(tree))(keys))))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.strip() == "8"
