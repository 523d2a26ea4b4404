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
from jaxinit._pieces import Piece, as_function, cut_piece, flatten_program
from jaxinit._placement import handed_over
from jaxinit._types import Key
from jaxinit.models.keys import HostKeys, wrap
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
        operands: Its arguments, None where the key goes, or its words.
        placement: Where its result is placed.
    """

    function: Any
    operands: tuple[Any, ...]
    placement: Placement

    def call(self, key: Key | HostKeys, run: Callable[[Callable[[], Any]], None]) -> Call:
        """Return the call with that key; ``run`` takes what makes it."""
        word = key.data if isinstance(key, HostKeys) else key
        arguments = handed_over([word if v is None else v for v in self.operands])
        draw = functools.partial(self._draw, arguments)
        return Call(self.function, arguments, lambda: run(draw), self.placement)

    def _draw(self, arguments: Sequence[Any]) -> jax.Array:
        if self.placement is None:
            return self.function(*arguments)[0]
        with placement_context(self.placement):
            return self.function(*arguments)[0]


def only_program(traced: ClosedJaxpr, impl: Any, placement: Placement) -> Program | None:
    """Return the one compiled call that a traced draw consists of, or None.

    Args:
        traced: The draw, a program of one key.
        impl: The generator, for a program of the key's words; None for one of the key.
        placement: Where the result is placed.
    """
    equations = traced.jaxpr.eqns
    if len(equations) != 1 or equations[0].primitive.name not in ("jit", "pjit"):
        return None
    known = dict(zip(traced.jaxpr.constvars, traced.consts, strict=True))
    operands = tuple(
        atom.val if isinstance(atom, Literal) else known.get(atom)
        for atom in equations[0].invars
    )
    function = as_function(equations[0].params["jaxpr"])
    if impl is not None:
        kinds = tuple(impl if value is None else None for value in operands)
        function = _taking_words(function, kinds)
    return Program(function, operands, placement)


def placed_program(traced: ClosedJaxpr, impl: Any, sharding: Sharding | None) -> Program:
    """Return the program of a traced draw, compiled once for equal computations."""
    steps, results = flatten_program(traced)
    piece, taken = cut_piece(steps, range(len(steps)), results)
    operands = tuple(place if kind == "value" else None for kind, place in taken)
    kinds = tuple(impl if value is None else None for value in operands)
    return Program(compiled_piece(piece, (sharding,), kinds), operands, None)


@functools.lru_cache(maxsize=512)
def _taking_words(function: Callable[..., Any], kinds: tuple[Any, ...]) -> Any:
    """Return a compiled function of words where a generator is named, else of the same."""
    return jax.jit(lambda *values: function(*_keyed(values, kinds)))


def _keyed(values: Sequence[Any], kinds: Sequence[Any]) -> list[Any]:
    pairs = zip(values, kinds, strict=True)
    return [value if kind is None else wrap(value, kind) for value, kind in pairs]


@functools.lru_cache(maxsize=512)
def compiled_piece(
    piece: Piece, shardings: tuple[Sharding | None, ...], kinds: tuple[Any, ...]
) -> Callable[..., Any]:
    """Return the compiled form of a piece.

    Args:
        piece: The piece, which draws through fused keys.
        shardings: Where its results are placed.
        kinds: For inputs that are the words of keys, the generator; None for others.
    """

    def fused(*words: Any) -> list[Any]:
        inputs = _keyed(words, kinds)
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
