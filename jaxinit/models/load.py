"""A user's own model, named on a command line as ``package.module:function``."""

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxinit._checks import type_error, value_error
from jaxinit._paths import PyTree


class Model(NamedTuple):
    """What a user's function returns.

    Attributes:
        apply_fn: The forward pass, ``apply_fn(params, *inputs)``.
        params: Its parameters.
        inputs: Its further arguments.
    """

    apply_fn: Callable[..., Any]
    params: PyTree
    inputs: tuple[PyTree, ...]


def load_model(name: str) -> Model:
    """Import ``package.module:function``, call it and check what it returns.

    Args:
        name: The function, which takes no arguments and returns
            ``(apply_fn, params, inputs)``. The working directory is searched too.

    Returns:
        The model.

    Raises:
        ValueError: The name has another form, or its module or function is not there.
        TypeError: The function returned something else.
    """
    function = load_object(name)
    if not callable(function):
        got = f"a {type(function).__name__}"
        type_error(f"{name} must be a function", got, "Check the name.")
    try:
        made = function()
    except SystemExit as error:
        got = f"an exit with status {error.code}"
        value_error(f"{name} must return a model", got, "Name another function.")
    if not isinstance(made, Sequence) or len(made) != 3 or not callable(made[0]):
        rule = f"{name} must return (apply_fn, params, inputs)"
        type_error(rule, f"{type(made).__name__}", "Return a tuple of these three.")
    apply_fn, params, inputs = made
    if not isinstance(inputs, (tuple, list)):
        inputs = (inputs,)
    return Model(apply_fn, params, tuple(inputs))


def load_object(name: str) -> Any:
    """Import ``package.module:name`` and return it.

    Args:
        name: The object. The working directory is searched too.

    Returns:
        What is there under this name.

    Raises:
        ValueError: The name has another form, or there is nothing of that name.
    """
    module_name, colon, object_name = name.partition(":")
    names = [*module_name.split("."), object_name]
    if not (colon and all(part.isidentifier() for part in names)):
        rule = "it must be named as package.module:name"
        value_error(rule, f"{name!r}", 'Write for example "mymodels.gpt:small".')
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        rule = f"module {module_name} must be importable from here"
        value_error(rule, f"{error}", "Run this where the module is, or install it.")
    except SystemExit as error:
        rule = f"module {module_name} must be importable"
        got = f"an exit with status {error.code}"
        value_error(rule, got, "Guard its script by __name__.")
    if not hasattr(module, object_name):
        rule = f"{module_name} must define {object_name}"
        got = "a module without it"
        value_error(rule, got, "Check the name behind the colon.")
    return getattr(module, object_name)
