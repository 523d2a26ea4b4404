"""Draws that take an unknown number of words: rejection, and shuffles.

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

After = Callable[[jax.Array], Any]
Source = Callable[[Any, int], tuple[jax.Array, After]]


def mersenne(stream: Any, count: int) -> tuple[jax.Array, After]:
    """Return the next words of the Mersenne twister, a `Source`."""
    _, raw = _mt19937.draw(stream.window, count)
    both = jnp.concatenate([stream.window, raw])

    def after(used: jax.Array) -> Any:
        window = jax.lax.dynamic_slice(both, (used,), (_mt19937.LENGTH,))
        return dataclasses.replace(stream, window=window)

    return _mt19937.temper(raw), after


def places_of(
    mask: jax.Array, count: int, filled: jax.Array | int = 0
) -> tuple[jax.Array, jax.Array]:
    """Return where the mask holds, written from ``filled`` on, and where that ends.

    Of the ``count`` places those that are not written are 0; what is too much is lost.
    """
    rank = filled + jnp.cumsum(mask, dtype=jnp.int32)
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
    """Return how many tries give ``count`` successes but for one time in 10^9."""
    return math.ceil(count / share + 6 * math.sqrt(count) / share + 16)


def rejection(
    source: Source,
    state: Any,
    count: jax.Array,
    room: int,
    each: int,
    share: float,
    accept: Callable[[jax.Array], jax.Array],
) -> tuple[Any, jax.Array]:
    """Draw rows of words until ``count`` of them are accepted.

    Args:
        source: The source.
        state: Its state.
        count: How many rows are wanted; it may be traced.
        room: How many rows are returned, at least ``count`` and 1.
        each: Words a row.
        share: A lower bound of the share of rows that are accepted.
        accept: From words of shape ``(tries, each)`` to a bool a row.

    Returns:
        The state after the last accepted row, and the accepted rows, then any.
    """
    empty = jnp.zeros((room, each), jnp.uint32)
    tries = enough(room, share)
    place = np.arange(room, dtype=np.int32)

    def body(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        filled, state, rows = carry
        words, after = source(state, each * tries)
        words = words.reshape(tries, each)
        places, end = places_of(accept(words), room, filled)
        rows = jnp.where((place >= filled)[:, None], words[places], rows)
        used = jnp.where(end >= count, places[count - 1] + 1, np.int32(tries))
        return end, after(each * used), rows

    carry = jnp.int32(0), state, empty
    _, state, rows = jax.lax.while_loop(lambda c: c[0] < count, body, carry)
    return state, rows


Bound = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]
"""From a word and a largest value, both uint32, to a value, and whether it is accepted."""


def walk(
    source: Source,
    state: Any,
    largest: jax.Array,
    bound: Bound,
    step: Callable[..., Any],
    table: Any,
) -> tuple[Any, Any]:
    """Draw bounded integers one after another, each used before the next.

    Args:
        source: The source.
        state: Its state.
        largest: The largest value of each integer, uint32 of rank 1.
        bound: How a word becomes an integer.
        step: From the table, the place in ``largest``, the integer, and whether it was
            accepted, to the next table.
        table: What the integers are used on.

    Returns:
        The state after the last integer, and the table.
    """
    count = largest.shape[0]
    if count == 0:
        return state, table
    room = count + count // 2 + 64

    def block(carry: tuple[Any, ...]) -> tuple[Any, ...]:
        i, state, table = carry
        words, after = source(state, room)

        def one(inner: tuple[Any, ...]) -> tuple[Any, ...]:
            i, used, table = inner
            value, accepted = bound(words[used], largest[i])
            table = step(table, i, value.astype(jnp.int32), accepted)
            return i + accepted.astype(jnp.int32), used + 1, table

        def more(inner: tuple[Any, ...]) -> jax.Array:
            return (inner[0] < count) & (inner[1] < room)

        i, used, table = jax.lax.while_loop(more, one, (i, jnp.int32(0), table))
        return i, after(used), table

    carry = jnp.int32(0), state, table
    _, state, table = jax.lax.while_loop(lambda c: c[0] < count, block, carry)
    return state, table


def shuffle(
    source: Source, state: Any, size: int, least: int, bound: Bound
) -> tuple[Any, jax.Array]:
    """Return the state, and 0, 1, ..., ``size - 1`` after swaps from the end down.

    Place i is swapped with one at most i, for i from ``size - 1`` down to ``least``.
    """

    def swap(
        order: jax.Array, step: jax.Array, other: jax.Array, accepted: jax.Array
    ) -> jax.Array:
        i = np.int32(size - 1) - step
        other = jnp.where(accepted, other, i)
        here, there = order[i], order[other]
        # One write of both: of two, XLA would copy the whole order in between.
        return order.at[jnp.stack([other, i])].set(jnp.stack([here, there]))

    largest = jnp.arange(size - 1, least - 1, -1, dtype=jnp.uint32)
    return walk(source, state, largest, bound, swap, jnp.arange(size, dtype=jnp.int32))


def masked(word: jax.Array, largest: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Take the low bits, as many as the largest value has: NumPy's legacy `Bound`."""
    mask = jnp.uint32(0xFFFFFFFF) >> jax.lax.clz(largest)
    value = word & mask
    return value, value <= largest


def leading(word: jax.Array, largest: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Take the high bits, as many as the count of values has: Python's `Bound`."""
    # A count of 2^32 takes 33 bits, and is not for this.
    value = jax.lax.shift_right_logical(word, jax.lax.clz(largest + np.uint32(1)))
    return value, value <= largest


def multiplied(word: jax.Array, largest: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Take the high half of a product: Lemire's method, NumPy's new `Bound`."""
    count = largest.astype(jnp.uint64) + np.uint64(1)
    product = word.astype(jnp.uint64) * count
    threshold = (np.uint64(0xFFFFFFFF) - largest.astype(jnp.uint64)) % count
    low = product & np.uint64(0xFFFFFFFF)
    return (product >> 32).astype(jnp.uint32), low >= threshold
