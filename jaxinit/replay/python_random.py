"""Python's own stream: the values of the module ``random`` after ``random.seed(seed)``.

Proved against CPython 3.11 on x86-64 Linux; the stream is the same since Python 3.2.
float64 equals Python's in every bit, with the functions of the same C library; float32
is its one rounding. Python draws one value at a time: a shape stands for so many calls.
"""

import dataclasses
import hashlib
from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import shown, type_error
from jaxinit._types import DTypeLike, Shape
from jaxinit.replay import _mt19937
from jaxinit.replay._arguments import words_of
from jaxinit.replay._draws import Draws
from jaxinit.replay._numpy_floats import doubles, normals_in_pairs, unit
from jaxinit.replay._rows import mersenne
from jaxinit.replay._walks import leading


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stream(_mt19937.MersenneStream):
    """Where Python's generator stands; see `MersenneStream` for the attributes."""

    start: ClassVar[str] = "python_random.seed(a)"


_DRAWS = Draws(Stream, mersenne, doubles, leading, leading)


@boundary
def seed(a: int | float | str | bytes) -> Stream:
    """Return the stream as it stands after ``random.seed(a)``, or of ``random.Random(a)``.

    Args:
        a: An int of any size, whose sign does not matter; a float; or a string or bytes.

    Returns:
        The stream.

    Raises:
        TypeError: ``a`` is of another kind; Python would take its hash.

    Example:
        >>> from jaxinit.replay import python_random
        >>> stream = python_random.seed(42)
        >>> stream, number = python_random.randint(stream, (), 1, 10**9)
        >>> stream, w = python_random.gauss(stream, (3, 2), 0.0, 0.1)
        >>> w.shape
        (3, 2)
    """
    if isinstance(a, str):
        a = a.encode()
    if isinstance(a, (bytes, bytearray)):
        number = int.from_bytes(a + hashlib.sha512(a).digest(), "big")
    elif isinstance(a, (int, np.integer)):
        number = abs(int(a))
    elif isinstance(a, float):
        number = hash(a) % (1 << 64)
    else:
        rule = "a must be an int, a float, a string or bytes"
        type_error(rule, f"a={shown(a)}", "For many seeds call it for each.")
    return Stream(_start(np.array(words_of(number), np.uint32)))


_start = jax.jit(_mt19937.window_from_array)


@boundary
def random(
    stream: Stream, shape: Shape, dtype: DTypeLike | None = None
) -> tuple[Stream, jax.Array]:
    """Draw what ``random.random()`` draws: `uniform` on [0, 1)."""
    return uniform(stream, shape, dtype=dtype)


@boundary
def uniform(
    stream: Stream,
    shape: Shape,
    a: float = 0.0,
    b: float = 1.0,
    dtype: DTypeLike | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``random.uniform(a, b)`` draws: ``a + (b - a) u``.

    Args:
        stream: The stream.
        shape: Axis lengths.
        a: One bound, a Python number.
        b: The other bound.
        dtype: float32 or float64; None means JAX's default float. float32 is Python's
            double rounded once, so it can be 1.

    Returns:
        The stream after the draw, and the array.
    """
    return _DRAWS.uniform(stream, shape, dtype, a=a, b=b)


@boundary
def gauss(
    stream: Stream,
    shape: Shape,
    mu: float = 0.0,
    sigma: float = 1.0,
    dtype: DTypeLike | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``random.gauss(mu, sigma)`` draws.

    Args:
        stream: The stream.
        shape: Axis lengths.
        mu: Mean, a Python number.
        sigma: Standard deviation, which Python lets be negative.
        dtype: As in `uniform`.

    Returns:
        The stream after the draw, and the array. Values are made in pairs; of an odd
        number the stream keeps the last, as Python does.
    """
    checked = _DRAWS.floats(stream, shape, dtype, mu=mu, sigma=sigma)
    return normals_in_pairs(stream, *checked, _pair)


@boundary
def randint(stream: Stream, shape: Shape, a: int, b: int) -> tuple[Stream, jax.Array]:
    """Draw what ``random.randint(a, b)`` draws: int32, both bounds included."""
    return _DRAWS.integers(stream, shape, a, b, True)


@boundary
def shuffle(stream: Stream, n: int) -> tuple[Stream, jax.Array]:
    """Draw the order in which ``random.shuffle`` brings a list of ``n`` items.

    Args:
        stream: The stream.
        n: The length of the list.

    Returns:
        The stream after the draw, and the old places of the items, int32: ``x`` becomes
        ``[x[i] for i in order]``.
    """
    return _DRAWS.permutation(stream, n)


def _pair(words: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the two normals of each four words: first the angle, then the radius."""
    angle = unit(words[:, 0], words[:, 1]) * (2 * np.pi)
    radius = jnp.sqrt(-2.0 * jnp.log(1.0 - unit(words[:, 2], words[:, 3])))
    return jnp.cos(angle) * radius, jnp.sin(angle) * radius


__all__ = ["Stream", "gauss", "randint", "random", "seed", "shuffle", "uniform"]
