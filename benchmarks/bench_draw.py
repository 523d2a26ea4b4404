"""Throughput and memory of draws, compiled and eager, and of many seeds at once."""

import importlib.util
import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxinit
from benchmarks._programs import Call, compiled, fill, limits
from benchmarks._timing import Row, paired
from jaxinit.cli.commands import cores

Draw = Callable[..., jax.Array]

_JAX = jax.nn.initializers

CASES: tuple[tuple[str, Draw, Draw, Any, float], ...] = (
    ("uniform", jaxinit.uniform, _JAX.uniform(1.0), np.float32, 7.0),
    ("normal", jaxinit.normal, _JAX.normal(1.0), np.float32, 5.0),
    (
        "truncated normal, variance_scaling",
        jaxinit.variance_scaling,
        _JAX.variance_scaling(1.0, "fan_in", "truncated_normal"),
        np.float32,
        6.0,
    ),
    ("normal", jaxinit.normal, _JAX.normal(1.0), jnp.bfloat16, 5.0),
    ("uniform", jaxinit.uniform, _JAX.uniform(1.0), jnp.bfloat16, 5.0),
)
"""Name, ours, that of jax.nn.initializers (8 random bits in bfloat16), dtype, goal."""


def run(quick: bool) -> Iterator[Row]:
    """Measure the draws."""
    side = 1024 if quick else 4096
    pairs = 7 if quick else 21
    key = jax.random.key(0)
    shape, size = (side, side), f"2^{2 * int(math.log2(side))}"
    for name, ours, theirs, dtype, goal in CASES:
        label = f"{name}, {jnp.dtype(dtype).name}, {size}"
        mine, temporaries = compiled(partial(ours, shape=shape, dtype=dtype), key)
        other, their_temporaries = compiled(partial(theirs, shape=shape, dtype=dtype), key)
        yield paired(
            f"{label}, compiled",
            mine,
            other,
            against="jax.nn.initializers, compiled",
            pairs=pairs,
            goal=None if quick else goal,
            samples=side**2,
        )
        yield paired(
            f"{label}, compiled",
            mine,
            fill(side**2, dtype),
            against="filling a new array with one number",
            pairs=pairs,
        )
        yield paired(
            f"{label}, into a donated array",
            _into_donated(ours, key, shape, dtype),
            _into_donated(theirs, key, shape, dtype),
            against="jax.nn.initializers, the same",
            pairs=pairs // 2,
            samples=side**2,
        )
        yield Row(
            f"{label}: temporaries",
            temporaries,
            "bytes",
            "jax.nn.initializers",
            their_temporaries,
            goal=4096,
        )
        yield paired(
            f"{label}, eager",
            partial(ours, key, shape, dtype),
            partial(theirs, key, shape, dtype),
            against="jax.nn.initializers, eager",
            pairs=pairs // 2,
            samples=side**2,
        )
    yield from limits(side**2, pairs)
    yield from _against_torch(key, side, size, pairs, quick)
    yield from _many_seeds(key, side, size, pairs)


def _into_donated(draw: Draw, key: jax.Array, shape: tuple[int, ...], dtype: Any) -> Call:
    """Return a call that writes where its last result was: no fresh pages of memory.

    The kernel takes as long to hand out 64 MiB of them as a negation does to fill them.
    """

    def redraw(old: jax.Array, key: jax.Array) -> jax.Array:
        del old
        return draw(key, shape, dtype)

    program = jax.jit(redraw, donate_argnums=0, keep_unused=True)
    held = [jnp.zeros(shape, dtype)]

    def call() -> jax.Array:
        held[0] = program(held[0], key)
        return held[0]

    return call


def _against_torch(
    key: jax.Array, side: int, size: str, pairs: int, quick: bool
) -> Iterator[Row]:
    if importlib.util.find_spec("torch") is None:
        return
    import torch  # pyright: ignore[reportMissingImports]

    threads = cores()
    torch.set_num_threads(threads)
    init, shape = torch.nn.init, (side, side)
    # The cut is at two standard deviations on both sides.
    cases: tuple[tuple[str, Draw, Callable[[Any], Any], Any, float | None], ...] = (
        ("uniform", jaxinit.uniform, init.uniform_, np.float32, 2.0),
        ("normal", jaxinit.normal, init.normal_, np.float32, 1.2),
        (
            "truncated normal",
            jaxinit.truncated_normal,
            init.trunc_normal_,
            np.float32,
            None,
        ),
        ("normal", jaxinit.normal, init.normal_, jnp.bfloat16, None),
        ("uniform", jaxinit.uniform, init.uniform_, jnp.bfloat16, None),
    )
    for name, ours, theirs, dtype, goal in cases:
        mine, _ = compiled(partial(ours, shape=shape, dtype=dtype), key)
        kind = getattr(torch, jnp.dtype(dtype).name)
        kept = torch.empty(shape, dtype=kind)
        in_place = _into_donated(ours, key, shape, dtype)
        ways: tuple[tuple[str, str, Call, Call], ...] = (
            (
                "compiled",
                "torch, a new tensor",
                mine,
                lambda theirs=theirs, kind=kind: theirs(torch.empty(shape, dtype=kind)),
            ),
            (
                "into a donated array",
                "torch, in place",
                in_place,
                lambda theirs=theirs, kept=kept: theirs(kept),
            ),
        )
        for way, against, call, other in ways:
            yield paired(
                f"{name}, {jnp.dtype(dtype).name}, {size}, {way}",
                call,
                other,
                against=against,
                pairs=min(pairs, 5)
                if theirs is init.trunc_normal_
                else pairs,  # seconds each
                goal=None if quick else goal,
                samples=side**2,
                note=f"{threads} threads.",
            )


def _many_seeds(key: jax.Array, side: int, size: str, pairs: int) -> Iterator[Row]:
    seeds = 256
    short = (side**2 // seeds // 64, 64)
    keys = jax.random.split(key, seeds)

    def both(draw: Draw) -> tuple[Callable[[], Any], Callable[[], Any]]:
        one = jax.jit(partial(draw, shape=(side, side), dtype=np.float32))
        each = jax.vmap(partial(draw, shape=short, dtype=np.float32))
        return partial(jax.jit(each), keys), partial(one, key)

    ours, long = both(jaxinit.normal)
    yield paired(
        f"normal, float32, {seeds} seeds under vmap, {size} in all",
        ours,
        long,
        against="one long draw of jaxinit",
        pairs=pairs,
        goal=0.9,
        samples=side**2,
    )
    theirs, _ = both(_JAX.normal(1.0))
    yield paired(
        f"normal, float32, {seeds} seeds under vmap, {size} in all",
        ours,
        theirs,
        against="jax.nn.initializers, the same",
        pairs=pairs,
        samples=side**2,
    )
