"""Recurrent cells of every library, gate by gate."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

import jaxinit.equinox
import jaxinit.flax
from jaxinit import presets

KEY = jax.random.key(0)
KEEP = ("**", jaxinit.keep)


@pytest.fixture(autouse=True)
def lenient_promotion():
    with jax.numpy_dtype_promotion("standard"):
        yield


def are_orthogonal(array: Any, gates: int, axis: int) -> bool:
    blocks = np.split(np.asarray(array, np.float64), gates, axis)
    return all(np.allclose(w @ w.T, np.eye(len(w)), atol=1e-5) for w in blocks)


def is_xavier(array: Any, inputs: int, outputs: int) -> bool:
    bound = (6 / (inputs + outputs)) ** 0.5
    return 0.98 * bound < float(abs(jnp.asarray(array)).max()) <= bound * 1.0001


def test_nnx_lstm():
    cell = nnx.OptimizedLSTMCell(64, 32, rngs=nnx.Rngs(0))
    before: Any = cell.dense_h.kernel[...]
    assert not are_orthogonal(before, 4, 1)  # Flax: one semi-orthogonal matrix
    rules = presets.lstm(
        kernel="dense_i/kernel", recurrent="dense_h/kernel", bias="dense_h/bias"
    )
    jaxinit.flax.reinitialize(KEY, cell, [*rules, KEEP])
    assert are_orthogonal(cell.dense_h.kernel[...], 4, 1)
    assert is_xavier(cell.dense_i.kernel[...], 64, 32)
    made: Any = cell.dense_h.bias
    bias = np.asarray(made[...]).reshape(4, 32)
    np.testing.assert_array_equal(bias, [[0] * 32, [1] * 32, [0] * 32, [0] * 32])


def test_the_forget_gate_is_where_the_library_has_it():
    """Close it, and a cell of each library forgets its state."""
    cell = eqx.nn.LSTMCell(8, 4, key=KEY)
    fields = {"kernel": "weight_ih", "recurrent": "weight_hh", "bias": "bias"}
    rules = presets.lstm(**fields, layout="OI", forget_bias=-50.0)
    shut = jaxinit.equinox.reinitialize(KEY, cell, rules)
    assert are_orthogonal(shut.weight_hh, 4, 0)
    state = (jnp.zeros(4), jnp.full(4, 100.0))
    assert float(abs(shut(jnp.zeros(8), state)[1]).max()) < 1e-3
    opened = presets.lstm(**fields, layout="OI", forget_bias=50.0)
    held = jaxinit.equinox.reinitialize(KEY, cell, opened)(jnp.zeros(8), state)[1]
    np.testing.assert_allclose(held, 100.0, rtol=0.02)


def test_linen_lstm_has_arrays_for_each_gate():
    cell = nn.LSTMCell(32)
    x = jnp.ones((1, 64))
    carry = cell.initialize_carry(KEY, x.shape)
    params = jax.eval_shape(cell.init, KEY, carry, x)["params"]
    rules = presets.lstm(
        kernel="i?/kernel",
        recurrent="h?/kernel",
        bias="h?/bias",
        forget="hf/bias",
        gates=None,
    )
    new = jaxinit.initialize(KEY, params, rules)
    assert are_orthogonal(new["hg"]["kernel"], 1, 1)
    assert is_xavier(new["if"]["kernel"], 64, 32)
    assert bool((new["hf"]["bias"] == 1).all())
    assert not new["hi"]["bias"].any()


def test_gru():
    cell = eqx.nn.GRUCell(64, 32, key=KEY)
    rules = presets.gru(
        kernel="weight_ih", recurrent="weight_hh", bias="bias*", layout="OI"
    )
    # Equinox has a second bias, of one gate: it is 0 as well.
    new = jaxinit.equinox.reinitialize(KEY, cell, [("bias_n", jaxinit.zeros), *rules])
    assert are_orthogonal(new.weight_hh, 3, 0)
    assert is_xavier(new.weight_ih, 64, 32)
    assert not new.bias.any()


def test_errors():
    with pytest.raises(ValueError) as error:
        presets.lstm(gates="iofx")
    assert str(error.value) == (
        "lstm: gates must be the letters i, f, g and o in their order, or None; "
        "got gates='iofx'. Write gates=\"ifgo\"."
    )
    with pytest.raises(ValueError) as error:
        presets.lstm(forget="hf/bias")
    assert str(error.value) == (
        "lstm: forget is for gates that are arrays of their own; got gates='ifgo' too. "
        "Leave out one of the two."
    )
