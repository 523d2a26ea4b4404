"""What comes before and around the draw: import, first call, compilation, call overhead."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import numpy as np

import jaxinit
from benchmarks._timing import Row, fresh_process, paired, seconds, summary

_FIRST_CALL = """
import time
import jax
import jaxinit
key = jax.block_until_ready(jax.random.key(0))
start = time.perf_counter()
jax.block_until_ready({call}(key, (512, 512)))
print(time.perf_counter() - start)
"""

_IMPORT = """
import time
start = time.perf_counter()
import jax
middle = time.perf_counter()
import jaxinit
print(middle - start, time.perf_counter() - middle)
"""

_CASES = (
    ("normal", "jax.nn.initializers.normal()"),
    ("kaiming_normal", "jax.nn.initializers.he_normal()"),
    ("kaiming_uniform", "jax.nn.initializers.he_uniform()"),
    ("variance_scaling", "jax.nn.initializers.lecun_normal()"),
    ("orthogonal", "jax.nn.initializers.orthogonal()"),
)
"""Ours, and what JAX users call for the same purpose (he_normal is truncated there)."""


def run(quick: bool) -> Iterator[Row]:
    """Measure the start."""
    yield _import_time(3 if quick else 9)
    for ours, theirs in _CASES[: 2 if quick else None]:
        yield _first_call(ours, theirs, 3 if quick else 9)
    for ours, theirs in _CASES[: 2 if quick else None]:
        yield _compile_time(ours, theirs, 3 if quick else 9)
    for ours, theirs in _CASES[:-1]:
        yield _call_overhead(ours, theirs, quick)


def _import_time(runs: int) -> Row:
    times = [fresh_process(_IMPORT) for _ in range(runs)]
    return summary(
        "import jaxinit, after import jax",
        [ours for _, ours in times],
        [theirs for theirs, _ in times],
        against="import jax",
        note="Fresh processes.",
    )


def _first_call(ours: str, theirs: str, runs: int) -> Row:
    mine, other = [], []
    for turn in range(runs):
        sides = [(f"jaxinit.{ours}", mine), (theirs, other)]
        for call, into in sides if turn % 2 == 0 else reversed(sides):
            into.extend(fresh_process(_FIRST_CALL.format(call=call)))
    return summary(
        f"{ours}: first call in a fresh process, (512, 512)",
        mine,
        other,
        against=theirs,
        goal=1.0,
        note="After import; the key is made before.",
    )


def _resolve(theirs: str) -> Callable[..., Any]:
    return getattr(jax.nn.initializers, theirs.removesuffix("()").rpartition(".")[2])()


def _compile_time(ours: str, theirs: str, runs: int) -> Row:
    key = jax.random.key(0)

    def compile_anew(draw: Callable[..., Any]) -> None:
        jax.clear_caches()
        jax.jit(partial(draw, shape=(512, 512), dtype=np.float32)).lower(key).compile()

    mine, other = [], []
    sides = [(getattr(jaxinit, ours), mine), (_resolve(theirs), other)]
    for turn in range(-1, runs):
        for draw, into in sides if turn % 2 == 0 else reversed(sides):
            took = seconds(partial(compile_anew, draw))
            if turn >= 0:  # the first turn warms the compiler up
                into.append(took)
    name = f"{ours}: trace and compile, (512, 512)"
    return summary(name, mine, other, against=theirs, note="Caches cleared each time.")


def _call_overhead(ours: str, theirs: str, quick: bool) -> Row:
    key, shape = jax.random.key(0), (64, 64)
    return paired(
        f"{ours}: eager call, warm, {shape}",
        partial(getattr(jaxinit, ours), key, shape),
        partial(_resolve(theirs), key, shape),
        against=f"{theirs}, made once",
        pairs=7 if quick else 31,
        calls=20 if quick else 100,
        goal=1.0,
    )
