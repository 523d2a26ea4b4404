"""Run the benchmarks: ``python -m benchmarks [--quick] [--json FILE] [names]``."""

import argparse
import importlib
import json
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

import jaxinit
from benchmarks._timing import Row
from jaxinit.cli.commands import cores

NAMES = ("draw", "device", "start", "orthogonal", "models", "replay", "signal", "training")
"""Each is a module ``bench_<name>.py`` with ``run(quick) -> Iterator[Row]``."""

_WIDTHS = (74, 38)


def main(arguments: Sequence[str]) -> None:
    """Parse the command line, run the benchmarks, print the table and the JSON lines."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(NAMES)}; default all")
    parser.add_argument("--quick", action="store_true", help="small sizes, few repetitions")
    parser.add_argument("--json", type=Path, help="write the JSON lines to this file")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in NAMES]
    if unknown:
        parser.error(f"no benchmark {unknown[0]!r}; choose from {', '.join(NAMES)}")

    about = describe(options.quick)
    print("  ".join(f"{key}: {value}" for key, value in about.items()))
    lines = [json.dumps(about)]
    for name in options.names or NAMES:
        print(f"\n{_header(name)}")
        for row in importlib.import_module(f"benchmarks.bench_{name}").run(options.quick):
            print(_formatted(row), flush=True)
            lines.append(json.dumps({"benchmark": name} | row.as_dict()))
    text = "\n".join(lines) + "\n"
    if options.json:
        options.json.write_text(text)
    else:
        print(f"\n{text}", end="")


def describe(quick: bool) -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "jaxinit": jaxinit.__version__,
        "jax": jax.__version__,
        "device": jax.devices()[0].device_kind,
        "cores": cores(),
        "python": platform.python_version(),
        "quick": quick,
    }


def _header(name: str) -> str:
    left, middle = _WIDTHS
    return (
        f"{name:<{left}} {'jaxinit':>11}  {'against':<{middle}} {'':>11} {'ratio':>7}"
        f" {'(quartiles)':>15} {'of CPU':>7}  goal"
    )


def _formatted(row: Row) -> str:
    left, middle = _WIDTHS
    ratio = "" if row.ratio is None else f"{row.ratio:.2f}x"
    spread = "" if row.quartiles is None else "({:.2f}, {:.2f})".format(*row.quartiles)
    cpu = "" if row.cpu_ratio is None else f"{row.cpu_ratio:.2f}x"
    mark = {None: "", True: "reached", False: "MISSED"}[row.reached]
    goal = "" if row.goal is None else f"{row.goal:g} {mark}"
    return (
        f"{row.name:<{left}} {_figure(row.ours, row.unit):>11}  {row.against:<{middle}}"
        f" {_figure(row.theirs, row.unit):>11} {ratio:>7} {spread:>15} {cpu:>7}  {goal:<12}"
        f" {row.note}"
    ).rstrip()


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    if unit == "bytes":
        return f"{value:.0f} B" if value < 2**20 else f"{value / 2**20:.0f} MiB"
    if unit != "s":
        return f"{value:.3g} {unit}".strip()
    if value >= 1:
        return f"{value:.3g} s"
    return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} us"


if __name__ == "__main__":
    main(sys.argv[1:])
