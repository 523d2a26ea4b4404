"""Keras' initializers on the TensorFlow backend, by their integer seed.

Proved against Keras 3.15.1 on TensorFlow 2.21.0, x86-64 Linux, glibc 2.36: every bit of
float32. An initializer with ``seed=k`` draws from TensorFlow's stateless stream of the
seed ``(k, 0)``, the same numbers at every call. Shapes are in Keras' layout, the last
two axes being inputs and outputs.
"""

import math

import jax
import jax.numpy as jnp

from jaxinit._boundary import boundary
from jaxinit._checks import check_rank, check_shape
from jaxinit._types import Shape
from jaxinit.replay._arguments import Seed, check_seed, check_static
from jaxinit.replay.tf_stateless import (
    stateless_normal,
    stateless_truncated_normal,
    stateless_uniform,
)

# keras/src/initializers/random_initializers.py: the standard deviation of a standard
# normal that is cut at two.
_TRUNCATED = 0.87962566103423978


def _pair(where: str, seed: Seed) -> tuple[int, int] | jax.Array:
    number = check_seed(where, seed, least=-(1 << 63), most=(1 << 63) - 1)
    if isinstance(number, int):
        return number, 0
    return jnp.stack([number, jnp.zeros_like(number)])


def _scale(where: str, shape: Shape, mode: str) -> tuple[tuple[int, ...], float]:
    """Return the shape, and one over the fan."""
    lengths = check_shape(where, shape)
    check_rank(where, lengths, 2, "For a bias Keras uses zeros.")
    window = math.prod(lengths[:-2])
    fans = lengths[-2] * window, lengths[-1] * window
    fan = fans[0] if mode == "fan_in" else sum(fans) / 2
    return lengths, 1.0 / max(1.0, fan)


def _uniform(where: str, seed: Seed, shape: Shape, scale: float, mode: str) -> jax.Array:
    lengths, share = _scale(where, shape, mode)
    limit = math.sqrt(3.0 * (scale * share))
    return stateless_uniform(lengths, _pair(where, seed), -limit, limit)


def _normal(where: str, seed: Seed, shape: Shape, scale: float, mode: str) -> jax.Array:
    lengths, share = _scale(where, shape, mode)
    stddev = math.sqrt(scale * share) / _TRUNCATED
    return stateless_truncated_normal(lengths, _pair(where, seed), 0.0, stddev)


@boundary
def glorot_uniform(seed: Seed, shape: Shape) -> jax.Array:
    """Draw what ``keras.initializers.GlorotUniform(seed)(shape)`` draws.

    Args:
        seed: The initializer's seed: an int, or a 32-bit integer array of rank 0.
        shape: Axis lengths, ``(*window, in, out)``.

    Returns:
        The float32 array.

    Example:
        >>> from jaxinit.replay import keras_tensorflow
        >>> w = keras_tensorflow.glorot_uniform(0, (2, 2))
        >>> [round(float(x), 4) for x in w.ravel()]
        [-0.7079, 0.5046, 0.735, 0.6633]
    """
    return _uniform("keras_tensorflow.glorot_uniform", seed, shape, 1.0, "fan_avg")


@boundary
def glorot_normal(seed: Seed, shape: Shape) -> jax.Array:
    """Draw what ``keras.initializers.GlorotNormal(seed)(shape)`` draws, truncated.

    Args:
        seed: As in `glorot_uniform`.
        shape: As in `glorot_uniform`.

    Returns:
        The float32 array.
    """
    return _normal("keras_tensorflow.glorot_normal", seed, shape, 1.0, "fan_avg")


@boundary
def he_uniform(seed: Seed, shape: Shape) -> jax.Array:
    """Draw what ``keras.initializers.HeUniform(seed)(shape)`` draws.

    Args:
        seed: As in `glorot_uniform`.
        shape: As in `glorot_uniform`.

    Returns:
        The float32 array.
    """
    return _uniform("keras_tensorflow.he_uniform", seed, shape, 2.0, "fan_in")


@boundary
def he_normal(seed: Seed, shape: Shape) -> jax.Array:
    """Draw what ``keras.initializers.HeNormal(seed)(shape)`` draws, truncated.

    Args:
        seed: As in `glorot_uniform`.
        shape: As in `glorot_uniform`.

    Returns:
        The float32 array.
    """
    return _normal("keras_tensorflow.he_normal", seed, shape, 2.0, "fan_in")


@boundary
def lecun_uniform(seed: Seed, shape: Shape) -> jax.Array:
    """Draw what ``keras.initializers.LecunUniform(seed)(shape)`` draws.

    Args:
        seed: As in `glorot_uniform`.
        shape: As in `glorot_uniform`.

    Returns:
        The float32 array.
    """
    return _uniform("keras_tensorflow.lecun_uniform", seed, shape, 1.0, "fan_in")


@boundary
def lecun_normal(seed: Seed, shape: Shape) -> jax.Array:
    """Draw what ``keras.initializers.LecunNormal(seed)(shape)`` draws, truncated.

    Args:
        seed: As in `glorot_uniform`.
        shape: As in `glorot_uniform`.

    Returns:
        The float32 array.
    """
    return _normal("keras_tensorflow.lecun_normal", seed, shape, 1.0, "fan_in")


@boundary
def random_uniform(
    seed: Seed, shape: Shape, minval: float = -0.05, maxval: float = 0.05
) -> jax.Array:
    """Draw what ``keras.initializers.RandomUniform(minval, maxval, seed)`` draws.

    Args:
        seed: As in `glorot_uniform`.
        shape: Axis lengths.
        minval: Lower bound.
        maxval: Upper bound.

    Returns:
        The float32 array.
    """
    where = "keras_tensorflow.random_uniform"
    return stateless_uniform(shape, _pair(where, seed), minval, maxval)


@boundary
def random_normal(
    seed: Seed, shape: Shape, mean: float = 0.0, stddev: float = 0.05
) -> jax.Array:
    """Draw what ``keras.initializers.RandomNormal(mean, stddev, seed)`` draws.

    Args:
        seed: As in `glorot_uniform`.
        shape: Axis lengths.
        mean: Mean.
        stddev: Standard deviation.

    Returns:
        The float32 array.
    """
    where = "keras_tensorflow.random_normal"
    return stateless_normal(shape, _pair(where, seed), mean, stddev)


@boundary
def truncated_normal(
    seed: Seed, shape: Shape, mean: float = 0.0, stddev: float = 0.05
) -> jax.Array:
    """Draw what ``keras.initializers.TruncatedNormal(mean, stddev, seed)`` draws.

    Args:
        seed: As in `glorot_uniform`.
        shape: Axis lengths.
        mean: Mean before truncation at two standard deviations.
        stddev: Standard deviation before truncation, at least 0.

    Returns:
        The float32 array.
    """
    where = "keras_tensorflow.truncated_normal"
    stddev = check_static(where, "stddev", stddev, least=0.0)
    return stateless_truncated_normal(shape, _pair(where, seed), mean, stddev)
