"""Packages that only reports need, with one clear message where they are missing."""

import importlib
import importlib.util
from types import ModuleType

_EXTRA = 'pip install "jaxinit[study]"'


class MissingPackageError(ImportError):
    """A package of an extra is not installed."""


def has(name: str) -> bool:
    """Whether a package can be imported."""
    return importlib.util.find_spec(name) is not None


def need(name: str, what: str) -> ModuleType:
    """Return a module of an optional package.

    Args:
        name: Full name of the module.
        what: What needs it, for the message.

    Returns:
        The module.

    Raises:
        MissingPackageError: Its package is not installed.
    """
    package = name.partition(".")[0]
    if not has(package):
        message = f"{what} needs {package}, which is not installed. Run: {_EXTRA}"
        raise MissingPackageError(message)
    return importlib.import_module(name)
