"""What NumPy hashes to seed a generator; public through `numpy_generator`."""

import dataclasses
import functools
import operator
from collections.abc import Sequence

import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_int, shown, type_error, value_error
from jaxinit.replay._arguments import words_of

_POOL = 4  # words that the pool of a seed sequence has


@dataclasses.dataclass(frozen=True)
class SeedSequence:
    """What ``np.random.SeedSequence(entropy, spawn_key=...)`` is.

    Attributes:
        entropy: A non-negative int of any size, or a sequence of them.
        spawn_key: The places among the children of its ancestors, outermost first.

    Example:
        >>> from jaxinit.replay import numpy_generator
        >>> first, second = numpy_generator.SeedSequence(7).spawn(2)
        >>> stream = numpy_generator.default_rng(second)
    """

    entropy: int | Sequence[int]
    spawn_key: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        self.words()

    @functools.partial(boundary, name="SeedSequence.spawn")
    def spawn(self, n_children: int) -> list["SeedSequence"]:
        """Return the first children, those of a sequence that has spawned none."""
        count = check_int("n_children", n_children, least=0)
        return [
            dataclasses.replace(self, spawn_key=(*self.spawn_key, i)) for i in range(count)
        ]

    def words(self) -> list[int]:
        """Return what is hashed: the words of the entropy, then of the spawn key."""
        words = entropy_words(self.entropy)
        if self.spawn_key:
            words += [0] * (_POOL - len(words))
        return words + (entropy_words(self.spawn_key) if self.spawn_key else [])


def entropy_words(entropy: object) -> list[int]:
    """Return the words of an int, or of several one after another."""
    rule = "seed must be a non-negative int"
    parts = entropy if isinstance(entropy, (Sequence, np.ndarray)) else [entropy]
    try:
        numbers = [operator.index(x) for x in np.atleast_1d(np.array(parts, object))]
    except TypeError:
        rule += ", or a sequence of them"
        type_error(rule, f"seed={shown(entropy)}", "Give a plain int.")
    if not numbers or min(numbers) < 0:
        value_error(rule, f"seed={shown(entropy)}", "Give 0 or more.")
    return [word for number in numbers for word in words_of(number)]
