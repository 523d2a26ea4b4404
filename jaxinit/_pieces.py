"""A traced program as a flat list of steps, from which parts can be cut and compared.

Calls with several results are opened, so that what belongs to one result can be told from
the rest. A piece of the list has a key that is equal for equal computations on other
inputs.
"""

import dataclasses
import functools
from collections.abc import Callable, Container, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal, jaxpr_as_fun

from jaxinit._jaxpr import CALLS, DERIVATIVES, Interpreter, bind, called, program_of

Ref = tuple[str, Any]
"""``("step", (number, result))``, ``("input", number)`` or ``("value", array)``."""


@dataclasses.dataclass(frozen=True, eq=False)
class Step:
    """One operation.

    Attributes:
        primitive: What is done.
        params: Its static parameters.
        inputs: Where its arguments come from.
        avals: The shapes and dtypes of its results.
        ctx: The settings of JAX that it was traced under.
    """

    primitive: Any
    params: dict[str, Any]
    inputs: tuple[Ref, ...]
    avals: tuple[Any, ...]
    ctx: Any


class _Flattening(Interpreter[Ref]):
    """A run on references, which notes the steps."""

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []

    def constant(self, value: Any, aval: Any) -> Ref:
        del aval
        return ("value", value)

    def operation(self, equation: Any, values: list[Ref]) -> list[Ref]:
        name, results = equation.primitive.name, equation.outvars
        # One result depends on all of a call: it stays a program, compiled once.
        whole = name in ("jit", "pjit") and len(results) == 1
        inner = called(equation) if name in CALLS and not whole else None
        if inner is not None:
            return self.run(inner, values)
        avals = tuple(var.aval for var in results)
        step = Step(equation.primitive, equation.params, tuple(values), avals, equation.ctx)
        self.steps.append(step)
        return [("step", (len(self.steps) - 1, i)) for i in range(len(avals))]


def flatten_program(program: ClosedJaxpr) -> tuple[list[Step], list[Ref]]:
    """Return the needed steps of a program in order, and where its results come from."""
    walk = _Flattening()
    results = walk.run(program, [("input", i) for i in range(len(program.jaxpr.invars))])
    return walk.steps, results


def run_step(step: Step, values: Sequence[Any]) -> list[Any]:
    """Return the results of one step, computed or traced."""
    if step.primitive.name in ("jit", "pjit"):
        return list(as_function(step.params["jaxpr"])(*values))
    return bind(step, values)


class _Identified:
    """A program, compared by identity, so that its compiled form can be kept."""

    def __init__(self, program: ClosedJaxpr) -> None:
        self.program = program

    def __hash__(self) -> int:
        return id(self.program)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Identified) and self.program is other.program


def as_function(program: ClosedJaxpr) -> Callable[..., Any]:
    """Return the compiled function of a program, the same for the same program."""
    return _as_function(_Identified(program))


@functools.lru_cache(maxsize=256)
def _as_function(program: _Identified) -> Callable[..., Any]:
    return jax.jit(jaxpr_as_fun(program.program))


def needed(
    steps: Sequence[Step], wanted: Sequence[Ref], known: Container[Ref] = ()
) -> list[int]:
    """Return the numbers of the steps that the wanted values depend on, in order.

    Args:
        steps: The whole program.
        wanted: The values.
        known: Values that are known already, unless they are wanted.

    Returns:
        Numbers of steps, ascending.
    """
    seen: set[int] = set()
    stack = [ref[1][0] for ref in wanted if ref[0] == "step"]
    while stack:
        number = stack.pop()
        if number not in seen:
            seen.add(number)
            inputs = steps[number].inputs
            stack.extend(r[1][0] for r in inputs if r[0] == "step" and r not in known)
    return sorted(seen)


@dataclasses.dataclass(frozen=True, eq=False)
class Piece:
    """Some steps of a program, cut free of it.

    Attributes:
        steps: The steps; their inputs count within the piece.
        results: Where the wanted values come from.
        key: Equal for pieces that compute the same of other inputs.
    """

    steps: tuple[Step, ...]
    results: tuple[Ref, ...]
    key: Any

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Piece) and self.key == other.key

    def __call__(self, *inputs: Any) -> list[Any]:
        """Return the wanted values, computed or traced."""
        done: list[list[Any]] = []

        def read(ref: Ref) -> Any:
            kind, place = ref
            if kind == "step":
                return done[place[0]][place[1]]
            return inputs[place] if kind == "input" else place

        for step in self.steps:
            done.append(run_step(step, [read(ref) for ref in step.inputs]))
        return [read(ref) for ref in self.results]


def cut_piece(
    steps: Sequence[Step],
    numbers: Sequence[int],
    wanted: Sequence[Ref],
    known: Container[Ref] = (),
) -> tuple[Piece, list[Ref]]:
    """Return the piece of these steps, and what outside of it it takes as inputs.

    Args:
        steps: The whole program.
        numbers: The steps of the piece, in order.
        wanted: The values that it is to give.
        known: Values that are known already and come from outside.

    Returns:
        The piece; and references into the whole, one an input. Literals of rank 0 stay
        inside.
    """
    inside = {number: i for i, number in enumerate(numbers)}
    outside: dict[Any, int] = {}
    taken: list[Ref] = []

    def rewrite(ref: Ref) -> Ref:
        kind, place = ref
        if kind == "step" and place[0] in inside and ref not in known:
            return ("step", (inside[place[0]], place[1]))
        if kind == "value" and np.ndim(place) == 0 and not _is_key(place):
            return ref
        name = (kind, id(place) if kind == "value" else place)
        if name not in outside:
            outside[name] = len(taken)
            taken.append(ref)
        return ("input", outside[name])

    own = tuple(
        dataclasses.replace(steps[n], inputs=tuple(map(rewrite, steps[n].inputs)))
        for n in numbers
    )
    results = tuple(rewrite(ref) for ref in wanted)
    key = (tuple(_step_key(step) for step in own), tuple(map(_ref_key, results)))
    return Piece(own, results, key), taken


def _is_key(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _ref_key(ref: Ref) -> Any:
    kind, place = ref
    if kind != "value":
        return ref
    array = np.asarray(place)
    return ("value", str(array.dtype), array.tobytes(), type(place) in (int, float, bool))


def _step_key(step: Step) -> Any:
    inputs = tuple(map(_ref_key, step.inputs))
    avals = tuple(map(str, step.avals))
    return (
        step.primitive.name,
        params_key(step.primitive.name, step.params),
        inputs,
        avals,
        step.ctx,
    )


def params_key(name: str, params: dict[str, Any]) -> Any:
    """Return static parameters as something that can be compared and hashed."""
    if name in DERIVATIVES:
        return _value_key(program_of(params))
    return tuple((key, _value_key(value)) for key, value in sorted(params.items()))


def _value_key(value: Any) -> Any:
    if isinstance(value, (ClosedJaxpr, Jaxpr)):
        return _program_key(_Identified(value))  # pyright: ignore[reportArgumentType]
    if isinstance(value, (tuple, list)) and type(value) in (tuple, list):
        return tuple(map(_value_key, value))
    if isinstance(value, np.ndarray):
        return (str(value.dtype), value.shape, value.tobytes())
    try:
        hash(value)
    except TypeError:
        return ("object", id(value))
    return value


@functools.lru_cache(maxsize=4096)
def _program_key(program: _Identified) -> Any:
    """Return a program by what it computes, whatever its variables are called."""
    jaxpr = getattr(program.program, "jaxpr", program.program)
    consts = getattr(program.program, "consts", ())
    names: dict[Any, int] = {}
    for var in (*jaxpr.constvars, *jaxpr.invars):
        names[var] = len(names)

    def read(atom: Any) -> Any:
        if isinstance(atom, Literal):
            return _ref_key(("value", atom.val))
        return names[atom]

    lines = []
    for equation in jaxpr.eqns:
        inputs = tuple(read(atom) for atom in equation.invars)
        for var in equation.outvars:
            names[var] = len(names)
        avals = tuple(str(var.aval) for var in equation.outvars)
        own = params_key(equation.primitive.name, equation.params)
        lines.append((equation.primitive.name, own, inputs, avals, equation.ctx))
    avals = tuple(str(var.aval) for var in (*jaxpr.constvars, *jaxpr.invars))
    fixed = tuple(_ref_key(("value", c)) if not _is_key(c) else id(c) for c in consts)
    return (avals, fixed, tuple(lines), tuple(read(atom) for atom in jaxpr.outvars))
