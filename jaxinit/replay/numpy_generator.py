"""NumPy's new stream: the numbers of ``np.random.default_rng(seed)``, which is PCG64.

Proved against NumPy 2.4.6 on x86-64 Linux: `random` and `uniform` equal NumPy's in every
bit. NumPy does not promise to keep this stream between versions. Normals are a
ziggurat whose every value takes an unknown number of words, so they are inherently
serial and are not given.
"""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import value_error
from jaxinit._types import DTypeLike, Shape
from jaxinit.replay import _float64, _pcg64
from jaxinit.replay._arguments import Seed, check_draw, check_seed, check_static
from jaxinit.replay._float64 import Float64
from jaxinit.replay._uint64 import shift_right

_DTYPES = "float32", "float64"


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stream:
    """Where a generator stands: a pytree that each draw takes and returns.

    Attributes:
        state: The 128-bit state, uint32 of shape ``(4,)``, lowest limb first.
        increment: The 128-bit increment, likewise.
        spare: The upper half of the last 64-bit word if a draw of float32 has left it,
            uint32 of rank 0; else None. Whether there is one is static.
    """

    state: jax.Array
    increment: jax.Array
    spare: jax.Array | None = None


@boundary
def default_rng(seed: Seed) -> Stream:
    """Return the stream of ``np.random.default_rng(seed)``.

    Args:
        seed: An int from 0 to 2^128 - 1, or an integer array of rank 0, which is taken
            as 32 bits and may be traced and vmapped over.

    Returns:
        The stream.

    Raises:
        ValueError: The seed is out of range.
        TypeError: The seed is no int.

    Example:
        >>> from jaxinit.replay import numpy_generator
        >>> stream = numpy_generator.default_rng(0)
        >>> stream, u = numpy_generator.random(stream, (2,), dtype="float32")
        >>> u.shape
        (2,)
    """
    where = "numpy_generator.default_rng"
    number = check_seed(where, seed, least=0, most=(1 << 128) - 1)
    if not isinstance(number, int):
        return _start(number[None])
    count = max(1, -(-number.bit_length() // 32))
    words = [number >> 32 * i & 0xFFFFFFFF for i in range(count)]
    return _start(jnp.asarray(np.array(words, np.uint32)))


@jax.jit
def _start(entropy: jax.Array) -> Stream:
    return Stream(*_pcg64.start(_pcg64.seed_sequence(entropy)))


@boundary
def random(
    stream: Stream, shape: Shape, dtype: DTypeLike = "float64"
) -> tuple[Stream, jax.Array]:
    """Draw what ``Generator.random(shape, dtype)`` draws: uniform on [0, 1).

    Args:
        stream: The stream.
        shape: Axis lengths; the values fill the array in C order.
        dtype: As in NumPy: float64 takes 64 bits a value and keeps 53; float32 takes 32
            and keeps 24, so its numbers are others. float64 needs JAX's 64-bit mode.

    Returns:
        The stream after the draw, and the array.

    Raises:
        ValueError: float64 was asked for with 64-bit mode off.
        TypeError: The dtype is another.
    """
    where = "numpy_generator.random"
    lengths, kind = check_draw(where, shape, dtype, _DTYPES, 2)
    if kind == np.float32:
        return _random32(stream, lengths)
    return _uniform(stream, None, lengths, kind)


@boundary
def uniform(
    stream: Stream,
    shape: Shape,
    low: float = 0.0,
    high: float = 1.0,
    dtype: DTypeLike | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``Generator.uniform(low, high, shape)`` draws.

    Args:
        stream: The stream.
        shape: Axis lengths; the values fill the array in C order.
        low: Lower bound, a Python number.
        high: Upper bound, at least ``low``.
        dtype: float32 or float64; None means JAX's default float. NumPy's values are
            float64; float32 is their one rounding.

    Returns:
        The stream after the draw, and the array.

    Raises:
        ValueError: A bound is not finite, or ``high < low``.
        TypeError: The dtype is another, or a bound is an array.
    """
    where = "numpy_generator.uniform"
    lengths, kind = check_draw(where, shape, dtype, _DTYPES, 2)
    bottom = check_static(where, "low", low)
    width = check_static(where, "high", high) - bottom
    if width < 0:
        rule = "high must be at least low"
        got = f"low={bottom:g}, high={bottom + width:g}"
        value_error(where, rule, got, "Swap the two.")
    affine = _float64.constant(width), _float64.constant(bottom)
    return _uniform(stream, affine, lengths, kind)


@functools.partial(jax.jit, static_argnums=(2, 3))
def _uniform(
    stream: Stream,
    affine: tuple[Float64, Float64] | None,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> tuple[Stream, jax.Array]:
    size = math.prod(shape)
    state, words = _pcg64.draw(stream.state, stream.increment, size)
    values = _float64.from_integer(shift_right(words, 11), -53)
    if affine is not None:
        values = _float64.sum_of(affine[1], _float64.multiply(affine[0], values))
    wide = dtype == np.float64
    floats = _float64.to_float64(values) if wide else _float64.to_float32(values)
    return dataclasses.replace(stream, state=state), floats.reshape(shape)


@functools.partial(jax.jit, static_argnums=1)
def _random32(stream: Stream, shape: tuple[int, ...]) -> tuple[Stream, jax.Array]:
    """Each 64-bit word gives its lower half, then its upper half."""
    size = math.prod(shape)
    if size == 0:
        return stream, jnp.zeros(shape, jnp.float32)
    kept = stream.spare is not None
    count = -(-(size - kept) // 2)
    state, (high, low) = _pcg64.draw(stream.state, stream.increment, count)
    halves = jnp.stack([low, high], axis=1).reshape(-1)
    if stream.spare is not None:
        halves = jnp.concatenate([stream.spare[None], halves])
    odd = (size - kept) % 2 == 1
    values = (halves[:size] >> 8).astype(jnp.int32).astype(jnp.float32)
    values = values * np.float32(2.0**-24)
    spare = halves[-1] if odd else None
    return Stream(state, stream.increment, spare), values.reshape(shape)
