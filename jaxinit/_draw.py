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
from jaxinit._samples import Interval, bounded_normal, rounded_product
from jaxinit._scale import Number, wide_dtype, word_bits
from jaxinit._types import DTypeLike, Key, OutSharding, Shape
from jaxinit._window import Window, check_window

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
    shift: Number,
    scale: Number,
    *,
    start: Any = None,
    limits: tuple[Number, Number] | None = None,
    interval: Interval | None = None,
) -> jax.Array:
    """Return ``shift + scale * sample``, rounded once to the dtype of the draw.

    Args:
        draw: The plan.
        key: One typed key.
        shift: Location.
        scale: Factor on the sample.
        start: Where the window of the plan begins, as two words an axis, or None.
        limits: Values that no result is to pass by a rounding error, or None.
        interval: The piece of the normal distribution that is drawn from; None for the
            plan's distribution.

    Returns:
        The array.
    """
    numbers, structure = jax.tree.flatten((shift, scale, limits, interval))
    known = not any(map(is_traced, (key, *numbers)))
    if known and start is None and draw.sharding is None and _is_narrow(draw.shape):
        flat = dataclasses.replace(draw, shape=(math.prod(draw.shape),))
        return _reshaped(
            execute(flat, key, shift, scale, limits=limits, interval=interval), draw.shape
        )
    if any(map(is_traced, numbers)):
        packed = jnp.stack([jnp.asarray(n, draw.wide) for n in numbers])
    else:
        packed = np.array(numbers, draw.wide)
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
    draw: Draw, structure: Any, centred: bool, key: Key, numbers: jax.Array, start: Any
) -> jax.Array:
    def values(key: Key, numbers: jax.Array, start: Any) -> jax.Array:
        packed = jnp.asarray(numbers)
        single = [packed[i] for i in range(len(packed))]
        shift, scale, limits, interval = jax.tree.unflatten(structure, single)
        streams = 2 if draw.is_complex else 1
        block = (draw.window, start) if draw.window is not None else None
        words = random_bits(key, draw.shape, draw.bits, streams, block)
        if draw.is_complex:
            real, imag = (
                rounded_product(scale, s) for s in _COMPLEX[draw.distribution](*words)
            )
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
