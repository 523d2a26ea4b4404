"""Globs over paths, matched in time linear in the length of the path.

``*`` and ``?`` stay within one name, ``**`` crosses ``/``; ``[abc]`` and ``[a-c]`` are one
of these letters, ``[!abc]`` any other; ``{a,b}`` is one of these texts. A glob becomes a
nondeterministic automaton (Thompson 1968), whose sets of states are followed letter by
letter, so that no glob can make a match slow.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

from jaxinit._checks import value_error

_END = -1


class _Letters(NamedTuple):
    """One letter out of some ranges, or out of none of them."""

    ranges: tuple[tuple[str, str], ...]
    negated: bool = False

    def holds(self, letter: str) -> bool:
        return any(a <= letter <= b for a, b in self.ranges) != self.negated


class _Many(NamedTuple):
    """Any number of such letters."""

    letters: _Letters


class _Choice(NamedTuple):
    """One of several sequences."""

    sequences: tuple[tuple["_Node", ...], ...]


_Node = _Letters | _Many | _Choice

_IN_NAME = _Letters((("/", "/"),), negated=True)
_ANY = _Letters((), negated=True)


class Glob:
    """A compiled glob."""

    def __init__(self, nodes: Sequence[_Node]) -> None:
        # Per state: the letters that lead on, and the states reached without one.
        self._letters: list[tuple[_Letters, int] | None] = []
        self._free: list[list[int]] = []
        self._start = self._closed({self._add(nodes, _END)})
        self._known: dict[tuple[frozenset[int], str], frozenset[int]] = {}

    def _state(self) -> int:
        self._letters.append(None)
        self._free.append([])
        return len(self._free) - 1

    def _add(self, nodes: Sequence[_Node], after: int) -> int:
        """Add states for a sequence that leads to ``after``; return its first state."""
        for node in reversed(nodes):
            state = self._state()
            if isinstance(node, _Letters):
                self._letters[state] = (node, after)
            elif isinstance(node, _Many):
                self._letters[state] = (node.letters, state)
                self._free[state].append(after)
            else:
                self._free[state] += [self._add(s, after) for s in node.sequences]
            after = state
        return after

    def _closed(self, states: set[int]) -> frozenset[int]:
        found, stack = set(states), list(states)
        while stack:
            state = stack.pop()
            new = set(self._free[state]) - found if state != _END else set()
            found |= new
            stack += new
        return frozenset(found)

    def _step(self, states: frozenset[int], letter: str) -> frozenset[int]:
        if (states, letter) not in self._known:
            edges = (self._letters[s] for s in states if s != _END)
            ends = {e[1] for e in edges if e is not None and e[0].holds(letter)}
            self._known[states, letter] = self._closed(ends)
        return self._known[states, letter]

    def matches(self, path: str) -> bool:
        """Whether the whole path matches."""
        states = self._start
        for letter in path:
            states = self._step(states, letter)
            if not states:
                return False
        return _END in states


@functools.lru_cache(maxsize=1024)
def compile_glob(glob: str) -> Glob:
    """Return the compiled glob.

    Args:
        glob: The pattern.

    Returns:
        What matches paths.

    Raises:
        ValueError: A bracket is not closed, or a range of letters is empty.
    """
    reader = _Reader(glob)
    nodes = reader.sequence(depth=0)
    if reader.place < len(glob):
        reader.unclosed("}")
    return Glob(nodes)


class _Reader:
    """Reads a glob from left to right."""

    def __init__(self, glob: str) -> None:
        self.glob, self.place = glob, 0

    def unclosed(self, bracket: str) -> None:
        rule = f"every {bracket} in a glob must have its partner"
        advice = "Close it, or give a function of (path, leaf)."
        value_error(rule, f"match={self.glob!r}", advice)

    def takes(self, text: str) -> bool:
        """Whether the text comes next; then it is passed."""
        found = self.glob.startswith(text, self.place)
        self.place += len(text) if found else 0
        return found

    def sequence(self, depth: int) -> tuple[_Node, ...]:
        nodes: list[_Node] = []
        while self.place < len(self.glob):
            if self.takes("**/"):
                slash = _Letters((("/", "/"),))
                nodes.append(_Choice(((), (_Many(_ANY), slash))))
            elif self.takes("**"):
                nodes.append(_Many(_ANY))
            elif self.takes("*"):
                nodes.append(_Many(_IN_NAME))
            elif self.takes("?"):
                nodes.append(_IN_NAME)
            elif self.takes("["):
                nodes.append(self.letters())
            elif self.takes("{"):
                nodes.append(self.choice(depth + 1))
            elif self.glob[self.place] == "}" or (depth and self.glob[self.place] == ","):
                break
            else:
                letter = self.glob[self.place]
                nodes.append(_Letters(((letter, letter),)))
                self.place += 1
        return tuple(nodes)

    def choice(self, depth: int) -> _Choice:
        sequences = [self.sequence(depth)]
        while self.takes(","):
            sequences.append(self.sequence(depth))
        if not self.takes("}"):
            self.unclosed("{")
        return _Choice(tuple(sequences))

    def letters(self) -> _Letters:
        negated = self.takes("!") or self.takes("^")
        end = self.glob.find("]", self.place + 1)  # a ] in front is a letter
        if end < 0:
            self.unclosed("[")
        body, self.place = self.glob[self.place : end], end + 1
        ranges, i = [], 0
        while i < len(body):
            wide = i + 2 < len(body) and body[i + 1] == "-"
            first, last = body[i], body[i + 2] if wide else body[i]
            if first > last:
                rule = "a range of letters in a glob must go upwards"
                got = f"[{first}-{last}] in match={self.glob!r}"
                value_error(rule, got, f"Write [{last}-{first}].")
            ranges.append((first, last))
            i += 3 if wide else 1
        return _Letters(tuple(ranges), negated)
