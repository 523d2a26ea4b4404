"""Recurrent layers and attention of PyTorch, and what is built of them."""

import copy
import math
from typing import Any, ClassVar

from jaxinit._checks import check_choice, check_int, value_error
from jaxinit.replay import torch_init as init
from jaxinit.replay._torch_basic import LayerNorm, Linear
from jaxinit.replay._torch_module import Layer, Module, ModuleList
from jaxinit.replay._torch_plain import Dropout
from jaxinit.replay._torch_record import Parameter

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Cell",
    "GRUCell",
    "LSTMCell",
    "MultiheadAttention",
    "RNNCell",
    "Recurrent",
    "Transformer",
    "TransformerDecoder",
    "TransformerDecoderLayer",
    "TransformerEncoder",
    "TransformerEncoderLayer",
]


class _Uniform(Layer):
    """What recurrent layers and cells share."""

    hidden_size: int

    def reset_parameters(self) -> None:
        """Draw all tensors again, as PyTorch's method does."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)


class Recurrent(_Uniform):
    """What the recurrent layers share."""

    gates: ClassVar[int]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,  # noqa: ARG002
        bidirectional: bool = False,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        self._check(dtype)
        self.batch_first = batch_first
        self._build(input_size, hidden_size, num_layers, bias, bidirectional, 0)

    def _build(
        self,
        inputs: int,
        hidden: int,
        layers: int,
        bias: bool,
        bidirectional: bool,
        projected: int,
    ) -> None:
        self._check(None, input_size=inputs, hidden_size=hidden, num_layers=layers)
        check_int(type(self).__name__, "proj_size", projected, least=0)
        if projected >= hidden:
            rule = "proj_size must be smaller than hidden_size"
            got = f"proj_size={projected}, hidden_size={hidden}"
            value_error(type(self).__name__, rule, got, "Give 0 for no projection.")
        self.input_size, self.hidden_size, self.num_layers = inputs, hidden, layers
        self.bias, self.bidirectional, self.proj_size = bias, bidirectional, projected
        rows, carried = self.gates * hidden, projected or hidden
        directions = ("", "_reverse") if bidirectional else ("",)
        for layer in range(layers):
            width = carried * len(directions) if layer else inputs
            for direction in directions:
                shapes: dict[str, Any] = {"weight_ih": (rows, width)}
                shapes["weight_hh"] = (rows, carried)
                if bias:
                    shapes |= {"bias_ih": rows, "bias_hh": rows}
                if projected:
                    shapes["weight_hr"] = (projected, hidden)
                for name, shape in shapes.items():
                    setattr(self, f"{name}_l{layer}{direction}", Parameter(shape))
        self.reset_parameters()


class RNN(Recurrent):
    """``torch.nn.RNN``."""

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,  # noqa: ARG002
        bidirectional: bool = False,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        self._check(dtype)
        check_choice("RNN", "nonlinearity", nonlinearity, ("tanh", "relu"))
        self.nonlinearity, self.batch_first = nonlinearity, batch_first
        self._build(input_size, hidden_size, num_layers, bias, bidirectional, 0)


class LSTM(Recurrent):
    """``torch.nn.LSTM``."""

    gates = 4

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,  # noqa: ARG002
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        self._check(dtype)
        self.batch_first = batch_first
        sizes = input_size, hidden_size, num_layers
        self._build(*sizes, bias, bidirectional, proj_size)


class GRU(Recurrent):
    """``torch.nn.GRU``."""

    gates = 3


class Cell(_Uniform):
    """What the recurrent cells share."""

    gates: ClassVar[int]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        self._check(dtype, input_size=input_size, hidden_size=hidden_size)
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        rows = self.gates * hidden_size
        self.weight_ih = Parameter((rows, input_size))
        self.weight_hh = Parameter((rows, hidden_size))
        self.bias_ih = Parameter(rows) if bias else None
        self.bias_hh = Parameter(rows) if bias else None
        self.reset_parameters()


class RNNCell(Cell):
    """``torch.nn.RNNCell``."""

    gates = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        check_choice("RNNCell", "nonlinearity", nonlinearity, ("tanh", "relu"))
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, device, dtype)


class LSTMCell(Cell):
    """``torch.nn.LSTMCell``."""

    gates = 4


class GRUCell(Cell):
    """``torch.nn.GRUCell``."""

    gates = 3


class MultiheadAttention(Layer):
    """``torch.nn.MultiheadAttention``."""

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        dropout: float = 0.0,  # noqa: ARG002
        bias: bool = True,
        add_bias_kv: bool = False,
        add_zero_attn: bool = False,
        kdim: int | None = None,
        vdim: int | None = None,
        batch_first: bool = False,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        self._check(dtype, embed_dim=embed_dim, num_heads=num_heads)
        if embed_dim % num_heads:
            rule = "num_heads must divide embed_dim"
            got = f"embed_dim={embed_dim}, num_heads={num_heads}"
            value_error("MultiheadAttention", rule, got, "Choose a divisor.")
        n = embed_dim
        kdim, vdim = n if kdim is None else kdim, n if vdim is None else vdim
        self._check(None, kdim=kdim, vdim=vdim)
        self.embed_dim, self.num_heads, self.batch_first = n, num_heads, batch_first
        self.add_bias_kv, self.add_zero_attn = add_bias_kv, add_zero_attn
        if kdim == n == vdim:
            self.in_proj_weight = Parameter((3 * n, n))
        else:
            self.q_proj_weight = Parameter((n, n))
            self.k_proj_weight = Parameter((n, kdim))
            self.v_proj_weight = Parameter((n, vdim))
        self.in_proj_bias = Parameter(3 * n) if bias else None
        self.out_proj = Linear(n, n, bias)
        self.bias_k = Parameter((1, 1, n)) if add_bias_kv else None
        self.bias_v = Parameter((1, 1, n)) if add_bias_kv else None
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

    attentions: ClassVar[tuple[str, ...]]

    def __init__(
        self,
        d_model: int,
        nhead: int,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",  # noqa: ARG002
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        self._check(dtype, d_model=d_model, nhead=nhead, dim_feedforward=dim_feedforward)
        self.norm_first = norm_first
        for name in self.attentions:
            options = {"bias": bias, "batch_first": batch_first}
            setattr(self, name, MultiheadAttention(d_model, nhead, dropout, **options))
        self.linear1 = Linear(d_model, dim_feedforward, bias)
        self.dropout = Dropout(dropout)
        self.linear2 = Linear(dim_feedforward, d_model, bias)
        places = range(1, len(self.attentions) + 2)
        for i in places:
            setattr(self, f"norm{i}", LayerNorm(d_model, layer_norm_eps, bias=bias))
        for i in places:
            setattr(self, f"dropout{i}", Dropout(dropout))


class TransformerEncoderLayer(_TransformerLayer):
    """``torch.nn.TransformerEncoderLayer``."""

    attentions = ("self_attn",)


class TransformerDecoderLayer(_TransformerLayer):
    """``torch.nn.TransformerDecoderLayer``."""

    attentions = "self_attn", "multihead_attn"


class _Stack(Module):
    """Deep copies of a layer: all have the numbers that it was made with."""

    def __init__(self, layer: Module, num_layers: int, norm: Module | None = None) -> None:
        check_int(type(self).__name__, "num_layers", num_layers, least=0)
        self.layers = ModuleList(copy.deepcopy(layer) for _ in range(num_layers))
        self.num_layers, self.norm = num_layers, norm


class TransformerEncoder(_Stack):
    """``torch.nn.TransformerEncoder``."""

    def __init__(
        self,
        encoder_layer: Module,
        num_layers: int,
        norm: Module | None = None,
        enable_nested_tensor: bool = True,  # noqa: ARG002
        mask_check: bool = True,  # noqa: ARG002
    ) -> None:
        super().__init__(encoder_layer, num_layers, norm)


class TransformerDecoder(_Stack):
    """``torch.nn.TransformerDecoder``."""

    def __init__(
        self, decoder_layer: Module, num_layers: int, norm: Module | None = None
    ) -> None:
        super().__init__(decoder_layer, num_layers, norm)


class Transformer(Layer):
    """``torch.nn.Transformer``."""

    def __init__(
        self,
        d_model: int = 512,
        nhead: int = 8,
        num_encoder_layers: int = 6,
        num_decoder_layers: int = 6,
        dim_feedforward: int = 2048,
        dropout: float = 0.1,
        activation: Any = "relu",
        custom_encoder: Any = None,
        custom_decoder: Any = None,
        layer_norm_eps: float = 1e-5,
        batch_first: bool = False,
        norm_first: bool = False,
        bias: bool = True,
        device: Any = None,  # noqa: ARG002
        dtype: Any = None,
    ) -> None:
        self._check(dtype)
        args = d_model, nhead, dim_feedforward, dropout, activation, layer_norm_eps
        more = batch_first, norm_first, bias
        self.encoder, self.decoder = custom_encoder, custom_decoder
        if custom_encoder is None:
            layer = TransformerEncoderLayer(*args, *more)
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias)
            self.encoder = TransformerEncoder(layer, num_encoder_layers, norm)
        if custom_decoder is None:
            layer = TransformerDecoderLayer(*args, *more)
            norm = LayerNorm(d_model, layer_norm_eps, bias=bias)
            self.decoder = TransformerDecoder(layer, num_decoder_layers, norm)
        self._reset_parameters()

    def _reset_parameters(self) -> None:
        for parameter in self.parameters():
            if parameter.dim() > 1:
                init.xavier_uniform_(parameter)
