"""Moments of expressions without data, against closed forms and measurement."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxinit.signal import autoinit
from tests.signal.shapes import KEY, SE, layer_norm, pool, shape, tracked, zeros


def ratio_of(x):
    return x / (1 + x**2)


def layer_norm_by_squares(x):
    mean = x.mean(-1, keepdims=True)
    variance = jnp.maximum((x * x).mean(-1, keepdims=True) - mean * mean, 0.0)
    return (x - mean) * lax.rsqrt(variance + 1e-6)


def batch_norm(x):
    return (x - x.mean((0, 1))) / jnp.sqrt(x.var((0, 1)) + 1e-6)


def one_of(*choices):
    return np.asarray(choices, np.float32)


CLOSED = {
    # function, shapes, mean, mean square
    "relu": (jax.nn.relu, [(4, 8)], 1 / math.sqrt(2 * math.pi), 0.5),
    "square": (jnp.square, [(4, 8)], 1, 3),
    "exp": (jnp.exp, [(4, 8)], math.exp(0.5), math.exp(2)),
    "sign": (jnp.sign, [(4, 8)], 0, 1),
    "cos": (jnp.cos, [(4, 8)], math.exp(-0.5), (1 + math.exp(-2)) / 2),
    "cubes": (lambda x: x**3, [(4, 8)], 0, 15),
    "sum of two": (lambda x, y: x + 2 * y, [(4, 8), (4, 8)], 0, 5),
    "product of two": (lambda x, y: x * y, [(4, 8), (4, 8)], 0, 1),
    "itself": (lambda x: x * x - x - x, [(4, 8)], 1, 3 + 4),
    "other entries": (lambda x: x[:, :4] * x[:, 4:], [(4, 8)], 0, 1),
    "first entry": (lambda x: x[:, 0] * x[:, 1], [(4, 8)], 0, 1),
    "same slice": (lambda x: x[:, :4] * x[:, :4], [(4, 8)], 1, 3),
    "pairs": (lambda x: x[:, None] - x[None], [(500, 2)], 0, 2),
    "transposed twice": (lambda x: x.T.T * x, [(4, 8)], 1, 3),
    "reshaped back": (lambda x: x.reshape(4, 2, 4).reshape(4, 8) * x, [(4, 8)], 1, 3),
    "reversed": (lambda x: x * x[:, ::-1], [(4, 8)], 0, 1),
    "maximum of two": (
        jnp.maximum,
        [(4,), (4,)],
        1 / math.sqrt(math.pi),
        1,
    ),
    "minimum of row": (lambda x: x.min(1), [(4, 2)], -1 / math.sqrt(math.pi), 1),
    "mean of four": (lambda x: x.mean(1), [(9, 4)], 0, 1 / 4),
    "centred": (lambda x: x - x.mean(1, keepdims=True), [(9, 64)], 0, 1 - 1 / 64),
    "sum of squares": (lambda x: (x * x).sum(-1), [(9, 8)], 8, 64 + 16),
    "long sum of squares": (lambda x: (x * x).sum(-1), [(9, 800)], 800, 800**2 + 1600),
    "einsum": (lambda x: jnp.einsum("bi,bi->b", x, x), [(9, 8)], 8, 64 + 16),
    "dot": (lambda x, y: jnp.einsum("bi,ci->bc", x, y), [(9, 8), (5, 8)], 0, 8),
    "average pool": (lambda x: pool(x, lax.add, 0.0) / 4, [(2, 8, 8, 3)], 0, 1 / 4),
    "layer norm": (layer_norm, [(9, 64)], 0, 1),
    "layer norm of a few": (layer_norm_by_squares, [(9, 4)], 0, 1),
    "long layer norm": (layer_norm_by_squares, [(9, 4096)], 0, 1),
    "batch norm": (lambda x: batch_norm(jax.nn.relu(x)), [(16, 64, 5)], 0, 1),
    "scan": (
        lambda x: lax.scan(lambda c, r: (c + r, None), 0 * x[0], x)[0],
        [(5, 3)],
        0,
        5,
    ),
    "concatenated": (
        lambda x: jnp.concatenate([x, 0 * x, 0 * x + 1], 1),
        [(3, 4)],
        1 / 3,
        2 / 3,
    ),
    "padded": (
        lambda x: jnp.pad(x, ((0, 0), (2, 2)), constant_values=3.0),
        [(3, 4)],
        1.5,
        5,
    ),
    "cumulated": (lambda x: jnp.cumsum(x, 1), [(3, 9)], 0, 5),
    "constant": (lambda x: x * one_of(1, 2, 3, 4), [(3, 4)], 0, 7.5),
    "constant sum": (lambda x: (x * one_of(1, 2, 3, 4)).sum(1), [(3, 4)], 0, 30),
    "fixed matrix": (lambda x: x @ one_of([1, 0], [2, 3]), [(5, 2)], 0, 7),
    "sorted": (lambda x: jnp.sort(x, 1), [(3, 4)], 0, 1),
    "branch": (lambda x: lax.cond(jnp.array(True), jnp.square, jnp.sin, x), [(5,)], 1, 3),
    "branches of calls": (jax.checkpoint(jax.jit(jax.nn.relu6)), [(5,)], None, None),
}


@pytest.mark.parametrize("name", [name for name in CLOSED if CLOSED[name][2] is not None])
def test_closed_forms(name):
    function, shapes, mean, square = CLOSED[name]
    distribution = tracked(function, *shapes)
    size = math.sqrt(square)
    # Rows that are drawn together leave 1 % of a mean square, all else 0.1 %.
    assert abs(distribution.mean() - mean) < 5e-3 * size
    assert abs(distribution.square() / square - 1) < 1e-2


def causal_softmax(x):
    length = x.shape[-1]
    mask = jnp.tril(jnp.ones((length, length), bool))
    return length * jax.nn.softmax(jnp.where(mask, x, -1e9))


def attention(x, y, z):
    return jax.nn.softmax(jnp.einsum("bqd,bkd->bqk", x, y) / 4) @ z


MEASURED = {
    # function, shapes, bound on the model's own error of the mean square
    "softmax": (lambda x: 64 * jax.nn.softmax(x), [(64, 64)], 0.01),
    "softmax of wide numbers": (lambda x: 64 * jax.nn.softmax(3 * x), [(64, 64)], 0.02),
    "softmax of many": (lambda x: 700 * jax.nn.softmax(x), [(64, 700)], 0.01),
    "log_softmax": (jax.nn.log_softmax, [(64, 32)], 0.01),
    "logsumexp": (lambda x: jax.nn.logsumexp(2 * x, -1), [(64, 32)], 0.01),
    "softmax after scale and bias": (
        lambda x: (
            jax.nn.softmax(layer_norm(x) * np.linspace(0.5, 1.5, 32, dtype=np.float32) + 1)
            * 32
        ),
        [(64, 32)],
        0.01,
    ),
    "causal": (causal_softmax, [(4, 64, 64)], 0.02),
    "attention": (attention, [(4, 32, 16)] * 3, 0.06),  # logits of a row share x
    "group norm": (
        lambda x: layer_norm(jax.nn.relu(x).reshape(64, 4, 16)).reshape(64, 64),
        [(64, 64)],
        0.001,
    ),
    "max pool": (
        lambda x: pool(jax.nn.relu(x), lax.max, -jnp.inf, 3, "SAME"),
        [(16, 8, 8, 4)],
        0.01,
    ),
    "average pool of relu": (
        lambda x: pool(jax.nn.relu(x), lax.add, 0.0, 3, "SAME"),
        [(16, 8, 8, 4)],
        0.01,
    ),
    "gated": (lambda x, y: x + jax.nn.silu(x) * y, [(64, 64)] * 2, 0.005),
    "rotated": (
        lambda x: (
            x[:, :8] * np.cos(np.arange(8, dtype=np.float32))
            - x[:, 8:] * np.sin(np.arange(8, dtype=np.float32))
        ),
        [(64, 16)],
        0.005,
    ),
    "normalised residual": (
        lambda x, y: layer_norm_by_squares(x + jnp.tanh(y)) ** 3,
        [(64, 64)] * 2,
        0.03,
    ),
    "where": (lambda x: jnp.where(x > 0.7, x, jnp.sin(x)), [(64, 64)], 0.002),
    "clipped": (lambda x: jnp.clip(x, -0.3, 1.2), [(64, 64)], 0.002),
    "extremes": (
        lambda x: (x - x.min(-1, keepdims=True)) / jnp.ptp(x, -1, keepdims=True),
        [(64, 32)],
        0.01,
    ),
    "recurrent": (
        lambda x: lax.scan(lambda c, r: (jnp.tanh(c + r), c), x[0], x)[1],
        [(12, 64)],
        0.02,
    ),
}


@pytest.mark.parametrize("name", MEASURED)
def test_moments_that_are_measured(name):
    function, shapes, model = MEASURED[name]
    distribution = tracked(function, *shapes)

    random = np.random.default_rng(7)
    batches = [random.standard_normal((25, *s)).astype(np.float32) for s in shapes]

    def one(arrays):
        out = function(*arrays)
        return jnp.stack([out.mean(), jnp.square(out).mean()])

    with jax.numpy_rank_promotion("allow"):
        found = np.asarray(lax.map(one, batches), np.float64)
    se = found.std(0, ddof=1) / 5
    mean, square = found.mean(0)
    assert abs(distribution.mean() - mean) < SE * se[0] + model * math.sqrt(square) / 2
    assert abs(distribution.square() - square) < SE * se[1] + model * square


def test_dropout_keeps_its_share():
    def drop(key, x):
        kept = jax.random.bernoulli(key, 0.75, x.shape)
        return jnp.where(kept, x / 0.75, 0.0)

    weights = {"w": zeros(400, 500)}
    key = jax.eval_shape(lambda: jax.random.key(0))
    new = autoinit(
        lambda p, k, x: drop(k, x) @ p["w"], weights, key, shape(9, 400), key=KEY
    )
    expected = 0.75 / 400
    assert abs(float(new["w"].var()) / expected - 1) < 5 * math.sqrt(2 / 200000)
