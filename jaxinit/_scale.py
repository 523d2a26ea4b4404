"""Location and scale: whether a dtype can hold them, and arithmetic of options."""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinit._checks import value_error

_FLOAT32, _FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)

Number = float | jax.Array
"""An option: a float, or a scalar array whose value only a running program knows."""


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
    where: str,
    dtype: np.dtype[Any],
    shift: Number,
    std: Number,
    reach: float,
    bounds: tuple[Number, Number] | None = None,
) -> None:
    """Refuse a location and scale that the dtype cannot hold, where they are known.

    Args:
        where: Name of the function that the error is to name.
        dtype: Dtype of the result.
        shift: Location of the distribution.
        std: Its standard deviation. 0 is fine.
        reach: The largest distance from ``shift``, in units of ``std``.
        bounds: Values that nothing goes beyond, or None.
    """
    if not isinstance(shift, float) or not isinstance(std, float):
        return
    if bounds and not (isinstance(bounds[0], float) and isinstance(bounds[1], float)):
        return
    least, most, step, finest = range_of(dtype)
    if 0 < std <= least:
        rule = f"std must be above {least:.3g}, which {dtype.name} rounds to 0"
        advice = "Use a wider dtype, or scale the weight up here and down in the layer."
        value_error(where, rule, f"std={std:.6g}", advice)
    low, high = bounds or (shift - reach * std, shift + reach * std)
    furthest = max(abs(low), abs(high))
    if furthest > most:
        rule = f"values must stay below {most:g}, the largest {dtype.name}"
        got = f"std={std:.6g}, which draws values up to {furthest:.6g}"
        if std == 0:
            got = f"the value {furthest:.6g}"
        value_error(where, rule, got, "Use a smaller scale or a wider dtype.")
    centre = abs(min(max(shift, low), high))
    spread = min(std * math.sqrt(12), high - low)
    if std > 0 and centre > 0:
        spacing = max(2.0 ** math.floor(math.log2(centre)) * step, finest)
        if spread < spacing:
            rule = f"values must spread over more than one {dtype.name}"
            got = f"a spread of {spread:.3g} at {centre:g}, in steps of {spacing:.3g}"
            value_error(where, rule, got, "Use a wider dtype, or constant for one value.")


def exactly(dtype: np.dtype[Any] | None, f: Callable[..., Any], *numbers: Number) -> Any:
    """Return what ``f`` makes of options, in float64, known or not.

    So a program over many values, by ``vmap``, has the numbers of a loop over them.

    Args:
        dtype: Dtype of the results if a value is not known; None leaves them in float64,
            for more of this.
        f: Called with a module of functions, ``math`` or one like it, and the options.
        *numbers: The options.

    Returns:
        One result or a tuple of them: floats, or arrays.
    """
    if all(isinstance(n, float) for n in numbers):
        return f(math, *numbers)
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


class _Traced:
    """Functions of the module ``math``, of arrays."""

    erf = staticmethod(lax.erf)
    erfc = staticmethod(lax.erfc)
    expm1 = staticmethod(jnp.expm1)
    log = staticmethod(jnp.log)

    @staticmethod
    def sqrt(x: jax.Array) -> jax.Array:
        """Return the root, whose derivative at 0 is taken to be 0 instead of infinity."""
        positive = x > 0
        return jnp.where(positive, jnp.sqrt(jnp.where(positive, x, 1)), 0)
