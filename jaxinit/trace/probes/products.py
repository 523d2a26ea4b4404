"""A jaxpr run operation by operation, to reach the products that weights take part in."""

import math
from typing import Any, ClassVar, cast

import jax.extend.core as jex

_LINEAR = ("dot_general", "conv_general_dilated")
SHAPERS = (
    "broadcast_in_dim",
    "convert_element_type",
    "copy",
    "expand_dims",
    "reshape",
    "reshard",
    "rev",
    "sharding_constraint",
    "squeeze",
    "transpose",
)
"""What a weight may pass through on its way to the product and stay that weight."""
_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")

Marked = tuple[Any, int | None]
"""A value, and the number of the leaf that it is, or None."""


class ProductWalk:
    """One run: which leaf each value is. Subclasses say what happens at a product.

    Attributes:
        shapers: Primitives behind which a leaf is still that leaf; further operands of
            theirs must be single numbers.
        sealed: Primitives that are run as they are, not entered.
        lost: For leaves that met something else, the name of that primitive.
    """

    shapers: ClassVar[tuple[str, ...]] = SHAPERS
    sealed: ClassVar[tuple[str, ...]] = ("pallas_call", "scan", "shard_map", "while")

    def __init__(self) -> None:
        self.lost: dict[int, str] = {}

    def product(self, eqn: Any, values: list[Any], place: int, leaf: int) -> Any:
        """Return the output of a product in which the operand at a place is this leaf."""
        raise NotImplementedError

    def settled(self, value: Any, leaf: int | None) -> Marked:
        """Return a value as it is to be used now, and which leaf it still is."""
        return value, leaf

    def apply(self, eqn: Any, values: list[Any]) -> list[Any]:
        """Return the results of any other operation."""
        return bind(eqn, values)

    def evaluate(
        self, jaxpr: Any, constants: list[Any], values: list[Any], leaves: list[int | None]
    ) -> list[Marked]:
        """Run a jaxpr; return its results, and for each the leaf that it is, or None."""
        at: dict[Any, Marked] = {}
        at.update({v: (c, None) for v, c in zip(jaxpr.constvars, constants, strict=True)})
        triples = zip(jaxpr.invars, values, leaves, strict=True)
        at.update({variable: (value, leaf) for variable, value, leaf in triples})

        def read(atom: Any) -> Marked:
            return (atom.val, None) if isinstance(atom, jex.Literal) else at[atom]

        last = _last_uses(jaxpr)
        for i, eqn in enumerate(jaxpr.eqns):
            found = self.equation(eqn, [read(atom) for atom in eqn.invars])
            for variable, pair in zip(eqn.outvars, found, strict=True):
                at[variable] = pair
            for variable in last.get(i, ()):
                del at[variable]
        return [self.settled(*read(atom)) for atom in jaxpr.outvars]

    def equation(self, eqn: Any, pairs: list[Marked]) -> list[Marked]:
        """Run one operation; return its results, and for each the leaf that it is."""
        name = eqn.primitive.name
        marked = [leaf for _, leaf in pairs if leaf is not None]
        inner = next((eqn.params[key] for key in _INNER if key in eqn.params), None)
        # Without a weight inside there is nothing to reach, and its derivative stays.
        if inner is not None and marked and name not in self.sealed:
            closed = getattr(inner, "jaxpr", inner)
            constants = list(getattr(inner, "consts", ()))
            values, leaves = [v for v, _ in pairs], [leaf for _, leaf in pairs]
            return self.evaluate(closed, constants, values, leaves)
        alone = len(marked) == 1 and all(
            leaf is not None or getattr(value, "size", 1) == 1 for value, leaf in pairs
        )
        if name in self.shapers and alone:
            return [
                (result, marked[0]) for result in self.apply(eqn, [v for v, _ in pairs])
            ]
        settled = [self.settled(*pair) for pair in pairs]
        values = [value for value, _ in settled]
        places = [place for place, (_, leaf) in enumerate(settled) if leaf is not None]
        if name in _LINEAR and len(places) == 1:
            leaf = cast("int", settled[places[0]][1])
            return [(self.product(eqn, values, places[0], leaf), None)]
        for place in places:
            self.lost.setdefault(cast("int", settled[place][1]), name)
        return [(result, None) for result in self.apply(eqn, values)]


def _last_uses(jaxpr: Any) -> dict[int, list[Any]]:
    """Return the variables that each equation is the last to read."""
    kept = {atom for atom in jaxpr.outvars if not isinstance(atom, jex.Literal)}
    last = {
        atom: i
        for i, eqn in enumerate(jaxpr.eqns)
        for atom in eqn.invars
        if not isinstance(atom, jex.Literal)
    }
    found: dict[int, list[Any]] = {}
    for atom, i in last.items():
        if atom not in kept:
            found.setdefault(i, []).append(atom)
    return found


def bind(eqn: Any, values: list[Any]) -> list[Any]:
    """Return the results of one operation on other values."""
    found = eqn.primitive.get_bind_params(eqn.params)
    # A pair until JAX 0.9, then the options alone.
    functions, options = found if isinstance(found, tuple) else ((), found)
    with eqn.ctx.manager:
        results = eqn.primitive.bind(*functions, *values, **options)
    return list(results) if eqn.primitive.multiple_results else [results]


def fan_in(eqn: Any, shape: tuple[int, ...], place: int) -> int:
    """Return how many products each output sums."""
    if eqn.primitive.name == "dot_general":
        contracted = eqn.params["dimension_numbers"][0][place]
        return math.prod(shape[axis] for axis in contracted)
    numbers = eqn.params["dimension_numbers"]
    out_axis = numbers.rhs_spec[0] if place == 1 else numbers.lhs_spec[0]
    return math.prod(shape) // shape[out_axis]
