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


def scaled(values: jax.Array, factor: jax.Array, term: jax.Array) -> jax.Array:
    """Return ``factor * values + term``, rounded twice."""
    return product(values, factor) + term


def finish(values: jax.Array, dtype: np.dtype[Any]) -> jax.Array:
    """Return doubles in the dtype that was asked for, subnormal float32 included."""
    return narrow(values, dtype, True)


def _squared_radius(x: jax.Array, y: jax.Array) -> jax.Array:
    return product(x, x) + product(y, y)


def polar_points(window: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Draw points until ``count`` fall into the unit circle, the centre excluded.

    Returns:
        The window after the last accepted point; and the four words of each point.
    """

    def accept(words: jax.Array) -> tuple[jax.Array]:
        x, y = (2 * unit(words[:, i], words[:, i + 1]) - 1 for i in (0, 2))
        square = _squared_radius(x, y)
        return ((square < 1) & (square != 0),)

    def chosen(words: jax.Array) -> jax.Array:
        return map_rows(accept, words)[0]

    return rejection(mersenne, window, count, 4, math.pi / 4, chosen)


def polar_normals(points: jax.Array) -> jax.Array:
    """Return the two normals of each point, flat, in the order in which NumPy does.

    Marsaglia's polar method; the value of the second coordinate comes first.
    """

    def work(words: jax.Array) -> tuple[jax.Array]:
        x, y = (2 * unit(words[:, i], words[:, i + 1]) - 1 for i in (0, 2))
        square = _squared_radius(x, y)
        factor = jnp.sqrt(-2 * jnp.log(square) / square)
        return (factor[:, None] * jnp.stack([y, x], axis=1),)

    return map_rows(work, points)[0].reshape(-1)
