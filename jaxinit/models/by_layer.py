"""What the adapters of libraries share: layouts and rules that come from layer types."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxinit._checks import listed, type_error, value_error
from jaxinit._distribution import lacks_layout
from jaxinit._layout import Fans, Layout, resolve_fans
from jaxinit._paths import PyTree, flatten, matches, path_text
from jaxinit._types import Initializer, Key
from jaxinit.models.initialize import initialize
from jaxinit.models.placement import OutShardings
from jaxinit.models.plan import Plan, make_plan
from jaxinit.models.rules import CheckedRule, Keep, Rule, check_rules, keep
from jaxinit.trace.use import ParamUse, Uses

Fields = Mapping[str, Initializer | Keep]
"""Names of a layer's arrays (``"kernel"``, ``"bias"``), each with an initializer."""

Rules = Sequence[Rule] | Plan | Mapping[type, Fields]
"""Rules as ``jaxinit.plan`` takes them, a plan, or initializers by layer type."""


class Weight(NamedTuple):
    """What the type of a layer says of one of its arrays.

    Attributes:
        layout: The role of each axis.
        stride: Product of the strides of a transposed convolution: each of its outputs
            sums that many times fewer terms.
        parts: How many weights stand side by side along the output axis, such as gates.
    """

    layout: Layout
    stride: int = 1
    parts: int = 1


class Layer(NamedTuple):
    """One layer of a model.

    Attributes:
        path: Its path.
        layer: The object.
        fields: Path of each of its arrays, by name.
        weights: What its type says of them, by name.
    """

    path: str
    layer: Any
    fields: Mapping[str, str]
    weights: Mapping[str, Weight]


def stacked(shape: Sequence[int], axes: str, at: int = 0, **groups: Any) -> Layout:
    """Return the layout of one layer's weight, with ``B`` for axes that vmap has added.

    Args:
        shape: Axis lengths of the array.
        axes: The letters of the layer itself.
        at: Where the added axes stand.
        **groups: Further fields of :class:`jaxinit.Layout`.

    Returns:
        The layout.
    """
    extra = "B" * (len(shape) - len(axes))
    return Layout(axes[:at] + extra + axes[at:], **groups)


def uses_of(tree: PyTree, layers: Iterable[Layer]) -> Uses:
    """Return what the layers' types say of a tree's leaves, as uses."""
    paths, leaves, _ = flatten(tree)
    found = dict(zip(paths, leaves, strict=True))
    uses: list[ParamUse] = []
    for layer in layers:
        for name, weight in layer.weights.items():
            path = layer.fields.get(name, "")
            if path in found:
                uses.append(_use(path, found[path], weight))
    return Uses(tuple({use.path: use for use in uses}.values()))


def _use(path: str, leaf: Any, weight: Weight) -> ParamUse:
    shape = tuple(leaf.shape)
    fans = resolve_fans(shape, weight.layout)
    fans = Fans(max(1, fans.fan_in / weight.stride), max(1, fans.fan_out / weight.parts))
    splits = None
    if weight.parts > 1:
        (axis,) = weight.layout.positions("O")
        splits = (shape[axis] // weight.parts,) * weight.parts
    dtype = str(leaf.dtype)
    return ParamUse(path, shape, dtype, "weight", weight.layout, fans, splits=splits)


def redraw(
    key: Key,
    tree: PyTree,
    rules: Rules,
    layers: Sequence[Layer],
    *,
    uses: Uses | None = None,
    others: Mapping[str, str] | None = None,
    out_shardings: OutShardings = None,
    example: str | None = None,
) -> PyTree:
    """Return the tree drawn anew, with layouts by layer type.

    Args:
        key: As in :func:`jaxinit.initialize`.
        tree: The parameters.
        rules: As the adapters take them.
        layers: The model's layers, for the layouts and for rules by type.
        uses: Traced uses, which go before what the types say.
        others: Paths of what is no parameter, each with what it is; a rule that matches
            these alone is refused.
        out_shardings: As in :func:`jaxinit.initialize`.
        example: Rules by type, as an error shows them; None where parameters do not show
            the types of their layers.

    Returns:
        The new tree.
    """
    if isinstance(rules, Plan):
        return initialize(key, tree, rules, out_shardings=out_shardings)
    if isinstance(rules, Mapping):
        if example is None:
            rule = "rules by layer type need a model that holds its layers"
            advice = 'Write [("**/w", jaxinit.lecun_normal), ("**/b", jaxinit.zeros)].'
            type_error(rule, "parameters alone", advice)
        given = [*_by_type(layers, rules, example), ("**", keep)]
        pairs = check_rules(given)
    else:
        pairs = check_rules(rules)
        _check_params_only(pairs, tree, others or {})
    known = _checked(uses) if uses is not None else {}
    merged = {**uses_of(tree, layers), **known}
    made = make_plan(tree, pairs, Uses(tuple(merged.values())))
    _check_layouts(made)
    return initialize(key, tree, made, out_shardings=out_shardings)


def _checked(uses: object) -> Uses:
    if not isinstance(uses, Uses):
        advice = "Make them with jaxinit.trace_params(*forward(model), inputs)."
        type_error("uses must be traced uses", f"uses={uses!r}", advice)
    return uses


def _by_type(layers: Sequence[Layer], rules: Mapping[Any, Any], example: str) -> list[Rule]:
    """Return one rule a leaf: of several types that fit a layer, the nearest counts."""
    rule = "rules by type must map layer types to initializers by name"
    for kind, fields in rules.items():
        if not isinstance(kind, type) or not isinstance(fields, Mapping):
            type_error(rule, f"{kind!r}: {fields!r}", f"Write {example}.")
    chosen: dict[str, Any] = {}
    fitting: set[type] = set()
    given: dict[tuple[type, str], bool] = {}
    for layer in layers:
        kind = next((k for k in type(layer.layer).__mro__ if k in rules), None)
        if kind is None:
            continue
        fitting.add(kind)
        for name, initializer in rules[kind].items():
            found = name in layer.fields
            given[kind, name] = given.get((kind, name), False) or found
            if found:
                chosen[layer.fields[name]] = initializer
            elif not _is_left_out(layer.layer, name):
                place = f"{type(layer.layer).__name__} at {layer.path or 'the root'}"
                has = (
                    f"It has {', '.join(layer.fields)}." if layer.fields else "It has none."
                )
                rule = "a layer must have the arrays that are named"
                value_error(rule, f"{name!r} for {place}", has)
    idle = [kind.__name__ for kind in rules if kind not in fitting]
    if idle:
        rule = "every type must fit a layer of the model"
        got = f"none for {', '.join(idle)}"
        value_error(rule, got, "Remove it, or check the model.")
    unused = [
        f"{kind.__name__} {name!r}" for (kind, name), used in given.items() if not used
    ]
    if unused:
        rule = "every name must be that of an array of some layer"
        value_error(rule, f"none for {', '.join(unused)}", "Remove it.")
    return [(_exactly(path), initializer) for path, initializer in chosen.items()]


def _is_left_out(layer: Any, name: str) -> bool:
    """Whether the layer could have that array and was built without it, as a bias."""
    return hasattr(layer, name) or getattr(layer, f"use_{name}", True) is False


def _exactly(path: str) -> Any:
    def match(other: str, _: Any) -> bool:
        return other == path

    match.__name__ = "by type"
    return match


def _check_params_only(
    rules: Sequence[CheckedRule[Any]], tree: PyTree, others: Mapping[str, str]
) -> None:
    """Refuse a pattern that means only what this function does not draw."""
    paths = flatten(tree)[0]
    for match in (rule.match for rule in rules):
        if not isinstance(match, str) or any(matches(match, p) for p in paths):
            continue
        found = [f"{p} ({kind})" for p, kind in others.items() if matches(match, p)]
        if found:
            rule = "rules are for parameters"
            got = f"match={match!r}, which fits only {listed(found)}"
            value_error(rule, got, "Set that variable yourself.")


def _check_layouts(made: Plan) -> None:
    """Ask for the layout of a weight whose axes could be anything."""
    open_ones = [
        f"{row.path} {row.shape}"
        for row in made
        if len(row.shape) > 2
        and not isinstance(row.initializer, Keep)
        and lacks_layout(row.initializer)
    ]
    if open_ones:
        rule = "a weight of three axes or more needs a layout"
        advice = (
            'Bind one, partial(initializer, layout="HWIO"), or pass uses='
            "jaxinit.trace_params(*forward(model), inputs) to read it from the model."
        )
        value_error(rule, f"none for {listed(open_ones)}", advice)


_ONES = ("var", "sigma", "u", "u0")
"""Names of state that is divided by, or of vectors that must not be 0."""


def neutral_state(tree: PyTree) -> PyTree:
    """Return a state with values in place of shapes: means 0, variances 1, keys of seed 0.

    Args:
        tree: Anything; leaves that are no ``jax.ShapeDtypeStruct`` stay as they are.

    Returns:
        A tree of the same structure.
    """

    def value(path: Any, leaf: Any) -> Any:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jnp.broadcast_to(jax.random.key(0), leaf.shape)
        names = path_text(path).replace("'", "").split("/")
        near = names[-1] in _ONES or "moving_variance" in names or "var_ema" in names
        full = jnp.ones if near and jnp.issubdtype(leaf.dtype, jnp.inexact) else jnp.zeros
        return full(leaf.shape, leaf.dtype)

    return jax.tree_util.tree_map_with_path(value, tree)


def window(count: int) -> str:
    """Return the letters of a window of that many axes."""
    return "DHW"[3 - count :] if count <= 3 else "D" * count


def product(strides: int | Sequence[int], rank: int) -> int:
    """Return the product of strides over a window of that rank; an int is for each axis."""
    return strides**rank if isinstance(strides, int) else math.prod(strides)
