"""Initializers by name and as plain data, for configuration files."""

import dataclasses
import functools
import inspect
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, is_traced, shown, type_error, value_error
from jaxinit._distribution import bound_options, descriptor_of, unwrapped
from jaxinit._layout import Fans, Layout
from jaxinit._types import ShardedInitializer
from jaxinit.initializers import (
    biases,
    constant,
    identity,
    kaiming,
    lecun,
    orthogonal,
    plain,
    scaled,
    sparse,
    truncated,
    upsampling,
    xavier,
)

_FAMILIES = (
    biases,
    constant,
    identity,
    kaiming,
    lecun,
    orthogonal,
    plain,
    scaled,
    sparse,
    truncated,
    upsampling,
    xavier,
)
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


KERAS: dict[str, Callable[..., jax.Array]] = {
    "Constant": functools.partial(constant.constant, value=0.0),
    "GlorotNormal": xavier.xavier_truncated_normal,
    "GlorotUniform": xavier.xavier_uniform,
    "HeNormal": kaiming.kaiming_truncated_normal,
    "HeUniform": kaiming.kaiming_uniform,
    "Identity": identity.identity,
    "LecunNormal": lecun.lecun_truncated_normal,
    "LecunUniform": lecun.lecun_uniform,
    "Ones": constant.ones,
    "Orthogonal": orthogonal.orthogonal,
    "RandomNormal": functools.partial(plain.normal, std=0.05),
    "RandomUniform": functools.partial(plain.uniform, low=-0.05, high=0.05),
    "TruncatedNormal": functools.partial(
        truncated.truncated_normal, std=0.05, low=-0.1, high=0.1
    ),
    "VarianceScaling": scaled.variance_scaling,
    "Zeros": constant.zeros,
}
"""Keras' classes with Keras' defaults; names in small letters are this library's own."""
KERAS |= {
    "random_normal": KERAS["RandomNormal"],
    "random_uniform": KERAS["RandomUniform"],
}

_Number = int | float | complex | np.number | np.ndarray | jax.Array


@boundary
def get(
    name: str | Callable[..., jax.Array] | _Number | Sequence[Any],
) -> Callable[..., jax.Array]:
    """Return the initializer that a name, a number or an array stands for.

    Args:
        name: Its name in ``jaxinit``, aliases included. Or the name of a class of Keras,
            which gives what Keras means, with its defaults: ``"GlorotNormal"`` is
            ``xavier_truncated_normal``. Beware of ``"glorot_normal"``, ``"he_normal"`` and
            ``"lecun_normal"``: here they are normal distributions as in PyTorch, while
            Keras and JAX truncate them: that is ``"glorot_truncated_normal"`` here.
            A number or an array gives ``constant`` with that value. A function is returned
            as it is.

    Returns:
        The function itself, or a partial of one; bind further options with
        ``functools.partial``.

    Raises:
        ValueError: No initializer has that name.
        TypeError: ``name`` is neither a string nor a function, a number or an array.

    Elsewhere:
        Like ``keras.initializers.get``, which returns an object.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> jaxinit.get("he_normal") is jaxinit.kaiming_normal
        True
        >>> jaxinit.get("GlorotNormal") is jaxinit.xavier_truncated_normal
        True
        >>> jaxinit.get([0.5, 2.0])(None, (2, 2)).tolist()
        [[0.5, 2.0], [0.5, 2.0]]
    """
    if callable(name):
        return name
    number = isinstance(name, (int, float, complex, np.number, np.ndarray, jax.Array))
    if number or isinstance(name, (list, tuple)):
        return _fixed(name)
    if isinstance(name, str) and name in KERAS:
        return KERAS[name]
    return BY_NAME[check_choice("name", name, BY_NAME)]


def _fixed(value: Any) -> Callable[..., jax.Array]:
    try:
        kind = "V" if isinstance(value, bool) else jnp.asarray(value).dtype.kind
    except (TypeError, ValueError, OverflowError):
        kind = "O"
    if isinstance(value, bool) or kind not in "iufcV":
        rule = "a value must be a number or an array of numbers"
        type_error(rule, shown(value), "Give for example 0.5.")
    return functools.partial(constant.constant, value=value)


@boundary
def from_config(config: Mapping[str, Any]) -> ShardedInitializer:
    """Return the initializer that a mapping describes, with its options bound.

    Args:
        config: ``"name"``, as :func:`jaxinit.get` takes it, and any of that function's own
            options: all but ``key``, ``shape`` and ``dtype``. A layout with groups is
            ``{"axes": "HWIO", "groups": 32}``, fans are ``{"fan_in": 64, "fan_out": 32}``.

    Returns:
        A function ``(key, shape, dtype)``: the initializer itself, or a partial of it.

    Raises:
        ValueError: The name or an option is unknown, an option that the function needs is
            missing, or a value is out of range.
        TypeError: ``config`` is not a mapping, has no name, or a value is of the wrong
            kind.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> config = {"name": "kaiming_uniform", "a": 0, "nonlinearity": "leaky_relu"}
        >>> w = jaxinit.from_config(config)(jax.random.key(0), (600, 100))
        >>> bool(abs(w).max() <= 0.1)
        True
    """
    if not isinstance(config, Mapping) or "name" not in config:
        advice = 'Write {"name": "kaiming_normal", "mode": "fan_out"}.'
        type_error("config must be a mapping with a name", shown(config), advice)
    name = config["name"]
    known = {**BY_NAME, **KERAS}
    chosen = known[name] if isinstance(name, str) and name in KERAS else None
    base, bound = unwrapped(chosen or BY_NAME[check_choice("name", name, BY_NAME)])
    options = bound | {key: value for key, value in config.items() if key != "name"}
    if isinstance(options.get("layout"), Mapping):
        options["layout"] = _layout(options["layout"])
    bound_options(base, options)
    made = functools.partial(base, **options) if options else base
    _try(made, options)
    return made


def _layout(data: Mapping[str, Any]) -> Layout | Fans:
    names = ("fan_in", "fan_out") if "fan_in" in data else ("axes", "groups", "grouped")
    if not set(data) <= set(names):
        rule = f"layout must have {', '.join(names)}"
        value_error(rule, shown(dict(data)), "Leave the others out.")
    return (Fans if "fan_in" in data else Layout)(**data)


def _try(initializer: Callable[..., jax.Array], options: Mapping[str, Any]) -> None:
    """Refuse values that no draw would take, by a trace in the widest dtype."""
    function = unwrapped(initializer)[0]
    layout = options.get("layout")
    axes = layout.axes if isinstance(layout, Layout) else layout
    groups = max(getattr(layout, "groups", 1), options.get("groups", 1))
    least = (
        3
        if function
        in (
            identity.dirac,
            orthogonal.delta_orthogonal,
            upsampling.bilinear,
        )
        else 2
    )
    rank = len(axes) if isinstance(axes, str) else least
    arrays = [np.shape(v) for v in options.values() if isinstance(v, (list, np.ndarray))]
    shape = (groups if isinstance(groups, int) else 1,) * rank
    if arrays:
        shape = np.broadcast_shapes(*arrays)
    with jax.enable_x64(True):
        jax.eval_shape(lambda: initializer(jax.random.key(0), shape, np.float64))


@boundary
def get_config(initializer: Callable[..., jax.Array]) -> dict[str, Any]:
    """Return an initializer as plain data, which :func:`from_config` takes back.

    Args:
        initializer: A function of this library, or a ``functools.partial`` of one.

    Returns:
        ``"name"`` and the options that are bound, as JSON has them: arrays are lists,
        layouts and fans are strings or mappings.

    Raises:
        ValueError: An option is a function, which is no data.
        TypeError: ``initializer`` is none of this library.

    Example:
        >>> from functools import partial
        >>> import jaxinit
        >>> jaxinit.get_config(partial(jaxinit.kaiming_normal, mode="fan_out"))
        {'name': 'kaiming_normal', 'mode': 'fan_out'}
    """
    function, options = unwrapped(initializer)
    if not is_ours(initializer):
        rule = "initializer must be one of this library, perhaps with options bound"
        type_error(rule, shown(function), "Give for example jaxinit.lecun_normal.")
    return {"name": function.__name__} | {
        name: _plain(name, value) for name, value in options.items()
    }


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, Fans):
        return {"fan_in": value.fan_in, "fan_out": value.fan_out}
    if isinstance(value, Layout):
        plain_axes = value.groups == 1 and value.grouped == "O"
        return value.axes if plain_axes else dataclasses.asdict(value)
    if isinstance(value, (jax.Array, np.ndarray, np.generic)) and not is_traced(value):
        return np.asarray(value).tolist()
    if value is None or isinstance(value, (str, int, float, list, tuple)):
        return value
    rule = f"option {name} must be plain data"
    value_error(rule, f"{name}={shown(value)}", "Bind it after from_config.")
