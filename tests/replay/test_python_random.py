"""Python's own stream against Python itself."""

import random

import jax
import numpy as np
import pytest

from jaxinit.replay import python_random, torch_cpu
from tests.replay.golden import X64, assert_same_bits

DTYPE = "float64" if X64 else "float32"


@pytest.mark.parametrize("seed", [0, 42, -7, 2**70, "abc", b"x", 1.5, -2.5])
def test_a_sequence_of_draws(seed):
    known, stream = random.Random(seed), python_random.seed(seed)
    for _ in range(2):
        stream, x = python_random.random(stream, (3,), DTYPE)
        assert_same_bits(x, np.array([known.random() for _ in range(3)], DTYPE))
        stream, x = python_random.gauss(stream, (3,), 0.1, 0.2, DTYPE)
        assert_same_bits(x, np.array([known.gauss(0.1, 0.2) for _ in range(3)], DTYPE))
        stream, x = python_random.uniform(stream, (2,), -1, 0.2, DTYPE)
        assert_same_bits(x, np.array([known.uniform(-1, 0.2) for _ in range(2)], DTYPE))
        for a, b in ((1, 10**9), (3, 3), (0, 2**31 - 1), (-(2**31), 2**31 - 1)):
            stream, x = python_random.randint(stream, (5,), a, b)
            assert x.tolist() == [known.randint(a, b) for _ in range(5)]
        items = list(range(30))
        known.shuffle(items)
        stream, x = python_random.shuffle(stream, 30)
        assert x.tolist() == items


def test_many_normals():
    known = random.Random(1)
    _, x = python_random.gauss(python_random.seed(1), (10**5,), dtype=DTYPE)
    assert_same_bits(x, np.array([known.gauss(0, 1) for _ in range(10**5)], DTYPE))


def test_inside_a_program():
    stream = python_random.seed(3)
    inside = jax.jit(lambda s: python_random.gauss(s, (5,), dtype="float32")[1])(stream)
    assert_same_bits(inside, python_random.gauss(stream, (5,), dtype="float32")[1])


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: python_random.seed(None),  # pyright: ignore[reportArgumentType]
            TypeError,
            "python_random.seed: a must be an int, a float, a string or bytes; got "
            "a=None. For many seeds call it for each.",
        ),
        (
            lambda: python_random.random(torch_cpu.manual_seed(0), (2,)),  # pyright: ignore[reportArgumentType]
            TypeError,
            "python_random.random: stream must come from python_random.seed(a); got one "
            "from torch_cpu.manual_seed(seed). The streams of different libraries are "
            "not exchangeable.",
        ),
        (
            lambda: python_random.randint(python_random.seed(0), (), 5, 4),
            ValueError,
            "python_random.randint: low must be below high, and both within -2147483648 "
            "to 2147483647; got low=5, high=4. Results are int32.",
        ),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == text
