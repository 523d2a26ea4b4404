"""The README's Python runs, from top to bottom, as a reader would paste it."""

import re
import subprocess
import sys
from pathlib import Path

import jaxinit

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def test_python_blocks_run() -> None:
    assert len(BLOCKS) >= 5
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(BLOCKS)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for shown in (
        "(3, 3, 64, 128) bfloat16 0.059",
        "Fans(fan_in=9, fan_out=9)",
        "1.6667 1.4142",
    ):
        assert shown in done.stdout


def test_names_in_tables_exist() -> None:
    here = [line.split("|")[2] for line in README.splitlines() if line.startswith("| `")]
    names = {name for cell in here for name in re.findall(r"`(\w+)", cell)}
    missing = [name for name in names if not hasattr(jaxinit, name.rstrip("_"))]
    assert not missing


def test_commands_are_those_that_ci_runs() -> None:
    ci = (Path(__file__).parent.parent / ".ci" / "run").read_text()
    assert "grep -E '^pip install .* && pytest' README.md" in ci
    assert len(re.findall(r"^pip install .* && pytest", README, re.M)) == 1
    assert re.search(r"^pip install .* && jaxinit study$", README, re.M)
