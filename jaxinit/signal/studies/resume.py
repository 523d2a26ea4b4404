"""Several studies with one file: what is there is not run again, and nothing is lost."""

import datetime
import functools
import os
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax

from jaxinit._boundary import boundary
from jaxinit._checks import type_error
from jaxinit._version import __version__
from jaxinit.signal.studies.batched_runs import run
from jaxinit.signal.studies.conditions import KEY_KIND
from jaxinit.signal.studies.model_study import ModelStudy
from jaxinit.signal.studies.result import Result
from jaxinit.signal.studies.results_file import (
    Results,
    differences,
    load,
    merge,
    with_run,
)
from jaxinit.signal.studies.study import Study, job_of

Progress = Callable[[int, str, int], None]
"""Called with the number of a study, its label and its seeds done so far."""

Grown = Callable[[int, Result], None]
"""Called with the number of a study and its result so far."""

_PAUSE = 5.0  # seconds between writes of a running study, or
_PATIENCE = 20  # as many times as long as a write takes, if that is more


class File(NamedTuple):
    """A file of results, and how to use it.

    Attributes:
        path: JSON file to go on from and to write.
        fresh: Whether to run anew what it holds of the same settings.
        overwrite: Whether to replace the file, whatever it holds.
        command: What the file is to name as the command that wrote it.
    """

    path: pathlib.Path
    fresh: bool = False
    overwrite: bool = False
    command: str | None = None


@boundary
def run_studies(
    studies: Sequence[Study],
    path: str | os.PathLike[str] | File | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """Run studies, write each to the file as it grows, and go on from what is there.

    Studies of the same distribution, sizes and seeds are compared on the same weights,
    scaled, and draw them once for all; so ten gains cost little more than one. Their
    numbers agree with those of each study alone up to rounding.

    Args:
        studies: What to measure.
        path: JSON file to go on from and to write; None for neither. Other studies that
            it holds stay in it, and so do further seeds of these.
        progress: Called when there is something new.

    Returns:
        The results, one a study.

    Raises:
        ValueError: A study is out of range, or the file holds something else.
        TypeError: An attribute of a study is of the wrong kind.

    Example:
        >>> from jaxinit.signal import Study, run_studies
        >>> names = ("xavier_uniform", "unit_uniform")
        >>> good, bad = run_studies([Study("tanh", n, 30, 64, seeds=2) for n in names])
        >>> bool(good.band("log10_std").median[-1] > bad.band("log10_std").median[-1] + 5)
        True
    """
    for one in studies:
        if not isinstance(one, Study):
            rule = "studies must be a sequence of Study"
            type_error(rule, f"{one!r}", 'Write Study("tanh", "orthogonal").')
    jobs = [job_of(one) for one in studies]

    def missing(there: Sequence[Result], grown: Grown) -> list[Result]:
        pairs = zip(jobs, there, strict=True)
        return run([job._replace(done=done) for job, done in pairs], grown)

    found = _go_on([job.done for job in jobs], missing, path, progress)
    return [result.first(job.seeds) for job, result in zip(jobs, found, strict=True)]


def run_models(
    studies: Sequence[ModelStudy],
    path: str | os.PathLike[str] | File | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """Run studies of users' own models with a file, as :func:`run_studies` does.

    Args:
        studies: What :func:`jaxinit.signal.studies.model_study.prepare` made.
        path: JSON file to go on from and to write; None for neither.
        progress: Called when there is something new.

    Returns:
        The results, one a study.
    """

    def missing(there: Sequence[Result], grown: Grown) -> list[Result]:
        numbered = enumerate(zip(studies, there, strict=True))
        return [one.run(done, functools.partial(grown, i)) for i, (one, done) in numbered]

    found = _go_on([one.start for one in studies], missing, path, progress)
    return [result.first(one.seeds) for one, result in zip(studies, found, strict=True)]


def origin(command: str | None) -> dict[str, Any]:
    """Return what a file says of the run that wrote an entry."""
    now = datetime.datetime.now(datetime.UTC)
    return {
        "date": now.isoformat(timespec="seconds"),
        "jaxinit": __version__,
        "jax": jax.__version__,
        "device": jax.local_devices()[0].device_kind,
        "key": KEY_KIND,
        "command": command,
    }


def _go_on(
    empty: Sequence[Result],
    missing: Callable[[Sequence[Result], Grown], list[Result]],
    path: str | os.PathLike[str] | File | None,
    progress: Progress | None,
) -> list[Result]:
    """Find in the file what is there of empty results, run what is missing, and write."""
    if path is None:
        return missing(empty, lambda i, r: progress and progress(i, r.label, r.seeds))
    file = path if isinstance(path, File) else File(pathlib.Path(path))
    held = Results() if file.overwrite else load(file.path)
    before = list(empty)
    if not file.fresh:
        for i, one in enumerate(empty):
            same = (old for old in held.studies if not differences(one, old))
            before[i] = next(same, one)
    results = list(before)
    due = time.monotonic() + _PAUSE
    replaced = not file.overwrite

    def save(*, replace: bool = False) -> None:
        nonlocal replaced
        fresh = [
            with_run(now, old, origin(file.command))
            for now, old in zip(results, before, strict=True)
            if now.seeds > old.seeds
        ]
        if not fresh:
            return
        if not replaced:
            file.path.unlink(missing_ok=True)
            replaced = True
        merge(file.path, Results(tuple(fresh)), replace=replace)

    def grown(number: int, result: Result) -> None:
        nonlocal due
        results[number] = result
        if progress is not None:
            progress(number, result.label, result.seeds)
        start = time.monotonic()
        if start > due:
            save()
            end = time.monotonic()
            due = end + max(_PAUSE, _PATIENCE * (end - start))

    try:
        results = missing(before, grown)
    except BaseException:
        save()
        raise
    save(replace=file.fresh)
    return results
