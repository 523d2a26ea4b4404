"""What goes on while a Keras model is made: Python's generator, names and calls."""

import collections
import contextlib
import contextvars
import dataclasses
import random
import re
from collections.abc import Callable, Iterator
from typing import Any

from jaxinit._checks import value_error


@dataclasses.dataclass(frozen=True)
class Call:
    """A call of a layer or an operation: what was called, on what, and what it made."""

    op: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]
    taken: list[Any]
    made: Any


@dataclasses.dataclass
class Session:
    """What is kept while a model is made.

    Attributes:
        python: Python's generator.
        names: How often each automatic name is in use.
        calls: By the id of each tensor, the call that made it.
        path: The names of the layers that are being built, as Keras' paths have them.
        drawn: Whether Keras' global generator has taken its seed.
    """

    python: random.Random
    names: collections.Counter[str] = dataclasses.field(default_factory=collections.Counter)
    calls: dict[int, Call] = dataclasses.field(default_factory=dict)
    path: str = ""
    drawn: bool = False

    @contextlib.contextmanager
    def inside(self, path: str) -> Iterator[None]:
        """Let what is built inside have this path in front."""
        outer, self.path = self.path, path
        try:
            yield
        finally:
            self.path = outer


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


def take_seed(seed: int | None, count: int = 1) -> None:
    """Take the seeds of the generators inside a layer, if it has been given none."""
    for _ in range(0 if seed is not None else count):
        next_seed()


def snake(name: str) -> str:
    """Return the name of a class as Keras writes functions and layers."""
    name = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", re.sub(r"\W+", "", name))
    return re.sub("([a-z])([A-Z])", r"\1_\2", name).lower()


def unique_name(kind: str) -> str:
    """Return Keras' automatic name of a layer: numbered from the second one on."""
    name, names = snake(kind), current().names
    names[name] += 1
    return name if names[name] == 1 else f"{name}_{names[name] - 1}"
