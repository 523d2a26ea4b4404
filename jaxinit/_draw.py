"""One compiled program for every random array: plan, then execute.

A program depends on the distribution, the shape, the dtype and the placement. Location and
scale are arguments of it, so that all initializers of one distribution share it.
"""

import dataclasses
import functools
import math
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, NamedSharding

from jaxinit import _samples
from jaxinit._bits import random_bits
from jaxinit._checks import mesh_context, value_error
from jaxinit._samples import Interval, bounded_normal
from jaxinit._types import Key, OutSharding

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
_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def word_bits(dtype: np.dtype[Any]) -> Literal[32, 64]:
    """Return the size of the words, and of the floats, that a dtype is computed in."""
    return 64 if dtype in {_FLOAT64, np.dtype(np.complex128)} else 32


class Range(NamedTuple):
    """What a dtype can hold: no less than ``least`` but for 0, no more than ``most``."""

    least: float
    most: float


@functools.cache
def range_of(dtype: np.dtype[Any]) -> Range:
    """Return the range of values of a dtype that are not rounded to 0 or infinity."""
    wide = _FLOAT64 if word_bits(dtype) == 64 else _FLOAT32
    info = jnp.finfo(wide if dtype.kind == "c" else dtype)
    # Processors may flush what is below the normal range of the float computed in.
    normal = float(np.finfo(wide).tiny)
    return Range(max(float(info.smallest_subnormal) / 2, normal), float(info.max))


@dataclasses.dataclass(frozen=True)
class Draw:
    """What a compiled program draws.

    Attributes:
        distribution: The distribution of the samples; of variance 1 but for the real
            uniform's 1/3.
        shape: Axis lengths of the result.
        dtype: Dtype of the result, real or complex.
        sharding: Placement of the result, or None.
    """

    distribution: Distribution
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    sharding: OutSharding = None

    @property
    def is_complex(self) -> bool:
        """Whether the result is complex."""
        return self.dtype.kind == "c"

    @property
    def bits(self) -> Literal[32, 64]:
        """Size of the words, and of the floats that are computed in."""
        return word_bits(self.dtype)

    @property
    def compute_dtype(self) -> np.dtype[Any]:
        """The real dtype that values are computed in before the one rounding."""
        return _FLOAT64 if self.bits == 64 else _FLOAT32

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


def check_scale(
    where: str,
    draw: Draw,
    shift: float | jax.Array,
    std: float | jax.Array,
    limit: float,
) -> None:
    """Refuse a scale that the dtype cannot hold, where the scale is known.

    Args:
        where: Name of the function that the error is to name.
        draw: The draw that is to be made.
        shift: Location of the distribution.
        std: Its standard deviation. 0 is fine.
        limit: The largest distance from ``shift``, in units of ``std``.
    """
    if not isinstance(shift, float) or not isinstance(std, float) or std == 0:
        return
    least, most = range_of(draw.dtype)
    if std <= least:
        rule = f"std must be above {least:.3g}, which {draw.dtype.name} rounds to 0"
        advice = "Use a wider dtype, or scale the weight up here and down in the layer."
        value_error(where, rule, f"std={std:.6g}", advice)
    furthest = abs(shift) + limit * std
    if furthest > most:
        rule = f"values must stay below {most:g}, the largest {draw.dtype.name}"
        got = f"std={std:.6g}, which draws values up to {furthest:.6g}"
        value_error(where, rule, got, "Use a smaller scale or a wider dtype.")


def execute(
    draw: Draw,
    key: Key,
    shift: float | jax.Array,
    scale: float | jax.Array,
    *,
    limits: tuple[float | jax.Array, float | jax.Array] | None = None,
    interval: Interval | None = None,
) -> jax.Array:
    """Return ``shift + scale * sample``, rounded once to the dtype of the draw.

    Args:
        draw: The plan.
        key: One typed key.
        shift: Location.
        scale: Factor on the sample.
        limits: Values that no result is to pass by a rounding error, or None.
        interval: The piece of the normal distribution that is drawn from; None for the
            plan's distribution.

    Returns:
        The array.
    """
    with mesh_context(draw.sharding):
        return _program(draw, key, shift, scale, limits, interval)


@functools.partial(jax.jit, static_argnames="draw")
def _program(
    draw: Draw,
    key: Key,
    shift: float | jax.Array,
    scale: float | jax.Array,
    limits: tuple[float | jax.Array, float | jax.Array] | None,
    interval: Interval | None,
) -> jax.Array:
    def values(
        key: Key,
        shift: jax.Array,
        scale: jax.Array,
        limits: tuple[jax.Array, jax.Array] | None,
        interval: Interval | None,
    ) -> jax.Array:
        if draw.is_complex:
            words = random_bits(key, draw.shape, draw.bits, 2)
            real, imag = _COMPLEX[draw.distribution](*words)
            return lax.complex(shift + scale * real, scale * imag)
        (words,) = random_bits(key, draw.shape, draw.bits, 1)
        if interval is None:
            sample = _REAL[draw.distribution](words)
        else:
            sample = bounded_normal(words, interval)
        result = shift + scale * sample
        if limits is not None:
            result = jnp.clip(result, *limits)
        return result.astype(draw.dtype)

    numbers = (shift, scale, limits, interval)
    in_full = jax.tree.map(lambda v: jnp.asarray(v, draw.compute_dtype), numbers)
    return placed(values, draw.sharding)(key, *in_full)


def placed(f: Any, sharding: OutSharding) -> Any:
    """Return ``f`` with its result, one array, placed by the sharding."""
    if sharding is None:
        return f
    current = jax.sharding.get_abstract_mesh()
    mesh = sharding.mesh if isinstance(sharding, NamedSharding) else current
    explicit = tuple(
        name
        for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True)
        if kind == AxisType.Explicit
    )

    def constrained(*args: Any) -> Any:
        return lax.with_sharding_constraint(f(*args), sharding)

    if not explicit:
        return constrained
    return jax.sharding.auto_axes(f, axes=explicit, out_sharding=sharding)
