"""Tables of studies: rows as data, and as text."""

import math
import re
import shutil
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxinit.signal.studies.bands import Band, Banded, Measured

LOST = 3.0
"""Powers of ten from 1 at which a signal counts as vanished or exploded."""

_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


class Table(NamedTuple):
    """A heading, sentences, columns of cells, sentences below, and Python.

    Attributes:
        title: What the table is about.
        columns: Names of the columns.
        rows: The cells.
        notes: Sentences below the table.
        verdicts: Sentences above it.
        code: Lines of Python, printed as they are.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    notes: tuple[str, ...] = ()
    verdicts: tuple[str, ...] = ()
    code: tuple[str, ...] = ()

    def __str__(self) -> str:
        return as_text(self)


def as_text(table: Table, *, width: int = 80, colour: bool = False) -> str:
    """Return the table as text.

    Args:
        table: The table.
        width: Columns of the screen, at which sentences are wrapped.
        colour: Whether to mark the title and the heads for a terminal.
    """
    bold, dim, end = (_BOLD, _DIM, _PLAIN) if colour else ("", "", "")
    lines = [table.columns, *table.rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(table.columns))]
    text = []
    for line in lines:
        first, *others = zip(line, widths, strict=True)
        cells = [first[0].ljust(first[1])]
        cells += [cell.rjust(n) for cell, n in others]
        text.append("  ".join(cells).rstrip())
    rule = "-" * max(map(len, text))
    parts = [f"{bold}{table.title}{end}"]
    parts += [textwrap.fill(note, width) for note in table.verdicts]
    parts += [f"{dim}{text[0]}{end}", rule, *text[1:]]
    parts += [textwrap.fill(note, width) for note in table.notes]
    if table.code:
        parts += ["", *table.code]
    return "\n".join(parts)


def print_table(table: Table, *, colour: bool = False) -> None:
    """Print the table to standard output."""
    width = min(shutil.get_terminal_size((80, 24)).columns, 100)
    print(as_text(table, width=width, colour=colour))  # noqa: T201


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
    return _range(float(band.low[layer]), float(band.high[layer]))


def _range(low: float, high: float) -> str:
    first, last = power(low), power(high)
    return first if first == last else f"{first} to {last}"


def verdict(forward: np.ndarray, backward: np.ndarray) -> str:
    """Return in words what happens to the signal and to the gradient."""
    return f"signal {_fate(forward)}, gradient {_fate(backward[::-1])}"


def _fate(log10: np.ndarray) -> str:
    layers = lasts(log10)
    if layers is None:
        return "stable"
    word = "explodes" if log10[layers] > LOST else "vanishes"
    return f"{word} after {layers} layers"


def lasts(log10: np.ndarray) -> int | None:
    """Return how many layers a signal stays within a factor of 1000 of 1; None for all."""
    lost = np.nonzero(~(np.abs(log10) <= LOST))[0]
    return int(lost[0]) if lost.size else None


def study_table(results: Sequence[Measured], predictions: Sequence[Banded | None]) -> Table:
    """Return the table of several studies of one depth.

    Args:
        results: What was measured.
        predictions: What theory says of each, or None; its row follows that of the study.

    Returns:
        Standard deviations at some layers, the last with its band over seeds, and the
        gradient at the input; above, a sentence for each study.
    """
    settings = results[0].settings
    depth = settings["depth"]
    shown = sorted({max(1, depth // 10), max(1, depth // 2)} - {depth})
    last, edges = f"{depth}", f"{depth}: 5-95 %"
    columns = ("std at layer", *map(str, shown), last, edges, "gradient at 0")
    rows, verdicts = [], []
    for result, prediction in zip(results, predictions, strict=True):
        rows.append((result.label, *_cells(result, shown, depth)))
        if prediction is not None:
            rows.append(("  theory", *_cells(prediction, shown, depth)))
        forward, backward = result.band("log10_std"), result.band("log10_grad")
        what = verdict(forward.median, backward.median)
        verdicts.append(f"{result.label}: {what}.")
    title = f"{headline(settings)}: medians of {results[0].seeds} seeds"
    return Table(title, columns, tuple(rows), verdicts=tuple(verdicts))


def headline(settings: Mapping[str, object]) -> str:
    """Return what kind of networks a result is about."""
    kind, depth, width, dtype = (settings[n] for n in ("kind", "depth", "width", "dtype"))
    return f"{str(kind).capitalize()} networks of {depth} layers, width {width}, {dtype}"


def _cells(of: Banded, shown: list[int], depth: int) -> list[str]:
    forward, backward = of.band("log10_std"), of.band("log10_grad")
    medians = [power(float(forward.median[n])) for n in (*shown, depth)]
    return [*medians, power_range(forward, depth), power(float(backward.median[0]))]


def model_table(result: Measured, *, every: bool = False) -> Table:
    """Return the table of a user's model: what it does at each weight, in order of use.

    Args:
        result: What :func:`jaxinit.signal.study_model` measured.
        every: Whether each use of a weight has its row; else those whose paths differ by
            one number (``Block_0/...``, ``Block_1/...``) share one, with their range.

    Returns:
        Moments of what each product gives, and the gradient with respect to it; above, a
        sentence on all, below, the remarks.
    """
    forward, backward = result.band("log10_std"), result.band("log10_grad")
    names = result.settings["weights"]
    groups: dict[str, list[int]] = {}
    for number, path in enumerate(names):
        groups.setdefault(path if every else _pattern(path), []).append(number)
    rows = []
    for pattern, at in groups.items():
        name = names[at[0]] if len(at) == 1 else f"{pattern} ({len(at)})"
        medians = [
            (np.min(v), np.max(v)) for v in (forward.median[at], backward.median[at])
        ]
        edges = (
            (np.min(band.low[at]), np.max(band.high[at])) for band in (forward, backward)
        )
        std, gradient = (_range(float(a), float(b)) for a, b in medians)
        std_edges, gradient_edges = (_range(float(a), float(b)) for a, b in edges)
        rows.append((name, std, std_edges, gradient, gradient_edges))
    columns = ("output of", "std", "5-95 %", "gradient", "5-95 %")
    there = _where_lost(forward.median, names)
    back = _where_lost(backward.median[::-1], names[::-1])
    verdicts = (f"Signal {there}, gradient {back}.",)
    title = f"{result.label}: medians of {result.seeds} seeds"
    notes = tuple(result.settings["remarks"])
    return Table(title, columns, tuple(rows), notes, verdicts)


def _pattern(path: str) -> str:
    """Return a path with a star for its first number."""
    return re.sub(r"\d+", "*", path, count=1)


def _where_lost(log10: np.ndarray, names: Sequence[str]) -> str:
    """Return in words at which weights, in this order, a signal has gone or blown up."""
    found = []
    for word, is_lost in (
        ("vanishes", log10 < -LOST),
        ("explodes", log10 > LOST),
        ("is not a number", np.isnan(log10)),
    ):
        at = np.nonzero(is_lost)[0]
        if at.size:
            more = f" and {at.size - 1} more" if at.size > 1 else ""
            found.append(f"{word} at {names[at[0]]}{more}")
    return " and ".join(found) or "stable"
