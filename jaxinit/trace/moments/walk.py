"""Mean and variance of every array of a forward pass, without data.

The forward pass is read as a jaxpr and run once on distributions instead of arrays. Each
output of a weight is a new normal number; what follows is a function of it, known at
quadrature nodes, so that any operation on single entries is evaluated there by itself.
"""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from jaxinit._checks import value_error
from jaxinit._gaussian import host_float64
from jaxinit._jaxpr import CALLS
from jaxinit.trace.moments.dependencies import Book
from jaxinit.trace.moments.distribution import Spread, gaussian, source
from jaxinit.trace.moments.elementwise import ELEMENTWISE
from jaxinit.trace.moments.moves import INDEXED, MOVES, part
from jaxinit.trace.moments.reductions import UnevenError
from jaxinit.trace.moments.sums import SUMS, convolved, taps
from jaxinit.trace.moments.values import (
    Known,
    Unknown,
    Value,
    array,
    as_spread,
    converted,
    from_array,
    from_constant,
    input_value,
    iota,
    is_known,
    kind,
    random_bits,
)
from jaxinit.trace.probes.products import ProductWalk, bind, fan_in
from jaxinit.trace.probes.scaling import is_weight

_LARGEST = 2**20  # entries of a constant that is computed as it is
_LONGEST = 512  # steps of a scan, which is run step by step
_OVERFLOW = 50.0  # how far a logit may be above the maximum of the others


class _Track(ProductWalk):
    """One run that finds the scale of each weight where it first meets its input."""

    def __init__(self, paths: Sequence[str], std: float) -> None:
        super().__init__()
        self.paths = paths
        self.std = std
        self.scales: dict[int, float] = {}
        self.book = Book()
        self.constants: dict[int, tuple[Any, Value]] = {}

    def settled(self, value: Any, leaf: int | None) -> tuple[Any, int | None]:
        """Return a weight whose scale is known with that scale, as a plain value."""
        if leaf is None or leaf not in self.scales:
            return value, leaf
        scale = self.scales[leaf]
        return value.mapped(lambda table: table * scale), None

    def product(self, eqn: Any, values: list[Any], place: int, leaf: int) -> Any:
        """Return the output, a new normal number, and note the scale."""
        x = self.value(eqn, values, 1 - place)
        out = eqn.outvars[0].aval
        path = self.paths[leaf]
        if isinstance(x, Unknown):
            _refuse(path, x.why)
        if np.dtype(out.dtype).kind == "c":
            _refuse(path, "a complex product")
        x = as_spread(x)
        count = fan = fan_in(eqn, eqn.invars[place].aval.shape, place)
        if eqn.primitive.name == "conv_general_dilated":
            count = taps(eqn)[0]
        square = count * x.square()
        # An input that is 0, or not finite, has no scale to tell.
        told = square > 0 and np.isfinite(square)
        self.scales[leaf] = self.std / np.sqrt(square if told else fan)
        variance = self.std**2 if told else self.std**2 / fan * square
        if not np.isfinite(variance):
            return Unknown("an input that is not finite")
        return gaussian(out.shape, 0.0, variance)

    def value(self, eqn: Any, values: Sequence[Any], i: int) -> Value:
        """Return an operand in the dtype that the equation wants."""
        aval = eqn.invars[i].aval
        found = self.wrapped(values[i], aval)
        if not isinstance(found, Spread) or kind(aval.dtype) not in "biuf":
            return found
        wanted = np.dtype(np.float64 if kind(aval.dtype) == "f" else aval.dtype)
        if found.values.dtype == wanted:
            return found
        whole = found.values.dtype.kind == "f" and wanted.kind in "iu"
        return found.mapped(
            lambda table: (np.rint(table) if whole else table).astype(wanted)
        )

    def wrapped(self, value: Any, aval: Any) -> Value:
        """Return a constant of the program as a value; equal objects give one value."""
        if isinstance(value, (Known, Spread, Unknown)):
            return value
        if id(value) not in self.constants:
            self.constants[id(value)] = (value, from_constant(value, aval))
        return self.constants[id(value)][1]

    def apply(self, eqn: Any, values: list[Any]) -> list[Any]:
        """Return the results of an operation on distributions."""
        name = eqn.primitive.name
        xs = [self.value(eqn, values, i) for i in range(len(values))]
        if name in CALLS:
            return self._enter(eqn, xs)
        if name == "random_bits":
            return [random_bits(eqn.outvars[0].aval)]
        if all(is_known(x) for x in xs) and _is_small(eqn):
            return _computed(eqn, xs)
        if name == "scan":
            return self._scan(eqn, xs)
        if name == "cond" and not isinstance(xs[0], Unknown) and is_known(xs[0]):
            return self._branch(eqn, xs)
        return self._distributed(eqn, name, xs)

    def _distributed(self, eqn: Any, name: str, xs: list[Value]) -> list[Value]:
        needed = xs[: INDEXED.get(name, len(xs))]
        lost = next((x for x in needed if isinstance(x, Unknown)), None)
        if lost is not None:
            return _from_unknown(eqn, name, xs, lost)
        operands = [as_spread(x) for x in needed if not isinstance(x, Unknown)]
        avals = [variable.aval for variable in eqn.outvars]
        if name in ELEMENTWISE:
            found = [self._elementwise(eqn, name, operands)]
        elif name == "convert_element_type":
            found = [converted(operands[0], avals[0].dtype)]
        elif name == "bitcast_convert_type":
            found = [_bitcast(eqn, operands[0])]
        elif name == "iota":
            found = [iota(eqn)]
        elif name == "conv_general_dilated":
            found = [convolved(eqn, self.book, operands)]
        elif name in MOVES or name in SUMS:
            rule = MOVES.get(name) or SUMS[name]
            try:
                found = rule(self.book, operands, eqn.params, avals)
            except UnevenError:
                why = f"the operation {name}, which a few large terms dominate"
                return [Unknown(why) for _ in avals]
        else:
            return [Unknown(f"the operation {name}") for _ in avals]
        return [_checked(x, operands, name) if isinstance(x, Spread) else x for x in found]

    def _elementwise(self, eqn: Any, name: str, xs: list[Spread]) -> Spread:
        if name in ("max", "min") and (bound := _idle_bound(name, xs)) is not None:
            return bound
        if name == "sub" and xs[1].top_of is xs[0]:
            # The maximum is taken for independent of the entry: keep exp() finite.
            least = float(xs[0].values.max()) - _OVERFLOW
            xs = [xs[0], xs[1].mapped(lambda table: np.maximum(table, least))]
        options = eqn.params
        return self.book.combined(
            lambda *tables: eqn.primitive.bind(*tables, **options), xs
        )

    def _enter(self, eqn: Any, xs: list[Value]) -> list[Any]:
        inner = next(
            eqn.params[k] for k in ("jaxpr", "call_jaxpr", "fun_jaxpr") if k in eqn.params
        )
        return self._run(inner, xs)

    def _run(self, inner: Any, xs: Sequence[Value]) -> list[Any]:
        closed, constants = (
            getattr(inner, "jaxpr", inner),
            list(getattr(inner, "consts", ())),
        )
        pairs = self.evaluate(closed, constants, list(xs), [None] * len(xs))
        return [
            self.wrapped(value, atom.aval)
            for (value, _), atom in zip(pairs, closed.outvars, strict=True)
        ]

    def _branch(self, eqn: Any, xs: list[Value]) -> list[Any]:
        index = int(array(xs[0], eqn.invars[0].aval))
        branches = eqn.params["branches"]
        return self._run(branches[min(max(index, 0), len(branches) - 1)], xs[1:])

    def _scan(self, eqn: Any, xs: list[Value]) -> list[Any]:
        params, steps = eqn.params, eqn.params["length"]
        body = params["jaxpr"].jaxpr
        num_carry = len(eqn.outvars) - _stacked_variables(eqn.outvars, body.outvars)
        second = len(eqn.invars) - _stacked_variables(eqn.invars, body.invars)
        first = second - num_carry
        if steps > _LONGEST or steps == 0:
            return [Unknown(f"a scan of {steps} steps") for _ in eqn.outvars]
        fixed, carry, rows = xs[:first], xs[first:second], xs[second:]
        order = range(steps)[::-1] if params["reverse"] else range(steps)
        collected: list[list[Value]] = []
        for i in order:
            found = self._run(
                params["jaxpr"], [*fixed, *carry, *(self._row(r, i) for r in rows)]
            )
            carry = found[:num_carry]
            collected.append(found[num_carry:])
        stacks = [list(column) for column in zip(*collected, strict=True)]
        avals = [variable.aval for variable in eqn.outvars[num_carry:]]
        return [*carry, *(_stacked(c, a) for c, a in zip(stacks, avals, strict=True))]

    def _row(self, x: Value, i: int) -> Value:
        if isinstance(x, Unknown):
            return x
        if isinstance(x, Known):
            return from_array(x.array[i])
        names = [("slice", i, i + 1, 1), *[None] * (len(x.shape) - 1)]
        if x.shape[0] == 1:
            names[0] = None
        one = part(self.book, x, (1, *x.shape[1:]), names)
        return one.moved(x.shape[1:], lambda place: place[1:])


def _refuse(path: str, why: str) -> Any:
    rule = "without data, every weight's input needs a mean and variance that follow"
    advice = "Give a batch of data instead of jax.ShapeDtypeStruct."
    value_error("autoinit", rule, f"{path} behind {why}", advice)


def _is_small(eqn: Any) -> bool:
    avals = [atom.aval for atom in (*eqn.invars, *eqn.outvars)]
    sized = all(hasattr(aval, "shape") and kind(aval.dtype) != "k" for aval in avals)
    return sized and sum(int(np.prod(aval.shape)) for aval in avals) <= _LARGEST


def _computed(eqn: Any, xs: Sequence[Value]) -> list[Any]:
    pairs = zip(xs, eqn.invars, strict=True)
    results = bind(eqn, [array(x, atom.aval) for x, atom in pairs])
    return [from_array(np.asarray(result)) for result in results]


def _checked(x: Spread, operands: Sequence[Spread], name: str) -> Value:
    """Return a result, or that it is unknown where it is not a number."""
    if x.values.dtype.kind != "f" or not np.isnan(x.values).any():
        return x
    given = any(o.values.dtype.kind == "f" and np.isnan(o.values).any() for o in operands)
    return (
        x
        if given and name == "select_n"
        else Unknown(f"the operation {name}, which gives NaN")
    )


def _idle_bound(name: str, xs: Sequence[Spread]) -> Spread | None:
    """Return the other operand of a bound that never binds, as softmax has."""
    idle = -np.inf if name == "max" else np.inf
    for one, other in (xs, xs[::-1]):
        if not one.places and one.values.dtype.kind == "f" and one.values.item() == idle:
            return other if len(other.shape) >= len(one.shape) else None
    return None


def _from_unknown(eqn: Any, name: str, xs: Sequence[Value], lost: Unknown) -> list[Value]:
    """Return what comes of unknown numbers; one of n is equal to each with 1 / n."""
    avals = [variable.aval for variable in eqn.outvars]
    known = [x for x in xs if isinstance(x, Known)]
    if name == "eq" and lost.integers and len(known) == 1:
        count = len(np.unique(known[0].array))
        weights = np.array([1 - 1 / count, 1 / count])
        return [source(avals[0].shape, np.array([False, True]), weights)]
    whole = lost.integers and all(kind(aval.dtype) in "iu" for aval in avals)
    moved = name in ELEMENTWISE or name in MOVES or name == "convert_element_type"
    return [Unknown(lost.why, integers=whole and moved) for _ in avals]


def _bitcast(eqn: Any, x: Spread) -> Spread:
    table = x.values.astype(eqn.invars[0].aval.dtype)
    found = np.asarray(eqn.primitive.bind(table, **eqn.params))
    return x.mapped(
        lambda _: found if found.dtype.kind in "biu" else found.astype(np.float64)
    )


def _stacked_variables(outer: Sequence[Any], inner: Sequence[Any]) -> int:
    """Return how many of the last variables have one more axis outside a scan."""
    count = 0
    for one, other in zip(reversed(outer), reversed(inner), strict=True):
        if len(one.aval.shape) == len(other.aval.shape):
            break
        count += 1
    return count


def _stacked(column: Sequence[Value], aval: Any) -> Value:
    lost = next((x for x in column if isinstance(x, Unknown)), None)
    if lost is not None:
        return lost
    spreads = [as_spread(x) for x in column]
    whole = [x.moved((1, *x.shape), lambda place: (None, *place)) for x in spreads]
    return MOVES["concatenate"](Book(), whole, {}, [aval])[0]


def track_scales(
    closed: Any,
    paths: Sequence[str],
    leaves: Sequence[Any],
    drawn: Collection[int],
    std: float,
) -> dict[int, float]:
    """Return the scale of every weight that is drawn, from moments without data.

    Args:
        closed: The closed jaxpr of the forward pass, of parameters and then inputs.
        paths: The paths of the parameters' leaves, for errors.
        leaves: The leaves; of those that are drawn only shape and dtype count.
        drawn: The numbers of the leaves that are drawn, of variance 1 before their scale.
        std: Standard deviation that outputs are to have.

    Returns:
        The scales, by the number of the leaf.

    Raises:
        ValueError: The moments at the input of a weight are not known.
        TypeError: A constant is traced.
    """
    walk = _Track(paths, std)
    avals = [variable.aval for variable in closed.jaxpr.invars]
    values: list[Value] = []
    with host_float64():
        for i, aval in enumerate(avals):
            if i >= len(leaves):
                values.append(input_value(aval))
            elif i in drawn:
                values.append(gaussian(aval.shape, 0.0, 1.0))
            else:
                values.append(from_constant(leaves[i], aval))
        marked = {i for i, leaf in enumerate(leaves) if is_weight(leaf)}
        marks = [i if i in marked else None for i in range(len(avals))]
        walk.evaluate(closed.jaxpr, list(closed.consts), values, marks)
    return walk.scales
