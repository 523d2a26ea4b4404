"""What goes on while a Keras model is made: Python's generator, names and calls."""

import collections
import contextlib
import contextvars
import dataclasses
import random
import re
from collections.abc import Iterator
from typing import Any

from jaxinit._checks import value_error


@dataclasses.dataclass
class Session:
    """What is kept while a model is made.

    Attributes:
        python: Python's generator.
        names: How often each automatic name is in use.
        calls: For each call of a layer: the layer, its inputs and its output.
    """

    python: random.Random
    names: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    calls: list[tuple[Any, list[Any], Any]] = dataclasses.field(default_factory=list)


_session: contextvars.ContextVar[Session | None] = contextvars.ContextVar(
    "session", default=None
)


@contextlib.contextmanager
def session(seed: int) -> Iterator[Session]:
    """Let what is made inside take seeds as after ``keras.utils.set_random_seed``."""
    opened = Session(random.Random(seed))
    token = _session.set(opened)
    try:
        yield opened
    finally:
        _session.reset(token)


def current() -> Session:
    """Return the session in which a model is being made."""
    opened = _session.get()
    if opened is None:
        rule = "layers, and initializers without a seed, are made in keras_models.build"
        advice = "Make them in the function that you give to keras_models.build."
        value_error(rule, "none running", advice)
    return opened


def next_seed() -> int:
    """Return Keras' seed for what has been given none."""
    return current().python.randint(1, 10**9)


def snake(name: str) -> str:
    """Return the name of a class as Keras writes functions and layers."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def unique_name(kind: str) -> str:
    """Return Keras' automatic name of a layer: numbered from the second one on."""
    name, names = snake(kind), current().names
    names[name] += 1
    return name if names[name] == 1 else f"{name}_{names[name] - 1}"
