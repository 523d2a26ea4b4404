"""The generator PCG64 (XSL-RR 128/64), and the seeding of NumPy's ``default_rng``.

O'Neill, "PCG: a family of simple fast space-efficient statistically good algorithms for
random number generation", Harvey Mudd College HMC-CS-2014-0905 (2014). A 128-bit number
is four uint32 limbs, lowest first.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay._uint64 import Pair, multiply_wide

Limbs = tuple[jax.Array, jax.Array, jax.Array, jax.Array]

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


def limbs(value: int) -> tuple[np.uint32, ...]:
    """Return the four limbs of a Python int."""
    return tuple(np.uint32(value >> shift & 0xFFFFFFFF) for shift in (0, 32, 64, 96))


def _add(a: Limbs, b: Limbs) -> Limbs:
    result, carry = [], jnp.zeros_like(a[0])
    for x, y in zip(a, b, strict=True):
        partial = x + y
        total = partial + carry
        over = (partial < x) | (total < partial)
        carry = over.astype(jnp.uint32)
        result.append(total)
    return tuple(result)  # pyright: ignore[reportReturnType]


def _multiply(a: Limbs, b: Limbs) -> Limbs:
    """Return the low 128 bits of a product."""
    zero = jnp.zeros_like(a[0] * b[0])
    total = (zero, zero, zero, zero)
    for i in range(4):
        for j in range(4 - i):
            high, low = multiply_wide(a[i], b[j])
            row = [zero] * 4
            row[i + j] = low
            if i + j < 3:
                row[i + j + 1] = high
            total = _add(total, tuple(row))  # pyright: ignore[reportArgumentType]
    return total


def _powers(count: int) -> tuple[list[int], list[int]]:
    """Return a^i and 1 + a + ... + a^(i - 1) for i from 1 to ``count``."""
    power, total, powers, totals = 1, 0, [], []
    for _ in range(count):
        total = (total * _MULTIPLIER + 1) & _MASK
        power = power * _MULTIPLIER & _MASK
        powers.append(power)
        totals.append(total)
    return powers, totals


def start(words: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return state and increment, each of shape ``(4,)``, from eight seed words."""
    # generate_state gives 64-bit words, low half first, and PCG64 their high one first.
    state = words[2], words[3], words[0], words[1]
    stream = words[6], words[7], words[4], words[5]
    increment = [stream[0] << 1 | np.uint32(1)]
    increment += [stream[i] << 1 | stream[i - 1] >> 31 for i in (1, 2, 3)]
    step: Limbs = tuple(increment)  # pyright: ignore[reportAssignmentType]
    factor = tuple(jnp.asarray(x) for x in limbs(_MULTIPLIER))
    state = _add(_multiply(_add(state, step), factor), step)  # pyright: ignore[reportArgumentType]
    return jnp.stack(state), jnp.stack(step)


def draw(state: jax.Array, increment: jax.Array, count: int) -> tuple[jax.Array, Pair]:
    """Return the state after ``count`` outputs, and those 64-bit outputs.

    Lane i of a row stands i steps after the row's start; all lanes then jump together.
    """
    lanes = min(_LANES, max(count, 1))
    rows = max(1, -(-count // lanes))
    powers, totals = _powers(lanes)
    step = tuple(increment)

    def table(values: list[int]) -> Limbs:
        columns = zip(*(limbs(v) for v in values), strict=True)
        return tuple(jnp.asarray(np.array(c)) for c in columns)  # pyright: ignore[reportArgumentType]

    def jump(limbs_: Limbs, power: Limbs, total: Limbs) -> Limbs:
        return _add(_multiply(limbs_, power), _multiply(step, total))  # pyright: ignore[reportArgumentType]

    first = jump(tuple(state), table(powers), table(totals))  # pyright: ignore[reportArgumentType]
    far = table(powers[-1:]), table(totals[-1:])

    def body(lane: Limbs, _: None) -> tuple[Limbs, Limbs]:
        return jump(lane, *far), lane

    _, states = jax.lax.scan(body, first, None, length=rows)
    flat = [s.reshape(-1)[:count] for s in states]
    if count:
        state = jnp.stack([s[-1] for s in flat])
    high, low = flat[3] ^ flat[1], flat[2] ^ flat[0]
    return state, _rotate_right((high, low), flat[3] >> 26)


def _rotate_right(value: Pair, count: jax.Array) -> Pair:
    """Return a 64-bit number rotated right by 0 to 63 places."""
    cross = count >= np.uint32(32)
    high = jnp.where(cross, value[1], value[0])
    low = jnp.where(cross, value[0], value[1])
    count = count & np.uint32(31)
    back = np.uint32(32) - count  # a shift by 32 gives zero, as wanted
    shift_left, shift_right = jax.lax.shift_left, jax.lax.shift_right_logical
    return (
        shift_right(high, count) | shift_left(low, back),
        shift_right(low, count) | shift_left(high, back),
    )
