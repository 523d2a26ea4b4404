"""Keras models from their seed: use it as ``keras``, on any of Keras' backends.

`build` does what a program does that begins with ``keras.utils.set_random_seed(seed)``:
it runs the function that makes the model, lets every layer and initializer take its seed
as Keras does, and draws the weights.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any

import jax

from jaxinit._boundary import boundary
from jaxinit._checks import check_int, type_error, value_error
from jaxinit.replay import keras_initializers, keras_layers
from jaxinit.replay._keras_backends import backend as backend_of
from jaxinit.replay._keras_module import Layer
from jaxinit.replay._keras_session import Call, current, session
from jaxinit.replay._keras_tensor import (
    KerasTensor,
    Named,
    Ops,
    Random,
    mapped,
    tensors,
    tensors_of,
)

layers = keras_layers
initializers = keras_initializers
Input = keras_layers.Input
ops, random = Ops(), Random()
activations, constraints, losses, metrics, optimizers, regularizers = (
    Named() for _ in range(6)
)
models = sys.modules[__name__]  # for keras.models.Sequential


class Model(Layer):
    """``keras.Model``: of inputs and outputs, or a subclass with a ``call``.

    The weights are those of all layers that the outputs depend on, or those of the
    layers that are attributes, in Keras' order.
    """

    def __init__(self, inputs: Any = None, outputs: Any = None, **options: Any) -> None:
        super().__init__(**options)
        if outputs is not None:
            self._connect(inputs, outputs)

    def _connect(self, inputs: Any, outputs: Any) -> None:
        runs, found = _graph(inputs, outputs)
        shapes = [x.shape for x in tensors(inputs)]
        shape = shapes[0] if isinstance(inputs, KerasTensor) else shapes
        ends = {"inputs": list(tensors(inputs)), "outputs": list(tensors(outputs))}
        made = {"input": inputs, "output": outputs, "input_shape": shape, "built": True}
        vars(self).update(ends, **made, runs=runs, _tracked=found)

    @property
    def layers(self) -> list[Any]:
        """The layers, in Keras' order."""
        return self.sublayers

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """Return the layer of a name, or of a place."""
        if index is not None:
            return self.layers[index]
        found = [layer for layer in self.layers if layer.name == name]
        if not found:
            rule = f"name must be one of {', '.join(x.name for x in self.layers)}"
            value_error(rule, f"name={name!r}", "Choose one of these.")
        return found[0]

    def build(self, *shapes: Any) -> None:
        """Make the weights for inputs of these shapes."""
        if not self.built:
            self.built = True
            self(*(tensors_of(shape) for shape in shapes))

    def call(self, *inputs: Any, **_options: Any) -> Any:
        """Return what the model makes of other inputs."""
        if "runs" not in vars(self):
            rule, got = "a subclass of Model must have a call", type(self).__name__
            type_error(rule, got, "Add a call, or give inputs and outputs.")
        return self._run(inputs[0] if len(inputs) == 1 else inputs, lambda op: op)

    def _run(self, inputs: Any, change: Callable[[Any], Any]) -> Any:
        """Return the outputs for other inputs, of changed layers."""
        if isinstance(self.input, dict) and isinstance(inputs, dict):
            inputs = {key: inputs[key] for key in self.input}
        known = dict(zip(map(id, tensors(self.input)), tensors(inputs), strict=False))

        def replaced(x: Any) -> Any:
            return known.get(id(x), x)

        for call in self.runs:
            args, options = mapped(replaced, (call.args, call.options))
            made = change(call.op)(*args, **options)
            known |= zip(map(id, tensors(call.made)), tensors(made), strict=True)
        return mapped(replaced, self.output)

    def again(self, name: str | None = None) -> Layer:
        """Return the model with all its layers made once more."""
        if "runs" not in vars(self):
            return super().again(name)
        copies = {id(layer): layer.remade() for layer in self.layers}
        return self._copied(name, lambda op: copies.get(id(op), op))

    def _copied(self, name: str | None, change: Callable[[Any], Any]) -> Layer:
        inputs = mapped(lambda x: KerasTensor(x.shape, x.dtype, source=True), self.input)
        return Model(inputs, self._run(inputs, change), name=name or self.name)


class Sequential(Model):
    """``keras.Sequential``: layers one after the other, after an input or not."""

    def __init__(self, layers: Iterable[Any] | None = None, **options: Any) -> None:
        super().__init__(**options)
        vars(self)["steps"] = []
        for layer in layers or ():
            self.add(layer, rebuild=False)
        self._rebuild()

    @property
    def sublayers(self) -> list[Any]:
        """The layers, in order."""
        return [step for step in self.steps if isinstance(step, Layer)]

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Add a layer at the end."""
        shape = vars(layer).get("input_shape") if isinstance(layer, Layer) else None
        if not self.steps and shape is not None and not isinstance(layer, Model):
            self.steps.append(KerasTensor((None, *shape)))
        self.steps.append(layer)
        if rebuild:
            self._rebuild()

    def pop(self, rebuild: bool = True) -> Any:
        """Remove the last layer, and return it."""
        layer = self.steps.pop()
        if rebuild:
            self._rebuild()
        return layer

    def _rebuild(self) -> None:
        self.built = False
        if len(self.steps) > 1:
            first = self.steps[0]
            known = vars(first).get("shape", vars(first).get("input_shape"))
            if isinstance(first, (KerasTensor, Model)) and known is not None:
                self.build(known)

    def build(self, *shapes: Any) -> None:
        """Make the weights for an input of this shape."""
        if not isinstance(self.steps[0], KerasTensor):
            self.steps.insert(0, KerasTensor(tuple(shapes[0])))
        tensor = self.steps[0]
        for layer in self.layers:
            tensor = layer(tensor)
        self._connect(self.steps[0], tensor)

    def again(self, name: str | None = None) -> Layer:
        """Return the model with all its layers made once more."""
        return self._stacked(name, lambda layer: layer.remade())

    def _stacked(self, name: str | None, change: Callable[[Any], Any]) -> Layer:
        copies = [change(x) if isinstance(x, Layer) else x for x in self.steps]
        return Sequential(copies, name=name or self.name)


@boundary
def clone_model(model: Any) -> Any:
    """Return a model of the same layers, made once more: ``keras.models.clone_model``."""
    if isinstance(model, Sequential):
        return model._stacked(None, lambda layer: layer.again())
    if "runs" not in vars(model):
        return model.again()
    copies: dict[int, Any] = {}

    def copied(op: Any) -> Any:
        if isinstance(op, Layer) and id(op) not in copies:
            copies[id(op)] = op.again()
        return copies.get(id(op), op)

    return model._copied(None, copied)


def _graph(inputs: Any, outputs: Any) -> tuple[list[Call], list[Layer]]:
    """Return the calls between tensors as Keras runs them, and the layers in its order.

    That is by their longest way to an output, the longest first, and then in the order in
    which a walk back from the outputs meets them.
    """
    calls, start = current().calls, {id(x) for x in tensors(inputs)}

    def makers(found: Any) -> list[Call]:
        found = list(found)
        if any(x.source and id(x) not in start for x in found):
            rule = "inputs must have each keras.Input that the outputs need"
            value_error(rule, "too few", "Add it to inputs.", where="keras_models.Model")
        return [calls[id(x)] for x in found if id(x) in calls and id(x) not in start]

    met: dict[int, int] = {}
    done: dict[int, Call] = {}
    stack = [(call, False) for call in reversed(makers(tensors(outputs)))]
    while stack:
        call, left = stack.pop()
        if left:
            done[id(call)] = call
        elif id(call) not in done:
            met.setdefault(id(call.op), len(met))
            stack.append((call, True))
            stack += [(other, False) for other in reversed(makers(call.taken))]
    depths: dict[int, int] = {}
    ops: dict[int, int] = {}
    for key, call in reversed(done.items()):
        depth = max(depths.setdefault(key, 0), ops.get(id(call.op), 0))
        ops[id(call.op)] = depths[key] = depth
        for other in makers(call.taken):
            depths[id(other)] = max(depth + 1, depths.get(id(other), 0))
    runs = [done[key] for key in sorted(depths, key=lambda key: -depths[key])]
    found = {id(call.op): call.op for call in runs if isinstance(call.op, Layer)}
    order = sorted(found, key=lambda key: (-ops[key], met[key]))
    return runs, [found[key] for key in order]


@boundary
def build(
    seed: int, make: Callable[[], Layer], backend: str = "tensorflow"
) -> dict[str, jax.Array]:
    """Return the weights of a Keras model that is made after ``set_random_seed(seed)``.

    Args:
        seed: The argument of ``keras.utils.set_random_seed``.
        make: A function without arguments that makes the model from the classes here
            and returns it.
        backend: ``"tensorflow"``, ``"jax"`` or ``"torch"``.

    Returns:
        The weights by Keras' path, in the order of ``model.weights``. The name of the
        model itself is left out in front; a path that comes again gets ``#1``, ``#2``.

    Raises:
        TypeError: ``make`` returns no model.
        ValueError: An option is out of range, or a shape is not known.

    Example:
        >>> from jaxinit.replay import keras_models as keras
        >>> def make():
        ...     return keras.Sequential([
        ...         keras.Input((4,)),
        ...         keras.layers.Dense(3, activation="relu"),
        ...         keras.layers.Dense(2),
        ...     ])
        >>> list(keras.build(42, make))
        ['dense/kernel', 'dense/bias', 'dense_1/kernel', 'dense_1/bias']
    """
    backend_of(backend)
    check_int("seed", seed, least=0)
    found: dict[str, jax.Array] = {}
    with session(seed):
        model = make()
        if not isinstance(model, Layer):
            rule = "make must return a model or a layer"
            type_error(rule, f"{model!r}", "Return the model.")
        if isinstance(model, Model) and not model.built:
            rule, got = "a model must know the shape of its input", model.name
            value_error(rule, got, "Begin it with keras.Input, or call its build.")
        start = f"{model.name}/" if isinstance(model, Model) else ""
        for weight in model.weights:
            path = weight.path.removeprefix(start)
            same = sum(known.partition("#")[0] == path for known in found)
            found[f"{path}#{same}" if same else path] = weight.draw(backend)
    return found


__all__ = [
    "Input", "Layer", "Model", "Sequential", "activations", "build", "clone_model",
    "constraints", "initializers", "layers", "losses", "metrics", "ops", "optimizers",
    "random", "regularizers",
]  # fmt: skip
