"""From the uses that were recorded to what is said of each parameter."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from jaxinit._layout import Fans, Layout
from jaxinit.trace.roles.expressions import VALUE, linear_factor, on_host
from jaxinit.trace.roles.naming import name_of
from jaxinit.trace.roles.values import Constant, Record, Signal, View
from jaxinit.trace.use import ParamUse

_MANY = 16  # inputs from which on 1 / sqrt(fan_in) is told from other numbers
_NEAR = 0.01
"""How near to 0 or 1 a parameter must bring a shift or a factor to be called neutral."""


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One parameter: its path, shape and dtype."""

    path: str
    shape: tuple[int, ...]
    dtype: str


def resolve(leaf: Leaf, records: Sequence[Record]) -> ParamUse:
    """Return what is said of a parameter, its uses first to last.

    Args:
        leaf: The parameter.
        records: All its uses, in the order of the program.

    Returns:
        The first of the most telling uses, the others inside it.
    """
    if not records:
        reason = "no output depends on it"
        return ParamUse(leaf.path, leaf.shape, leaf.dtype, "unused", reason=reason)
    if any(record.met_data for record in records):
        records = [record for record in records if record.met_data]
    elif all(record.role == "unknown" for record in records):
        records = records[:1]
    groups: dict[tuple[object, ...], list[Record]] = {}
    for record in records:
        groups.setdefault(_kind(leaf, record), []).append(record)
    uses = [_use(leaf, group) for group in groups.values()]
    order = sorted(
        range(len(uses)), key=lambda i: (_rank(uses[i], list(groups.values())[i]), i)
    )
    first, *others = (uses[i] for i in order)
    return dataclasses.replace(first, others=tuple(others))


def _kind(leaf: Leaf, record: Record) -> tuple[object, ...]:
    letters = tuple(sorted(set(_letters(leaf, record).items()))) if record.view else ()
    return record.role, record.reason, record.groups, letters


def _rank(use: ParamUse, records: Sequence[Record]) -> int:
    if use.role == "unknown":
        return 2 if any(record.met_data for record in records) else 4
    return {"embedding": 0, "weight": 1}.get(use.role, 3)


def _letters(leaf: Leaf, record: Record) -> dict[int, str]:
    """Return the letters of each axis, more than one where it has several roles."""
    result: dict[int, str] = {}
    for atom, given in record.letters:
        letter = "B" if atom.axis in record.stacked else given
        if atom.size == 1 and leaf.shape[atom.axis] > 1:
            continue  # one step of a stack
        have = result.get(atom.axis, "")
        result[atom.axis] = have if letter in have else have + letter
    return result


def _use(leaf: Leaf, records: Sequence[Record]) -> ParamUse:
    first = next((r for r in records if isinstance(r.source, Signal)), records[0])
    base = ParamUse(leaf.path, leaf.shape, leaf.dtype, first.role, reason=first.reason)  # pyright: ignore[reportArgumentType]
    if first.view is None or first.role == "unknown":
        return base
    if first.role in ("bias", "scale"):
        return _neutral(base, first.view, first.notes)
    letters = _letters(leaf, first)
    layout = None
    if all(len(letter) == 1 for letter in letters.values()):
        axes = "".join(letters.get(i, "B") for i in range(len(leaf.shape)))
        layout = Layout(axes, groups=first.groups)
    notes = list(dict.fromkeys(note for record in records for note in record.notes))
    if layout is None:
        mixed = [i for i, letter in letters.items() if len(letter) > 1]
        notes.append(f"axis {', '.join(map(str, mixed))} has more than one role")
    use = dataclasses.replace(base, layout=layout, notes=tuple(notes))
    if first.role == "embedding":
        count = _product(leaf, first, letters, "O")
        return dataclasses.replace(use, fans=Fans(1, max(1, count)))
    factor = linear_factor(first.view.through)
    if factor is None:
        reason = "passed through a nonlinear function before the product"
        return dataclasses.replace(use, role="unknown", reason=reason)
    use = dataclasses.replace(use, factor=factor, dot_size=first.dot_size)
    use = _with_fans(use, leaf, records, first, letters)
    return _with_source(_with_output_factor(use, first), records, first)


def _with_output_factor(use: ParamUse, record: Record) -> ParamUse:
    """Say what number behind the product the weight's scale is to make up for."""
    count = use.fans.fan_in if use.fans else 1
    if record.frequency is not None and record.entered == {record.frequency}:
        note = f"its product is multiplied by {record.frequency:.4g} inside of a sine"
        return dataclasses.replace(
            use, output_factor=record.frequency, notes=(*use.notes, note)
        )
    factors = record.scalings | (record.entered if record.scalings else set())
    if len(factors) != 1 or use.dot_size is not None or count < _MANY:
        return use
    (factor,) = factors
    if not 0.7 <= abs(factor) * count**0.5 <= 1.55:  # NTK parametrization: about 1/sqrt(n)
        return use
    note = f"its product is multiplied by {factor:.4g}, about 1 / sqrt(fan_in)"
    return dataclasses.replace(use, output_factor=factor, notes=(*use.notes, note))


def _neutral(use: ParamUse, view: View, notes: Sequence[str]) -> ParamUse:
    use = dataclasses.replace(use, notes=tuple(notes))
    target = 0.0 if use.role == "bias" else 1.0
    values = on_host(view.through, np.array([0.0, 1.0]))
    order = (0, 1) if use.role == "bias" else (1, 0)
    for i in order:
        if abs(values[i] - target) <= _NEAR:
            reason = "" if view.through is VALUE else "through a function of it"
            return dataclasses.replace(use, neutral=float(i), reason=reason)
    what = "added to" if use.role == "bias" else "multiplies"
    reason = f"{what} the data through a function that no value of 0 or 1 makes neutral"
    return dataclasses.replace(use, role="unknown", reason=reason)


def _product(leaf: Leaf, record: Record, letters: dict[int, str], wanted: str) -> int:
    """Return how many entries the atoms of the wanted letters count."""
    count = 1
    for atom, given in record.letters:
        letter = "B" if atom.axis in record.stacked else given
        if letter in wanted and not (atom.size == 1 and leaf.shape[atom.axis] > 1):
            count *= atom.size
    for axis, parts in record.view.shards if record.view else ():
        if set(letters.get(axis, "")) & set(wanted):
            count *= parts
    return count


def _with_fans(
    use: ParamUse,
    leaf: Leaf,
    records: Sequence[Record],
    first: Record,
    letters: dict[int, str],
) -> ParamUse:
    inputs = _product(leaf, first, letters, "I")
    outputs = _product(leaf, first, letters, "O")
    window = _product(leaf, first, letters, "DHW")
    notes = list(use.notes)
    parts = _weight_parts(leaf, records, letters, notes)
    along_inputs = parts is not None and "I" in letters.get(parts[0], "")
    if parts is None:
        parts = _output_parts(first)
        if parts is not None and len(set(parts[1])) == 1:
            outputs //= len(parts[1])
    splits = None
    if parts is not None and along_inputs:
        inputs = inputs // parts[1][0] * sum(parts[1])
        notes.append("used in parts along its inputs; fan_in counts all")
    elif parts is not None:
        splits = parts[1]
        if len(set(splits)) > 1:
            notes.append(
                f"parts of unequal sizes {splits}; fan_out is that of one or of all"
            )
    summed, reached = inputs * window / first.thinning, outputs * window / first.groups
    fans = Fans(*(max(1, int(n) if n == int(n) else n) for n in (summed, reached)))
    return dataclasses.replace(use, fans=fans, splits=splits, notes=tuple(notes))


def _weight_parts(
    leaf: Leaf, records: Sequence[Record], letters: dict[int, str], notes: list[str]
) -> tuple[int, tuple[int, ...]] | None:
    """Return the axis that slices of the parameter cut, and their sizes."""
    pieces = {cut for record in records if record.view for cut in record.view.cuts}
    for axis in sorted({cut[0] for cut in pieces}):
        ranges = sorted({cut[1:] for cut in pieces if cut[0] == axis})
        if axis not in letters:
            continue
        sizes = tuple(size for _, size in ranges)
        ends = [start + size for start, size in ranges]
        starts = [start for start, _ in ranges]
        if starts == [0, *ends[:-1]] and ends[-1] == leaf.shape[axis]:
            return axis, sizes
        notes.append(f"of axis {axis} only {ranges} (start, size) are used")
    return None


def _output_parts(record: Record) -> tuple[int, tuple[int, ...]] | None:
    """Return the parts that slices of the output make, if they make up all of it."""
    for key in dict.fromkeys((axis, length) for axis, length, _, _ in record.output_cuts):
        ranges = sorted({c[2:] for c in record.output_cuts if c[:2] == key and c[0] >= 0})
        if len(ranges) < 2:
            continue
        ends = [start + size for start, size in ranges]
        if [start for start, _ in ranges] == [0, *ends[:-1]] and ends[-1] == key[1]:
            return key[0], tuple(size for _, size in ranges)
    return None


def _with_source(use: ParamUse, records: Sequence[Record], first: Record) -> ParamUse:
    """Say what feeds a weight; how large that is is another question."""
    source = first.source
    notes = list(use.notes)
    if not isinstance(source, Signal):
        after = "constant" if isinstance(source, Constant) else None
        return dataclasses.replace(use, after=after, nonlinearity="linear")
    expression = VALUE if source.statistic else source.expression
    after = _origin(source)
    name = "learned" if source.learned else name_of(expression)
    others = {_origin(r.source) for r in records if isinstance(r.source, Signal)} - {after}
    if others:
        notes.append("fed also by " + ", ".join(sorted(others)[:3]))
    return dataclasses.replace(
        use,
        after=after,
        nonlinearity=name,
        activation=None if source.learned else expression,
        notes=tuple(notes),
    )


def _origin(source: Signal | None) -> str:
    if source is None:
        return ""
    origin = f"{source.base.kind} {source.base.detail}".rstrip()
    return f"reduction of {origin}" if source.statistic else origin
