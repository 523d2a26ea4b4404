"""The assertions under jit, vmap and sharding."""

import math
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxinit import asserts
from jaxinit.asserts import Distribution
from jaxinit.asserts._moments import measure as measure_moments
from tests.asserts.oracles import EXPECTED, draws, orthonormal, rejected, tree


def chexified(check):
    return chex.chexify(jax.jit(check), async_check=False)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "complex64"])
def test_under_jit(dtype: str) -> None:
    x = jnp.asarray(draws("normal", (300, 700), 31, complex_=dtype == "complex64"), dtype)
    run = chexified(lambda x: asserts.assert_distribution(x, Distribution(1.0)))
    run(x)
    for wrong in (x * 1.05, x + 0.05, x.at[3, 4].set(math.nan)):
        assert rejected(run, wrong.astype(dtype)).startswith(
            "[Chex] chexify assertion 'assert_distribution' failed: the "
        )


def test_sums_under_jit_are_exact_enough() -> None:
    x = draws("normal", (2**22,), 32).astype(np.float32)
    exact = np.mean(x.astype(np.float64) ** 2)
    square = jax.jit(lambda x: measure_moments(x, Distribution(1.0)).square)
    assert abs(float(square(x)) - exact) < 1e-6


def test_orthogonality_and_trees_under_jit() -> None:
    q = orthonormal(64, 32)
    run = chexified(asserts.assert_orthogonal)
    run(q.astype(np.float32))
    rejected(run, 1.01 * q.astype(np.float32))
    check = chexified(lambda params: asserts.assert_tree(params, EXPECTED))
    check(tree())
    wrong = tree()
    wrong["head"][1] += 1
    assert rejected(check, wrong) == (
        "[Chex] chexify assertion 'assert_tree' failed: head/1: every value must be 1"
        " in float32; got largest_difference=1.0. (`check` failed)"
    )


def test_under_vmap_inside_jit() -> None:
    x = jnp.asarray(draws("normal", (4, 1000), 33), np.float32)
    run = chexified(jax.vmap(lambda x: asserts.assert_variance(x, 1.0)))
    run(x)
    rejected(run, x.at[2].multiply(2))


def test_a_sharded_array_is_not_gathered() -> None:
    mesh = jax.make_mesh((4, 2), ("a", "b"), axis_types=(AxisType.Auto,) * 2)
    x = jnp.asarray(draws("normal", (400, 500), 34), np.float32)
    x = jax.device_put(x, NamedSharding(mesh, PartitionSpec("a", "b")))
    moments = jax.jit(lambda x: measure_moments(x, Distribution(1.0)).square)
    text = moments.lower(x).compile().as_text() or ""
    assert "all-reduce" in text
    gathered = re.findall(r"= f32\[([\d,]+)\]\S* all-gather", text)
    assert max((math.prod(map(int, s.split(","))) for s in gathered), default=0) < 1000
    run = chexified(lambda x: asserts.assert_distribution(x, Distribution(1.0)))
    run(x)
    rejected(run, 1.05 * x)


def test_shapes_under_jit_need_no_chexify() -> None:
    check = jax.jit(lambda x: asserts.assert_array(x, (3, None), np.float32, rank=2))
    check(jnp.zeros((3, 4), np.float32))
    rejected(check, jnp.zeros((4, 3), np.float32))


def test_without_chexify_a_trace_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"chex\.chexify"):
        jax.jit(lambda x: asserts.assert_mean(x, std=1.0))(jnp.zeros(3))


def test_chex_can_silence_them() -> None:
    chex.disable_asserts()
    try:
        asserts.assert_mean(np.full(100, 9.0), std=1.0)
        jax.jit(lambda x: asserts.assert_mean(x, std=2.0))(jnp.zeros(3))
    finally:
        chex.enable_asserts()
    rejected(asserts.assert_mean, np.full(100, 9.0), std=1.0)
