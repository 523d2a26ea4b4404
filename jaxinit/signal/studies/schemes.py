"""How the weights and biases of every layer are drawn, by name or by function.

A scheme is a distribution of unit gain, one gain a layer and a bias. Schemes of one
distribution share a compiled program and, seed by seed, their underlying random numbers.
"""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, Literal, cast

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_number, shown, type_error, value_error
from jaxinit._distribution import bound_options, descriptor_of, distribution_of
from jaxinit._gains import Criterion, calculate_gain
from jaxinit._layout import Fans
from jaxinit._types import Initializer
from jaxinit.initializers.lecun import lecun_normal, lecun_truncated_normal, lecun_uniform
from jaxinit.initializers.named import BY_NAME
from jaxinit.initializers.orthogonal import delta_orthogonal, orthogonal
from jaxinit.signal.studies.conditions import root_key
from jaxinit.signal.theory.critical import (
    CriticalPoint,
    critical_points,
    doubly_critical_points,
)
from jaxinit.signal.theory.maps import Nonlinearity, for_one_call

Distribution = Literal[
    "normal", "uniform", "truncated_normal", "orthogonal", "delta_orthogonal"
]

DISTRIBUTIONS: dict[str, Callable[..., jax.Array]] = {
    "normal": lecun_normal,
    "uniform": lecun_uniform,
    "truncated_normal": lecun_truncated_normal,
    "orthogonal": orthogonal,
    "delta_orthogonal": delta_orthogonal,
}
"""Initializers whose ``gain`` is sigma_w: the root of fan_in times the std."""

_COMPUTED: dict[str, Criterion] = {
    "forward": "forward",
    "centered": "centered",
    "backward": "backward",
}


def _needed(function: Callable[..., Any]) -> list[str]:
    """Return the options of an initializer that have no default."""
    parameters = list(inspect.signature(function).parameters.values())[3:]
    return [p.name for p in parameters if p.default is p.empty]


# One needed number may follow a colon; what needs two bounds is no scheme of weights.
_INITIALIZERS = {
    name: function
    for name, function in BY_NAME.items()
    if (found := descriptor_of(function)) is not None
    and not found.is_fixed
    and len(_needed(function)) < 2
}
SCHEME_NAMES = tuple(
    dict.fromkeys((*_INITIALIZERS, "unit_uniform", "normal", *_COMPUTED, "critical"))
)
"""Names of schemes; after a colon some take numbers, as in ``normal:1.3,0.2``."""


@boundary
@dataclasses.dataclass(frozen=True)
class Scheme:
    """An initialization of a deep network of equal layers.

    Attributes:
        name: What it is called in tables and plots.
        distribution: A name of ``DISTRIBUTIONS``, or an initializer that is called as it
            is.
        sigma_w: Root of the fan-in times the standard deviation of the weights; NaN for
            a custom initializer, where it is measured.
        sigma_b: Standard deviation of the biases, normal.
        first_sigma_w: The same for the first layer, where it differs; else None.
    """

    name: str
    distribution: Distribution | Initializer
    sigma_w: float
    sigma_b: float = 0.0
    first_sigma_w: float | None = None

    def gains(self, depth: int) -> list[float]:
        """Return sigma_w for each layer, 1 for a custom initializer."""
        gain = 1.0 if math.isnan(self.sigma_w) else self.sigma_w
        first = gain if self.first_sigma_w is None else self.first_sigma_w
        return [first] + [gain] * (depth - 1)


@boundary
def scheme(spec: str | Scheme | Initializer, activation: Nonlinearity) -> Scheme:
    """Return the scheme that a text, a function or a scheme means.

    Args:
        spec: One of these.

            * ``"xavier_uniform"``, ``"kaiming_normal"``, ``"lecun_truncated_normal"``, ...:
              as the initializers of these names; Kaiming takes the gain of the
              activation that :func:`jaxinit.calculate_gain` gives. ``"xavier_uniform:1.5"``
              states the gain.
            * ``"unit_uniform"``: U(-1, 1) / sqrt(n), the ReLU-era default.
            * ``"orthogonal:1.2"``, ``"delta_orthogonal"``: with that gain, or 1.
            * ``"normal:1.3,0.2"``: sigma_w and, if stated, sigma_b.
            * ``"forward"``, ``"centered"``, ``"backward"``: normal weights with the
              computed gain of that criterion.
            * ``"critical"`` or ``"critical:0.2"``: the edge of chaos; without sigma_b the
              doubly critical point if there is one, else sigma_b = 0.
            * an initializer: called with (key, shape, dtype).
        activation: Name of the activation, or the function.

    Returns:
        The scheme.

    Raises:
        ValueError: The name is unknown, its numbers do not fit, or the activation has no
            critical point of that kind.
        TypeError: ``spec`` is of another kind.
    """
    if isinstance(spec, Scheme):
        return spec
    if callable(spec):
        name = getattr(spec, "__name__", None) or _partial_name(spec)
        return Scheme(name, spec, math.nan)
    if not isinstance(spec, str):
        rule = "init must be a name, an initializer or a Scheme"
        type_error(rule, f"init={spec!r}", 'Give for example "xavier_normal".')
    name, _, tail = spec.partition(":")
    name = name.strip()
    check_choice("init", name, SCHEME_NAMES)
    numbers = _numbers(spec, tail)
    most = _most_numbers(name)
    if len(numbers) > most:
        rule = (
            f"{name} takes at most {most} numbers" if most else f"{name} takes no numbers"
        )
        value_error(rule, f"init={spec!r}", "Leave the others out.")
    return dataclasses.replace(_named(name, numbers, activation), name=spec)


def _partial_name(function: Any) -> str:
    if isinstance(function, functools.partial):
        name = getattr(function.func, "__name__", "partial")
        options = [f"{k}={v}" for k, v in function.keywords.items() if np.ndim(v) == 0]
        return f"{name}({', '.join(options)})"
    return type(function).__name__


def _numbers(spec: str, tail: str) -> list[float]:
    try:
        numbers = [float(part) for part in tail.split(",")] if tail else []
    except ValueError:
        rule = "what follows the colon must be numbers, with commas between them"
        value_error(rule, f"init={spec!r}", "Write for example normal:1.3,0.2.")
    return [float(check_number("number", n, least=0.0, most=1e30)) for n in numbers]


def _most_numbers(name: str) -> int:
    if name in ("unit_uniform", *_COMPUTED):
        return 0
    if name in ("normal", "critical"):
        return 2 if name == "normal" else 1
    return len(_number_options(name))


def _number_options(name: str) -> list[str]:
    """Return the options of an initializer that numbers behind a colon are for."""
    function = _INITIALIZERS[name]
    needed = _needed(function)
    descriptor = descriptor_of(function)
    scaling = descriptor.gain if descriptor is not None else None
    return [*needed, *([scaling] if scaling else [])]


def _of_initializer(name: str, numbers: list[float], activation: Nonlinearity) -> Scheme:
    """Return a scheme by its descriptor: distribution, and std times root of fan-in."""
    function, descriptor = _INITIALIZERS[name], descriptor_of(_INITIALIZERS[name])
    options: dict[str, Any] = dict(zip(_number_options(name), numbers, strict=False))
    bound_options(function, options)
    if descriptor is None or descriptor.gain is None:
        return Scheme(name, functools.partial(function, **options), math.nan)
    if descriptor.activation is not None and descriptor.gain not in options:
        options |= descriptor.with_gain(calculate_gain(activation))
    unit = {"layout": Fans(1, 1)} if descriptor.layout == "fans" else {"layout": "IO"}
    drawn = distribution_of(functools.partial(function, **options, **unit), (1, 1))
    if drawn.std is None or drawn.name not in DISTRIBUTIONS:
        return Scheme(name, functools.partial(function, **options), math.nan)
    return Scheme(name, cast("Distribution", drawn.name), drawn.std)


def _named(name: str, numbers: list[float], activation: Nonlinearity) -> Scheme:
    gain = numbers[0] if numbers else 1.0
    if name == "unit_uniform":
        return Scheme(name, "uniform", 1 / math.sqrt(3))
    if name == "normal":
        return Scheme(name, name, gain, numbers[1] if len(numbers) > 1 else 0.0)
    if name in _COMPUTED:
        function = for_one_call(activation)
        return Scheme(name, "normal", calculate_gain(function, criterion=_COMPUTED[name]))
    if name == "critical":
        return _critical(numbers, activation)
    return _of_initializer(name, numbers, activation)


def _critical(numbers: list[float], activation: Nonlinearity) -> Scheme:
    point = critical_choice(activation, numbers[0] if numbers else None)
    if point is None:
        rule = "the activation must have a critical point"
        got = f"activation={activation!r}, which has none for this sigma_b"
        value_error(rule, got, "Try another sigma_b or another activation.")
    first = None
    if point.q > 0:
        # The input has mean square 1: place the first layer at the fixed point.
        first = math.sqrt(max(point.q - point.sigma_b**2, 0.0))
    return Scheme("critical", "normal", point.sigma_w, point.sigma_b, first)


def critical_choice(
    activation: Nonlinearity, sigma_b: float | None = None
) -> CriticalPoint | None:
    """Return the critical point to use: doubly critical if there is one, else stable."""
    if sigma_b is None:
        double = doubly_critical_points(activation)
        if double:
            return double[0]
        sigma_b = 0.0
    points = critical_points(activation, sigma_b)
    stable = [p for p in points if p.chi_q <= 1]
    return (stable or points or (None,))[0]


def draw_weight(
    distribution: Distribution | Initializer,
    key: jax.Array,
    shape: tuple[int, ...],
    dtype: Any,
    gain: Any,
) -> jax.Array:
    """Return one layer's weight; for a custom initializer without the gain."""
    if isinstance(distribution, str):
        return DISTRIBUTIONS[distribution](key, shape, dtype, gain=gain)
    return _checked(distribution(key, shape, dtype), shape)


def _checked(weight: Any, shape: tuple[int, ...]) -> jax.Array:
    if getattr(weight, "shape", None) != shape:
        rule = f"an initializer must return an array of the shape {shape} asked for"
        type_error(rule, shown(weight), "Return it from (key, shape, dtype).")
    return weight


def measured_sigma_w(init: Initializer, shape: tuple[int, ...], fan_in: int) -> float:
    """Return the root of the fan-in times the root mean square of one draw."""
    drawn = _checked(init(root_key(0), shape, jnp.float32), shape)
    weight = jnp.asarray(drawn, jnp.float32)
    return float(jnp.sqrt(jnp.mean(weight**2)) * math.sqrt(fan_in))
