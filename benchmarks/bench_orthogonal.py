"""Orthogonal matrices: time and accuracy, one by one and in batches."""

from collections.abc import Callable, Iterator
from functools import partial

import jax
import numpy as np

import jaxinit
from benchmarks._timing import Row, paired

_theirs = jax.nn.initializers.orthogonal()


def run(quick: bool) -> Iterator[Row]:
    """Measure orthogonal matrices in float32."""
    key = jax.random.key(0)
    for size in (64, 256) if quick else (64, 128, 256, 512, 1024, 2048):
        shape = (size, size)
        ours = jax.jit(partial(jaxinit.orthogonal, shape=shape, dtype=np.float32))
        theirs = jax.jit(partial(_theirs, shape=shape, dtype=np.float32))
        pairs = 5 if size > 1024 else 11
        yield from _both(f"orthogonal {shape}, compiled", ours, theirs, key, key, pairs)
    batch, size = (8, 64) if quick else (64, 256)
    shape = (batch, size, size)
    ours = jax.jit(partial(jaxinit.orthogonal, shape=shape, dtype=np.float32, layout="BIO"))
    theirs = jax.jit(jax.vmap(partial(_theirs, shape=(size, size), dtype=np.float32)))
    keys = jax.random.split(key, batch)
    yield from _both(f"orthogonal {shape}, compiled", ours, theirs, key, keys, 7)


def _both(
    name: str,
    ours: Callable[[jax.Array], jax.Array],
    theirs: Callable[[jax.Array], jax.Array],
    key: jax.Array,
    their_key: jax.Array,
    pairs: int,
) -> Iterator[Row]:
    against = "jax.nn.initializers" + ("" if their_key is key else " under vmap")
    yield paired(
        name,
        partial(ours, key),
        partial(theirs, their_key),
        against=against,
        pairs=pairs,
        goal=1.0,
    )
    errors = [_error(ours(key)), _error(theirs(their_key))]
    yield Row(
        f"{name}: largest entry of Q'Q - I",
        errors[0],
        "",
        against,
        errors[1],
        ratio=errors[1] / errors[0],
        goal=0.5,
        note="Computed in float64.",
    )


def _error(q: jax.Array) -> float:
    wide = np.asarray(q, np.float64)
    product = np.swapaxes(wide, -1, -2) @ wide
    return float(np.max(np.abs(product - np.eye(wide.shape[-1]))))
