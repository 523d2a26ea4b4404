"""Bands over seeds, and what has them: the shape that measurement and theory share."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np


class Band(NamedTuple):
    """The middle and the spread of one quantity for each layer, the input being 0."""

    median: np.ndarray
    low: np.ndarray
    """5 % quantile over seeds; NaN where a theory gives none."""
    high: np.ndarray
    """95 % quantile over seeds; NaN where a theory gives none."""


class Banded(Protocol):
    """A result or a prediction."""

    @property
    def label(self) -> str:
        """What it is called in tables and plots."""
        ...

    def band(self, quantity: str) -> Band:
        """Return the band of a quantity."""
        ...


class Measured(Banded, Protocol):
    """A result."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """All that decides the numbers."""
        ...

    @property
    def seeds(self) -> int:
        """How many seeds were measured."""
        ...
