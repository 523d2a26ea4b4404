"""Compiled programs that several benchmarks time, and the limits that memory sets."""

import statistics
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from benchmarks._timing import Row, seconds

Call = Callable[[], Any]


def compiled(f: Callable[..., Any], *arguments: Any) -> tuple[Call, float]:
    """Return a call of the compiled program, and the bytes of its temporaries."""
    program = jax.jit(f).lower(*arguments).compile()
    analysis = program.memory_analysis()
    temporaries = float(analysis.temp_size_in_bytes) if analysis else float("nan")
    return partial(program, *arguments), temporaries


def fill(size: int, dtype: Any) -> Call:
    """Return a call that writes one number everywhere in a new array."""
    value = jnp.asarray(1.5, dtype)
    return compiled(lambda v: jnp.broadcast_to(v, (size,)), value)[0]


def rate(size: int, dtype: str, took: float) -> str:
    """Return how fast an array was written."""
    return f"{size * jnp.dtype(dtype).itemsize / took / 1e9:.3g} GB/s written"


def limits(size: int, pairs: int) -> Iterator[Row]:
    """Time what memory alone allows: writing, and reading and writing."""
    for dtype in ("float32", "bfloat16"):
        values = jax.block_until_ready(jnp.ones((size,), dtype))
        for name, call in (
            ("fill", fill(size, dtype)),
            ("copy", compiled(lambda x: -x, values)[0]),
        ):
            seconds(call, 2)
            took = statistics.median(seconds(call) for _ in range(pairs))
            yield Row(f"{name}, {dtype}, {size} values", took, note=rate(size, dtype, took))
