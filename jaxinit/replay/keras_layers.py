"""``keras.layers`` for models that are made from a seed and never run.

The classes have Keras' names and arguments. They take from Python's generator the seeds
that Keras takes, in its order, and infer the shapes of weights as Keras does; images
have their channels last.
"""

from typing import Any, ClassVar

from jaxinit._checks import check_int
from jaxinit.replay import _keras_kernels, _keras_recurrent, _keras_shapeless
from jaxinit.replay._keras_kernels import *  # noqa: F403
from jaxinit.replay._keras_module import Layer, Shape, broadcast, initializer, take_seed
from jaxinit.replay._keras_recurrent import *  # noqa: F403
from jaxinit.replay._keras_shapeless import *  # noqa: F403
from jaxinit.replay.keras_initializers import Ones, VarianceScaling


class _Norm(Layer):
    """What the normalizations share."""

    running: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        axis: Any = -1,
        momentum: float = 0.99,  # noqa: ARG002
        epsilon: float = 1e-3,  # noqa: ARG002
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.axis = axis
        names = {"gamma": gamma_initializer} if scale else {}
        names |= {"beta": beta_initializer} if center else {}
        moving = moving_mean_initializer, moving_variance_initializer
        # Keras gets beta's initializer first, and so its seed.
        order = ["beta", "gamma"] if scale and center else list(names)
        found = {name: initializer(names[name]) for name in order}
        self.initializers = {name: found[name] for name in names}
        for name, what in zip(self.running, moving, strict=False):
            self.initializers[name] = initializer(what)

    def build(self, *shapes: Shape) -> None:
        """See `Layer.build`."""
        axes = sorted(self.axis) if isinstance(self.axis, (list, tuple)) else [self.axis]
        shape = tuple(shapes[0][axis] for axis in axes)
        for name, what in self.initializers.items():
            self.add_weight(name, shape, what)


class BatchNormalization(_Norm):
    """``keras.layers.BatchNormalization``, without ``renorm``."""

    running = "moving_mean", "moving_variance"


class LayerNormalization(_Norm):
    """``keras.layers.LayerNormalization``."""

    def __init__(self, axis: Any = -1, epsilon: float = 1e-3, **options: Any) -> None:
        super().__init__(axis, epsilon=epsilon, **options)


class GroupNormalization(_Norm):
    """``keras.layers.GroupNormalization``."""

    def __init__(
        self, groups: int = 32, axis: int = -1, epsilon: float = 1e-3, **options: Any
    ) -> None:
        super().__init__(axis, epsilon=epsilon, **options)
        self.groups = groups


class RMSNormalization(Layer):
    """``keras.layers.RMSNormalization``."""

    def __init__(self, axis: Any = -1, epsilon: float = 1e-6, **options: Any) -> None:  # noqa: ARG002
        super().__init__(**options)
        self.axis = axis

    def build(self, *shapes: Shape) -> None:
        """See `Layer.build`."""
        axes = self.axis if isinstance(self.axis, (list, tuple)) else [self.axis]
        self.add_weight("scale", tuple(shapes[0][axis] for axis in axes), Ones())


class PReLU(Layer):
    """``keras.layers.PReLU``."""

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,  # noqa: ARG002
        alpha_constraint: Any = None,  # noqa: ARG002
        shared_axes: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.alpha_initializer = initializer(alpha_initializer)
        self.shared_axes = shared_axes or ()

    def build(self, *shapes: Shape) -> None:
        """See `Layer.build`."""
        shape = list(shapes[0][1:])
        for axis in self.shared_axes:
            shape[axis - 1] = 1
        self.add_weight("alpha", tuple(shape), self.alpha_initializer)


class _Projection(Layer):
    """A dense layer on several axes, as attention has them."""

    def __init__(self, name: str, owner: "MultiHeadAttention", biases: int) -> None:
        super().__init__(name=name)
        self.kernel_initializer = owner.kernel_initializer.clone()
        self.bias_initializer = owner.bias_initializer.clone()
        self.biases = biases if owner.use_bias else 0

    def make(self, inputs: tuple[Any, ...], outputs: tuple[Any, ...]) -> None:
        """Make the weights from some axes to others."""
        kernel, count = self.kernel_initializer, len(inputs)
        if isinstance(kernel, VarianceScaling):
            axes = range(count + len(outputs))
            kernel = kernel.with_axes(axes[:count], axes[count:])
        self.add_weight("kernel", (*inputs, *outputs), kernel)
        if self.biases:
            self.add_weight("bias", outputs[-self.biases :], self.bias_initializer)


class MultiHeadAttention(Layer):
    """``keras.layers.MultiHeadAttention``: call it on query, value and, at will, key."""

    def __init__(
        self,
        num_heads: int,
        key_dim: int,
        value_dim: int | None = None,
        dropout: float = 0.0,
        use_bias: bool = True,
        output_shape: Any = None,
        attention_axes: Any = None,  # noqa: ARG002
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        check_int("MultiHeadAttention", "num_heads", num_heads, least=1)
        check_int("MultiHeadAttention", "key_dim", key_dim, least=1)
        self.heads, self.use_bias = num_heads, use_bias
        self.key_dim, self.value_dim = key_dim, value_dim or key_dim
        self.dropout, self.seed = dropout, seed
        single = isinstance(output_shape, int)
        self.outputs = (output_shape,) if single else tuple(output_shape or ())
        self.kernel_initializer = initializer(kernel_initializer)
        self.bias_initializer = initializer(bias_initializer)

    def build(self, *shapes: Shape) -> None:
        """See `Layer.build`."""
        query, value = shapes[0][-1], shapes[min(1, len(shapes) - 1)][-1]
        key = shapes[2][-1] if len(shapes) > 2 else value
        parts = [("query", query, self.key_dim), ("key", key, self.key_dim)]
        for name, width, size in [*parts, ("value", value, self.value_dim)]:
            part = _Projection(name, self, 2)
            part.make((width,), (self.heads, size))
            self.inside.append(part)
        if self.dropout > 0:
            take_seed(self, self.seed)
        outputs = self.outputs or (query,)
        last = _Projection("attention_output", self, len(outputs))
        last.make((self.heads, self.value_dim), outputs)
        self.inside.append(last)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        return (*shapes[0][:-1], *(self.outputs or shapes[0][-1:]))


class _Merge(Layer):
    """What the sums and products of layers share."""

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        result = shapes[0]
        for shape in shapes[1:]:
            result = broadcast(result, shape)
        return result


class Add(_Merge):
    """``keras.layers.Add``."""


class Subtract(_Merge):
    """``keras.layers.Subtract``."""


class Multiply(_Merge):
    """``keras.layers.Multiply``."""


class Average(_Merge):
    """``keras.layers.Average``."""


class Maximum(_Merge):
    """``keras.layers.Maximum``."""


class Minimum(_Merge):
    """``keras.layers.Minimum``."""


class Concatenate(Layer):
    """``keras.layers.Concatenate``."""

    def __init__(self, axis: int = -1, **options: Any) -> None:
        super().__init__(**options)
        self.axis = axis

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        result = list(shapes[0])
        lengths = [shape[self.axis] for shape in shapes]
        result[self.axis] = None if None in lengths else sum(n or 0 for n in lengths)
        return tuple(result)


__all__ = [
    "Add", "Average", "BatchNormalization", "Concatenate", "GroupNormalization", "Layer",
    "LayerNormalization", "Maximum", "Minimum", "MultiHeadAttention", "Multiply", "PReLU",
    "RMSNormalization", "Subtract",
]  # fmt: skip
__all__ += _keras_kernels.__all__
__all__ += _keras_recurrent.__all__
__all__ += _keras_shapeless.__all__
