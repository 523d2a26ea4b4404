"""Table and picture of a study over widths."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxinit.signal.report.plot import COLOURS, MARKERS, Path, figure, legend, powers
from jaxinit.signal.report.table import Table
from jaxinit.signal.studies.bands import Band


def width_table(
    label: str,
    widths: Sequence[int],
    weights: Sequence[str],
    band: Band,
    verdicts: tuple[str, ...],
) -> Table:
    """Return the exponents of the width, a row a weight and a column a step.

    Args:
        label: What the study is about.
        widths: The widths.
        weights: Names of the rows.
        band: The exponents over seeds, each of shape (steps + 1, weights).
        verdicts: Sentences above the table.
    """
    steps = len(band.median) - 1
    columns = ("output of", *(f"step {n}" for n in range(steps + 1)), "last: 5-95 %")
    rows = tuple(
        (
            path,
            *(f"{value:.2f}" for value in band.median[:, number]),
            f"{band.low[-1, number]:.2f} to {band.high[-1, number]:.2f}",
        )
        for number, path in enumerate(weights)
    )
    title = f"{label}: power of the width that sizes grow with"
    notes = (f"Root mean squares at widths {', '.join(map(str, widths))}; 0 is flat.",)
    return Table(title, columns, rows, notes, verdicts)


def plot_widths(
    label: str,
    widths: Sequence[int],
    weights: Sequence[str],
    sizes: np.ndarray,
    path: Path = None,
) -> Any:
    """Draw sizes against the width, a panel a step, with bands over seeds.

    Args:
        label: What the study is about.
        widths: The widths.
        weights: Names of the lines.
        sizes: log10 of them, shape (widths, seeds, steps + 1, weights).
        path: The file to write, or None.

    Returns:
        The figure.
    """
    panels = sizes.shape[2]
    with figure(path, panels, max(2.4 * panels, 6), 4) as (made, row):
        low, middle, high = np.quantile(sizes, [0.05, 0.5, 0.95], axis=1)
        for step, axes in enumerate(row):
            for number, name in enumerate(weights):
                colour = COLOURS[number % len(COLOURS)]
                edges = [powers(v[:, step, number]) for v in (low, high)]
                axes.fill_between(widths, *edges, color=colour, alpha=0.25, lw=0)
                marker = MARKERS[number % len(MARKERS)]
                line = powers(middle[:, step, number])
                axes.plot(widths, line, color=colour, marker=marker, lw=2, label=name)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_ylim(10.0 ** (np.nanmin(low) - 0.3), 10.0 ** (np.nanmax(high) + 0.3))
            axes.set_title(f"step {step}")
            axes.set_xlabel("width")
            if step:
                axes.set_yticklabels([])
        row[0].set_ylabel("root mean square")
        legend(made, *row[0].get_legend_handles_labels())
        made.suptitle(f"{label}: size of each weight's output", x=0.01, ha="left")
    return made
