"""Like paths in one line: ``Block_*/Dense_0/kernel`` for twelve of them."""

import re
from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import TypeVar

_NUMBER = re.compile(r"(\d+)")
_Item = TypeVar("_Item")


def wildcard(paths: Sequence[str]) -> str:
    """Return the paths as one, with a star for every number in which they differ.

    Args:
        paths: Paths that differ in numbers only.
    """
    split = [_NUMBER.split(path) for path in paths]
    columns = zip(*split, strict=True)
    return "".join(c[0] if len(set(c)) == 1 else "*" for c in columns)


def grouped(
    items: Iterable[_Item],
    path: Callable[[_Item], str],
    key: Callable[[_Item], Hashable],
) -> list[tuple[str, list[_Item]]]:
    """Return items whose paths differ in numbers only, and whose keys are equal, together.

    Args:
        items: What is to be grouped, in order.
        path: Gives the path of one.
        key: Gives what must be equal besides.

    Returns:
        The common path and the items of each group, in the order of their first items.
    """
    found: dict[Hashable, list[_Item]] = {}
    for item in items:
        found.setdefault((_NUMBER.sub("*", path(item)), key(item)), []).append(item)
    return [(wildcard([path(item) for item in group]), group) for group in found.values()]


def span(values: Iterable[float | None]) -> str:
    """Return the smallest and the largest of some numbers as text, or the only one."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = f"{min(known):.4g}", f"{max(known):.4g}"
    return low if low == high else f"{low} to {high}"
