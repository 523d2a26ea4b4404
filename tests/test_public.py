"""The public face: names, docstrings, examples, version."""

import ast
import inspect
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import jaxinit

PUBLIC = {n: v for n, v in vars(jaxinit).items() if not n.startswith("_")}
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
            assert ast.unparse(node.targets[0]) == "__version__"


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
