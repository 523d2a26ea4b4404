"""A forward pass as a graph whose numbers are computed where they are asked for.

What can be told without numbers stands at each node: which weights are in it, whether it
changes with the scale of what it is made of, what it was averaged of. Most of a model's
numbers, such as those inside of a softmax that mixes positions, are never asked for.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jaxinit._primitives import IDENTITIES, REARRANGED, SCATTERS
from jaxinit.trace.axes import axis_map
from jaxinit.trace.moments.distribution import Spread, gaussian
from jaxinit.trace.moments.values import Value

NONE: frozenset[int] = frozenset()
STRETCH = 1.02  # of draws, to see what follows from it
_SMALL = 1e-3  # numbers that are added to keep a root or a quotient finite
_PLAIN = 1 << 12  # entries of a constant that is looked at

_POWERS = {"square": 2.0, "sqrt": 0.5, "rsqrt": -0.5, "cbrt": 1 / 3}
_ADDS = frozenset({
    "add",
    "add_any",
    "clamp",
    "concatenate",
    "dynamic_update_slice",
    "max",
    "min",
    "pad",
    "select_n",
    "stack",
    "sub",
    *SCATTERS,
})
_SAME_DEGREE = frozenset({
    "abs",
    "convert_element_type",
    "cummax",
    "cummin",
    "cumsum",
    "neg",
    "reduce_max",
    "reduce_min",
    "reduce_sum",
    "reduce_window_max",
    "reduce_window_min",
    "reduce_window_sum",
    "top_k",
    *IDENTITIES,
})
_DIGITAL = frozenset({"eq", "ge", "gt", "is_finite", "le", "lt", "ne", "not", "sign"})
_THROUGH = IDENTITIES | {"convert_element_type"}
_RESHAPES = REARRANGED - {"rev", "transpose"}


class Note(NamedTuple):
    """What a number leaves out.

    Attributes:
        text: The words.
        scale: Whether only the scale of what it is made of is in doubt.
    """

    text: str
    scale: bool = True


Notes = frozenset[Note]
Found = tuple[list[Value], Notes]


@dataclasses.dataclass(eq=False, slots=True)
class Work:
    """One operation, computed once for each way of averaging over positions.

    Attributes:
        rule: From the values of the operands to those of the results.
        operands: What it is computed of.
        name: The primitive, empty for what is none.
        params: Its parameters.
        is_source: Whether its results are drawn, so that averaging inside is its own.
        exact: Whether it meets what it is an average of.
        pooled: Whether anything in it was summed or compared.
        found: The results, by whether averages are exact.
        varies: Of a draw, how much its mean square varies from network to network.
        stretched: The results where all draws that vary are that factor larger.
    """

    rule: Callable[[list[Value]], Found] | None
    operands: tuple["Node", ...] = ()
    name: str = ""
    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    is_source: bool = False
    exact: bool = False
    pooled: bool = False
    found: dict[bool, Found] = dataclasses.field(default_factory=dict)
    varies: float = 0.0
    stretched: dict[bool, Found] = dataclasses.field(default_factory=dict)

    def mode(self, exact: bool) -> bool:
        """Return whether averages in it are exact, where a consumer asks for that."""
        return not self.is_source and (exact or self.exact or not self.pooled)

    def known(self, mode: bool, stretched: bool) -> dict[bool, Found]:
        """Return the table of results to look into; those of draws stretched first."""
        if stretched and self.is_source and mode not in self.stretched:
            values, notes = self.found[mode]
            factor = STRETCH if self.varies else 1.0
            grown = [
                x.mapped(lambda table: table * factor)
                if isinstance(x, Spread) and factor != 1
                else x
                for x in values
            ]
            self.stretched[mode] = grown, notes
        return self.stretched if stretched else self.found


@dataclasses.dataclass(eq=False, slots=True)
class Node:
    """One array of the forward pass.

    Attributes:
        work: What computes it.
        index: Which result of that it is.
        shape: Its shape.
        dtype: Its dtype.
        sources: The draws that it is a function of, entry by entry: one bit each.
        pooled: The draws that it has sums or extremes of.
        degree: The power of a common factor of all draws that comes out of it.
        weights: The weights of which it is a linear function.
        moves: Whether it depends on data, or stands where data stands.
        simplex: The dimensions over which it adds up to 1.
        part: Which part of the weights it is.
    """

    work: Work
    index: int
    shape: tuple[int, ...]
    dtype: Any
    sources: int = 0
    pooled: int = 0
    degree: float = 0.0
    weights: frozenset[int] = NONE
    moves: bool = False
    simplex: tuple[int, ...] = ()
    part: tuple[Any, ...] = ()

    @property
    def is_free(self) -> bool:
        """Whether a common factor of all draws falls out of it, as in a normalisation."""
        return abs(self.degree) < 1e-9


def given(value: Value, aval: Any, notes: Notes = frozenset(), **known: Any) -> Node:
    """Return a node of which the value is there."""
    found = ([value], notes)
    work = Work(None, is_source=True, found={False: found})
    return Node(work, 0, tuple(aval.shape), aval.dtype, **known)


def parameter(
    weights: frozenset[int],
    aval: Any,
    notes: Notes = frozenset(),
    part: tuple[Any, ...] = (),
) -> Node:
    """Return a node of what weights alone make: normal entries of variance 1."""
    value = gaussian(tuple(aval.shape), 0.0, 1.0)
    return given(value, aval, notes, weights=weights, part=part)


def derived(work: Work, avals: Sequence[Any]) -> list[Node]:
    """Return the results of an operation, with what follows of them without numbers."""
    name, nodes = work.name, work.operands
    sources = pooled = 0
    for node in nodes:
        sources, pooled = sources | node.sources, pooled | node.pooled
    if name.startswith(("reduce_", "arg", "cum")) and name != "reduce_precision":
        sources, pooled = 0, sources | pooled
    elif name != "concatenate" and pooled & sources:
        work.exact = any(
            a.pooled & b.sources for a in nodes for b in nodes if a is not b
        ) or any(a.pooled & a.sources for a in nodes)
        pooled = 0 if work.exact else pooled
    work.pooled = bool(pooled)
    moves = any(node.moves for node in nodes)
    degree = _degree(work) if moves else 0.0
    simplex = _simplex(work, avals[0].shape) if len(avals) == 1 else ()
    return [
        Node(
            work,
            i,
            tuple(aval.shape),
            aval.dtype,
            sources=sources,
            pooled=pooled,
            degree=degree,
            moves=moves,
            simplex=simplex,
        )
        for i, aval in enumerate(avals)
    ]


def _degree(work: Work) -> float:
    name, nodes = work.name, work.operands
    degrees = [node.degree for node in nodes]
    if name in _DIGITAL:
        return 0.0
    if name in ("mul", "dot_general", "conv_general_dilated"):
        return degrees[0] + degrees[1]
    if name == "div":
        return degrees[0] - degrees[1]
    if name == "integer_pow":
        return degrees[0] * work.params["y"]
    if name in _POWERS:
        return degrees[0] * _POWERS[name]
    if name.startswith("reduce_") and degrees[0] == 0:
        return 1.0  # of what is averaged over positions the scale is in doubt again
    if name in _SAME_DEGREE or name in _RESHAPES or (len(nodes) == 1 and name in _MOVED):
        return degrees[0]
    moving = {round(node.degree, 6) for node in nodes if node.moves}
    if name in _ADDS:
        terms = nodes[1:] if name == "select_n" else nodes
        moving = {round(node.degree, 6) for node in terms if node.moves}
        if len(moving) == 1 and all(n.moves or _is_tiny(n) for n in terms):
            return moving.pop()
    elif name in _MOVED:
        return degrees[0]
    return 0.0 if moving <= {0.0} else 1.0


_MOVED = frozenset({
    "dynamic_slice",
    "gather",
    "rev",
    "slice",
    "sort",
    "split",
    "tile",
    "transpose",
    "unstack",
})


def is_zero(node: Node) -> bool:
    """Whether every entry is known to be 0."""
    found = node.work.found
    value = next(iter(found.values()))[0][node.index] if found else None
    if not isinstance(value, Spread) or value.places:
        return False
    return not value.values.any()


def _is_tiny(node: Node) -> bool:
    """Whether a constant is 0, or just keeps a quotient finite, or is no bound."""
    found = node.work.found
    if not found:
        return False
    value = next(iter(found.values()))[0][node.index]
    if not isinstance(value, Spread) or value.places or value.values.dtype.kind == "b":
        return False
    size = abs(float(value.values))
    return size <= _SMALL or not math.isfinite(size)


def stripped(node: Node, names: frozenset[str]) -> Node:
    """Return what a node was before operations of these names."""
    while node.work.name in names:
        node = node.work.operands[0]
    return node


def _simplex(work: Work, shape: Sequence[int]) -> tuple[int, ...]:
    """Return over which dimensions a result adds up to 1, as that of a softmax does."""
    name, nodes = work.name, work.operands
    if name == "div":
        total = stripped(nodes[1], _THROUGH | _RESHAPES)
        if total.work.name == "reduce_sum":
            summed = stripped(total.work.operands[0], _THROUGH)
            if summed is stripped(nodes[0], _THROUGH):
                return tuple(total.work.params["axes"])
    chosen = [node for node in nodes if node.simplex]
    if len(chosen) != 1:
        return ()
    node = chosen[0]
    others = [n for n in nodes if n is not node]
    if name in _THROUGH or (name in ("mul", "div") and not any(n.moves for n in others)):
        return node.simplex if len(node.shape) == len(shape) else ()
    if name == "select_n" and all(not n.moves for n in others[1:]):
        return node.simplex  # dropout
    if name in REARRANGED:
        groups = axis_map(name, work.params, node.shape, shape)
        moved = {a[0]: b[0] for a, b in groups if len(a) == len(b) == 1}
        kept = tuple(moved[d] for d in node.simplex if d in moved)
        return kept if len(kept) == len(node.simplex) else ()
    return ()
