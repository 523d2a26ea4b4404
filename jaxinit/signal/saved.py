"""Several studies with one file: what is there is not run again."""

import pathlib
import time
from collections.abc import Callable, Sequence

from jaxinit.signal.experiment import Study, differences, job_of
from jaxinit.signal.gangs import run
from jaxinit.signal.result import Result, load, to_json

Progress = Callable[[int, str, int], None]
"""Called with the number of a study, its label and its seeds done so far."""

_PAUSE = 5.0  # seconds between writes of a running study


def run_studies(
    studies: Sequence[Study],
    path: pathlib.Path | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """Run studies, write each to the file as it grows, and go on from what is there.

    Studies of the same law, sizes and seeds are compared on the same weights, scaled, and
    draw them once for all; so ten gains cost little more than one. Their numbers agree
    with those of each study alone up to rounding.

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
    before = load(path) if path is not None else []
    jobs = [job_of(one) for one in studies]
    for i, job in enumerate(jobs):
        old = next((r for r in before if not differences(job.done, r)), None)
        jobs[i] = job._replace(done=old or job.done)
    results = [job.done for job in jobs]
    written = time.monotonic()

    def save(now: list[Result]) -> None:
        if path is not None:
            part = path.with_name(path.name + ".part")
            part.write_text(to_json([result for result in now if result.values]))
            part.replace(path)

    def grown(number: int, result: Result) -> None:
        nonlocal written
        results[number] = result
        if progress is not None:
            progress(number, result.label, result.seeds)
        if time.monotonic() - written > _PAUSE:
            save(results)
            written = time.monotonic()

    try:
        results = run(jobs, grown)
    finally:
        save(results)
    return results
