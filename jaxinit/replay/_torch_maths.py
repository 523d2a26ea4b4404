"""What ``torch.Tensor`` computes: a result is known at once, and has no history.

Each method wants tensors into which nothing is drawn; see `_torch_values`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np

from jaxinit.replay._torch_values import computed, is_tensor, values

Dims = int | Sequence[int] | None
_np: Any = np  # type checkers take minutes for tables of NumPy's own types


def _computed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method that computes a function of NumPy of tensors and numbers."""

    def method(*args: Any) -> Any:  # ``torch.pow(2.0, x)`` has its tensor behind
        tensor = next(x for x in args if is_tensor(x))
        return tensor.made(computed(function, *args))

    method.__doc__ = f"Return ``numpy.{function.__name__}`` of known values."
    return method


def _rounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method of a curve, in doubles, rounded once: it is nearest to PyTorch."""

    def curve(*args: Any) -> Any:
        kinds = [x.dtype for x in args if isinstance(x, np.ndarray)]
        if kinds[0].kind in "biu":
            return function(*args)
        return function(*(np.asarray(x, np.float64) for x in args)).astype(kinds[0])

    curve.__name__ = function.__name__
    return _computed(curve)


def _swapped(function: Callable[..., Any]) -> Callable[..., Any]:
    return _computed(lambda x, y: function(y, x))


def _reduced(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method that computes a function of NumPy along axes."""

    def method(self: Any, dim: Dims = None, keepdim: bool = False) -> Any:
        axis = tuple(dim) if isinstance(dim, Sequence) else dim
        return self.made(computed(lambda x: function(x, axis=axis, keepdims=keepdim), self))

    method.__doc__ = f"Return ``numpy.{function.__name__}`` of known values."
    return method


def _summed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the method of a running sum, which PyTorch computes in doubles."""

    def method(self: Any, dim: int) -> Any:
        x = values(self)
        wide = np.int64 if x.dtype.kind in "biu" else np.float64
        made = function(x, axis=dim, dtype=wide)
        return self.made(made if wide is np.int64 else made.astype(x.dtype))

    method.__doc__ = f"Return ``numpy.{function.__name__}`` of known values."
    return method


class Maths:
    """The methods of ``torch.Tensor`` that compute new values."""

    @staticmethod
    def made(array: np.ndarray) -> Any:
        """Return a tensor of these values, in their dtype."""
        raise NotImplementedError

    def to(self, *args: Any) -> Any:
        """Return the tensor in another dtype."""
        raise NotImplementedError

    sin, cos, tan, tanh = map(_rounded, (_np.sin, _np.cos, _np.tan, _np.tanh))
    exp, expm1 = map(_rounded, (_np.exp, _np.expm1))
    log, log1p, log2, log10 = map(_rounded, (_np.log, _np.log1p, _np.log2, _np.log10))
    abs, sign, square, sqrt = map(_computed, (_np.abs, _np.sign, _np.square, _np.sqrt))
    floor, ceil, round = map(_computed, (_np.floor, _np.ceil, _np.round))
    rsqrt = _computed(lambda x: 1 / _np.sqrt(x))
    reciprocal = _computed(lambda x: 1 / x)
    isinf, isnan, logical_not = map(_computed, (_np.isinf, _np.isnan, _np.logical_not))
    __abs__, __invert__ = map(_computed, (_np.abs, _np.invert))

    __pow__ = pow = _rounded(_np.power)
    __rpow__ = _rounded(lambda x, y: _np.power(y, x))
    __floordiv__ = floor_divide = _computed(_np.floor_divide)
    __mod__ = remainder = _computed(_np.remainder)
    __rtruediv__ = _swapped(_np.true_divide)
    __rfloordiv__ = _swapped(_np.floor_divide)
    __lt__, __le__ = lt, le = _computed(_np.less), _computed(_np.less_equal)
    __gt__, __ge__ = gt, ge = _computed(_np.greater), _computed(_np.greater_equal)
    eq, ne = _computed(_np.equal), _computed(_np.not_equal)
    __and__ = _computed(_np.bitwise_and)
    __or__ = _computed(_np.bitwise_or)
    logical_and, logical_or = _computed(_np.logical_and), _computed(_np.logical_or)
    maximum, minimum = _computed(_np.maximum), _computed(_np.minimum)
    outer = ger = _computed(_np.outer)
    __matmul__ = matmul = mm = _computed(_np.matmul)

    sum, prod, mean = map(_reduced, (_np.sum, _np.prod, _np.mean))
    amax, amin, any, all = map(_reduced, (_np.max, _np.min, _np.any, _np.all))
    argmax, argmin = map(_reduced, (_np.argmax, _np.argmin))
    cumsum, cumprod = _summed(_np.cumsum), _summed(_np.cumprod)

    def __eq__(self, other: object) -> Any:
        return other is not None and self.eq(other)

    def __ne__(self, other: object) -> Any:
        return other is None or self.ne(other)

    __hash__ = object.__hash__

    def max(self) -> Self:
        """Return the largest known value."""
        return self.amax()

    def min(self) -> Self:
        """Return the smallest known value."""
        return self.amin()

    def flip(self, *dims: Any) -> Self:
        """Return known values in the reverse order along some axes."""
        axes = dims if isinstance(dims[0], int) else tuple(dims[0])
        return self.made(np.flip(values(self), axes))

    def roll(self, shifts: Any, dims: Any = None) -> Self:
        """Return known values shifted along some axes."""
        return self.made(np.roll(values(self), shifts, dims))

    def argsort(self, dim: int = -1, descending: bool = False) -> Self:
        """Return the order of known values; equal ones stay in order."""
        x = values(self)
        return self.made(np.argsort(-x if descending else x, dim, kind="stable"))

    def diff(self, n: int = 1, dim: int = -1) -> Self:
        """Return the differences between known values and the next."""
        return self.made(np.diff(values(self), n, dim))

    def unique(self, return_counts: bool = False) -> Any:
        """Return the different known values, in order, and how often each is there."""
        found, counts = np.unique(values(self), return_counts=True)
        return (self.made(found), self.made(counts)) if return_counts else self.made(found)

    def repeat_interleave(self, repeats: int, dim: int | None = None) -> Self:
        """Return known values, each repeated in place."""
        return self.made(np.repeat(values(self), repeats, dim))

    def item(self) -> Any:
        """Return the known value as a Python number."""
        return values(self).item()

    def tolist(self) -> Any:
        """Return the known values as nested lists."""
        return values(self).tolist()

    def numpy(self) -> np.ndarray:
        """Return the known values as an array."""
        return values(self)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        del copy
        return np.asarray(values(self), dtype)

    def __bool__(self) -> bool:
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __index__(self) -> int:
        return self.item().__index__()

    def float(self) -> Any:
        """Return the tensor in float32."""
        return self.to(np.dtype(np.float32))

    def long(self) -> Any:
        """Return the known values as integers."""
        return self.to(np.dtype(np.int64))

    int = long

    def bool(self) -> Any:
        """Return whether the known values are not zero."""
        return self.to(np.dtype(np.bool_))
