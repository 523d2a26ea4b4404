r"""The theory line of a study: infinite width, and the first correction in 1/n.

At width n the logarithm of the length makes a walk around the mean-field map: each layer
adds noise of variance ``(E f^4 / (E f^2)^2 - 1) / n`` and, as the logarithm is concave, a
drift of minus half that. For gradients it is ``(3 E f'^4 / (E f'^2)^2 - 1) / n``, and
the lengths that a seed happens to have. B. Hanin and M. Nica, "Products of many large
random matrices and gradients in deep neural networks", 2018, treat the ReLU family.
"""

import math
from typing import Any, NamedTuple

import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_int, value_error
from jaxinit._types import Initializer
from jaxinit.signal.studies.bands import Band
from jaxinit.signal.studies.conditions import fixed_conditions
from jaxinit.signal.studies.network import Kind
from jaxinit.signal.studies.result import Prediction
from jaxinit.signal.studies.schemes import Scheme, measured_sigma_w, scheme
from jaxinit.signal.studies.study import label_of
from jaxinit.signal.theory.maps import (
    Moments,
    Nonlinearity,
    correlation_series,
    for_one_call,
    moments,
)

_LN10 = math.log(10)
_LEAST, _MOST = -100.0, 150.0  # of ln q, between which moments are taken
_MOST_LAYERS = 100_000
_QUANTILE = 1.6448536269514722  # of the normal distribution at 95 %
# Gauss-Hermite rule of 5 points: how a normal spread goes through a curved map.
_POINTS, _MASS = np.polynomial.hermite_e.hermegauss(5)
_MASS = _MASS / _MASS.sum()


class _Layer(NamedTuple):
    """Means and variances of natural logarithms, and slopes, at one layer."""

    length: float  # mean of ln q
    length_var: float
    slope: float  # of ln q' by ln q
    std: float  # mean of ln std of the activations
    std_var: float
    rms: float
    rms_var: float
    grad: float  # mean of ln of the growth of squared gradients
    grad_noise: float
    grad_slope: float  # of that by ln q
    coherent: float  # how much of a gradient along f(x) goes on along x, and
    scattered: float  # how much of the rest joins it, both against the mean growth


class _At(NamedTuple):
    """A layer's variances at the quadrature points, and the moments there."""

    q: np.ndarray
    moments: Moments
    shift: float
    """To be added to ln q: what a float cannot hold of a vanishing or exploding signal."""


@boundary
def predict(
    activation: Nonlinearity = "tanh",
    init: str | Scheme | Initializer = "xavier_uniform",
    *,
    depth: int = 100,
    width: int = 512,
    kind: Kind = "dense",
    correlation: float = 0.5,
    branch_scale: float = 1.0,
) -> Prediction:
    """Return what theory says of a study with these settings.

    Lengths are taken as lognormal. That holds where seeds stay together, as at a stable
    or a critical point; where a fixed point is unstable (GELU, SiLU or Mish with
    ``init="forward"``) seeds part into those that vanish and those that explode, and the
    bands of theory are too narrow. Deep in a chaotic phase the band of the gradient is
    about a tenth too narrow.

    Args:
        activation: As for :func:`jaxinit.signal.study`.
        init: As there; a custom initializer is drawn once to measure its scale.
        depth: Layers.
        width: Units of a layer; decides the band and the drift of ``kind="dense"``.
        kind: As there. For kinds other than dense the lines are those of infinite width.
        correlation: Of two inputs.
        branch_scale: As there.

    Returns:
        Bands of ``log10_std``, ``log10_rms``, ``log10_grad`` and, for dense networks,
        ``correlation``. The edges are NaN where no finite-width correction is known.
    """
    with fixed_conditions():
        asked = depth, width, kind, correlation, branch_scale
        return _predict(activation, init, *asked)


def _predict(
    activation: Nonlinearity,
    init: str | Scheme | Initializer,
    depth: int,
    width: int,
    kind: Kind,
    correlation: float,
    branch_scale: float,
) -> Prediction:
    check_layers(depth)
    function = for_one_call(activation)
    drawn = scheme(init, activation)
    if math.isnan(drawn.sigma_w):
        shape = (3, 3, width, width) if kind == "conv" else (width, width)
        fan_in = math.prod(shape[:-1])
        sigma_w = measured_sigma_w(drawn.distribution, shape, fan_in)  # pyright: ignore[reportArgumentType]
        gains = [sigma_w] * depth
    else:
        gains = drawn.gains(depth)
    if kind in ("residual", "normalized"):
        bands = _wide(function, gains, drawn.sigma_b, kind, branch_scale)
    else:
        orthogonal = (
            isinstance(drawn.distribution, str) and "orthogonal" in drawn.distribution
        )
        finite = kind == "dense" and not orthogonal
        bands = _dense(function, gains, drawn.sigma_b, width if finite else math.inf)
        bands["correlation"] = _correlations(function, gains, drawn.sigma_b, correlation)
    return Prediction(label_of(activation, drawn), bands)


def check_layers(depth: int) -> int:
    """Return a depth that theory can follow, layer by layer."""
    if check_int("depth", depth, least=1) > _MOST_LAYERS:
        rule = f"depth must be at most {_MOST_LAYERS}"
        value_error(rule, f"depth={depth}", "Ask for fewer layers.")
    return int(depth)


def dense_bands(
    activation: Nonlinearity, drawn: Scheme, depth: int, width: int
) -> dict[str, Band]:
    """Return the bands of a dense network alone, without correlations of inputs."""
    function = for_one_call(activation)
    return _dense(function, drawn.gains(depth), drawn.sigma_b, width)


def _dense(
    function: Any, gains: list[float], sigma_b: float, width: float
) -> dict[str, Band]:
    mean, var = 0.0, 2 / width  # of ln of the mean square of a normal input
    mean -= var / 2
    square, noise = 1.0, 0.0
    layers: list[_Layer] = []
    at = None
    for gain in gains:
        if at is None:
            share = gain**2 * square / (gain**2 * square + sigma_b**2)
            length = math.log(gain**2 * square + sigma_b**2) + share * mean
            length_var, slope = share**2 * var, share
        else:
            length, length_var, slope, noise = _step(at, gain, sigma_b, width)
            length_var += noise
        share = 1 - sigma_b**2 * math.exp(-length) if sigma_b else 1.0
        at = _at(function, length, length_var)
        layers.append(_layer(at, length, length_var, slope, gain, share, width))
    return _bands(layers, width)


def _at(function: Any, length: float, length_var: float) -> _At:
    shift = length - min(max(length, _LEAST), _MOST)
    q = np.exp(length - shift + math.sqrt(length_var) * _POINTS)
    at = moments(function, q)
    if shift:
        growth = moments(function, 4 * q).square / at.square
        if not np.allclose(growth, 4, rtol=1e-6):
            rule = "signals must stay within the floats, or scale with their input there"
            got = f"a signal of variance e^{length:.0f} in between"
            value_error(rule, got, "Ask for fewer layers or a smaller gain.")
    return _At(q, at, shift)


def _step(
    before: _At, gain: float, sigma_b: float, width: float
) -> tuple[float, float, float, float]:
    """Return mean, variance and slope of the next ln q, and the noise that is added."""
    q, at, shift = before
    after = gain**2 * at.square + sigma_b**2 * math.exp(-max(shift, 0.0))
    logs = np.log(after) + shift
    mean = float(_MASS @ logs)
    var = float(_MASS @ (logs - mean) ** 2)
    slope = float(_MASS @ (gain**2 * at.growth * q / after))
    share = gain**2 * at.square / after
    noise = _noise(share**2 * (at.fourth / at.square**2 - 1), width)
    return mean - noise / 2, var, slope, noise


def _noise(ratio: np.ndarray, width: float) -> float:
    """Return the variance of the log of a lognormal mean over a layer's units."""
    return math.log1p(float(_MASS @ ratio) / width)


def _layer(
    here: _At,
    length: float,
    length_var: float,
    slope: float,
    gain: float,
    share: float,
    width: float,
) -> _Layer:
    """Return the layer; a ``share`` of its q comes from the weights, not the biases."""
    q, at, shift = here
    std, rms = (np.log(at.variance) + shift) / 2, (np.log(at.square) + shift) / 2
    growth = np.log(gain**2 * at.slope_square)
    std_noise = _noise(at.central_fourth / at.variance**2 - 1, width)
    rms_noise = _noise(at.fourth / at.square**2 - 1, width)
    grad_noise = _noise(3 * at.slope_fourth / at.slope_square**2 - 1, width)
    means = [float(_MASS @ v) for v in (std, rms, growth)]
    spreads = [
        float(_MASS @ (v - m) ** 2) for v, m in zip((std, rms), means[:2], strict=True)
    ]
    coherent = share * at.growth**2 * q / (at.square * at.slope_square)
    along = share * at.slope_spread / at.slope_square + (1 - share)
    scatter = math.sqrt(length_var)
    tilt = float(_MASS @ (growth * _POINTS)) / scatter if scatter > 0 else 0.0
    return _Layer(
        length,
        length_var,
        slope,
        means[0] - std_noise / 4 - (0.5 / width),
        spreads[0] + std_noise / 4,
        means[1] - rms_noise / 4,
        spreads[1] + rms_noise / 4,
        means[2] - grad_noise / 2,
        grad_noise,
        tilt,
        float(_MASS @ coherent),
        float(_MASS @ (along - coherent)),
    )


def _bands(layers: list[_Layer], width: float) -> dict[str, Band]:
    column = {name: np.array([getattr(x, name) for x in layers]) for name in _Layer._fields}
    start = 1 / width  # half of 2 / n, for ln std and ln rms of the normal input
    std = np.concatenate([[-start], column["std"]])
    rms = np.concatenate([[-start / 2], column["rms"]])
    std_var = np.concatenate([[start / 2], column["std_var"]])
    rms_var = np.concatenate([[start / 2], column["rms_var"]])
    # Squared gradient at layer l: the sum of growths at the layers after it.
    growth = column["grad"] + _along_the_signal(column, width)
    after = np.concatenate([np.cumsum(growth[::-1])[::-1], [0.0]])
    noise = np.concatenate([np.cumsum(column["grad_noise"][::-1])[::-1], [0.0]])
    grad_var = noise + _shared(column) + 2 / width
    return {
        "log10_std": _band(std, std_var, width),
        "log10_rms": _band(rms, rms_var, width),
        "log10_grad": _band((after - 1 / width) / 2, grad_var / 4, width),
    }


def _along_the_signal(column: dict[str, np.ndarray], width: float) -> np.ndarray:
    """Return what is added to ln of the growth by the gradient's part along the signal.

    Given its input x a layer is known along x and random across it, so that one of n
    directions has a growth of its own.
    """
    energy, found = 1.0, np.zeros(len(column["grad"]))
    for k in reversed(range(len(found))):
        energy = column["scattered"][k] + column["coherent"][k] * energy
        found[k] = math.log1p((energy - 1) / width)
        energy *= math.exp(-found[k])
    return found


def _shared(column: dict[str, np.ndarray]) -> np.ndarray:
    """Return the variance of the summed growths that comes from the lengths."""
    depth = len(column["grad"])
    found = np.zeros(depth + 1)
    reaching = 0.0  # covariance of the sum after layer l with ln q of layer l + 1
    for k in reversed(range(depth)):
        tilt, var = column["grad_slope"][k], column["length_var"][k]
        passed = column["slope"][k + 1] if k + 1 < depth else 0.0
        # From here ln q of layer k moves the sum by its own tilt and through the next.
        total = tilt + passed * reaching
        found[k] = found[k + 1] + var * (total**2 - (passed * reaching) ** 2)
        reaching = total
    return np.maximum(found, 0.0)


def _band(mean: np.ndarray, var: np.ndarray, width: float) -> Band:
    middle = mean / _LN10
    if math.isinf(width):
        nothing = np.full_like(middle, math.nan)
        return Band(middle, nothing, nothing)
    reach = _QUANTILE * np.sqrt(var) / _LN10
    return Band(middle, middle - reach, middle + reach)


def _wide(
    function: Any, gains: list[float], sigma_b: float, kind: Kind, branch_scale: float
) -> dict[str, Band]:
    """Return the lines of residual and of normalized networks, of infinite width."""
    mean, square = 0.0, 1.0
    std, rms, growth = [0.0], [0.0], []
    for gain in gains:
        length = gain**2 * square + sigma_b**2
        if kind == "normalized":
            at = moments(function, 1.0)
            mean, square = float(at.mean), float(at.square)
            growth.append(gain**2 * float(at.slope_square) / length)
        else:
            at = moments(function, length)
            s = branch_scale
            square = square + 2 * s * mean * float(at.mean) + s**2 * float(at.square)
            mean += s * float(at.mean)
            growth.append(1 + s**2 * gain**2 * float(at.slope_square))
        std.append(math.log(max(square - mean**2, 1e-300)) / 2)
        rms.append(math.log(square) / 2)
    after = np.concatenate([np.cumsum(np.log(growth)[::-1])[::-1], [0.0]]) / 2
    lines = {"log10_std": np.array(std), "log10_rms": np.array(rms), "log10_grad": after}
    return {name: _band(line, line, math.inf) for name, line in lines.items()}


def _correlations(
    function: Any, gains: list[float], sigma_b: float, correlation: float
) -> Band:
    """Return the correlation of two inputs before each activation."""
    c, q = correlation, 0.0
    terms, settled = np.zeros(1), math.nan  # of the series where lengths have settled
    found = [c]
    for number, gain in enumerate(gains):
        if number == 0:
            after, product = gain**2 + sigma_b**2, gain**2 * c
        else:
            if not math.isclose(q, settled, rel_tol=1e-12):
                terms, settled = correlation_series(function, q), q
            after = gain**2 * terms.sum() + sigma_b**2
            product = gain**2 * float(np.polynomial.polynomial.polyval(c, terms))
        c = float(np.clip((product + sigma_b**2) / after, -1.0, 1.0))
        q = float(np.clip(after, math.exp(_LEAST), math.exp(_MOST)))
        found.append(c)
    middle = np.array(found)
    nothing = np.full_like(middle, math.nan)
    return Band(middle, nothing, nothing)
