"""TensorFlow's stateless stream; Keras' initializers on it are in `keras_tensorflow`.

Proved against TensorFlow 2.21.0 on x86-64 Linux with glibc 2.36. The
generator is Philox-4x32-10 on every device; the CPU's normals go through the C library's
float32 log, sine and cosine, which are replayed for glibc 2.28 and later. Every float32
draw equals TensorFlow's in every bit. There is no state: a seed is all there is.
"""

import functools
import math
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import type_error, value_error
from jaxinit._types import DTypeLike, Shape
from jaxinit.replay._arguments import check_draw, check_seed, check_static
from jaxinit.replay._chunks import map_rows
from jaxinit.replay._exact import narrow
from jaxinit.replay._libm import circle, log
from jaxinit.replay._native import native
from jaxinit.replay._philox import Block, philox

_DTYPES = ("float32",)
# tensorflow/core/kernels/stateless_random_ops_v2.h: the key that scrambles seeds.
_SCRAMBLE = 0x3EC8F720, 0x02461E29
_RESERVED = 256  # blocks set aside for each four truncated normals
_CUT = np.float32(2.0)

SeedPair = Sequence[int] | jax.Array
"""Two ints, or an integer array of shape ``(2,)``, which may be traced."""


@boundary
def stateless_uniform(
    shape: Shape,
    seed: SeedPair,
    minval: float = 0.0,
    maxval: float = 1.0,
    dtype: DTypeLike | None = jnp.float32,
) -> jax.Array:
    """Draw what ``tf.random.stateless_uniform(shape, seed, minval, maxval)`` draws.

    Args:
        shape: Axis lengths.
        seed: Two ints from -2^63 to 2^63 - 1, or an integer array of shape ``(2,)`` of
            32 bits, which may be traced and vmapped over.
        minval: Lower bound, a Python number.
        maxval: Upper bound, at least ``minval``.
        dtype: float32.

    Returns:
        The array.

    Raises:
        ValueError: A seed or a bound is out of range.
        TypeError: The dtype is another.

    Example:
        >>> from jaxinit.replay import tf_stateless
        >>> u = tf_stateless.stateless_uniform((2,), seed=(0, 0))
        >>> [round(float(x), 4) for x in u]
        [0.211, 0.706]
    """
    where = "tf_stateless.stateless_uniform"
    lengths, _ = check_draw(where, shape, dtype, _DTYPES, 1)
    low = check_static(where, "minval", minval)
    high = check_static(where, "maxval", maxval)
    if high < low:
        rule = "maxval must be at least minval"
        got = f"minval={low:g}, maxval={high:g}"
        value_error(where, rule, got, "Swap the two.")
    wide = np.array([low, high], np.float32).astype(np.float64)
    width = np.float64(np.float32(wide[1] - wide[0]))  # one rounding: TF subtracts floats
    return _drawn(where, _uniform, seed, (width, wide[0]), lengths)


@boundary
def stateless_normal(
    shape: Shape,
    seed: SeedPair,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: DTypeLike | None = jnp.float32,
) -> jax.Array:
    """Draw what ``tf.random.stateless_normal(shape, seed, mean, stddev)`` draws.

    Args:
        shape: Axis lengths.
        seed: As in `stateless_uniform`.
        mean: Mean, a Python number.
        stddev: Standard deviation, at least 0.
        dtype: float32.

    Returns:
        The array.

    Raises:
        ValueError: A seed or a number is out of range.
        TypeError: The dtype is another.
    """
    where = "tf_stateless.stateless_normal"
    return _gaussian(where, _normal, shape, seed, mean, stddev, dtype)


@boundary
def stateless_truncated_normal(
    shape: Shape,
    seed: SeedPair,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: DTypeLike | None = jnp.float32,
) -> jax.Array:
    """Draw what ``tf.random.stateless_truncated_normal`` draws.

    A standard normal is drawn again until it lies within (-2, 2), then scaled.

    Args:
        shape: Axis lengths.
        seed: As in `stateless_uniform`.
        mean: Mean of the normal law before truncation.
        stddev: Its standard deviation, at least 0; that of the result is 0.88 times it.
        dtype: float32.

    Returns:
        The array.

    Raises:
        ValueError: A seed or a number is out of range.
        TypeError: The dtype is another.
    """
    where = "tf_stateless.stateless_truncated_normal"
    return _gaussian(where, _truncated_normal, shape, seed, mean, stddev, dtype)


def _gaussian(
    where: str,
    draw: Callable[..., jax.Array],
    shape: Shape,
    seed: SeedPair,
    mean: float,
    stddev: float,
    dtype: DTypeLike | None,
) -> jax.Array:
    lengths, _ = check_draw(where, shape, dtype, _DTYPES, 1)
    mean = check_static(where, "mean", mean)
    stddev = check_static(where, "stddev", stddev, least=0.0)
    law = np.array([stddev, mean], np.float32).astype(np.float64)
    return _drawn(where, draw, seed, tuple(law), lengths)


def _drawn(
    where: str,
    draw: Callable[..., jax.Array],
    seed: SeedPair,
    law: tuple[float, ...],
    shape: tuple[int, ...],
) -> jax.Array:
    small = max(abs(x) for x in law) < 2.0**-70
    return draw(_seed_words(where, seed), np.array(law), shape, small)


def _seed_words(where: str, seed: SeedPair) -> jax.Array:
    """Return the four words of two seeds: low and high of each."""
    rule = "seed must be two ints"
    if isinstance(seed, jax.Array):
        if seed.shape != (2,) or not jnp.issubdtype(seed.dtype, jnp.integer):
            got = f"an array of shape {seed.shape} and dtype {seed.dtype.name}"
            type_error(where, rule, got, "Give an integer array of shape (2,).")
        low = seed.astype(jnp.uint32)
        high = jnp.where(seed < 0, np.uint32(0xFFFFFFFF), np.uint32(0))
        return jnp.stack([low, high], axis=1).reshape(-1)
    try:
        pair = tuple(seed)
    except TypeError:
        type_error(where, rule, f"seed={seed!r}", "Keras' seed=k is seed=(k, 0).")
    if len(pair) != 2:
        value_error(where, rule, f"seed={pair}", "Keras' seed=k is seed=(k, 0).")
    words = []
    for number in pair:
        value = int(check_seed(where, number, least=-(1 << 63), most=(1 << 63) - 1))
        words += [value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF]
    return jnp.asarray(np.array(words, np.uint32))


def _blocks(seed: jax.Array, index: jax.Array) -> Block:
    """Return the blocks at some places of the stream of a seed."""
    key = jnp.uint32(_SCRAMBLE[0]), jnp.uint32(_SCRAMBLE[1])
    s = philox((seed[0], seed[1], seed[2], seed[3]), key)
    zero = jnp.zeros_like(index)
    return philox((index, zero, zero + s[2], zero + s[3]), (s[0], s[1]))


def _unit(words: jax.Array) -> jax.Array:
    """Return the low 23 bits of each word, as multiples of 2^-23 in [0, 1)."""
    bits = words & np.uint32(0x7FFFFF) | np.uint32(0x3F800000)
    return jax.lax.bitcast_convert_type(bits, jnp.float32) - np.float32(1)


def _affine(x: jax.Array, factor: jax.Array, term: jax.Array, small: bool) -> jax.Array:
    """Return ``x * factor + term``, rounded twice as by two operations."""
    rounded = narrow(x.astype(jnp.float64) * factor, np.dtype(np.float32))
    if small:  # then the product is rounded to whole subnormal units
        exact = x.astype(jnp.float64) * factor
        rounded = jnp.rint(exact * 2.0**149) * 2.0**-149
    return narrow(rounded.astype(jnp.float64) + term, np.dtype(np.float32), small)


def _flat(columns: Sequence[jax.Array], size: int) -> jax.Array:
    return jnp.stack(columns, axis=1).reshape(-1)[:size]


@native
@functools.partial(jax.jit, static_argnums=(2, 3))
def _uniform(
    seed: jax.Array, law: jax.Array, shape: tuple[int, ...], small: bool
) -> jax.Array:
    size = math.prod(shape)
    if size == 0:
        return jnp.zeros(shape, jnp.float32)

    def work(index: jax.Array) -> tuple[jax.Array, ...]:
        blocks = _blocks(seed, index)
        return tuple(_affine(_unit(x), law[0], law[1], small) for x in blocks)

    index = jnp.arange(-(-size // 4), dtype=jnp.uint32)
    return _flat(map_rows(work, index), size).reshape(shape)


def _normal_blocks(seed: jax.Array, index: jax.Array) -> tuple[jax.Array, ...]:
    """Return the four standard normals of each block."""
    b = map_rows(lambda index: _blocks(seed, index), index)

    def work(words: jax.Array, turn: jax.Array) -> tuple[jax.Array, ...]:
        u = jnp.maximum(_unit(words), np.float32(1.0e-7))
        radius = jnp.sqrt(np.float32(-2) * log(u))
        angle = 2 * np.pi * _unit(turn).astype(jnp.float64)
        pair = circle(angle.astype(jnp.float32))
        return tuple(x * radius for x in pair)

    return *map_rows(work, b[0], b[1]), *map_rows(work, b[2], b[3])


@native
@functools.partial(jax.jit, static_argnums=(2, 3))
def _normal(
    seed: jax.Array, law: jax.Array, shape: tuple[int, ...], small: bool
) -> jax.Array:
    size = math.prod(shape)
    if size == 0:
        return jnp.zeros(shape, jnp.float32)
    blocks = _normal_blocks(seed, jnp.arange(-(-size // 4), dtype=jnp.uint32))
    return _affine(_flat(blocks, size), law[0], law[1], small).reshape(shape)


@native
@functools.partial(jax.jit, static_argnums=(2, 3))
def _truncated_normal(
    seed: jax.Array, law: jax.Array, shape: tuple[int, ...], small: bool
) -> jax.Array:
    """Each four results have 256 blocks to themselves, and take what lies within."""
    size = math.prod(shape)
    if size == 0:
        return jnp.zeros(shape, jnp.float32)
    groups = -(-size // 4)
    first = jnp.arange(groups, dtype=jnp.uint32) * np.uint32(_RESERVED)
    column = np.arange(4, dtype=np.int32)[:, None]

    def body(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        block, count, results = state
        for value in _normal_blocks(seed, first + block):
            accept = (jnp.abs(value) < _CUT) & (count < 4)
            results = jnp.where(accept & (count == column), value, results)
            count = count + accept.astype(jnp.int32)
        return block + np.uint32(1), count, results

    empty = jnp.zeros((4, groups), jnp.float32)
    state = jnp.uint32(0), jnp.zeros((groups,), jnp.int32), empty
    _, _, results = jax.lax.while_loop(lambda s: jnp.any(s[1] < 4), body, state)
    values = results.T.reshape(-1)[:size]
    return _affine(values, law[0], law[1], small).reshape(shape)
