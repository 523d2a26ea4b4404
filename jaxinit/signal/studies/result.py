"""What a study gives and what theory gives: bands a layer, in one shape."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, value_error

FORMAT = 1
"""Version of the JSON form."""

_NOTHING = 1e4  # stands for an infinite log while quantiles are taken


class Band(NamedTuple):
    """The middle and the spread of one quantity for each layer, the input being 0."""

    median: np.ndarray
    low: np.ndarray
    """5 % quantile over seeds; NaN where a theory gives none."""
    high: np.ndarray
    """95 % quantile over seeds; NaN where a theory gives none."""


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What theory says of one study.

    Attributes:
        label: Name of activation and scheme.
        bands: The quantities that the theory knows.
    """

    label: str
    bands: Mapping[str, Band]

    def band(self, quantity: str) -> Band:
        """Return the band of one of the quantities."""
        return self.bands[check_choice("band", "quantity", quantity, self.bands)]


@dataclasses.dataclass(frozen=True)
class Result:
    """What was measured in one study.

    Attributes:
        label: Name of activation and scheme.
        settings: All that decides the numbers, as plain data.
        values: For each quantity an array of shape (seeds, depth + 1).
    """

    label: str
    settings: Mapping[str, Any]
    values: Mapping[str, np.ndarray]

    @property
    def seeds(self) -> int:
        """Number of seeds measured."""
        return len(next(iter(self.values.values()), ()))

    def band(self, quantity: str, low: float = 0.05, high: float = 0.95) -> Band:
        """Return median and quantiles over seeds for each layer.

        Args:
            quantity: One of :data:`jaxinit.signal.QUANTITIES`.
            low: Share of seeds below the lower edge.
            high: Share of seeds below the upper edge.

        Returns:
            The band. Where a signal is exactly zero its logarithm is -inf.

        Raises:
            ValueError: The quantity is unknown.
        """
        name = check_choice("band", "quantity", quantity, self.values)
        found = self.values[name].astype(np.float64)
        finite = np.where(np.isinf(found), np.sign(found) * _NOTHING, found)
        edges = np.quantile(finite, [0.5, low, high], axis=0)
        edges = np.where(np.abs(edges) > _NOTHING / 2, np.copysign(np.inf, edges), edges)
        return Band(*edges)

    def first(self, seeds: int) -> "Result":
        """Return this result with its first seeds only."""
        return dataclasses.replace(
            self, values={q: v[:seeds] for q, v in self.values.items()}
        )

    def joined(self, other: "Result") -> "Result":
        """Return this result with the seeds of another one behind its own."""
        both = {q: np.concatenate([v, other.values[q]]) for q, v in self.values.items()}
        return dataclasses.replace(self, values=both)


@boundary
def to_json(results: list[Result]) -> str:
    """Return the results as JSON text; infinities and NaN are words in it."""

    def plain(value: float) -> float | str:
        return float(f"{value:.7g}") if math.isfinite(value) else str(value)

    return json.dumps({
        "format": FORMAT,
        "results": [
            {
                "label": r.label,
                "settings": dict(r.settings),
                "values": {
                    q: [[plain(float(x)) for x in row] for row in v]
                    for q, v in r.values.items()
                },
            }
            for r in results
        ],
    })


@boundary
def from_json(text: str) -> list[Result]:
    """Return the results of a text that :func:`to_json` made.

    Args:
        text: The JSON text.

    Returns:
        The results.

    Raises:
        ValueError: The text is not of that form.
    """
    try:
        found = json.loads(text)
        if found["format"] != FORMAT:
            raise ValueError
        return [
            Result(
                entry["label"],
                entry["settings"],
                {
                    q: np.array([[float(x) for x in row] for row in rows])
                    for q, rows in entry["values"].items()
                },
            )
            for entry in found["results"]
        ]
    except (ValueError, KeyError, TypeError):
        rule = "the text must be the JSON of a study"
        value_error("from_json", rule, f"{text[:40]!r}", "Write one with to_json.")


def load(path: pathlib.Path) -> list[Result]:
    """Return the results in a file, none if there is no such file."""
    return from_json(path.read_text()) if path.exists() else []
