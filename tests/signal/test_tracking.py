"""Weights drawn without data: moments that are followed through the computation."""

import math
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxinit._gaussian import host_float64
from jaxinit.signal import autoinit
from jaxinit.signal.tracking.values import Unknown, as_spread, input_value
from jaxinit.signal.tracking.walk import _Track

KEY = jax.random.key(7)
KEYS = jax.random.split(KEY, 12)
SE = 6.5
"""Standard errors allowed: false alarm below 1e-4 for Student's t of 11 degrees."""


def shape(*lengths, dtype=jnp.float32):
    return jax.ShapeDtypeStruct(lengths, dtype)


def zeros(*lengths):
    return jnp.zeros(lengths, jnp.float32)


def tracked(function, *shapes):
    """Return the distribution of the function's entries, of standard normal inputs."""
    closed = jax.make_jaxpr(function)(*(shape(*s) for s in shapes))
    walk = _Track([], 1.0)
    with host_float64():
        values = [input_value(variable.aval) for variable in closed.jaxpr.invars]
        marks: list[int | None] = [None] * len(values)
        ((found, _),) = walk.evaluate(closed.jaxpr, list(closed.consts), values, marks)
        aval = closed.jaxpr.outvars[0].aval
        found = walk.wrapped(found, aval)
    assert not isinstance(found, Unknown), found.why
    return as_spread(found)


def ratio_of(x):
    return x / (1 + x**2)


def layer_norm(x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt(x.var(-1, keepdims=True) + 1e-6)


def layer_norm_by_squares(x):
    mean = x.mean(-1, keepdims=True)
    variance = jnp.maximum((x * x).mean(-1, keepdims=True) - mean * mean, 0.0)
    return (x - mean) * lax.rsqrt(variance + 1e-6)


def batch_norm(x):
    return (x - x.mean((0, 1))) / jnp.sqrt(x.var((0, 1)) + 1e-6)


def pool(x, kind, initial, window=2, padding="VALID"):
    windows = (1, window, window, 1)
    return lax.reduce_window(x, initial, kind, windows, (1, 2, 2, 1), padding)


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
    law = tracked(function, *shapes)
    size = math.sqrt(square)
    # Rows that are drawn together leave 1 % of a mean square, all else 0.1 %.
    assert abs(law.mean() - mean) < 5e-3 * size
    assert abs(law.square() / square - 1) < 1e-2


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
    law = tracked(function, *shapes)

    random = np.random.default_rng(7)
    batches = [random.standard_normal((25, *s)).astype(np.float32) for s in shapes]

    def one(arrays):
        out = function(*arrays)
        return jnp.stack([out.mean(), jnp.square(out).mean()])

    with jax.numpy_rank_promotion("allow"):
        found = np.asarray(lax.map(one, batches), np.float64)
    se = found.std(0, ddof=1) / 5
    mean, square = found.mean(0)
    assert abs(law.mean() - mean) < SE * se[0] + model * math.sqrt(square) / 2
    assert abs(law.square() - square) < SE * se[1] + model * square


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
    law = tracked(activation, (4,))
    outputs = jnp.stack([
        activation(BATCH)
        @ autoinit(
            lambda w, x: activation(x) @ w, zeros(WIDTH, 128), shape(9, WIDTH), key=k
        )
        for k in KEYS
    ])
    check_kept(jnp.square(outputs).mean((1, 2)))
    wrong = law.square() / law.variance()
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


@pytest.mark.parametrize("law", ["normal", "uniform", "truncated_normal"])
def test_weights_follow_formula_and_law(law):
    new = autoinit(
        lambda w, x: jax.nn.relu(x) @ w, zeros(400, 500), shape(2, 400), key=KEY, law=law
    )
    w = np.asarray(new, np.float64)
    assert abs(w.var() * 400 * 0.5 - 1) < 5 * math.sqrt(2 / w.size)
    top = np.abs(w).max() * math.sqrt(200)
    limits = {
        "normal": (3.5, 7),
        "uniform": (1.73, 1.7321),
        "truncated_normal": (2.2, 2.28),
    }
    assert limits[law][0] < top < limits[law][1]


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


def reject(error, text, *args, **options):
    with pytest.raises(error, match=f"^{re.escape(text)}$"):
        autoinit(*args, **options)


def test_error_texts():
    tree = {"w": zeros(4, 4), "s": jnp.ones(4, jnp.float32)}

    def apply(p, x, y):
        return (x * p["s"][None] + y) @ p["w"]

    reject(
        TypeError,
        "autoinit: inputs must be all arrays or all jax.ShapeDtypeStruct; got 1 of 2 leaves "
        "as jax.ShapeDtypeStruct. Let apply_fn hold what is fixed, such as masks and flags.",
        apply,
        tree,
        shape(2, 4),
        zeros(2, 4),
        key=KEY,
    )
    text = (
        "autoinit: without data, std and leaves that are not drawn must be known now; got "
        "traced values of {}. Let the traced function hold them instead of taking them."
    )
    text = text.format("s, std")

    def draw(p, key, std):
        return autoinit(apply, p, shape(2, 4), shape(2, 4), key=key, std=std)

    with pytest.raises(TypeError) as caught:
        jax.jit(draw)(tree, KEY, 1.0)
    assert str(caught.value).splitlines()[0] == text  # JAX adds lines of its own
    text = (
        "autoinit: without data, constants of the forward pass must be known now; got a "
        "traced one of shape (4, 4). Call autoinit outside of the transformation that "
        "traces it."
    )

    def hold(c, key):
        return autoinit(lambda w, x: (x * c) @ w, zeros(4, 4), shape(4, 4), key=key)

    with pytest.raises(TypeError) as caught:
        jax.jit(hold)(jnp.ones((4, 4), jnp.float32), KEY)
    assert str(caught.value).splitlines()[0] == text


BEHIND = (
    "autoinit: without data, every weight's input needs a mean and variance that follow; "
    "got w behind {}. Give a batch of data instead of jax.ShapeDtypeStruct."
)
UNKNOWN = {
    "the operation top_k": (lambda x: lax.top_k(x, 2)[0], shape(3, 4)),
    "the operation cumprod": (lambda x: lax.cumprod(x, 1), shape(3, 4)),
    "a complex array": (lambda x: jnp.abs(jnp.fft.fft(x)), shape(3, 4)),
    "the operation while": (
        lambda x: lax.while_loop(lambda c: c.sum() < 9, lambda c: c + 1, x),
        shape(3, 4),
    ),
    "the operation cond": (
        lambda x: lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x),
        shape(3, 4),
    ),
    "the operation log, which gives NaN": (jnp.log, shape(3, 4)),
    "the operation reduce_sum, which a few large terms dominate": (
        lambda x: jax.nn.softmax(4 * x),
        shape(3, 2000),
    ),
    "a scan of 600 steps": (
        lambda x: lax.scan(lambda c, _: (jnp.sin(c), None), x, None, 600)[0],
        shape(3, 4),
    ),
    "an input of dtype int32": (
        lambda x: x.astype(jnp.float32),
        shape(3, 4, dtype=jnp.int32),
    ),
    "an input of dtype bool": (lambda x: jnp.where(x, 1.0, 0.0), shape(3, 4, dtype=bool)),
}


@pytest.mark.parametrize("why", UNKNOWN)
def test_what_is_unknown_is_refused_with_the_weight_behind_it(why):
    function, given = UNKNOWN[why]
    width = jax.eval_shape(function, given).shape[-1]

    def apply(p, x):
        return function(x) @ p["w"]

    reject(ValueError, BEHIND.format(why), apply, {"w": zeros(width, 3)}, given, key=KEY)


def test_what_is_unknown_behind_the_last_weight_does_no_harm():
    def apply(w, x):
        return lax.top_k(x @ w, 2), jnp.argmax(x @ w)

    assert jnp.isfinite(autoinit(apply, zeros(4, 4), shape(2, 4), key=KEY)).all()


def test_a_dead_input_and_a_weight_used_twice():
    def apply(p, x):
        y = jnp.tanh(x @ p["twice"])
        return y @ p["twice"], (0 * x) @ p["dead"]

    tree = {"twice": zeros(200, 200), "dead": zeros(200, 200)}
    new = autoinit(apply, tree, shape(4, 200), key=KEY)
    for w in new.values():
        assert abs(float(w.var()) * 200 - 1) < 5 * math.sqrt(2 / 40000)


def test_flax_linen():
    nn = pytest.importorskip("flax.linen")

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
    nnx = pytest.importorskip("flax.nnx")

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
