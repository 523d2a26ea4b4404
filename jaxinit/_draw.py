"""One compiled program for every random array: plan, then execute.

A program depends on the distribution, the shape, the dtype and the placement. Location and
scale are arguments of it, so that all initializers of one distribution share it.
"""

import dataclasses
import functools
import math
import os
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinit import _samples
from jaxinit._bits import random_bits
from jaxinit._calls import own_call
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
    if not plain and any(map(is_traced, numbers)):
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


def loop_shape(draw: Draw) -> tuple[int, ...]:
    """Return the axis lengths that a draw is computed in, of the same order in memory.

    XLA makes a loop of each axis. LLVM vectorizes the innermost only, which must be long,
    and not divided among cores in unequal parts.
    """
    shape = draw.shape
    is_placed = draw.sharding is not None or draw.window is not None
    if is_placed or not shape or math.prod(shape) < 2**16:
        return shape
    axes = tuple(n for n in shape if n > 1)
    if shape[-len(axes) :] != axes:  # behind an axis of length 1 XLA would copy
        return shape
    last = shape[-1]
    if last % _cores() == 0 if len(shape) == 1 else last >= _LONG or last % 8 == 0:
        return shape
    first, inside = len(shape) - 1, 1
    while first and inside * shape[first] < _LONG:
        inside *= shape[first]
        first -= 1
    # The axis that is split stays in front, for programs that place the result by it.
    most = min(shape[first], _MOST // inside)
    parts = [n for n in range(1, most + 1) if shape[first] % n == 0 and n * inside >= _LONG]
    if not parts:
        return shape
    best = next((n for n in parts if n * inside % 16 == 0), parts[-1])
    return (*shape[:first], shape[first] // best, best * inside)


_LONG, _MOST = 64, 4096
"""Lengths of an innermost loop that is as fast as any."""


def _cores() -> int:
    return os.cpu_count() or 1


@functools.partial(jax.jit, static_argnames=("draw", "structure", "centred"))
def _program(
    draw: Draw, structure: Any, centred: bool, key: Key, numbers: Any, start: Any
) -> jax.Array:
    # Arrays of numbers are for the axes asked for.
    loops = draw.shape if isinstance(numbers, list) else loop_shape(draw)
    if loops != draw.shape:
        inner = dataclasses.replace(draw, shape=loops)
        program = functools.partial(_program, inner, structure, centred)
        return own_call(program, key, numbers, start).reshape(draw.shape)

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
    distribution: Distribution,
    shape: Shape,
    dtype: DTypeLike | None,
    sharding: OutSharding,
    window: Window | None,
    *,
    allow_complex: bool = True,
) -> tuple[Draw, Any]:
    """Return the plan of what the user asks for, checked, and where its window begins."""
    lengths = check_shape(shape)
    block, start = check_window(window, lengths)
    result = check_dtype(dtype, allow_complex=allow_complex)
    place = check_out_sharding(sharding, lengths if block is None else block)
    return Draw(distribution, lengths, result, place, block), start
