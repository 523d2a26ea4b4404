"""TensorFlow's stateless stream; Keras' initializers on it are in `keras_tensorflow`.

Proved against TensorFlow 2.21.0 on x86-64 Linux with glibc 2.36. The
generator is Philox-4x32-10 on every device; the CPU's normals go through the C library's
float32 log, sine and cosine, which are replayed for glibc 2.28 and later. Every float32
draw equals TensorFlow's in every bit. There is no state: a seed is all there is.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import type_error, value_error
from jaxinit._types import DTypeLike, Shape
from jaxinit.replay import _tf_values as tf
from jaxinit.replay._arguments import check_draw, check_seed

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
            32 or 64 bits, which may be traced and vmapped over.
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
    return _drawn("uniform", shape, seed, dtype, tf.uniform_scale(minval, maxval))


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
    """
    return _drawn("normal", shape, seed, dtype, tf.normal_scale(mean, stddev))


@boundary
def stateless_truncated_normal(
    shape: Shape,
    seed: SeedPair,
    mean: float = 0.0,
    stddev: float = 1.0,
    dtype: DTypeLike | None = jnp.float32,
) -> jax.Array:
    """Draw what ``tf.random.stateless_truncated_normal`` draws; see `stateless_normal`.

    A standard normal is drawn again until it lies within (-2, 2), then scaled: the standard
    deviation of the result is 0.88 times ``stddev``.

    Returns:
        The array.
    """
    scale = tf.normal_scale(mean, stddev)
    return _drawn("truncated_normal", shape, seed, dtype, scale)


def _drawn(
    op: tf.Op, shape: Shape, seed: SeedPair, dtype: DTypeLike | None, scale: np.ndarray
) -> jax.Array:
    lengths, _ = check_draw(shape, dtype, ("float32",), 1)
    place = tf.scrambled(_seed_words(seed))
    return tf.values(op, place, scale, lengths)


def _seed_words(seed: SeedPair) -> jax.Array:
    """Return the four words of two seeds: low and high of each."""
    rule = "seed must be two ints"
    if isinstance(seed, jax.Array):
        if seed.shape != (2,) or not jnp.issubdtype(seed.dtype, jnp.integer):
            got = f"an array of shape {seed.shape} and dtype {seed.dtype.name}"
            type_error(rule, got, "Give an integer array of shape (2,).")
        low = seed.astype(jnp.uint32)
        high = jnp.where(seed < 0, np.uint32(0xFFFFFFFF), np.uint32(0))
        if seed.dtype.itemsize == 8:
            high = (seed >> 32).astype(jnp.uint32)
        return jnp.stack([low, high], axis=1).reshape(-1)
    try:
        pair = tuple(seed)
    except TypeError:
        type_error(rule, f"seed={seed!r}", "Keras' seed=k is seed=(k, 0).")
    if len(pair) != 2:
        value_error(rule, f"seed={pair}", "Keras' seed=k is seed=(k, 0).")
    words = []
    for number in pair:
        value = int(check_seed(number, least=-(1 << 63), most=(1 << 63) - 1))
        words += [value & 0xFFFFFFFF, value >> 32 & 0xFFFFFFFF]
    return jnp.asarray(np.array(words, np.uint32))


__all__ = [
    "SeedPair", "stateless_normal", "stateless_truncated_normal", "stateless_uniform",
]  # fmt: skip
