"""What a study gives and what theory gives: bands a layer, in one shape."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, value_error
from jaxinit.signal.report.plot import plot_models, plot_study
from jaxinit.signal.report.table import Table, model_table, study_table
from jaxinit.signal.studies.bands import Band

_NOTHING = 1e4  # stands for an infinite log while quantiles are taken


@dataclasses.dataclass(frozen=True, repr=False)
class Prediction:
    """What theory says of one study.

    Attributes:
        label: Name of activation and scheme.
        bands: The quantities that the theory knows.
    """

    label: str
    bands: Mapping[str, Band]

    def __repr__(self) -> str:
        layers = max((len(band.median) for band in self.bands.values()), default=1) - 1
        return f"<Prediction {self.label}: {layers} layers; {', '.join(self.bands)}>"

    @boundary
    def band(self, quantity: str) -> Band:
        """Return the band of one of the quantities."""
        return self.bands[check_choice("quantity", quantity, self.bands)]


@dataclasses.dataclass(frozen=True, repr=False)
class Result:
    """What was measured in one study.

    Attributes:
        label: Name of activation and scheme.
        settings: All that decides the numbers, as plain data.
        values: For each quantity an array of shape (seeds, depth + 1); for a model one
            column for each use of a weight.
        runs: The runs that measured the seeds, where they went through a file: versions,
            date, command and kind of key, as plain data.
    """

    label: str
    settings: Mapping[str, Any]
    values: Mapping[str, np.ndarray]
    runs: tuple[Mapping[str, Any], ...] = ()

    def __repr__(self) -> str:
        columns = next((v.shape[1] for v in self.values.values()), 0)
        size = f"{columns} weights" if "model" in self.settings else f"{columns - 1} layers"
        return (
            f"<Result {self.label}: {self.seeds} seeds, {size}; {', '.join(self.values)}>"
        )

    @property
    def seeds(self) -> int:
        """Number of seeds measured."""
        return len(next(iter(self.values.values()), ()))

    @boundary
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
        name = check_choice("quantity", quantity, self.values)
        found = self.values[name].astype(np.float64)
        finite = np.where(np.isinf(found), np.sign(found) * _NOTHING, found)
        edges = np.quantile(finite, [0.5, low, high], axis=0)
        edges = np.where(np.abs(edges) > _NOTHING / 2, np.copysign(np.inf, edges), edges)
        return Band(*edges)

    @boundary
    def table(self, prediction: Prediction | None = None) -> Table:
        """Return the table that ``jaxinit study`` prints; ``print`` shows it.

        Args:
            prediction: What theory says of the same settings, as further row.
        """
        if "steps" in self.settings:
            rule = "a result of one width has no table or plot of its own"
            value_error(rule, self.label, "Take that of width_study.")
        if "model" in self.settings:
            return model_table(self)
        return study_table([self], [prediction])

    @boundary
    def plot(
        self,
        path: str | pathlib.Path | None = None,
        prediction: Prediction | None = None,
    ) -> Any:
        """Draw the signal and the gradient by layer, with bands over seeds.

        Args:
            path: A file to write, ending in .png, .pdf or .svg; None for none.
            prediction: What theory says of the same settings, as dashed line.

        Returns:
            The matplotlib figure.
        """
        if "steps" in self.settings:
            rule = "a result of one width has no table or plot of its own"
            value_error(rule, self.label, "Take that of width_study.")
        if "model" in self.settings:
            return plot_models([self], path)
        return plot_study([self], [prediction], path)

    def first(self, seeds: int) -> "Result":
        """Return this result with its first seeds only."""
        return dataclasses.replace(
            self, values={q: v[:seeds] for q, v in self.values.items()}
        )

    def joined(self, other: "Result") -> "Result":
        """Return this result with the seeds of another one behind its own."""
        both = {q: np.concatenate([v, other.values[q]]) for q, v in self.values.items()}
        return dataclasses.replace(self, values=both)
