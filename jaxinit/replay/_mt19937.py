"""The Mersenne twister MT19937.

Matsumoto, Nishimura, "Mersenne twister: a 623-dimensionally equidistributed uniform
pseudo-random number generator", ACM TOMACS 8 (1998).

The state here is a *window*: the last 624 raw words of the sequence. The recurrence is
the same at every place of the sequence, so a window needs no position beside it: after
a draw of n words it has moved on by n. Raw words become outputs by `temper`.
"""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

LENGTH = 624
_GAP = 227  # LENGTH - 397: so many new words depend on old ones alone
_UPPER, _LOWER = np.uint32(0x80000000), np.uint32(0x7FFFFFFF)
_MATRIX = np.uint32(0x9908B0DF)

Pair = tuple[jax.Array, jax.Array]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MersenneStream:
    """Where a stream of draws stands: a pytree, which each draw takes and returns.

    A stream is a value. A draw does not change the one that it is given; it returns the
    next. The number of words drawn so far needs no place in it.

    Attributes:
        window: The last 624 raw words of the generator, uint32 of shape ``(624,)``.
        spare: The words from which the last pair of normals was made, uint32 of rank 1,
            if its second value is still to be given out; else None. Which, is static.
    """

    window: jax.Array
    spare: jax.Array | None = None


def window_from_seed(seed: jax.Array) -> jax.Array:
    """Return the window of ``init_genrand``, the seeding by one uint32."""

    def step(previous: jax.Array, i: jax.Array) -> tuple[jax.Array, jax.Array]:
        # Knuth, The Art of Computer Programming, volume 2, third edition, page 106.
        word = np.uint32(1812433253) * (previous ^ previous >> 30) + i
        return word, word

    index = jnp.arange(1, LENGTH, dtype=jnp.uint32)
    _, rest = jax.lax.scan(step, seed, index)
    return jnp.concatenate([seed[None], rest])


def window_from_array(key: jax.Array) -> jax.Array:
    """Return the window of ``init_by_array``, the seeding by several uint32."""
    count = max(LENGTH, key.shape[0])
    place = np.arange(count) % key.shape[0]
    window = window_from_seed(jnp.uint32(19650218))
    extra = key[place] + place.astype(np.uint32)
    window, i = _stir(window, 1, 1664525, extra)
    minus_index = -np.arange(LENGTH, dtype=np.uint32)
    order = (np.arange(LENGTH - 1) + i - 1) % (LENGTH - 1) + 1
    window, _ = _stir(window, i, 1566083941, jnp.asarray(minus_index[order]))
    return window.at[0].set(_UPPER)


def _stir(
    window: jax.Array, start: int, factor: int, extra: jax.Array
) -> tuple[jax.Array, int]:
    """Mix one extra number into each word in turn, going round from ``start``."""
    count = extra.shape[0]
    order = ((np.arange(count) + start - 1) % (LENGTH - 1) + 1).astype(np.int32)

    def step(
        carry: tuple[jax.Array, jax.Array], x: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[jax.Array, jax.Array], None]:
        window, previous = carry
        i, add = x
        word = (window[i] ^ (previous ^ previous >> 30) * np.uint32(factor)) + add
        return (window.at[i].set(word), word), None

    # The walk goes 1, ..., 623, 1, ...: before word 1 stands a copy of word 623, but
    # at the very first step word 0 itself.
    previous = window[start - 1] if start > 1 else window[0]
    (window, _), _ = jax.lax.scan(step, (window, previous), (jnp.asarray(order), extra))
    return window, int(order[-1]) % (LENGTH - 1) + 1


def twist(window: jax.Array) -> jax.Array:
    """Return the next 624 raw words."""

    def feed(upper: jax.Array, lower: jax.Array) -> jax.Array:
        odd = np.uint32(0) - (lower & np.uint32(1))
        return (upper & _UPPER | lower & _LOWER) >> 1 ^ _MATRIX & odd

    gap, twice = _GAP, 2 * _GAP
    first = window[LENGTH - gap :] ^ feed(window[:gap], window[1 : gap + 1])
    second = first ^ feed(window[gap:twice], window[gap + 1 : twice + 1])
    rest = LENGTH - 1 - twice
    third = second[:rest] ^ feed(window[twice:-1], window[twice + 1 :])
    last = second[rest : rest + 1] ^ feed(window[-1:], first[:1])
    return jnp.concatenate([first, second, third, last])


def temper(raw: jax.Array) -> jax.Array:
    """Return the outputs that belong to raw words."""
    raw = raw ^ raw >> 11
    raw = raw ^ raw << 7 & np.uint32(0x9D2C5680)
    raw = raw ^ raw << 15 & np.uint32(0xEFC60000)
    return raw ^ raw >> 18


def _states(window: jax.Array, count: int) -> jax.Array:
    """Return so many whole states of raw words, one after another.

    Those of many seeds are written in place, each seed's words in one piece: the usual
    rule of `jax.vmap` would put them in turn, and every use would put them in order.
    """

    @jax.custom_batching.custom_vmap
    def rows(windows: jax.Array) -> jax.Array:
        def step(i: jax.Array, carry: Pair) -> Pair:
            windows, raw = carry
            new = jax.vmap(twist)(windows)
            places = np.int32(0), jnp.asarray(i * LENGTH, jnp.int32)
            return new, jax.lax.dynamic_update_slice(raw, new, places)

        raw = jnp.zeros((windows.shape[0], count * LENGTH), jnp.uint32)
        return jax.lax.fori_loop(0, count, step, (windows, raw))[1]

    @rows.def_vmap
    def _(size: int, batched: list[bool], windows: jax.Array) -> tuple[jax.Array, bool]:
        del batched
        flat = rows(windows.reshape(-1, LENGTH))
        return flat.reshape(size, -1, flat.shape[-1]), True

    return rows(window[None])[0]


def ahead(
    window: jax.Array, count: int
) -> tuple[jax.Array, Callable[[jax.Array | int], jax.Array]]:
    """Return the next words, raw, and the window after those that are used of them.

    The number of words is static; the work is a scan over whole states. The second
    result is a function of the number of words used, which may be traced.
    """
    states = max(1, -(-count // LENGTH))
    raw = _states(window, states)

    def after(used: jax.Array | int) -> jax.Array:
        if isinstance(used, int):
            if used >= LENGTH:
                return raw[used - LENGTH : used]
            return jnp.concatenate([window[used:], raw[:used]])
        # Of two states alone: one slice of all words would copy them first.
        state = jnp.minimum(jnp.asarray(used, jnp.int32) // LENGTH, states - 1)
        here, before = (
            jax.lax.dynamic_slice(raw, (jnp.maximum(i, 0) * LENGTH,), (LENGTH,))
            for i in (state, state - 1)
        )
        both = jnp.concatenate([jnp.where(state > 0, before, window), here])
        return jax.lax.dynamic_slice(both, (used - state * LENGTH,), (LENGTH,))

    return raw[:count], after


def draw(window: jax.Array, count: int) -> tuple[jax.Array, jax.Array]:
    """Return the window after ``count`` words, and those words, raw."""
    raw, after = ahead(window, count)
    return after(count), raw


def skip(window: jax.Array, count: int) -> jax.Array:
    """Return the window after ``count`` words that nobody needs."""
    states, rest = divmod(count, LENGTH)
    window = jax.lax.fori_loop(0, states, lambda _, w: twist(w), window)
    return draw(window, rest)[0]
