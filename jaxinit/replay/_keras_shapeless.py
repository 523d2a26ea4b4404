"""Keras' layers without weights: the seeds that some take, and their output's shape."""

import math

from jaxinit._checks import check_choice, check_number, value_error
from jaxinit.replay._keras_module import Layer, kind
from jaxinit.replay._keras_session import take_seed
from jaxinit.replay._keras_tensor import Shape, sizes, strided

_RANGE = "value_range=(0, 255)"


class _Same(Layer):
    """A layer that changes no shape and takes no seed."""


Activation = kind(_Same, "Activation", "activation")
ReLU = kind(_Same, "ReLU", "max_value=None, negative_slope=0.0, threshold=0.0")
LeakyReLU = kind(_Same, "LeakyReLU", "negative_slope=0.3")
ELU = kind(_Same, "ELU", "alpha=1.0")
Softmax = kind(_Same, "Softmax", "axis=-1")
Rescaling = kind(_Same, "Rescaling", "scale, offset=0.0")
Masking = kind(_Same, "Masking", "mask_value=0.0")
Identity = kind(_Same, "Identity", "")
ActivityRegularization = kind(_Same, "ActivityRegularization", "l1=0.0, l2=0.0")
UnitNormalization = kind(_Same, "UnitNormalization", "axis=-1")
AutoContrast = kind(_Same, "AutoContrast", _RANGE)
Equalization = kind(_Same, "Equalization", f"{_RANGE}, bins=256, data_format=None")
ContrastLimitedAdaptiveHistogramEqualization = kind(
    _Same,
    "ContrastLimitedAdaptiveHistogramEqualization",
    f"{_RANGE}, clip_limit=4.0, tile_grid_size=(8, 8), data_format=None",
)
MaxNumBoundingBoxes = kind(_Same, "MaxNumBoundingBoxes", "max_number, fill_value=-1")


class _Noise(Layer):
    """What dropout and noise share: a seed, taken if there is anything to draw."""

    def _start(self) -> None:
        name = "rate" if "rate" in vars(self) else "stddev"
        rate = check_number(name, vars(self)[name], least=0.0)
        if rate > 0:
            take_seed(self.seed)


Dropout = kind(_Noise, "Dropout", "rate, noise_shape=None, seed=None")
AlphaDropout = kind(_Noise, "AlphaDropout", "rate, noise_shape=None, seed=None")
GaussianDropout = kind(_Noise, "GaussianDropout", "rate, seed=None")
GaussianNoise = kind(_Noise, "GaussianNoise", "stddev, seed=None")
SpatialDropout1D = kind(_Noise, "SpatialDropout1D", "rate, seed=None")
SpatialDropout2D = kind(_Noise, "SpatialDropout2D", "rate, data_format=None, seed=None")
SpatialDropout3D = kind(_Noise, "SpatialDropout3D", "rate, data_format=None, seed=None")


class _Random(Layer):
    """What the random image layers share: seeds, one for each generator inside."""

    def _count(self) -> int:
        return 1

    def _start(self) -> None:
        take_seed(self.seed, self._count())


_MAP = "interpolation='bilinear'"
_FILL = f"fill_mode='reflect', {_MAP}, seed=None, fill_value=0.0, data_format=None"
_FILLED = f"{_MAP}, fill_mode='reflect', fill_value=0.0"
_LAST = "seed=None, data_format=None"
_FACTOR = f"factor, {_RANGE}, data_format=None, seed=None"
RandomFlip = kind(_Random, "RandomFlip", f"mode='horizontal_and_vertical', {_LAST}")
RandomRotation = kind(_Random, "RandomRotation", f"factor, {_FILL}")
RandomZoom = kind(_Random, "RandomZoom", f"height_factor, width_factor=None, {_FILL}")
RandomTranslation = kind(
    _Random, "RandomTranslation", f"height_factor, width_factor, {_FILL}"
)
RandomContrast = kind(_Random, "RandomContrast", f"factor, {_RANGE}, seed=None")
RandomBrightness = kind(_Random, "RandomBrightness", f"factor, {_RANGE}, seed=None")
RandomHue, RandomSaturation, RandomSharpness = (
    kind(_Random, f"Random{name}", _FACTOR) for name in ("Hue", "Saturation", "Sharpness")
)
RandomColorDegeneration = kind(_Random, "RandomColorDegeneration", _FACTOR)
RandomPosterization = kind(_Random, "RandomPosterization", _FACTOR)
RandomGrayscale = kind(
    _Random, "RandomGrayscale", "factor=0.5, data_format=None, seed=None"
)
RandomInvert = kind(_Random, "RandomInvert", f"factor=1.0, {_RANGE}, {_LAST}")
RandomErasing = kind(
    _Random,
    "RandomErasing",
    f"factor=1.0, scale=(0.02, 0.33), fill_value=None, {_RANGE}, {_LAST}",
)
RandomElasticTransform = kind(
    _Random,
    "RandomElasticTransform",
    f"factor=1.0, scale=1.0, {_FILLED}, {_RANGE}, {_LAST}",
)
RandomGaussianBlur = kind(
    _Random,
    "RandomGaussianBlur",
    f"factor=1.0, kernel_size=3, sigma=1.0, {_RANGE}, data_format=None, seed=None",
)
RandomPerspective = kind(
    _Random, "RandomPerspective", f"factor=1.0, scale=1.0, {_MAP}, fill_value=0.0, {_LAST}"
)
RandomShear = kind(
    _Random,
    "RandomShear",
    f"x_factor=0.0, y_factor=0.0, {_FILLED}, data_format=None, seed=None",
)
Solarization = kind(
    _Random,
    "Solarization",
    f"addition_factor=0.0, threshold_factor=0.0, {_RANGE}, seed=None",
)
CutMix = kind(_Random, "CutMix", f"factor=1.0, {_LAST}")
MixUp = kind(_Random, "MixUp", "alpha=0.2, data_format=None, seed=None")


class RandAugment(_Random):
    """``keras.layers.RandAugment``."""

    signature = f"{_RANGE}, num_ops=2, factor=0.5, {_MAP}, {_LAST}"

    def _count(self) -> int:
        return 10


class AugMix(_Random):
    """``keras.layers.AugMix``."""

    signature = (
        f"{_RANGE}, num_chains=3, chain_depth=3, factor=0.3, alpha=1.0, all_ops=True, "
        f"{_MAP}, {_LAST}"
    )

    def _count(self) -> int:
        return 10 if self.all_ops else 6


class RandomColorJitter(_Random):
    """``keras.layers.RandomColorJitter``."""

    signature = (
        f"{_RANGE}, brightness_factor=None, contrast_factor=None, saturation_factor=None, "
        f"hue_factor=None, {_LAST}"
    )

    def _count(self) -> int:
        names = "brightness", "contrast", "saturation", "hue"
        return 1 + sum(vars(self)[f"{name}_factor"] is not None for name in names)


class Resizing(Layer):
    """``keras.layers.Resizing``."""

    signature = (
        "height, width, interpolation='bilinear', crop_to_aspect_ratio=False, "
        "pad_to_aspect_ratio=False, fill_mode='constant', fill_value=0.0, "
        "antialias=False, data_format=None"
    )

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        return (*shapes[0][:-3], self.height, self.width, shapes[0][-1])


CenterCrop = kind(Resizing, "CenterCrop", "height, width, data_format=None")


class RandomCrop(_Random, Resizing):
    """``keras.layers.RandomCrop``."""

    signature = f"height, width, {_LAST}"

    def _count(self) -> int:
        return 2


class Flatten(Layer):
    """``keras.layers.Flatten``."""

    signature = "data_format=None"

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        rest = shapes[0][1:]
        return (shapes[0][0], None if None in rest else math.prod(n or 0 for n in rest))


class Reshape(Layer):
    """``keras.layers.Reshape``."""

    signature = "target_shape"

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        rest, target = shapes[0][1:], tuple(self.target_shape)
        known = math.prod(n for n in target if n != -1)
        total = None if None in rest else math.prod(n or 0 for n in rest)
        if total is not None and (total % known if -1 in target else total != known):
            rule = "target_shape must have as many values as the input"
            got = f"target_shape={target} for {rest}"
            value_error(rule, got, "Change one of the two.", where="Reshape")
        free = None if total is None else total // known
        return (shapes[0][0], *(free if n == -1 else n for n in target))


class Permute(Layer):
    """``keras.layers.Permute``."""

    signature = "dims"

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        return (shapes[0][0], *(shapes[0][i] for i in self.dims))


class RepeatVector(Layer):
    """``keras.layers.RepeatVector``."""

    signature = "n"

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        return (shapes[0][0], self.n, *shapes[0][1:])


class _Pooling(Layer):
    signature = "pool_size=2, strides=None, padding='valid', data_format=None"

    def _start(self) -> None:
        choices = "valid", "same"
        self.padding = check_choice("padding", self.padding.lower(), choices)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        window = self.pool_size, self.strides, self.padding
        lengths = strided(self.name, shapes[0][1:-1], *window)
        return (shapes[0][0], *lengths, shapes[0][-1])


class _Average(_Pooling):
    signature = "pool_size, strides=None, padding='valid', data_format=None"


class _Global(Layer):
    signature = "data_format=None, keepdims=False"

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        kept = (1,) * (len(shapes[0]) - 2) if self.keepdims else ()
        return (shapes[0][0], *kept, shapes[0][-1])


class _Adaptive(Layer):
    signature = "output_size, data_format=None"

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        lengths = sizes("output_size", self.output_size, self.axes)
        return (shapes[0][0], *lengths, shapes[0][-1])


class _Resizing(Layer):
    """What padding, cropping and upsampling share; their first argument is a size."""

    def _start(self) -> None:
        size = next(iter(self.given.values()))
        pairs = (size,) * self.axes if isinstance(size, int) else tuple(size)
        if self.axes == 1 and len(pairs) == 2:
            pairs = (pairs,)
        if len(pairs) != self.axes:
            rule = f"the size must be an int or {self.axes} ints or pairs"
            value_error(
                rule, f"{size}", "Give one for each axis.", where=type(self).__name__
            )
        self.pairs = [(p, p) if isinstance(p, int) else (p[0], p[1]) for p in pairs]

    def _length(self, n: int, pair: tuple[int, int]) -> int:
        return n + sum(pair)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        both = zip(shapes[0][1:-1], self.pairs, strict=True)
        lengths = (None if n is None else self._length(n, pair) for n, pair in both)
        return (shapes[0][0], *lengths, shapes[0][-1])


class _Cropping(_Resizing):
    def _length(self, n: int, pair: tuple[int, int]) -> int:
        return n - sum(pair)


class _UpSampling(_Resizing):
    def _length(self, n: int, pair: tuple[int, int]) -> int:
        return n * pair[0]


_AXES = 1, 2, 3
MaxPooling1D, MaxPooling2D, MaxPooling3D = (
    kind(_Pooling, f"MaxPooling{n}D", axes=n) for n in _AXES
)
AveragePooling1D, AveragePooling2D, AveragePooling3D = (
    kind(_Average, f"AveragePooling{n}D", axes=n) for n in _AXES
)
GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D = (
    kind(_Global, f"GlobalAveragePooling{n}D") for n in _AXES
)
AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D = (
    kind(_Adaptive, f"AdaptiveAveragePooling{n}D", axes=n) for n in _AXES
)
AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D = (
    kind(_Adaptive, f"AdaptiveMaxPooling{n}D", axes=n) for n in _AXES
)
GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D = (
    kind(_Global, f"GlobalMaxPooling{n}D") for n in _AXES
)
ZeroPadding1D, ZeroPadding2D, ZeroPadding3D = (
    kind(_Resizing, f"ZeroPadding{n}D", "padding=1, data_format=None", n) for n in _AXES
)
Cropping1D = kind(_Cropping, "Cropping1D", "cropping=1", 1)
Cropping2D = kind(_Cropping, "Cropping2D", "cropping=0, data_format=None", 2)
Cropping3D = kind(_Cropping, "Cropping3D", "cropping=1, data_format=None", 3)
UpSampling1D = kind(_UpSampling, "UpSampling1D", "size=2", 1)
UpSampling2D = kind(
    _UpSampling, "UpSampling2D", "size=2, data_format=None, interpolation='nearest'", 2
)
UpSampling3D = kind(_UpSampling, "UpSampling3D", "size=2, data_format=None", 3)
MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalAvgPool1D, GlobalMaxPool1D = GlobalAveragePooling1D, GlobalMaxPooling1D
GlobalAvgPool2D, GlobalMaxPool2D = GlobalAveragePooling2D, GlobalMaxPooling2D
GlobalAvgPool3D, GlobalMaxPool3D = GlobalAveragePooling3D, GlobalMaxPooling3D
