"""TensorFlow's draws from a place in a Philox stream, and their arguments."""

import functools
import math
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import value_error
from jaxinit.replay._arguments import check_range, check_static
from jaxinit.replay._chunks import map_rows
from jaxinit.replay._libm import circle, log
from jaxinit.replay._native import native
from jaxinit.replay._philox import Block, philox

# tensorflow/core/kernels/stateless_random_ops_v2.h: the key that scrambles seeds.
_SCRAMBLE = 0x3EC8F720, 0x02461E29
_RESERVED = 256  # blocks set aside for each four truncated normals
_CUT = np.float32(2.0)
_BEGIN = np.uint64(0)

Start = jax.Array | np.uint64


def _single(x: float) -> float:
    """Return a number as TensorFlow takes it: float32, and 0 for subnormal ones."""
    rounded = float(np.float32(x))
    return rounded if abs(rounded) >= 2.0**-126 else math.copysign(0.0, rounded)


def uniform_scale(minval: float, maxval: float) -> np.ndarray:
    """Return how values on [0, 1) are scaled, the bounds checked."""
    low = check_static("minval", minval)
    high = check_static("maxval", maxval)
    if high < low:
        rule = "maxval must be at least minval"
        got = f"minval={low:g}, maxval={high:g}"
        value_error(rule, got, "Swap the two.")
    single = np.dtype(np.float32)
    check_range(single, minval=low, maxval=high, width=high - low)
    return np.array([_single(_single(high) - _single(low)), _single(low)])


def normal_scale(mean: float, stddev: float) -> np.ndarray:
    """Return how standard normals are scaled, the numbers checked."""
    mean = check_static("mean", mean)
    stddev = check_static("stddev", stddev, least=0.0)
    check_range(np.dtype(np.float32), mean=mean, stddev=stddev)
    return np.array([_single(stddev), _single(mean)])


@native
@jax.jit
def scrambled(seed: jax.Array) -> jax.Array:
    """Return the key and the upper half of the counter that belong to a seed."""
    key = jnp.uint32(_SCRAMBLE[0]), jnp.uint32(_SCRAMBLE[1])
    return jnp.stack(philox((seed[0], seed[1], seed[2], seed[3]), key))


def _blocks(place: jax.Array, index: jax.Array) -> Block:
    """Return blocks of a stream by their index, uint64."""
    low, high = index.astype(jnp.uint32), (index >> 32).astype(jnp.uint32)
    zero = jnp.zeros_like(low)
    return philox((low, high, zero + place[2], zero + place[3]), (place[0], place[1]))


def _unit(words: jax.Array) -> jax.Array:
    """Return the low 23 bits of each word, as multiples of 2^-23 in [0, 1)."""
    bits = words & np.uint32(0x7FFFFF) | np.uint32(0x3F800000)
    return jax.lax.bitcast_convert_type(bits, jnp.float32) - np.float32(1)


def _affine(x: jax.Array, factor: jax.Array, term: jax.Array) -> jax.Array:
    """Return ``x * factor + term``, rounded twice as by two operations.

    XLA flushes what is subnormal, and so does TensorFlow.
    """
    product = (x.astype(jnp.float64) * factor).astype(jnp.float32)
    return (product.astype(jnp.float64) + term).astype(jnp.float32)


def _uniform(place: jax.Array, index: jax.Array, start: Start) -> jax.Array:
    """Return the four numbers on [0, 1) of each block."""

    def work(index: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(_unit(x) for x in _blocks(place, index))

    return jnp.stack(map_rows(work, index + start), axis=1)


def _normal(place: jax.Array, index: jax.Array, start: Start) -> jax.Array:
    """Return the four standard normals of each block."""
    b = map_rows(lambda index: _blocks(place, index), index + start)

    def work(words: jax.Array, turn: jax.Array) -> tuple[jax.Array, ...]:
        u = jnp.maximum(_unit(words), np.float32(1.0e-7))
        radius = jnp.sqrt(np.float32(-2) * log(u))
        angle = 2 * np.pi * _unit(turn).astype(jnp.float64)
        pair = circle(angle.astype(jnp.float32))
        return tuple(x * radius for x in pair)

    pairs = *map_rows(work, b[0], b[1]), *map_rows(work, b[2], b[3])
    return jnp.stack(pairs, axis=1)


def _truncated_normal(place: jax.Array, index: jax.Array, start: Start) -> jax.Array:
    """Each four results have 256 blocks to themselves, and take what lies within."""
    first = index * np.uint64(_RESERVED) + start
    column = np.arange(4, dtype=np.int32)

    def body(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        block, count, results = state
        for value in jnp.unstack(_normal(place, first, block), axis=1):
            accept = (jnp.abs(value) < _CUT) & (count < 4)
            here = accept[:, None] & (count[:, None] == column)
            results = jnp.where(here, value[:, None], results)
            count = count + accept.astype(jnp.int32)
        return block + np.uint64(1), count, results

    count = jnp.zeros(index.shape, jnp.int32)
    state = jnp.uint64(0), count, jnp.zeros((*index.shape, 4), jnp.float32)
    return jax.lax.while_loop(lambda s: jnp.any(s[1] < 4), body, state)[2]


Op = Literal["uniform", "normal", "truncated_normal"]
_FOURS = {"uniform": _uniform, "normal": _normal, "truncated_normal": _truncated_normal}


def values(
    op: Op,
    place: jax.Array | np.ndarray,
    scale: np.ndarray,
    shape: tuple[int, ...],
    start: Start = _BEGIN,
) -> jax.Array:
    """Return what an op draws from the block ``start`` on."""
    size = math.prod(shape)
    if size == 0:
        return jnp.zeros(shape, jnp.float32)
    # A longer draw begins with the shorter one: few lengths need few programs.
    longer = max(1024, 1 << (size - 1).bit_length()) if size <= 1 << 24 else size
    flat = _program(op, place, scale, -(-longer // 4), start)
    return jax.lax.slice(flat, (0,), (size,)).reshape(shape)


@native
@functools.partial(jax.jit, static_argnums=(0, 3))
def _program(
    op: Op, place: jax.Array, scale: jax.Array, blocks: int, start: Start
) -> jax.Array:
    fours = _FOURS[op](place, jnp.arange(blocks, dtype=jnp.uint64), start)
    return _affine(fours.reshape(-1), scale[0], scale[1])
