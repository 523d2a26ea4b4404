"""Keras' dense layers, embeddings, convolutions and attention."""

import re
from collections.abc import Sequence
from typing import Any

from jaxinit._checks import check_choice, value_error
from jaxinit.replay._keras_module import Layer, cloned, kind, kinds
from jaxinit.replay._keras_session import take_seed
from jaxinit.replay._keras_tensor import KerasTensor, Shape, strided
from jaxinit.replay.keras_initializers import (
    GlorotUniform,
    Ones,
    VarianceScaling,
)

_KERNEL = (
    "activation=None, use_bias=True, kernel_initializer='glorot_uniform', "
    "bias_initializer='zeros', kernel_regularizer=None, bias_regularizer=None, "
    "activity_regularizer=None, kernel_constraint=None, bias_constraint=None"
)
_DEPTHWISE = _KERNEL.replace("kernel", "depthwise")
_SEPARABLE = (
    "activation=None, use_bias=True, depthwise_initializer='glorot_uniform', "
    "pointwise_initializer='glorot_uniform', bias_initializer='zeros', "
    "depthwise_regularizer=None, pointwise_regularizer=None, bias_regularizer=None, "
    "activity_regularizer=None, depthwise_constraint=None, pointwise_constraint=None, "
    "bias_constraint=None"
)
_LORA = "lora_rank=None, lora_alpha=None, quantization_config=None"
_ATTENTION = (
    "sliding_window=None, flash_attention=None, kernel_initializer='glorot_uniform', "
    "bias_initializer='zeros', kernel_regularizer=None, bias_regularizer=None, "
    "activity_regularizer=None, kernel_constraint=None, bias_constraint=None, "
    "use_gate=False, seed=None"
)
_WINDOW = "kernel_size, strides=1, padding='valid'"
_FORWARD = f"{_WINDOW}, data_format=None, dilation_rate=1"


class Dense(Layer):
    """``keras.layers.Dense``."""

    signature = f"units, {_KERNEL}, {_LORA}"

    def build(self, *shapes: Shape) -> None:
        self.weigh("kernel", (shapes[0][-1], self.units), self.kernel_initializer)
        self.add_bias(self.units)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        return (*shapes[0][:-1], self.units)


class Embedding(Layer):
    """``keras.layers.Embedding``."""

    signature = (
        "input_dim, output_dim, embeddings_initializer='uniform', "
        "embeddings_regularizer=None, embeddings_constraint=None, mask_zero=False, "
        f"weights=None, {_LORA}"
    )

    def build(self, *_shapes: Shape) -> None:
        shape = self.input_dim, self.output_dim
        self.weigh("embeddings", shape, self.embeddings_initializer)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        return (*shapes[0], self.output_dim)


class ReversibleEmbedding(Embedding):
    """``keras.layers.ReversibleEmbedding``."""

    signature = (
        "input_dim, output_dim, tie_weights=True, embeddings_initializer='uniform', "
        "embeddings_regularizer=None, embeddings_constraint=None, mask_zero=False, "
        "reverse_dtype=None, logit_soft_cap=None"
    )

    def build(self, *shapes: Shape) -> None:
        super().build(*shapes)
        if not self.tie_weights:
            shape = self.output_dim, self.input_dim
            self.weigh("reverse_embeddings", shape, self.embeddings_initializer)

    def call(self, *inputs: Any, reverse: bool = False, **options: Any) -> Any:
        if reverse:
            return KerasTensor((*inputs[0].shape[:-1], self.input_dim))
        return super().call(*inputs, **options)


class EinsumDense(Layer):
    """``keras.layers.EinsumDense``."""

    signature = (
        "equation, output_shape, activation=None, bias_axes=None, "
        "kernel_initializer='glorot_uniform', bias_initializer='zeros', "
        "kernel_regularizer=None, bias_regularizer=None, kernel_constraint=None, "
        "bias_constraint=None, lora_rank=None, lora_alpha=None, "
        "gptq_unpacked_column_size=None, quantization_config=None"
    )

    def _start(self) -> None:
        form = r"(\.{3})?([a-zA-Z]+)(\.{3})?,([a-zA-Z]+)->(\.{3})?([a-zA-Z]+)(\.{3})?"
        found = re.fullmatch(form, self.equation.replace(" ", ""))
        if (
            not found
            or found[1] != found[5]
            or found[3] != found[7]
            or (found[1] and found[3])
        ):
            rule = "equation must be ab,bc->ac, with ... on one side of both or of none"
            value_error(rule, f"equation={self.equation!r}", "Write it so.")
        self.left, self.parts = bool(found[1]), (found[2], found[4], found[6])

    def _lengths(self, shape: Shape) -> tuple[dict[str, Any], dict[str, Any], list[Any]]:
        """Return the lengths by letter, of the input and the output, and the output's."""
        given = self.output_shape
        rest = list(given) if isinstance(given, (list, tuple)) else [given]
        taken, _, made = self.parts
        more = len(shape) - len(taken)
        start = more if self.left else 0
        before, after = shape[1:start], () if self.left else shape[len(taken) :]
        output = [shape[0], *before, *rest, *after]
        inputs = dict(zip(taken, shape[start:], strict=False))
        return inputs, dict(zip(made, output[start:], strict=False)), output

    def build(self, *shapes: Shape) -> None:
        inputs, outputs, whole = self._lengths(shapes[0])
        _, axes, made = self.parts
        kernel = self.kernel_initializer
        if isinstance(kernel, VarianceScaling) and kernel.input_axes is None:
            ends = [i for i, axis in enumerate(axes) if axis in outputs]
            starts = [i for i in range(len(axes)) if i not in ends]
            kernel = kernel.with_axes(starts, ends)
        self.weigh("kernel", [(inputs | outputs).get(axis) for axis in axes], kernel)
        if self.bias_axes is not None:
            start = min(made.find(axis) for axis in self.bias_axes)
            bias = [outputs[axis] if axis in self.bias_axes else 1 for axis in made[start:]]
            more = 0 if self.left else len(whole) - len(made)
            self.weigh("bias", (*bias, *(1,) * more), self.bias_initializer)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        return tuple(self._lengths(shapes[0])[2])


class _Convolution(Layer):
    def _start(self) -> None:
        self.padding = check_choice(
            "padding", self.padding.lower(), ("valid", "same", "causal")
        )

    def _outputs(self, inputs: int | None) -> int:
        """Return the number of channels that come out."""
        del inputs
        return self.filters

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        batch, *lengths, inputs = shapes[0]
        both = zip(self.dilation_rate, self.kernel_size, strict=True)
        reach = [d * (k - 1) + 1 for d, k in both]
        window = strided(self.name, tuple(lengths), reach, self.strides, self.padding)
        return (batch, *window, self._outputs(inputs))


class _Conv(_Convolution):
    signature = f"filters, {_FORWARD}, groups=1, {_KERNEL}"

    def build(self, *shapes: Shape) -> None:
        inputs = shapes[0][-1]
        if inputs is not None and inputs % self.groups:
            rule = "groups must divide the channels of the input"
            got = f"groups={self.groups} with {inputs}"
            value_error(rule, got, "Choose a divisor.", where=type(self).__name__)
        share = inputs if inputs is None else inputs // self.groups
        kernel = (*self.kernel_size, share, self.filters)
        self.weigh("kernel", kernel, self.kernel_initializer)
        self.add_bias(self.filters)


class _ConvTranspose(_Convolution):
    signature = (
        f"filters, {_WINDOW}, output_padding=None, data_format=None, dilation_rate=1, "
        f"{_KERNEL}"
    )

    def build(self, *shapes: Shape) -> None:
        kernel = (*self.kernel_size, self.filters, shapes[0][-1])
        self.weigh("kernel", kernel, self.kernel_initializer)
        self.add_bias(self.filters)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        window = []
        for i, n in enumerate(shapes[0][1:-1]):
            stride, kernel = self.strides[i], self.kernel_size[i]
            kernel += (kernel - 1) * (self.dilation_rate[i] - 1)
            if n is None:
                window.append(None)
            elif self.output_padding is not None:
                cut = 2 * (kernel // 2) if self.padding == "same" else 0
                window.append((n - 1) * stride + kernel - cut + self.output_padding[i])
            else:
                more = max(kernel - stride, 0) if self.padding == "valid" else 0
                window.append(n * stride + more)
        return (shapes[0][0], *window, self.filters)


class _ConvTranspose3D(_ConvTranspose):
    """In three axes, Keras has two arguments the other way round."""

    signature = (
        f"filters, {_WINDOW}, data_format=None, output_padding=None, dilation_rate=1, "
        f"{_KERNEL}"
    )


class _Depthwise(_Convolution):
    signature = (
        f"{_WINDOW}, depth_multiplier=1, data_format=None, dilation_rate=1, {_DEPTHWISE}"
    )

    def _outputs(self, inputs: int | None) -> int:
        return (inputs or 0) * self.depth_multiplier

    def build(self, *shapes: Shape) -> None:
        kernel = (*self.kernel_size, shapes[0][-1], self.depth_multiplier)
        self.weigh("kernel", kernel, self.depthwise_initializer)
        self.add_bias(self._outputs(shapes[0][-1]))


class _Separable(_Convolution):
    signature = f"filters, {_FORWARD}, depth_multiplier=1, {_SEPARABLE}"

    def build(self, *shapes: Shape) -> None:
        inputs, each = shapes[0][-1], self.depth_multiplier
        kernel = (*self.kernel_size, inputs, each)
        self.weigh("depthwise_kernel", kernel, self.depthwise_initializer)
        point = (*(1,) * self.axes, (inputs or 0) * each, self.filters)
        self.weigh("pointwise_kernel", point, self.pointwise_initializer)
        self.add_bias(self.filters)


class _Attention(Layer):
    """What attention by heads shares: dense layers from query, key and value."""

    takes = "query", "value", "key"

    def _dense(self, name: str, shape: Shape, equation: str, output: Sequence[Any]) -> None:
        axes = equation.partition("->")[2].lstrip(".")
        made = EinsumDense(
            equation,
            output,
            kernel_initializer=cloned(self.kernel_initializer),
            bias_initializer=cloned(self.bias_initializer),
            bias_axes=axes if self.use_bias else None,
            name=name,
        )
        setattr(self, f"{name}_dense", made)
        made.build(shape)

    def _heads(
        self, shapes: Sequence[Shape], counts: tuple[int, int], sizes: tuple[int, int]
    ) -> None:
        """Make the layers of the heads, for so many queries and keys of such sizes."""
        query, value = shapes[0], shapes[1]
        key = shapes[2] if len(shapes) > 2 else value
        parts = [("query", query, counts[0], sizes[0]), ("key", key, counts[1], sizes[0])]
        parts += [("gate", query, counts[0], sizes[1])] * bool(self.use_gate)
        for name, shape, count, size in [*parts, ("value", value, counts[1], sizes[1])]:
            self._dense(name, shape, "...m,mhd->...hd", (count, size))
        if self.dropout > 0:
            take_seed(self.seed)
        outputs = self.compute_output_shape(*shapes)[len(query) - 1 :]
        axes = "mnopqrs"[: len(outputs)]
        heads = *query[:-1], counts[0], sizes[1]
        self._dense("attention_output", heads, f"...hd,hd{axes}->...{axes}", outputs)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        shape = vars(self).get("output_shape") or shapes[0][-1]
        rest = shape if isinstance(shape, (list, tuple)) else (shape,)
        return (*shapes[0][:-1], *rest)

    def call(self, *inputs: Any, **options: Any) -> Any:
        made = super().call(*inputs, **options)
        if not options.get("return_attention_scores"):
            return made
        heads = vars(self).get("num_heads") or self.num_query_heads
        query, value = self._shapes(inputs, options)[:2]
        return made, KerasTensor((query[0], heads, *query[1:-1], *value[1:-1]))


class MultiHeadAttention(_Attention):
    """``keras.layers.MultiHeadAttention``: call it on query, value and, at will, key."""

    signature = (
        "num_heads, key_dim, value_dim=None, dropout=0.0, use_bias=True, "
        f"output_shape=None, attention_axes=None, {_ATTENTION}"
    )

    def build(self, *shapes: Shape) -> None:
        sizes = self.key_dim, self.value_dim or self.key_dim
        self._heads(shapes, (self.num_heads, self.num_heads), sizes)


class GroupedQueryAttention(_Attention):
    """``keras.layers.GroupQueryAttention``: as many queries attend to one key and value."""

    signature = (
        "head_dim, num_query_heads, num_key_value_heads, dropout=0.0, use_bias=True, "
        f"{_ATTENTION}"
    )

    def _start(self) -> None:
        if self.num_query_heads % self.num_key_value_heads:
            rule = "num_key_value_heads must divide num_query_heads"
            got = f"{self.num_key_value_heads} with {self.num_query_heads}"
            value_error(rule, got, "Choose a divisor.")

    def build(self, *shapes: Shape) -> None:
        counts = self.num_query_heads, self.num_key_value_heads
        self._heads(shapes, counts, (self.head_dim, self.head_dim))


GroupQueryAttention = GroupedQueryAttention


class Attention(Layer):
    """``keras.layers.Attention``: call it on a list of query, value and, at will, key."""

    signature = "use_scale=False, score_mode='dot', dropout=0.0, seed=None"

    def _start(self) -> None:
        if self.dropout > 0:
            take_seed(vars(self).get("seed"))

    def build(self, *_shapes: Shape) -> None:
        if self.use_scale:
            self.weigh("scale", (), Ones())
        if self.score_mode != "dot":
            self.weigh("concat_score_weight", (), Ones())

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        return (*shapes[0][:-1], shapes[1][-1])


class AdditiveAttention(Attention):
    """``keras.layers.AdditiveAttention``."""

    signature = "use_scale=True, dropout=0.0"

    def build(self, *shapes: Shape) -> None:
        if self.use_scale:
            self.weigh("scale", (shapes[0][-1],), GlorotUniform())


Conv1D, Conv2D, Conv3D = kinds(_Conv, "Conv")
Conv1DTranspose, Conv2DTranspose, Conv3DTranspose = (
    kind(_ConvTranspose, "Conv1DTranspose"),
    kind(_ConvTranspose, "Conv2DTranspose"),
    kind(_ConvTranspose3D, "Conv3DTranspose"),
)
DepthwiseConv1D, DepthwiseConv2D, _ = kinds(_Depthwise, "DepthwiseConv")
SeparableConv1D, SeparableConv2D, _ = kinds(_Separable, "SeparableConv")
Convolution1D, Convolution2D, Convolution3D = Conv1D, Conv2D, Conv3D
Convolution1DTranspose, Convolution2DTranspose = Conv1DTranspose, Conv2DTranspose
Convolution3DTranspose = Conv3DTranspose
SeparableConvolution1D, SeparableConvolution2D = SeparableConv1D, SeparableConv2D
