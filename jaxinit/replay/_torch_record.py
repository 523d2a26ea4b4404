"""Tensors of a model that is being made: a record of what was written into them."""

import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, Self

import numpy as np

from jaxinit._checks import check_number, check_shape, is_traced, type_error, value_error
from jaxinit.replay._torch_maths import Maths
from jaxinit.replay._torch_shapes import Shapes
from jaxinit.replay._torch_values import (
    computed,
    default_dtype,
    is_floating,
    is_known,
    is_tensor,
    values,
)
from jaxinit.replay._torch_writes import DRAWS, Kind, Part, Update, Write, note

_Dtype = np.dtype[Any]


@dataclasses.dataclass(frozen=True)
class Device:
    """``torch.device``: which one does not matter here."""

    type: str = "cpu"
    index: int | None = None


_Numbers = Any
"""A number, an array or a tensor."""


def check_tensor_dtype(dtype: Any) -> _Dtype | None:
    """Return the dtype of one tensor; None is the one that build takes."""
    if isinstance(dtype, type) and dtype in (bool, int, float):
        dtype = np.dtype(dtype)
    if dtype is not None and not isinstance(dtype, np.dtype):
        rule = "all tensors of a model have one dtype, which build takes"
        type_error(rule, f"dtype={dtype!r}", "Give dtype to build instead.")
    return None if dtype == default_dtype() else dtype


class Tensor(Maths, Shapes):
    """A tensor of a model that is being made: a shape, and what was written into it.

    Its methods are those of ``torch.Tensor`` by which weights are set. They note what
    PyTorch would do; the values are drawn by `torch_cpu.build`. What nothing is drawn
    into has its values at once, and can be computed with.
    """

    __array_ufunc__ = None  # so that NumPy's numbers leave products to it
    device, is_meta = Device(), False
    dtype: _Dtype | None = None  # None is the dtype that build takes

    def __init__(self, *size: Any, dtype: _Dtype | None = None) -> None:
        shape = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
        data = isinstance(shape, list | np.ndarray)
        self.shape: tuple[int, ...] = np.shape(shape) if data else check_shape(shape)
        self.writes: list[Write] = []
        self.requires_grad = False
        if dtype is not None:
            self.dtype = dtype
        if data:
            self.write("array", source=np.asarray(shape, dtype or float))

    @staticmethod
    def made(array: np.ndarray) -> "Tensor":
        """Return a tensor of these values, in their dtype."""
        return constant(array, array.dtype)

    @property
    def data(self) -> Self:
        """The tensor itself; setting it copies the values of another."""
        return self

    @data.setter
    def data(self, source: Any) -> None:
        self.copy_(source)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Return the tensor; gradients do not matter here."""
        self.requires_grad = requires_grad
        return self

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator["Tensor"]:
        return (self[i] for i in range(len(self)))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(shape={self.shape})"

    def place(self) -> "tuple[Tensor, Part | None]":
        """Return the whole tensor, and which part of it this is."""
        return self, None

    def write(self, kind: Kind, *numbers: float, source: Any = None) -> Self:
        """Note a write of one of the kinds; `torch_init` has a function for each."""
        base, part = self.place()
        free = kind in ("fill", "mask", "clamp")  # where PyTorch takes infinities
        plain = tuple(float(x if free else check_number("value", x)) for x in numbers)
        apart = part is not None and not part.contiguous
        if part is not None and apart and kind in DRAWS - {"uniform", "normal"}:
            rule = "this draw needs a tensor whose values follow each other in memory"
            got = f"a part of shape {part.shape} and strides {part.strides}"
            value_error(rule, got, "Draw the whole tensor.", where=f"Tensor.{kind}")
        base.writes.append(note(base, kind, plain, source, part))
        return self

    def fill_(self, value: float) -> Self:
        """Note ``tensor.fill_(value)``."""
        return self.write("fill", value)

    def zero_(self) -> Self:
        """Note ``tensor.zero_()``."""
        return self.write("fill", 0.0)

    def uniform_(self, a: float = 0.0, b: float = 1.0) -> Self:
        """Note ``tensor.uniform_(a, b)``."""
        return self.write("uniform", a, b)

    def normal_(self, mean: float = 0.0, std: float = 1.0) -> Self:
        """Note ``tensor.normal_(mean, std)``."""
        return self.write("normal", mean, std)

    def _update(self, kind: Update, by: Any) -> Self:
        by = values(by) if is_tensor(by) else by
        if not isinstance(by, np.ndarray):
            return self.write(kind, by)
        return self.write(kind, source=np.broadcast_to(by, self.shape))

    def masked_fill_(self, mask: Any, value: float) -> Self:
        """Note ``tensor.masked_fill_(mask, value)``."""
        return self.write("mask", value, source=np.broadcast_to(mask, self.shape))

    def tril_(self, diagonal: int = 0) -> Self:
        """Note ``tensor.tril_(diagonal)``."""
        rows, columns = self.shape[-2:]
        return self.masked_fill_(~np.tri(rows, columns, diagonal, bool), 0.0)

    def triu_(self, diagonal: int = 0) -> Self:
        """Note ``tensor.triu_(diagonal)``."""
        rows, columns = self.shape[-2:]
        return self.masked_fill_(np.tri(rows, columns, diagonal - 1, bool), 0.0)

    def clamp_(self, min: Any = None, max: Any = None) -> Self:  # noqa: A002
        """Note ``tensor.clamp_(min, max)``."""
        low, high = -math.inf if min is None else min, math.inf if max is None else max
        return self.write("clamp", low, high)

    def erfinv_(self) -> Self:
        """Note ``tensor.erfinv_()``."""
        return self.write("erfinv")

    def mul_(self, factor: _Numbers) -> Self:
        """Note ``tensor.mul_(factor)``."""
        return self._update("scale", factor)

    def div_(self, divisor: _Numbers) -> Self:
        """Note ``tensor.div_(divisor)``."""
        return self._update("divide", divisor)

    def sub_(self, term: _Numbers) -> Self:
        """Note ``tensor.sub_(term)``."""
        return self._update("add", -term)

    def add_(self, term: _Numbers) -> Self:
        """Note ``tensor.add_(term)``."""
        return self._update("add", term)

    def copy_(self, source: Any) -> Self:
        """Note ``tensor.copy_(source)`` of a tensor or an array."""
        shape = tuple(source.shape)
        if shape != self.shape:
            if self.shape[self.ndim - len(shape) :] != shape and math.prod(shape) != 1:
                rule = "source must have the shape of the tensor"
                got = f"{shape} for {self.shape}"
                value_error(rule, got, "Reshape it first.", where="Tensor.copy_")
            source = source if isinstance(source, Tensor) else constant(source)
            source = source.expand(self.shape)
        if isinstance(source, Tensor):
            return self.write("copy", source=source)
        return self.write("array", source=source.astype(float))

    def clone(self) -> "Tensor":
        """Return another tensor with the same values."""
        return Tensor(self.shape, dtype=self.dtype).write("copy", source=self)

    def to(self, *args: Any, dtype: Any = None, **_options: Any) -> "Tensor":
        """Return the tensor in another dtype; devices do not matter."""
        kinds = [x.dtype if is_tensor(x) else x for x in (*args, dtype)]
        found = [x for x in kinds if isinstance(x, np.dtype)]
        if not found or found[0] == (self.dtype or default_dtype()):
            return self
        return self.made(values(self).astype(found[0]))

    cpu = cuda = detach = detach_ = to
    type_as = type = to

    def _step(self, kind: Update, function: Any, other: Any) -> "Tensor":
        """Return a sum, product or quotient: computed if all is known, else noted."""
        if is_known(self) and not (is_tensor(other) and not is_known(other)):
            return self.made(computed(function, self, other))
        if is_known(self) and kind != "divide":
            return other._step(kind, function, self)
        shape = np.broadcast_shapes(self.shape, np.shape(other))
        return self.expand(shape).clone()._update(kind, other)

    def __neg__(self) -> "Tensor":
        return self * -1

    def __mul__(self, factor: _Numbers) -> "Tensor":
        return self._step("scale", np.multiply, factor)

    def __truediv__(self, divisor: _Numbers) -> "Tensor":
        return self._step("divide", np.true_divide, divisor)

    def __add__(self, term: _Numbers) -> "Tensor":
        return self._step("add", np.add, term)

    def __sub__(self, term: _Numbers) -> "Tensor":
        return self + -term

    def __rsub__(self, term: _Numbers) -> "Tensor":
        return -self + term

    __rmul__ = mul = multiply = __mul__
    __radd__ = add = __add__
    div = divide = true_divide = __truediv__
    sub = subtract = __sub__
    neg = __neg__
    __iadd__, __isub__, __imul__, __itruediv__ = add_, sub_, mul_, div_

    def masked_fill(self, mask: Any, value: float) -> "Tensor":
        """Return the tensor with a value where a mask is true."""
        return self.clone().masked_fill_(mask, value)

    def tril(self, diagonal: int = 0) -> "Tensor":
        """Return the tensor with zeros above a diagonal."""
        return self.clone().tril_(diagonal)

    def triu(self, diagonal: int = 0) -> "Tensor":
        """Return the tensor with zeros below a diagonal."""
        return self.clone().triu_(diagonal)

    def clamp(self, min: Any = None, max: Any = None) -> "Tensor":  # noqa: A002
        """Return the tensor with its values within bounds."""
        return self.clone().clamp_(min, max)

    def new_zeros(self, *size: Any) -> "Tensor":
        """Return another tensor, of zeros."""
        return Tensor(*size, dtype=self.dtype).zero_()

    new_empty = new_zeros

    def new_ones(self, *size: Any) -> "Tensor":
        """Return another tensor, of ones."""
        return Tensor(*size, dtype=self.dtype).fill_(1.0)

    def new_tensor(self, data: Any) -> "Tensor":
        """Return a tensor of these numbers, of the dtype of this one."""
        return Tensor(np.asarray(data), dtype=self.dtype)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        other.shape, other.writes, other.dtype = self.shape, [], self.dtype
        other.requires_grad = self.requires_grad
        return other.write("copy", source=self)

    def __getitem__(self, index: Any) -> Any:
        # An array that is never touched takes no memory; it only does the indexing.
        whole = np.empty(self.shape, np.int8)
        return View(self, whole, whole)[index]

    def seen(self, change: Callable[[np.ndarray], np.ndarray]) -> "View":
        """Return a view; ``change`` makes it of an array in place of the tensor."""
        return self[...].seen(change)

    def contiguous(self) -> "Tensor":
        """Return the tensor, copied if its values do not follow each other in memory."""
        part = self.place()[1]
        return self if part is None or part.contiguous else self.clone()

    def __setitem__(self, index: Any, value: Any) -> None:
        if _is_basic(index):
            self[index].assign(value)
            return
        places, number = _plain_index(index), not np.shape(value)
        if number and not is_tensor(value):
            mask = np.zeros(self.shape, np.bool_)
            mask[places] = True
            self.masked_fill_(mask, value)
            return
        whole = values(self).copy()
        whole[places] = values(value) if is_tensor(value) else value
        self.write("array", source=whole)


class View(Tensor):
    """A part of a tensor; what is written into it is written into the tensor."""

    def __init__(self, base: Tensor, window: np.ndarray, whole: np.ndarray) -> None:
        self.shape, self.requires_grad = window.shape, False
        self.dtype = base.dtype
        self.base, self._window, self._whole = base, window, whole

    @property
    def part(self) -> Part:
        """Where in its base it lies."""
        start = _address(self._window) - _address(self._whole)
        window = self._window
        return Part(start, window.shape, window.strides, window.flags.c_contiguous)

    def place(self) -> tuple[Tensor, Part | None]:
        return self.base, self.part

    def assign(self, value: Any) -> None:
        """Note an assignment to the part."""
        same = isinstance(value, View) and value.base is self.base
        if same and value.part == self.part:
            return  # after an update in place
        if np.shape(value) == () and not is_tensor(value):
            self.write("fill", float(value))
        else:
            self.copy_(np.asarray(value) if isinstance(value, list | tuple) else value)

    def seen(self, change: Callable[[np.ndarray], np.ndarray]) -> "View":
        window = change(self._window)
        if window.size and not np.may_share_memory(window, self._whole):
            rule = "a view must not need a copy"
            value_error(rule, f"shape={self.shape}", "Clone it first.", where="Tensor.view")
        return View(self.base, window, self._whole)

    def __getitem__(self, index: Any) -> Any:
        if not _is_basic(index):
            return self.made(values(self)[_plain_index(index)])
        parts = index if isinstance(index, tuple) else (index,)
        # The ellipsis keeps NumPy from returning a scalar in place of a view.
        full = parts if Ellipsis in parts else (*parts, ...)
        return View(self.base, self._window[full], self._whole)


def _is_basic(index: Any) -> bool:
    parts = index if isinstance(index, tuple) else (index,)
    basic = int | np.integer | slice | type(None) | type(...)
    return all(isinstance(i, basic) and not isinstance(i, bool) for i in parts)


def _plain_index(index: Any) -> Any:
    """Return an index with known tensors as arrays."""
    parts = index if isinstance(index, tuple) else (index,)
    return tuple(values(i) if is_tensor(i) else i for i in parts)


def constant(array: Any, dtype: Any = None) -> Tensor:
    """Return a tensor of known values; floats get the default dtype unless one is given."""
    if is_traced(array):
        return Tensor(array.shape).write("array", source=array)
    array = np.asarray(array, dtype)
    if dtype is None and is_floating(array.dtype):
        array = array.astype(default_dtype())
    kind = None if array.dtype == default_dtype() else array.dtype
    return Tensor(array.shape, dtype=kind).write("array", source=array)


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]
