"""The values of one operation, from those of its operands."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np

from jaxinit._jaxpr import bind
from jaxinit._primitives import BITS, ELEMENTWISE, NATIVE, OPTIONS
from jaxinit.trace.moments.dependencies import Book, normal_sum
from jaxinit.trace.moments.distribution import (
    NODES,
    Spread,
    gaussian,
    mixture,
    scalar,
    source,
    wide,
)
from jaxinit.trace.moments.graph import Found, Note
from jaxinit.trace.moments.moves import INDICES, MOVES, NEEDED
from jaxinit.trace.moments.random_axes import Axis, Label
from jaxinit.trace.moments.reductions import UnevenError, windowed_sum
from jaxinit.trace.moments.sums import SUMS, convolved
from jaxinit.trace.moments.values import (
    Known,
    Unknown,
    Value,
    array,
    as_spread,
    converted,
    from_array,
    iota,
    is_known,
    kind,
    kind_of,
    random_bits,
)

_LARGEST = 2**20  # entries of a constant that is computed as it is
_OVERFLOW = 50.0  # how far a logit may be above the maximum of the others


@dataclasses.dataclass(frozen=True)
class Conventions:
    """What is taken for granted.

    Attributes:
        alike: Whether averages over positions keep the scale, as alike positions do; else
            positions are independent.
        std: Standard deviation of the output of each weight where it first meets an input.
        refuse: Called with a weight and the reason where its input is not followed; None
            where that counts as an input of mean square 1.
        mean: Whether a weight has the scale that its uses ask for on average; else that of
            the first use.
        levels: Mean squares of inputs, where an earlier reading found them.
        fans: How many terms a whole sum has, for weights that are used in parts.
        unknown: Parameters that count as weights though their use is unknown.
        after: Numbers that products are multiplied with, which weights make up for.
    """

    alike: bool = True
    std: float = 1.0
    refuse: Callable[[int, str], NoReturn] | None = None
    mean: bool = True
    levels: dict[int, float] = dataclasses.field(default_factory=dict)
    fans: dict[int, float] = dataclasses.field(default_factory=dict)
    unknown: frozenset[int] = frozenset()
    after: dict[int, float] = dataclasses.field(default_factory=dict)


def positions(shape: Sequence[int]) -> list[bool]:
    """Return which axes of an input run over positions: all but the last."""
    return [d < len(shape) - 1 for d in range(len(shape))]


def unit(shape: tuple[int, ...]) -> Spread:
    """Return independent standard normal entries; the last axis has the features."""
    return gaussian(shape, 0.0, 1.0, positions(shape))


def unit_note(why: str) -> Note:
    """Return the note on what is not followed."""
    return Note(f"{why} is not followed and counts as standard normal")


class Numbers:
    """What is computed of values, and what is remembered on the way."""

    def __init__(self, conventions: Conventions) -> None:
        self.strict = conventions.refuse is not None
        self.book = Book()
        self._units: dict[int, tuple[Unknown, Spread]] = {}

    def evaluate(
        self, equation: Any, name: str, dtypes: Sequence[Any], values: Sequence[Value]
    ) -> Found:
        """Return the results of one operation, and what they leave out."""
        avals = [var.aval for var in equation.outvars]
        xs = [_as_wanted(x, dtype) for x, dtype in zip(values, dtypes, strict=True)]
        if name in BITS:
            return [random_bits(aval) for aval in avals], frozenset()
        constant = _constant(equation, name, xs)
        if constant is not None:
            return constant, frozenset()
        notes: set[Note] = set()
        used = [i for i in NEEDED.get(name, range(len(xs))) if i < len(xs)]
        needed = [xs[i] for i in used]
        if any(isinstance(x, Unknown) for x in needed):
            results = self._of_unknown(equation, name, needed, notes)
            if results is not None:
                return results, frozenset(notes)
            kinds = [kind(dtypes[i]) for i in used]
            shapes = [equation.invars[i].aval.shape for i in used]
            triples = zip(needed, kinds, shapes, strict=True)
            needed = [self._as_unit(*triple, notes) for triple in triples]
        if name == "gather" and (found := _looked_up(equation, xs)) is not None:
            return [found], frozenset()
        if name == "gather" and _is_chosen(xs[1]) and as_spread(xs[0]).places:
            notes.add(Note("what data choose counts as any entry"))
        if name in INDICES and not any(isinstance(x, Unknown) for x in xs):
            needed = xs
        results = self._ruled(equation, name, [as_spread(x) for x in needed], notes)
        missing = len(avals) - len(results)
        results += [Unknown(f"indices of {name}", integers=True)] * missing
        return results, frozenset(notes)

    def _of_unknown(
        self, equation: Any, name: str, xs: Sequence[Value], notes: set[Note]
    ) -> list[Value] | None:
        """Return what comes of unknown numbers, or None if they count as unit sources."""
        avals = [var.aval for var in equation.outvars]
        lost = next(x for x in xs if isinstance(x, Unknown))
        known = [x for x in xs if isinstance(x, Known)]
        if name == "eq" and lost.integers and len(known) == 1:
            # One of n numbers is equal to each with probability 1 / n.
            if not lost.why.startswith("an input"):
                notes.add(Note(f"what {lost.why} chooses counts as chosen at random"))
            count = len(np.unique(known[0].array))
            weights = np.array([1 - 1 / count, 1 / count])
            return [source(avals[0].shape, np.array([False, True]), weights)]
        if name == "select_n" and isinstance(xs[0], Unknown) and not self.strict:
            return [_either(xs[1:], avals[0].shape, lost, notes)]
        if name in ("cos", "sin") and not self.strict:
            notes.add(Note(f"the phase of {lost.why} counts as uniform"))
            turns = 2 * np.pi * (np.arange(NODES) + 0.5) / NODES
            shape, share = tuple(avals[0].shape), np.full(NODES, 1 / NODES)
            return [source(shape, np.cos(turns), share, positions(shape))]
        data = [x for x in xs if isinstance(x, Spread) and x.places]
        if data and not self.strict and all(kind(aval.dtype) == "f" for aval in avals):
            return None
        whole = lost.integers and all(kind(aval.dtype) in "iu" for aval in avals)
        moved = name in ELEMENTWISE or name in MOVES or name == "convert_element_type"
        return [Unknown(lost.why, integers=whole and moved) for _ in avals]

    def _as_unit(self, x: Value, letter: str, shape: Any, notes: set[Note]) -> Value:
        """Return a unit source for an unknown array, the same one at every time."""
        if not isinstance(x, Unknown):
            return x
        notes.add(unit_note(x.why))
        if letter != "f":
            return scalar(1, shape)
        if id(x) not in self._units:
            self._units[id(x)] = (x, unit(tuple(shape)))
        return self._units[id(x)][1]

    def _ruled(
        self, equation: Any, name: str, operands: list[Spread], notes: set[Note]
    ) -> list[Value]:
        avals = [var.aval for var in equation.outvars]
        self.book.remarks.clear()
        why = f"the operation {name}"
        try:
            found = self._by_rule(equation, name, operands)
        except UnevenError:
            why += ", which a few large terms dominate"
            found: list[Value] = [Unknown(why) for _ in avals]
            if name == "reduce_sum" and not self.strict:
                # Mean and variance are known all the same, n times those of a term.
                (x,), dims = operands, equation.params["axes"]
                count = math.prod(x.shape[d] for d in dims)
                found = [windowed_sum(x, tuple(avals[0].shape), count, 0.0)]
                notes.add(Note(f"{why}: only its variance is known", scale=False))
        notes.update(map(Note, self.book.remarks))
        found = [_checked(x, operands, name) if isinstance(x, Spread) else x for x in found]
        if self.strict:
            return found
        pairs = zip(found, avals, strict=False)
        return [_settled(x, aval, notes) for x, aval in pairs]

    def _by_rule(self, equation: Any, name: str, xs: list[Spread]) -> list[Value]:
        avals = [var.aval for var in equation.outvars]
        if name in ELEMENTWISE:
            return [self._elementwise(equation, name, xs)]
        if name == "convert_element_type":
            return [converted(xs[0], avals[0].dtype)]
        if name == "bitcast_convert_type":
            return [_bitcast(equation, xs[0])]
        if name == "iota":
            return [iota(equation)]
        if name == "conv_general_dilated":
            return [convolved(equation, self.book, xs)]
        rule = MOVES.get(name) or SUMS.get(name)
        if rule is None:
            return [Unknown(f"the operation {name}") for _ in avals]
        return list(rule(self.book, xs, equation.params, avals))

    def _elementwise(self, equation: Any, name: str, xs: list[Spread]) -> Spread:
        if name in ("max", "min") and (bound := _idle_bound(name, xs)) is not None:
            return bound
        if name == "sub" and xs[1].top_of is xs[0]:
            # The maximum is taken for independent of the entry: keep exp() finite.
            least = float(xs[0].values.max()) - _OVERFLOW
            xs = [xs[0], xs[1].mapped(lambda table: np.maximum(table, least))]
        if name in ("add", "add_any", "sub"):
            total = normal_sum(xs, -1.0 if name == "sub" else 1.0)
            if total is not None:
                return total
        return self.book.combined(_function(equation, name, xs), xs)


def _function(equation: Any, name: str, xs: Sequence[Spread]) -> Callable[..., Any]:
    """Return what computes an operation at the nodes: NumPy on floats, else JAX."""
    params = equation.params
    if name not in NATIVE or not all(x.values.dtype.kind in "fb" for x in xs):
        return lambda *tables: equation.primitive.bind(*tables, **params)
    host, extra = NATIVE[name], [params[OPTIONS[name]]] if name in OPTIONS else []

    def computed(*tables: np.ndarray) -> Any:
        with np.errstate(all="ignore"):
            return host(*tables, *extra)

    return computed


def _constant(equation: Any, name: str, xs: Sequence[Value]) -> list[Value] | None:
    """Return the results of an operation on constants, computed; None for others."""
    if not all(is_known(x) for x in xs):
        return None
    if name == "iota":
        return [_counted(equation)]
    ruled = name in ELEMENTWISE or name in MOVES
    if (ruled and all(isinstance(x, Spread) for x in xs)) or not _is_small(equation):
        return None
    pairs = zip(xs, equation.invars, strict=True)
    results = bind(equation, [array(x, atom.aval) for x, atom in pairs])
    return [from_array(np.asarray(result)) for result in results]


def _is_chosen(index: Value) -> bool:
    """Whether an index is found by comparing data, as that of the largest entry is."""
    found = ("the operation arg", "indices of")
    return isinstance(index, Unknown) and index.why.startswith(found)


def _looked_up(equation: Any, xs: Sequence[Value]) -> Spread | None:
    """Return the rows of a constant table at indices that are followed, if so it is."""
    table, index, params = xs[0], xs[1], equation.params
    numbers, d = params["dimension_numbers"], params["dimension_numbers"].start_index_map
    if not isinstance(table, Known) or not isinstance(index, Spread) or not index.places:
        return None
    sizes = [1 if k in d else n for k, n in enumerate(table.array.shape)]
    if len(d) != 1 or index.shape[-1] != 1:
        return None
    if numbers.operand_batching_dims or list(params["slice_sizes"]) != sizes:
        return None
    rows = np.moveaxis(table.array, d[0], 0).reshape(table.array.shape[d[0]], -1)
    columns, shape = rows.shape[1], tuple(equation.outvars[0].aval.shape)
    if columns > NODES:
        return None
    chosen = rows[np.clip(index.values.astype(np.int64), 0, len(rows) - 1)]
    offset = numbers.offset_dims

    def move(place: Sequence[Any]) -> list[Any]:
        along = iter(place)
        return [None if k in offset else next(along) for k in range(len(shape))]

    found = index.moved(shape, move).mapped(lambda _: wide(chosen))
    if columns == 1:
        return found.mapped(lambda values: values[..., 0])
    axis = Axis(np.full(columns, 1 / columns), whole=True)
    place = [Label() if k in offset and n > 1 else None for k, n in enumerate(shape)]
    return Spread(shape, {**found.places, axis: tuple(place)}, found.values)


def _is_small(equation: Any) -> bool:
    avals = [atom.aval for atom in (*equation.invars, *equation.outvars)]
    sized = all(hasattr(aval, "shape") and kind(aval.dtype) != "k" for aval in avals)
    return sized and sum(math.prod(aval.shape) for aval in avals) <= _LARGEST


def _counted(equation: Any) -> Value:
    shape, d = equation.params["shape"], equation.params["dimension"]
    if math.prod(shape) > _LARGEST:
        return iota(equation)
    wide = [n if k == d else 1 for k, n in enumerate(shape)]
    row = np.arange(shape[d]).astype(equation.params["dtype"]).reshape(wide)
    return from_array(np.ascontiguousarray(np.broadcast_to(row, shape)))


def _either(
    cases: Sequence[Value], shape: tuple[int, ...], lost: Unknown, notes: set[Note]
) -> Value:
    """Return what is chosen by an unknown condition: what is data, rather than a filler."""
    lost_case = next((x for x in cases if isinstance(x, Unknown)), None)
    data = [x for x in cases if not isinstance(x, Unknown) and not is_known(x)]
    if not data and lost_case is not None:
        return lost_case
    if not data and all(kind_of(x) == "b" for x in cases):
        return lost
    notes.add(Note(f"{lost.why} chooses, and fillers are left out"))
    spreads = [as_spread(x) for x in data or cases if not isinstance(x, Unknown)]
    if len(spreads) == 1:
        return spreads[0]
    parts = [(1 / len(spreads), x) for x in spreads]
    return mixture(parts, shape, spreads[0].positions())


def _settled(x: Value, aval: Any, notes: set[Note]) -> Value:
    """Return a unit source where a rule gave up on numbers that were followed."""
    if not isinstance(x, Unknown) or kind(aval.dtype) != "f":
        return x
    notes.add(Note(unit_note(x.why).text, scale=False))
    return unit(tuple(aval.shape))


def _as_wanted(x: Value, dtype: Any) -> Value:
    """Return an operand in the dtype that the equation wants."""
    if not isinstance(x, Spread) or kind(dtype) not in "biuf":
        return x
    wanted = np.dtype(np.float64 if kind(dtype) == "f" else dtype)
    if x.values.dtype == wanted:
        return x
    whole = x.values.dtype.kind == "f" and wanted.kind in "iu"
    return x.mapped(lambda table: (np.rint(table) if whole else table).astype(wanted))


def _checked(x: Spread, operands: Sequence[Spread], name: str) -> Value:
    """Return a result, or that it is unknown where it is not a number."""
    if x.values.dtype.kind != "f" or not x.places or not np.isnan(x.values).any():
        return x  # a constant may be no number where it is a filler
    nan = any(o.values.dtype.kind == "f" and np.isnan(o.values).any() for o in operands)
    if nan and name == "select_n":
        return x
    return Unknown(f"the operation {name}, which gives NaN")


def _idle_bound(name: str, xs: Sequence[Spread]) -> Spread | None:
    """Return the other operand of a bound that never binds, as softmax has."""
    idle = -np.inf if name == "max" else np.inf
    for one, other in (xs, xs[::-1]):
        if not one.places and one.values.dtype.kind == "f" and one.values.item() == idle:
            return other if len(other.shape) >= len(one.shape) else None
    return None


def _bitcast(equation: Any, x: Spread) -> Spread:
    table = x.values.astype(equation.invars[0].aval.dtype)
    found = np.asarray(equation.primitive.bind(table, **equation.params))
    return x.mapped(
        lambda _: found if found.dtype.kind in "biu" else found.astype(np.float64)
    )
