"""Rules: which leaves of a tree, and what makes them.

A rule is a pair (match, initializer). A leaf goes to the first rule that matches it, and a
rule that no leaf goes to is an error, since somebody meant it to do something.
"""

import dataclasses
import difflib
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import listed, type_error, value_error
from jaxinit._distribution import check_options
from jaxinit._globs import compile_glob
from jaxinit._paths import matches
from jaxinit._types import Initializer

Predicate = Callable[[str, Any], bool]
"""A function of the path and the leaf."""


@dataclasses.dataclass(frozen=True)
class OptionalMatch:
    """What :func:`optional` returns."""

    match: str | Predicate


Match = str | Predicate | OptionalMatch
"""A glob over the path, or a function of the path and the leaf; perhaps optional."""


class Keep:
    """The type of :data:`keep`."""

    def __repr__(self) -> str:
        return "keep"


keep = Keep()
"""In place of an initializer: leave the leaf as it is."""

Rule = tuple[Match, Initializer | Keep]
"""Which leaves, and how to make them."""

Value = TypeVar("Value")


@dataclasses.dataclass(frozen=True)
class CheckedRule(Generic[Value]):
    """A rule whose parts have been checked.

    Attributes:
        match: The glob or the function.
        value: What the leaves get: an initializer, or a sharding.
        is_optional: Whether it may match nothing.
        text: The rule as tables and errors show it.
    """

    match: str | Predicate
    value: Value
    is_optional: bool
    text: str

    @property
    def is_for_the_rest(self) -> bool:
        """Whether it matches every path, and so means only: all that is left."""
        return self.match in ("**", "*", "**/*")


@boundary
def optional(match: str | Predicate) -> OptionalMatch:
    """Mark the match of a rule as one that may match no leaf.

    Rules that are written for many models hold parts that one model lacks. Unmarked, a
    rule that no leaf goes to is an error.

    Args:
        match: A glob, or a function of (path, leaf), as :func:`jaxinit.plan` takes it.

    Returns:
        The match, for the first place of a rule.

    Raises:
        ValueError: The glob has a bracket without its partner.
        TypeError: ``match`` is neither a string nor a function.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> params = {"kernel": jax.ShapeDtypeStruct((8, 4), "float32")}
        >>> biases = (jaxinit.optional("**/bias"), jaxinit.zeros)
        >>> len(jaxinit.plan(params, [biases, ("**/kernel", jaxinit.lecun_normal)]))
        1
    """
    _check_match(match)
    return OptionalMatch(match)


def _check_match(match: object) -> None:
    if isinstance(match, str):
        compile_glob(match)
    elif not callable(match):
        rule = "match must be a glob or a function of (path, leaf)"
        advice = 'Write for example "**/kernel".'
        type_error(rule, f"match={match!r}", advice)


def check_pairs(
    name: str, kind: str, pairs: Any, advice: str
) -> tuple[CheckedRule[Any], ...]:
    """Return the rules if they are pairs of a match and something.

    Args:
        name: The argument's name.
        kind: What stands in the second places.
        pairs: What was given.
        advice: How to write it.

    Returns:
        The rules, whose values are yet to be checked.
    """
    rule = f"{name} must be a list of pairs (match, {kind})"
    if isinstance(pairs, (str, bytes, dict)) or not isinstance(pairs, Sequence):
        type_error(rule, f"{name}={pairs!r}", advice)
    checked = []
    for index, pair in enumerate(pairs):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            type_error(rule, f"the rule {pair!r}", advice)
        match, value = pair
        is_optional = isinstance(match, OptionalMatch)
        inner = match.match if isinstance(match, OptionalMatch) else match
        _check_match(inner)
        text = inner if isinstance(inner, str) else getattr(inner, "__name__", None)
        checked.append(CheckedRule(inner, value, is_optional, text or f"rule {index}"))
    return tuple(checked)


def check_rules(rules: Sequence[Rule]) -> tuple[CheckedRule[Initializer | Keep], ...]:
    """Return the rules if they are pairs of a match and an initializer."""
    advice = 'Write [("**/bias", jaxinit.zeros), ("**", jaxinit.lecun_normal)].'
    checked = check_pairs("rules", "initializer", rules, advice)
    for rule in checked:
        if not callable(rule.value) and not isinstance(rule.value, Keep):
            text = "an initializer must be a function (key, shape, dtype), or keep"
            got = f"{rule.value!r} for match={rule.match!r}"
            type_error(text, got, advice)
        if callable(rule.value):
            check_options(rule.value)
    return checked


def assign(
    rules: Sequence[CheckedRule[Value]],
    paths: Sequence[str],
    leaves: Sequence[Any],
) -> list[CheckedRule[Value] | None]:
    """Return the rule that each leaf goes to, or None.

    Args:
        rules: Checked rules, the first that matches counts.
        paths: The paths of the leaves.
        leaves: The leaves, which functions of (path, leaf) see.

    Returns:
        One entry a leaf.

    Raises:
        ValueError: No leaf goes to a rule that is not optional.
        TypeError: A match function gave no boolean.
    """
    found: list[CheckedRule[Value] | None] = []
    unused = {id(rule): rule for rule in rules if not rule.is_optional}
    for path, leaf in zip(paths, leaves, strict=True):
        first = next((r for r in rules if _holds(r, path, leaf)), None)
        unused.pop(id(first), None)
        found.append(first)
    for rule in unused.values() if paths else ():
        taken = [
            (path, first)
            for path, leaf, first in zip(paths, leaves, found, strict=True)
            if first is not None and _holds(rule, path, leaf)
        ]
        if not taken:
            _no_match(rule, paths)
        if not rule.is_for_the_rest:
            _all_taken(rule, taken)
    return found


def _holds(rule: CheckedRule[Any], path: str, leaf: Any) -> bool:
    if isinstance(rule.match, str):
        return matches(rule.match, path)
    answer = rule.match(path, leaf)
    if not isinstance(answer, (bool, np.bool_)):
        text = "a match function must return True or False"
        got = f"{answer!r} for {path!r}"
        type_error(text, got, "Compare names, shapes or dtypes, not values.")
    return bool(answer)


def _no_match(rule: CheckedRule[Any], paths: Sequence[str]) -> None:
    shown = f"match={rule.match!r}" if isinstance(rule.match, str) else rule.text
    advice = "Leave it out, or mark its match by jaxinit.optional(...)."
    if isinstance(rule.match, str):
        near = nearest_glob(rule.match, paths)
        advice = "" if near is None else f"Did you mean {near!r}? "
        advice += f"If it may match nothing, write jaxinit.optional({rule.match!r})."
    got = f"{shown}, which matches none of {listed(paths)}"
    value_error("every rule must match a leaf", got, advice)


def _all_taken(rule: CheckedRule[Any], taken: Sequence[Any]) -> None:
    shown = f"match={rule.match!r}" if isinstance(rule.match, str) else rule.text
    path, first = taken[0]
    got = f"{shown}, all of whose leaves go to earlier rules ({path} to {first.text!r})"
    advice = "Put the more special rule in front, or leave it out."
    value_error("every rule must have an effect", got, advice)


def nearest_glob(glob: str, paths: Sequence[str]) -> str | None:
    """Return a glob like that one that matches a path, or else a path like it, or None."""
    names = sorted({name for path in paths for name in path.split("/")})

    def known(name: str) -> str:
        if set(name) & set("*?[{") or name in names:
            return name
        return next(iter(difflib.get_close_matches(name, names, 1)), name)

    near = "/".join(known(name) for name in glob.split("/"))
    for candidate in (near, f"**/{glob}", f"{glob}/**", f"**/{near}", f"{near}/**"):
        if any(matches(candidate, path) for path in paths):
            return candidate
    return next(iter(difflib.get_close_matches(glob, paths, 1)), None)
