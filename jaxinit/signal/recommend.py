"""What to initialize a deep network with, what else would happen, and why."""

import math
from typing import NamedTuple

import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_int
from jaxinit._gains import calculate_gain
from jaxinit.signal.studies.prediction import predict
from jaxinit.signal.studies.schemes import Scheme, scheme
from jaxinit.signal.studies.study import name_of
from jaxinit.signal.theory.critical import (
    critical_line,
    critical_points,
    doubly_critical_points,
)
from jaxinit.signal.theory.maps import Nonlinearity, as_function, homogeneity, moments
from jaxinit.signal.theory.mean_field import mean_field

_WORST_LENGTH = 20.0  # fixed points beyond it lie where units saturate
_CLOSE = 0.3  # powers of ten within which two schemes count as equally good


class Choice(NamedTuple):
    """One initialization, and what theory says it does over the depth."""

    scheme: Scheme
    chi_1: float
    """Growth of squared gradients a layer, where lengths settle."""
    chi_q: float
    """Slope of the length map there: above 1 the length runs away."""
    log10_std: np.ndarray
    """Standard deviation of the activations, layers 0 to depth."""
    log10_grad: np.ndarray
    """rms gradient with respect to them, for 1 at the end."""

    @property
    def loss(self) -> float:
        """Powers of ten by which signal or gradient leaves 1, whichever is more."""
        signal = self.log10_std[1:] - self.log10_std[1]
        return float(max(np.abs(signal).max(), np.abs(self.log10_grad).max()))


class Recommendation(NamedTuple):
    """What to use, what else there is, and why."""

    activation: str
    depth: int
    best: Choice
    others: tuple[Choice, ...]
    why: str
    calls: tuple[str, ...]
    """Python that draws the first weight, the others, and the biases."""


@boundary
def recommend(
    activation: Nonlinearity, depth: int = 100, *, width: int = 512
) -> Recommendation:
    """Return the initialization that carries signal and gradient through the depth.

    Candidates are the edge of chaos and the gains of the field. Each is run through
    mean-field theory with its 1/width correction; the one whose signal and gradient stay
    closest to 1 is best. Where the edge is a curve, its point at q = 1 / depth is taken:
    small signals keep the singular values of the Jacobian together (L. Xiao et al.,
    "Dynamical isometry and a mean field theory of CNNs", 2018).

    Args:
        activation: A name or a differentiable function of one number.
        depth: Layers, at least 1.
        width: Units of a layer.

    Returns:
        The choice, the others by rising loss, and the reason.

    Raises:
        ValueError: The activation is unknown or a number is out of range.

    Example:
        >>> from jaxinit.signal import recommend
        >>> advice = recommend("relu", depth=50)
        >>> advice.best.scheme.name, round(advice.best.scheme.sigma_w, 4)
        ('kaiming_normal', 1.4142)
    """
    where = "recommend"
    function = as_function(where, activation)
    depth = check_int(where, "depth", depth, least=1)
    width = check_int(where, "width", width, least=2)
    edge = _edge(activation, depth)
    specs: list[Scheme] = [edge] if edge is not None else []
    names = ["lecun_normal", "forward", "backward"]
    if isinstance(activation, str):
        names.insert(0, "kaiming_normal")
    for name in names:
        found = scheme(name, activation)
        if not any(_alike(found, other) for other in specs):
            specs.append(found)
    choices = [_choice(function, spec, depth, width) for spec in specs]
    ranked = sorted(choices, key=lambda choice: choice.loss)
    best = ranked[0]
    if edge is not None and choices[0].loss < best.loss + _CLOSE:
        best = choices[0]
    others = tuple(choice for choice in ranked if choice is not best)
    name = name_of(activation)
    return Recommendation(
        name, depth, best, others, _why(activation, best, edge), _calls(name, best.scheme)
    )


def _alike(one: Scheme, other: Scheme) -> bool:
    return math.isclose(one.sigma_w, other.sigma_w, rel_tol=1e-6) and (
        one.sigma_b == other.sigma_b
    )


def _edge(activation: Nonlinearity, depth: int) -> Scheme | None:
    """Return the point of the edge of chaos to use, if there is one."""
    function = as_function("recommend", activation)
    if homogeneity(function) is not None:
        if isinstance(activation, str):
            return scheme("kaiming_normal", activation)
        return scheme("critical", activation)
    double = [p for p in doubly_critical_points(function) if p.q <= _WORST_LENGTH]
    if double:
        return scheme("critical", activation)
    small = critical_points(function, 0.0)
    if small and small[0].q == 0:
        point = critical_line(function, 1 / depth)
        if point.chi_q <= 1 and point.sigma_b >= 0:
            return scheme(f"critical:{float(point.sigma_b):.4g}", activation)
    return None


def _choice(function: Nonlinearity, spec: Scheme, depth: int, width: int) -> Choice:
    lines = predict(function, spec, depth=depth, width=width)
    if spec.first_sigma_w is None:
        theory = mean_field(function, spec.sigma_w, spec.sigma_b)
        chi_1, chi_q = theory.chi_1, theory.chi_q
    else:  # the first layer puts the length where it stays
        at = moments(function, spec.first_sigma_w**2 + spec.sigma_b**2)
        chi_1, chi_q = (float(spec.sigma_w**2 * m) for m in (at.slope_square, at.growth))
    return Choice(
        spec,
        chi_1,
        chi_q,
        lines.band("log10_std").median,
        lines.band("log10_grad").median,
    )


def _why(activation: Nonlinearity, best: Choice, edge: Scheme | None) -> str:
    name = name_of(activation)
    if homogeneity(activation) is not None:
        return (
            f"{name} scales with its input, so that one gain, {best.scheme.sigma_w:.4g}, "
            "keeps every length and every gradient, and biases must be zero."
        )
    if edge is None:
        return (
            f"{name} has no usable edge of chaos: no sigma_b >= 0 keeps both signal and "
            "gradient without saturating. This is the least loss; use "
            "residual branches or normalization for more depth."
        )
    if best.scheme is not edge:
        return f"Over this depth it loses less than the edge of chaos of {name} does."
    if doubly_critical_points(activation):
        gain = calculate_gain(as_function("recommend", activation))
        slope = float(gain**2 * moments(activation, 1.0).growth)
        return (
            f"{name} has one doubly critical point, where lengths and gradients both keep "
            f"(chi_1 = chi_q = 1). Its forward gain {gain:.4g} keeps the length in one "
            f"layer, but that length repels (chi_q = {slope:.3f}): any other runs away."
        )
    return (
        f"On the edge of chaos gradients keep (chi_1 = 1), and this point has a length, "
        f"q = 1 / depth, that attracts (chi_q = {best.chi_q:.4g}) and is small enough for "
        f"{name} to be nearly linear."
    )


def _calls(name: str, spec: Scheme) -> tuple[str, ...]:
    """Return the Python that draws the weights and biases."""
    if spec.name == "kaiming_normal":
        return (f'jaxinit.kaiming_normal(key, shape, nonlinearity="{name}")',)
    calls = [f"jaxinit.lecun_normal(key, shape, gain={spec.sigma_w:.6g})"]
    if spec.first_sigma_w is not None:
        first = f"jaxinit.lecun_normal(key, shape, gain={spec.first_sigma_w:.6g})"
        calls[0] += "  # every weight but the first"
        calls.append(f"{first}  # the first, for inputs of mean square 1")
    if spec.sigma_b > 0:
        calls.append(f"jaxinit.normal(key, shape, std={spec.sigma_b:.6g})  # biases")
    return tuple(calls)
