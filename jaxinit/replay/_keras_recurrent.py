"""Keras' recurrent layers, and the wrappers around them."""

from typing import Any, ClassVar

import jax.numpy as jnp

from jaxinit._checks import check_choice, check_int, value_error
from jaxinit.replay._keras_module import KerasTensor, Layer, Shape, initializer, take_seed

__all__ = ["GRU", "LSTM", "Bidirectional", "SimpleRNN", "TimeDistributed"]


class _Cell(Layer):
    """The cell inside a recurrent layer."""

    def __init__(self, layer: "_Recurrent", name: str) -> None:
        super().__init__(name=name)
        self.layer = layer

    def build(self, *shapes: Shape) -> None:
        """See `Layer.build`."""
        layer, rows = self.layer, self.layer.gates * self.layer.units
        self.add_weight("kernel", (shapes[0][-1], rows), layer.kernel_initializer)
        recurrent = (layer.units, rows)
        self.add_weight("recurrent_kernel", recurrent, layer.recurrent_initializer)
        if layer.use_bias:
            self.add_weight("bias", layer.bias_shape(), layer.bias)


class _Recurrent(Layer):
    """What the recurrent layers share."""

    gates: ClassVar[int]
    cell: ClassVar[str]

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",  # noqa: ARG002
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        seed: int | None = None,
        return_sequences: bool = False,
        return_state: bool = False,
        **options: Any,
    ) -> None:
        where = type(self).__name__
        self.units = check_int(where, "units", units, least=1)
        if return_state:
            rule = "return_state must be False"
            value_error(where, rule, "return_state=True", "States have no weights.")
        if self.gates == 1:  # SimpleRNN takes this seed first, the others last
            take_seed(self, seed)
        self.use_bias, self.return_sequences, self.seed = use_bias, return_sequences, seed
        self.kernel_initializer = initializer(kernel_initializer)
        self.recurrent_initializer = initializer(recurrent_initializer)
        self.bias_initializer = initializer(bias_initializer)
        if self.gates > 1:
            take_seed(self, seed)
        super().__init__(**options)
        self.options = options

    def bias_shape(self) -> tuple[int, ...]:
        """Return the shape of the bias."""
        return (self.gates * self.units,)

    def bias(self, shape: tuple[int, ...], backend: str) -> Any:
        """Return the bias."""
        return self.bias_initializer(shape, backend)

    def build(self, *shapes: Shape) -> None:
        """See `Layer.build`."""
        cell = _Cell(self, self.cell)
        cell.build(*shapes)
        self.inside.append(cell)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        return (*shapes[0][: 2 if self.return_sequences else 1], self.units)

    def again(self, name: str) -> "_Recurrent":
        """Return the layer made once more from its options, as Keras' wrappers do."""
        initializers = {
            f"{part}_initializer": getattr(self, f"{part}_initializer").clone
            for part in ("kernel", "recurrent", "bias")
        }
        names = ("units", "use_bias", "seed", "return_sequences", *self.more)
        kept = {option: getattr(self, option) for option in names}
        return type(self)(**{**self.options, **kept, **initializers, "name": name})

    more: ClassVar[tuple[str, ...]] = ()


class SimpleRNN(_Recurrent):
    """``keras.layers.SimpleRNN``."""

    gates, cell = 1, "simple_rnn_cell"


class LSTM(_Recurrent):
    """``keras.layers.LSTM``."""

    gates, cell = 4, "lstm_cell"
    more = ("unit_forget_bias",)

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",  # noqa: ARG002
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        unit_forget_bias: bool = True,
        **options: Any,
    ) -> None:
        self.unit_forget_bias = unit_forget_bias
        named = kernel_initializer, recurrent_initializer, bias_initializer
        super().__init__(units, activation, use_bias, *named, **options)

    def bias(self, shape: tuple[int, ...], backend: str) -> Any:
        """Return the bias: ones for the forget gate, if asked for."""
        if not self.unit_forget_bias:
            return self.bias_initializer(shape, backend)
        n = self.units
        first, rest = (self.bias_initializer((k,), backend) for k in (n, 2 * n))
        return jnp.concatenate([first, jnp.ones((n,), jnp.float32), rest])


class GRU(_Recurrent):
    """``keras.layers.GRU``."""

    gates, cell = 3, "gru_cell"
    more = ("reset_after",)

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",  # noqa: ARG002
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        reset_after: bool = True,
        **options: Any,
    ) -> None:
        self.reset_after = reset_after
        named = kernel_initializer, recurrent_initializer, bias_initializer
        super().__init__(units, activation, use_bias, *named, **options)

    def bias_shape(self) -> tuple[int, ...]:
        """Return the shape of the bias: two rows if the reset gate comes after."""
        rows = 3 * self.units
        return (2, rows) if self.reset_after else (rows,)


class Bidirectional(Layer):
    """``keras.layers.Bidirectional`` of a recurrent layer."""

    def __init__(
        self,
        layer: _Recurrent,
        merge_mode: str | None = "concat",
        weights: Any = None,  # noqa: ARG002
        backward_layer: _Recurrent | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.merge_mode = merge_mode
        modes = "concat", "sum", "mul", "ave"
        check_choice("Bidirectional", "merge_mode", merge_mode, modes)
        self.forward = layer.again(f"forward_{layer.name.removeprefix('forward_')}")
        if backward_layer is None:
            name = f"backward_{layer.name.removeprefix('backward_')}"
            backward_layer = layer.again(name)
        self.inside = [self.forward, backward_layer]

    def build(self, *shapes: Shape) -> None:
        """See `Layer.build`."""
        for layer in self.inside:
            layer.build(*shapes)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        *start, units = self.forward.compute_output_shape(*shapes)
        return (*start, 2 * (units or 0) if self.merge_mode == "concat" else units)


class TimeDistributed(Layer):
    """``keras.layers.TimeDistributed``."""

    def __init__(self, layer: Layer, **options: Any) -> None:
        super().__init__(**options)
        self.inside = [layer]

    def build(self, *shapes: Shape) -> None:
        """See `Layer.build`."""
        self.inside[0](KerasTensor((shapes[0][0], *shapes[0][2:])))

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        batch, time, *rest = shapes[0]
        inner = self.inside[0].compute_output_shape((batch, *rest))
        return (batch, time, *inner[1:])
