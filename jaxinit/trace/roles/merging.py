"""Entry-by-entry operations on the data alone: masks, norms, residual additions."""

import dataclasses
import functools
import math
import operator
from collections.abc import Sequence
from typing import Any

from jaxinit.trace.roles.atoms import NEW, Dims, lengths
from jaxinit.trace.roles.expressions import (
    VALUE,
    Expression,
    apply,
    contains_only,
    linear_factor,
)
from jaxinit.trace.roles.values import (
    RANDOM,
    Base,
    Constant,
    Record,
    Signal,
    Value,
    Walk,
    flag_summed,
    give_up,
)
from jaxinit.trace.use import LOW_RANK

SUMS = frozenset({"add", "sub", "add_any"})
PRODUCTS = frozenset({"mul", "div"})
COMPARISONS = frozenset({"eq", "ne", "lt", "le", "gt", "ge"})
_INVERTING = frozenset({"rsqrt", "sqrt", "div", "pow", "integer_pow"})
_PLAIN_ON_STATISTICS = SUMS | PRODUCTS | {"neg", "stop_gradient", "copy"}
_SCALING = frozenset({"value", "number", "mul", "div", "neg"})
MASKED = "a mask or dropout stands between, which the gain leaves out"
OFFSET = "an array is added between, which the gain leaves out"
STRETCHED = "an array multiplies between, which the gain leaves out"


def merge(
    walk: Walk,
    name: str,
    values: Sequence[Value],
    signals: list[Signal],
    params: dict[str, Any],
) -> Value:
    """Return the result of an operation on signals and constants."""
    if name in COMPARISONS and all(signal.is_discrete for signal in signals):
        one_hot = name == "eq" and len(values) == 2
        return dataclasses.replace(signals[0], expression=VALUE, is_one_hot=one_hot)
    if name == "select_n":
        return _select(walk, values, signals, params)
    if len(signals) == 2 and name in PRODUCTS | SUMS:
        masked = _mask(name, signals)
        if masked is not None:
            return masked
    if len({(id(signal.base), signal.level) for signal in signals}) == 1:
        return _same_base(walk, name, values, signals, params)
    if len(signals) == 2:
        return _two_signals(walk, name, values, signals)
    return give_up(walk, values, f"{name} of several signals")


def _mask(name: str, signals: list[Signal]) -> Signal | None:
    """Return the signal that a discrete one masks, if that is what happens."""
    discrete = [signal for signal in signals if signal.is_discrete]
    others = [signal for signal in signals if not signal.is_discrete]
    if len(discrete) != 1 or len(others) != 1:
        return None
    return noted(others[0], MASKED if name in PRODUCTS else OFFSET)


def noted(signal: Signal, note: str) -> Signal:
    """Return the signal with one more note."""
    return dataclasses.replace(signal, notes=signal.notes | {note})


def _same_base(
    walk: Walk,
    name: str,
    values: Sequence[Value],
    signals: list[Signal],
    params: dict[str, Any],
) -> Value:
    first = signals[0]
    arguments, notes = [], frozenset().union(*(signal.notes for signal in signals))
    for value in values:
        if isinstance(value, Signal) or (
            isinstance(value, Constant) and value.expression is not None
        ):
            arguments.append(value.expression)
        elif name in SUMS:
            return noted(first, OFFSET)
        elif name in PRODUCTS:
            return noted(first, STRETCHED)
        else:
            return give_up(walk, values, f"{name} with a constant array")
    if len(signals) == 1 and first.level == 0:
        _note_scaling(name, first, arguments)
    if len(signals) > 1 or name not in _PLAIN_ON_STATISTICS:
        _note_entering(signals)
    learned = _learned(walk, signals)
    summed = frozenset().union(*(signal.summed for signal in signals))
    expression = VALUE
    if first.statistic and name not in _PLAIN_ON_STATISTICS:
        notes = notes | {f"{name} after a reduction, which the gain leaves out"}
    pooled = first.base.kind == "average pooling" and first.expression is VALUE
    if pooled and len(signals) == 1 and name in PRODUCTS:
        return first  # the division by the size of the window
    if first.base is not walk.input_base and not first.statistic:
        expression = apply(name, tuple(arguments), params)
    return Signal(
        first.base,
        expression,
        first.dims if len(signals) == 1 else None,
        first.statistic,
        first.level,
        any(signal.is_inverted for signal in signals) or name in _INVERTING,
        all(signal.is_discrete for signal in signals) and name not in ("exp", "log"),
        first.is_one_hot and len(signals) == 1,
        notes,
        frozenset().union(*(signal.scales for signal in signals)),
        summed,
        frozenset().union(*(signal.scaled_axes for signal in signals)),
        learned,
        first.carried if len(signals) == 1 and name in _PLAIN_ON_STATISTICS else (),
    )


def _note_scaling(name: str, signal: Signal, arguments: Sequence[Expression]) -> None:
    """Tell weights of a number that multiplies their output."""
    if name in ("sin", "cos") and signal.expression is not VALUE:
        frequency = linear_factor(signal.expression)
        for record in signal.base.records if frequency else ():
            record.frequency = frequency
    before = linear_factor(signal.expression)
    if name in PRODUCTS and before is not None and signal.base.records:
        factor = linear_factor(apply(name, tuple(arguments), {}))
        for record in signal.base.records if factor is not None else ():
            record.scalings = (record.scalings - {before}) | {factor or 1.0}


def _note_entering(signals: Sequence[Signal]) -> None:
    """Tell weights with what factor their output enters, so as to know a part's from all's.

    A leaky ReLU multiplies its input by the slope, but takes it as it is too.
    """
    for signal in signals:
        if signal.level == 0 and signal.base.records:
            factor = linear_factor(signal.expression)
            for record in signal.base.records if factor is not None else ():
                record.entered.add(factor or 1.0)


def _learned(walk: Walk, signals: list[Signal]) -> frozenset[int]:
    """Return the parameters that shape an activation, and say so of new ones."""
    known = frozenset().union(*(signal.learned for signal in signals))
    every = functools.reduce(operator.or_, (signal.scales for signal in signals))
    common = functools.reduce(operator.and_, (signal.scales for signal in signals))
    is_statistic = signals[0].level > 0  # a deviation times the scale of its norm
    if len(signals) > 1 and signals[0].base is not walk.input_base and not is_statistic:
        for leaf in sorted(every - common - known):
            reason = "shapes the activation, whose gain depends on its value"
            walk.records.append(Record(leaf, "unknown", reason))
        return known | (every - common)
    return known


def _two_signals(
    walk: Walk, name: str, values: Sequence[Value], signals: list[Signal]
) -> Value:
    one, other = signals
    if name in SUMS:
        _find_noise(signals)
    statistic, rest = (one, other) if one.level > other.level else (other, one)
    if statistic.level != rest.level and _is_related(statistic, rest):
        return _with_statistic(walk, name, values, statistic, rest, rest is one)
    running = _running_statistic(walk, one, other)
    if running is not None and name in SUMS | PRODUCTS:
        return _with_running(walk, name, values, running, other if running is one else one)
    for signal in signals:
        flag_summed(walk, signal)
    if name in SUMS:
        return _added(walk, values, one, other)
    if name in PRODUCTS:
        return Signal(walk.new_base("product", values))
    return give_up(walk, values, f"{name} of two signals")


def _is_related(one: Signal, other: Signal) -> bool:
    return _descends(one.base, other.base) or _descends(other.base, one.base)


def _descends(base: Base, origin: Base) -> bool:
    return base.ancestors & origin.ancestors == origin.ancestors


def _with_statistic(
    walk: Walk,
    name: str,
    values: Sequence[Value],
    statistic: Signal,
    rest: Signal,
    rest_is_first: bool,
) -> Value:
    exponential = statistic.statistic == "exp-sum"
    if name in SUMS:
        if exponential:
            return Signal(walk.new_base("log-softmax", values), dims=rest.dims)
        return rest
    if (name == "div" and rest_is_first) or (name == "mul" and statistic.is_inverted):
        kind = "softmax" if exponential and _is_exponential(rest) else "normalisation"
        return Signal(walk.new_base(kind, values), dims=rest.dims)
    if name == "mul":
        return Signal(walk.new_base("product", values), dims=rest.dims)
    if name in COMPARISONS | {"max", "min"}:
        return Signal(walk.new_base(f"{name} with its own statistic", values))
    return give_up(walk, values, f"{name} with its own statistic")


def _is_exponential(signal: Signal) -> bool:
    return signal.expression.operation in ("exp", "exp2")


def _running_statistic(walk: Walk, one: Signal, other: Signal) -> Signal | None:
    """Return the input that is the same for all data, such as a stored mean, if one is."""
    for fixed, moving in ((one, other), (other, one)):
        if fixed.base is not walk.input_base or moving.base is walk.input_base:
            continue
        if fixed.dims is None or moving.dims is None or len(fixed.dims) != len(moving.dims):
            continue
        data = [
            fixed.dims[i]
            for i, dim in enumerate(moving.dims)
            if all(atom.axis < 0 for atom in dim) and any(atom.size > 1 for atom in dim)
        ]
        repeated = (
            atom.size == 1 or atom == (NEW, -1, atom.size) for d in data for atom in d
        )
        if data and all(repeated):
            return fixed
    return None


def _with_running(
    walk: Walk, name: str, values: Sequence[Value], running: Signal, rest: Signal
) -> Value:
    if name in SUMS:
        return noted(rest, OFFSET)
    if running.is_inverted or name == "div":
        return Signal(walk.new_base("normalisation", values), dims=rest.dims)
    return noted(rest, STRETCHED)


def _added(walk: Walk, values: Sequence[Value], one: Signal, other: Signal) -> Signal:
    _find_low_rank(one, other)
    if _is_related(one, other):
        return Signal(walk.new_base("residual addition", values))
    plain_sum = one.expression is VALUE and other.expression is VALUE
    records = ()
    if plain_sum and one.base.records and other.base.records:
        records = one.base.records + other.base.records
    return Signal(walk.new_base("addition", values, records=records))


def _find_noise(signals: Sequence[Signal]) -> None:
    """Tell the scale of noise in a noisy bias: mean + deviation * input."""
    if all(signal.base.kind == "input" for signal in signals):
        return
    for signal in signals:
        for record, _ in signal.carried if signal.base.kind == "input" else ():
            if record.role == "scale":
                record.role, record.reason = "unknown", "scales noise that is an input"
                record.met_data = False  # another use of it tells more


def _find_low_rank(one: Signal, other: Signal) -> None:
    """Mark the second factor of x @ a @ b that is added to x @ w of the same x."""
    for full, update in ((one, other), (other, one)):
        if len(full.base.records) != 1 or not update.base.records:
            continue
        (weight,), second = full.base.records, update.base.records[-1]
        middle = second.source
        if not isinstance(middle, Signal) or len(middle.base.records) != 1:
            continue
        (first,) = middle.base.records
        if not isinstance(weight.source, Signal) or not isinstance(first.source, Signal):
            continue
        is_linear = contains_only(middle.expression, _SCALING)
        narrow = _size(second, "I") < min(_size(weight, "O"), _size(weight, "I"))
        if first.source.base is weight.source.base and is_linear and narrow:
            second.reason = LOW_RANK


def _size(record: Record, letter: str) -> int:
    return math.prod(atom.size for atom, own in record.letters if own == letter)


def _select(
    walk: Walk, values: Sequence[Value], signals: list[Signal], params: dict[str, Any]
) -> Value:
    which, cases = values[0], values[1:]
    moving = [case for case in cases if isinstance(case, Signal)]
    fixed = all(isinstance(case, (Signal, Constant)) for case in cases)
    if not moving:
        discrete = isinstance(which, Signal) and which.is_discrete
        if discrete or which is None or not isinstance(which, Signal):
            return dataclasses.replace(signals[0], expression=VALUE)
        return _same_base(walk, "select_n", values, signals, params)
    own = isinstance(which, Signal) and not which.is_discrete
    if own and all(case.base is signals[0].base for case in moving):
        return _same_base(walk, "select_n", values, signals, params)
    same = all(case.base is moving[0].base for case in moving)
    if fixed and same and all(case.expression is moving[0].expression for case in moving):
        random = not isinstance(which, Signal) or which.base.kind == RANDOM
        return noted(_without_rescaling(moving[0]) if random else moving[0], MASKED)
    if all(signal.is_discrete for signal in signals):
        return moving[0]
    return Signal(walk.new_base("selection", signals), dims=moving[0].dims)


def _without_rescaling(signal: Signal) -> Signal:
    """Return the signal without the division that makes up for dropped entries."""
    node = signal.expression
    if node.operation == "div" and node.arguments[1].operation == "number":
        return dataclasses.replace(signal, expression=node.arguments[0])
    return signal


def merged_dims(signals: Sequence[Signal], shape: Sequence[int]) -> Dims | None:
    """Return dims in which an axis holds features if it does in any of the signals."""
    known = [
        s.dims for s in signals if s.dims is not None and lengths(s.dims) == tuple(shape)
    ]
    if not known:
        return None
    result = []
    for choices in zip(*known, strict=True):
        features = [dim for dim in choices if any(atom.axis >= 0 for atom in dim)]
        result.append(features[0] if features else choices[0])
    return tuple(result)
