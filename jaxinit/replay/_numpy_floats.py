"""From raw Mersenne words to the doubles of NumPy's legacy generator.

All runs with 64-bit types. NumPy is compiled without fused operations: every product is
rounded before it is added to.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay._chunks import map_rows
from jaxinit.replay._exact import narrow, product
from jaxinit.replay._walks import mersenne, rejection

WORDS = 2
"""Words that a double takes."""


def unit(first: jax.Array, second: jax.Array) -> jax.Array:
    """Return a double in [0, 1), a multiple of 2^-53."""
    high, low = (first >> 5).astype(jnp.float64), (second >> 6).astype(jnp.float64)
    return high * 2.0**-27 + low * 2.0**-53


def doubles(stream: Any, count: jax.Array, room: int) -> tuple[Any, jax.Array]:
    """Draw doubles on [0, 1), and return some more."""
    words, after = mersenne(stream, WORDS * room)
    pairs = words.reshape(-1, WORDS)
    return after(WORDS * count), unit(pairs[:, 0], pairs[:, 1])


def scaled(values: jax.Array, factor: jax.Array, term: jax.Array) -> jax.Array:
    """Return ``factor * values + term``, rounded twice."""
    return product(values, factor) + term


def finish(values: jax.Array, dtype: np.dtype[Any]) -> jax.Array:
    """Return doubles in the dtype that was asked for, subnormal float32 included."""
    return narrow(values, dtype, True)


def _point(a: jax.Array, b: jax.Array, c: jax.Array, d: jax.Array) -> tuple[jax.Array, ...]:
    """Return coordinates in [-1, 1), and the squared distance from the centre."""
    x, y = 2 * unit(a, b) - 1, 2 * unit(c, d) - 1
    return x, y, product(x, x) + product(y, y)


def polar_points(stream: Any, count: jax.Array, room: int) -> tuple[Any, jax.Array]:
    """Draw points until ``count`` fall into the unit circle, the centre excluded.

    Returns:
        The stream after the last accepted point; and the four words of each point, and
        some more, ``room`` in all.
    """

    def accept(*words: jax.Array) -> tuple[jax.Array]:
        square = _point(*words)[2]
        return ((square < 1) & (square != 0),)

    def chosen(words: jax.Array) -> jax.Array:
        return map_rows(accept, *(words[:, i] for i in range(4)))[0]

    return rejection(mersenne, stream, count, room, 4, math.pi / 4, chosen)


def polar_normals(points: jax.Array) -> jax.Array:
    """Return the two normals of each point, flat, in the order in which NumPy does.

    Marsaglia's polar method; the value of the second coordinate comes first.
    """

    def work(*words: jax.Array) -> tuple[jax.Array, jax.Array]:
        x, y, square = _point(*words)
        factor = jnp.sqrt(-2 * jnp.log(square) / square)
        return factor * y, factor * x

    pair = map_rows(work, *(points[:, i] for i in range(4)))
    return jnp.stack(pair, axis=1).reshape(-1)
