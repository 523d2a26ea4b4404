"""Constructors that take the arguments of another library: their signatures are data.

A class states its signature in one string, as its users write it. What its arguments are
called decides what is checked; what changes no weight is accepted, and ignored.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from jaxinit._boundary import refuse_call


def bound(
    function: Callable[..., Any], args: tuple[Any, ...], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all arguments of a call by name; one that does not fit is refused."""
    try:
        given = inspect.signature(function).bind(*args, **options)
    except TypeError:
        refuse_call(function.__name__, function, args, options)
        raise
    given.apply_defaults()
    return given.arguments


def signature(arguments: str) -> inspect.Signature:
    """Return the signature of a function with these arguments, as its ``def`` has them."""
    return inspect.signature(eval(f"lambda {arguments}: None"))


def constructor(arguments: str) -> Callable[..., None]:
    """Return an ``__init__`` that gives its arguments, by name, to the method ``_make``."""

    def construct(self: Any, *args: Any, **options: Any) -> None:
        given = bound(construct, (self, *args), options)
        self._make({name: given[name] for name in given if name != "self"})

    vars(construct)["__signature__"] = signature(f"self, {arguments}")
    return construct
