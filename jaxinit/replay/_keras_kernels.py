"""Keras' dense layers, embeddings and convolutions."""

from typing import Any, ClassVar

from jaxinit._checks import check_choice, check_int, value_error
from jaxinit.replay._keras_module import Layer, Shape, initializer
from jaxinit.replay._keras_shapeless import Sizes, last_channels, sizes, strided

__all__ = [
    "Conv1D", "Conv1DTranspose", "Conv2D", "Conv2DTranspose", "Conv3D", "Conv3DTranspose",
    "Dense", "DepthwiseConv1D", "DepthwiseConv2D", "Embedding", "SeparableConv1D",
    "SeparableConv2D",
]  # fmt: skip


class Dense(Layer):
    """``keras.layers.Dense``."""

    def __init__(
        self,
        units: int,
        activation: Any = None,  # noqa: ARG002
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.units = check_int("Dense", "units", units, least=1)
        self.use_bias = use_bias
        self.kernel_initializer = initializer(kernel_initializer)
        self.bias_initializer = initializer(bias_initializer)

    def build(self, *shapes: Shape) -> None:
        """See `Layer.build`."""
        self.add_weight("kernel", (shapes[0][-1], self.units), self.kernel_initializer)
        if self.use_bias:
            self.add_weight("bias", (self.units,), self.bias_initializer)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        return (*shapes[0][:-1], self.units)


class Embedding(Layer):
    """``keras.layers.Embedding``."""

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        embeddings_initializer: Any = "uniform",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_int("Embedding", "input_dim", input_dim, least=1)
        check_int("Embedding", "output_dim", output_dim, least=1)
        self.lengths = input_dim, output_dim
        self.embeddings_initializer = initializer(embeddings_initializer)

    def build(self, *_shapes: Shape) -> None:
        """See `Layer.build`."""
        self.add_weight("embeddings", self.lengths, self.embeddings_initializer)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        return (*shapes[0], self.lengths[1])


class _Convolution(Layer):
    """What the convolutions share."""

    axes: ClassVar[int]

    def _window(
        self, kernel_size: Sizes, strides: Sizes, padding: str, dilation_rate: Sizes
    ) -> None:
        where = type(self).__name__
        self.kernel_size = sizes(where, "kernel_size", kernel_size, self.axes)
        self.strides = sizes(where, "strides", strides, self.axes)
        self.dilation_rate = sizes(where, "dilation_rate", dilation_rate, self.axes)
        self.padding = padding.lower()
        check_choice(where, "padding", self.padding, ("valid", "same", "causal"))

    def _output(self, shape: Shape, filters: int) -> Shape:
        reach = [
            d * (k - 1) + 1
            for d, k in zip(self.dilation_rate, self.kernel_size, strict=True)
        ]
        window = strided(self.name, shape[1:-1], reach, self.strides, self.padding)
        return (shape[0], *window, filters)


class _Conv(_Convolution):
    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        groups: int = 1,
        activation: Any = None,  # noqa: ARG002
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        where = type(self).__name__
        last_channels(where, data_format)
        self.filters = check_int(where, "filters", filters, least=1)
        self.groups = check_int(where, "groups", groups, least=1)
        self._window(kernel_size, strides, padding, dilation_rate)
        self.use_bias = use_bias
        self.kernel_initializer = initializer(kernel_initializer)
        self.bias_initializer = initializer(bias_initializer)

    def build(self, *shapes: Shape) -> None:
        """See `Layer.build`."""
        inputs = shapes[0][-1]
        if inputs is not None and inputs % self.groups:
            rule = "groups must divide the channels of the input"
            got = f"groups={self.groups} with {inputs}"
            value_error(type(self).__name__, rule, got, "Choose a divisor.")
        share = inputs if inputs is None else inputs // self.groups
        kernel = (*self.kernel_size, share, self.filters)
        self.add_weight("kernel", kernel, self.kernel_initializer)
        if self.use_bias:
            self.add_weight("bias", (self.filters,), self.bias_initializer)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        return self._output(shapes[0], self.filters)


class Conv1D(_Conv):
    """``keras.layers.Conv1D``."""

    axes = 1


class Conv2D(_Conv):
    """``keras.layers.Conv2D``."""

    axes = 2


class Conv3D(_Conv):
    """``keras.layers.Conv3D``."""

    axes = 3


class _ConvTranspose(_Convolution):
    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        output_padding: Sizes | None = None,
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: Any = None,  # noqa: ARG002
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        where = type(self).__name__
        last_channels(where, data_format)
        self.filters = check_int(where, "filters", filters, least=1)
        self._window(kernel_size, strides, padding, dilation_rate)
        self.output_padding = None
        if output_padding is not None:
            self.output_padding = sizes(
                where, "output_padding", output_padding, self.axes, 0
            )
        self.use_bias = use_bias
        self.kernel_initializer = initializer(kernel_initializer)
        self.bias_initializer = initializer(bias_initializer)

    def build(self, *shapes: Shape) -> None:
        """See `Layer.build`."""
        kernel = (*self.kernel_size, self.filters, shapes[0][-1])
        self.add_weight("kernel", kernel, self.kernel_initializer)
        if self.use_bias:
            self.add_weight("bias", (self.filters,), self.bias_initializer)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
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


class Conv1DTranspose(_ConvTranspose):
    """``keras.layers.Conv1DTranspose``."""

    axes = 1


class Conv2DTranspose(_ConvTranspose):
    """``keras.layers.Conv2DTranspose``."""

    axes = 2


class Conv3DTranspose(_ConvTranspose):
    """``keras.layers.Conv3DTranspose``."""

    axes = 3


class _Depthwise(_Convolution):
    def __init__(
        self,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        depth_multiplier: int = 1,
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        activation: Any = None,  # noqa: ARG002
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        where = type(self).__name__
        last_channels(where, data_format)
        self._window(kernel_size, strides, padding, dilation_rate)
        self.multiplier = check_int(where, "depth_multiplier", depth_multiplier, least=1)
        self.use_bias = use_bias
        self.depthwise_initializer = initializer(depthwise_initializer)
        self.bias_initializer = initializer(bias_initializer)

    def build(self, *shapes: Shape) -> None:
        """See `Layer.build`."""
        kernel = (*self.kernel_size, shapes[0][-1], self.multiplier)
        self.add_weight("kernel", kernel, self.depthwise_initializer)
        if self.use_bias:
            outputs = (shapes[0][-1] or 0) * self.multiplier
            self.add_weight("bias", (outputs,), self.bias_initializer)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        return self._output(shapes[0], (shapes[0][-1] or 0) * self.multiplier)


class DepthwiseConv1D(_Depthwise):
    """``keras.layers.DepthwiseConv1D``."""

    axes = 1


class DepthwiseConv2D(_Depthwise):
    """``keras.layers.DepthwiseConv2D``."""

    axes = 2


class _Separable(_Convolution):
    def __init__(
        self,
        filters: int,
        kernel_size: Sizes,
        strides: Sizes = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: Sizes = 1,
        depth_multiplier: int = 1,
        activation: Any = None,  # noqa: ARG002
        use_bias: bool = True,
        depthwise_initializer: Any = "glorot_uniform",
        pointwise_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        where = type(self).__name__
        last_channels(where, data_format)
        self.filters = check_int(where, "filters", filters, least=1)
        self._window(kernel_size, strides, padding, dilation_rate)
        self.multiplier = check_int(where, "depth_multiplier", depth_multiplier, least=1)
        self.use_bias = use_bias
        self.depthwise_initializer = initializer(depthwise_initializer)
        self.pointwise_initializer = initializer(pointwise_initializer)
        self.bias_initializer = initializer(bias_initializer)

    def build(self, *shapes: Shape) -> None:
        """See `Layer.build`."""
        inputs = shapes[0][-1]
        kernel = (*self.kernel_size, inputs, self.multiplier)
        self.add_weight("depthwise_kernel", kernel, self.depthwise_initializer)
        point = (*(1,) * self.axes, (inputs or 0) * self.multiplier, self.filters)
        self.add_weight("pointwise_kernel", point, self.pointwise_initializer)
        if self.use_bias:
            self.add_weight("bias", (self.filters,), self.bias_initializer)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        return self._output(shapes[0], self.filters)


class SeparableConv1D(_Separable):
    """``keras.layers.SeparableConv1D``."""

    axes = 1


class SeparableConv2D(_Separable):
    """``keras.layers.SeparableConv2D``."""

    axes = 2
