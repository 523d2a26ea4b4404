"""What ``jaxinit audit`` does, without the parsing of its arguments."""

from typing import Any, NamedTuple

import jax

from jaxinit.models.audit import Audit, audit
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

    def __str__(self) -> str:
        """Return both tables and a last line that sums up."""
        if self.findings is None:
            return f"{self.uses}\n\nOnly shapes were given, so nothing was measured."
        count = len(self.findings.off)
        verdict = f"{count} of {len(self.findings)} leaves are off."
        return f"{self.uses}\n\n{self.findings}\n\n{verdict}"

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
    model = load_model("jaxinit audit", name)
    uses = trace_params(model.apply_fn, model.params, *model.inputs)
    if any(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in _arrays(model.params)):
        return AuditReport(uses, None)
    found = audit(model.params, uses, target=target, tolerance=tolerance)
    return AuditReport(uses, found)


def _arrays(tree: Any) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(tree) if hasattr(leaf, "shape")]
