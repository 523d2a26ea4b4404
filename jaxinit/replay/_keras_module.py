"""Keras' layers as what decides their weights: seeds that they take, and shapes."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar, TypeVar

import jax
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_int, shown, type_error, value_error
from jaxinit.replay._keras_session import current, next_seed, unique_name
from jaxinit.replay._signatures import constructor
from jaxinit.replay.keras_initializers import get

Shape = tuple[int | None, ...]

Sizes = int | Sequence[int]
LayerT = TypeVar("LayerT", bound="Layer")

_FREE = frozenset({
    "activity_regularizer", "autocast", "batch_input_shape", "batch_size", "dtype",
    "implementation", "input_dim", "input_length", "input_shape", "name", "sparse",
    "trainable", "virtual_batch_size", "zero_output_for_mask",
})  # fmt: skip
"""Options of all layers that change no weight, besides regularizers and constraints."""
_NOT_REPLAYED = frozenset({
    "lora_rank", "quantization_config", "renorm", "return_state", "use_gate", "weights",
})  # fmt: skip
"""Options that change which weights there are."""
_COUNTS = frozenset({
    "depth_multiplier", "filters", "groups", "input_dim", "key_dim", "num_heads",
    "output_dim", "units",
})  # fmt: skip


_ARRAYS = np.ndarray, jax.Array


class KerasTensor:
    """What a layer returns: a shape, whose first length is the batch's."""

    def __init__(self, shape: Shape) -> None:
        self.shape = tuple(shape)

    def _with(self, other: object) -> "KerasTensor":
        pair = [self, other] if isinstance(other, KerasTensor) else [self]
        shape = broadcast(self.shape, pair[-1].shape)
        return connected(None, pair, KerasTensor(shape))

    def __getitem__(self, index: Any) -> "KerasTensor":
        free = 1 << 20  # in place of lengths that are not known
        whole = np.broadcast_to(0, [free if n is None else n for n in self.shape])
        shape = tuple(None if n == free else n for n in whole[index].shape)
        return connected(None, [self], KerasTensor(shape))

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = _with


def connected(layer: Any, taken: list[Any], made: KerasTensor) -> KerasTensor:
    """Note that a layer, or a sum, made one tensor of others."""
    current().calls.append((layer, taken, made))
    return made


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

    axes: ClassVar[int] = 0

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__.startswith("jaxinit.replay."):
            if "signature" in vars(cls):
                taken = vars(cls)["signature"]
                cls.__init__ = constructor(f"{taken}{', ' if taken else ''}**options")
            part = "models" if cls.__module__.endswith("models") else "layers"
            boundary(cls, f"keras_{part}.{cls.__name__}")

    def __init__(self, *_args: Any, **options: Any) -> None:
        for option in options:
            if option not in _FREE and not option.endswith(("_regularizer", "_constraint")):
                advice = "See help(keras_layers) for what is known."
                type_error("an option must be one of Keras'", option, advice)
        if options.get("dtype") not in (None, "float32"):
            rule = "weights are float32"
            got = f"dtype={options['dtype']!r}"
            type_error(rule, got, "Leave dtype out, and convert the weights.")
        self.name: str = options.get("name") or unique_name(type(self).__name__)
        size, shape = options.get("input_dim"), options.get("input_shape")
        self.input_shape: Shape | None = shape if size is None else (size,)
        self.weights: list[Weight] = []
        self.inside: list[Layer] = []
        self.built = False

    def __getattr__(self, name: str) -> Any:
        text = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(text)

    def _make(self, given: dict[str, Any]) -> None:
        """Take all arguments as attributes: checked, and initializers made in order."""
        options = given.pop("options")
        self.given = given | options
        Layer.__init__(self, **options)
        for name, value in given.items():
            if name not in _NOT_REPLAYED:
                vars(self)[name] = self._checked(name, value)
            elif value is not None and value is not False:
                rule, got = f"{name} cannot be replayed", f"{name}={shown(value)}"
                value_error(rule, got, "Leave it out.")
        self._start()

    def _checked(self, name: str, value: Any) -> Any:
        """Return an argument as its name says that it is to be."""
        if name in _COUNTS:
            return check_int(name, value, least=1)
        if name.endswith("_initializer"):
            return get(value)
        if name in ("kernel_size", "pool_size", "strides", "dilation_rate"):
            given = self.pool_size if value is None else value
            return sizes(name, given, self.axes)
        if name == "output_padding" and value is not None:
            return sizes(name, value, self.axes, 0)
        if name == "data_format" and value not in (None, "channels_last"):
            rule = "data_format must be channels_last"
            advice = "The weights are the same: describe the model with channels last."
            value_error(rule, f"data_format={value!r}", advice)
        return value

    def _start(self) -> None:
        """Do what is to be done last in the constructor."""

    def add_weight(self, name: str, shape: Any, initializer: Any) -> None:
        """Give the layer a weight, in Keras' order."""
        if None in shape:
            rule = "the lengths that a weight depends on must be known"
            advice = "Give keras.Input all lengths but the batch's."
            value_error(rule, f"{name} of shape {shape}", advice, where=type(self).__name__)
        self.weights.append(Weight(name, tuple(shape), initializer))

    def add_bias(self, *shape: int | None) -> None:
        """Give the layer a bias, if it has one."""
        if self.use_bias:
            self.add_weight("bias", shape, self.bias_initializer)

    def build(self, *shapes: Shape) -> None:
        """Make the weights for inputs of these shapes."""
        self._weigh(*shapes)

    def _weigh(self, *shapes: Shape) -> None:
        pass

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """Return the shape of the output."""
        return self._output(*shapes)

    def _output(self, *shapes: Shape) -> Shape:
        return shapes[0]

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Build the layer at its first call, and return a tensor of the output's shape."""
        tensors = [x for x in (*inputs, *options.values()) if isinstance(x, list)]
        tensors = tensors[0] if tensors else [*inputs, *options.values()]
        tensors = [KerasTensor(x.shape) if isinstance(x, _ARRAYS) else x for x in tensors]
        taken = [x for x in tensors if isinstance(x, KerasTensor)]
        shapes = [x.shape for x in taken]
        if not shapes:
            rule = "a layer must be called on keras.Input or on the output of a layer"
            type_error(
                rule, f"{inputs}", "Start from keras.Input.", where=type(self).__name__
            )
        if not self.built:
            self.built = True
            self.build(*shapes)
        made = KerasTensor(self.compute_output_shape(*shapes))
        return connected(self, taken, made)

    def summary(self, *_args: Any, **_options: Any) -> None:
        """Do nothing: what a model computes does not matter here."""

    compile = summary

    def walk(self, prefix: str = "") -> Iterator[tuple[str, Weight]]:
        """Yield the weights by their paths, in Keras' order."""
        path = f"{prefix}{self.name}/"
        yield from ((path + weight.name, weight) for weight in self.weights)
        for layer in self.inside:
            yield from layer.walk(path)


def kind(
    base: type[LayerT], name: str, signature: str | None = None, axes: int = 0
) -> type[LayerT]:
    """Return the layer of Keras of this name."""
    about = f"``keras.layers.{name}``."
    members: Any = {"__doc__": about, "__module__": base.__module__, "axes": axes}
    members |= {} if signature is None else {"signature": signature}
    made: Any = type(name, (base,), members)
    return made


def sizes(name: str, value: Sizes, axes: int, least: int = 1) -> tuple[int, ...]:
    """Return one length an axis."""
    lengths = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(lengths) != axes:
        rule = f"{name} must be an int or {axes} ints"
        value_error(rule, f"{name}={value}", "Give one length for each axis.")
    return tuple(check_int(name, n, least=least) for n in lengths)


def strided(
    name: str, lengths: Shape, window: Sequence[int], strides: Sequence[int], padding: str
) -> Shape:
    """Return the lengths after a convolution or a pooling."""
    result: list[int | None] = []
    for n, k, stride in zip(lengths, window, strides, strict=True):
        if n is None:
            result.append(None)
            continue
        out = (n - k) // stride + 1 if padding == "valid" else -(-n // stride)
        if out < 1:
            rule = "the output must have a length of at least 1 on each axis"
            got = f"{out} from a length of {n} with a window of {k}"
            value_error(rule, got, "Make the input larger.", where=f"build: {name}")
        result.append(out)
    return tuple(result)


def take_seed(seed: int | None) -> None:
    """Take the seed of a generator inside the layer, if it has been given none."""
    if seed is None:
        next_seed()
