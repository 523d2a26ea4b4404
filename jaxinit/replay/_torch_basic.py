"""Linear layers, convolutions, embeddings and normalizations of PyTorch."""

import math
from typing import Any, ClassVar, Self

from jaxinit._checks import value_error
from jaxinit.replay import torch_init as init
from jaxinit.replay._torch_layer import Layer, kind
from jaxinit.replay._torch_parameter import Parameter
from jaxinit.replay._torch_record import Tensor

__all__ = [
    "BatchNorm", "BatchNorm1d", "BatchNorm2d", "BatchNorm3d", "Bilinear", "Conv", "Conv1D",
    "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d",
    "Embedding", "EmbeddingBag", "GroupNorm", "InstanceNorm", "InstanceNorm1d",
    "InstanceNorm2d", "InstanceNorm3d", "LayerNorm", "Linear", "Norm", "PReLU", "RMSNorm",
    "SyncBatchNorm",
]  # fmt: skip


class _FanIn(Layer):
    """What linear layers and convolutions share."""

    def reset_parameters(self) -> None:
        """Draw weight and bias again, as PyTorch's method does."""
        init.kaiming_uniform_(self.weight, math.sqrt(5))
        if self.bias is not None:
            bound = 1 / math.sqrt(math.prod(self.weight.shape[1:]))
            init.uniform_(self.bias, -bound, bound)


class Linear(_FanIn):
    """``torch.nn.Linear``."""

    signature = "in_features, out_features, bias=True, device=None, dtype=None"

    def _build(self) -> None:
        self.weight = Parameter((self.out_features, self.in_features))
        self.bias = Parameter(self.out_features) if self.bias else None
        self.reset_parameters()


class Bilinear(Layer):
    """``torch.nn.Bilinear``."""

    signature = (
        "in1_features, in2_features, out_features, bias=True, device=None, dtype=None"
    )

    def _build(self) -> None:
        shape = self.out_features, self.in1_features, self.in2_features
        self.weight = Parameter(shape)
        self.bias = Parameter(self.out_features) if self.bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias again, as PyTorch's method does."""
        bound = 1 / math.sqrt(self.weight.shape[1])
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)


class Conv1D(Layer):
    """``transformers.pytorch_utils.Conv1D``, the linear layer of Hugging Face's GPT-2."""

    signature = "nf, nx"

    def _build(self) -> None:
        self.weight, self.bias = Parameter((self.nx, self.nf)), Parameter(self.nf)
        init.normal_(self.weight, std=0.02)


class Conv(_FanIn):
    """What the convolutions share."""

    _axes: ClassVar[int]
    transposed: ClassVar[bool] = False
    signature = (
        "in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1, "
        "groups=1, bias=True, padding_mode='zeros', device=None, dtype=None"
    )

    def _build(self) -> None:
        axes = self._axes
        inputs, outputs, groups = self.in_channels, self.out_channels, self.groups
        if inputs % groups or outputs % groups:
            rule = "groups must divide in_channels and out_channels"
            got = f"groups={groups} with {inputs} and {outputs}"
            value_error(rule, got, "Choose a common divisor.")
        size, given = self.kernel_size, vars(self)
        for name in ("stride", "padding", "dilation", "output_padding"):
            if isinstance(given.get(name), int):
                given[name] = (given[name],) * axes
        window = (size,) * axes if isinstance(size, int) else tuple(size)
        if len(window) != axes:
            rule = f"kernel_size must be an int or {axes} ints"
            got = f"kernel_size={size}"
            value_error(rule, got, "Give one length for each axis.")
        for length in window:
            self._check(kernel_size=length)
        self.kernel_size = window
        pair = (inputs, outputs) if self.transposed else (outputs, inputs)
        self.weight = Parameter((pair[0], pair[1] // groups, *window))
        self.bias = Parameter(outputs) if self.bias else None
        self.reset_parameters()


class _Transposed(Conv):
    transposed = True
    signature = (
        "in_channels, out_channels, kernel_size, stride=1, padding=0, output_padding=0, "
        "groups=1, bias=True, dilation=1, padding_mode='zeros', device=None, dtype=None"
    )


Conv1d, Conv2d, Conv3d = (kind(Conv, f"Conv{n}d", _axes=n) for n in (1, 2, 3))
ConvTranspose1d, ConvTranspose2d, ConvTranspose3d = (
    kind(_Transposed, f"ConvTranspose{n}d", _axes=n) for n in (1, 2, 3)
)


class _Table(Layer):
    """What the embeddings share."""

    def _build(self) -> None:
        rows, row, given = self.num_embeddings, self.padding_idx, self._weight
        if row is not None and not -rows <= row < rows:
            rule = "padding_idx must be the number of a row"
            got = f"padding_idx={row} with {rows} rows"
            value_error(rule, got, "Give None for no such row.")
        self.padding_idx = None if row is None else row % rows
        self.weight = Parameter((rows, self.embedding_dim) if given is None else given)
        if given is None:
            self.reset_parameters()

    @classmethod
    def from_pretrained(cls, embeddings: Any, freeze: bool = True, **options: Any) -> Self:
        """Return the layer of a given weight, which draws nothing."""
        del freeze
        return cls(*embeddings.shape, _weight=embeddings, **options)

    def reset_parameters(self) -> None:
        """Draw the weight again, as PyTorch's method does."""
        init.normal_(self.weight)
        if self.padding_idx is not None:
            self.weight[self.padding_idx].fill_(0)


Embedding = kind(
    _Table,
    "Embedding",
    "num_embeddings, embedding_dim, padding_idx=None, max_norm=None, norm_type=2.0, "
    "scale_grad_by_freq=False, sparse=False, _weight=None, _freeze=False, device=None, "
    "dtype=None",
)
EmbeddingBag = kind(
    _Table,
    "EmbeddingBag",
    "num_embeddings, embedding_dim, max_norm=None, norm_type=2.0, "
    "scale_grad_by_freq=False, mode='mean', sparse=False, _weight=None, "
    "include_last_offset=False, padding_idx=None, device=None, dtype=None",
)


class Norm(Layer):
    """What the normalizations share: ones, zeros, and no draws."""

    def _build(self) -> None:
        given = vars(self)
        names = "normalized_shape", "num_channels", "num_features"
        shape = next(given[name] for name in names if name in given)
        if "normalized_shape" in given:
            self.normalized_shape = (shape,) if isinstance(shape, int) else tuple(shape)
        affine = given.get("elementwise_affine", given.get("affine"))
        biased = affine and given.get("bias", False)
        if "track_running_stats" in given:
            for name in ("running_mean", "running_var"):
                made = Tensor(shape) if self.track_running_stats else None
                self.register_buffer(name, made)
        self.weight = Parameter(shape) if affine else None
        if "bias" in given:
            self.bias = Parameter(shape) if biased else None
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Fill the running mean and variance again, as PyTorch's method does."""
        if self._buffers.get("running_mean") is not None:
            self.running_mean.fill_(0.0)
            self.running_var.fill_(1.0)

    def reset_parameters(self) -> None:
        """Fill all tensors again, as PyTorch's method does."""
        self.reset_running_stats()
        if self.weight is not None:
            init.ones_(self.weight)
        bias = self._parameters.get("bias")
        if bias is not None:
            init.zeros_(bias)


LayerNorm = kind(
    Norm,
    "LayerNorm",
    "normalized_shape, eps=1e-5, elementwise_affine=True, bias=True, device=None, "
    "dtype=None",
)
RMSNorm = kind(
    Norm,
    "RMSNorm",
    "normalized_shape, eps=None, elementwise_affine=True, device=None, dtype=None",
)
GroupNorm = kind(
    Norm,
    "GroupNorm",
    "num_groups, num_channels, eps=1e-5, affine=True, device=None, dtype=None, *, "
    "bias=True",
)


class BatchNorm(Norm):
    """``torch.nn.BatchNorm1d``, ``2d`` and ``3d``."""

    signature = (
        "num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, "
        "device=None, dtype=None, *, bias=True"
    )


class InstanceNorm(Norm):
    """``torch.nn.InstanceNorm1d``, ``2d`` and ``3d``."""

    signature = (
        "num_features, eps=1e-5, momentum=0.1, affine=False, track_running_stats=False, "
        "device=None, dtype=None, *, bias=True"
    )


BatchNorm1d, BatchNorm2d, BatchNorm3d = (
    kind(BatchNorm, f"BatchNorm{n}d") for n in (1, 2, 3)
)
SyncBatchNorm = kind(
    BatchNorm,
    "SyncBatchNorm",
    "num_features, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, "
    "process_group=None, device=None, dtype=None, *, bias=True",
)
InstanceNorm1d, InstanceNorm2d, InstanceNorm3d = (
    kind(InstanceNorm, f"InstanceNorm{n}d") for n in (1, 2, 3)
)


class PReLU(Layer):
    """``torch.nn.PReLU``."""

    signature = "num_parameters=1, init=0.25, device=None, dtype=None"

    def _build(self) -> None:
        self.weight = Parameter(self.num_parameters)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Fill the weight again, as PyTorch's method does."""
        self.weight.fill_(self.init)
