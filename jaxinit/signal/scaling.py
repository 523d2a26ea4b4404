"""One run through a forward pass that finds a scale for each weight on the way.

The forward pass is read as a jaxpr and run once, operation by operation. Where a weight
first meets its input, in a matrix product or a convolution, a rule gives its scale and the
output that it then has; so the pass goes on with the right output.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp

from jaxinit._checks import listed, value_error

Rule = Callable[[Any, list[Any], int], tuple[Any, jax.Array]]
"""From an equation, its values and the weight's place to the output and the scale."""

_LINEAR = ("dot_general", "conv_general_dilated")
# What a weight may pass through on its way to the product and stay that weight.
_SHAPERS = (
    "broadcast_in_dim",
    "convert_element_type",
    "copy",
    "expand_dims",
    "reshape",
    "rev",
    "squeeze",
    "transpose",
)
_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")


class _Pass:
    """One pass: which leaf each value is, and the scales found so far."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.scales: dict[int, jax.Array] = {}

    def evaluate(
        self, jaxpr: Any, constants: list[Any], values: list[Any], leaves: list[int | None]
    ) -> tuple[list[Any], list[int | None]]:
        """Run a jaxpr; return its results, and for each the leaf that it is, or None."""
        at: dict[Any, tuple[Any, int | None]] = {}
        at.update({v: (c, None) for v, c in zip(jaxpr.constvars, constants, strict=True)})
        triples = zip(jaxpr.invars, values, leaves, strict=True)
        at.update({variable: (value, leaf) for variable, value, leaf in triples})

        def read(atom: Any) -> tuple[Any, int | None]:
            return (atom.val, None) if isinstance(atom, jex.Literal) else at[atom]

        for eqn in jaxpr.eqns:
            found = self._equation(eqn, [read(atom) for atom in eqn.invars])
            for variable, pair in zip(eqn.outvars, found, strict=True):
                at[variable] = pair
        ends = [read(atom) for atom in jaxpr.outvars]
        return [self._scaled(*end) for end in ends], [leaf for _, leaf in ends]

    def _scaled(self, value: Any, leaf: int | None) -> Any:
        """Return a value as it is now: a weight whose scale is known, with that scale."""
        if leaf is None or leaf not in self.scales:
            return value
        return times(value, self.scales[leaf])

    def _equation(
        self, eqn: Any, pairs: list[tuple[Any, int | None]]
    ) -> list[tuple[Any, int | None]]:
        name = eqn.primitive.name
        inner = next((eqn.params[key] for key in _INNER if key in eqn.params), None)
        if inner is not None and name not in ("scan", "while"):
            closed = getattr(inner, "jaxpr", inner)
            constants = list(getattr(inner, "consts", ()))
            values, leaves = [v for v, _ in pairs], [leaf for _, leaf in pairs]
            results, marks = self.evaluate(closed, constants, values, leaves)
            # A leaf that comes out carries its scale already.
            return [
                (r, None if m in self.scales else m)
                for r, m in zip(results, marks, strict=True)
            ]
        if name in _SHAPERS and pairs[0][1] is not None:
            return [(bind(eqn, [v for v, _ in pairs])[0], pairs[0][1])]
        values = [self._scaled(*pair) for pair in pairs]
        places = [place for place, (_, leaf) in enumerate(pairs) if leaf is not None]
        if name in _LINEAR and len(places) == 1:
            leaf = pairs[places[0]][1]
            if leaf is not None and leaf not in self.scales:
                result, self.scales[leaf] = self.rule(eqn, values, places[0])
                return [(result, None)]
        return [(result, None) for result in bind(eqn, values)]


def wide(dtype: Any) -> Any:
    """Return the dtype that statistics are computed in: 32 bits or more."""
    return dtype if dtype.itemsize >= 4 else jnp.dtype(jnp.float32)


def times(value: jax.Array, scale: jax.Array) -> jax.Array:
    """Return the product, computed wide and rounded once."""
    dtype = wide(value.dtype)
    return (value.astype(dtype) * scale.astype(dtype)).astype(value.dtype)


def bind(eqn: Any, values: list[Any]) -> list[Any]:
    """Return the results of one operation on other values."""
    found = eqn.primitive.get_bind_params(eqn.params)
    # A pair until JAX 0.9, then the options alone.
    functions, options = found if isinstance(found, tuple) else ((), found)
    with eqn.ctx.manager:
        results = eqn.primitive.bind(*functions, *values, **options)
    return list(results) if eqn.primitive.multiple_results else [results]


def is_weight(leaf: Any) -> bool:
    """Whether a leaf has the two axes that a weight has at least."""
    return jnp.ndim(leaf) >= 2


def find_scales(
    closed: Any, flat: Sequence[Any], inputs: Sequence[Any], rule: Rule
) -> dict[int, jax.Array]:
    """Run a forward pass; return the scale of every weight that met its input.

    Args:
        closed: The closed jaxpr of the forward pass, of parameters and then inputs.
        flat: The parameters' leaves.
        inputs: The inputs' leaves.
        rule: What gives the scale.

    Returns:
        The scales, by the number of the leaf.
    """
    run = _Pass(rule)
    values = [jnp.asarray(value) for value in (*flat, *inputs)]
    marks = [i if is_weight(leaf) else None for i, leaf in enumerate(flat)]
    run.evaluate(closed.jaxpr, closed.consts, values, [*marks, *[None] * len(inputs)])
    return run.scales


def scaled_leaves(flat: Sequence[Any], scales: Mapping[int, jax.Array]) -> list[Any]:
    """Return the leaves, those that have a scale multiplied with it."""
    return [times(v, scales[i]) if i in scales else v for i, v in enumerate(flat)]


def check_all_met(
    where: str, params: Any, weights: set[int], scales: Mapping[int, Any]
) -> None:
    """Refuse parameters of which weights have met no product."""
    pairs = jax.tree_util.tree_leaves_with_path(params)
    missed = [
        jax.tree_util.keystr(path)
        for i, (path, _) in enumerate(pairs)
        if i in weights and i not in scales
    ]
    if missed:
        rule = "every weight must meet its input in a matrix product or a convolution"
        advice = "Leave such leaves as they are with strict=False."
        value_error(where, rule, f"leaves that do not: {listed(missed)}", advice)
