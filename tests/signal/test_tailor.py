"""Tailored activations against the reference package, their equations, and a study."""

import json
import math
import pathlib
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit.signal import correlation_map, moments, study, tailor
from jaxinit.signal.asserts import assert_kept

GOLDEN = json.loads((pathlib.Path(__file__).parent.parent / "data/dks.json").read_text())
FUNCTIONS = {
    "swish": "silu",
    "gelu_exact": lambda x: jax.nn.gelu(x, approximate=False),
    "erf": jax.scipy.special.erf,
    "atan": jnp.arctan,
}


def row_id(row):
    return f"{row['activation']}-{row['method']}-{row['depth']}"


@pytest.mark.parametrize("row", GOLDEN["rows"], ids=row_id)
def test_the_reference_package(row):
    name = row["activation"]
    made = tailor(FUNCTIONS.get(name, name), row["depth"], method=row["method"].lower())
    with jax.enable_x64(True):
        x = jnp.asarray(GOLDEN["x"], jnp.float64)
        found, mirrored = np.asarray(made(x)), -np.asarray(made(-x))
    # The reference integrates over the kink of elu without a break.
    atol = 2e-6 if name == "elu" else 1e-8
    symmetric = name in ("tanh", "erf", "atan", "sigmoid")
    errors = [np.abs(y - row["values"]).max() for y in (found, mirrored)]
    assert min(errors if symmetric else errors[:1]) < atol


@pytest.mark.parametrize(("name", "depth"), [("tanh", 10), ("softplus", 100), ("elu", 10)])
def test_conditions_by_mean_field_theory(name, depth):
    def slope(c, function):
        return correlation_map(function, c, 1.0, 1.0, 0.0)[1]

    for method in ("tat", "dks"):
        made = tailor(name, depth, method=method)
        at = moments(made, 1.0)
        assert float(at.square) == pytest.approx(1, abs=1e-8)
        assert float(at.growth) == pytest.approx(1, abs=1e-8)
        if method == "dks":
            assert float(at.slope_square) ** depth == pytest.approx(1.5, abs=1e-5)
            assert correlation_map(made, 0.0, 1.0, 1.0, 0.0)[0] == pytest.approx(
                0, abs=1e-8
            )
        else:
            assert float(at.slope_square) == pytest.approx(1, abs=1e-8)
            step = 1e-3  # c'' at 1 from one side; elu's has a root there
            curved = (slope(1.0, made) - slope(1 - step, made)) / step
            assert depth * curved == pytest.approx(0.3, rel=0.05)
        # The equations hold for this depth and no other.
        other = moments(tailor(name, 2 * depth, method=method), 1.0)
        assert (
            abs(float(other.mean - at.mean))
            + abs(float(other.slope_square - at.slope_square))
            > 1e-6
        )


def test_leaky_relu_reaches_its_correlation():
    made = tailor("relu", 30, correlation=0.7)
    c = 0.0
    for _ in range(30):
        c = correlation_map(made, c, 1.0, 1.0, 0.0)[0]
    assert c == pytest.approx(0.7, abs=1e-9)
    shallow = tailor("relu", 1)  # the ReLU itself: nothing bends more
    assert float(shallow(jnp.float32(-1.0))) == 0
    assert float(shallow(jnp.float32(1.0))) == pytest.approx(math.sqrt(2))


def test_a_deep_network_keeps_its_signal():
    settings = {"depth": 40, "width": 256, "seeds": 2, "batch": 2, "correlation": 0.2}
    made = tailor("tanh", 40)
    deep = study(made, "lecun_normal", **settings)
    assert_kept(deep, within=0.5)
    assert_kept(deep, within=0.5, quantity="log10_grad")
    apart = deep.values["correlation"][:, -1]
    assert (apart < 0.9).all()
    plain = study("tanh", "lecun_normal", **settings)
    assert plain.band("log10_std").median[-1] < -0.7
    assert deep.label == "tat(tanh, 40), lecun_normal"


def test_sixteen_bits():
    made = tailor("tanh", 100)
    x = jnp.linspace(-2, 2, 101, dtype=jnp.bfloat16)
    assert made(x).dtype == jnp.bfloat16
    error = jnp.abs(made(x).astype(jnp.float32) - made(x.astype(jnp.float32)))
    assert float(error.max()) < 2**-7


REFUSALS = [
    (lambda: tailor("tanh", 0), "depth must be an int, at least 1"),
    (lambda: tailor("tanh", 10, method="TAT"), "method must be one of tat, dks"),  # pyright: ignore[reportArgumentType]
    (lambda: tailor("relu", 10, method="dks"), 'Take method="tat".'),
    (lambda: tailor("tanh", 10, method="dks", slope=1.0), "slope must be above 1; got 1."),
    (lambda: tailor("tanh", 10, curvature=0.0), "curvature must be above 0; got 0."),
    (lambda: tailor("tanhh", 10), "Did you mean 'tanh'?"),
    (lambda: tailor("tanh", 2, method="dks", slope=1e9), "which has none"),
]


@pytest.mark.parametrize(("call", "text"), REFUSALS)
def test_refusals(call, text):
    with pytest.raises(ValueError, match=f"^tailor: .*{re.escape(text)}"):
        call()
