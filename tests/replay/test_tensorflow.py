"""TensorFlow's and Keras' draws against recorded ones."""

import json
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit.replay import keras_tensorflow, numpy_legacy, tf_stateful, tf_stateless
from jaxinit.replay._tf_values import values
from tests.replay.golden import (
    FILE,
    X64,
    assert_recorded,
    assert_same_bits,
    cases,
    name,
)

KERAS = {
    "GlorotUniform": keras_tensorflow.glorot_uniform,
    "GlorotNormal": keras_tensorflow.glorot_normal,
    "HeUniform": keras_tensorflow.he_uniform,
    "HeNormal": keras_tensorflow.he_normal,
    "LecunNormal": keras_tensorflow.lecun_normal,
    "RandomNormal": keras_tensorflow.random_normal,
    "RandomUniform": keras_tensorflow.random_uniform,
}


PICKED = [c for c in cases("tf_stateless") if c["shape"] in ([5], [1000, 11])]


@pytest.mark.parametrize("case", PICKED, ids=name)
def test_recorded(case):
    function = getattr(tf_stateless, f"stateless_{case['fn']}")
    assert_recorded(function(case["shape"], case["seed"], **case["args"]), case)


def test_normals_of_a_uniform_number_that_is_0():
    """TensorFlow's BoxMullerFloat takes 1e-7 for it; block 4136581 of this stream has one."""
    place, scale = np.zeros(4, np.uint32), np.array([1.0, 0.0])
    z = values("normal", place, scale, (4,), np.uint64(4136581))
    size = np.hypot(*np.asarray(z, np.float64)[:2])
    assert size == pytest.approx(np.sqrt(-2 * np.log(1e-7)), rel=1e-6)


@pytest.mark.parametrize("case", cases("keras_tensorflow"), ids=name)
def test_keras_recorded(case):
    assert_recorded(KERAS[case["fn"]](case["seed"], case["shape"]), case)


def test_the_weights_that_keras_is_known_by():
    w = keras_tensorflow.glorot_uniform(0, (2, 2))
    known = [[-0.7078647, 0.50461936], [0.73500216, 0.6633029]]
    assert_same_bits(w, np.array(known, np.float32))


def test_seeds_may_be_traced():
    def draw(seed):
        return tf_stateless.stateless_normal((5,), seed)

    seeds = jnp.asarray([[0, 0], [42, 7], [-1, 3]])
    together = jax.jit(jax.vmap(draw))(seeds)
    for i, seed in enumerate([(0, 0), (42, 7), (-1, 3)]):
        assert_same_bits(together[i], draw(seed))
    w = jax.vmap(lambda k: keras_tensorflow.he_uniform(k, (3, 4)))(jnp.arange(2))
    assert_same_bits(w[1], keras_tensorflow.he_uniform(1, (3, 4)))


def test_a_longer_draw_begins_with_the_shorter():
    for draw in (tf_stateless.stateless_uniform, tf_stateless.stateless_normal):
        long = draw((1000, 11), (5, 2**40))
        assert_same_bits(long.ravel()[:5], draw((5,), (5, 2**40)))


def test_empty_shapes():
    for law in ("uniform", "normal", "truncated_normal"):
        draw = getattr(tf_stateless, f"stateless_{law}")
        assert draw((0, 3), (1, 2)).shape == (0, 3)


def test_other_laws_stay_in_their_bounds():
    w = keras_tensorflow.truncated_normal(3, (1000, 11), 1.0, 0.5)
    assert float(jnp.max(jnp.abs(w - 1))) < 1.0
    w = keras_tensorflow.lecun_uniform(3, (12, 50))
    assert 0.45 < float(jnp.max(jnp.abs(w))) <= 0.5


STATEFUL = json.loads((FILE.parent / "replay_tf_stateful.json").read_text())["sequences"]


@pytest.mark.parametrize("sequence", STATEFUL, ids=lambda s: str(s["seed"]))
def test_stateful_ops_recorded(sequence):
    stream = tf_stateful.set_seed(sequence["seed"])
    for draw in sequence["draws"]:
        function = getattr(tf_stateful, draw["fn"])
        stream, x = function(stream, draw["shape"], **draw["args"])
        known = np.array([float.fromhex(v) for v in draw["values"]], np.float32)
        assert_same_bits(x, known.reshape(draw["shape"]))


def test_stateful_ops_inside_a_program():
    def draws(stream):
        stream, a = tf_stateful.normal(stream, (5,))
        stream, b = tf_stateful.uniform(stream, (5,), seed=3)
        return a, b, tf_stateful.uniform(stream, (5,), seed=3)[1]

    stream = tf_stateful.set_seed(7)
    inside, alone = jax.jit(draws)(stream), draws(stream)
    for ours, known in zip(inside, alone, strict=True):
        assert_same_bits(ours, known)
    assert np.any(np.asarray(alone[1]) != np.asarray(alone[2]))


@pytest.mark.parametrize(
    ("low", "high", "uniform", "normal"),
    [
        (0.0, 1e-37, 3159029226, 2841516656),
        (1e-37, 1.5e-37, 4135295153, 300065603),
        (-1e-38, 1.00001e-38, 982225854, 3879858740),
    ],
)
def test_subnormal_numbers_are_zero_as_in_tensorflow(low, high, uniform, normal):
    u = tf_stateless.stateless_uniform((1000,), (1, 2), low, high)
    z = tf_stateless.stateless_normal((1000,), (1, 2), low, high)
    found = [zlib.crc32(np.asarray(x).tobytes()) for x in (u, z)]
    assert found == [uniform, normal]  # of TensorFlow 2.21.0


@pytest.mark.skipif(not X64, reason="such arrays need 64-bit mode")
def test_seeds_of_64_bits():
    pair = (5, -(2**40) + 7)
    x = tf_stateless.stateless_uniform((5,), jnp.asarray(pair, jnp.int64))
    assert_same_bits(x, tf_stateless.stateless_uniform((5,), pair))


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: tf_stateful.uniform(numpy_legacy.seed(0), (3,)),  # pyright: ignore[reportArgumentType]
            TypeError,
            "tf_stateful.uniform: stream must come from tf_stateful.set_seed(seed); got "
            "one from numpy_legacy.seed(seed). The streams of different libraries are not "
            "exchangeable.",
        ),
        (
            lambda: tf_stateless.stateless_uniform((2,), 3),  # pyright: ignore[reportArgumentType]
            TypeError,
            "tf_stateless.stateless_uniform: seed must be two ints; got seed=3. Keras' "
            "seed=k is seed=(k, 0).",
        ),
        (
            lambda: tf_stateless.stateless_uniform((2,), (1, 2, 3)),
            ValueError,
            "tf_stateless.stateless_uniform: seed must be two ints; got seed=(1, 2, 3)."
            " Keras' seed=k is seed=(k, 0).",
        ),
        (
            lambda: tf_stateless.stateless_normal((2,), jnp.zeros((3,), jnp.int32)),
            TypeError,
            "tf_stateless.stateless_normal: seed must be two ints; got an array of "
            "shape (3,) and dtype int32. Give an integer array of shape (2,).",
        ),
        (
            lambda: tf_stateless.stateless_uniform((2,), (0, 0), 2.0, 1.0),
            ValueError,
            "tf_stateless.stateless_uniform: maxval must be at least minval; got "
            "minval=2, maxval=1. Swap the two.",
        ),
        (
            lambda: tf_stateless.stateless_normal((2,), (0, 0), dtype="float16"),
            TypeError,
            "tf_stateless.stateless_normal: dtype must be one of float32; got "
            "dtype=float16. Draw float32 and convert the result.",
        ),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == text
