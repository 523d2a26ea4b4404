"""From words of the Mersenne twister to the floats of PyTorch's CPU kernels.

Every function takes outputs of the generator in the order in which PyTorch's serial
loop reads them, and makes the values of a flat tensor. All run with 64-bit types.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay import _cephes
from jaxinit.replay._chunks import Columns, map_rows
from jaxinit.replay._exact import equal, fma, fma_single, narrow, single
from jaxinit.replay._libm import log1p

BLOCK = 16
"""Values that are made together; smaller tensors go another way."""

_HALF = BLOCK // 2
_TWO_PI = 2 * np.pi


def unit_float32(words: jax.Array) -> jax.Array:
    """Return the low 24 bits of each word, as float32 multiples of 2^-24 in [0, 1)."""
    low = (words & np.uint32(0xFFFFFF)).astype(jnp.int32)
    return low.astype(jnp.float32) * np.float32(2.0**-24)


def unit_float64(high: jax.Array, low: jax.Array) -> jax.Array:
    """Return the low 53 bits of each pair of words, as doubles in [0, 1)."""
    top = (high & np.uint32(0x1FFFFF)).astype(jnp.float64)
    return top * 2.0**-21 + low.astype(jnp.float64) * 2.0**-53


def units(words: jax.Array, dtype: np.dtype[Any]) -> jax.Array:
    """Return the numbers in [0, 1) of a tensor of this dtype, as doubles."""
    if dtype == np.float64:
        pairs = words.reshape(-1, 2)
        return unit_float64(pairs[:, 0], pairs[:, 1])
    return unit_float32(words).astype(jnp.float64)


def as_taken(scalars: jax.Array, dtype: np.dtype[Any]) -> jax.Array:
    """Return doubles as the kernels of a dtype take them: float32 but for float64."""
    return scalars if dtype == np.float64 else single(scalars)


def affine(
    unit: jax.Array, low: jax.Array, high: jax.Array, dtype: np.dtype[Any], small: bool
) -> jax.Array:
    """Return ``unit * (high - low) + low``, fused; a result equal to high becomes low."""
    width = high - low
    if dtype == np.float64:
        values = fma(unit, width, low)
    else:
        width = as_taken(width, dtype)
        values = narrow(fma_single(unit, width, low), dtype, small)
    bottom, top = narrow(low, dtype, small), narrow(high, dtype, small)
    return jnp.where(equal(values, top), bottom, values)


def box_muller(
    words: jax.Array, mean: jax.Array, std: jax.Array, dtype: np.dtype[Any], small: bool
) -> Columns:
    """Return normals of 32 bits and fewer from rows of 16 words, as two times 8 columns.

    The first eight words of a row give radii, the last eight angles; the first eight
    results are the cosines. The logarithm is of 1 - u, which is never 0.
    """
    log = _cephes.log(np.float32(1) - unit_float32(words[:, :_HALF]))
    radius = jnp.sqrt(log * np.float32(-2))
    angle = unit_float32(words[:, _HALF:]) * np.float32(_TWO_PI)
    pair = _cephes.circle(angle)
    one, two = ((radius * x).astype(jnp.float64) for x in pair)
    return tuple(narrow(fma_single(x, std, mean), dtype, small) for x in (one, two))


def box_muller_wide(words: jax.Array, mean: jax.Array, std: jax.Array) -> Columns:
    """Return float64 normals from rows of 16 pairs of words, likewise."""
    words = words.reshape(-1, BLOCK, 2)
    unit = unit_float64(words[..., 0], words[..., 1])
    radius = jnp.sqrt(jnp.log(1 - unit[:, :_HALF]) * -2.0)
    angle = unit[:, _HALF:] * _TWO_PI
    pair = jnp.cos(angle), jnp.sin(angle)
    return tuple(fma(radius * x, std, mean) for x in pair)


def box_muller_serial(words: jax.Array, mean: jax.Array, std: jax.Array) -> jax.Array:
    """Return the doubles of tensors that are small or not contiguous, two a row.

    The first two words of four give the angle, the others the radius; the cosine comes
    first.
    """

    def work(words: jax.Array) -> tuple[jax.Array]:
        radius = jnp.sqrt(log1p(-unit_float64(words[:, 2], words[:, 3])) * -2.0)
        angle = unit_float64(words[:, 0], words[:, 1]) * _TWO_PI
        pair = jnp.stack([jnp.cos(angle), jnp.sin(angle)], axis=1)
        return (fma(radius[:, None] * pair, std, mean),)

    return map_rows(work, words)[0].reshape(-1)
