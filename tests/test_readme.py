"""The README's Python runs, from top to bottom, as a reader would paste it."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

import jaxinit

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


def run(blocks: list[str]) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", "\n".join(blocks)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "KERAS_BACKEND": "jax"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_python_blocks_run() -> None:
    blocks = [block for block in BLOCKS if "import keras" not in block]
    assert len(blocks) >= 7
    shown = run(blocks)
    for text in (
        "(3, 3, 64, 128) bfloat16 0.059",
        "Fans(fan_in=9, fan_out=9)",
        "[1.6667, 1.4142, 1.5336]",
    ):
        assert text in shown


@pytest.mark.keras
@pytest.mark.skipif(find_spec("keras") is None, reason="needs Keras")
def test_the_block_of_keras_runs() -> None:
    assert run([block for block in BLOCKS if "import keras" in block]) == ""


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 170


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
