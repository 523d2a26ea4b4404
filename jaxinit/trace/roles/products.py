"""Sums of products: matrix products and convolutions, where parameters become weights."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from jaxinit.trace.roles.atoms import FEATURE, NEW, Atom, Dims, lengths, plain
from jaxinit.trace.roles.expressions import VALUE
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
    views_of,
)

_SPATIAL = {0: "", 1: "W", 2: "HW", 3: "DHW"}


@dataclasses.dataclass(frozen=True)
class Operand:
    """One side of a matrix product.

    Attributes:
        contracted: Its axes that are summed over.
        batch: Its axes that are shared with the other side.
        rank: How many axes it has.
    """

    contracted: tuple[int, ...]
    batch: tuple[int, ...]
    rank: int

    @property
    def free(self) -> tuple[int, ...]:
        """Its axes that the result keeps, behind the batch."""
        taken = self.contracted + self.batch
        return tuple(i for i in range(self.rank) if i not in taken)

    def letters(self, dims: Dims) -> tuple[tuple[Atom, str], ...]:
        """Return the role of every atom of a parameter on this side."""
        role = dict.fromkeys(self.contracted, "I") | dict.fromkeys(self.batch, "B")
        return tuple(
            (atom, role.get(i, "O"))
            for i, dim in enumerate(dims)
            for atom in dim
            if atom.axis >= 0
        )


def dot(
    walk: Walk, left: Value, right: Value, params: dict[str, Any], ranks: Any, shape: Any
) -> Value:
    """Return the result of ``dot_general``."""
    (left_sum, right_sum), (left_batch, right_batch) = params["dimension_numbers"]
    sides = (
        Operand(tuple(left_sum), tuple(left_batch), ranks[0]),
        Operand(tuple(right_sum), tuple(right_batch), ranks[1]),
    )
    values = [left, right]
    if all(isinstance(value, Constant) for value in values):
        return UNKNOWN_CONSTANT
    if any(isinstance(value, (Opaque, Factors)) for value in values):
        reasons = [v.reason for v in values if isinstance(v, Opaque)]
        return give_up(walk, values, *reasons[:1] or ["combined with another parameter"])
    chosen = _which_is_weight(values)
    if chosen is None:
        if views_of(left) or views_of(right):
            return give_up(walk, values, "multiplied with another parameter")
        return _of_signals(walk, values, sides, shape)
    weight, source = values[chosen], values[1 - chosen]
    if not isinstance(source, (Signal, Constant)):
        source = _token_source(walk, source)
    one_hot = isinstance(source, Signal) and source.is_one_hot
    _find_stacks(weight, source, sides[chosen], sides[1 - chosen])
    records = []
    for view in views_of(weight):
        record = _use(walk, view, source, sides[chosen], one_hot)
        records.append(record)
    return _output(walk, weight, source, records, sides, chosen, shape)


def _find_stacks(
    weight: Value, source: Signal | Constant, own: Operand, other: Operand
) -> None:
    """Tell weights before this one which of their output axes number independent models.

    Under vmap with shared data the first weights seem to have one more output axis; the
    next weights, which have a batch axis there, show that it is a stack.
    """
    if (
        not isinstance(source, Signal)
        or source.dims is None
        or not isinstance(weight, View)
    ):
        return
    for mine, theirs in zip(own.batch, other.batch, strict=True):
        if any(atom.axis >= 0 for atom in weight.dims[mine]):
            axes = {a.axis for a in source.dims[theirs] if 0 <= a.axis < FEATURE}
            for record in source.base.records:
                record.stacked |= axes


def _which_is_weight(values: Sequence[Value]) -> int | None:
    """Return which side is the parameter that the data is multiplied with."""
    parameters = [bool(views_of(value)) for value in values]
    if sum(parameters) == 1:
        return parameters.index(True)
    if all(parameters):
        spread = [any(view.is_spread() for view in views_of(value)) for value in values]
        if sum(spread) == 1:
            return spread.index(False)
    return None


def _token_source(walk: Walk, value: Value) -> Signal:
    """Return a parameter that stands for data, as data."""
    for view in views_of(value):
        letters = tuple((a, "O") for dim in view.dims for a in dim if a.axis >= 0)
        walk.records.append(
            Record(view.leaf, "embedding", "stands for data", view, letters)
        )
    return Signal(walk.new_base("embedding", [], walk.paths[views_of(value)[0].leaf]))


def _use(
    walk: Walk, view: View, source: Signal | Constant, side: Operand, one_hot: bool
) -> Record:
    letters = side.letters(view.dims)
    spread = [
        i
        for i, dim in enumerate(view.dims)
        if i not in side.batch and any(a.axis < 0 and a.size > 1 for a in dim)
    ]
    role, reason = ("embedding", "looked up by a product") if one_hot else ("weight", "")
    if spread:
        role, reason = "unknown", "repeated along an axis before the product"
    if isinstance(source, Signal):
        flag_summed(walk, source)
    record = Record(view.leaf, role, reason, view, letters, source=source)
    walk.records.append(record)
    return record


def _output(
    walk: Walk,
    weight: Value,
    source: Signal | Constant,
    records: list[Record],
    sides: Sequence[Operand],
    chosen: int,
    shape: Any,
) -> Signal:
    own, other = sides[chosen], sides[1 - chosen]
    if isinstance(weight, View):
        new = [weight.dims[i] for i in own.free]
    else:
        new = [(Atom(FEATURE, 0, 0),) for _ in own.free]
    old = _kept_dims(source, other)
    rest = (new, old) if chosen == 0 else (old, new)
    batch = _batch_dims(source, other, len(own.batch))
    if isinstance(weight, View):
        pairs = zip([weight.dims[i] for i in own.batch], batch, strict=True)
        batch = tuple(a if any(x.axis >= 0 for x in a) else b for a, b in pairs)
    dims = batch + tuple(rest[0]) + tuple(rest[1])
    sized = _resize(dims, shape)
    path = ", ".join(walk.paths[record.leaf] for record in records[:3])
    kind = "embedding" if records and records[0].role == "embedding" else "weight"
    own_records = tuple(records) if isinstance(weight, View) else ()
    return Signal(walk.new_base(kind, [source], path, own_records), dims=sized)


def _kept_dims(source: Signal | Constant, side: Operand) -> list[tuple[Atom, ...]]:
    return [_dim_of(source, i) for i in side.free]


def _batch_dims(source: Signal | Constant, side: Operand, count: int) -> Dims:
    return tuple(_dim_of(source, i) for i in side.batch[:count])


def _dim_of(source: Signal | Constant, axis: int) -> tuple[Atom, ...]:
    """Return what an axis of the source runs over, features as those of earlier layers."""
    if not isinstance(source, Signal) or source.dims is None:
        return (Atom(NEW, 0, 0),)
    return tuple(
        atom._replace(axis=FEATURE) if atom.axis >= 0 else atom
        for atom in source.dims[axis]
    )


def _resize(dims: Dims, shape: Sequence[int]) -> Dims:
    """Return dims with the lengths of ``shape``; a placeholder has size 0."""
    result = []
    for dim, length in zip(dims, shape, strict=True):
        if len(dim) == 1 or lengths((dim,)) != (length,):
            first = dim[0] if dim else Atom(NEW, 0, 1)
            result.append((first._replace(size=length),))
        else:
            result.append(dim)
    return tuple(result)


def _of_signals(
    walk: Walk, values: Sequence[Value], sides: Sequence[Operand], shape: Any
) -> Value:
    signals = [value for value in values if isinstance(value, Signal)]
    for signal in signals:
        flag_summed(walk, signal)
    _chosen_weights(values, sides)
    if len(signals) == 1:
        kind = "input" if signals[0].base is walk.input_base else "a fixed linear map"
    elif any(signal.base.kind == "softmax" for signal in signals):
        kind = "attention"
    else:
        kind = "product"
    if kind == "input":
        return Signal(walk.input_base, dims=plain(shape))
    base = walk.new_base(kind, values)
    dims = _batch_dims(signals[0], sides[values.index(signals[0])], len(sides[0].batch))
    for value, side in zip(values, sides, strict=True):
        kept = value if isinstance(value, Signal) else Constant()
        dims += tuple(_kept_dims(kept, side))
    return Signal(base, dims=_resize(dims, shape))


def _chosen_weights(values: Sequence[Value], sides: Sequence[Operand]) -> None:
    """Turn rows of a table that the data is multiplied with into the weights that they are.

    So experts, or sampled classes, that are looked up and then used in a product.
    """
    tables = [
        isinstance(value, Signal)
        and value.base.kind == "embedding"
        and value.expression is VALUE
        and value.dims is not None
        and len(value.base.records) == 1
        for value in values
    ]
    if sum(tables) != 1:
        return
    place = tables.index(True)
    table, source, side = values[place], values[1 - place], sides[place]
    if (
        not isinstance(table, Signal)
        or not isinstance(source, Signal)
        or table.dims is None
    ):
        return
    letters = side.letters(table.dims)
    if "I" in {letter for _, letter in letters}:
        (record,) = table.base.records
        record.role, record.reason, record.source = "weight", "chosen by the data", source
        record.letters = letters


# ----------------------------------------------------------------------- convolutions


def convolution(
    walk: Walk, data: Value, kernel: Value, params: dict[str, Any], shape: Any
) -> Value:
    """Return the result of ``conv_general_dilated``."""
    values = [data, kernel]
    if all(isinstance(value, Constant) for value in values):
        return UNKNOWN_CONSTANT
    if any(isinstance(value, (Opaque, Pack, Factors)) for value in values):
        return give_up(walk, values, "convolved after what is not followed")
    if params["batch_group_count"] != 1:
        return give_up(walk, values, "convolved in groups of the batch")
    if not isinstance(kernel, View):
        if isinstance(data, View):
            return give_up(walk, values, "convolved with what is no parameter")
        return _fixed_convolution(walk, values, kernel, shape)
    if isinstance(data, View) and not data.is_spread():
        return give_up(walk, values, "convolved with another parameter")
    source = data if isinstance(data, (Signal, Constant)) else _token_source(walk, data)
    record = _convolve(walk, source, kernel, params)
    spec = params["dimension_numbers"]
    base = walk.new_base("weight", [source], walk.paths[kernel.leaf], (record,))
    dims = list(plain(shape))
    dims[spec.out_spec[1]] = kernel.dims[spec.rhs_spec[0]]
    return Signal(base, dims=_resize(tuple(dims), shape))


def _fixed_convolution(
    walk: Walk, values: Sequence[Value], kernel: Value, shape: Any
) -> Value:
    if isinstance(kernel, Signal) and kernel.base is not walk.input_base:
        return Signal(walk.new_base("product", values))
    signals = [value for value in values if isinstance(value, Signal)]
    if all(signal.base is walk.input_base for signal in signals):
        return Signal(walk.input_base, dims=plain(shape))
    return Signal(walk.new_base("a fixed linear map", values))


def _convolve(
    walk: Walk, data: Signal | Constant, kernel: View, params: dict[str, Any]
) -> Record:
    spec = params["dimension_numbers"].rhs_spec
    groups = params["feature_group_count"]
    names = _SPATIAL.get(len(spec) - 2, "D" * (len(spec) - 2))
    role = {spec[0]: "O", spec[1]: "I"} | dict(zip(spec[2:], names, strict=True))
    batch = _independent(kernel, spec[0], groups)
    letters = []
    for i, dim in enumerate(kernel.dims):
        for atom in dim:
            if atom.axis >= 0:
                letters.append((atom, "B" if i == spec[0] and atom in batch else role[i]))
    for atom in batch:
        groups //= atom.size
    if isinstance(data, Signal):
        flag_summed(walk, data)
    record = Record(kernel.leaf, "weight", "", kernel, tuple(letters), groups, data)
    if kernel.is_spread():
        record.role, record.reason = "unknown", "repeated along an axis before the product"
    stride = math.prod(params["lhs_dilation"])
    if stride > 1:
        note = f"transposed by strides {tuple(params['lhs_dilation'])}: each output sums"
        record.notes.append(f"{note} about 1/{stride} of fan_in")
    walk.records.append(record)
    return record


def _independent(kernel: View, place: int, groups: int) -> tuple[Atom, ...]:
    """Return atoms that number independent kernels, which vmap turns into groups."""
    dim, result = [a for a in kernel.dims[place] if a.size > 1], []
    while len(dim) > 1 and groups % dim[0].size == 0 and groups > 1:
        if dim[0].axis in {atom.axis for atom in dim[1:]}:
            break
        groups //= dim[0].size
        result.append(dim.pop(0))
    return tuple(atom for atom in result if atom.axis >= 0)


# ------------------------------------------------------------------------- reductions


def reduce(
    walk: Walk, name: str, values: Sequence[Value], axes: Sequence[int], shape: Any
) -> Value:
    """Return the result of a reduction over whole axes."""
    value = values[0]
    if isinstance(value, Constant):
        return UNKNOWN_CONSTANT
    if not isinstance(value, Signal):
        return give_up(walk, values, f"reduced by {name} before use")
    kind = "sum" if name in ("reduce_sum", "reduce_prod") else "extreme"
    if name == "reduce_sum" and value.expression.operation in ("exp", "exp2"):
        kind = "exp-sum"
    dims = value.dims
    if dims is not None:
        dims = tuple(dim for i, dim in enumerate(dims) if i not in axes)
    summed = value.summed
    if name == "reduce_sum" and value.scaled_axes & set(axes):
        summed = summed | value.scales
    kept = [i for i in range(len(shape) + len(axes)) if i not in axes]
    return dataclasses.replace(
        value,
        expression=VALUE,
        dims=dims,
        statistic=kind,
        is_one_hot=False,
        is_inverted=False,
        summed=summed,
        scaled_axes=frozenset(j for j, i in enumerate(kept) if i in value.scaled_axes),
    )


def pool(walk: Walk, name: str, values: Sequence[Value], shape: Any) -> Value:
    """Return the result of a reduction over windows."""
    value = values[0]
    if not isinstance(value, Signal):
        return (
            UNKNOWN_CONSTANT if isinstance(value, Constant) else give_up(walk, values, name)
        )
    if value.base is walk.input_base:
        return dataclasses.replace(value, dims=None)
    kind = "average pooling" if name.endswith("sum") else "maximum pooling"
    base = walk.new_base(kind, values)
    dims = value.dims
    return Signal(base, dims=_resize(dims, shape) if dims is not None else None)
