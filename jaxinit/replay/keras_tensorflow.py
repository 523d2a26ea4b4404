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
from jaxinit.replay._keras_session import snake
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


def _seeded(kind: Callable[..., named.Initializer]) -> Callable[..., jax.Array]:
    """Return the draw of an initializer: the seed first, then the shape, then options."""

    def draw(seed: Seed, shape: Shape, *args: Any, **options: Any) -> jax.Array:
        bound(draw, (seed, shape, *args), options)
        return kind(*args, seed=seed, **options)(shape)

    draw.__name__ = draw.__qualname__ = snake(kind.__name__)
    draw.__doc__ = _ABOUT.format(kind.__name__)
    first = [*inspect.signature(draw).parameters.values()][:2]
    rest = [p for p in inspect.signature(kind).parameters.values() if p.name != "seed"]
    vars(draw)["__signature__"] = inspect.Signature([*first, *rest])
    return boundary(draw)


glorot_uniform, glorot_normal = _seeded(named.GlorotUniform), _seeded(named.GlorotNormal)
he_uniform, he_normal = _seeded(named.HeUniform), _seeded(named.HeNormal)
lecun_uniform, lecun_normal = _seeded(named.LecunUniform), _seeded(named.LecunNormal)
random_uniform, random_normal = _seeded(named.RandomUniform), _seeded(named.RandomNormal)
truncated_normal, orthogonal = _seeded(named.TruncatedNormal), _seeded(named.Orthogonal)
variance_scaling = _seeded(named.VarianceScaling)

__all__ = [
    "glorot_normal", "glorot_uniform", "he_normal", "he_uniform", "lecun_normal",
    "lecun_uniform", "orthogonal", "random_normal", "random_uniform", "truncated_normal",
    "variance_scaling",
]  # fmt: skip
