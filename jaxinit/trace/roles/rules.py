"""The rule of each primitive: what becomes of parameters and signals in it."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxinit._primitives import ELEMENTWISE, IDENTITIES
from jaxinit.trace.roles import (
    control,
    convolutions,
    products,
    reductions,
    selections,
    shapes,
)
from jaxinit.trace.roles.atoms import plain
from jaxinit.trace.roles.elementwise import convert, elementwise
from jaxinit.trace.roles.expressions import FUNCTIONS
from jaxinit.trace.roles.values import (
    RANDOM,
    Constant,
    Pack,
    Signal,
    Value,
    View,
    Walk,
    give_up,
    leaves_of,
)

Rule = Callable[[Any, Any, list[Value]], list[Value] | None]
"""From the walk, the equation and what is known of its operands to what is known of its
results; None where the rule does not fit these operands."""

_SAME = (
    *IDENTITIES - FUNCTIONS.keys(),
    "all_to_all",
    "pmax",
    "pmin",
    "ppermute",
    "psum",
    "psum2",
    "psum_invariant",
)
_ACROSS = {"psum": "reduce_sum", "pmax": "reduce_max", "pmin": "reduce_min"}
_REDUCTIONS = ("and", "max", "min", "or", "prod", "sum")
_WINDOWS = ("", "_max", "_min", "_sum")
_KEYS = ("bits", "clone", "fold_in", "gamma", "seed", "split", "unwrap", "wrap")


def _one(rule: Callable[..., Value]) -> Rule:
    """Return the rule of an operation with one result, from one on its parts."""

    def whole(walk: Walk, equation: Any, values: list[Value]) -> list[Value]:
        shape = equation.outvars[0].aval.shape
        return [rule(walk, equation, values, equation.params, shape)]

    return whole


@_one
def _elementwise(walk: Any, equation: Any, values: Any, params: Any, shape: Any) -> Value:
    return elementwise(walk, equation.primitive.name, values, params, shape)


@_one
def _move(walk: Any, equation: Any, values: Any, params: Any, shape: Any) -> Value:
    return shapes.move(walk, equation.primitive.name, values[0], params, shape)


@_one
def _convert(walk: Any, _: Any, values: Any, params: Any, _shape: Any) -> Value:
    return convert(walk, values[0], params["new_dtype"])


@_one
def _dot(walk: Any, equation: Any, values: Any, params: Any, shape: Any) -> Value:
    ranks = [len(var.aval.shape) for var in equation.invars]
    return products.dot(walk, values[0], values[1], params, ranks, shape)


@_one
def _convolution(walk: Any, _: Any, values: Any, params: Any, shape: Any) -> Value:
    return convolutions.convolution(walk, values[0], values[1], params, shape)


@_one
def _slice(walk: Any, _: Any, values: Any, params: Any, shape: Any) -> Value:
    steps = params["strides"] or (1,) * len(shape)
    starts, limits = params["start_indices"], params["limit_indices"]
    return shapes.take(walk, values[0], starts, limits, steps)


@_one
def _dynamic_slice(walk: Any, _: Any, values: Any, params: Any, shape: Any) -> Value:
    return shapes.take_at(walk, values[0], values[1:], params["slice_sizes"], shape)


@_one
def _gather(walk: Any, _: Any, values: Any, params: Any, shape: Any) -> Value:
    return shapes.gather(walk, values[0], values[1], params, shape)


@_one
def _concatenate(walk: Any, _: Any, values: Any, params: Any, shape: Any) -> Value:
    return shapes.concatenate(walk, values, params["dimension"], shape)


@_one
def _stack(walk: Any, _: Any, values: Any, params: Any, shape: Any) -> Value:
    axis = params["axis"]
    wide = tuple(1 if i == axis else n for i, n in enumerate(shape))
    grown = [shapes.move(walk, "reshape", value, {}, wide) for value in values]
    return shapes.concatenate(walk, grown, axis, shape)


@_one
def _reduce(walk: Any, equation: Any, values: Any, params: Any, shape: Any) -> Value:
    return reductions.reduce(walk, equation.primitive.name, values, params["axes"], shape)


@_one
def _pool(walk: Any, equation: Any, values: Any, _params: Any, shape: Any) -> Value:
    return reductions.pool(walk, equation.primitive.name, values, shape)


def _same(walk: Walk, equation: Any, values: list[Value]) -> list[Value] | None:
    """Return what devices exchange, or what ``vmap`` makes of that over a plain axis."""
    name, axes = equation.primitive.name, equation.params.get("axes", ())
    if name in _ACROSS and len(values) == 1 and all(type(axis) is int for axis in axes):
        shape = equation.outvars[0].aval.shape
        return [reductions.reduce(walk, _ACROSS[name], values, axes, shape)]
    return values if len(equation.outvars) == len(values) else None


def _greatest_place(walk: Walk, equation: Any, values: list[Value]) -> list[Value] | None:
    if not isinstance(values[0], Signal):
        return None
    dims = plain(equation.outvars[0].aval.shape)
    return [Signal(walk.input_base, dims=dims, is_discrete=True)]


def _random(walk: Walk, equation: Any, values: list[Value]) -> list[Value]:
    base = walk.new_base(RANDOM, values)
    return [Signal(base, is_discrete=True) for _ in equation.outvars]


def _on_integers(walk: Walk, _: Any, values: list[Value]) -> list[Value] | None:
    del walk
    moving = [value for value in values if isinstance(value, Signal)]
    if not moving or leaves_of(values) or not all(v.is_discrete for v in moving):
        return None
    return [Signal(moving[0].base, dims=moving[0].dims, is_discrete=True)]


def _resized(walk: Walk, equation: Any, values: list[Value]) -> list[Value] | None:
    del walk
    if not isinstance(values[0], Signal) or leaves_of(values):
        return None
    return [shapes.resized(values[0], equation.outvars[0].aval.shape)]


def _split(walk: Walk, equation: Any, values: list[Value]) -> list[Value]:
    params = equation.params
    return _parts(walk, values[0], params["axis"], [int(n) for n in params["sizes"]])


def _parts(walk: Walk, value: Value, axis: int, sizes: Sequence[int]) -> list[Value]:
    """Return the parts of a value that is cut along one axis."""
    if isinstance(value, Pack):
        lengths = [sum(a.size for a in part.dims[axis]) for part in value.parts]
        if value.axis == axis and lengths == list(sizes):
            return list(value.parts)
    dims = value.dims if isinstance(value, (View, Signal)) else None
    if dims is None:
        if not isinstance(value, (Constant, Signal)):
            return [give_up(walk, [value], "laid side by side and then split")] * len(sizes)
        return [value] * len(sizes)
    full = [int(np.prod([atom.size for atom in dim], dtype=int)) for dim in dims]
    results, start = [], 0
    for size in sizes:
        low = [start if i == axis else 0 for i in range(len(full))]
        high = [start + size if i == axis else n for i, n in enumerate(full)]
        results.append(shapes.take(walk, value, low, high, [1] * len(full)))
        start += size
    return results


def _unstack(walk: Walk, equation: Any, values: list[Value]) -> list[Value]:
    axis, count = equation.params["axis"], len(equation.outvars)
    parts = _parts(walk, values[0], axis, [1] * count)
    shape, gone = equation.outvars[0].aval.shape, {"dimensions": (axis,)}
    return [shapes.move(walk, "squeeze", part, gone, shape) for part in parts]


RULES: dict[str, Rule] = {
    **dict.fromkeys(FUNCTIONS, _elementwise),
    **dict.fromkeys(ELEMENTWISE - FUNCTIONS.keys(), _on_integers),
    **dict.fromkeys(shapes.MOVES, _move),
    **dict.fromkeys(_SAME, _same),
    **dict.fromkeys((f"reduce_{name}" for name in _REDUCTIONS), _reduce),
    **dict.fromkeys((f"reduce_window{name}" for name in _WINDOWS), _pool),
    **dict.fromkeys((f"random_{name}" for name in _KEYS), _random),
    **dict.fromkeys(("argmax", "argmin"), _greatest_place),
    **dict.fromkeys(("dynamic_update_slice", "pad"), _resized),
    "concatenate": _concatenate,
    "cond": control.branches,
    "conv_general_dilated": _convolution,
    "convert_element_type": _convert,
    "dot_general": _dot,
    "dynamic_slice": _dynamic_slice,
    "gather": _gather,
    "scan": control.scan,
    "shard_map": control.shards,
    "slice": _slice,
    "split": _split,
    "stack": _stack,
    "threefry2x32": _random,
    "unstack": _unstack,
    "while": control.while_loop,
    **selections.RULES,
}
"""The rules, by the name of the primitive."""

_ALWAYS = ("scan", "while", "cond", "shard_map", "split", "unstack", *_SAME)
FOR_CONSTANTS = frozenset({
    *_ALWAYS,
    *FUNCTIONS,
    *shapes.MOVES,
    "convert_element_type",
    "slice",
})
"""Primitives of which the results for constants alone are followed too."""
