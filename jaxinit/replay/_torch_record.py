"""Tensors without values: their shapes, and a record of what was written into them.

A model is made with them as it is made with PyTorch.
"""

import math
from collections.abc import Callable, Iterator
from typing import Any, Self

import jax
import numpy as np

from jaxinit._checks import check_number, check_shape, type_error, value_error
from jaxinit.replay._torch_writes import DRAWS, Kind, Part, Update, Write, note

_Numbers = float | np.ndarray


class Tensor:
    """A tensor of a model that is being made: it has a shape and no values.

    Its methods are those of ``torch.Tensor`` by which weights are set. They note what
    PyTorch would do; the values are drawn by `torch_cpu.build`.
    """

    __array_ufunc__ = None  # so that NumPy's numbers leave products to it
    dtype = device = None  # what makes other tensors like this one

    def __init__(self, *size: int | tuple[int, ...]) -> None:
        shape = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
        self.shape: tuple[int, ...] = check_shape(shape)  # pyright: ignore[reportArgumentType]
        self.writes: list[Write] = []
        self.requires_grad = False

    @property
    def data(self) -> Self:
        """The tensor itself; setting it copies the values of another."""
        return self

    @data.setter
    def data(self, source: Any) -> None:
        self.copy_(source)

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def dim(self) -> int:
        """Return the number of axes."""
        return len(self.shape)

    def numel(self) -> int:
        """Return the number of values."""
        return math.prod(self.shape)

    def size(self, axis: int | None = None) -> Any:
        """Return the shape, or one length of it."""
        return self.shape if axis is None else self.shape[axis]

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

    def _place(self) -> "tuple[Tensor, Part | None]":
        """Return the whole tensor, and which part of it this is."""
        return self, None

    def write(self, kind: Kind, *numbers: float, source: Any = None) -> Self:
        """Note a write of one of the kinds; `torch_init` has a function for each."""
        base, part = self._place()
        plain = tuple(float(check_number("value", x)) for x in numbers)
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
        if not isinstance(by, np.ndarray):
            return self.write(kind, by)
        return self.write(kind, source=np.broadcast_to(by, self.shape))

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
        """Note ``tensor.copy_(source)`` of a tensor or an array of the same shape."""
        if tuple(source.shape) != self.shape:
            rule = "source must have the shape of the tensor"
            got = f"{tuple(source.shape)} for {self.shape}"
            value_error(rule, got, "Reshape it first.", where="Tensor.copy_")
        if isinstance(source, Tensor):
            return self.write("copy", source=source)
        return self.write("array", source=source.astype(float))

    def clone(self) -> "Tensor":
        """Return another tensor with the same values."""
        return Tensor(self.shape).write("copy", source=self)

    def to(self, *_args: Any, **_options: Any) -> Self:
        """Return the tensor itself: all of a model have the dtype that build takes."""
        return self

    cpu = cuda = detach = to

    def __neg__(self) -> "Tensor":
        return self.clone().mul_(-1.0)

    def __mul__(self, factor: _Numbers) -> "Tensor":
        return self.clone().mul_(factor)

    __rmul__ = __mul__

    def __truediv__(self, divisor: _Numbers) -> "Tensor":
        return self.clone().div_(divisor)

    def __add__(self, term: _Numbers) -> "Tensor":
        return self.clone().add_(term)

    __radd__ = __add__

    def __sub__(self, term: _Numbers) -> "Tensor":
        return self.clone().add_(-term)

    def __rsub__(self, term: _Numbers) -> "Tensor":
        return (-self).add_(term)

    mul, div, add, sub, neg = __mul__, __truediv__, __add__, __sub__, __neg__

    def new_zeros(self, *size: Any) -> "Tensor":
        """Return another tensor, of zeros."""
        return Tensor(*size).zero_()

    new_empty = new_zeros

    def new_ones(self, *size: Any) -> "Tensor":
        """Return another tensor, of ones."""
        return Tensor(*size).fill_(1.0)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        other = type(self).__new__(type(self))
        memo[id(self)] = other
        other.shape, other.writes = self.shape, []
        other.requires_grad = self.requires_grad
        return other.write("copy", source=self)

    def __getitem__(self, index: Any) -> "View":
        # An array that is never touched takes no memory; it only does the indexing.
        whole = np.empty(self.shape, np.int8)
        return View(self, whole, whole)[index]

    def _seen(self, change: Callable[[np.ndarray], np.ndarray]) -> "View":
        return self[...]._seen(change)

    def diagonal(self) -> "View":
        """Return the diagonal of a matrix."""
        return self._seen(np.diagonal)

    def view(self, *shape: Any) -> "View":
        """Return the tensor in another shape, as ``tensor.view(shape)`` does."""
        sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return self._seen(lambda window: window.reshape(sizes))

    reshape = view

    def flatten(self, start: int = 0) -> "View":
        """Return the tensor with its axes from one on as one."""
        return self.view(*self.shape[:start], -1)

    def transpose(self, dim0: int, dim1: int) -> "View":
        """Return the tensor with two axes exchanged."""
        return self._seen(lambda window: window.swapaxes(dim0, dim1))

    def permute(self, *dims: int) -> "View":
        """Return the tensor with its axes in another order."""
        return self._seen(lambda window: window.transpose(*dims))

    def unsqueeze(self, dim: int) -> "View":
        """Return the tensor with one more axis, of length 1."""
        return self._seen(lambda window: np.expand_dims(window, dim))

    def squeeze(self, dim: int | None = None) -> "View":
        """Return the tensor without an axis of length 1, or without any."""
        return self._seen(lambda window: window.squeeze(dim))

    def expand(self, *sizes: Any) -> "View":
        """Return the tensor with its axes of length 1 repeated; -1 leaves a length."""
        wanted = sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
        old = (1,) * (len(wanted) - self.ndim) + self.shape
        shape = [o if n == -1 else n for n, o in zip(wanted, old, strict=True)]
        return self._seen(lambda window: np.broadcast_to(window, shape))

    def contiguous(self) -> "Tensor":
        """Return the tensor, copied if its values do not follow each other in memory."""
        part = self._place()[1]
        return self if part is None or part.contiguous else self.clone()

    def t(self) -> "View":
        """Return the transpose of a matrix."""
        return self._seen(np.transpose)

    T = property(t)

    def __setitem__(self, index: Any, value: Any) -> None:
        self[index]._assign(value)

    def split(self, size: int, dim: int = 0) -> tuple["View", ...]:
        """Return the parts of ``tensor.split(size, dim)``, all of one length."""
        before = (slice(None),) * (dim % len(self.shape))
        cuts = range(0, self.shape[dim], size)
        return tuple(self[(*before, slice(i, i + size))] for i in cuts)

    def chunk(self, chunks: int, dim: int = 0) -> tuple["View", ...]:
        """Return the parts of ``tensor.chunk(chunks, dim)``."""
        return self.split(-(-self.shape[dim] // chunks), dim)


class View(Tensor):
    """A part of a tensor; what is written into it is written into the tensor."""

    def __init__(self, base: Tensor, window: np.ndarray, whole: np.ndarray) -> None:
        self.shape, self.requires_grad = window.shape, False
        self.base, self._window, self._whole = base, window, whole

    @property
    def part(self) -> Part:
        """Where in its base it lies."""
        start = _address(self._window) - _address(self._whole)
        window = self._window
        return Part(start, window.shape, window.strides, window.flags.c_contiguous)

    def _place(self) -> tuple[Tensor, Part | None]:
        return self.base, self.part

    def _assign(self, value: Any) -> None:
        if isinstance(value, (int, float)):
            self.fill_(value)
        else:
            self.copy_(value)

    def _seen(self, change: Callable[[np.ndarray], np.ndarray]) -> "View":
        window = change(self._window)
        if window.size and not np.shares_memory(window, self._whole):
            rule = "a view must not need a copy"
            value_error(rule, f"shape={self.shape}", "Clone it first.", where="Tensor.view")
        return View(self.base, window, self._whole)

    def __getitem__(self, index: Any) -> "View":
        parts = index if isinstance(index, tuple) else (index,)
        if not all(isinstance(i, (int, slice, type(None), type(...))) for i in parts):
            rule = "an index must be made of ints and slices"
            type_error(
                rule, f"index={index!r}", "Index one part at a time.", where="Tensor"
            )
        # The ellipsis keeps NumPy from returning a scalar in place of a view.
        full = parts if Ellipsis in parts else (*parts, ...)
        return View(self.base, self._window[full], self._whole)


def _address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


class Parameter(Tensor):
    """A parameter: ``nn.Parameter(data)``, or a shape and what fills it.

    Args:
        data: A tensor, as `zeros`, `ones`, `randn`, ... make; an array, whose values
            are taken; or a shape.
        init: For a shape: a function of `torch_layers.init`, or any function that
            writes into the parameter; or a number. None leaves zeros.
        requires_grad: Does not matter here.

    Raises:
        TypeError: ``init`` is given beside a tensor or an array.

    Example:
        >>> from jaxinit.replay import torch_cpu, torch_layers as nn
        >>> position = nn.Parameter((1, 4, 8), lambda p: nn.init.normal_(p, std=0.02))
        >>> _, state = torch_cpu.build(torch_cpu.manual_seed(0), {"position": position})
        >>> state["position"].shape
        (1, 4, 8)
    """

    def __init__(self, data: Any, init: Any = None, requires_grad: bool = True) -> None:
        filled = isinstance(data, (Tensor, np.ndarray, jax.Array))
        super().__init__(data.shape if filled else data)
        self.requires_grad = requires_grad
        if filled and init is not None and not isinstance(init, bool):
            rule = "init fills a parameter that is given as a shape"
            type_error(rule, f"{data!r} with init", "Give its shape instead.")
        if filled:
            self.copy_(data)
        elif callable(init):
            init(self)
        else:
            self.fill_(0.0 if init is None or isinstance(init, bool) else init)
