"""Random numbers, where in an array they take new values, and what they follow from."""

import dataclasses
import functools
from typing import Any

import numpy as np

Place = tuple[Any, ...]

_MOST_RANKS = 1024  # of entries whose order statistics are exact


@dataclasses.dataclass(frozen=True, eq=False)
class Label:
    """A dimension along which a random number takes new values.

    Attributes:
        position: Whether entries along it are the same feature at several positions.
        rank: Which order statistics the entries along it are, if they are sorted.
        mixed: Whether entries of several distributions were joined along it.
    """

    position: bool = False
    rank: "Rank | None" = None
    mixed: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Rank:
    """Order statistics of independent entries: the first one, and so on by steps.

    Attributes:
        weights: The probability of each node for an entry that is not sorted.
        count: How many entries were sorted.
        first: The rank of the first one, 0 for the least of all.
        step: From one to the next.
    """

    weights: np.ndarray
    count: int
    first: int = 0
    step: int = 1

    def chosen(self, start: int, step: int) -> "Rank":
        """Return the ranks of every ``step``-th entry from ``start`` on."""
        return dataclasses.replace(
            self, first=self.first + self.step * start, step=self.step * step
        )

    def weights_of(self, size: int) -> np.ndarray:
        """Return the probability of each node for any of the first ``size`` of them."""
        ranks = self.first + self.step * np.arange(size)
        below = np.append(0.0, np.minimum(np.cumsum(self.weights), 1.0))
        if self.count > _MOST_RANKS:
            # Each is close to the part of the distribution from k / n to (k + 1) / n.
            inside = np.clip(below[:, None] * self.count - ranks, 0, 1).mean(1)
        else:
            # The least k + 1 are at most x if as many or more of n entries are.
            inside = binomial_tails(self.count, below)[ranks + 1].mean(0)
        return np.maximum(np.diff(inside), 0.0)


def is_position(label: Any) -> bool:
    """Whether a label, or all that it was merged of, runs over positions."""
    if isinstance(label, Label):
        return label.position
    if label[0] == "merge":
        return all(is_position(part) for part in label[1] if part is not None)
    return is_position(label[1] if label[0] == "split" else label[-1])


@dataclasses.dataclass(frozen=True, eq=False)
class Axis:
    """One random number.

    Attributes:
        weights: The probability of each node; with a parent, a row for each node of it.
        parent: The axis that these depend on.
        whole: Whether the entries along its dimensions are an enumeration, as those of a
            constant are, not independent draws. A sum over all of them is then certain.
        origin: What it was computed of, where it is a function of other random numbers.
        since: Other random numbers that it depends on in ways that are not kept.
    """

    weights: np.ndarray
    parent: "Axis | None" = None
    whole: bool = False
    origin: "Origin | None" = None
    since: frozenset["Axis"] = frozenset()

    @property
    def size(self) -> int:
        """The number of nodes."""
        return self.weights.shape[-1]

    @functools.cached_property
    def roots(self) -> frozenset["Axis"]:
        """Itself, and all the random numbers that it depends on."""
        above = () if self.origin is None else self.origin.places
        return frozenset([self, *self.since]).union(*(axis.roots for axis in above))


@dataclasses.dataclass(frozen=True, eq=False)
class Origin:
    """How a random number follows from others.

    Attributes:
        places: The places of the others, in an array of them.
        place: The place of the number itself in that array: labels of its own.
        table: What the number was computed as, one dimension for each of them.
        values: What it is at its own nodes, ascending.
    """

    places: dict[Axis, Place]
    place: Place
    table: np.ndarray
    values: np.ndarray

    @functools.cached_property
    def _nodes(self) -> tuple[np.ndarray, np.ndarray]:
        """The node at each entry of the table, and how far that is from it to the next."""
        table, values = self.table.astype(np.float64), self.values.astype(np.float64)
        steps = np.diff(values)
        nodes = np.clip(np.searchsorted(values, table, "right") - 1, 0, len(steps) - 1)
        with np.errstate(invalid="ignore"):
            beyond = (table - values[nodes]) / steps[nodes]
        return nodes, np.nan_to_num(np.clip(beyond, 0, 1))

    def at(self, values: np.ndarray, dim: int) -> np.ndarray:
        """Return a function of the number, given at its nodes, as one of the others."""
        nodes, beyond = self._nodes
        least = np.take(values, nodes, dim)
        beyond = _in_dims(beyond, dim, least.ndim)
        if values.dtype.kind != "f":
            return np.where(beyond > 0.5, np.take(values, nodes + 1, dim), least)
        slope = np.take(np.diff(values, axis=dim), nodes, dim)
        with np.errstate(invalid="ignore"):
            return np.where(beyond > 0, least + beyond * slope, least)

    def moved(self, axis: Axis, place: Place) -> Place | None:
        """Return where one of the others is once the number has been moved to ``place``."""
        pairs = dict(zip(self.place, self.places[axis], strict=True))
        known = {label: other for label, other in pairs.items() if label is not None}
        try:
            return tuple(_renamed(label, known) for label in place)
        except KeyError:  # an entry of another array stands there now
            return None


def _in_dims(table: np.ndarray, dim: int, count: int) -> np.ndarray:
    """Return a table with dimensions of length 1 around its own, which start at ``dim``."""
    return np.expand_dims(table, other_dims(count, tuple(range(dim, dim + table.ndim))))


def _renamed(label: Any, known: dict[Any, Any]) -> Any:
    """Return a label in which the labels that it was made of are replaced by others."""
    if label is None or isinstance(label, Label):
        return None if label is None else known[label]
    if label[0] == "merge":
        parts = tuple(_renamed(part, known) for part in label[1])
        return None if all(p is None for p in parts) else ("merge", parts, label[2])
    at = 1 if label[0] == "split" else len(label) - 1
    inner = _renamed(label[at], known)
    return None if inner is None else (*label[:at], inner, *label[at + 1 :])


def other_dims(count: int, kept: tuple[int, ...]) -> tuple[int, ...]:
    """Return the dimensions that are not kept."""
    return tuple(k for k in range(count) if k not in kept)


def binomial_tails(count: int, share: np.ndarray) -> np.ndarray:
    """Return P(k or more of ``count``) for k from 0 on, a row each, by the share."""
    k = np.arange(count + 1)[:, None]
    logs = np.append(0.0, np.cumsum(np.log(np.arange(1, count + 1))))
    choices = logs[-1] - logs - logs[::-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        hits = np.where(k > 0, k * np.log(share), 0.0)
        misses = np.where(k < count, (count - k) * np.log1p(-share), 0.0)
        return np.exp(choices[:, None] + hits + misses)[::-1].cumsum(0)[::-1]
