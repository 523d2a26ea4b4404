"""``audit``: what was drawn against what should have been."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_number, type_error, value_error
from jaxinit._paths import PyTree, flatten, is_array
from jaxinit.models.findings import Audit, Finding
from jaxinit.models.mending import initializer_text
from jaxinit.models.plan import Plan, Row
from jaxinit.models.schemes import (
    Habits,
    Weight,
    is_dead_end,
    is_scale_free,
    usual_stds,
)
from jaxinit.trace.use import ParamUse, Uses

_ROUNDING = 1e-3
"""Relative error that rounding to a narrow float and summing in float32 may add."""

_MOST_ENTRIES = 1 << 24
"""Larger matrices are not looked at for being orthogonal."""

_TARGETS = ("usual", "lecun", "kaiming", "xavier")
_NAMES = {"lecun": "lecun", "kaiming": "kaiming with its gain", "xavier": "xavier"}


class _Moments(NamedTuple):
    """What was measured of the entries of one array."""

    entries: int
    mean: complex
    square: float
    kurtosis: float

    @property
    def size(self) -> float:
        """The root mean square."""
        return math.sqrt(self.square) if self.square >= 0 else math.nan


class _Limits(NamedTuple):
    """How far a measurement may be off.

    Attributes:
        deviations: That many standard errors are chance.
        tolerance: The share that is let pass on top.
    """

    deviations: float
    tolerance: float

    def of_std(self, count: int, kurtosis: float) -> float:
        """Return the relative bound on a standard deviation, chance alone."""
        # Var(s^2) = s^4 (kurtosis - 1) / n, and s has half the relative error of s^2.
        return self.deviations * math.sqrt((kurtosis - 1) / count) / 2


@boundary
def audit(
    params: PyTree,
    uses: Uses | Plan,
    *,
    target: str | Callable[[ParamUse], float | None] = "usual",
    tolerance: float = 0.0,
    false_alarm: float = 1e-6,
) -> Audit:
    r"""Compare the standard deviation of every leaf with the one that its use asks for.

    Against a plan, each leaf is held to the distribution that the plan states. Against
    traced uses the initializer is not known, so a weight passes if its standard deviation
    is, within sampling error, what any of the field's usual schemes gives **with the fans
    that the computation has**: LeCun, Kaiming (with the gain of ReLU, or the traced one),
    Xavier, the layer defaults of PyTorch and Haiku, orthogonal, a fixed 0.02 or another
    fixed value that weights of different fans share. A layer that took its fans from the
    wrong axes is none of these, or has the value of another scheme by accident, which the
    rest of the model shows. Zeros pass where they leave no weight without a signal. Biases,
    scales and tables are measured and have no target.

    The bound on the ratio is :math:`z \sqrt{(\kappa - 1) / n} / 2` for n entries of
    kurtosis :math:`\kappa`, with z of the stated probability; for few entries it is wide.

    Args:
        params: The tree of arrays.
        uses: What :func:`jaxinit.trace_params` found, or a plan, of the same paths.
        target: Without a plan, what a weight is held to: ``"usual"`` as above, or one
            scheme: ``"lecun"`` :math:`1/\sqrt{fan_{in}}`, ``"kaiming"``
            :math:`gain/\sqrt{fan_{in}}`, ``"xavier"``
            :math:`\sqrt{2/(fan_{in}+fan_{out})}`; or a function from a use to a standard
            deviation, None for no target.
        tolerance: Relative deviation that is let pass on top of the bound, at least 0.
        false_alarm: Probability, per leaf, of flagging one that is right. In (0, 1).

    Returns:
        The findings: data. Printed, they say first what is off, by how much, and the rules
        that mend it, ready to paste; then a table with like leaves in one line.

    Raises:
        ValueError: Paths differ from those of ``uses``; an option is out of range.
        TypeError: A leaf is no array.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> init = jax.nn.initializers.lecun_normal()
        >>> params = {"w": init(jax.random.key(0), (8, 64, 64))}
        >>> x = jax.ShapeDtypeStruct((5, 64), "float32")
        >>> def apply(params, x):
        ...     return jax.lax.scan(lambda x, w: (x @ w, None), x, params["w"])[0]
        >>> found = jaxinit.audit(params, jaxinit.trace_params(apply, params, x))
        >>> found["w"].is_off, found["w"].remark
        (True, '0.3542 of lecun, as if fan_in were 510 and not 64')
    """
    allowed = check_number("tolerance", tolerance, least=0)
    chance = check_number("false_alarm", false_alarm, least=0, most=1)
    if not 0 < chance < 1:
        got = f"false_alarm={false_alarm}"
        value_error("false_alarm must be between 0 and 1", got, "Give 1e-6.")
    limits = _Limits(normal_quantile(float(chance) / 2), float(allowed))
    arrays = _arrays(params, uses)
    found = {path: _moments(leaf) for path, leaf in arrays.items()}
    if isinstance(uses, Plan):
        rows = {row.path: row for row in uses if row.path in arrays}
        return Audit([_by_plan(rows[path], found[path], limits) for path in arrays])
    if not callable(target):
        check_choice("target", target, _TARGETS)
    if target != "usual":
        return Audit([
            _by_target(uses[path], found[path], limits, target) for path in arrays
        ])
    weights = {
        path: _weight(uses[path], leaf, found[path], limits)
        for path, leaf in arrays.items()
        if uses[path].role == "weight" and found[path].entries
    }
    finite = [weight for weight in weights.values() if math.isfinite(weight.std)]
    habits = Habits(finite)
    every = list(uses.values())
    return Audit([
        _by_habit(uses[path], found[path], limits, weights.get(path), habits, every)
        for path in arrays
    ])


def _arrays(params: PyTree, uses: object) -> dict[str, Any]:
    """Return the arrays by path, which must be those of the uses."""
    if not isinstance(uses, (Uses, Plan)):
        advice = "Make them with trace_params, plan or auto."
        type_error("uses must be traced uses or a plan", f"{uses!r}", advice)
    paths, leaves, _ = flatten(params)
    arrays = {p: x for p, x in zip(paths, leaves, strict=True) if is_array(x)}
    if isinstance(uses, Plan):
        known = {row.path for row in uses if row.rule != "no array"}
    else:
        known = set(uses)
    missing = sorted(arrays.keys() ^ known)
    if missing:
        rule = "params and uses must have the same paths"
        value_error(rule, f"differences at {', '.join(missing)}", "Trace this tree.")
    shapes = [path for path, x in arrays.items() if isinstance(x, jax.ShapeDtypeStruct)]
    if shapes:
        advice = "Give the initialised parameters."
        type_error("params must be arrays", f"only a shape for {shapes[0]}", advice)
    return arrays


def _base(path: str, shape: tuple[int, ...], role: str, found: _Moments) -> Finding:
    base = Finding(path, shape, role, None, found.size, None, None, is_off=False, remark="")
    if not math.isfinite(found.square):
        return dataclasses.replace(base, is_off=True, remark="not all finite")
    return base


def _by_plan(row: Row, found: _Moments, limits: _Limits) -> Finding:
    """Hold a leaf to the distribution of its plan."""
    planned = row.distribution
    base = _base(row.path, row.shape, row.use.role if row.use else "", found)
    if planned.std is None or planned.mean is None:
        return (
            base
            if base.is_off
            else dataclasses.replace(base, remark="no known distribution")
        )
    kurtosis = 1.0 if planned.is_fixed else planned.kurtosis or 3.0
    held = (planned.std, planned.mean, kurtosis)
    return _held(base, found, limits, *held)


def _by_target(
    use: ParamUse,
    found: _Moments,
    limits: _Limits,
    target: str | Callable[[ParamUse], float | None],
) -> Finding:
    """Hold a weight to one scheme, or a leaf to what a function says."""
    base = _base(use.path, use.shape, use.role, found)
    if callable(target):
        std = target(use)
        return base if std is None else _held(base, found, limits, float(std))
    if use.role != "weight" or use.fans is None:
        return dataclasses.replace(base, remark=base.remark or use.reason)
    factor = abs(use.factor * use.output_factor)
    scheme = _NAMES[target]
    std = usual_stds(use, use.fans, factor)[scheme]
    return _mended(_held(base, found, limits, std), use, scheme, found)


def _by_habit(
    use: ParamUse,
    found: _Moments,
    limits: _Limits,
    weight: Weight | None,
    habits: Habits,
    every: list[ParamUse],
) -> Finding:
    """Hold a weight to the usual schemes, and to what the model shows of its own."""
    base = _base(use.path, use.shape, use.role, found)
    if base.is_off or weight is None:
        return dataclasses.replace(base, remark=base.remark or use.reason)
    if use.fans is None:
        return dataclasses.replace(base, remark="its fans are not known")
    if weight.std == 0:
        return _mended(_zeros(base, use, habits, every), use, habits.usual, found)
    if is_scale_free(use):
        return dataclasses.replace(base, remark="normalised before use")
    stds = habits.candidates(weight)
    name = min(stds, key=lambda name: abs(math.log(weight.std / stds[name])))
    result = _held(base, found, limits, stds[name])
    mistake = None if result.is_off else habits.mistake(weight)
    if mistake is not None and weight.wrong_fans is not None:
        right, wrong = use.fans, weight.wrong_fans
        std = usual_stds(use, right, weight.factor)[mistake]
        remark = (
            f"{mistake} with fans of {wrong.fan_in:g} to {wrong.fan_out:g}, as its shape "
            f"looks, and not {right.fan_in:g} to {right.fan_out:g}"
        )
        result = dataclasses.replace(
            result, target=std, ratio=weight.std / std, is_off=True, remark=remark
        )
    elif not result.is_off:
        return dataclasses.replace(result, remark=name)
    elif not result.remark:
        result = dataclasses.replace(result, remark=_explained(weight, stds["lecun"]))
    return _mended(result, use, mistake or habits.usual, found)


def _zeros(base: Finding, use: ParamUse, habits: Habits, every: list[ParamUse]) -> Finding:
    """Judge a weight of zeros: a choice unless no signal passes it."""
    if not any(weight.std for weight in habits.weights):
        return dataclasses.replace(base, is_off=True, remark="all weights are zeros")
    if is_dead_end(use, every):
        remark = "all zeros, and the next weight is fed by nothing else"
        return dataclasses.replace(base, is_off=True, remark=remark)
    return dataclasses.replace(base, remark="zeros, from which it may start")


def _held(
    base: Finding,
    found: _Moments,
    limits: _Limits,
    std: float,
    mean: complex = 0.0,
    kurtosis: float = 3.0,
) -> Finding:
    """Return the finding against a standard deviation and a mean; no remark on size."""
    if base.is_off or not found.entries:
        return base
    size = math.hypot(std, abs(mean))
    if found.square == 0 or size == 0:
        off = (found.square == 0) != (size == 0)
        remark = ("all zeros" if found.square == 0 else "not all zeros") if off else ""
        return dataclasses.replace(base, target=size, is_off=off, remark=remark)
    bound = limits.of_std(found.entries, kurtosis) if std else 0.0
    slack, ratio = limits.tolerance + _ROUNDING, found.size / size
    result = dataclasses.replace(base, target=size, ratio=ratio, bound=bound)
    if abs(ratio - 1) > bound + slack:
        return dataclasses.replace(result, is_off=True)
    shift = abs(found.mean - mean)
    if shift > limits.deviations * std / math.sqrt(found.entries) + slack * size:
        return dataclasses.replace(
            result, is_off=True, remark=f"its mean is {found.mean:.4g}"
        )
    return result


def _mended(finding: Finding, use: ParamUse, scheme: str, found: _Moments) -> Finding:
    """Return the finding with the initializer that mends it, if it is off."""
    if not finding.is_off or use.fans is None or use.role != "weight":
        return finding
    remark = finding.remark
    if not remark and finding.ratio is not None:
        remark = f"{finding.ratio:.4g} of its target"
    text = initializer_text(use, scheme, found.kurtosis)
    return dataclasses.replace(finding, remark=remark, mend=text)


def _weight(use: ParamUse, leaf: Any, found: _Moments, limits: _Limits) -> Weight:
    bound = limits.of_std(found.entries, 3.0) + limits.tolerance + _ROUNDING
    whole = orthogonal_std(leaf, use)
    return Weight(use, found.size, found.kurtosis, bound, whole)


def _explained(weight: Weight, lecun: float) -> str:
    right, implied = lecun**-2, weight.std**-2
    ratio = weight.std / lecun
    return f"{ratio:.4g} of lecun, as if fan_in were {implied:.0f} and not {right:.0f}"


def orthogonal_std(leaf: Any, use: ParamUse) -> float | None:
    """Return the entries' standard deviation if the weight is orthogonal, else None."""
    layout = use.layout
    if layout is None or layout.groups > 1 or not isinstance(leaf, (jax.Array, np.ndarray)):
        return None
    first = leaf[tuple(0 if letter == "B" else slice(None) for letter in layout.axes)]
    axes = layout.axes.replace("B", "")
    kinds = ("DHW", "I", "O")
    order = [i for kind in kinds for i, letter in enumerate(axes) if letter in kind]
    sizes = [math.prod(np.shape(first)[i] for i in order if axes[i] in k) for k in kinds]
    columns = sizes[2]
    if not 1 < columns < np.size(first) or np.size(first) > _MOST_ENTRIES:
        return None
    wide = np.complex128 if np.dtype(first.dtype).kind == "c" else np.float64
    by_tap = np.asarray(first, wide).transpose(order).reshape(sizes)
    used = np.flatnonzero(by_tap.any(axis=(1, 2)))
    is_delta = sizes[0] > 1 and len(used) == 1  # delta-orthogonal: one tap, the rest 0
    matrix = by_tap[used[0]] if is_delta else by_tap.reshape(-1, columns)
    short = matrix if matrix.shape[0] <= columns else matrix.T
    gram = short @ short.conj().T
    gain = np.trace(gram).real / len(gram)
    if gain == 0 or np.abs(gram - gain * np.eye(len(gram))).max() > 0.02 * gain:
        return None
    return math.sqrt(gain / max(matrix.shape) / (sizes[0] if is_delta else 1))


def _moments(leaf: Any) -> _Moments:
    """Return mean, mean square and kurtosis, summed in float32 or wider."""
    count = math.prod(leaf.shape)
    if not count or not jnp.issubdtype(leaf.dtype, jnp.inexact):
        return _Moments(0, 0.0, 0.0, 3.0)
    scale, mean, square, fourth = (value.item() for value in _measured(leaf))
    if scale == 0 or not math.isfinite(scale):
        return _Moments(count, 0.0, scale, 3.0)
    return _Moments(count, mean, square * scale**2, fourth / square**2)


@jax.jit
def _measured(leaf: jax.Array) -> tuple[jax.Array, ...]:
    """Return the largest size, the mean, and mean powers of the sizes over the largest."""
    is_complex = jnp.issubdtype(leaf.dtype, jnp.complexfloating)
    if not is_complex and leaf.dtype.itemsize < 4:
        leaf = leaf.astype(jnp.float32)
    sizes = jnp.abs(leaf)
    scale = sizes.max()
    squares = jnp.square(sizes / jnp.where(scale > 0, scale, 1))
    return scale, leaf.mean(), squares.mean(), jnp.square(squares).mean()


def normal_quantile(tail: float) -> float:
    """Return z with a chance of ``tail`` that a standard normal number is above it."""
    low, high = 0.0, 40.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if math.erfc(middle / math.sqrt(2)) / 2 > tail else (low, middle)
        )
    return (low + high) / 2
