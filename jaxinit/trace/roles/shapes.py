"""Operations that move entries without changing them."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from jaxinit.trace.axes import axis_map
from jaxinit.trace.roles.atoms import (
    NEW,
    Atom,
    Dims,
    cut,
    lengths,
    lettered,
    plain,
    regroup,
)
from jaxinit.trace.roles.elementwise import token
from jaxinit.trace.roles.expressions import VALUE, constant_of, is_same
from jaxinit.trace.roles.parameters import CHOSEN
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
    give_up,
    leaves_of,
    views_of,
)


def _dims_after(
    name: str, dims: Dims, params: dict[str, Any], shape: Sequence[int]
) -> Dims | None:
    result: list[tuple[Atom, ...]] = [(Atom(NEW, -1, n),) for n in shape]
    for before, after in axis_map(name, params, lengths(dims), shape):
        own: Dims | None = tuple(dims[i] for i in before)
        if len(own) > 1 or len(after) > 1:
            own = regroup(own, [shape[i] for i in after])
        if own is None:
            return None
        for i, dim in zip(after, own, strict=True):
            result[i] = dim
    return tuple(result)


def move(walk: Walk, name: str, value: Value, params: dict[str, Any], shape: Any) -> Value:
    """Return the value after an operation that moves whole axes."""
    if isinstance(value, (Constant, Opaque)):
        return value
    if isinstance(value, View):
        return value.each(lambda view: _move_view(walk, name, view, params, shape))
    if isinstance(value, Pack):
        return _move_pack(walk, name, value, params, shape)
    if isinstance(value, Factors):
        moved = [move(walk, name, part, params, shape) for part in value.parts]
        parts = [part for part in moved if isinstance(part, View)]
        return Factors(tuple(parts)) if len(parts) == len(moved) else moved[0]
    dims = None if value.dims is None else _dims_after(name, value.dims, params, shape)
    axes = value.scaled_axes
    axes = axes and _moved_axes(name, value, params, shape)
    carried = []
    for record, view in value.carried:
        if value.dims is None or len(view.dims) != len(value.dims):
            continue
        own = _dims_after(name, view.dims, params, shape)
        if own is not None:
            carried.append((record, dataclasses.replace(view, dims=own)))
    return dataclasses.replace(value, dims=dims, scaled_axes=axes, carried=tuple(carried))


def _move_view(
    walk: Walk, name: str, view: View, params: dict[str, Any], shape: Any
) -> Value:
    dims = _dims_after(name, view.dims, params, shape)
    if dims is None:
        return give_up(walk, [view], "reshaped across axes that do not split evenly")
    return dataclasses.replace(view, dims=dims)


def _moved_axes(
    name: str, value: Signal, params: dict[str, Any], shape: Any
) -> frozenset[int]:
    """Return where the axes of ``scaled_axes`` are after the move; all if unsure."""
    if value.dims is None:
        return frozenset(range(len(shape)))
    groups = axis_map(name, params, lengths(value.dims), shape)
    moved = (after for before, after in groups if value.scaled_axes & set(before))
    return frozenset(i for after in moved for i in after)


def _move_pack(
    walk: Walk, name: str, pack: Pack, params: dict[str, Any], shape: Any
) -> Value:
    """Follow a move that leaves the packed axis as it is."""
    sizes, axis = [lengths(part.dims) for part in pack.parts], -1
    if pack.axis >= 0:
        before = list(sizes[0])
        before[pack.axis] = sum(own[pack.axis] for own in sizes)
        groups = axis_map(name, params, before, shape)
        places = [b[0] for a, b in groups if a == [pack.axis] and len(b) == 1]
        if not places:
            return give_up(walk, [pack], "laid side by side and then reshaped")
        axis = places[0]
    parts = []
    for part, old in zip(pack.parts, sizes, strict=True):
        own = [old[pack.axis] if i == axis else n for i, n in enumerate(shape)]
        dims = _dims_after(name, part.dims, params, own)
        if dims is None:
            return give_up(walk, [pack], "reshaped across axes that do not split evenly")
        parts.append(dataclasses.replace(part, dims=dims))
    return Pack(tuple(parts), axis)


def take(
    walk: Walk,
    value: Value,
    start: Sequence[int],
    limit: Sequence[int],
    step: Sequence[int],
) -> Value:
    """Return the value after a slice at known places."""
    if isinstance(value, View):
        return value.each(lambda view: _take_view(walk, view, start, limit, step))
    if isinstance(value, Signal):
        return _take_signal(value, start, limit, step)
    if isinstance(value, (Pack, Factors)):
        return give_up(walk, [value], "laid side by side and then sliced")
    return value


def _take_view(
    walk: Walk, view: View, start: Sequence[int], limit: Sequence[int], step: Sequence[int]
) -> Value:
    dims, cuts = [], list(view.cuts)
    for dim, low, high, stride in zip(view.dims, start, limit, step, strict=True):
        (length,) = lengths((dim,))
        if (low, high) == (0, length) and stride == 1:
            dims.append(dim)
            continue
        piece = cut(dim, low, high, stride)
        if piece is None:
            return give_up(walk, [view], "sliced across merged axes")
        big = next((atom for atom in dim if atom.size > 1), None)
        if big is not None and big.axis >= 0:
            inner = length // big.size
            cuts.append((big.axis, low // inner * big.stride, piece[0].size * big.stride))
        dims.append(piece)
    return dataclasses.replace(view, dims=tuple(dims), cuts=tuple(cuts))


def _take_signal(
    signal: Signal, start: Sequence[int], limit: Sequence[int], step: Sequence[int]
) -> Signal:
    if signal.dims is None:
        return signal
    dims = []
    for dim, low, high, stride in zip(signal.dims, start, limit, step, strict=True):
        (length,) = lengths((dim,))
        if (low, high) == (0, length) and stride == 1:
            dims.append(dim)
            continue
        atoms = [atom for atom in dim if atom.size > 1]
        if len(atoms) == 1 and signal.expression is VALUE and not signal.statistic:
            for record in signal.base.records:
                record.output_cuts.append((atoms[0].axis, length, low, high - low))
        size = -(-(high - low) // stride)
        dims.append((Atom(atoms[0].axis if atoms else NEW, 0, size),))
    return dataclasses.replace(signal, dims=tuple(dims), carried=())


def take_at(
    walk: Walk, value: Value, starts: Sequence[Value], sizes: Sequence[int], shape: Any
) -> Value:
    """Return the value after a slice at places that are computed."""
    if not views_of(value):
        if isinstance(value, Factors):
            return give_up(walk, [value, *starts], "sliced after a product of parameters")
        return resized(value, shape)
    known = [constant_of(s.expression) if isinstance(s, Constant) else None for s in starts]
    if isinstance(value, View):
        full = lengths(value.dims)
        triples = zip(known, sizes, full, strict=True)
        places = [0 if size == n else k for k, size, n in triples]
        if all(place is not None for place in places):
            low = [
                min(max(int(p or 0), 0), n - size)
                for p, n, size in zip(places, full, sizes, strict=True)
            ]
            high = [p + size for p, size in zip(low, sizes, strict=True)]
            return take(walk, value, low, high, [1] * len(sizes))
        moving = [i for i, place in enumerate(places) if place is None]
        if all(isinstance(starts[i], Constant) for i in moving):
            return _take_in_loop(walk, value, sizes, moving)
        return look_up(walk, value, moving, shape)
    return give_up(walk, [value, *starts], "laid side by side and then sliced")


def _take_in_loop(walk: Walk, view: View, sizes: Sequence[int], moving: list[int]) -> Value:
    """Return one step's part of a stack of parameters."""
    if any(sizes[i] != 1 for i in moving):
        return give_up(walk, [view], "sliced at a place that a loop computes")
    step = (Atom(NEW, 0, 1),)
    return view.each(
        lambda one: dataclasses.replace(
            one, dims=tuple(step if i in moving else d for i, d in enumerate(one.dims))
        )
    )


def look_up(walk: Walk, view: View, moving: Sequence[int], shape: Any) -> Signal:
    """Return the rows of a table, which the data chooses."""
    letters = "".join("I" if i in moving else "O" for i in range(len(view.dims)))
    record = Record(view.leaf, "embedding", "", view, lettered(view.dims, letters))
    walk.records.append(record)
    base = walk.new_base("embedding", [], walk.paths[view.leaf], (record,))
    dims = plain(shape)
    rest = [dim for i, dim in enumerate(view.dims) if i not in moving]
    if rest and tuple(shape[len(shape) - len(rest) :]) == lengths(tuple(rest)):
        dims = dims[: len(shape) - len(rest)] + tuple(rest)
    return Signal(base, dims=dims)


def gather(
    walk: Walk, value: Value, index: Value, params: dict[str, Any], shape: Any
) -> Value:
    """Return the value after a general lookup."""
    if isinstance(index, (View, Pack, Factors, Opaque)):
        return give_up(walk, [value, index], "used as an index")
    if not views_of(value):
        if isinstance(value, (Factors, Opaque)):
            return give_up(walk, [value, index], "looked up after what is not followed")
        if isinstance(value, Constant):
            return (
                UNKNOWN_CONSTANT
                if isinstance(index, Constant)
                else _from_index(walk, index)
            )
        return resized(value, shape)
    numbers, sizes = params["dimension_numbers"], params["slice_sizes"]
    if not isinstance(value, View) or numbers.operand_batching_dims:
        return give_up(walk, [value, index], "looked up in parts")
    full = lengths(value.dims)
    moving = [i for i in numbers.start_index_map if sizes[i] != full[i]]
    if any(sizes[i] != 1 for i in moving):
        return give_up(walk, [value, index], "looked up in windows")
    if isinstance(index, Constant) and math.prod(shape) == math.prod(sizes):
        place = constant_of(index.expression)
        starts = [0] * len(sizes)
        if place is None or len(moving) != 1:
            stepped = _take_in_loop(walk, value, sizes, moving)
        else:
            starts[moving[0]] = int(place) % full[moving[0]]
            ends = [s + n for s, n in zip(starts, sizes, strict=True)]
            stepped = take(walk, value, starts, ends, [1] * len(sizes))
        return move(walk, "reshape", stepped, {}, shape)
    if isinstance(index, Constant):
        return value.each(lambda view: _chosen(view, moving, numbers.offset_dims, shape))
    return look_up(walk, value, moving, shape)


def _chosen(
    view: View, moving: Sequence[int], offsets: Sequence[int], shape: Sequence[int]
) -> View:
    """Return the entries of a parameter that a constant array chooses along some axes."""
    rest = [dim for i, dim in enumerate(view.dims) if i not in moving]
    batch = [i for i in range(len(shape)) if i not in offsets]
    firsts = [next((a.axis for a in view.dims[i] if a.size > 1), NEW) for i in moving]
    dims = dict(zip(offsets, rest, strict=True))
    for number, place in enumerate(batch):
        axis = firsts[min(number, len(firsts) - 1)] if firsts else NEW
        dims[place] = (Atom(axis, 0, shape[place]),)
    own = tuple(dims[i] for i in range(len(shape)))
    return dataclasses.replace(view.noted(CHOSEN), dims=own, is_chosen=True)


def _from_index(walk: Walk, index: Value) -> Value:
    """Return entries of a fixed table that the data chooses."""
    if isinstance(index, Signal) and index.base is walk.input_base:
        return Signal(walk.input_base)
    return Signal(walk.new_base("lookup in a fixed table", [index]))


def resized(value: Value, shape: Any) -> Value:
    """Return the value after an operation that moves entries somehow."""
    if not isinstance(value, Signal):
        return value
    dims = None
    if value.dims is not None and len(value.dims) == len(shape):
        axes = [next((a.axis for a in dim if a.axis >= 0), NEW) for dim in value.dims]
        dims = tuple((Atom(axis, 0, n),) for axis, n in zip(axes, shape, strict=True))
    axes = frozenset(range(len(shape))) if value.scaled_axes else frozenset()
    return dataclasses.replace(value, dims=dims, scaled_axes=axes, carried=())


def concatenate(walk: Walk, values: Sequence[Value], axis: int, shape: Any) -> Value:
    """Return values laid side by side."""
    if all(isinstance(value, Constant) for value in values):
        return UNKNOWN_CONSTANT
    if all(isinstance(value, View) for value in values):
        views = [view for value in values for view in views_of(value)]
        return Pack(tuple(views), axis)
    signals = [value for value in values if isinstance(value, Signal)]
    if not signals or any(isinstance(value, (Opaque, Factors)) for value in values):
        return give_up(walk, values, "joined to a constant array before use")
    if leaves_of(values):
        for value in values:
            for view in views_of(value):
                walk.records.append(token(view, "joined to the data"))
        return Signal(walk.new_base("concatenation", values), dims=None)
    first = signals[0]
    same = all(s.base is first.base and s.statistic == first.statistic for s in signals)
    if same and all(is_same(s.expression, first.expression) for s in signals):
        return resized(first, shape)
    if all(s.base is walk.input_base for s in signals):
        return resized(dataclasses.replace(first, expression=VALUE), shape)
    plain_sum = any(s.statistic for s in signals)
    same = not plain_sum and all(is_same(s.expression, first.expression) for s in signals)
    base = walk.new_base("concatenation", values)
    common = first.expression if same else VALUE
    return Signal(base, common, _joined_dims(signals, shape))


def _joined_dims(signals: Sequence[Signal], shape: Any) -> Dims | None:
    found = resized(signals[0], shape)
    return found.dims if isinstance(found, Signal) else None
