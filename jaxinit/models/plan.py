"""Rules and the plan that they make: plain data, before anything is drawn."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jaxinit._boundary import boundary
from jaxinit._checks import value_error
from jaxinit._distribution import (
    Distribution,
    distribution_of,
    with_layout,
)
from jaxinit._groups import grouped, wildcard
from jaxinit._layout import Fans, Layout
from jaxinit._paths import PyTree, flatten, has_values, is_array
from jaxinit._table import table
from jaxinit._types import Initializer
from jaxinit.models.rules import CheckedRule, Keep, Rule, assign, check_rules, keep
from jaxinit.trace.use import ParamUse, Uses, layout_text


@dataclasses.dataclass(frozen=True)
class Row:
    """What will be done with one leaf.

    Attributes:
        path: Its path.
        shape: Its axis lengths.
        dtype: Its dtype.
        initializer: The function that makes it, all options bound, or ``keep``.
        distribution: What is drawn.
        rule: The text of the rule that applied.
        use: How the model uses it, if that was traced.
    """

    path: str
    shape: tuple[int, ...]
    dtype: Any
    initializer: Initializer | Keep
    distribution: Distribution
    rule: str
    use: ParamUse | None = None

    @property
    def std(self) -> float | None:
        """Standard deviation of its entries, where known."""
        return self.distribution.std

    @property
    def layout(self) -> Layout | None:
        """The role of its axes, where traced."""
        return self.use.layout if self.use else None

    @property
    def fans(self) -> Fans | None:
        """Its fans, where traced."""
        return self.use.fans if self.use else None


class Plan(Sequence[Row]):
    """What will be done with every leaf; ``print`` shows a table."""

    def __init__(self, rows: Sequence[Row], structure: Any) -> None:
        self._rows = tuple(rows)
        self.structure = structure

    def __getitem__(self, index: Any) -> Any:
        """Return the row of that number, or of that path."""
        if isinstance(index, str):
            found = [row for row in self._rows if row.path == index]
            if not found:
                raise KeyError(index)
            return found[0]
        return self._rows[index]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def __repr__(self) -> str:
        return f"<Plan of {len(self)} leaves>"

    def __str__(self) -> str:
        """Return the table, like leaves in one line."""
        head = (
            "path",
            "leaves",
            "shape",
            "dtype",
            "role",
            "layout",
            "fans",
            "distribution",
            "std",
            "rule",
        )
        groups = grouped(self, lambda row: row.path, _likeness)
        return table([head, *(_line(path, rows) for path, rows in groups)])


def _likeness(row: Row) -> tuple[str, ...]:
    """Return what two rows must have in common to share a line."""
    _, *cells, rule = _cells(row)
    return (*cells, re.sub(r"\d+", "*", rule))


def _line(path: str, rows: Sequence[Row]) -> tuple[str, ...]:
    _, *cells, _ = _cells(rows[0])
    count = str(len(rows)) if len(rows) > 1 else ""
    return (path, count, *cells, wildcard([row.rule for row in rows]))


def _cells(row: Row) -> tuple[str, ...]:
    fans = f"{row.fans.fan_in:g}:{row.fans.fan_out:g}" if row.fans else ""
    std = "" if row.std is None else f"{row.std:.4g}"
    role = row.use.role if row.use else ""
    dtype = getattr(row.dtype, "name", str(row.dtype))
    cells = (row.path, str(row.shape), dtype, role, layout_text(row.layout), fans)
    return (*cells, row.distribution.text, std, row.rule)


@boundary
def plan(params: PyTree, rules: Sequence[Rule], *, uses: Uses | None = None) -> Plan:
    """Say what :func:`jaxinit.initialize` would do with every leaf of a tree.

    Args:
        params: Any tree of arrays or ``jax.ShapeDtypeStruct``. Leaves that have no shape
            and dtype are left as they are.
        rules: Pairs (match, initializer). The first that matches a leaf makes it. ``match``
            is a glob over the whole path (``"**/kernel"``; ``*`` stays between two slashes,
            ``**`` crosses them, ``{a,b}`` and ``[ab]`` are choices), or a function of
            (path, leaf). The initializer is any function ``(key, shape, dtype)``, or
            ``keep`` for a leaf that stays as it is. A rule that no leaf goes to is an
            error, unless its match is marked by :func:`jaxinit.optional`.
        uses: What :func:`jaxinit.trace_params` found. With it, initializers of this library
            that were given no ``layout`` get the traced one.

    Returns:
        The plan: one row a leaf, and a table when printed.

    Raises:
        ValueError: Leaves that no rule matches, all of them listed; a rule that no leaf
            goes to; leaves that are to be kept but have no values; a glob with an open
            bracket.
        TypeError: A rule is not such a pair, or a match gave no boolean.

    Example:
        >>> import jax
        >>> from functools import partial
        >>> import jaxinit
        >>> S = jax.ShapeDtypeStruct
        >>> layer = {"kernel": S((256, 512), "float32"), "bias": S((512,), "float32")}
        >>> params = {"layer": layer}
        >>> rules = [("**/bias", jaxinit.zeros), ("**/kernel", jaxinit.xavier_normal)]
        >>> print(jaxinit.plan(params, rules))
        path          shape       dtype    distribution   std      rule
        ------------  ----------  -------  -------------  -------  ---------
        layer/bias    (512,)      float32  zeros          0        **/bias
        layer/kernel  (256, 512)  float32  xavier_normal  0.05103  **/kernel
    """
    return make_plan(params, check_rules(rules), uses)


def make_plan(
    params: PyTree,
    rules: Sequence[CheckedRule[Initializer | Keep]],
    uses: Uses | None = None,
    fallback: Callable[[ParamUse], tuple[Initializer | Keep, str, str] | str] | None = None,
) -> Plan:
    """Return the plan that rules make, and behind them a choice by traced use.

    Args:
        params: Any tree.
        rules: Checked rules.
        uses: Traced uses, or None.
        fallback: For a leaf that no rule matches: its initializer, the text of the
            distribution and that of the rule; or a text that says why there is none.

    Returns:
        The plan.
    """
    paths, leaves, structure = flatten(params)
    arrays = [i for i, leaf in enumerate(leaves) if is_array(leaf)]
    own_paths, own_leaves = [paths[i] for i in arrays], [leaves[i] for i in arrays]
    assigned = assign(rules, own_paths, own_leaves)
    found = dict(zip(arrays, assigned, strict=True))
    rows: list[Row] = []
    missed: list[str] = []
    for i, (path, leaf) in enumerate(zip(paths, leaves, strict=True)):
        use = uses.get(path) if uses is not None else None
        if i not in found:
            kind, kept = type(leaf).__name__, Distribution("keep")
            rows.append(Row(path, (), kind, keep, kept, "no array"))
            continue
        shape, rule = tuple(leaf.shape), found[i]
        if rule is not None:
            initializer, distribution = _bound(rule.value, shape, leaf.dtype, use)
            row = Row(path, shape, leaf.dtype, initializer, distribution, rule.text, use)
            rows.append(row)
            continue
        choice = fallback(use) if fallback is not None and use is not None else "no rule"
        if isinstance(choice, str):
            missed.append(
                f"{path} {shape}" + ("" if choice == "no rule" else f" ({choice})")
            )
            continue
        initializer, distribution_text, text = choice
        if isinstance(initializer, Keep):
            distribution = Distribution(distribution_text)
        else:
            distribution = distribution_of(initializer, shape, leaf.dtype)._replace(
                text=distribution_text
            )
        rows.append(Row(path, shape, leaf.dtype, initializer, distribution, text, use))
    if missed:
        rule = "every leaf needs a rule"
        advice = 'Add rules in front, or ("**", keep) at the end.'
        got = f"{len(missed)} without one: {'; '.join(missed)}"
        value_error(rule, got, advice)
    _check_kept(rows, leaves)
    return Plan(rows, structure)


def _bound(
    initializer: Initializer | Keep,
    shape: tuple[int, ...],
    dtype: Any,
    use: ParamUse | None,
) -> tuple[Initializer | Keep, Distribution]:
    """Return the initializer with the traced layout, and its distribution."""
    if isinstance(initializer, Keep):
        return initializer, Distribution("keep")
    distribution = distribution_if_known(initializer, shape, dtype)
    if use is not None and use.role == "weight":
        bound = with_layout(initializer, use.layout, use.fans)
        if bound is not initializer:
            told = distribution_of(bound, shape, dtype)
            return bound, told._replace(text=distribution.text)
    return initializer, distribution


def distribution_if_known(
    initializer: Initializer, shape: tuple[int, ...], dtype: Any
) -> Distribution:
    """Return the distribution, but for its name nothing where the shape does not suit."""
    try:
        return distribution_of(initializer, shape, dtype)
    except ValueError:  # the shape does not suit it: drawing says so, with the path
        return Distribution(getattr(initializer, "__name__", repr(initializer)))


def _check_kept(rows: Sequence[Row], leaves: Sequence[Any]) -> None:
    lost = [
        row.path
        for row, leaf in zip(rows, leaves, strict=True)
        if isinstance(row.initializer, Keep)
        and row.rule != "no array"
        and not has_values(leaf)
    ]
    if lost:
        rule = "a leaf that is to be kept must have values"
        advice = "Give arrays for these, or an initializer."
        value_error(rule, f"only shapes for {', '.join(lost)}", advice)
