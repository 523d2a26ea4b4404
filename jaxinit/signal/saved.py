"""Several studies with one file: what is there is not run again."""

import inspect
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from jaxinit.signal.experiment import study
from jaxinit.signal.result import Result, load, to_json

Progress = Callable[[int, str, int], None]
"""Called with the number of a study, its label and its seeds done so far."""

_PAUSE = 5.0  # seconds between writes of a running study


def run_studies(
    plans: Sequence[dict[str, Any]],
    path: pathlib.Path | None = None,
    progress: Progress | None = None,
) -> list[Result]:
    """Run studies, write each to the file as it grows, and go on from what is there.

    Args:
        plans: Arguments of :func:`jaxinit.signal.study`, one mapping a study.
        path: JSON file to go on from and to write; None for neither. Studies of other
            settings that it holds are dropped.
        progress: Called when there is something new.

    Returns:
        The results, one a plan.
    """
    before = load(path) if path is not None else []
    results: list[Result] = []
    written = time.monotonic()

    def save(now: list[Result]) -> None:
        if path is not None:
            part = path.with_name(path.name + ".part")
            part.write_text(to_json(now))
            part.replace(path)

    for number, plan in enumerate(plans):

        def grown(result: Result, number: int = number) -> None:
            nonlocal written
            if progress is not None:
                progress(number, result.label, result.seeds)
            if time.monotonic() - written > _PAUSE:
                save([*results, result, *before])
                written = time.monotonic()

        old = next((r for r in before if _same(r, plan)), None)
        result = study(**plan, resume=old, progress=grown)
        results.append(result)
        grown(result)
        save([*results, *before])
    save(results)
    return results


def _same(result: Result, plan: dict[str, Any]) -> bool:
    """Whether a result is of the settings that a plan asks for, but for the seeds."""
    defaults = {
        name: p.default
        for name, p in inspect.signature(study).parameters.items()
        if name not in ("seeds", "resume", "progress")
    }
    wanted = {k: v for k, v in {**defaults, **plan}.items() if k in defaults}
    return all(result.settings.get(name) == value for name, value in wanted.items())
