"""The walk over a program, one rule an operation."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

from jaxinit._checks import is_traced
from jaxinit.trace.roles import (
    control,
    convolutions,
    products,
    reductions,
    selections,
    shapes,
)
from jaxinit.trace.roles.atoms import FEATURE, Atom, plain
from jaxinit.trace.roles.elementwise import convert, elementwise
from jaxinit.trace.roles.expressions import FUNCTIONS, number
from jaxinit.trace.roles.values import (
    RANDOM,
    UNKNOWN_CONSTANT,
    Base,
    Constant,
    Pack,
    Record,
    Signal,
    Value,
    View,
    give_up,
    leaves_of,
)

_SMALL = 1 << 16
"""Constant arrays up to this size are looked at for being one number everywhere."""

_REDUCTIONS = frozenset({
    "reduce_sum",
    "reduce_max",
    "reduce_min",
    "reduce_prod",
    "reduce_or",
    "reduce_and",
})
_POOLS = frozenset({"reduce_window_sum", "reduce_window_max", "reduce_window_min"})
_SAME = frozenset({
    "all_to_all",
    "mesh_cast",
    "optimization_barrier",
    "pbroadcast",
    "pcast",
    "pmax",
    "ppermute",
    "psum",
    "psum2",
    "psum_invariant",
    "pvary",
    "reshard",
    "sharding_constraint",
})
_ACROSS = {"psum": "reduce_sum", "pmax": "reduce_max", "pmin": "reduce_min"}
_MOVED_SIGNAL = frozenset({"dynamic_update_slice", "pad"})


class Walker:
    """Follows parameters and data through a program, and records every use.

    Attributes:
        paths: The path of every parameter.
        records: The uses found so far.
        input_base: Where the inputs start.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self.paths = paths
        self.records: list[Record] = []
        self._num_bases = 1
        self.input_base = Base("input", ancestors=1)

    def new_base(
        self,
        kind: str,
        sources: Sequence[Value],
        detail: str = "",
        records: tuple[Record, ...] = (),
    ) -> Base:
        """Return a new starting point, computed from ``sources``."""
        ancestors = own = 1 << self._num_bases
        self._num_bases += 1
        for value in sources:
            if isinstance(value, Signal):
                ancestors |= value.base.ancestors
        for record in records:
            record.outputs |= own
        return Base(kind, detail, ancestors, records)

    @contextlib.contextmanager
    def sandbox(self) -> Iterator[None]:
        """Forget the uses that are recorded inside."""
        kept = self.records
        self.records = []
        try:
            yield
        finally:
            self.records = kept

    def run(self, program: Any, values: Sequence[Value]) -> list[Value]:
        """Return the values of a program's outputs."""
        jaxpr = getattr(program, "jaxpr", program)
        constants = getattr(program, "consts", ())
        known: dict[Any, Value] = {}
        for var, array in zip(jaxpr.constvars, constants, strict=True):
            known[var] = constant(array)
        known.update(zip(jaxpr.invars, values, strict=True))

        def read(atom: Any) -> Value:
            if isinstance(atom, Literal):
                return constant(atom.val)
            return known[atom]

        for equation in _needed(jaxpr):
            inputs = [read(atom) for atom in equation.invars]
            results = self._apply(equation, inputs)
            known.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def _apply(self, equation: Any, values: list[Value]) -> list[Value]:
        name = equation.primitive.name
        if name in _CONTROL:
            return _CONTROL[name](self, equation, values)
        inner = control.program_of(equation)
        if inner is not None:
            return self.run(inner, values)
        if name == "split":
            return _split(self, values[0], equation.params)
        if name == "unstack":
            return _unstacked(self, values[0], equation)
        axes = equation.params.get("axes", ())
        if name in _ACROSS and len(values) == 1 and all(type(a) is int for a in axes):
            shape = equation.outvars[0].aval.shape  # vmap has made a plain axis of it
            return [reductions.reduce(self, _ACROSS[name], values, axes, shape)]
        if name in _SAME and len(equation.outvars) == len(values):
            return values
        fixed = all(isinstance(value, Constant) for value in values)
        if fixed and name not in FUNCTIONS and name not in _STRUCTURAL:
            return [UNKNOWN_CONSTANT] * len(equation.outvars)
        if name in selections.RULES:
            return selections.RULES[name](self, equation, values)
        if len(equation.outvars) == 1:
            result = _single(self, equation, name, values)
            if result is not None:
                return [result]
        return selections.unfollowed(self, equation, values)


_CONTROL = {
    "scan": control.scan,
    "while": control.while_loop,
    "cond": control.branches,
    "shard_map": control.shards,
}
_STRUCTURAL = shapes.MOVES | {"convert_element_type", "slice", "squeeze"}


def _single(walk: Walker, equation: Any, name: str, values: list[Value]) -> Value | None:
    """Return the result of an operation with one, or None where there is no rule for it."""
    params, shape = equation.params, equation.outvars[0].aval.shape
    if name in FUNCTIONS:
        return elementwise(walk, name, values, params, shape)
    if name in shapes.MOVES:
        return shapes.move(walk, name, values[0], params, shape)
    if name == "convert_element_type":
        return convert(walk, values[0], params["new_dtype"])
    if name == "dot_general":
        ranks = [len(var.aval.shape) for var in equation.invars]
        return products.dot(walk, values[0], values[1], params, ranks, shape)
    if name == "conv_general_dilated":
        return convolutions.convolution(walk, values[0], values[1], params, shape)
    if name == "slice":
        steps = params["strides"] or (1,) * len(shape)
        limits = params["limit_indices"]
        return shapes.take(walk, values[0], params["start_indices"], limits, steps)
    if name == "dynamic_slice":
        return shapes.take_at(walk, values[0], values[1:], params["slice_sizes"], shape)
    if name == "gather":
        return shapes.gather(walk, values[0], values[1], params, shape)
    if name == "concatenate":
        return shapes.concatenate(walk, values, params["dimension"], shape)
    if name == "stack":
        return _stacked(walk, values, params["axis"], shape)
    if name in _REDUCTIONS:
        return reductions.reduce(walk, name, values, params["axes"], shape)
    if name in ("argmax", "argmin") and isinstance(values[0], Signal):
        return Signal(walk.input_base, dims=plain(shape), is_discrete=True)
    if name in _POOLS or name.startswith("reduce_window"):
        return reductions.pool(walk, name, values, shape)
    if name.startswith(("random_", "threefry")):
        return Signal(walk.new_base(RANDOM, values), is_discrete=True)
    if name in _MOVED_SIGNAL and isinstance(values[0], Signal) and not leaves_of(values):
        return shapes.resized(values[0], shape)
    return None


def _stacked(walk: Walker, values: list[Value], axis: int, shape: Any) -> Value:
    """Return values laid side by side along a new axis."""
    wide = tuple(1 if i == axis else n for i, n in enumerate(shape))
    grown = [shapes.move(walk, "reshape", value, {}, wide) for value in values]
    return shapes.concatenate(walk, grown, axis, shape)


def _split(walk: Walker, value: Value, params: dict[str, Any]) -> list[Value]:
    """Return the parts of a value that is cut along one axis."""
    axis, sizes = params["axis"], [int(n) for n in params["sizes"]]
    if isinstance(value, Pack):
        lengths = [sum(a.size for a in part.dims[axis]) for part in value.parts]
        if value.axis == axis and lengths == sizes:
            return list(value.parts)
    dims = value.dims if isinstance(value, (View, Signal)) else None
    if dims is None:
        if not isinstance(value, (Constant, Signal)):
            return [give_up(walk, [value], "laid side by side and then split")] * len(sizes)
        return [value] * len(sizes)
    full = [int(np.prod([atom.size for atom in dim], dtype=int)) for dim in dims]
    results, start = [], 0
    for size in sizes:
        low = [start if i == axis else 0 for i in range(len(full))]
        high = [start + size if i == axis else n for i, n in enumerate(full)]
        results.append(shapes.take(walk, value, low, high, [1] * len(full)))
        start += size
    return results


def _unstacked(walk: Walker, value: Value, equation: Any) -> list[Value]:
    """Return the slices of a value along one axis, without that axis."""
    axis, count = equation.params["axis"], len(equation.outvars)
    parts = _split(walk, value, {"axis": axis, "sizes": [1] * count})
    shape, gone = equation.outvars[0].aval.shape, {"dimensions": (axis,)}
    return [shapes.move(walk, "squeeze", part, gone, shape) for part in parts]


def _needed(jaxpr: Any) -> list[Any]:
    """Return the equations that an output depends on, in order."""
    wanted = {id(var) for var in jaxpr.outvars}
    kept = []
    for equation in reversed(jaxpr.eqns):
        if any(id(var) in wanted for var in equation.outvars) or equation.effects:
            kept.append(equation)
            wanted.update(id(atom) for atom in equation.invars)
    return kept[::-1]


def constant(array: Any) -> Constant:
    """Return what is known of an array that is neither input nor parameter."""
    dtype = getattr(array, "dtype", None)
    if dtype is not None and not (
        jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.bool_)
    ):
        return UNKNOWN_CONSTANT
    if is_traced(array) or isinstance(array, jax.ShapeDtypeStruct):
        return UNKNOWN_CONSTANT
    size = np.size(array)
    if size == 0 or size > _SMALL:
        return UNKNOWN_CONSTANT
    flat = np.asarray(array).reshape(-1)
    if flat.dtype.kind == "c" or (size > 1 and (flat != flat[0]).any()):
        return UNKNOWN_CONSTANT
    item = flat[0].astype(np.float64) if flat.dtype.kind not in "biuf" else flat[0]
    return Constant(number(item))


def input_value(walk: Walker, shape: Sequence[int], dtype: Any) -> Signal | Constant:
    """Return what is known of an input: its last axis is taken for its features."""
    if jnp.issubdtype(dtype, jax.dtypes.prng_key):
        return UNKNOWN_CONSTANT
    dims = list(plain(shape))
    discrete = not jnp.issubdtype(dtype, jnp.inexact)
    if dims and not discrete:
        dims[-1] = (Atom(FEATURE, 0, shape[-1]),)
    return Signal(walk.input_base, dims=tuple(dims), is_discrete=discrete)
