"""The table of JAX's primitives: of which kind each is, and what computes it on the host.

Every reading of a program takes its names from here: what a primitive is, is said once.
"""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

PRODUCTS = frozenset({"conv_general_dilated", "dot_general", "ragged_dot_general"})
"""Sums of products of two operands, one of which a weight may be."""

IDENTITIES = frozenset({
    "copy",
    "copy_p",
    "device_put",
    "mesh_cast",
    "name",
    "optimization_barrier",
    "pbroadcast",
    "pcast",
    "pvary",
    "reduce_precision",
    "reshard",
    "sharding_constraint",
    "stop_gradient",
})
"""What gives each operand back: hints to the compiler, places, roundings."""

REARRANGED = frozenset({
    "broadcast_in_dim",
    "expand_dims",
    "reshape",
    "rev",
    "squeeze",
    "transpose",
})
"""What moves whole axes: all entries are still there."""

SCATTERS = frozenset({
    "scatter",
    "scatter-add",
    "scatter-max",
    "scatter-min",
    "scatter-mul",
    "scatter-sub",
    "scatter_add",
    "scatter_max",
    "scatter_min",
    "scatter_mul",
    "scatter_sub",
})
"""What writes into some entries; both ways that versions of JAX spell them."""

BITS = frozenset({"random_bits", "threefry2x32"})
"""What gives random integers."""

CONTROL = frozenset({"cond", "scan", "shard_map", "while"})
"""What runs programs inside of it, not just once or not on its own arguments."""


def _by_jax(function: Callable[..., Any]) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Return a function and the same on the host; for what NumPy does not have."""

    def on_host(*values: Any) -> np.ndarray:
        with jax.ensure_compile_time_eval():
            given = np.broadcast_arrays(*(np.asarray(v, np.float32) for v in values))
            return np.asarray(function(*map(jnp.asarray, given)), np.float64)

    return function, on_host


def _cases(which: Any, *cases: Any) -> Any:
    if len(cases) == 2:
        return jnp.where(which, cases[1], cases[0])
    return jnp.select([which == i for i in range(len(cases))], list(cases))


def _numpy_cases(which: Any, *cases: Any) -> Any:
    if len(cases) == 2:
        return np.where(which, cases[1], cases[0])
    return np.select([which == i for i in range(len(cases))], list(cases))


def _round(value: Any, method: Any = lax.RoundingMethod.TO_NEAREST_EVEN) -> Any:
    return lax.round(value, method)


def _numpy_round(value: Any, method: Any = lax.RoundingMethod.TO_NEAREST_EVEN) -> Any:
    if method == lax.RoundingMethod.TO_NEAREST_EVEN:
        return np.round(value)
    return np.trunc(value + np.copysign(0.5, value))


def _same(value: Any) -> Any:
    return value


def _erf(value: Any) -> Any:
    return np.vectorize(math.erf, otypes=[float])(value)


def _erfc(value: Any) -> Any:
    return np.vectorize(math.erfc, otypes=[float])(value)


# The primitives that act on each entry alone, as a JAX function and as a NumPy one.
# Roundings to a narrower float are left out.
_PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "abs": (jnp.abs, np.abs),
    "add": (jnp.add, np.add),
    "add_any": (jnp.add, np.add),
    "and": (jnp.logical_and, np.logical_and),
    "atan2": (jnp.arctan2, np.arctan2),
    "cbrt": (jnp.cbrt, np.cbrt),
    "ceil": (jnp.ceil, np.ceil),
    "clamp": (lambda a, x, b: jnp.clip(x, a, b), lambda a, x, b: np.clip(x, a, b)),
    "copy": (_same, _same),
    "copy_p": (_same, _same),
    "cos": (jnp.cos, np.cos),
    "cosh": (jnp.cosh, np.cosh),
    "div": (jnp.true_divide, np.true_divide),
    "eq": (jnp.equal, np.equal),
    "erf": (jax.lax.erf, _erf),
    "erfc": (jax.lax.erfc, _erfc),
    "exp": (jnp.exp, np.exp),
    "exp2": (jnp.exp2, np.exp2),
    "expm1": (jnp.expm1, np.expm1),
    "floor": (jnp.floor, np.floor),
    "ge": (jnp.greater_equal, np.greater_equal),
    "gt": (jnp.greater, np.greater),
    "integer_pow": (jnp.power, lambda x, y: np.asarray(x, float) ** y),
    "is_finite": (jnp.isfinite, np.isfinite),
    "le": (jnp.less_equal, np.less_equal),
    "log": (jnp.log, np.log),
    "log1p": (jnp.log1p, np.log1p),
    "logistic": (jax.nn.sigmoid, lambda x: 0.5 * (1 + np.tanh(np.asarray(x) / 2))),
    "lt": (jnp.less, np.less),
    "max": (jnp.maximum, np.maximum),
    "min": (jnp.minimum, np.minimum),
    "mul": (jnp.multiply, np.multiply),
    "ne": (jnp.not_equal, np.not_equal),
    "neg": (jnp.negative, np.negative),
    "not": (jnp.logical_not, np.logical_not),
    "or": (jnp.logical_or, np.logical_or),
    "pow": (jnp.power, np.power),
    "reduce_precision": (_same, _same),
    "rem": (jnp.fmod, np.fmod),
    "round": (_round, _numpy_round),
    "rsqrt": (jax.lax.rsqrt, lambda x: 1 / np.sqrt(x)),
    "select_n": (_cases, _numpy_cases),
    "sign": (jnp.sign, np.sign),
    "sin": (jnp.sin, np.sin),
    "sinh": (jnp.sinh, np.sinh),
    "sqrt": (jnp.sqrt, np.sqrt),
    "square": (jnp.square, np.square),
    "stop_gradient": (_same, _same),
    "sub": (jnp.subtract, np.subtract),
    "tan": (jnp.tan, np.tan),
    "tanh": (jnp.tanh, np.tanh),
    "xor": (jnp.logical_xor, np.logical_xor),
}
_PAIRS |= {
    name: (getattr(jnp, f"arc{name[1:]}"), getattr(np, f"arc{name[1:]}"))
    for name in ("acos", "acosh", "asin", "asinh", "atan", "atanh")
}
OPTIONS = {"integer_pow": "y", "round": "rounding_method"}
"""The one parameter that their functions take, behind the operands."""

NATIVE = {name: pair[1] for name, pair in _PAIRS.items()}
"""What acts on each entry alone and is NumPy's, in float64."""

_PAIRS |= {
    name: _by_jax(getattr(lax, name))
    for name in (
        "bessel_i0e",
        "bessel_i1e",
        "digamma",
        "erf_inv",
        "igamma",
        "igammac",
        "lgamma",
        "nextafter",
        "polygamma",
        "zeta",
    )
}
_PAIRS["regularized_incomplete_beta"] = _by_jax(lax.betainc)
FUNCTIONS = {name: pair[0] for name, pair in _PAIRS.items()}
"""What acts on each entry alone, as a function of ``jax.numpy``."""

ON_HOST = {name: pair[1] for name, pair in _PAIRS.items()}
"""The same on the host."""

ELEMENTWISE = frozenset(FUNCTIONS) | {
    "clz",
    "eq_to",
    "le_to",
    "lt_to",
    "population_count",
    "shift_left",
    "shift_right_arithmetic",
    "shift_right_logical",
}
"""The names of these, and of those on integers only."""
