"""The public face: names, docstrings, examples, version."""

import ast
import functools
import importlib
import inspect
import itertools
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import jaxinit

SOURCES = Path(jaxinit.__file__).parent
ADAPTERS = ("equinox", "flax", "haiku", "keras")
STREAMS = sorted(
    f"replay.{p.stem}" for p in (SOURCES / "replay").glob("*.py") if p.stem[0] != "_"
)
PARTS = (
    *("", "asserts", "presets", "replay", "signal", *STREAMS),
    *(pytest.param(a, marks=pytest.mark.keras) if a == "keras" else a for a in ADAPTERS),
)
PUBLIC = {n: getattr(jaxinit, n) for n in jaxinit.__all__ if not n.startswith("_")}
UNLISTED = {  # shared between modules, and nothing to a user
    "replay.keras_initializers": {"RandomInitializer"},
    "replay.torch_layers": {"as_module"},
}
FUNCTIONS = {n: f for n, f in PUBLIC.items() if inspect.isfunction(f)}


def test_face_is_only_imports() -> None:
    tree = ast.parse(Path(jaxinit.__file__).read_text())
    kinds = {type(node) for node in tree.body}
    lazy = {ast.Import, ast.If, ast.FunctionDef}  # parts that are imported when asked for
    assert kinds <= {ast.Expr, ast.ImportFrom, ast.Assign} | lazy
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module != "typing":
            assert all(alias.asname == alias.name for alias in node.names)
        if isinstance(node, ast.Assign):
            assert ast.unparse(node.targets[0]) == "__all__"


def test_version_is_that_of_the_distribution() -> None:
    assert jaxinit.__version__ == metadata.version("jaxinit")


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_docstring_is_whole(name: str) -> None:
    text = inspect.getdoc(FUNCTIONS[name])
    assert text is not None
    for section in ("Args:", "Returns:", "Raises:", "Example:"):
        assert f"\n{section}" in text, f"{name} has no {section}"
    arguments = text.split("\nArgs:")[1].split("\nReturns:")[0]
    for parameter in inspect.signature(FUNCTIONS[name]).parameters:
        assert re.search(rf"^    \*?{parameter}: ", arguments, re.M), f"{name}: {parameter}"
    assert ">>> " in text


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_fully_annotated(name: str) -> None:
    signature = inspect.signature(FUNCTIONS[name])
    assert signature.return_annotation is not inspect.Signature.empty
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty


def test_typed_marker_is_shipped() -> None:
    assert (Path(jaxinit.__file__).parent / "py.typed").exists()


def test_changelog_names_the_version() -> None:
    path = Path(__file__).parent.parent / "CHANGELOG.md"
    assert f"## {jaxinit.__version__}" in path.read_text()


def test_parts_are_imported_when_asked_for() -> None:
    code = (
        "import sys, jaxinit\n"
        "lazy = ['asserts', 'presets', 'replay', 'signal']\n"
        "early = [n for n in lazy if f'jaxinit.{n}' in sys.modules]\n"
        "found = [getattr(jaxinit, n).__name__ for n in lazy]\n"
        "print(early, found)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("]")[0] == "["
    assert "jaxinit.signal" in done.stdout
    with pytest.raises(AttributeError, match="module 'jaxinit' has no attribute 'signals'"):
        jaxinit.signals  # pyright: ignore[reportAttributeAccessIssue]  # noqa: B018


def public_module(part: str) -> ModuleType:
    if part in ADAPTERS:
        pytest.importorskip(part)
    return importlib.import_module(f"jaxinit.{part}".rstrip("."))


@functools.cache
def described_variables() -> set[str]:
    """Names in our sources whose assignment is followed by a string."""
    found: set[str] = set()
    for path in SOURCES.rglob("*.py"):
        body = ast.parse(path.read_text()).body
        for node, following in itertools.pairwise(body):
            if isinstance(node, ast.Assign | ast.AnnAssign) and isinstance(
                following, ast.Expr
            ):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found |= {ast.unparse(target) for target in targets}
    return found


def is_documented(name: str, value: Any, variables: set[str]) -> bool:
    if name == "__version__" or name in variables:
        return True
    if inspect.isfunction(value) or inspect.isclass(value) or inspect.ismodule(value):
        own = value.__dict__.get("__doc__") if inspect.isclass(value) else value.__doc__
        return bool(own) and not str(own).startswith(f"{name}(")
    return type(value).__module__.startswith("jaxinit") and bool(type(value).__doc__)


@pytest.mark.parametrize("part", PARTS)
def test_public_names_are_listed_and_documented(part: str) -> None:
    module = public_module(part)
    names = module.__all__
    assert len(set(names)) == len(names)
    variables = described_variables()
    missing = [n for n in names if not is_documented(n, getattr(module, n), variables)]
    assert not missing
    own = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    }
    assert own - set(names) <= UNLISTED.get(part, set())


def test_a_name_without_documentation_is_found() -> None:
    def bare() -> None: ...

    class Bare:
        pass

    assert not is_documented("bare", bare, set())
    assert not is_documented("Bare", Bare, set())
    assert not is_documented("BARE", 1.0, {"OTHER"})


def test_star_import_brings_what_is_listed() -> None:
    names: dict[str, Any] = {}
    exec("from jaxinit import *", names)
    assert set(jaxinit.__all__) <= set(names)
    assert "importlib" not in names
