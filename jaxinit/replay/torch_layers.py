"""PyTorch layers as descriptions, and the state dict of a model from its seed.

A description says what decides the weights: sizes, groups, biases. `build` draws the
tensors of all layers in the order in which PyTorch's constructors do and returns them
under the names and in the layout of PyTorch's state dict; `jaxinit.replay.layouts`
turns them into the parameters of Flax, Haiku and Equinox.
"""

import abc
import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import jax

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_dtype, check_int, type_error, value_error
from jaxinit._types import DTypeLike
from jaxinit.replay._torch_plan import Draw, execute, kaiming_bound, xavier_std
from jaxinit.replay._torch_stream import Stream

Sizes = int | tuple[int, ...]


class Layer(abc.ABC):
    """A layer with parameters."""

    @abc.abstractmethod
    def draws(self) -> list[Draw]:
        """Return its tensors in the order in which the constructor draws them."""


def _positive(layer: Layer, *names: str) -> None:
    for name in names:
        check_int(type(layer).__name__, name, getattr(layer, name), least=1)


def _fan_in_draws(shape: tuple[int, ...], outputs: int, bias: bool) -> list[Draw]:
    """Return weight and bias of linear layers and convolutions."""
    fan_in = math.prod(shape[1:])
    draws = [Draw("weight", shape, "uniform", kaiming_bound(fan_in))]
    if bias:
        draws.append(Draw("bias", (outputs,), "uniform", 1 / math.sqrt(fan_in)))
    return draws


@boundary
@dataclasses.dataclass(frozen=True)
class Linear(Layer):
    """``torch.nn.Linear``."""

    in_features: int
    out_features: int
    bias: bool = True

    def __post_init__(self) -> None:
        _positive(self, "in_features", "out_features")

    def draws(self) -> list[Draw]:
        """See `Layer.draws`."""
        shape = self.out_features, self.in_features
        return _fan_in_draws(shape, self.out_features, self.bias)


@boundary
@dataclasses.dataclass(frozen=True)
class Conv(Layer):
    """What the convolutions share."""

    in_channels: int
    out_channels: int
    kernel_size: Sizes
    groups: int = 1
    bias: bool = True

    axes: ClassVar[int]
    transposed: ClassVar[bool] = False

    def __post_init__(self) -> None:
        _positive(self, "in_channels", "out_channels", "groups")
        where = type(self).__name__
        if self.in_channels % self.groups or self.out_channels % self.groups:
            rule = "groups must divide in_channels and out_channels"
            got = f"groups={self.groups} with {self.in_channels} and {self.out_channels}"
            value_error(where, rule, got, "Choose a common divisor.")
        if len(self.window) != self.axes:
            rule = f"kernel_size must be an int or {self.axes} ints"
            got = f"kernel_size={self.kernel_size}"
            value_error(where, rule, got, "Give one length for each axis.")
        for length in self.window:
            check_int(where, "kernel_size", length, least=1)

    @property
    def window(self) -> tuple[int, ...]:
        """The lengths of the kernel."""
        size = self.kernel_size
        return (size,) * self.axes if isinstance(size, int) else tuple(size)

    def draws(self) -> list[Draw]:
        """See `Layer.draws`."""
        first, second = self.out_channels, self.in_channels // self.groups
        if self.transposed:
            first, second = self.in_channels, self.out_channels // self.groups
        return _fan_in_draws((first, second, *self.window), self.out_channels, self.bias)


@boundary
class Conv1d(Conv):
    """``torch.nn.Conv1d``; stride, padding and dilation do not matter here."""

    axes = 1


@boundary
class Conv2d(Conv):
    """``torch.nn.Conv2d``; stride, padding and dilation do not matter here."""

    axes = 2


@boundary
class Conv3d(Conv):
    """``torch.nn.Conv3d``; stride, padding and dilation do not matter here."""

    axes = 3


@boundary
class ConvTranspose1d(Conv):
    """``torch.nn.ConvTranspose1d``."""

    axes = 1
    transposed = True


@boundary
class ConvTranspose2d(Conv):
    """``torch.nn.ConvTranspose2d``."""

    axes = 2
    transposed = True


@boundary
class ConvTranspose3d(Conv):
    """``torch.nn.ConvTranspose3d``."""

    axes = 3
    transposed = True


@boundary
@dataclasses.dataclass(frozen=True)
class Embedding(Layer):
    """``torch.nn.Embedding``."""

    num_embeddings: int
    embedding_dim: int
    padding_idx: int | None = None

    def __post_init__(self) -> None:
        _positive(self, "num_embeddings", "embedding_dim")
        row = self.padding_idx
        if row is not None and not -self.num_embeddings <= row < self.num_embeddings:
            rule = "padding_idx must be the number of a row"
            got = f"padding_idx={row} with {self.num_embeddings} rows"
            value_error("Embedding", rule, got, "Give None for no such row.")

    def draws(self) -> list[Draw]:
        """See `Layer.draws`."""
        shape = self.num_embeddings, self.embedding_dim
        return [Draw("weight", shape, "normal", 1.0, zero=self.padding_idx)]


def _norm_draws(shape: tuple[int, ...], weight: bool, bias: bool) -> list[Draw]:
    draws = [Draw("weight", shape, "fill", 1.0)] if weight else []
    return [*draws, Draw("bias", shape, "fill", 0.0)] if weight and bias else draws


@boundary
@dataclasses.dataclass(frozen=True)
class LayerNorm(Layer):
    """``torch.nn.LayerNorm``; draws nothing."""

    normalized_shape: Sizes
    elementwise_affine: bool = True
    bias: bool = True

    def draws(self) -> list[Draw]:
        """See `Layer.draws`."""
        size = self.normalized_shape
        shape = (size,) if isinstance(size, int) else tuple(size)
        return _norm_draws(shape, self.elementwise_affine, self.bias)


@boundary
@dataclasses.dataclass(frozen=True)
class GroupNorm(Layer):
    """``torch.nn.GroupNorm``; draws nothing."""

    num_groups: int
    num_channels: int
    affine: bool = True

    def draws(self) -> list[Draw]:
        """See `Layer.draws`."""
        return _norm_draws((self.num_channels,), self.affine, True)


@boundary
@dataclasses.dataclass(frozen=True)
class BatchNorm(Layer):
    """``torch.nn.BatchNorm1d``, ``2d`` and ``3d``; draws nothing."""

    num_features: int
    affine: bool = True
    track_running_stats: bool = True

    def draws(self) -> list[Draw]:
        """See `Layer.draws`."""
        shape = (self.num_features,)
        draws = _norm_draws(shape, self.affine, True)
        if self.track_running_stats:
            draws.append(Draw("running_mean", shape, "fill", 0.0))
            draws.append(Draw("running_var", shape, "fill", 1.0))
        return draws


@boundary
@dataclasses.dataclass(frozen=True)
class Recurrent(Layer):
    """What the recurrent layers share."""

    input_size: int
    hidden_size: int
    num_layers: int = 1
    bias: bool = True
    bidirectional: bool = False

    gates: ClassVar[int]

    def __post_init__(self) -> None:
        _positive(self, "input_size", "hidden_size", "num_layers")

    def draws(self) -> list[Draw]:
        """See `Layer.draws`."""
        bound, rows = 1.0 / math.sqrt(self.hidden_size), self.gates * self.hidden_size
        directions = ("", "_reverse") if self.bidirectional else ("",)
        draws: list[Draw] = []
        for layer in range(self.num_layers):
            inputs = self.hidden_size * len(directions) if layer else self.input_size
            for direction in directions:
                end = f"_l{layer}{direction}"
                shapes = {
                    "weight_ih": (rows, inputs),
                    "weight_hh": (rows, self.hidden_size),
                }
                if self.bias:
                    shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
                for name, shape in shapes.items():
                    draws.append(Draw(name + end, shape, "uniform", bound))
        return draws


@boundary
class RNN(Recurrent):
    """``torch.nn.RNN``."""

    gates = 1


@boundary
class LSTM(Recurrent):
    """``torch.nn.LSTM`` without projection."""

    gates = 4


@boundary
class GRU(Recurrent):
    """``torch.nn.GRU``."""

    gates = 3


@boundary
@dataclasses.dataclass(frozen=True)
class MultiheadAttention(Layer):
    """``torch.nn.MultiheadAttention``."""

    embed_dim: int
    num_heads: int
    bias: bool = True
    add_bias_kv: bool = False
    kdim: int | None = None
    vdim: int | None = None

    def __post_init__(self) -> None:
        _positive(self, "embed_dim", "num_heads")
        if self.embed_dim % self.num_heads:
            rule = "num_heads must divide embed_dim"
            got = f"embed_dim={self.embed_dim}, num_heads={self.num_heads}"
            value_error("MultiheadAttention", rule, got, "Choose a divisor.")

    def draws(self) -> list[Draw]:
        """See `Layer.draws`: the output projection comes first, and its bias is lost."""
        n = self.embed_dim
        kdim, vdim = self.kdim or n, self.vdim or n
        out = Linear(n, n, self.bias).draws()
        clear = {"weight": None, "bias": "all"}
        draws = [
            dataclasses.replace(d, name=f"out_proj.{d.name}", place=2, zero=clear[d.name])  # pyright: ignore[reportArgumentType]
            for d in out
        ]
        if kdim == n == vdim:
            weights = {"in_proj_weight": (3 * n, n)}
        else:
            weights = {
                "q_proj_weight": (n, n),
                "k_proj_weight": (n, kdim),
                "v_proj_weight": (n, vdim),
            }
        for name, shape in weights.items():
            bound = math.sqrt(3.0) * xavier_std(shape[1], shape[0])
            draws.append(Draw(name, shape, "uniform", bound))
        if self.bias:
            draws.append(Draw("in_proj_bias", (3 * n,), "fill", 0.0))
        if self.add_bias_kv:
            for name in ("bias_k", "bias_v"):
                draws.append(Draw(name, (1, 1, n), "normal", xavier_std(n, n), 1))
        return draws


Model = Layer | Sequence[Any] | Mapping[str, Any]
"""A layer, or models by place or by name, and so on inside. None stands for a layer
without parameters, such as an activation."""


@boundary
def flatten(model: Model) -> dict[str, Layer]:
    """Return the layers of a model by their dotted names, in order."""
    if isinstance(model, Layer):
        return {"": model}
    if isinstance(model, Mapping):
        items = [(str(k), v) for k, v in model.items()]
    elif isinstance(model, Sequence) and not isinstance(model, str):
        items = [(str(i), v) for i, v in enumerate(model)]
    else:
        rule = "model must be a layer, or a list or dict of layers"
        type_error("torch_layers.build", rule, f"{model!r}", "Use None for a ReLU.")
    result: dict[str, Layer] = {}
    for name, part in items:
        if part is not None:
            for rest, layer in flatten(part).items():
                result[f"{name}.{rest}" if rest else name] = layer
    return result


@boundary
def build(
    stream: Stream, model: Model, dtype: DTypeLike | None = None
) -> tuple[Stream, dict[str, jax.Array]]:
    """Return the state dict that PyTorch's constructors would leave.

    Args:
        stream: The stream, ``torch_cpu.manual_seed(seed)`` for a model that is made
            right after seeding.
        model: One layer; or a list (like ``nn.Sequential``) or dict of them, nested as
            the modules are, with None for every layer without parameters.
        dtype: float32, bfloat16, float16 or float64; None means JAX's default float.

    Returns:
        The stream after the draws, and the tensors by PyTorch's names in the order of
        ``state_dict()``, but without ``num_batches_tracked``.

    Raises:
        ValueError: A size is out of range.
        TypeError: The model holds something that is no layer.

    Example:
        >>> from jaxinit.replay import torch_cpu, torch_layers as nn
        >>> stream = torch_cpu.manual_seed(0)
        >>> _, state = torch_cpu.build(stream, [nn.Linear(4, 3), None, nn.Linear(3, 2)])
        >>> {name: w.shape for name, w in state.items()}
        {'0.weight': (3, 4), '0.bias': (3,), '2.weight': (2, 3), '2.bias': (2,)}
    """
    where = "torch_layers.build"
    kind = check_dtype(where, dtype)
    check_choice(where, "dtype", kind.name, ("float64", "float32", "bfloat16", "float16"))
    named = [
        (name, draw) for name, layer in flatten(model).items() for draw in layer.draws()
    ]
    stream, tensors = execute(stream, [draw for _, draw in named], kind)
    state: dict[str, jax.Array] = {}
    for name in dict.fromkeys(name for name, _ in named):
        own = [
            (draw, tensor)
            for (owner, draw), tensor in zip(named, tensors, strict=True)
            if owner == name
        ]
        for draw, tensor in sorted(own, key=lambda pair: pair[0].place):
            state[f"{name}.{draw.name}" if name else draw.name] = tensor
    return stream, state
