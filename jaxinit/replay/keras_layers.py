"""``keras.layers`` for models that are made from a seed and never run.

The classes have Keras' names and arguments. They take from Python's generator the seeds
that Keras takes, in its order, and infer the shapes of weights as Keras does; images
have their channels last.
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

from jaxinit._boundary import boundary
from jaxinit.replay import _keras_kernels, _keras_recurrent, _keras_shapeless
from jaxinit.replay._keras_kernels import *  # noqa: F403
from jaxinit.replay._keras_module import (
    KerasTensor,
    Layer,
    Shape,
    broadcast,
    kind,
    take_seed,
)
from jaxinit.replay._keras_recurrent import *  # noqa: F403
from jaxinit.replay._keras_shapeless import *  # noqa: F403
from jaxinit.replay.keras_initializers import GlorotUniform, Ones, VarianceScaling


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
    del dtype, sparse
    if batch_shape is not None:
        return KerasTensor(tuple(batch_shape))
    return KerasTensor((batch_size, *(() if shape is None else shape)))


InputLayer = Input  # at the beginning of a Sequential
_AFFINE = "center=True, scale=True, beta_initializer='zeros', gamma_initializer='ones'"
_FREE = (
    "beta_regularizer=None, gamma_regularizer=None, beta_constraint=None, "
    "gamma_constraint=None"
)


class _Norm(Layer):
    """What the normalizations share."""

    running: ClassVar[tuple[str, ...]] = ()

    def _weigh(self, *shapes: Shape) -> None:
        axes = sorted(self.axis) if isinstance(self.axis, (list, tuple)) else [self.axis]
        shape = tuple(shapes[0][axis] for axis in axes)
        names = ["gamma"] * self.scale + ["beta"] * self.center + [*self.running]
        for name in names:
            self.add_weight(name, shape, getattr(self, f"{name}_initializer"))


class BatchNormalization(_Norm):
    """``keras.layers.BatchNormalization``, without ``renorm``."""

    running = "moving_mean", "moving_variance"
    signature = (
        f"axis=-1, momentum=0.99, epsilon=1e-3, {_AFFINE}, "
        "moving_mean_initializer='zeros', moving_variance_initializer='ones', "
        f"{_FREE}, renorm=False, renorm_clipping=None, renorm_momentum=0.99, "
        "synchronized=False"
    )


class LayerNormalization(_Norm):
    """``keras.layers.LayerNormalization``."""

    signature = f"axis=-1, epsilon=1e-3, {_AFFINE}, {_FREE}"


class GroupNormalization(_Norm):
    """``keras.layers.GroupNormalization``."""

    signature = f"groups=32, axis=-1, epsilon=1e-3, {_AFFINE}, {_FREE}"

    def _checked(self, name: str, value: Any) -> Any:
        return value if name == "groups" else super()._checked(name, value)


class RMSNormalization(Layer):
    """``keras.layers.RMSNormalization``."""

    signature = "axis=-1, epsilon=1e-6"

    def _weigh(self, *shapes: Shape) -> None:
        axes = self.axis if isinstance(self.axis, (list, tuple)) else [self.axis]
        self.add_weight("scale", tuple(shapes[0][axis] for axis in axes), Ones())


class PReLU(Layer):
    """``keras.layers.PReLU``."""

    signature = (
        "alpha_initializer='Zeros', alpha_regularizer=None, alpha_constraint=None, "
        "shared_axes=None"
    )

    def _weigh(self, *shapes: Shape) -> None:
        shape = list(shapes[0][1:])
        for axis in self.shared_axes or ():
            shape[axis - 1] = 1
        self.add_weight("alpha", tuple(shape), self.alpha_initializer)


class _Projection(Layer):
    """A dense layer on several axes, as attention has them."""

    def __init__(self, name: str, owner: "MultiHeadAttention", biases: int) -> None:
        super().__init__(name=name)
        self.kernel_initializer = owner.kernel_initializer.clone()
        self.bias_initializer = owner.bias_initializer.clone()
        self.use_bias, self.biases = owner.use_bias, biases

    def make(self, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        """Make the weights from some axes to others."""
        kernel, count = self.kernel_initializer, len(inputs)
        if isinstance(kernel, VarianceScaling):
            axes = range(count + len(outputs))
            kernel = kernel.with_axes(axes[:count], axes[count:])
        self.add_weight("kernel", (*inputs, *outputs), kernel)
        self.add_bias(*outputs[-self.biases :])


class MultiHeadAttention(Layer):
    """``keras.layers.MultiHeadAttention``: call it on query, value and, at will, key."""

    signature = (
        "num_heads, key_dim, value_dim=None, dropout=0.0, use_bias=True, "
        "output_shape=None, attention_axes=None, sliding_window=None, "
        "flash_attention=None, kernel_initializer='glorot_uniform', "
        "bias_initializer='zeros', kernel_regularizer=None, bias_regularizer=None, "
        "activity_regularizer=None, kernel_constraint=None, bias_constraint=None, "
        "use_gate=False, seed=None"
    )

    def _start(self) -> None:
        shape = self.output_shape
        self.outputs = (shape,) if isinstance(shape, int) else tuple(shape or ())

    def _weigh(self, *shapes: Shape) -> None:
        query, value = shapes[0][-1], shapes[min(1, len(shapes) - 1)][-1]
        key, values = shapes[2][-1] if len(shapes) > 2 else value, self.value_dim
        values = values or self.key_dim
        parts = [("query", query, self.key_dim), ("key", key, self.key_dim)]
        for name, width, size in [*parts, ("value", value, values)]:
            part = _Projection(name, self, 2)
            part.make((width,), (self.num_heads, size))
            self.inside.append(part)
        if self.dropout > 0:
            take_seed(self.seed)
        outputs = self.outputs or (query,)
        last = _Projection("attention_output", self, len(outputs))
        last.make((self.num_heads, values), outputs)
        self.inside.append(last)

    def _output(self, *shapes: Shape) -> Shape:
        return (*shapes[0][:-1], *(self.outputs or shapes[0][-1:]))


class Attention(Layer):
    """``keras.layers.Attention``: call it on a list of query, value and, at will, key."""

    signature = "use_scale=False, score_mode='dot', dropout=0.0, seed=None"

    def _start(self) -> None:
        if self.dropout > 0:
            take_seed(vars(self).get("seed"))

    def _weigh(self, *_shapes: Shape) -> None:
        named = [
            ("scale", self.use_scale),
            ("concat_score_weight", self.score_mode != "dot"),
        ]
        for name in (name for name, used in named if used):
            self.add_weight(name, (), Ones())

    def _output(self, *shapes: Shape) -> Shape:
        return (*shapes[0][:-1], shapes[1][-1])


class AdditiveAttention(Attention):
    """``keras.layers.AdditiveAttention``."""

    signature = "use_scale=True, dropout=0.0"

    def _weigh(self, *shapes: Shape) -> None:
        if self.use_scale:
            self.add_weight("scale", (shapes[0][-1],), GlorotUniform())


class Lambda(Layer):
    """``keras.layers.Lambda``: of sums, products and parts, or with an output_shape."""

    signature = "function, output_shape=None, mask=None, arguments=None"

    def _output(self, *shapes: Shape) -> Shape:
        if self.output_shape is not None:
            return (shapes[0][0], *self.output_shape)
        inputs = [KerasTensor(shape) for shape in shapes]
        given = inputs if len(inputs) > 1 else inputs[0]
        return self.function(given, **(self.arguments or {})).shape


class Dot(Layer):
    """``keras.layers.Dot`` of two tensors."""

    signature = "axes, normalize=False"

    def _output(self, *shapes: Shape) -> Shape:
        axes = (self.axes,) * 2 if isinstance(self.axes, int) else self.axes
        first, second = list(shapes[0]), list(shapes[1])
        del first[axes[0]], second[axes[1]]
        both = (*first, *second[1:])
        return both if len(both) > 1 else (*both, 1)


class _Merge(Layer):
    """What the sums and products of layers share."""

    signature = ""

    def _output(self, *shapes: Shape) -> Shape:
        result = shapes[0]
        for shape in shapes[1:]:
            result = broadcast(result, shape)
        return result


class Concatenate(Layer):
    """``keras.layers.Concatenate``."""

    signature = "axis=-1"

    def _output(self, *shapes: Shape) -> Shape:
        result = list(shapes[0])
        lengths = [shape[self.axis] for shape in shapes]
        result[self.axis] = None if None in lengths else sum(n or 0 for n in lengths)
        return tuple(result)


Add, Subtract, Multiply = (kind(_Merge, name) for name in ("Add", "Subtract", "Multiply"))
Average, Maximum, Minimum = (
    kind(_Merge, name) for name in ("Average", "Maximum", "Minimum")
)


def _called(kind: type[Layer]) -> Callable[..., KerasTensor]:
    def merge(inputs: list[KerasTensor], *args: Any, **options: Any) -> KerasTensor:
        """Return what a new layer of the same name makes of some tensors."""
        return kind(*args, **options)(inputs)

    merge.__name__ = merge.__qualname__ = kind.__name__.lower()
    return boundary(merge)


add, subtract, multiply, average = map(_called, (Add, Subtract, Multiply, Average))
maximum, minimum, concatenate, dot = map(_called, (Maximum, Minimum, Concatenate, Dot))

__all__ = [
    "Add", "AdditiveAttention", "Attention", "Average", "BatchNormalization",
    "Concatenate", "Dot", "GroupNormalization", "Input", "InputLayer", "Lambda", "Layer",
    "LayerNormalization", "Maximum", "Minimum", "MultiHeadAttention", "Multiply", "PReLU",
    "RMSNormalization", "Subtract", "add", "average", "concatenate", "dot", "maximum",
    "minimum", "multiply", "subtract",
]  # fmt: skip
__all__ += _keras_kernels.__all__
__all__ += _keras_recurrent.__all__
__all__ += _keras_shapeless.__all__
