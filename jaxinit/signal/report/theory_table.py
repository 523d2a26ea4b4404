"""Tables of what theory says: recommendations and phase diagrams."""

from typing import Any

import numpy as np

from jaxinit.signal.recommend import Recommendation
from jaxinit.signal.report.table import Table, lasts, power
from jaxinit.signal.theory.phase import PhaseDiagram


def recommendation_table(advice: Recommendation) -> Table:
    """Return the table of a recommendation, the best choice first."""
    rows = []
    for choice in (advice.best, *advice.others):
        spec = choice.scheme
        lines = choice.log10_std, choice.log10_grad[::-1]
        cells = [(power(float(line[-1])), _lasts(line)) for line in lines]
        gains = (f"{spec.sigma_w:.4f}", f"{spec.sigma_b:.4f}")
        rows.append((spec.name, *gains, *cells[0], *cells[1]))
    ends = (f"std at {advice.depth}", "lasts", "gradient at 0", "lasts")
    columns = ("scheme", "sigma_w", "sigma_b", *ends)
    notes = ("Lasts: for how many layers it stays within a factor of 1000 of 1.",)
    title = f"{advice.activation} over {advice.depth} layers, by theory"
    verdicts = (f"Use {advice.best.scheme.name}. {advice.why}",)
    return Table(title, columns, tuple(rows), notes, verdicts, advice.calls)


def _lasts(line: np.ndarray) -> str:
    layers = lasts(line)
    return "all" if layers is None else f"{layers}"


def phase_table(diagram: PhaseDiagram, name: str) -> Table:
    """Return the depth scales of a phase diagram at up to 6 x 8 of its points."""
    rows_at = np.unique(np.linspace(0, len(diagram.sigma_b) - 1, 6).round().astype(int))
    at = np.unique(np.linspace(0, len(diagram.sigma_w) - 1, 8).round().astype(int))
    columns = ("sigma_b | sigma_w", *(f"{w:.2f}" for w in diagram.sigma_w[at]))
    rows = tuple(
        (f"{diagram.sigma_b[i]:.2f}", *(_layers(diagram.xi_c[i, j]) for j in at))
        for i in rows_at[::-1]
    )
    title = f"{name}: depth scale of correlations, in layers, by theory"
    return Table(title, columns, rows, ("A dash: signals vanish or explode.",))


def _layers(scale: Any) -> str:
    if np.isnan(scale):
        return "-"
    return "inf" if np.isinf(scale) else f"{scale:.3g}"
