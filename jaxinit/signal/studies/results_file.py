"""The file of results: JSON that holds many studies and phase diagrams, and merges."""

import dataclasses
import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import value_error
from jaxinit.signal.report.files import write_file
from jaxinit.signal.studies.result import Result
from jaxinit.signal.theory.phase import PhaseDiagram

FORMAT = 2
"""Version of the JSON form."""

_NUMBERS = {"inf": math.inf, "-inf": -math.inf}


class Results(NamedTuple):
    """What a file holds.

    Attributes:
        studies: Results, each of its own settings.
        diagrams: Phase diagrams as plain data.
    """

    studies: tuple[Result, ...] = ()
    diagrams: tuple[dict[str, Any], ...] = ()


def differences(fresh: Result, old: Result) -> list[str]:
    """Return the names of the settings in which an old result differs."""
    names = [*fresh.settings, *(k for k in old.settings if k not in fresh.settings)]
    return [k for k in names if old.settings.get(k) != fresh.settings.get(k)]


@boundary
def to_json(results: Sequence[Result]) -> str:
    """Return the results as JSON text of a row a line.

    NaN is ``null``; infinities, which JSON lacks, are the strings "inf" and "-inf".
    """
    return _to_text(Results(tuple(results)))


@boundary
def from_json(text: str) -> list[Result]:
    """Return the results of a text that :func:`to_json` or ``jaxinit study`` made.

    Args:
        text: The JSON text.

    Returns:
        The results.

    Raises:
        ValueError: The text is not of that form.
    """
    try:
        return list(_from_text(text).studies)
    except _ForeignError as error:
        advice = "Write one with to_json."
        value_error("the text must be results of jaxinit", f"{error}", advice)


def load(path: pathlib.Path) -> Results:
    """Return what a file holds, nothing if there is no such file.

    Args:
        path: The file.

    Returns:
        Its studies and phase diagrams.

    Raises:
        ValueError: The file is something else, or cut short.
    """
    if not path.exists():
        return Results()
    try:
        return _from_text(path.read_bytes().decode())
    except UnicodeDecodeError:
        _refuse_file(path, "binary data")
    except _ForeignError as error:
        _refuse_file(path, f"{error}")


def merge(path: pathlib.Path, fresh: Results, *, replace: bool = False) -> None:
    """Write what is new into a file, beside what it holds.

    Args:
        path: The file; made if it is not there.
        fresh: What is new. Of a study with the settings of one that is there, the one of
            more seeds stays.
        replace: Whether the new one stays in any case.

    Raises:
        ValueError: The file is something else, or cut short.
    """
    held = load(path)
    studies = list(held.studies)
    for new in fresh.studies:
        same = [i for i, old in enumerate(studies) if not differences(new, old)]
        if not same:
            studies.append(new)
        elif replace or new.seeds >= studies[same[0]].seeds:
            studies[same[0]] = new
    key = ("activation", "sigma_w", "sigma_b")
    fresh_keys = [[new[k] for k in key] for new in fresh.diagrams]
    diagrams = [old for old in held.diagrams if [old[k] for k in key] not in fresh_keys]
    text = _to_text(Results(tuple(studies), (*diagrams, *fresh.diagrams)))
    write_file(path, text.encode())


class _ForeignError(ValueError):
    """A text is not ours."""


def _refuse_file(path: pathlib.Path, got: str) -> NoReturn:
    rule = f"{path} must be a results file of jaxinit"
    advice = "Move it away, name another file, or replace it with overwrite (--overwrite)."
    value_error(rule, got, advice)


def _to_text(held: Results) -> str:
    studies = [
        {
            "label": r.label,
            "settings": dict(r.settings),
            "runs": [dict(one) for one in r.runs],
            "values": {q: plain(v) for q, v in r.values.items()},
        }
        for r in held.studies
    ]
    whole: dict[str, Any] = {"format": FORMAT, "results": studies}
    if held.diagrams:
        whole["phase_diagrams"] = list(held.diagrams)
    return _lines(whole) + "\n"


def _lines(value: Any, indent: str = "") -> str:
    """Return JSON with an entry a line, and a list of plain values on one line."""
    deeper = indent + " "
    if isinstance(value, dict) and value:
        entries = [f"{json.dumps(k)}: {_lines(v, deeper)}" for k, v in value.items()]
        marks = "{}"
    elif isinstance(value, list) and any(isinstance(v, (dict, list)) for v in value):
        entries, marks = [_lines(v, deeper) for v in value], "[]"
    else:
        return json.dumps(value, allow_nan=False)
    body = f",\n{deeper}".join(entries)
    return f"{marks[0]}\n{deeper}{body}\n{indent}{marks[1]}"


def diagram_as_data(diagram: PhaseDiagram, name: str) -> dict[str, Any]:
    """Return the phase diagram of an activation as plain data for a file."""
    columns = diagram._asdict()
    edge_w, edge_b = columns.pop("edge")
    found = {key: plain(values) for key, values in columns.items()}
    edge = {"sigma_w": plain(edge_w), "sigma_b": plain(edge_b)}
    return {"activation": name, **found, "edge": edge}


def plain(values: np.ndarray) -> list[Any]:
    """Return an array as lists of numbers that JSON has."""
    if values.ndim > 1:
        return [plain(row) for row in values]
    return [
        float(f"{v:.7g}") if math.isfinite(v) else None if math.isnan(v) else str(v)
        for v in values.tolist()
    ]


def _from_text(text: str) -> Results:
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        cut = error.pos >= len(text.rstrip()) > 0 and text.lstrip()[:1] == "{"
        got = "one that is cut short" if cut or "Unterminated" in error.msg else None
        raise _ForeignError(got or repr(text[:40])) from None
    except RecursionError:
        raise _ForeignError(repr(text[:40])) from None
    if not isinstance(found, dict) or "format" not in found:
        raise _ForeignError(repr(text[:40]))
    if found["format"] != FORMAT:
        got = f"format {found['format']!r} (this version of jaxinit reads {FORMAT})"
        raise _ForeignError(got)
    try:
        studies = tuple(_result(entry) for entry in found["results"])
        diagrams = tuple(found.get("phase_diagrams", ()))
        for one in diagrams:
            _ = one["activation"], one["sigma_w"], one["sigma_b"]
    except (ValueError, KeyError, TypeError, AttributeError):
        got = "JSON of which an entry is missing or of another kind"
        raise _ForeignError(got) from None
    return Results(studies, diagrams)


def _result(entry: dict[str, Any]) -> Result:
    values = {
        q: np.array([[_number(x) for x in row] for row in rows])
        for q, rows in entry["values"].items()
    }
    shapes = {v.shape for v in values.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise ValueError
    runs = tuple(dict(one) for one in entry["runs"])
    return Result(str(entry["label"]), dict(entry["settings"]), values, runs)


def _number(value: Any) -> float:
    if value is None:
        return math.nan
    return _NUMBERS[value] if isinstance(value, str) else float(value)


def with_run(result: Result, before: Result, origin: dict[str, Any]) -> Result:
    """Return a result that names the run which measured what was not there before."""
    if result.seeds == before.seeds:
        return result
    run = {"seeds": f"{before.seeds} to {result.seeds - 1}", **origin}
    return dataclasses.replace(result, runs=(*before.runs, run))
