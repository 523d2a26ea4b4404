"""The edge of every public function, where an error gets the name that the user called.

Checks inside raise errors that know their parts; the outermost public function puts its
own name in front. Nothing happens on the way in, so that a call costs no more.
"""

import collections.abc
import difflib
import functools
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

import jax
import numpy as np

from jaxinit._checks import PARTS, error_text, shown, type_error, value_error

_F = TypeVar("_F", bound=Callable[..., Any])
_RAW = (TypeError, ValueError, AttributeError, LookupError, ArithmeticError)
_PASSED = sys.stdlib_module_names | {"jax", "jaxlib", "jaxinit", "numpy", "ml_dtypes"}
_FORM = re.compile(r"[\w.]+: .+; got ", re.DOTALL)
_QUALIFIED = frozenset(("replay", "flax", "haiku", "equinox", "keras"))
# What other libraries call an option that is here.
_ELSEWHERE = {
    "stddev": "std",
    "minval": "low",
    "maxval": "high",
    "lower": "low",
    "upper": "high",
    "val": "value",
    "negative_slope": "a",
    "negval": "a",
    "in_axis": "layout",
    "out_axis": "layout",
    "batch_axis": "layout",
    "num_groups": "groups",
    "sharding": "out_sharding",
    "seed": "key",
    "rng": "key",
}


def boundary(function: _F, name: str | None = None) -> _F:
    """Decorate a public function or class: its errors name it, in one line.

    Signature, docstring and type stay what they are. Errors of functions that a user gave
    pass through as they are.

    Args:
        function: The function, or a class whose constructor is meant.
        name: What errors are to call it; None for its own name.

    Returns:
        The function, or the class itself.
    """
    shown_name = name or _public_name(function)
    if isinstance(function, type):
        entry = "__new__" if issubclass(function, tuple) else "__init__"
        setattr(function, entry, boundary(getattr(function, entry), shown_name))
        return typing.cast("_F", function)
    raw, refuse = _RAW, _refuse

    def call(*args: Any, **options: Any) -> Any:
        try:
            return function(*args, **options)
        except raw as error:
            refuse(shown_name, function, args, options, error)
            raise

    # With the globals of its module, so that doctest sees it as defined there.
    made = types.FunctionType(
        call.__code__, function.__globals__, function.__name__, None, call.__closure__
    )
    return typing.cast("_F", functools.update_wrapper(made, function))


def _public_name(function: Callable[..., Any]) -> str:
    """Return the name as users write it: with its module where modules tell them apart."""
    _, *modules = function.__module__.split(".")
    qualified = bool(modules) and modules[0] in _QUALIFIED
    return f"{modules[-1]}.{function.__name__}" if qualified else function.__name__


def _refuse(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    options: Mapping[str, Any],
    error: Exception,
) -> None:
    """Put the name into an error of ours; raise one in place of a raw one."""
    parts = getattr(error, PARTS, None)
    inside = error.__traceback__.tb_next if error.__traceback__ is not None else None
    try:
        _refuse_shape_first(name, function, args)
    except TypeError as clear:
        raise clear from error
    if parts is not None:
        if not _is_foreign(inside):
            where, *rest = parts
            _, colon, place = where.partition(": ")
            error.args = (error_text(name + colon + place, *rest),)
        return
    if _FORM.match(str(error)):  # written in that form by hand
        return
    try:
        if inside is None:
            refuse_call(name, function, args, options)
        if _is_foreign(inside):
            return
        _refuse_kind(name, function, args, options)
    except (TypeError, ValueError) as clear:
        raise clear from error
    kind = type_error if isinstance(error, (TypeError, AttributeError)) else value_error
    text = " ".join(str(error).split())[:200].rstrip(".")
    try:
        got = f"{type(error).__name__}: {text}"
        rule = "the arguments must be as its help says"
        kind(rule, got, f"See help({name}).", where=name)
    except (TypeError, ValueError) as clear:
        raise clear from error


def _refuse_shape_first(
    name: str, function: Callable[..., Any], args: tuple[Any, ...]
) -> None:
    """Raise the error of an initializer that Haiku or Keras calls with a shape alone."""
    first = args[0] if args else None
    if not isinstance(first, (tuple, list)) or not all(type(n) is int for n in first):
        return
    if list(inspect.signature(function).parameters)[:2] == ["key", "shape"]:
        advice = (
            f"Write {name}(key, shape, dtype). Haiku and Keras, which call (shape, dtype), "
            f"take jaxinit.haiku.initializer({name}) and jaxinit.keras.initializer({name})."
        )
        type_error("the key comes first", f"the shape {tuple(first)}", advice, where=name)


def _is_foreign(traceback: types.TracebackType | None) -> bool:
    """Whether an error came through code that is neither ours nor JAX's: the user's."""
    while traceback is not None:
        module = traceback.tb_frame.f_globals.get("__name__", "")
        if module.partition(".")[0] not in _PASSED or module == "__main__":
            return True
        traceback = traceback.tb_next
    return False


def refuse_call(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    options: Mapping[str, Any],
) -> None:
    """Raise the error of a call whose arguments do not fit the signature."""
    parameters = inspect.signature(function).parameters
    names = [p for p in parameters if p != "self"]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for option, value in options.items():
        if option not in names and not takes_any:
            _refuse_option(name, names, option, value)
    positional = [
        p.name
        for p in parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) and p.name != "self"
    ]
    count = len(args) - ("self" in parameters)
    if count > len(positional) and not any(
        p.kind is p.VAR_POSITIONAL for p in parameters.values()
    ):
        rule = f"it takes {len(positional)} arguments by position"
        if positional:
            rule += f" ({', '.join(positional)})"
        rest = [p for p in names if p not in positional]
        advice = f"Name the others: {', '.join(f'{p}=...' for p in rest)}."
        type_error(
            rule, f"{count}", advice if rest else "Leave the others out.", where=name
        )
    given = {*positional[:count], *options}
    missing = [
        p.name
        for p in parameters.values()
        if p.default is p.empty
        and p.name not in given
        and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        and p.name != "self"
    ]
    if missing:
        got = ", ".join(n for n in names if n in given) or "no arguments"
        advice = f"Add {', '.join(f'{p}=...' for p in missing)}."
        if positional[:2] == ["key", "shape"] and "shape" in missing:
            advice = (
                f"{name} is the initializer itself, and no factory of one: pass {name}, or "
                f"functools.partial({name}, ...) with options."
            )
        type_error(f"{' and '.join(missing)} must be given", got, advice, where=name)
    twice = [p for p in positional[:count] if p in options]
    if twice:
        type_error(
            f"{twice[0]} must be given once", "it twice", "Leave one out.", where=name
        )


def _refuse_option(name: str, names: Sequence[str], option: str, value: object) -> None:
    rule = f"an argument must be one of {', '.join(names)}"
    got = f"{option}={shown(value)}"
    other = _ELSEWHERE.get(option)
    near = difflib.get_close_matches(option, names, n=1)
    if other == "layout" and "layout" in names:
        advice = (
            "Say what each axis is, one letter an axis, in place of axis numbers: "
            f'functools.partial({name}, layout="IO").'
        )
    elif other in names:
        advice = f"It is called {other} here."
    else:
        advice = f"Did you mean {near[0]!r}?" if near else "Leave it out."
    type_error(rule, got, advice, where=name)


def _refuse_kind(
    name: str,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    options: Mapping[str, Any],
) -> None:
    """Raise the error of the first argument whose kind is not that of its annotation."""
    try:
        hints = typing.get_type_hints(function)
        parameters = inspect.signature(function).parameters
        bound = inspect.signature(function).bind(*args, **options).arguments
    except (NameError, TypeError):
        return
    for argument, value in bound.items():
        hint = hints.get(argument, Any)
        kind = parameters[argument].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            wrong = [v for v in value if not fits(v, hint)]
        elif kind is inspect.Parameter.VAR_KEYWORD:
            wrong = [v for v in value.values() if not fits(v, hint)]
        else:
            wrong = [] if fits(value, hint) else [value]
        if not wrong and _is_key(value) and "key" not in argument:
            rule = f"{argument} must not be a random key"
            type_error(rule, f"{argument}={shown(value)}", f"See help({name}).", where=name)
        if argument == "dtype" and not wrong and not _is_dtype(value):
            rule = "dtype must be that of an array"
            type_error(
                rule, f"dtype={shown(value)}", "Give for example float32.", where=name
            )
        if wrong:
            rule, got = f"{argument} must be {kind_text(hint)}", shown(wrong[0])
            rule += _size_text(wrong[0])
            type_error(rule, f"{argument}={got}", f"See help({name}).", where=name)


def _is_key(value: object) -> bool:
    return isinstance(value, jax.Array) and jax.numpy.issubdtype(
        value.dtype, jax.dtypes.prng_key
    )


def _is_dtype(value: Any) -> bool:
    try:
        return value is None or np.dtype(value) is not None
    except _RAW:
        return False


def _size_text(value: object) -> str:
    """Return what is to be added where a number is refused for its size alone."""
    return " of at most 64 bits" if _is_huge(value) else ""


def _is_huge(value: object) -> bool:
    return isinstance(value, int) and value.bit_length() > 64


def fits(value: object, hint: Any) -> bool:
    """Whether a value is of the kind that an annotation states, as far as can be told."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, part) for part in inner)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if hint is None or hint is type(None):
        return value is None
    if origin is collections.abc.Callable or _is_callable_protocol(hint):
        return callable(value) and _accepts(value, hint)
    if origin in (collections.abc.Sequence, list, tuple):
        return _is_sequence(value) and _items_fit(value, origin, inner)
    if origin in (collections.abc.Mapping, dict):
        return isinstance(value, Mapping) and all(fits(v, inner[1]) for v in value.values())
    if not isinstance(hint, type) or hint is object:
        return True
    return _is_instance(value, hint)


def _is_instance(value: object, hint: type) -> bool:
    if hint in (int, float, complex):
        numbers = {int: (int, np.integer), float: (int, float, np.integer, np.floating)}
        allowed = numbers.get(hint, (int, float, complex, np.number))
        if isinstance(value, (jax.Array, np.ndarray)):
            return np.ndim(value) == 0 and not _is_key(value)
        if _is_huge(value):
            return False
        return isinstance(value, allowed) and not isinstance(value, (bool, np.bool_))
    if hint is jax.Array:
        return isinstance(value, (jax.Array, np.ndarray))
    try:
        return isinstance(value, hint)
    except TypeError:  # a protocol that cannot be asked
        return True


def _is_sequence(value: object) -> bool:
    if isinstance(value, (jax.Array, np.ndarray)):
        return np.ndim(value) > 0
    return isinstance(value, Sequence) and not isinstance(value, (str, bytes, bytearray))


def _items_fit(value: Any, origin: Any, inner: tuple[Any, ...]) -> bool:
    if not inner:
        return True
    if origin is tuple and inner[-1] is not Ellipsis:
        return len(value) == len(inner) and all(map(fits, value, inner))
    if isinstance(value, (jax.Array, np.ndarray)):
        if inner[0] not in (int, float):
            return not isinstance(inner[0], type)
        kinds = np.integer if inner[0] is int else np.number
        return not _is_key(value) and jax.numpy.issubdtype(value.dtype, kinds)
    return all(fits(item, inner[0]) for item in value)


def _is_callable_protocol(hint: Any) -> bool:
    return getattr(hint, "_is_protocol", False) and "__call__" in vars(hint)


def _accepts(value: Any, hint: Any) -> bool:
    """Whether a function can be called with as many arguments as the annotation has."""
    inner = typing.get_args(hint)
    if inner and isinstance(inner[0], list):
        count = len(inner[0])
    elif _is_callable_protocol(hint):
        count = 3
    else:
        return True
    try:
        inspect.signature(value).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # builtin functions have no signature to ask
        return True
    return True


def kind_text(hint: Any) -> str:
    """Return what an annotation asks for, in words."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(dict.fromkeys(kind_text(part) for part in inner))
    if origin is Literal:
        return f"one of {', '.join(map(str, inner))}"
    if hint is None or hint is type(None):
        return "None"
    if origin is collections.abc.Callable:
        if inner and isinstance(inner[0], list):
            count = len(inner[0])
            return f"a function of {count} argument{'s' * (count != 1)}"
        return "a function"
    if _is_callable_protocol(hint):
        return "a function (key, shape, dtype)"
    if origin in (collections.abc.Sequence, list, tuple):
        return "a sequence"
    if origin in (collections.abc.Mapping, dict):
        return "a mapping"
    words = {
        str: "a string",
        int: "an int",
        float: "a number",
        complex: "a complex number",
        bool: "a bool",
        jax.Array: "an array",
        np.ndarray: "an array",
    }
    return words.get(hint, getattr(hint, "__name__", str(hint)))
