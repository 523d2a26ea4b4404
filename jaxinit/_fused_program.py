"""A traced program with fused keys in place of threefry keys.

What calls ``jax.random`` inside, be it in loops and branches, gets the same bits from our
own expression; what goes in and comes out keeps its types.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import ClosedJaxpr, Jaxpr

from jaxinit._fused import FUSED_IMPLEMENTATION, fused, is_fused, unfused
from jaxinit._jaxpr import CALLS, INLINE, Interpreter, bind, called, programs_in

_OPEN = CALLS | {"scan", "while", "cond"}
"""What runs programs inside of it as they would run around it."""


def with_fused_keys(program: ClosedJaxpr) -> ClosedJaxpr:
    """Return the same program, drawing through fused keys.

    Derivatives that are stated by hand inside are lost.

    Args:
        program: What ``jax.make_jaxpr`` returns.

    Returns:
        A program of the same inputs and outputs. A key among them that is plain stays so;
        one that comes in fused goes out fused.
    """
    was_fused = [_is_fused_type(v.aval) for v in program.jaxpr.outvars]

    def run(*values: Any) -> list[Any]:
        made = _Fused().run(program, [_swapped(v) for v in values])
        return [
            v if keep else _restored(v) for v, keep in zip(made, was_fused, strict=True)
        ]

    return jax.make_jaxpr(run)(*[_struct(v.aval) for v in program.jaxpr.invars])


def _is_key(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _is_value(atom: Any) -> bool:
    """Whether this stands for a value, not for a reference that a loop writes to."""
    return isinstance(atom.aval, ShapedArray)


def _is_fused_type(aval: Any) -> bool:
    return _is_key(aval) and aval.dtype == _fused_dtype()


def _fused_dtype() -> Any:
    return jax.eval_shape(lambda: jax.random.key(0, impl=FUSED_IMPLEMENTATION)).dtype


def _swapped(value: Any) -> Any:
    return fused(value) if _is_key(value) else value


def _restored(value: Any) -> Any:
    return unfused(value) if _is_key(value) and is_fused(value) else value


def _as_was(value: Any, atom: Any) -> Any:
    """Return keys in the type that a program takes as it was traced."""
    return value if _is_fused_type(atom.aval) else _restored(value)


def _struct(aval: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)


class _Fused(Interpreter[Any]):
    """A run in which all keys are fused, those of constants and of new seeds included."""

    def constant(self, value: Any, aval: Any) -> Any:
        del aval
        return _swapped(value)

    def operation(self, equation: Any, values: list[Any]) -> list[Any]:
        name = equation.primitive.name
        if name in {"random_wrap", "random_seed"}:
            return [fused(key) for key in bind(equation, values)]
        inner = called(equation) if name in INLINE else None
        if inner is not None:
            return self.run(inner, values)
        is_open = name in _OPEN and all(map(_is_value, equation.invars))
        if not is_open and any(map(_draws, programs_in(equation))):
            given = zip(values, equation.invars, strict=True)
            return list(map(_swapped, bind(equation, [_as_was(*pair) for pair in given])))
        changed = {key: _mapped(value) for key, value in equation.params.items()}
        return bind(equation, values, changed)


def _mapped(param: Any) -> Any:
    """Return a parameter with the programs in it drawing through fused keys."""
    if isinstance(param, ClosedJaxpr):
        return _inner(param)
    if isinstance(param, Jaxpr):
        return _inner(ClosedJaxpr(param, ())).jaxpr
    if isinstance(param, (tuple, list)) and type(param) in (tuple, list):
        return type(param)(map(_mapped, param))
    return param


def _draws(program: Any) -> bool:
    """Whether keys occur in a program."""
    jaxpr: Any = getattr(program, "jaxpr", program)
    own = [*jaxpr.invars, *jaxpr.constvars, *(v for e in jaxpr.eqns for v in e.outvars)]
    if any(_is_key(v.aval) for v in own):
        return True
    inner = (p for equation in jaxpr.eqns for p in programs_in(equation))
    return any(map(_draws, inner))


def _inner(program: ClosedJaxpr) -> ClosedJaxpr:
    """Return the program of fused keys throughout, what goes in and comes out included."""
    if not _draws(program):
        return program

    def run(*values: Any) -> list[Any]:
        return _Fused().run(program, values)

    shown = [jax.eval_shape(_swapped, _struct(v.aval)) for v in program.jaxpr.invars]
    return jax.make_jaxpr(run)(*shown)
