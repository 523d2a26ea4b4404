"""Operations that act on each entry alone, and parameters that meet the data there."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from jaxinit.trace.roles.atoms import FEATURE, Atom, lengths
from jaxinit.trace.roles.expressions import VALUE, Expression, apply, contains
from jaxinit.trace.roles.merging import PRODUCTS, SUMS, merge, merged_dims
from jaxinit.trace.roles.values import (
    UNKNOWN_CONSTANT,
    Constant,
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
)


def elementwise(
    walk: Walk, name: str, values: Sequence[Value], params: dict[str, Any], shape: Any
) -> Value:
    """Return the result of an operation on each entry."""
    values = [_as_signal(value) for value in values]
    signals = [value for value in values if isinstance(value, Signal)]
    if any(isinstance(value, Opaque) for value in values):
        reason = next(value.reason for value in values if isinstance(value, Opaque))
        return give_up(walk, values, reason)
    if not signals:
        return _without_data(walk, name, values, params)
    if leaves_of(values):
        return _meet_parameters(walk, name, values, signals)
    result = merge(walk, name, values, signals, params)
    if isinstance(result, Signal) and result.dims is None:
        return dataclasses.replace(result, dims=merged_dims(signals, shape))
    return result


def _as_signal(value: Value) -> Value:
    """Return the value; of raw input, without what was done to it."""
    if isinstance(value, Signal) and value.base.kind == "input":
        return dataclasses.replace(value, expression=VALUE)
    return value


def _without_data(
    walk: Walk, name: str, values: Sequence[Value], params: dict[str, Any]
) -> Value:
    packs = [value for value in values if isinstance(value, Pack)]
    if packs:
        return _pack_without_data(walk, name, values, packs, params)
    if any(isinstance(value, Factors) for value in values):
        return _more_factors(walk, name, values)
    views = [value for value in values if isinstance(value, View)]
    arguments = []
    for value in values:
        if isinstance(value, Constant):
            if value.expression is None:
                if not views:
                    return UNKNOWN_CONSTANT
                return give_up(walk, values, "combined with a constant array before use")
            arguments.append(value.expression)
        elif isinstance(value, View):
            arguments.append(value.through)
    if name == "stop_gradient" and views:
        return views[0]
    node = apply(name, tuple(arguments), params)
    if not views:
        return Constant(node)
    first = views[0]
    if any(replace_through(view) != replace_through(first) for view in views):
        return _more_factors(walk, name, values)
    return dataclasses.replace(first, through=node)


def _more_factors(walk: Walk, name: str, values: Sequence[Value]) -> Value:
    """Return the product of several parameters, entry by entry."""
    left, right = (_factors(value) for value in values) if len(values) == 2 else ((), ())
    if name not in PRODUCTS or not left or (not right and name == "div"):
        return give_up(walk, values, "combined with another parameter before use")
    if name == "div":
        right = tuple(_inverted(part) for part in right)
    return Factors(left + right)


def _factors(value: Value) -> tuple[View, ...]:
    return value.parts if isinstance(value, Factors) else _parts(value)


def replace_through(view: View) -> View:
    """Return the view as if nothing had been done to its entries."""
    return dataclasses.replace(view, through=VALUE)


def _pack_without_data(
    walk: Walk,
    name: str,
    values: Sequence[Value],
    packs: list[Pack],
    params: dict[str, Any],
) -> Value:
    others = [value for value in values if not isinstance(value, (Pack, Constant))]
    if len(packs) > 1 or others:
        return give_up(walk, values, "combined with another parameter before use")
    parts = []
    for part in packs[0].parts:
        one = [part if isinstance(value, Pack) else value for value in values]
        result = _without_data(walk, name, one, params)
        if not isinstance(result, View):
            return Opaque(leaves_of(values), "combined with a constant array before use")
        parts.append(result)
    return Pack(tuple(parts), packs[0].axis)


# ------------------------------------------------------------- a parameter meets the data


def _meet_parameters(
    walk: Walk,
    name: str,
    values: Sequence[Value],
    signals: list[Signal],
) -> Value:
    parameters = [value for value in values if isinstance(value, (View, Pack, Factors))]
    if name == "select_n" and leaves_of(values[1:]) and not leaves_of(values[:1]):
        return _select_token(walk, values[1:], parameters)
    rule = {**dict.fromkeys(SUMS, _add_parameter), "mul": _scale_by, "div": _scale_by}
    if len(parameters) == 1 and len(signals) == 1 and len(values) == 2 and name in rule:
        takes = name == "mul" or not isinstance(parameters[0], Factors)
        if takes and (name != "div" or parameters[0] is values[1]):
            for view in _factors(parameters[0]):
                inverse = view if name != "div" else _inverted(view)
                rule[name](walk, signals[0], inverse)
            result = signals[0]
            if name in PRODUCTS and _is_stored_deviation(_factors(parameters[0])):
                return Signal(walk.new_base("normalisation", values), dims=result.dims)
            if name in PRODUCTS:
                return _scaled(result, parameters[0])
            return dataclasses.replace(result, statistic="", summed=frozenset())
    return give_up(walk, values, f"enters {name} together with the data")


def _is_stored_deviation(views: Sequence[View]) -> bool:
    """Whether a root is taken of one of them, as batch norms do with a stored variance."""
    return any(contains(view.through, ("rsqrt", "sqrt")) for view in views)


def _parts(value: Value) -> tuple[View, ...]:
    if isinstance(value, View):
        return (value,)
    return value.parts if isinstance(value, Pack) else ()


def _inverted(view: View) -> View:
    one = Expression("number", number=1.0)
    through = apply("div", (one, view.through), {})
    return dataclasses.replace(view, through=through)


def _select_token(walk: Walk, cases: Sequence[Value], parameters: Sequence[Value]) -> Value:
    for parameter in parameters:
        for view in _parts(parameter):
            walk.records.append(token(view, "chosen in place of the data"))
    signals = [case for case in cases if isinstance(case, Signal)]
    base = walk.new_base("embedding", cases)
    return Signal(base, dims=signals[0].dims if signals else None)


def token(view: View, reason: str) -> Record:
    """Return the record of a parameter that stands where data stands."""
    size = max((len(dim) for dim in view.dims), default=0)
    letters = [(atom, "O") for dim in view.dims[-1:] for atom in dim if size]
    letters += [(atom, "I") for dim in view.dims[:-1] for atom in dim]
    kept = tuple((atom, letter) for atom, letter in letters if atom.axis >= 0)
    return Record(view.leaf, "embedding", reason, view, kept)


def _add_parameter(walk: Walk, signal: Signal, view: View) -> None:
    if signal.statistic and not signal.base.records:
        flag_summed(walk, signal)
        reason = "added to a sum or mean of the data (a running average?)"
        walk.records.append(Record(view.leaf, "unknown", reason, view))
        return
    if _varies_with_position(signal, view):
        walk.records.append(token(view, "added at every position"))
        return
    walk.records.append(Record(view.leaf, "bias", view=view))


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


def _scale_by(walk: Walk, _: Signal, view: View) -> None:
    walk.records.append(Record(view.leaf, "scale", view=view))


def _scaled(signal: Signal, parameter: Value) -> Signal:
    views = _factors(parameter)
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
        if jnp.issubdtype(dtype, jnp.floating) or value.is_discrete:
            return value
        if value.base is walk.input_base:
            return dataclasses.replace(value, is_discrete=True, expression=VALUE)
        if dtype == jnp.bool_:
            return value
        base = walk.new_base("rounding to integers", [value])
        return Signal(base, dims=value.dims, is_discrete=True)
    if leaves_of([value]) and not jnp.issubdtype(dtype, jnp.floating):
        return give_up(walk, [value], f"converted to {jnp.dtype(dtype).name}")
    return value
