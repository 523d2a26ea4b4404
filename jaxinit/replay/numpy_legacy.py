"""NumPy's legacy stream: the values after ``np.random.seed(seed)``.

Proved against NumPy 2.4.6 on x86-64 Linux; the stream is frozen by NumPy's own
compatibility policy, so it is that of ``RandomState`` since 2006. float64 equals NumPy's
in every bit, with the logarithm of the same C library; float32 is its one rounding.
"""

import dataclasses
import math
from collections.abc import Sequence
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_int, value_error
from jaxinit._types import DTypeLike, Shape
from jaxinit.replay import _mt19937
from jaxinit.replay._arguments import Seed, check_seed
from jaxinit.replay._draws import Draws
from jaxinit.replay._numpy_floats import doubles, in_circle, normals_in_pairs, polar
from jaxinit.replay._rows import mersenne
from jaxinit.replay._walks import masked


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stream(_mt19937.MersenneStream):
    """Where NumPy's legacy generator stands; see `MersenneStream` for the attributes."""

    start: ClassVar[str] = "numpy_legacy.seed(seed)"


_DRAWS = Draws(Stream, mersenne, doubles, masked, masked)


@boundary
def seed(seed: Seed | Sequence[int] | np.ndarray) -> Stream:
    """Return the stream as it stands after ``np.random.seed(seed)``.

    Args:
        seed: An int from 0 to 2^32 - 1; a 32-bit integer array of rank 0, which may be
            traced and vmapped over; or a sequence (or NumPy array) of such ints.

    Returns:
        The stream.

    Raises:
        ValueError: The seed is out of range, or an empty sequence.
        TypeError: The seed is no int.

    Example:
        >>> from jaxinit.replay import numpy_legacy
        >>> stream = numpy_legacy.seed(0)
        >>> stream, w = numpy_legacy.uniform(stream, (2, 2), -1, 1)
        >>> [round(float(x), 4) for x in w.ravel()]
        [0.0976, 0.4304, 0.2055, 0.0898]
    """
    if isinstance(seed, Sequence) or (isinstance(seed, np.ndarray) and seed.ndim == 1):
        if not len(seed):
            rule = "seed must be an int or a sequence of ints"
            value_error(rule, "an empty sequence", "Give at least one int.")
        parts = [check_int("seed", s, least=0) for s in seed]
        words = [check_seed(s, least=0, most=(1 << 32) - 1) for s in parts]
        return Stream(_from_array(np.array(words, np.uint32)))
    number = check_seed(seed, least=0, most=(1 << 32) - 1)  # pyright: ignore[reportArgumentType]
    return Stream(_from_seed(jnp.asarray(number, jnp.uint32)))


_from_seed = jax.jit(_mt19937.window_from_seed)
_from_array = jax.jit(_mt19937.window_from_array)


@boundary
def rand(
    stream: Stream, shape: Shape, dtype: DTypeLike | None = None
) -> tuple[Stream, jax.Array]:
    """Draw what ``np.random.rand`` draws: `uniform` on [0, 1)."""
    return uniform(stream, shape, dtype=dtype)


@boundary
def uniform(
    stream: Stream,
    shape: Shape,
    low: float = 0.0,
    high: float = 1.0,
    dtype: DTypeLike | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``np.random.uniform`` draws: ``low + (high - low) u``.

    Args:
        stream: The stream.
        shape: Axis lengths; the values fill the array in C order.
        low: Lower bound, a finite number that is not traced.
        high: Upper bound, likewise.
        dtype: float32 or float64; None means JAX's default float. float32 is NumPy's
            float64 rounded once.

    Returns:
        The stream after the draw, and the array.

    Raises:
        ValueError: A bound is not finite.
        TypeError: The dtype is another.
    """
    return _DRAWS.uniform(stream, shape, dtype, low=low, high=high)


@boundary
def randn(
    stream: Stream, shape: Shape, dtype: DTypeLike | None = None
) -> tuple[Stream, jax.Array]:
    """Draw what ``np.random.randn`` draws: standard `normal` numbers."""
    return normal(stream, shape, dtype=dtype)


@boundary
def normal(
    stream: Stream,
    shape: Shape,
    loc: float = 0.0,
    scale: float = 1.0,
    dtype: DTypeLike | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``np.random.normal`` draws, by the polar method.

    Args:
        stream: The stream.
        shape: Axis lengths.
        loc: Mean, a finite number that is not traced.
        scale: Standard deviation, likewise, at least 0.
        dtype: As in `uniform`.

    Returns:
        The stream after the draw, and the array. Values are made in pairs; of an odd
        number the stream keeps the last, as NumPy does.
    """
    checked = _DRAWS.floats(stream, shape, dtype, loc=loc, scale=scale)
    return normals_in_pairs(stream, *checked, polar, in_circle, math.pi / 4)


@boundary
def randint(
    stream: Stream, shape: Shape, low: int, high: int | None = None
) -> tuple[Stream, jax.Array]:
    """Draw what ``np.random.randint(low, high, shape)`` draws, in its default dtype.

    Args:
        stream: The stream.
        shape: Axis lengths; the values fill the array in C order.
        low: The least value; or, if ``high`` is None, one above the largest.
        high: One above the largest value.

    Returns:
        The stream after the draw, and the array, int32.

    Raises:
        ValueError: ``low`` is not below ``high``, or a value is beyond 32 bits.
    """
    return _DRAWS.integers(stream, shape, low, high)


@boundary
def permutation(stream: Stream, n: int) -> tuple[Stream, jax.Array]:
    """Draw what ``np.random.permutation(n)`` draws.

    For an array ``x``, ``np.random.permutation(x)`` and ``np.random.shuffle(x)`` are
    ``x[order]`` with the order for ``n = len(x)``.

    Args:
        stream: The stream.
        n: How many indices to permute.

    Returns:
        The stream after the draw, and the indices, int32 of shape ``(n,)``.
    """
    return _DRAWS.permutation(stream, n)


@boundary
def choice(
    stream: Stream,
    a: int,
    shape: Shape,
    replace: bool = True,
    p: Sequence[float] | np.ndarray | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``np.random.choice(a, shape, replace, p)`` draws.

    Args:
        stream: The stream.
        a: The number of values to choose from; for an array, index it with the result.
        shape: Axis lengths.
        replace: Whether a value may be chosen more than once.
        p: The probabilities of the values, for ``replace=True``.

    Returns:
        The stream after the draw, and the chosen indices, int32.

    Raises:
        ValueError: ``p`` does not fit, or more is to be chosen than there is.
    """
    return _DRAWS.choice(stream, a, shape, replace, p)


random = random_sample = rand
"""NumPy's other names of `rand`."""
standard_normal = randn
"""NumPy's other name of `randn`."""

__all__ = [
    "Stream", "choice", "normal", "permutation", "rand", "randint", "randn", "random",
    "random_sample", "seed", "standard_normal", "uniform",
]  # fmt: skip
