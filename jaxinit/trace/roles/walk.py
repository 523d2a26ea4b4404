"""The walk over a program that asks what its parameters do."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import is_traced
from jaxinit._jaxpr import Interpreter, called
from jaxinit.trace.roles import selections
from jaxinit.trace.roles.atoms import FEATURE, Atom, plain
from jaxinit.trace.roles.expressions import number
from jaxinit.trace.roles.rules import FOR_CONSTANTS, RULES
from jaxinit.trace.roles.values import (
    UNKNOWN_CONSTANT,
    Base,
    Constant,
    Record,
    Signal,
    Value,
)

_SMALL = 1 << 16
"""Constant arrays up to this size are looked at for being one number everywhere."""


class Walker(Interpreter[Value]):
    """Follows parameters and data through a program, and records every use.

    Attributes:
        paths: The path of every parameter.
        records: The uses found so far.
        input_base: Where the inputs start.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        super().__init__()
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

    def constant(self, value: Any, aval: Any) -> Value:
        """Return what is known of a constant of the program."""
        del aval
        return constant(value)

    def operation(self, equation: Any, values: list[Value]) -> list[Value]:
        """Return what is known of the results of one operation."""
        name = equation.primitive.name
        inner = None if name in RULES else called(equation)
        if inner is not None:
            return self.run(inner, values)
        if name not in FOR_CONSTANTS and all(isinstance(v, Constant) for v in values):
            return [UNKNOWN_CONSTANT] * len(equation.outvars)
        found = RULES[name](self, equation, values) if name in RULES else None
        return selections.unfollowed(self, equation, values) if found is None else found


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
