"""Keras' dense layers, embeddings and convolutions."""

from jaxinit._checks import check_choice, value_error
from jaxinit.replay._keras_module import Layer, Shape, kind, strided

__all__ = [
    "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose",
    "Dense", "DepthwiseConv1D", "DepthwiseConv2D", "Embedding", "SeparableConv1D",
    "SeparableConv2D",
]  # fmt: skip

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
_WINDOW = "kernel_size, strides=1, padding='valid'"
_FORWARD = f"{_WINDOW}, data_format=None, dilation_rate=1"


class Dense(Layer):
    """``keras.layers.Dense``."""

    signature = (
        f"units, {_KERNEL}, lora_rank=None, lora_alpha=None, quantization_config=None"
    )

    def _weigh(self, *shapes: Shape) -> None:
        self.add_weight("kernel", (shapes[0][-1], self.units), self.kernel_initializer)
        self.add_bias(self.units)

    def _output(self, *shapes: Shape) -> Shape:
        return (*shapes[0][:-1], self.units)


class Embedding(Layer):
    """``keras.layers.Embedding``."""

    signature = (
        "input_dim, output_dim, embeddings_initializer='uniform', "
        "embeddings_regularizer=None, embeddings_constraint=None, mask_zero=False, "
        f"weights=None, {_LORA}"
    )

    def _weigh(self, *_shapes: Shape) -> None:
        shape = self.input_dim, self.output_dim
        self.add_weight("embeddings", shape, self.embeddings_initializer)

    def _output(self, *shapes: Shape) -> Shape:
        return (*shapes[0], self.output_dim)


class _Convolution(Layer):
    """What the convolutions share."""

    def _start(self) -> None:
        self.padding = self.padding.lower()
        choices = "valid", "same", "causal"
        check_choice("padding", self.padding, choices)

    def _outputs(self, inputs: int | None) -> int:
        """Return the number of channels that come out."""
        del inputs
        return self.filters

    def _output(self, *shapes: Shape) -> Shape:
        batch, *lengths, inputs = shapes[0]
        both = zip(self.dilation_rate, self.kernel_size, strict=True)
        reach = [d * (k - 1) + 1 for d, k in both]
        window = strided(self.name, tuple(lengths), reach, self.strides, self.padding)
        return (batch, *window, self._outputs(inputs))


class _Conv(_Convolution):
    signature = f"filters, {_FORWARD}, groups=1, {_KERNEL}"

    def _weigh(self, *shapes: Shape) -> None:
        inputs = shapes[0][-1]
        if inputs is not None and inputs % self.groups:
            rule = "groups must divide the channels of the input"
            got = f"groups={self.groups} with {inputs}"
            value_error(rule, got, "Choose a divisor.", where=type(self).__name__)
        share = inputs if inputs is None else inputs // self.groups
        kernel = (*self.kernel_size, share, self.filters)
        self.add_weight("kernel", kernel, self.kernel_initializer)
        self.add_bias(self.filters)


class _ConvTranspose(_Convolution):
    signature = (
        f"filters, {_WINDOW}, output_padding=None, data_format=None, dilation_rate=1, "
        f"{_KERNEL}"
    )

    def _weigh(self, *shapes: Shape) -> None:
        kernel = (*self.kernel_size, self.filters, shapes[0][-1])
        self.add_weight("kernel", kernel, self.kernel_initializer)
        self.add_bias(self.filters)

    def _output(self, *shapes: Shape) -> Shape:
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

    def _weigh(self, *shapes: Shape) -> None:
        kernel = (*self.kernel_size, shapes[0][-1], self.depth_multiplier)
        self.add_weight("kernel", kernel, self.depthwise_initializer)
        self.add_bias(self._outputs(shapes[0][-1]))


class _Separable(_Convolution):
    signature = f"filters, {_FORWARD}, depth_multiplier=1, {_SEPARABLE}"

    def _weigh(self, *shapes: Shape) -> None:
        inputs, each = shapes[0][-1], self.depth_multiplier
        kernel = (*self.kernel_size, inputs, each)
        self.add_weight("depthwise_kernel", kernel, self.depthwise_initializer)
        point = (*(1,) * self.axes, (inputs or 0) * each, self.filters)
        self.add_weight("pointwise_kernel", point, self.pointwise_initializer)
        self.add_bias(self.filters)


Conv1D, Conv2D, Conv3D = (kind(_Conv, f"Conv{n}D", axes=n) for n in (1, 2, 3))
Conv1DTranspose = kind(_ConvTranspose, "Conv1DTranspose", axes=1)
Conv2DTranspose = kind(_ConvTranspose, "Conv2DTranspose", axes=2)
Conv3DTranspose = kind(_ConvTranspose3D, "Conv3DTranspose", axes=3)
DepthwiseConv1D, DepthwiseConv2D = (
    kind(_Depthwise, f"DepthwiseConv{n}D", axes=n) for n in (1, 2)
)
SeparableConv1D, SeparableConv2D = (
    kind(_Separable, f"SeparableConv{n}D", axes=n) for n in (1, 2)
)
