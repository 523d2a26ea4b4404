"""From raw Mersenne words to the doubles of NumPy's legacy generator.

All runs with 64-bit types. NumPy is compiled without fused operations: every product is
rounded before it is added to.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay._exact import narrow, product
from jaxinit.replay._rows import draw_rows, mersenne


def unit(first: jax.Array, second: jax.Array) -> jax.Array:
    """Return a double in [0, 1), a multiple of 2^-53."""
    high, low = (first >> 5).astype(jnp.float64), (second >> 6).astype(jnp.float64)
    return high * 2.0**-27 + low * 2.0**-53


def doubles(
    stream: Any, count: jax.Array, room: int, of: Callable[[jax.Array], jax.Array]
) -> tuple[Any, jax.Array]:
    """Draw doubles on [0, 1), and return what is computed of them, and some more."""

    def work(words: jax.Array) -> tuple[jax.Array]:
        return (of(unit(words[:, 0], words[:, 1]))[:, None],)

    stream, values, _ = draw_rows(mersenne, stream, count, room, 2, work)
    return stream, values


def scaled(values: jax.Array, factor: jax.Array, term: jax.Array) -> jax.Array:
    """Return ``factor * values + term``, rounded twice."""
    return product(values, factor) + term


def finish(values: jax.Array, dtype: np.dtype[Any]) -> jax.Array:
    """Return doubles in the dtype that was asked for, subnormal float32 included."""
    return narrow(values, dtype, True)


def _point(words: jax.Array) -> tuple[jax.Array, ...]:
    """Return coordinates in [-1, 1), and the squared distance from the centre."""
    a, b, c, d = (words[:, i] for i in range(4))
    x, y = 2 * unit(a, b) - 1, 2 * unit(c, d) - 1
    return x, y, product(x, x) + product(y, y)


def _accepted(words: jax.Array) -> jax.Array:
    square = _point(words)[2]
    return (square < 1) & (square != 0)


def polar_pair(
    words: jax.Array, of: Callable[[jax.Array], jax.Array]
) -> tuple[jax.Array, jax.Array]:
    """Return what is computed of the two normals of each four words, as columns.

    The value of the second coordinate comes first.
    """
    x, y, square = _point(words)
    radius = jnp.sqrt(-2 * jnp.log(square) / square)
    return of(radius * y)[:, None], of(radius * x)[:, None]


def polar_normals(
    stream: Any, count: jax.Array, room: int, of: Callable[[jax.Array], jax.Array]
) -> tuple[Any, jax.Array, jax.Array]:
    """Draw pairs of normals by Marsaglia's polar method, in NumPy's order.

    Points are drawn until ``count`` fall into the unit circle, the centre excluded.

    Returns:
        The stream after the last point; what is computed of the values of ``room``
        points; and the words of the last point.
    """
    work = functools.partial(polar_pair, of=of)
    tries = work, _accepted, math.pi / 4
    return draw_rows(mersenne, stream, count, room, 4, *tries)
