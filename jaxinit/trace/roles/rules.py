"""The rule of each primitive: what becomes of parameters and signals in it."""

from collections.abc import Callable, Sequence
from typing import Any

from jaxinit._primitives import ELEMENTWISE, IDENTITIES, REARRANGED
from jaxinit.trace.roles import control, products, reductions, selections, shapes
from jaxinit.trace.roles.atoms import lengths, plain
from jaxinit.trace.roles.convolutions import convolution
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

_ACROSS = {"psum": "reduce_sum", "pmax": "reduce_max", "pmin": "reduce_min"}
_SAME = (
    *IDENTITIES - FUNCTIONS.keys(),
    *_ACROSS,
    "all_to_all",
    "ppermute",
    "psum2",
    "psum_invariant",
)
_REDUCTIONS = ("and", "max", "min", "or", "prod", "sum")
_WINDOWS = ("", "_max", "_min", "_sum")
_KEYS = ("bits", "clone", "fold_in", "gamma", "seed", "split", "unwrap", "wrap")


def _one(rule: Callable[[Any, Any, list[Value], Any, Any], Value]) -> Rule:
    """Return the rule of an operation with one result, from one on its parts."""

    def whole(walk: Walk, equation: Any, values: list[Value]) -> list[Value]:
        shape = equation.outvars[0].aval.shape
        return [rule(walk, equation, values, equation.params, shape)]

    return whole


def _slice(walk: Any, _: Any, values: Any, params: Any, shape: Any) -> Value:
    steps = params["strides"] or (1,) * len(shape)
    starts, limits = params["start_indices"], params["limit_indices"]
    return shapes.take(walk, values[0], starts, limits, steps)


def _stack(walk: Any, _: Any, values: Any, params: Any, shape: Any) -> Value:
    axis = params["axis"]
    wide = tuple(1 if i == axis else n for i, n in enumerate(shape))
    grown = [shapes.move(walk, "reshape", value, {}, wide) for value in values]
    return shapes.concatenate(walk, grown, axis, shape)


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
    if isinstance(value, Pack) and value.axis == axis:
        own = [lengths(part.dims)[axis] for part in value.parts]
        if own == list(sizes):
            return list(value.parts)
    dims = value.dims if isinstance(value, (View, Signal)) else None
    if dims is None:
        if not isinstance(value, (Constant, Signal)):
            return [give_up(walk, [value], "laid side by side and then split")] * len(sizes)
        return [value] * len(sizes)
    full = lengths(dims)
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


def _named(function: Callable[..., Value]) -> Rule:
    """Return the rule of a function that wants the primitive's name and all operands."""
    return _one(lambda w, eq, v, p, shape: function(w, eq.primitive.name, v, p, shape))


RULES: dict[str, Rule] = {
    **dict.fromkeys(FUNCTIONS, _named(elementwise)),
    **dict.fromkeys(ELEMENTWISE - FUNCTIONS.keys(), _on_integers),
    **dict.fromkeys(
        REARRANGED,
        _named(lambda w, name, v, p, shape: shapes.move(w, name, v[0], p, shape)),
    ),
    **dict.fromkeys(_SAME, _same),
    **dict.fromkeys(
        (f"reduce_{name}" for name in _REDUCTIONS),
        _named(
            lambda w, name, v, p, shape: reductions.reduce(w, name, v, p["axes"], shape)
        ),
    ),
    **dict.fromkeys(
        (f"reduce_window{name}" for name in _WINDOWS),
        _named(lambda w, name, v, _p, shape: reductions.pool(w, name, v, shape)),
    ),
    **dict.fromkeys((f"random_{name}" for name in _KEYS), _random),
    **dict.fromkeys(("argmax", "argmin"), _greatest_place),
    **dict.fromkeys(("dynamic_update_slice", "pad"), _resized),
    "concatenate": _one(
        lambda w, _, v, p, shape: shapes.concatenate(w, v, p["dimension"], shape)
    ),
    "cond": control.branches,
    "conv_general_dilated": _one(
        lambda w, _, v, p, shape: convolution(w, v[0], v[1], p, shape)
    ),
    "convert_element_type": _one(lambda w, _, v, p, _s: convert(w, v[0], p["new_dtype"])),
    "dot_general": _one(
        lambda w, eq, v, p, shape: products.dot(
            w, v[0], v[1], p, [len(var.aval.shape) for var in eq.invars], shape
        )
    ),
    "dynamic_slice": _one(
        lambda w, _, v, p, shape: shapes.take_at(w, v[0], v[1:], p["slice_sizes"], shape)
    ),
    "gather": _one(lambda w, _, v, p, shape: shapes.gather(w, v[0], v[1], p, shape)),
    "scan": control.scan,
    "shard_map": control.shards,
    "slice": _one(_slice),
    "split": _split,
    "stack": _one(_stack),
    "threefry2x32": _random,
    "unstack": _unstack,
    "while": control.while_loop,
    **selections.RULES,
}
"""The rules, by the name of the primitive."""

FOR_CONSTANTS = frozenset({
    *("scan", "while", "cond", "shard_map", "split", "unstack", "slice"),
    *_SAME,
    *FUNCTIONS,
    *REARRANGED,
    "convert_element_type",
})
"""Primitives of which the results for constants alone are followed too."""
