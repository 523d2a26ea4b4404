"""A user's model as a jaxpr: what is drawn, what stays, which leaves are weights."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import value_error
from jaxinit._paths import PyTree
from jaxinit.models.auto import Unresolved, auto
from jaxinit.models.plan import Plan
from jaxinit.models.rules import Rule, keep, optional
from jaxinit.trace.entry import read_forward, uses_of
from jaxinit.trace.probes.probes import ProbeWalk
from jaxinit.trace.use import ParamUse


class TracedModel(NamedTuple):
    """A traced model: all that one seed needs."""

    plan: Plan | None
    params: PyTree
    program: Any
    data: list[Any]
    marks: list[int | None]

    def run(self, walk: ProbeWalk, own: list[Any], data: list[Any]) -> list[Any]:
        """Run the forward pass and return its floating-point outputs."""
        marks = [*self.marks, *[None] * len(data)]
        found = walk.run(self.program, list(zip([*own, *data], marks, strict=True)))
        return [out for out, _ in found if jnp.issubdtype(out.dtype, jnp.floating)]


def trace_model(
    apply_fn: Callable[..., Any],
    params: PyTree,
    inputs: tuple[PyTree, ...],
    init: str | None,
    rules: Sequence[Rule] = (),
    unresolved: Unresolved = "error",
) -> tuple[TracedModel, list[str], list[str]]:
    """Return the model, the paths of its arrays, and what is to be said of leaves.

    Without ``init`` there is no plan.
    """
    given = jax.tree.leaves(inputs)
    abstract = [leaf for leaf in given if isinstance(leaf, jax.ShapeDtypeStruct)]
    if abstract:
        rule = "inputs must have values"
        value_error(rule, f"{abstract[0]}", "Return arrays from the function.")
    forward = read_forward(apply_fn, params, inputs)
    uses = uses_of(forward)

    def stays(path: str, leaf: Any) -> bool:
        inexact = jnp.issubdtype(leaf.dtype, jnp.inexact)
        return uses[path].role in ("unknown", "unused") or not inexact

    asked = [*rules, (optional(stays), keep)]
    plan = None
    if init is not None:
        options = {"rules": asked, "uses": uses, "unresolved": unresolved}
        plan = auto(None, params, scheme=init, **options)
    data = [
        jnp.asarray(given[i]) if isinstance(given[i], np.ndarray) else given[i]
        for i in forward.moving
    ]
    paths = forward.paths
    marks = [i if _is_weight(uses[path]) else None for i, path in enumerate(paths)]
    rows = plan or ()
    given = [row.path for row in rows if row.initializer is keep and row.path in paths]
    remarks = [f"Not drawn, but as given: {', '.join(given)}."] if given else []
    return TracedModel(plan, params, forward.program, data, marks), paths, remarks


def _is_weight(use: ParamUse) -> bool:
    return any(one.role == "weight" for one in (use, *use.others))
