"""Location and scale: whether a dtype can hold them, and arithmetic of options."""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinit._checks import at_index, is_traced, value_error

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)

Number = float | np.ndarray | jax.Array
"""An option: a float, a float64 array of known numbers, or an array, of rank 0 too, whose
values only a running program knows."""


def word_bits(dtype: np.dtype[Any]) -> Literal[32, 64]:
    """Return the size of the words, and of the floats, that a dtype is computed in."""
    return 64 if dtype in {_FLOAT64, np.dtype(np.complex128)} else 32


def wide_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the real dtype that values are computed in before the one rounding."""
    return _FLOAT64 if word_bits(dtype) == 64 else _FLOAT32


class Range(NamedTuple):
    """What a dtype can hold: no less than ``least`` but for 0, no more than ``most``.

    Numbers from ``2^n`` to ``2^(n + 1)`` lie ``2^n * step`` apart, and never closer than
    ``finest``.
    """

    least: float
    most: float
    step: float
    finest: float


@functools.cache
def range_of(dtype: np.dtype[Any]) -> Range:
    """Return the range of values of a dtype that are not rounded to 0 or infinity."""
    wide = wide_dtype(dtype)
    info = jnp.finfo(wide if dtype.kind == "c" else dtype)
    # Processors may flush what is below the normal range of the float computed in.
    normal = float(np.finfo(wide).tiny)
    finest = float(info.smallest_subnormal)
    return Range(max(finest / 2, normal), float(info.max), float(info.eps), finest)


def check_scale(
    dtype: np.dtype[Any],
    shift: Any,
    std: Any,
    reach: Any,
    bounds: tuple[Any, Any] | None = None,
) -> None:
    """Refuse a location and scale that the dtype cannot hold, where they are known.

    Of arrays the entries with the smallest scale, the largest value and the least spread
    stand for all.

    Args:
        dtype: Dtype of the result.
        shift: Location of the distribution.
        std: Its standard deviation. 0 is fine.
        reach: The largest distance from ``shift``, in units of ``std``.
        bounds: Values that nothing goes beyond, or None.
    """
    if any(map(is_traced, (shift, std, *(bounds or ())))):
        return
    low, high = bounds or (shift - reach * std, shift + reach * std)
    if are_floats((shift, std, low, high)):
        _check_scale(dtype, shift, std, low, high, place="")
        return
    ends = range_of(dtype)

    def worst(shift: Any, std: Any, low: Any, high: Any) -> Sequence[np.ndarray]:
        with np.errstate(all="ignore"):
            centre = np.abs(np.minimum(np.maximum(shift, low), high))
            spacing = np.maximum(2.0 ** np.floor(np.log2(centre)) * ends.step, ends.finest)
            spread = np.minimum(std * math.sqrt(12), high - low)
            shares = np.where((std > 0) & (centre > 0), -spread / spacing, -np.inf)
            sizes = np.where(std > 0, -std, -np.inf)
            return sizes, np.maximum(np.abs(low), np.abs(high)), shares

    for numbers, place in worst_of(worst, shift, std, low, high):
        _check_scale(dtype, *numbers, place=place)


def _check_scale(
    dtype: np.dtype[Any],
    shift: float,
    std: float,
    low: float,
    high: float,
    *,
    place: str,
) -> None:
    least, most, step, finest = range_of(dtype)
    if 0 < std <= least:
        rule = f"std must be above {least:.3g}, which {dtype.name} rounds to 0"
        advice = "Use a wider dtype, or scale the weight up here and down in the layer."
        value_error(rule, f"std={std:.6g}{place}", advice)
    furthest = max(abs(low), abs(high))
    if furthest > most:
        rule = f"values must stay below {most:g}, the largest {dtype.name}"
        got = f"std={std:.6g}, which draws values up to {furthest:.6g}"
        if std == 0:
            got = f"the value {furthest:.6g}"
        value_error(rule, got + place, "Use a smaller scale or a wider dtype.")
    centre = abs(min(max(shift, low), high))
    spread = min(std * math.sqrt(12), high - low)
    if std > 0 and centre > 0:
        spacing = max(2.0 ** math.floor(math.log2(centre)) * step, finest)
        if spread < spacing:
            rule = f"values must spread over more than one {dtype.name}"
            got = f"a spread of {spread:.3g} at {centre:g}, in steps of {spacing:.3g}"
            advice = "Use a wider dtype, or constant for one value."
            value_error(rule, got + place, advice)


def worst_of(
    severities: Callable[..., Sequence[np.ndarray]], *numbers: Number
) -> list[tuple[Any, str]]:
    """Return what a check of options that are floats is to look at.

    Args:
        severities: Called with float64 arrays, it returns arrays that are largest where an
            entry is at fault, if any is: one for each fault that is looked for.
        *numbers: The options. If one of them is traced, there is nothing to look at.

    Returns:
        The options if all are floats; of arrays the worst entries, and where they are.
    """
    if are_floats(numbers):
        return [(numbers, "")]
    if any(map(is_traced, numbers)):
        return []
    arrays = np.broadcast_arrays(*(np.asarray(n, np.float64) for n in numbers))
    measures = severities(*arrays) if arrays[0].size else ()
    places = [np.unravel_index(int(np.argmax(m)), arrays[0].shape) for m in measures]
    return [(tuple(float(a[p]) for a in arrays), at_index(p)) for p in places]


def are_floats(numbers: Iterable[object]) -> bool:
    """Whether all options are plain floats: the case that is to cost nothing."""
    return set(map(type, numbers)) == {float}


def exactly(dtype: np.dtype[Any] | None, f: Callable[..., Any], *numbers: Number) -> Any:
    """Return what ``f`` makes of options, in float64, known or not.

    So a program over many values, by ``vmap``, has the numbers of a loop over them.

    Args:
        dtype: Dtype of the results if a value is not known; None leaves them in float64,
            for more of this.
        f: Called with a module of functions, ``math`` or one like it, and the options:
            floats, or arrays if one of them is.
        *numbers: The options.

    Returns:
        One result or a tuple of them: floats, or arrays.
    """
    if are_floats(numbers):
        return f(math, *numbers)
    if not any(map(is_traced, numbers)):
        return f(_Known, *(np.asarray(n, np.float64) for n in numbers))
    size = dtype or _FLOAT64

    def whole(*wide: jax.Array) -> Any:
        return jax.tree.map(lambda x: jnp.asarray(x, size), f(_Traced, *wide))

    def derivative(primals: Any, tangents: Any) -> Any:
        with jax.enable_x64(True):  # JAX's rules make constants of the default size
            return jax.jvp(whole, primals, tangents)

    with jax.enable_x64(True):
        run = jax.custom_jvp(whole)
        run.defjvp(derivative)
        return run(*(jnp.asarray(n, jnp.float64) for n in numbers))


class _Known:
    """Functions of the module ``math``, entry by entry: of an array those of its floats."""

    erf = staticmethod(np.vectorize(math.erf, [float]))
    erfc = staticmethod(np.vectorize(math.erfc, [float]))
    exp = staticmethod(np.vectorize(math.exp, [float]))
    expm1 = staticmethod(np.vectorize(math.expm1, [float]))
    log = staticmethod(np.vectorize(math.log, [float]))
    sqrt = staticmethod(np.sqrt)
    where = staticmethod(np.where)
    clip = staticmethod(np.clip)


class _Traced:
    """The same of arrays whose values only a running program knows."""

    erf = staticmethod(lax.erf)
    erfc = staticmethod(lax.erfc)
    exp = staticmethod(jnp.exp)
    expm1 = staticmethod(jnp.expm1)
    log = staticmethod(jnp.log)
    where = staticmethod(jnp.where)
    clip = staticmethod(jnp.clip)

    @staticmethod
    def sqrt(x: jax.Array) -> jax.Array:
        """Return the root, whose derivative at 0 is taken to be 0 instead of infinity."""
        positive = x > 0
        return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)
