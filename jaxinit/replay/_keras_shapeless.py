"""Keras' layers without weights: the seeds that some take, and their output's shape."""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

from jaxinit._checks import check_choice, check_int, check_number, value_error
from jaxinit.replay._keras_module import Layer, Shape, take_seed

__all__ = [
    "ELU", "Activation", "ActivityRegularization", "AlphaDropout", "AveragePooling1D",
    "AveragePooling2D", "AveragePooling3D", "AvgPool1D", "AvgPool2D", "AvgPool3D",
    "Cropping1D", "Cropping2D", "Cropping3D", "Dropout", "Flatten", "GaussianDropout",
    "GaussianNoise", "GlobalAveragePooling1D", "GlobalAveragePooling2D",
    "GlobalAveragePooling3D", "GlobalAvgPool1D", "GlobalAvgPool2D", "GlobalAvgPool3D",
    "GlobalMaxPool1D", "GlobalMaxPool2D", "GlobalMaxPool3D", "GlobalMaxPooling1D",
    "GlobalMaxPooling2D", "GlobalMaxPooling3D", "Identity", "LeakyReLU", "Masking",
    "MaxPool1D", "MaxPool2D", "MaxPool3D", "MaxPooling1D", "MaxPooling2D", "MaxPooling3D",
    "Permute", "RandomBrightness", "RandomContrast", "RandomCrop", "RandomFlip",
    "RandomRotation", "RandomTranslation", "RandomZoom", "ReLU", "RepeatVector",
    "Rescaling", "Reshape", "Softmax", "SpatialDropout1D", "SpatialDropout2D",
    "SpatialDropout3D", "UnitNormalization", "UpSampling1D", "UpSampling2D",
    "UpSampling3D", "ZeroPadding1D", "ZeroPadding2D", "ZeroPadding3D",
]  # fmt: skip

Sizes = int | Sequence[int]
_LayerT = TypeVar("_LayerT", bound=Layer)


def sizes(
    where: str, name: str, value: Sizes, axes: int, least: int = 1
) -> tuple[int, ...]:
    """Return one length an axis."""
    lengths = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(lengths) != axes:
        rule = f"{name} must be an int or {axes} ints"
        value_error(where, rule, f"{name}={value}", "Give one length for each axis.")
    return tuple(check_int(where, name, n, least=least) for n in lengths)


def last_channels(where: str, data_format: str | None) -> None:
    """Check that channels come last."""
    if data_format not in (None, "channels_last"):
        rule = "data_format must be channels_last"
        advice = "The weights are the same: describe the model with channels last."
        value_error(where, rule, f"data_format={data_format!r}", advice)


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
            value_error(f"build: {name}", rule, got, "Make the input larger.")
        result.append(out)
    return tuple(result)


def _made(base: type[_LayerT], name: str, axes: int = 0) -> type[_LayerT]:
    about = f"``keras.layers.{name}``."
    members: Any = {"__doc__": about, "__module__": __name__, "axes": axes}
    made: Any = type(name, (base,), members)
    return made


class _Any(Layer):
    """A layer without weights or seeds; its arguments do not matter."""

    def __init__(self, *_args: Any, **options: Any) -> None:
        super().__init__(**{k: v for k, v in options.items() if k == "name"})


class _Noise(Layer):
    """What dropout and noise share: a seed, taken if there is anything to draw."""

    def __init__(
        self,
        rate: float,
        noise_shape: Any = None,  # noqa: ARG002
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        if check_number(type(self).__name__, "rate", rate, least=0.0) > 0:
            take_seed(self, seed)


class Dropout(_Noise):
    """``keras.layers.Dropout``."""


class AlphaDropout(_Noise):
    """``keras.layers.AlphaDropout``."""


class _Noise2(_Noise):
    def __init__(self, rate: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(rate, None, seed, **options)


class GaussianDropout(_Noise2):
    """``keras.layers.GaussianDropout``."""


class GaussianNoise(_Noise2):
    """``keras.layers.GaussianNoise``."""

    def __init__(self, stddev: float, seed: int | None = None, **options: Any) -> None:
        super().__init__(stddev, seed, **options)


class SpatialDropout1D(_Noise2):
    """``keras.layers.SpatialDropout1D``."""


class SpatialDropout2D(_Noise2):
    """``keras.layers.SpatialDropout2D``."""

    def __init__(
        self,
        rate: float,
        data_format: Any = None,  # noqa: ARG002
        seed: int | None = None,
        **options: Any,
    ) -> None:
        super().__init__(rate, seed, **options)


class SpatialDropout3D(SpatialDropout2D):
    """``keras.layers.SpatialDropout3D``."""


class _Augmentation(Layer):
    """What the random image layers share: a seed."""

    def __init__(self, *_args: Any, seed: int | None = None, **options: Any) -> None:
        super().__init__(**{k: v for k, v in options.items() if k == "name"})
        take_seed(self, seed)


class RandomCrop(_Augmentation):
    """``keras.layers.RandomCrop``."""

    def __init__(
        self, height: int, width: int, seed: int | None = None, **options: Any
    ) -> None:
        super().__init__(seed=seed, **options)
        self.window = height, width

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        return (*shapes[0][:-3], *self.window, shapes[0][-1])


class Flatten(Layer):
    """``keras.layers.Flatten``."""

    def __init__(self, data_format: str | None = None, **options: Any) -> None:
        super().__init__(**options)
        last_channels("Flatten", data_format)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        rest = shapes[0][1:]
        return (shapes[0][0], None if None in rest else math.prod(n or 0 for n in rest))


class Reshape(Layer):
    """``keras.layers.Reshape``."""

    def __init__(self, target_shape: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.target_shape = tuple(target_shape)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        rest = shapes[0][1:]
        known = math.prod(n for n in self.target_shape if n != -1)
        total = None if None in rest else math.prod(n or 0 for n in rest)
        if total is not None and (
            total % known if -1 in self.target_shape else total != known
        ):
            rule = "target_shape must have as many values as the input"
            got = f"target_shape={self.target_shape} for {rest}"
            value_error("Reshape", rule, got, "Change one of the two.")
        free = None if total is None else total // known
        return (shapes[0][0], *(free if n == -1 else n for n in self.target_shape))


class Permute(Layer):
    """``keras.layers.Permute``."""

    def __init__(self, dims: Sequence[int], **options: Any) -> None:
        super().__init__(**options)
        self.dims = tuple(dims)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        return (shapes[0][0], *(shapes[0][i] for i in self.dims))


class RepeatVector(Layer):
    """``keras.layers.RepeatVector``."""

    def __init__(self, n: int, **options: Any) -> None:
        super().__init__(**options)
        self.n = n

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        return (shapes[0][0], self.n, *shapes[0][1:])


class _Pooling(Layer):
    axes: ClassVar[int]

    def __init__(
        self,
        pool_size: Sizes = 2,
        strides: Sizes | None = None,
        padding: str = "valid",
        data_format: str | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        where = type(self).__name__
        last_channels(where, data_format)
        self.pool_size = sizes(where, "pool_size", pool_size, self.axes)
        steps = pool_size if strides is None else strides
        self.strides = sizes(where, "strides", steps, self.axes)
        self.padding = check_choice(where, "padding", padding.lower(), ("valid", "same"))

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        lengths = strided(
            self.name, shapes[0][1:-1], self.pool_size, self.strides, self.padding
        )
        return (shapes[0][0], *lengths, shapes[0][-1])


class _Global(Layer):
    def __init__(
        self, data_format: str | None = None, keepdims: bool = False, **options: Any
    ) -> None:
        super().__init__(**options)
        last_channels(type(self).__name__, data_format)
        self.keepdims = keepdims

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        kept = (1,) * (len(shapes[0]) - 2) if self.keepdims else ()
        return (shapes[0][0], *kept, shapes[0][-1])


class _Resizing(Layer):
    """What padding, cropping and upsampling share."""

    axes: ClassVar[int]
    default: ClassVar[int] = 1

    def __init__(
        self, size: Any = None, data_format: str | None = None, **options: Any
    ) -> None:
        for name in ("padding", "cropping"):
            size = options.pop(name, size)
        super().__init__(**options)
        last_channels(type(self).__name__, data_format)
        size = self.default if size is None else size
        pairs = (size,) * self.axes if isinstance(size, int) else tuple(size)
        if self.axes == 1 and len(pairs) == 2:
            pairs = (pairs,)
        if len(pairs) != self.axes:
            rule = f"the size must be an int or {self.axes} ints or pairs"
            value_error(type(self).__name__, rule, f"{size}", "Give one for each axis.")
        self.pairs = [(p, p) if isinstance(p, int) else (p[0], p[1]) for p in pairs]

    def _length(self, n: int, pair: tuple[int, int]) -> int:
        return n + sum(pair)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """See `Layer.compute_output_shape`."""
        both = zip(shapes[0][1:-1], self.pairs, strict=True)
        lengths = (None if n is None else self._length(n, pair) for n, pair in both)
        return (shapes[0][0], *lengths, shapes[0][-1])


class _Cropping(_Resizing):
    def _length(self, n: int, pair: tuple[int, int]) -> int:
        return n - sum(pair)


class _UpSampling(_Resizing):
    default = 2

    def _length(self, n: int, pair: tuple[int, int]) -> int:
        return n * pair[0]


Activation = _made(_Any, "Activation")
ReLU = _made(_Any, "ReLU")
LeakyReLU = _made(_Any, "LeakyReLU")
ELU = _made(_Any, "ELU")
Softmax = _made(_Any, "Softmax")
Rescaling = _made(_Any, "Rescaling")
Masking = _made(_Any, "Masking")
Identity = _made(_Any, "Identity")
ActivityRegularization = _made(_Any, "ActivityRegularization")
UnitNormalization = _made(_Any, "UnitNormalization")
RandomFlip = _made(_Augmentation, "RandomFlip")
RandomRotation = _made(_Augmentation, "RandomRotation")
RandomZoom = _made(_Augmentation, "RandomZoom")
RandomTranslation = _made(_Augmentation, "RandomTranslation")
RandomContrast = _made(_Augmentation, "RandomContrast")
RandomBrightness = _made(_Augmentation, "RandomBrightness")
MaxPooling1D = _made(_Pooling, "MaxPooling1D", 1)
MaxPooling2D = _made(_Pooling, "MaxPooling2D", 2)
MaxPooling3D = _made(_Pooling, "MaxPooling3D", 3)
AveragePooling1D = _made(_Pooling, "AveragePooling1D", 1)
AveragePooling2D = _made(_Pooling, "AveragePooling2D", 2)
AveragePooling3D = _made(_Pooling, "AveragePooling3D", 3)
GlobalAveragePooling1D = _made(_Global, "GlobalAveragePooling1D")
GlobalAveragePooling2D = _made(_Global, "GlobalAveragePooling2D")
GlobalAveragePooling3D = _made(_Global, "GlobalAveragePooling3D")
GlobalMaxPooling1D = _made(_Global, "GlobalMaxPooling1D")
GlobalMaxPooling2D = _made(_Global, "GlobalMaxPooling2D")
GlobalMaxPooling3D = _made(_Global, "GlobalMaxPooling3D")
ZeroPadding1D = _made(_Resizing, "ZeroPadding1D", 1)
ZeroPadding2D = _made(_Resizing, "ZeroPadding2D", 2)
ZeroPadding3D = _made(_Resizing, "ZeroPadding3D", 3)
Cropping1D = _made(_Cropping, "Cropping1D", 1)
Cropping2D = _made(_Cropping, "Cropping2D", 2)
Cropping3D = _made(_Cropping, "Cropping3D", 3)
UpSampling1D = _made(_UpSampling, "UpSampling1D", 1)
UpSampling2D = _made(_UpSampling, "UpSampling2D", 2)
UpSampling3D = _made(_UpSampling, "UpSampling3D", 3)
MaxPool1D = MaxPooling1D
MaxPool2D = MaxPooling2D
MaxPool3D = MaxPooling3D
AvgPool1D = AveragePooling1D
AvgPool2D = AveragePooling2D
AvgPool3D = AveragePooling3D
GlobalAvgPool1D = GlobalAveragePooling1D
GlobalAvgPool2D = GlobalAveragePooling2D
GlobalAvgPool3D = GlobalAveragePooling3D
GlobalMaxPool1D = GlobalMaxPooling1D
GlobalMaxPool2D = GlobalMaxPooling2D
GlobalMaxPool3D = GlobalMaxPooling3D
