"""Every row of the table for those who come from elsewhere, with options of its own.

Where numbers are the same they are compared. Elsewhere the other library's draw, live or
replayed from its seed, is compared in mean, variance, fourth moment and range.
"""

import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import initializers as theirs
from scipy import stats

import jaxinit
from jaxinit import Fans
from jaxinit.replay import keras_tensorflow, numpy_legacy, torch_cpu

KEY = jax.random.key(7)
SHAPE = (300, 200)
ALPHA = 1e-6  # chance of a false alarm of one comparison; keys are fixed

Draw = Callable[[], Any]


def of(name: str, shape: tuple[int, ...] = SHAPE, /, **options: Any) -> Draw:
    return lambda: getattr(jaxinit, name)(KEY, shape, jnp.float32, **options)


def torch(name: str, *args: Any, shape: tuple[int, ...] = SHAPE, **options: Any) -> Draw:
    stream = torch_cpu.manual_seed(3)
    return lambda: getattr(torch_cpu, name)(stream, shape, *args, **options)[1]


def keras(name: str, *args: Any) -> Draw:
    return lambda: getattr(keras_tensorflow, name)(3, SHAPE, *args)


def numpy(name: str, factor: float) -> Draw:
    return lambda: getattr(numpy_legacy, name)(numpy_legacy.seed(3), SHAPE)[1] * factor


def of_jax(initializer: Any, shape: tuple[int, ...] = SHAPE) -> Draw:
    return lambda: initializer(KEY, shape, jnp.float32)


def haiku(initializer: Any) -> Draw:
    def draw() -> Any:
        make = hk.transform(lambda: hk.get_parameter("w", SHAPE, jnp.float32, initializer))
        return make.init(
            KEY,
        )["~"]["w"]

    return draw


def identical(mine: Draw, other: Draw | np.ndarray) -> None:
    expected = other() if callable(other) else other
    np.testing.assert_array_equal(np.asarray(mine()), np.asarray(expected))


def same_numbers(mine: Draw, other: Draw) -> None:
    a, b = np.asarray(mine(), np.float64), np.asarray(other(), np.float64)
    # A step of JAX's 23-bit uniform, 2^-23, moves a normal sample by that over its density.
    step = 2.0**-22 / stats.norm.pdf((b - b.mean()) / b.std())
    assert (abs(a - b) <= b.std() * (2e-6 + step)).all()


def same_distribution(mine: Draw, other: Draw) -> None:
    a, b = (np.asarray(draw(), np.float64).ravel() for draw in (mine, other))
    found: Any = stats.ks_2samp(a, b)
    assert found.pvalue > ALPHA
    limit = stats.norm.isf(ALPHA / 2)
    for power in (1, 2, 4):
        x, y = a**power, b**power
        error = np.hypot(x.std() / a.size**0.5, y.std() / b.size**0.5)
        assert abs(x.mean() - y.mean()) < limit * error, power


def same_shape_of_orthogonal(mine: Draw, other: Draw) -> None:
    a, b = (
        np.linalg.svd(np.asarray(f(), np.float64), compute_uv=False) for f in (mine, other)
    )
    np.testing.assert_allclose(a, b, rtol=1e-5)


def zeros_per_column(mine: Draw, other: Draw) -> None:
    a, b = np.asarray(mine()), np.asarray(other())
    np.testing.assert_array_equal((a == 0).sum(0), (b == 0).sum(0))
    same_distribution(lambda: a[a != 0], lambda: b[b != 0])


def gains_agree() -> None:
    for name, param in (("leaky_relu", 0.3), ("tanh", None), ("selu", None)):
        mine = jaxinit.calculate_gain(name, param)
        assert mine == pytest.approx(torch_cpu.calculate_gain(name, param), rel=1e-15)


def several(*checks: Callable[[], None]) -> Callable[[], None]:
    def run() -> None:
        for one in checks:
            one()

    return run


def check(compare: Callable[..., None], mine: Any, other: Any) -> Callable[[], None]:
    return functools.partial(compare, mine, other)


def reference_dirac() -> np.ndarray:
    """PyTorch's rule: in each group, channel d passes input d at the window's k // 2."""
    w = np.zeros((6, 2, 3, 4), np.float32)
    for group in range(2):
        for d in range(2):
            w[group * 3 + d, d, 1, 2] = 1
    return w


def fully(mode: str, kind: str, **axes: Any) -> Any:
    return theirs.variance_scaling(3.0, mode, kind, **axes)  # pyright: ignore[reportArgumentType]


SCALED = {"scale": 3.0, "mode": "fan_out", "distribution": "uniform"}
CUT = {"mean": 0.5, "std": 0.3, "low": 0.5 - 0.6, "high": 0.5 + 0.6}
KAIMING = {"a": 0.3, "mode": "fan_out", "nonlinearity": "leaky_relu"}
GEO = {"scale": 3.0, "mode": "fan_geo_avg", "distribution": "truncated_normal"}

ROWS: dict[str, Callable[[], None]] = {
    "uniform_(w, a, b)": check(
        same_distribution, of("uniform", low=-0.3, high=0.7), torch("uniform", -0.3, 0.7)
    ),
    "normal_(w, mean, std)": check(
        same_distribution, of("normal", mean=0.5, std=0.3), torch("normal", 0.5, 0.3)
    ),
    "constant_(w, val)": several(
        check(identical, of("constant", value=0.3), np.full(SHAPE, np.float32(0.3))),
        check(identical, of("zeros"), np.zeros(SHAPE)),
        check(identical, of("ones"), np.ones(SHAPE)),
    ),
    "trunc_normal_(w, mean, std, a, b)": check(
        same_distribution,
        of("truncated_normal", mean=0.1, std=0.5, low=-0.4, high=1.0),
        torch("trunc_normal", 0.1, 0.5, -0.4, 1.0),
    ),
    "xavier_uniform_(w, gain)": check(
        same_distribution,
        of("xavier_uniform", gain=1.7, layout="OI"),
        torch("xavier_uniform", 1.7),
    ),
    "xavier_normal_(w, gain)": check(
        same_distribution,
        of("xavier_normal", gain=1.7, layout="OI"),
        torch("xavier_normal", 1.7),
    ),
    "kaiming_uniform_(w, a, mode, nonlinearity)": check(
        same_distribution,
        of("kaiming_uniform", layout="OI", **KAIMING),
        torch("kaiming_uniform", **KAIMING),
    ),
    "kaiming_normal_(w, a, mode, nonlinearity)": check(
        same_distribution,
        of("kaiming_normal", layout="OI", **KAIMING),
        torch("kaiming_normal", **KAIMING),
    ),
    "eye_(w)": check(identical, of("identity"), np.eye(*SHAPE)),
    "dirac_(w, groups)": check(
        identical, of("dirac", (6, 2, 3, 4), groups=2, layout="OIHW"), reference_dirac()
    ),
    "orthogonal_(w, gain)": check(
        same_shape_of_orthogonal,
        of("orthogonal", (40, 30), gain=1.7, layout="OI"),
        torch("orthogonal", 1.7, shape=(40, 30)),
    ),
    "sparse_(w, sparsity, std)": check(
        zeros_per_column,
        of("sparse", sparsity=0.3, std=0.5, layout="OI"),
        torch("sparse", 0.3, 0.5),
    ),
    "calculate_gain(name, param)": gains_agree,
    "nn.Linear(n, m).weight": check(
        same_distribution,
        of("kaiming_uniform", a=5**0.5, layout="OI"),
        torch("uniform", -(200**-0.5), 200**-0.5),
    ),
    "nn.Linear(n, m).bias": check(
        same_distribution,
        of("kaiming_uniform", (60000,), a=5**0.5, layout=Fans(200, 300)),
        torch("uniform", -(200**-0.5), 200**-0.5),
    ),
    "uniform(scale)": check(
        same_numbers, of("uniform", high=0.3), of_jax(theirs.uniform(0.3))
    ),
    "normal(stddev)": check(
        same_numbers, of("normal", std=0.3), of_jax(theirs.normal(0.3))
    ),
    "truncated_normal(stddev, lower=l, upper=u)": check(
        same_numbers,
        of("truncated_normal", std=0.3, low=-1.5 * 0.3, high=0.7 * 0.3),
        of_jax(theirs.truncated_normal(0.3, lower=-1.5, upper=0.7)),
    ),
    "variance_scaling(scale, mode, distribution)": several(
        check(
            same_numbers,
            of("variance_scaling", **SCALED),
            of_jax(fully("fan_out", "uniform")),
        ),
        check(
            same_numbers,
            of("variance_scaling", **GEO),
            of_jax(fully("fan_geo_avg", "truncated_normal")),
        ),
    ),
    "variance_scaling(..., in_axis=1, out_axis=0)": check(
        same_numbers,
        of("variance_scaling", layout="OI", **SCALED),
        of_jax(fully("fan_out", "uniform", in_axis=1, out_axis=0)),
    ),
    "variance_scaling(..., batch_axis=0)": check(
        same_numbers,
        of("variance_scaling", (5, 60, 40), layout="BIO", **SCALED),
        of_jax(fully("fan_out", "uniform", batch_axis=0), (5, 60, 40)),
    ),
    "glorot_normal()": several(
        *(
            check(
                same_numbers,
                of(f"{name}_truncated_normal"),
                of_jax(getattr(theirs, f"{name}_normal")()),
            )
            for name in ("glorot", "he", "lecun")
        )
    ),
    "glorot_uniform()": several(
        *(
            check(
                same_numbers, of(f"{n}_uniform"), of_jax(getattr(theirs, f"{n}_uniform")())
            )
            for n in ("glorot", "he", "lecun")
        )
    ),
    "orthogonal(scale)": check(
        same_shape_of_orthogonal,
        of("orthogonal", (40, 30), gain=1.7),
        of_jax(theirs.orthogonal(1.7), (40, 30)),
    ),
    "delta_orthogonal(scale)": check(
        same_shape_of_orthogonal,
        of("delta_orthogonal", (3, 3, 8, 16), gain=1.7),
        of_jax(theirs.delta_orthogonal(1.7), (3, 3, 8, 16)),
    ),
    "any of these in bfloat16": lambda: None,  # tests/initializers checks every dtype
    "GlorotNormal()": several(
        *(
            check(same_distribution, of(f"{n}_truncated_normal"), keras(f"{n}_normal"))
            for n in ("glorot", "he", "lecun")
        )
    ),
    "GlorotUniform()": several(
        *(
            check(same_distribution, of(f"{n}_uniform"), keras(f"{n}_uniform"))
            for n in ("glorot", "he", "lecun")
        )
    ),
    "TruncatedNormal(mean, stddev)": check(
        same_distribution,
        of("truncated_normal", **CUT),
        keras("truncated_normal", 0.5, 0.3),
    ),
    "RandomUniform(minval, maxval)": check(
        same_distribution,
        of("uniform", low=-0.3, high=0.7),
        keras("random_uniform", -0.3, 0.7),
    ),
    "RandomNormal(mean, stddev)": check(
        same_distribution, of("normal", mean=0.5, std=0.3), keras("random_normal", 0.5, 0.3)
    ),
    "VarianceScaling(scale, mode, distribution)": check(
        same_distribution,
        of("variance_scaling", **SCALED),
        haiku(hk.initializers.VarianceScaling(3.0, "fan_out", "uniform")),
    ),
    "TruncatedNormal(stddev, mean)": check(
        same_distribution,
        of("truncated_normal", **CUT),
        haiku(hk.initializers.TruncatedNormal(0.3, 0.5)),
    ),
    "UniformScaling(scale)": check(
        same_distribution,
        of("variance_scaling", scale=1.7**2, mode="fan_in", distribution="uniform"),
        haiku(hk.initializers.UniformScaling(1.7)),
    ),
    "np.random.rand(n, m) * np.sqrt(1 / n)": check(
        same_distribution, of("uniform", high=300**-0.5), numpy("rand", 300**-0.5)
    ),
    "np.random.randn(n, m) * np.sqrt(2 / n)": check(
        same_distribution, of("kaiming_normal"), numpy("randn", (2 / 300) ** 0.5)
    ),
    '{"type": "uniform", "a": 0, "mode": "fan_in"}': check(
        same_distribution,
        lambda: jaxinit.from_config({"name": "kaiming_uniform", "a": 0, "mode": "fan_in"})(
            KEY, SHAPE, jnp.float32
        ),
        torch("uniform", -((6 / 300) ** 0.5), (6 / 300) ** 0.5),
    ),
}

TABLE = (Path(jaxinit.__file__).parent / "initializers" / "README.md").read_text()


@pytest.mark.parametrize("row", ROWS)
def test_row(row: str) -> None:
    ROWS[row]()


def test_every_row_of_the_table_has_a_test() -> None:
    firsts = [line.split("|")[1].strip() for line in TABLE.splitlines() if line[:2] == "| "]
    rows = [first for first in firsts if first != "there" and not first.startswith("**")]
    shown = [re.split(r"`, |, as constructed", row)[0].strip("`") for row in rows]
    missing = [row for row in shown if not any(row.startswith(known) for known in ROWS)]
    assert not missing
    assert len(set(shown)) == len(shown) == len(ROWS)


@pytest.mark.parametrize(
    ("compare", "planted"),
    [
        (same_numbers, of("normal", std=0.3001)),
        (same_distribution, of("normal", std=0.307)),
        (same_distribution, of("normal", mean=0.011, std=0.3)),
        (same_distribution, of("truncated_normal", std=0.341, low=-0.682, high=0.682)),
    ],
)
def test_comparisons_reject_planted_faults(compare: Any, planted: Draw) -> None:
    right = of_jax(theirs.normal(0.3))
    compare(of("normal", std=0.3), right)
    with pytest.raises(AssertionError):
        compare(planted, right)
