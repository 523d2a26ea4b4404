"""Equinox: re-initialise a module that exists, or build one fast.

An Equinox module is a tree, so :func:`jaxinit.initialize` takes it as it is. What is here
chooses layers by their type, which is what one has at hand in Equinox.
"""

from collections.abc import Callable, Mapping
from typing import Any

try:
    import equinox
except ModuleNotFoundError as error:  # say what to install, not only what is missing
    text = "jaxinit.equinox needs equinox: pip install equinox"
    raise ModuleNotFoundError(text, name="equinox") from error

import jax

from jaxinit._boundary import boundary
from jaxinit._checks import type_error, value_error
from jaxinit._paths import path_text
from jaxinit._types import Initializer, Key
from jaxinit.models.initialize import OutShardings, initialize
from jaxinit.models.plan import Rule, keep

Fields = Mapping[str, Initializer]
"""Names of a layer's arrays (``"weight"``, ``"bias"``), each with an initializer."""


@boundary
def reinitialize(
    key: Key,
    module: Any,
    layers: Mapping[type, Fields],
    *,
    out_shardings: OutShardings = None,
) -> Any:
    """Return the module with the arrays of chosen layers drawn anew, all else as it was.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        module: An Equinox module, or any tree that holds some; abstract ones from
            ``equinox.filter_eval_shape`` too, if nothing of them is kept.
        layers: For each layer type, which of its arrays to make, and how. Equinox keeps
            weights as (out, in) and kernels as (out, in, ...): bind the layout, as in
            ``partial(jaxinit.kaiming_normal, layout="OI")``. Of several types that fit, the
            most specific counts.
        out_shardings: As in :func:`jaxinit.initialize`.

    Returns:
        A new module of the same structure.

    Raises:
        ValueError: A type fits no layer, or a layer has no array of a given name.
        TypeError: ``layers`` is not such a mapping.

    Example:
        >>> from functools import partial
        >>> import equinox as eqx
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.equinox import reinitialize
        >>> mlp = eqx.nn.MLP(64, 10, 512, depth=2, key=jax.random.key(0))
        >>> he = partial(jaxinit.kaiming_normal, layout="OI")
        >>> new = {eqx.nn.Linear: {"weight": he, "bias": jaxinit.zeros}}
        >>> mlp = reinitialize(jax.random.key(1), mlp, new)
        >>> float(mlp.layers[0].bias.sum()), round(float(mlp.layers[0].weight.std()), 2)
        (0.0, 0.18)
    """
    where = "reinitialize"
    if not isinstance(layers, Mapping) or not all(
        isinstance(kind, type) for kind in layers
    ):
        rule = "layers must map layer types to initializers by name"
        advice = 'Write {equinox.nn.Linear: {"weight": initializer}}.'
        type_error(where, rule, f"layers={layers!r}", advice)
    rules = _rules(where, module, layers)
    return initialize(key, module, [*rules, ("**", keep)], out_shardings=out_shardings)


def _rules(where: str, module: Any, layers: Mapping[type, Fields]) -> list[Rule]:
    kinds = tuple(layers)

    def is_layer(node: Any) -> bool:
        return isinstance(node, kinds)

    found = jax.tree_util.tree_flatten_with_path(module, is_leaf=is_layer)[0]
    chosen: dict[str, Initializer] = {}
    fitting: set[type] = set()
    for path, node in found:
        if not is_layer(node):
            continue
        kind = next(k for k in type(node).__mro__ if k in layers)
        fitting.add(kind)
        for name, initializer in layers[kind].items():
            if getattr(node, name, None) is None:
                if name == "bias":
                    continue  # a layer without one
                got = (
                    f"{name!r} for {type(node).__name__} at {path_text(path) or 'the root'}"
                )
                rule = "a layer must have the arrays that are named"
                value_error(where, rule, got, "Look at the layer's fields.")
            step = jax.tree_util.GetAttrKey(name)
            chosen[path_text((*path, step))] = initializer
    idle = [kind.__name__ for kind in kinds if kind not in fitting]
    if idle:
        rule = "every type must fit a layer of the module"
        value_error(
            where, rule, f"none for {', '.join(idle)}", "Remove it, or check the module."
        )

    def rule_for(path: str, initializer: Initializer) -> Rule:
        def match(other: str, _: Any) -> bool:
            return other == path

        match.__name__ = "by type"
        return match, initializer

    return [rule_for(path, initializer) for path, initializer in chosen.items()]


@boundary
def forward(module: Any) -> tuple[Callable[..., Any], Any]:
    r"""Return ``(apply_fn, params)``, for ``trace_params``, ``auto`` and ``audit``.

    Args:
        module: An Equinox module that can be called.

    Returns:
        A function of (arrays, \\*inputs), and the module's arrays as a tree.

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
        type_error("forward", "module must be callable", f"{type(module).__name__}", advice)
    arrays, static = equinox.partition(module, _is_array)

    def apply_fn(params: Any, *inputs: Any) -> Any:
        return equinox.combine(params, static)(*inputs)

    return apply_fn, arrays


def _is_array(leaf: Any) -> bool:
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")
