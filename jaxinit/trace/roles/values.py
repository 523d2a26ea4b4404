"""What the tracer knows of every intermediate value of a forward pass."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from jaxinit.trace.roles.atoms import Dims, Letters
from jaxinit.trace.roles.expressions import VALUE, Expression


@dataclasses.dataclass(frozen=True)
class Constant:
    """A value that depends on neither inputs nor parameters.

    Attributes:
        expression: Its number, where it is one known number everywhere.
    """

    expression: Expression | None = None


@dataclasses.dataclass(frozen=True)
class View:
    """One parameter, its axes rearranged and each entry passed through ``through``.

    Attributes:
        leaf: The parameter's number.
        dims: Where each axis comes from.
        through: What was done to each entry.
        cuts: Slices taken of the parameter: (axis, start, size).
        shards: Axes of which a ``shard_map`` shows one part of several: (axis, parts).
        inner: Its axes that were summed over together with those of the first of
            ``beside``, of a product of two parameters.
        beside: Parameters that are added to it, or multiplied with it and summed; their
            axes lie as its own do.
        factors: Parameters that multiply whole slices of it.
        notes: What else was done to it before use.
        is_chosen: Whether a constant array chose entries of it.
        touched: Parameters from which what multiplies or shifts it was computed.
    """

    leaf: int
    dims: Dims
    through: Expression = VALUE
    cuts: tuple[tuple[int, int, int], ...] = ()
    shards: tuple[tuple[int, int], ...] = ()
    inner: Dims = ()
    beside: tuple["View", ...] = ()
    factors: tuple["View", ...] = ()
    notes: tuple[str, ...] = ()
    is_chosen: bool = False
    touched: frozenset[int] = frozenset()

    @property
    def common(self) -> Dims:
        """What each axis comes from, in this parameter or in one beside it."""
        if not self.beside:
            return self.dims
        choices = zip(self.dims, *(view.common for view in self.beside), strict=True)
        return tuple(
            next((dim for dim in dims if any(atom.axis >= 0 for atom in dim)), dims[0])
            for dims in choices
        )

    def is_spread(self) -> bool:
        """Whether the parameter was repeated along some axis, as data is."""
        return any(atom.axis < 0 and atom.size > 1 for dim in self.common for atom in dim)

    def noted(self, *notes: str) -> "View":
        """Return the view with more notes."""
        return dataclasses.replace(self, notes=tuple(dict.fromkeys((*self.notes, *notes))))

    def each(self, change: "Callable[[View], Value]") -> "Value":
        """Return the view after a change of its own axes and of those beside it."""
        result = change(self)
        if not self.beside or not isinstance(result, View):
            return result
        moved = [view.each(change) for view in self.beside]
        beside = tuple(view for view in moved if isinstance(view, View))
        return dataclasses.replace(result, beside=beside)


@dataclasses.dataclass(frozen=True)
class Pack:
    """Parameters laid side by side along one axis.

    Attributes:
        parts: The parameters.
        axis: The axis, or -1 where each step of a loop sees one of them.
    """

    parts: tuple[View, ...]
    axis: int


@dataclasses.dataclass(frozen=True)
class Factors:
    """Parameters multiplied entry by entry, as the scale and deviation of a norm."""

    parts: tuple[View, ...]


@dataclasses.dataclass(frozen=True)
class Opaque:
    """Made of parameters in a way that is not followed."""

    leaves: frozenset[int]
    reason: str


@dataclasses.dataclass(eq=False)
class Record:
    """One use of one parameter.

    Attributes:
        leaf: The parameter's number.
        role: weight, embedding, bias, scale or unknown.
        reason: Why it is unknown, or how it is used.
        view: The parameter as it was used.
        letters: The role of each atom of the view.
        groups: Feature groups of a convolution.
        thinning: Of how many entries of the window an output sums one, on average.
        source: What feeds it.
        output_cuts: Slices taken of its output: (axis, length, start, size).
        notes: What else is to be said.
        met_data: Whether the data was involved.
        stacked: Axes that turned out to number independent models.
        outputs: The bases that are its plain output, one bit each.
        dot_size: Entries that products of its output with another signal sum.
        frequency: The number that its output is multiplied with inside of a sine.
        scalings: Other numbers that its output is multiplied with.
        entered: With which such numbers it enters what is no multiplication.
    """

    leaf: int
    role: str
    reason: str = ""
    view: View | None = None
    letters: Letters = ()
    groups: int = 1
    thinning: int = 1
    source: "Signal | Constant | None" = None
    output_cuts: list[tuple[int, int, int, int]] = dataclasses.field(default_factory=list)
    notes: list[str] = dataclasses.field(default_factory=list)
    met_data: bool = True
    stacked: set[int] = dataclasses.field(default_factory=set)
    outputs: int = 0
    dot_size: int | None = None
    frequency: float | None = None
    scalings: set[float] = dataclasses.field(default_factory=set)
    entered: set[float] = dataclasses.field(default_factory=set)


@dataclasses.dataclass(frozen=True, eq=False)
class Base:
    """Where an expression starts.

    Attributes:
        kind: input, weight, embedding, normalisation, softmax, residual addition, addition,
            product, attention, or what else made it.
        detail: For a weight or embedding, its path.
        ancestors: The bases that it was computed from, itself included, one bit each.
        records: The weights whose plain sum it is.
    """

    kind: str
    detail: str = ""
    ancestors: int = 0
    records: tuple[Record, ...] = ()


@dataclasses.dataclass(frozen=True)
class Signal:
    """A value that depends on the inputs.

    Attributes:
        base: Where its expression starts.
        expression: What was done to each entry since.
        dims: What its axes run over, where known.
        statistic: ``"sum"``, ``"exp-sum"`` or ``"extreme"`` if entries were reduced.
        level: How often entries were reduced since the base: a norm over pooled features
            is a statistic of what is one itself.
        is_inverted: Whether a statistic went through a root or a reciprocal.
        is_discrete: Whether it is made of integers and booleans only.
        is_one_hot: Whether it compares integers with a counter.
        notes: What the expression leaves out.
        scales: Parameters that multiplied it since the base.
        summed: Parameters whose product with it was then summed over their own axes.
        scaled_axes: The axes along which those of ``scales`` vary.
        learned: Parameters that decide the shape of the expression.
        carried: Records of parameters that have all axes of the signal: weights that data
            masked, or to which it added noise, if they meet other data in a product.
    """

    base: Base
    expression: Expression = VALUE
    dims: Dims | None = None
    statistic: str = ""
    level: int = 0
    is_inverted: bool = False
    is_discrete: bool = False
    is_one_hot: bool = False
    notes: frozenset[str] = frozenset()
    scales: frozenset[int] = frozenset()
    summed: frozenset[int] = frozenset()
    scaled_axes: frozenset[int] = frozenset()
    learned: frozenset[int] = frozenset()
    carried: tuple[tuple[Record, View], ...] = ()


Value = Constant | View | Pack | Factors | Opaque | Signal
UNKNOWN_CONSTANT = Constant()
RANDOM = "random numbers"


class Walk(Protocol):
    """What the rules see of the walk over a program."""

    paths: Sequence[str]
    records: list[Record]
    input_base: Base

    def run(self, program: Any, values: Sequence[Value]) -> list[Value]:
        """Return the values of a program's outputs."""
        ...

    def new_base(
        self,
        kind: str,
        sources: Sequence[Value],
        detail: str = "",
        records: tuple[Record, ...] = (),
    ) -> Base:
        """Return a new starting point, computed from ``sources``."""
        ...

    def sandbox(self) -> contextlib.AbstractContextManager[None]:
        """Forget the uses that are recorded inside."""
        ...


def views_of(value: Value) -> tuple[View, ...]:
    """Return the parameters that the value is, side by side."""
    if isinstance(value, View):
        return (value,)
    return value.parts if isinstance(value, Pack) else ()


def leaves_of(values: Sequence[Value]) -> frozenset[int]:
    """Return the parameters that the values are made of."""
    return frozenset(_leaves(values))


def leaves_in(view: View) -> Iterator[int]:
    """Yield the parameter of a view and those that are added to it or multiply it."""
    yield view.leaf
    for other in (*view.beside, *view.factors):
        yield from leaves_in(other)


def _leaves(values: Sequence[Value]) -> Iterator[int]:
    for value in values:
        if isinstance(value, Opaque):
            yield from value.leaves
        if isinstance(value, Factors):
            for part in value.parts:
                yield from leaves_in(part)
        for view in views_of(value):
            yield from leaves_in(view)


def give_up(walk: Walk, values: Sequence[Value], reason: str) -> Value:
    """Return a value of which no more is known, and say so of the parameters in it."""
    leaves = leaves_of(values)
    signals = [value for value in values if isinstance(value, Signal)]
    for leaf in sorted(leaves):
        walk.records.append(Record(leaf, "unknown", reason, met_data=bool(signals)))
    for signal in signals:
        flag_summed(walk, signal)
    if not signals:
        return Opaque(leaves, reason) if leaves else UNKNOWN_CONSTANT
    if not leaves and all(signal.base.kind == RANDOM for signal in signals):
        return Signal(signals[0].base, is_discrete=True)
    discrete = all(signal.is_discrete for signal in signals) and not leaves
    if all(signal.base is walk.input_base for signal in signals) and not leaves:
        return Signal(walk.input_base, is_discrete=discrete)
    return Signal(walk.new_base(f"unknown ({reason})", signals), is_discrete=discrete)


def flag_summed(walk: Walk, signal: Signal) -> None:
    """Say that parameters that were multiplied and summed may be weights."""
    reason = "multiplied with the signal and summed, so perhaps a weight"
    for leaf in sorted(signal.summed):
        walk.records.append(Record(leaf, "unknown", reason))
