"""A walk through a jaxpr with a probe at the output of every weight's product."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp

from jaxinit._jaxpr import bind
from jaxinit.trace.probes.products import SHAPERS, STEPS, ProductWalk


class Use(NamedTuple):
    """One product with a weight: the number of the leaf, and the steps of scans there."""

    leaf: int
    steps: tuple[int, ...]


class ProbeWalk(ProductWalk):
    """One run: the output of every product with a weight, and a probe added to each.

    The gradient with respect to a probe, which is zero, is that to the output.

    Attributes:
        uses: The products, in order.
        outs: What they gave.
    """

    # A multiple of a weight still carries its signal.
    shapers: ClassVar[tuple[str, ...]] = (*SHAPERS, "div", "mul", "neg")
    longest: ClassVar[int] = STEPS
    # Inside of a custom derivative, reverse mode would be another.
    sealed: ClassVar[tuple[str, ...]] = (
        *ProductWalk.sealed,
        "custom_jvp_call",
        "custom_vjp_call",
        "custom_vjp_call_jaxpr",
    )

    def __init__(self, probes: Sequence[jax.Array] | None = None) -> None:
        super().__init__()
        self.probes = probes
        self.uses: list[Use] = []
        self.outs: list[jax.Array] = []

    def product(self, eqn: Any, values: list[Any], place: int, leaf: int) -> Any:
        """Note the output, and add its probe."""
        del place
        (out,) = bind(eqn, values)
        if not jnp.issubdtype(out.dtype, jnp.floating):
            self.lost.setdefault(leaf, f"a {out.dtype} product")
            return out
        self.uses.append(Use(leaf, self.steps))
        self.outs.append(out)
        return out if self.probes is None else out + self.probes[len(self.outs) - 1]
