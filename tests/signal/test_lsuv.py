"""Weights scaled on data: every layer's output has the asked variance."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit
from jaxinit.signal import lsuv


def mlp(params, x):
    outs = []
    for w, b in params:
        outs.append(x @ w)
        x = jax.nn.gelu(outs[-1] + b[None])
    return x, outs


@pytest.fixture
def params():
    keys = jax.random.split(jax.random.key(0), 6)
    return [
        (jaxinit.orthogonal(k, (16, 16), jnp.float32), jnp.full(16, 0.3, jnp.float32))
        for k in keys
    ]


BATCH = 5 * jaxinit.normal(jax.random.key(9), (128, 16), jnp.float32)


def forward(params, x):
    return mlp(params, x)[0]


def test_every_layer_has_unit_variance(params):
    before = [float(out.std()) for out in mlp(params, BATCH)[1]]
    assert before[0] > 4
    scaled = lsuv(forward, params, BATCH)
    after = [float(out.std()) for out in mlp(scaled, BATCH)[1]]
    np.testing.assert_allclose(after, 1, atol=1e-4)
    for (w, b), (v, c) in zip(params, scaled, strict=True):
        np.testing.assert_array_equal(b, c)
        ratio = np.asarray(v / w)
        np.testing.assert_allclose(ratio, ratio[0, 0], rtol=1e-4)


def test_jit_wrappers_and_vmap(params):
    wrapped = jax.jit(jax.checkpoint(forward))
    want = lsuv(forward, params, BATCH, std=0.5)
    got = jax.jit(lambda p: lsuv(wrapped, p, BATCH, std=0.5))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), want, got)
    many = jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), params)
    both = jax.vmap(lambda p: lsuv(forward, p, BATCH, std=0.5))(many)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[0], rtol=1e-3), want, both)


def test_convolution_transposed_and_tied_weights():
    keys = jax.random.split(jax.random.key(1), 2)
    tree = {
        "conv": jaxinit.kaiming_normal(keys[0], (3, 3, 2, 4), jnp.float32),
        "tied": 7 * jaxinit.lecun_normal(keys[1], (4, 4), jnp.float32),
    }
    x = jaxinit.normal(jax.random.key(2), (8, 6, 6, 2), jnp.float32)

    def outs(p, x):
        numbers = ("NHWC", "HWIO", "NHWC")
        h = jax.lax.conv_general_dilated(
            x, p["conv"], (1, 1), "SAME", dimension_numbers=numbers
        )
        first = jnp.tanh(h) @ p["tied"].T
        return h, first, first @ p["tied"]

    scaled = lsuv(outs, tree, x)
    h, first, second = outs(scaled, x)
    np.testing.assert_allclose([float(h.std()), float(first.std())], 1, atol=1e-4)
    assert 0.2 < float(second.std()) < 5  # its weight was scaled at its first use


def test_half_precision_and_integers():
    w = jnp.ones((4, 4), jnp.bfloat16) * jnp.arange(4, dtype=jnp.bfloat16)[:, None]
    x = jaxinit.normal(jax.random.key(0), (64, 4), jnp.bfloat16)
    scaled = lsuv(lambda p, x, _n: x @ p, w, x, jnp.int32(3))
    assert scaled.dtype == jnp.bfloat16
    assert abs(float((x @ scaled).astype(jnp.float32).std()) - 1) < 0.02


def test_leaves_that_meet_no_product():
    tree = {"table": jnp.ones((5, 4)), "w": jnp.ones((4, 4))}
    ids = jnp.array([0, 1, 4])

    def embed(p, ids):
        return p["table"][ids] @ p["w"]

    text = (
        "^lsuv: every weight must meet its input in a matrix product or a convolution; "
        r"got leaves that do not: \['table'\]. Leave such leaves as they are with "
        "strict=False.$"
    )
    with pytest.raises(ValueError, match=text):
        lsuv(embed, tree, ids)
    kept = lsuv(embed, tree, ids, strict=False)
    np.testing.assert_array_equal(kept["table"], tree["table"])


def test_flax():
    from flax import linen as nn

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            for _ in range(3):
                x = nn.relu(nn.Dense(32)(x))
            return x

    net: Any = Net()
    variables = net.init(jax.random.key(0), BATCH)
    scaled = lsuv(net.apply, variables, BATCH)
    _, state = net.apply(scaled, BATCH, capture_intermediates=True)
    for name in ("Dense_0", "Dense_1", "Dense_2"):
        (out,) = state["intermediates"][name]["__call__"]
        assert abs(float(out.std()) - 1) < 1e-3
