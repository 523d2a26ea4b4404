"""Draws that make their values while they make their words, block after block.

A source is a function ``(state, count) -> (words, after)``: the next ``count`` words,
uint32, of a generator, and a function from a number of used words to the state after
them. It draws ahead, and what is not used is drawn again.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay import _mt19937
from jaxinit.replay._chunks import Columns

After = Callable[[jax.Array | int], Any]
Source = Callable[[Any, int], tuple[jax.Array, After]]

_BLOCK, _SIEVED = 48 * _mt19937.LENGTH, 16 * _mt19937.LENGTH
"""Words of a block, and of one from which rows are chosen: all stays in the caches.

Both are the fastest of 8 to 256 states for one seed and for 100.
"""


def mersenne(stream: Any, count: int) -> tuple[jax.Array, After]:
    """Return the next words of the Mersenne twister, a `Source`."""
    raw, after = _mt19937.ahead(stream.window, count)

    def moved(used: jax.Array | int) -> Any:
        return dataclasses.replace(stream, window=after(used))

    return _mt19937.temper(raw), moved


def places_of(mask: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Return where the mask holds, and in how many places that is.

    The places are ``count`` in number: those too many are lost, those missing are 0.
    """
    rank = jnp.cumsum(mask, dtype=jnp.int32)
    target = jnp.where(mask, rank - 1, count)
    places = jnp.zeros((count,), jnp.int32)
    index = jnp.arange(mask.shape[0], dtype=jnp.int32)
    return places.at[target].set(index, mode="drop"), rank[-1]


def bucket(size: int) -> int:
    """Return how many values one program makes for a size, and for others near it.

    At most a quarter more: programs are compiled for a few lengths, and draw the rest of
    the values for nothing.
    """
    if size > 1 << 24:
        return size
    step = 1 << size.bit_length() - 3 if size > 1024 else 1024
    return max(-(-size // step), 1) * step


def first(values: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Return the first values of a flat array in a shape."""
    return jax.lax.slice(values, (0,), (math.prod(shape),)).reshape(shape)


def enough(count: int, share: float) -> int:
    """Return how many tries give ``count`` successes, but for a chance of 10^-20."""
    return math.ceil((count + 8 * math.sqrt(count)) / share) + 64


def block(rows: int, most: int) -> int:
    """Return how many rows a block has; if possible, a number that divides them all.

    There are two blocks at least: XLA makes one program of a loop that runs once.
    """
    most = max(min(most, -(-rows // 2)), 1)
    return next((n for n in range(most, most // 4, -1) if rows % n == 0), most)


def values_of(
    work: Callable[[jax.Array], Columns], words: jax.Array, true: jax.Array
) -> jax.Array:
    """Return the columns that are made of rows of words, as one array.

    XLA would make a row once for each of its columns. A branch keeps the two steps apart,
    as long as XLA cannot know that ``true``, an array, always holds.
    """
    columns = jax.eval_shape(work, words)
    if len(columns) == 1:
        return work(words)[0]

    def none(words: jax.Array) -> Columns:
        del words
        return tuple(jnp.zeros(c.shape, c.dtype) for c in columns)

    return jnp.concatenate(jax.lax.cond(true, work, none, words), axis=1)


def draw_rows(
    source: Source,
    state: Any,
    count: jax.Array | int,
    room: int,
    each: int,
    work: Callable[[jax.Array], Columns],
    accept: Callable[[jax.Array], jax.Array] | None = None,
    share: float = 1.0,
) -> tuple[Any, jax.Array, jax.Array]:
    """Draw rows of words until ``count`` of them are accepted, and make values of them.

    Args:
        source: The source.
        state: Its state.
        count: How many rows are wanted; it may be traced.
        room: How many rows are made, at least ``count`` and 1.
        each: Words a row.
        work: From words of shape ``(rows, each)`` to the columns of the rows' values.
        accept: From such words to a bool a row; None accepts all.
        share: A lower bound of the share of rows that are accepted.

    Returns:
        The state after the last wanted row; the flat values of ``room`` rows, of which
        those after the wanted ones are any; and the words of the last wanted row.
    """
    tries = room if accept is None else enough(room, share)
    rows = block(tries, max((_BLOCK if accept is None else _SIEVED) // each, 1))
    slack = 0 if accept is None and room % rows == 0 else rows

    def step(carry: Any, i: jax.Array) -> tuple[Any, None]:
        filled, state, end, last, out = carry
        words, after = source(state, each * rows)
        words = words.reshape(rows, each)
        places, found = jnp.arange(rows, dtype=jnp.int32), jnp.int32(rows)
        if accept is not None:
            places, found = places_of(accept(words), rows)
            words = words[places]
        place = count - 1 - filled
        here = place >= 0  # the last block for which this holds has the last wanted row
        place = jnp.clip(place, 0, rows - 1)
        result = after(each * (places[place] + 1)), words[place]
        end, last = jax.tree.map(
            lambda new, old: jnp.where(here, new, old), result, (end, last)
        )
        # What is after the accepted rows is written over by the next block.
        values = values_of(work, words, i >= 0)
        out = jax.lax.dynamic_update_slice(out, values, (filled, np.int32(0)))
        return (filled + found, after(each * rows), end, last, out), None

    columns = jax.eval_shape(work, jax.ShapeDtypeStruct((rows, each), jnp.uint32))
    width = sum(c.shape[1] for c in columns)
    out = jnp.zeros((room + slack, width), columns[0].dtype)
    carry = jnp.int32(0), state, state, jnp.zeros((each,), jnp.uint32), out
    index = jnp.arange(-(-tries // rows), dtype=jnp.int32)
    (_, _, end, last, out), _ = jax.lax.scan(step, carry, index)
    return end, out[:room].reshape(-1), last
