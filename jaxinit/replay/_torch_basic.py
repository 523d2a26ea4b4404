"""Linear layers, convolutions, embeddings and normalizations of PyTorch."""

import math
from typing import Any, ClassVar

from jaxinit._checks import value_error
from jaxinit.replay import torch_init as init
from jaxinit.replay._torch_module import Layer
from jaxinit.replay._torch_record import Parameter, Tensor

__all__ = [
    "BatchNorm",
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "Bilinear",
    "Conv",
    "Conv1D",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Embedding",
    "EmbeddingBag",
    "GroupNorm",
    "InstanceNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "Linear",
    "Norm",
    "PReLU",
    "RMSNorm",
    "SyncBatchNorm",
]

Sizes = int | tuple[int, ...]


class _FanIn(Layer):
    """What linear layers and convolutions share."""

    weight: Parameter
    bias: Parameter | None

    def reset_parameters(self) -> None:
        """Draw weight and bias again, as PyTorch's method does."""
        init.kaiming_uniform_(self.weight, math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            init.uniform_(self.bias, -bound, bound)


class Linear(_FanIn):
    """``torch.nn.Linear``."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        self._check(dtype, in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter((out_features, in_features))
        self.bias = Parameter(out_features) if bias else None
        self.reset_parameters()


class Bilinear(Layer):
    """``torch.nn.Bilinear``."""

    def __init__(
        self,
        in1_features: int,
        in2_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        sizes = {"in1_features": in1_features, "in2_features": in2_features}
        self._check(dtype, **sizes, out_features=out_features)
        self.weight = Parameter((out_features, in1_features, in2_features))
        self.bias = Parameter(out_features) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias again, as PyTorch's method does."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)


class Conv1D(Layer):
    """``transformers.pytorch_utils.Conv1D``, the linear layer of Hugging Face's GPT-2."""

    def __init__(self, nf: int, nx: int) -> None:
        self._check(None, nf=nf, nx=nx)
        self.nf, self.nx = nf, nx
        self.weight = Parameter((nx, nf))
        self.bias = Parameter(nf)
        init.normal_(self.weight, std=0.02)


class Conv(_FanIn):
    """What the convolutions share."""

    axes: ClassVar[int]
    transposed: ClassVar[bool] = False

    def _build(
        self, inputs: int, outputs: int, kernel_size: Sizes, groups: int, bias: bool
    ) -> None:
        where = type(self).__name__
        if inputs % groups or outputs % groups:
            rule = "groups must divide in_channels and out_channels"
            got = f"groups={groups} with {inputs} and {outputs}"
            value_error(where, rule, got, "Choose a common divisor.")
        one = isinstance(kernel_size, int)
        window = (kernel_size,) * self.axes if one else tuple(kernel_size)
        if len(window) != self.axes:
            rule = f"kernel_size must be an int or {self.axes} ints"
            got = f"kernel_size={kernel_size}"
            value_error(where, rule, got, "Give one length for each axis.")
        for length in window:
            self._check(None, kernel_size=length)
        self.in_channels, self.out_channels, self.groups = inputs, outputs, groups
        self.kernel_size = window
        pair = (inputs, outputs) if self.transposed else (outputs, inputs)
        self.weight = Parameter((pair[0], pair[1] // groups, *window))
        self.bias = Parameter(outputs) if bias else None
        self.reset_parameters()


class _Forward(Conv):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: str | Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        sizes = {"in_channels": in_channels, "out_channels": out_channels}
        self._check(dtype, **sizes, groups=groups)
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.padding_mode = padding_mode
        self._build(in_channels, out_channels, kernel_size, groups, bias)


class _Transposed(Conv):
    transposed = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Sizes,
        stride: Sizes = 1,
        padding: Sizes = 0,
        output_padding: Sizes = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Sizes = 1,
        padding_mode: str = "zeros",
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        sizes = {"in_channels": in_channels, "out_channels": out_channels}
        self._check(dtype, **sizes, groups=groups)
        self.stride, self.padding, self.dilation = stride, padding, dilation
        self.output_padding, self.padding_mode = output_padding, padding_mode
        self._build(in_channels, out_channels, kernel_size, groups, bias)


class Conv1d(_Forward):
    """``torch.nn.Conv1d``."""

    axes = 1


class Conv2d(_Forward):
    """``torch.nn.Conv2d``."""

    axes = 2


class Conv3d(_Forward):
    """``torch.nn.Conv3d``."""

    axes = 3


class ConvTranspose1d(_Transposed):
    """``torch.nn.ConvTranspose1d``."""

    axes = 1


class ConvTranspose2d(_Transposed):
    """``torch.nn.ConvTranspose2d``."""

    axes = 2


class ConvTranspose3d(_Transposed):
    """``torch.nn.ConvTranspose3d``."""

    axes = 3


class _Table(Layer):
    def _build(
        self, num_embeddings: int, embedding_dim: int, row: int | None, weight: Any
    ) -> None:
        sizes = {"num_embeddings": num_embeddings, "embedding_dim": embedding_dim}
        self._check(None, **sizes)
        where = type(self).__name__
        if row is not None and not -num_embeddings <= row < num_embeddings:
            rule = "padding_idx must be the number of a row"
            got = f"padding_idx={row} with {num_embeddings} rows"
            value_error(where, rule, got, "Give None for no such row.")
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = row
        if weight is not None:
            self.weight = Parameter(weight)
            return
        self.weight = Parameter((num_embeddings, embedding_dim))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the weight again, as PyTorch's method does."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight[self.padding_idx].fill_(0)


class Embedding(_Table):
    """``torch.nn.Embedding``."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        max_norm: float | None = None,  # noqa: ARG002
        norm_type: float = 2.0,  # noqa: ARG002
        scale_grad_by_freq: bool = False,  # noqa: ARG002
        sparse: bool = False,  # noqa: ARG002
        _weight: Any = None,
        _freeze: bool = False,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        self._check(dtype)
        self._build(num_embeddings, embedding_dim, padding_idx, _weight)


class EmbeddingBag(_Table):
    """``torch.nn.EmbeddingBag``."""

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        max_norm: float | None = None,  # noqa: ARG002
        norm_type: float = 2.0,  # noqa: ARG002
        scale_grad_by_freq: bool = False,  # noqa: ARG002
        mode: str = "mean",  # noqa: ARG002
        sparse: bool = False,  # noqa: ARG002
        _weight: Any = None,
        include_last_offset: bool = False,  # noqa: ARG002
        padding_idx: int | None = None,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        self._check(dtype)
        self._build(num_embeddings, embedding_dim, padding_idx, _weight)


class Norm(Layer):
    """What the normalizations share: ones, zeros, and no draws."""

    def _affine(self, shape: Sizes, weight: bool, bias: bool) -> None:
        self.weight = Parameter(shape) if weight else None
        self.bias = Parameter(shape) if weight and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fill weight and bias again, as PyTorch's method does."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class LayerNorm(Norm):
    """``torch.nn.LayerNorm``."""

    def __init__(
        self,
        normalized_shape: Sizes,
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        self._check(dtype)
        self.normalized_shape, self.eps = normalized_shape, eps
        self._affine(normalized_shape, elementwise_affine, bias)


class RMSNorm(Norm):
    """``torch.nn.RMSNorm``."""

    def __init__(
        self,
        normalized_shape: Sizes,
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        self._check(dtype)
        self.normalized_shape, self.eps = normalized_shape, eps
        self._affine(normalized_shape, elementwise_affine, False)


class GroupNorm(Norm):
    """``torch.nn.GroupNorm``."""

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        self._check(dtype, num_groups=num_groups, num_channels=num_channels)
        self.num_groups, self.num_channels, self.eps = num_groups, num_channels, eps
        self._affine(num_channels, affine, bias)


class _Running(Norm):
    def _build(self, size: int, affine: bool, bias: bool, track: bool) -> None:
        self._check(None, num_features=size)
        self.num_features = size
        if track:
            self.register_buffer("running_mean", Tensor(size))
            self.register_buffer("running_var", Tensor(size))
        self._affine(size, affine, bias)

    def reset_running_stats(self) -> None:
        """Fill the running mean and variance again, as PyTorch's method does."""
        if "running_mean" in self._buffers:
            self.running_mean.fill_(0.0)
            self.running_var.fill_(1.0)

    def reset_parameters(self) -> None:
        """Fill all tensors again, as PyTorch's method does."""
        self.reset_running_stats()
        super().reset_parameters()


class BatchNorm(_Running):
    """``torch.nn.BatchNorm1d``, ``2d`` and ``3d``."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        self._check(dtype)
        self.eps, self.momentum = eps, momentum
        self._build(num_features, affine, bias, track_running_stats)


class InstanceNorm(_Running):
    """``torch.nn.InstanceNorm1d``, ``2d`` and ``3d``."""

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        self._check(dtype)
        self.eps, self.momentum = eps, momentum
        self._build(num_features, affine, bias, track_running_stats)


class BatchNorm1d(BatchNorm):
    """``torch.nn.BatchNorm1d``."""


class BatchNorm2d(BatchNorm):
    """``torch.nn.BatchNorm2d``."""


class BatchNorm3d(BatchNorm):
    """``torch.nn.BatchNorm3d``."""


class SyncBatchNorm(BatchNorm):
    """``torch.nn.SyncBatchNorm``."""


class InstanceNorm1d(InstanceNorm):
    """``torch.nn.InstanceNorm1d``."""


class InstanceNorm2d(InstanceNorm):
    """``torch.nn.InstanceNorm2d``."""


class InstanceNorm3d(InstanceNorm):
    """``torch.nn.InstanceNorm3d``."""


class PReLU(Layer):
    """``torch.nn.PReLU``."""

    def __init__(
        self,
        num_parameters: int = 1,
        init: float = 0.25,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        self._check(dtype, num_parameters=num_parameters)
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(num_parameters)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fill the weight again, as PyTorch's method does."""
        self.weight.fill_(self.init)
