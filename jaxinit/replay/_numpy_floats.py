"""From raw Mersenne words to the doubles of NumPy's legacy generator."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay import _float64, _mt19937
from jaxinit.replay._chunks import map_rows
from jaxinit.replay._float64 import Float64
from jaxinit.replay._float64_math import minus_log
from jaxinit.replay._uint64 import Pair, subtract

WORDS = 2
"""Words that a double takes."""

_ONE = np.uint32(0x3FF00000)  # the upper half of 1.0


def integer53(first: jax.Array, second: jax.Array) -> Pair:
    """Return (first >> 5) 2^26 + (second >> 6): 53 random bits."""
    high, low = first >> 5, second >> 6
    return high >> 6, high << 26 | low


def unit(first: jax.Array, second: jax.Array) -> Float64:
    """Return a double in [0, 1), a multiple of 2^-53."""
    return _float64.from_integer(integer53(first, second), -53)


def _centred(first: jax.Array, second: jax.Array) -> Float64:
    """Return ``2 unit - 1``, exactly."""
    one = jnp.full_like(first, 1 << 20), jnp.zeros_like(first)
    offset = subtract(integer53(first, second), one)
    sign = offset[0] >> 31
    minus = subtract((jnp.zeros_like(first), jnp.zeros_like(first)), offset)
    size = (
        jnp.where(sign == 1, minus[0], offset[0]),
        jnp.where(sign == 1, minus[1], offset[1]),
    )
    return _float64.from_integer(size, -52)._replace(sign=sign)


def _squared_radius(words: jax.Array) -> Pair:
    """Return the squared distances of points from the centre, as IEEE words."""

    def work(*words: jax.Array) -> Pair:
        x, y = _centred(words[0], words[1]), _centred(words[2], words[3])
        squares = _float64.multiply(x, x), _float64.multiply(y, y)
        return _float64.to_bits(_float64.sum_of(*squares))

    high, low = map_rows(work, *(words[:, i] for i in range(4)))
    return high, low


def polar_points(window: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Draw points until ``count`` fall into the unit circle, the centre excluded.

    A share of pi / 4 is accepted. One round of the loop draws enough but for one time
    in 10^9; then it goes on where it stands.

    Returns:
        The window after the last accepted point; and of each point six words, four of
        the generator and two of its squared distance from the centre.
    """
    tries = math.ceil(count * 4 / math.pi + 5 * math.sqrt(count) + 16)
    place = np.arange(count, dtype=np.int32)

    def body(state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple:
        filled, window, points = state
        _, raw = _mt19937.draw(window, 4 * tries)
        words = _mt19937.temper(raw).reshape(tries, 4)
        square = _squared_radius(words)
        accept = (square[0] < _ONE) & (square[0] != 0)
        words = jnp.concatenate([words, jnp.stack(square, axis=1)], axis=1)
        rank = filled + jnp.cumsum(accept.astype(jnp.int32), dtype=jnp.int32)
        target = jnp.where(accept, rank - 1, count)
        source = jnp.zeros((count,), jnp.int32)
        source = source.at[target].set(jnp.arange(tries, dtype=jnp.int32), mode="drop")
        new = (place >= filled) & (place < rank[-1])
        points = jnp.where(new[:, None], words[source], points)
        used = jnp.where(rank[-1] >= count, source[-1] + 1, np.int32(tries))
        both = jnp.concatenate([window, raw])
        window = jax.lax.dynamic_slice(both, (4 * used,), (_mt19937.LENGTH,))
        return rank[-1], window, points

    empty = jnp.zeros((count, 6), jnp.uint32)
    state = jnp.int32(0), window, empty
    _, window, points = jax.lax.while_loop(lambda s: s[0] < count, body, state)
    return window, points


def polar_normals(points: jax.Array, finish: Callable[[Float64], jax.Array]) -> jax.Array:
    """Return the two normals of each point, flat, in the order in which NumPy does.

    Marsaglia's polar method; the value of the second coordinate comes first. ``finish``
    makes the floats: XLA compiles everything anew for each array that is stored, so one
    array of floats is stored, though each value then computes its factor by itself.
    """

    def work(*words: jax.Array) -> tuple[jax.Array]:
        own, square = _centred(words[0], words[1]), _float64.from_bits((words[2], words[3]))
        log = minus_log(square)
        twice = log._replace(exponent=log.exponent + 1)
        factor = _float64.square_root(_float64.divide(twice, square))
        return (finish(_float64.multiply(factor, own)),)

    order = (2, 3, 4, 5), (0, 1, 4, 5)
    columns = [
        jnp.concatenate([points[:, i], points[:, j]]) for i, j in zip(*order, strict=True)
    ]
    (values,) = map_rows(work, *columns)
    return values.reshape(2, -1).T.reshape(-1)
