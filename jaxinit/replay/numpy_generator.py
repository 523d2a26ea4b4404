"""NumPy's new stream: the values of ``np.random.default_rng(seed)``, which is PCG64.

Proved against NumPy 2.4.6 on x86-64 Linux: float64 equals NumPy's in every bit, with the
functions of the same C library. NumPy does not promise to keep this stream between
versions.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import value_error
from jaxinit._types import DTypeLike, Shape
from jaxinit.replay import _pcg64, _ziggurat
from jaxinit.replay._arguments import Seed, check_seed, check_static, words_of
from jaxinit.replay._draws import Draws
from jaxinit.replay._draws import permutation as permuted
from jaxinit.replay._native import native
from jaxinit.replay._numpy_floats import finish, scaled
from jaxinit.replay._rows import After, block, bucket, first
from jaxinit.replay._seed_sequence import SeedSequence, entropy_words
from jaxinit.replay._walks import masked, multiplied, shuffle, walk

_NORMALS = 1 << 14
"""Normals that are made at a time, in the caches."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stream:
    """Where a generator stands: a pytree that each draw takes and returns.

    Attributes:
        state: The 128-bit state, uint32 of shape ``(4,)``, lowest limb first.
        increment: The 128-bit increment, likewise.
        spare: The upper half of the last 64-bit word that was taken for its lower half
            alone, uint32 of rank 0.
        kept: Whether that half is still to be given out; bool of rank 0.
    """

    state: jax.Array
    increment: jax.Array
    spare: jax.Array
    kept: jax.Array

    start: ClassVar[str] = "numpy_generator.default_rng(seed)"


@boundary
def default_rng(seed: Seed | Sequence[int] | np.ndarray | SeedSequence) -> Stream:
    """Return the stream of ``np.random.default_rng(seed)``.

    Args:
        seed: A non-negative int of any size; a sequence of them; a `SeedSequence`; or an
            integer array of rank 0 and 32 bits, which may be traced and vmapped over.

    Returns:
        The stream.

    Raises:
        ValueError: The seed is negative, or an empty sequence.
        TypeError: The seed is no int.

    Example:
        >>> from jaxinit.replay import numpy_generator
        >>> stream = numpy_generator.default_rng(0)
        >>> stream, w = numpy_generator.standard_normal(stream, (2,), "float32")
        >>> w.shape
        (2,)
    """
    if isinstance(seed, SeedSequence):
        words = seed.words()
    elif isinstance(seed, jax.Array):
        number = check_seed(seed, least=0, most=(1 << 64) - 1)
        if not isinstance(number, int):
            return _start(number[None])
        words = words_of(number)
    else:
        words = entropy_words(seed)  # pyright: ignore[reportArgumentType]
    return _start(jnp.asarray(np.array(words, np.uint32)))


@native
@jax.jit
def _start(entropy: jax.Array) -> Stream:
    state, increment = _pcg64.start(_pcg64.seed_sequence(entropy))
    return Stream(state, increment, jnp.uint32(0), jnp.array(False))


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
    _, lengths, kind = _DRAWS.floats(stream, shape, dtype)
    if kind == np.float32:
        size = math.prod(lengths)
        stream, values = _random32(stream, np.int32(size), bucket(size))
        return stream, first(values, lengths)
    return _DRAWS.uniform(stream, shape, dtype, low=0.0, high=1.0)


@boundary
def uniform(
    stream: Stream,
    shape: Shape,
    low: float = 0.0,
    high: float = 1.0,
    dtype: DTypeLike | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``Generator.uniform(low, high, shape)`` draws; see `numpy_legacy.uniform`.

    Args:
        stream: The stream.
        shape: Axis lengths.
        low: Lower bound, a Python number.
        high: Upper bound, at least ``low``.
        dtype: float32 or float64; None means JAX's default float.

    Returns:
        The stream after the draw, and the array.
    """
    if check_static("high", high) < check_static("low", low):
        rule, got = "high must be at least low", f"low={low:g}, high={high:g}"
        value_error(rule, got, "Swap the two.")
    return _DRAWS.uniform(stream, shape, dtype, low=low, high=high)


@boundary
def standard_normal(
    stream: Stream, shape: Shape, dtype: DTypeLike | None = None
) -> tuple[Stream, jax.Array]:
    """Draw what ``Generator.standard_normal(shape)`` draws; see `normal`."""
    return normal(stream, shape, dtype=dtype)


@boundary
def normal(
    stream: Stream,
    shape: Shape,
    loc: float = 0.0,
    scale: float = 1.0,
    dtype: DTypeLike | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``Generator.normal(loc, scale, shape)`` draws, by the ziggurat method.

    Args:
        stream: The stream.
        shape: Axis lengths; the values fill the array in C order.
        loc: Mean, a Python number.
        scale: Standard deviation, at least 0.
        dtype: float32 or float64; None means JAX's default float. float32 is NumPy's
            float64 rounded once, and not its ``dtype=np.float32``, another draw.

    Returns:
        The stream after the draw, and the array.
    """
    affine, lengths, kind = _DRAWS.floats(stream, shape, dtype, loc=loc, scale=scale)
    size = math.prod(lengths)
    if size == 0:
        return stream, jnp.zeros(lengths, kind)
    stream, values = _normal(stream, affine, np.int32(size), bucket(size), kind)
    return stream, first(values, lengths)


@boundary
def integers(
    stream: Stream, shape: Shape, low: int, high: int | None = None, endpoint: bool = False
) -> tuple[Stream, jax.Array]:
    """Draw what ``Generator.integers`` draws.

    Args:
        stream: The stream.
        shape: Axis lengths.
        low: The least value; or, if ``high`` is None, the bound above, from 0.
        high: One above the largest value, or that itself if ``endpoint``.
        endpoint: Whether ``high`` can be drawn.

    Returns:
        The stream after the draw, and the array, int32.
    """
    return _DRAWS.integers(stream, shape, low, high, endpoint)


@boundary
def permutation(stream: Stream, n: int) -> tuple[Stream, jax.Array]:
    """Draw what ``Generator.permutation(n)`` draws; see `numpy_legacy.permutation`."""
    return _DRAWS.permutation(stream, n)


@boundary
def choice(
    stream: Stream,
    a: int,
    shape: Shape,
    replace: bool = True,
    p: Sequence[float] | np.ndarray | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``Generator.choice`` draws; see `numpy_legacy.choice`."""
    return _DRAWS.choice(stream, a, shape, replace, p)


def _random64(
    stream: Stream, count: jax.Array, room: int, of: Callable[[jax.Array], jax.Array]
) -> tuple[Stream, jax.Array]:
    words = _pcg64.draw(stream.state, stream.increment, room)
    state = _pcg64.advance(stream.state, stream.increment, count)
    values = (words >> 11).astype(jnp.float64) * 2.0**-53
    return dataclasses.replace(stream, state=state), of(values)


@native
@functools.partial(jax.jit, static_argnums=(3, 4))
def _normal(
    stream: Stream, affine: jax.Array, count: jax.Array, room: int, dtype: np.dtype[Any]
) -> tuple[Stream, jax.Array]:
    length = block(room, _NORMALS)

    def step(carry: tuple[jax.Array, jax.Array], _: None) -> tuple[Any, jax.Array]:
        state, left = carry
        wanted = jnp.clip(left, 1, length)
        passed = state, stream.increment, wanted, length
        after, normals = _ziggurat.standard_normal(*passed)
        values = finish(scaled(normals, affine[1], affine[0]), dtype)
        return (jnp.where(left > 0, after, state), left - length), values

    start, blocks = (stream.state, count), -(-room // length)
    (state, _), values = jax.lax.scan(step, start, None, length=blocks)
    return dataclasses.replace(stream, state=state), values.reshape(-1)[:room]


def _halves(stream: Stream, count: int) -> tuple[jax.Array, After]:
    """Return the next 32-bit words, a `Source`: of each 64 bits the lower half first."""
    words = _pcg64.draw(stream.state, stream.increment, count // 2 + 1)
    halves = jnp.stack([words, words >> 32], axis=1).reshape(-1).astype(jnp.uint32)
    halves = jnp.concatenate([stream.spare[None], halves])
    kept = stream.kept.astype(jnp.int32)

    def after(used: jax.Array | int) -> Stream:
        fresh = jnp.asarray(used, jnp.int32) - kept
        taken = (fresh + 1) // 2
        passed = stream.state, stream.increment, jnp.maximum(taken, 0)
        state = _pcg64.advance(*passed)
        spare = jnp.where(fresh > 0, halves[2 * taken], stream.spare)
        odd = jnp.where(fresh > 0, fresh % 2 == 1, stream.kept & (used == 0))
        return Stream(state, stream.increment, spare, odd)

    return jax.lax.dynamic_slice(halves, (1 - kept,), (count,)), after


@native
@functools.partial(jax.jit, static_argnums=2)
def _random32(stream: Stream, count: jax.Array, room: int) -> tuple[Stream, jax.Array]:
    halves, after = _halves(stream, room)
    return after(count), (halves >> 8).astype(jnp.float32) * np.float32(2.0**-24)


@native
@functools.partial(jax.jit, static_argnums=(1, 2))
def _floyd(stream: Stream, a: int, size: int) -> tuple[Stream, jax.Array]:
    """Choose by Floyd's method: a value that is taken is replaced by the newest one."""

    def step(
        table: tuple[jax.Array, jax.Array], i: jax.Array, value: jax.Array, ok: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        taken, chosen = table
        i = i + np.int32(first)
        newest = np.int32(a - size) + i
        value = jnp.where(taken[value], newest, value)
        value = jnp.where(ok, value, np.int32(a))
        place = jnp.where(ok, i, np.int32(size))
        return taken.at[value].set(True), chosen.at[place].set(value)

    first = int(a == size)  # of one value nothing is drawn: it is 0
    largest = jnp.arange(a - size + first, a, dtype=jnp.uint32)
    table = jnp.zeros((a + 1,), jnp.bool_), jnp.zeros((size + 1,), jnp.int32)
    if first:
        table = table[0].at[0].set(True), table[1]
    stream, (_, chosen) = walk(_halves, stream, largest, multiplied, step, table)
    stream, order = shuffle(_halves, stream, size, 1, multiplied)
    return stream, chosen[:size][order]


def _distinct(stream: Stream, a: int, size: int) -> tuple[Stream, jax.Array]:
    if a > 10000 and size > a // 50:
        stream, values = permuted(_halves, stream, a, max(a - size, 1), multiplied)
        return stream, values[a - size :]
    return _floyd(stream, a, size)


_DRAWS = Draws(Stream, _halves, _random64, multiplied, masked, _distinct)

__all__ = [
    "SeedSequence", "Stream", "choice", "default_rng", "integers", "normal",
    "permutation", "random", "standard_normal", "uniform",
]  # fmt: skip
