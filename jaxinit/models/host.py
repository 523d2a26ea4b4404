"""Steps that derive keys, done by NumPy on the host instead of by compiled programs.

A model of hundreds of leaves derives hundreds of keys, by splitting, slicing and folding.
Each such step would be a program of its own. Here those on threefry keys are arithmetic on
a few words, bit for bit that of ``jax.random``.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._bits import is_threefry_implementation
from jaxinit._pieces import Piece
from jaxinit._primitives import NATIVE
from jaxinit.models.keys import HostKeys, threefry_block, typed

MOST_FILLED = 1 << 20
"""Constant arrays up to this size are filled on the host, with nothing to compile."""


def is_key_dtype(dtype: Any) -> bool:
    """Whether the dtype is one of keys."""
    return jnp.issubdtype(dtype, jax.dtypes.prng_key)


def to_host(value: Any) -> Any:
    """Return keys as words, unless they are spread over devices; the rest as it is."""
    if not (isinstance(value, jax.Array) and is_key_dtype(value.dtype)):
        return value
    words = jax.random.key_data(value)
    if not words.is_fully_replicated:
        return value
    return HostKeys(np.asarray(words), jax.random.key_impl(value))


def to_device(value: Any) -> Any:
    """Return the value as JAX takes it."""
    return typed(value) if isinstance(value, HostKeys) else value


def run_on_host(name: str, params: dict[str, Any], values: Sequence[Any], aval: Any) -> Any:
    """Return the result of a step, or None where there is no rule for it here.

    Args:
        name: The primitive's name.
        params: Its parameters.
        values: Its arguments: keys as words, numbers as arrays.
        aval: The shape and dtype of its result.

    Returns:
        Keys as words, an array, or None.
    """
    first = values[0] if values else None
    if aval.weak_type:
        return None
    if name in _MOVES and isinstance(first, HostKeys):
        return HostKeys(_MOVES[name](first.data, params, aval.shape, 1), first.impl)
    if name in _MOVES and isinstance(first, np.ndarray) and first.dtype.kind in "iub":
        return _MOVES[name](first, params, aval.shape, 0)
    if name in _EXACT and aval.shape == () and aval.dtype in _IEEE:
        scalars = [np.asarray(value) for value in values]
        if all(x.dtype == aval.dtype for x in scalars):
            return np.asarray(_EXACT[name](*scalars), aval.dtype)
    if not isinstance(first, HostKeys):
        return None
    if name == "random_unwrap":
        return first.data
    if not is_threefry_implementation(first.impl) or first.data.ndim != 1:
        return None
    if name == "random_fold_in" and np.ndim(values[1]) == 0 and _is_number(values[1]):
        word = np.asarray(values[1]).astype(np.uint32).reshape(1)
        return HostKeys(threefry_block(first.data[None], 0 * word, word)[0], first.impl)
    if name == "random_split" and jax.config.jax_threefry_partitionable:  # pyright: ignore[reportAttributeAccessIssue]
        count = int(np.prod(params["shape"], dtype=int))
        words = np.arange(count, dtype=np.uint32)
        keys = np.broadcast_to(first.data, (count, 2))
        data = threefry_block(keys, 0 * words, words).reshape(*params["shape"], 2)
        return HostKeys(data, first.impl)
    return None


def constant_of(piece: Piece) -> np.ndarray | None:
    """Return the array of a piece that only fills a small one with a number, or None."""
    if len(piece.steps) != 1 or piece.steps[0].primitive.name != "broadcast_in_dim":
        return None
    (step,) = piece.steps
    (aval,), (kind, value) = step.avals, step.inputs[0]
    if kind != "value" or np.ndim(value) or aval.weak_type or aval.size > MOST_FILLED:
        return None
    return np.full(aval.shape, value, aval.dtype)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, np.generic, np.ndarray, jax.Array))


def _slice(data: np.ndarray, params: dict[str, Any], _: Any, extra: int) -> np.ndarray:
    steps = params["strides"] or (1,) * (data.ndim - extra)
    bounds = zip(params["start_indices"], params["limit_indices"], steps, strict=True)
    return data[tuple(slice(*bound) for bound in bounds)]


def _reshape(
    data: np.ndarray, params: dict[str, Any], shape: Any, extra: int
) -> np.ndarray:
    order = params["dimensions"]
    if order is not None:
        data = data.transpose(*order, *range(len(order), data.ndim))
    return data.reshape((*shape, *data.shape[data.ndim - extra :]))


def _squeeze(data: np.ndarray, _: Any, shape: Any, extra: int) -> np.ndarray:
    return data.reshape((*shape, *data.shape[data.ndim - extra :]))


def _broadcast(
    data: np.ndarray, params: dict[str, Any], shape: Any, extra: int
) -> np.ndarray:
    wide = [1] * len(shape)
    for size, place in zip(data.shape, params["broadcast_dimensions"], strict=False):
        wide[place] = size
    tail = data.shape[data.ndim - extra :]
    return np.broadcast_to(data.reshape(*wide, *tail), (*shape, *tail))


# Operations that IEEE 754 rounds correctly, so that every processor agrees on them.
_EXACT = {
    name: NATIVE[name] for name in ("add", "sub", "mul", "div", "neg", "sqrt", "max", "min")
}
_IEEE = (np.dtype(np.float32), np.dtype(np.float64))
_MOVES = {
    "broadcast_in_dim": _broadcast,
    "reshape": _reshape,
    "slice": _slice,
    "squeeze": _squeeze,
}
