"""``jaxinit study --model``: what it prints, writes, goes on from and refuses."""

import json
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit import cli
from jaxinit.signal.studies import model_study as real
from jaxinit.signal.studies.result import Result

MODELS = """
import jax, jax.numpy as jnp, jaxinit
function = jnp.tanh
def apply(p, x):
    return jax.lax.scan(lambda x, w: (function(x @ w), None), x, p["w"])[0]
def scanned():
    p = {"w": jax.ShapeDtypeStruct((3, 4, 4), "float32")}
    return apply, p, jnp.ones((2, 4), "float32")
def abstract():
    return apply, scanned()[1], jax.ShapeDtypeStruct((2, 4), "float32")
def number():
    return 3
def leaves():
    raise SystemExit(7)
rules = [("w", jaxinit.orthogonal)]
def vector():
    p = {"a": jnp.ones((4, 4)), "v": jnp.ones(4)}
    return lambda p, x: x @ p["a"] @ p["v"], p, jnp.ones((2, 4), "float32")
"""
NAME = "models_to_study:scanned"
WEIGHTS = ["w (step 0)", "w (step 1)", "w (step 2)"]


@pytest.fixture(autouse=True, scope="module")
def _compile_in_half_the_time():
    jax.config.update("jax_disable_most_optimizations", True)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "models_to_study.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path
    sys.modules.pop("models_to_study", None)


def run(*arguments):
    return cli.main(["study", "--plain", "--model", NAME, *arguments])


def written(folder):
    return json.loads((folder / "study.json").read_text())["results"]


def test_an_interrupted_study_goes_on(folder, monkeypatch, capsys):
    monkeypatch.setattr(real, "_MEMORY", 1)  # a seed at a time
    joined, got = Result.joined, []

    def stop_at_four(self, other):
        if self.seeds == 3:
            raise KeyboardInterrupt
        return joined(self, other)

    monkeypatch.setattr(Result, "joined", stop_at_four)
    assert run("--seeds", "5") == 130
    err = capsys.readouterr().err
    assert err == "jaxinit: interrupted; the same command goes on from there\n"
    (half,) = written(folder)
    assert half["settings"]["weights"] == WEIGHTS
    assert np.shape(half["values"]["mean"]) == (3, 3)

    monkeypatch.setattr(Result, "joined", joined)
    fetch = jax.device_get
    monkeypatch.setattr(jax, "device_get", lambda x: got.append(1) or fetch(x))
    assert run("--seeds", "5") == 0
    assert len(got) == 2
    (whole,) = written(folder)
    assert whole["settings"] == half["settings"]
    assert np.shape(whole["values"]["mean"]) == (5, 3)
    assert whole["values"]["mean"][:3] == half["values"]["mean"]
    text = capsys.readouterr().out
    assert f"{NAME}, kaiming_normal: medians of 5 seeds" in text
    assert "Picture in study.png, numbers in study.json." in text
    assert (folder / "study.png").read_bytes()[:4] == b"\x89PNG"

    assert run("--seeds", "5") == 0
    assert len(got) == 2
    assert written(folder) == [whole]
    assert run("--seeds", "1", "--fresh") == 0
    assert len(got) == 3
    assert np.shape(written(folder)[0]["values"]["mean"]) == (1, 3)


def test_a_model_that_has_changed_is_run_anew_and_schemes_are_compared(
    folder, monkeypatch, capsys
):
    assert run("--seeds", "2", "--init", "lecun_normal") == 0
    (before,) = written(folder)
    monkeypatch.setattr(sys.modules["models_to_study"], "function", jnp.sin)
    schemes = ("--init", "lecun_normal", "--compare", "xavier_uniform, ")
    assert run("--seeds", "2", *schemes) == 0
    first, *after = written(folder)
    assert first == before
    names = ["lecun_normal", "xavier_uniform"]
    assert [one["settings"]["init"] for one in after] == names
    assert after[0]["settings"]["digest"] != before["settings"]["digest"]
    assert after[0]["values"]["log10_std"] != before["values"]["log10_std"]
    lines = capsys.readouterr().out.splitlines()
    for name in names:
        at = lines.index(f"{NAME}, {name}: medians of 2 seeds")
        assert lines[at + 1] == "Signal stable, gradient stable."


REFUSALS = {
    ("--depth", "3", "--branch-scale", "2"): (
        "study: --model does not take all options; got --depth --branch-scale. Leave it out."
    ),
    ("--init", "xavir"): (
        "study: init must be one of delta_orthogonal, glorot_normal, "
        "glorot_truncated_normal, glorot_uniform, he_normal, he_truncated_normal, "
        "he_uniform, kaiming_normal, kaiming_truncated_normal, kaiming_uniform, "
        "lecun_normal, lecun_truncated_normal, lecun_uniform, orthogonal, "
        "variance_scaling, xavier_normal, xavier_truncated_normal, xavier_uniform; got init='xavir'. Choose one of these."
    ),
    ("--compare", "kaiming_normal,orthogonel"): (
        "study: init must be one of delta_orthogonal, glorot_normal, "
        "glorot_truncated_normal, glorot_uniform, he_normal, he_truncated_normal, "
        "he_uniform, kaiming_normal, kaiming_truncated_normal, kaiming_uniform, "
        "lecun_normal, lecun_truncated_normal, lecun_uniform, orthogonal, "
        "variance_scaling, xavier_normal, xavier_truncated_normal, xavier_uniform; got init='orthogonel'. Did you mean 'orthogonal'?"
    ),
    (
        "--seeds",
        "0",
    ): "study: seeds must be an int, at least 1; got seeds=0. Give 1 or more.",
    ("--model", "scanned"): (
        "study: it must be named as package.module:name; got 'scanned'. "
        'Write for example "mymodels.gpt:small".'
    ),
    ("--model", "..models_to_study:scanned"): (
        "study: it must be named as package.module:name; got "
        "'..models_to_study:scanned'. Write for example \"mymodels.gpt:small\"."
    ),
    ("--model", "absent_models:scanned"): (
        "study: module absent_models must be importable from here; got No module named "
        "'absent_models'. Run this where the module is, or install it."
    ),
    ("--model", "models_to_study:absent"): (
        "study: models_to_study must define absent; got a module without it. Check the "
        "name behind the colon."
    ),
    ("--model", "models_to_study:leaves"): (
        "study: models_to_study:leaves must return a model; got an exit with status 7. "
        "Name another function."
    ),
    ("--rules", "models_to_study:absent"): (
        "study: models_to_study must define absent; got a module without it. Check the "
        "name behind the colon."
    ),
    ("--model", "models_to_study:number"): (
        "study: models_to_study:number must return (apply_fn, params, inputs); got int. "
        "Return a tuple of these three."
    ),
    ("--model", "models_to_study:abstract"): (
        "study: inputs must have values; got ShapeDtypeStruct(shape=(2, 4), "
        "dtype=float32). Return arrays from the function."
    ),
}


@pytest.mark.parametrize("arguments", REFUSALS)
def test_refusals(arguments, folder, capsys):
    assert run(*arguments) == 2
    assert capsys.readouterr().err == f"jaxinit: {REFUSALS[arguments]}\n"
    assert not (folder / "study.json").exists()


def test_a_file_of_something_else_is_not_overwritten(folder, capsys):
    (folder / "study.json").write_text("notes")
    assert run("--seeds", "1") == 2
    assert capsys.readouterr().err == (
        "jaxinit: study: study.json must be a results file of jaxinit; got 'notes'. Move it "
        "away, name another file, or replace it with overwrite (--overwrite).\n"
    )
    assert (folder / "study.json").read_text() == "notes"


def test_rules_come_first(folder, capsys):
    assert run("--seeds", "2", "--rules", "models_to_study:rules") == 0
    assert run("--seeds", "2") == 0
    one, other = written(folder)
    assert one["settings"]["digest"] != other["settings"]["digest"]
    # Orthogonal layers of a linear network keep the length of what comes in.
    assert "w (step *) (3)" in capsys.readouterr().out


def test_weights_without_an_initializer_stay_if_asked(folder, capsys):
    asked = ["study", "--plain", "--model", "models_to_study:vector", "--seeds", "1"]
    asked += ["--init", "orthogonal"]
    assert cli.main(asked) == 2
    assert "v (4,) (orthogonal needs" in capsys.readouterr().err
    assert cli.main([*asked, "--keep-unknown"]) == 0
    assert "Not drawn, but as given: v." in capsys.readouterr().out
