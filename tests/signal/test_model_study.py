"""The study of a user's own model, against NumPy and jax.grad."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit
from jaxinit.signal import from_json, study_model, to_json
from jaxinit.signal.studies import model_study
from jaxinit.signal.studies.result import Result


@pytest.fixture(autouse=True, scope="module")
def _compile_in_half_the_time():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


X = np.linspace(-1, 2, 24, dtype=np.float32).reshape(4, 6)
SHAPES = {
    "b": jax.ShapeDtypeStruct((16,), "float32"),
    "w1": jax.ShapeDtypeStruct((16, 6), "float32"),
    "w2": jax.ShapeDtypeStruct((16, 3), "float32"),
}


def apply(params, x):
    return jax.nn.relu(x @ params["w1"].T + params["b"][None]) @ params["w2"]


def test_against_numpy_and_grad():
    found = study_model(apply, SHAPES, X, seeds=3, seed=5)
    assert found.settings["weights"] == ["w1", "w2"]
    plan = jaxinit.auto(apply, SHAPES, X)
    for i in range(3):
        draw, end = jax.random.split(jax.random.fold_in(jax.random.key(5), i))
        params = jax.tree.map(np.asarray, jaxinit.initialize(draw, SHAPES, plan))
        h1 = X.astype(np.float64) @ params["w1"].T
        h2 = np.maximum(h1, 0) @ params["w2"]
        for n, h in enumerate((h1, h2)):
            std = 10.0 ** found.values["log10_std"][i, n]
            np.testing.assert_allclose(std, h.std(), rtol=1e-5)
            np.testing.assert_allclose(found.values["mean"][i, n], h.mean(), atol=1e-5)
        g = jax.random.normal(jax.random.split(end, 1)[0], (4, 3), jnp.float32)

        def loss(h, g=g, w2=params["w2"]):
            return jnp.sum(g * (jax.nn.relu(h) @ w2))

        back = np.asarray(jax.grad(loss)(jnp.asarray(h1, jnp.float32)))
        want = [np.sqrt(np.mean(back**2)), np.sqrt(np.mean(np.asarray(g) ** 2))]
        np.testing.assert_allclose(10.0 ** found.values["log10_grad"][i], want, rtol=1e-5)


def test_flax():
    from flax import linen as nn

    net = nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(2)])
    params = jax.eval_shape(net.init, jax.random.key(0), X)
    paths = [f"params/layers_{n}/kernel" for n in (0, 2)]
    assert labels_of(net.apply, params, X) == (paths, [])


def test_a_scan_is_the_loop_that_it_stands_for():
    def scanned(p, x):
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, p["w"])[0] @ p["head"]

    def looped(p, x):
        for i in range(3):
            x = jnp.tanh(x @ p["w"][i])
        return x @ p["head"]

    shapes = {"w": (3, 6, 6), "head": (6, 2)}
    params = {k: jax.ShapeDtypeStruct(s, "float32") for k, s in shapes.items()}
    one, other = (
        study_model(f, params, X, init="lecun_normal", seeds=2) for f in (scanned, looped)
    )
    assert one.settings["weights"] == ["w (step 0)", "w (step 1)", "w (step 2)", "head"]
    assert other.settings["weights"] == ["w", "w (use 2)", "w (use 3)", "head"]
    assert one.settings["remarks"] == []
    for quantity, values in one.values.items():
        np.testing.assert_allclose(values, other.values[quantity], atol=1e-5)


WIDTH, LAYERS, SEEDS = 64, 3, 32
LINEAR = {"w": jax.ShapeDtypeStruct((LAYERS, WIDTH, WIDTH), "float32")}


def linear(p, x, between=lambda x: x):
    for i in range(LAYERS):
        x = (between(x) if i else x) @ p["w"][i]
    return x


def assert_linear_distribution(result):
    """Hold medians' means to the exact distribution: six bounds of 5 standard errors, 4e-6 together.

    Given its input h, a product of n units is n draws from N(0, |h|^2 / n): logarithms
    of chi-squared add up. The standard deviation takes one degree of freedom.
    """
    from scipy.special import polygamma

    through = np.arange(LAYERS)
    gaps = np.log(WIDTH / 2)
    whole, last = polygamma(0, WIDTH / 2) - gaps, polygamma(0, (WIDTH - 1) / 2) - gaps
    spread, spread_last = polygamma(1, WIDTH / 2), polygamma(1, (WIDTH - 1) / 2)
    forward = through * whole + last, through * spread + spread_last
    backward = (through[::-1] + 1) * whole, (through[::-1] + 1) * spread
    for quantity, distribution in (("log10_std", forward), ("log10_grad", backward)):
        mean, variance = distribution
        scores = (result.values[quantity].mean(0) - mean * np.log10(np.e) / 2) / np.sqrt(
            variance * (np.log10(np.e) / 2) ** 2 / SEEDS
        )
        assert np.abs(scores).max() < 5, (quantity, scores)


@pytest.fixture(scope="module")
def unit_input():
    x = np.cos(np.arange(WIDTH, dtype=np.float32))[None]
    return x * np.float32(np.sqrt(WIDTH) / np.linalg.norm(x))


def test_a_linear_network_keeps_its_exact_distribution(unit_input):
    assert_linear_distribution(study_model(linear, LINEAR, unit_input, seeds=SEEDS))


def test_a_weight_drawn_ten_times_too_large_is_seen(unit_input, monkeypatch):
    def wrong(*args):
        made = jaxinit.initialize(*args)
        return {"w": made["w"].at[1].multiply(10)}

    monkeypatch.setattr(model_study, "initialize", wrong)
    found = study_model(linear, LINEAR, unit_input, seeds=SEEDS)
    with pytest.raises(AssertionError, match="log10_std"):
        assert_linear_distribution(found)
    np.testing.assert_allclose(found.band("log10_std").median, [0, 1, 1], atol=0.1)
    np.testing.assert_allclose(found.band("log10_grad").median, [1, 0, 0], atol=0.1)


def test_a_broken_gradient_is_seen(unit_input):
    @jax.custom_vjp
    def broken(x):
        return x

    broken.defvjp(lambda x: (x, None), lambda _, g: (g / 4,))
    found = study_model(lambda p, x: linear(p, x, broken), LINEAR, unit_input, seeds=SEEDS)
    with pytest.raises(AssertionError, match="log10_grad"):
        assert_linear_distribution(found)


SMALL = {"a": jax.ShapeDtypeStruct((6, 3), "float32")}


def small(p, x):
    return x @ p["a"]


@pytest.fixture(scope="module")
def five():
    return study_model(small, SMALL, X, seeds=5)


def assert_same_values(one, other):
    for quantity, values in one.values.items():
        np.testing.assert_allclose(values, other.values[quantity], atol=1e-6)


def test_few_seeds_at_a_time_change_nothing(five, monkeypatch):
    of_one_seed = 4 * (6 * 3 + 2 * 4 * 3)
    monkeypatch.setattr(model_study, "_MEMORY", 2 * of_one_seed + 1)
    steps = []
    parts = study_model(small, SMALL, X, seeds=5, progress=lambda r: steps.append(r.seeds))
    assert steps == [2, 4, 5]
    assert_same_values(parts, five)


def test_a_run_goes_on_and_a_big_model_seed_by_seed(five, monkeypatch):
    monkeypatch.setattr(model_study, "_MEMORY", 1)
    few = dataclasses.replace(five, values={q: v[:3] for q, v in five.values.items()})
    steps = []
    grown = study_model(
        small, SMALL, X, seeds=5, resume=few, progress=lambda r: steps.append(r.seeds)
    )
    assert steps == [4, 5]
    for quantity, values in few.values.items():
        np.testing.assert_array_equal(grown.values[quantity][:3], values)
    assert_same_values(grown, five)


def test_nothing_is_run_that_is_there(five, monkeypatch):
    monkeypatch.setattr(model_study.jax, "device_get", None)
    assert study_model(small, SMALL, X, seeds=1, resume=five).seeds == 1
    (read,) = from_json(to_json([five]))
    again = study_model(small, SMALL, X, seeds=5, resume=read)
    assert again.settings == five.settings
    assert_same_values(again, five)


def settings_of(apply_fn, params, *inputs):
    made = model_study.prepare(
        apply_fn, params, inputs, "kaiming_normal", seeds=1, seed=0, name="model"
    )
    return made.start.settings


def labels_of(*model):
    settings = settings_of(*model)
    return settings["weights"], settings["remarks"]


def test_tied_weights_are_measured_at_every_use():
    shapes = {"e": (10, 6), "w": (6, 6)}
    p = {k: jax.ShapeDtypeStruct(s, "float32") for k, s in shapes.items()}
    tokens = np.arange(4, dtype=np.int32)

    def looked_up(p, t):
        return jnp.tanh(p["e"][t] @ p["w"]) @ p["e"].T

    def multiplied(p, t):
        return jnp.tanh(jax.nn.one_hot(t, 10, dtype="float32") @ p["e"] @ p["w"]) @ p["e"].T

    assert labels_of(looked_up, p, tokens) == (["w", "e"], [])
    assert labels_of(multiplied, p, tokens) == (["e", "w", "e (use 2)"], [])
    found = study_model(multiplied, p, tokens, init="lecun_normal", seeds=2)
    plan = jaxinit.auto(multiplied, p, tokens, scheme="lecun_normal")
    draw, _ = jax.random.split(jax.random.fold_in(jax.random.key(0), 1))
    made = jax.tree.map(np.asarray, jaxinit.initialize(draw, p, plan))
    hidden = made["e"][:4] @ made["w"]
    outs = (made["e"][:4], hidden, np.tanh(hidden) @ made["e"].T)
    want = [np.log10(out.std()) for out in outs]
    np.testing.assert_allclose(found.values["log10_std"][1], want, atol=1e-5)


def test_what_is_not_measured_is_said():
    @jax.custom_vjp
    def product(x, w):
        return x @ w

    product.defvjp(lambda x, w: (x @ w, (x, w)), lambda r, g: (g @ r[1].T, r[0].T @ g))

    def apply(p, x):
        h = product(x, p["by_hand"])
        h = jax.lax.cond(h[0, 0] > 0, lambda: h @ p["chosen"], lambda: h)
        h = jax.lax.scan(lambda h, _: (jnp.tanh(h @ p["long"]), None), h, length=200)[0]
        h = jax.lax.fori_loop(0, jnp.argmax(x) + 1, lambda _, h: h @ p["while"], h)
        return h @ p["long"] @ p["head"]

    names = ("by_hand", "chosen", "head", "long", "while")
    p = {name: jax.ShapeDtypeStruct((6, 6), "float32") for name in names}
    assert labels_of(apply, p, X) == (
        ["long", "head"],
        [
            "Not measured: by_hand (in custom_vjp_call), chosen (in cond), "
            "long (in a scan of 200 steps, over the limit of 64), while (in while)."
        ],
    )


def test_leaves_that_are_not_drawn_are_named():
    p = {
        "rows": np.arange(4, dtype=np.int32),
        "idle": np.ones((2, 2), np.float32),
        "w": jax.ShapeDtypeStruct((6, 2), "float32"),
    }
    weights, remarks = labels_of(lambda p, x: x[p["rows"]] @ p["w"], p, X)
    assert (weights, remarks) == (["w"], ["Not drawn, but as given: idle, rows."])


def test_bfloat16():
    p = {"w": jax.ShapeDtypeStruct((6, 8), "bfloat16")}
    x = jnp.asarray(X, "bfloat16")
    found = study_model(lambda p, x: x @ p["w"], p, x, seeds=2)
    plan = jaxinit.auto(lambda p, x: x @ p["w"], p, x)
    draw, end = jax.random.split(jax.random.fold_in(jax.random.key(0), 0))
    w = np.asarray(jaxinit.initialize(draw, p, plan)["w"], np.float64)
    std = (np.asarray(x, np.float64) @ w).std()
    np.testing.assert_allclose(10.0 ** found.values["log10_std"][0], std, rtol=2**-8)
    g = jaxinit.normal(jax.random.split(end, 1)[0], (4, 8), "bfloat16")
    rms = np.sqrt(np.mean(np.asarray(g, np.float64) ** 2))
    np.testing.assert_allclose(10.0 ** found.values["log10_grad"][0], rms, rtol=2**-8)


def drawn_otherwise(p, x):
    return x @ (2 * p["a"])


ADVICE = (
    "Weights in while loops, branches, custom derivatives and scans of more than "
    "64 steps are not measured."
)
REFUSALS = {
    "seeds": (
        lambda: study_model(small, SMALL, X, seeds=0),
        "study_model: seeds must be an int, at least 1; got seeds=0. Give 1 or more.",
    ),
    "seed": (
        lambda: study_model(small, SMALL, X, seed=-1),
        "study_model: seed must be an int from 0 to 2**64 - 1; got seed=-1. Give a plain "
        "int of that range.",
    ),
    "init": (
        lambda: study_model(small, SMALL, X, init="xavier_norml"),  # pyright: ignore[reportArgumentType]
        "study_model: init must be one of delta_orthogonal, glorot_normal, "
        "glorot_truncated_normal, glorot_uniform, he_normal, he_truncated_normal, "
        "he_uniform, kaiming_normal, kaiming_truncated_normal, kaiming_uniform, "
        "lecun_normal, lecun_truncated_normal, lecun_uniform, orthogonal, "
        "variance_scaling, xavier_normal, xavier_truncated_normal, xavier_uniform; got init='xavier_norml'. Did you mean 'xavier_normal'?",
    ),
    "abstract inputs": (
        lambda: study_model(small, SMALL, jax.ShapeDtypeStruct((4, 6), "float32")),
        "study_model: inputs must have values; got ShapeDtypeStruct(shape=(4, 6), "
        "dtype=float32). Return arrays from the function.",
    ),
    "no weight": (
        lambda: study_model(lambda p, x: jnp.maximum(x, p["a"][0]), {"a": X}, X[0]),
        "study_model: the model must have a weight that meets its input in a product; got none "
        f"in model. {ADVICE}",
    ),
    "weight lost": (
        lambda: study_model(
            lambda p, x: jax.lax.cond(x[0, 0] > 0, small, small, p, x), SMALL, X, name="m"
        ),
        "study_model: the model must have a weight that meets its input in a product; got none "
        f"in m; not reached: a (in cond). {ADVICE}",
    ),
    "no outputs": (
        lambda: study_model(lambda p, x: small(p, x) > 0, SMALL, X),
        "study_model: the model must return floating-point arrays; got none in model. Return "
        "what the model predicts, before any rounding.",
    ),
    "resume": (
        lambda: study_model(
            drawn_otherwise,
            SMALL,
            X,
            init="xavier_uniform",
            resume=Result("", settings_of(small, SMALL, X), {}),
        ),
        "study_model: resume must be a result of the same settings; got another init. "
        "Run it anew, or write it to another file.",
    ),
    "no values": (
        lambda: study_model(
            small, {**SMALL, "idle": jax.ShapeDtypeStruct((2,), "float32")}, X
        ),
        "study_model: a leaf that is to be kept must have values; got only shapes for idle. Give "
        "arrays for these, or an initializer.",
    ),
    "no initializer": (
        lambda: study_model(
            lambda p, x: jax.lax.conv_general_dilated(
                x[:, :, None], p["k"], (1,), "SAME", feature_group_count=6
            ),
            {"k": jax.ShapeDtypeStruct((6, 1, 1), "float32")},
            X,
            init="orthogonal",
        ),
        "study_model: every leaf needs a rule; got 1 without one: k (6, 1, 1) (orthogonal needs a "
        "weight of one role an axis and no groups). Add rules in front, or "
        '("**", keep) at the end.',
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name):
    call, text = REFUSALS[name]
    with pytest.raises(ValueError) as error:
        call()
    assert str(error.value) == text
