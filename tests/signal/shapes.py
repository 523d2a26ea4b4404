"""Keys, shapes and refusals for tests of what is computed without data."""

import re

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jaxinit._gaussian import host_float64
from jaxinit.signal import autoinit
from jaxinit.trace.moments.numbers import Conventions
from jaxinit.trace.moments.reading import Reading
from jaxinit.trace.moments.values import Unknown, as_spread, input_value

KEY = jax.random.key(7)
KEYS = jax.random.split(KEY, 12)
SE = 6.5
"""Standard errors allowed: false alarm below 1e-4 for Student's t of 11 degrees."""


def shape(*lengths, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(lengths, dtype)


def zeros(*lengths):
    return jnp.zeros(lengths, jnp.float32)


def tracked(function, *shapes):
    """Return the distribution of the function's entries, of standard normal inputs."""
    closed = jax.make_jaxpr(function)(*(shape(*s) for s in shapes))

    def refuse(_leaf, why):
        raise AssertionError(why)

    reading = Reading(Conventions(alike=False, refuse=refuse, mean=False))
    with host_float64():
        avals = [variable.aval for variable in closed.jaxpr.invars]
        nodes = [reading.drawn(input_value(aval), aval) for aval in avals]
        (node,) = reading.run(closed, nodes)
        found, _ = reading.force(node)
    assert not isinstance(found, Unknown), found.why
    return as_spread(found)


def layer_norm(x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)


def reject(error, text, *args, **options):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        autoinit(*args, **options)


def pool(x, kind, initial, window=2, padding="VALID"):
    windows = (1, window, window, 1)
    return lax.reduce_window(x, initial, kind, windows, (1, 2, 2, 1), padding)
