"""Distinct programs compiled side by side, each run as soon as it is ready.

XLA compiles without holding Python's lock, so that threads share the work of a cold start.
Tracing and lowering stay in the caller's thread, whose settings of JAX they depend on.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Literal, jaxpr_as_fun
from jax.sharding import Sharding

from jaxinit._fused_program import with_fused_keys
from jaxinit._jaxpr import Piece, as_function, cut_piece, flatten_program
from jaxinit._types import Key
from jaxinit.models.placement import Placement, placement_context


class Call(NamedTuple):
    """A compiled function's call that is still to be made.

    Attributes:
        program: A function made by ``jax.jit``; the same function is compiled once.
        arguments: What it is called with; shapes stand for what is not there yet.
        run: Makes the call and keeps the result.
        placement: Where its results are placed, in whose mesh it is lowered.
    """

    program: Any
    arguments: Sequence[Any]
    run: Callable[[], None]
    placement: Placement = None


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled program of one key that gives one array.

    Attributes:
        function: The compiled function, whose result is a list.
        operands: Its arguments, None where the key goes.
        placement: Where its result is placed.
    """

    function: Any
    operands: tuple[Any, ...]
    placement: Placement

    def call(self, key: Key, run: Callable[[Callable[[Key], Any]], None]) -> Call:
        """Return the call with that key; ``run`` takes what makes it."""
        arguments = self._arguments(key)
        return Call(self.function, arguments, lambda: run(self._draw), self.placement)

    def _arguments(self, key: Key) -> list[Any]:
        return [key if value is None else value for value in self.operands]

    def _draw(self, key: Key) -> jax.Array:
        with placement_context(self.placement):
            return self.function(*self._arguments(key))[0]


def only_program(traced: ClosedJaxpr, placement: Placement) -> Program | None:
    """Return the one compiled call that a traced draw consists of, or None."""
    equations = traced.jaxpr.eqns
    if len(equations) != 1 or equations[0].primitive.name not in ("jit", "pjit"):
        return None
    known = dict(zip(traced.jaxpr.constvars, traced.consts, strict=True))
    operands = tuple(
        atom.val if isinstance(atom, Literal) else known.get(atom)
        for atom in equations[0].invars
    )
    return Program(as_function(equations[0].params["jaxpr"]), operands, placement)


def placed_program(traced: ClosedJaxpr, sharding: Sharding | None) -> Program:
    """Return the program of a traced draw, compiled once for equal computations."""
    steps, results = flatten_program(traced)
    piece, taken = cut_piece(steps, range(len(steps)), results)
    operands = tuple(place if kind == "value" else None for kind, place in taken)
    return Program(compiled_piece(piece, (sharding,)), operands, None)


@functools.lru_cache(maxsize=512)
def compiled_piece(
    piece: Piece, shardings: tuple[Sharding | None, ...]
) -> Callable[..., Any]:
    """Return the compiled form of a piece, with fused keys, whose results are placed so."""

    def fused(*inputs: Any) -> list[Any]:
        return jaxpr_as_fun(with_fused_keys(jax.make_jaxpr(piece)(*inputs)))(*inputs)

    if all(sharding is None for sharding in shardings):
        return jax.jit(fused)
    return jax.jit(fused, out_shardings=list(shardings))


def run_calls(calls: Sequence[Call]) -> None:
    """Make the calls in order, with their programs compiled side by side.

    Args:
        calls: The calls. One may use what calls before it made, in ``run``.
    """
    distinct = {id(call.program): call for call in calls}
    if len(distinct) < 2:
        for call in calls:
            call.run()
        return
    # A function that was lowered, and compiled from that, is not compiled at its call.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        ready: dict[int, Future[Any]] = {}
        for name, call in distinct.items():
            with placement_context(call.placement):
                lowered = call.program.lower(*call.arguments)
            ready[name] = pool.submit(lowered.compile)
        for call in calls:
            ready[id(call.program)].result()
            call.run()
