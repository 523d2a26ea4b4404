"""``materialize``: a model's own init, leaf by leaf, without its forward pass."""

import functools
import math
from collections.abc import Callable, Container, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr
from jax.interpreters.partial_eval import dce_jaxpr
from jax.sharding import Sharding

from jaxinit._boundary import boundary
from jaxinit._checks import is_traced, type_error, value_error
from jaxinit._paths import PyTree, flatten
from jaxinit._pieces import (
    Ref,
    Step,
    cut_piece,
    flatten_program,
    needed,
    run_step,
)
from jaxinit._placement import handed_over
from jaxinit.models.compiling import Call, compiled_piece, run_calls
from jaxinit.models.host import constant_of, run_on_host, to_device, to_host
from jaxinit.models.keys import HostKeys
from jaxinit.models.placement import (
    OutShardings,
    Placement,
    concrete,
    home_of,
    put,
    resolve_shardings,
    whole_mesh,
)

_MOST_KEYS = 1 << 16
_MOST_NUMBERS = 64


@boundary
def materialize(
    init_fn: Callable[..., PyTree], *args: PyTree, out_shardings: OutShardings = None
) -> PyTree:
    """Run a model's own initialization, fast and leaf by leaf.

    The function is traced once. Of the program, each leaf of the result takes only what it
    depends on: the forward pass that Flax and Haiku run along falls away. Keys are derived
    step by step, and what then draws a leaf is compiled once for all leaves that are drawn
    alike, whatever their keys. The result is that of ``jax.jit(init_fn)(*args)`` up to the
    last bit of rounding. Prints for debugging are left out; a function with calls of
    ``jax.experimental.io_callback`` runs whole, in its own order.

    Args:
        init_fn: A pure function that returns the parameters: ``model.init`` of Flax or
            Haiku, or a function that builds an Equinox module. For an NNX module see
            :func:`jaxinit.flax.materialize_nnx`.
        *args: Its arguments: trees. Arrays of which only shapes matter, as sample inputs
            mostly are, may be ``jax.ShapeDtypeStruct``. What has no shape and dtype is
            passed as it is.
        out_shardings: As in :func:`jaxinit.initialize`; paths are those of the result.

    Returns:
        What ``init_fn`` returns. Leaves that are no arrays come as they are.

    Raises:
        ValueError: A leaf depends on the values of an argument that has only a shape.
        TypeError: ``init_fn`` is not a function.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> def init(key):
        ...     keys = jax.random.split(key, 48)
        ...     return [jax.random.normal(k, (32, 32)) for k in keys]
        >>> key = jax.random.key(0)  # the draw is compiled once, not 48 times
        >>> made = jaxinit.materialize(init, key)
        >>> all((a == b).all() for a, b in zip(made, jax.jit(init)(key)))
        True
    """
    if not callable(init_fn):
        advice = "Give for example model.init, and its arguments behind it."
        type_error("init_fn must be a function", f"{init_fn!r}", advice)
    flat, structure = jax.tree.flatten(args)
    places = [i for i, leaf in enumerate(flat) if hasattr(leaf, "shape")]
    inputs = [flat[i] for i in places]
    shown: list[tuple[Any, list[Any]]] = []

    def build(values: list[Any]) -> list[Any]:
        filled = list(flat)
        for i, value in zip(places, values, strict=True):
            filled[i] = value
        leaves, out = jax.tree.flatten(init_fn(*jax.tree.unflatten(structure, filled)))
        shown.append((out, [None if _is_array(leaf) else leaf for leaf in leaves]))
        return [leaf for leaf in leaves if _is_array(leaf)]

    abstract = [_struct(x) for x in inputs]
    program, shapes = jax.make_jaxpr(build, return_shape=True)(abstract)
    # Loops lose what only the forward pass needs, so that no leaf seems to depend on it.
    wanted = [True] * len(program.jaxpr.outvars)
    kept, _ = dce_jaxpr(program.jaxpr, wanted, instantiate=True)
    program = ClosedJaxpr(kept, program.consts)
    out, others = shown[-1]
    found = iter(shapes)
    leaves = [next(found) if other is None else other for other in others]
    tree = jax.tree.unflatten(out, leaves)
    paths, leaves, _ = flatten(tree)
    shardings = resolve_shardings(out_shardings, tree, paths, leaves)
    arrays = [i for i, other in enumerate(others) if other is None]
    run = _Run(program, inputs, [paths[i] for i in arrays])
    run.check_inputs()
    # Inside of a trace, even a new array is traced: then the function is run as it is.
    if any(map(is_traced, (*inputs, *program.consts, jnp.zeros(())))):
        made = build([_filled(x) for x in inputs])
        values = list(map(put, made, [shardings[i] for i in arrays]))
    else:
        values = run.results([shardings[i] for i in arrays])
    for i, value in zip(arrays, values, strict=True):
        leaves[i] = value
    return jax.tree.unflatten(out, leaves)


def _struct(x: Any) -> jax.ShapeDtypeStruct:
    weak = getattr(x, "weak_type", False)
    return jax.ShapeDtypeStruct(x.shape, x.dtype, weak_type=weak)


def _filled(x: Any) -> Any:
    """Return an argument, for one of which only the shape is given zeros."""
    return jnp.zeros(x.shape, x.dtype) if isinstance(x, jax.ShapeDtypeStruct) else x


def _is_array(leaf: object) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def _is_small(aval: Any) -> bool:
    """Whether a value is a key or a few numbers, which are computed one by one."""
    size = math.prod(aval.shape)
    if jnp.issubdtype(aval.dtype, jax.dtypes.prng_key):
        return size <= _MOST_KEYS
    if jnp.issubdtype(aval.dtype, jnp.integer) or aval.dtype == jnp.bool_:
        return size <= _MOST_NUMBERS
    return size == 1 and aval.shape == ()


class _Run:
    """One execution of a flattened program."""

    def __init__(self, program: Any, inputs: Sequence[Any], paths: Sequence[str]) -> None:
        self.inputs = inputs
        self.paths = paths
        self.steps, self.wanted = flatten_program(program)
        self.is_whole = _acts(program)
        self.small = frozenset() if self.is_whole else _small_steps(self.steps)
        refs = [*self.wanted, *(ref for step in self.steps for ref in step.inputs)]
        self.used = list(dict.fromkeys(place for kind, place in refs if kind == "input"))
        self.home = home_of([inputs[place] for place in self.used])
        self.done: dict[Ref, Any] = {}
        self.leaves: dict[Ref, Any] = {}

    def check_inputs(self) -> None:
        """Raise an error where results depend on an argument that has only a shape."""
        for place in self.used:
            if isinstance(self.inputs[place], jax.ShapeDtypeStruct):
                pairs = zip(self.paths, self.wanted, strict=True)
                paths = [path for path, ref in pairs if self._depends(ref, place)]
                rule = "a leaf may depend only on arguments that have values"
                names = ", ".join(paths[:8]) or "the result"
                got = f"{names}, which need input {place}, given as a shape"
                value_error(rule, got, "Give the array itself.")

    def _depends(self, ref: Ref, place: int) -> bool:
        given = [own for n in needed(self.steps, [ref]) for own in self.steps[n].inputs]
        return any(own[0] == "input" and own[1] == place for own in (ref, *given))

    def results(self, shardings: Sequence[Placement]) -> list[Any]:
        """Return the wanted values, group by group of those that share a loop."""
        values: list[Any] = [None] * len(self.wanted)
        calls: list[Call] = []
        known: set[Ref] = set()
        for group in self._groups():
            places = tuple(concrete(shardings[i]) for i in group)
            refs = [self.wanted[i] for i in group]
            numbers = self._numbers(refs, known)
            piece, taken = cut_piece(self.steps, numbers, refs, known)
            if (fixed := constant_of(piece)) is not None:
                there = [place or self.home or whole_mesh() for place in places]
                self._keep(values, group, [jax.device_put(fixed, s) for s in there])
                continue
            home = None if any(places) else self.home
            if not taken:
                places = tuple(place or home for place in places)
            given = [
                None if ref[0] == "step" and ref in known else self._value(ref)
                for ref in taken
            ]
            kinds = tuple(v.impl if isinstance(v, HostKeys) else None for v in given)
            given = [_there(home, *pair) for pair in zip(taken, given, strict=True)]
            program = compiled_piece(piece, places, kinds)
            make = functools.partial(self._make, values, group, program, taken, given)
            shown = [
                self._shape(ref) if value is None else value
                for ref, value in zip(taken, given, strict=True)
            ]
            calls.append(Call(program, shown, make))
            known.update(ref for ref in refs if ref[0] == "step")
        run_calls(calls)
        return values

    def _groups(self) -> list[list[int]]:
        """Return which results to compute together, in order."""
        if self.is_whole:
            return [list(range(len(self.wanted)))]
        return _groups(self.steps, self.wanted, self.small)

    def _numbers(self, refs: Sequence[Ref], known: Container[Ref]) -> Sequence[int]:
        """Return the steps that compute the results of a group."""
        if self.is_whole:
            return range(len(self.steps))
        return [n for n in needed(self.steps, refs, known) if n not in self.small]

    def _make(
        self,
        values: list[Any],
        group: Sequence[int],
        program: Callable[..., Any],
        taken: Sequence[Ref],
        given: Sequence[Any],
    ) -> None:
        """Compute the leaves of one group."""
        arguments = [
            self.leaves[ref] if value is None else value
            for ref, value in zip(taken, given, strict=True)
        ]
        self._keep(values, group, program(*arguments))

    def _keep(self, values: list[Any], group: Sequence[int], made: Sequence[Any]) -> None:
        for i, value in zip(group, made, strict=True):
            values[i] = value
            if self.wanted[i][0] == "step":
                self.leaves[self.wanted[i]] = value

    def _shape(self, ref: Ref) -> jax.ShapeDtypeStruct:
        number, result = ref[1]
        return _struct(self.steps[number].avals[result])

    def _value(self, ref: Ref) -> Any:
        """Return a small value, an input or a constant."""
        kind, place = ref
        if kind == "value":
            return place
        if kind == "input":
            return to_host(self.inputs[place])
        for number in needed(self.steps, [ref], self.done) if ref not in self.done else ():
            step = self.steps[number]
            given = [self._value(own) for own in step.inputs]
            for i, made in enumerate(_run_small(step, given)):
                self.done["step", (number, i)] = made
        return self.done[ref]


def _there(home: Sharding | None, ref: Ref, value: Any) -> Any:
    """Return what a program takes, keys as words, on the devices of the arguments."""
    is_placed = value is None or (ref[0] == "input" and isinstance(value, jax.Array))
    if isinstance(value, HostKeys):
        value = handed_over(value.data)
    return value if home is None or is_placed else jax.device_put(value, home)


def _acts(program: ClosedJaxpr) -> bool:
    """Whether a program calls the host for more than prints, so that all of it must run."""
    return any("Debug" not in type(effect).__name__ for effect in program.jaxpr.effects)


def _run_small(step: Step, values: Sequence[Any]) -> list[Any]:
    """Return the results of a step on keys or a few numbers."""
    if len(step.avals) == 1:
        with step.ctx.manager:
            result = run_on_host(step.primitive.name, step.params, values, step.avals[0])
        if result is not None:
            return [result]
    return [to_host(result) for result in run_step(step, [to_device(v) for v in values])]


def _small_steps(steps: Sequence[Step]) -> frozenset[int]:
    """Return the steps that make small values of small values."""
    small: set[int] = set()
    for number, step in enumerate(steps):
        made = all(_is_small(aval) for aval in step.avals)
        given = all(
            ref[1][0] in small if ref[0] == "step" else _is_small_value(ref)
            for ref in step.inputs
        )
        if made and given:
            small.add(number)
    return frozenset(small)


def _is_small_value(ref: Ref) -> bool:
    return ref[0] == "input" or np.size(ref[1]) <= _MOST_NUMBERS


def _groups(
    steps: Sequence[Step], wanted: Sequence[Ref], small: frozenset[int]
) -> list[list[int]]:
    """Return which results to compute together, those that share work, in a good order.

    What a leaf takes from another leaf does not count as shared: it is computed before.
    """
    own = {ref for ref in wanted if ref[0] == "step"}
    slices = [[n for n in needed(steps, [ref], own) if n not in small] for ref in wanted]
    owner: dict[int, int] = {}
    groups: dict[int, list[int]] = {}
    for i, numbers in enumerate(slices):
        shared = {owner[n] for n in numbers if n in owner}
        home = min(shared, default=i)
        groups.setdefault(home, []).append(i)
        for other in shared - {home}:
            groups[home] += groups.pop(other)
            owner.update({n: home for n, o in owner.items() if o == other})
        owner.update(dict.fromkeys(numbers, home))

    def size(group: list[int]) -> int:
        return max(len(needed(steps, [wanted[i]])) for i in group)

    return [sorted(group) for group in sorted(groups.values(), key=size)]
