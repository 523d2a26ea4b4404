"""Products of data with data, and the parameters that turn out to be weights in them."""

import math
from collections.abc import Sequence
from typing import Any

from jaxinit.trace.roles.atoms import FEATURE, Atom, Letters, plain
from jaxinit.trace.roles.expressions import VALUE
from jaxinit.trace.roles.operands import Operand, batch_dims, kept_dims, resize
from jaxinit.trace.roles.parameters import SCALE_FREE
from jaxinit.trace.roles.values import (
    Constant,
    Record,
    Signal,
    Value,
    View,
    Walk,
    flag_summed,
)

BILINEAR = "a bilinear form: fan_in counts all pairs of its two inputs"
_UNIT = frozenset({"input", "weight", "normalisation", "embedding"})


def of_signals(
    walk: Walk, values: Sequence[Value], sides: Sequence[Operand], shape: Any
) -> Value:
    """Return the product of two arrays that are no parameters."""
    signals = [value for value in values if isinstance(value, Signal)]
    for signal in signals:
        flag_summed(walk, signal)
    _chosen_weights(values, sides)
    _find_mixed(values, sides)
    if len(signals) == 2:
        _note_dot_products(signals, sides)
    if len(signals) == 1:
        kind = "input" if signals[0].base is walk.input_base else "a fixed linear map"
    elif any(signal.base.kind == "softmax" for signal in signals):
        kind = "attention"
    else:
        kind = "product"
    if kind == "input":
        return Signal(walk.input_base, dims=plain(shape))
    base = walk.new_base(kind, values)
    dims = batch_dims(signals[0], sides[values.index(signals[0])], len(sides[0].batch))
    for value, side in zip(values, sides, strict=True):
        kept = value if isinstance(value, Signal) else Constant()
        dims += tuple(kept_dims(kept, side))
    return Signal(base, dims=resize(dims, shape))


def _note_dot_products(signals: Sequence[Signal], sides: Sequence[Operand]) -> None:
    """Tell weights how many entries a product of their output with a signal sums.

    Where output axes of its own are left, it is the weight of a bilinear form, all of whose
    summed axes are inputs.
    """
    for place, (signal, side) in enumerate(zip(signals, sides, strict=True)):
        dims, other = signal.dims, signals[1 - place]
        if dims is None or signal.level:
            continue
        own = {a.axis: a.size for i in side.contracted for a in dims[i] if _is_own(a)}
        left = {a.axis for i in side.free for a in dims[i] if _is_own(a)}
        linear = signal.expression is VALUE and other.base.kind in _UNIT
        linear &= not sides[1 - place].free  # keys at many places meet queries of heads
        for record in signal.base.records if own else ():
            record.dot_size = math.prod(own.values())
            if left and not left & own.keys() and linear and len(signal.base.records) == 1:
                record.letters = tuple(
                    (atom, "I" if atom.axis in own and letter == "O" else letter)
                    for atom, letter in record.letters
                )
                record.notes.append(BILINEAR)
                record.dot_size = None


def _is_own(atom: Atom) -> bool:
    return 0 <= atom.axis < FEATURE and atom.size > 1


def _find_mixed(values: Sequence[Value], sides: Sequence[Operand]) -> None:
    """Give up on parameters that a constant array mixes into a weight: a fixed basis."""
    for value, side in zip(values, sides, strict=True):
        if not isinstance(value, Signal) or value.dims is None or value.statistic:
            continue
        mine = [a.axis for i in side.contracted for a in value.dims[i] if a.size > 1]
        if all(axis < 0 for axis in mine):
            unmix(value)


def unmix(value: Signal) -> None:
    """Give up on the parameters of a product with a constant array."""
    if value.base.records and all(
        isinstance(record.source, Constant) for record in value.base.records
    ):
        for record in value.base.records:
            record.role = "unknown"
            record.reason = "mixed by a constant array before it multiplies the data"


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


def claim(
    walk: Walk,
    kernel: Signal,
    record: Record,
    view: View,
    letters: Letters,
    source: Signal | Constant,
) -> Record:
    """Turn the record of a scale or a bias into that of a weight, which it is."""
    record.role, record.reason, record.view = "weight", "", view
    record.letters, record.source, record.met_data = letters, source, True
    note = "data or noise is mixed into it before use"
    for other in walk.records:  # a power iteration only scales the weight
        own = other.leaf == record.leaf and other is not record
        if own and other.outputs & kernel.base.ancestors:
            other.role, other.reason = "unknown", "enters its own scale"
            other.met_data = False
            note = SCALE_FREE
    record.notes = list(dict.fromkeys([*view.notes, note]))
    return record
