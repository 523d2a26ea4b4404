"""The generator PCG64 (XSL-RR 128/64), and the seeding of NumPy's ``default_rng``.

O'Neill, "PCG: a family of simple fast space-efficient statistically good algorithms for
random number generation", Harvey Mudd College HMC-CS-2014-0905 (2014). A 128-bit number
is four uint32 limbs, lowest first, between draws, and a pair (high, low) of uint64 in
them. All runs with 64-bit types.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Wide = tuple[jax.Array, jax.Array]

# pcg64.h, PCG_DEFAULT_MULTIPLIER.
_MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645
_MASK = (1 << 128) - 1
_LANES = 1024


def seed_sequence(entropy: jax.Array) -> jax.Array:
    """Return the eight words that ``SeedSequence(entropy)`` gives to PCG64.

    Args:
        entropy: The seed as uint32 words, lowest first, at least one.
    """
    # numpy/random/bit_generator.pyx: INIT_A, MULT_A, INIT_B, MULT_B, MIX_MULT_L and _R.
    factor = 0x43B0D7E5

    def hashed(value: jax.Array) -> jax.Array:
        nonlocal factor
        value = value ^ np.uint32(factor)
        factor = factor * 0x931E8875 & 0xFFFFFFFF
        value = value * np.uint32(factor)
        return value ^ value >> 16

    def mixed(x: jax.Array, y: jax.Array) -> jax.Array:
        value = x * np.uint32(0xCA01F9DD) - y * np.uint32(0x4973F715)
        return value ^ value >> 16

    words = [entropy[i] for i in range(entropy.shape[0])]
    zero = jnp.zeros_like(words[0])
    pool = [hashed(words[i] if i < len(words) else zero) for i in range(4)]
    for i in range(4):
        for j in range(4):
            if i != j:
                pool[j] = mixed(pool[j], hashed(pool[i]))
    for word in words[4:]:
        for j in range(4):
            pool[j] = mixed(pool[j], hashed(word))

    factor = 0x8B51F9DD
    result = []
    for i in range(8):
        value = pool[i % 4] ^ np.uint32(factor)
        factor = factor * 0x58F38DED & 0xFFFFFFFF
        value = value * np.uint32(factor)
        result.append(value ^ value >> 16)
    return jnp.stack(result)


def _constant(values: list[int]) -> Wide:
    """Return Python ints as pairs of uint64."""
    high = np.array([v >> 64 for v in values], np.uint64)
    low = np.array([v & (1 << 64) - 1 for v in values], np.uint64)
    return jnp.asarray(high), jnp.asarray(low)


def _add(a: Wide, b: Wide) -> Wide:
    low = a[1] + b[1]
    return a[0] + b[0] + (low < b[1]).astype(jnp.uint64), low


def multiply_high(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return the upper 64 bits of a product of two uint64."""
    half = np.uint64(0xFFFFFFFF)
    low = a & half, b & half
    high = a >> 32, b >> 32
    middle = high[0] * low[1] + (low[0] * low[1] >> 32)
    other = low[0] * high[1] + (middle & half)
    return high[0] * high[1] + (middle >> 32) + (other >> 32)


def _multiply(a: Wide, b: Wide) -> Wide:
    """Return the low 128 bits of a product."""
    high = multiply_high(a[1], b[1]) + a[0] * b[1] + a[1] * b[0]
    return high, a[1] * b[1]


def _powers(count: int) -> tuple[list[int], list[int]]:
    """Return a^i and 1 + a + ... + a^(i - 1) for i from 1 to ``count``."""
    power, total, powers, totals = 1, 0, [], []
    for _ in range(count):
        total = (total * _MULTIPLIER + 1) & _MASK
        power = power * _MULTIPLIER & _MASK
        powers.append(power)
        totals.append(total)
    return powers, totals


def _wide(limbs: jax.Array) -> Wide:
    """Return four limbs as a pair of uint64."""
    x = limbs.astype(jnp.uint64)
    return x[3] << 32 | x[2], x[1] << 32 | x[0]


def _limbs(value: Wide) -> jax.Array:
    """Return a pair of uint64 as four limbs."""
    parts = value[1], value[1] >> 32, value[0], value[0] >> 32
    return jnp.stack([x.astype(jnp.uint32) for x in parts])


def start(words: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return state and increment, each of shape ``(4,)``, from eight seed words."""
    # generate_state gives 64-bit words, low half first, and PCG64 their high one first.
    order = np.array([2, 3, 0, 1])
    state, stream = _wide(words[order]), _wide(words[order + 4])
    increment = stream[0] << 1 | stream[1] >> 63, stream[1] << 1 | np.uint64(1)
    high, low = _constant([_MULTIPLIER])
    factor = high[0], low[0]
    state = _add(_multiply(_add(state, increment), factor), increment)
    return _limbs(state), _limbs(increment)


def draw(state: jax.Array, increment: jax.Array, count: int) -> jax.Array:
    """Return ``count`` outputs, uint64.

    Lane i of a row stands i steps after the row's start; all lanes then jump together.
    """
    lanes = min(_LANES, max(count, 1))
    rows = max(1, -(-count // lanes))
    powers, totals = _powers(lanes)
    step, begin = _wide(increment), _wide(state)

    def jump(lane: Wide, power: Wide, total: Wide) -> Wide:
        return _add(_multiply(lane, power), _multiply(step, total))

    first = jump(begin, _constant(powers), _constant(totals))
    far = _constant(powers[-1:]), _constant(totals[-1:])

    def body(lane: Wide, _: None) -> tuple[Wide, jax.Array]:
        high, low = lane
        mixed, turn = high ^ low, high >> 58
        output = mixed >> turn | mixed << (-turn & np.uint64(63))
        return jump(lane, *far), output

    _, outputs = jax.lax.scan(body, first, None, length=rows)
    return outputs.reshape(-1)[:count]


def advance(state: jax.Array, increment: jax.Array, count: jax.Array) -> jax.Array:
    """Return the state after so many outputs, by squaring a step: Brown's method."""
    one = jnp.uint64(0), jnp.uint64(1)
    high, low = _constant([_MULTIPLIER])
    step = (high[0], low[0]), _wide(increment)

    def square(i: jax.Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        (factor, term), (a, b) = carry  # from x to a x + b, for the bits before i
        longer = _multiply(a, factor), _add(_multiply(b, factor), term)
        due = count >> i & 1 == 1
        done = jax.tree.map(lambda x, y: jnp.where(due, x, y), longer, (a, b))
        twice = _multiply(factor, factor), _multiply(_add(factor, one), term)
        return twice, done

    start = step, (one, (jnp.uint64(0), jnp.uint64(0)))
    _, (a, b) = jax.lax.fori_loop(0, 31, square, start)
    return _limbs(_add(_multiply(_wide(state), a), b))
