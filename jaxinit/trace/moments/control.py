"""Loops, branches and devices: programs inside programs, on distributions."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jaxinit._jaxpr import loop_of
from jaxinit.trace.moments.distribution import fresh, mixture
from jaxinit.trace.moments.graph import (
    NONE,
    Found,
    Node,
    Note,
    Notes,
    Work,
    derived,
    parameter,
)
from jaxinit.trace.moments.moves import part
from jaxinit.trace.moments.values import (
    Known,
    Unknown,
    Value,
    array,
    as_spread,
    from_array,
    is_known,
    kind,
)

_LONGEST = 512  # steps of a loop, which is run step by step
_FEWEST = 8
_OPERATIONS = 4096  # in all steps of a loop that is read for gains
NO_NOTES: Notes = frozenset()


Rule = Callable[[Any, Any, list[Node]], list[Node]]


def _made(
    rule: Callable[[list[Value]], Found], nodes: Sequence[Node], aval: Any, name: str = ""
) -> Node:
    """Return a node that is computed of others; weights alone stay weights."""
    weights = NONE.union(*(node.weights for node in nodes))
    if weights and not any(node.moves for node in nodes):
        part = tuple(entry for node in nodes for entry in node.part)
        return parameter(weights, aval, part=part)
    (node,) = derived(Work(rule, tuple(nodes), name), [aval])
    return node


def _scan(walk: Any, equation: Any, nodes: list[Node]) -> list[Node]:
    loop = loop_of(equation)
    avals = [var.aval for var in equation.outvars]
    steps = list(loop.order)
    body = getattr(loop.body, "jaxpr", loop.body)
    most = _LONGEST
    if walk.conventions.refuse is None:
        most = min(most, max(_FEWEST, _OPERATIONS // max(1, len(body.eqns))))
    if not steps or (walk.conventions.refuse and len(steps) > most):
        return [walk.unfollowed(f"a scan of {len(steps)} steps", aval) for aval in avals]
    first = loop.num_fixed + loop.num_carry
    fixed, carry, rows = (
        nodes[: loop.num_fixed],
        nodes[loop.num_fixed : first],
        nodes[first:],
    )
    inner = [var.aval for var in body.invars[first:]]
    collected: list[list[Node]] = []
    for i in steps[:most]:
        now = [_row(walk, x, i, aval) for x, aval in zip(rows, inner, strict=True)]
        found = walk.run(loop.body, [*fixed, *carry, *now])
        carry = found[: loop.num_carry]
        collected.append(found[loop.num_carry :])
    columns = list(zip(*collected, strict=True))
    notes: Notes = frozenset()
    if len(steps) > most:
        notes = frozenset({Note(f"of {len(steps)} steps of a loop {most} are followed")})
    pairs = zip(columns, avals[loop.num_carry :], strict=True)
    stacks = [_stacked(column, aval, notes) for column, aval in pairs]
    ends = zip(carry, avals[: loop.num_carry], strict=True)
    return [*(_noted(x, aval, notes) for x, aval in ends), *stacks]


def _noted(x: Node, aval: Any, notes: Notes) -> Node:
    if not notes:
        return x
    return _made(lambda found: (found, notes), [x], aval, "copy")


def _row(walk: Any, x: Node, i: int, aval: Any) -> Node:
    """Return one step's part of what a loop runs over."""

    def rule(found: list[Value]) -> Found:
        (value,) = found
        if isinstance(value, Unknown):
            return [value], frozenset()
        if isinstance(value, Known):
            return [from_array(value.array[i])], frozenset()
        names = [("slice", i, i + 1, 1), *[None] * (len(value.shape) - 1)]
        if value.shape[0] == 1:
            names[0] = None
        one = part(walk.numbers.book, value, (1, *value.shape[1:]), names)
        return [one.moved(value.shape[1:], lambda place: place[1:])], frozenset()

    if x.weights and not x.moves:
        return walk.of_parameters("slice", [x], aval, ("step", i))
    return _made(rule, [x], aval, "slice")


def _stacked(column: Sequence[Node], aval: Any, notes: Notes) -> Node:
    def rule(found: list[Value]) -> Found:
        lost = next((x for x in found if isinstance(x, Unknown)), None)
        if lost is not None:
            return [lost], notes
        spreads = [as_spread(x) for x in found]
        kinds = (True, *spreads[0].positions())
        parts = [(1 / len(spreads), x) for x in spreads]
        return [mixture(parts, aval.shape, kinds)], notes

    return _made(rule, column, aval, "concatenate")


def _cond(walk: Any, equation: Any, nodes: list[Node]) -> list[Node]:
    branches = equation.params["branches"]
    index = nodes[0]
    if not index.moves:
        value, _ = walk.force(index)
        if is_known(value):
            chosen = int(array(value, equation.invars[0].aval))
            return walk.run(branches[min(max(chosen, 0), len(branches) - 1)], nodes[1:])
    avals = [var.aval for var in equation.outvars]
    if walk.conventions.refuse:
        return [walk.unfollowed("the operation cond", aval) for aval in avals]
    results = [walk.run(branch, nodes[1:]) for branch in branches]
    pairs = zip(zip(*results, strict=True), avals, strict=True)
    return [_mixture(list(choices), aval) for choices, aval in pairs]


def _mixture(choices: Sequence[Node], aval: Any) -> Node:
    note = Note("branches count as equally frequent")

    def rule(found: list[Value]) -> Found:
        spreads = [as_spread(x) for x in found if not isinstance(x, Unknown)]
        if not spreads or kind(aval.dtype) != "f":
            return [next((x for x in found if isinstance(x, Unknown)), found[0])], NO_NOTES
        parts = [(1 / len(spreads), x) for x in spreads]
        return [mixture(parts, aval.shape, spreads[0].positions())], frozenset({note})

    if all(choice is choices[0] for choice in choices):
        return choices[0]
    return _made(rule, choices, aval, "concatenate")


def _while(walk: Any, equation: Any, nodes: list[Node]) -> list[Node]:
    params, avals = equation.params, [var.aval for var in equation.outvars]
    if walk.conventions.refuse:
        return [walk.unfollowed("the operation while", aval) for aval in avals]
    first, second = params["cond_nconsts"], params["body_nconsts"]
    test, fixed = nodes[:first], nodes[first : first + second]
    carry, body = nodes[first + second :], params["body_jaxpr"]
    notes: Notes = frozenset({Note("of a while loop one step is followed")})
    most = max(_FEWEST, _OPERATIONS // max(1, len(body.jaxpr.eqns)))
    for _ in range(min(most, _LONGEST)):
        goes_on = _truth(walk, walk.run(params["cond_jaxpr"], [*test, *carry])[0])
        if goes_on is None:
            carry = walk.run(body, [*fixed, *carry])
            break
        if not goes_on:
            notes = frozenset()
            break
        carry = walk.run(body, [*fixed, *carry])
    else:
        notes = frozenset({Note("the last steps of a while loop are not followed")})
    return [_noted(x, aval, notes) for x, aval in zip(carry, avals, strict=True)]


def _truth(walk: Any, node: Node) -> bool | None:
    if node.moves:
        return None
    value, _ = walk.force(node)
    if not is_known(value):
        return None
    return bool(np.all(array(value, _Bool)))


class _Bool:
    shape = ()
    dtype = np.dtype(bool)


def _shards(walk: Any, equation: Any, nodes: list[Node]) -> list[Node]:
    params, outer = equation.params, walk.mesh
    body = getattr(params["jaxpr"], "jaxpr", params["jaxpr"])
    pairs = zip(nodes, body.invars, strict=True)
    inner = [_reshaped(x, var.aval) for x, var in pairs]
    walk.mesh = {**outer, **dict(params["mesh"].shape)}
    found = walk.run(params["jaxpr"], inner)
    walk.mesh = outer
    ends = zip(found, equation.outvars, strict=True)
    return [_reshaped(x, var.aval) for x, var in ends]


def _reshaped(x: Node, aval: Any) -> Node:
    """Return the same entries as another number of them."""
    shape = tuple(aval.shape)
    if x.shape == shape:
        return x

    def rule(found: list[Value]) -> Found:
        (value,) = found
        if isinstance(value, Unknown):
            return [value], NO_NOTES
        spread = as_spread(value)
        if len(spread.shape) != len(shape):
            return [fresh(spread, shape)], NO_NOTES
        return [
            spread.moved(
                shape,
                lambda p: (None if n == 1 else s for n, s in zip(shape, p, strict=True)),
            )
        ], NO_NOTES

    return _made(rule, [x], aval, "copy")


def _over_devices(walk: Any, equation: Any, nodes: list[Node]) -> list[Node]:
    """Return sums over devices: partial sums of a product are parts of one."""
    names = equation.params.get("axes") or equation.params.get("axis_name") or ()
    names = names if isinstance(names, (tuple, list)) else (names,)
    count = math.prod(walk.mesh.get(name, 1) for name in names)
    pairs = zip(nodes, equation.outvars, strict=True)
    return [_added(x, var.aval, count) for x, var in pairs]


def _added(x: Node, aval: Any, count: int) -> Node:
    # A product that was cut along its sum has 1 / n of the variance in each part.
    factor = math.sqrt(count) if x.work.rule is None and x.moves else count
    note = Note("sums over devices take their parts for alike")

    def rule(found: list[Value]) -> Found:
        (value,) = found
        if isinstance(value, Unknown) or count == 1:
            return [value], NO_NOTES
        spread = as_spread(value).mapped(lambda table: table * factor)
        return [spread], NO_NOTES if factor != count else frozenset({note})

    return _reshaped(_made(rule, [x], x, "copy"), aval)


def _same_shapes(walk: Any, equation: Any, nodes: list[Node]) -> list[Node]:
    del walk
    pairs = zip(nodes, equation.outvars, strict=False)
    return [_reshaped(x, var.aval) for x, var in pairs]


def _device(walk: Any, equation: Any, _nodes: list[Node]) -> list[Node]:
    aval = equation.outvars[0].aval
    return [walk.unfollowed("the number of a device", aval)]


RULES: dict[str, Rule] = {
    "all_gather": _same_shapes,
    "all_gather_invariant": _same_shapes,
    "all_to_all": _same_shapes,
    "axis_index": _device,
    "cond": _cond,
    "pmax": _same_shapes,
    "pmin": _same_shapes,
    "ppermute": _same_shapes,
    "psum": _over_devices,
    "psum2": _over_devices,
    "psum_invariant": _over_devices,
    "reduce_scatter": _over_devices,
    "scan": _scan,
    "shard_map": _shards,
    "while": _while,
}
"""The rules, by the name of the primitive."""
