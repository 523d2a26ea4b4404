"""The functions of ``torch`` that make tensors, join them and compute with them."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from jaxinit._boundary import boundary
from jaxinit.replay._torch_record import Tensor, check_tensor_dtype, constant
from jaxinit.replay._torch_values import (
    computed,
    default_dtype,
    is_floating,
    is_known,
    is_tensor,
    values,
)
from jaxinit.replay._torch_writes import Kind

__all__ = [
    "FloatTensor", "LongTensor", "Tensor", "arange", "as_tensor", "cat", "concat",
    "concatenate", "einsum", "empty", "empty_like", "eye", "from_numpy", "full",
    "full_like", "linspace", "logspace", "meshgrid", "no_grad", "normal", "ones",
    "ones_like", "rand", "rand_like", "randn", "randn_like", "stack", "tensor",
    "tril_indices", "triu_indices", "where", "zeros", "zeros_like",
]  # fmt: skip


_F = TypeVar("_F", bound=Callable[..., Any])


def _public(function: _F) -> _F:
    return boundary(function, f"torch_layers.{function.__name__}")


class no_grad(contextlib.ContextDecorator):  # noqa: N801
    """``torch.no_grad()``, which changes nothing here."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_error: object) -> None:
        pass


def _tensors(name: str, kind: Kind, *numbers: float) -> Callable[..., Tensor]:
    def make(
        *args: Any,
        size: Any = None,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
    ) -> Tensor:
        """Return a tensor, as PyTorch's function of this name does of these sizes."""
        del device
        given = args if size is None else (size,)
        if len(given) == 1 and isinstance(given[0], list):
            given = given[0]
        tensor = Tensor(*given, dtype=check_tensor_dtype(dtype)).write(kind, *numbers)
        return tensor.requires_grad_(requires_grad)

    make.__name__ = make.__qualname__ = name
    return _public(make)


def _like(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def like(tensor: Tensor, dtype: Any = None, **options: Any) -> Tensor:
        """Return a tensor of the shape of another."""
        return make(size=tensor.shape, dtype=dtype or tensor.dtype, **options)

    like.__name__ = like.__qualname__ = f"{make.__name__}_like"
    return _public(like)


zeros, ones = _tensors("zeros", "fill", 0.0), _tensors("ones", "fill", 1.0)
empty = _tensors("empty", "fill", 0.0)
rand, randn = _tensors("rand", "uniform", 0.0, 1.0), _tensors("randn", "normal", 0.0, 1.0)
zeros_like, ones_like, empty_like = _like(zeros), _like(ones), _like(empty)
rand_like, randn_like = _like(rand), _like(randn)
FloatTensor = Tensor


@_public
def full(size: Any, fill_value: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Return a tensor for ``torch.full(size, fill_value)``."""
    del device
    kind = check_tensor_dtype(dtype) or (
        np.asarray(fill_value).dtype if isinstance(fill_value, int) else None
    )
    shape = tuple(size) if isinstance(size, list) else size
    return Tensor(shape, dtype=kind).fill_(fill_value)


@_public
def full_like(tensor: Tensor, fill_value: Any) -> Tensor:
    """Return a tensor for ``torch.full_like(tensor, fill_value)``."""
    return Tensor(tensor.shape, dtype=tensor.dtype).fill_(fill_value)


@_public
def normal(mean: float, std: float, size: Any) -> Tensor:
    """Return a tensor for ``torch.normal(mean, std, size)``."""
    return Tensor(size).normal_(mean, std)


@_public
def tensor(
    data: Any, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Return a tensor of these numbers."""
    del device
    check_tensor_dtype(dtype)
    return constant(data, dtype).requires_grad_(requires_grad)


@_public
def LongTensor(data: Any) -> Tensor:  # noqa: N802
    """Return a tensor of these integers."""
    return constant(data, np.dtype(np.int64))


as_tensor = from_numpy = tensor


@_public
def arange(
    start: float,
    end: float | None = None,
    step: float = 1,
    dtype: Any = None,
    device: Any = None,
) -> Tensor:
    """Return a tensor for ``torch.arange(start, end, step)``."""
    start, end = (0, start) if end is None else (start, end)
    places = np.arange(len(np.arange(start, end, step)))
    plain = start + step * places
    kind = check_tensor_dtype(dtype) or default_dtype()
    if (dtype is None and not is_floating(plain.dtype)) or not is_floating(kind):
        return tensor(plain, dtype, device)
    # PyTorch makes 32 bytes at a time: it rounds their first value before it adds steps.
    lanes = 32 // kind.itemsize
    first = (start + step * (places // lanes * lanes)).astype(kind).astype(float)
    blocks = places < len(places) // (2 * lanes) * 2 * lanes
    made = np.where(blocks, first + step * (places % lanes), plain)
    return Tensor.made(made.astype(kind))


@_public
def linspace(
    start: float, end: float, steps: int, dtype: Any = None, device: Any = None
) -> Tensor:
    """Return a tensor for ``torch.linspace(start, end, steps)``."""
    del device
    kind = check_tensor_dtype(dtype) or default_dtype()
    first, last = kind.type(start), kind.type(end)
    step = (last - first) / kind.type(max(steps - 1, 1))
    places = np.arange(steps)
    # From both ends to the middle, as PyTorch does, with fused products.
    low = float(first) + float(step) * places
    high = float(last) - float(step) * places[::-1]
    made = np.where((places < steps // 2) | (steps == 1), low, high)
    return constant(made.astype(kind), kind)


@_public
def logspace(start: float, end: float, steps: int, base: float = 10.0) -> Tensor:
    """Return a tensor for ``torch.logspace(start, end, steps, base)``."""
    return Tensor.made(computed(np.power, base, linspace(start, end, steps)))


@_public
def eye(n: int, m: int | None = None, dtype: Any = None, device: Any = None) -> Tensor:
    """Return a tensor for ``torch.eye(n, m)``."""
    return tensor(np.eye(n, m), dtype, device)


@_public
def tril_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """Return a tensor for ``torch.tril_indices(row, col, offset)``."""
    return constant(np.stack(np.tril_indices(row, offset, col)))


@_public
def triu_indices(row: int, col: int, offset: int = 0) -> Tensor:
    """Return a tensor for ``torch.triu_indices(row, col, offset)``."""
    return constant(np.stack(np.triu_indices(row, offset, col)))


@_public
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return tensors joined along an axis."""
    if all(is_known(t) for t in tensors):
        return Tensor.made(computed(lambda *parts: np.concatenate(parts, dim), *tensors))
    lengths = [t.shape[dim] for t in tensors]
    shape = list(tensors[0].shape)
    shape[dim] = sum(lengths)
    joined = Tensor(tuple(shape))
    for part, source in zip(joined.split(lengths, dim), tensors, strict=True):
        part.copy_(source)
    return joined


@_public
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Return tensors joined along a new axis."""
    return cat([t.unsqueeze(dim) for t in tensors], dim)


concat = concatenate = cat


@_public
def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Return tensors for ``torch.meshgrid(tensors, indexing)``."""
    axes = tensors[0] if len(tensors) == 1 and not is_tensor(tensors[0]) else tensors
    grids = np.meshgrid(*map(values, axes), indexing="xy" if indexing == "xy" else "ij")
    return tuple(Tensor.made(grid) for grid in grids)


@_public
def where(condition: Any, x: Any, other: Any) -> Tensor:
    """Return a tensor for ``torch.where(condition, x, other)``, all known."""
    return Tensor.made(computed(lambda a, b: np.where(condition, a, b), x, other))


@_public
def einsum(equation: str, *operands: Tensor) -> Tensor:
    """Return a tensor for ``torch.einsum(equation, operands)``, all known."""
    return Tensor.made(computed(lambda *x: np.einsum(equation, *x), *operands))
