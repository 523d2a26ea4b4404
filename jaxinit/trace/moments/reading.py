"""Mean squares of what enters each weight, read off a forward pass without data.

The forward pass is run once on distributions instead of arrays. Each output of a weight is
a new normal number; what follows is a function of it, known at quadrature nodes, so that
any operation on single entries is evaluated there by itself.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxinit._jaxpr import Interpreter, called
from jaxinit._pieces import params_key
from jaxinit._primitives import BITS, ELEMENTWISE, PRODUCTS
from jaxinit.trace.moments import control
from jaxinit.trace.moments.distribution import Spread, gaussian, is_position, scalar
from jaxinit.trace.moments.graph import (
    NONE,
    STRETCH,
    Found,
    Node,
    Note,
    Notes,
    Work,
    derived,
    given,
    is_zero,
    parameter,
)
from jaxinit.trace.moments.moves import MOVES
from jaxinit.trace.moments.numbers import Conventions, Numbers, unit, unit_note
from jaxinit.trace.moments.sums import SUMS, mixed, taps
from jaxinit.trace.moments.values import Unknown, Value, as_spread, from_constant, kind
from jaxinit.trace.probes.products import contraction, fan_in

_DOTS = PRODUCTS - {"conv_general_dilated"}
_OTHERS = frozenset({
    "bitcast_convert_type",
    "conv_general_dilated",
    "convert_element_type",
    "iota",
    *BITS,
})
_TERMS = frozenset({"add", "add_any", "concatenate", "select_n", "stack", "sub"})
_FACTORS = frozenset({"convert_element_type", "div", "mul", "neg"})
_PARTS = frozenset({"dynamic_slice", "gather", "slice", "split", "unstack"})
_FOLLOWS = "follows"
_STEADY = 0.0005  # variance of a mean square that does not matter
_RISES = 0.05  # of a mean square, from which on it is worth a note
_MOST = 1e6
_CUT_OFF = 0.95  # of the terms of a convolution, below which padding is worth a note


class Meet(NamedTuple):
    """One product with a weight.

    Attributes:
        terms: How many terms an output sums, on average.
        fan: How many it sums where nothing is cut off by padding.
        square: The mean square of what enters.
        notes: What that leaves out.
    """

    terms: float
    fan: float
    square: float
    notes: Notes


class Reading(Interpreter[Node]):
    """One run: where each weight meets its input, and at what mean square.

    Attributes:
        meets: The products with each weight, by its number.
        met: The parts of each weight that met an input.
        names: Paths of the weights, for notes.
        mesh: Sizes of the axes of the mesh that the program is mapped over.
    """

    def __init__(self, conventions: Conventions, names: Sequence[str] = ()) -> None:
        super().__init__()
        self.conventions = conventions
        self.names = names
        self.meets: dict[int, list[Meet]] = {}
        self.met: dict[int, set[tuple[Any, ...]]] = {}
        self.mesh: dict[Any, int] = {}
        self.numbers = Numbers(conventions)
        self._sources = 0
        self._varies: dict[int, tuple[float, float]] = {}
        self._constants: dict[int, tuple[Any, Node]] = {}
        # The same product twice is one; each entry keeps its input alive.
        self._products: dict[Any, tuple[Node, Node]] = {}

    def source(self) -> int:
        """Return a new bit for a draw."""
        self._sources += 1
        return 1 << self._sources

    def drawn(self, value: Value, aval: Any, notes: Notes = frozenset()) -> Node:
        """Return a node of new random numbers."""
        return given(value, aval, notes, sources=self.source(), degree=1.0, moves=True)

    def constant(self, value: Any, aval: Any) -> Node:
        """Return a constant of the program; equal objects give one node."""
        if id(value) not in self._constants:
            node = given(from_constant(value, aval), aval)
            self._constants[id(value)] = (value, node)
        return self._constants[id(value)][1]

    def operation(self, equation: Any, values: list[Node]) -> list[Node]:
        """Return the nodes of the results of one operation."""
        name = equation.primitive.name
        avals = [var.aval for var in equation.outvars]
        weights = NONE.union(*(node.weights for node in values))
        moves = any(node.moves for node in values)
        rule = control.RULES.get(name)
        if rule is not None:
            return rule(self, equation, values)
        inner = called(equation)
        if inner is not None:
            return self.run(inner, values)
        lost = weights <= self.conventions.unknown
        followed = lost and (name in ELEMENTWISE or name in MOVES)
        if weights and not moves and not followed:
            places = [_place(equation, i) for i in range(len(avals))]
            pairs = zip(avals, places, strict=True)
            return [self.of_parameters(name, values, *pair) for pair in pairs]
        if name in PRODUCTS and (place := _weight_place(values)) is not None:
            return [self._product(equation, values, place)]
        if name == "reduce_sum" and weights:
            return [self._summed_product(equation, values[0])]
        if name in _DOTS and moves:
            return [self._dot(equation, values)]
        nodes = self._worked(equation, values)
        if not moves:
            for node in nodes:
                node.weights = weights  # a function of parameters of unknown use
            return nodes
        linear = name in _FACTORS or (name in MOVES and name not in _TERMS)
        if name in _TERMS:
            linear = all(node.weights for node in values if node.moves)
        for node in nodes if linear else ():
            node.weights = weights - self.conventions.unknown
        return nodes

    def parameter(
        self, weights: frozenset[int], aval: Any, part: tuple[Any, ...] = ()
    ) -> Node:
        """Return a node of what parameters alone make."""
        lost = sorted(weights & self.conventions.unknown)
        text = "{}, whose use is unknown, counts as standard normal"
        notes = (Note(text.format(self.names[i])) for i in lost if i < len(self.names))
        return parameter(weights, aval, frozenset(notes), part)

    def of_parameters(
        self, name: str, nodes: Sequence[Node], aval: Any, place: Any
    ) -> Node:
        """Return what parameters alone make: parameters again, or 0 where they meet 0.

        Args:
            name: The operation.
            nodes: Its operands, parameters and constants.
            aval: Its result.
            place: Which part of them the result is, where it is one.
        """
        weights = NONE.union(*(node.weights for node in nodes))
        meets_zero = any(not node.weights and is_zero(node) for node in nodes[:2])
        if meets_zero and (name in PRODUCTS or name == "mul"):
            return given(scalar(0.0, tuple(aval.shape)), aval)
        part = tuple(entry for node in nodes for entry in node.part)
        if name in _PARTS:
            part += (place,)
        return self.parameter(weights, aval, part)

    def _worked(self, equation: Any, values: Sequence[Node]) -> list[Node]:
        """Return the nodes of an operation that has a rule, or of unit sources."""
        name = equation.primitive.name
        avals = [var.aval for var in equation.outvars]
        followed = name in ELEMENTWISE or name in MOVES or name in SUMS or name in _OTHERS
        if followed or not any(node.moves for node in values):
            dtypes = [node.dtype for node in values]
            rule = functools.partial(self.numbers.evaluate, equation, name, dtypes)
            return derived(Work(rule, tuple(values), name, equation.params), avals)
        return [self.unfollowed(f"the operation {name}", aval) for aval in avals]

    def unfollowed(self, why: str, aval: Any) -> Node:
        """Return the result of an operation without a rule: a new unit source."""
        if kind(aval.dtype) == "f" and not self.conventions.refuse:
            return self.drawn(unit(tuple(aval.shape)), aval, frozenset({unit_note(why)}))
        why = "a complex array" if kind(aval.dtype) == "c" else why
        return self.drawn(Unknown(why, integers=kind(aval.dtype) in "iu"), aval)

    def _product(self, equation: Any, nodes: Sequence[Node], place: int) -> Node:
        """Return the output, new normal numbers, and note what met the weight."""
        weight, x = nodes[place], nodes[1 - place]
        options = params_key(equation.primitive.name, equation.params)
        key = (weight.weights, weight.part, id(x.work), x.index, place, options)
        if key not in self._products:
            self._products[key] = (x, self._multiplied(equation, nodes, place))
        return self._products[key][1]

    def _multiplied(self, equation: Any, nodes: Sequence[Node], place: int) -> Node:
        value, notes = self.force(nodes[1 - place])
        fan = terms = float(fan_in(equation, equation.invars[place].aval.shape, place))
        if equation.primitive.name == "conv_general_dilated":
            mean = taps(equation)[0]
            inside = mean * math.prod(equation.params["lhs_dilation"]) / fan
            terms = fan if self.conventions.alike else mean
            if inside < _CUT_OFF:
                notes |= {Note(f"padding leaves {inside:.0%} of the terms", scale=False)}
        kinds = _output_positions(equation, place, value)
        out = (equation.outvars[0].aval, kinds)
        return self._met(nodes[place], nodes[1 - place], (value, notes), (terms, fan), out)

    def _summed_product(self, equation: Any, node: Node) -> Node:
        """Return the sum of entries times weights: a product written out."""
        value, notes = self.force(node)
        axes = equation.params["axes"]
        terms = float(math.prod(node.shape[d] for d in axes))
        kinds = [k for d, k in enumerate(_not_features(value, node.shape)) if d not in axes]
        out = (equation.outvars[0].aval, kinds)
        return self._met(node, node, (value, notes), (terms, terms), out)

    def _met(
        self,
        weight: Node,
        x: Node,
        entering: tuple[Value, Notes],
        counts: tuple[float, float],
        out: tuple[Any, Sequence[bool]],
    ) -> Node:
        (value, notes), (terms, fan), (aval, kinds) = entering, counts, out
        rules, first = self.conventions, min(weight.weights)
        # What a normalisation takes out is no matter.
        notes = frozenset(n for n in notes if not (n.scale and x.is_free))
        lost = value.why if isinstance(value, Unknown) else ""
        lost = lost or ("a complex product" if kind(aval.dtype) == "c" else "")
        if lost and rules.refuse:
            rules.refuse(first, lost)
        if lost:
            value, notes = scalar(1.0, x.shape), notes | {unit_note(lost)}
        square = as_spread(value).square()
        if rules.refuse and not math.isfinite(square):
            return self.drawn(Unknown("an input that is not finite"), aval)
        variance = self._variance(weight.weights, square, fan)
        variance /= rules.after.get(first, 1.0) ** 2
        met = self.met.setdefault(first, set())
        again = weight.part in met
        met.add(weight.part)
        meet = Meet(terms, fan, square if math.isfinite(square) else 0.0, notes)
        for leaf in weight.weights:
            self.meets.setdefault(leaf, []).append(meet)
        if kind(aval.dtype) == "c":
            return self.drawn(Unknown("a complex array"), aval)
        varies, rises = self._fluctuation(x, as_spread(value), fan)
        if rises > _RISES:
            text = f"at this width its mean square is on average {min(rises, 9):.0%} larger"
            notes |= {Note(text)}
            self.meets[first][-1] = meet._replace(notes=notes)
        handed = frozenset(n for n in notes if n.text.startswith(_FOLLOWS))
        if again and not handed and first < len(self.names):
            handed = frozenset({Note("a weight that is used again counts as a new draw")})
        what = "use is unknown" if first in rules.unknown else "gain is approximate"
        if (notes or first in rules.unknown) and not handed and first < len(self.names):
            handed = frozenset({Note(f"{_FOLLOWS} {self.names[first]}, whose {what}")})
        made = self.drawn(gaussian(aval.shape, 0.0, variance, kinds), aval, handed)
        made.work.varies, self._varies[made.sources] = varies, (varies, rises)
        return made

    def _fluctuation(self, x: Node, value: Spread, fan: float) -> tuple[float, float]:
        """Return how the mean square of a product varies, and how that of x is raised.

        The mean square q of a layer of n entries is itself random, of mean 1 + D and
        variance V. Where what enters goes with q^s, its mean is 1 + s D + s (s - 1) V / 2
        nearly, and the next layer has V' = s^2 V + (kurtosis - 1) / n.
        """
        before = [pair for bit, pair in self._varies.items() if bit & x.sources]
        varied, raised = (max(column) for column in zip((0.0, 0.0), *before, strict=True))
        square, power = value.square(), 1.0
        if self.conventions.refuse or not (square > 0 and math.isfinite(square)):
            return 0.0, 0.0
        if x.is_free:
            power = 0.0
        elif varied > _STEADY:
            grown = self.force(x, stretched=True)[0]
            ratio = as_spread(grown).square() / square
            power = math.log(ratio) / (2 * math.log(STRETCH)) if ratio > 0 else 1.0
        fourth = value.mapped(np.square).square() / square**2
        own = (fourth - 1) / fan if math.isfinite(fourth) else 0.0
        rises = power * raised + power * (power - 1) / 2 * varied
        return min(power**2 * varied + own, _MOST), min(rises, _MOST)

    def _variance(self, weights: frozenset[int], square: float, fan: float) -> float:
        """Return that of ``y = sum_i w_i x_i``: ``std^2 E x^2 / level * fan / fan_in``."""
        rules, first = self.conventions, min(weights)
        if not (square > 0 and math.isfinite(square)):
            return 0.0
        before = self.meets.get(first, [])
        if not rules.mean:
            level = before[0].square or 1.0 if before else square
            return rules.std**2 * square / level
        whole = rules.fans.get(first, fan) if len(weights) == 1 else fan
        return rules.std**2 * square / rules.levels.get(first, square) * min(1, fan / whole)

    def _dot(self, equation: Any, nodes: Sequence[Node]) -> Node:
        """Return a product of two arrays that are no weights."""
        aval, params = equation.outvars[0].aval, equation.params
        if equation.primitive.name == "dot_general" and self.conventions.alike:
            contract, batch = params["dimension_numbers"]
            for place, other in ((0, 1), (1, 0)):
                if set(nodes[place].simplex) != set(contract[place]) or not contract[0]:
                    continue
                value, _ = self.force(nodes[other])
                kinds = value.positions() if isinstance(value, Spread) else ()
                if kinds and all(kinds[d] for d in contract[other]):
                    shapes = [node.shape for node in nodes]
                    dims = (batch, contract)
                    out = _dot_positions(dims, shapes, kinds, other, rest=True)
                    rule = functools.partial(self._mixed, contract[other], aval, out)
                    return self._summed(rule, nodes[other : other + 1], aval, "mixed")
        name = equation.primitive.name
        dtypes = [node.dtype for node in nodes]
        rule = functools.partial(self.numbers.evaluate, equation, name, dtypes)
        if name not in SUMS:
            return self.unfollowed(f"the operation {name}", aval)
        return self._summed(rule, nodes, aval, name)

    def _summed(self, rule: Any, nodes: Sequence[Node], aval: Any, name: str) -> Node:
        work = Work(rule, tuple(nodes), name, is_source=True)
        degree = sum(node.degree for node in nodes) or 1.0
        shape = tuple(aval.shape)
        return Node(work, 0, shape, aval.dtype, self.source(), 0, degree, moves=True)

    def _mixed(self, dims: Any, aval: Any, kinds: Any, found: list[Value]) -> Found:
        (x,) = found
        if isinstance(x, Unknown):
            return [x], frozenset()
        book = self.numbers.book
        book.remarks.clear()
        result = mixed(book, as_spread(x), dims, aval, kinds)
        return [result], frozenset(map(Note, book.remarks))

    def force(
        self, node: Node, *, exact: bool = False, stretched: bool = False
    ) -> tuple[Value, Notes]:
        """Return the value of a node, computing what it needs, and its notes."""
        alike = self.conventions.alike
        exact = exact or not alike
        stack = [(node.work, node.work.mode(exact))]
        while stack:
            work, mode = stack[-1]
            if mode in work.known(mode, stretched):
                stack.pop()
                continue
            inner = mode or not alike
            parts = [(n.work, n.work.mode(inner)) for n in work.operands]
            missing = [(w, m) for w, m in parts if m not in w.known(m, stretched)]
            if missing:
                stack += missing
                continue
            pairs = zip(parts, work.operands, strict=True)
            tables = [w.known(m, stretched)[m] for w, m in parts]
            values = [t[0][n.index] for t, (_, n) in zip(tables, pairs, strict=True)]
            notes: Notes = frozenset().union(*(t[1] for t in tables))
            self.numbers.book.alike = alike and not mode
            assert work.rule is not None
            results, more = work.rule(values)
            work.known(mode, stretched)[mode] = (results, notes | more)
            stack.pop()
        mode = node.work.mode(exact)
        results, notes = node.work.known(mode, stretched)[mode]
        return results[node.index], notes


def _place(equation: Any, index: int) -> Any:
    """Return which part of its operand a result is, for what takes parts."""
    if equation.primitive.name == "slice":
        params = equation.params
        return tuple(params["start_indices"]), tuple(params["limit_indices"])
    if equation.primitive.name in ("dynamic_slice", "gather"):
        return object()  # wherever an index says
    return equation.params.get("axis"), index


def _weight_place(nodes: Sequence[Node]) -> int | None:
    """Return which of two operands is the weight, and the other data; None if none is."""
    places = [i for i in (0, 1) if nodes[i].weights]
    if len(places) == 2:
        places = [i for i in places if not nodes[i].moves]
    if len(places) != 1 or not nodes[1 - places[0]].moves:
        return None
    return places[0]


def _not_features(value: Value, shape: Sequence[int]) -> list[bool]:
    """Return for each dimension whether no features are known to lie along it."""
    found = [True] * len(shape)
    for place in value.places.values() if isinstance(value, Spread) else ():
        for d, label in enumerate(place):
            found[d] &= label is None or is_position(label)
    return found


def _output_positions(equation: Any, place: int, x: Value) -> list[bool]:
    out = equation.outvars[0].aval
    if equation.primitive.name == "conv_general_dilated":
        feature = equation.params["dimension_numbers"].out_spec[1]
        return [d != feature for d in range(len(out.shape))]
    contract, batch = contraction(equation)
    shapes = [var.aval.shape for var in equation.invars[:2]]
    kinds = _not_features(x, shapes[1 - place])
    found = _dot_positions((batch, contract), shapes, kinds, 1 - place, rest=False)
    return [*found, *[False] * len(out.shape)][: len(out.shape)]


def _dot_positions(
    dims: Any, shapes: Sequence[Any], kinds: Sequence[bool], place: int, *, rest: bool
) -> list[bool]:
    """Return which axes of a product run over positions, given those of one operand."""
    batch, contract = dims
    found = [rest and kinds[d] for d in batch[place]]
    for side in (0, 1):
        gone = {*batch[side], *contract[side]}
        own = [d for d in range(len(shapes[side])) if d not in gone]
        found += [kinds[d] if side == place else rest for d in own]
    return found


def level_of(meets: Sequence[Meet]) -> float:
    """Return the mean square of all that enters a weight, over its uses and parts."""
    terms = np.array([meet.terms for meet in meets])
    return float(terms @ [meet.square for meet in meets] / terms.sum())
