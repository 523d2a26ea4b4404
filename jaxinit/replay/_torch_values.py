"""The values of tensors into which nothing is drawn: constants, computed with NumPy.

PyTorch computes in the default dtype what is made of integers and Python's numbers; so do
these functions, and never in a wider one. The default dtype is float32, and inside of
`torch_cpu.build` the dtype that it was given.
"""

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jaxinit._checks import is_traced, value_error
from jaxinit.replay._torch_writes import DRAWS, UPDATES, Write

Dtype = np.dtype[Any]

_default: contextvars.ContextVar[Dtype | None] = contextvars.ContextVar(
    "default", default=None
)


def default_dtype() -> Dtype:
    """Return the dtype in which constants are computed."""
    return _default.get() or np.dtype(np.float32)


@contextlib.contextmanager
def computing_in(dtype: Dtype) -> Iterator[None]:
    """Compute the constants inside in another dtype."""
    token = _default.set(dtype)
    try:
        yield
    finally:
        _default.reset(token)


def is_tensor(value: object) -> bool:
    """Return whether something is a tensor of a model that is being made."""
    return hasattr(value, "place")


def is_floating(dtype: Any) -> bool:
    """Return whether a dtype is one of floats, also of those that NumPy lacks."""
    return dtype.kind not in "biu"


def _writes(base: Any, before: float) -> list[Write]:
    """Return the writes that a tensor's values depend on at a moment."""
    writes = [w for w in base.writes if w.order < before]
    whole = [i for i, w in enumerate(writes) if w.part is None and w.kind not in UPDATES]
    return writes[whole[-1] :] if whole else writes


def is_known(tensor: Any, before: float = math.inf) -> bool:
    """Return whether nothing that is drawn or traced is in a tensor, before a write."""
    for write in _writes(tensor.place()[0], before):
        if write.kind in DRAWS or write.kind == "erfinv" or is_traced(write.source):
            return False
        if is_tensor(write.source) and not is_known(write.source, write.order):
            return False
    return True


def values(tensor: Any, before: float = math.inf) -> np.ndarray:
    """Return the values of a tensor into which nothing is drawn, before a write."""
    if not is_known(tensor, before):
        rule = "values are known only of tensors into which nothing is drawn"
        got = f"{tensor!r}"
        advice = "Compute it of the state dict that build returns."
        value_error(rule, got, advice, where="Tensor")
    base, part = tensor.place()
    whole = np.zeros(base.shape, base.dtype or default_dtype())
    for write in _writes(base, before):
        there = whole if write.part is None else write.part.of(whole)
        there[...] = _after(write, there)
    return whole if part is None else part.of(whole)


def _after(write: Write, old: np.ndarray) -> Any:
    """Return what a write makes of the values before it."""
    source = write.source
    source = values(source, write.order) if is_tensor(source) else source
    if write.kind in ("array", "copy"):
        return np.asarray(source)
    if write.kind == "fill":
        return write.numbers[0]
    if write.kind == "mask":
        return np.where(source, np.asarray(write.numbers[0], old.dtype), old)
    # Numbers below 32 bits are computed with in float32, and rounded once.
    wide = np.float32 if is_floating(old.dtype) and old.dtype.itemsize == 2 else old.dtype
    wide = wide if is_floating(old.dtype) else np.float64
    if write.kind == "clamp":
        return np.clip(old.astype(wide), write.numbers[0], write.numbers[1])
    by = np.asarray(write.numbers[0] if source is None else source).astype(wide)
    return _STEPS[write.kind](old.astype(wide), by)


_STEPS: dict[str, Any] = {"scale": np.multiply, "divide": np.true_divide, "add": np.add}


def computed(function: Callable[..., Any], *args: Any) -> np.ndarray:
    """Return a function of known tensors, arrays and numbers, in PyTorch's dtype."""
    plain = [_plain(x) for x in args]
    dtypes = {x.dtype for x in plain if isinstance(x, np.ndarray)}
    floats = sorted(filter(is_floating, dtypes), key=lambda dtype: dtype.itemsize)
    if not floats:
        result = np.asarray(function(*plain))
        if not is_floating(result.dtype):
            return result
    kind = floats[-1] if floats else default_dtype()
    plain = [x.astype(kind) if isinstance(x, np.ndarray) else x for x in plain]
    result = np.asarray(function(*plain))
    return result.astype(kind) if is_floating(result.dtype) else result


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    return values(value) if is_tensor(value) else value
