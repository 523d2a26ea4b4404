"""Sums of products: matrix products and convolutions, where parameters become weights."""

from collections.abc import Sequence
from typing import Any

from jaxinit.trace.roles.atoms import FEATURE, Atom, Letters, lettered
from jaxinit.trace.roles.elementwise import stands_for_data
from jaxinit.trace.roles.expressions import VALUE
from jaxinit.trace.roles.operands import Operand, batch_dims, kept_dims, resize
from jaxinit.trace.roles.parameters import chain, dominant, own_axes
from jaxinit.trace.roles.signals import claim, of_signals
from jaxinit.trace.roles.values import (
    UNKNOWN_CONSTANT,
    Constant,
    Factors,
    Opaque,
    Record,
    Signal,
    Value,
    View,
    Walk,
    flag_summed,
    give_up,
    views_of,
)
from jaxinit.trace.use import LOW_RANK


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
    values = [dominant(v) or v if isinstance(v, Factors) else v for v in values]
    if any(isinstance(value, (Opaque, Factors)) for value in values):
        reasons = [v.reason for v in values if isinstance(v, Opaque)]
        return give_up(walk, values, *reasons[:1] or ["combined with another parameter"])
    chosen = _which_is_weight(values)
    if chosen is None:
        both = [value for value in values if isinstance(value, View)]
        if len(both) == 2 and (made := chain(both[0], both[1], sides)) is not None:
            return made
        if views_of(left) or views_of(right):
            return give_up(walk, values, "multiplied with another parameter")
        claimed = _claimed(walk, values, sides, shape)
        return claimed or of_signals(walk, values, sides, shape)
    weight, source = values[chosen], values[1 - chosen]
    if isinstance(weight, View) and _is_query(weight, source, sides[chosen]):
        values[chosen] = stands_for_data(walk, weight)
        return of_signals(walk, values, sides, shape)
    if isinstance(source, View):
        source = stands_for_data(walk, source)
    elif not isinstance(source, (Signal, Constant)):
        source = _token_source(walk, source)
    one_hot = isinstance(source, Signal) and source.is_one_hot
    _find_stacks(weight, source, sides[chosen], sides[1 - chosen])
    records = []
    for view in views_of(weight):
        records += _uses(walk, view, source, sides[chosen], one_hot)
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
        chosen = [any(view.is_chosen for view in views_of(value)) for value in values]
        if sum(chosen) == 1:
            return chosen.index(False)
    return None


def _is_query(weight: View, source: Value, side: Operand) -> bool:
    """Whether a product of two parameters is data: learned queries that meet the keys."""
    # A low-rank weight is never fed by the plain output of another weight.
    if not weight.inner or len(weight.beside) != 1 or not isinstance(source, Signal):
        return False
    plain_keys = source.base.kind == "weight" and source.expression is VALUE
    second = {letter for _, letter in side.letters(weight.beside[0].dims)}
    return plain_keys and "I" in second


def _token_source(walk: Walk, value: Value) -> Signal:
    """Return a parameter that stands for data, as data."""
    for view in views_of(value):
        letters, reason = lettered(view.dims, "O"), "stands for data"
        walk.records.append(Record(view.leaf, "embedding", reason, view, letters))
    return Signal(walk.new_base("embedding", [], walk.paths[views_of(value)[0].leaf]))


def _uses(
    walk: Walk, view: View, source: Signal | Constant, side: Operand, one_hot: bool
) -> list[Record]:
    """Return the uses of a parameter and of all that is added to it or scales it."""
    walk.records.extend(
        Record(one.leaf, "scale", view=one, notes=list(one.notes)) for one in view.factors
    )
    if not view.inner:
        records = [_use(walk, view, source, side, one_hot)]
        for other in view.beside:
            first, *second = _uses(walk, other, source, side, one_hot)
            if second:
                second[0].reason = LOW_RANK
            records += [first, *second]
        return records
    first, second, *rest = (view, *view.beside)
    roles = [{letter for _, letter in side.letters(one.dims)} for one in (first, second)]
    whole = any({"I", "O"} <= letters for letters in roles)
    if whole or sum("I" in letters for letters in roles) != 1:
        give_up(walk, [view, source], "multiplied with another parameter")
        return []
    if "I" in roles[1]:
        first, second = second, first
    one = _use(walk, first, source, side, one_hot, lettered(first.inner, "O"))
    base = walk.new_base("weight", [source], walk.paths[first.leaf], (one,))
    hidden = lettered(second.inner, "I")
    other = _use(walk, second, Signal(base), side, one_hot, hidden)
    more = [r for extra in rest for r in _uses(walk, extra, source, side, one_hot)]
    if more:
        other.reason = LOW_RANK
    return [one, other, *more]


def _use(
    walk: Walk,
    view: View,
    source: Signal | Constant,
    side: Operand,
    one_hot: bool,
    hidden: Letters = (),
) -> Record:
    letters = (*side.letters(view.dims), *hidden)
    spread = [
        i
        for i, dim in enumerate(() if view.inner else view.dims)
        if i not in side.batch and any(a.axis < 0 and a.size > 1 for a in dim)
    ]
    role, reason = ("embedding", "looked up by a product") if one_hot else ("weight", "")
    if spread:
        role, reason = "unknown", "repeated along an axis before the product"
    if isinstance(source, Signal):
        flag_summed(walk, source)
    record = Record(view.leaf, role, reason, view, letters, source=source)
    record.notes += view.notes
    walk.records.append(record)
    return record


def _claimed(
    walk: Walk, values: Sequence[Value], sides: Sequence[Operand], shape: Any
) -> Signal | None:
    """Return the product with a weight that data masked, or to which it added noise."""
    found = []
    for i, value in enumerate(values):
        free = sides[i].free + sides[i].contracted
        if not isinstance(value, Signal) or not value.carried or not sides[i].free:
            continue
        if all(set(free) <= set(own_axes(view)) for _, view in value.carried):
            found.append(i)
    if len(found) != 1:
        return None
    (place,) = found
    kernel, source = values[place], values[1 - place]
    if not isinstance(kernel, Signal) or not isinstance(source, (Signal, Constant)):
        return None
    own = sides[place]
    records = [
        claim(walk, kernel, record, view, own.letters(view.dims), source)
        for record, view in kernel.carried
    ]
    weight = kernel.carried[0][1]
    return _output(walk, weight, source, records, sides, place, shape)


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
    old = kept_dims(source, other)
    rest = (new, old) if chosen == 0 else (old, new)
    batch = batch_dims(source, other, len(own.batch))
    if isinstance(weight, View):
        pairs = zip([weight.dims[i] for i in own.batch], batch, strict=True)
        batch = tuple(a if any(x.axis >= 0 for x in a) else b for a, b in pairs)
    dims = batch + tuple(rest[0]) + tuple(rest[1])
    sized = resize(dims, shape)
    path = ", ".join(walk.paths[record.leaf] for record in records[:3])
    kind = "embedding" if records and records[0].role == "embedding" else "weight"
    own_records = tuple(records) if isinstance(weight, View) else ()
    return Signal(walk.new_base(kind, [source], path, own_records), dims=sized)


def grouped(
    walk: Walk,
    source: Signal | Constant,
    view: View,
    own: Operand,
    other: Operand,
    shape: Sequence[int],
) -> Signal:
    """Return the product of rows with one matrix a group, which ``own.batch`` numbers."""
    record = _use(walk, view, source, own, one_hot=False)
    dims = (*kept_dims(source, other), *(view.dims[i] for i in own.free))
    base = walk.new_base("weight", [source], walk.paths[view.leaf], (record,))
    return Signal(base, dims=resize(dims, shape))
