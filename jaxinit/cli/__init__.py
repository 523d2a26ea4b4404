"""The command ``jaxinit``: argument parsing and printing only."""

import argparse
import os
import shlex
import signal
import sys
from collections.abc import Sequence
from typing import NoReturn

from jaxinit._boundary import boundary
from jaxinit._version import __version__
from jaxinit.cli.advice import AUDIT, RECOMMEND
from jaxinit.cli.commands import Command
from jaxinit.cli.presets import PRESETS
from jaxinit.cli.studies import STUDY
from jaxinit.signal.report.optional import MissingPackageError

COMMANDS: tuple[Command, ...] = (STUDY, RECOMMEND, AUDIT, PRESETS)
"""The subcommands."""


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        argv: Its arguments; those of the process if None.

    Returns:
        The exit status: 0, 1 if an audit found something, 2 for what cannot be done, 130
        after an interruption.

    Raises:
        ValueError: Not of ours: from code of the user's, whose traceback is needed.
        TypeError: The same.
    """
    given = sys.argv[1:] if argv is None else list(argv)
    try:
        arguments = _parser().parse_args(given)
        arguments.command = shlex.join(["jaxinit", *given])
        status = arguments.run(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # who reads, as in `| head`, has seen enough
        _close_output()
        return 0
    except OSError as error:
        _close_output()
        where = f"{error.filename}: " if error.filename else ""
        return _fail(f"{where}{error.strerror or error}")
    except MissingPackageError as error:
        return _fail(f"{error}")
    except (ValueError, TypeError) as error:
        if "; got " not in str(error):
            raise
        return _fail(f"{error}")
    except KeyboardInterrupt:
        print("jaxinit: interrupted; the same command goes on from there", file=sys.stderr)
        return 130
    return status


def run() -> NoReturn:
    """Run the command as a process of its own, and end that."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    status = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if status == 130:  # threads of a running program crash a regular end
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(status)
    sys.exit(status)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="jaxinit", description="Weight initialization for JAX.")
    parser.add_argument("--version", action="version", version=f"jaxinit {__version__}")
    choices = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        options = choices.add_parser(
            command.name, help=command.help, description=command.help
        )
        command.add_options(options)
        options.set_defaults(run=boundary(command.run, command.name))
    return parser


def _fail(message: str) -> int:
    print(f"jaxinit: {message}", file=sys.stderr)
    return 2


def _close_output() -> None:
    """Send what is still in the buffer nowhere, so that the end of Python is silent."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
