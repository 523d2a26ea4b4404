"""Keras' layers without weights: the seeds that some take, and their output's shape."""

import math
from typing import ClassVar

from jaxinit._checks import check_choice, check_number, value_error
from jaxinit.replay._keras_module import Layer, kinds
from jaxinit.replay._keras_session import take_seed
from jaxinit.replay._keras_tensor import Shape, sizes, strided

_RANGE = "value_range=(0, 255)"
_MAP = "interpolation='bilinear'"
_FILL = f"fill_mode='reflect', {_MAP}, seed=None, fill_value=0.0, data_format=None"
_FILLED = f"{_MAP}, fill_mode='reflect', fill_value=0.0"
_SEED, _LAST = "data_format=None, seed=None", "seed=None, data_format=None"


class _Same(Layer):
    """A layer that changes no shape and takes no seed."""


Activation, ReLU, LeakyReLU, ELU, Softmax, UnitNormalization, Identity = kinds(
    _Same,
    "Activation(activation)",
    "ReLU(max_value=None, negative_slope=0.0, threshold=0.0)",
    "LeakyReLU(negative_slope=0.3)",
    "ELU(alpha=1.0)",
    "Softmax(axis=-1)",
    "UnitNormalization(axis=-1)",
    "Identity()",
)
ActivityRegularization, Masking, Rescaling, AutoContrast, Equalization = kinds(
    _Same,
    "ActivityRegularization(l1=0.0, l2=0.0)",
    "Masking(mask_value=0.0)",
    "Rescaling(scale, offset=0.0)",
    f"AutoContrast({_RANGE})",
    f"Equalization({_RANGE}, bins=256, data_format=None)",
)
ContrastLimitedAdaptiveHistogramEqualization, MaxNumBoundingBoxes = kinds(
    _Same,
    f"ContrastLimitedAdaptiveHistogramEqualization({_RANGE}, clip_limit=4.0, "
    "tile_grid_size=(8, 8), data_format=None)",
    "MaxNumBoundingBoxes(max_number, fill_value=-1)",
)


class _Noise(Layer):
    """What dropout and noise share: a seed, taken if there is anything to draw."""

    def _start(self) -> None:
        name = "rate" if "rate" in vars(self) else "stddev"
        rate = check_number(name, vars(self)[name], least=0.0)
        if rate > 0:
            take_seed(self.seed)


Dropout, AlphaDropout, GaussianDropout, GaussianNoise = kinds(
    _Noise,
    "Dropout(rate, noise_shape=None, seed=None)",
    "AlphaDropout(rate, noise_shape=None, seed=None)",
    "GaussianDropout(rate, seed=None)",
    "GaussianNoise(stddev, seed=None)",
)
SpatialDropout1D, SpatialDropout2D, SpatialDropout3D = kinds(
    _Noise,
    "SpatialDropout1D(rate, seed=None)",
    "SpatialDropout2D(rate, data_format=None, seed=None)",
    "SpatialDropout3D(rate, data_format=None, seed=None)",
)


class _Random(Layer):
    """What the random image layers share: seeds, one for each generator inside."""

    seeds: ClassVar[int] = 1

    def _start(self) -> None:
        take_seed(self.seed, self.seeds)


RandomFlip, RandomRotation, RandomZoom, RandomTranslation, RandomShear = kinds(
    _Random,
    f"RandomFlip(mode='horizontal_and_vertical', {_LAST})",
    f"RandomRotation(factor, {_FILL})",
    f"RandomZoom(height_factor, width_factor=None, {_FILL})",
    f"RandomTranslation(height_factor, width_factor, {_FILL})",
    f"RandomShear(x_factor=0.0, y_factor=0.0, {_FILLED}, {_SEED})",
)
RandomContrast, RandomBrightness, RandomGrayscale, RandomInvert, RandomErasing = kinds(
    _Random,
    f"RandomContrast(factor, {_RANGE}, seed=None)",
    f"RandomBrightness(factor, {_RANGE}, seed=None)",
    f"RandomGrayscale(factor=0.5, {_SEED})",
    f"RandomInvert(factor=1.0, {_RANGE}, {_LAST})",
    f"RandomErasing(factor=1.0, scale=(0.02, 0.33), fill_value=None, {_RANGE}, {_LAST})",
)
RandomHue, RandomSaturation, RandomSharpness, RandomColorDegeneration = kinds(
    _Random,
    f"RandomHue(factor, {_RANGE}, {_SEED})",
    f"RandomSaturation(factor, {_RANGE}, {_SEED})",
    f"RandomSharpness(factor, {_RANGE}, {_SEED})",
    f"RandomColorDegeneration(factor, {_RANGE}, {_SEED})",
)
RandomPosterization, Solarization, RandomElasticTransform, RandomGaussianBlur = kinds(
    _Random,
    f"RandomPosterization(factor, {_RANGE}, {_SEED})",
    f"Solarization(addition_factor=0.0, threshold_factor=0.0, {_RANGE}, seed=None)",
    f"RandomElasticTransform(factor=1.0, scale=1.0, {_FILLED}, {_RANGE}, {_LAST})",
    f"RandomGaussianBlur(factor=1.0, kernel_size=3, sigma=1.0, {_RANGE}, {_SEED})",
)
RandomPerspective, CutMix, MixUp = kinds(
    _Random,
    f"RandomPerspective(factor=1.0, scale=1.0, {_MAP}, fill_value=0.0, {_LAST})",
    f"CutMix(factor=1.0, {_LAST})",
    f"MixUp(alpha=0.2, {_SEED})",
)


class RandAugment(_Random):
    """``keras.layers.RandAugment``."""

    seeds = 10
    signature = f"{_RANGE}, num_ops=2, factor=0.5, {_MAP}, {_LAST}"


class AugMix(_Random):
    """``keras.layers.AugMix``."""

    signature = (
        f"{_RANGE}, num_chains=3, chain_depth=3, factor=0.3, alpha=1.0, all_ops=True, "
        f"{_MAP}, {_LAST}"
    )

    def _start(self) -> None:
        take_seed(self.seed, 10 if self.all_ops else 6)


class RandomColorJitter(_Random):
    """``keras.layers.RandomColorJitter``."""

    signature = (
        f"{_RANGE}, brightness_factor=None, contrast_factor=None, saturation_factor=None, "
        f"hue_factor=None, {_LAST}"
    )

    def _start(self) -> None:
        names = "brightness", "contrast", "saturation", "hue"
        given = [name for name in names if vars(self)[f"{name}_factor"] is not None]
        take_seed(self.seed, 1 + len(given))


class Resizing(Layer):
    """``keras.layers.Resizing``."""

    signature = (
        "height, width, interpolation='bilinear', crop_to_aspect_ratio=False, "
        "pad_to_aspect_ratio=False, fill_mode='constant', fill_value=0.0, "
        "antialias=False, data_format=None"
    )

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        return (*shapes[0][:-3], self.height, self.width, shapes[0][-1])


(CenterCrop,) = kinds(Resizing, "CenterCrop(height, width, data_format=None)")


class RandomCrop(_Random, Resizing):
    """``keras.layers.RandomCrop``."""

    seeds = 2
    signature = f"height, width, {_LAST}"


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

    signature = "padding=1, data_format=None"

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


MaxPooling1D, MaxPooling2D, MaxPooling3D = kinds(_Pooling, "MaxPooling")
AveragePooling1D, AveragePooling2D, AveragePooling3D = kinds(_Average, "AveragePooling")
GlobalAveragePooling1D, GlobalAveragePooling2D, GlobalAveragePooling3D = kinds(
    _Global, "GlobalAveragePooling"
)
GlobalMaxPooling1D, GlobalMaxPooling2D, GlobalMaxPooling3D = kinds(
    _Global, "GlobalMaxPooling"
)
AdaptiveAveragePooling1D, AdaptiveAveragePooling2D, AdaptiveAveragePooling3D = kinds(
    _Adaptive, "AdaptiveAveragePooling"
)
AdaptiveMaxPooling1D, AdaptiveMaxPooling2D, AdaptiveMaxPooling3D = kinds(
    _Adaptive, "AdaptiveMaxPooling"
)
ZeroPadding1D, ZeroPadding2D, ZeroPadding3D = kinds(_Resizing, "ZeroPadding")
Cropping1D, Cropping2D, Cropping3D = kinds(
    _Cropping,
    "Cropping1D(cropping=1)",
    "Cropping2D(cropping=0, data_format=None)",
    "Cropping3D(cropping=1, data_format=None)",
)
UpSampling1D, UpSampling2D, UpSampling3D = kinds(
    _UpSampling,
    "UpSampling1D(size=2)",
    "UpSampling2D(size=2, data_format=None, interpolation='nearest')",
    "UpSampling3D(size=2, data_format=None)",
)
MaxPool1D, MaxPool2D, MaxPool3D = MaxPooling1D, MaxPooling2D, MaxPooling3D
AvgPool1D, AvgPool2D, AvgPool3D = AveragePooling1D, AveragePooling2D, AveragePooling3D
GlobalAvgPool1D, GlobalMaxPool1D = GlobalAveragePooling1D, GlobalMaxPooling1D
GlobalAvgPool2D, GlobalMaxPool2D = GlobalAveragePooling2D, GlobalMaxPooling2D
GlobalAvgPool3D, GlobalMaxPool3D = GlobalAveragePooling3D, GlobalMaxPooling3D


class _Categories(Layer):
    """What layers of categories share: numbers in place of values, or counts of them."""

    def _depth(self) -> int | None:
        given = vars(self)
        words, bounds = given.get("vocabulary"), given.get("bin_boundaries")
        if bounds is not None:
            return len(bounds) + 1
        if words is not None and not given.get("pad_to_max_tokens"):
            return len(words) + given.get("num_oov_indices", 1)
        return given.get("num_tokens") or given.get("num_bins") or given.get("max_tokens")

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        shape = shapes[0]
        if self.output_mode == "int":
            return shape
        whole = self.output_mode == "one_hot" and shape[-1] != 1
        return (*(shape if whole else shape[:-1]), self._depth())


_WORDS = "vocabulary=None, idf_weights=None"
CategoryEncoding, Discretization, Hashing, HashedCrossing = kinds(
    _Categories,
    "CategoryEncoding(num_tokens=None, output_mode='multi_hot', sparse=False)",
    "Discretization(bin_boundaries=None, num_bins=None, epsilon=0.01, output_mode='int', "
    "sparse=False)",
    "Hashing(num_bins, mask_value=None, salt=None, output_mode='int', sparse=False)",
    "HashedCrossing(num_bins, output_mode='int', sparse=False)",
)
IntegerLookup, StringLookup = kinds(
    _Categories,
    "IntegerLookup(max_tokens=None, num_oov_indices=1, mask_token=None, oov_token=-1, "
    "vocabulary=None, vocabulary_dtype='int64', idf_weights=None, invert=False, "
    "output_mode='int', sparse=False, pad_to_max_tokens=False, oov_method='floormod', "
    "salt=None)",
    "StringLookup(max_tokens=None, num_oov_indices=1, mask_token=None, "
    f"oov_token='[UNK]', {_WORDS}, invert=False, output_mode='int', "
    "pad_to_max_tokens=False, sparse=False, encoding='utf-8', salt=None)",
)


class TextVectorization(_Categories):
    """``keras.layers.TextVectorization``."""

    signature = (
        "max_tokens=None, standardize='lower_and_strip_punctuation', split='whitespace', "
        "ngrams=None, output_mode='int', output_sequence_length=None, "
        f"pad_to_max_tokens=False, {_WORDS}, sparse=False, ragged=False, encoding='utf-8'"
    )

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        if self.output_mode == "int":
            return (shapes[0][0], self.output_sequence_length)
        return (*shapes[0], self._depth())


class MelSpectrogram(Layer):
    """``keras.layers.MelSpectrogram``."""

    signature = (
        "fft_length=2048, sequence_stride=512, sequence_length=None, window='hann', "
        "sampling_rate=16000, num_mel_bins=128, min_freq=20.0, max_freq=None, "
        "power_to_db=True, top_db=80.0, mag_exp=2.0, min_power=1e-10, ref_power=1.0"
    )

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        *start, n = shapes[0]
        steps = None if n is None else 1 + n // self.sequence_stride
        return (*start, self.num_mel_bins, steps)
