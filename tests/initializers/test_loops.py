"""The axes that a draw is computed in: long innermost loops, the same bits."""

import dataclasses
import math
import os
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit
from jaxinit._draw import Draw, loop_shape

KEY = jax.random.key(3)


@pytest.mark.parametrize("shape", [(1 << 15, 3), (2,) * 17, (1 << 14, 5, 1)])
@pytest.mark.parametrize("dtype", ["float32", "complex64"])
def test_bits_are_those_of_the_flat_array(shape: tuple[int, ...], dtype: str) -> None:
    outside = jaxinit.normal(KEY, shape, dtype, mean=0.5)
    inside = jax.jit(lambda k: jaxinit.normal(k, shape, dtype, mean=0.5))(KEY)
    flat = jaxinit.normal(KEY, (math.prod(shape),), dtype, mean=0.5)
    assert outside.shape == shape
    np.testing.assert_array_equal(outside, inside)
    np.testing.assert_array_equal(outside.reshape(-1), flat)
    closed_over = jax.jit(lambda x: x + jaxinit.normal(KEY, shape, dtype, mean=0.5))
    np.testing.assert_array_equal(closed_over(jnp.zeros(shape, dtype)), outside)


@pytest.mark.parametrize(
    ("shape", "loops"),
    [
        ((1 << 22, 3), (1 << 17, 96)),
        ((2,) * 20, (*(2,) * 14, 1, 64)),
        ((512, 256, 3, 3), (512, 16, 144)),
        ((50257, 63), (1733, 1827)),
        ((1, 1 << 20, 5), (1, 1 << 16, 80)),
        ((4096, 768), (4096, 768)),
        ((1 << 15, 8), (1 << 15, 8)),
        ((1 << 20, 5, 1), (1 << 20, 5, 1)),
        ((100, 3), (100, 3)),
        ((524287, 3), (524287, 3)),
        ((), ()),
    ],
)
def test_innermost_loops_are_long(shape: tuple[int, ...], loops: tuple[int, ...]) -> None:
    assert loop_shape(Draw("normal", shape, np.dtype("float32"))) == loops


def test_long_arrays_are_divided_evenly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    flat = Draw("normal", (1 << 20,), np.dtype("float32"))
    assert loop_shape(flat) == (1 << 14, 64)
    assert loop_shape(dataclasses.replace(flat, shape=(12 << 20,))) == (12 << 20,)


def test_a_draw_in_other_axes_is_a_call_of_its_own_without_temporaries() -> None:
    program = jax.jit(lambda k: jaxinit.normal(k, (1 << 16, 3), "bfloat16"))
    assert 'inlineable = "false"' in program.lower(KEY).as_text()
    elsewhere = program.trace(KEY).lower(lowering_platforms=("cuda",))
    assert "inlineable" not in elsewhere.as_text()
    compiled = program.lower(KEY).compile()
    entry = str(compiled.as_text()).partition("ENTRY")[2]
    assert re.search(r"bf16\[2048,96\]\S* call\(", entry)
    assert re.search(r"ROOT \S+ = bf16\[65536,3\]\S* bitcast\(", entry)
    analysis = compiled.memory_analysis()
    assert analysis is not None
    assert analysis.temp_size_in_bytes < 1024
