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
from jaxinit.replay import _pcg64
from jaxinit.replay._arguments import Seed, check_draw, check_seed, check_static
from jaxinit.replay._native import native
from jaxinit.replay._numpy_floats import finish, scaled

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


@native
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
    return _uniform(stream, np.array([0.0, 1.0]), lengths, kind)


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
    return _uniform(stream, np.array([bottom, width]), lengths, kind)


@native
@functools.partial(jax.jit, static_argnums=(2, 3))
def _uniform(
    stream: Stream, law: jax.Array, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> tuple[Stream, jax.Array]:
    size = math.prod(shape)
    states, words = _pcg64.draw(stream.state, stream.increment, size)
    values = (words >> 11).astype(jnp.float64) * 2.0**-53
    values = scaled(values, law[1], law[0])
    state = _pcg64.limbs_at(states, size)
    return dataclasses.replace(stream, state=state), finish(values, dtype).reshape(shape)


@native
@functools.partial(jax.jit, static_argnums=1)
def _random32(stream: Stream, shape: tuple[int, ...]) -> tuple[Stream, jax.Array]:
    """Each 64-bit word gives its lower half, then its upper half."""
    size = math.prod(shape)
    stream, halves = halves_of(stream, size)
    values = (halves >> 8).astype(jnp.float32) * np.float32(2.0**-24)
    return stream, values.reshape(shape)


@boundary
def halves_of(stream: Stream, size: int) -> tuple[Stream, jax.Array]:
    """Draw 32-bit words: what the spare is, then the lower and upper half of each."""
    if size == 0:
        return stream, jnp.zeros((0,), jnp.uint32)
    kept = stream.spare is not None
    count = -(-(size - kept) // 2)
    states, words = _pcg64.draw(stream.state, stream.increment, count)
    halves = jnp.stack([words, words >> 32], axis=1).reshape(-1).astype(jnp.uint32)
    if stream.spare is not None:
        halves = jnp.concatenate([stream.spare[None], halves])
    odd = (size - kept) % 2 == 1
    state = _pcg64.limbs_at(states, count)
    return Stream(state, stream.increment, halves[-1] if odd else None), halves[:size]
