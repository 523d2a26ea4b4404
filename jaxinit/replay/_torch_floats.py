"""From words of the Mersenne twister to the floats of PyTorch's CPU kernels.

Every function takes outputs of the generator in the order in which PyTorch's serial
loop reads them, and makes the values of a flat tensor.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay import _cephes, _float64, _float64_math
from jaxinit.replay._chunks import map_rows
from jaxinit.replay._exact import fma, product, split
from jaxinit.replay._float64 import Float64
from jaxinit.replay._uint64 import Pair, subtract

BLOCK = 16
"""Values that are made together; smaller tensors go another way."""

_HALF = BLOCK // 2
_TWO_PI = split(np.float32(2 * np.pi))
_2_53 = np.uint32(1 << 21)  # the upper half of 2^53


def unit_float32(words: jax.Array) -> jax.Array:
    """Return the low 24 bits of each word, as multiples of 2^-24 in [0, 1)."""
    low = (words & np.uint32(0xFFFFFF)).astype(jnp.int32)
    return low.astype(jnp.float32) * np.float32(2.0**-24)


def _integer53(words: jax.Array) -> Pair:
    """Return the low 53 bits of each pair of words (high, low) on the last axis."""
    return words[..., 0] & (_2_53 - np.uint32(1)), words[..., 1]


def unit_float64(words: jax.Array) -> jax.Array:
    """Return the low 53 bits of each pair of words, as JAX's float64 in [0, 1)."""
    return _float64.to_float64(_float64.from_integer(_integer53(words), -53))


def affine(unit: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """Return ``unit * (high - low) + low``, rounded once, in the dtype of ``unit``."""
    return fma(split(unit), split(high - low), low)


def narrow(values: jax.Array, dtype: np.dtype[Any]) -> jax.Array:
    """Return float32 values in a narrower dtype, others as they are.

    The rounding is done in float32 first: XLA may drop a conversion there and back.
    """
    if dtype == jnp.bfloat16:
        values = jax.lax.reduce_precision(values, 8, 7)
    elif dtype == np.float16:
        least = jax.lax.reduce_precision(values, 5, 10)
        unit = np.float32(2.0**24)
        tiny = jnp.round(values * unit) * np.float32(2.0**-24)
        values = jnp.where(jnp.abs(values) < np.float32(2.0**-14), tiny, least)
    return values.astype(dtype)


def box_muller(words: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    """Return float32 normals from whole blocks of 16 words.

    The first eight words of a block give radii, the last eight angles; the first eight
    results are the cosines. The logarithm is of 1 - u, which is never 0.
    """

    def radii(words: jax.Array) -> tuple[jax.Array]:
        unit = unit_float32(words)
        return (jnp.sqrt(_cephes.log(np.float32(1) - unit) * np.float32(-2)),)

    words = words.reshape(-1, 2, _HALF)
    (radius,) = map_rows(radii, words[:, 0])
    angle = product(_TWO_PI, split(unit_float32(words[:, 1:])))
    value = _cephes.circle(angle, np.array([[False], [True]]))
    value = product(split(radius[:, None]), split(value))
    return fma(split(value), split(std), mean).reshape(-1)


def _normal64(radius: jax.Array, angle: jax.Array, want_sin: jax.Array) -> Float64:
    """Return one value of Box-Muller in double precision from two pairs of words."""
    number = _integer53(radius)
    zero = (number[0] | number[1]) == 0
    rest = subtract((jnp.full_like(number[0], _2_53), jnp.zeros_like(number[1])), number)
    log = _float64_math.minus_log(_float64.from_integer(rest, -53))
    log = log._replace(exponent=log.exponent + 1)
    log = _float64.where(zero, _float64.constant(0.0), log)
    unit = _float64.from_integer(_integer53(angle), -53)
    turn = _float64.multiply(_float64.constant(2 * np.pi), unit)
    value = _float64_math.circle(turn, want_sin)
    return _float64.multiply(_float64.square_root(log), value)


def _scaled(value: Float64, mean: Float64, std: Float64) -> Float64:
    return _float64.sum_of(_float64.multiply(value, std), mean)


def box_muller_wide(words: jax.Array, mean: Float64, std: Float64) -> jax.Array:
    """Return float64 normals from whole blocks of 16 pairs of words."""
    words = words.reshape(-1, 2, _HALF, 2)
    want_sin = jnp.broadcast_to(np.array([[False], [True]]), words.shape[:-1])
    value = _normal64(words[:, :1], words[:, 1:], want_sin)
    return _float64.to_float64(_scaled(value, mean, std)).reshape(-1)


def box_muller_serial(
    words: jax.Array, mean: Float64, std: Float64, wide: bool
) -> jax.Array:
    """Return the normals of small tensors: two from each row of four words.

    The first two words give the angle, the others the radius; the cosine comes first.
    All is double precision, and rounded to float32 at the end unless ``wide``.
    """
    words = jnp.repeat(words, 2, axis=0)
    want_sin = np.arange(words.shape[0]) % 2 == 1
    value = _normal64(words[:, 2:], words[:, :2], jnp.asarray(want_sin))
    value = _scaled(value, mean, std)
    return _float64.to_float64(value) if wide else _float64.to_float32(value)
