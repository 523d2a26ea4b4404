"""One run through a forward pass that finds a scale for each weight on the way.

The forward pass is read as a jaxpr and run once, operation by operation. Where a weight
first meets its input, in a matrix product or a convolution, a rule gives its scale and the
output that it then has; so the pass goes on with the right output.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from jaxinit._checks import listed, value_error
from jaxinit.trace.probes.products import STEPS, Marked, ProductWalk

Rule = Callable[[Any, list[Any], int], tuple[Any, jax.Array]]
"""From an equation, its values and the weight's place to the output and the scale."""


class _ScaleWalk(ProductWalk):
    """One run that asks the rule for a scale where each leaf first meets its input."""

    longest: ClassVar[int] = STEPS

    def __init__(self, rule: Rule) -> None:
        super().__init__()
        self.rule = rule
        self.scales: dict[int, jax.Array] = {}

    def settled(self, value: Any, leaf: int | None) -> Marked:
        """Return a weight whose scale is known with that scale, as a plain value."""
        if leaf is None or leaf not in self.scales:
            return value, leaf
        return times(value, self.scales[leaf]), None

    def product(self, eqn: Any, values: list[Any], place: int, leaf: int) -> Any:
        """Return the output with the scale that the rule finds."""
        out, self.scales[leaf] = self.rule(eqn, values, place)
        return out


def wide(dtype: Any) -> Any:
    """Return the dtype that statistics are computed in: 32 bits or more."""
    return dtype if dtype.itemsize >= 4 else jnp.dtype(jnp.float32)


def times(value: jax.Array, scale: jax.Array) -> jax.Array:
    """Return the product, computed wide and rounded once."""
    dtype = wide(value.dtype)
    return (value.astype(dtype) * scale.astype(dtype)).astype(value.dtype)


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
    walk = _ScaleWalk(rule)
    values = [jnp.asarray(value) for value in (*flat, *inputs)]
    marks = [i if is_weight(leaf) else None for i, leaf in enumerate(flat)]
    walk.run(closed, list(zip(values, [*marks, *[None] * len(inputs)], strict=True)))
    return walk.scales


def scaled_leaves(flat: Sequence[Any], scales: Mapping[int, jax.Array]) -> list[Any]:
    """Return the leaves, those that have a scale multiplied with it."""
    return [times(v, scales[i]) if i in scales else v for i, v in enumerate(flat)]


def check_all_met(
    labels: Sequence[str], weights: set[int], scales: Mapping[int, Any]
) -> None:
    """Refuse parameters of which weights have met no product."""
    missed = [labels[i] for i in sorted(weights) if i not in scales]
    if missed:
        rule = "every weight must meet its input in a matrix product or a convolution"
        advice = "Leave such leaves as they are with strict=False."
        value_error(rule, f"leaves that do not: {listed(missed)}", advice)


def labels_of(params: Any, arrays: Sequence[int]) -> list[str]:
    """Return the places of some leaves, as Python writes them."""
    pairs = jax.tree_util.tree_leaves_with_path(params)
    return [jax.tree_util.keystr(pairs[i][0]) for i in arrays]
