"""Where each leaf of a tree is to live."""

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import AbstractMesh, AxisType, NamedSharding, PartitionSpec, Sharding

from jaxinit._checks import is_traced, type_error, value_error
from jaxinit._paths import PyTree, is_array
from jaxinit._placement import mesh_context
from jaxinit.models.rules import assign, check_pairs

OutShardings = Any
"""A sharding, a tree or prefix of them, rules, or a function (path, shape) -> sharding."""

Placement = Sharding | PartitionSpec | None
"""A sharding, a spec for the mesh in context, or None, which leaves it to JAX."""


def resolve_shardings(
    out_shardings: OutShardings,
    params: PyTree,
    paths: Sequence[str],
    leaves: Sequence[Any],
) -> list[Placement]:
    """Return the placement of every leaf.

    Args:
        out_shardings: One placement for all, a tree or a prefix of one, a list of rules
            (match, placement), or a function of (path, shape). Where it is None, a leaf
            keeps the placement that it has.
        params: The tree.
        paths: Its paths.
        leaves: Its leaves.

    Returns:
        A placement a leaf; None for leaves that are no arrays.
    """
    arrays = [i for i, leaf in enumerate(leaves) if is_array(leaf)]
    if out_shardings is None or _is_placement(out_shardings):
        found: list[Any] = [out_shardings] * len(leaves)
    elif callable(out_shardings):
        found = [None] * len(leaves)
        for i in arrays:
            found[i] = out_shardings(paths[i], tuple(leaves[i].shape))
    elif _are_rules(out_shardings):
        advice = 'Write [("**/kernel", PartitionSpec("model")), ("**", None)].'
        pairs = check_pairs("out_shardings", "sharding", out_shardings, advice)
        own = [paths[i] for i in arrays]
        assigned = assign(pairs, own, [leaves[i] for i in arrays])
        found = [None] * len(leaves)
        for i, rule in zip(arrays, assigned, strict=True):
            found[i] = rule.value if rule is not None else None
    else:
        found = _broadcast(out_shardings, params)
    placements: list[Placement] = [None] * len(leaves)
    for i in arrays:
        asked = found[i]
        if asked is not None:
            _check(paths[i], tuple(leaves[i].shape), asked)
        placements[i] = asked if asked is not None else placement_of(leaves[i])
    return placements


def placement_of(leaf: Any) -> Placement:
    """Return where an array lives, or where a shape says that one is to live."""
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf.sharding
    if is_traced(leaf):
        sharding = getattr(jax.typeof(leaf), "sharding", None)
        if sharding is None or AxisType.Explicit not in sharding.mesh.axis_types:
            return None
        return sharding.spec
    if isinstance(leaf, jax.Array) and getattr(leaf, "committed", True):
        return leaf.sharding
    return None


def _is_placement(value: object) -> bool:
    return isinstance(value, (Sharding, PartitionSpec))


def _are_rules(value: object) -> bool:
    """Whether this is a list of pairs, not a tree of shardings."""
    if not isinstance(value, (list, tuple)) or not value:
        return False
    return all(
        isinstance(pair, tuple) and len(pair) == 2 and not _is_tree(pair[0])
        for pair in value
    )


def _is_tree(value: object) -> bool:
    nodes = (dict, list, tuple, type(None))
    return _is_placement(value) or isinstance(value, nodes)


def _check(path: str, shape: tuple[int, ...], placement: Any) -> None:
    if not _is_placement(placement):
        rule = "out_shardings must hold shardings, PartitionSpecs or None"
        advice = "Build them with jax.sharding.NamedSharding(mesh, spec)."
        type_error(rule, f"{path}: {placement!r}", advice)
    if isinstance(placement, PartitionSpec):
        spec, mesh = placement, jax.sharding.get_abstract_mesh()
    elif isinstance(placement, NamedSharding):
        spec, mesh = placement.spec, placement.mesh
    else:
        return
    text = f"PartitionSpec{tuple(spec)} for {path}"
    if len(spec) > len(shape):
        rule = "a PartitionSpec must not be longer than the shape"
        value_error(rule, f"{text} {shape}", "Give one entry for each axis, or fewer.")
    if mesh.empty:
        rule = "a PartitionSpec needs a mesh in context"
        advice = "Enter one with jax.set_mesh(mesh), or give a NamedSharding."
        value_error(rule, text, advice)
    named = [_names(entry) for entry in spec]
    every = [name for names in named for name in names]
    lacking = [name for name in every if name not in mesh.axis_names]
    if lacking:
        rule = f"a PartitionSpec must name axes of the mesh, {', '.join(mesh.axis_names)}"
        got = f"axis {lacking[0]!r} for {path}"
        value_error(rule, got, "Use one of these names.")
    if len(set(every)) < len(every):
        rule = "a PartitionSpec must name every axis of the mesh once"
        value_error(rule, text, "Leave one of them out.")
    for axis, names in enumerate(named):
        parts = math.prod(mesh.shape[name] for name in names)
        if shape[axis] % parts:
            rule = "a PartitionSpec must divide every axis of the shape evenly"
            got = f"{text} {shape}, whose axis {axis} is to lie on {parts} devices"
            value_error(rule, got, "Leave that axis whole, or make its length a multiple.")


def _names(entry: Any) -> list[str]:
    """Return the axes of the mesh that one entry of a PartitionSpec names."""
    names = entry if isinstance(entry, tuple) else (entry,)
    return [name for name in names if isinstance(name, str)]


def concrete(placement: Placement) -> Sharding | None:
    """Return a placement outside of jit as a sharding: specs are for the current mesh."""
    if isinstance(placement, PartitionSpec):
        return NamedSharding(jax.sharding.get_mesh(), placement)
    if isinstance(placement, NamedSharding) and isinstance(placement.mesh, AbstractMesh):
        mesh = jax.sharding.get_mesh()  # shapes that were made under jax.set_mesh
        if mesh.empty:
            rule = "a placement on an abstract mesh needs that mesh in context"
            advice = "Enter it with jax.set_mesh(mesh)."
            value_error(rule, f"{placement.spec}", advice)
        return NamedSharding(mesh, placement.spec)
    return placement


def put(array: Any, placement: Placement) -> Any:
    """Return an array in its place."""
    if placement is None:
        return array
    if not is_traced(array):
        there = concrete(placement)
        is_there = isinstance(array, jax.Array) and array.sharding == there
        return array if is_there else jax.device_put(array, there)
    if jax.sharding.get_abstract_mesh().are_all_axes_explicit:
        return jax.sharding.reshard(array, placement)
    return jax.lax.with_sharding_constraint(array, placement)


def home_of(inputs: Iterable[Any]) -> Sharding | None:
    """Return the devices that arguments were put on, where results go as under jit.

    Args:
        inputs: Keys, arrays or anything else.
    """
    for value in inputs:
        if isinstance(value, jax.Array) and not is_traced(value) and value.committed:
            sharding = value.sharding
            if isinstance(sharding, NamedSharding):
                return NamedSharding(sharding.mesh, PartitionSpec())
            return sharding if len(sharding.device_set) == 1 else None
    return None


def whole_mesh() -> Sharding | None:
    """Return what puts an array on all devices of the mesh in context, outside of jit."""
    if jax.sharding.get_abstract_mesh().empty or is_traced(jnp.zeros(())):
        return None
    return NamedSharding(jax.sharding.get_mesh(), PartitionSpec())


def placement_context(placement: Placement) -> AbstractContextManager[object]:
    """Return what enters the mesh of a placement, where JAX would ask for that."""
    return mesh_context(placement if isinstance(placement, NamedSharding) else None)


def _broadcast(prefix: Any, tree: PyTree) -> list[Any]:
    def is_leaf(x: Any) -> bool:
        return x is None or _is_placement(x)

    found: list[Any] = []

    def spread(sharding: Any, part: Any) -> None:
        found.extend([sharding] * len(jax.tree.leaves(part)))

    try:
        jax.tree.map(spread, prefix, tree, is_leaf=is_leaf)
    except ValueError as error:
        rule = "out_shardings must be a tree like params, or a prefix of one"
        got = f"another structure ({str(error).splitlines()[0]})"
        value_error(rule, got, "Or give a function of (path, shape).")
    return found
