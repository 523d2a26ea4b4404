"""Reductions over whole axes and over windows."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from jaxinit.trace.roles.expressions import VALUE
from jaxinit.trace.roles.operands import resize
from jaxinit.trace.roles.values import (
    UNKNOWN_CONSTANT,
    Constant,
    Signal,
    Value,
    Walk,
    give_up,
)


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
        level=value.level + 1,
        is_one_hot=False,
        is_inverted=False,
        summed=summed,
        carried=(),  # a statistic of entries has not all axes of the parameters in them
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
    return Signal(base, dims=resize(dims, shape) if dims is not None else None)
