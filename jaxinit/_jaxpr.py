"""Programs that JAX has traced: their calls, their loops, and the one interpreter."""

from collections.abc import Iterator, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

DERIVATIVES = frozenset({"custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr"})
"""Calls that state a derivative by hand, beside the one program that they run."""

INLINE = DERIVATIVES | {"closed_call", "core_call", "call_hi_primitive"}
"""Calls whose program is as well run as part of the one around it."""

CALLS = INLINE | {"jit", "pjit", "remat", "remat2", "checkpoint"}
"""Primitives that only run a program inside of them, once."""

_FOLDS = frozenset({"reduce", "reduce_window"})
"""What runs a program of two entries on all of them, one after the other."""

V = TypeVar("V")


def called(equation: Any) -> Any:
    """Return the one program that a call runs on its own arguments, or None."""
    if equation.primitive.name in _FOLDS:
        return None
    expand = getattr(equation.params.get("_prim"), "expand", None)
    if expand is not None:  # JAX 0.12: an operation that is traced when it is lowered
        return jax.make_jaxpr(expand)(*(atom.aval for atom in equation.invars))
    found = program_of(equation.params)
    inner = getattr(found, "jaxpr", found)
    # A kernel's program has references to its results among its arguments.
    return found if inner and len(inner.invars) == len(equation.invars) else None


def program_of(params: dict[str, Any]) -> Any:
    """Return the one program that a call's parameters name as its own, or None."""
    names = ("jaxpr", "call_jaxpr", "fun_jaxpr")
    found = [params[name] for name in names if params.get(name)]
    return found[0] if len(found) == 1 else None


def programs_in(equation: Any) -> Iterator[Any]:
    """Yield all programs among the parameters of an operation."""
    for value in equation.params.values():
        for part in value if isinstance(value, (tuple, list)) else (value,):
            if isinstance(part, (ClosedJaxpr, Jaxpr)):
                yield part


def bind(
    equation: Any, values: Sequence[Any], params: dict[str, Any] | None = None
) -> list[Any]:
    """Return the results of one operation on other values, computed or traced.

    Args:
        equation: The operation, of a program or as a :class:`Step`.
        values: What it is done to.
        params: Its static parameters, where they are to be others.
    """
    primitive = equation.primitive
    bound = primitive.get_bind_params(equation.params if params is None else params)
    # A pair until JAX 0.9, then the options alone.
    functions, options = bound if isinstance(bound, tuple) else ((), bound)
    with equation.ctx.manager:
        results = primitive.bind(*functions, *values, **options)
    return list(results) if primitive.multiple_results else [results]


class Loop(NamedTuple):
    """The parts of a scan.

    Attributes:
        body: The program of one step.
        num_fixed: How many of its first arguments are the same in all steps.
        num_carry: How many after these, and how many first results, go on to the next.
        length: How many steps.
        order: The numbers of the steps, first to last.
    """

    body: Any
    num_fixed: int
    num_carry: int
    length: int
    order: range


def loop_of(equation: Any) -> Loop:
    """Return the parts of a scan, told apart by what loses an axis inside."""
    body = equation.params["jaxpr"]
    inner = getattr(body, "jaxpr", body)
    stacked = _more_axes(equation.outvars, inner.outvars)
    num_carry = len(inner.outvars) - stacked
    num_fixed = len(inner.invars) - _more_axes(equation.invars, inner.invars) - num_carry
    length = equation.params["length"]
    order = range(length)[::-1] if equation.params["reverse"] else range(length)
    return Loop(body, num_fixed, num_carry, length, order)


def _more_axes(outer: Sequence[Any], inner: Sequence[Any]) -> int:
    """Return how many of the last variables have one more axis outside a loop."""
    count = 0
    for one, other in zip(reversed(outer), reversed(inner), strict=True):
        if len(one.aval.shape) != len(other.aval.shape) + 1:
            break
        count += 1
    return count


class Interpreter(Generic[V]):
    """Runs a program on whatever stands for its values: the one loop of all readings."""

    def __init__(self) -> None:
        self._schedules: dict[int, tuple[Any, list[tuple[Any, list[Any]]]]] = {}

    def constant(self, value: Any, aval: Any) -> V:
        """Return what stands for a constant of the program."""
        raise NotImplementedError

    def operation(self, equation: Any, values: list[V]) -> list[V]:
        """Return what stands for the results of one operation."""
        raise NotImplementedError

    def run(self, program: Any, values: Sequence[V]) -> list[V]:
        """Return what stands for the results of a program, leaving out what none needs."""
        jaxpr = getattr(program, "jaxpr", program)
        constants = getattr(program, "consts", ())
        known: dict[Any, V] = {}
        for var, array in zip(jaxpr.constvars, constants, strict=True):
            known[var] = self.constant(array, var.aval)
        known.update(zip(jaxpr.invars, values, strict=True))

        def read(atom: Any) -> V:
            literal = isinstance(atom, Literal)
            return self.constant(atom.val, atom.aval) if literal else known[atom]

        for equation, dead in self._schedule(jaxpr):
            results = self.operation(equation, [read(atom) for atom in equation.invars])
            known.update(zip(equation.outvars, results, strict=True))
            for var in dead:
                del known[var]
        return [read(atom) for atom in jaxpr.outvars]

    def _schedule(self, jaxpr: Any) -> list[tuple[Any, list[Any]]]:
        """Return the needed equations in order, each with what it is the last to read."""
        if id(jaxpr) not in self._schedules:
            self._schedules[id(jaxpr)] = (jaxpr, _schedule(jaxpr))
        return self._schedules[id(jaxpr)][1]


def _schedule(jaxpr: Any) -> list[tuple[Any, list[Any]]]:
    wanted = {atom for atom in jaxpr.outvars if not isinstance(atom, Literal)}
    found = []
    for equation in reversed(jaxpr.eqns):
        if not (equation.effects or any(var in wanted for var in equation.outvars)):
            continue
        atoms = (a for a in equation.invars if not isinstance(a, Literal))
        dead = [atom for atom in dict.fromkeys(atoms) if atom not in wanted]
        dead += [var for var in equation.outvars if var not in wanted]
        wanted.update(dead)
        found.append((equation, dead))
    return found[::-1]
