"""Convolutions, where parameters become kernels."""

import math
from collections.abc import Sequence
from typing import Any

from jaxinit.trace.roles.atoms import Atom, plain
from jaxinit.trace.roles.elementwise import stands_for_data
from jaxinit.trace.roles.operands import resize
from jaxinit.trace.roles.parameters import dominant
from jaxinit.trace.roles.signals import claim, unmix
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
)

_SPATIAL = {0: "", 1: "W", 2: "HW", 3: "DHW"}


def convolution(
    walk: Walk, data: Value, kernel: Value, params: dict[str, Any], shape: Any
) -> Value:
    """Return the result of ``conv_general_dilated``."""
    kernel = dominant(kernel) or kernel if isinstance(kernel, Factors) else kernel
    values = [data, kernel]
    if all(isinstance(value, Constant) for value in values):
        return UNKNOWN_CONSTANT
    if any(isinstance(value, (Opaque, Pack, Factors)) for value in values):
        return give_up(walk, values, "convolved after what is not followed")
    if params["batch_group_count"] != 1:
        return give_up(walk, values, "convolved in groups of the batch")
    if not isinstance(kernel, View):
        if isinstance(data, View):  # a learned image under a kernel that data makes
            data = stands_for_data(walk, data)
            values = [data, kernel]
        is_fed = isinstance(data, (Signal, Constant))
        if is_fed and isinstance(kernel, Signal) and kernel.carried:
            return _masked_convolution(walk, data, kernel, params, shape)
        return _fixed_convolution(walk, values, kernel, shape)
    if isinstance(data, View) and not data.is_spread():
        return give_up(walk, values, "convolved with another parameter")
    if kernel.inner:
        return give_up(walk, values, "convolved with a product of parameters")
    source = stands_for_data(walk, data) if isinstance(data, View) else data
    if not isinstance(source, (Signal, Constant)):
        return give_up(walk, values, "convolved after what is not followed")
    walk.records.extend(
        Record(one.leaf, "scale", view=one, notes=list(one.notes)) for one in kernel.factors
    )
    views = [kernel, *(view for view in kernel.beside if not view.inner)]
    records = tuple(_convolve(walk, source, view, params) for view in views)
    return _convolved(walk, source, kernel, records, params, shape)


def _convolved(
    walk: Walk,
    source: Signal | Constant,
    kernel: View,
    records: tuple[Record, ...],
    params: dict[str, Any],
    shape: Any,
) -> Signal:
    spec = params["dimension_numbers"]
    base = walk.new_base("weight", [source], walk.paths[kernel.leaf], records)
    dims = list(plain(shape))
    dims[spec.out_spec[1]] = kernel.dims[spec.rhs_spec[0]]
    return Signal(base, dims=resize(tuple(dims), shape))


def _masked_convolution(
    walk: Walk, data: Signal | Constant, kernel: Signal, params: dict[str, Any], shape: Any
) -> Signal:
    """Return the convolution with a kernel that data masked, or to which it added noise."""
    records = []
    for record, view in kernel.carried:
        own = _convolve(walk, data, view, params)
        walk.records.remove(own)
        record.groups, record.thinning = own.groups, own.thinning
        records.append(claim(walk, kernel, record, view, own.letters, data))
    view = kernel.carried[0][1]
    return _convolved(walk, data, view, tuple(records), params, shape)


def _fixed_convolution(
    walk: Walk, values: Sequence[Value], kernel: Value, shape: Any
) -> Value:
    if isinstance(kernel, Signal) and kernel.base is not walk.input_base:
        unmix(kernel)
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
    record = Record(kernel.leaf, "weight", "", kernel, tuple(letters), groups, source=data)
    record.notes += kernel.notes
    if kernel.is_spread():
        record.role, record.reason = "unknown", "repeated along an axis before the product"
    record.thinning = math.prod(params["lhs_dilation"])
    if record.thinning > 1:
        note = f"transposed by strides {tuple(params['lhs_dilation'])}: an output sums"
        record.notes.append(f"{note} 1/{record.thinning} of the window")
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
