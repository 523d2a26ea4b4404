"""Single-precision log and sin/cos of PyTorch's vectorised CPU kernels.

These are the polynomials of the Cephes library (Moshier), with the fused multiply-adds
that the compiler made of them in PyTorch's AVX2 and AVX-512 builds. The order of the
operations is part of the result; see the tests for how it was established.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay._exact import Double, add_exact, fma, product, split

_F = np.float32

# Cephes logf.c.
_SQRT_HALF = _F(0.707106781186547524)
_LOG = (
    _F(7.0376836292e-2),
    _F(-1.1514610310e-1),
    _F(1.1676998740e-1),
    _F(-1.2420140846e-1),
    _F(1.4249322787e-1),
    _F(-1.6668057665e-1),
    _F(2.0000714765e-1),
    _F(-2.4999993993e-1),
    _F(3.3333331174e-1),
)
_LN2_LOW = split(_F(-2.12194440e-4))
_LN2_HIGH = _F(0.693359375)  # 9 bits, so its product with an exponent is exact

# Cephes sinf.c.
_FOUR_OVER_PI = _F(1.27323954473516)
_PI_4_HIGH = _F(-0.78515625)  # 8 bits
_PI_4_MIDDLE = _F(-2.4187564849853515625e-4)  # 11 bits
_PI_4_LOW = _F(-3.77489497744594108e-8)
_SIN = _F(-1.9515295891e-4), _F(8.3321608736e-3), _F(-1.6666654611e-1)
_COS = (
    _F(2.443315711809948e-5),
    _F(-1.388731625493765e-3),
    _F(4.166664568298827e-2),
)


def _polynomial(coefficients: tuple[np.float32, ...], x: Double) -> jax.Array:
    """Return Horner's rule by fused multiply-adds, highest coefficient first."""
    y = fma(split(coefficients[0]), x, coefficients[1])
    for c in coefficients[2:]:
        y = fma(split(y), x, c)
    return y


def log(u: jax.Array) -> jax.Array:
    """Return the natural logarithm of normal positive floats."""
    bits = jax.lax.bitcast_convert_type(u, jnp.int32)
    mantissa = bits & np.int32(0x007FFFFF) | np.int32(0x3F000000)
    fraction = jax.lax.bitcast_convert_type(mantissa, jnp.float32)
    low = fraction < _SQRT_HALF
    exponent = ((bits >> 23) - 126 - low.astype(jnp.int32)).astype(jnp.float32)
    x = (fraction - _F(1)) + jnp.where(low, fraction, _F(0))

    x_parts = split(x)
    z = product(x_parts, x_parts)
    y = product(split(_polynomial(_LOG, x_parts)), x_parts)
    tail = exponent * _LN2_LOW[0] + exponent * _LN2_LOW[1]
    y = fma(split(y), split(z), tail) - z * _F(0.5)
    return (x + y) + exponent * _LN2_HIGH


def circle(angle: jax.Array, want_sin: jax.Array | np.ndarray) -> jax.Array:
    """Return the sine where it is wanted, else the cosine, of angles in [0, 2 pi]."""
    octant = ((angle * _FOUR_OVER_PI).astype(jnp.int32) + 1) & ~1
    j = octant.astype(jnp.float32)
    # j is 0, 2, 4, 6 or 8, so these two products are exact.
    x = (angle + j * _PI_4_HIGH) + j * _PI_4_MIDDLE
    six = np.float64(_PI_4_LOW) * 6  # the one multiple that needs more than 24 bits
    six_low = _F(six - np.float64(_F(six)))
    high = jnp.where(octant == 6, _F(six), j * _PI_4_LOW)
    x = add_exact((high, jnp.where(octant == 6, six_low, _F(0))), x)

    # Both polynomials have one form: c z + 1 with c = (p z) z - z / 2, and (p z) x + x.
    even = want_sin ^ (octant & 2 == 0)
    z = product(split(x), split(x))
    z_parts = split(z)
    p = split(jnp.where(even, _COS[0], _SIN[0]))
    for cos, sin in zip(_COS[1:], _SIN[1:], strict=True):
        p = split(fma(p, z_parts, jnp.where(even, cos, sin)))
    p = split(product(p, z_parts))
    y = fma(p, split(jnp.where(even, z, x)), jnp.where(even, z * _F(-0.5), x))
    y = jnp.where(even, y + _F(1), y)

    sign = jnp.where(want_sin, octant, ~(octant - 2)) & 4
    bits = jax.lax.bitcast_convert_type(y, jnp.int32)
    return jax.lax.bitcast_convert_type(bits ^ sign << 29, jnp.float32)
