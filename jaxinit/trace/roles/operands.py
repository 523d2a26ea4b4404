"""The two sides of a product, and what their axes run over."""

import dataclasses
from collections.abc import Sequence

from jaxinit.trace.roles.atoms import FEATURE, NEW, Atom, Dims, Letters, lengths, lettered
from jaxinit.trace.roles.values import Constant, Signal


@dataclasses.dataclass(frozen=True)
class Operand:
    """One side of a matrix product.

    Attributes:
        contracted: Its axes that are summed over.
        batch: Its axes that are shared with the other side.
        rank: How many axes it has.
    """

    contracted: tuple[int, ...]
    batch: tuple[int, ...]
    rank: int

    @property
    def free(self) -> tuple[int, ...]:
        """Its axes that the result keeps, behind the batch."""
        taken = self.contracted + self.batch
        return tuple(i for i in range(self.rank) if i not in taken)

    def letters(self, dims: Dims) -> Letters:
        """Return the role of every atom of a parameter on this side."""
        role = dict.fromkeys(self.contracted, "I") | dict.fromkeys(self.batch, "B")
        return lettered(dims, "".join(role.get(i, "O") for i in range(len(dims))))


def kept_dims(source: Signal | Constant, side: Operand) -> list[tuple[Atom, ...]]:
    """Return what the axes run over that a product keeps of a source."""
    return [_dim_of(source, i) for i in side.free]


def batch_dims(source: Signal | Constant, side: Operand, count: int) -> Dims:
    """Return what the axes run over that both sides share."""
    return tuple(_dim_of(source, i) for i in side.batch[:count])


def _dim_of(source: Signal | Constant, axis: int) -> tuple[Atom, ...]:
    """Return what an axis of the source runs over, features as those of earlier layers."""
    if not isinstance(source, Signal) or source.dims is None:
        return (Atom(NEW, 0, 0),)
    return tuple(
        atom._replace(axis=FEATURE) if atom.axis >= 0 else atom
        for atom in source.dims[axis]
    )


def resize(dims: Dims, shape: Sequence[int]) -> Dims:
    """Return dims with the lengths of ``shape``; a placeholder has size 0."""
    result = []
    for dim, length in zip(dims, shape, strict=True):
        if len(dim) == 1 or lengths((dim,)) != (length,):
            first = dim[0] if dim else Atom(NEW, 0, 1)
            result.append((first._replace(size=length),))
        else:
            result.append(dim)
    return tuple(result)
