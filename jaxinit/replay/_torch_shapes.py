"""The shapes of tensors, and views of them in other shapes."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np


class Shapes:
    """The methods of ``torch.Tensor`` that return parts of a tensor, or other shapes."""

    shape: tuple[int, ...]

    def seen(self, change: Callable[[np.ndarray], np.ndarray]) -> Any:
        """Return a view; ``change`` makes it of an array in place of the tensor."""
        raise NotImplementedError

    def clone(self) -> Any:
        """Return another tensor with the same values."""
        raise NotImplementedError

    def contiguous(self) -> Any:
        """Return the tensor, copied if its values do not follow each other in memory."""
        raise NotImplementedError

    def __getitem__(self, index: Any) -> Any:
        raise NotImplementedError

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

    def diagonal(self) -> Any:
        """Return the diagonal of a matrix."""
        return self.seen(np.diagonal)

    def view(self, *shape: Any) -> Any:
        """Return the tensor in another shape, as ``tensor.view(shape)`` does."""
        sizes = shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape
        return self.seen(lambda window: window.reshape(sizes))

    def reshape(self, *shape: Any) -> Any:
        """Return the tensor in another shape, copied where that is needed."""
        return self.contiguous().view(*shape)

    def flatten(self, start: int = 0, end: int = -1) -> Any:
        """Return the tensor with its axes from one to another as one."""
        last = end % self.ndim + 1
        return self.reshape(*self.shape[:start], -1, *self.shape[last:])

    def unbind(self, dim: int = 0) -> tuple[Any, ...]:
        """Return the parts along an axis, without it."""
        return tuple(self.transpose(0, dim)[i] for i in range(self.shape[dim]))

    def repeat(self, *sizes: Any) -> Any:
        """Return the tensor repeated along its axes, as ``tensor.repeat(sizes)`` does."""
        times = sizes if isinstance(sizes[0], int) else tuple(sizes[0])
        shape = (1,) * (len(times) - self.ndim) + self.shape
        pairs = [n for pair in zip(times, shape, strict=True) for n in pair]
        apart = self.view([n for length in shape for n in (1, length)]).expand(pairs)
        return apart.clone().view([n * m for n, m in zip(times, shape, strict=True)])

    def transpose(self, dim0: int, dim1: int) -> Any:
        """Return the tensor with two axes exchanged."""
        return self.seen(lambda window: window.swapaxes(dim0, dim1))

    def permute(self, *dims: int) -> Any:
        """Return the tensor with its axes in another order."""
        return self.seen(lambda window: window.transpose(*dims))

    def unsqueeze(self, dim: int) -> Any:
        """Return the tensor with one more axis, of length 1."""
        return self.seen(lambda window: np.expand_dims(window, dim))

    def squeeze(self, dim: int | None = None) -> Any:
        """Return the tensor without an axis of length 1, or without any."""
        return self.seen(lambda window: window.squeeze(dim))

    def expand(self, *sizes: Any) -> Any:
        """Return the tensor with its axes of length 1 repeated; -1 leaves a length."""
        wanted = sizes[0] if len(sizes) == 1 and not isinstance(sizes[0], int) else sizes
        old = (1,) * (len(wanted) - self.ndim) + self.shape
        shape = [o if n == -1 else n for n, o in zip(wanted, old, strict=True)]
        return self.seen(lambda window: np.broadcast_to(window, shape))

    def t(self) -> Any:
        """Return the transpose of a matrix."""
        return self.seen(np.transpose)

    T = property(t)

    def split(self, size: Any, dim: int = 0) -> tuple[Any, ...]:
        """Return the parts of ``tensor.split(size, dim)``, of one length or of several."""
        before, length = (slice(None),) * (dim % len(self.shape)), self.shape[dim]
        sizes = [size] * -(-length // size) if isinstance(size, int) else size
        ends = np.cumsum(sizes).tolist()
        cuts = [slice(end - n, end) for n, end in zip(sizes, ends, strict=True)]
        return tuple(self[(*before, cut)] for cut in cuts)

    def chunk(self, chunks: int, dim: int = 0) -> tuple[Any, ...]:
        """Return the parts of ``tensor.chunk(chunks, dim)``."""
        return self.split(-(-self.shape[dim] // chunks), dim)
