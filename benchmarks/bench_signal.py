"""The study: its cold time, against a loop in PyTorch, over seeds, and theory alone."""

import functools
import itertools
import math
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import jax
import numpy as np

from benchmarks._timing import Row, fresh_process, summary_with_cpu, wall_and_cpu
from jaxinit.cli.commands import cores
from jaxinit.signal import Study, mean_field, phase_diagram, run_studies

_MEMORY = """
import resource
from jaxinit.signal import study
study("tanh", "xavier_uniform", depth=10, width=64, seeds={})
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def run(quick: bool) -> Iterator[Row]:
    """Yield the figures of the study and of theory."""
    depth, width, seeds = (10, 64, 4) if quick else (100, 512, 32)
    size = ["--depth", str(depth), "--width", str(width), "--seeds", str(seeds)]
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "jaxinit", "study", "--plain", *size]
        start, before = time.perf_counter(), _children()
        subprocess.run(
            [*command, "--out", f"{folder}/a.png"], check=True, capture_output=True
        )
        cold = time.perf_counter() - start
        note = f"4 schemes, with start and compilation; {_children() - before:.1f} s of CPU"
        yield Row("default study, cold", cold, goal=25, note=note)
    # In a process of its own, to have a device for each core, as the command has.
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        size = (depth, width, 2 if quick else 32)
        yield from pool.submit(_against_torch, *size).result()
    yield from _over_seeds(depth if quick else 50, width // 2, 8 if quick else 256)
    start = time.perf_counter()
    mean_field("mish", 1.3, 0.2)
    yield Row("theory of one activation, cold", time.perf_counter() - start, goal=1)
    start = time.perf_counter()
    across, up = (3, 2) if quick else (30, 20)
    phase_diagram("atan", np.linspace(0.5, 3, across), np.linspace(0, 1, up))
    yield Row(
        f"phase diagram of {across} x {up}, cold", time.perf_counter() - start, goal=10
    )
    counts = (1, 8) if quick else (1, 1000)
    peak = [fresh_process(_MEMORY.format(n))[0] * 1024 for n in counts]
    note = f"of the process; {peak[0] / 2**20:.0f} MiB for one seed"
    name = f"peak memory at {counts[1]} seeds"
    yield Row(name, peak[1], "bytes", goal=2**31, note=note)


def _children() -> float:
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


_DEFAULT = (
    ("tanh", "unit_uniform"),
    ("tanh", "xavier_uniform"),
    ("relu", "xavier_uniform"),
    ("relu", "kaiming_normal"),
)
"""The networks of ``jaxinit study``."""


def _timed(
    pairs: Sequence[tuple[str, str]], depth: int, width: int, seeds: int
) -> tuple[float, float]:
    """Return wall and CPU seconds of studies, whose program may be compiled already."""
    asked = [Study(*pair, depth, width, seeds, seed=1) for pair in pairs]
    return wall_and_cpu(lambda: run_studies(asked) and None)


def _against_torch(depth: int, width: int, seeds: int) -> list[Row]:
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return []
    jax.config.update("jax_num_cpu_devices", cores())
    root = math.sqrt(width)
    draws: dict[str, Callable[[Any], Any]] = {
        "unit_uniform": lambda w: torch.nn.init.uniform_(w, -1 / root, 1 / root),
        "xavier_uniform": torch.nn.init.xavier_uniform_,
        "kaiming_normal": lambda w: torch.nn.init.kaiming_normal_(w, nonlinearity="relu"),
    }

    def loop(pairs: Sequence[tuple[str, str]]) -> None:
        """Schemes and seeds one by one: draw, forward with moments, backward with norms."""
        found = []
        for (name, init), seed in itertools.product(pairs, range(seeds)):
            torch.manual_seed(seed)
            x = torch.randn(1, width, requires_grad=True)
            outs = [x]
            for _ in range(depth):
                w = torch.empty(width, width)
                draws[init](w)
                outs.append(getattr(torch, name)(outs[-1] @ w.T))
                outs[-1].retain_grad()
            outs[-1].backward(torch.randn(1, width))
            found.append([_moments(out) for out in outs])

    rows: list[Row] = []
    for about, pairs in (("default study", _DEFAULT), ("its last network", _DEFAULT[3:])):
        _timed(pairs, depth, width, seeds)
        ours, theirs = [], []
        for _ in range(3):
            ours.append(_timed(pairs, depth, width, seeds))
            theirs.append(wall_and_cpu(functools.partial(loop, pairs)))
        row = summary_with_cpu(
            f"{about}, {seeds} seeds, {depth} x {width}, warm",
            ours,
            theirs,
            against="a loop in PyTorch",
            goal=3.5 if len(pairs) > 1 else 1.6,
            note=f"{jax.local_device_count()} devices, {torch.get_num_threads()} threads",
        )
        rows.append(row)
    return rows


def _moments(out: Any) -> tuple[Any, ...]:
    """Return in PyTorch what a study measures of a layer."""
    value, slope = out.detach(), out.grad
    mean = value.mean()
    centred = value - mean
    square = centred.square().mean()
    return (
        mean,
        square.sqrt().log10(),
        value.square().mean().sqrt().log10(),
        centred.pow(4).mean() / square.square(),
        (value > 0).float().mean(),
        slope.square().mean().sqrt().log10(),
    )


def _over_seeds(depth: int, width: int, seeds: int) -> Iterator[Row]:
    pairs = _DEFAULT[3:]
    for count in (1, seeds):
        _timed(pairs, depth, width, count)
    one = [_timed(pairs, depth, width, 1) for _ in range(5)]
    many = _timed(pairs, depth, width, seeds)
    each = many[0] / seeds
    yield Row(
        f"time a seed, {seeds} seeds, {depth} x {width}",
        each,
        against="one seed alone",
        theirs=float(np.median([o[0] for o in one])),
        ratio=float(np.median([o[0] for o in one])) / each,
        cpu_ratio=float(np.median([o[1] for o in one])) / max(many[1] / seeds, 1e-9),
        goal=2,
        note="" if math.isfinite(each) else "no time",
    )
