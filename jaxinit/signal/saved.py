"""Several studies with one file: what is there is not run again."""

import functools
import inspect
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from jaxinit.signal.experiment import study
from jaxinit.signal.result import Result, load, to_json

Progress = Callable[[int, str, int], None]
"""Called with the number of a study, its label and its seeds done so far."""

_PAUSE = 5.0  # seconds between writes of a running study


class Job(NamedTuple):
    """One study to run.

    Attributes:
        settings: Those that a result must have to be gone on with.
        run: Runs it, with ``resume`` and ``progress`` as in :func:`jaxinit.signal.study`.
    """

    settings: Mapping[str, Any]
    run: Callable[..., Result]


def run_studies(
    plans: Sequence[dict[str, Any]],
    path: pathlib.Path | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """Run studies by their arguments, as :func:`run_jobs` does.

    Args:
        plans: Arguments of :func:`jaxinit.signal.study`, one mapping a study.
        path: JSON file to go on from and to write; None for neither.
        progress: Called when there is something new.

    Returns:
        The results, one a plan.
    """
    jobs = [Job(_settings(plan), functools.partial(study, **plan)) for plan in plans]
    return run_jobs(jobs, path, progress)


def run_jobs(
    jobs: Sequence[Job],
    path: pathlib.Path | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """Run studies, write each to the file as it grows, and go on from what is there.

    Args:
        jobs: The studies.
        path: JSON file to go on from and to write; None for neither. Studies of other
            settings that it holds are dropped.
        progress: Called when there is something new.

    Returns:
        The results, one a job.
    """
    before = load(path) if path is not None else []
    results: list[Result] = []
    written = time.monotonic()

    def save(now: list[Result]) -> None:
        if path is not None:
            part = path.with_name(path.name + ".part")
            part.write_text(to_json(now))
            part.replace(path)

    for number, job in enumerate(jobs):

        def grown(result: Result, number: int = number) -> None:
            nonlocal written
            if progress is not None:
                progress(number, result.label, result.seeds)
            if time.monotonic() - written > _PAUSE:
                save([*results, result, *before])
                written = time.monotonic()

        old = next((r for r in before if _has(r, job.settings)), None)
        result = job.run(resume=old, progress=grown)
        results.append(result)
        grown(result)
        save([*results, *before])
    save(results)
    return results


def _has(result: Result, settings: Mapping[str, Any]) -> bool:
    return all(result.settings.get(name) == value for name, value in settings.items())


def _settings(plan: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that a plan asks for; the seeds are none of them."""
    defaults = {
        name: p.default
        for name, p in inspect.signature(study).parameters.items()
        if name not in ("seeds", "resume", "progress")
    }
    return {k: v for k, v in {**defaults, **plan}.items() if k in defaults}
