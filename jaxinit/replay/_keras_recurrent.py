"""Keras' recurrent layers, and the wrappers around them."""

import functools
import inspect
from typing import Any, ClassVar

import jax.numpy as jnp

from jaxinit._checks import check_choice, type_error, value_error
from jaxinit.replay._keras_kernels import _Convolution
from jaxinit.replay._keras_module import Layer, kind, kinds
from jaxinit.replay._keras_session import snake, take_seed
from jaxinit.replay._keras_tensor import Shape

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
_SOME_STATES = _STATES.partition(", unroll")[0]
_CONV = (
    "filters, kernel_size, strides=1, padding='valid', data_format=None, dilation_rate=1, "
    f"activation='tanh', recurrent_activation='sigmoid', {_KERNELS}, unit_forget_bias=True"
)
_GATES = "units, activation='tanh', recurrent_activation='sigmoid'"


class _Cell(Layer):
    gates: ClassVar[int]
    states: ClassVar[int] = 1

    def _make(self, given: dict[str, Any]) -> None:
        if self.gates == 1:  # Keras takes this seed first here, and last in the others
            take_seed(given["seed"])
        super()._make(given)
        if self.gates > 1:
            take_seed(given["seed"])

    def build(self, *shapes: Shape) -> None:
        rows = self.gates * self.units
        self.weigh("kernel", (shapes[0][-1], rows), self.kernel_initializer)
        self.weigh("recurrent_kernel", (self.units, rows), self.recurrent_initializer)
        if self.use_bias:  # of two rows, if a GRU's reset gate comes after
            shape = (2, rows) if vars(self).get("reset_after") else (rows,)
            self.weigh("bias", shape, self._bias())

    def _bias(self) -> Any:
        """Return what draws the bias: ones for an LSTM's forget gate, if asked for."""
        return (
            _forgetful(self)
            if vars(self).get("unit_forget_bias")
            else self.bias_initializer
        )

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        return (shapes[0][0], self.units)

    def state_shapes(self, shape: Shape) -> list[Any]:
        """Return the shapes of the states, of an input of this shape."""
        return [self.compute_output_shape(shape)] * self.states


def _forgetful(cell: Any) -> Any:
    def draw(shape: tuple[int, ...], backend: str) -> Any:
        n = shape[0] // 4
        first, rest = (cell.bias_initializer((k,), backend) for k in (n, 2 * n))
        return jnp.concatenate([first, jnp.ones((n,), jnp.float32), rest])

    return draw


class SimpleRNNCell(_Cell):
    """``keras.layers.SimpleRNNCell``."""

    gates = 1
    signature = f"units, activation='tanh', {_KERNELS}, {_FREE}, seed=None"


class LSTMCell(_Cell):
    """``keras.layers.LSTMCell``."""

    gates, states = 4, 2
    signature = f"{_GATES}, {_KERNELS}, unit_forget_bias=True, {_FREE}, seed=None"


class GRUCell(_Cell):
    """``keras.layers.GRUCell``."""

    gates = 3
    signature = f"{_GATES}, {_KERNELS}, {_FREE}, reset_after=True, seed=None"


class _ConvCell(_Convolution, _Cell):
    """The cell of a ConvLSTM, which takes its seed before its initializers'."""

    gates, states = 1, 2

    def build(self, *shapes: Shape) -> None:
        rows = 4 * self.filters
        kernel = (*self.kernel_size, shapes[0][-1], rows)
        self.weigh("kernel", kernel, self.kernel_initializer)
        recurrent = (*self.kernel_size, self.filters, rows)
        self.weigh("recurrent_kernel", recurrent, self.recurrent_initializer)
        if self.use_bias:
            self.weigh("bias", (rows,), self._bias())


_CONV_CELLS = {
    n: kind(_ConvCell, "ConvLSTMCell", f"{_CONV}, {_FREE}, seed=None", n) for n in (1, 2, 3)
}


class StackedRNNCells(Layer):
    """``keras.layers.StackedRNNCells``: each cell takes what the one before it gives."""

    signature = "cells"

    def _start(self) -> None:
        self.cells = list(self.cells)

    def build(self, *shapes: Shape) -> None:
        shape = shapes[0]
        for cell in self.cells:
            if not cell.built:
                cell.build(shape)
            shape = _output(cell, shape)

    def compute_output_shape(self, *shapes: Shape) -> Any:
        return functools.reduce(
            lambda shape, cell: _output(cell, shape), self.cells, shapes[0]
        )

    def state_shapes(self, shape: Shape) -> list[Any]:
        """Return the shapes of the states, of an input of this shape."""
        found: list[Any] = []
        for cell in self.cells:
            states = _states(cell, shape)
            found.append(states if len(states) > 1 else states[0])
            shape = _output(cell, shape)
        return found


def _states(cell: Any, shape: Shape) -> list[Any]:
    """Return the shapes of a cell's states; a user's own cell has a state_size."""
    if isinstance(cell, (_Cell, StackedRNNCells)):
        return cell.state_shapes(shape)
    size = cell.state_size
    return [(shape[0], n) for n in (size if isinstance(size, (list, tuple)) else [size])]


def _output(cell: Any, shape: Shape) -> Shape:
    if isinstance(cell, (_Cell, StackedRNNCells)):
        return cell.compute_output_shape(shape)
    size = vars(cell).get("output_size")
    return (shape[0], size) if size is not None else _states(cell, shape)[0]


class RNN(Layer):
    """``keras.layers.RNN`` of a cell, or of a list of cells."""

    takes = ("sequences",)
    signature = f"cell, {_STATES}, zero_output_for_mask=False"

    def _start(self) -> None:
        if isinstance(self.cell, (list, tuple)):
            self.cell = StackedRNNCells(self.cell)
        cell = self.cell
        if not isinstance(cell, (_Cell, StackedRNNCells)) and "state_size" not in dir(cell):
            rule, got = "cell must be a cell, with a state_size", f"cell={cell!r}"
            type_error(rule, got, "Give an LSTMCell, a GRUCell or a SimpleRNNCell.")
        self.cell = cell

    def build(self, *shapes: Shape) -> None:
        if not self.cell.built:
            self.cell.build((shapes[0][0], *shapes[0][2:]))

    def compute_output_shape(self, *shapes: Shape) -> Any:
        batch, time, *rest = shapes[0]
        made = _output(self.cell, (batch, *rest))
        made = (batch, time, *made[1:]) if self.return_sequences else made
        return [made, *_states(self.cell, (batch, *rest))] if self.return_state else made


class _Recurrent(RNN):
    """What the recurrent layers share: a cell of their own."""

    def _cells(self) -> Any:
        return _CONV_CELLS[self.axes]

    def _make(self, given: dict[str, Any]) -> None:
        kind = self._cells()
        names = given.keys() & inspect.signature(kind).parameters.keys() - {"options"}
        passed = {name: given[name] for name in names}
        cell = kind(**passed, name=snake(kind.__name__))
        rest = {name: given[name] for name in given if name not in names}
        super()._make(rest | {"cell": cell})
        self.given.pop("cell")
        self.given.update(passed)

    def get_config(self) -> dict[str, Any]:
        # In place of names, which are made once more, the initializers that they made.
        names = [key for key in self.given if key.endswith("_initializer")]
        self.given.update({key: getattr(self.cell, key) for key in names})
        if isinstance(self.cell, SimpleRNNCell):  # Keras forgets this seed
            self.given["seed"] = None
        return super().get_config()


class SimpleRNN(_Recurrent):
    """``keras.layers.SimpleRNN``."""

    signature = f"units, activation='tanh', {_KERNELS}, {_LAYER}, {_STATES}, seed=None"

    def _cells(self) -> Any:
        return SimpleRNNCell


class LSTM(_Recurrent):
    """``keras.layers.LSTM``."""

    signature = (
        f"{_GATES}, {_KERNELS}, unit_forget_bias=True, {_LAYER}, seed=None, {_STATES}, "
        "use_cudnn='auto'"
    )

    def _cells(self) -> Any:
        return LSTMCell


class GRU(_Recurrent):
    """``keras.layers.GRU``."""

    signature = (
        f"{_GATES}, {_KERNELS}, {_LAYER}, seed=None, {_STATES}, reset_after=True, "
        "use_cudnn='auto'"
    )

    def _cells(self) -> Any:
        return GRUCell


class _ConvLSTM(_Recurrent):
    signature = f"{_CONV}, {_LAYER}, seed=None, {_SOME_STATES}"


ConvLSTM1D, ConvLSTM2D, ConvLSTM3D = kinds(_ConvLSTM, "ConvLSTM")


class Bidirectional(Layer):
    """``keras.layers.Bidirectional`` of a recurrent layer."""

    takes = ("sequences",)
    signature = "layer, merge_mode='concat', weights=None, backward_layer=None"

    def _start(self) -> None:
        layer, backward = self.layer, self.backward_layer
        if self.merge_mode is not None:
            check_choice("merge_mode", self.merge_mode, ("concat", "sum", "mul", "ave"))
        if backward is None and layer.go_backwards:
            rule, got = (
                "the two layers must go in different directions",
                "go_backwards=True",
            )
            value_error(rule, got, "Leave go_backwards out.")
        self.forward_layer = layer.remade(f"forward_{layer.name.removeprefix('forward_')}")
        name = f"backward_{layer.name.removeprefix('backward_')}"
        self.backward_layer = layer.remade(name) if backward is None else backward

    def get_config(self) -> dict[str, Any]:
        both = {"layer": self.forward_layer, "backward_layer": self.backward_layer}
        self.given.update(both)
        return super().get_config()

    def build(self, *shapes: Shape) -> None:
        for layer in (self.forward_layer, self.backward_layer):
            if not layer.built:
                layer.build(*shapes)

    def compute_output_shape(self, *shapes: Shape) -> Any:
        made = self.forward_layer.compute_output_shape(*shapes)
        made, states = (made[0], made[1:]) if self.layer.return_state else (made, [])
        both = [made, made]
        if self.merge_mode is not None:
            both = [(*made[:-1], (1 + (self.merge_mode == "concat")) * made[-1])]
        return [*both, *states, *states] if len(both) + len(states) > 1 else both[0]
