"""What is written into the tensors of a model: the kinds of writes, and their order.

Every write takes the next place in one count, so that the writes of a model can be put in
the order in which they happened, which is the order in which PyTorch would have drawn.
"""

import contextlib
import contextvars
import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any, Literal, get_args

import numpy as np

Drawn = Literal[
    "uniform", "normal", "trunc_normal", "trunc_normal_inverse", "orthogonal", "sparse"
]
Update = Literal["scale", "divide", "add", "mask", "clamp", "erfinv"]
Kind = Literal["array", "copy", "fill"] | Update | Drawn
DRAWS, UPDATES = frozenset(get_args(Drawn)), frozenset(get_args(Update))
"""Writes that draw, and writes that read what was there before."""


@dataclasses.dataclass(frozen=True, eq=False)
class Write:
    """One write into a tensor.

    Attributes:
        order: Its place among all writes of the process.
        tensor: The tensor written to.
        kind: What was written.
        numbers: The numbers of the distribution or operation.
        source: The tensor or array that was copied.
        part: The part of the tensor that was written to; None for all of it.
    """

    order: int
    tensor: Any
    kind: Kind
    numbers: tuple[float, ...] = ()
    source: Any = None
    part: "Part | None" = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of what is written."""
        return self.tensor.shape if self.part is None else self.part.shape


@dataclasses.dataclass(frozen=True)
class Part:
    """A strided part of a tensor, in elements of the flat tensor."""

    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    contiguous: bool

    @property
    def order(self) -> tuple[int, ...]:
        """Its axes in the order of memory, in which PyTorch draws its elements."""
        return tuple(sorted(range(len(self.shape)), key=lambda i: -self.strides[i]))

    def of(self, whole: np.ndarray) -> np.ndarray:
        """Return the part of an array that is contiguous, as a view."""
        flat, step = whole.reshape(-1)[self.start :], whole.itemsize
        strides = [stride * step for stride in self.strides]
        return np.lib.stride_tricks.as_strided(flat, self.shape, strides)

    def places(self) -> np.ndarray:
        """Return the place of each element in the flat tensor."""
        axes = np.ix_(*map(np.arange, self.shape))
        steps = (axis * stride for axis, stride in zip(axes, self.strides, strict=True))
        return sum(steps, start=np.array(self.start))


_count = itertools.count()
_recording: contextvars.ContextVar[list[Write] | None] = contextvars.ContextVar(
    "recording", default=None
)


@contextlib.contextmanager
def recorded() -> Iterator[list[Write]]:
    """Collect every write that happens inside, in order."""
    writes: list[Write] = []
    token = _recording.set(writes)
    try:
        yield writes
    finally:
        _recording.reset(token)


def note(*parts: Any) -> Write:
    """Return a write, the newest of all, and log it if someone records."""
    write, log = Write(next(_count), *parts), _recording.get()
    if log is not None:
        log.append(write)
    return write
