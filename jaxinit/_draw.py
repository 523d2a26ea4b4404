"""One compiled program for every random array: plan, then execute.

A program depends on the law, the shape, the dtype and the placement. Location and scale are
arguments of it, so that all initializers of one law share it.
"""

import dataclasses
import functools
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.sharding import AxisType, NamedSharding

from jaxinit import _deviates
from jaxinit._checks import is_traced, value_error
from jaxinit._deviates import Interval, bounded_normal
from jaxinit._types import Key, OutSharding
from jaxinit._words import random_words

Law = Literal["uniform", "normal", "truncated_normal"]
LAWS: tuple[Law, ...] = ("uniform", "normal", "truncated_normal")

_REAL = {
    "uniform": _deviates.uniform,
    "normal": _deviates.normal,
    "truncated_normal": _deviates.truncated_normal,
}
_COMPLEX = {
    "uniform": _deviates.complex_uniform,
    "normal": _deviates.complex_normal,
    "truncated_normal": _deviates.complex_truncated_normal,
}
UNIFORM_LIMIT = math.sqrt(3)


@dataclasses.dataclass(frozen=True)
class Draw:
    """What a compiled program draws.

    Attributes:
        law: The law of the deviates; of variance 1 but for the real uniform's 1/3.
        shape: Axis lengths of the result.
        dtype: Dtype of the result, real or complex.
        sharding: Placement of the result, or None.
    """

    law: Law
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
        return 64 if self.dtype.name in {"float64", "complex128"} else 32

    @property
    def compute_dtype(self) -> np.dtype[Any]:
        """The real dtype that values are computed in before the one rounding."""
        return np.dtype(np.float64 if self.bits == 64 else np.float32)

    @property
    def limit(self) -> float:
        """No smaller than the largest modulus, in standard deviations."""
        if self.is_complex:
            return {
                "uniform": math.sqrt(2),
                "normal": _deviates.NORMAL_LIMIT[self.bits],
                "truncated_normal": 2 / _deviates.DISC_TRUNCATED_STD,
            }[self.law]
        return {
            "uniform": UNIFORM_LIMIT,
            "normal": _deviates.NORMAL_LIMIT[self.bits],
            "truncated_normal": _deviates.TRUNCATED_LIMIT,
        }[self.law]


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
        shift: Location of the law.
        std: Its standard deviation. 0 is fine.
        limit: The largest distance from ``shift``, in units of ``std``.
    """
    if is_traced(shift) or is_traced(std) or std == 0:
        return
    part = {"complex64": np.float32, "complex128": np.float64}
    info = jnp.finfo(part.get(draw.dtype.name, draw.dtype))
    normal = float(np.finfo(draw.compute_dtype).tiny)
    least = max(float(info.smallest_subnormal) / 2, normal)
    if std <= least:
        rule = f"std must be above {least:.3g}, which {draw.dtype.name} rounds to 0"
        advice = "Use a wider dtype, or scale the weight up here and down in the layer."
        value_error(where, rule, f"std={std:.6g}", advice)
    most = abs(float(shift)) + limit * float(std)
    if most > float(info.max):
        rule = f"values must stay below {float(info.max):g}, the largest {draw.dtype.name}"
        got = f"std={std:.6g}, which draws values up to {most:.6g}"
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
    """Return ``shift + scale * deviate``, rounded once to the dtype of the draw.

    Args:
        draw: The plan.
        key: One typed key.
        shift: Location.
        scale: Factor on the deviate.
        limits: Values that no result is to pass by a rounding error, or None.
        interval: The piece of the normal law that is drawn from; None for the plan's law.

    Returns:
        The array.
    """

    def number(value: float | jax.Array) -> Any:
        dtype = draw.compute_dtype
        return jnp.asarray(value, dtype) if is_traced(value) else dtype.type(value)

    numbers = jax.tree.map(number, (shift, scale, limits, interval))
    return _program(draw, key, *numbers)


@functools.partial(jax.jit, static_argnames="draw")
def _program(
    draw: Draw,
    key: Key,
    shift: jax.Array,
    scale: jax.Array,
    limits: tuple[jax.Array, jax.Array] | None,
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
            words = random_words(key, draw.shape, draw.bits, 2)
            real, imag = _COMPLEX[draw.law](*words)
            return lax.complex(shift + scale * real, scale * imag)
        (words,) = random_words(key, draw.shape, draw.bits, 1)
        if interval is None:
            deviate = _REAL[draw.law](words)
        else:
            deviate = bounded_normal(words, interval)
        result = shift + scale * deviate
        if limits is not None:
            result = jnp.clip(result, *limits)
        return result.astype(draw.dtype)

    return placed(values, draw.sharding)(key, shift, scale, limits, interval)


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
