"""A traced program with fused keys in place of threefry keys.

What calls ``jax.random`` inside, be it in loops and branches, gets the same bits from our
own expression; what goes in and comes out keeps its types.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

from jaxinit._fused import FUSED_IMPLEMENTATION, fused, is_fused, unfused

_INLINED = {
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "fun_jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
}
"""Calls whose program is run as part of the one around it."""


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
        made = _evaluate(program.jaxpr, program.consts, [_swapped(v) for v in values])
        return [
            v if keep else _restored(v) for v, keep in zip(made, was_fused, strict=True)
        ]

    return jax.make_jaxpr(run)(*[_struct(v.aval) for v in program.jaxpr.invars])


def _is_key(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _is_fused_type(aval: Any) -> bool:
    return _is_key(aval) and aval.dtype == _fused_dtype()


def _fused_dtype() -> Any:
    return jax.eval_shape(lambda: jax.random.key(0, impl=FUSED_IMPLEMENTATION)).dtype


def _swapped(value: Any) -> Any:
    return fused(value) if _is_key(value) else value


def _restored(value: Any) -> Any:
    return unfused(value) if _is_key(value) and is_fused(value) else value


def _struct(aval: Any) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(aval.shape, aval.dtype, weak_type=aval.weak_type)


def _evaluate(jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    """Return the outputs of a program, keys among them fused."""
    known: dict[Any, Any] = {}

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else known[atom]

    known |= zip(jaxpr.constvars, map(_swapped, consts), strict=True)
    known |= zip(jaxpr.invars, args, strict=True)
    for eqn in jaxpr.eqns:
        made = _step(eqn, [read(atom) for atom in eqn.invars])
        known |= zip(eqn.outvars, made, strict=True)
    return [read(atom) for atom in jaxpr.outvars]


def _step(eqn: Any, values: Sequence[Any]) -> Sequence[Any]:
    name, params = eqn.primitive.name, eqn.params
    if name in {"random_wrap", "random_seed"}:
        return [fused(eqn.primitive.bind(*values, **params))]
    if name in _INLINED:
        inner = params[_INLINED[name]]
        jaxpr, consts = (
            (inner.jaxpr, inner.consts) if isinstance(inner, ClosedJaxpr) else (inner, ())
        )
        return _evaluate(jaxpr, consts, values)
    changed = {key: _mapped(value) for key, value in params.items()}
    found = eqn.primitive.get_bind_params(changed)  # JAX < 0.10: a pair
    functions, bound = found if isinstance(found, tuple) else ((), found)
    with eqn.ctx.manager:
        out = eqn.primitive.bind(*functions, *values, **bound)
    return out if eqn.primitive.multiple_results else [out]


def _mapped(param: Any) -> Any:
    """Return a parameter with the programs in it drawing through fused keys."""
    if isinstance(param, ClosedJaxpr):
        return _inner(param)
    if isinstance(param, Jaxpr):
        return _inner(ClosedJaxpr(param, ())).jaxpr
    if _is_list(param) and any(isinstance(p, (ClosedJaxpr, Jaxpr)) for p in param):
        return type(param)(_mapped(p) for p in param)
    return param


def _programs(params: dict[str, Any]) -> list[Jaxpr]:
    flat = jax.tree.leaves(list(params.values()), is_leaf=lambda p: not _is_list(p))
    inner = [p.jaxpr if isinstance(p, ClosedJaxpr) else p for p in flat]
    return [p for p in inner if isinstance(p, Jaxpr)]


def _is_list(param: object) -> bool:
    return isinstance(param, (tuple, list))


def _draws(jaxpr: Jaxpr) -> bool:
    """Whether keys occur in a program."""
    own = [*jaxpr.invars, *jaxpr.constvars, *(v for e in jaxpr.eqns for v in e.outvars)]
    if any(_is_key(v.aval) for v in own):
        return True
    return any(_draws(inner) for eqn in jaxpr.eqns for inner in _programs(eqn.params))


def _inner(program: ClosedJaxpr) -> ClosedJaxpr:
    """Return the program of fused keys throughout, what goes in and comes out included."""
    if not _draws(program.jaxpr):
        return program

    def run(*values: Any) -> list[Any]:
        return _evaluate(program.jaxpr, program.consts, values)

    shown = [jax.eval_shape(_swapped, _struct(v.aval)) for v in program.jaxpr.invars]
    return jax.make_jaxpr(run)(*shown)
