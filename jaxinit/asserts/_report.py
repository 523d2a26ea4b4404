"""How a finding becomes an error: at once, or when a chexified program runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import chex
import jax
import numpy as np
from jax.experimental import checkify

from jaxinit import _checks

Value = bool | np.bool_ | float | np.number | np.ndarray | jax.Array


@dataclass(frozen=True)
class Finding:
    """One thing that must hold.

    Attributes:
        ok: Whether it does; traced in a program under compilation.
        rule: What must hold, with all that the bound depends on.
        got: The measured values by name.
        path: Where in a tree; empty for a single array.
    """

    ok: Value
    rule: str
    got: Mapping[str, Value | str]
    path: str = ""

    def text(self, values: Mapping[str, object]) -> str:
        """Return the sentence, with ``values`` for the measured ones."""
        got = ", ".join(f"{name}={value}" for name, value in values.items())
        place = f"{self.path}: " if self.path else ""
        return f"{place}{self.rule}; got {got}."


def settle(where: str, findings: Sequence[Finding], summary: str = "") -> None:
    """Raise one AssertionError for all findings that fail, now or at run time.

    Args:
        where: The assertion that the user called.
        findings: What was found.
        summary: Put before the failures of a whole tree, with ``{failed}`` in it.

    Raises:
        AssertionError: If a finding fails whose value is known.
    """
    if not _enabled():
        return
    known = [f for f in findings if not _checks.is_traced(f.ok)]
    for finding in findings:
        if _checks.is_traced(finding.ok):
            _check_later(where, finding)
    failed = [f for f in known if not bool(f.ok)]
    if not failed:
        return
    texts = [f.text({k: _shown(v) for k, v in f.got.items()}) for f in failed]
    if summary:
        places = len({f.path for f in failed})
        raise AssertionError(
            "\n  ".join([f"{where}: {summary.format(failed=places)}", *texts])
        )
    raise AssertionError("\n".join(f"{where}: {text}" for text in texts))


def _check_later(where: str, finding: Finding) -> None:
    # Passes always; it has chex refuse a trace that no chex.chexify wraps.
    chex.assert_tree_all_finite(finding.ok)
    names = {name: f"\0{name}\0" for name in finding.got}
    text = finding.text(names).replace("{", "{{").replace("}", "}}")
    for name in names:
        text = text.replace(f"\0{name}\0", f"{{{name}}}")
    # chex.chexify turns errors with this opening into AssertionErrors.
    opening = f"[Chex] chexify assertion '{where}' failed: "
    checkify.check(finding.ok, opening + text, **finding.got)  # pyright: ignore[reportArgumentType]


def _enabled() -> bool:
    """Whether chex.disable_asserts() has not been called; chex has no name for it."""
    try:
        chex.assert_equal(0, 1)
    except AssertionError:
        return True
    return False


def _shown(value: object) -> str:
    return value if isinstance(value, str) else f"{np.asarray(value).item():.6g}"
