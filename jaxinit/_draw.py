"""One compiled program for every random array: plan, then execute.

A program depends on the distribution, the shape, the dtype and the placement. Location and
scale are arguments of it, so that all initializers of one distribution share it.
"""

import dataclasses
import functools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinit import _samples
from jaxinit._bits import random_bits
from jaxinit._checks import check_dtype, check_shape, is_traced
from jaxinit._placement import check_out_sharding, handed_over, mesh_context, placed
from jaxinit._samples import (
    Disc,
    Interval,
    bounded_complex_normal,
    bounded_normal,
    rounded_product,
)
from jaxinit._scale import Number, are_floats, wide_dtype, word_bits
from jaxinit._types import DTypeLike, Key, OutSharding, Shape
from jaxinit._window import Window, block_of, check_window

Distribution = Literal["uniform", "normal", "truncated_normal"]
DISTRIBUTIONS: tuple[Distribution, ...] = ("uniform", "normal", "truncated_normal")

_REAL = {
    "uniform": _samples.uniform,
    "normal": _samples.normal,
    "truncated_normal": _samples.truncated_normal,
}
_COMPLEX = {
    "uniform": _samples.complex_uniform,
    "normal": _samples.complex_normal,
    "truncated_normal": _samples.complex_truncated_normal,
}
UNIFORM_LIMIT = math.sqrt(3)


@dataclasses.dataclass(frozen=True)
class Draw:
    """What a compiled program draws.

    Attributes:
        distribution: The distribution of the samples; of variance 1 but for the real
            uniform's 1/3.
        shape: Axis lengths of the array.
        dtype: Dtype of the result, real or complex.
        sharding: Placement of the result, or None.
        window: Axis lengths of the block of the array that is wanted, or None for all.
    """

    distribution: Distribution
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    sharding: OutSharding = None
    window: tuple[int, ...] | None = None

    @property
    def is_complex(self) -> bool:
        """Whether the result is complex."""
        return self.dtype.kind == "c"

    @property
    def bits(self) -> Literal[32, 64]:
        """Size of the words, and of the floats that are computed in."""
        return word_bits(self.dtype)

    @property
    def wide(self) -> np.dtype[Any]:
        """The real dtype that values are computed in before the one rounding."""
        return wide_dtype(self.dtype)

    @property
    def limit(self) -> float:
        """No smaller than the largest modulus, in standard deviations."""
        if self.is_complex:
            return {
                "uniform": math.sqrt(2),
                "normal": _samples.NORMAL_LIMIT[self.bits],
                "truncated_normal": 2 / _samples.DISC_TRUNCATED_STD,
            }[self.distribution]
        return {
            "uniform": UNIFORM_LIMIT,
            "normal": _samples.NORMAL_LIMIT[self.bits],
            "truncated_normal": _samples.TRUNCATED_LIMIT,
        }[self.distribution]


def execute(
    draw: Draw,
    key: Key,
    shift: Number | tuple[Number, Number],
    scale: Number,
    *,
    start: Any = None,
    limits: tuple[Number, Number] | None = None,
    interval: Interval | Disc | None = None,
) -> jax.Array:
    """Return ``shift + scale * sample``, rounded once to the dtype of the draw.

    Each number may be an array that broadcasts to the shape of the draw.

    Args:
        draw: The plan.
        key: One typed key.
        shift: Location; of a complex draw a number, or its real and imaginary part.
        scale: Factor on the sample.
        start: Where the window of the plan begins, as two words an axis, or None.
        limits: Values that no result is to pass by a rounding error, or None.
        interval: The piece of the normal distribution that is drawn from, of a complex
            draw a disc; None for the plan's distribution.

    Returns:
        The array.
    """
    numbers, structure = jax.tree.flatten((shift, scale, limits, interval))
    plain = are_floats(numbers)
    single = plain or not any(getattr(n, "ndim", 0) for n in numbers)
    traced = not plain and any(map(is_traced, numbers))
    whole = single and start is None and draw.sharding is None
    if whole and not traced and _is_narrow(draw.shape) and not is_traced(key):
        flat = dataclasses.replace(draw, shape=(math.prod(draw.shape),))
        return _reshaped(
            execute(flat, key, shift, scale, limits=limits, interval=interval), draw.shape
        )
    if traced:
        each = [jnp.asarray(n, draw.wide) for n in numbers]
        packed = jnp.stack(each) if single else each
    elif single:
        packed = np.array(numbers, draw.wide)
    else:
        packed = [np.asarray(n, draw.wide) for n in numbers]
    # Under a transformation nothing is transferred, and NumPy arrays stay constants.
    given = (packed, start) if is_traced(key) else handed_over((packed, start))
    with mesh_context(draw.sharding):
        return _program(
            draw, structure, isinstance(shift, float) and shift == 0, key, *given
        )


def _is_narrow(shape: tuple[int, ...]) -> bool:
    """Whether XLA's loops over the last axis are too short for vector instructions."""
    return len(shape) > 1 and shape[-1] < 8 and math.prod(shape) >= 2**16


@functools.partial(jax.jit, static_argnames="shape", donate_argnames="flat")
def _reshaped(flat: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return flat.reshape(shape)


@functools.partial(jax.jit, static_argnames=("draw", "structure", "centred"))
def _program(
    draw: Draw, structure: Any, centred: bool, key: Key, numbers: Any, start: Any
) -> jax.Array:
    def values(key: Key, numbers: Any, start: Any) -> jax.Array:
        packed = numbers if isinstance(numbers, list) else jnp.asarray(numbers)
        each = [
            block_of(jnp.asarray(packed[i]), len(draw.shape), draw.window, start)
            for i in range(len(packed))
        ]
        restored: Any = jax.tree.unflatten(structure, each)
        shift, scale, limits, interval = restored
        streams = 2 if draw.is_complex else 1
        block = (draw.window, start) if draw.window is not None else None
        words = random_bits(key, draw.shape, draw.bits, streams, block)
        if draw.is_complex:
            standard = _COMPLEX[draw.distribution]
            if isinstance(interval, Disc):
                standard = functools.partial(bounded_complex_normal, disc=interval)
            real, imag = (rounded_product(scale, s) for s in standard(*words))
            if isinstance(shift, tuple):
                return lax.complex(shift[0] + real, shift[1] + imag)
            return lax.complex(real if centred else shift + real, imag)
        if interval is None:
            sample = _REAL[draw.distribution](words[0])
        else:
            sample = bounded_normal(words[0], interval)
        result = rounded_product(scale, sample)
        result = result if centred else shift + result
        if limits is not None:
            result = jnp.clip(result, *limits)
        return result.astype(draw.dtype)

    return placed(values, draw.sharding)(key, numbers, start)


def plan_draw(
    where: str,
    distribution: Distribution,
    shape: Shape,
    dtype: DTypeLike | None,
    sharding: OutSharding,
    window: Window | None,
    *,
    allow_complex: bool = True,
) -> tuple[Draw, Any]:
    """Return the plan of what the user asks for, checked, and where its window begins."""
    lengths = check_shape(where, shape)
    block, start = check_window(where, window, lengths)
    result = check_dtype(where, dtype, allow_complex=allow_complex)
    place = check_out_sharding(where, sharding, lengths if block is None else block)
    return Draw(distribution, lengths, result, place, block), start
