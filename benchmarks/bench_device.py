"""One accelerator in a few minutes: every draw against fill and copy, and against the CPU.

``python -m benchmarks device`` needs nothing but JAX and one device; ``--quick`` is small
enough for a CPU. Ratios over fill say how near a draw is to what memory alone allows.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

import jaxinit
from benchmarks._programs import compiled, fill, limits, rate
from benchmarks._timing import Row, paired, seconds

DRAWS: dict[str, Callable[..., jax.Array]] = {
    "uniform": partial(jaxinit.uniform, low=-1.0, high=1.0),
    "normal": jaxinit.normal,
    "truncated normal": partial(jaxinit.variance_scaling, layout=jaxinit.Fans(1, 1)),
}
THEIRS: dict[str, Callable[..., jax.Array]] = {
    "uniform": jax.nn.initializers.uniform(1.0),
    "normal": jax.nn.initializers.normal(1.0),
    "truncated normal": jax.nn.initializers.truncated_normal(1.0),
}
KINDS = ("threefry2x32", "fused", "philox2x32", "philox4x32", "threefry4x32", "rbg")
DTYPES = ("float32", "bfloat16", "float16", "float8_e4m3fn")
MOST_ULP = 8
"""How far a float32 value may be from the CPU's, in units of its last place."""


def run(quick: bool) -> Iterator[Row]:
    """Measure on the default device."""
    on_cpu = jax.default_backend() == "cpu"
    size = 1 << (14 if quick else 24 if on_cpu else 28)
    pairs = 2 if quick else 7
    kinds = [k for k in KINDS if _key(k) is not None]
    yield from limits(size, pairs)
    for kind in kinds[:2] if quick else kinds:
        for dtype in DTYPES[:2] if quick else DTYPES:
            yield from draws(kind, dtype, size, pairs)
    yield from against_jax(size, pairs)
    yield from samplers(size, pairs)
    yield from against_cpu(kinds, 1 << (10 if quick else 20))
    side = 64 if quick else 4096
    yield orthogonal(side, pairs)
    yield model(2 if quick else 12, 64 if quick else 768)


def _key(kind: str) -> jax.Array | None:
    """Return a key of a kind, or None where this JAX has none."""
    if kind == "fused":
        return jaxinit.fused_key(0)
    with contextlib.suppress(ValueError):
        return jax.random.key(0, impl=kind)


def draws(kind: str, dtype: str, size: int, pairs: int) -> Iterator[Row]:
    """Time each distribution against a fill of the same array."""
    key, plain = _key(kind), fill(size, dtype)
    for name, draw in DRAWS.items():
        call, temporaries = compiled(partial(draw, shape=(size,), dtype=dtype), key)
        label = f"{name}, {dtype}, {kind}, {size} values"
        row = paired(label, call, plain, against="a plain fill", pairs=pairs)
        note = f"{rate(size, dtype, row.ours)}, {temporaries:.0f} B of temporaries"
        yield replace(row, note=note)


def against_jax(size: int, pairs: int) -> Iterator[Row]:
    """Time the distributions beside those of ``jax.nn.initializers``."""
    key = jax.random.key(0)
    for name, theirs in THEIRS.items():
        for dtype in ("float32", "bfloat16"):
            ours, _ = compiled(partial(DRAWS[name], shape=(size,), dtype=dtype), key)
            other, _ = compiled(partial(theirs, shape=(size,), dtype=jnp.dtype(dtype)), key)
            label = f"{name}, {dtype}, {size} values"
            yield paired(label, ours, other, against="jax.nn.initializers", pairs=pairs)


def samplers(size: int, pairs: int) -> Iterator[Row]:
    """Time ``jax.random`` itself with a fused key against the plain one."""
    for name in ("normal", "uniform", "gumbel"):
        draw = partial(getattr(jax.random, name), shape=(size,))
        ours, _ = compiled(draw, jaxinit.fused_key(0))
        plain, _ = compiled(draw, jax.random.key(0))
        label = f"jax.random.{name} with a fused key, {size} values"
        yield paired(label, ours, plain, against="the same key, plain", pairs=pairs)


def against_cpu(kinds: list[str], size: int) -> Iterator[Row]:
    """Compare bits and values with those of the CPU beside the device."""
    cpu = jax.local_devices(backend="cpu")[0]
    for kind in kinds:
        if kind == "rbg":  # whose bits are the device's own
            continue
        for name, f, unit in (
            ("random bits", partial(jax.random.bits, shape=(size,)), "differ"),
            *(
                (n, partial(d, shape=(size,), dtype="float32"), "ulp")
                for n, d in DRAWS.items()
            ),
        ):
            here = np.asarray(jax.jit(f)(_key(kind)))
            with jax.default_device(cpu):
                there = np.asarray(jax.jit(f)(jax.device_put(_key(kind), cpu)))
            far = float((here != there).sum() if unit == "differ" else _ulp(here, there))
            goal = 0 if unit == "differ" else MOST_ULP
            label = f"{name}, {kind}, {size} values, against the CPU"
            yield Row(label, far, unit, goal=goal)


def _ulp(x: np.ndarray, y: np.ndarray) -> float:
    """Return the largest distance in units of the last place of the larger."""
    wide = np.abs(x.astype(np.float64) - y.astype(np.float64))
    return float((wide / np.spacing(np.maximum(np.abs(x), np.abs(y)))).max())


def orthogonal(side: int, pairs: int) -> Row:
    """Time an orthogonal matrix."""
    key = jax.random.key(0)
    ours, _ = compiled(partial(jaxinit.orthogonal, shape=(side, side)), key)
    other, _ = compiled(partial(jax.nn.initializers.orthogonal(), shape=(side, side)), key)
    label = f"orthogonal, float32, {side} x {side}"
    return paired(label, ours, other, against="jax.nn.initializers", pairs=min(pairs, 3))


def model(layers: int, width: int) -> Row:
    """Time the first ``materialize`` of a transformer's leaves, compilation included."""
    shapes = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]

    def init(key: jax.Array) -> list[jax.Array]:
        keys = jax.random.split(key, (layers, len(shapes)))
        table = jax.random.normal(jax.random.fold_in(key, 1), (50304, width)) * 0.02
        pairs = [(keys[i, j], s) for i in range(layers) for j, s in enumerate(shapes)]
        return [table, *(jax.random.normal(k, s) * 0.02 for k, s in pairs)]

    key = jax.random.key(0)
    ours = seconds(partial(jaxinit.materialize, init, key))
    theirs = seconds(partial(jax.jit(init), key))
    label = f"materialize, {layers} layers of width {width}, first call"
    return Row(label, ours, "s", "jax.jit(init), first call", theirs, theirs / ours)
