"""Row-wise work in chunks, so that its result is really stored.

XLA fuses a computation into whatever reads it. When several results are interleaved, as
the cosines and sines of Box-Muller are, each element would then be computed with all
its partners and without vector instructions. The body of a loop is never fused with
what comes after the loop; so the rows are worked off in at least two chunks.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

_SIZE = 1 << 15
"""Values a chunk: large enough for several threads, small enough for the caches."""

Columns = tuple[jax.Array, ...]


def map_rows(work: Callable[..., Columns], *arrays: jax.Array) -> Columns:
    """Return ``work(*arrays)`` for a ``work`` that treats every row by itself.

    Args:
        work: A function from arrays to a tuple of arrays, all of one leading length.
        *arrays: Arrays of one leading length, at least 1.

    Returns:
        The tuple that ``work`` gives for the whole arrays.
    """
    rows = arrays[0].shape[0]
    count = max(2, -(-arrays[0].size // _SIZE))
    length = -(-rows // count)

    def cut(array: jax.Array) -> jax.Array:
        missing = count * length - rows
        padding = [(0, missing)] + [(0, 0)] * (array.ndim - 1)
        return jnp.pad(array, padding).reshape(count, length, *array.shape[1:])

    def step(carry: None, chunk: Columns) -> tuple[None, Columns]:
        return carry, work(*chunk)

    _, results = jax.lax.scan(step, None, tuple(cut(a) for a in arrays))
    return tuple(r.reshape(-1, *r.shape[2:])[:rows] for r in results)
