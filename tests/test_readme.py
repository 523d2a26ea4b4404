"""The README's Python runs, from top to bottom, as a reader would paste it."""

import re
from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)


def test_python_blocks_run() -> None:
    assert len(BLOCKS) >= 3
    names: dict[str, object] = {"__name__": "readme"}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"README block {number}", "exec"), names)


def test_names_in_tables_exist() -> None:
    import jaxinit

    for name in re.findall(r"`(\w+)\(", README.read_text()):
        assert hasattr(jaxinit, name) or name in THEIRS, name


THEIRS = {
    "uniform_", "trunc_normal_", "truncated_normal", "TruncatedNormal", "VarianceScaling"
}  # fmt: skip
