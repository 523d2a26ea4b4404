"""The table of a study: rows as data, printed by rich or as plain text."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxinit.signal.recommend import Recommendation
from jaxinit.signal.report.optional import has, need
from jaxinit.signal.studies.result import Band, Prediction, Result
from jaxinit.signal.theory.phase import PhaseDiagram

LOST = 3.0
"""Powers of ten from 1 at which a signal counts as vanished or exploded."""


class Table(NamedTuple):
    """A heading, the names of the columns, the cells, and sentences below."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()


def power(log10: float) -> str:
    """Return a number by its logarithm, in two digits."""
    if math.isnan(log10):
        return "-"
    if math.isinf(log10):
        return "0" if log10 < 0 else "inf"
    exponent = math.floor(log10)
    digits = round(10 ** (log10 - exponent), 1)
    if digits >= 10:
        digits, exponent = digits / 10, exponent + 1
    if -3 < exponent < 4:
        return f"{digits * 10.0**exponent:.{max(1 - exponent, 0)}f}"
    return f"{digits:.1f}e{exponent:+03d}"


def power_range(band: Band, layer: int) -> str:
    """Return the edges of a layer's band."""
    low, high = power(float(band.low[layer])), power(float(band.high[layer]))
    return "-" if low == "-" else f"{low} to {high}"


def verdict(forward: np.ndarray, backward: np.ndarray) -> str:
    """Return in words what happens to the signal and to the gradient."""
    return f"signal {_fate(forward)}, gradient {_fate(backward[::-1])}"


def _fate(log10: np.ndarray) -> str:
    gone = np.nonzero(~(log10 > -LOST))[0]
    blown = np.nonzero(log10 > LOST)[0]
    if gone.size and (not blown.size or gone[0] < blown[0]):
        return f"vanishes after {gone[0]} layers"
    if blown.size:
        return f"explodes after {blown[0]} layers"
    return "kept"


def study_table(
    results: Sequence[Result], predictions: Sequence[Prediction | None]
) -> Table:
    """Return the table of several studies of one depth.

    Args:
        results: What was measured.
        predictions: What theory says of each, or None; its row follows that of the study.

    Returns:
        Standard deviations at some layers, the last with its band over seeds, and the
        gradient at the input; below, a sentence for each study.
    """
    settings = results[0].settings
    depth = settings["depth"]
    shown = sorted({max(1, depth // 10), max(1, depth // 2)} - {depth})
    last, edges = f"{depth}", f"{depth}: 5-95 %"
    columns = ["std at layer", *map(str, shown), last, edges, "gradient at 0"]
    rows, notes = [], []
    for result, prediction in zip(results, predictions, strict=True):
        rows.append((result.label, *_cells(result, shown, depth)))
        if prediction is not None:
            rows.append(("  theory", *_cells(prediction, shown, depth)))
        forward, backward = result.band("log10_std"), result.band("log10_grad")
        notes.append(f"{result.label}: {verdict(forward.median, backward.median)}.")
    title = f"{headline(results[0])}: medians of {results[0].seeds} seeds"
    return Table(title, tuple(columns), tuple(rows), tuple(notes))


def model_table(result: Result) -> Table:
    """Return the table of a user's own model, a row for each weight in order of use.

    Args:
        result: What :func:`jaxinit.signal.study_model` measured.

    Returns:
        Moments of what each product gives, and the gradient with respect to it; below, a
        sentence on all, and the remarks.
    """
    forward, backward = result.band("log10_std"), result.band("log10_grad")
    mean = result.band("mean").median
    rows = tuple(
        (
            f"{n + 1}",
            path,
            power(float(forward.median[n])),
            power_range(forward, n),
            f"{mean[n]:.2g}",
            power(float(backward.median[n])),
            power_range(backward, n),
        )
        for n, path in enumerate(result.settings["weights"])
    )
    columns = (
        "",
        "output of",
        "std",
        "std: 5-95 %",
        "mean",
        "gradient",
        "gradient: 5-95 %",
    )
    names = result.settings["weights"]
    there = _where_lost(forward.median, names)
    back = _where_lost(backward.median[::-1], names[::-1])
    fates = f"{result.label}: signal {there}, gradient {back}."
    notes = (fates, *result.settings["remarks"])
    title = f"{result.label}: medians of {result.seeds} seeds"
    return Table(title, columns, rows, notes)


def _where_lost(log10: np.ndarray, names: Sequence[str]) -> str:
    """Return in words at which weights, in this order, a signal has gone or blown up."""
    said = []
    for word, is_lost in (
        ("vanishes", log10 < -LOST),
        ("explodes", log10 > LOST),
        ("is not a number", np.isnan(log10)),
    ):
        found = np.nonzero(is_lost)[0]
        if found.size:
            more = f" and {found.size - 1} more" if found.size > 1 else ""
            said.append(f"{word} at {names[found[0]]}{more}")
    return " and ".join(said) or "kept"


def headline(result: Result) -> str:
    """Return what kind of networks a result is about."""
    kind, depth, width, dtype = (
        result.settings[name] for name in ("kind", "depth", "width", "dtype")
    )
    return f"{kind.capitalize()} networks of {depth} layers, width {width}, {dtype}"


def _cells(of: Result | Prediction, shown: list[int], depth: int) -> list[str]:
    forward, backward = of.band("log10_std"), of.band("log10_grad")
    medians = [power(float(forward.median[n])) for n in (*shown, depth)]
    return [*medians, power_range(forward, depth), power(float(backward.median[0]))]


def recommendation_table(advice: Recommendation) -> Table:
    """Return the table of a recommendation, the best choice first."""
    rows = []
    for choice in (advice.best, *advice.others):
        spec = choice.scheme
        last = power(float(choice.log10_std[-1])), power(float(choice.log10_grad[0]))
        fates = verdict(choice.log10_std, choice.log10_grad)
        rows.append((spec.name, f"{spec.sigma_w:.4f}", f"{spec.sigma_b:.4f}", *last, fates))
    columns = (
        "scheme",
        "sigma_w",
        "sigma_b",
        f"std at {advice.depth}",
        "gradient at 0",
        "",
    )
    title = f"{advice.activation} over {advice.depth} layers, by theory"
    return Table(title, columns, tuple(rows), (advice.why, *advice.calls))


def phase_table(diagram: PhaseDiagram, name: str) -> Table:
    """Return the depth scales of a phase diagram at up to 6 x 8 of its points."""
    rows_at = np.unique(np.linspace(0, len(diagram.sigma_b) - 1, 6).round().astype(int))
    at = np.unique(np.linspace(0, len(diagram.sigma_w) - 1, 8).round().astype(int))
    columns = ("sigma_b | sigma_w", *(f"{w:.2f}" for w in diagram.sigma_w[at]))
    rows = tuple(
        (f"{diagram.sigma_b[i]:.2f}", *(_layers(diagram.xi_c[i, j]) for j in at))
        for i in rows_at[::-1]
    )
    title = f"{name}: depth scale of correlations, in layers, by theory"
    return Table(title, columns, rows, ("A dash: signals die out or blow up.",))


def _layers(scale: Any) -> str:
    if np.isnan(scale):
        return "-"
    return "inf" if np.isinf(scale) else f"{scale:.3g}"


def print_table(table: Table, *, plain: bool = False) -> None:
    """Print the table to standard output, with rich where that is installed."""
    if plain or not has("rich"):
        print(as_text(table))  # noqa: T201
        return
    console = need("rich.console", "the table").Console()
    lines = need("rich.box", "the table").SIMPLE_HEAD
    shown = need("rich.table", "the table").Table(
        title=table.title, title_justify="left", box=lines, pad_edge=False
    )
    for number, column in enumerate(table.columns):
        shown.add_column(column, justify="left" if number == 0 else "right")
    for row in table.rows:
        shown.add_row(*row)
    console.print(shown)
    for note in table.notes:
        console.print(note, highlight=False)


def as_text(table: Table) -> str:
    """Return the table as plain text."""
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    text = [
        "  ".join(
            cell.ljust(width) for cell, width in zip(line, widths, strict=True)
        ).rstrip()
        for line in lines
    ]
    return "\n".join([table.title, text[0], "-" * len(text[0]), *text[1:], *table.notes])
