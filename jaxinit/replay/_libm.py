"""Single-precision log, sine and cosine of the GNU C library, 2.28 and later.

Both are evaluated in double precision and rounded once to float32. Whether a sum and a
product are fused changes a double in its last bits only, which no float32 shows that
`tf_stateless` can meet: all arguments have been compared with the library, with fused
operations and without.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay._exact import fma, product

_HEX = float.fromhex

# Arm Optimized Routines (MIT licence), logf_data.c: reciprocals and their logarithms,
# and the polynomial; glibc uses the same.
_TABLE = (
    ("0x1.661ec79f8f3bep+0", "-0x1.57bf7808caadep-2"),
    ("0x1.571ed4aaf883dp+0", "-0x1.2bef0a7c06ddbp-2"),
    ("0x1.49539f0f010bp+0", "-0x1.01eae7f513a67p-2"),
    ("0x1.3c995b0b80385p+0", "-0x1.b31d8a68224e9p-3"),
    ("0x1.30d190c8864a5p+0", "-0x1.6574f0ac07758p-3"),
    ("0x1.25e227b0b8eap+0", "-0x1.1aa2bc79c81p-3"),
    ("0x1.1bb4a4a1a343fp+0", "-0x1.a4e76ce8c0e5ep-4"),
    ("0x1.12358f08ae5bap+0", "-0x1.1973c5a611cccp-4"),
    ("0x1.0953f419900a7p+0", "-0x1.252f438e10c1ep-5"),
    ("0x1p+0", "0x0p+0"),
    ("0x1.e608cfd9a47acp-1", "0x1.aa5aa5df25984p-5"),
    ("0x1.ca4b31f026aap-1", "0x1.c5e53aa362eb4p-4"),
    ("0x1.b2036576afce6p-1", "0x1.526e57720db08p-3"),
    ("0x1.9c2d163a1aa2dp-1", "0x1.bc2860d22477p-3"),
    ("0x1.886e6037841edp-1", "0x1.1058bc8a07ee1p-2"),
    ("0x1.767dcf5534862p-1", "0x1.4043057b6ee09p-2"),
)
_RECIPROCALS, _LOGARITHMS = np.array([[_HEX(x) for x in row] for row in _TABLE]).T.copy()
_LOG = [_HEX(x) for x in ("-0x1.00ea348b88334p-2", "0x1.5575b0be00b6ap-2")]
_LOG.append(_HEX("-0x1.ffffef20a4123p-2"))
_LN2 = _HEX("0x1.62e42fefa39efp-1")
_OFFSET = np.uint32(0x3F330000)

# Arm Optimized Routines, sincosf_data.c.
_TWO_OVER_PI = _HEX("0x1.45f306dc9c883p+23") * 2.0**-24
_HALF_PI = _HEX("0x1.921fb54442d18p+0")
_COS = [_HEX(x) for x in ("-0x1.ffffffd0c621cp-2", "0x1.55553e1068f19p-5")]
_COS += [_HEX(x) for x in ("-0x1.6c087e89a359dp-10", "0x1.99343027bf8c3p-16")]
_SIN = [_HEX(x) for x in ("-0x1.555545995a603p-3", "0x1.1107605230bc4p-7")]
_SIN.append(_HEX("-0x1.994eb3774cf24p-13"))


def log(x: jax.Array) -> jax.Array:
    """Return ``logf`` of normal positive float32."""
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    offset = bits - _OFFSET
    index = (offset >> 19 & np.uint32(15)).astype(jnp.int32)
    power = jax.lax.bitcast_convert_type(offset, jnp.int32) >> 23
    mantissa = bits - (offset & np.uint32(0xFF800000))
    z = jax.lax.bitcast_convert_type(mantissa, jnp.float32).astype(jnp.float64)
    r = z * jnp.asarray(_RECIPROCALS)[index] - 1
    base = jnp.asarray(_LOGARITHMS)[index] + power.astype(jnp.float64) * _LN2
    square = r * r
    y = _LOG[0] * square + (_LOG[1] * r + _LOG[2])
    return (y * square + (base + r)).astype(jnp.float32)


def circle(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return ``sinf`` and ``cosf`` of float32 in [0, 2 pi]."""
    wide = x.astype(jnp.float64)
    # The quarter turn nearest to x, halves upwards; below pi / 4 it is the zeroth.
    quarter = ((wide * _TWO_OVER_PI * 2).astype(jnp.int32) + 1) >> 1
    y = wide - quarter.astype(jnp.float64) * _HALF_PI
    z = y * y
    cos = 1 + z * _COS[0] + z * z * _COS[1] + z * z * z * (_COS[2] + z * _COS[3])
    sin = y + y * z * _SIN[0] + y * z * z * (_SIN[1] + z * _SIN[2])
    odd = quarter & 1 == 1
    sines = jnp.where(quarter & 2 == 0, 1.0, -1.0) * jnp.where(odd, cos, sin)
    turned = jnp.where((quarter + 1) & 2 == 0, 1.0, -1.0) * jnp.where(odd, sin, cos)
    return sines.astype(jnp.float32), turned.astype(jnp.float32)


# glibc, sysdeps/ieee754/dbl-64/s_log1p.c, which is FreeBSD's msun.
_LN2_PARTS = _HEX("0x1.62e42feep-1"), _HEX("0x1.a39ef35793c76p-33")
_LOG1P = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860511658591e-01,
)


def log1p(x: jax.Array) -> jax.Array:
    """Return ``log1p`` of doubles in (-1, 0] that are multiples of 2^-53.

    The operations are fused where the library's are on machines that can fuse.
    """
    u = 1.0 + x  # exact
    bits = jax.lax.bitcast_convert_type(u, jnp.int64)
    fraction = bits & np.int64((1 << 52) - 1)
    low = (fraction >> 32) < 0x6A09E
    k = (bits >> 52) - 1023 + jnp.where(low, np.int64(0), np.int64(1))
    exponent = jnp.where(low, np.int64(0x3FF), np.int64(0x3FE)) << 52
    f = jax.lax.bitcast_convert_type(fraction | exponent, jnp.float64) - 1.0
    near = jax.lax.bitcast_convert_type(x, jnp.int64) >> 32 <= -0x402D413D
    f, power = jnp.where(near, x, f), jnp.where(near, np.int64(0), k).astype(jnp.float64)

    def step(y: jax.Array, c: jax.Array | float, x: jax.Array | float) -> jax.Array:
        return fma(y, jnp.asarray(c), jnp.asarray(x))

    half = product(0.5 * f, f)
    s = f / (2.0 + f)
    z = product(s, s)
    z2 = product(z, z)
    z4 = product(z2, z2)
    inner = [step(z, _LOG1P[i + 1], _LOG1P[i]) for i in (1, 3, 5)]
    rest = step(z, _LOG1P[0], product(z2, inner[0]))
    rest = step(product(z4, z2), inner[2], step(z4, inner[1], rest))
    short = jnp.where(low, fraction >> 32, (1 << 20) - (fraction >> 32) >> 2) == 0
    third = product(half, step(f, -0.66666666666666666, 1.0))
    high, c = power * _LN2_PARTS[0], product(power, jnp.float64(_LN2_PARTS[1]))
    tail = product(s, half + rest)
    at_zero = f - (half - tail)
    far = high - ((half - (tail + c)) - f)
    few = jnp.where(f == 0, high + c, high - ((third - c) - f))
    tiny = jnp.where(x > -(2.0**-54), x, x - product(x, x) * 0.5)
    result = jnp.where(near, at_zero, jnp.where(short, few, far))
    return jnp.where(x > -(2.0**-29), tiny, result)
