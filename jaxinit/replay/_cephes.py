"""Single-precision log and sin/cos of PyTorch's vectorised CPU kernels.

These are the polynomials of the Cephes library (Moshier), with the fused multiply-adds
that the compiler made of them in PyTorch's AVX2 and AVX-512 builds. The order of the
operations is part of the result; see the tests for how it was established.

A product of two float32 is exact in float64, so each step is one sum in float64, rounded
to float32: the same whether XLA fuses or not. That is two roundings where a fused
operation has one. Both functions were compared with singly rounded operations on all
2^24 numbers that PyTorch can give to them, and no bit differs.
"""

import jax
import jax.numpy as jnp
import numpy as np

_F = np.float32

# Cephes logf.c.
_SQRT_HALF = _F(0.707106781186547524)
_LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_LN2_LOW = -2.12194440e-4
_LN2_HIGH = 0.693359375

# Cephes sinf.c.
_FOUR_OVER_PI = 1.27323954473516
_PI_4 = -0.78515625, -2.4187564849853515625e-4, -3.77489497744594108e-8
_SIN = -1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1
_COS = 2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2


def _single(x: jax.Array) -> jax.Array:
    """Return doubles rounded to float32, as doubles."""
    return x.astype(jnp.float32).astype(jnp.float64)


def _polynomial(coefficients: tuple[float, ...], x: jax.Array) -> jax.Array:
    """Return Horner's rule by fused multiply-adds, highest coefficient first."""
    y = jnp.full_like(x, _F(coefficients[0]))
    for c in coefficients[1:]:
        y = _single(y * x + np.float64(_F(c)))
    return y


def log(u: jax.Array) -> jax.Array:
    """Return the natural logarithm of normal positive float32."""
    bits = jax.lax.bitcast_convert_type(u, jnp.int32)
    mantissa = bits & np.int32(0x007FFFFF) | np.int32(0x3F000000)
    fraction = jax.lax.bitcast_convert_type(mantissa, jnp.float32)
    low = fraction < _SQRT_HALF
    exponent = ((bits >> 23) - 126 - low.astype(jnp.int32)).astype(jnp.float64)
    x = ((fraction - _F(1)) + jnp.where(low, fraction, _F(0))).astype(jnp.float64)

    z = _single(x * x)
    y = _single(_polynomial(_LOG, x) * x)
    y = _single(y * z + _single(exponent * np.float64(_F(_LN2_LOW))))
    y = _single(y - z * 0.5)
    return (_single(x + y) + exponent * _LN2_HIGH).astype(jnp.float32)


def circle(angle: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return cosine and sine of float32 angles in [0, 2 pi]."""
    octant = ((angle * _F(_FOUR_OVER_PI)).astype(jnp.int32) + 1) & ~1
    j = octant.astype(jnp.float64)
    x = angle.astype(jnp.float64)
    for part in _PI_4:
        x = _single(x + j * np.float64(_F(part)))

    z = _single(x * x)
    cos = _single(_polynomial(_COS, z) * z)
    cos = _single(_single(cos * z - z * 0.5) + 1)
    sin = _single(_polynomial(_SIN, z) * z)
    sin = _single(sin * x + x)

    swap = octant & 2 != 0
    signs = ~(octant - 2), octant
    values = jnp.where(swap, sin, cos), jnp.where(swap, cos, sin)
    return tuple(
        jnp.where(sign & 4 == 0, y, -y).astype(jnp.float32)
        for sign, y in zip(signs, values, strict=True)
    )  # pyright: ignore[reportReturnType]
