"""A model's function is run once, whatever is asked of it; large tables cost little."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit import auto, trace_params
from jaxinit.signal import autoinit, lsuv, study_model
from jaxinit.trace.moments.distribution import constant

PARAMS = {"w": jnp.ones((8, 16), jnp.float32), "v": jnp.ones((16, 4), jnp.float32)}
X = jax.random.normal(jax.random.key(0), (6, 8), jnp.float32)
ASKED = {
    "trace_params": lambda f: trace_params(f, PARAMS, X),
    "auto": lambda f: auto(f, PARAMS, X),
    "study_model": lambda f: study_model(f, PARAMS, X, seeds=2),
    "autoinit": lambda f: autoinit(f, PARAMS, X, key=jax.random.key(1)),
    "autoinit without data": lambda f: autoinit(
        f, PARAMS, jax.ShapeDtypeStruct(X.shape, X.dtype), key=jax.random.key(1)
    ),
    "lsuv": lambda f: lsuv(f, PARAMS, X),
}


@pytest.mark.parametrize("name", ASKED)
def test_the_function_is_run_once(name):
    runs = []

    def apply(p, x):
        runs.append(x)
        return jnp.tanh(x @ p["w"]) @ p["v"]

    ASKED[name](apply)
    assert len(runs) == 1


def test_a_large_constant_is_known_by_a_part_of_it():
    table = np.random.default_rng(0).normal(0.5, 2.0, (4096, 300)).astype(np.float32)
    table[17] = 100  # one row that no small part need hold
    found = constant(table)
    assert found.values.size <= 256
    exact = float(np.square(table, dtype=np.float64).mean())
    assert found.square() == pytest.approx(exact, rel=0.01)
    assert constant(table[:64]).square() == pytest.approx(
        float(np.square(table[:64], dtype=np.float64).mean()), rel=1e-6
    )
