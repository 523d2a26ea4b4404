"""``trace_params``: what a forward pass does with each of its parameters."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType

from jaxinit._boundary import boundary
from jaxinit._checks import is_traced, type_error
from jaxinit._paths import PyTree, flatten
from jaxinit.trace.moments.gains import with_gains
from jaxinit.trace.roles.atoms import whole
from jaxinit.trace.roles.resolve import Leaf, resolve
from jaxinit.trace.roles.values import (
    Record,
    Signal,
    Value,
    View,
    flag_summed,
    give_up,
    leaves_of,
)
from jaxinit.trace.roles.walk import Walker, input_value
from jaxinit.trace.use import ParamUse, Stated, Uses, planned_moments


def is_array(leaf: object) -> bool:
    """Whether a leaf is an array, or stands for one."""
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


@boundary
def trace_params(apply_fn: Callable[..., Any], params: PyTree, *inputs: PyTree) -> Uses:
    """Read from the computation how a model uses each of its parameters.

    The forward pass is traced once with abstract values; nothing is computed and no memory
    is taken. Each parameter is followed through casts, reshapes, transposes, slices,
    scalings, ``jit``, ``remat``, custom derivatives, scans, loops, branches and
    ``shard_map``, to the matrix products and convolutions that make it a weight. There its
    axes get their letters, and what stands between it and the weight before is read off
    entry by entry.

    Args:
        apply_fn: The forward pass, ``apply_fn(params, *inputs)``. It must be pure.
        params: Its parameters: any tree of arrays or ``jax.ShapeDtypeStruct``. Leaves that
            are no arrays, such as an Equinox module's functions, are passed as they are.
        *inputs: Its further arguments: trees of arrays or ``jax.ShapeDtypeStruct``. What
            has no shape and dtype (flags, numbers, None) is passed as it is. The last axis
            of an input is taken for its features.

    Returns:
        The use of every parameter, by path. What could not be resolved has the role
        ``"unknown"`` and says why.

    Raises:
        ValueError: Two leaves have the same path.
        TypeError: ``apply_fn`` is not a function, or ``params`` has no arrays.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from jaxinit import trace_params
        >>> def apply(params, x):
        ...     hidden = jnp.maximum(x @ params["w1"].T + params["b1"], 0)
        ...     return hidden @ params["w2"]
        >>> shapes = {"w1": (64, 8), "b1": (64,), "w2": (64, 1)}
        >>> params = {k: jax.ShapeDtypeStruct(s, "float32") for k, s in shapes.items()}
        >>> uses = trace_params(apply, params, jax.ShapeDtypeStruct((4, 8), "float32"))
        >>> uses["w1"].layout.axes, uses["w1"].fans.fan_in
        ('OI', 8)
        >>> uses["w2"].nonlinearity, round(uses["w2"].gain, 4)
        ('relu', 1.4142)
    """
    return uses_of(read_forward(apply_fn, params, inputs))


@dataclasses.dataclass(frozen=True, eq=False)
class Forward:
    """A forward pass, traced once for all that is asked of it.

    Attributes:
        program: Its closed jaxpr, of the arrays of the parameters and then of the inputs.
        paths: The paths of the parameters' arrays.
        own: Their shapes and dtypes.
        data: Those of the inputs' arrays.
        arrays: Which leaves of the parameters are arrays.
        moving: Which leaves of the inputs are.
    """

    program: Any
    paths: list[str]
    own: list[jax.ShapeDtypeStruct]
    data: list[jax.ShapeDtypeStruct]
    arrays: list[int]
    moving: list[int]


def read_forward(
    apply_fn: Callable[..., Any], params: PyTree, inputs: tuple[PyTree, ...]
) -> Forward:
    """Trace a forward pass, with abstract values for all arrays."""
    if not callable(apply_fn):
        advice = "Give the function apply_fn(params, *inputs)."
        type_error("apply_fn must be a function", f"{apply_fn!r}", advice)
    paths, leaves, structure = flatten(params)
    arrays = [i for i, leaf in enumerate(leaves) if is_array(leaf)]
    if not arrays:
        advice = "Give the model's parameters, or shapes of them by jax.eval_shape."
        type_error("params must hold arrays", f"{len(leaves)} other leaves", advice)
    inputs_flat, inputs_structure = jax.tree.flatten(inputs)
    moving = [i for i, leaf in enumerate(inputs_flat) if is_array(leaf)]

    def forward(own: list[Any], data: list[Any]) -> list[Any]:
        filled, given = list(leaves), list(inputs_flat)
        for i, value in zip(arrays, own, strict=True):
            filled[i] = value
        for i, value in zip(moving, data, strict=True):
            given[i] = value
        tree = jax.tree.unflatten(structure, filled)
        result = apply_fn(tree, *jax.tree.unflatten(inputs_structure, given))
        return [leaf for leaf in jax.tree.leaves(result) if is_array(leaf)]

    own = [_abstract(leaves[i]) for i in arrays]
    data = [_narrowed(_abstract(inputs_flat[i])) for i in moving]
    program = jax.make_jaxpr(forward)(own, data)
    return Forward(program, [paths[i] for i in arrays], own, data, arrays, moving)


def uses_of(forward: Forward, stated: Stated = lambda _: None) -> Uses:
    """Ask a forward pass what its parameters do, and how large what enters weights is.

    Args:
        forward: The forward pass.
        stated: What rules say of tables, biases and scales.

    Returns:
        The uses, with gains.
    """
    uses = roles_of(forward)
    found = with_gains(forward.program, uses, forward.own, forward.data, stated)
    return Uses(tuple(found), forward)


def as_stated(uses: Uses, stated: Stated) -> Uses:
    """Return uses of which the gains go by what rules say, where they can be read again."""
    others = [use for use in uses.values() if use.role in ("bias", "embedding", "scale")]
    usual = all(stated(use) in (None, planned_moments(use)) for use in others)
    return uses if usual or uses.forward is None else uses_of(uses.forward, stated)


def roles_of(forward: Forward) -> list[ParamUse]:
    """Ask a forward pass what its parameters do: uses without gains."""
    walk = Walker(forward.paths)
    views: list[Value] = [View(i, whole(x.shape)) for i, x in enumerate(forward.own)]
    given = [input_value(walk, leaf.shape, leaf.dtype) for leaf in forward.data]
    _check_outputs(walk, walk.run(forward.program, [*views, *given]))
    by_leaf: dict[int, list[Record]] = {}
    for record in walk.records:
        by_leaf.setdefault(record.leaf, []).append(record)
    return [
        resolve(Leaf(walk.paths[i], leaf.shape, str(leaf.dtype)), by_leaf.get(i, []))
        for i, leaf in enumerate(forward.own)
    ]


def _abstract(leaf: Any) -> jax.ShapeDtypeStruct:
    sharding = getattr(jax.typeof(leaf) if is_traced(leaf) else leaf, "sharding", None)
    mesh = getattr(sharding, "mesh", None)
    explicit = AxisType.Explicit in getattr(mesh, "axis_types", ())
    # Under explicit axes the sharding is part of the type that a model checks.
    place = sharding if explicit else None
    return jax.ShapeDtypeStruct(np.shape(leaf), leaf.dtype, sharding=place)


def _narrowed(data: jax.ShapeDtypeStruct) -> jax.ShapeDtypeStruct:
    """Return an input as JAX takes it: NumPy's float64 and int64 are narrow in it."""
    if not isinstance(data.dtype, np.dtype):  # a key
        return data
    dtype = jax.dtypes.canonicalize_dtype(data.dtype)
    return jax.ShapeDtypeStruct(data.shape, dtype, sharding=data.sharding)


def _check_outputs(walk: Walker, outputs: list[Value]) -> None:
    """Say of parameters that come out as they went in."""
    for value in outputs:
        if isinstance(value, Signal):
            flag_summed(walk, value)
        elif leaves_of([value]):
            give_up(walk, [value], "returned without meeting the data")
