"""A walk through a jaxpr with a probe at the output of every weight's product."""

from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax import lax

from jaxinit._jaxpr import Loop, bind, loop_of
from jaxinit.trace.probes.products import SHAPERS, Marked, ProductWalk

STEPS = 64
"""How many steps a scan may have, times those of scans around it: each is compiled.

An LSTM of eight weights compiles for 31 s of one core at 32 steps, for 105 s at 64.
"""


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
        cut: Leaves that went into scans of too many steps.
    """

    # A part of a weight, or a multiple of it, still carries its signal.
    shapers: ClassVar[tuple[str, ...]] = (
        *SHAPERS,
        "div",
        "dynamic_slice",
        "mul",
        "neg",
        "slice",
        "split",
        "unstack",
    )
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
        self.cut: set[int] = set()
        self._steps: tuple[int, ...] = ()
        self._copies = 1

    def product(self, eqn: Any, values: list[Any], place: int, leaf: int) -> Any:
        """Note the output, and add its probe."""
        del place
        (out,) = bind(eqn, values)
        if not jnp.issubdtype(out.dtype, jnp.floating):
            self.lost.setdefault(leaf, f"a {out.dtype} product")
            return out
        self.uses.append(Use(leaf, self._steps))
        self.outs.append(out)
        return out if self.probes is None else out + self.probes[len(self.outs) - 1]

    def operation(self, equation: Any, values: list[Marked]) -> list[Marked]:
        """Run one operation; a scan that a weight goes into step by step."""
        marked = {leaf for _, leaf in values if leaf is not None}
        length, copies = equation.params.get("length"), self._copies
        if equation.primitive.name != "scan" or not marked or not length:
            return super().operation(equation, values)
        if copies * length > STEPS:
            steps = f"{length}" if copies == 1 else f"{copies} x {length}"
            reason = f"a scan of {steps} steps, over the limit of {STEPS}"
            self.lost.update(dict.fromkeys(marked, reason))
            self.cut |= marked
            return super().operation(equation, values)
        steps, self._copies = self._steps, copies * length
        found = self._unrolled(loop_of(equation), values)
        self._steps, self._copies = steps, copies
        return found

    def _unrolled(self, loop: Loop, pairs: list[Marked]) -> list[Marked]:
        """Run a scan of at least one step, as :func:`jax.lax.scan` defines it."""
        first = loop.num_fixed + loop.num_carry
        fixed, carry, xs = (
            pairs[: loop.num_fixed],
            pairs[loop.num_fixed : first],
            pairs[first:],
        )
        rows: dict[int, list[Marked]] = {}
        outer = self._steps
        for step in loop.order:
            self._steps = (*outer, step)
            now = [(lax.index_in_dim(x, step, keepdims=False), leaf) for x, leaf in xs]
            found = self.run(loop.body, [*fixed, *carry, *now])
            carry, rows[step] = found[: loop.num_carry], found[loop.num_carry :]
        columns = zip(*(rows[step] for step in range(loop.length)), strict=True)
        return [*carry, *(self._stacked(list(column)) for column in columns)]

    def _stacked(self, column: list[Marked]) -> Marked:
        """Return one result of all steps, with its mark if it is the same leaf in all."""
        leaves = {leaf for _, leaf in column}
        whole = jnp.stack([value for value, _ in column])
        if len(leaves) == 1:
            return whole, leaves.pop()
        for leaf in leaves - {None}:
            self.lost.setdefault(cast("int", leaf), "scan")
        return whole, None
