"""Keras' initializers and whole models, against recorded ones, on three backends."""

import copy
import inspect
import json
import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit.replay import keras_initializers, keras_tensorflow
from jaxinit.replay import keras_models as keras
from jaxinit.replay._keras_session import session
from tests.replay.golden import assert_same_bits
from tests.replay.keras_sources import CASES, MODELS

RECORDED = json.loads(
    (Path(__file__).parent.parent / "data" / "replay_keras.json").read_text()
)


def assert_known(array, known, exact=True):
    crc, first = known
    array = np.asarray(array)
    if exact:
        assert zlib.crc32(np.ascontiguousarray(array).tobytes()) == crc
    values = [float.fromhex(x) for x in first]
    np.testing.assert_allclose(array.ravel()[:2], values, rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("backend", "all_cases"),
    [
        ("tensorflow", False),
        ("jax", False),
        ("torch", False),
        pytest.param("tensorflow", True, marks=pytest.mark.parity),
        pytest.param("jax", True, marks=pytest.mark.parity),
        pytest.param("torch", True, marks=pytest.mark.parity),
    ],
)
def test_initializers_recorded(backend, all_cases):
    for name, options, shape, seed, *known in RECORDED[backend]["initializers"]:
        if shape != [7, 9] and not all_cases:
            continue
        draw = getattr(keras_initializers, name)(**options, seed=seed)
        assert_known(draw(shape, backend), known, exact=name != "Orthogonal")


SHORT = [("jax", "transformer"), ("torch", "mlp"), *(("tensorflow", m) for m in MODELS)]
LONG = [(b, m) for b in ("jax", "torch") for m in MODELS if (b, m) not in SHORT]


@pytest.mark.parametrize(
    ("backend", "name"),
    [*SHORT, *(pytest.param(*pair, marks=pytest.mark.parity) for pair in LONG)],
)
def test_models_recorded(backend, name):
    weights = keras.build(42, lambda: MODELS[name](keras), backend)
    known = RECORDED[backend]["models"][name]
    paths = known if name == "branches" else [k.removeprefix("sequential/") for k in known]
    assert list(weights) == list(paths)
    for (path, w), digest in zip(weights.items(), known.values(), strict=True):
        orthogonal = "recurrent" in path or (name == "branches" and path == "dense/kernel")
        assert_known(w, digest, exact=not orthogonal)


@pytest.mark.keras
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CASES)
def test_models_live(name):
    live = pytest.importorskip("keras")
    if live.backend.backend() != "jax":
        pytest.skip("another backend")
    live.backend.clear_session()
    live.utils.set_random_seed(3)
    model = CASES[name](live)
    known = [(w.path.removeprefix(f"{model.name}/"), np.asarray(w)) for w in model.weights]
    weights = keras.build(3, lambda: CASES[name](keras), "jax")
    assert [path.partition("#")[0] for path in weights] == [path for path, _ in known]
    for (path, ours), (_, theirs) in zip(weights.items(), known, strict=True):
        if "recurrent" in path or name == "spectral":  # orthogonal
            np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
        else:
            assert_same_bits(ours, theirs)


def plain(value):
    """Return a default: Keras writes one length for each axis, we write one for all."""
    while isinstance(value, tuple) and len(set(value)) == 1:
        value = value[0]
    return value


REFUSED = {"FlaxLayer", "JaxLayer", "STFTSpectrogram", "TFSMLayer", "TorchModuleWrapper"}
KINDS = {n for n in keras.layers.__all__ if isinstance(getattr(keras.layers, n), type)}


@pytest.mark.keras
@pytest.mark.parametrize(
    "name", sorted(KINDS - REFUSED - {"Layer", "GroupedQueryAttention"})
)
def test_signatures_are_keras_own(name):
    live = pytest.importorskip("keras")
    ours = inspect.signature(getattr(keras.layers, name)).parameters
    theirs = inspect.signature(getattr(live.layers, name)).parameters
    skipped = {"options", "kwargs", "name", "dtype"}
    found = {k: plain(v.default) for k, v in ours.items() if k not in skipped}
    known = {k: plain(v.default) for k, v in theirs.items() if k not in skipped}
    newer = found.keys() - known.keys() & {"use_gate", "renorm", "quantization_config"}
    found = {k: v for k, v in found.items() if k not in newer}
    assert list(found.items()) == list(known.items())
    assert getattr(keras.layers, name).__name__ == getattr(live.layers, name).__name__


def test_seeds_are_reduced_as_keras_reduces_them():
    most = 2**31 - 2
    for seed, same in [(most, 0), (2**31, 2), (2**32 + 5, 9), (-1, most - 1)]:
        w = keras_tensorflow.he_normal(seed, (3, 2))
        assert_same_bits(w, keras_tensorflow.he_normal(same, (3, 2)))


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint32"])
def test_array_seeds_agree_with_ints(dtype):
    numbers = [7, -1, -128] if dtype != "uint32" else [7, 2**31 + 1, 2**32 - 1]
    if dtype == "int32":
        numbers.append(-(2**31))
    seeds = jnp.asarray(np.array(numbers, dtype))
    drawn = jax.vmap(lambda seed: keras_tensorflow.glorot_uniform(seed, (2, 2)))(seeds)
    for i, number in enumerate(numbers):
        known = keras_tensorflow.glorot_uniform(number, (2, 2))
        assert_same_bits(drawn[i], known)
        assert_same_bits(keras_tensorflow.glorot_uniform(seeds[i], (2, 2)), known)


def test_names_are_keras_own():
    for name in ("glorot_uniform", "HeNormal", "normal", "zeros", "OrthogonalInitializer"):
        with session(0):
            assert keras_initializers.get(name)((2, 2)).shape == (2, 2)


def test_a_clone_without_a_seed_takes_a_new_one():
    with session(0):
        first, given = keras_initializers.HeNormal(), keras_initializers.HeNormal(seed=3)
        shape = 2, 3
        assert not np.array_equal(first.clone()(shape), first(shape))
        assert_same_bits(given.clone()(shape), given(shape))


@pytest.mark.parametrize("part", ["ops", "random", "losses"])
def test_parts_say_what_they_cannot_do(part):
    found = getattr(keras, part)
    assert not hasattr(found, "__wrapped__")
    assert not hasattr(copy.copy(found), "__fspath__")


def test_one_initializer_draws_the_same_at_every_call():
    def make():
        shared = keras.initializers.GlorotUniform()
        dense = keras.layers.Dense
        steps = [dense(4, kernel_initializer=shared) for _ in range(2)]
        return keras.Sequential([keras.Input((4,)), *steps])

    weights = keras.build(0, make)
    assert_same_bits(weights["dense/kernel"], weights["dense_1/kernel"])


def made(*layers):
    return lambda: keras.Sequential([keras.Input((8, 8, 3)), *(f() for f in layers)])


def disconnected(keras):
    return keras.Model(keras.Input((3,)), keras.layers.Dense(2)(keras.Input((3,))))


def named_first():
    keras.layers.Layer().add_weight("w", (3,))
    return keras.layers.Dense(2)


def unfit():
    return keras.Model(None, keras.Input((3,)) @ keras.Input((4,)))


def backwards():
    return keras.layers.Bidirectional(keras.layers.LSTM(2, go_backwards=True))


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: keras.layers.Dense(3),
            ValueError,
            "keras_layers.Dense: layers, and initializers without a seed, are made in "
            "keras_models.build; got none running. Make them in the function that you give "
            "to keras_models.build.",
        ),
        (
            lambda: keras.build(
                0, made(lambda: keras.layers.Dense(3, kernel_init="zeros"))
            ),
            TypeError,
            "keras_layers.Dense: an option must be one of Keras'; got kernel_init. See "
            "help(keras_layers) for what is known.",
        ),
        (
            lambda: keras.build(
                0, made(lambda: keras.layers.Dense(3, kernel_initializer="glorot"))
            ),
            ValueError,
            "keras_layers.Dense: identifier must be one of zeros",
        ),
        (
            lambda: keras.build(0, made(lambda: keras.layers.Conv2D(3, 9))),
            ValueError,
            "keras_models.Sequential: conv2d: the output must have a length of at least 1 on each "
            "axis; got 0 from a length of 8 with a window of 9. Make the input larger.",
        ),
        (
            lambda: keras.build(0, made(lambda: keras.layers.Dense(3, lora_rank=2))),
            ValueError,
            "keras_layers.Dense: lora_rank cannot be replayed; got lora_rank=2. Leave it out.",
        ),
        (
            lambda: keras.build(0, made(lambda: keras.layers.Conv2D(3))),
            TypeError,
            "keras_layers.Conv2D: kernel_size must be given; got filters. Add "
            "kernel_size=....",
        ),
        (
            lambda: keras.build(0, made(lambda: keras.layers.Dense(3)), "theano"),
            ValueError,
            "keras_models.build: backend must be one of tensorflow, jax, torch; got "
            "backend='theano'. Choose one of these.",
        ),
        (
            lambda: keras.build(0, lambda: keras.layers.FlaxLayer(3)),
            ValueError,
            "keras_layers.FlaxLayer: its weights must be drawn by Keras' initializers; got "
            "others. Describe what is inside with other layers.",
        ),
        (
            lambda: keras.build(0, made(lambda: keras.layers.Lambda(keras.ops.frob))),
            ValueError,
            "keras_models.ops: an operation must be one that JAX has too; got ops.frob. "
            "Write it with others, or give the layer a compute_output_shape.",
        ),
        (
            lambda: keras.build(0, lambda: disconnected(keras)),
            ValueError,
            "keras_models.Model: inputs must have each keras.Input that the outputs need; "
            "got too few. Add it to inputs.",
        ),
        (
            lambda: keras.build(0, unfit),
            ValueError,
            "keras_models.ops: an operation must fit the shapes of its tensors; got (None, "
            "3), (None, 4).",
        ),
        (
            lambda: keras.build(0, named_first),
            TypeError,
            "add_weight: the shape comes first, a sequence of ints; got shape='w'. Write "
            "add_weight(shape=..., name=...).",
        ),
        (
            lambda: keras.build(0, backwards),
            ValueError,
            "keras_layers.Bidirectional: the two layers must go in different directions; "
            "got go_backwards=True. Leave go_backwards out.",
        ),
        (
            lambda: keras.build(0, lambda: None),  # pyright: ignore[reportArgumentType]
            TypeError,
            "keras_models.build: make must return a model or a layer; got None. Return the "
            "model.",
        ),
        (
            lambda: keras_initializers.HeNormal(1.5)((2, 2)),  # pyright: ignore[reportArgumentType]
            TypeError,
            "keras_initializers.HeNormal: seed must be an int from -9223372036854775808 to "
            "9223372036854775807; got seed=1.5. Give a plain int.",
        ),
        (
            lambda: keras_initializers.HeNormal(2**32)((2, 2), "jax"),
            ValueError,
            "keras_initializers.HeNormal: seed must be an int from 0 to 4294967295; got "
            "seed=4294967296. Give a seed in that range.",
        ),
        (
            lambda: keras_initializers.Orthogonal(seed=0)((3,)),
            ValueError,
            "keras_initializers.Orthogonal: shape needs at least 2 axes; got shape=(3,). An "
            "orthogonal vector has no meaning.",
        ),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value)[: len(text)] == text
