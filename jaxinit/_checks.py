"""Argument checks, and the one place where error texts are made.

Every text reads ``function: rule; got argument=value. What to do.`` A wrong value is a
``ValueError``, a wrong kind a ``TypeError``. Checks run before anything is drawn, look at
no array data that is traced, and return the argument in its canonical form.
"""

import difflib
import math
import operator
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxinit._types import DTypeLike, Key, Scalar, Shape

NARROW_FLOATS = (
    "bfloat16",
    "float16",
    "float8_e3m4",
    "float8_e4m3",
    "float8_e4m3b11fnuz",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float4_e2m1fn",
)
"""The floats below 32 bits that have signs and that JAX converts to correctly."""

REAL_DTYPES = ("float64", "float32", *NARROW_FLOATS)
COMPLEX_DTYPES = ("complex64", "complex128")
_WIDE = {"float64": "float32", "complex128": "complex64"}
_KNOWN = {jnp.dtype(name): name for name in (*REAL_DTYPES, *COMPLEX_DTYPES)}


def value_error(where: str, rule: str, got: str, advice: str) -> NoReturn:
    """Raise the ValueError of one line that users see."""
    raise ValueError(_text(where, rule, got, advice))


def type_error(where: str, rule: str, got: str, advice: str) -> NoReturn:
    """Raise the TypeError of one line that users see."""
    raise TypeError(_text(where, rule, got, advice))


def _text(where: str, rule: str, got: str, advice: str) -> str:
    return f"{where}: {rule}; got {got}. {advice}"


def is_traced(value: object) -> bool:
    """Whether the value is known only when a compiled program runs."""
    return isinstance(value, Tracer)


def check_choice(where: str, name: str, value: object, choices: Iterable[str]) -> str:
    """Return ``value`` if it is one of the strings in ``choices``."""
    known = tuple(choices)
    if isinstance(value, str) and value in known:
        return value
    rule = f"{name} must be one of {', '.join(known)}"
    near = difflib.get_close_matches(str(value), known, n=1)
    advice = f"Did you mean {near[0]!r}?" if near else "Choose one of these."
    error = value_error if isinstance(value, str) else type_error
    error(where, rule, f"{name}={value!r}", advice)


def check_key(where: str, key: Key) -> Key:
    """Return the key as one typed key."""
    rule = "key must be one JAX random key"
    advice = "Make one with jax.random.key(0)."
    if not isinstance(key, (jax.Array, np.ndarray)):
        type_error(where, rule, f"key={key!r}", advice)
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.shape == ():
            return key
    elif key.dtype == np.uint32:
        if key.ndim == 1:
            return jax.random.wrap_key_data(jnp.asarray(key))
    else:
        type_error(where, rule, f"an array of dtype {key.dtype.name}", advice)
    got = f"an array of keys of shape {key.shape}"
    value_error(where, rule, got, "For many keys use jax.vmap over this function.")


def check_shape(where: str, shape: Shape) -> tuple[int, ...]:
    """Return the shape as a tuple of ints."""
    rule = "shape must be a sequence of non-negative ints"
    try:
        lengths = tuple(operator.index(n) for n in shape)
    except TypeError:
        type_error(where, rule, f"shape={shape!r}", "Write it as a tuple: (3, 4).")
    if min(lengths, default=0) < 0:
        value_error(where, rule, f"shape={lengths}", "Write it as a tuple: (3, 4).")
    return lengths


def check_rank(where: str, shape: tuple[int, ...], least: int, advice: str) -> None:
    """Refuse a shape of fewer than ``least`` axes."""
    if len(shape) < least:
        rule = f"shape needs at least {least} axes"
        value_error(where, rule, f"shape={shape}", advice)


def check_dtype(
    where: str, dtype: DTypeLike | None, *, allow_complex: bool = False
) -> np.dtype[Any]:
    """Return a float (or complex) dtype that draws are exact in."""
    if dtype is None:
        return jnp.dtype(jax.dtypes.canonicalize_dtype(np.float64))
    try:
        result = jnp.dtype(dtype)
        known = _KNOWN.get(result)
        got = result.name
    except TypeError:
        known, got = None, repr(dtype)
    if known is None or (known in COMPLEX_DTYPES and not allow_complex):
        choices = REAL_DTYPES + COMPLEX_DTYPES if allow_complex else REAL_DTYPES
        rule = f"dtype must be one of {', '.join(choices)}"
        type_error(where, rule, f"dtype={got}", "Choose one of these.")
    result = jnp.dtype(known)
    if known in _WIDE and jax.dtypes.canonicalize_dtype(result) != result:
        rule = f"dtype {known} needs 64-bit mode"
        advice = f"Set JAX_ENABLE_X64=1 before JAX starts, or ask for {_WIDE[known]}."
        value_error(where, rule, f"dtype={known} with it off", advice)
    return result


def check_any_dtype(where: str, dtype: DTypeLike | None) -> np.dtype[Any]:
    """Return a dtype of any kind of number that JAX has, at its full width."""
    try:
        result = jnp.dtype(dtype) if dtype is not None else None
        whole = result is not None and result.kind in "biu"
    except TypeError:
        whole = False
    if not whole:
        return check_dtype(where, dtype, allow_complex=True)
    result = jnp.dtype(dtype)
    if jax.dtypes.canonicalize_dtype(result) != result:
        rule = f"dtype {result.name} needs 64-bit mode"
        advice = "Set JAX_ENABLE_X64=1 before JAX starts, or ask for 32 bits."
        value_error(where, rule, f"dtype={result.name} with it off", advice)
    return result


def check_int(where: str, name: str, value: object, *, least: int) -> int:
    """Return a Python int that is at least ``least``."""
    rule = f"{name} must be an int, at least {least}"
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        type_error(where, rule, f"{name}={value!r}", "Give a plain int.")
    if number < least:
        value_error(where, rule, f"{name}={number}", f"Give {least} or more.")
    return number


def check_number(
    where: str,
    name: str,
    value: Scalar,
    *,
    least: float = -math.inf,
    most: float = math.inf,
) -> float | jax.Array:
    """Return a finite real scalar: a float, or the traced array as it is."""
    rule = f"{name} must be a finite number"
    if math.isfinite(least):
        rule += f", at least {least:g}"
    if math.isfinite(most):
        rule += f" and at most {most:g}" if math.isfinite(least) else f", at most {most:g}"
    if type(value) is float or type(value) is int:
        number = float(value)
    else:
        kind_ok = isinstance(
            value, (int, float, np.number, np.ndarray, jax.Array)
        ) and not isinstance(value, (bool, np.bool_))
        if not kind_ok or not _is_real(value):
            type_error(where, rule, f"{name}={value!r}", "Give a float.")
        if np.shape(value) != ():
            advice = "For many values use jax.vmap over this function."
            type_error(where, rule, f"{name} of shape {np.shape(value)}", advice)
        if is_traced(value):
            return jnp.asarray(value)
        number = float(value)  # pyright: ignore[reportArgumentType]
    if not math.isfinite(number) or not least <= number <= most:
        value_error(where, rule, f"{name}={number:g}", "Give a value in that range.")
    return number


def _is_real(value: object) -> bool:
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return True
    return jnp.issubdtype(dtype, np.floating) or jnp.issubdtype(dtype, np.integer)


def listed(values: Sequence[object]) -> str:
    """Return the values as text, at most eight of them."""
    shown = ", ".join(str(v) for v in values[:8])
    return shown if len(values) <= 8 else f"{shown}, ... ({len(values)} in all)"
