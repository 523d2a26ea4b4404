"""``keras.layers`` for models that are made from a seed and never run.

The classes have Keras' names and arguments. They take from Python's generator the seeds
that Keras takes, in its order, and infer the shapes of weights as Keras does; images
have their channels last.
"""

from collections.abc import Callable, Iterable
from typing import Any

import jax.numpy as jnp

from jaxinit._boundary import boundary
from jaxinit._checks import value_error
from jaxinit.replay._keras_kernels import *  # noqa: F403
from jaxinit.replay._keras_module import Layer, cloned, kinds
from jaxinit.replay._keras_recurrent import *  # noqa: F403
from jaxinit.replay._keras_shapeless import *  # noqa: F403
from jaxinit.replay._keras_tensor import KerasTensor, Shape, symbolic, tensors, tensors_of
from jaxinit.replay.keras_initializers import Ones, TruncatedNormal, Zeros


@boundary
def Input(  # noqa: N802
    shape: Iterable[int | None] | None = None,
    batch_size: int | None = None,
    dtype: Any = None,
    sparse: bool | None = None,
    batch_shape: Iterable[int | None] | None = None,
    **_options: Any,
) -> KerasTensor:
    """Return ``keras.Input(shape)``: a tensor of which the shape alone matters."""
    del sparse
    if batch_shape is not None:
        return KerasTensor(tuple(batch_shape), dtype, source=True)
    lengths = (batch_size, *(() if shape is None else shape))
    return KerasTensor(lengths, dtype, source=True)


InputLayer = Input  # at the beginning of a Sequential
_AFFINE = "center=True, scale=True, beta_initializer='zeros', gamma_initializer='ones'"
_FREE = (
    "beta_regularizer=None, gamma_regularizer=None, beta_constraint=None, "
    "gamma_constraint=None"
)


class _Norm(Layer):
    def _lengths(self, shape: Shape) -> Shape:
        axes = self.axis if isinstance(self.axis, (list, tuple)) else [self.axis]
        return tuple(shape[axis] for axis in axes)

    def build(self, *shapes: Shape) -> None:
        for name in ["gamma"] * self.scale + ["beta"] * self.center:
            initializer = getattr(self, f"{name}_initializer")
            self.weigh(name, self._lengths(shapes[0]), initializer)


class BatchNormalization(_Norm):
    """``keras.layers.BatchNormalization``."""

    signature = (
        f"axis=-1, momentum=0.99, epsilon=1e-3, {_AFFINE}, "
        "moving_mean_initializer='zeros', moving_variance_initializer='ones', "
        f"{_FREE}, renorm=False, renorm_clipping=None, renorm_momentum=0.99, "
        "synchronized=False"
    )

    def build(self, *shapes: Shape) -> None:
        super().build(*shapes)
        mean, variance = self.moving_mean_initializer, self.moving_variance_initializer
        running = {"moving_mean": mean, "moving_variance": variance}
        if self.renorm:
            running |= {
                "moving_stddev": _root(variance),
                "renorm_mean": cloned(mean),
                "renorm_stddev": _root(variance),
            }
        for name, initializer in running.items():
            self.weigh(name, self._lengths(shapes[0]), initializer, trainable=False)


def _root(initializer: Any) -> Any:
    """Return the initializer of a standard deviation, from that of a variance."""

    def draw(shape: tuple[int, ...], backend: str) -> Any:
        return jnp.sqrt(initializer(shape, backend))

    return draw


class LayerNormalization(_Norm):
    """``keras.layers.LayerNormalization``."""

    signature = f"axis=-1, epsilon=1e-3, {_AFFINE}, {_FREE}"


class GroupNormalization(_Norm):
    """``keras.layers.GroupNormalization``."""

    signature = f"groups=32, axis=-1, epsilon=1e-3, {_AFFINE}, {_FREE}"

    def _checked(self, name: str, value: Any) -> Any:
        return value if name == "groups" else super()._checked(name, value)


class RMSNormalization(_Norm):
    """``keras.layers.RMSNormalization``."""

    signature = "axis=-1, epsilon=1e-6"

    def build(self, *shapes: Shape) -> None:
        self.weigh("scale", self._lengths(shapes[0]), Ones())


class Normalization(_Norm):
    """``keras.layers.Normalization``, before it has seen data."""

    signature = "axis=-1, mean=None, variance=None, invert=False"

    def build(self, *shapes: Shape) -> None:
        if self.mean is not None:
            return
        rank, axes = len(shapes[0]), self.axis
        axes = () if axes is None else axes if isinstance(axes, (list, tuple)) else (axes,)
        lengths = [shapes[0][axis] for axis in sorted(axis % rank for axis in axes)]
        self.weigh("mean", lengths, Zeros(), trainable=False)
        self.weigh("variance", lengths, Ones(), trainable=False)
        self.add_weight((), Zeros(), "int32", trainable=False, name="count")


class PReLU(Layer):
    """``keras.layers.PReLU``."""

    signature = (
        "alpha_initializer='Zeros', alpha_regularizer=None, alpha_constraint=None, "
        "shared_axes=None"
    )

    def build(self, *shapes: Shape) -> None:
        shape, shared = list(shapes[0][1:]), self.shared_axes or ()
        for axis in shared if isinstance(shared, (list, tuple)) else [shared]:
            shape[axis - 1] = 1
        self.weigh("alpha", tuple(shape), self.alpha_initializer)


class Lambda(Layer):
    """``keras.layers.Lambda``: of operations, or with an output_shape."""

    signature = "function, output_shape=None, mask=None, arguments=None"

    def call(self, *inputs: Any, **_options: Any) -> Any:
        given: Any = self.output_shape
        if given is None:
            return self.function(*inputs, **(self.arguments or {}))
        shape = next(tensors(inputs)).shape
        return tensors_of(given(shape) if callable(given) else (shape[0], *given))


class Dot(Layer):
    """``keras.layers.Dot`` of two tensors."""

    signature = "axes, normalize=False"

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        axes = (self.axes,) * 2 if isinstance(self.axes, int) else self.axes
        first, second = list(shapes[0]), list(shapes[1])
        del first[axes[0]], second[axes[1]]
        both = (*first, *second[1:])
        return both if len(both) > 1 else (*both, 1)


class _Merge(Layer):
    def call(self, *inputs: Any, **_options: Any) -> Any:
        given = [inputs[0]] if isinstance(inputs[0], KerasTensor) else inputs[0]
        return symbolic(lambda *values: sum(values[1:], values[0]), *given)


class Concatenate(Layer):
    """``keras.layers.Concatenate``."""

    signature = "axis=-1"

    def call(self, *inputs: Any, **_options: Any) -> Any:
        return symbolic(lambda *values: jnp.concatenate(values, self.axis), *inputs[0])


Add, Subtract, Multiply, Average, Maximum, Minimum = kinds(
    _Merge, "Add()", "Subtract()", "Multiply()", "Average()", "Maximum()", "Minimum()"
)


class Wrapper(Layer):
    """``keras.layers.Wrapper`` of a layer."""

    signature = "layer"

    def _start(self) -> None:
        self.track(self.layer)

    def build(self, *shapes: Shape) -> None:
        if not self.layer.built:
            self.layer.build(*shapes)

    def compute_output_shape(self, *shapes: Shape) -> Any:
        return self.layer.compute_output_shape(*shapes)


class TimeDistributed(Wrapper):
    """``keras.layers.TimeDistributed``."""

    def build(self, *shapes: Shape) -> None:
        super().build((shapes[0][0], *shapes[0][2:]))

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        batch, time, *rest = shapes[0]
        inner = self.layer.compute_output_shape((batch, *rest))
        return (batch, time, *inner[1:])


class SpectralNormalization(Wrapper):
    """``keras.layers.SpectralNormalization`` of a layer with a kernel or embeddings."""

    signature = "layer, power_iterations=1"

    def build(self, *shapes: Shape) -> None:
        super().build(*shapes)
        found = vars(self.layer).get("kernel", vars(self.layer).get("embeddings"))
        if found is None:
            rule, got = "the layer must have a kernel or embeddings", self.layer.name
            value_error(rule, got, "Wrap another.", where="SpectralNormalization")
        self.kernel = found
        drawn = TruncatedNormal(stddev=0.02)
        self.weigh("vector_u", (1, found.shape[-1]), drawn, trainable=False)


class Pipeline(Layer):
    """``keras.layers.Pipeline``: layers one after the other."""

    signature = "layers"

    def _start(self) -> None:
        self.steps = list(self.layers)

    def call(self, *inputs: Any, **_options: Any) -> Any:
        tensor = inputs[0]
        for layer in self.steps:
            tensor = layer(tensor)
        return tensor


class _Foreign(Layer):
    def __init__(self, *_args: Any, **_options: Any) -> None:
        rule, got = "its weights must be drawn by Keras' initializers", "others"
        value_error(rule, got, "Describe what is inside with other layers.")


FlaxLayer, JaxLayer, TFSMLayer, TorchModuleWrapper, STFTSpectrogram = kinds(
    _Foreign, "FlaxLayer", "JaxLayer", "TFSMLayer", "TorchModuleWrapper", "STFTSpectrogram"
)


def _called(kind: type[Layer]) -> Callable[..., KerasTensor]:
    def merge(inputs: list[KerasTensor], *args: Any, **options: Any) -> KerasTensor:
        """Return what a new layer of the same name makes of some tensors."""
        return kind(*args, **options)(inputs)

    merge.__name__ = merge.__qualname__ = kind.__name__.lower()
    return boundary(merge)


add, subtract, multiply, average = map(_called, (Add, Subtract, Multiply, Average))
maximum, minimum, concatenate, dot = map(_called, (Maximum, Minimum, Concatenate, Dot))

__all__ = [  # pyright: ignore[reportUnsupportedDunderAll]
    name
    for name, value in vars().items()
    if not name.startswith("_") and isinstance(value, type) and issubclass(value, Layer)
]
__all__ += [
    "Input", "InputLayer", "add", "average", "concatenate", "dot", "maximum", "minimum",
    "multiply", "subtract",
]  # fmt: skip
