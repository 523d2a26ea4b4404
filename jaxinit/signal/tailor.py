"""Activations tailored to a depth: deep kernel shaping (DKS) and its successor (TAT)."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._activations import activation as named_activation
from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_int, check_number, value_error
from jaxinit._gaussian import Once, evaluate, remembered, resolve
from jaxinit.signal.studies.study import name_of
from jaxinit.signal.theory.maps import Nonlinearity, as_function, for_one_call, homogeneity

Method = Literal["tat", "dks"]
METHODS = ("tat", "dks")

_REACH, _PANEL = 12.0, 0.25  # standard deviations to integrate over, and of one panel
_SHIFTS = np.linspace(-2.5, 2.5, 201)  # among which solutions are looked for
_LEAST, _MOST = 1e-4, 8.0  # input scales


@dataclasses.dataclass(frozen=True)
class Tailored:
    """An activation with its input and output scaled and shifted; a function on arrays.

    ``output_scale * (f(input_scale * x + input_shift) + output_shift)``. It is hashable,
    so that studies take it as they take any activation.

    Attributes:
        activation: The function f.
        input_scale: Factor on the input.
        input_shift: What is added to it then.
        output_shift: What is added to the output of f.
        output_scale: Factor on that.
        name: What tables and plots call it.
    """

    activation: Callable[[Any], Any]
    input_scale: float = 1.0
    input_shift: float = 0.0
    output_shift: float = 0.0
    output_scale: float = 1.0
    name: str = "tailored"

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return the activation of an array, in its dtype.

        Sums of large numbers with small results need float32 at least inside.
        """
        x = jnp.asarray(x)
        wide = x if x.dtype.itemsize >= 4 else x.astype(jnp.float32)
        inner = self.activation(self.input_scale * wide + self.input_shift)
        return (self.output_scale * (inner + self.output_shift)).astype(x.dtype)

    @property
    def __name__(self) -> str:
        """The name, as functions have one."""
        return self.name


@boundary
def tailor(
    activation: Nonlinearity,
    depth: int,
    *,
    method: Method = "tat",
    slope: float = 1.5,
    curvature: float = 0.3,
    correlation: float = 0.9,
) -> Tailored:
    r"""Scale and shift an activation so that a plain network of that depth trains.

    With weights of variance 1 / fan_in (:func:`jaxinit.lecun_normal`, or
    :func:`jaxinit.orthogonal`) and biases of zero, inputs of mean square 1 keep it, and

    * ``"tat"``: gradients keep their size, :math:`c'(1) = 1`, and the correlation of two
      inputs moves slowly, :math:`D\, c''(1) =` ``curvature``. For ReLU and leaky ReLU,
      which have no curvature, it is the slope on the negative side that is chosen, so that
      orthogonal inputs come to the correlation ``correlation`` after all layers;
    * ``"dks"``: orthogonal inputs stay so, :math:`c(0) = 0`, and the slope of the
      correlation map over all layers is :math:`c'(1)^D =` ``slope``.

    Both have :math:`q(1) = q'(1) = 1`, so that lengths are stable to first order. These are
    four equations for the four numbers of :class:`Tailored`; where several solutions exist,
    the one of the least shift is taken.

    Args:
        activation: A name, or a function of one number that JAX can differentiate.
        depth: The number D of nonlinear layers, one after another without branches.
        method: ``"tat"`` or ``"dks"``.
        slope: For ``"dks"``, above 1: larger is more nonlinear.
        curvature: For ``"tat"``, above 0: larger is more nonlinear.
        correlation: For ``"tat"`` of ReLU, from 0 to 1: larger is more nonlinear.

    Returns:
        The function, to be used in place of the activation.

    Raises:
        ValueError: An argument is out of range, or the equations have no solution.
        TypeError: The activation cannot be differentiated.

    References:
        DKS: J. Martens et al., "Rapid training of deep neural networks without skip
        connections or normalization layers using deep kernel shaping", 2021. TAT: G. Zhang,
        A. Botev, J. Martens, "Deep learning without shortcuts: shaping the kernel with
        tailored rectifiers", 2022.

    Example:
        >>> from jaxinit.signal import predict, tailor
        >>> f = tailor("tanh", depth=50)
        >>> line = predict(f, "lecun_normal", depth=50, width=10**6).band("log10_grad")
        >>> bool(abs(line.median[0]) < 0.01)
        True
    """
    check_choice("method", method, METHODS)
    depth = check_int("depth", depth, least=1)
    function = as_function(activation)
    label = activation if isinstance(activation, str) else name_of(function)
    name = f"{method}({label}, {depth})"
    once = for_one_call(activation)
    if homogeneity(once) is not None:
        if method == "dks":
            rule = 'method="dks" needs an activation that is not piecewise linear'
            value_error(rule, f"activation={label}", 'Take method="tat".')
        share = float(check_number("correlation", correlation, least=0.0, most=1.0))
        return _leaky(depth, share, name)
    if method == "dks":
        amount = float(check_number("slope", slope))
        least, target = 1.0, amount ** (1 / depth) if amount > 0 else 0.0
    else:
        amount = float(check_number("curvature", curvature))
        least, target = 0.0, amount / depth
    if not amount > least:
        option = "slope" if method == "dks" else "curvature"
        advice = f"Take {1.5 if method == 'dks' else 0.3}."
        value_error(f"{option} must be above {least:g}", f"{amount:g}", advice)
    found = _solve(once, _dks if method == "dks" else _tat, target)
    if found is None:
        rule = "the activation must have a form that fits this depth"
        advice = "Take another method, another activation or more layers."
        value_error(rule, f"activation={label}, which has none", advice)
    scale, shift = found
    at = _moments(once, np.array(scale), np.array(shift))
    if method == "dks":
        out_shift, out_scale = -float(at.mean), float(at.variance) ** -0.5
    else:
        out_shift, out_scale = _tat_output(at, np.array(scale))
    return Tailored(function, scale, shift, float(out_shift), float(out_scale), name)


class _Moments(NamedTuple):
    """Expectations over ``u = scale z + shift``, z normal; arrays of one shape."""

    mean: np.ndarray  # E f(u)
    variance: np.ndarray  # Var f(u)
    mixed: np.ndarray  # Cov(f(u), f'(u) z)
    tilt: np.ndarray  # E f'(u) z
    slope: np.ndarray  # E f'(u)^2
    curvature: np.ndarray  # E f''(u)^2


def _moments(
    function: Callable[[Any], Any], scale: np.ndarray, shift: np.ndarray
) -> _Moments:
    """Return the moments for arrays of input scales and shifts of one shape."""
    cuts = np.arange(-_REACH, _REACH + _PANEL, _PANEL)
    cuts = np.broadcast_to(cuts, (*scale.shape, cuts.size))
    kinks = (resolve(function).breaks - shift[..., None]) / scale[..., None]
    cuts = np.sort(np.concatenate([cuts, np.clip(kinks, -_REACH, _REACH)], -1))
    nodes, weights = np.polynomial.legendre.leggauss(10)
    half = np.diff(cuts)[..., None] / 2
    z = (cuts[..., 1:] + cuts[..., :-1])[..., None] / 2 + half * nodes
    mass = half * weights * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    u = scale[..., None, None] * z + shift[..., None, None]
    f, g = evaluate(function, u)
    _, h = evaluate(_derivative(function), u)
    assert g is not None
    assert h is not None

    def mean(of: np.ndarray) -> np.ndarray:
        return (mass * of).sum((-2, -1))

    centre = mean(f)
    rest = f - centre[..., None, None]
    moved = mean(rest * g * z), mean(g * z)
    return _Moments(centre, mean(rest**2), *moved, mean(g**2), mean(h**2))


@remembered
def _derivative(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    return Once(lambda x: jax.jvp(function, (x,), (jnp.ones_like(x),))[1])


def _dks(at: _Moments, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return c'(1) and q'(1) - 1, with the output centred and of variance 1."""
    return scale**2 * at.slope / at.variance, scale * at.mixed / at.variance - 1


def _tat(at: _Moments, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return c''(1) and q(1) - 1, with the output such that c'(1) = q'(1) = 1."""
    out_shift, out_scale = _tat_output(at, scale)
    square = out_scale**2 * (at.variance + (at.mean + out_shift) ** 2)
    return scale**2 * at.curvature / at.slope, square - 1


def _tat_output(at: _Moments, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    out_scale = 1 / (scale * np.sqrt(at.slope))
    # q'(1) = out_scale^2 scale (E f f' z + out_shift E f' z) = 1.
    with np.errstate(divide="ignore", invalid="ignore"):
        rest = (scale * at.slope - at.mixed) / at.tilt
    return rest - at.mean, out_scale


Equations = Callable[[_Moments, np.ndarray], tuple[np.ndarray, np.ndarray]]


def _solve(
    function: Callable[[Any], Any], equations: Equations, target: float
) -> tuple[float, float] | None:
    """Return the input scale and shift of the least shift that solve both equations."""

    def both(scale: np.ndarray, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first, second = equations(_moments(function, scale, shift), scale)
        return first - target, second

    def on(shifts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the scales that solve the first equation, and the second one there."""
        low, high = np.full(shifts.shape, _LEAST), np.full(shifts.shape, _MOST)
        for _ in range(24):  # it rises with the scale, from 1 or 0
            middle = np.sqrt(low * high)
            above = ~(both(middle, shifts)[0] < 0)
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        scale = np.sqrt(low * high)
        usable = (high < _MOST) & (low > _LEAST)
        return scale, np.where(usable, both(scale, shifts)[1], math.nan)

    shifts = _SHIFTS
    scale, rest = on(shifts)
    size = np.abs(rest)
    dips = (size[1:-1] < np.minimum(size[:-2], size[2:])) & (size[1:-1] < 0.01)
    for i in np.nonzero(dips & (np.sign(rest[:-2]) == np.sign(rest[2:])))[0]:
        finer = np.linspace(shifts[i], shifts[i + 2], 41)
        extra, more = on(finer)
        shifts = np.concatenate([shifts, [math.nan], finer])
        scale = np.concatenate([scale, [math.nan], extra])
        rest = np.concatenate([rest, [math.nan], more])
    changes = np.nonzero(rest[:-1] * rest[1:] < 0)[0]
    centres = np.round(shifts[changes] + shifts[changes + 1], 6)
    order = np.lexsort((-centres, np.abs(centres)))  # of a pair, the positive one
    for i in changes[order]:
        part = rest[i] / (rest[i] - rest[i + 1])
        guess = [(1 - part) * v[i] + part * v[i + 1] for v in (scale, shifts)]
        found = _newton(both, guess)
        if found is not None:
            return found
    return None


def _newton(
    both: Callable[[np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]],
    guess: Sequence[Any],
) -> tuple[float, float] | None:
    """Return the root near a guess, by Newton steps with differences for slopes."""
    x, values = np.array(guess), np.full((3, 2), math.inf)
    for _ in range(30):
        steps = np.array([1e-5 * x[0], 1e-5])
        tried = np.vstack([x, x + np.diag(steps)])
        values = np.stack(both(tried[:, 0], tried[:, 1]), -1)
        slopes = (values[1:] - values[0]).T / steps
        if not np.isfinite(slopes).all() or np.linalg.det(slopes) == 0:
            return None
        move = np.linalg.solve(slopes, values[0])
        x = x - move * min(1.0, 0.3 * x[0] / max(abs(move[0]), 1e-300))
        if np.abs(move).max() < 1e-13 * max(1.0, x[0]):
            break
    # Rounding of the moments, of variance scale^2, decides how small it gets.
    return (float(x[0]), float(x[1])) if np.abs(values[0]).max() < 1e-9 else None


def _leaky(depth: int, correlation: float, name: str) -> Tailored:
    """Return the leaky ReLU that takes orthogonal inputs to a correlation."""

    def after(negative: float) -> float:
        spread = (1 - negative) ** 2 / (math.pi * (1 + negative**2))
        c = 0.0
        for _ in range(depth):
            c += spread * (math.sqrt(max(1 - c * c, 0.0)) - c * math.acos(min(c, 1.0)))
        return c

    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if after(middle) > correlation else (low, middle)
    negative = 0.0 if after(0.0) <= correlation else (low + high) / 2
    out = math.sqrt(2 / (1 + negative**2))
    return Tailored(named_activation("leaky_relu", negative), output_scale=out, name=name)
