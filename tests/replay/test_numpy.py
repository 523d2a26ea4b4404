"""NumPy's two streams against recorded draws and against NumPy itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit.replay import _numpy_floats, numpy_generator, numpy_legacy
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
def test_normals_in_double_precision():
    _, x = numpy_legacy.normal(numpy_legacy.seed(2), (10**5,), 0.1, 0.3, "float64")
    assert_same_bits(x, np.random.RandomState(2).normal(0.1, 0.3, 10**5))
    _, x = numpy_generator.normal(numpy_generator.default_rng(2), (10**5,), 0.1, 0.3)
    assert_same_bits(x, np.random.default_rng(2).normal(0.1, 0.3, 10**5))


def test_what_people_write_after_a_seed():
    random = np.random.RandomState(1)
    stream, w = numpy_legacy.normal(numpy_legacy.seed(1), (2, 2), scale=0.01)
    assert_same_bits(w, (random.randn(2, 2) * 0.01).astype(w.dtype))
    stream, w = numpy_legacy.normal(stream, (3,), 0.5, 0.1, "float32")
    assert_same_bits(w, random.normal(0.5, 0.1, 3).astype(np.float32))
    stream, w = numpy_legacy.standard_normal(stream, (2,), "float32")
    assert_same_bits(w, random.standard_normal(2).astype(np.float32))
    stream, w = numpy_legacy.random(stream, (2, 3), "float32")
    assert_same_bits(w, random.random_sample((2, 3)).astype(np.float32))


@pytest.mark.parametrize("seed", [[1, 2, 3], np.array([7, 2**32 - 1])])
def test_legacy_seeded_by_several_ints(seed):
    stream = numpy_legacy.seed(seed)
    _, x = numpy_legacy.rand(stream, (5,), "float32")
    assert_same_bits(x, np.random.RandomState(seed).rand(5).astype(np.float32))


@pytest.mark.parametrize("seed", [[1, 2, 3], 2**200 + 5, [2**40, 7], np.array([3, 4])])
def test_generator_seeded_by_several_words(seed):
    _, x = numpy_generator.random(numpy_generator.default_rng(seed), (5,), "float32")
    assert_same_bits(x, np.random.default_rng(seed).random(5, dtype=np.float32))


@pytest.mark.parametrize("entropy", [7, [1, 2, 3, 4, 5, 6], 2**140])
def test_children_of_a_seed_sequence(entropy):
    ours = numpy_generator.SeedSequence(entropy).spawn(3)[2].spawn(2)[1]
    known = np.random.SeedSequence(entropy).spawn(3)[2].spawn(2)[1]
    _, x = numpy_generator.random(numpy_generator.default_rng(ours), (5,), "float32")
    assert_same_bits(x, np.random.default_rng(known).random(5, dtype=np.float32))


def test_legacy_integers_and_choices_in_one_sequence():
    random, stream = np.random.RandomState(5), numpy_legacy.seed(5)
    share = [0.1, 0.2, 0.3, 0.4]
    for _ in range(2):
        stream, x = numpy_legacy.randint(stream, (100,), -5, 37)
        np.testing.assert_array_equal(x, random.randint(-5, 37, 100))
        stream, x = numpy_legacy.randint(stream, (7,), 1)
        np.testing.assert_array_equal(x, random.randint(0, 1, 7))
        stream, x = numpy_legacy.randint(stream, (70,), -(2**31), 2**31)
        np.testing.assert_array_equal(x, random.randint(-(2**31), 2**31, 70))
        stream, x = numpy_legacy.permutation(stream, 100)
        np.testing.assert_array_equal(x, random.permutation(100))
        stream, x = numpy_legacy.choice(stream, 10, (3, 4))
        np.testing.assert_array_equal(x, random.choice(10, (3, 4)))
        stream, x = numpy_legacy.choice(stream, 10, (4,), replace=False)
        np.testing.assert_array_equal(x, random.choice(10, 4, replace=False))
        stream, x = numpy_legacy.choice(stream, 4, (4, 5), p=share)
        np.testing.assert_array_equal(x, random.choice(4, (4, 5), p=share))


def test_generator_integers_and_choices_in_one_sequence():
    random, stream = np.random.default_rng(5), numpy_generator.default_rng(5)
    for i in range(2):  # an odd number of 32-bit words, so that a half is left
        stream, x = numpy_generator.random(stream, (i + 1,), "float32")
        assert_same_bits(x, random.random(i + 1, dtype=np.float32))
        for bounds in ((-5, 37), (-(2**31), 2**31 - 5), (-(2**31), 2**30)):
            stream, x = numpy_generator.integers(stream, (101,), *bounds)
            np.testing.assert_array_equal(x, random.integers(*bounds, 101))
        stream, x = numpy_generator.integers(stream, (7,), 3, endpoint=True)
        np.testing.assert_array_equal(x, random.integers(3, size=7, endpoint=True))
        stream, x = numpy_generator.permutation(stream, 100)
        np.testing.assert_array_equal(x, random.permutation(100))
        stream, x = numpy_generator.choice(stream, 10, (33,))
        np.testing.assert_array_equal(x, random.choice(10, 33))
        for n, size in ((10, 4), (10, 10), (20000, 1000)):
            stream, x = numpy_generator.choice(stream, n, (size,), replace=False)
            np.testing.assert_array_equal(x, random.choice(n, size, replace=False))
        stream, x = numpy_generator.choice(stream, 3, (5,), p=[0.5, 0.25, 0.25])
        np.testing.assert_array_equal(x, random.choice(3, 5, p=[0.5, 0.25, 0.25]))
        stream, x = numpy_generator.standard_normal(stream, (3,), "float32")
        assert_same_bits(x, random.standard_normal(3).astype(np.float32))


def test_generator_normals_of_a_million():
    # About 270 of the values lie in the tail, and 12,000 take more than one word.
    stream = numpy_generator.default_rng(1)
    stream, x = numpy_generator.standard_normal(stream, (10**6,), "float32")
    random = np.random.default_rng(1)
    assert_same_bits(x, random.standard_normal(10**6).astype(np.float32))
    state = random.bit_generator.state["state"]["state"]
    assert sum(int(v) << 32 * i for i, v in enumerate(stream.state)) == state


def test_wide_and_tiny_bounds():
    stream, random = numpy_legacy.seed(0), np.random.RandomState(0)
    for low, high in ((-1e300, 1e300), (0.0, 1e-38), (-3e-40, 1e-41)):
        stream, x = numpy_legacy.uniform(stream, (50,), low, high, "float32")
        with np.errstate(over="ignore"):
            assert_same_bits(x, random.uniform(low, high, 50).astype(np.float32))
    if X64:
        stream, x = numpy_legacy.uniform(stream, (50,), -8e307, 8e307, "float64")
        assert_same_bits(x, random.uniform(-8e307, 8e307, 50))


def test_signed_zeros():
    stream, random = numpy_legacy.seed(0), np.random.RandomState(0)
    for loc, scale in ((-0.0, 0.0), (0.0, 0.0), (-0.0, 1e-42)):
        known = random.normal(loc, scale, 50).astype(np.float32)
        stream, x = numpy_legacy.normal(stream, (50,), loc, scale, "float32")
        assert_same_bits(x, known)


def test_seeds_may_be_traced():
    def draw(seed):
        legacy, new = numpy_legacy.seed(seed), numpy_generator.default_rng(seed)
        yield numpy_legacy.randn(legacy, (33,), "float32")[1]
        yield numpy_legacy.permutation(legacy, 20)[1]
        yield numpy_generator.standard_normal(new, (300,), "float32")[1]
        yield numpy_generator.integers(new, (9,), 6)[1]
        yield numpy_generator.choice(new, 40, (5,), replace=False)[1]
        yield numpy_legacy.choice(legacy, 3, (5,), p=[0.5, 0.25, 0.25])[1]

    together = jax.jit(jax.vmap(lambda seed: list(draw(seed))))(
        jnp.arange(3, dtype="int32")
    )
    for seed in range(3):
        for ours, alone in zip(together, draw(seed), strict=True):
            assert_same_bits(ours[seed], alone)


def test_another_scale_compiles_nothing():
    program = vars(_numpy_floats._normals)["__wrapped__"]
    stream = numpy_legacy.seed(0)
    numpy_legacy.normal(stream, (6,), 0.0, 0.1, "float32")
    before = program._cache_size()
    numpy_legacy.normal(stream, (6,), 0.5, 0.7, "float32")
    assert program._cache_size() == before
    numpy_legacy.normal(stream, (7, 100), 0.5, 0.7, "float32")
    assert program._cache_size() == before  # sizes that are near share a program
    numpy_legacy.normal(stream, (4100,), 0.5, 0.7, "float32")
    assert program._cache_size() == before + 1


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
            lambda: numpy_generator.default_rng(-1),
            ValueError,
            "numpy_generator.default_rng: seed must be a non-negative int; got seed=-1. "
            "Give 0 or more.",
        ),
        (
            lambda: numpy_legacy.seed(jnp.int32(-1)),
            ValueError,
            "numpy_legacy.seed: seed must be an int from 0 to 4294967295; got seed=-1. "
            "Give a seed in that range.",
        ),
        (
            lambda: numpy_legacy.rand(numpy_generator.default_rng(0), (2,)),  # pyright: ignore[reportArgumentType]
            TypeError,
            "numpy_legacy.rand: stream must come from numpy_legacy.seed(seed); got one "
            "from numpy_generator.default_rng(seed). The streams of different libraries "
            "are not exchangeable.",
        ),
        (
            lambda: numpy_legacy.uniform(numpy_legacy.seed(0), (2,), -1e308, 1e308),
            ValueError,
            "numpy_legacy.uniform: width must be 0, or from 1e-200 to 1.79e308 in size; "
            "got width=inf. Draw with another scale, and scale the result.",
        ),
        (
            lambda: numpy_legacy.choice(numpy_legacy.seed(0), 3, (4,), replace=False),
            ValueError,
            "numpy_legacy.choice: without replacement at most a values can be chosen; "
            "got a=3, shape=(4,). Set replace=True.",
        ),
        (
            lambda: numpy_generator.choice(numpy_generator.default_rng(0), 2, (4,), p=[1]),
            ValueError,
            "numpy_generator.choice: p must be 2 probabilities that sum to 1; got p of "
            "shape (1,) with sum 1. Divide p by its sum.",
        ),
        (
            lambda: numpy_legacy.randint(numpy_legacy.seed(0), (2,), 5, 5),
            ValueError,
            "numpy_legacy.randint: low must be below high, and both within -2147483648 "
            "to 2147483647; got low=5, high=5. Results are int32.",
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
