"""Constructors that take the arguments of another library: their signatures are data.

A class states its signature in one string, as its users write it. What its arguments are
called decides what is checked; what changes no weight is accepted, and ignored.
"""

import inspect
from collections.abc import Callable
from typing import Any

from jaxinit._boundary import refuse_call


def constructor(signature: str) -> Callable[..., None]:
    """Return an ``__init__`` that gives its arguments, by name, to the method ``_make``."""
    taken = inspect.signature(eval(f"lambda self, {signature}: None"))

    def construct(self: Any, *args: Any, **options: Any) -> None:
        try:
            given = taken.bind(self, *args, **options)
        except TypeError:
            refuse_call(type(self).__name__, construct, (self, *args), options)
            raise
        given.apply_defaults()
        self._make({k: v for k, v in given.arguments.items() if k != "self"})

    vars(construct)["__signature__"] = taken
    return construct
