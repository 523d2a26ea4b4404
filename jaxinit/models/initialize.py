"""``initialize``: a plan carried out, one compiled program for each distinct draw."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec, Sharding

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, is_traced, type_error, value_error
from jaxinit._distribution import unwrapped
from jaxinit._paths import PyTree, flatten, is_array
from jaxinit._types import Initializer, Key
from jaxinit.initializers.named import is_ours
from jaxinit.models.checkpoint import MISMATCHES, Mismatch, grown, restored_leaves
from jaxinit.models.compiling import (
    Call,
    Program,
    only_program,
    placed_program,
    run_calls,
)
from jaxinit.models.host import MOST_FILLED
from jaxinit.models.keys import HostKeys, leaf_key_words, typed
from jaxinit.models.placement import (
    OutShardings,
    Placement,
    concrete,
    home_of,
    placement_context,
    put,
    resolve_shardings,
    whole_mesh,
)
from jaxinit.models.plan import Plan, Row, make_plan
from jaxinit.models.rules import Keep, Rule, check_rules


@boundary
def initialize(
    key: Key,
    params: PyTree,
    rules: Sequence[Rule] | Plan,
    *,
    keep: PyTree | None = None,
    mismatch: Mismatch = "error",
    out_shardings: OutShardings = None,
) -> PyTree:
    """Make the leaves of a tree, each by the first rule that matches it.

    Every leaf has a key of its own, derived from its path: see :func:`jaxinit.path_key`.
    Its values are exactly those of the single call of its initializer with that key, so
    adding, renaming or reordering leaves moves no other leaf's values. Distinct programs
    are compiled side by side, equal ones once.

    Args:
        key: One typed key, or a legacy ``uint32`` key. For many seeds use ``jax.vmap`` over
            this function.
        params: Any tree of arrays or ``jax.ShapeDtypeStruct``: nested dicts, an NNX state,
            an Equinox module. Values are read only where a rule says ``keep``. Leaves that
            have no shape and dtype are left as they are.
        rules: Pairs (match, initializer) as :func:`jaxinit.plan` takes them, or a plan made
            by it or by :func:`jaxinit.auto` for a tree of the same paths, shapes and
            dtypes.
        keep: A checkpoint: a tree of arrays, or a flat mapping from paths. Leaves of
            ``params`` that it has are taken from it, cast to the dtype in ``params``;
            only the others are drawn.
        mismatch: What happens where a leaf of ``keep`` has another shape, or ``params``
            lacks it: ``"error"`` lists these; ``"draw"`` draws such leaves anew and passes
            over what is lacking; ``"grow"`` draws a larger leaf (more words, more classes)
            and puts the old values first along each axis.
        out_shardings: Where the leaves are to live: one sharding or PartitionSpec (for the
            mesh in context) for all, a tree or a prefix of one, a list of rules (match,
            sharding), or a function of (path, shape). Where it is None, a leaf keeps the
            placement that it has in ``params``, as an array or by
            ``ShapeDtypeStruct(sharding=...)``, and one without goes where ``key`` is. Every
            device makes its own part only, without communication (``sparse`` alone agrees
            on when its search ends), and the values do not depend on the mesh.

    Returns:
        A tree of the same structure, with arrays of exactly these shapes and dtypes.

    Raises:
        ValueError: As :func:`jaxinit.plan`; an initializer refused a leaf, or gave another
            shape or dtype than asked for; ``keep`` does not fit; or a sharding does not.
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

        A table that grows by two rows:

        >>> grown = {"table": jax.ShapeDtypeStruct((7, 4), "float32")}
        >>> new = jaxinit.initialize(
        ...     jax.random.key(0),
        ...     grown,
        ...     [("table", jaxinit.normal)],
        ...     keep={"table": ones((5, 4))},
        ...     mismatch="grow",
        ... )
        >>> bool((new["table"][:5] == 1).all()), bool((new["table"][5:] == 1).any())
        (True, False)
    """
    check_choice("mismatch", mismatch, MISMATCHES)
    made = rules
    if not isinstance(made, Plan):
        made = make_plan(params, check_rules(made))
    paths, leaves, structure = flatten(params)
    _check_plan(made, paths, leaves)
    placements = resolve_shardings(out_shardings, params, paths, leaves)
    whole, blocks = {}, {}
    if keep is not None:
        whole, blocks = restored_leaves(keep, mismatch, paths, leaves)
    results: list[Any] = []
    tasks: list[_Task] = []
    for i, (row, leaf) in enumerate(zip(made, leaves, strict=True)):
        if row.path in whole or isinstance(row.initializer, Keep):
            value = leaf
            if row.path in whole:
                value = jnp.asarray(whole[row.path], row.dtype)
            results.append(put(value, placements[i]))
        else:
            tasks.append(_Task(i, row, row.initializer, placements[i]))
            results.append(None)
    keys = leaf_key_words(key, [task.row.path for task in tasks])
    home = home_of([key])
    if home is not None:
        keys = [_brought(home, *pair) for pair in zip(tasks, keys, strict=True)]
    for task, drawn in zip(tasks, _draw_all(tasks, keys, home), strict=True):
        old = blocks.get(task.row.path)
        results[task.index] = drawn if old is None else grown(drawn, old)
    return jax.tree.unflatten(structure, results)


def _check_plan(made: Plan, paths: Sequence[str], leaves: Sequence[Any]) -> None:
    theirs = {row.path: (row.shape, _dtype_text(row.dtype)) for row in made}
    mine = {path: _described(leaf) for path, leaf in zip(paths, leaves, strict=True)}
    if theirs != mine:
        odd = sorted(set(theirs.items()) ^ set(mine.items()))
        names = ", ".join(
            dict.fromkeys(f"{p} {shape} {dtype}" for p, (shape, dtype) in odd)
        )
        rule = "the plan must be for the paths, shapes and dtypes of this tree"
        value_error(rule, f"differences at {names}", "Make a plan of this tree.")


def _described(leaf: Any) -> tuple[tuple[int, ...], str]:
    if hasattr(leaf, "shape") and hasattr(leaf, "dtype"):
        return tuple(leaf.shape), _dtype_text(leaf.dtype)
    return (), type(leaf).__name__


@functools.lru_cache(maxsize=64)
def _dtype_text(dtype: Any) -> str:
    return str(dtype)


@dataclasses.dataclass(frozen=True)
class _Task:
    """A leaf that is to be drawn."""

    index: int
    row: Row
    initializer: Initializer
    placement: Placement

    def draw(self, key: Key) -> jax.Array:
        """Return the leaf by a call of its initializer, in its place."""
        shape, dtype, placement = self.row.shape, self.row.dtype, self.placement
        if placement is not None and self.takes_placement:
            return self.initializer(key, shape, dtype, out_sharding=placement)  # pyright: ignore[reportCallIssue]
        return self.initializer(key, shape, dtype)

    @property
    def takes_placement(self) -> bool:
        """Whether the initializer itself can be told where the leaf is to live."""
        named = isinstance(self.placement, (NamedSharding, PartitionSpec))
        return named and is_ours(self.initializer)


def _brought(home: Sharding, task: _Task, key: Key | HostKeys) -> Key | HostKeys:
    """Return the key on the devices of the whole key, if nothing else places the leaf."""
    if task.placement is None and isinstance(key, HostKeys):
        return key._replace(data=jax.device_put(key.data, home))
    return key


def _draw_all(
    tasks: Sequence[_Task], keys: Sequence[Key | HostKeys], home: Sharding | None
) -> list[jax.Array]:
    """Return the leaves, drawn by few programs; errors name their paths.

    Those without a placement go where the key of the whole is.
    """
    results: list[Any] = [None] * len(tasks)
    programs: dict[Any, Program | None] = {}
    calls: list[Call] = []
    rest = home or whole_mesh()

    def run(n: int, draw: Callable[[], Any]) -> None:
        with _naming_the_leaf(tasks[n].row):
            results[n] = draw()

    for n, (task, key) in enumerate(zip(tasks, keys, strict=True)):
        kind = None if is_traced(key) else _kind(task)
        filled = _filled(task) if kind is not None else None
        if filled is not None:
            results[n] = jax.device_put(filled, concrete(task.placement) or rest)
            continue
        if kind is None:
            run(n, functools.partial(_drawn_alone, task, key))
            continue
        if kind not in programs:
            with _naming_the_leaf(task.row), placement_context(task.placement):
                programs[kind] = _program(task, key)
        program = programs[kind]
        if program is None:
            run(n, functools.partial(task.draw, typed(key)))
        else:
            calls.append(program.call(key, functools.partial(run, n)))
    run_calls(calls)
    for task, result in zip(tasks, results, strict=True):
        _check_result(task.row, result)
    return results


@contextlib.contextmanager
def _naming_the_leaf(row: Row) -> Iterator[None]:
    """Say of an initializer's error which leaf it was for."""
    try:
        yield
    except (ValueError, TypeError) as error:
        reason = str(error).rstrip(".")
        got = f"{row.path} {row.shape} by {row.distribution.text}, whose error is: {reason}"
        kind = value_error if isinstance(error, ValueError) else type_error
        kind("an initializer refused a leaf", got, f"Change the rule {row.rule!r}.")


def _check_result(row: Row, result: Any) -> None:
    shape, dtype = getattr(result, "shape", None), getattr(result, "dtype", None)
    if shape != row.shape or dtype != row.dtype:
        got = f"{result!r}"
        if shape is not None and dtype is not None:
            got = f"{jnp.dtype(dtype).name}{list(shape)}"
        got = f"{got} for {row.path} {row.shape}"
        rule = "an initializer must give the shape and dtype that it is asked for"
        kind = value_error if is_array(result) else type_error
        kind(rule, got, f"Change {row.distribution.text}.")


def _kind(task: _Task) -> Any:
    """Return what is equal for leaves drawn alike; None for one that is drawn by itself.

    A custom initializer may read what has changed since, so that it is traced anew for
    each leaf; without a placement it is just called.
    """
    if not is_ours(task.initializer):
        return task.index if task.placement is not None else None
    function, options = unwrapped(task.initializer)
    place = task.placement
    if place is not None and not task.takes_placement:
        return task.index
    values = []
    for name, value in sorted(options.items()):
        # 0.0 equals -0.0 and True equals 1, but their texts differ.
        text = repr(value) if isinstance(value, (int, float)) else ""
        values.append((name, type(value), value, text))
    kind = (function, tuple(values), task.row.shape, _dtype_text(task.row.dtype), place)
    try:
        hash(kind)
    except TypeError:
        return task.index
    return kind


def _filled(task: _Task) -> np.ndarray | None:
    """Return a small array of zeros or ones, which no program is needed for, or None."""
    row = task.row
    value = row.distribution.mean
    has_options = bool(unwrapped(task.initializer)[1])  # which may be -0.0
    if row.distribution.std != 0 or has_options or not is_ours(task.initializer):
        return None
    if value not in (0.0, 1.0):
        return None
    small = math.prod(row.shape) <= MOST_FILLED
    return np.full(row.shape, value, row.dtype) if small else None


def _drawn_alone(task: _Task, key: Key | HostKeys) -> Any:
    return put(task.draw(typed(key)), task.placement)


def _program(task: _Task, key: Key | HostKeys) -> Program | None:
    """Return the compiled program of a leaf's draw, or None where it is just called."""
    traced = jax.make_jaxpr(task.draw)(typed(key))
    impl = key.impl if isinstance(key, HostKeys) else None
    if task.placement is not None and not task.takes_placement:
        return placed_program(traced, impl, concrete(task.placement))
    return only_program(traced, impl, task.placement)
