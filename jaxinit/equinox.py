"""Equinox: draw the arrays of a module anew, and see it as a pure function.

Equinox keeps weights as (out, in) and kernels as (out, in, ...). The functions here know
that from the types of the layers, so initializers need no ``layout``.
"""

import inspect
from collections.abc import Callable
from typing import Any

try:
    import equinox
except ModuleNotFoundError as error:  # say what to install, not only what is missing
    text = "jaxinit.equinox needs equinox: pip install equinox"
    raise ModuleNotFoundError(text, name="equinox") from error

import jax
import jax.numpy as jnp
from jax.tree_util import GetAttrKey

from jaxinit._boundary import boundary
from jaxinit._checks import type_error
from jaxinit._layout import Layout
from jaxinit._paths import path_text
from jaxinit._types import Key
from jaxinit.models.by_layer import (
    Layer,
    Rules,
    Weight,
    neutral_state,
    product,
    redraw,
    stacked,
    window,
)
from jaxinit.models.placement import OutShardings
from jaxinit.trace.use import Uses


@boundary
def reinitialize(
    key: Key,
    module: Any,
    rules: Rules,
    *,
    uses: Uses | None = None,
    out_shardings: OutShardings = None,
) -> Any:
    """Return the module with arrays drawn anew, all else as it was.

    Initializers of this package that were given no ``layout`` get that of the layer:
    ``Linear``, ``Conv``, ``ConvTranspose`` (grouped and strided ones too), ``GRUCell`` and
    ``LSTMCell`` (each gate is a weight of its own), and all that is made of them, such as
    ``MLP`` and ``MultiheadAttention``; layers stacked by ``filter_vmap`` too.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        module: An Equinox module, or any tree that holds some; abstract ones from
            ``equinox.filter_eval_shape`` too, if nothing of them is kept.
        rules: Pairs (match, initializer) as :func:`jaxinit.plan` takes them, over paths
            such as ``layers/0/weight``; or a plan; or, by layer type,
            ``{equinox.nn.Linear: {"weight": initializer, "bias": initializer}}``, which
            keeps all other arrays. Of several types that fit, the most specific counts.
        uses: What :func:`jaxinit.trace_params` found of this module, for layers of types
            that are not known here.
        out_shardings: As in :func:`jaxinit.initialize`.

    Returns:
        A new module of the same structure. Only arrays of floating-point or complex
        numbers are drawn.

    Raises:
        ValueError: As :func:`jaxinit.initialize`; or a type fits no layer, a layer has no
            array of a given name, or a weight of three axes or more has no layout.
        TypeError: As :func:`jaxinit.initialize`.

    Example:
        >>> import equinox as eqx
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.equinox import reinitialize
        >>> mlp = eqx.nn.MLP(784, 10, 512, depth=1, key=jax.random.key(0))
        >>> new = {eqx.nn.Linear: {"weight": jaxinit.kaiming_normal, "bias": jaxinit.zeros}}
        >>> mlp = reinitialize(jax.random.key(1), mlp, new)
        >>> float(mlp.layers[0].bias.sum()), round(float(mlp.layers[1].weight.std()), 3)
        (0.0, 0.062)
        >>> rules = [("**/bias", jaxinit.zeros), ("**/weight", jaxinit.orthogonal)]
        >>> mlp = reinitialize(jax.random.key(1), mlp, rules)
    """
    arrays, static = equinox.partition(module, _is_parameter)
    layers = [Layer(*found) for found in _layers(module)]
    example = '{equinox.nn.Linear: {"weight": initializer}}'
    new = redraw(
        key,
        arrays,
        rules,
        layers,
        uses=uses,
        out_shardings=out_shardings,
        example=example,
    )
    return equinox.combine(new, static)


def _layers(module: Any) -> list[tuple[str, Any, dict[str, str], dict[str, Weight]]]:
    """Return every module inside of a tree, outer ones first."""
    found: list[tuple[str, Any, dict[str, str], dict[str, Weight]]] = []

    def visit(prefix: tuple[Any, ...], tree: Any) -> None:
        def is_inner(node: Any) -> bool:
            return node is not tree and isinstance(node, equinox.Module)

        if isinstance(tree, equinox.Module):
            fields = {
                name: path_text((*prefix, GetAttrKey(name), *inside))
                for name, value in vars(tree).items()
                if (inside := _path_to_array(value)) is not None
            }
            found.append((path_text(prefix), tree, fields, _weights(tree)))
        pairs = jax.tree_util.tree_flatten_with_path(tree, is_leaf=is_inner)[0]
        for path, node in pairs:
            if is_inner(node):
                visit((*prefix, *path), node)

    visit((), module)
    return found


def _path_to_array(value: Any) -> tuple[Any, ...] | None:
    """Return where the one array of a field is: right there, or in a box of Haliax."""
    if isinstance(value, equinox.Module):
        return None
    pairs = jax.tree_util.tree_flatten_with_path(value)[0]
    return pairs[0][0] if len(pairs) == 1 and _is_parameter(pairs[0][1]) else None


def _weights(layer: Any) -> dict[str, Weight]:
    """Return what the type of a layer says of its arrays."""
    nn = equinox.nn
    if isinstance(layer, nn.Linear):
        return {"weight": Weight(stacked(layer.weight.shape, "OI"))}
    if isinstance(layer, (nn.Conv, nn.ConvTranspose)):
        axes = "OI" + window(layer.num_spatial_dims)
        layout = stacked(layer.weight.shape, axes, groups=layer.groups)
        upwards = isinstance(layer, nn.ConvTranspose)
        strides = product(layer.stride, layer.num_spatial_dims) if upwards else 1
        return {"weight": Weight(layout, strides)}
    if isinstance(layer, (nn.GRUCell, nn.LSTMCell)):
        gates = 3 if isinstance(layer, nn.GRUCell) else 4
        names = ("weight_ih", "weight_hh")
        layouts: dict[str, Layout] = {
            n: stacked(getattr(layer, n).shape, "OI") for n in names
        }
        return {name: Weight(layout, 1, gates) for name, layout in layouts.items()}
    return {}


@boundary
def forward(
    module: Any, *, state: Any = None, axis_name: str | None = None, **options: Any
) -> tuple[Callable[..., Any], Any]:
    r"""Return ``(apply_fn, params)``, for ``trace_params``, ``auto`` and ``lsuv``.

    Args:
        module: An Equinox module that can be called; may be abstract. A ``key`` argument
            of it is filled in.
        state: What ``equinox.nn.make_with_state`` gave, for a module that takes and returns
            one; the new state is dropped.
        axis_name: For a module that needs a batch, such as ``equinox.nn.BatchNorm``: the
            name of its axis. Inputs then have that axis first.
        **options: Keyword arguments of the call; those given to ``apply_fn`` go before.

    Returns:
        A pure function of (params, \\*inputs), and the module's floating-point arrays as a
        tree; their paths are those of :func:`reinitialize`.

    Raises:
        TypeError: The module cannot be called.

    Example:
        >>> import equinox as eqx
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.equinox import forward
        >>> module = eqx.nn.Linear(3, 4, key=jax.random.key(0))
        >>> apply_fn, params = forward(module)
        >>> x = jax.ShapeDtypeStruct((3,), "float32")
        >>> uses = jaxinit.trace_params(apply_fn, params, x)
        >>> uses["weight"].layout.axes
        'OI'
    """
    if not callable(module):
        advice = "Give a module with __call__."
        type_error("module must be callable", f"{type(module).__name__}", advice)
    arrays, static = equinox.partition(module, _is_parameter)
    static, state = neutral_state((static, state))
    wants_key = "key" in inspect.signature(module).parameters and "key" not in options

    def apply_fn(params: Any, *inputs: Any, **more: Any) -> Any:
        call = equinox.combine(params, static)
        given = ({"key": jax.random.key(0)} if wants_key else {}) | options | more
        if state is None:
            return call(*inputs, **given)
        fresh = jax.tree.map(lambda leaf: leaf, state)  # Equinox marks a used state
        return call(*inputs, fresh, **given)[0]

    if axis_name is None:
        return apply_fn, arrays

    def batched(params: Any, *inputs: Any, **more: Any) -> Any:
        def one(*example: Any) -> Any:
            return apply_fn(params, *example, **more)

        return jax.vmap(one, axis_name=axis_name)(*inputs)

    return batched, arrays


def _is_parameter(leaf: Any) -> bool:
    """Whether it is an array, or the shape of one, of floating-point or complex numbers."""
    dtype = getattr(leaf, "dtype", None)
    return (
        hasattr(leaf, "shape") and dtype is not None and jnp.issubdtype(dtype, jnp.inexact)
    )


__all__ = [
    "forward",
    "reinitialize",
]
