"""The house: imports point down, nothing private to JAX, nothing heavy on import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "jaxinit"

FLOORS = {
    "_types": 0,
    "_version": 0,
    "_interrupt": 0,
    "_checks": 1,
    "_boundary": 1,
    "_calls": 1,
    "_layout": 2,
    "_activations": 2,
    "_gaussian": 2,
    "_bits": 2,
    "_placement": 2,
    "_scale": 2,
    "_window": 2,
    "_globs": 2,
    "_paths": 3,
    "_fused": 3,
    "_fused_program": 4,
    "_table": 1,
    "_groups": 1,
    "_jaxpr": 2,
    "_pieces": 2,
    "_primitives": 2,
    "_gains": 3,
    "_moments": 2,
    "_distribution": 3,
    "_samples": 3,
    "_draw": 3,
    "initializers": 4,
    "trace": 5,
    "asserts": 5,
    "models": 6,
    "presets": 6,
    "replay": 6,
    "signal": 7,
    "flax": 7,
    "haiku": 7,
    "equinox": 7,
    "keras": 7,
    "cli": 8,
    "__main__": 9,
    "__init__": 10,
}
WALLS = {("signal", "replay")}
WITHIN = {
    "_jaxpr": 0,
    "_pieces": 1,
    "_checks": 0,
    "_boundary": 1,
    "_samples": 0,
    "_draw": 1,
    "_activations": 0,
    "_gaussian": 0,
    "presets": 1,
    "_paths": 0,
}
FILES = sorted(PACKAGE.rglob("*.py"))


def part_of(module: str) -> str:
    names = module.split(".")[1:]
    return names[0] if names else "__init__"


def module_of(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in FILES}


def imported(path: Path) -> set[str]:
    """Return every module that a file names in an import, late imports included."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            members = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= members if members <= MODULES else {node.module or "", *members}
    return found


@pytest.mark.parametrize("path", FILES, ids=module_of)
def test_imports_point_down(path: Path) -> None:
    here = part_of(module_of(path))
    for name in imported(path):
        assert not name.startswith("jax._src"), f"{path} imports {name}"
        if not name.startswith("jaxinit."):
            continue
        there = part_of(name)
        if there == here or there not in FLOORS:
            continue
        assert FLOORS[there] <= FLOORS[here], f"{here} imports {there}, which is above it"
        assert (here, there) not in WALLS, f"{here} must not see {there}"
        if FLOORS[there] == FLOORS[here]:
            assert here in WITHIN or there in WITHIN, f"{here} imports {there} beside it"


def test_every_module_has_a_floor() -> None:
    assert {part_of(module_of(path)) for path in FILES} <= set(FLOORS)


def test_no_cycles() -> None:
    modules = {module_of(path): path for path in FILES}
    edges = {
        name: {m for m in imported(path) if m in modules and m != name}
        for name, path in modules.items()
    }
    done: set[str] = set()

    def visit(name: str, trail: tuple[str, ...]) -> None:
        assert name not in trail, f"cycle: {' -> '.join((*trail, name))}"
        if name not in done:
            for below in edges[name]:
                visit(below, (*trail, name))
            done.add(name)

    for name in modules:
        visit(name, ())


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_import_is_light() -> None:
    """It brings in no framework, and starts no backend."""
    heavy = "torch tensorflow flax haiku equinox matplotlib scipy.stats"
    code = (
        "import sys, jax; before = set(sys.modules); import jaxinit\n"
        "from jax.extend import backend\n"
        f"print([m for m in {heavy.split()} if m in set(sys.modules) - before])\n"
        "jax.config.update('jax_num_cpu_devices', 3); print(jax.device_count())"
    )
    assert run(code) == "[]\n3"
