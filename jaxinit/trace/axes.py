"""Which axes are which after an operation that moves whole axes, for all questions."""

import math
from collections.abc import Sequence
from typing import Any

Groups = list[tuple[list[int], list[int]]]
"""Axes before and after: those of a group hold the same entries in the same order."""


def axis_map(
    name: str, params: dict[str, Any], old: Sequence[int], new: Sequence[int]
) -> Groups:
    """Return which axes become which.

    Args:
        name: One of :data:`jaxinit._primitives.REARRANGED`.
        params: Its parameters.
        old: The shape before.
        new: The shape after.

    Returns:
        Groups of axes. New axes are in none, and axes of length 1 may be.
    """
    if name == "transpose":
        order = params["permutation"]
    elif name == "squeeze":
        gone = {d % len(old) for d in params["dimensions"]}
        order = [d for d in range(len(old)) if d not in gone]
    elif name == "rev":
        order = range(len(old))
    elif name == "broadcast_in_dim":
        places = enumerate(params["broadcast_dimensions"])
        return [([d], [place]) for d, place in places if old[d] == new[place]]
    else:
        order = params.get("dimensions") if name == "reshape" else None
        order = range(len(old)) if order is None else order
        groups = matching([old[d] for d in order], new)
        return [([order[d] for d in before], after) for before, after in groups]
    return [([d], [i]) for i, d in enumerate(order)]


def matching(old: Sequence[int], new: Sequence[int]) -> Groups:
    """Return the least groups of axes, units left out, of equal products."""
    left = [d for d, n in enumerate(old) if n != 1]
    right = [d for d, n in enumerate(new) if n != 1]
    groups: Groups = []
    while left and right:
        a, b = [left.pop(0)], [right.pop(0)]
        while (p := math.prod(old[d] for d in a)) != (q := math.prod(new[d] for d in b)):
            if p < q:
                a.append(left.pop(0))
            else:
                b.append(right.pop(0))
        groups.append((a, b))
    return groups
