"""Argument checks, and the one place where error texts are made.

Every text reads ``function: rule; got argument=value. What to do.`` A wrong value is a
``ValueError``, a wrong kind a ``TypeError``. Checks run before anything is drawn, look at
no array data that is traced, and return the argument in its canonical form.

The function in the text is the public one that the user called: its boundary puts the
name in (`jaxinit._boundary`). Only what is raised outside of any boundary says ``where``.
"""

import contextlib
import difflib
import math
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from jaxinit._types import DTypeLike, Key, Scalar, Scalars, Shape

PARTS = "jaxinit_parts"
"""The attribute of an error that holds its parts: where, rule, what was got, advice."""

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
_MOST = 2**63 - 1
_NO_DTYPE = (TypeError, ValueError, SyntaxError, AttributeError, LookupError)
_WIDE = {"float64": "float32", "complex128": "complex64"}
_KNOWN = {jnp.dtype(name): name for name in (*REAL_DTYPES, *COMPLEX_DTYPES)}


def value_error(rule: str, got: str, advice: str, where: str = "") -> NoReturn:
    """Raise the ValueError of one line that users see."""
    _raise(ValueError, where, rule, got, advice)


def type_error(rule: str, got: str, advice: str, where: str = "") -> NoReturn:
    """Raise the TypeError of one line that users see."""
    _raise(TypeError, where, rule, got, advice)


def _raise(kind: type[Exception], where: str, *parts: str) -> NoReturn:
    error = kind(error_text(where, *parts))
    setattr(error, PARTS, (where, *parts))
    raise error


@contextlib.contextmanager
def at(place: str) -> Iterator[None]:
    """Put a place, such as a path in a tree, behind the name in errors raised inside."""
    try:
        yield
    except (TypeError, ValueError) as error:
        where, *parts = getattr(error, PARTS, ("",))
        if place and parts and not where:
            setattr(error, PARTS, (f": {place}", *parts))
        raise


def error_text(where: str, rule: str, got: str, advice: str) -> str:
    """Return the one line that users see."""
    text = f"{rule}; got {got}. {advice}"
    return f"{where}: {text}" if where else text


def shown(value: object) -> str:
    """Return a value as an error shows it, at most 80 characters long."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**40:
        return f"an int of {value.bit_length()} bits"
    if callable(value) and hasattr(value, "__name__"):
        return str(value.__name__)
    if isinstance(value, (jax.Array, np.ndarray)) and np.size(value) > 4:
        return f"an array of dtype {value.dtype.name} and shape {value.shape}"
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:77]}..."


def is_traced(value: object) -> bool:
    """Whether the value is known only when a compiled program runs."""
    return isinstance(value, Tracer)


def check_choice(name: str, value: object, choices: Iterable[str]) -> str:
    """Return ``value`` if it is one of the strings in ``choices``."""
    known = tuple(choices)
    if isinstance(value, str) and value in known:
        return value
    rule = f"{name} must be one of {', '.join(known)}"
    near = difflib.get_close_matches(str(value), known, n=1)
    advice = f"Did you mean {near[0]!r}?" if near else "Choose one of these."
    error = value_error if isinstance(value, str) else type_error
    error(rule, f"{name}={shown(value)}", advice)


def check_key(key: Key) -> Key:
    """Return the key as one typed key."""
    rule = "key must be one JAX random key"
    advice = "Make one with jax.random.key(0)."
    if not isinstance(key, (jax.Array, np.ndarray)):
        type_error(rule, f"key={shown(key)}", advice)
    if jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        if key.shape == ():
            return key
    elif key.dtype == np.uint32:
        if key.ndim == 1:
            return _wrapped(key)
    else:
        type_error(rule, f"an array of dtype {key.dtype.name}", advice)
    got = f"an array of keys of shape {key.shape}"
    value_error(rule, got, "For many keys use jax.vmap over this function.")


def _wrapped(key: Key) -> Key:
    try:
        return jax.random.wrap_key_data(jnp.asarray(key))
    except (TypeError, ValueError):
        needed = jax.eval_shape(jax.random.PRNGKey, 0).shape[0]
        rule = f"a legacy key must have {needed} words, as the default key type has"
        advice = "Give a typed key: jax.random.wrap_key_data(key, impl=...)."
        value_error(rule, f"an array of {key.shape[0]} words", advice)


def check_shape(shape: Shape) -> tuple[int, ...]:
    """Return the shape as a tuple of ints."""
    rule = "shape must be a sequence of non-negative ints"
    advice = "Write it as a tuple: (3, 4)."
    try:
        if isinstance(shape, (str, bytes, bytearray, Set, Mapping)):
            raise TypeError
        given = tuple(shape)
        if bool in map(type, given):
            raise TypeError
        lengths = tuple(map(operator.index, given))
    except TypeError:
        type_error(rule, f"shape={shown(shape)}", advice)
    if min(lengths, default=0) < 0:
        value_error(rule, f"shape={shown(lengths)}", advice)
    if max(lengths, default=0) > _MOST:
        rule = "no length may be above 2**63 - 1"
        value_error(rule, f"shape={shown(lengths)}", "Split the array.")
    if math.prod(lengths) >= 2**59:
        _check_only_traced(lengths)
    return lengths


def _check_only_traced(lengths: tuple[int, ...]) -> None:
    """Refuse to make an array whose size XLA cannot count: it ends the process."""
    if not is_traced(jnp.zeros(())):
        rule = "an array must have fewer than 2**59 entries to be made"
        advice = "Ask jax.eval_shape for its shape alone."
        value_error(rule, f"shape={shown(lengths)}", advice)


def check_rank(shape: tuple[int, ...], least: int, advice: str) -> None:
    """Refuse a shape of fewer than ``least`` axes."""
    if len(shape) < least:
        rule = f"shape needs at least {least} axes"
        value_error(rule, f"shape={shape}", advice)


def check_dtype(dtype: DTypeLike | None, *, allow_complex: bool = False) -> np.dtype[Any]:
    """Return a float (or complex) dtype that draws are exact in."""
    if dtype is None:
        return jnp.dtype(jax.dtypes.canonicalize_dtype(np.float64))
    try:
        result = jnp.dtype(dtype)
        known = _KNOWN.get(result)
        got = result.name
    except _NO_DTYPE:
        known, got = None, shown(dtype)
    if known is None or (known in COMPLEX_DTYPES and not allow_complex):
        choices = REAL_DTYPES + COMPLEX_DTYPES if allow_complex else REAL_DTYPES
        rule = f"dtype must be one of {', '.join(choices)}"
        type_error(rule, f"dtype={got}", "Choose one of these.")
    result = jnp.dtype(known)
    if known in _WIDE and jax.dtypes.canonicalize_dtype(result) != result:
        rule = f"dtype {known} needs 64-bit mode"
        advice = f"Set JAX_ENABLE_X64=1 before JAX starts, or ask for {_WIDE[known]}."
        value_error(rule, f"dtype={known} with it off", advice)
    return result


def check_any_dtype(dtype: DTypeLike | None) -> np.dtype[Any]:
    """Return a dtype of any kind of number that JAX has, at its full width."""
    try:
        result = jnp.dtype(dtype) if dtype is not None else None
        whole = result is not None and result.kind in "biu"
    except _NO_DTYPE:
        whole = False
    if not whole:
        return check_dtype(dtype, allow_complex=True)
    result = jnp.dtype(dtype)
    if jax.dtypes.canonicalize_dtype(result) != result:
        rule = f"dtype {result.name} needs 64-bit mode"
        advice = "Set JAX_ENABLE_X64=1 before JAX starts, or ask for 32 bits."
        value_error(rule, f"dtype={result.name} with it off", advice)
    return result


def check_int(name: str, value: object, *, least: int) -> int:
    """Return a Python int that is at least ``least``."""
    rule = f"{name} must be an int, at least {least}"
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        number = operator.index(value)  # pyright: ignore[reportArgumentType]
    except TypeError:
        type_error(rule, f"{name}={shown(value)}", "Give a plain int.")
    if number < least:
        value_error(rule, f"{name}={shown(number)}", f"Give {least} or more.")
    if number > _MOST:
        rule += " and below 2**63"
        value_error(rule, f"{name}={shown(number)}", "Give a smaller one.")
    return number


def check_seed(value: object, name: str = "seed") -> int:
    """Return a seed of 64 bits as a Python int."""
    rule = f"{name} must be an int from 0 to 2**64 - 1"
    advice = "Give a plain int of that range."
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        type_error(rule, f"{name}={value!r}", advice)
    number = operator.index(value)  # pyright: ignore[reportArgumentType]
    if not 0 <= number < 2**64:
        value_error(rule, f"{name}={number}", advice)
    return number


def check_number(
    name: str,
    value: Scalar,
    *,
    least: float = -math.inf,
    most: float = math.inf,
) -> float | jax.Array:
    """Return a finite real scalar: a float, or the traced array as it is."""
    if type(value) is float:
        number = value
    elif type(value) is int:
        number = _as_float(value)
    else:
        kind_ok = isinstance(
            value, (int, float, np.number, np.ndarray, jax.Array)
        ) and not isinstance(value, (bool, np.bool_))
        if not kind_ok or not _is_real(value):
            rule = _number_rule(name, least, most)
            type_error(rule, f"{name}={shown(value)}", "Give a float.")
        if np.shape(value) != ():
            rule = _number_rule(name, least, most)
            advice = "For many values use jax.vmap over this function."
            type_error(rule, f"{name} of shape {np.shape(value)}", advice)
        if is_traced(value):
            return jnp.asarray(value)
        number = float(value)  # pyright: ignore[reportArgumentType]
    if not math.isfinite(number) or not least <= number <= most:
        _refuse_number(name, number, least, most)
    return number


def _number_rule(name: str, least: float, most: float) -> str:
    rule = f"{name} must be a finite number"
    if math.isfinite(least):
        rule += f", at least {least:g}"
    if math.isfinite(most):
        rule += f" and at most {most:g}" if math.isfinite(least) else f", at most {most:g}"
    return rule


def _refuse_number(
    name: str, number: Any, least: float, most: float, place: str = ""
) -> NoReturn:
    got = f"{name}={number:g}{place}"
    value_error(_number_rule(name, least, most), got, "Give a value in that range.")


def check_entries(
    name: str,
    value: Scalars | complex,
    shape: Shape,
    *,
    least: float = -math.inf,
    most: float = math.inf,
    allow_complex: bool = False,
) -> Any:
    """Return finite numbers, one or an array of them that broadcasts to ``shape``.

    Args:
        name: Name of the option.
        value: What the user gave.
        shape: Axis lengths of the whole array.
        least: No number may be below it.
        most: None may be above it.
        allow_complex: Whether the result is complex, so that the option may be.

    Returns:
        A float (or complex number); a float64 (or complex128) array of rank 1 or more; or
        the traced array as it is.
    """
    if type(value) in (float, int):
        return check_number(name, value, least=least, most=most)  # pyright: ignore[reportArgumentType]
    given: Any = value
    if isinstance(value, (list, tuple)):
        try:
            given = np.asarray(value)
        except (TypeError, ValueError):  # ragged, or of traced numbers
            given = np.asarray(None)
    is_array = isinstance(given, (np.ndarray, np.number, jax.Array))
    is_complex = allow_complex and np.iscomplexobj(given)
    if not is_complex and (not is_array or given.ndim == 0):
        return check_number(name, value, least=least, most=most)  # pyright: ignore[reportArgumentType]
    if not is_complex and is_array and not _is_real(given):
        got = f"an array of dtype {given.dtype.name}"
        type_error(_number_rule(name, least, most), got, "Give floats.")
    _check_broadcast(name, np.shape(given), check_shape(shape))
    if is_traced(given):
        return given
    wide = np.asarray(given).astype(np.complex128 if is_complex else np.float64)
    bad = ~np.isfinite(wide)
    if not is_complex:
        bad |= (wide < least) | (wide > most)
    if bad.any():
        place = np.unravel_index(int(np.argmax(bad)), wide.shape)
        _refuse_number(name, wide[place], least, most, at_index(place))
    return wide if wide.ndim else complex(wide)


def _check_broadcast(name: str, given: tuple[int, ...], shape: tuple[int, ...]) -> None:
    pairs = zip(given[::-1], shape[::-1], strict=False)
    if len(given) > len(shape) or any(n not in (1, whole) for n, whole in pairs):
        rule = f"{name} must be a number, or an array that broadcasts to shape"
        advice = "Give it no more axes than that."
        if len(given) <= len(shape):
            advice = "Give it length 1 on the axes along which it does not change."
        value_error(rule, f"{name} of shape {given} for shape={shape}", advice)


def at_index(place: Sequence[Any]) -> str:
    """Return where an entry of an array is, for the end of what an error shows."""
    numbers = tuple(map(int, place))
    return f" at index {numbers[0] if len(numbers) == 1 else numbers}" if numbers else ""


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _is_real(value: object) -> bool:
    dtype = getattr(value, "dtype", None)
    if dtype is None:
        return True
    return jnp.issubdtype(dtype, np.floating) or jnp.issubdtype(dtype, np.integer)


def listed(values: Sequence[object]) -> str:
    """Return the values as text, at most eight of them."""
    shown = ", ".join(str(v) for v in values[:8])
    return shown if len(values) <= 8 else f"{shown}, ... ({len(values)} in all)"
