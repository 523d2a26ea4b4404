"""Operations that act on each entry alone, and parameters that meet the data there."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from jaxinit.trace.roles.atoms import FEATURE, NEW, Atom, Dims, lengths, lettered, plain
from jaxinit.trace.roles.expressions import VALUE, contains
from jaxinit.trace.roles.merging import SUMS, merge, merged_dims
from jaxinit.trace.roles.parameters import (
    FOLDED,
    MASKED,
    SCALE_FREE,
    dominant,
    factors_of,
    inverted,
    own_axes,
    without_data,
)
from jaxinit.trace.roles.values import (
    Factors,
    Opaque,
    Pack,
    Record,
    Signal,
    Value,
    View,
    Walk,
    flag_summed,
    give_up,
    leaves_of,
    views_of,
)


def elementwise(
    walk: Walk, name: str, values: Sequence[Value], params: dict[str, Any], shape: Any
) -> Value:
    """Return the result of an operation on each entry."""
    values = [aligned(_as_signal(value), shape) for value in values]
    signals = [value for value in values if isinstance(value, Signal)]
    if not signals:
        return without_data(walk, name, values, params, _as_data)
    if any(isinstance(value, Opaque) for value in values):
        reason = next(value.reason for value in values if isinstance(value, Opaque))
        return give_up(walk, values, reason)
    if leaves_of(values):
        return _meet_parameters(walk, name, values, signals)
    result = merge(walk, name, values, signals, params)
    if isinstance(result, Signal) and result.dims is None:
        return dataclasses.replace(result, dims=merged_dims(signals, shape))
    return result


def aligned(value: Value, shape: Sequence[int]) -> Value:
    """Return the value with its axes of length 1 repeated, where the result has more."""
    if isinstance(value, Factors):
        parts = (aligned(part, shape) for part in value.parts)
        return Factors(tuple(part for part in parts if isinstance(part, View)))
    if isinstance(value, View):
        return value.each(
            lambda view: dataclasses.replace(view, dims=_full(view.dims, shape))
        )
    if isinstance(value, Signal) and value.dims is not None:
        carried = tuple(
            (record, dataclasses.replace(view, dims=_full(view.dims, shape)))
            for record, view in value.carried
        )
        return dataclasses.replace(value, dims=_full(value.dims, shape), carried=carried)
    return value


def _full(dims: Dims, shape: Sequence[int]) -> Dims:
    if not dims:
        return tuple((Atom(NEW, -1, n),) for n in shape)
    if len(dims) != len(shape) or lengths(dims) == tuple(shape):
        return dims
    return tuple(
        ((Atom(NEW, -1, n),) if n > 1 and length == 1 else dim)
        for dim, length, n in zip(dims, lengths(dims), shape, strict=True)
    )


def _as_signal(value: Value) -> Value:
    """Return the value; of raw input, without what was done to it."""
    if isinstance(value, Signal) and value.base.kind == "input":
        return dataclasses.replace(value, expression=VALUE)
    return value


# ------------------------------------------------------------- a parameter meets the data


def _meet_parameters(
    walk: Walk,
    name: str,
    values: Sequence[Value],
    signals: list[Signal],
) -> Value:
    parameters = [value for value in values if isinstance(value, (View, Pack, Factors))]
    if name == "select_n" and leaves_of(values[1:]) and not leaves_of(values[:1]):
        return _selected(walk, values, parameters)
    if len(parameters) == 1 and len(signals) == 1 and len(values) == 2:
        (parameter,), (signal,) = parameters, signals
        if name in SUMS and not isinstance(parameter, Factors):
            views = _added_views(parameter)
            records = [_add_parameter(walk, signal, view) for view in views]
            _find_noise(records, [MASKED in view.notes for view in views])
            if signal.summed:  # a sum of products by hand
                signal = dataclasses.replace(
                    signal, statistic="", level=0, summed=frozenset()
                )
            return _carrying(signal, parameter, records)
        if name == "mul" or (name == "div" and parameter is values[1]):
            return _multiplied(walk, name, signal, parameter)
        whole = dominant(parameter)
        if name == "div" and whole is not None and not whole.is_spread():
            record = Record(whole.leaf, "unknown", "divided by the data", whole)
            walk.records.append(record)
            result = Signal(walk.new_base("product", values), dims=signal.dims)
            return _carrying(result, whole, [record])
    return give_up(walk, values, f"enters {name} together with the data")


def _find_noise(records: Sequence[Record], masked: Sequence[bool]) -> None:
    """Tell what only scales noise, in a sum of parameters, from the biases beside it."""
    if all(masked) or not any(masked):
        return
    for record, is_noise in zip(records, masked, strict=True):
        if is_noise:
            record.role, record.reason = "unknown", "scales noise, or a fixed array"
            record.met_data = False  # another use of it tells more


def _added_views(parameter: Value) -> list[View]:
    """Return the parameters of a sum of parameters."""
    return [
        one for view in views_of(parameter) for one in (view, *view.beside) if not one.inner
    ]


def _multiplied(walk: Walk, name: str, signal: Signal, parameter: Value) -> Signal:
    """Return the data times a parameter, or divided by it."""
    records, views = [], factors_of(parameter)
    for view in views:
        for one in (view, *view.factors):
            record = _scale_by(one if name == "mul" else inverted(one), one)
            records.append(record)
    walk.records.extend(records)
    if _is_stored_deviation(views):
        return Signal(walk.new_base("normalisation", [signal]), dims=signal.dims)
    return _carrying(_scaled(signal, parameter), dominant(parameter), records)


def _carrying(signal: Signal, parameter: Value | None, records: list[Record]) -> Signal:
    """Return the signal; if the parameter has all its axes, perhaps a weight with noise."""
    view = dominant(parameter) if parameter is not None else None
    if view is None or view.is_spread() or not own_axes(view):
        return signal
    if signal.dims is not None and lengths(signal.dims) != lengths(view.dims):
        return signal
    pairs = tuple((record, record.view or view) for record in records)
    dims = signal.dims if signal.dims is not None else plain(lengths(view.dims))
    return dataclasses.replace(signal, dims=dims, carried=(*signal.carried, *pairs))


def _as_data(walk: Walk, name: str, data: Value, bias: Value) -> Value:
    """Take a parameter for data: another one is added to it as a bias."""
    view = dominant(data)
    if view is None:
        return give_up(walk, [data, bias], "combined with another parameter before use")
    for factor in view.factors:
        walk.records.append(_scale_by(factor, factor))
    signal = stands_for_data(walk, view)
    return _meet_parameters(walk, name, [signal, bias], [signal])


def stands_for_data(walk: Walk, view: View) -> Signal:
    """Return a parameter that stands for data, as data; of a product, the first one."""
    kind = "normalisation" if SCALE_FREE in view.notes else "embedding"
    inner = lettered(view.inner, "O")
    record = token(view, "stands for data")
    record.letters = (*((a, "I" if inner else x) for a, x in record.letters), *inner)
    walk.records.append(record)
    base = walk.new_base(kind, [], walk.paths[view.leaf] if kind == "embedding" else "")
    dims = [tuple(atom._replace(axis=NEW) for atom in dim) for dim in view.common]
    if dims:
        dims[-1] = tuple(atom._replace(axis=FEATURE) for atom in view.common[-1])
    signal = Signal(base, dims=tuple(dims))
    if not view.inner:
        return signal
    (weight,) = view.beside
    letters = lettered(weight.dims, "O") + lettered(weight.inner, "I")
    record = Record(weight.leaf, "weight", "", weight, letters, source=signal)
    walk.records.append(record)
    base = walk.new_base("weight", [signal], walk.paths[weight.leaf], (record,))
    return Signal(base, dims=tuple(dims))


def _is_stored_deviation(views: Sequence[View]) -> bool:
    """Whether a root is taken of one of them, as batch norms do with a stored variance."""
    return any(contains(view.through, ("rsqrt", "sqrt")) for view in views)


def _selected(walk: Walk, values: Sequence[Value], parameters: Sequence[Value]) -> Value:
    """Follow a choice by the data between a parameter and something else."""
    cases = values[1:]
    signals = [case for case in cases if isinstance(case, Signal)]
    views = [case for case in cases if isinstance(case, View)]
    whole = [view for view in views if len(own_axes(view)) > 1 and not view.is_spread()]
    if not signals and len(views) == 1 and whole:
        return views[0].noted("masked by data or at random before use")
    for parameter in parameters:
        for view in views_of(parameter):
            walk.records.append(token(view, "chosen in place of the data"))
    base = walk.new_base("embedding", cases)
    return Signal(base, dims=signals[0].dims if signals else None)


def token(view: View, reason: str) -> Record:
    """Return the record of a parameter that stands where data stands."""
    letters = lettered(view.dims[-1:], "O") + lettered(view.dims[:-1], "I")
    return Record(view.leaf, "embedding", reason, view, letters)


def _add_parameter(walk: Walk, signal: Signal, view: View) -> Record:
    is_average = view.through is not VALUE  # 0.9 * mean + 0.1 * mean of the batch
    if signal.statistic and is_average and not signal.base.records:
        flag_summed(walk, signal)
        reason = "added to a sum or mean of the data (a running average?)"
        record = Record(view.leaf, "unknown", reason, view)
    elif _varies_with_position(signal, view):
        record = token(view, "added at every position")
    else:
        record = Record(view.leaf, "bias", view=view, notes=list(view.notes))
        record.met_data = FOLDED not in view.notes
    walk.records.append(record)
    return record


def _varies_with_position(signal: Signal, view: View) -> bool:
    """Whether the parameter differs along axes of the data that hold no features."""
    own = [
        i
        for i, dim in enumerate(view.dims)
        if any(atom.axis >= 0 and atom.size > 1 for atom in dim)
    ]
    if signal.dims is None or len(signal.dims) != len(view.dims):
        return len(own) > 1
    return any(all(atom.axis < 0 for atom in signal.dims[i] if atom.size > 1) for i in own)


def _scale_by(used: View, view: View) -> Record:
    """Return the record of a parameter that multiplies the data."""
    return Record(view.leaf, "scale", view=used, notes=list(view.notes))


def _scaled(signal: Signal, parameter: Value) -> Signal:
    views = factors_of(parameter)
    axes = frozenset(
        i
        for view in views
        for i, dim in enumerate(view.dims)
        if any(atom.axis >= 0 and atom.size > 1 for atom in dim)
    )
    dims = signal.dims
    if dims is not None and all(i < len(dims) for i in axes):
        sizes = zip(lengths(dims), *(lengths(view.dims) for view in views), strict=False)
        feature = [(Atom(FEATURE, 0, max(own)),) for own in sizes]
        dims = tuple(
            feature[i] if i in axes and all(atom.axis < 0 for atom in dim) else dim
            for i, dim in enumerate(dims)
        )
    return dataclasses.replace(
        signal,
        dims=dims,
        scales=signal.scales | {view.leaf for view in views},
        scaled_axes=signal.scaled_axes | axes,
    )


def convert(walk: Walk, value: Value, dtype: Any) -> Value:
    """Return the value after a change of dtype."""
    if isinstance(value, Signal):
        if jnp.issubdtype(dtype, jnp.inexact) or value.is_discrete:
            return value
        if value.base is walk.input_base:
            return dataclasses.replace(value, is_discrete=True, expression=VALUE)
        if dtype == jnp.bool_:
            return value
        base = walk.new_base("rounding to integers", [value])
        return Signal(base, dims=value.dims, is_discrete=True)
    if leaves_of([value]) and not jnp.issubdtype(dtype, jnp.inexact):
        return give_up(walk, [value], f"converted to {jnp.dtype(dtype).name}")
    return value
