"""Several studies with one file: what is there is not run again."""

import functools
import pathlib
import time
from collections.abc import Callable, Sequence

from jaxinit._boundary import boundary
from jaxinit.signal.studies.batched_runs import run
from jaxinit.signal.studies.model_study import ModelStudy
from jaxinit.signal.studies.result import Result, load, to_json
from jaxinit.signal.studies.study import Study, differences, job_of

Progress = Callable[[int, str, int], None]
"""Called with the number of a study, its label and its seeds done so far."""

Grown = Callable[[int, Result], None]
"""Called with the number of a study and its result so far."""

_PAUSE = 5.0  # seconds between writes of a running study, or
_PATIENCE = 20  # as many times as long as a write takes, if that is more


@boundary
def run_studies(
    studies: Sequence[Study],
    path: pathlib.Path | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """Run studies, write each to the file as it grows, and go on from what is there.

    Studies of the same distribution, sizes and seeds are compared on the same weights,
    scaled, and draw them once for all; so ten gains cost little more than one. Their
    numbers agree with those of each study alone up to rounding.

    Args:
        studies: What to measure.
        path: JSON file to go on from and to write; None for neither. Studies of other
            settings that it holds are dropped.
        progress: Called when there is something new.

    Returns:
        The results, one a study.

    Raises:
        ValueError: A study is out of range, or the file holds something else.
        TypeError: An attribute of a study is of the wrong kind.

    Example:
        >>> from jaxinit.signal import Study, run_studies
        >>> names = ("xavier_uniform", "unit_uniform")
        >>> kept, lost = run_studies([Study("tanh", n, 30, 64, seeds=2) for n in names])
        >>> bool(kept.band("log10_std").median[-1] > lost.band("log10_std").median[-1] + 5)
        True
    """
    jobs = [job_of(one) for one in studies]

    def missing(there: Sequence[Result], grown: Grown) -> list[Result]:
        pairs = zip(jobs, there, strict=True)
        return run([job._replace(done=done) for job, done in pairs], grown)

    return _go_on([job.done for job in jobs], missing, path, progress)


def run_models(
    studies: Sequence[ModelStudy],
    path: pathlib.Path | None = None,
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

    return _go_on([one.start for one in studies], missing, path, progress)


def _go_on(
    fresh: Sequence[Result],
    missing: Callable[[Sequence[Result], Grown], list[Result]],
    path: pathlib.Path | None,
    progress: Progress | None,
) -> list[Result]:
    """Find in the file what is there of fresh results, run what is missing, and write."""
    before = load(path) if path is not None else []
    results = [
        next((old for old in before if not differences(one, old)), one) for one in fresh
    ]
    due = time.monotonic() + _PAUSE

    def save(now: list[Result]) -> None:
        if path is not None:
            part = path.with_name(path.name + ".part")
            part.write_text(to_json([result for result in now if result.values]))
            part.replace(path)

    def grown(number: int, result: Result) -> None:
        nonlocal due
        results[number] = result
        if progress is not None:
            progress(number, result.label, result.seeds)
        start = time.monotonic()
        if start > due:
            save(results)
            end = time.monotonic()
            due = end + max(_PAUSE, _PATIENCE * (end - start))

    try:
        results = missing(tuple(results), grown)
    finally:
        save(results)
    return results
