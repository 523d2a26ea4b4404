"""Flax: NNX modules and linen variables drawn anew, and models as pure functions."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

try:
    from flax import linen, nnx
    from flax.core import DenyList
except ModuleNotFoundError as error:  # say what to install, not only what is missing
    text = "jaxinit.flax needs flax: pip install flax"
    raise ModuleNotFoundError(text, name="flax") from error

import jax
import jax.numpy as jnp

from jaxinit._boundary import boundary
from jaxinit._checks import check_key, listed, type_error, value_error
from jaxinit._layout import Layout
from jaxinit._paths import flatten
from jaxinit._types import Key
from jaxinit.models.by_layer import (
    Layer,
    Rules,
    Weight,
    neutral_state,
    product,
    redraw,
    window,
)
from jaxinit.models.einsum import einsum_axes
from jaxinit.models.keys import path_key
from jaxinit.models.materialize import materialize
from jaxinit.models.placement import OutShardings
from jaxinit.trace.use import Uses


@boundary
def reinitialize(
    key: Key,
    model: Any,
    rules: Rules,
    *,
    uses: Uses | None = None,
    out_shardings: OutShardings = None,
) -> Any:
    """Draw the parameters of a model anew: an NNX module in place, linen variables as new.

    Paths are the names of attributes or submodules: ``blocks/0/linear/kernel``. Of an NNX
    module the layouts of ``Linear``, ``LinearGeneral``, ``Conv``, ``ConvTranspose``,
    ``Einsum`` and all that is made of them are known, also when stacked by ``nnx.vmap``.
    Linen's variables do not show them: pass ``uses`` for weights of three axes or more.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        model: An NNX module, whose ``nnx.Param`` variables are drawn; it may be abstract
            (``nnx.eval_shape``), and then gets keys for its ``Rngs``, too, and running
            means of 0 and variances of 1. Or linen's variables: those of the collection
            ``"params"`` are drawn, boxes such as ``nn.Partitioned`` stay.
        rules: Pairs (match, initializer) as for :func:`jaxinit.plan`; a plan; or, for
            NNX, by layer type: ``{nnx.Linear: {"kernel": initializer}}``, which keeps all
            else.
        uses: What :func:`jaxinit.trace_params` found, for layouts.
        out_shardings: As in :func:`jaxinit.initialize`. Flax leaves placement to the
            compiler, so its layers need a mesh of Auto axes:
            ``jax.make_mesh(shape, names, axis_types=(jax.sharding.AxisType.Auto,) * n)``.
            On one of Explicit axes, which ``make_mesh`` gives by default, attention raises
            a ``ShardingTypeError`` unless it runs inside ``jax.sharding.auto_axes``.

    Returns:
        The NNX module itself, changed; or new linen variables.

    Raises:
        ValueError: As :func:`jaxinit.initialize`; or a rule matches only variables that are
            no parameters; or a weight of three axes or more has no layout.
        TypeError: ``model`` is neither, or as :func:`jaxinit.initialize`.

    Example:
        >>> from flax import nnx
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.flax import reinitialize
        >>> module = nnx.eval_shape(lambda: nnx.Linear(256, 128, rngs=nnx.Rngs(0)))
        >>> rules = [("bias", jaxinit.zeros), ("kernel", jaxinit.kaiming_normal)]
        >>> module = reinitialize(jax.random.key(1), module, rules)
        >>> round(float(module.kernel[...].std()) * 128**0.5, 1)
        1.0
    """
    options: Any = {"uses": uses, "out_shardings": out_shardings}
    if isinstance(model, nnx.Module):
        return _reinitialize_nnx(key, model, rules, options)
    if not isinstance(model, Mapping):
        rule = "model must be an NNX module, or linen's variables"
        advice = "For a linen module, pass what its init gave."
        type_error(rule, f"{type(model).__name__}", advice)
    if not isinstance(model.get("params"), Mapping):
        return redraw(key, model, rules, [], **options)
    rest = {name: tree for name, tree in model.items() if name != "params"}
    paths = flatten(rest)[0]
    others = {path.partition("/")[2]: path.partition("/")[0] for path in paths}
    new = redraw(key, model["params"], rules, [], others=others, **options)
    return type(model)({**model, "params": new})  # pyright: ignore[reportCallIssue]


def _reinitialize_nnx(key: Key, module: Any, rules: Rules, options: Any) -> Any:
    _, params, rest = nnx.split(module, nnx.Param, ...)
    variables = jax.tree.leaves(rest, is_leaf=lambda node: isinstance(node, nnx.Variable))
    paths, leaves, _ = flatten(rest)
    kinds = [type(variable).__name__ for variable in variables]
    others = dict(zip(paths, kinds, strict=True)) if len(paths) == len(kinds) else {}
    _check_known(dict(zip(paths, leaves, strict=True)))
    example = '{nnx.Linear: {"kernel": initializer}}'
    layers = list(_layers(module))
    new = redraw(key, params, rules, layers, others=others, example=example, **options)
    nnx.update(module, new, _with_values(key, rest))
    return module


def _check_known(leaves: Mapping[str, Any]) -> None:
    """Refuse abstract state that has no neutral value, such as a cache's integers."""
    shapes = {p: x for p, x in leaves.items() if isinstance(x, jax.ShapeDtypeStruct)}
    names = ("mean", "var", "count", "key")
    unknown = [p for p in shapes if p.rpartition("/")[2] not in names]
    if unknown:
        rule = "variables that are no parameters must have values"
        advice = "Build the module with nnx.jit, or set them first."
        value_error(rule, f"only shapes for {listed(unknown)}", advice)


def _with_values(key: Key, rest: Any) -> Any:
    """Return the state of an abstract module with keys of its own and neutral averages."""
    typed = check_key(key)
    paths, leaves, structure = flatten(rest)

    def value(path: str, leaf: Any) -> Any:
        is_shape = isinstance(leaf, jax.ShapeDtypeStruct)
        if is_shape and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            return jnp.broadcast_to(path_key(typed, path), leaf.shape)
        return leaf

    made = [value(path, leaf) for path, leaf in zip(paths, leaves, strict=True)]
    return neutral_state(jax.tree.unflatten(structure, made))


_GATES = {nnx.OptimizedLSTMCell: 4, nnx.GRUCell: 3}


def _layers(module: Any) -> Iterator[Layer]:
    nodes = [(path, node) for path, node in nnx.iter_graph(module)]
    gates: dict[int, int] = {}  # of linear layers that hold all gates of a cell
    for _, node in nodes:
        for kind, count in _GATES.items():
            if isinstance(node, kind):
                gates |= {id(node.dense_i): count, id(node.dense_h): count}
    for path, node in nodes:
        if isinstance(node, nnx.Module):
            here = "/".join(map(str, path))
            prefix = f"{here}/" if here else ""
            params = {k: v for k, v in vars(node).items() if isinstance(v, nnx.Param)}
            fields = {name: prefix + name for name in params}
            weights = _weights(node)
            if id(node) in gates:
                weights = {n: w._replace(parts=gates[id(node)]) for n, w in weights.items()}
            yield Layer(here, node, fields, weights)


def _weights(layer: Any) -> dict[str, Weight]:
    """Return what the type of a layer says of its kernel."""
    if isinstance(layer, nnx.Linear):
        own, axes = (layer.in_features, layer.out_features), "IO"
    elif isinstance(layer, nnx.LinearGeneral):
        sizes = (layer.batch_axis.values(), layer.in_features, layer.out_features)
        own = tuple(n for part in sizes for n in part)
        axes = "".join(a * len(part) for a, part in zip("BIO", sizes, strict=True))
    elif isinstance(layer, nnx.Conv):
        own, axes = layer.kernel_shape, window(len(layer.kernel_size)) + "IO"
        layout = _stacked(layer.kernel, own, axes)
        groups = layer.feature_group_count
        return {"kernel": Weight(Layout(layout.axes, groups=groups))}
    elif isinstance(layer, nnx.ConvTranspose):
        rank = len(layer.kernel_size)
        own = layer.kernel_shape
        axes = window(rank) + ("OI" if layer.transpose_kernel else "IO")
        strides = 1 if layer.strides is None else product(layer.strides, rank)
        return {"kernel": Weight(_stacked(layer.kernel, own, axes), strides)}
    elif isinstance(layer, nnx.Einsum):
        found = einsum_axes(layer.einsum_str, 1)
        if found is None:
            return {}
        own, axes = layer.kernel_shape, found
    else:
        return {}
    return {"kernel": Weight(_stacked(layer.kernel, own, axes))}


def _stacked(kernel: Any, own: Sequence[int], axes: str) -> Layout:
    """Return the layout of a kernel to which ``nnx.vmap`` may have added axes."""
    shape = tuple(kernel.shape)
    extra = len(shape) - len(own)
    fits = [i for i in range(len(own) + 1) if shape[:i] + shape[i + extra :] == tuple(own)]
    at = fits[0] if fits else 0
    return Layout(axes[:at] + "B" * extra + axes[at:])


@boundary
def forward(model: Any, *inputs: Any, **options: Any) -> tuple[Callable[..., Any], Any]:
    r"""Return ``(apply_fn, params)``, for ``trace_params``, ``auto`` and ``lsuv``.

    Args:
        model: An NNX module that can be called, which may be abstract, or a linen module.
        *inputs: For a linen module, its inputs, as arrays or shapes; NNX needs none.
        **options: Keyword arguments of the call, such as ``train=False``; those that
            ``apply_fn`` is given go before.

    Returns:
        A pure function of (params, \\*inputs), and the params: the ``nnx.Param`` variables'
        state, or the shapes of linen's collection ``"params"``. Linen's function takes
        whole variables, too. Random numbers come from fixed keys; state that changes, such
        as running averages, starts at the module's (linen: means 0, variances 1), and the
        new one is dropped.

    Raises:
        ValueError: A linen module without inputs.
        TypeError: ``model`` is neither.

    Example:
        >>> from flax import linen, nnx
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.flax import forward
        >>> module = nnx.eval_shape(lambda: nnx.Linear(256, 128, rngs=nnx.Rngs(0)))
        >>> x = jax.ShapeDtypeStruct((2, 256), "float32")
        >>> uses = jaxinit.trace_params(*forward(module), x)
        >>> uses["kernel"].fans
        Fans(fan_in=256, fan_out=128)
        >>> uses = jaxinit.trace_params(*forward(linen.Dense(128), x), x)
        >>> uses["kernel"].fans
        Fans(fan_in=256, fan_out=128)
    """
    if isinstance(model, linen.Module):
        return _forward_linen(model, inputs, options)
    _check_module(model)
    graph, params, rest = nnx.split(model, nnx.Param, ...)
    rest = neutral_state(rest)

    def apply_fn(params: Any, *inputs: Any, **more: Any) -> Any:
        # Fresh variables, which the module may change while it is traced.
        others = jax.tree.map(lambda leaf: leaf, rest)
        call: Any = nnx.merge(graph, params, others)
        return call(*inputs, **options | more)

    return apply_fn, params


def _forward_linen(
    model: linen.Module, inputs: tuple[Any, ...], options: dict[str, Any]
) -> tuple[Callable[..., Any], Any]:
    if not inputs:
        rule = "a linen module needs its inputs to know its parameters"
        advice = "Write forward(model, x), where x may be a jax.ShapeDtypeStruct."
        value_error(rule, "none", advice)
    key = jax.random.key(0)
    shapes = jax.eval_shape(lambda *x: model.init(key, *x, **options), *inputs)
    rest = neutral_state({name: tree for name, tree in shapes.items() if name != "params"})

    def apply_fn(params: Any, *x: Any, **more: Any) -> Any:
        is_whole = isinstance(params, Mapping) and isinstance(params.get("params"), Mapping)
        variables = {**rest, **(params if is_whole else {"params": params})}
        rngs = {"params": key}  # which linen takes for every name that is not there
        return model.apply(
            variables, *x, rngs=rngs, mutable=DenyList("params"), **options | more
        )[0]

    return apply_fn, shapes.get("params", {})


@boundary
def materialize_nnx(
    build: Callable[[nnx.Rngs], nnx.Module],
    key: Key,
    *,
    out_shardings: OutShardings = None,
) -> Any:
    """Build an NNX module with its own initializers, fast: see :func:`jaxinit.materialize`.

    Args:
        build: A function from ``nnx.Rngs`` to a module.
        key: One typed key, which the ``Rngs`` are made of.
        out_shardings: As in :func:`jaxinit.materialize`; paths are those of the state.

    Returns:
        The module that ``build(nnx.Rngs(key))`` gives, up to rounding.

    Raises:
        TypeError: ``build`` gives no NNX module.

    Example:
        >>> from flax import nnx
        >>> import jax
        >>> from jaxinit.flax import materialize_nnx
        >>> key = jax.random.key(0)
        >>> module = materialize_nnx(lambda rngs: nnx.Linear(8, 4, rngs=rngs), key)
        >>> same = nnx.Linear(8, 4, rngs=nnx.Rngs(key))
        >>> bool(jax.numpy.allclose(module.kernel[...], same.kernel[...], rtol=1e-6))
        True
    """
    typed = check_key(key)
    graphs: list[Any] = []

    def state_of(key: Key) -> Any:
        module = build(nnx.Rngs(key))
        _check_module(module)
        graph, state = nnx.split(module)
        graphs.append(graph)
        return state

    state = materialize(state_of, typed, out_shardings=out_shardings)
    return nnx.merge(graphs[-1], state)


def _check_module(module: object) -> None:
    if not isinstance(module, nnx.Module):
        rule = "module must be an NNX module"
        advice = "Give an nnx.Module that is built, or abstract."
        type_error(rule, f"{type(module).__name__}", advice)


__all__ = [
    "forward",
    "materialize_nnx",
    "reinitialize",
]
