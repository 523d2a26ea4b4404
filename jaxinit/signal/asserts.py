"""Assertions on studies, for the tests of a project of one's own."""

import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice
from jaxinit.signal.studies.result import Prediction, Result


@boundary
def assert_kept(
    result: Result,
    *,
    within: float = 1.0,
    layer: int | None = None,
    quantity: str = "log10_std",
    share: float = 0.9,
) -> None:
    """Assert that a signal keeps its size.

    Args:
        result: A study.
        within: Largest change from the first layer, in powers of ten; for
            ``"log10_grad"`` from the last one.
        layer: Where to look; None for every layer.
        quantity: ``"log10_std"``, ``"log10_rms"`` or ``"log10_grad"``.
        share: Share of the seeds that must keep within, from 0 to 1.

    Raises:
        AssertionError: Fewer seeds do. The message names the worst layer.
    """
    known = ("log10_std", "log10_rms", "log10_grad")
    values = result.values[check_choice("quantity", quantity, known)]
    start = values[:, -1:] if quantity == "log10_grad" else values[:, 1:2]
    change = np.abs(values.astype(np.float64) - start)
    if layer is not None:
        change = change[:, [layer]]
    kept = (change <= within).mean(0)
    if kept.min() < share:
        worst = int(kept.argmin()) if layer is None else layer
        at = np.median(values[:, worst])
        message = (
            f"{result.label}: {quantity} keeps within {within:g} of its start for "
            f"{kept.min():.0%} of {result.seeds} seeds at layer {worst} (median {at:.3g}), "
            f"not {share:.0%}"
        )
        raise AssertionError(message)


@boundary
def assert_predicted(
    result: Result,
    prediction: Prediction,
    *,
    quantity: str = "log10_std",
    standard_errors: float = 5.0,
    slack: float = 0.02,
) -> None:
    """Assert that the mean over seeds lies on the theory line at every layer.

    Args:
        result: A study.
        prediction: Theory for the same settings.
        quantity: What to compare.
        standard_errors: Allowance for the seeds; 5 is a false alarm in 2 million.
        slack: Allowance for what the theory leaves out, in powers of ten.

    Raises:
        AssertionError: Some layer is further away.
    """
    values = result.values[quantity].astype(np.float64)
    gap = np.abs(values.mean(0) - prediction.band(quantity).median)
    error = values.std(0, ddof=1) / np.sqrt(len(values))
    excess = gap - standard_errors * error - slack
    worst = int(excess.argmax())
    if not excess[worst] <= 0:
        message = (
            f"{result.label}: {quantity} at layer {worst} is {gap[worst]:.3g} from theory, "
            f"with a standard error of {error[worst]:.2g} over {result.seeds} seeds"
        )
        raise AssertionError(message)
