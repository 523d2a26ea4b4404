"""Keras' initializers on the TensorFlow backend, by their integer seed.

Proved against Keras 3.15.1 on TensorFlow 2.21.0, x86-64 Linux, glibc 2.36: every bit of
float32. An initializer with ``seed=k`` draws from TensorFlow's stateless stream of the
seed ``(k mod (2^31 - 2), 0)``, the same numbers at every call. `keras_initializers` has
the same initializers for all of Keras' backends.

Every function takes the seed (an int of 64 bits, or an integer array of rank 0, which may
be traced), the shape in Keras' layout ``(*window, in, out)``, and then the options of
Keras' initializer; it returns the float32 array.

Example:
    >>> from jaxinit.replay import keras_tensorflow
    >>> w = keras_tensorflow.glorot_uniform(0, (2, 2))
    >>> [round(float(x), 4) for x in w.ravel()]
    [-0.7079, 0.5046, 0.735, 0.6633]
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax

from jaxinit._boundary import boundary
from jaxinit._types import Shape
from jaxinit.replay import keras_initializers as named
from jaxinit.replay._arguments import Seed
from jaxinit.replay._signatures import bound

_ABOUT = """Draw what ``keras.initializers.{}`` draws on TensorFlow.

Args:
    seed: An int of 64 bits, or an integer array of rank 0.
    shape: Axis lengths, ``(*window, in, out)``.
    *args: The options of Keras' initializer.
    **options: Likewise, by name.

Returns:
    The float32 array.
"""


def _seeded(name: str, kind: Callable[..., named.Initializer]) -> Callable[..., jax.Array]:
    """Return the draw of an initializer: the seed first, then the shape, then options."""

    def draw(seed: Seed, shape: Shape, *args: Any, **options: Any) -> jax.Array:
        bound(draw, (seed, shape, *args), options)
        return kind(*args, seed=seed, **options)(shape)

    draw.__name__ = draw.__qualname__ = name
    draw.__doc__ = _ABOUT.format(kind.__name__)
    first = [*inspect.signature(draw).parameters.values()][:2]
    rest = [p for p in inspect.signature(kind).parameters.values() if p.name != "seed"]
    vars(draw)["__signature__"] = inspect.Signature([*first, *rest])
    return boundary(draw)


glorot_uniform = _seeded("glorot_uniform", named.GlorotUniform)
"""``glorot_uniform(seed, shape)``: ``keras.initializers.GlorotUniform``."""
glorot_normal = _seeded("glorot_normal", named.GlorotNormal)
"""``glorot_normal(seed, shape)``: ``keras.initializers.GlorotNormal``, truncated."""
he_uniform = _seeded("he_uniform", named.HeUniform)
"""``he_uniform(seed, shape)``: ``keras.initializers.HeUniform``."""
he_normal = _seeded("he_normal", named.HeNormal)
"""``he_normal(seed, shape)``: ``keras.initializers.HeNormal``, truncated."""
lecun_uniform = _seeded("lecun_uniform", named.LecunUniform)
"""``lecun_uniform(seed, shape)``: ``keras.initializers.LecunUniform``."""
lecun_normal = _seeded("lecun_normal", named.LecunNormal)
"""``lecun_normal(seed, shape)``: ``keras.initializers.LecunNormal``, truncated."""
random_uniform = _seeded("random_uniform", named.RandomUniform)
"""``random_uniform(seed, shape, minval=-0.05, maxval=0.05)``: ``RandomUniform``."""
random_normal = _seeded("random_normal", named.RandomNormal)
"""``random_normal(seed, shape, mean=0.0, stddev=0.05)``: ``RandomNormal``."""
truncated_normal = _seeded("truncated_normal", named.TruncatedNormal)
"""``truncated_normal(seed, shape, mean=0.0, stddev=0.05)``, cut at two ``stddev``."""
variance_scaling = _seeded("variance_scaling", named.VarianceScaling)
"""``variance_scaling(seed, shape, scale=1.0, mode="fan_in", distribution=...)``."""
orthogonal = _seeded("orthogonal", named.Orthogonal)
"""``orthogonal(seed, shape, gain=1.0)``, to rounding errors."""

__all__ = [
    "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal",
    "lecun_uniform", "orthogonal", "random_normal", "random_uniform", "truncated_normal",
    "variance_scaling",
]  # fmt: skip
