"""Paired timing: both sides in one process, in turns, so that noise hits them alike.

A ratio is always theirs over ours: above 1 means that jaxinit is better. It is the median
of the ratios of neighbouring runs, not the ratio of two medians, since a shared machine
changes its speed by the minute.
"""

import math
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import jax


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        name: What was measured, with dtype and size.
        ours: The figure of jaxinit, in ``unit``.
        unit: ``"s"``, ``"bytes"``, or whatever ``ours`` and ``theirs`` are in.
        against: What it is compared with; empty where nothing is.
        theirs: The figure of ``against``.
        ratio: ``theirs / ours``, so that more is better.
        quartiles: Lower and upper quartile of the ratio over the pairs.
        cpu_ratio: The median ratio of CPU times, which other programs disturb less.
        goal: The least ratio (or, with nothing to compare, the largest ``ours``) wanted.
        note: What one must know to read the figure.
    """

    name: str
    ours: float
    unit: str = "s"
    against: str = ""
    theirs: float | None = None
    ratio: float | None = None
    quartiles: tuple[float, float] | None = None
    cpu_ratio: float | None = None
    goal: float | None = None
    note: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal is met; None where there is none."""
        if self.goal is None:
            return None
        return self.ours <= self.goal if self.ratio is None else self.ratio >= self.goal

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain data, for one line of JSON."""
        return asdict(self) | {"reached": self.reached}


def seconds(call: Callable[[], Any], calls: int = 1) -> float:
    """Return the time of one call, its result waited for."""
    return wall_and_cpu(call, calls)[0]


def wall_and_cpu(call: Callable[[], Any], calls: int = 1) -> tuple[float, float]:
    """Return the wall time and the CPU time of one call, its result waited for."""
    start, cpu = time.perf_counter(), time.process_time()
    for _ in range(calls):
        jax.block_until_ready(call())
    wall = (time.perf_counter() - start) / calls
    return wall, max((time.process_time() - cpu) / calls, 1e-9)


def paired(
    name: str,
    ours: Callable[[], Any],
    theirs: Callable[[], Any],
    *,
    against: str,
    pairs: int = 21,
    calls: int = 1,
    goal: float | None = None,
    note: str = "",
    samples: int = 0,
) -> Row:
    """Time two calls in turns, after two warm-up calls of each.

    Args:
        name: What is measured.
        ours: The call of jaxinit.
        theirs: The call to compare it with.
        against: Who ``theirs`` is.
        pairs: How many times both are run; who goes first alternates.
        calls: Calls in one timing, for calls too short for the clock.
        goal: The least ratio wanted.
        note: What one must know to read the figure.
        samples: Numbers drawn by one call, for a note of both rates.

    Returns:
        The medians of both sides, the median of the ratios, and its quartiles.
    """
    for call in (ours, theirs):
        seconds(call, 2)
    mine: list[tuple[float, float]] = []
    other: list[tuple[float, float]] = []
    for turn in range(pairs):
        sides = [(ours, mine), (theirs, other)]
        for call, into in sides if turn % 2 == 0 else reversed(sides):
            into.append(wall_and_cpu(call, calls))
    row = summary_with_cpu(name, mine, other, against=against, goal=goal, note=note)
    if not samples:
        return row
    rates = [samples / t / 1e6 for t in (row.ours, row.theirs or math.nan)]
    return replace(row, note=f"{rates[0]:.0f} against {rates[1]:.0f} M/s. {note}".strip())


def summary_with_cpu(
    name: str,
    ours: Sequence[tuple[float, float]],
    theirs: Sequence[tuple[float, float]],
    *,
    against: str,
    goal: float | None = None,
    note: str = "",
) -> Row:
    """Return the row of paired wall and CPU seconds."""
    wall, cpu = (
        summary(
            name,
            [one[i] for one in ours],
            [one[i] for one in theirs],
            against=against,
            goal=goal,
            note=note,
        )
        for i in (0, 1)
    )
    return replace(wall, cpu_ratio=cpu.ratio)


def summary(
    name: str,
    ours: Sequence[float],
    theirs: Sequence[float],
    *,
    against: str,
    unit: str = "s",
    goal: float | None = None,
    note: str = "",
) -> Row:
    """Return the row of paired figures measured elsewhere, e.g. in fresh processes."""
    ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
    low, middle, high = _quartiles(ratios)
    return Row(
        name=name,
        ours=statistics.median(ours),
        unit=unit,
        against=against,
        theirs=statistics.median(theirs),
        ratio=middle,
        quartiles=(low, high),
        goal=goal,
        note=note,
    )


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def fresh_process(code: str) -> list[float]:
    """Return the numbers that a program prints at last, run in a Python of its own.

    What JAX compiled before is not at hand there, be it in a persistent cache.
    """
    cold = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=cold
    )
    return [float(word) for word in done.stdout.splitlines()[-1].split()]
