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
from jaxinit.replay._keras_module import KerasTensor, Layer
from jaxinit.replay._keras_session import current, session

layers = keras_layers
initializers = keras_initializers


Input = keras_layers.Input


class _Named:
    """A part of Keras whose names may be given as arguments, and matter nothing."""

    def __getattr__(self, name: str) -> "Callable[..., str]":
        return lambda *_args, **_options: name


activations, constraints, regularizers = _Named(), _Named(), _Named()
models = sys.modules[__name__]  # for keras.models.Sequential


class Model(Layer):
    """``keras.Model(inputs, outputs)``.

    The weights are those of all layers that the outputs depend on.
    """

    def __init__(self, inputs: Any = None, outputs: Any = None, **options: Any) -> None:
        super().__init__(**options)
        self.shapes = [x.shape for x in _listed(outputs)]
        self.built = True
        self.inside = _in_order(_listed(inputs), _listed(outputs))

    def _output(self, *_shapes: Any) -> Any:
        return self.shapes[0]


class Sequential(Layer):
    """``keras.Sequential``, which begins with an input."""

    def __init__(self, layers: Iterable[Any] = (), **options: Any) -> None:
        super().__init__(**options)
        self.steps: list[Any] = list(layers)
        self._connect()

    def add(self, layer: Any) -> None:
        """Add a layer at the end."""
        self.steps.append(layer)
        self._connect()

    def _connect(self) -> None:
        start = self.steps[0] if self.steps else None
        if isinstance(start, Layer) and start.input_shape is not None:
            start = KerasTensor((None, *start.input_shape))
        if isinstance(start, KerasTensor):
            self._run(start)

    def _run(self, tensor: Any) -> Any:
        self.inside = [step for step in self.steps if not isinstance(step, KerasTensor)]
        for layer in self.inside:
            tensor = layer(tensor)
        return tensor

    def _weigh(self, *shapes: Any) -> None:
        self._run(KerasTensor(tuple(shapes[0])))

    def _output(self, *shapes: Any) -> Any:
        shape = shapes[0]
        for layer in self.inside:
            shape = layer.compute_output_shape(shape)
        return shape


def _in_order(inputs: list[Any], outputs: list[Any]) -> list[Layer]:
    """Return the layers between tensors as Keras orders them.

    That is by their longest way to an output, the longest first, and then in the order in
    which a walk back from the outputs meets them.
    """
    calls = current().calls
    start = {id(x) for x in inputs}
    makers = {id(made): (layer, taken) for layer, taken, made in calls}
    met: dict[int, int] = {}
    done: dict[int, None] = {}
    stack = [(id(x), False) for x in reversed(outputs)]
    while stack:
        node, left = stack.pop()
        if left:
            done[node] = None
        elif node in makers and node not in start and node not in done:
            layer, taken = makers[node]
            met.setdefault(node if layer is None else id(layer), len(met))
            stack.append((node, True))
            stack += [(id(x), False) for x in reversed(taken)]
    depths: dict[int, int] = {}
    layers: dict[int, tuple[int, Layer]] = {}
    for node in reversed(done):
        layer, taken = makers[node]
        depth = max(depths.get(node, 0), layers.get(id(layer), (0, None))[0])
        if layer is not None:
            layers[id(layer)] = depth, layer
        for x in taken:
            depths[id(x)] = max(depth + 1, depths.get(id(x), 0))
    order = sorted(layers, key=lambda key: (-layers[key][0], met[key]))
    return [layers[key][1] for key in order]


def _listed(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else [value]


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
        The float32 weights by layer and name, in the order of ``model.get_weights()``
        for models without branches.

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
    with session(seed):
        model = make()
    if not isinstance(model, Layer):
        rule = "make must return a model or a layer"
        type_error(rule, f"{model!r}", "Return the model.")
    if isinstance(model, Sequential) and model.steps and not model.inside:
        rule, got = "a model must know the shape of its input", model.name
        value_error(rule, got, "Begin it with keras.Input, or call its build.")
    start = len(model.name) + 1
    whole = isinstance(model, (Model, Sequential))
    return {
        path[start if whole else 0 :]: weight.draw(weight.shape, backend)
        for path, weight in model.walk()
    }


__all__ = [
    "Input", "Layer", "Model", "Sequential", "activations", "build", "constraints",
    "initializers", "layers", "regularizers",
]  # fmt: skip
