"""Keras' layers as what decides their weights: seeds that they take, and shapes."""

import dataclasses
import re
from collections.abc import Callable, Iterator
from typing import Any

from jaxinit._boundary import boundary
from jaxinit._checks import type_error, value_error
from jaxinit.replay._keras_session import current, next_seed
from jaxinit.replay.keras_initializers import Initializer, get

Shape = tuple[int | None, ...]

_WORDS = """
    name dtype trainable activation recurrent_activation input_shape batch_input_shape
    input_dim input_length mask_zero weights unroll stateful go_backwards use_cudnn
    implementation dropout recurrent_dropout zero_output_for_mask autocast epsilon momentum
    synchronized virtual_batch_size attention_axes flash_attention interpolation lora_rank
    lora_alpha alpha negative_slope max_value threshold keepdims fill_mode fill_value
    value_range mask_value sliding_window sparse batch_size
"""
_FREE = frozenset(_WORDS.split())
"""Options that change no weight, besides regularizers and constraints."""


class KerasTensor:
    """What a layer returns: a shape, whose first length is the batch's."""

    def __init__(self, shape: Shape) -> None:
        self.shape = tuple(shape)

    def _with(self, other: object) -> "KerasTensor":
        pair = [self, other] if isinstance(other, KerasTensor) else [self]
        shape = broadcast(self.shape, pair[-1].shape)
        return connected(None, pair, KerasTensor(shape))

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _with


def connected(layer: Any, taken: list[Any], made: KerasTensor) -> KerasTensor:
    """Note that a layer, or a sum, made one tensor of others."""
    current(type(layer).__name__).calls.append((layer, taken, made))
    return made


def is_tensor(value: object) -> Any:
    """Whether a value is what a layer returns."""
    return isinstance(value, KerasTensor)


def broadcast(first: Shape, second: Shape) -> Shape:
    """Return the shape of a sum."""
    rank = max(len(first), len(second))
    padded = [(1,) * (rank - len(s)) + s for s in (first, second)]
    return tuple(b if a == 1 else a for a, b in zip(*padded, strict=True))


@dataclasses.dataclass(frozen=True)
class Weight:
    """A weight: its name in the layer, its shape, and what draws it."""

    name: str
    shape: tuple[int, ...]
    draw: Callable[[tuple[int, ...], str], Any]


class Layer:
    """What all layers share: a name, weights, and layers inside.

    Args:
        **options: Keras' options; those that change no weight are accepted.

    Raises:
        TypeError: An option is not one of Keras', or needs weights of another dtype.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__.startswith("jaxinit.replay."):
            part = "models" if cls.__module__.endswith("models") else "layers"
            boundary(cls, f"keras_{part}.{cls.__name__}")

    def __init__(self, **options: Any) -> None:
        where = type(self).__name__
        for option in options:
            if option not in _FREE and not option.endswith(("_regularizer", "_constraint")):
                advice = "See help(keras_layers) for what is known."
                type_error(where, "an option must be one of Keras'", option, advice)
        if options.get("dtype") not in (None, "float32"):
            rule = "weights are float32"
            got = f"dtype={options['dtype']!r}"
            type_error(where, rule, got, "Leave dtype out, and convert the weights.")
        snake = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", where)
        snake = re.sub("([a-z])([A-Z])", r"\1_\2", snake).lower()
        self.name: str = options.get("name") or unique_name(where, snake)
        self.weights: list[Weight] = []
        self.inside: list[Layer] = []
        self.built = False

    def add_weight(self, name: str, shape: Any, initializer: Any) -> None:
        """Give the layer a weight, in Keras' order."""
        if None in shape:
            rule = "the lengths that a weight depends on must be known"
            advice = "Give keras.Input all lengths but the batch's."
            value_error(type(self).__name__, rule, f"{name} of shape {shape}", advice)
        self.weights.append(Weight(name, tuple(shape), initializer))

    def build(self, *shapes: Shape) -> None:
        """Make the weights for inputs of these shapes."""

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """Return the shape of the output."""
        return shapes[0]

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Build the layer at its first call, and return a tensor of the output's shape."""
        tensors = [x for x in (*inputs, *options.values()) if isinstance(x, list)]
        tensors = tensors[0] if tensors else [*inputs, *options.values()]
        taken = [x for x in tensors if is_tensor(x)]
        shapes = [x.shape for x in taken]
        if not shapes:
            rule = "a layer must be called on keras.Input or on the output of a layer"
            type_error(type(self).__name__, rule, f"{inputs}", "Start from keras.Input.")
        if not self.built:
            self.built = True
            self.build(*shapes)
        made = KerasTensor(self.compute_output_shape(*shapes))
        return connected(self, taken, made)

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Weight]]:
        """Yield the weights by their paths, in Keras' order."""
        path = f"{prefix}{self.name}/"
        yield from ((path + weight.name, weight) for weight in self.weights)
        for layer in self.inside:
            yield from layer.walk(path)


def unique_name(where: str, name: str) -> str:
    """Return Keras' automatic name: numbered from the second one on."""
    names = current(where).names
    names[name] += 1
    return name if names[name] == 1 else f"{name}_{names[name] - 1}"


def initializer(identifier: Any) -> Initializer:
    """Return the initializer of a layer; one that has no seed takes one now."""
    return get(identifier)


def take_seed(layer: Layer, seed: int | None) -> None:
    """Take the seed of a generator inside the layer, if it has been given none."""
    if seed is None:
        next_seed(type(layer).__name__)
