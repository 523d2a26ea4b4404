"""The gain of a weight is 1 / sqrt(E x^2) of what enters it, by independent quadrature."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxinit import auto, trace_params

Z, W = np.polynomial.hermite_e.hermegauss(180)
W = W / W.sum()
WIDTH = 256


def spec(*lengths, dtype="float32"):
    return jax.ShapeDtypeStruct(lengths, dtype)


def erf(x):
    return np.vectorize(math.erf)(x)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def relu(x):
    return np.maximum(x, 0)


def mean(function, count=1):
    """Return the expectation of a function of independent standard normal numbers."""
    grids = np.meshgrid(*[Z] * count, indexing="ij")
    weights = np.prod(np.meshgrid(*[W] * count, indexing="ij"), axis=0)
    return float((weights * function(*grids)).sum())


def gated(activation):
    return lambda p, x: activation(x @ p["a"]) * (x @ p["b"])


def fused(p, x):
    gate, up = jnp.split(jnp.concatenate([x @ p["a"], x @ p["b"]], -1), 2, -1)
    return jax.nn.silu(gate) * up


def dropped(p, x):
    kept = jax.random.bernoulli(jax.random.key(0), 0.5, (x.shape[0], WIDTH))
    return jnp.where(kept, jax.nn.relu(x @ p["a"]) / 0.5, 0)


def both_signs(p, x):
    h = x @ p["a"]
    return jnp.concatenate([jax.nn.relu(h), jax.nn.relu(-h)], -1)


def kept_silu(p, x):
    h = x @ p["a"]
    return h * jax.nn.silu(h)


def layer_norm(x):
    centred = x - x.mean(-1, keepdims=True)
    return centred * lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-6)


def film(p, x):
    h = x @ p["a"]
    return h * (1 + x @ p["b"]) + x @ p["c"]


def highway(p, x):
    gate = jax.nn.sigmoid(x @ p["b"])
    return gate * jax.nn.relu(x @ p["a"]) + (1 - gate) * x


def exact_gelu(x):
    return jax.nn.gelu(x, approximate=False)


# What enters the last weight, and E of its square; a, b, c are square weights.
JOINS = {
    "silu gate": (gated(jax.nn.silu), mean(lambda z: (z * sigmoid(z)) ** 2)),
    "silu gate, split": (fused, mean(lambda z: (z * sigmoid(z)) ** 2)),
    "gelu gate": (
        gated(exact_gelu),
        mean(lambda z: (z * (1 + erf(z / 2**0.5)) / 2) ** 2),
    ),
    "tanh times sigmoid": (
        lambda p, x: jnp.tanh(x @ p["a"]) * jax.nn.sigmoid(x @ p["b"]),
        mean(lambda z: np.tanh(z) ** 2) * mean(lambda z: sigmoid(z) ** 2),
    ),
    "linear gate": (gated(lambda h: h), 1.0),
    "both signs": (both_signs, 0.5),
    "relu beside data": (
        lambda p, x: jnp.concatenate([jax.nn.relu(x @ p["a"]), (x @ p["b"])[:, :128]], -1),
        (256 * 0.5 + 128) / 384,
    ),
    "residual": (lambda p, x: x + jax.nn.relu(x @ p["a"]), 1.5),
    "sum of two": (lambda p, x: x @ p["a"] + x @ p["b"], 2.0),
    "difference": (lambda p, x: x @ p["a"] - 2 * (x @ p["b"]), 5.0),
    "squared relu": (lambda p, x: jax.nn.relu(x @ p["a"]) ** 2, 1.5),
    "dropout": (dropped, 1.0),
    "twice the same": (kept_silu, mean(lambda z: (z * z * sigmoid(z)) ** 2)),
    "modulated": (film, 3.0),
    "highway": (
        highway,
        mean(lambda z: sigmoid(z) ** 2) * 0.5 + mean(lambda z: (1 - sigmoid(z)) ** 2) + 0.0,
    ),
    "maxout": (lambda p, x: jnp.maximum(x @ p["a"], x @ p["b"]), 1.0),
    "relu of a sum": (lambda p, x: jax.nn.relu(x @ p["a"] + x @ p["b"]), 1.0),
    "clipped": (
        lambda p, x: jnp.clip(x @ p["a"], -1, 1),
        math.erf(2**-0.5)
        - 2 * math.exp(-0.5) / math.sqrt(2 * math.pi)
        + math.erfc(2**-0.5),
    ),
    "cosines and sines": (
        lambda p, x: jnp.concatenate([jnp.cos(x @ p["a"]), jnp.sin(x @ p["a"])], -1),
        0.5,
    ),
    "of a factor": (
        lambda p, x: 3 * jnp.tanh(x @ p["a"]),
        9 * mean(lambda z: np.tanh(z) ** 2),
    ),
    "normalised": (lambda p, x: layer_norm(jax.nn.relu(x @ p["a"]) + x), 1.0),
    "after a relu of a normalisation": (
        lambda p, x: jax.nn.relu(layer_norm(jax.nn.silu(x @ p["a"]))),
        None,
    ),
    "two in a row": (
        lambda p, x: jnp.tanh(jax.nn.relu(x @ p["a"])),
        mean(lambda z: np.tanh(relu(z)) ** 2),
    ),
    "dense net": (
        lambda p, x: jnp.concatenate(
            [x, jax.nn.relu(x @ p["a"]), jnp.tanh(x @ p["b"])], -1
        ),
        (1 + 0.5 + mean(lambda z: np.tanh(z) ** 2)) / 3,
    ),
}


@pytest.mark.parametrize("name", JOINS)
def test_gain_is_that_of_what_enters(name):
    function, square = JOINS[name]
    params = {k: spec(WIDTH, WIDTH) for k in "abc"}
    x = spec(8, WIDTH)
    width = jax.eval_shape(function, params, x).shape[-1]

    def apply(p, x):
        return function(p, x) @ p["v"]

    uses = trace_params(apply, params | {"v": spec(width, 8)}, x)
    for k in "abc":
        assert uses[k].role == "unused" or uses[k].gain == 1
    use = uses["v"]
    assert use.notes == ()
    if square is None:
        # silu(z), centred and scaled, then relu: E relu(y)^2 of the distribution itself
        y = Z * sigmoid(Z) - mean(lambda z: z * sigmoid(z))
        scale = mean(lambda z: (z * sigmoid(z) - (W @ (Z * sigmoid(Z)))) ** 2)
        square = float(W @ relu(y) ** 2) / scale
        assert use.gain == pytest.approx(square**-0.5, rel=5e-3)
    else:
        assert use.gain == pytest.approx(square**-0.5, rel=2e-3)


def test_rows_of_a_table_have_the_std_of_the_plan():
    def apply(p, ids):
        return (p["table"][ids] * 16.0) @ p["v"]

    params = {"table": spec(1000, 256), "v": spec(256, 4)}
    made = auto(apply, params, spec(4, 7, dtype="int32"))
    rows = {row.path: row for row in made}
    assert rows["table"].std == pytest.approx(1 / 16)
    assert rows["v"].std == pytest.approx(1 / 16)


def attention(p, x):
    q, k, v = x @ p["a"], x @ p["b"], jax.nn.relu(x @ p["c"])
    return jax.nn.softmax(q @ k.swapaxes(1, 2) / 16) @ v


def window(x, start, kind):
    return lax.reduce_window(x, start, kind, (1, 3, 1), (1, 3, 1), "VALID")


POOLED = {
    "attention": attention,
    "mean": lambda p, x: jax.nn.relu(x @ p["a"]).mean(1),
    "greatest": lambda p, x: jax.nn.relu(x @ p["a"]).max(1),
    "max pool": lambda p, x: window(jax.nn.relu(x @ p["a"]), -jnp.inf, lax.max),
    "mean pool": lambda p, x: window(jax.nn.relu(x @ p["a"]), 0.0, lax.add) / 3,
}


@pytest.mark.parametrize("name", POOLED)
def test_averages_over_positions_keep_the_scale_and_say_so(name):
    params = {k: spec(WIDTH, WIDTH) for k in "abc"} | {"v": spec(WIDTH, 8)}
    text = "averages over positions are taken to keep the scale"

    def head(p, x):
        return POOLED[name](p, x) @ p["v"]

    use = trace_params(head, params, spec(2, 9, WIDTH))["v"]
    assert use.gain == pytest.approx(2**0.5, rel=1e-4)
    assert use.notes == (text,)

    def normalised(p, x):
        return layer_norm(POOLED[name](p, x)) @ p["v"]

    use = trace_params(normalised, params, spec(2, 9, WIDTH))["v"]
    assert (use.gain, use.notes) == (1.0, ())

    def two(p, x):
        return jnp.tanh(POOLED[name](p, x) @ p["v"]) @ p["w"]

    use = trace_params(two, params | {"w": spec(8, 3)}, spec(2, 9, WIDTH))["w"]
    assert use.notes == ("follows v, whose gain is approximate",)


def test_batch_norm_is_no_pooling():
    def apply(p, x):
        h = x @ p["a"]
        h = (h - h.mean((0, 1))) * lax.rsqrt(h.var((0, 1)) + 1e-6)
        return jax.nn.relu(h) @ p["v"]

    params = {"a": spec(WIDTH, WIDTH), "v": spec(WIDTH, 8)}
    use = trace_params(apply, params, spec(16, 32, WIDTH))["v"]
    assert use.gain == pytest.approx(2**0.5, rel=2e-3)
    assert use.notes == ()


def test_a_function_that_is_almost_a_relu_has_its_own_name_and_gain():
    def notched(x):
        return jnp.where(jnp.abs(x - 0.5) < 0.03, -3.0, jax.nn.relu(x))

    def apply(p, x):
        return notched(x @ p["a"]) @ p["v"]

    use = trace_params(apply, {"a": spec(8, 8), "v": spec(8, 8)}, spec(4, 8))["v"]
    assert use.nonlinearity == "custom"
    inside = 0.5 * (math.erf(0.53 / 2**0.5) - math.erf(0.47 / 2**0.5))
    lost = inside * 0.5**2  # z is about 0.5 in there
    assert use.gain == pytest.approx((0.5 - lost + 9 * inside) ** -0.5, rel=0.1)
    assert (use.gain or 9) < 1.4


def test_what_is_not_followed_is_a_unit_source_and_changes_nothing_after_it():
    def apply(p, x):
        y = jax.lax.cumprod(x @ p["a"], 1)
        return jax.nn.relu(y @ p["v"]) @ p["w"], jax.nn.relu(x @ p["b"]) @ p["c"]

    params = {k: spec(WIDTH, WIDTH) for k in "abcvw"}
    uses = trace_params(apply, params, spec(4, WIDTH))
    text = "the operation cumprod is not followed and counts as standard normal"
    assert (uses["v"].gain, uses["v"].notes) == (1.0, (text,))
    assert uses["w"].gain == pytest.approx(2**0.5)
    assert uses["w"].notes == ("follows v, whose gain is approximate",)
    assert uses["c"].gain == pytest.approx(2**0.5)
    assert uses["c"].notes == ()


def test_integer_images_and_masks_as_inputs():
    def apply(p, x, mask):
        h = jax.nn.relu(x.astype(jnp.float32) / 255 @ p["a"])
        return jnp.where(mask, h, 0) @ p["v"]

    params = {"a": spec(WIDTH, WIDTH), "v": spec(WIDTH, 8)}
    uses = trace_params(
        apply, params, spec(4, WIDTH, dtype="uint8"), spec(4, WIDTH, dtype="bool")
    )
    text = "an input of dtype uint8 is not followed and counts as standard normal"
    assert (uses["a"].gain, uses["a"].notes) == (1.0, (text,))
    assert uses["v"].gain == pytest.approx(2**0.5)
    assert "an input of dtype bool chooses, and fillers are left out" in uses["v"].notes


def test_a_weight_used_again_has_the_gain_of_the_mean():
    def apply(p, x):
        first = x @ p["w"]
        return jax.nn.relu(first) @ p["w"]

    use = trace_params(apply, {"w": spec(WIDTH, WIDTH)}, spec(4, WIDTH))["w"]
    # E x^2 = (1 + v / 2) / 2, where v = 1 / E x^2 is the variance of the first output
    level = (1 + math.sqrt(1 + 4)) / 4
    assert use.gain == pytest.approx(level**-0.5, rel=0.02)
    assert any(note.startswith("its inputs have mean squares of") for note in use.notes)


def test_a_kernel_in_parts_along_its_inputs():
    def apply(p, x):
        h = jax.nn.relu(x @ p["a"])
        return x @ p["v"][:WIDTH] + h @ p["v"][WIDTH:]

    params = {"a": spec(WIDTH, WIDTH), "v": spec(2 * WIDTH, 8)}
    use = trace_params(apply, params, spec(4, WIDTH))["v"]
    assert use.fans is not None
    assert use.fans.fan_in == 2 * WIDTH
    assert use.gain == pytest.approx(0.75**-0.5)


def test_the_decay_of_a_state_space_keeps_its_sign():
    def apply(p, x):
        decay = jnp.exp(-jnp.exp(p["log_rate"]))
        state = 0 * x
        for _ in range(4):
            state = decay * state + x
        return state @ p["v"]

    params = {"log_rate": spec(WIDTH), "v": spec(WIDTH, 8)}
    with jax.numpy_rank_promotion("allow"):
        uses = trace_params(apply, params, spec(4, WIDTH))
    assert uses["log_rate"].role == "unknown"
    # Between no memory at all and x added up four times
    assert 1 / 4 < (uses["v"].gain or 0) < 1
    text = "log_rate, whose use is unknown, counts as standard normal"
    assert text in uses["v"].notes


def test_times_as_integers_have_uniform_phases():
    def apply(p, t):
        phase = t.astype(jnp.float32)[:, None] * jnp.ones((1, WIDTH), jnp.float32)
        return jnp.concatenate([jnp.sin(phase), jnp.cos(phase)], -1) @ p["v"]

    use = trace_params(apply, {"v": spec(2 * WIDTH, 8)}, spec(4, dtype="int32"))["v"]
    assert use.gain == pytest.approx(2**0.5, rel=1e-6)
    assert use.notes == ("the phase of an input of dtype int32 counts as uniform",)


def test_an_input_that_no_gain_mends():
    def apply(p, x):
        return (1e6 * (x @ p["a"])) @ p["v"]

    use = trace_params(apply, {"a": spec(8, 8), "v": spec(8, 3)}, spec(4, 8))["v"]
    assert use.gain == 1
    assert use.notes == ("its input has a mean square of 1e+12, which no gain mends",)


@pytest.mark.parametrize(("width", "first"), [(256, 2), (2048, 3)])
def test_what_finite_width_adds_is_noted(width, first):
    """A square in each layer raises what the layer before is too large by chance.

    V = 4 V + (E x^8 / (E x^4)^2 - 1) / n, of a normal number 70 / 3 - 1; D = 2 D + V.
    """
    names = [f"w{i}" for i in range(6)]

    def apply(p, x):
        for name in names:
            x = jax.nn.relu(x @ p[name]) ** 2
        return x

    params = {name: spec(width, width) for name in names}
    uses = trace_params(apply, params, spec(4, width))
    varied, raised = 2 / width, 0.0
    for i, name in enumerate(names[1:], 1):
        assert uses[name].gain == pytest.approx(1.5**-0.5, rel=1e-3)
        raised, varied = 2 * raised + varied, 4 * varied + (70 / 3 - 1) / width
        assert bool(uses[name].notes) == (i >= first) == (raised > 0.05)
        if i == first:
            text = f"at this width its mean square is on average {raised:.0%} larger"
            assert uses[name].notes == (text,)


@pytest.mark.parametrize("width", [16, 25, 48, 64, 100, 256])
@pytest.mark.parametrize("slope", [0.1, 0.2])
def test_a_slope_is_no_factor_of_the_weight(width, slope):
    """A slope that happens to be 1 / sqrt(fan_in) is not that of the NTK."""
    leaky = {
        "where": lambda h: jnp.where(h > 0, h, slope * h),
        "maximum": lambda h: jnp.maximum(h, slope * h),
        "library": lambda h: jax.nn.leaky_relu(h, slope),
    }
    params = {"w": spec(width, 32), "v": spec(32, 3)}
    for function in leaky.values():
        uses = trace_params(
            lambda p, x, f=function: f(x @ p["w"]) @ p["v"], params, spec(4, width)
        )
        assert uses["w"].output_factor == 1
        assert uses["v"].gain == pytest.approx((2 / (1 + slope**2)) ** 0.5, rel=1e-3)
    for act in (jax.nn.relu, jax.nn.silu, jnp.tanh, lambda h: h):
        ntk = trace_params(
            lambda p, x, f=act: f(x @ p["w"] / width**0.5) @ p["v"], params, spec(4, width)
        )
        assert ntk["w"].output_factor == pytest.approx(width**-0.5)


@pytest.mark.parametrize(
    ("function", "square"),
    [(lax.round, 1.0), (jnp.round, 0.5)],  # of 0.5: away from 0, to even
)
def test_halves_are_rounded_as_the_program_says(function, square):
    def apply(p, x):
        signs = jnp.sign(x @ p["w"])  # -1 or 1
        return function(0.5 + (1 + signs) / 2) @ p["v"]

    use = trace_params(apply, {"w": spec(8, 16), "v": spec(16, 3)}, spec(4, 8))["v"]
    away = 1 / math.sqrt((1 + 4) / 2)
    even = 1 / math.sqrt((0 + 4) / 2)
    assert use.gain == pytest.approx(away if square == 1.0 else even)


def test_what_data_chooses_or_convolves_and_integers_that_are_cut_off():
    params = {"w": spec(64, 256), "v": spec(256, 3)}

    def use(function):
        return trace_params(
            lambda p, x: function(x @ p["w"]) @ p["v"], params, spec(32, 64)
        )["v"]

    def cut_off(h):  # half of all are negative, and 0 as such
        return (h * 1e6).astype("uint32").astype("float32") / 1e6

    assert use(cut_off).gain == pytest.approx(2**0.5, rel=1e-3)
    hot = use(lambda h: jax.nn.one_hot(jnp.argmax(h, -1), 256) * h)
    assert any("counts as chosen at random" in note for note in hot.notes)
    itself = use(lambda h: jax.scipy.signal.convolve(h, h, mode="same"))
    assert "entries that data convolves with data count as independent" in itself.notes
    # A sum of some thousand independent products, not the square of as many.
    assert 0.01 < (itself.gain or 0) < 0.03
