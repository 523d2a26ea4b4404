"""Named activations as functions, with the defaults of the field.

A function acts on every element and keeps the dtype. The table serves gains, theory
and experiments alike, so that all three speak of the same function.
"""

import dataclasses
import functools
import numbers
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from jaxinit._checks import check_choice, check_number, type_error, value_error

Activation = Callable[[jax.Array], jax.Array]
"""A function that acts on every element of an array and keeps its dtype."""


class _Parametric(NamedTuple):
    """A family of activations in one number."""

    function: Callable[[jax.Array, float], jax.Array]
    default: float
    least: float


@dataclasses.dataclass(frozen=True)
class _Member:
    """One of a family; equal ones are one function to every cache."""

    function: Callable[[jax.Array, float], jax.Array]
    param: float

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.function(x, self.param)


def _leaky_relu(x: jax.Array, slope: float) -> jax.Array:
    return jnp.where(x >= 0, x, slope * x)


def _hard_shrink(x: jax.Array, bound: float) -> jax.Array:
    return jnp.where(jnp.abs(x) > bound, x, 0 * x)


def _soft_shrink(x: jax.Array, bound: float) -> jax.Array:
    return x - jnp.clip(x, -bound, bound)


def _identity(x: jax.Array) -> jax.Array:
    return x


_LINEAR = (
    "linear",
    "identity",
    *(f"conv{n}d" for n in (1, 2, 3)),
    *(f"conv_transpose{n}d" for n in (1, 2, 3)),
)

_PARAMETRIC: Mapping[str, _Parametric] = {
    "leaky_relu": _Parametric(_leaky_relu, 0.01, float("-inf")),
    "prelu": _Parametric(_leaky_relu, 0.25, float("-inf")),
    "elu": _Parametric(jax.nn.elu, 1.0, 0.0),
    "celu": _Parametric(jax.nn.celu, 1.0, 1e-6),
    "hard_shrink": _Parametric(_hard_shrink, 0.5, 0.0),
    "soft_shrink": _Parametric(_soft_shrink, 0.5, 0.0),
}

_PLAIN: Mapping[str, Activation] = {
    **dict.fromkeys(_LINEAR, _identity),
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "relu": jax.nn.relu,
    "selu": jax.nn.selu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "quick_gelu": lambda x: x * jax.nn.sigmoid(1.702 * x),
    "silu": jax.nn.silu,
    "mish": jax.nn.mish,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "hard_tanh": jax.nn.hard_tanh,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "hard_swish": jax.nn.hard_swish,
    "relu6": jax.nn.relu6,
    "relu_squared": lambda x: jnp.square(jax.nn.relu(x)),
    "squareplus": jax.nn.squareplus,
    "sparse_plus": jax.nn.sparse_plus,
    "sparse_sigmoid": jax.nn.sparse_sigmoid,
    "log_sigmoid": jax.nn.log_sigmoid,
    "tanh_shrink": lambda x: x - jnp.tanh(x),
    "sin": jnp.sin,
    "cos": jnp.cos,
    "erf": jax.lax.erf,
    "atan": jnp.arctan,
    "exp": jnp.exp,
    "gaussian": lambda x: jnp.exp(-jnp.square(x)),
    # LeCun et al., "Efficient BackProp", 1998, section 4.4.
    "lecun_tanh": lambda x: 1.7159 * jnp.tanh(x * (2 / 3)),
}

_ALIASES: Mapping[str, str] = {
    "swish": "silu",
    "hardtanh": "hard_tanh",
    "hardsigmoid": "hard_sigmoid",
    "hardswish": "hard_swish",
    "hard_silu": "hard_swish",
    "hardshrink": "hard_shrink",
    "softshrink": "soft_shrink",
    "tanhshrink": "tanh_shrink",
    "logsigmoid": "log_sigmoid",
    "soft_sign": "softsign",
    "gelu_new": "gelu_tanh",
    "arctan": "atan",
}

GATED: Mapping[str, str] = {
    "glu": "sigmoid",
    "bilinear": "linear",
    "reglu": "relu",
    "geglu": "gelu",
    "geglu_tanh": "gelu_tanh",
    "swiglu": "silu",
    "mish_glu": "mish",
}
"""Gated units f(a) b, by the name of f; they take two numbers to one."""

ACTIVATION_NAMES = (*_PLAIN, *_PARAMETRIC, *_ALIASES)
"""Every name that :func:`activation` knows."""


def canonical_name(name: str) -> str:
    """Return the first of the names of one activation."""
    return _ALIASES.get(name, name)


def check_param(name: str, param: float | None) -> float | None:
    """Return the parameter of a named activation, its default filled in."""
    family = _PARAMETRIC.get(canonical_name(name))
    if family is None:
        if param is not None:
            rule = f"{name} has no parameter"
            value_error(rule, f"param={param!r}", "Leave it out.")
        return None
    if param is None:
        return family.default
    kind_ok = isinstance(param, (numbers.Real, jax.Array)) and param is not True
    if not kind_ok or param is False:
        rule = "param must be a number"
        type_error(rule, f"param={param!r}", "Give a float.")
    return float(check_number("param", param, least=family.least))  # pyright: ignore[reportArgumentType]


def activation(name: str, param: float | None = None) -> Activation:
    """Return a named activation as a function on arrays; equal calls, equal results.

    ``param`` is the slope of ``leaky_relu`` (0.01) and ``prelu`` (0.25), the alpha of
    ``elu`` and ``celu`` (1), the bound of ``hard_shrink`` and ``soft_shrink`` (0.5).
    """
    name = check_choice("name", name, ACTIVATION_NAMES)
    param = check_param(name, param)
    name = canonical_name(name)
    if param is None:
        return _PLAIN[name]
    return _Member(_PARAMETRIC[name].function, param)


def is_own(function: Activation) -> bool:
    """Return whether a function is the library's, so that it never changes."""
    # By identity: a user's function may have no hash.
    return isinstance(function, _Member) or any(function is f for f in _PLAIN.values())
