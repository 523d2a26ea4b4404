"""Loops, branches and calls: programs inside programs."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from jaxinit._jaxpr import loop_of
from jaxinit.trace.roles.atoms import NEW, Atom, lettered
from jaxinit.trace.roles.expressions import VALUE, is_same
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
from jaxinit.trace.use import STATE

_EASY_STARTS = frozenset({"input", "embedding"})


def scan(walk: Walk, equation: Any, values: Sequence[Value]) -> list[Value]:
    """Return the results of a scan; what it runs over loses its first axis."""
    loop = loop_of(equation)
    body, num_fixed, num_carry = loop.body, loop.num_fixed, loop.num_carry
    fixed = list(values[:num_fixed])
    slices = [_step_of(walk, value) for value in values[num_fixed + num_carry :]]
    carry = _settle(walk, body, fixed, values[num_fixed : num_fixed + num_carry], slices)
    results = walk.run(body, [*fixed, *carry, *slices])
    stacks = [_stack(walk, value, loop.length) for value in results[num_carry:]]
    return results[:num_carry] + stacks


def _step_of(walk: Walk, value: Value) -> Value:
    """Return what one step sees of a stacked value."""
    if isinstance(value, View):
        return value.each(lambda view: dataclasses.replace(view, dims=view.dims[1:]))
    if isinstance(value, Pack):
        first = [math.prod(atom.size for atom in part.dims[0]) for part in value.parts]
        if value.axis == 0 and set(first) == {1}:
            steps = [dataclasses.replace(part, dims=part.dims[1:]) for part in value.parts]
            return Pack(tuple(steps), axis=-1)
        return give_up(walk, [value], "laid side by side and run over by a loop")
    if isinstance(value, Factors):
        return give_up(walk, [value], "run over by a loop after a product of parameters")
    if isinstance(value, Signal) and value.dims is not None:
        axes = frozenset(i - 1 for i in value.scaled_axes if i)
        return dataclasses.replace(value, dims=value.dims[1:], scaled_axes=axes, carried=())
    return value


def _stack(walk: Walk, value: Value, length: int) -> Value:
    if views_of(value) or isinstance(value, Factors):
        return give_up(walk, [value], "returned from a loop")
    if isinstance(value, Signal):
        dims = None if value.dims is None else ((Atom(NEW, 0, length),), *value.dims)
        axes = frozenset(i + 1 for i in value.scaled_axes)
        return dataclasses.replace(value, dims=dims, scaled_axes=axes, carried=())
    return UNKNOWN_CONSTANT if isinstance(value, Constant) else value


def _settle(
    walk: Walk, body: Any, fixed: list[Value], start: Sequence[Value], slices: list[Value]
) -> list[Value]:
    """Return what the loop carries, once it does not depend on the step any more."""
    carry = list(start)
    for _ in range(2 if any(not isinstance(v, Constant) for v in (*start, *slices)) else 1):
        with walk.sandbox():
            results = walk.run(body, [*fixed, *carry, *slices])
        carry = [_join(walk, a, b) for a, b in zip(carry, results, strict=False)]
    return carry


def _join(walk: Walk, before: Value, after: Value) -> Value:
    """Return what is known of a carried value before any step and after it."""
    if isinstance(before, Constant) and isinstance(after, Constant):
        same = before.expression is not None and before.expression is after.expression
        return before if same else UNKNOWN_CONSTANT
    if isinstance(before, (View, Pack, Factors)):
        if before == after:
            return before
        if isinstance(after, Signal):
            for view in views_of(before):
                letters = lettered(view.dims, "O")
                walk.records.append(Record(view.leaf, "embedding", STATE, view, letters))
            return after
        return give_up(walk, [before, after], "changed from step to step")
    if isinstance(before, Opaque) or isinstance(after, Opaque):
        leaves, reason = leaves_of([before, after]), "carried by a loop"
        return Opaque(leaves, reason)
    if isinstance(after, (View, Pack, Factors)):
        return give_up(walk, [before, after], "carried by a loop")
    if isinstance(before, Constant) or isinstance(after, Constant):
        return after if isinstance(after, Signal) else before
    return _join_signals(walk, before, after)


def _join_signals(walk: Walk, before: Signal, after: Signal) -> Signal:
    if before.base is after.base and is_same(before.expression, after.expression):
        return before
    if before.base.kind in _EASY_STARTS or is_same(before.expression, after.expression):
        base = walk.new_base(after.base.kind, [before, after], after.base.detail)
        return dataclasses.replace(after, base=base, summed=frozenset())
    kind = f"{before.base.kind} at first, then {after.base.kind}"
    return Signal(walk.new_base(kind, [before, after]), dims=after.dims)


def while_loop(walk: Walk, equation: Any, values: Sequence[Value]) -> list[Value]:
    """Return the results of a while loop."""
    num_test = equation.params["cond_nconsts"]
    num_body = equation.params["body_nconsts"]
    test = list(values[:num_test])
    fixed = list(values[num_test : num_test + num_body])
    body = equation.params["body_jaxpr"]
    carry = _settle(walk, body, fixed, values[num_test + num_body :], [])
    walk.run(equation.params["cond_jaxpr"], [*test, *carry])
    return walk.run(body, [*fixed, *carry])


def branches(walk: Walk, equation: Any, values: Sequence[Value]) -> list[Value]:
    """Return the results of ``cond`` or ``switch``: what all branches have in common."""
    results = [walk.run(branch, values[1:]) for branch in equation.params["branches"]]
    return [_common(walk, list(choices)) for choices in zip(*results, strict=True)]


def _common(walk: Walk, choices: list[Value]) -> Value:
    first = choices[0]
    if all(choice == first for choice in choices):
        return first
    moving = [choice for choice in choices if isinstance(choice, Signal)]
    views = [choice for choice in choices if isinstance(choice, View)]
    places = {(view.leaf, view.dims, view.through) for view in views}
    if len(views) == len(choices) and len(places) == 1:  # with and without a norm
        return views[0].noted(*(note for view in views for note in view.notes))
    if len(views) + len(moving) == len(choices) and moving and views:
        carried = {view.leaf for _, view in moving[0].carried}
        if {view.leaf for view in views} <= carried:
            return moving[0]
    if leaves_of(choices) and not moving:
        return give_up(walk, choices, "chosen by a branch")
    if leaves_of(choices):
        return give_up(walk, choices, "chosen by a branch in place of the data")
    if not moving:
        return UNKNOWN_CONSTANT
    if len(moving) == len(choices):
        one = moving[0]
        if all(is_same(s.expression, one.expression) for s in moving):
            kinds = {s.base.kind for s in moving}
            if len(kinds) == 1:
                details = " or ".join(dict.fromkeys(s.base.detail for s in moving))
                base = walk.new_base(one.base.kind, moving, details)
                return dataclasses.replace(one, base=base)
    return Signal(walk.new_base("a choice of branches", moving), VALUE, moving[0].dims)


def shards(walk: Walk, equation: Any, values: Sequence[Value]) -> list[Value]:
    """Return the results of a ``shard_map``, inside which each device sees its part."""
    params = equation.params
    sizes = dict(params["mesh"].shape)
    body = params["jaxpr"]
    inner = []
    for value, spec, var in zip(values, params["in_specs"], body.invars, strict=True):
        inner.append(_local(walk, value, spec, sizes, var.aval.shape))
    results = walk.run(body, inner)
    return [
        dataclasses.replace(value, dims=None) if isinstance(value, Signal) else value
        for value in results
    ]


def _local(walk: Walk, value: Value, spec: Any, sizes: dict[str, int], shape: Any) -> Value:
    if isinstance(value, Signal):
        dims = value.dims
        if dims is not None:
            kinds = [next((a.axis for a in dim if a.axis >= 0), NEW) for dim in dims]
            pairs = zip(kinds, shape, strict=True)
            dims = tuple((Atom(axis, 0, n),) for axis, n in pairs)
        return dataclasses.replace(value, dims=dims)
    if isinstance(value, (Pack, Factors)):
        return give_up(walk, [value], "laid side by side and then sharded")
    if not isinstance(value, View):
        return value
    dims, parts = [], dict(value.shards)
    for dim, names in zip(value.dims, tuple(spec) + (None,) * len(shape), strict=False):
        axes = (names,) if isinstance(names, str) else names or ()
        count = math.prod(sizes[name] for name in axes)
        big = [atom for atom in dim if atom.size > 1]
        if count > 1:
            if not big or big[0].size % count:
                return give_up(walk, [value], "sharded across merged axes")
            parts[big[0].axis] = parts.get(big[0].axis, 1) * count
            big[0] = big[0]._replace(size=big[0].size // count)
        dims.append(tuple(big))
    return dataclasses.replace(value, dims=tuple(dims), shards=tuple(sorted(parts.items())))
