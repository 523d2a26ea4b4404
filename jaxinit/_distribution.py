"""What an initializer draws, known before anything is drawn.

Each initializer carries one :class:`Descriptor`. Plans, audits, studies, ``auto``, ``get``
and the wrappers read that, and nothing goes by a function's name.
"""

import dataclasses
import difflib
import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeVar

import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import is_traced, shown, type_error, value_error
from jaxinit._layout import Fans, Layout
from jaxinit._moments import Moments, mixed_moments

_ATTRIBUTE = "__distribution__"
_CALL = frozenset(("key", "shape", "dtype", "window", "out_sharding"))
_F = TypeVar("_F", bound=Callable[..., Any])


@boundary
class Distribution(NamedTuple):
    """What is drawn.

    Attributes:
        text: The initializer's name and the options that were bound.
        std: Standard deviation of the entries, None if it is not known from outside.
        mean: Their mean, None likewise.
        kurtosis: Their kurtosis (3 for a normal distribution), None likewise.
        is_fixed: Whether nothing is drawn at random.
        low: No entry is below it.
        high: No entry is above it.
        name: What it is, whatever its scale: ``"uniform"``, ``"normal"``, ...
    """

    text: str
    std: float | None = None
    mean: float | complex | None = None
    kurtosis: float | None = None
    is_fixed: bool = False
    low: float = -math.inf
    high: float = math.inf
    name: str = ""


@dataclasses.dataclass(frozen=True)
class Descriptor:
    """The distribution of an initializer as a function of its options.

    Attributes:
        moments: Called with the shape, whether the dtype is complex, and every option by
            name, it returns the moments.
        gain: The option that the standard deviation is proportional to a power of, or None.
        gain_power: That option is the gain to this power: 2 for a variance.
        layout: What its ``layout`` is read for: the two ``"fans"``, or every axis
            (``"axes"``); None if it takes none.
        activation: The option that takes the activation in front of the layer, or None.
        is_linear: Whether the scheme leaves activations out on purpose, as LeCun's does.
        is_fixed: Whether nothing is drawn at random.
    """

    moments: Callable[..., Moments]
    gain: str | None = None
    gain_power: int = 1
    layout: Literal["fans", "axes"] | None = None
    activation: str | None = None
    is_linear: bool = False
    is_fixed: bool = False

    def with_gain(self, gain: float) -> dict[str, float]:
        """Return the options that give the standard deviation that factor."""
        return {} if self.gain is None else {self.gain: gain**self.gain_power}


def described(descriptor: Descriptor) -> Callable[[_F], _F]:
    """Return a decorator that makes a function an initializer with that descriptor.

    It is an attribute of the function, so ``functools.partial`` and ``functools.wraps``
    hand it on, and signature, docstring and type stay those of the function. Errors name
    the function, as :func:`jaxinit._boundary.boundary` has it.
    """

    def attach(function: _F) -> _F:
        made = boundary(function)
        setattr(made, _ATTRIBUTE, descriptor)
        return made

    return attach


def unwrapped(initializer: Callable[..., Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the function inside of partials, and the options that they bind."""
    options: dict[str, Any] = {}
    while isinstance(initializer, functools.partial):
        if initializer.args:
            return initializer, {}
        options = {**initializer.keywords, **options}
        initializer = initializer.func
    return initializer, options


def descriptor_of(initializer: Callable[..., Any]) -> Descriptor | None:
    """Return the descriptor of an initializer, through partials and wrappers, or None."""
    found = getattr(unwrapped(initializer)[0], _ATTRIBUTE, None)
    return found if isinstance(found, Descriptor) else None


def lacks_layout(initializer: Callable[..., Any]) -> bool:
    """Whether the initializer takes a layout, and none is bound."""
    descriptor = descriptor_of(initializer)
    has = descriptor is not None and descriptor.layout is not None
    return has and unwrapped(initializer)[1].get("layout") is None


def with_layout(initializer: Any, layout: Layout | None, fans: Fans | None) -> Any:
    """Return the initializer with a traced layout bound, if it takes one and has none."""
    inside = getattr(initializer, "with_layout", None)
    if inside is not None:
        return inside(layout, fans)
    descriptor = descriptor_of(initializer)
    if descriptor is None or not lacks_layout(initializer):
        return initializer
    traced = fans if descriptor.layout == "fans" else layout
    return initializer if traced is None else functools.partial(initializer, layout=traced)


def distribution_of(
    initializer: Callable[..., Any], shape: tuple[int, ...], dtype: Any = None
) -> Distribution:
    """Return what the initializer will draw for that shape.

    Args:
        initializer: A function ``(key, shape, dtype)``.
        shape: Axis lengths.
        dtype: Dtype of the result; it matters only whether it is complex.

    Returns:
        The distribution; of a function without a descriptor only its name.

    Raises:
        ValueError: The options do not suit the shape, or are out of range.
        TypeError: An option is unknown, missing or of the wrong kind.
    """
    function, options = unwrapped(initializer)
    describe = getattr(function, "describe", None)
    if describe is not None:
        return describe(shape, dtype)
    name = getattr(function, "__name__", type(function).__name__)
    text = name + _options_text(options)
    descriptor = descriptor_of(function)
    if descriptor is None or any(map(is_traced, options.values())):
        return Distribution(text)
    is_complex = dtype is not None and jnp.issubdtype(dtype, np.complexfloating)
    moments = descriptor.moments(shape, is_complex, **bound_options(function, options))
    std, mean, kurtosis, low, high, kind = moments
    fixed = descriptor.is_fixed
    return Distribution(text, std, mean, kurtosis, fixed, low, high, kind)


def bound_options(
    function: Callable[..., Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all options of an initializer, its defaults filled in.

    Args:
        function: An initializer.
        options: Those that are bound.

    Returns:
        Every option but ``key``, ``shape``, ``dtype`` and ``out_sharding``.

    Raises:
        ValueError: An option is unknown.
        TypeError: One that the function needs is missing.
    """
    name = getattr(function, "__name__", type(function).__name__)
    parameters = dict(list(inspect.signature(function).parameters.items())[3:])
    for option, value in options.items():
        if option not in parameters:
            rule = f"an option of {name} must be one of {', '.join(parameters)}"
            near = difflib.get_close_matches(str(option), parameters, n=1)
            advice = f"Did you mean {near[0]!r}?" if near else "Leave it out."
            value_error(rule, f"{option}={shown(value)}", advice)
    bound = {name: options.get(name, p.default) for name, p in parameters.items()}
    for option, value in bound.items():
        if value is inspect.Parameter.empty:
            rule = f"{name} needs the option {option}"
            type_error(rule, f"options {sorted(options)}", f'Add "{option}".')
    return {option: value for option, value in bound.items() if option not in _CALL}


def check_options(initializer: Callable[..., Any]) -> None:
    """Refuse options of an initializer that it does not have, or lacks."""
    function, options = unwrapped(initializer)
    if descriptor_of(function) is not None:
        bound_options(function, options)


def _options_text(options: dict[str, Any]) -> str:
    shown = {k: v for k, v in options.items() if k not in _CALL}
    words = [f"{name}={_value_text(value)}" for name, value in shown.items()]
    return f"({', '.join(words)})" if words else ""


def _value_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Fans):
        return f"{value.fan_in:g}:{value.fan_out:g}"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    if np.ndim(value) > 0:
        return f"{np.asarray(value).dtype.name}{list(np.shape(value))}"
    axes = getattr(value, "axes", None)
    return str(axes if axes is not None else value)


def mixture(text: str, parts: Sequence[tuple[int, Distribution]]) -> Distribution:
    """Return the distribution of an array that is made of parts.

    Args:
        text: What it is called.
        parts: The number of entries of each, and their distribution.

    Returns:
        The distribution of an entry that is chosen at random.
    """
    held = [(count, part) for count, part in parts if count > 0]
    low = min((part.low for _, part in held), default=-math.inf)
    high = max((part.high for _, part in held), default=math.inf)
    fixed = all(part.is_fixed for _, part in held)
    unknown = Distribution(text, is_fixed=fixed, low=low, high=high)
    if not held or any(part.std is None or part.mean is None for _, part in held):
        return unknown
    weights = [count for count, _ in held]
    means, stds = (
        np.array([getattr(part, name) for _, part in held]) for name in ("mean", "std")
    )
    kurtosis = [1.0 if part.std == 0 else part.kurtosis for _, part in held]
    known = np.array([math.nan if k is None else k for k in kurtosis])
    mixed = mixed_moments(means, stds**2, known * stds**4, weights=weights)
    lacks = mixed.kurtosis is None or math.isnan(mixed.kurtosis) or fixed
    return unknown._replace(
        std=mixed.std, mean=mixed.mean, kurtosis=None if lacks else mixed.kurtosis
    )
