"""Keras' recurrent layers, and the wrappers around them."""

import inspect
from typing import Any, ClassVar

import jax.numpy as jnp

from jaxinit._checks import check_choice, type_error
from jaxinit.replay._keras_module import KerasTensor, Layer, Shape, take_seed
from jaxinit.replay._keras_session import snake

__all__ = [
    "GRU", "LSTM", "RNN", "Bidirectional", "GRUCell", "LSTMCell", "SimpleRNN",
    "SimpleRNNCell", "TimeDistributed",
]  # fmt: skip

_KERNELS = (
    "use_bias=True, kernel_initializer='glorot_uniform', "
    "recurrent_initializer='orthogonal', bias_initializer='zeros'"
)
_FREE = (
    "kernel_regularizer=None, recurrent_regularizer=None, bias_regularizer=None, "
    "kernel_constraint=None, recurrent_constraint=None, bias_constraint=None, "
    "dropout=0.0, recurrent_dropout=0.0"
)
_LAYER = _FREE.replace(
    " kernel_constraint", " activity_regularizer=None, kernel_constraint"
)
_STATES = (
    "return_sequences=False, return_state=False, go_backwards=False, stateful=False, "
    "unroll=False"
)
_GATES = "units, activation='tanh', recurrent_activation='sigmoid'"


class _Cell(Layer):
    """What the cells of recurrent layers share."""

    gates: ClassVar[int]

    def _make(self, given: dict[str, Any]) -> None:
        if self.gates == 1:  # Keras takes this seed first here, and last in the others
            take_seed(given["seed"])
        super()._make(given)
        if self.gates > 1:
            take_seed(given["seed"])

    def _weigh(self, *shapes: Shape) -> None:
        rows = self.gates * self.units
        self.add_weight("kernel", (shapes[0][-1], rows), self.kernel_initializer)
        recurrent = (self.units, rows)
        self.add_weight("recurrent_kernel", recurrent, self.recurrent_initializer)
        if self.use_bias:  # of two rows, if a GRU's reset gate comes after
            shape = (2, rows) if vars(self).get("reset_after") else (rows,)
            self.add_weight("bias", shape, self._bias)

    def _bias(self, shape: tuple[int, ...], backend: str) -> Any:
        """Return the bias: ones for an LSTM's forget gate, if asked for."""
        if not vars(self).get("unit_forget_bias"):
            return self.bias_initializer(shape, backend)
        n = self.units
        first, rest = (self.bias_initializer((k,), backend) for k in (n, 2 * n))
        return jnp.concatenate([first, jnp.ones((n,), jnp.float32), rest])

    def _output(self, *shapes: Shape) -> Shape:
        return (shapes[0][0], self.units)


class SimpleRNNCell(_Cell):
    """``keras.layers.SimpleRNNCell``."""

    gates = 1
    signature = f"units, activation='tanh', {_KERNELS}, {_FREE}, seed=None"


class LSTMCell(_Cell):
    """``keras.layers.LSTMCell``."""

    gates = 4
    signature = f"{_GATES}, {_KERNELS}, unit_forget_bias=True, {_FREE}, seed=None"


class GRUCell(_Cell):
    """``keras.layers.GRUCell``."""

    gates = 3
    signature = f"{_GATES}, {_KERNELS}, {_FREE}, reset_after=True, seed=None"


class RNN(Layer):
    """``keras.layers.RNN`` of one cell."""

    signature = f"cell, {_STATES}, zero_output_for_mask=False"

    def _start(self) -> None:
        if not isinstance(self.cell, _Cell):
            rule, got = "cell must be one cell of this module", f"cell={self.cell!r}"
            type_error(rule, got, "Give an LSTMCell, a GRUCell or a SimpleRNNCell.")
        self.inside = [self.cell]

    def _weigh(self, *shapes: Shape) -> None:
        self.cell.build(*shapes)

    def _output(self, *shapes: Shape) -> Shape:
        return (*shapes[0][: 2 if self.return_sequences else 1], self.cell.units)


class _Recurrent(RNN):
    """What the recurrent layers share: a cell of their own."""

    cells: ClassVar[type[_Cell]]

    def _make(self, given: dict[str, Any]) -> None:
        names = given.keys() & inspect.signature(self.cells).parameters.keys() - {"options"}
        passed = {name: given[name] for name in names}
        cell = self.cells(**passed, name=snake(self.cells.__name__))
        rest = {name: given[name] for name in given if name not in names}
        super()._make(rest | {"cell": cell})
        del self.given["cell"]
        self.given |= passed

    def again(self, name: str) -> "_Recurrent":
        """Return the layer made once more from its options, as Keras' wrappers do."""
        names = [key for key in self.given if key.endswith("_initializer")]
        clones = {key: getattr(self.cell, key).clone for key in names}
        if self.cell.gates == 1:  # Keras forgets this seed
            clones["seed"] = None
        return type(self)(**{**self.given, **clones, "name": name})


class SimpleRNN(_Recurrent):
    """``keras.layers.SimpleRNN``."""

    cells = SimpleRNNCell
    signature = f"units, activation='tanh', {_KERNELS}, {_LAYER}, {_STATES}, seed=None"


class LSTM(_Recurrent):
    """``keras.layers.LSTM``."""

    cells = LSTMCell
    signature = (
        f"{_GATES}, {_KERNELS}, unit_forget_bias=True, {_LAYER}, seed=None, {_STATES}, "
        "use_cudnn='auto'"
    )


class GRU(_Recurrent):
    """``keras.layers.GRU``."""

    cells = GRUCell
    signature = (
        f"{_GATES}, {_KERNELS}, {_LAYER}, seed=None, {_STATES}, reset_after=True, "
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
