"""Gains against reference numbers of 25 digits and against PyTorch's table."""

import dataclasses
import functools
import gc
import json
import math
import pathlib
import re
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit._activations import ACTIVATION_NAMES, activation, is_own
from jaxinit._gains import GAIN_NAMES, calculate_gain
from jaxinit._gaussian import resolve

GOLDEN = json.loads((pathlib.Path(__file__).parent / "data/gains.json").read_text())
CRITERIA = {"forward": "forward", "centered": "centred", "backward": "backward"}
RENAMED = {
    "leaky_relu_sqrt5": ("leaky_relu", math.sqrt(5)),
    "tanhshrink": ("tanh_shrink", None),
}


def exactly(text):
    return f"^{re.escape(text)}$"


def name_and_param(golden_name):
    if golden_name in RENAMED:
        return RENAMED[golden_name]
    head, _, tail = golden_name.rpartition("_")
    try:
        return head, float(tail)
    except ValueError:
        return golden_name, None


@pytest.mark.parametrize("golden_name", GOLDEN["activations"])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_names_and_callables(golden_name, criterion):
    name, param = name_and_param(golden_name)
    entry = GOLDEN["activations"][golden_name]
    want = float(entry[f"{CRITERIA[criterion]}_gain"])
    got = calculate_gain(name, param, criterion=criterion)
    np.testing.assert_allclose(got, want, rtol=1e-12)
    function = activation(name, param)
    computed = calculate_gain(function, criterion=criterion)
    np.testing.assert_allclose(computed, want, rtol=1e-12)


def test_every_plain_name_has_a_reference():
    known = {name_and_param(name)[0] for name in GOLDEN["activations"]}
    assert {"gelu", "silu", "elu", "mish", "softplus", "hard_swish"} <= known
    aliases = {calculate_gain(n, criterion="forward") for n in ACTIVATION_NAMES}
    references = {float(e["forward_gain"]) for e in GOLDEN["activations"].values()}
    for gain in aliases:
        assert min(abs(gain - r) for r in references) < 1e-12


@pytest.mark.parametrize("name", [n for n in GOLDEN["glu"] if n != "_about"])
def test_gated_units(name):
    entry = GOLDEN["glu"][name]
    product = float(entry["forward_gain_product"])
    fused = float(entry["backward_gain_fused"])
    np.testing.assert_allclose(calculate_gain(name), product, rtol=1e-13)
    np.testing.assert_allclose(
        calculate_gain(name, criterion="centered"), product, rtol=1e-13
    )
    np.testing.assert_allclose(
        calculate_gain(name, criterion="backward"), fused, rtol=1e-13
    )


def test_pytorch_table():
    ones = ["linear", "sigmoid"]
    ones += [f"conv{t}{n}d" for t in ("", "_transpose") for n in (1, 2, 3)]
    assert all(calculate_gain(name) == 1.0 for name in ones)
    assert calculate_gain("tanh") == 5 / 3
    assert calculate_gain("relu") == math.sqrt(2.0)
    assert calculate_gain("selu") == 0.75
    assert calculate_gain("leaky_relu") == math.sqrt(2 / (1 + 0.01**2))
    assert calculate_gain("leaky_relu", 0) == math.sqrt(2.0)
    assert calculate_gain("leaky_relu", math.sqrt(5)) == math.sqrt(2 / 6.000000000000001)
    assert calculate_gain("tanh", 0.3) == 5 / 3  # PyTorch ignores it too


@pytest.mark.parity
def test_pytorch_itself():
    torch = pytest.importorskip("torch")
    for name in ["linear", "conv2d", "conv_transpose3d", "sigmoid", "tanh", "relu", "selu"]:
        assert calculate_gain(name) == torch.nn.init.calculate_gain(name)
    for slope in [None, 0, 1, 0.2, -0.5, math.sqrt(5), 1e-3]:
        want = torch.nn.init.calculate_gain("leaky_relu", slope)
        assert calculate_gain("leaky_relu", slope) == want
    for slope in [True, "0.2"]:
        with pytest.raises(ValueError, match="not a valid number"):
            torch.nn.init.calculate_gain("leaky_relu", slope)
        with pytest.raises(ValueError, match="must be a number"):
            calculate_gain("leaky_relu", slope)


def test_a_criterion_overrides_the_convention():
    tanh = GOLDEN["activations"]["tanh"]
    forward = calculate_gain("tanh", criterion="forward")
    assert forward == pytest.approx(float(tanh["forward_gain"]), abs=1e-14)
    assert calculate_gain("selu", criterion="forward") == pytest.approx(1.0, abs=1e-14)
    assert calculate_gain("sigmoid", criterion="forward") > 1.8


def test_in_a_trace_and_in_either_precision():
    want = float(GOLDEN["activations"]["gelu"]["forward_gain"])
    gelu = functools.partial(jax.nn.gelu, approximate=False)
    traced = jax.jit(lambda x: x * calculate_gain(gelu))
    np.testing.assert_allclose(traced(1.0), want, rtol=1e-6)
    with jax.enable_x64(not jax.config.read("jax_enable_x64")):
        assert calculate_gain(gelu) == pytest.approx(want, abs=1e-14)
    under_vmap = jax.vmap(lambda x: x * calculate_gain(gelu))
    np.testing.assert_allclose(under_vmap(jnp.ones(2)), want, rtol=1e-6)


def test_numpy_and_unhashable_callables():
    want = float(GOLDEN["activations"]["tanh"]["forward_gain"])
    assert calculate_gain(np.tanh) == pytest.approx(want, abs=1e-14)

    class Unhashable:
        __hash__ = None  # pyright: ignore[reportAssignmentType]

        def __call__(self, x):
            return jnp.tanh(x)

    assert calculate_gain(Unhashable()) == pytest.approx(want, abs=1e-14)


def test_a_wrong_gain_is_told():
    """The tolerance of this file rejects what a coarse rule would give."""
    x, w = np.polynomial.hermite_e.hermegauss(32)
    coarse = float(1 / np.sqrt(w / w.sum() @ np.tanh(x) ** 2))
    assert abs(coarse - calculate_gain(jnp.tanh)) > 1e-12


REFUSALS = [
    (
        ("rellu",),
        ValueError,
        "calculate_gain: nonlinearity must be one of " + ", ".join(GAIN_NAMES) + "; "
        "got nonlinearity='rellu'. Did you mean 'relu'?",
    ),
    (
        (3,),
        TypeError,
        "calculate_gain: nonlinearity must be a name or a function; got "
        'nonlinearity=3. Give for example "relu" or jax.numpy.tanh.',
    ),
    (
        ("leaky_relu", True),
        ValueError,
        "calculate_gain: param, the negative slope, must be a number; got param=True. "
        "Give a float.",
    ),
    (
        ("leaky_relu", "0.2"),
        ValueError,
        "calculate_gain: param, the negative slope, must be a number; got param='0.2'. "
        "Give a float.",
    ),
    (
        ("elu", True),
        TypeError,
        "calculate_gain: param must be a number; got param=True. Give a float.",
    ),
    (
        ("elu", -1.0),
        ValueError,
        "calculate_gain: param must be a finite number, at least 0; got param=-1. "
        "Give a value in that range.",
    ),
    (
        ("gelu", 0.1),
        ValueError,
        "calculate_gain: gelu has no parameter; got param=0.1. Leave it out.",
    ),
    (
        (jnp.tanh, 0.1),
        ValueError,
        "calculate_gain: a function takes no param; got param=0.1. Bind it: "
        "functools.partial(function, param).",
    ),
]


@pytest.mark.parametrize(("args", "kind", "text"), REFUSALS)
def test_refusals(args, kind, text):
    with pytest.raises(kind, match=exactly(text)):
        calculate_gain(*args)


def test_refused_moments():
    cases = [
        (
            lambda x: 0 * x,
            "forward",
            ValueError,
            "calculate_gain: E f(z)^2 must be positive and finite to have a gain; got "
            "zero. Choose another criterion or another function.",
        ),
        (
            lambda x: 0 * x + 0.5,
            "centered",
            ValueError,
            "calculate_gain: Var f(z) must be positive and finite to have a gain; got "
            "zero. Choose another criterion or another function.",
        ),
        (
            lambda x: jnp.sqrt(jnp.abs(x)),
            "backward",
            ValueError,
            "calculate_gain: E f'(z)^2 must be positive and finite to have a gain; got "
            "an infinite one. Choose another criterion or another function.",
        ),
        (
            np.tanh,
            "backward",
            TypeError,
            'calculate_gain: criterion="backward" needs a function that JAX can '
            "differentiate; got a function in NumPy. Write it with jax.numpy instead "
            "of numpy.",
        ),
        (
            "gelu",
            "forwards",
            ValueError,
            "calculate_gain: criterion must be one of forward, centered, backward; got "
            "criterion='forwards'. Did you mean 'forward'?",
        ),
    ]
    for nonlinearity, criterion, kind, text in cases:
        with pytest.raises(kind, match=exactly(text)):
            calculate_gain(nonlinearity, criterion=criterion)
    assert calculate_gain(lambda x: jnp.sqrt(jnp.abs(x))) == pytest.approx(
        (2 / math.pi) ** -0.25, abs=1e-12
    )


def test_functions_are_read_anew_and_not_kept() -> None:
    class Scaled:
        factor = 1.0

        def __call__(self, x: jax.Array) -> jax.Array:
            return self.factor * jax.numpy.tanh(x)

    function = Scaled()
    once = calculate_gain(function)
    function.factor = 2.0
    assert calculate_gain(function) == pytest.approx(once / 2)
    reference = weakref.ref(function)
    del function
    gc.collect()
    assert reference() is None


NO_GAIN = {
    "softmax": (jax.nn.softmax, "ValueError: axis -1 is out of bounds"),
    "glu": (jax.nn.glu, "IndexError: tuple index out of range"),
    "first": (lambda x: x[0], "IndexError: Too many indices"),
    "centred": (lambda x: x - x.mean(), "one that gives other values for an array"),
}


@pytest.mark.parametrize("name", NO_GAIN)
def test_functions_that_mix_elements_are_refused(name: str) -> None:
    function, got = NO_GAIN[name]
    with pytest.raises(TypeError) as error:
        calculate_gain(function)
    assert str(error.value).startswith(
        "calculate_gain: the function must act on every element of an array on its own; got "
        + got
    )


def test_complex_functions_are_refused() -> None:
    with pytest.raises(TypeError) as error:
        calculate_gain(lambda x: jax.lax.complex(x, x))
    assert str(error.value) == (
        "calculate_gain: the function must give one real number for one number; got a result "
        "of dtype complex128. Write it with jax.numpy, element by element."
    )


@pytest.mark.parametrize("width", [0.1, 0.2])
def test_features_of_the_stated_width_are_found(width: float) -> None:
    """A bump anywhere, a twentieth of its distance from 0 wide or wider, is seen."""
    for centre in (0.31, 1.2345, 1.9, 2.71):
        half = width * centre / 2

        def bumped(x: jax.Array, centre: float = centre, half: float = half) -> jax.Array:
            return x + jax.numpy.where(abs(x - centre) < half, 30.0, 0.0)

        x = np.linspace(-12, 12, 2_400_001)
        density = np.exp(-x * x / 2) / math.sqrt(2 * math.pi)
        values = x + np.where(abs(x - centre) < half, 30.0, 0.0)
        expected = (density * values**2).sum() * (x[1] - x[0])
        assert calculate_gain(bumped) == pytest.approx(expected**-0.5, rel=1e-4)


def test_own_functions_are_known_and_others_are_not() -> None:
    """What is the library's is computed once; a user's may change, or have no hash."""

    @dataclasses.dataclass(frozen=True)
    class Scaled:
        factor: np.ndarray

        def __call__(self, x: jax.Array) -> jax.Array:
            return float(self.factor) * x

    assert all(is_own(activation(name)) for name in ACTIVATION_NAMES)
    assert is_own(activation("leaky_relu", 0.3))
    scaled = Scaled(np.array(0.5))
    assert not is_own(scaled)
    assert not is_own(lambda x: x)
    assert calculate_gain(scaled) == pytest.approx(2)
    assert resolve(activation("leaky_relu", 0.3)) is resolve(activation("leaky_relu", 0.3))
