"""The logic of ``jaxinit audit``."""

import pathlib

import pytest

from jaxinit.models.command import audit_command

MODEL = """
import jax
import jax.numpy as jnp

def apply(params, x):
    return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, params["w"])[0]

def right():
    init = jax.nn.initializers.lecun_normal(batch_axis=0)
    return apply, {"w": init(jax.random.key(0), (8, 64, 64))}, jnp.ones((4, 64))

def wrong():
    init = jax.nn.initializers.lecun_normal()
    return apply, {"w": init(jax.random.key(0), (8, 64, 64))}, [jnp.ones((4, 64))]

def shapes():
    params = {"w": jax.ShapeDtypeStruct((8, 64, 64), "float32")}
    return apply, params, jax.ShapeDtypeStruct((4, 64), "float32")

def other():
    return 3
"""


@pytest.fixture(autouse=True)
def model(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "models_of_a_user.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))


def test_audit_of_a_users_model():
    assert audit_command("models_of_a_user:right").exit_code == 0
    report = audit_command("models_of_a_user:wrong")
    assert report.exit_code == 1
    text = str(report)
    assert "BIO" in text
    assert "OFF  w" in text
    assert text.startswith(
        "1 of 1 leaves are off:\n  w: 0.3542 of lecun, as if fan_in were "
    )
    assert '    ("w", partial(jaxinit.lecun_truncated_normal, layout="BIO")),' in text
    assert "BIO" in report.text(every=True)
    assert str(audit_command("models_of_a_user:shapes")).endswith("nothing was measured.")


ERRORS = {
    "models_of_a_user": (
        "it must be named as package.module:name; "
        "got 'models_of_a_user'. "
        'Write for example "mymodels.gpt:small".'
    ),
    "no_such_module:f": (
        "module no_such_module must be importable from here; "
        "got No module named 'no_such_module'. Run this where the module is, or install it."
    ),
    "models_of_a_user:absent": (
        "models_of_a_user must define absent; got a module without it. "
        "Check the name behind the colon."
    ),
    "models_of_a_user:other": (
        "models_of_a_user:other must return (apply_fn, params, inputs); "
        "got int. Return a tuple of these three."
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name: str):
    with pytest.raises((ValueError, TypeError)) as error:
        audit_command(name)
    assert str(error.value) == ERRORS[name]
