"""``audit``: what was drawn against what should have been."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_number, type_error, value_error
from jaxinit._layout import Fans
from jaxinit._paths import PyTree, flatten
from jaxinit._samples import TRUNCATED_STD
from jaxinit._table import table
from jaxinit.models.plan import Plan, Row
from jaxinit.trace.use import ParamUse, Uses

_ROUNDING = 1e-3
"""Relative error that rounding to a narrow float and summing in float32 may add."""

_MOST_ENTRIES = 1 << 24
"""Larger matrices are not looked at for being orthogonal."""

_TARGETS = ("usual", "lecun", "kaiming", "xavier")


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was measured of one leaf.

    Attributes:
        path: Its path.
        shape: Its axis lengths.
        role: How the model uses it; ``""`` if not traced.
        target: The standard deviation that it should have, None if none is known.
        measured: The one that it has, as a root mean square.
        ratio: measured / target; None without a target.
        bound: How far the ratio may be from 1 by chance.
        is_off: Whether it is further than that, and than ``tolerance``.
        remark: Why, in words.
    """

    path: str
    shape: tuple[int, ...]
    role: str
    target: float | None
    measured: float
    ratio: float | None
    bound: float | None
    is_off: bool
    remark: str


class Audit(Sequence[Finding]):
    """The findings of all leaves; ``print`` shows a table."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self._findings = tuple(findings)

    def __getitem__(self, index: Any) -> Any:
        """Return the finding of that number, or of that path."""
        if isinstance(index, str):
            found = [finding for finding in self._findings if finding.path == index]
            if not found:
                raise KeyError(index)
            return found[0]
        return self._findings[index]

    def __len__(self) -> int:
        return len(self._findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._findings)

    @property
    def off(self) -> tuple[Finding, ...]:
        """The findings that are off."""
        return tuple(finding for finding in self if finding.is_off)

    def __repr__(self) -> str:
        return f"<Audit of {len(self)} leaves, {len(self.off)} off>"

    def __str__(self) -> str:
        """Return the table, one line a leaf."""
        head = (
            "",
            "path",
            "shape",
            "role",
            "target",
            "measured",
            "ratio",
            "bound",
            "remark",
        )
        return table([head, *(_cells(finding) for finding in self)])


def _cells(f: Finding) -> tuple[str, ...]:
    def text(value: float | None) -> str:
        return "" if value is None else f"{value:.4g}"

    flag = "OFF" if f.is_off else ""
    numbers = (text(f.target), text(f.measured), text(f.ratio), text(f.bound))
    return (flag, f.path, str(f.shape), f.role, *numbers, f.remark)


class _Target(NamedTuple):
    """What a leaf is held to: one of several named distributions, or nothing."""

    role: str
    distributions: tuple[tuple[str, float], ...] = ()
    mean: float = 0.0
    kurtosis: float = 3.0
    remark: str = ""


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
    that the computation
    has**: LeCun, Kaiming (with the gain of ReLU, or the traced one), Xavier, the layer
    defaults of PyTorch and Haiku, orthogonal, or a fixed 0.02. A layer that took its fans
    from the wrong axes is none of these. Biases, scales and tables are measured and have no
    target.

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
        The findings: data, and a table when printed.

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
    where = "audit"
    allowed = check_number(where, "tolerance", tolerance, least=0)
    chance = check_number(where, "false_alarm", false_alarm, least=0, most=1)
    if not 0 < chance < 1:
        got = f"false_alarm={false_alarm}"
        value_error(where, "false_alarm must be between 0 and 1", got, "Give 1e-6.")
    deviations = normal_quantile(float(chance) / 2)
    paths, leaves, _ = flatten(where, params)
    targets = _targets(where, uses, target, dict(zip(paths, leaves, strict=True)))
    missing = sorted(
        {p for p, x in zip(paths, leaves, strict=True) if _has_values(x)} ^ set(targets)
    )
    if missing:
        rule = "params and uses must have the same paths"
        value_error(where, rule, f"differences at {', '.join(missing)}", "Trace this tree.")
    findings = []
    for path, leaf in zip(paths, leaves, strict=True):
        if _has_values(leaf):
            if isinstance(leaf, jax.ShapeDtypeStruct):
                advice = "Give the initialised parameters."
                type_error(
                    where, "params must be arrays", f"only a shape for {path}", advice
                )
            findings.append(_measure(path, leaf, targets[path], deviations, float(allowed)))
    return Audit(findings)


def _has_values(leaf: object) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def _targets(
    where: str,
    uses: Uses | Plan,
    target: str | Callable[[ParamUse], float | None],
    leaves: dict[str, Any],
) -> dict[str, _Target]:
    if isinstance(uses, Plan):
        rows = [row for row in uses if row.rule != "no array"]
        return {row.path: _of_plan(row) for row in rows}
    if not isinstance(uses, Uses):
        advice = "Make them with trace_params, plan or auto."
        type_error(where, "uses must be traced uses or a plan", f"{uses!r}", advice)
    if not callable(target):
        check_choice(where, "target", target, _TARGETS)
    return {path: _of_use(leaves.get(path), use, target) for path, use in uses.items()}


def _of_plan(row: Row) -> _Target:
    distribution, role = row.distribution, row.use.role if row.use else ""
    if distribution.std is None or distribution.mean is None:
        return _Target(role, remark="no known distribution")
    return _Target(
        role,
        ((distribution.text, distribution.std),),
        distribution.mean,
        distribution.kurtosis or 3.0,
    )


def _of_use(
    leaf: Any, use: ParamUse, target: str | Callable[[ParamUse], float | None]
) -> _Target:
    if callable(target):
        std = target(use)
        return _Target(use.role, () if std is None else (("target", float(std)),))
    if use.role != "weight":
        return _Target(use.role, remark=use.reason)
    if use.fans is None:
        return _Target(use.role, remark="its fans are not known")
    distributions = {
        name: std / abs(use.factor)
        for name, std in usual_distributions(use, use.fans).items()
    }
    if target == "usual":
        found = orthogonal_distribution(leaf, use)
        distributions |= {"orthogonal": found} if found is not None else {}
        return _Target(use.role, tuple(distributions.items()))
    if target == "kaiming" and use.gain is None:
        return _Target(use.role, remark="; ".join(use.notes))
    name = "kaiming with its gain" if target == "kaiming" else target
    return _Target(use.role, ((target, distributions[name]),))


def usual_distributions(use: ParamUse, fans: Fans) -> dict[str, float]:
    """Return the standard deviation that each of the usual schemes gives a weight."""
    unit, gain = fans.fan_in**-0.5, use.gain or 1.0
    average = math.sqrt(2 / (fans.fan_in + fans.fan_out))
    return {
        "lecun": unit,
        "kaiming with its gain": gain * unit,
        "kaiming for relu": math.sqrt(2) * unit,
        "kaiming for relu, fan_out": math.sqrt(2 / fans.fan_out),
        "xavier": average,
        "xavier with its gain": gain * average,
        "pytorch layers": unit / math.sqrt(3),
        "haiku layers": TRUNCATED_STD * unit,
        "0.02": 0.02,
        "0.02 truncated": 0.02 * TRUNCATED_STD,
    }


def orthogonal_distribution(leaf: Any, use: ParamUse) -> float | None:
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


def _measure(
    path: str, leaf: Any, target: _Target, deviations: float, tolerance: float
) -> Finding:
    shape = tuple(np.shape(leaf))
    count = math.prod(shape)
    mean, square = _moments(leaf) if count else (0.0, 0.0)
    base = Finding(
        path, shape, target.role, None, math.sqrt(square), None, None, False, target.remark
    )
    if not math.isfinite(square):
        return dataclasses.replace(base, is_off=True, remark="not all finite")
    if not target.distributions or count == 0:
        return base
    sizes = [
        (name, math.hypot(std, target.mean), std) for name, std in target.distributions
    ]
    if square == 0 or sizes[0][1] == 0:
        off = (square == 0) != (sizes[0][1] == 0)
        remark = ("all zeros" if square == 0 else "not all zeros") if off else ""
        return dataclasses.replace(base, target=sizes[0][1], is_off=off, remark=remark)
    name, size, std = min(
        sizes, key=lambda distribution: abs(math.log(base.measured / distribution[1]))
    )
    bound = deviations * math.sqrt((target.kurtosis - 1) / count) / 2 if std else 0.0
    allowed = bound + tolerance + _ROUNDING
    ratio = base.measured / size
    found = dataclasses.replace(base, target=size, ratio=ratio, bound=bound)
    if abs(ratio - 1) > allowed:
        return dataclasses.replace(found, is_off=True, remark=_explained(base, sizes))
    shift = abs(mean - target.mean)
    if shift > deviations * std / math.sqrt(count) + (tolerance + _ROUNDING) * size:
        return dataclasses.replace(found, is_off=True, remark=f"its mean is {mean:.4g}")
    return dataclasses.replace(found, remark=name if len(sizes) > 1 else "")


def _explained(base: Finding, sizes: list[tuple[str, float, float]]) -> str:
    name, size, _ = sizes[0]
    ratio = base.measured / size
    if name != "lecun":
        return "too small" if ratio < 1 else "too large"
    right, implied = size**-2, base.measured**-2
    return f"{ratio:.4g} of lecun, as if fan_in were {implied:.0f} and not {right:.0f}"


def _moments(leaf: Any) -> tuple[float, float]:
    """Return mean and mean square, summed in float32 or wider."""
    wide = jnp.asarray(leaf)
    if jnp.issubdtype(wide.dtype, jnp.complexfloating):
        return float(jnp.abs(wide.mean())), float(jnp.mean(jnp.abs(wide) ** 2))
    wide = wide.astype(jnp.promote_types(wide.dtype, np.float32))
    return float(wide.mean()), float(jnp.mean(jnp.square(wide)))


def normal_quantile(tail: float) -> float:
    """Return z with a chance of ``tail`` that a standard normal number is above it."""
    low, high = 0.0, 40.0
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (
            (middle, high) if math.erfc(middle / math.sqrt(2)) / 2 > tail else (low, middle)
        )
    return (low + high) / 2
