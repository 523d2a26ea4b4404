"""NumPy's two streams against recorded draws and against NumPy itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit.replay import numpy_generator, numpy_legacy
from tests.replay.golden import X64, assert_recorded, assert_same_bits, cases, name

PICKED = {"uniform": [[5], [33, 7]], "normal": [[5], [100, 101]], "randn": [[311]]}
FLOAT32 = [
    c
    for c in cases("numpy_legacy")
    if c["fn"].endswith("->float32") and c["shape"] in PICKED[c["fn"].split("-")[0]]
]
FLOAT64 = [c for c in cases("numpy_legacy") if c["fn"] in ("uniform", "rand")][:8]
GENERATOR = [c for c in cases("numpy_generator") if c["fn"] == "random_f32"]


def legacy(case):
    stream = numpy_legacy.seed(case["seed"])
    function = getattr(numpy_legacy, case["fn"].removesuffix("->float32"))
    return function(stream, case["shape"], dtype=case["dtype"], **case["args"])[1]


@pytest.mark.parametrize("case", FLOAT32, ids=name)
def test_legacy_recorded(case):
    assert_recorded(legacy(case), case)


@pytest.mark.skipif(not X64, reason="float64 needs 64-bit mode")
@pytest.mark.parametrize("case", FLOAT64, ids=name)
def test_legacy_recorded_in_double_precision(case):
    assert_recorded(legacy(case), case)


@pytest.mark.parametrize("case", GENERATOR, ids=name)
def test_generator_recorded(case):
    stream = numpy_generator.default_rng(case["seed"])
    assert_recorded(numpy_generator.random(stream, case["shape"], "float32")[1], case)


def test_the_lines_that_everybody_knows():
    stream = numpy_legacy.seed(0)
    bound = np.sqrt(6 / 8)
    _, w = numpy_legacy.uniform(stream, (2, 2), -bound, bound, "float32")
    known = [[0.08454747, 0.37271892], [0.17799139, 0.07773995]]
    np.testing.assert_allclose(w, known, rtol=0, atol=2e-8)
    _, w = numpy_legacy.rand(stream, (2, 2), "float32")
    known = [[0.5488135, 0.71518937], [0.60276338, 0.54488318]]
    np.testing.assert_allclose(w, known, rtol=0, atol=4e-8)


def test_legacy_sequence_of_draws():
    random = np.random.RandomState(9)
    stream = numpy_legacy.seed(9)
    for n in (1, 2, 0, 1):
        stream, x = numpy_legacy.randn(stream, (n,), "float32")
        assert_same_bits(x, random.randn(n).astype(np.float32))
        stream, x = numpy_legacy.uniform(stream, (n,), -3, 1e-3, "float32")
        assert_same_bits(x, random.uniform(-3, 1e-3, n).astype(np.float32))
    stream, x = numpy_legacy.normal(stream, (3, 5), 1.5, 0.02, "float32")
    assert_same_bits(x, random.normal(1.5, 0.02, (3, 5)).astype(np.float32))


def test_legacy_normals_of_a_million():
    stream = numpy_legacy.seed(1)
    _, x = numpy_legacy.randn(stream, (10**6,), "float32")
    assert_same_bits(x, np.random.RandomState(1).randn(10**6).astype(np.float32))


@pytest.mark.skipif(not X64, reason="float64 needs 64-bit mode")
def test_legacy_normals_in_double_precision():
    stream = numpy_legacy.seed(2)
    _, x = numpy_legacy.randn(stream, (10**5,), "float64")
    known = np.random.RandomState(2).randn(10**5)
    assert np.all(np.abs(x - known) <= 4 * np.spacing(np.abs(known)))
    assert np.mean(np.asarray(x) != known) < 0.05


def test_legacy_seeded_by_several_ints():
    stream = numpy_legacy.seed([1, 2, 3])
    _, x = numpy_legacy.rand(stream, (5,), "float32")
    assert_same_bits(x, np.random.RandomState([1, 2, 3]).rand(5).astype(np.float32))


def test_seeds_may_be_traced():
    def draw(seed):
        return numpy_legacy.randn(numpy_legacy.seed(seed), (33,), "float32")[1]

    seeds = jnp.arange(3)
    together = jax.jit(jax.vmap(draw))(seeds)
    for seed in range(3):
        assert_same_bits(together[seed], draw(seed))


def test_generator_sequence_of_draws():
    random = np.random.default_rng(5)
    stream = numpy_generator.default_rng(5)
    for n in (1, 2, 1025):
        stream, x = numpy_generator.random(stream, (n,), "float32")
        assert_same_bits(x, random.random(n, dtype=np.float32))
        stream, x = numpy_generator.uniform(stream, (n,), -1, 2.5, "float32")
        assert_same_bits(x, random.uniform(-1, 2.5, n).astype(np.float32))
    if X64:
        stream, x = numpy_generator.random(stream, (7,))
        assert_same_bits(x, random.random(7))


def test_comparing_bits_can_fail():
    x = np.arange(4, dtype=np.float32)
    y = x.copy()
    y[2] = np.nextafter(y[2], np.float32(3))
    with pytest.raises(AssertionError, match="1 of 4 values differ, at \\[2\\]"):
        assert_same_bits(x, y)
    with pytest.raises(AssertionError):
        assert_same_bits(np.zeros(1), -np.zeros(1))
    with pytest.raises(AssertionError):
        assert_recorded(legacy(FLOAT32[0]) + 1, FLOAT32[0])


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: numpy_legacy.seed(-1),
            ValueError,
            "numpy_legacy.seed: seed must be an int from 0 to 4294967295; got seed=-1. "
            "Give a seed in that range.",
        ),
        (
            lambda: numpy_legacy.seed(0.5),  # pyright: ignore[reportArgumentType]
            TypeError,
            "numpy_legacy.seed: seed must be an int from 0 to 4294967295; got seed=0.5."
            " Give a plain int.",
        ),
        (
            lambda: numpy_legacy.seed(jnp.arange(2)),
            ValueError,
            "numpy_legacy.seed: seed must be an int from 0 to 4294967295; got an array "
            "of shape (2,). For many seeds use jax.vmap.",
        ),
        (
            lambda: numpy_legacy.seed(jnp.float32(1)),
            TypeError,
            "numpy_legacy.seed: seed must be an int from 0 to 4294967295; got an array "
            "of dtype float32. Give a plain int, or an integer array.",
        ),
        (
            lambda: numpy_legacy.seed([]),
            ValueError,
            "numpy_legacy.seed: seed must be an int or a sequence of ints; got an empty"
            " sequence. Give at least one int.",
        ),
        (
            lambda: numpy_legacy.randn(numpy_legacy.seed(0), (2,), "bfloat16"),
            TypeError,
            "numpy_legacy.randn: dtype must be one of float32, float64; got "
            "dtype=bfloat16. Draw float32 and convert the result.",
        ),
        (
            lambda: numpy_legacy.normal(numpy_legacy.seed(0), (2,), scale=-1),
            ValueError,
            "numpy_legacy.normal: scale must be a finite number, at least 0; got "
            "scale=-1. Give a value in that range.",
        ),
        (
            lambda: numpy_legacy.uniform(numpy_legacy.seed(0), (2,), jnp.float32(1)),  # pyright: ignore[reportArgumentType]
            TypeError,
            "numpy_legacy.uniform: low must be a Python number; got an array of dtype "
            "float32. Its 64 bits go into the result, so it cannot be an array.",
        ),
        (
            lambda: numpy_legacy.rand(numpy_legacy.seed(0), (2**31,)),
            ValueError,
            "numpy_legacy.rand: one draw makes at most 1073676287 values; got "
            "shape=(2147483648,). Draw it in parts.",
        ),
        (
            lambda: numpy_generator.uniform(numpy_generator.default_rng(0), (2,), 2, 1),
            ValueError,
            "numpy_generator.uniform: high must be at least low; got low=2, high=1. "
            "Swap the two.",
        ),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == text
