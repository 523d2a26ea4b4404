"""PyTorch's tensors as the parameters of Flax, NNX, Haiku and Equinox.

Every function takes one layer's description and its tensors, by PyTorch's names, and
returns a nested dict with the names and axes of the other library. Axes are moved and
windows of transposed convolutions reversed; where one library has a single bias for
PyTorch's two, it gets their sum. No number is changed otherwise.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, value_error
from jaxinit.replay import torch_layers as nn

Tensors = Mapping[str, jax.Array]
"""A state dict: tensors by PyTorch's names."""

Tree = dict[str, Any]
"""Parameters as one of JAX's libraries nests them."""


@dataclasses.dataclass(frozen=True)
class _Names:
    """What a library calls the parameters of its layers."""

    weight: str
    bias: str
    embedding: str
    scale: str
    offset: str


_NAMES = {
    "linen": _Names("kernel", "bias", "embedding", "scale", "bias"),
    "nnx": _Names("kernel", "bias", "embedding", "scale", "bias"),
    "haiku": _Names("w", "b", "embeddings", "scale", "offset"),
    "equinox": _Names("weight", "bias", "weight", "weight", "bias"),
}


_ATTENTION = {
    "linen": ("query", "key", "value", "out"),
    "nnx": ("query", "key", "value", "out"),
    "haiku": ("query", "key", "value", "linear"),
    "equinox": ("query_proj", "key_proj", "value_proj", "output_proj"),
}


@boundary
def port(model: nn.Model, state: Tensors, library: str) -> dict[str, Tree]:
    """Return the parameters of every layer of a model for another library.

    Args:
        model: What the state dict was built from.
        state: The tensors by PyTorch's names, as `torch_cpu.build` returns them.
        library: ``"linen"``, ``"nnx"``, ``"haiku"`` or ``"equinox"``.

    Returns:
        For each layer, by its PyTorch name, a nested dict of arrays: ``kernel`` and
        ``bias`` of ``flax.linen.Dense``, and so on. Layers of several recurrent cells
        give one entry a cell, ``name.l0``, ``name.l0_reverse``, ... Of a batch norm,
        ``mean`` and ``var`` belong to the collection ``batch_stats`` in linen. Parameters
        that belong to no such layer, such as a model's own, stay as they are.

    Raises:
        ValueError: The library is unknown, or its layer computes another function than
            PyTorch's, so that no parameters make them equal.

    Example:
        >>> from jaxinit.replay import layouts, torch_cpu, torch_layers as nn
        >>> model = [nn.Linear(4, 3)]
        >>> _, state = torch_cpu.build(torch_cpu.manual_seed(0), model)
        >>> layouts.port(model, state, "linen")["0"]["kernel"].shape
        (4, 3)
    """
    check_choice("library", library, _NAMES)
    result: dict[str, Tree] = {}
    _port(nn.as_module(model), "", state, library, result)
    return result


def _port(
    module: nn.Module, name: str, state: Tensors, library: str, result: dict[str, Tree]
) -> None:
    """Add the parameters of a module and of those inside it."""
    start = f"{name}." if name else ""
    own = {k[len(start) :]: v for k, v in state.items() if k.startswith(start)}
    convert = next((f for kind, f in _CONVERT.items() if isinstance(module, kind)), None)
    if isinstance(module, nn.Recurrent):
        for end, tree in _recurrent(module, own, library).items():
            single = module.num_layers == 1 and not module.bidirectional
            result[name if single else f"{start}{end}"] = tree
    elif convert is not None:
        result[name] = convert(module, own, library)
    else:
        raw = {k: v for k, v in own.items() if "." not in k}
        if raw:
            result[name] = raw
        for child, inner in module._modules.items():
            if inner is not None:
                _port(inner, f"{start}{child}", state, library, result)


def _refuse(layer: nn.Module, library: str, why: str) -> None:
    rule = f"{library} has no layer that equals PyTorch's {type(layer).__name__} here"
    value_error(rule, why, "Write that layer by hand.")


def _weight_and_bias(weight: jax.Array, own: Tensors, names: _Names) -> Tree:
    tree = {names.weight: weight}
    return tree | ({names.bias: own["bias"]} if "bias" in own else {})


def _linear(layer: nn.Module, own: Tensors, library: str) -> Tree:
    turned = isinstance(layer, nn.Conv1D) != (library == "equinox")
    weight = own["weight"] if turned else own["weight"].T
    return _weight_and_bias(weight, own, _NAMES[library])


def _conv(layer: nn.Module, own: Tensors, library: str) -> Tree:
    assert isinstance(layer, nn.Conv)
    weight, names = own["weight"], _NAMES[library]
    window = tuple(range(2, weight.ndim))
    if layer.transposed:
        weight = jnp.flip(weight, window)
        if library != "equinox" and layer.groups > 1:
            _refuse(layer, library, f"groups={layer.groups}")
        # Groups apart, inputs and outputs change places.
        parts = weight.reshape(layer.groups, -1, *weight.shape[1:])
        parts = parts.swapaxes(1, 2)
        weight = parts.reshape(-1, *parts.shape[2:])
    if library == "equinox":
        tree = _weight_and_bias(weight, own, names)
        if "bias" in tree:
            tree["bias"] = tree["bias"].reshape(-1, *[1] * len(layer.kernel_size))
        return tree
    last = (0, 1) if layer.transposed and library == "haiku" else (1, 0)
    return _weight_and_bias(weight.transpose(*window, *last), own, names)


def _embedding(_: nn.Module, own: Tensors, library: str) -> Tree:
    return {_NAMES[library].embedding: own["weight"]}


def _norm(layer: nn.Module, own: Tensors, library: str) -> Tree:
    names = _NAMES[library]
    known = {"weight": names.scale, "bias": names.offset}
    tree: Tree = {known[k]: own[k] for k in known if k in own}
    if isinstance(layer, nn.InstanceNorm) and "running_mean" in own:
        _refuse(layer, library, "track_running_stats=True")
    if isinstance(layer, nn.BatchNorm):
        if library not in ("linen", "nnx"):
            _refuse(layer, library, "a batch norm, whose statistics are kept elsewhere")
        if "running_mean" in own:
            tree |= {"mean": own["running_mean"], "var": own["running_var"]}
    return tree


def _prelu(layer: nn.Module, own: Tensors, library: str) -> Tree:
    if library in ("linen", "nnx") and own["weight"].size > 1:
        _refuse(layer, library, f"num_parameters={own['weight'].size}")
    if library == "haiku":
        return dict(own)
    slope = own["weight"]
    return {"negative_slope": slope.reshape(()) if slope.size == 1 else slope}


def _attention(layer: nn.Module, own: Tensors, library: str) -> Tree:
    assert isinstance(layer, nn.MultiheadAttention)
    if layer.add_bias_kv:
        _refuse(layer, library, "add_bias_kv=True")
    heads, size = layer.num_heads, layer.embed_dim // layer.num_heads
    if "in_proj_weight" in own:
        weights = jnp.split(own["in_proj_weight"], 3)
    else:
        weights = [own[f"{x}_proj_weight"] for x in "qkv"]
    biases = jnp.split(own["in_proj_bias"], 3) if "in_proj_bias" in own else []
    biases += [own["out_proj.bias"]] if biases else []
    tree: Tree = {}
    for i, weight in enumerate([*weights, own["out_proj.weight"]]):
        part = {"weight": weight} | ({"bias": biases[i]} if biases else {})
        entry = tree[_ATTENTION[library][i]] = _linear(layer, part, library)
        if library in ("linen", "nnx"):
            shape = (heads, size, -1) if i == 3 else (-1, heads, size)
            entry["kernel"] = entry["kernel"].reshape(shape)
            if biases and i < 3:
                entry["bias"] = entry["bias"].reshape(heads, size)
    return tree


def _recurrent(layer: nn.Recurrent, own: Tensors, library: str) -> dict[str, Tree]:
    if layer.proj_size:
        _refuse(layer, library, f"proj_size={layer.proj_size}")
    cells: dict[str, dict[str, jax.Array]] = {}
    for name in sorted(own, key=lambda name: name.split("_", 2)[2]):
        kind, which, end = name.split("_", 2)
        cells.setdefault(end, {})[f"{kind}_{which}"] = own[name]
    return {end: _cell(layer, part, library) for end, part in cells.items()}


def _cell(layer: nn.Module, own: Tensors, library: str) -> Tree:
    convert = next(f for kind, f in _CELLS.items() if isinstance(layer, kind))
    rows = own["weight_ih"].shape[0]
    zero = jnp.zeros(rows, own["weight_ih"].dtype)
    biases = {k: own.get(k, zero) for k in ("bias_ih", "bias_hh")}
    return convert(layer, {**own, **biases}, library)


def _gates(weight: jax.Array, bias: jax.Array | None) -> Tree:
    return {"kernel": weight.T} | ({} if bias is None else {"bias": bias})


def _lstm(_: nn.Module, cell: Tensors, library: str) -> Tree:
    inner, outer = cell["weight_ih"], cell["weight_hh"]
    bias = cell["bias_ih"] + cell["bias_hh"]
    if library == "equinox":
        return {"weight_ih": inner, "weight_hh": outer, "bias": bias}
    if library == "nnx":
        return {"dense_i": _gates(inner, None), "dense_h": _gates(outer, bias)}
    split = [jnp.split(x, 4) for x in (inner, outer, bias)]
    if library == "haiku":
        order = (0, 2, 1, 3)  # Haiku's gates are i, g, f, o, and it adds 1 to f
        split[2][1] = split[2][1] - 1
        joined = [jnp.concatenate([s[i] for i in order]) for s in split]
        both = jnp.concatenate([joined[0], joined[1]], axis=1)
        return {"linear": {"w": both.T, "b": joined[2]}}
    tree: Tree = {}
    for i, gate in enumerate("ifgo"):
        tree[f"i{gate}"] = _gates(split[0][i], None)
        tree[f"h{gate}"] = _gates(split[1][i], split[2][i])
    return tree


def _gru(layer: nn.Module, cell: Tensors, library: str) -> Tree:
    if library in ("haiku", "nnx"):
        _refuse(layer, library, "a GRU with a bias inside its reset gate")
    first, second = jnp.split(cell["bias_ih"], 3), jnp.split(cell["bias_hh"], 3)
    bias = [first[0] + second[0], first[1] + second[1], first[2]]
    if library == "equinox":
        return {
            "weight_ih": cell["weight_ih"],
            "weight_hh": cell["weight_hh"],
            "bias": jnp.concatenate(bias),
            "bias_n": second[2],
        }
    inner, outer = (jnp.split(cell[k], 3) for k in ("weight_ih", "weight_hh"))
    tree = {f"i{g}": _gates(inner[i], bias[i]) for i, g in enumerate("rzn")}
    tree |= {f"h{g}": _gates(outer[i], None) for i, g in enumerate("rz")}
    return tree | {"hn": _gates(outer[2], second[2])}


def _rnn(layer: nn.Module, cell: Tensors, library: str) -> Tree:
    if library in ("haiku", "equinox"):
        _refuse(layer, library, "a plain RNN")
    bias = cell["bias_ih"] + cell["bias_hh"]
    inner, outer = _gates(cell["weight_ih"], bias), _gates(cell["weight_hh"], None)
    if library == "nnx":
        return {"dense_i": inner, "dense_h": outer}
    return {"i": inner, "h": outer}


_Convert = Callable[[Any, Tensors, str], Tree]
_CONVERT: dict[tuple[type[nn.Module], ...], _Convert] = {
    (nn.Linear, nn.Conv1D): _linear,
    (nn.Conv,): _conv,
    (nn.Embedding, nn.EmbeddingBag): _embedding,
    (nn.Norm,): _norm,
    (nn.PReLU,): _prelu,
    (nn.MultiheadAttention,): _attention,
    (nn.Cell,): _cell,
}
_CELLS: dict[tuple[type[nn.Module], ...], _Convert] = {
    (nn.LSTM, nn.LSTMCell): _lstm,
    (nn.GRU, nn.GRUCell): _gru,
    (nn.RNN, nn.RNNCell): _rnn,
}

__all__ = ["Tensors", "Tree", "port"]
