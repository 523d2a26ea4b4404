"""What ``jaxinit audit`` does, without the parsing of its arguments."""

from typing import Any, NamedTuple

import jax

from jaxinit.models.audit import audit
from jaxinit.models.findings import Audit
from jaxinit.models.load import load_model
from jaxinit.trace.entry import trace_params
from jaxinit.trace.use import Uses


class AuditReport(NamedTuple):
    """What ``jaxinit audit package.module:function`` shows.

    Attributes:
        uses: How the model uses each parameter.
        findings: The audit; None if the parameters have no values.
    """

    uses: Uses
    findings: Audit | None

    def text(self, *, every: bool = False) -> str:
        """Return the verdict, the rules that mend what is off, and the table.

        Args:
            every: One line a leaf, and a table of how the model uses each.
        """
        if self.findings is None:
            return f"{self.uses}\n\nOnly shapes were given, so nothing was measured."
        if not every:
            return str(self.findings)
        parts = [self.findings.verdict, self.findings.rules]
        parts += [self.findings.table(every=True), self.uses.table(every=True)]
        return "\n\n".join(part for part in parts if part)

    def __str__(self) -> str:
        """Return the text, like leaves in one line."""
        return self.text()

    @property
    def exit_code(self) -> int:
        """1 if a leaf is off, else 0."""
        return int(bool(self.findings and self.findings.off))


def audit_command(
    name: str, *, target: str = "usual", tolerance: float = 0.0
) -> AuditReport:
    """Trace and audit the model that a user's function returns.

    Args:
        name: ``package.module:function``, a function without arguments that returns
            ``(apply_fn, params, inputs)``.
        target: As in :func:`jaxinit.audit`.
        tolerance: As in :func:`jaxinit.audit`.

    Returns:
        The report; print it, and exit with its ``exit_code``.

    Raises:
        ValueError: As :func:`jaxinit.audit`, or the function is not there.
        TypeError: As :func:`jaxinit.trace_params`, or the function returned something else.
    """
    model = load_model(name)
    uses = trace_params(model.apply_fn, model.params, *model.inputs)
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in _arrays(model.params)):
        return AuditReport(uses, None)
    found = audit(model.params, uses, target=target, tolerance=tolerance)
    return AuditReport(uses, found)


def _arrays(tree: Any) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "shape")]
