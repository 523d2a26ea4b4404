"""Axes taken apart into atoms, so that reshapes and transposes can be followed.

Every axis of an array is a tuple of atoms. An atom counts ``size`` steps of ``stride``
along one axis of the thing that is followed (a parameter, or a layer's output). Merging two
axes joins their tuples, splitting an axis splits an atom; what each piece is stays known.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

NEW = -1
"""The axis of an atom that a broadcast made; in a signal, an axis of the data."""

FEATURE = 1 << 20
"""The axis of an atom that runs over features of an earlier layer."""


class Atom(NamedTuple):
    """``size`` steps of ``stride`` along ``axis``."""

    axis: int
    stride: int
    size: int


Dims = tuple[tuple[Atom, ...], ...]
Letters = tuple[tuple[Atom, str], ...]


def whole(shape: Sequence[int]) -> Dims:
    """Return the atoms of an array that is the followed thing itself."""
    return tuple((Atom(axis, 1, size),) for axis, size in enumerate(shape))


def lettered(dims: Sequence[tuple[Atom, ...]], letters: str) -> "Letters":
    """Return the atoms of a parameter, each with the letter of its axis, or the one."""
    per_axis = letters if len(letters) == len(dims) else letters * len(dims)
    pairs = zip(dims, per_axis, strict=True)
    return tuple((atom, x) for dim, x in pairs for atom in dim if atom.axis >= 0)


def plain(shape: Sequence[int], axis: int = NEW) -> Dims:
    """Return atoms that all run over ``axis``."""
    return tuple((Atom(axis, 0, size),) for size in shape)


def lengths(dims: Dims) -> tuple[int, ...]:
    """Return the shape that the atoms make."""
    return tuple(math.prod(atom.size for atom in dim) for dim in dims)


def regroup(dims: Sequence[tuple[Atom, ...]], shape: Sequence[int]) -> Dims | None:
    """Return the atoms after a reshape, or None where an atom does not split evenly."""
    queue = [atom for dim in dims for atom in dim if atom.size != 1][::-1]
    result = []
    for length in shape:
        taken: list[Atom] = []
        missing = length
        while missing > 1:
            if not queue:
                return None
            atom = queue.pop()
            if missing % atom.size == 0:
                taken.append(atom)
                missing //= atom.size
                continue
            if atom.size % missing:
                return None
            inner = atom.size // missing
            taken.append(Atom(atom.axis, atom.stride * inner, missing))
            queue.append(Atom(atom.axis, atom.stride, inner))
            missing = 1
        result.append(_joined(taken))
    return None if queue else tuple(result)


def _joined(atoms: list[Atom]) -> tuple[Atom, ...]:
    result: list[Atom] = []
    for atom in atoms:
        last = result[-1] if result else None
        if last and last.axis == atom.axis and last.stride == atom.stride * atom.size:
            result[-1] = Atom(atom.axis, atom.stride, last.size * atom.size)
        else:
            result.append(atom)
    return tuple(result)


def cut(
    dim: tuple[Atom, ...], start: int, limit: int, step: int
) -> tuple[Atom, ...] | None:
    """Return one axis after a slice, or None where the slice crosses a merged axis.

    The slice must take whole steps of the outermost atom.
    """
    dim = tuple(atom for atom in dim if atom.size != 1)
    if not dim:
        return (Atom(NEW, 0, limit - start),)
    first, rest = dim[0], dim[1:]
    inner = math.prod(atom.size for atom in rest)
    if start % inner or limit % inner or (step != 1 and rest):
        return None
    size = -(-(limit - start) // (inner * step))
    return (Atom(first.axis, first.stride * step, size), *rest)
