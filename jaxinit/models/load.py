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


def load_model(where: str, name: str) -> Model:
    """Import ``package.module:function``, call it and check what it returns.

    Args:
        where: Name of the command that errors are to name.
        name: The function, which takes no arguments and returns
            ``(apply_fn, params, inputs)``. The working directory is searched too.

    Returns:
        The model.

    Raises:
        ValueError: The name has another form, or its module or function is not there.
        TypeError: The function returned something else.
    """
    module_name, colon, function_name = name.partition(":")
    names = [*module_name.split("."), function_name]
    if not (colon and all(part.isidentifier() for part in names)):
        rule = "a model is named as package.module:function"
        value_error(where, rule, f"{name!r}", 'Write for example "mymodels.gpt:small".')
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        rule = f"module {module_name} must be importable from here"
        value_error(where, rule, f"{error}", "Run this where the module is, or install it.")
    function = getattr(module, function_name, None)
    if not callable(function):
        rule = f"{module_name} must have a function {function_name}"
        value_error(where, rule, f"{function!r}", "Check the name behind the colon.")
    made = function()
    if not isinstance(made, Sequence) or len(made) != 3 or not callable(made[0]):
        rule = f"{name} must return (apply_fn, params, inputs)"
        type_error(where, rule, f"{type(made).__name__}", "Return a tuple of these three.")
    apply_fn, params, inputs = made
    if not isinstance(inputs, (tuple, list)):
        inputs = (inputs,)
    return Model(apply_fn, params, tuple(inputs))
