"""Keras' recurrent layers, and the wrappers around them."""

from typing import Any, ClassVar

import jax.numpy as jnp

from jaxinit._checks import check_choice
from jaxinit.replay._keras_module import KerasTensor, Layer, Shape, take_seed

__all__ = ["GRU", "LSTM", "Bidirectional", "SimpleRNN", "TimeDistributed"]

_KERNELS = (
    "use_bias=True, kernel_initializer='glorot_uniform', "
    "recurrent_initializer='orthogonal', bias_initializer='zeros'"
)
_FREE = (
    "kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None, "
    "activity_regularizer=None, kernel_constraint=None, recurrent_constraint=None, "
    "bias_constraint=None, dropout=0.0, recurrent_dropout=0.0"
)
_STATES = (
    "return_sequences=False, return_state=False, go_backwards=False, stateful=False, "
    "unroll=False"
)
_GATES = "units, activation='tanh', recurrent_activation='sigmoid'"


class _Cell(Layer):
    """The cell inside a recurrent layer."""

    def __init__(self, layer: "_Recurrent", name: str) -> None:
        super().__init__(name=name)
        self.layer = layer

    def _weigh(self, *shapes: Shape) -> None:
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

    def _make(self, given: dict[str, Any]) -> None:
        seed = given["seed"]
        if self.gates == 1:  # SimpleRNN takes this seed first, the others last
            take_seed(seed)
        super()._make(given)
        if self.gates > 1:
            take_seed(seed)

    def bias_shape(self) -> tuple[int, ...]:
        """Return the shape of the bias: two rows if a GRU's reset gate comes after."""
        rows = self.gates * self.units
        return (2, rows) if vars(self).get("reset_after") else (rows,)

    def bias(self, shape: tuple[int, ...], backend: str) -> Any:
        """Return the bias: ones for an LSTM's forget gate, if asked for."""
        if not vars(self).get("unit_forget_bias"):
            return self.bias_initializer(shape, backend)
        n = self.units
        first, rest = (self.bias_initializer((k,), backend) for k in (n, 2 * n))
        return jnp.concatenate([first, jnp.ones((n,), jnp.float32), rest])

    def _weigh(self, *shapes: Shape) -> None:
        cell = _Cell(self, self.cell)
        cell.build(*shapes)
        self.inside.append(cell)

    def _output(self, *shapes: Shape) -> Shape:
        return (*shapes[0][: 2 if self.return_sequences else 1], self.units)

    def again(self, name: str) -> "_Recurrent":
        """Return the layer made once more from its options, as Keras' wrappers do."""
        names = [key for key in self.given if key.endswith("_initializer")]
        clones = {key: getattr(self, key).clone for key in names}
        if self.gates == 1:  # Keras forgets this seed
            clones["seed"] = None
        return type(self)(**{**self.given, **clones, "name": name})


class SimpleRNN(_Recurrent):
    """``keras.layers.SimpleRNN``."""

    gates, cell = 1, "simple_rnn_cell"
    signature = f"units, activation='tanh', {_KERNELS}, {_FREE}, {_STATES}, seed=None"


class LSTM(_Recurrent):
    """``keras.layers.LSTM``."""

    gates, cell = 4, "lstm_cell"
    signature = (
        f"{_GATES}, {_KERNELS}, unit_forget_bias=True, {_FREE}, seed=None, {_STATES}, "
        "use_cudnn='auto'"
    )


class GRU(_Recurrent):
    """``keras.layers.GRU``."""

    gates, cell = 3, "gru_cell"
    signature = (
        f"{_GATES}, {_KERNELS}, {_FREE}, seed=None, {_STATES}, reset_after=True, "
        "use_cudnn='auto'"
    )


class Bidirectional(Layer):
    """``keras.layers.Bidirectional`` of a recurrent layer."""

    signature = "layer, merge_mode='concat', weights=None, backward_layer=None"

    def _start(self) -> None:
        modes, layer = ("concat", "sum", "mul", "ave"), self.layer
        check_choice("merge_mode", self.merge_mode, modes)
        made = [layer.again(f"forward_{layer.name.removeprefix('forward_')}")]
        made.append(self.backward_layer)
        if self.backward_layer is None:
            made[1] = layer.again(f"backward_{layer.name.removeprefix('backward_')}")
        self.inside = made

    def _weigh(self, *shapes: Shape) -> None:
        for layer in self.inside:
            layer.build(*shapes)

    def _output(self, *shapes: Shape) -> Shape:
        *start, units = self.inside[0].compute_output_shape(*shapes)
        return (*start, 2 * (units or 0) if self.merge_mode == "concat" else units)


class TimeDistributed(Layer):
    """``keras.layers.TimeDistributed``."""

    signature = "layer"

    def _start(self) -> None:
        self.inside = [self.layer]

    def _weigh(self, *shapes: Shape) -> None:
        self.layer(KerasTensor((shapes[0][0], *shapes[0][2:])))

    def _output(self, *shapes: Shape) -> Shape:
        batch, time, *rest = shapes[0]
        inner = self.layer.compute_output_shape((batch, *rest))
        return (batch, time, *inner[1:])
