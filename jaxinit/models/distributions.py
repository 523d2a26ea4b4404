"""What an initializer will draw, said before anything is drawn."""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple

from jaxinit._checks import is_traced
from jaxinit._gains import calculate_gain
from jaxinit._layout import Fans, resolve_fans, resolve_layout
from jaxinit.initializers.named import BY_NAME
from jaxinit.initializers.scaled import Mode, fan_of

_MODE: dict[str, Mode] = {"xavier": "fan_avg", "lecun": "fan_in"}
_NEW_NAMES = frozenset(("key", "shape", "dtype", "out_sharding"))


class Distribution(NamedTuple):
    """What is drawn.

    Attributes:
        text: The initializer's name and the options that were bound.
        std: Standard deviation of the entries, None if it is not known from outside.
        mean: Their mean, None likewise.
        kurtosis: Their kurtosis (3 for a normal distribution), None likewise.
        is_fixed: Whether nothing is drawn at random.
    """

    text: str
    std: float | None = None
    mean: float | None = None
    kurtosis: float | None = None
    is_fixed: bool = False


def unwrapped(initializer: Callable[..., Any]) -> tuple[Callable[..., Any], dict[str, Any]]:
    """Return the function inside of partials, and the options that they bind."""
    options: dict[str, Any] = {}
    while isinstance(initializer, functools.partial):
        if initializer.args:
            return initializer, {}
        options = {**initializer.keywords, **options}
        initializer = initializer.func
    return initializer, options


def is_ours(initializer: Callable[..., Any]) -> bool:
    """Whether the function is one of this library's initializers, perhaps with options."""
    return unwrapped(initializer)[0] in BY_NAME.values()


def takes_layout(initializer: Callable[..., Any]) -> bool:
    """Whether it is one of ours that could be told a layout, and was not."""
    function, options = unwrapped(initializer)
    if function not in BY_NAME.values():
        return False
    return "layout" in inspect.signature(function).parameters and "layout" not in options


def distribution_of(
    initializer: Callable[..., Any], shape: tuple[int, ...]
) -> Distribution:
    """Return what the initializer will draw for that shape.

    Args:
        initializer: A function ``(key, shape, dtype)``.
        shape: Axis lengths.

    Returns:
        The distribution; of a function that is not ours only its name.
    """
    described = getattr(initializer, "describe", None)
    if described is not None:
        return described(shape)
    function, options = unwrapped(initializer)
    name = getattr(function, "__name__", type(function).__name__)
    text = name + _options_text(options)
    if function not in BY_NAME.values() or any(map(is_traced, options.values())):
        return Distribution(text)
    bound = inspect.signature(function).bind_partial(**options)
    bound.apply_defaults()
    std, mean, kurtosis, is_fixed = _moments(name, bound.arguments, shape)
    return Distribution(text, std, mean, kurtosis, is_fixed)


def _options_text(options: dict[str, Any]) -> str:
    shown = {k: v for k, v in options.items() if k not in _NEW_NAMES}
    words = [f"{name}={_value_text(value)}" for name, value in shown.items()]
    return f"({', '.join(words)})" if words else ""


def _value_text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, Fans):
        return f"{value.fan_in:g}:{value.fan_out:g}"
    if callable(value):
        return getattr(value, "__name__", type(value).__name__)
    axes = getattr(value, "axes", None)
    return str(axes if axes is not None else value)


_Moments = tuple[float | None, float | None, float | None, bool]
_UNKNOWN: _Moments = (None, None, None, False)


def _moments(name: str, options: dict[str, Any], shape: tuple[int, ...]) -> _Moments:
    """Return std, mean, kurtosis, and whether the values are fixed."""
    if name in ("zeros", "ones"):
        return 0.0, float(name == "ones"), None, True
    if name in ("constant", "identity", "dirac"):
        value: Any = options.get("value")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            return 0.0, float(value), None, True
        return None, None, None, True
    if name == "normal":
        return float(options["std"]), float(options["mean"]), 3.0, False
    if name == "uniform":
        low, high = float(options["low"]), float(options["high"])
        return (high - low) / math.sqrt(12), (low + high) / 2, 1.8, False
    if name == "truncated_normal":
        return truncated_moments(
            *(float(options[k]) for k in ("mean", "std", "low", "high"))
        )
    if name == "orthogonal":
        return _orthogonal(options, shape)
    if (
        name not in BY_NAME
        or "layout" not in options
        or name in ("delta_orthogonal", "sparse")
    ):
        return _UNKNOWN
    fans = resolve_fans(name, shape, options["layout"])
    family = name.split("_", maxsplit=1)[0]
    gain = float(options.get("gain", 1.0))
    mode: Mode = options.get("mode") or _MODE[family]
    distribution = options.get("distribution") or name.removeprefix(family + "_")
    if family == "variance":
        gain = math.sqrt(options["scale"])
    elif family == "kaiming":
        slope, nonlinearity = float(options["a"]), options["nonlinearity"]
        plain = nonlinearity == "leaky_relu"
        gain = math.sqrt(2 / (1 + slope**2)) if plain else calculate_gain(nonlinearity)
    std = gain / math.sqrt(fan_of(name, fans, mode))
    # The kurtosis of a normal distribution cut at two standard deviations is 2.3652.
    kurtosis = {"normal": 3.0, "uniform": 1.8, "truncated_normal": 2.3652}[distribution]
    return std, 0.0, kurtosis, False


def _orthogonal(options: dict[str, Any], shape: tuple[int, ...]) -> _Moments:
    layout = resolve_layout("orthogonal", shape, options["layout"])
    rows = math.prod(shape[i] for i in layout.positions("IDHW"))
    columns = math.prod(shape[i] for i in layout.positions("O"))
    size = max(rows, columns, 1)
    # An entry of a Haar matrix of size n has fourth moment 3 / (n (n + 2)).
    return float(options["gain"]) / math.sqrt(size), 0.0, 3 * size / (size + 2), False


def truncated_moments(mean: float, std: float, low: float, high: float) -> _Moments:
    """Return the moments of a normal distribution cut at two bounds, by Simpson's rule."""
    a, b = max((low - mean) / std, -12.0), min((high - mean) / std, 12.0)
    if not a < b:
        return _UNKNOWN
    steps = 4000
    points = [a + (b - a) * i / steps for i in range(steps + 1)]
    weights = [1 if i in (0, steps) else 2 + 2 * (i % 2) for i in range(steps + 1)]
    masses = [w * math.exp(-x * x / 2) for w, x in zip(weights, points, strict=True)]
    total = sum(masses)
    first = sum(m * x for m, x in zip(masses, points, strict=True)) / total
    second = sum(m * (x - first) ** 2 for m, x in zip(masses, points, strict=True)) / total
    fourth = sum(m * (x - first) ** 4 for m, x in zip(masses, points, strict=True)) / total
    return std * math.sqrt(second), mean + std * first, fourth / second**2, False
