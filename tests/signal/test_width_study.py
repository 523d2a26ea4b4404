"""The coordinate check: muP comes out flat, standard parametrization does not."""

import functools
import json
import re
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxinit
from jaxinit import cli
from jaxinit.presets import mup
from jaxinit.signal import WidthStudy, width_study
from jaxinit.signal.studies.adam import Adam


@pytest.fixture(autouse=True, scope="module")
def _promotion_as_optax_needs_it():
    with jax.numpy_dtype_promotion("standard"):
        yield


S = functools.partial(jax.ShapeDtypeStruct, dtype="float32")
X = np.asarray(jax.random.normal(jax.random.key(3), (16, 8)))


def model(width, factor=1.0):
    def apply(p, x):
        x = jax.nn.relu(jax.nn.relu(x @ p["a"]) @ p["b"])
        return factor * (x @ p["c"])

    return apply, {"a": S((8, width)), "b": S((width, width)), "c": S((width, 1))}


def standard(width):
    return (*model(width), X)


def with_mup(width, *, base=32):
    apply, params = model(width)
    small, small_params = model(base)
    uses = jaxinit.trace_params(apply, params, X)
    found = mup(uses, jaxinit.trace_params(small, small_params, X), zero_readout=True)
    apply, _ = model(width, found.output["c"])
    optimizer = optax.chain(optax.adam(0.01), found.scale_updates("adam"))
    return apply, lambda key: jaxinit.initialize(key, params, found.rules), X, optimizer


@pytest.fixture(scope="module")
def grown():
    return width_study(standard, [64, 32, 128], steps=3)


def test_standard_parametrization_grows(grown):
    assert grown.widths == (32, 64, 128)
    assert grown.weights == ("a", "b", "c")
    assert grown.sizes.shape == (3, 8, 4, 3)
    assert not grown.growing[0].any()
    assert not grown.growing[:, 0].any()
    assert grown.growing[1:, 2].all()
    assert grown.band().median[1, 2] > 0.5
    assert re.fullmatch(r"c: grows like width\^[\d.]+ from step 1 on\.", grown.verdicts[-1])
    assert repr(grown) == (
        "<WidthStudy model, kaiming_normal: widths (32, 64, 128), 8 seeds, 3 steps, 3 weights>"
    )


def test_mup_is_flat():
    found = width_study(with_mup, [64, 128, 256], steps=3)
    assert not found.growing.any()
    assert found.verdicts == ("No output of a weight grows with the width.",)
    assert np.isneginf(found.sizes[:, :, 0, 2]).all()  # the readout starts at zero
    assert np.abs(found.band().median).max() < 0.25
    assert "0.00" in str(found.table())


def test_one_seed_against_a_loop(grown):
    """The same sizes by plain steps of optax."""
    key = jax.random.fold_in(jax.random.key(0), 0)
    apply, shapes = model(32)
    params: Any = jaxinit.initialize(key, shapes, jaxinit.auto(apply, shapes, X))
    target = jaxinit.normal(jax.random.fold_in(jax.random.key(1), 0), (16, 1), jnp.float32)
    optimizer: Any = optax.adam(0.01)
    state = optimizer.init(params)
    for step in range(4):
        a = X @ params["a"]
        b = jax.nn.relu(a) @ params["b"]
        c = jax.nn.relu(b) @ params["c"]
        want = [np.log10(np.mean(np.asarray(v, np.float64) ** 2)) / 2 for v in (a, b, c)]
        np.testing.assert_allclose(grown.sizes[0, 0, step], want, atol=2e-3)
        slopes = jax.grad(lambda p: jnp.mean((apply(p, X) - target) ** 2))(params)
        updates, state = optimizer.update(slopes, state, params)
        params = optax.apply_updates(params, updates)


def test_adam_is_that_of_optax():
    params: Any = {"w": jnp.array([1.0, -2.0, 3.0])}
    ours: Any = Adam(0.1)
    theirs: Any = optax.adam(0.1)
    one, other = ours.init(params), theirs.init(params)
    for step in range(3):
        slopes = {"w": jnp.array([0.5, -1e-3, 2.0]) * (step + 1)}
        got, one = ours.update(slopes, one)
        want, other = theirs.update(slopes, other)
        np.testing.assert_allclose(got["w"], want["w"], rtol=1e-6)


def test_exponents_and_plot(tmp_path):
    sizes = np.log10(np.array([2.0, 4.0, 8.0]))[:, None, None, None] * [[[0.5, 0.0]]]
    made = WidthStudy("m", (2, 4, 8), ("p", "q"), np.broadcast_to(sizes, (3, 2, 1, 2)))
    np.testing.assert_allclose(made.exponents[0], [[0.5, 0.0]], atol=1e-12)
    assert made.verdicts == ("p: grows like width^0.5 at step 0.",)
    assert made.table().rows[0] == ("p", "0.50", "0.50 to 0.50")
    drawn = made.plot(tmp_path / "w.pdf")
    assert (tmp_path / "w.pdf").read_bytes()[:4] == b"%PDF"
    assert [axes.get_title("left") for axes in drawn.axes] == ["step 0"]
    lost = WidthStudy("m", (2, 4), ("p",), np.full((2, 2, 1, 1), np.nan))
    assert lost.growing.all()


REFUSALS = [
    (lambda: width_study(standard, [64]), "widths must be at least two different ones"),
    (lambda: width_study(standard, [64, 64]), "widths must be at least two different"),
    (
        lambda: width_study(lambda _: "abcde", [2, 4]),
        "make must return (apply_fn, params, inputs)",
    ),  # pyright: ignore[reportArgumentType]
    (lambda: width_study(standard, [2, 4], steps=-1), "steps must be an int, at least 0"),
    (lambda: width_study(standard, [2, 4], seed=-1), "seed must be an int from 0"),
    (
        lambda: width_study(
            lambda n: (
                (lambda p, x: x @ p["w"], {"w": S((8, n))}, X)
                if n == 2
                else (lambda p, x: x @ p["v"], {"v": S((8, n))}, X)
            ),
            [2, 4],
            steps=0,
            seeds=1,
        ),
        "make must return the same model at every width",
    ),
]


@pytest.mark.parametrize(("call", "text"), REFUSALS)
def test_refusals(call, text):
    with pytest.raises((ValueError, TypeError), match=f"^width_study: {re.escape(text)}"):
        call()


def test_the_command(tmp_path, monkeypatch, capsys):
    (tmp_path / "wide.py").write_text(
        "import numpy as np\nimport jax\n"
        "def make(width):\n"
        "    S = jax.ShapeDtypeStruct\n"
        "    params = {'a': S((4, width), 'float32'), 'b': S((width, 1), 'float32')}\n"
        "    return lambda p, x: x @ p['a'] @ p['b'], params, np.ones((2, 4), 'float32')\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    asked = ["study", "--model", "wide:make", "--widths", "16,32,64", "--plain"]
    asked += ["--steps", "1", "--seeds", "4", "--learning-rate", "0.3"]
    assert cli.main(asked) == 0
    text = capsys.readouterr().out
    assert "b: grows like width^" in text
    assert (tmp_path / "study.png").exists()
    found = json.loads((tmp_path / "study.json").read_text())["results"]
    assert [one["settings"]["width"] for one in found] == [16, 32, 64]
    before = (tmp_path / "study.json").read_text()
    assert cli.main(asked) == 0  # goes on from the file: nothing is left to do
    assert (tmp_path / "study.json").read_text() == before
    assert cli.main([*asked[:4], "16,x"]) == 2
    assert "--widths must be ints with commas" in capsys.readouterr().err
    sys.modules.pop("wide", None)
