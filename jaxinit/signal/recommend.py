"""What to initialize a deep network with, what else would happen, and why."""

import math
from typing import NamedTuple

import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_int
from jaxinit._gains import calculate_gain
from jaxinit.signal.studies.conditions import fixed_conditions
from jaxinit.signal.studies.prediction import check_layers, dense_bands
from jaxinit.signal.studies.schemes import Scheme, scheme
from jaxinit.signal.studies.study import name_of
from jaxinit.signal.theory.critical import (
    critical_line,
    critical_points,
    doubly_critical_points,
)
from jaxinit.signal.theory.maps import Nonlinearity, for_one_call, homogeneity, moments
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
    """Lines of Python that draw the weight of a layer, of the first, and the biases."""


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
    with fixed_conditions():
        return _recommend(activation, depth, width)


def _recommend(activation: Nonlinearity, depth: int, width: int) -> Recommendation:
    function = for_one_call(activation)
    asked = activation if isinstance(activation, str) else function
    depth = check_layers(depth)
    width = check_int("width", width, least=2)
    edge = _edge(asked, depth)
    specs: list[Scheme] = [edge] if edge is not None else []
    names = ["lecun_normal", "forward", "backward"]
    if isinstance(activation, str):
        names.insert(0, "kaiming_normal")
    for name in names:
        found = scheme(name, asked)
        if not any(_alike(found, other) for other in specs):
            specs.append(found)
    choices = [_choice(function, spec, depth, width) for spec in specs]
    ranked = sorted(choices, key=lambda choice: choice.loss)
    best = ranked[0]
    if edge is not None and choices[0].loss < best.loss + _CLOSE:
        best = choices[0]
    others = tuple(choice for choice in ranked if choice is not best)
    name = name_of(activation)
    why, calls = _why(name, asked, best, edge), _calls(name, best.scheme, width)
    return Recommendation(name, depth, best, others, why, calls)


def _alike(one: Scheme, other: Scheme) -> bool:
    return math.isclose(one.sigma_w, other.sigma_w, rel_tol=1e-6) and (
        one.sigma_b == other.sigma_b
    )


def _edge(activation: Nonlinearity, depth: int) -> Scheme | None:
    """Return the point of the edge of chaos to use, if there is one."""
    function = for_one_call(activation)
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
    lines = dense_bands(function, spec, depth, width)
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
        lines["log10_std"].median,
        lines["log10_grad"].median,
    )


def _why(name: str, activation: Nonlinearity, best: Choice, edge: Scheme | None) -> str:
    if homogeneity(activation) is not None:
        return (
            f"{name} scales with its input, so that one gain, {best.scheme.sigma_w:.4g}, "
            "preserves every length and every gradient, and biases must be zero."
        )
    if edge is None:
        return (
            f"{name} has no usable edge of chaos: no sigma_b >= 0 preserves both signal "
            "and gradient without saturating. This loses least; for more depth use "
            "residual branches or normalization."
        )
    if best.scheme is not edge:
        return f"Over this depth it loses less than the edge of chaos of {name} does."
    if doubly_critical_points(activation):
        gain = calculate_gain(for_one_call(activation))
        slope = float(gain**2 * moments(activation, 1.0).growth)
        return (
            f"{name} has one doubly critical point, where the size of signals and of "
            f"gradients is stable (chi_1 = chi_q = 1). Its forward gain {gain:.4g} "
            f"preserves the size over one layer, but unstably (chi_q = {slope:.3f}): "
            "small differences grow."
        )
    return (
        "It lies on the edge of chaos, where gradients keep their size (chi_1 = 1), at a "
        f"variance q = 1 / depth that is stable (chi_q = {best.chi_q:.4g}) and so small "
        f"that {name} is nearly linear."
    )


def _calls(name: str, spec: Scheme, width: int) -> tuple[str, ...]:
    """Return Python that runs as it stands and draws the weights and biases."""
    shape = f"({width}, {width})"
    if spec.name == "kaiming_normal":
        draw = f'jaxinit.kaiming_normal(keys[0], {shape}, nonlinearity="{name}")'
    else:
        draw = f"jaxinit.lecun_normal(keys[0], {shape}, gain={spec.sigma_w:.6g})"
    lines = [f"weight = {draw}"]
    if spec.first_sigma_w is not None:
        first = f"jaxinit.lecun_normal(keys[1], {shape}, gain={spec.first_sigma_w:.6g})"
        lines.append(f"first_weight = {first}")
    if spec.sigma_b > 0:
        lines.append(f"bias = jaxinit.normal(keys[2], ({width},), std={spec.sigma_b:.6g})")
    start = "import jax, jaxinit", "keys = jax.random.split(jax.random.key(0), 3)"
    return (*start, *lines)
