"""``jaxinit presets``."""

import argparse
import inspect
import re
import textwrap
from typing import Any

from jaxinit import presets
from jaxinit._checks import check_choice
from jaxinit.cli.commands import Arguments, Command


def _found() -> dict[str, Any]:
    """Return the functions of ``jaxinit.presets`` by name."""
    named = {name: getattr(presets, name) for name in presets.__all__}
    return {name: item for name, item in named.items() if inspect.isfunction(item)}


def _add_presets(options: argparse.ArgumentParser) -> None:
    options.add_argument("name", nargs="?", help="one of them, for its whole help")


def _presets(arguments: Arguments) -> int:
    found = _found()
    if arguments.name is not None:
        name = check_choice("name", arguments.name, found)
        print(f"jaxinit.presets.{name}{inspect.signature(found[name])}\n")
        print(inspect.getdoc(found[name]))
        return 0
    for name, function in found.items():
        print(_line(name, function))
    print("\njaxinit presets NAME prints the whole help of one.")
    return 0


def _line(name: str, function: Any) -> str:
    """Return the call, without defaults, and what it gives, at 80 columns."""
    parameters = inspect.signature(function).parameters.values()
    needed = [
        p.name if p.kind is p.POSITIONAL_OR_KEYWORD else f"{p.name}=..."
        for p in parameters
        if p.default is p.empty
    ]
    call = f"{name}({', '.join(needed)})"
    summary = (inspect.getdoc(function) or "").partition("\n")[0]
    plain = re.sub(r":\w+:`([^`]*)`|``", r"\1", summary).removeprefix("Return ")
    plain = plain[:1].upper() + plain[1:]
    wrapped = textwrap.wrap(call, 80, subsequent_indent=" " * (len(name) + 1))
    about = textwrap.wrap(plain, 80, initial_indent="    ", subsequent_indent="    ")
    return "\n".join([*wrapped, *about])


PRESETS = Command(
    "presets",
    "List the schemes of libraries and papers that jaxinit.presets has.",
    _add_presets,
    _presets,
)
