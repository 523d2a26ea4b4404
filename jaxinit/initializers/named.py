"""Initializers by name, for configuration files."""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jaxinit._checks import check_choice, type_error
from jaxinit.initializers.constant import constant, dirac, identity, ones, zeros
from jaxinit.initializers.kaiming import (
    kaiming_normal,
    kaiming_truncated_normal,
    kaiming_uniform,
)
from jaxinit.initializers.lecun import lecun_normal, lecun_truncated_normal, lecun_uniform
from jaxinit.initializers.orthogonal import delta_orthogonal, orthogonal
from jaxinit.initializers.plain import normal, truncated_normal, uniform
from jaxinit.initializers.scaled import variance_scaling
from jaxinit.initializers.sparse import sparse
from jaxinit.initializers.xavier import (
    xavier_normal,
    xavier_truncated_normal,
    xavier_uniform,
)

ALIASES = {
    "glorot_normal": "xavier_normal",
    "glorot_truncated_normal": "xavier_truncated_normal",
    "glorot_uniform": "xavier_uniform",
    "he_normal": "kaiming_normal",
    "he_truncated_normal": "kaiming_truncated_normal",
    "he_uniform": "kaiming_uniform",
}
"""Second names, and the functions that they are."""

_FUNCTIONS: tuple[Callable[..., jax.Array], ...] = (
    constant,
    delta_orthogonal,
    dirac,
    identity,
    kaiming_normal,
    kaiming_truncated_normal,
    kaiming_uniform,
    lecun_normal,
    lecun_truncated_normal,
    lecun_uniform,
    normal,
    ones,
    orthogonal,
    sparse,
    truncated_normal,
    uniform,
    variance_scaling,
    xavier_normal,
    xavier_truncated_normal,
    xavier_uniform,
    zeros,
)
BY_NAME = {f.__name__: f for f in _FUNCTIONS}
BY_NAME |= {alias: BY_NAME[name] for alias, name in ALIASES.items()}


def get(name: str | Callable[..., jax.Array]) -> Callable[..., jax.Array]:
    """Return the initializer of that name.

    Args:
        name: Its name in ``jaxinit``, aliases included. A function is returned as it is.

    Returns:
        The function itself; bind its options with ``functools.partial``.

    Raises:
        ValueError: No initializer has that name.
        TypeError: ``name`` is neither a string nor a function.

    Elsewhere:
        Like ``keras.initializers.get``, which returns an object.

    Example:
        >>> import jaxinit
        >>> jaxinit.get("he_normal") is jaxinit.kaiming_normal
        True
    """
    if callable(name):
        return name
    return BY_NAME[check_choice("get", "name", name, BY_NAME)]


def from_config(config: Mapping[str, Any]) -> Callable[..., jax.Array]:
    """Return the initializer that a mapping describes, with its options bound.

    Args:
        config: ``"name"``, and any of that function's own options: all but ``key``,
            ``shape`` and ``dtype``.

    Returns:
        A function ``(key, shape, dtype)``: the initializer itself, or a partial of it.

    Raises:
        ValueError: The name or an option is unknown, or an option that the function needs
            is missing.
        TypeError: ``config`` is not a mapping, or has no name.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> config = {"name": "kaiming_uniform", "a": 0, "nonlinearity": "leaky_relu"}
        >>> w = jaxinit.from_config(config)(jax.random.key(0), (600, 100))
        >>> bool(abs(w).max() <= 0.1)
        True
    """
    where = "from_config"
    if not isinstance(config, Mapping) or "name" not in config:
        advice = 'Write {"name": "kaiming_normal", "mode": "fan_out"}.'
        type_error(where, "config must be a mapping with a name", repr(config), advice)
    options = {key: value for key, value in config.items() if key != "name"}
    function = BY_NAME[check_choice(where, "name", config["name"], BY_NAME)]
    parameters = list(inspect.signature(function).parameters.values())[3:]
    known = [p.name for p in parameters]
    for option in options:
        check_choice(where, "option", option, known)
    for p in parameters:
        if p.default is p.empty:
            check_present(where, function.__name__, p.name, options)
    return functools.partial(function, **options) if options else function


def check_present(
    where: str, function: str, option: str, options: Mapping[str, Any]
) -> None:
    """Refuse options without the one that the function needs."""
    if option not in options:
        rule = f"{function} needs the option {option}"
        type_error(where, rule, f"options {sorted(options)}", f'Add "{option}".')
