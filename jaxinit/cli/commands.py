"""What a subcommand is, and what several of them need."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

from jaxinit.models.load import load_object
from jaxinit.signal.theory.maps import Nonlinearity

Arguments = argparse.Namespace

ACTIVATION_HELP = "a name (tanh, relu, gelu, ...) or package.module:function"


class Command(NamedTuple):
    """A subcommand: its name, one line of help, its options, and what it does."""

    name: str
    help: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Arguments], int]


def activation_of(text: str) -> Nonlinearity:
    """Return the name of an activation, or the function that is named by its module."""
    return load_object(text) if ":" in text else text


def colour(arguments: Arguments) -> bool:
    """Whether to print with colours: to a terminal, unless that is unwanted."""
    return sys.stdout.isatty() and not arguments.plain and "NO_COLOR" not in os.environ


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):  # Linux alone
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
