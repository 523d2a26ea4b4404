"""Cold starts: few programs, compiled once, kept in JAX's persistent cache."""

import functools
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import jaxinit
from jaxinit._pieces import flatten_program, needed

KEY = jax.random.key(11)


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Count what JAX compiles inside."""
    counts: Counter[str] = Counter()

    def listen(event: str, duration: float, **_: Any) -> None:
        counts[event.rpartition("/")[2]] += 1

    listener: Any = listen
    jax.monitoring.register_event_duration_secs_listener(listener)
    try:
        yield counts
    finally:
        jax.monitoring.unregister_event_duration_listener(listener)


def spec(*shape: int) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, "float32")


def test_a_tree_of_thousands_of_leaves_compiles_one_program_a_shape():
    shapes = [(n + 13, n + 7) for n in range(6)]
    params = {f"layer{i}": {"w": spec(*shapes[i % 6]), "b": spec(5)} for i in range(1500)}
    rules = [("**/b", jaxinit.zeros), ("**", jaxinit.lecun_normal)]
    jaxinit.path_key(KEY, "warm")  # what JAX itself compiles to wrap a key
    with counted() as counts:
        made = jaxinit.initialize(KEY, params, rules)
    assert counts["backend_compile_duration"] <= 6
    key = jaxinit.path_key(KEY, "layer1203/w")
    alone = jaxinit.lecun_normal(key, shapes[1203 % 6], "float32")
    np.testing.assert_array_equal(made["layer1203"]["w"], alone, strict=True)


def test_gains_of_one_shape_share_a_program():
    gains = (0.5, 1.0, 1.5, 2.0)
    params = {f"w{i}": spec(23, 29) for i in range(4)}
    rules = [
        (f"w{i}", functools.partial(jaxinit.xavier_normal, gain=g))
        for i, g in enumerate(gains)
    ]
    with counted() as counts:
        jaxinit.initialize(KEY, params, rules)
    assert counts["backend_compile_duration"] <= 1


class Mlp(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        for _ in range(8):
            x = nn.relu(nn.BatchNorm(use_running_average=False)(nn.Dense(31)(x)))
        return nn.Dense(17)(x)


def test_materialize_compiles_one_program_a_distinct_draw():
    model, x = Mlp(), jnp.ones((2, 31))
    with counted() as counts:
        made = jaxinit.materialize(lambda k, x: model.init(k, x)["params"], KEY, x)
    assert counts["backend_compile_duration"] <= 4  # two shapes, and steps of the input
    expected = jax.jit(model.init)(KEY, x)["params"]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6), made, expected)


def test_materialize_runs_only_what_leaves_need():
    """The signal would ask for the values of x."""

    def init(key: jax.Array, x: jax.Array) -> Any:
        w = jax.random.normal(key, (3, 4))
        jnp.tanh(x @ w)
        return {"w": w}

    made = jaxinit.materialize(init, KEY, spec(2, 3))
    np.testing.assert_allclose(made["w"], jax.random.normal(KEY, (3, 4)), rtol=1e-6)


def test_steps_that_a_result_needs():
    program = jax.make_jaxpr(lambda x: (jnp.sin(x), jnp.exp(jnp.cos(x))))(1.0)
    steps, (one, other) = flatten_program(program)
    names = [[steps[n].primitive.name for n in needed(steps, [r])] for r in (one, other)]
    assert names == [["sin"], ["cos", "exp"]]
    (before,) = steps[other[1][0]].inputs
    assert needed(steps, [other], {before}) == [other[1][0]]


@pytest.mark.parametrize("kind", ["plain", "fused", "legacy", "philox"])
def test_materialize_takes_every_kind_of_key(kind):
    def init(key: jax.Array) -> Any:
        first, second = jax.random.split(key)
        folded = jax.random.fold_in(second, 3)
        return {"a": jax.random.normal(first, (5,)), "b": jax.random.uniform(folded, (3,))}

    keys = {"plain": KEY, "fused": jaxinit.fused_key(KEY), "legacy": jax.random.PRNGKey(11)}
    if kind == "philox":
        try:
            key = jax.random.key(11, impl="philox4x32")
        except ValueError:
            pytest.skip("this JAX has no Philox keys")
    else:
        key = keys[kind]
    made, expected = jaxinit.materialize(init, key), jax.jit(init)(key)
    for name in "ab":
        np.testing.assert_allclose(made[name], expected[name], rtol=1e-6, atol=1e-7)


SECOND_RUN = """
import collections, jax, jaxinit
counts = collections.Counter()
jax.monitoring.register_event_listener(lambda name, **_: counts.update([name]))
shape = jax.ShapeDtypeStruct((40, 50), "float32")
jaxinit.initialize(jax.random.key(0), {"w": shape}, [("w", jaxinit.lecun_normal)])
jaxinit.materialize(lambda k: jax.random.normal(k, (30, 40)), jax.random.key(1))
print(counts["/jax/compilation_cache/cache_misses"])
"""


def test_a_second_process_compiles_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    monkeypatch.setenv("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
    runs = [
        subprocess.run(
            [sys.executable, "-c", SECOND_RUN], capture_output=True, text=True, check=True
        )
        for _ in range(2)
    ]
    first, second = (int(run.stdout) for run in runs)
    assert first > 0
    assert second == 0
