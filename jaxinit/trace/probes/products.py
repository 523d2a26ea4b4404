"""A program run operation by operation, to reach the products that weights take part in."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, cast

import jax.numpy as jnp
from jax import lax

from jaxinit._jaxpr import Interpreter, Loop, bind, called, loop_of
from jaxinit._primitives import IDENTITIES, PRODUCTS, REARRANGED

STEPS = 64
"""How many steps a scan may have, times those of scans around it: each is compiled.

An LSTM of eight weights compiles for 31 s of one core at 32 steps, for 105 s at 64.
"""


_PARTS = ("dynamic_slice", "slice", "split", "unstack")
SHAPERS = (*IDENTITIES, *REARRANGED, *_PARTS, "convert_element_type")
"""What a weight may pass through on its way to the product and stay that weight."""

Marked = tuple[Any, int | None]
"""A value, and the number of the leaf that it is, or None."""


class ProductWalk(Interpreter[Marked]):
    """One run: which leaf each value is. Subclasses say what happens at a product.

    Attributes:
        shapers: Primitives behind which a leaf is still that leaf; further operands of
            theirs must be single numbers.
        sealed: Primitives that are run as they are, not entered.
        longest: How many steps a scan may have, times those of scans around it, that a
            weight goes into: it is run step by step, each step compiled.
        cut: Leaves that went into scans of more steps.
        steps: The steps of the scans around what runs now.
        lost: For leaves that met something else, the name of that primitive.
    """

    shapers: ClassVar[tuple[str, ...]] = SHAPERS
    sealed: ClassVar[tuple[str, ...]] = ("pallas_call", "scan", "shard_map", "while")
    longest: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.lost: dict[int, str] = {}
        self.cut: set[int] = set()
        self.steps: tuple[int, ...] = ()
        self._copies = 1

    def product(self, eqn: Any, values: list[Any], place: int, leaf: int) -> Any:
        """Return the output of a product in which the operand at a place is this leaf."""
        raise NotImplementedError

    def settled(self, value: Any, leaf: int | None) -> Marked:
        """Return a value as it is to be used now, and which leaf it still is."""
        return value, leaf

    def constant(self, value: Any, aval: Any) -> Marked:
        """Return a constant: it is no leaf."""
        del aval
        return value, None

    def run(self, program: Any, values: Sequence[Marked]) -> list[Marked]:
        """Run a program; return its results, and for each the leaf that it is, or None."""
        return [self.settled(*pair) for pair in super().run(program, values)]

    def operation(self, equation: Any, values: list[Marked]) -> list[Marked]:
        """Run one operation; return its results, and for each the leaf that it is."""
        name = equation.primitive.name
        marked = [leaf for _, leaf in values if leaf is not None]
        if name == "scan" and marked and self.longest and equation.params["length"]:
            found = self._scanned(loop_of(equation), values)
            if found is not None:
                return found
        inner = called(equation) if name not in self.sealed else None
        # Without a weight inside there is nothing to reach, and its derivative stays.
        if inner is not None and marked:
            return self.run(inner, values)
        alone = len(marked) == 1 and all(
            leaf is not None or getattr(value, "size", 1) == 1 for value, leaf in values
        )
        if name in self.shapers and alone:
            found = bind(equation, [value for value, _ in values])
            return [(result, marked[0]) for result in found]
        settled = [self.settled(*pair) for pair in values]
        operands = [value for value, _ in settled]
        places = [place for place, (_, leaf) in enumerate(settled) if leaf is not None]
        if name in PRODUCTS and len(places) == 1:
            leaf = cast("int", settled[places[0]][1])
            return [(self.product(equation, operands, places[0], leaf), None)]
        for place in places:
            self.lost.setdefault(cast("int", settled[place][1]), name)
        return [(result, None) for result in bind(equation, operands)]

    def _scanned(self, loop: Loop, pairs: list[Marked]) -> list[Marked] | None:
        """Run a scan step by step, as :func:`jax.lax.scan` defines it; None if too long."""
        copies = self._copies
        if copies * loop.length > self.longest:
            steps = f"{loop.length}" if copies == 1 else f"{copies} x {loop.length}"
            reason = f"a scan of {steps} steps, over the limit of {self.longest}"
            marked = {leaf for _, leaf in pairs if leaf is not None}
            self.lost.update(dict.fromkeys(marked, reason))
            self.cut |= marked
            return None
        outer, self._copies = self.steps, copies * loop.length
        first = loop.num_fixed + loop.num_carry
        fixed, xs = pairs[: loop.num_fixed], pairs[first:]
        carry = pairs[loop.num_fixed : first]
        rows: dict[int, list[Marked]] = {}
        for step in loop.order:
            self.steps = (*outer, step)
            now = [(lax.index_in_dim(x, step, keepdims=False), leaf) for x, leaf in xs]
            found = self.run(loop.body, [*fixed, *carry, *now])
            carry, rows[step] = found[: loop.num_carry], found[loop.num_carry :]
        self.steps, self._copies = outer, copies
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


def fan_in(eqn: Any, shape: tuple[int, ...], place: int) -> int:
    """Return how many products each output sums."""
    if eqn.primitive.name == "conv_general_dilated":
        numbers = eqn.params["dimension_numbers"]
        out_axis = numbers.rhs_spec[0] if place == 1 else numbers.lhs_spec[0]
        return math.prod(shape) // max(1, shape[out_axis])
    return math.prod(shape[axis] for axis in contraction(eqn)[0][place])


def contraction(eqn: Any) -> Any:
    """Return the axes of a matrix product that are summed over, and those of its batch."""
    if eqn.primitive.name == "dot_general":
        return eqn.params["dimension_numbers"]
    return eqn.params["ragged_dot_dimension_numbers"].dot_dimension_numbers
