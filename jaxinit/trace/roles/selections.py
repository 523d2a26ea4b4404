"""Operations that repeat, sort, scatter or transform whole axes, rule by rule."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from jaxinit.trace.roles import products
from jaxinit.trace.roles.atoms import NEW, Atom, plain
from jaxinit.trace.roles.elementwise import token
from jaxinit.trace.roles.operands import Operand
from jaxinit.trace.roles.shapes import resized
from jaxinit.trace.roles.values import (
    Base,
    Constant,
    Factors,
    Signal,
    Value,
    View,
    Walk,
    give_up,
    leaves_of,
    views_of,
)

Rule = Callable[[Walk, Any, list[Value]], list[Value]]


def unfollowed(walk: Walk, equation: Any, values: Sequence[Value]) -> list[Value]:
    """Return the results of an operation that there is no rule for.

    Axes stay what they were where their number stays; else nothing is known of them.
    """
    name = equation.primitive.name
    known = [v for v in values if isinstance(v, Signal) and v.dims is not None]
    results = []
    for var in equation.outvars:
        value = give_up(walk, values, f"enters {name}, which is not followed")
        if isinstance(value, Signal):
            shape = var.aval.shape
            alike = (resized(signal, shape) for signal in known)
            dims = next((v.dims for v in alike if isinstance(v, Signal) and v.dims), None)
            value = dataclasses.replace(value, dims=dims)
        results.append(value)
    return results


def _signal_of(walk: Walk, kind: str, source: Signal, shape: Sequence[int]) -> Signal:
    """Return a new signal whose axes are those of its source; of raw input, input."""
    moved = resized(source, shape)
    dims = moved.dims if isinstance(moved, Signal) else None
    is_input = source.base is walk.input_base
    base: Base = walk.input_base if is_input else walk.new_base(kind, [source])
    return Signal(base, dims=dims)


def _one_signal(kind: str) -> Rule:
    """Return the rule of an operation on one signal that starts a new expression."""

    def rule(walk: Walk, equation: Any, values: list[Value]) -> list[Value]:
        value = values[0]
        if not isinstance(value, Signal) or leaves_of(values):
            return unfollowed(walk, equation, values)
        return [_signal_of(walk, kind, value, var.aval.shape) for var in equation.outvars]

    return rule


def _tile(walk: Walk, equation: Any, values: list[Value]) -> list[Value]:
    """Repeat along each axis, the repeats outermost."""
    (value,) = values
    if isinstance(value, Factors):
        parts = [_tile(walk, equation, [part])[0] for part in value.parts]
        return [Factors(tuple(part for part in parts if isinstance(part, View)))]
    if not isinstance(value, (View, Signal)):
        return unfollowed(walk, equation, values)
    if value.dims is None:
        return [value]
    repeats = equation.params["reps"]
    dims = [
        dim if count == 1 else (Atom(NEW, -1, count), *(a for a in dim if a.size > 1))
        for dim, count in zip(value.dims, repeats, strict=True)
    ]
    return [dataclasses.replace(value, dims=tuple(dims))]


def _sort(walk: Walk, equation: Any, values: list[Value]) -> list[Value]:
    """Sort one or several arrays by the first of them."""
    moving = [value for value in values if isinstance(value, Signal)]
    if not moving or leaves_of(values):
        return unfollowed(walk, equation, values)
    order = Signal(walk.input_base, is_discrete=True)
    results = []
    for value, var in zip(values, equation.outvars, strict=True):
        shape = var.aval.shape
        fixed = dataclasses.replace(order, dims=plain(shape))
        results.append(resized(value, shape) if isinstance(value, Signal) else fixed)
    return results


def _top_k(walk: Walk, equation: Any, values: list[Value]) -> list[Value]:
    """Return the largest entries and their places."""
    value = values[0]
    if not isinstance(value, Signal):
        return unfollowed(walk, equation, values)
    shape = equation.outvars[0].aval.shape
    places = Signal(walk.input_base, dims=plain(shape), is_discrete=True)
    return [resized(value, shape), places]


def _scatter(walk: Walk, equation: Any, values: list[Value]) -> list[Value]:
    """Write or add entries at places: ``.at[].set``, ``.at[].add``, ``segment_sum``."""
    operand, index, updates = values
    if isinstance(operand, View) and isinstance(updates, Constant):
        return [operand.noted("some of its entries are replaced before use")]
    if isinstance(index, Signal):
        index = dataclasses.replace(index, is_discrete=True)
    moving = [value for value in (operand, updates) if isinstance(value, Signal)]
    if isinstance(operand, Signal) and views_of(updates):
        for view in views_of(updates):
            walk.records.append(token(view, "joined to the data"))
        return [Signal(walk.new_base("concatenation", values), dims=operand.dims)]
    if leaves_of(values) or not moving:
        return unfollowed(walk, equation, values)
    dims = operand.dims if isinstance(operand, Signal) else None
    if isinstance(updates, Signal) and updates.dims is not None and dims is None:
        dims = _scattered_dims(equation, updates.dims)
    only = moving[0] if len(moving) == 1 else None
    adds = equation.primitive.name != "scatter"
    if only is not None and (not adds or isinstance(updates, Constant)):
        return [dataclasses.replace(only, dims=dims, scaled_axes=frozenset())]
    if all(signal.base is walk.input_base for signal in moving):
        return [Signal(walk.input_base, dims=dims)]
    kind = "selection" if not adds else "addition" if only is None else "sum over segments"
    return [Signal(walk.new_base(kind, moving), dims=dims)]


def _scattered_dims(equation: Any, dims: Any) -> Any:
    """Return the axes of the result: those of a window are the axes of the updates."""
    numbers, shape = equation.params["dimension_numbers"], equation.outvars[0].aval.shape
    gone = (*numbers.inserted_window_dims, *numbers.operand_batching_dims)
    places = [i for i in range(len(shape)) if i not in gone]
    result = list(plain(shape))
    for place, window in zip(places, numbers.update_window_dims, strict=True):
        axis = next((a.axis for a in dims[window] if a.axis >= 0), NEW)
        result[place] = (Atom(axis, 0, shape[place]),)
    return tuple(result)


def _ragged_dot(walk: Walk, equation: Any, values: list[Value]) -> list[Value]:
    """Multiply rows with one matrix a group: experts, one after the other."""
    data, weight = values[:2]
    numbers = equation.params["ragged_dot_dimension_numbers"]
    (left_sum, right_sum), (left_batch, right_batch) = numbers.dot_dimension_numbers
    group = tuple(numbers.rhs_group_dimensions)
    source = isinstance(data, (Signal, Constant))
    if not isinstance(weight, View) or not source or not group or left_batch:
        return unfollowed(walk, equation, values)
    ranks = [len(var.aval.shape) for var in equation.invars[:2]]
    own = Operand(tuple(right_sum), group + tuple(right_batch), ranks[1])
    other = Operand(tuple(left_sum), tuple(left_batch), ranks[0])
    shape = equation.outvars[0].aval.shape
    return [products.grouped(walk, data, weight, own, other, shape)]


def _all_gather(walk: Walk, equation: Any, values: list[Value]) -> list[Value]:
    """Lay the parts of all devices side by side again."""
    results: list[Value] = []
    for value, var in zip(values, equation.outvars, strict=True):
        if isinstance(value, View):
            results.append(_gathered(walk, value, equation.params))
        elif isinstance(value, Signal):
            results.append(resized(value, var.aval.shape))
        else:
            results.append(give_up(walk, [value], "gathered from all devices"))
    return results


def _gathered(walk: Walk, view: View, params: dict[str, Any]) -> Value:
    place, count = params["all_gather_dimension"], params["axis_size"]
    shards = dict(view.shards)
    first = view.dims[place][:1] if params["tiled"] else ()
    for atom in first:
        if shards.get(atom.axis, 1) % count == 0:
            shards[atom.axis] //= count
            whole = (atom._replace(size=atom.size * count), *view.dims[place][1:])
            dims = (*view.dims[:place], whole, *view.dims[place + 1 :])
            left = tuple(sorted((a, n) for a, n in shards.items() if n > 1))
            return dataclasses.replace(view, dims=dims, shards=left)
    if not params["tiled"] and not shards:  # the same on every device
        dims = (*view.dims[:place], (Atom(NEW, -1, count),), *view.dims[place:])
        return dataclasses.replace(view, dims=dims)
    return give_up(walk, [view], "gathered from all devices")


def _complex(walk: Walk, equation: Any, values: list[Value]) -> list[Value]:
    """Take real and imaginary parts together, or one of them apart."""
    moving = [value for value in values if isinstance(value, Signal)]
    views = [value for value in values if isinstance(value, View)]
    if len(views) == len(values) and not any(view.is_spread() for view in views):
        first, *more = views
        return [dataclasses.replace(first, beside=(*first.beside, *more))]
    if leaves_of(values) or not moving:
        return unfollowed(walk, equation, values)
    if len(moving) == 1 or moving[0].base is moving[1].base:
        return [moving[0]]
    return [Signal(walk.new_base("complex pair", moving), dims=moving[0].dims)]


RULES: dict[str, Rule] = {
    **{f"cum{name}": _one_signal("cumulative sum") for name in ("sum", "logsumexp")},
    **{f"cum{name}": _one_signal("cumulative product") for name in ("prod",)},
    **{f"cum{name}": _one_signal("cumulative extreme") for name in ("max", "min")},
    "scatter": _scatter,
    **{f"scatter-{name}": _scatter for name in ("add", "sub", "mul", "min", "max")},
    **dict.fromkeys(("complex", "real", "imag", "conj"), _complex),
    "all_gather": _all_gather,
    "fft": _one_signal("Fourier transform"),
    "ragged_dot_general": _ragged_dot,
    "reduce_scatter": _one_signal("sum over devices"),
    "sort": _sort,
    "tile": _tile,
    "top_k": _top_k,
}
