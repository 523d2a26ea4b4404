"""What stands for an array where no data is: constants, distributions, the unknown."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import is_traced, type_error
from jaxinit.trace.moments.distribution import (
    Spread,
    condensed,
    constant,
    gaussian,
    is_one_number,
    scalar,
    source,
)

_STRATA = 400  # of random bits: probabilities of a dropout are multiples of 1/400


@dataclasses.dataclass(eq=False)
class Known:
    """A constant, computed as it is until it meets the data."""

    array: np.ndarray
    spread: Spread | None = None

    @property
    def size(self) -> int:
        """The number of entries."""
        return self.array.size


@dataclasses.dataclass(frozen=True)
class Unknown:
    """An array of which no distribution is known, and why."""

    why: str
    integers: bool = False  # numbers that may still choose rows


Value = Known | Spread | Unknown


def kind(dtype: Any) -> str:
    """Return b, i, u, f or c, or k for what only JAX knows, such as keys."""
    if jnp.issubdtype(dtype, jax.dtypes.extended):
        return "k"
    found = np.dtype(dtype).kind
    return "f" if found == "V" else found


def from_constant(value: Any, aval: Any) -> Value:
    """Return a constant of the program as a value, refusing those that are traced."""
    if is_traced(value):
        rule = "without data, constants of the forward pass must be known now"
        advice = "Call autoinit outside of the transformation that traces it."
        type_error(rule, f"a traced one of shape {np.shape(value)}", advice)
    if kind(aval.dtype) == "k":
        return Unknown("a random key")
    return from_array(np.asarray(value).astype(aval.dtype))


def from_array(array: np.ndarray) -> Value:
    """Return an array as a value; those of one number are plain numbers."""
    if array.dtype.kind == "c":
        return Unknown("a complex constant")
    if array.size and is_one_number(array):
        return scalar(array.flat[0], array.shape)
    return Known(array)


def is_known(x: Value) -> bool:
    """Whether every entry is known."""
    return isinstance(x, Known) or (isinstance(x, Spread) and not x.places)


def kind_of(x: Value) -> str:
    """Return the kind of the dtype of an array's entries, empty where it is unknown."""
    if isinstance(x, Known):
        return x.array.dtype.kind
    return x.values.dtype.kind if isinstance(x, Spread) else ""


def array(x: Value, aval: Any) -> np.ndarray:
    """Return a known value as an array."""
    if isinstance(x, Known):
        return x.array
    assert isinstance(x, Spread)
    return np.full(aval.shape, x.values).astype(aval.dtype)


def as_spread(x: Value) -> Spread:
    """Return the distribution of the entries of a value."""
    if isinstance(x, Known):
        if x.spread is None:
            x.spread = constant(x.array)
        return x.spread
    assert isinstance(x, Spread)
    return x


def random_bits(aval: Any) -> Spread:
    """Return uniform integers, at the middles of equal parts of their range."""
    bits = np.iinfo(aval.dtype).bits
    middles = (np.arange(_STRATA) + 0.5) / _STRATA * 2.0**bits
    return source(aval.shape, middles.astype(aval.dtype), np.full(_STRATA, 1 / _STRATA))


def converted(x: Spread, dtype: Any) -> Value:
    """Return numbers in another dtype."""
    if kind(dtype) == "c":
        return Unknown("a complex array")
    wanted = np.dtype(np.float64) if kind(dtype) == "f" else np.dtype(dtype)
    if x.values.dtype == wanted:
        return x
    if x.values.dtype.kind == "f" and wanted.kind in "iu":  # as XLA: cut off at the ends
        limits = jnp.iinfo(dtype)
        least, most = int(limits.min), int(limits.max)
        cut = np.clip(np.trunc(np.nan_to_num(x.values)), float(least), float(most))
        whole = [min(max(int(value), least), most) for value in cut.reshape(-1)]
        return x.mapped(lambda table: np.array(whole, wanted).reshape(table.shape))
    return x.mapped(lambda table: table.astype(wanted))


def iota(eqn: Any) -> Spread:
    """Return the distribution of counting numbers along one dimension."""
    shape, d = eqn.params["shape"], eqn.params["dimension"]
    values, weights = condensed(np.arange(shape[d]), np.full(shape[d], 1 / shape[d]))
    row = source((shape[d],), values, weights)
    return row.moved(
        shape, lambda place: (place[0] if k == d else None for k in range(len(shape)))
    )


def input_value(aval: Any) -> Value:
    """Return what an input without data is taken for."""
    letter = kind(aval.dtype)
    if letter == "f":
        kinds = [d < len(aval.shape) - 1 for d in range(len(aval.shape))]
        return gaussian(tuple(aval.shape), 0.0, 1.0, kinds)
    why = (
        "a random key"
        if letter == "k"
        else f"an input of dtype {np.dtype(aval.dtype).name}"
    )
    return Unknown(why, integers=letter in "iu")
