"""Where results live: what ``out_sharding`` may be, and how it is carried out."""

import contextlib
import difflib
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import jax
import numpy as np
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from jaxinit._checks import shown, type_error, value_error
from jaxinit._types import OutSharding


def check_out_sharding(sharding: OutSharding, shape: Sequence[int]) -> OutSharding:
    """Return the sharding if JAX can place a result of that shape by it here and now."""
    if sharding is None:
        return None
    if isinstance(sharding, PartitionSpec):
        mesh = jax.sharding.get_abstract_mesh()
        if mesh.empty:
            rule = "out_sharding as a PartitionSpec needs a mesh in context"
            advice = "Enter one with jax.set_mesh(mesh), or give a NamedSharding."
            value_error(rule, _text_of(sharding), advice)
        _check_spec(sharding, mesh, shape)
        return sharding
    if isinstance(sharding, NamedSharding):
        _check_spec(sharding.spec, sharding.mesh, shape)
        try:
            with mesh_context(sharding):
                return sharding
        except (ValueError, TypeError):  # inside jit no mesh can be entered
            rule = "out_sharding on a mesh with explicit axes needs that mesh in context"
            got = f"{_text_of(sharding.spec)} inside jit without it"
            value_error(rule, got, "Call jit under jax.set_mesh(mesh).")
    rule = "out_sharding must be a NamedSharding, a PartitionSpec or None"
    advice = "Build one with jax.sharding.NamedSharding(mesh, spec)."
    type_error(rule, f"out_sharding={shown(sharding)}", advice)


def _text_of(spec: PartitionSpec) -> str:
    return f"out_sharding=PartitionSpec{tuple(spec)}"


def _check_spec(spec: PartitionSpec, mesh: Any, shape: Sequence[int]) -> None:
    got = f"{_text_of(spec)} for shape={tuple(shape)}"
    if len(spec) > len(shape):
        rule = "out_sharding must have no more entries than shape has axes"
        value_error(rule, got, "Leave out the last entries.")
    sizes = dict(zip(mesh.axis_names, mesh.axis_sizes, strict=True))
    kinds = dict(zip(mesh.axis_names, mesh.axis_types, strict=True))
    used: list[object] = []
    for axis, entry in enumerate(spec):
        names = entry if isinstance(entry, tuple) else (entry,)
        names = [n for n in names if n is not None and n is not PartitionSpec.UNCONSTRAINED]
        for name in names:
            _check_axis(name, kinds, used)
        parts = math.prod(sizes[name] for name in names)
        if shape[axis] % parts:
            rule = "out_sharding must divide every axis of the shape evenly"
            which = f"{got}, whose axis {axis} is to lie on {parts} devices"
            advice = "Leave that axis whole, or make its length a multiple."
            value_error(rule, which, advice)


def _check_axis(name: object, kinds: dict[Any, Any], used: list[object]) -> None:
    """Refuse an axis that the mesh lacks, that is used twice, or that is mapped by hand."""
    if name not in kinds:
        rule = f"out_sharding must name axes of the mesh: {', '.join(map(str, kinds))}"
        near = difflib.get_close_matches(str(name), list(map(str, kinds)), n=1)
        advice = f"Did you mean {near[0]!r}?" if near else "Name one of these, or None."
        value_error(rule, f"{name!r}", advice)
    if name in used:
        rule = "out_sharding must name every axis of the mesh once"
        value_error(rule, f"{name!r} twice", "Leave one of them out.")
    if kinds[name] == AxisType.Manual:
        rule = "out_sharding must not name an axis that shard_map maps over"
        value_error(rule, f"{name!r}", "Draw the block of each device by window.")
    used.append(name)


def mesh_context(sharding: OutSharding) -> AbstractContextManager[object]:
    """Return what enters the mesh of a sharding, where JAX would ask for that."""
    if (
        isinstance(sharding, NamedSharding)
        and AxisType.Explicit in sharding.mesh.axis_types
        and jax.sharding.get_abstract_mesh().empty
    ):
        return jax.set_mesh(sharding.mesh)  # pyright: ignore[reportArgumentType]
    return contextlib.nullcontext()


def placed(f: Callable[..., jax.Array], sharding: OutSharding) -> Callable[..., jax.Array]:
    """Return ``f`` with its result, one array, placed by the sharding."""
    if sharding is None:
        return f
    current = jax.sharding.get_abstract_mesh()
    mesh = sharding.mesh if isinstance(sharding, NamedSharding) else current
    explicit = tuple(
        name
        for name, kind in zip(mesh.axis_names, mesh.axis_types, strict=True)
        if kind == AxisType.Explicit
    )

    def constrained(*args: Any) -> jax.Array:
        return lax.with_sharding_constraint(f(*args), sharding)

    run: Callable[..., Any] = constrained
    if explicit:
        run = jax.sharding.auto_axes(f, axes=explicit, out_sharding=sharding)
    if isinstance(sharding, NamedSharding) and sharding.memory_kind is not None:
        return lambda *args: jax.device_put(run(*args), sharding)
    return run


def handed_over(values: Any) -> Any:
    """Return NumPy arrays as JAX takes them where transfers must be asked for."""
    guard = jax.config.jax_transfer_guard_host_to_device  # pyright: ignore[reportAttributeAccessIssue]
    if guard in {None, "allow"}:
        return values
    return jax.tree.map(
        lambda v: jax.device_put(v) if isinstance(v, (np.ndarray, np.generic)) else v,
        values,
    )
