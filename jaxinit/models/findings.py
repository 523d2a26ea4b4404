"""What an audit found, as data and in words."""

import dataclasses
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from jaxinit._groups import grouped, span
from jaxinit._table import table
from jaxinit.models.mending import rules_text


@dataclasses.dataclass(frozen=True)
class Finding:
    """What was measured of one leaf.

    Attributes:
        path: Its path.
        shape: Its axis lengths.
        role: How the model uses it; ``""`` if not traced.
        target: The standard deviation that it should have, None if none is known.
        measured: The one that it has, as a root mean square.
        ratio: measured / target; None without a target.
        bound: How far the ratio may be from 1 by chance.
        is_off: Whether it is further than that, and than ``tolerance``.
        remark: Why, in words.
        mend: Of a flagged weight, the initializer that mends it, as Python text.
    """

    path: str
    shape: tuple[int, ...]
    role: str
    target: float | None
    measured: float
    ratio: float | None
    bound: float | None
    is_off: bool
    remark: str
    mend: str = ""


class Audit(Sequence[Finding]):
    """The findings of all leaves; ``print`` shows the verdict and a table."""

    def __init__(self, findings: Sequence[Finding]) -> None:
        self._findings = tuple(findings)

    def __getitem__(self, index: Any) -> Any:
        """Return the finding of that number, or of that path."""
        if isinstance(index, str):
            found = [finding for finding in self._findings if finding.path == index]
            if not found:
                raise KeyError(index)
            return found[0]
        return self._findings[index]

    def __len__(self) -> int:
        return len(self._findings)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._findings)

    @property
    def off(self) -> tuple[Finding, ...]:
        """The findings that are off."""
        return tuple(finding for finding in self if finding.is_off)

    @property
    def rules(self) -> str:
        """Python that draws what is flagged as its use asks for; empty if nothing is."""
        mends = [(finding.path, finding.mend) for finding in self.off if finding.mend]
        return rules_text(mends, [f.path for f in self]) if mends else ""

    @property
    def verdict(self) -> str:
        """What is off, and by how much, in words."""
        if not self.off:
            return f"None of {len(self)} leaves is off."
        lines = [f"{len(self.off)} of {len(self)} leaves are off:"]
        for path, group in _like(self.off):
            count = f" ({len(group)} leaves)" if len(group) > 1 else ""
            lines.append(f"  {path}{count}: {group[0].remark}")
        return "\n".join(lines)

    def table(self, *, every: bool = False) -> str:
        """Return the table, like leaves in one line, or ``every`` leaf in its own."""
        head = ("", "path", "leaves", "shape", "role", "target", "measured", "ratio")
        groups = [(f.path, [f]) for f in self] if every else _like(self)
        rows = [_cells(path, group) for path, group in groups]
        return table([(*head, "bound", "remark"), *rows])

    def to_json(self) -> str:
        """Return the findings and the verdict as JSON, NaN as null."""
        findings = [dataclasses.asdict(finding) for finding in self]
        for finding in findings:
            for name, value in finding.items():
                if isinstance(value, float) and not math.isfinite(value):
                    finding[name] = None
        whole = {"off": len(self.off), "leaves": len(self), "findings": findings}
        return json.dumps(whole, indent=1)

    def __repr__(self) -> str:
        return f"<Audit of {len(self)} leaves, {len(self.off)} off>"

    def __str__(self) -> str:
        """Return the verdict, the rules that mend what is off, and the table."""
        parts = [self.verdict]
        if self.rules:
            parts.append("What mends it:\n\n" + self.rules)
        return "\n\n".join([*parts, self.table()])


def _like(findings: Iterable[Finding]) -> list[tuple[str, list[Finding]]]:
    return grouped(
        findings,
        lambda f: f.path,
        lambda f: (f.is_off, f.shape, f.role, f.target and f"{f.target:.3g}", f.mend),
    )


def _cells(path: str, group: Sequence[Finding]) -> tuple[str, ...]:
    first = group[0]
    return (
        "OFF" if first.is_off else "",
        path,
        str(len(group)) if len(group) > 1 else "",
        str(first.shape),
        first.role,
        span(f.target for f in group),
        span(f.measured for f in group),
        span(f.ratio for f in group),
        span(f.bound for f in group),
        first.remark,
    )
