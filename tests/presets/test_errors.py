"""Every preset refuses wrong arguments in one line, and says what it is."""

import inspect
import re
from typing import Any

import jax
import pytest

import jaxinit
from jaxinit import Uses, presets
from jaxinit.cli import main

FUNCTIONS = {
    name: getattr(presets, name)
    for name in presets.__all__
    if inspect.isfunction(getattr(presets, name))
}
WITH_USES = [n for n, f in FUNCTIONS.items() if "uses" in inspect.signature(f).parameters]
WRONG: dict[str, Any] = {
    "params": {"w": jax.ShapeDtypeStruct((3, 4), "float32")},
    "None": None,
    "number": 3,
    "text": "w",
    "plan": jaxinit.plan({}, []),
}


def filled(function: Any, **given: Any) -> dict[str, Any]:
    """Return arguments that suit each parameter's annotation."""
    values = {
        "str": "**/w",
        "str | None": None,
        "int": 2,
        "KernelLayout": "IO",
        "int | None": None,
        "float": 1.0,
    }
    values |= {"bool": True, "VitVariant": "jax", "LoraVariant": "kaiming"}
    found = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is parameter.empty:
            text = parameter.annotation
            kind = text if isinstance(text, str) else getattr(text, "__name__", str(text))
            kind = {"Literal": "VitVariant"}.get(kind, kind)
            found[name] = Uses(()) if kind == "Uses" else values[kind]
    return {**found, **given}


@pytest.mark.parametrize("name", WITH_USES)
@pytest.mark.parametrize("wrong", WRONG)
def test_no_uses_is_one_clear_error(name, wrong):
    function = FUNCTIONS[name]
    with pytest.raises(TypeError) as error:
        function(**filled(function, uses=WRONG[wrong]))
    text = str(error.value)
    assert text.startswith(f"{name}: uses must be traced uses; got uses="), text
    assert text.endswith(". Make them with jaxinit.trace_params(apply_fn, params, inputs).")
    assert "\n" not in text
    assert len(text) < 300


@pytest.mark.parametrize("name", FUNCTIONS)
def test_wrong_kinds_are_one_clear_error(name):
    function = FUNCTIONS[name]
    for parameter in inspect.signature(function).parameters:
        for wrong in (b"x", object(), [1], {"a": 1}, 1j):
            with pytest.raises((TypeError, ValueError)) as error:
                function(**filled(function, **{parameter: wrong}))
            text = str(error.value)
            assert re.match(rf"{name}: .*; got .*\. .*\.$", text), f"{parameter}: {text}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_one_signature(name):
    """``preset(uses, *, options)``: only traced uses may stand in front."""
    parameters = inspect.signature(FUNCTIONS[name]).parameters.values()
    positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
    others = {"mup": ["uses", "base"], "deepnorm_constants": None, "lora_scaling": None}
    allowed = others.get(name, ["uses"])
    if allowed is not None:
        assert positional in (allowed, [])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_docstrings_are_whole(name):
    text = inspect.getdoc(FUNCTIONS[name]) or ""
    assert "\nArgs:" in text
    assert "\nReturns:" in text
    assert "\nExample:" in text
    for parameter in inspect.signature(FUNCTIONS[name]).parameters:
        assert re.search(rf"^    {parameter}: ", text, re.MULTILINE), parameter


def test_the_command_lists_them(capsys):
    assert main(["presets"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    for name in FUNCTIONS:
        assert any(line.startswith(f"{name}(") for line in lines), name
    assert "lora(a=..., b=...)" in lines
    assert main(["presets", "lora"]) == 0
    assert "Hu et al." in capsys.readouterr().out
    assert main(["presets", "lor"]) == 2
    assert capsys.readouterr().err.endswith("got name='lor'. Did you mean 'lora'?\n")


def test_the_module_lists_them():
    for name in FUNCTIONS:
        if name not in ("deepnorm_constants", "lora_scaling"):
            assert f"``{name}``" in (presets.__doc__ or ""), name
