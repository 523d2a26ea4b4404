"""Random words to samples of mean 0 and variance 1.

A word ``w`` of ``b`` bits stands for ``x = (2 w + 1) / 2^b - 1`` in (-1, 1), and the
sample is the quantile of ``(1 + x) / 2``. This is the map of ``jax.random``, over all bits
of the word. ``|x|`` and ``t = 1 - |x|`` are both taken straight from the integer, so that
samples are symmetric about zero and keep their relative precision into both tails.

The rational functions are minimax fits in relative error; tests/oracles/fit_samples.py
makes them. Coefficients are all positive and arguments never negative (but for the
logarithm's), so that evaluation loses nothing to cancellation.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax

# log(1 + f) / f on [sqrt(1/2) - 1, sqrt(2) - 1], error 1.7e-7.
_LOG = (
    0.9999999453, -0.5000036515, 0.3333505835, -0.2496990732,
    0.1990018279, -0.1725087088, 0.1622245485, -0.1010660201,
)  # fmt: skip
# z / x of the normal in -log(1 - x^2) on [0, 22.3], error 1.4e-7.
_NORMAL = (
    (
        1.253314309,
        0.4560805771,
        0.09099295297,
        0.01207732707,
        0.001022547231,
        2.876728314e-5,
    ),
    (1.0, 0.1021036395, 0.03282614263, 0.002365235327, 0.0001696882628, 9.764921134e-7),
)
# The same on [0, 90], error 8.4e-8.
_NORMAL_WIDE = (
    (
        1.253314043, 0.4715723324, 0.1019186585, 0.01502097797,
        0.001513271144, 0.0001047364692, 1.165070707e-6, 1.307119904e-9,
    ),
    (
        1.0, 0.1144588406, 0.03833088006, 0.003079244439,
        0.000358566341, 9.999712205e-6, 3.959613392e-8, 5.619990887e-12,
    ),
)  # fmt: skip
# z / x of the normal cut at +-2, scaled to variance 1, in 1 - x^2 on [0, 1], error 6.8e-8.
_TRUNCATED = (
    (2.273694308, 27.57593295, 84.68579224, 61.66563566, 4.984462126),
    (1.0, 13.83806757, 52.42642473, 55.25447056, 10.70599454),
)
# Float64, in three pieces as Wichura 1988, algorithm AS 241, cuts them; errors below 1e-16:
# z / x in 0.85^2 - x^2, then z in r - 1.6 and in r - 5 where r = sqrt(-log(t / 2)).
_CENTRAL_64 = (
    (
        1.6935664363981832963, 16.642298706109405084, 61.608944285758344633,
        107.269646436350778, 89.680300535757778674, 32.839253614831218721,
        4.0800430874163348567, 0.076552219209053034269,
    ),
    (
        1.0, 10.578090712430934876, 42.947073622402120255,
        84.277618991262765927, 82.856977749282170928, 38.380820689463869609,
        7.0126005915241897939, 0.31892664525510044128,
    ),
)  # fmt: skip
_MIDDLE_64 = (
    (
        1.4234371107496837305, 4.6303094324308991199, 5.7694105441895250029,
        3.6477525037231285378, 1.2704092366327714403, 0.24176874384929587107,
        0.02272257083746703258, 0.00077450210665123903434,
    ),
    (
        1.0, 2.0531716652882676439, 1.6763478855921954199,
        0.689742616271031944, 0.14809678650121999485, 0.015197813835349788036,
        0.00054756347116660850399, 1.050732285943030329e-9,
    ),
)  # fmt: skip
_FAR_64 = (
    (
        6.6579046435011037924, 5.463763268281695854, 1.7848104553414621455,
        0.29655595502313324421, 0.026531545310056703154, 0.0012426160516525659408,
        0.000027114133920240217157, 2.0101843660763546963e-7,
    ),
    (
        1.0, 0.59982895585111260389, 0.13692818286266278399,
        0.014875038572180534251, 0.00078684211200365115811, 0.000018462230841763763994,
        1.4214056701289428713e-7, 2.0438914801256939462e-15,
    ),
)  # fmt: skip
# sin(a) / a - 1 and cos(a) - 1 + a^2 / 2 over their leading powers, |a| <= pi / 4: Cephes
# mathematical library, sinf.c.
_SINE = (-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4)
_COSINE = (4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5)

TRUNCATED_STD = 0.8796256610342397504
"""Standard deviation of N(0, 1) cut at +-2: sqrt(1 - 4 phi(2) / (2 Phi(2) - 1))."""

DISC_TRUNCATED_STD = 0.9619618280082135401761
"""Root mean square modulus of CN(0, 1) cut at modulus 2: sqrt(1 - 4 / (e^4 - 1))."""

TRUNCATED_LIMIT = 2 / TRUNCATED_STD
"""The largest modulus of the real truncated normal of variance 1."""

NORMAL_LIMIT = {32: 6.338, 64: 9.156}
"""No smaller than the largest normal sample that a word of so many bits gives."""


Parts = tuple[jax.Array, jax.Array]
"""Real and imaginary part."""


class Special(NamedTuple):
    """What a piece turns out to be.

    Attributes:
        is_standard: 1 if the piece is cut at two standard deviations, else 0.
        is_far: 1 if it lies so far out that nothing is left of its probability, else 0.
        nearest: The size of its bound next to the centre, if it is far.
        inverse: 2 over the square of that.
        share: Which part of what lies beyond that bound belongs to the piece.
    """

    is_standard: jax.Array
    is_far: jax.Array
    nearest: jax.Array
    inverse: jax.Array
    share: jax.Array


class Interval(NamedTuple):
    """A piece of the standard normal distribution, turned to lean to the negative side.

    Attributes:
        centre: Middle of the piece on the scale of ``x = erf(z / sqrt(2))``.
        below: Probability of the distribution below the piece.
        above: Probability of the distribution above the piece.
        mass: Probability of the piece.
        sign: -1 if it was turned, else 1.
        special: For a piece that is not known when the program is made, what it turns out
            to be; else None.
    """

    centre: float | jax.Array
    below: float | jax.Array
    above: float | jax.Array
    mass: float | jax.Array
    sign: float | jax.Array
    special: Special | None = None


class Disc(NamedTuple):
    """A disc about the centre of the complex standard normal distribution.

    Attributes:
        mass: Probability of the disc.
        rest: Probability of what is outside.
    """

    mass: float | jax.Array
    rest: float | jax.Array


def uniform(words: jax.Array) -> jax.Array:
    """Return samples spread evenly over (-1, 1), of variance 1/3."""
    return _with_sign_of(_magnitude(_folded(words)), words)


def normal(words: jax.Array) -> jax.Array:
    """Return standard normal samples."""
    folded = _folded(words)
    size, rest = _magnitude(folded), _magnitude(_complement(folded))
    if words.dtype == jnp.uint64:
        z = _quantile_64(size, rest)
    else:
        z = size * _ratio(_NORMAL, _minus_log(rest * (1 + size)))
    return _with_sign_of(z, words)


def truncated_normal(words: jax.Array) -> jax.Array:
    """Return normal samples cut at two standard deviations, of variance 1."""
    folded = _folded(words)
    size, rest = _magnitude(folded), _magnitude(_complement(folded))
    if words.dtype == jnp.uint64:
        mass = math.erf(math.sqrt(2))
        left = math.erfc(math.sqrt(2))
        z = _quantile_64(size * mass, rest * mass + left) / TRUNCATED_STD
    else:
        z = size * _ratio(_TRUNCATED, rest * (1 + size))
    return _with_sign_of(z, words)


def bounded_normal(words: jax.Array, interval: Interval) -> jax.Array:
    """Return standard normal samples that lie in an interval.

    Where :class:`Special` says that it is cut at two standard deviations, they are those of
    :func:`truncated_normal`, scaled to variance 1.
    """
    z = _of_interval(words, interval)
    special = interval.special
    if special is None:
        return z
    # Beyond ``a`` the density falls as that of ``sqrt(a^2 + 2 E)``, E exponential.
    fall = -jnp.log1p(-_unit(words) * special.share)
    far = special.nearest * jnp.sqrt(1 + fall * special.inverse)
    z = jnp.where(special.is_far > 0, -far * interval.sign, z)
    # The same values as for bounds that are known, and the derivative by the bounds.
    standard = truncated_normal(words) + (z - lax.stop_gradient(z)) / TRUNCATED_STD
    return jnp.where(special.is_standard > 0, standard, z)


def _of_interval(words: jax.Array, interval: Interval) -> jax.Array:
    folded = _folded(words)
    size, rest = _magnitude(folded), _magnitude(_complement(folded))
    # Turned with the piece, so that the least word still gives the lowest value.
    upper = (words >> (words.dtype.itemsize * 8 - 1) == 1) == (interval.sign > 0)
    low_part = jnp.where(upper, 1 + size, rest) / 2
    high_part = jnp.where(upper, rest, 1 + size) / 2
    below = interval.below + low_part * interval.mass
    above = interval.above + high_part * interval.mass
    x = interval.centre + interval.mass * jnp.where(upper, size, -size)
    tail = 2 * jnp.minimum(below, above)
    if words.dtype == jnp.uint64:
        z = _quantile_64(jnp.abs(x), tail)
    else:
        far = -jnp.log(tail * (1 + jnp.abs(x)))  # which, unlike ours, has a derivative
        z = jnp.abs(x) * _ratio(_NORMAL_WIDE, far)
    return jnp.where(below < above, -z, z) * interval.sign


def complex_uniform(radius: jax.Array, angle: jax.Array) -> Parts:
    """Return samples spread evenly over the disc of radius sqrt(2)."""
    return _polar(jnp.sqrt(2 * _unit(radius)), angle)


def complex_normal(real: jax.Array, imag: jax.Array) -> Parts:
    """Return circular normal samples: real and imaginary part of variance 1/2 each."""
    parts = normal(real), normal(imag)
    half = parts[0].dtype.type(math.sqrt(0.5))
    return rounded_product(half, parts[0]), rounded_product(half, parts[1])


def complex_truncated_normal(radius: jax.Array, angle: jax.Array) -> Parts:
    """Return circular normal samples whose modulus is cut at 2, scaled to variance 1."""
    cut = math.exp(-4)
    modulus = _modulus(radius, Disc(1 - cut, cut), _minus_log)
    return _polar(modulus * (1 / DISC_TRUNCATED_STD), angle)


def bounded_complex_normal(radius: jax.Array, angle: jax.Array, *, disc: Disc) -> Parts:
    """Return circular normal samples, of variance 1 before the cut, that lie in a disc."""
    # The logarithm that has a derivative, by the radius of the disc.
    return _polar(_modulus(radius, disc, lambda y: -jnp.log(y)), angle)


def _modulus(
    words: jax.Array, disc: Disc, minus_log: Callable[[jax.Array], jax.Array]
) -> jax.Array:
    """Return the root of the quantile of the exponential distribution, cut at the disc."""
    lower = _unit(words) * disc.mass
    beyond = _unit(~words) + disc.rest * _unit(words)
    square = jnp.where(lower < 0.25, _minus_log_1m(lower), minus_log(beyond))
    return jnp.sqrt(square)


@jax.custom_jvp
def rounded_product(scale: jax.Array, sample: jax.Array) -> jax.Array:
    """Return the product, rounded whatever comes next.

    Compilers fuse a product with a sum that follows, and leave out the rounding between, so
    that ``init(key) + 1`` would not be what it is step by step. They do not where the sign
    is put on as a bit.
    """
    bits = {4: jnp.uint32, 8: jnp.uint64}[sample.dtype.itemsize]
    sign = lax.bitcast_convert_type(sample, bits) & ~bits(jnp.iinfo(bits).max >> 1)
    size = lax.bitcast_convert_type(scale * jnp.abs(sample), bits)
    return lax.bitcast_convert_type(size ^ sign, sample.dtype)


@rounded_product.defjvp
def _rounded_product_jvp(primals: Any, tangents: Any) -> tuple[jax.Array, jax.Array]:
    (scale, sample), (dscale, dsample) = primals, tangents
    return rounded_product(scale, sample), dscale * sample + scale * dsample


def _folded(words: jax.Array) -> jax.Array:
    """Return ``(|x| 2^b - 1) / 2``: a signed integer, the same for ``x`` and ``-x``."""
    wide = words.dtype == jnp.uint64
    signed, bits = (jnp.int64, 64) if wide else (jnp.int32, 32)
    centred = lax.bitcast_convert_type(words ^ (words.dtype.type(1) << (bits - 1)), signed)
    return centred ^ (centred >> (bits - 1))


def _complement(folded: jax.Array) -> jax.Array:
    return folded ^ jnp.iinfo(folded.dtype).max


def _magnitude(folded: jax.Array) -> jax.Array:
    """Return ``(2 folded + 1) / 2^b``, rounded: |x|, or 1 - |x| from the complement."""
    wide = folded.dtype == jnp.int64
    dtype, scale = (jnp.float64, 2.0**-63) if wide else (jnp.float32, 2.0**-31)
    return (folded.astype(dtype) + dtype(0.5)) * dtype(scale)


def _unit(words: jax.Array) -> jax.Array:
    """Return ``(2 w + 1) / 2^(b + 1)`` in (0, 1)."""
    folded = _folded(words)
    positive = words >> (words.dtype.itemsize * 8 - 1) == 1
    size, rest = _magnitude(folded), _magnitude(_complement(folded))
    return jnp.where(positive, 1 + size, rest) / 2


def _with_sign_of(size: jax.Array, words: jax.Array) -> jax.Array:
    """Return the size, negative where the word is in the lower half."""
    sign = ~words & (words.dtype.type(1) << (words.dtype.itemsize * 8 - 1))
    bits = lax.bitcast_convert_type(size, words.dtype) | sign
    return lax.bitcast_convert_type(bits, size.dtype)


def _polynomial(coefficients: tuple[float, ...], x: jax.Array) -> jax.Array:
    total = jnp.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        total = total * x + x.dtype.type(c)
    return total


def _ratio(fit: tuple[tuple[float, ...], tuple[float, ...]], x: jax.Array) -> jax.Array:
    return _polynomial(fit[0], x) / _polynomial(fit[1], x)


def _minus_log(y: jax.Array) -> jax.Array:
    """Return ``-log(y)`` for normal numbers, to 2e-7 of max(1, the result)."""
    if y.dtype == jnp.float64:
        return -jnp.log(y)
    bits = lax.bitcast_convert_type(y, jnp.int32)
    # The exponent that leaves a mantissa in [sqrt(1/2), sqrt(2)).
    exponent = (bits - jnp.int32(0x3F3504F3)) >> 23
    f = lax.bitcast_convert_type(bits - (exponent << 23), jnp.float32) - 1
    return -(exponent.astype(jnp.float32) * math.log(2) + f * _polynomial(_LOG, f))


def _minus_log_1m(t: jax.Array) -> jax.Array:
    """Return ``-log(1 - t)`` for t in (0, 1/4), with its relative precision near 0."""
    return -jnp.log1p(-t) if t.dtype == jnp.float64 else t * _polynomial(_LOG, -t)


def _quantile_64(size: jax.Array, rest: jax.Array) -> jax.Array:
    """Return z >= 0 from ``|x|`` and ``1 - |x|`` in float64."""
    r = jnp.sqrt(-jnp.log(rest / 2))
    central = size * _ratio(_CENTRAL_64, jnp.maximum(0.7225 - size * size, 0))
    middle = _ratio(_MIDDLE_64, jnp.maximum(r - 1.6, 0))
    far = _ratio(_FAR_64, jnp.maximum(r - 5, 0))
    return jnp.where(size <= 0.85, central, jnp.where(r <= 5, middle, far))


def _polar(radius: jax.Array, angle: jax.Array) -> Parts:
    cosine, sine = _cos_sin(angle)
    return rounded_product(radius, cosine), rounded_product(radius, sine)


def _cos_sin(words: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return cosine and sine of the angle ``2 pi (w + 1/2) / 2^b``."""
    if words.dtype == jnp.uint64:
        angle = (math.pi * 2) * _unit(words)
        return jnp.cos(angle), jnp.sin(angle)
    quarter = (words + jnp.uint32(1 << 29)) >> 30
    offset = lax.bitcast_convert_type(words - (quarter << 30), jnp.int32)
    a = (offset.astype(jnp.float32) + 0.5) * (math.pi * 2.0**-31)
    square = a * a
    sine = a + a * square * _polynomial(_SINE, square)
    cosine = 1 - square / 2 + square * square * _polynomial(_COSINE, square)
    swapped = quarter & 1 == 1
    first, second = jnp.where(swapped, sine, cosine), jnp.where(swapped, cosine, sine)
    first = jnp.where((quarter + 1) & 2 == 2, -first, first)
    return first, jnp.where(quarter & 2 == 2, -second, second)
