"""The study of a user's own model, against NumPy and jax.grad."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit
from jaxinit import cli
from jaxinit.signal import study_model

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
    nn = pytest.importorskip("flax.linen")
    net = nn.Sequential([nn.Dense(8), nn.relu, nn.Dense(2)])
    params = jax.eval_shape(net.init, jax.random.key(0), X)
    found = study_model(net.apply, params, X, seeds=2)
    paths = [f"params/layers_{n}/kernel" for n in (0, 2)]
    assert found.settings["weights"] == paths


MODEL = """
import jax, jax.numpy as jnp
def apply(p, x):
    x = jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, p["w"])[0]
    return x @ p["head"]
def scanned():
    shapes = {"w": (3, 4, 4), "head": (4, 2)}
    p = {k: jax.ShapeDtypeStruct(s, "float32") for k, s in shapes.items()}
    return apply, p, jnp.ones((2, 4), "float32")
"""


def test_command(tmp_path: pathlib.Path, monkeypatch, capsys):
    (tmp_path / "real_models.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    args = ("study", "--plain", "--seeds", "2", "--model")
    assert cli.main([*args, "real_models:scanned"]) == 0
    text = capsys.readouterr().out
    assert "Not measured: w (in scan)." in text
    (entry,) = json.loads((tmp_path / "study.json").read_text())["results"]
    assert entry["settings"]["weights"] == ["head"]
    wrong = {"x": "a model is named", "..x:f": "a model is named", "nomod:f": "importable"}
    for name, said in wrong.items():
        assert cli.main([*args, name]) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
    assert cli.main([*args, "real_models:scanned", "--depth", "3"]) == 2
    assert "got --depth too" in capsys.readouterr().err
    assert cli.main([*args, "real_models:scanned", "--init", "xavir"]) == 2
    assert "study: init must be one of" in capsys.readouterr().err
