"""Single-precision log, sine and cosine of the GNU C library, 2.28 and later.

Both are evaluated in double precision and rounded once to float32. Here the doubles are
software doubles, so the results are the library's; the library's own double may differ
in its last bits where it uses fused operations, which a float32 does not show. All
arguments that `tf_stateless` can meet have been compared.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay._float64 import (
    Float64,
    constant,
    from_floats,
    from_integer,
    multiply,
    negate,
    sum_of,
    to_float32,
    where,
)

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
_RECIPROCALS = from_floats(np.array([_HEX(a) for a, _ in _TABLE]))
_LOGARITHMS = from_floats(np.array([_HEX(b) for _, b in _TABLE]))
_LOG = [
    constant(_HEX(x))
    for x in ("-0x1.00ea348b88334p-2", "0x1.5575b0be00b6ap-2", "-0x1.ffffef20a4123p-2")
]
_LN2 = constant(_HEX("0x1.62e42fefa39efp-1"))
_OFFSET = np.uint32(0x3F330000)

# Arm Optimized Routines, sincosf_data.c.
_TWO_OVER_PI = constant(_HEX("0x1.45f306dc9c883p+23") * 2.0**-24)
_HALF_PI = constant(_HEX("0x1.921fb54442d18p+0"))
_COS = [
    constant(_HEX(x))
    for x in (
        "-0x1.ffffffd0c621cp-2",
        "0x1.55553e1068f19p-5",
        "-0x1.6c087e89a359dp-10",
        "0x1.99343027bf8c3p-16",
    )
]
_SIN = [
    constant(_HEX(x))
    for x in ("-0x1.555545995a603p-3", "0x1.1107605230bc4p-7", "-0x1.994eb3774cf24p-13")
]


def log(x: jax.Array) -> jax.Array:
    """Return ``logf`` of normal positive float32."""
    bits = jax.lax.bitcast_convert_type(x, jnp.uint32)
    offset = bits - _OFFSET
    index = (offset >> 19 & np.uint32(15)).astype(jnp.int32)
    power = jax.lax.bitcast_convert_type(offset, jnp.int32) >> 23
    mantissa = bits - (offset & np.uint32(0xFF800000))
    reciprocal, logarithm = (
        Float64(*(jnp.asarray(f)[index] for f in table))
        for table in (_RECIPROCALS, _LOGARITHMS)
    )
    r = sum_of(multiply(from_float32(mantissa), reciprocal), constant(-1.0))
    base = sum_of(logarithm, multiply(_from_int32(power), _LN2))
    square = multiply(r, r)
    y = sum_of(multiply(_LOG[1], r), _LOG[2])
    y = sum_of(multiply(_LOG[0], square), y)
    return to_float32(sum_of(multiply(y, square), sum_of(base, r)))


def circle(x: jax.Array, want_sin: jax.Array) -> jax.Array:
    """Return ``sinf`` where it is wanted, else ``cosf``, of float32 in [0, 2 pi]."""
    wide = from_float32(jax.lax.bitcast_convert_type(x, jnp.uint32))
    # The quarter turn nearest to x, halves upwards; below pi / 4 it is the zeroth.
    turns = multiply(wide, _TWO_OVER_PI)
    places = (np.int32(62) - turns.exponent).astype(jnp.uint32)
    doubled = jnp.where(places < 64, turns.high >> (places - np.uint32(32)), 0)
    doubled = jnp.where(turns.exponent < -1, np.uint32(0), doubled)
    quarter = (doubled + np.uint32(1)) >> 1
    part = multiply(_from_int32(quarter.astype(jnp.int32)), _HALF_PI)
    y = sum_of(wide, negate(part))

    odd = want_sin ^ ((quarter & 1) == 1)  # whether the sine's polynomial is due
    square = multiply(y, y)
    even_base = sum_of(constant(1.0), multiply(square, _COS[0]))
    base = where(odd, y, even_base)
    power = multiply(square, where(odd, y, square))
    one, two, three = (where(odd, s, c) for s, c in zip(_SIN, _COS[1:], strict=True))
    high = multiply(multiply(power, square), sum_of(two, multiply(square, three)))
    value = sum_of(sum_of(base, multiply(power, one)), high)
    flip = jnp.where(want_sin, quarter, quarter + np.uint32(1)) >> 1 & np.uint32(1)
    return to_float32(value._replace(sign=value.sign ^ flip))


def from_float32(bits: jax.Array) -> Float64:
    """Return float32 numbers from their bits, exactly; subnormal ones as zero."""
    exponent = (bits >> 23 & np.uint32(0xFF)).astype(jnp.int32) - 127
    zero = exponent == -127
    high = jnp.where(zero, np.uint32(0), bits << 8 | np.uint32(1 << 31))
    exponent = jnp.where(zero, np.int32(-(1 << 20)), exponent)
    return Float64(bits >> 31, exponent, high, jnp.zeros_like(high))


def _from_int32(value: jax.Array) -> Float64:
    """Return small integers, exactly."""
    size = jnp.abs(value).astype(jnp.uint32)
    sign = (value < 0).astype(jnp.uint32)
    return from_integer((jnp.zeros_like(size), size), 0)._replace(sign=sign)
