"""``initialize``: a plan carried out, one compiled program for each distinct draw."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.sharding import NamedSharding, Sharding

from jaxinit._boundary import boundary
from jaxinit._checks import is_traced, type_error, value_error
from jaxinit._paths import PyTree, flatten
from jaxinit._types import Initializer, Key
from jaxinit.initializers.named import is_ours
from jaxinit.models.keys import leaf_keys
from jaxinit.models.plan import Keep, Plan, Row, Rule, check_rules, make_plan

OutShardings = Any
"""A sharding, a tree or a prefix of them, or a function (path, shape) -> sharding."""


@boundary
def initialize(
    key: Key,
    params: PyTree,
    rules: Sequence[Rule] | Plan,
    *,
    out_shardings: OutShardings = None,
) -> PyTree:
    """Make the leaves of a tree, each by the first rule that matches it.

    Every leaf has a key of its own, derived from its path: see :func:`jaxinit.path_key`.
    Its values are exactly those of the single call of its initializer with that key, so
    adding, renaming or reordering leaves moves no other leaf's values.

    Args:
        key: One typed key, or a legacy ``uint32`` key. For many seeds use ``jax.vmap`` over
            this function.
        params: Any tree of arrays or ``jax.ShapeDtypeStruct``: nested dicts, an NNX state,
            an Equinox module. Values are read only where a rule says ``keep``. Leaves that
            have no shape and dtype are left as they are.
        rules: Pairs (match, initializer) as :func:`jaxinit.plan` takes them, or a plan made
            by it or by :func:`jaxinit.auto` for a tree of the same paths and shapes.
        out_shardings: Where the leaves are to live: one ``jax.sharding.Sharding`` for all,
            a tree or a prefix of one, or a function of (path, shape). None leaves it to
            JAX. Every device makes its own part only, without communication, and the values
            do not depend on the mesh.

    Returns:
        A tree of the same structure, with arrays of exactly these shapes and dtypes.

    Raises:
        ValueError: As :func:`jaxinit.plan`; or an initializer refused a leaf, or gave
            another shape or dtype than asked for.
        TypeError: As :func:`jaxinit.plan`.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> ones = jax.numpy.ones
        >>> old = {"body": {"w": ones((2, 3))}, "head": {"w": ones((3, 5))}}
        >>> rules = [("head/*", jaxinit.lecun_normal), ("**", jaxinit.keep)]
        >>> new = jaxinit.initialize(jax.random.key(0), old, rules)
        >>> bool((new["body"]["w"] == 1).all()), bool((new["head"]["w"] == 1).any())
        (True, False)
    """
    where = "initialize"
    made = rules
    if not isinstance(made, Plan):
        made = make_plan(where, params, check_rules(where, made))
    paths, leaves, structure = flatten(where, params)
    _check_plan(where, made, paths, leaves)
    shardings = resolve_shardings(where, out_shardings, params, paths, leaves)
    drawn = [row for row in made if not isinstance(row.initializer, Keep)]
    keys = dict(
        zip(
            (row.path for row in drawn),
            leaf_keys(where, key, [row.path for row in drawn]),
            strict=True,
        )
    )
    results = []
    for row, leaf, sharding in zip(made, leaves, shardings, strict=True):
        if isinstance(row.initializer, Keep):
            results.append(leaf if sharding is None else jax.device_put(leaf, sharding))
        else:
            results.append(_make(where, row, row.initializer, keys[row.path], sharding))
    return jax.tree.unflatten(structure, results)


def _check_plan(
    where: str, made: Plan, paths: Sequence[str], leaves: Sequence[Any]
) -> None:
    theirs = {row.path: row.shape for row in made}
    mine = dict(zip(paths, (tuple(getattr(x, "shape", ())) for x in leaves), strict=True))
    if theirs != mine:
        odd = sorted(set(theirs.items()) ^ set(mine.items()))
        names = ", ".join(dict.fromkeys(f"{path} {shape}" for path, shape in odd))
        rule = "the plan must be for the paths and shapes of this tree"
        value_error(where, rule, f"differences at {names}", "Make a plan of this tree.")


def _make(
    where: str, row: Row, initializer: Initializer, key: Key, sharding: Sharding | None
) -> jax.Array:
    """Draw one leaf; errors name its path."""
    try:
        if is_traced(key):
            result = initializer(key, row.shape, row.dtype)
            if sharding is not None:
                result = jax.lax.with_sharding_constraint(result, sharding)
        elif sharding is None and is_ours(initializer):
            result = initializer(key, row.shape, row.dtype)
        elif isinstance(sharding, NamedSharding) and is_ours(initializer):
            result = initializer(key, row.shape, row.dtype, out_sharding=sharding)  # pyright: ignore[reportCallIssue]
        else:
            result = _program(_Hashed(initializer), row.shape, row.dtype, sharding)(key)
    except (ValueError, TypeError) as error:
        said = str(error).rstrip(".")
        got = f"{row.path} {row.shape} by {row.distribution.text}, which said: {said}"
        kind = value_error if isinstance(error, ValueError) else type_error
        kind(where, "an initializer refused a leaf", got, f"Change the rule {row.rule!r}.")
    if result.shape != row.shape or result.dtype != row.dtype:
        got = f"{result.dtype.name}{list(result.shape)} for {row.path} {row.shape}"
        rule = "an initializer must give the shape and dtype that it is asked for"
        value_error(where, rule, got, f"Change {row.distribution.text}.")
    return result


class _Hashed:
    """A function, compared by what it is: partials by their parts, others by identity."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self._parts = _parts(function)

    def __hash__(self) -> int:
        return hash(self._parts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Hashed) and self._parts == other._parts


def _parts(function: Any) -> Any:
    if isinstance(function, functools.partial):
        options = tuple(sorted((k, _parts(v)) for k, v in function.keywords.items()))
        return ("partial", _parts(function.func), *map(_parts, function.args), options)
    try:
        hash(function)
    except TypeError:
        return ("object", id(function))
    return (type(function), function)


@functools.lru_cache(maxsize=512)
def _program(
    initializer: _Hashed, shape: tuple[int, ...], dtype: Any, sharding: Sharding | None
) -> Callable[[Key], jax.Array]:
    def draw(key: Key) -> jax.Array:
        return initializer.function(key, shape, dtype)

    return jax.jit(draw, out_shardings=sharding)


def resolve_shardings(
    where: str,
    out_shardings: OutShardings,
    params: PyTree,
    paths: Sequence[str],
    leaves: Sequence[Any],
) -> list[Sharding | None]:
    """Return the sharding of every leaf.

    Args:
        where: Name of the function that errors are to name.
        out_shardings: As :func:`initialize` takes it.
        params: The tree.
        paths: Its paths.
        leaves: Its leaves.

    Returns:
        A sharding or None a leaf; None for leaves that are no arrays.
    """
    has_shape = [hasattr(leaf, "shape") and hasattr(leaf, "dtype") for leaf in leaves]
    if out_shardings is None or isinstance(out_shardings, Sharding):
        return [out_shardings if has else None for has in has_shape]
    if callable(out_shardings):
        found = [
            out_shardings(path, tuple(leaf.shape)) if has else None
            for path, leaf, has in zip(paths, leaves, has_shape, strict=True)
        ]
    else:
        found = _broadcast(where, out_shardings, params)
    wrong = [
        f"{path}: {sharding!r}"
        for path, sharding in zip(paths, found, strict=True)
        if sharding is not None and not isinstance(sharding, Sharding)
    ]
    if wrong:
        rule = "out_shardings must hold shardings or None"
        advice = "Build them with jax.sharding.NamedSharding(mesh, spec)."
        type_error(where, rule, "; ".join(wrong[:8]), advice)
    pairs = zip(found, has_shape, strict=True)
    return [s if has and isinstance(s, Sharding) else None for s, has in pairs]


def _broadcast(where: str, prefix: Any, tree: PyTree) -> list[Any]:
    def is_leaf(x: Any) -> bool:
        return x is None or isinstance(x, Sharding)

    found: list[Any] = []

    def spread(sharding: Any, part: Any) -> None:
        found.extend([sharding] * len(jax.tree.leaves(part)))

    try:
        jax.tree.map(spread, prefix, tree, is_leaf=is_leaf)
    except ValueError as error:
        rule = "out_shardings must be a tree like params, or a prefix of one"
        got = f"another structure ({str(error).splitlines()[0]})"
        value_error(where, rule, got, "Or give a function of (path, shape).")
    return found
