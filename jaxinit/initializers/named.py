"""Initializers by name, for configuration files."""

import functools
import inspect
import operator
from collections.abc import Callable, Mapping
from typing import Any

import jax

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, type_error
from jaxinit._distribution import bound_options, descriptor_of, unwrapped
from jaxinit.initializers import (
    constant,
    kaiming,
    lecun,
    orthogonal,
    plain,
    scaled,
    sparse,
    xavier,
)

_FAMILIES = (constant, kaiming, lecun, orthogonal, plain, scaled, sparse, xavier)
_FOUND = (item for family in _FAMILIES for item in vars(family).items())
BY_NAME: dict[str, Callable[..., jax.Array]] = {
    name: value
    for name, value in sorted(_FOUND, key=operator.itemgetter(0))
    if inspect.isfunction(value) and descriptor_of(value) is not None
}
"""Every initializer by each of its names."""

ALIASES = {name: f.__name__ for name, f in BY_NAME.items() if f.__name__ != name}
"""Second names, and the functions that they are."""


def is_ours(initializer: Callable[..., Any]) -> bool:
    """Whether it is one of these functions itself, perhaps with options bound."""
    return unwrapped(initializer)[0] in BY_NAME.values()


@boundary
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


@boundary
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
    bound_options(where, function, options)
    return functools.partial(function, **options) if options else function
