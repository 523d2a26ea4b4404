"""Weights drawn without data: moments that are followed through the computation."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxinit.signal import autoinit
from tests.signal.shapes import (
    KEY,
    KEYS,
    SE,
    layer_norm,
    pool,
    reject,
    shape,
    tracked,
    zeros,
)

WIDTH, DEPTH = 384, 3
BATCH = jax.random.normal(jax.random.key(9), (192, WIDTH), jnp.float32)
ACTIVATIONS = [jax.nn.relu, jnp.tanh, jax.nn.gelu, jax.nn.sigmoid, jax.nn.silu]


def mlp(activation):
    def apply(params, x):
        seen = []
        for i in range(DEPTH):
            seen.append(x @ params[f"w{i}"] + params[f"b{i}"][None])
            x = activation(seen[-1])
        return seen

    return apply


MLP = {f"w{i}": zeros(WIDTH, WIDTH) for i in range(DEPTH)} | {
    f"b{i}": jnp.ones(WIDTH, jnp.float32) for i in range(DEPTH)
}


def check_kept(squares, std=1.0, tolerance=0.0):
    """Check mean squares, one for each draw of the weights, against the one asked for."""
    squares = np.asarray(squares, np.float64)
    se = squares.std(ddof=1) / math.sqrt(squares.size)
    assert se < 0.05 * squares.mean()
    assert abs(squares.mean() - std**2) < SE * se + tolerance * std**2, "mean square"


@pytest.mark.parametrize(
    ("activation", "std"), list(zip(ACTIVATIONS, [1.0, 0.5, 1.0, 2.0, 1.0], strict=True))
)
def test_every_layer_has_the_asked_variance(activation, std):
    apply = mlp(activation)

    @jax.jit
    @jax.vmap
    def squares(key):
        new = autoinit(apply, MLP, shape(256, WIDTH), key=key, std=std)
        return jnp.stack([jnp.square(out).mean() for out in apply(new, BATCH)])

    for layer in squares(KEYS).T:
        check_kept(layer, std)


@pytest.mark.parametrize("activation", [jax.nn.relu, jax.nn.sigmoid])
def test_the_check_rejects_a_variance_that_leaves_out_the_mean(activation):
    distribution = tracked(activation, (4,))
    outputs = jnp.stack([
        activation(BATCH)
        @ autoinit(
            lambda w, x: activation(x) @ w, zeros(WIDTH, 128), shape(9, WIDTH), key=k
        )
        for k in KEYS
    ])
    check_kept(jnp.square(outputs).mean((1, 2)))
    wrong = distribution.square() / distribution.variance()
    with pytest.raises(AssertionError, match="mean square"):
        check_kept(wrong * jnp.square(outputs).mean((1, 2)))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_scales_agree_with_those_of_a_large_batch(activation):
    def apply(p, x):
        return mlp(activation)(p, x)[-1]

    x = jax.random.normal(jax.random.key(3), (1024, WIDTH), jnp.float32)
    without = autoinit(apply, MLP, shape(1024, WIDTH), key=KEY)
    measured = autoinit(apply, MLP, x, key=KEY)
    for i in range(DEPTH):
        ratio = without[f"w{i}"] / measured[f"w{i}"]
        # One key, one direction; the mean square of a finite layer has error sqrt(2 i / n).
        assert float(jnp.ptp(ratio)) < 1e-4
        bound = 5 * math.sqrt(2 * (i + 1e-3) / WIDTH) / 2 + 5 / math.sqrt(2 * x.size)
        assert abs(float(ratio.mean()) - 1) < bound
        np.testing.assert_array_equal(without[f"b{i}"], 0)


@pytest.mark.parametrize("distribution", ["normal", "uniform", "truncated_normal"])
def test_weights_follow_formula_and_distribution(distribution):
    new = autoinit(
        lambda w, x: jax.nn.relu(x) @ w,
        zeros(400, 500),
        shape(2, 400),
        key=KEY,
        distribution=distribution,
    )
    w = np.asarray(new, np.float64)
    assert abs(w.var() * 400 * 0.5 - 1) < 5 * math.sqrt(2 / w.size)
    top = np.abs(w).max() * math.sqrt(200)
    limits = {
        "normal": (3.5, 7),
        "uniform": (1.73, 1.7321),
        "truncated_normal": (2.2, 2.28),
    }
    assert limits[distribution][0] < top < limits[distribution][1]


def test_convolutions_with_padding_strides_groups_and_pools():
    tree = {
        "a": zeros(3, 3, 4, 64),
        "b": zeros(3, 3, 16, 64),
        "c": zeros(64, 80),
    }
    numbers = ("NHWC", "HWIO", "NHWC")

    def apply(p, x):
        a = lax.conv_general_dilated(x, p["a"], (1, 1), "SAME", dimension_numbers=numbers)
        b = lax.conv_general_dilated(
            pool(jnp.tanh(a), lax.max, -jnp.inf),
            p["b"],
            (2, 2),
            [(2, 1), (0, 3)],
            lhs_dilation=(2, 1),
            rhs_dilation=(1, 2),
            dimension_numbers=numbers,
            feature_group_count=4,
        )
        return a, b, jnp.tanh(b)[:, 0, 0] @ p["c"]

    def squares(key):
        new = autoinit(lambda p, x: apply(p, x)[-1], tree, shape(1, 8, 8, 4), key=key)
        x = jax.random.normal(jax.random.key(1), (32, 8, 8, 4), jnp.float32)
        out = [jnp.square(out).mean() for out in apply(new, x)]
        return jnp.stack(out)

    a, b, _ = jax.jit(jax.vmap(squares))(KEYS).T
    check_kept(a)
    check_kept(b, tolerance=0.04)  # neighbours in a pooled window share their inputs


def test_transformer_block():
    dim, heads = 64, 4
    tree = {name: zeros(dim, dim) for name in "qkvo"}
    tree |= {"up": zeros(dim, 2 * dim), "down": zeros(dim, dim)}
    tree["scale"] = jnp.full(dim, 1.5, jnp.float32)

    def block(p, x):
        seen = {}
        y = layer_norm(x) * p["scale"]
        q, k, v = ((y @ p[n]).reshape(*x.shape[:2], heads, -1) for n in "qkv")
        mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(x.shape)
        seen["o"] = mixed @ p["o"]
        x = x + seen["o"]
        gate, up = jnp.split(layer_norm(x) @ p["up"], 2, -1)
        seen["up"] = up
        seen["down"] = (jax.nn.silu(gate) * up) @ p["down"]
        return x + seen["down"], seen

    x = jax.random.normal(jax.random.key(1), (8, 32, dim), jnp.float32)

    @jax.jit
    @jax.vmap
    def squares(key):
        new = autoinit(lambda p, x: block(p, x)[0], tree, shape(1, 32, dim), key=key)
        return {k: jnp.square(v).mean() for k, v in block(new, x)[1].items()}

    with jax.numpy_rank_promotion("allow"):
        found = squares(KEYS)
    check_kept(found["up"], tolerance=0.002)
    check_kept(found["down"], tolerance=0.01)
    # Keys and values come of one input, which is taken for two: outputs are larger.
    check_kept(found["o"], tolerance=0.25)


def test_tables_chosen_rows_and_equal_rows():
    tree = {"table": jnp.full((50, 40), 2.0, jnp.float32), "w": zeros(40, 500)}

    def embed(p, ids):
        return p["table"][ids] @ p["w"]

    ids = shape(3, 5, dtype=jnp.int32)
    new = autoinit(embed, tree, ids, key=KEY, strict=False)
    np.testing.assert_array_equal(new["table"], tree["table"])
    assert abs(float(new["w"].var()) * 40 * 4 - 1) < 5 * math.sqrt(2 / 20000)

    def hot(p, ids):
        return jax.nn.one_hot(ids, 50, dtype=jnp.float32) @ p

    new = autoinit(hot, zeros(50, 400), ids, key=KEY)
    assert abs(float(new.var()) - 1) < 5 * math.sqrt(2 / 20000)


def test_jit_and_vmap_over_keys_agree_with_eager():
    def apply(p, x):
        return mlp(jax.nn.sigmoid)(p, x)[-1]

    def draw(k):
        return autoinit(jax.jit(jax.checkpoint(apply)), MLP, shape(1, WIDTH), key=k)

    want = autoinit(apply, MLP, shape(1, WIDTH), key=KEY)
    jax.tree.map(np.testing.assert_array_equal, want, jax.jit(draw)(KEY))
    both = jax.vmap(draw)(jnp.stack([KEY, KEYS[0]]))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[0]), want, both)


def test_parameters_as_shapes():
    tree = {
        "w": shape(40, 50),
        "scale": shape(50),
        "bias": shape(50),
        "v": shape(50, 60),
    }

    def apply(p, x):
        y = layer_norm(x @ p["w"]) * p["scale"] + p["bias"]
        return y @ p["v"]

    with jax.numpy_rank_promotion("allow"):
        new = autoinit(apply, tree, shape(4, 40), key=KEY)
        arrays = {k: jnp.zeros(v.shape, v.dtype) for k, v in tree.items()}
        arrays["scale"] = jnp.ones(50, jnp.float32)
        same = autoinit(apply, arrays, shape(4, 40), key=KEY)
    jax.tree.map(np.testing.assert_array_equal, new, same)
    np.testing.assert_array_equal(new["scale"], 1)
    np.testing.assert_array_equal(new["bias"], 0)
    reject(
        ValueError,
        "autoinit: leaves that are not drawn must have values; got only shapes of table. "
        "Give arrays for these.",
        lambda p, i: p["table"][i] @ p["w"],
        {"table": shape(5, 4), "w": shape(4, 4)},
        shape(3, dtype=jnp.int32),
        key=KEY,
        strict=False,
    )


def test_flax_linen():
    from flax import linen as nn

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            x = nn.relu(nn.GroupNorm(4)(nn.Conv(32, (3, 3))(x)))
            x = nn.max_pool(x, (2, 2), (2, 2)).reshape(x.shape[0], -1)
            x = nn.Dropout(0.5, deterministic=False)(x)
            return nn.Dense(64)(nn.LayerNorm()(x))

    net = Net()
    rngs = {"params": KEY, "dropout": KEY}
    image = shape(2, 8, 8, 3)
    variables = jax.eval_shape(net.init, rngs, image)

    def apply(v, x):
        return net.apply(v, x, rngs={"dropout": KEY})

    new = autoinit(apply, variables, image, key=KEY)["params"]
    kernel = new["Dense_0"]["kernel"]
    assert abs(float(kernel.var()) * kernel.shape[0] - 1) < 5 * math.sqrt(2 / kernel.size)
    inside = (22 / 8) ** 2  # of 3 by 3 taps, on average over 8 by 8 places
    kernel = new["Conv_0"]["kernel"]
    assert abs(float(kernel.var()) * 3 * inside - 1) < 5 * math.sqrt(2 / kernel.size)
    np.testing.assert_array_equal(new["LayerNorm_0"]["scale"], 1)


def test_flax_nnx():
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs):
            self.norm = nnx.LayerNorm(300, rngs=rngs)
            self.first = nnx.Linear(300, 400, rngs=rngs)
            self.second = nnx.Linear(400, 500, rngs=rngs)

        def __call__(self, x):
            return self.second(nnx.sigmoid(self.first(self.norm(x))))

    graph, state = nnx.split(Net(nnx.Rngs(0)))

    def apply(state, x):
        return nnx.merge(graph, state)(x)

    new = autoinit(apply, state, shape(2, 300), key=KEY)
    net = nnx.merge(graph, new)
    square = tracked(jax.nn.sigmoid, (3,)).square()
    kernel = net.second.kernel[...]
    assert abs(float(kernel.var()) * 400 * square - 1) < 5 * math.sqrt(2 / kernel.size)
