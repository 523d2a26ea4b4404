"""Keras on JAX: initializers in its layers, models saved and loaded, drawn anew, traced."""

import subprocess
import sys
import textwrap
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit
from tests.adapters import has_std, spec

NEEDS = 'needs Keras: pip install -e ".[test-keras]"'
keras: Any = pytest.importorskip("keras", reason=NEEDS)
adapter: Any = pytest.importorskip("jaxinit.keras", reason=NEEDS)
forward, reinitialize = adapter.forward, adapter.reinitialize
initializer = adapter.initializer
pytestmark = pytest.mark.keras
layers: Any = keras.layers
KEY = jax.random.key(0)
RULES = [
    ("**/*bias", jaxinit.zeros),
    ("**/{gamma,beta}", jaxinit.ones),
    ("**/*kernel", jaxinit.lecun_normal),
]


@pytest.fixture(autouse=True)
def lenient_promotion():
    with jax.numpy_dtype_promotion("standard"):
        yield


# ------------------------------------------------------------------------ initializers


def test_in_a_layer():
    he = initializer(jaxinit.kaiming_normal, nonlinearity="relu", seed=3)
    layer = layers.Dense(300, kernel_initializer=he, bias_initializer=initializer("ones"))
    layer.build((None, 200))
    alone = jaxinit.kaiming_normal(jax.random.key(3), (200, 300), nonlinearity="relu")
    assert bool((layer.kernel.value == alone).all())
    assert bool((layer.bias.value == 1).all())
    narrow = layers.Dense(300, kernel_initializer=he, dtype="bfloat16")
    narrow.build((None, 200))
    assert narrow.kernel.value.dtype == jnp.bfloat16
    assert bool((narrow.kernel.value == alone.astype(jnp.bfloat16)).all())


def test_seeds():
    keras.utils.set_random_seed(5)
    init = initializer("normal")
    first, second = init((4, 4)), init((4, 4))
    assert not bool((first == second).any())  # no two layers alike
    keras.utils.set_random_seed(5)
    assert bool((initializer("normal")((4, 4)) == first).all())
    fixed = initializer("normal", seed=1)
    assert bool((fixed((4, 4)) == fixed((4, 4))).all())
    moving = initializer("normal", seed=keras.random.SeedGenerator(1))
    assert not bool((moving((4, 4)) == moving((4, 4))).any())


CONFIGS = {
    "name": initializer("he_normal"),
    "options": initializer(jaxinit.kaiming_normal, a=0.1, mode="fan_out", seed=2),
    "partial": initializer(partial(jaxinit.orthogonal, gain=2.0), seed=2),
    "layout": initializer(jaxinit.lecun_normal, layout="OI", seed=2),
    "groups": initializer(
        jaxinit.lecun_normal, layout=jaxinit.Layout("IO", groups=2), seed=2
    ),
    "fans": initializer(jaxinit.lecun_normal, layout=jaxinit.Fans(7, 9), seed=2),
    "array": initializer(jaxinit.normal, std=np.float32(0.5), seed=2),
    "generator": initializer("uniform", seed=keras.random.SeedGenerator(4)),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_serialisation(name):
    init = CONFIGS[name]
    config = keras.initializers.serialize(init)
    assert config["registered_name"] == "jaxinit>Initializer"
    again = keras.initializers.deserialize(config)
    assert again.get_config() == init.get_config()
    if name != "name":
        assert bool((again((6, 8)) == init((6, 8))).all())


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # Keras'
def test_save_and_load(tmp_path):
    he = initializer(jaxinit.kaiming_normal, layout=jaxinit.Layout("IO"), seed=1)
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, kernel_initializer=he)])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.layers[0].kernel_initializer.get_config() == he.get_config()
    x = jnp.ones((2, 4))
    np.testing.assert_array_equal(loaded(x), model(x))
    clone = keras.models.clone_model(model)  # which initialises anew
    np.testing.assert_array_equal(clone.layers[0].kernel, model.layers[0].kernel)


ERRORS: dict[str, tuple[Any, type[Exception], str]] = {
    "no function": (
        lambda: initializer(0.1),
        TypeError,
        "keras.initializer: fn must be the name of an initializer, or a function; "
        "got fn=0.1. Give for example jaxinit.kaiming_normal.",
    ),
    "a name that is not known": (
        lambda: initializer("orthogonl"),
        ValueError,
        "Did you mean 'orthogonal'?",
    ),
    "no seed": (
        lambda: initializer("ones", seed="a"),
        TypeError,
        "keras.initializer: seed must be an int, a keras.random.SeedGenerator or None; "
        "got seed='a'. Give an int.",
    ),
    "a function cannot be saved": (
        lambda: initializer(jax.nn.initializers.zeros).get_config(),
        TypeError,
        "keras.initializer: only initializers of jaxinit can be saved by name; got zeros. "
        "Use one of them, or a subclass of keras.initializers.Initializer.",
    ),
    "nor an activation": (
        lambda: initializer("he_normal", nonlinearity=jnp.tanh).get_config(),
        TypeError,
        "keras.initializer: options must be plain values for a model to be saved; "
        "got nonlinearity=tanh. Give a name or a number.",
    ),
    "no model": (
        lambda: forward(3),
        TypeError,
        "forward: model must be a Keras model or layer; got int. Give the model.",
    ),
    "not built": (
        lambda: reinitialize(KEY, layers.Dense(3, name="head"), RULES),
        ValueError,
        "reinitialize: model must be built; got 'head', which is not. "
        "Call it on data, or build it with the shape of its input.",
    ),
}


def test_an_initializer_without_the_adapter():
    layer = layers.Dense(3, kernel_initializer=partial(jaxinit.lecun_normal, gain=2.0))
    with pytest.raises(TypeError) as error:
        layer.build((None, 4))
    assert str(error.value).startswith(
        "lecun_normal: the key comes first; got the shape (4, 3). Write lecun_normal(key"
    )


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    call, kind, text = ERRORS[name]
    with pytest.raises(kind) as error:
        call()
    assert str(error.value).endswith(text)


# ------------------------------------------------------------------------------ models


@pytest.fixture(scope="module")
def model():
    return keras.Sequential(
        [
            keras.Input((8, 8, 16)),
            layers.Conv2D(32, 3, groups=4, name="conv"),
            layers.Conv2DTranspose(16, 4, 2, name="up"),
            layers.BatchNormalization(name="norm"),
            layers.DepthwiseConv2D(3, depth_multiplier=8, name="depthwise"),
            layers.SeparableConv2D(64, 3, name="separable"),
            layers.Reshape((-1, 64)),
            layers.LSTM(32, return_sequences=True, name="lstm"),
            layers.Dropout(0.1),
            layers.Dense(64, name="head"),
        ],
        name="net",
    )


FANS = {  # what one output sums
    "conv/kernel": 3 * 3 * 4,
    "up/kernel": 32 * 2 * 2,  # of 4 * 4 taps each output meets 2 * 2
    "depthwise/kernel": 9,
    "separable/depthwise_kernel": 9,
    "separable/pointwise_kernel": 128,
    "lstm/lstm_cell/kernel": 64,
    "lstm/lstm_cell/recurrent_kernel": 32,
    "head/kernel": 32,
}


def at(tree: Any, path: str) -> Any:
    for step in path.split("/"):
        tree = tree[step]
    return tree


def test_layouts_are_those_of_the_layers(model):
    assert reinitialize(KEY, model, RULES) is model
    _, params = forward(model)
    for path, fan in FANS.items():
        weight = at(params, f"net/{path}")
        assert has_std(weight, fan**-0.5), path
        assert not has_std(weight, 1.4 * fan**-0.5), path


def test_gates_have_the_fans_of_one():
    layer = layers.LSTM(32, name="lstm")
    layer.build((None, 5, 64))
    reinitialize(KEY, layer, {layers.LSTM: {"kernel": jaxinit.xavier_normal}})
    assert has_std(layer.cell.kernel.value, (2 / (64 + 32)) ** 0.5)


def test_attention():
    layer = layers.MultiHeadAttention(8, 16, name="attention")
    layer.build((None, 5, 64), (None, 5, 64))
    reinitialize(KEY, layer, RULES[:1] + RULES[2:])
    _, params = forward(layer)
    assert has_std(params["attention"]["query"]["kernel"], 64**-0.5)
    assert has_std(params["attention"]["attention_output"]["kernel"], 128**-0.5)


def test_forward(model):
    apply_fn, params = forward(model)
    x = spec(2, 8, 8, 16)
    uses = jaxinit.trace_params(apply_fn, params, x)
    assert uses["net/depthwise/kernel"].fans == jaxinit.Fans(9, 72)
    assert uses["net/head/kernel"].role == "weight"
    before = [v.value for v in model.non_trainable_variables]
    data = jax.random.normal(KEY, x.shape)
    training = jax.jit(partial(apply_fn, training=True))(params, data)
    assert training.shape == (2, 100, 64)
    assert not bool((training == jax.jit(apply_fn)(params, data)).all())
    after = [v.value for v in model.non_trainable_variables]
    assert all(a is b for a, b in zip(before, after, strict=True))  # nothing has moved


def test_variables_that_are_not_trained(model):
    with pytest.raises(ValueError) as error:
        reinitialize(KEY, model, [("**/moving_mean", jaxinit.zeros), *RULES])
    assert str(error.value) == (
        "keras.reinitialize: rules are for parameters; got match='**/moving_mean', which fits "
        "only net/norm/moving_mean (not trainable). Set that variable yourself."
    )
    with pytest.raises(ValueError) as error:
        reinitialize(KEY, model, {layers.LSTM: {"weight": jaxinit.zeros}})
    assert str(error.value) == (
        "keras.reinitialize: a layer must have the arrays that are named; got 'weight' for LSTM "
        "at net/lstm. It has kernel, recurrent_kernel, bias."
    )


def test_two_variables_of_one_path():
    class Two(keras.Model):
        def __init__(self, **options):
            super().__init__(**options)
            self.first, self.second = (layers.Dense(3, name="same") for _ in range(2))

        def call(self, x):
            return self.second(self.first(x))

    model = Two(name="two")
    model(jnp.ones((1, 3)))
    with pytest.raises(ValueError) as error:
        forward(model)
    assert str(error.value) == (
        "keras.forward: every variable needs a path of its own; got two/same/bias, "
        "two/same/kernel more than once. Give the layers different names."
    )


def test_another_backend_is_refused():
    code = """
        import sys, types
        keras = types.ModuleType("keras")
        keras.backend = types.SimpleNamespace(backend=lambda: "torch")
        sys.modules["keras"] = keras
        try:
            import jaxinit.keras
        except ImportError as error:
            print(error)
        sys.modules["keras"] = None
        try:
            import jaxinit.keras
        except ImportError as error:
            print(error)
    """
    command = [sys.executable, "-c", textwrap.dedent(code)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == (
        "jaxinit.keras: Keras must run on JAX; got the backend torch. "
        "Set KERAS_BACKEND=jax before Keras starts.\n"
        "jaxinit.keras: Keras must be installed and run on JAX; got no module named "
        "'keras'. Run: pip install keras, and set KERAS_BACKEND=jax\n"
    ), done.stderr
