"""TensorFlow's stateful stream: eager ``tf.random`` ops after ``tf.random.set_seed(seed)``.

Proved against TensorFlow 2.21.0 on x86-64 Linux with glibc 2.36, on CPU and in eager mode:
every bit of float32. An op without a seed takes the next number of Python's generator of
the global seed; the global seed is the key of Philox-4x32-10, the op's is its counter.
"""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_int
from jaxinit._types import Shape
from jaxinit.replay import _tf_values as tf
from jaxinit.replay import python_random
from jaxinit.replay._arguments import check_draw, check_stream

_MOST = (1 << 31) - 1
_SKIPPED = 256  # blocks that an op passes over for each value that it draws


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stream:
    """Where TensorFlow stands after a global seed: a pytree that draws take and return.

    Attributes:
        ops: Python's generator, which gives the seeds of ops without one.
        seed: The global seed, static.
        used: For each kind of op and its seed the blocks that its calls have passed
            over, static. TensorFlow keeps one generator for all calls of such an op.
    """

    ops: python_random.Stream
    seed: int = dataclasses.field(metadata={"static": True})
    used: tuple[tuple[str, int, int], ...] = dataclasses.field(metadata={"static": True})

    start: ClassVar[str] = "tf_stateful.set_seed(seed)"


@boundary
def set_seed(seed: int) -> Stream:
    """Return the stream as it stands after ``tf.random.set_seed(seed)``.

    Args:
        seed: A non-negative int.

    Returns:
        The stream.

    Raises:
        ValueError: The seed is negative.
        TypeError: The seed is no int.

    Example:
        >>> from jaxinit.replay import tf_stateful
        >>> stream = tf_stateful.set_seed(42)
        >>> stream, u = tf_stateful.uniform(stream, (2,))
        >>> [round(float(x), 4) for x in u]
        [0.6646, 0.441]
    """
    number = check_int("seed", seed, least=0)
    return Stream(python_random.seed(number), number, ())


@boundary
def uniform(
    stream: Stream,
    shape: Shape,
    minval: float = 0.0,
    maxval: float = 1.0,
    seed: int | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``tf.random.uniform(shape, minval, maxval, seed=seed)`` draws.

    Args:
        stream: The stream.
        shape: Axis lengths.
        minval: Lower bound, a Python number.
        maxval: Upper bound, at least ``minval``.
        seed: The seed of the op, a non-negative int or None. Calls with one seed go on
            where the last one stopped.

    Returns:
        The stream after the draw, and the float32 array.

    Raises:
        ValueError: A bound is out of range, or the seed is negative.
    """
    return _draw(stream, shape, "uniform", tf.uniform_scale(minval, maxval), seed)


@boundary
def normal(
    stream: Stream,
    shape: Shape,
    mean: float = 0.0,
    stddev: float = 1.0,
    seed: int | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``tf.random.normal`` draws; see `uniform` and `tf_stateless`."""
    return _draw(stream, shape, "normal", tf.normal_scale(mean, stddev), seed)


@boundary
def truncated_normal(
    stream: Stream,
    shape: Shape,
    mean: float = 0.0,
    stddev: float = 1.0,
    seed: int | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``tf.random.truncated_normal`` draws; see `uniform` and `tf_stateless`."""
    scale = tf.normal_scale(mean, stddev)
    return _draw(stream, shape, "truncated_normal", scale, seed)


def _draw(
    stream: Stream, shape: Shape, op: tf.Op, scale: np.ndarray, seed: int | None
) -> tuple[Stream, jax.Array]:
    check_stream(stream, Stream)
    lengths, _ = check_draw(shape, np.float32, ("float32",), 1)
    key, passed = stream.seed % _MOST, 0
    if seed is None:
        ops, number = python_random.randint(stream.ops, (), 0, _MOST)
        number = jnp.where(number == _MOST, 0, number)
        stream = dataclasses.replace(stream, ops=ops)
    else:
        own = check_int("seed", seed, least=0) % _MOST
        blocks = {(name, of): n for name, of, n in stream.used}
        passed = blocks.get((op, own), 0)
        blocks[op, own] = passed + _SKIPPED * int(np.prod(lengths, dtype=np.int64))
        used = tuple((*name, n) for name, n in blocks.items())
        stream, number = dataclasses.replace(stream, used=used), jnp.int32(own)
    if key == 0:  # TensorFlow takes two zeros for no seed at all
        number = jnp.where(number == 0, _MOST, number)
    zero = jnp.uint32(0)
    place = jnp.stack([jnp.uint32(key), zero, number.astype(jnp.uint32), zero])
    start = np.uint64(passed)
    return stream, tf.values(op, place, scale, lengths, start)


__all__ = ["Stream", "normal", "set_seed", "truncated_normal", "uniform"]
