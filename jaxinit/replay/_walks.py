"""Draws in which each integer is used before the next: shuffles, and Floyd's choice."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay._rows import Source

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
