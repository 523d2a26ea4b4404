"""Recurrent layers and attention of PyTorch, and what is built of them."""

import copy
import itertools
import math
from typing import Any, ClassVar

from jaxinit._checks import check_choice, check_int, value_error
from jaxinit.replay import torch_init as init
from jaxinit.replay._torch_basic import LayerNorm, Linear
from jaxinit.replay._torch_layer import Layer, kind
from jaxinit.replay._torch_module import ModuleList, Sequential
from jaxinit.replay._torch_parameter import Parameter
from jaxinit.replay._torch_plain import Dropout

__all__ = [
    "GRU", "LSTM", "RNN", "AdaptiveLogSoftmaxWithLoss", "Cell", "GRUCell", "LSTMCell",
    "MultiheadAttention", "RNNBase", "RNNCell", "RNNCellBase", "Recurrent", "Transformer",
    "TransformerDecoder", "TransformerDecoderLayer", "TransformerEncoder",
    "TransformerEncoderLayer",
]  # fmt: skip


class _Uniform(Layer):
    """What recurrent layers and cells share."""

    _gates: ClassVar[int]

    def _build(self) -> None:
        if "nonlinearity" in vars(self):
            check_choice("nonlinearity", self.nonlinearity, ("tanh", "relu"))
        self._place()
        self.reset_parameters()

    def _place(self) -> None:
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Draw all tensors again, as PyTorch's method does."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)


class Recurrent(_Uniform):
    """What the recurrent layers share."""

    proj_size = 0
    signature = (
        "input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, "
        "bidirectional=False, device=None, dtype=None"
    )

    def _place(self) -> None:
        hidden, projected = self.hidden_size, self.proj_size
        self._check(num_layers=self.num_layers)
        check_int("proj_size", projected, least=0)
        if projected >= hidden:
            rule = "proj_size must be smaller than hidden_size"
            got = f"proj_size={projected}, hidden_size={hidden}"
            value_error(rule, got, "Give 0 for no projection.")
        rows, carried = self._gates * hidden, projected or hidden
        directions = ("", "_reverse") if self.bidirectional else ("",)
        self._all_weights: list[list[str]] = []
        for layer in range(self.num_layers):
            width = carried * len(directions) if layer else self.input_size
            for direction in directions:
                shapes: dict[str, Any] = {"weight_ih": (rows, width)}
                shapes["weight_hh"] = (rows, carried)
                if self.bias:
                    shapes |= {"bias_ih": rows, "bias_hh": rows}
                if projected:
                    shapes["weight_hr"] = (projected, hidden)
                end = f"_l{layer}{direction}"
                self._all_weights.append([name + end for name in shapes])
                for name, shape in shapes.items():
                    setattr(self, name + end, Parameter(shape))

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters of each layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]


RNN = kind(
    Recurrent,
    "RNN",
    "input_size, hidden_size, num_layers=1, nonlinearity='tanh', bias=True, "
    "batch_first=False, dropout=0.0, bidirectional=False, device=None, dtype=None",
    _gates=1,
)
LSTM = kind(
    Recurrent,
    "LSTM",
    "input_size, hidden_size, num_layers=1, bias=True, batch_first=False, dropout=0.0, "
    "bidirectional=False, proj_size=0, device=None, dtype=None",
    _gates=4,
)
GRU = kind(Recurrent, "GRU", _gates=3)


class Cell(_Uniform):
    """What the recurrent cells share."""

    signature = "input_size, hidden_size, bias=True, device=None, dtype=None"

    def _place(self) -> None:
        rows = self._gates * self.hidden_size
        self.weight_ih = Parameter((rows, self.input_size))
        self.weight_hh = Parameter((rows, self.hidden_size))
        self.bias_ih = Parameter(rows) if self.bias else None
        self.bias_hh = Parameter(rows) if self.bias else None


RNNCell = kind(
    Cell,
    "RNNCell",
    "input_size, hidden_size, bias=True, nonlinearity='tanh', device=None, dtype=None",
    _gates=1,
)
LSTMCell, GRUCell = kind(Cell, "LSTMCell", _gates=4), kind(Cell, "GRUCell", _gates=3)


RNNBase, RNNCellBase = Recurrent, Cell


class AdaptiveLogSoftmaxWithLoss(Layer):
    """``torch.nn.AdaptiveLogSoftmaxWithLoss``."""

    signature = (
        "in_features, n_classes, cutoffs, div_value=4.0, head_bias=False, device=None, "
        "dtype=None"
    )

    def _build(self) -> None:
        cuts = self.cutoffs = [*self.cutoffs, self.n_classes]
        if len(cuts) < 2 or cuts != sorted({*cuts}) or cuts[0] < 1:
            rule = "cutoffs must rise from 1 on and stay below n_classes"
            got = f"cutoffs={cuts[:-1]}, n_classes={self.n_classes}"
            value_error(rule, got, "Give at least one cutoff.")
        self.head = Linear(self.in_features, cuts[0] + len(cuts) - 1, self.head_bias)
        self.tail = ModuleList()
        for i, (low, high) in enumerate(itertools.pairwise(cuts)):
            inner = int(self.in_features // self.div_value ** (i + 1))
            last = Linear(self.in_features, inner, False), Linear(inner, high - low, False)
            self.tail.append(Sequential(*last))

    def reset_parameters(self) -> None:
        """Draw all weights again, as PyTorch's method does."""
        for layer in (self.head, *(layer for pair in self.tail for layer in pair)):
            layer.reset_parameters()


class MultiheadAttention(Layer):
    """``torch.nn.MultiheadAttention``."""

    signature = (
        "embed_dim, num_heads, dropout=0.0, bias=True, add_bias_kv=False, "
        "add_zero_attn=False, kdim=None, vdim=None, batch_first=False, device=None, "
        "dtype=None"
    )

    def _build(self) -> None:
        n, heads = self.embed_dim, self.num_heads
        if n % heads:
            rule = "num_heads must divide embed_dim"
            got = f"embed_dim={n}, num_heads={heads}"
            value_error(rule, got, "Choose a divisor.")
        self.kdim = n if self.kdim is None else self.kdim
        self.vdim = n if self.vdim is None else self.vdim
        self._check(kdim=self.kdim, vdim=self.vdim)
        one = self.kdim == n == self.vdim
        self.in_proj_weight = Parameter((3 * n, n)) if one else None
        self.q_proj_weight = None if one else Parameter((n, n))
        self.k_proj_weight = None if one else Parameter((n, self.kdim))
        self.v_proj_weight = None if one else Parameter((n, self.vdim))
        bias = vars(self).pop("bias")
        self.in_proj_bias = Parameter(3 * n) if bias else None
        self.out_proj = Linear(n, n, bias)
        self.bias_k = Parameter((1, 1, n)) if self.add_bias_kv else None
        self.bias_v = Parameter((1, 1, n)) if self.add_bias_kv else None
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for name, parameter in self._parameters.items():
            if parameter is not None and name.endswith("weight"):
                init.xavier_uniform_(parameter)
        for bias in (self.in_proj_bias, self.out_proj.bias):
            if bias is not None:
                init.zeros_(bias)
        for extra in (self.bias_k, self.bias_v):
            if extra is not None:
                init.xavier_normal_(extra)


class _TransformerLayer(Layer):
    """What a layer of the encoder and one of the decoder share."""

    _attentions: ClassVar[tuple[str, ...]]
    signature = (
        "d_model, nhead, dim_feedforward=2048, dropout=0.1, activation='relu', "
        "layer_norm_eps=1e-5, batch_first=False, norm_first=False, bias=True, device=None, "
        "dtype=None"
    )

    def _build(self) -> None:
        size, wide, share = self.d_model, self.dim_feedforward, self.dropout
        bias = vars(self).pop("bias")
        for name in self._attentions:
            options = {"bias": bias, "batch_first": self.batch_first}
            setattr(self, name, MultiheadAttention(size, self.nhead, share, **options))
        self.linear1, self.dropout = Linear(size, wide, bias), Dropout(share)
        self.linear2 = Linear(wide, size, bias)
        places = range(1, len(self._attentions) + 2)
        for i in places:
            setattr(self, f"norm{i}", LayerNorm(size, self.layer_norm_eps, bias=bias))
        for i in places:
            setattr(self, f"dropout{i}", Dropout(share))


TransformerEncoderLayer = kind(
    _TransformerLayer, "TransformerEncoderLayer", _attentions=("self_attn",)
)
TransformerDecoderLayer = kind(
    _TransformerLayer,
    "TransformerDecoderLayer",
    _attentions=("self_attn", "multihead_attn"),
)


class _Stack(Layer):
    """Deep copies of a layer: all have the numbers that it was made with."""

    _copied: ClassVar[str]

    def _build(self) -> None:
        layer, norm = vars(self).pop(self._copied), vars(self).pop("norm")
        check_int("num_layers", self.num_layers, least=0)
        self.layers = ModuleList(copy.deepcopy(layer) for _ in range(self.num_layers))
        self.norm = norm


TransformerEncoder = kind(
    _Stack,
    "TransformerEncoder",
    "encoder_layer, num_layers, norm=None, enable_nested_tensor=True, mask_check=True",
    _copied="encoder_layer",
)
TransformerDecoder = kind(
    _Stack,
    "TransformerDecoder",
    "decoder_layer, num_layers, norm=None",
    _copied="decoder_layer",
)


class Transformer(Layer):
    """``torch.nn.Transformer``."""

    signature = (
        "d_model=512, nhead=8, num_encoder_layers=6, num_decoder_layers=6, "
        "dim_feedforward=2048, dropout=0.1, activation='relu', custom_encoder=None, "
        "custom_decoder=None, layer_norm_eps=1e-5, batch_first=False, norm_first=False, "
        "bias=True, device=None, dtype=None"
    )

    def _build(self) -> None:
        names = ("d_model", "nhead", "dim_feedforward", "dropout", "activation")
        names += ("layer_norm_eps", "batch_first", "norm_first", "bias")
        args = [getattr(self, name) for name in names]
        bias = vars(self).pop("bias")

        def stack(kind: type[Layer], layer: type[Layer], count: int) -> Layer:
            made = layer(*args)
            norm = LayerNorm(self.d_model, self.layer_norm_eps, bias=bias)
            return kind(made, count, norm)

        self.encoder, self.decoder = self.custom_encoder, self.custom_decoder
        if self.encoder is None:
            counted = TransformerEncoderLayer, self.num_encoder_layers
            self.encoder = stack(TransformerEncoder, *counted)
        if self.decoder is None:
            counted = TransformerDecoderLayer, self.num_decoder_layers
            self.decoder = stack(TransformerDecoder, *counted)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for parameter in self.parameters():
            if parameter.dim() > 1:
                init.xavier_uniform_(parameter)
