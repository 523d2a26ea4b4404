"""Keras' initializers on the TensorFlow backend, by their integer seed.

Proved against Keras 3.15.1 on TensorFlow 2.21.0, x86-64 Linux, glibc 2.36: every bit of
float32. An initializer with ``seed=k`` draws from TensorFlow's stateless stream of the
seed ``(k mod (2^31 - 2), 0)``, the same numbers at every call. Shapes are in Keras'
layout, the last two axes being inputs and outputs. `keras_initializers` has the same
initializers for all of Keras' backends.
"""

import re
from collections.abc import Callable

import jax

from jaxinit._boundary import boundary
from jaxinit._types import Shape
from jaxinit.replay import keras_initializers as named
from jaxinit.replay._arguments import Seed


def _seeded(
    kind: Callable[[Seed], named.Initializer],
) -> Callable[[Seed, Shape], jax.Array]:
    """Return the draw of an initializer whose one option is its seed."""

    def draw(seed: Seed, shape: Shape) -> jax.Array:
        return kind(seed)(shape)

    name = kind.__name__
    draw.__doc__ = f"Draw what ``keras.initializers.{name}(seed)(shape)`` draws."
    draw.__name__ = draw.__qualname__ = re.sub("(?<!^)([A-Z])", r"_\1", name).lower()
    return boundary(draw)


glorot_normal = _seeded(named.GlorotNormal)
"""Draw what ``keras.initializers.GlorotNormal(seed)(shape)`` draws, truncated."""

he_uniform = _seeded(named.HeUniform)
"""Draw what ``keras.initializers.HeUniform(seed)(shape)`` draws."""

he_normal = _seeded(named.HeNormal)
"""Draw what ``keras.initializers.HeNormal(seed)(shape)`` draws, truncated."""

lecun_uniform = _seeded(named.LecunUniform)
"""Draw what ``keras.initializers.LecunUniform(seed)(shape)`` draws."""

lecun_normal = _seeded(named.LecunNormal)
"""Draw what ``keras.initializers.LecunNormal(seed)(shape)`` draws, truncated."""


@boundary
def glorot_uniform(seed: Seed, shape: Shape) -> jax.Array:
    """Draw what ``keras.initializers.GlorotUniform(seed)(shape)`` draws.

    Args:
        seed: The initializer's seed: an int of 64 bits, or an integer array of rank 0.
        shape: Axis lengths, ``(*window, in, out)``.

    Returns:
        The float32 array.

    Example:
        >>> from jaxinit.replay import keras_tensorflow
        >>> w = keras_tensorflow.glorot_uniform(0, (2, 2))
        >>> [round(float(x), 4) for x in w.ravel()]
        [-0.7079, 0.5046, 0.735, 0.6633]
    """
    return named.GlorotUniform(seed)(shape)


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
    return named.RandomUniform(minval, maxval, seed)(shape)


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
    return named.RandomNormal(mean, stddev, seed)(shape)


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
    return named.TruncatedNormal(mean, stddev, seed)(shape)


@boundary
def variance_scaling(
    seed: Seed,
    shape: Shape,
    scale: float = 1.0,
    mode: str = "fan_in",
    distribution: str = "truncated_normal",
) -> jax.Array:
    """Draw what ``keras.initializers.VarianceScaling`` draws.

    Args:
        seed: As in `glorot_uniform`.
        shape: As in `glorot_uniform`.
        scale: Factor on the variance, above 0.
        mode: ``"fan_in"``, ``"fan_out"`` or ``"fan_avg"``.
        distribution: ``"uniform"``, ``"truncated_normal"`` or ``"untruncated_normal"``.

    Returns:
        The float32 array.
    """
    return named.VarianceScaling(scale, mode, distribution, seed)(shape)


@boundary
def orthogonal(seed: Seed, shape: Shape, gain: float = 1.0) -> jax.Array:
    """Draw what ``keras.initializers.Orthogonal(gain, seed)`` draws, to rounding errors.

    Args:
        seed: As in `glorot_uniform`.
        shape: Axis lengths, at least two; all but the last are taken as one.
        gain: Factor on the orthogonal matrix.

    Returns:
        The float32 array.
    """
    return named.Orthogonal(gain, seed)(shape)


__all__ = [
    "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal",
    "lecun_uniform", "orthogonal", "random_normal", "random_uniform", "truncated_normal",
    "variance_scaling",
]  # fmt: skip
