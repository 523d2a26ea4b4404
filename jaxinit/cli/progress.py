"""How far a study is: a line that moves on a terminal, a line now and then elsewhere."""

import contextlib
import sys
import time
from collections.abc import Iterator

from jaxinit.signal.studies.resume import Progress

_PAUSE = 10.0  # seconds between lines where there is no terminal
_BLINK = 0.1  # and on a terminal
_WIDTH = 78


@contextlib.contextmanager
def progress(studies: int, seeds: int, *, terminal: bool) -> Iterator[Progress]:
    """Give a function that shows on standard error how far several studies are.

    Args:
        studies: How many there are.
        seeds: How many seeds each is to have.
        terminal: Whether one line may be written again and again.
    """
    start = time.monotonic()
    due = start + (0 if terminal else _PAUSE)
    finished = [0] * studies
    line = f"0 of {studies * seeds} seeds: compiling"
    if terminal:
        print(line, end="", file=sys.stderr, flush=True)

    def show(number: int, label: str, done: int) -> None:
        nonlocal due, line
        finished[number] = min(done, seeds)
        now = time.monotonic()
        if now < due:
            return
        due = now + (_BLINK if terminal else _PAUSE)
        before = len(line)
        done = sum(finished)
        line = f"{done} of {studies * seeds} seeds, {now - start:.0f} s: {label}"[:_WIDTH]
        if terminal:
            line_end = " " * max(before - len(line), 0)
            print(f"\r{line}{line_end}", end="", file=sys.stderr, flush=True)
        else:
            print(f"jaxinit: {line}", file=sys.stderr, flush=True)

    try:
        yield show
    finally:
        if terminal:
            print(f"\r{' ' * len(line)}\r", end="", file=sys.stderr, flush=True)
