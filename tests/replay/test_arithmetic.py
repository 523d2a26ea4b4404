"""Emulated operations against exact ones, compiled and not."""

from fractions import Fraction

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit.replay import _cephes, _exact, _float64, _float64_math, _libm
from jaxinit.replay._chunks import map_rows


def floats(count, seed=0, spread=20):
    random = np.random.RandomState(seed)
    scale = np.exp2(random.randint(-spread, spread, count))
    return (random.randn(count) * scale).astype(np.float32)


def nearest(exact):
    """Return the float32 nearest to a Fraction, ties to even."""
    guess = np.float32(float(exact))
    options = [guess, np.nextafter(guess, np.float32(np.inf))]
    options.append(np.nextafter(guess, np.float32(-np.inf)))
    return min(
        options,
        key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(np.uint32)) & 1),
    )


def hard_cases():
    """Return factors and terms whose exact sum lies near the middle of two floats."""
    random = np.random.RandomState(5)
    a = (random.randint(2**23, 2**24, 400) * 2.0**-23).astype(np.float32)
    b = (random.randint(2**23, 2**24, 400) * 2.0**-23).astype(np.float32)
    exact = a.astype(np.float64) * b
    tie = np.ldexp(random.randint(2**23, 2**24, 400) + 0.5, -22)
    return a, b, (tie - exact).astype(np.float32)


@pytest.mark.parametrize("compiled", [True, False])
def test_fma_rounds_once(compiled):
    a, b, c = (floats(400, i) for i in range(3))
    c[:100] = (-a[:100].astype(np.float64) * b[:100]).astype(np.float32)
    a, b, c = (np.concatenate(x) for x in zip((a, b, c), hard_cases(), strict=True))
    known = [
        nearest(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)))
        for x, y, z in zip(a, b, c, strict=True)
    ]

    def fma(a, b, c):
        return _exact.fma(_exact.split(a), _exact.split(b), c)

    run = jax.jit(fma) if compiled else fma
    ours = run(jnp.asarray(a), jnp.asarray(b), jnp.asarray(c))
    np.testing.assert_array_equal(ours, np.array(known, np.float32))


def test_the_hard_cases_are_hard():
    # Rounding in double precision first, the cheap way, must fail on some of them.
    a, b, c = hard_cases()
    known = [
        nearest(Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z)))
        for x, y, z in zip(a, b, c, strict=True)
    ]
    assert np.any(a * b + c != np.array(known, np.float32))


def test_product_rounds_once():
    a, b = floats(10**5, 1), floats(10**5, 2)

    def product(a, b):
        return _exact.product(_exact.split(a), _exact.split(b))

    np.testing.assert_array_equal(jax.jit(product)(a, b), a * b)


def cephes_log(u):
    """Return PyTorch's logarithm with fused operations done in float64."""
    f = np.float32
    bits = u.view(np.int32)
    x = (bits & 0x7FFFFF | 0x3F000000).view(f)
    low = x < f(0.707106781186547524)
    e = ((bits >> 23) - 126 - low).astype(f)
    x = (x - f(1)) + np.where(low, x, f(0))
    y = np.full_like(x, _cephes._LOG[0])
    for c in _cephes._LOG[1:]:
        y = fused(y, x, c)
    y = fused(y * x, x * x, e * f(-2.12194440e-4)) - x * x * f(0.5)
    return fused(e, f(0.693359375), x + y)


def fused(a, b, c):
    return (np.float64(a) * np.float64(b) + np.float64(c)).astype(np.float32)


def test_cephes_log():
    u = (np.arange(1, 2**24, 37) * 2.0**-24).astype(np.float32)
    np.testing.assert_array_equal(jax.jit(_cephes.log)(u), cephes_log(u))
    np.testing.assert_allclose(cephes_log(u), np.log(u.astype(np.float64)), rtol=2e-7)


@pytest.mark.parametrize("want_sin", [True, False])
def test_cephes_circle_is_accurate(want_sin):
    x = (np.arange(0, 2**24, 41) * (2 * np.pi / 2**24)).astype(np.float32)
    ours = jax.jit(_cephes.circle)(x, np.full(x.shape, want_sin))
    known = (np.sin if want_sin else np.cos)(x.astype(np.float64))
    np.testing.assert_allclose(ours, known, rtol=0, atol=1.2e-7)


def doubles(count, seed):
    random = np.random.RandomState(seed)
    return random.randn(count) * np.exp2(random.randint(-30, 30, count))


def as_double(x):
    high, low = (np.asarray(v).astype(np.uint64) for v in _float64.to_bits(x))
    return (high << np.uint64(32) | low).view(np.float64)


A, B = doubles(10**5, 1), doubles(10**5, 2)
B[:1000] = A[:1000] * (1 + np.random.RandomState(3).randint(-3, 4, 1000) * 2.0**-52)
A[1000:1010] = 0
B[1500:2000] = -A[1500:2000]


@pytest.mark.parametrize(
    ("operation", "known"),
    [
        (_float64.multiply, A * B),
        (_float64.sum_of, A + B),
        (_float64.divide, A / B),
        (lambda a, _: _float64.square_root(a._replace(sign=a.sign * 0)), np.sqrt(abs(A))),
    ],
    ids=["multiply", "sum", "divide", "root"],
)
def test_software_doubles(operation, known):
    ours = jax.jit(operation)(_float64.from_floats(A), _float64.from_floats(B))
    np.testing.assert_array_equal(as_double(ours), known)


def test_software_doubles_become_floats():
    x = doubles(10**5, 4)
    x[:500] = 1 + (2 * np.arange(500) + 1) * 2.0**-24  # ties
    ours = jax.jit(_float64.to_float32)(_float64.from_floats(x))
    np.testing.assert_array_equal(ours, x.astype(np.float32))
    back = _float64.from_bits(_float64.to_bits(_float64.from_floats(x)))
    np.testing.assert_array_equal(as_double(back), x)


def test_logarithm_is_good_to_a_unit_in_the_last_place():
    x = np.random.RandomState(6).rand(10**5)
    x[:5000] = 1 - x[:5000] * np.exp2(-(np.arange(5000) % 50.0))
    x[5000:6000] = np.exp2(-np.arange(1000) * 0.1)
    x = x[x < 1]
    ours = as_double(jax.jit(_float64_math.minus_log)(_float64.from_floats(x)))
    known = -np.log(x)
    assert np.all(np.abs(ours - known) <= np.spacing(known))
    assert np.mean(ours != known) < 0.05


@pytest.mark.parametrize("want_sin", [True, False])
def test_circle_in_double_precision(want_sin):
    x = np.random.RandomState(7).rand(10**5) * 2 * np.pi
    flags = jnp.full(x.shape, want_sin)
    ours = as_double(jax.jit(_float64_math.circle)(_float64.from_floats(x), flags))
    known = (np.sin if want_sin else np.cos)(x)
    assert np.max(np.abs(ours - known)) <= 1.2e-16
    assert np.mean(ours != known) < 0.05


def glibc_log(x):
    """Return glibc's logf, its doubles done by the hardware."""
    bits = x.view(np.uint32)
    offset = bits - np.uint32(0x3F330000)
    index, power = offset >> 19 & 15, offset.view(np.int32) >> 23
    z = (bits - (offset & np.uint32(0xFF800000))).view(np.float32).astype(np.float64)
    r = z * as_double(_libm._RECIPROCALS)[index] - 1
    base = as_double(_libm._LOGARITHMS)[index] + power * float(np.log(2))
    a = [float(as_double(c)) for c in _libm._LOG]
    y = a[1] * r + a[2]
    return ((a[0] * r * r + y) * r * r + (base + r)).astype(np.float32)


def test_glibc_log():
    x = (np.arange(1, 2**23, 7) * 2.0**-23).astype(np.float32)
    np.testing.assert_array_equal(jax.jit(_libm.log)(x), glibc_log(x))
    np.testing.assert_allclose(glibc_log(x), np.log(x.astype(np.float64)), rtol=1e-7)


@pytest.mark.parametrize("want_sin", [True, False])
def test_glibc_circle_is_accurate(want_sin):
    x = (np.arange(0, 2**23, 23) * (2 * np.pi / 2**23)).astype(np.float32)
    ours = np.asarray(jax.jit(_libm.circle)(x, np.full(x.shape, want_sin)))
    known = (np.sin if want_sin else np.cos)(x.astype(np.float64))
    error = np.abs(ours - known) / np.spacing(np.abs(known).astype(np.float32))
    assert error.max() < 0.57  # the bound that the C library states is 0.56


@pytest.mark.parametrize("rows", [1, 3, (1 << 15) + 1, 100001])
def test_rows_in_chunks(rows):
    x = np.arange(2 * rows, dtype=np.float32).reshape(rows, 2)
    (double, single) = map_rows(lambda x: (2 * x, x[:, 0]), jnp.asarray(x))
    np.testing.assert_array_equal(double, 2 * x)
    np.testing.assert_array_equal(single, x[:, 0])
