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

_ATTRIBUTE = "__distribution__"
_CALL = frozenset(("key", "shape", "dtype", "window", "out_sharding"))
_F = TypeVar("_F", bound=Callable[..., Any])


@functools.cache
def gauss_legendre() -> tuple[np.ndarray, np.ndarray]:
    """Return 128 nodes and weights for (-1, 1), computed when first wanted."""
    return np.polynomial.legendre.leggauss(128)


class Moments(NamedTuple):
    """Moments and bounds of the entries of one array; None where they are not known.

    Of complex entries ``std`` is the root of ``E |w - mean|^2``, ``kurtosis`` is
    ``E |w - mean|^4 / std^4``, and the bounds are those of the real part. ``name`` is the
    distribution's; initializers of one name differ by location and scale only.
    """

    std: float | None = None
    mean: float | None = None
    kurtosis: float | None = None
    low: float = -math.inf
    high: float = math.inf
    name: str = ""


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
    mean: float | None = None
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
    moments = descriptor.moments(
        shape, is_complex, **bound_options(name, function, options)
    )
    std, mean, kurtosis, low, high, kind = moments
    fixed = descriptor.is_fixed
    return Distribution(text, std, mean, kurtosis, fixed, low, high, kind)


def bound_options(
    where: str, function: Callable[..., Any], options: Mapping[str, Any]
) -> dict[str, Any]:
    """Return all options of an initializer, its defaults filled in.

    Args:
        where: Name of the function that errors are to name.
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
            value_error(where, rule, f"{option}={shown(value)}", advice)
    bound = {name: options.get(name, p.default) for name, p in parameters.items()}
    for option, value in bound.items():
        if value is inspect.Parameter.empty:
            rule = f"{name} needs the option {option}"
            type_error(where, rule, f"options {sorted(options)}", f'Add "{option}".')
    return {option: value for option, value in bound.items() if option not in _CALL}


def check_options(where: str, initializer: Callable[..., Any]) -> None:
    """Refuse options of an initializer that it does not have, or lacks."""
    function, options = unwrapped(initializer)
    if descriptor_of(function) is not None:
        bound_options(where, function, options)


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


def standard_moments(distribution: str, *, is_complex: bool) -> Moments:
    """Return the moments of a standard distribution: mean 0 and std 1.

    Args:
        distribution: ``"uniform"`` (complex: on a disc), ``"normal"``, or
            ``"truncated_normal"``, cut at two standard deviations (complex: in modulus).
        is_complex: Whether its samples are complex.

    Returns:
        The moments.
    """
    if distribution == "normal":
        return Moments(1.0, 0.0, 2.0 if is_complex else 3.0, name=distribution)
    if distribution == "uniform":
        # On the unit disc E r^2 = 1/2 and E r^4 = 1/3.
        limit = math.sqrt(2 if is_complex else 3)
        return Moments(1.0, 0.0, 4 / 3 if is_complex else 1.8, -limit, limit, distribution)
    if not is_complex:
        cut = truncated_normal_moments(0.0, 1.0, -2.0, 2.0)
        limit = 2 / (cut.std or 1.0)
        return Moments(1.0, 0.0, cut.kurtosis, -limit, limit, distribution)
    # Of a complex normal t = |z|^2 is exponential, here cut at 4.
    tail = math.exp(-4)
    square, fourth = (1 - 5 * tail) / (1 - tail), (2 - 26 * tail) / (1 - tail)
    limit = 2 / math.sqrt(square)
    return Moments(1.0, 0.0, fourth / square**2, -limit, limit, distribution)


def scaled_moments(standard: Moments, std: float, mean: float = 0.0) -> Moments:
    """Return the moments of ``mean + std * sample``; a std of 0 makes it one value."""
    if std == 0:
        return Moments(0.0, mean, None, mean, mean, standard.name)
    low, high = mean + std * standard.low, mean + std * standard.high
    return Moments(std, mean, standard.kurtosis, low, high, standard.name)


def uniform_moments(low: Any, high: Any) -> Moments:
    """Return the moments of U(low, high); of arrays those of all entries together."""
    lower, upper = np.broadcast_arrays(np.asarray(low, float), np.asarray(high, float))
    bounds = {"low": float(lower.min()), "high": float(upper.max())}
    width, centre = upper - lower, lower / 2 + upper / 2
    if lower.ndim == 0:
        standard = standard_moments("uniform", is_complex=False)
        return scaled_moments(
            standard, float(width) / math.sqrt(12), float(centre)
        )._replace(**bounds)
    return mixed_moments(centre, width**2 / 12, width**4 / 80)._replace(**bounds)


def mixed_moments(
    means: np.ndarray, variances: Any, fourths: Any, weights: Any = None
) -> Moments:
    """Return the moments of entries of which each has its own symmetric distribution.

    Args:
        means: Mean of each entry.
        variances: Variance of each.
        fourths: Fourth central moment of each.
        weights: How often each occurs; None for once.

    Returns:
        The moments of an entry that is chosen at random.
    """
    mean = float(np.average(means, weights=weights))
    off = means - mean
    square = float(np.average(variances + off**2, weights=weights))
    if square == 0:
        return Moments(0.0, mean)
    fourths = fourths + 6 * variances * off**2 + off**4
    fourth = float(np.average(fourths, weights=weights))
    return Moments(math.sqrt(square), mean, fourth / square**2)


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
        np.array([getattr(part, name) for _, part in held], float)
        for name in ("mean", "std")
    )
    kurtosis = [1.0 if part.std == 0 else part.kurtosis for _, part in held]
    known = np.array([math.nan if k is None else k for k in kurtosis])
    mixed = mixed_moments(means, stds**2, known * stds**4, weights)
    lacks = mixed.kurtosis is None or math.isnan(mixed.kurtosis) or fixed
    return unknown._replace(
        std=mixed.std, mean=mixed.mean, kurtosis=None if lacks else mixed.kurtosis
    )


def fixed_moments(values: Any, share: float = 1.0) -> Moments:
    """Return the moments of values that are not random, and 0 elsewhere.

    Args:
        values: One value or an array of them.
        share: The share of the entries that hold them; the others are 0.

    Returns:
        The moments. There is no kurtosis, since nothing is drawn.
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biufV":  # V: bfloat16 and narrower
        return Moments()
    exact = array.astype(float)
    if exact.size == 0 or share == 0:
        return Moments(0.0, 0.0, None, 0.0, 0.0)
    mean = share * float(exact.mean())
    spread = share * float(np.mean((exact - mean) ** 2)) + (1 - share) * mean**2
    ends = [float(exact.min()), float(exact.max())] + [0.0] * (share < 1)
    return Moments(math.sqrt(spread), mean, None, min(ends), max(ends))


def truncated_normal_moments(mean: float, std: float, low: float, high: float) -> Moments:
    """Return the moments of a normal distribution that is cut at two bounds.

    By Gauss-Legendre quadrature over the part that has mass, which is exact to rounding and
    cancels nowhere, where differences of densities do for narrow or distant intervals.
    """
    start, end = (low - mean) / std, (high - mean) / std
    if not start < end:
        return Moments()
    turned = start + end > 0
    if turned:
        start, end = -end, -start
    peak = min(end, 0.0)
    # Beyond, the density is below exp(-80) of its peak.
    start = max(start, -math.sqrt(peak * peak + 160))
    end = min(end, math.sqrt(160))
    half = (end - start) / 2
    nodes, weights = gauss_legendre()
    x = half * (nodes + 1)  # counted from the start
    density = weights * np.exp(-((start + x - peak) * (start + x + peak)) / 2)
    density /= density.sum()
    first = half if start == -end else float(density @ x)
    second = float(density @ (x - first) ** 2)
    fourth = float(density @ (x - first) ** 4)
    centre = (start + first) * (-1 if turned else 1)
    name = "truncated_normal" if (start, end) == (-2, 2) else ""
    return Moments(
        std * math.sqrt(second), mean + std * centre, fourth / second**2, low, high, name
    )
