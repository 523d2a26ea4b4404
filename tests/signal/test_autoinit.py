"""Fresh weights whose scale follows from the measured inputs of their layers."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit
from jaxinit.signal import autoinit

TAIL = 16.0
"""Each bound below is passed with probability 2 exp(-TAIL), 2.3e-7, at most."""

WIDTH, DEPTH = 256, 4
KEY = jax.random.key(7)
BATCH = jaxinit.normal(jax.random.key(9), (128, WIDTH), jnp.float32, mean=2.0, std=3.0)
ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh, "sigmoid": jax.nn.sigmoid}


def check_layer(rows, out, std=1.0):
    """Check one layer's output: mean 0 and mean square std^2 over the draws of weights.

    Given the rows (what each output sums), the mean square is a weighted sum of squared
    normal numbers with the weights ``a`` below; the bound is that of Laurent and Massart,
    "Adaptive estimation of a quadratic functional", Ann. Stat. 28 (2000), Lemma 1.
    """
    rows = np.asarray(rows, np.float64)
    out = np.asarray(out, np.float64).reshape(-1, out.shape[-1])
    units = out.shape[-1]
    second = rows.T @ rows / len(rows)
    variance = std**2 / np.trace(second)  # of a weight
    norm = np.linalg.norm(second)  # Frobenius, no less than the largest eigenvalue
    root, largest = variance * norm / math.sqrt(units), variance * norm / units
    reach = 2 * root * math.sqrt(TAIL) + 2 * largest * TAIL
    assert abs((out**2).mean() - std**2) < reach, "mean square"
    se = math.sqrt(variance * (rows.mean(0) ** 2).sum() / units)
    assert abs(out.mean()) < se * math.sqrt(2 * TAIL), "mean"


def mlp(activation):
    def apply(params, x):
        seen = []
        for i in range(len(params)):
            layer = params[f"layer{i}"]
            seen.append((x, x @ layer["w"]))
            x = activation(seen[-1][1] + layer["b"][None])
        return x, seen

    return apply


@pytest.fixture(scope="module")
def params():
    layer = {"w": jnp.full((WIDTH, WIDTH), 9.0), "b": jnp.ones(WIDTH)}
    tree = {f"layer{i}": layer for i in range(DEPTH)}
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float32), tree)


@pytest.mark.parametrize(("name", "std"), [("relu", 1), ("tanh", 0.5), ("sigmoid", 1)])
def test_every_layer_has_the_asked_variance(params, name, std):
    apply = mlp(ACTIVATIONS[name])
    new = autoinit(lambda p, x: apply(p, x)[0], params, BATCH, key=KEY, std=std)
    for layer in new.values():
        np.testing.assert_array_equal(layer["b"], 0)
    for x, out in apply(new, BATCH)[1]:
        check_layer(x, out, std)


@pytest.mark.parametrize("name", ["relu", "sigmoid"])
def test_the_check_rejects_a_variance_that_leaves_out_the_mean(name):
    x = ACTIVATIONS[name]((BATCH - 2) / 3)
    wide = jnp.zeros((WIDTH, 4096), jnp.float32)
    out = x @ autoinit(lambda w, x: x @ w, wide, x, key=KEY)
    check_layer(x, out)
    wrong = jnp.sqrt(jnp.mean(x**2) / jnp.var(x))
    with pytest.raises(AssertionError, match="mean square"):
        check_layer(x, wrong * out)
    with pytest.raises(AssertionError, match=r"^mean\n"):
        check_layer(x, out - out.mean() + 0.1)


@pytest.mark.parametrize("distribution", ["normal", "uniform", "truncated_normal"])
def test_weights_follow_formula_and_distribution(params, distribution):
    tree = {"layer": params["layer0"]}

    def apply(p, x):
        return x @ p["layer"]["w"] + p["layer"]["b"][None]

    w = np.asarray(
        autoinit(apply, tree, BATCH, key=KEY, distribution=distribution)["layer"]["w"],
        np.float64,
    )
    x = np.asarray(BATCH, np.float64)
    variance = 1 / (WIDTH * (x.mean() ** 2 + x.var()))
    se = math.sqrt(2 / w.size)  # no distribution of these has heavier tails than the normal
    assert abs(w.var() / variance - 1) < 5 * se  # false alarm below 6e-7
    top = np.abs(w).max() / math.sqrt(variance)
    limits = {
        "normal": (3.5, 7),
        "uniform": (1.73, 1.7321),
        "truncated_normal": (2.2, 2.28),
    }
    assert limits[distribution][0] < top < limits[distribution][1]
    again = autoinit(apply, tree, BATCH, key=jax.random.key(8), distribution=distribution)[
        "layer"
    ]["w"]
    assert abs(np.corrcoef(w.ravel(), np.ravel(again))[0, 1]) < 5 / math.sqrt(w.size)


def windows(x, size, pad):
    x = np.pad(np.asarray(x, np.float64), ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    seen = np.lib.stride_tricks.sliding_window_view(x, (size, size), axis=(1, 2))
    return seen.reshape(-1, x.shape[-1] * size * size)


def test_convolutions_with_padding():
    shapes = [(3, 3, 4, 64), (3, 3, 64, 64)]
    tree = {f"conv{i}": jnp.zeros(s, jnp.float32) for i, s in enumerate(shapes)}
    tree["dense"] = jnp.zeros((64, 80), jnp.float32)
    x = jaxinit.normal(jax.random.key(2), (8, 6, 6, 4), jnp.float32, mean=1.0)

    def apply(p, x):
        seen = []
        for i in range(len(shapes)):
            numbers = ("NHWC", "HWIO", "NHWC")
            out = jax.lax.conv_general_dilated(
                x, p[f"conv{i}"], (1, 1), "SAME", dimension_numbers=numbers
            )
            seen.append((x, out))
            x = jax.nn.relu(out)
        x = x.mean((1, 2))
        return x @ p["dense"], [*seen, (x, x @ p["dense"])]

    new = autoinit(lambda p, x: apply(p, x)[0], tree, x, key=KEY)
    *convolved, dense = apply(new, x)[1]
    for inputs, out in convolved:
        check_layer(windows(inputs, 3, 1), out)
    check_layer(*dense)


def test_grouped_transposed_and_strided_convolution_sum_what_they_meet():
    x = jaxinit.normal(jax.random.key(2), (64, 9, 6), jnp.float32, mean=1.0)
    tree = {"w": jnp.zeros((96, 2, 3), jnp.float32)}

    def apply(p, x):
        return jax.lax.conv_general_dilated(
            x,
            p["w"],
            (2,),
            [(1, 1)],
            lhs_dilation=(2,),
            dimension_numbers=("NWC", "OIW", "NWC"),
            feature_group_count=3,
        )

    many = jax.vmap(lambda k: autoinit(apply, tree, x, key=k))(jax.random.split(KEY, 32))
    found = [float((apply({"w": w}, x) ** 2).mean()) for w in many["w"]]
    se = np.std(found, ddof=1) / math.sqrt(len(found))
    assert se < 0.02
    assert abs(np.mean(found) - 1) < 6.5 * se  # Student, 31 degrees: below 1e-6


def test_jit_vmap_and_wrappers_agree_with_eager(params):
    apply = mlp(jax.nn.sigmoid)
    params = {name: params[name] for name in ("layer0", "layer1")}

    def forward(p, x):
        return apply(p, x)[0]

    want = autoinit(forward, params, BATCH, key=KEY)
    wrapped = jax.jit(jax.checkpoint(forward))
    got = jax.jit(lambda p, x, k: autoinit(wrapped, p, x, key=k))(params, BATCH, KEY)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4), want, got)
    keys = jnp.stack([KEY, jax.random.key(8)])
    both = jax.vmap(lambda k: autoinit(forward, params, BATCH, key=k))(keys)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b[0], rtol=1e-3), want, both)


def test_what_stays_and_what_a_dead_input_gets():
    def apply(p, x):
        x = x - x.mean(-1, keepdims=True)
        x = x / jnp.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * p["scale"][None]
        heads = jnp.einsum("bi,ihd->bhd", x, p["w"]) + p["bias"][None]
        return heads, jnp.zeros((4, 9), x.dtype) @ p["dead"]

    tree = {
        "scale": jnp.full(64, 1.5, jnp.float32),
        "w": jnp.zeros((64, 8, 16), jnp.float32),
        "bias": jnp.ones((8, 16), jnp.float32),
        "dead": jnp.zeros((9, 4000), jnp.float32),
    }
    x = BATCH[:, :64]
    new = autoinit(apply, tree, x, key=KEY)
    np.testing.assert_array_equal(new["scale"], tree["scale"])
    np.testing.assert_array_equal(new["bias"], 0)
    assert abs(float(new["w"].var()) * 64 * 1.5**2 - 1) < 5 * math.sqrt(2 / 8192)
    assert abs(float(new["dead"].var()) * 9 - 1) < 5 * math.sqrt(2 / 36000)


def test_half_precision_does_not_overflow():
    x = jaxinit.normal(jax.random.key(0), (64, 512), jnp.float16, std=3000.0)
    w = jnp.zeros((512, 256), jnp.float16)
    new = autoinit(lambda p, x: x @ p, w, x, key=KEY)
    assert new.dtype == jnp.float16
    out = (x.astype(jnp.float32) @ new.astype(jnp.float32)).std()
    assert abs(float(out) - 1) < 0.05


@pytest.mark.parametrize("size", [1e-25, 1e25])
def test_squares_beyond_the_dtype(size):
    x = size * BATCH
    wide = jnp.zeros((WIDTH, 512), jnp.float32)
    check_layer(x / size, x @ autoinit(lambda w, x: x @ w, wide, x, key=KEY))


def reject(error, text, *args, **options):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        autoinit(*args, **options)


def test_error_texts():
    tree = {"table": jnp.ones((5, 4), jnp.float32), "w": jnp.ones((4, 4), jnp.float32)}
    ids = jnp.array([0, 1, 4])

    def embed(p, ids):
        return p["table"][ids] @ p["w"]

    reject(
        ValueError,
        "autoinit: every weight must meet its input in a matrix product or a convolution; "
        "got leaves that do not: ['table']. Leave such leaves as they are with "
        "strict=False.",
        embed,
        tree,
        ids,
        key=KEY,
    )
    kept = autoinit(embed, tree, ids, key=KEY, strict=False)
    np.testing.assert_array_equal(kept["table"], tree["table"])
    assert not np.array_equal(kept["w"], tree["w"])
    reject(
        ValueError,
        "autoinit: distribution must be one of uniform, normal, truncated_normal; "
        "got distribution='norml'. Did you mean 'normal'?",
        embed,
        tree,
        ids,
        key=KEY,
        distribution="norml",
    )
    reject(
        ValueError,
        "autoinit: std must be a finite number, at least 0; got std=-1. "
        "Give a value in that range.",
        embed,
        tree,
        ids,
        key=KEY,
        std=-1.0,
    )
    reject(
        TypeError,
        "autoinit: key must be one JAX random key; got key=0. "
        "Make one with jax.random.key(0).",
        embed,
        tree,
        ids,
        key=0,
    )


def test_flax():
    from flax import linen as nn

    class Net(nn.Module):
        @nn.compact
        def __call__(self, x):
            for _ in range(2):
                x = nn.sigmoid(nn.Dense(256)(nn.LayerNorm()(x)))
            return x

    net = Net()
    variables = net.init(jax.random.key(0), BATCH)
    new = autoinit(net.apply, variables, BATCH, key=KEY)
    _, state = net.apply(new, BATCH, capture_intermediates=True)
    for i in range(2):
        (x,) = state["intermediates"][f"LayerNorm_{i}"]["__call__"]
        (out,) = state["intermediates"][f"Dense_{i}"]["__call__"]
        check_layer(x, out)
        np.testing.assert_array_equal(new["params"][f"LayerNorm_{i}"]["scale"], 1)
