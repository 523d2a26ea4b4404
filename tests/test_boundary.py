"""Every public function: whatever it is given, it works or says in one line what is wrong."""

import doctest
import functools
import importlib
import inspect
import math
import pkgutil
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit
import jaxinit.signal
from jaxinit import asserts, presets, replay
from jaxinit.initializers import kaiming
from jaxinit.replay import (
    numpy_generator,
    numpy_legacy,
    python_random,
    tf_stateful,
    torch_cpu,
    torch_layers,
)
from jaxinit.signal import (
    Study,
    predict,
    study,
    to_json,
)

MODULES = ["jaxinit", "jaxinit.signal", "jaxinit.asserts"]
MODULES += ["jaxinit.flax", "jaxinit.haiku", "jaxinit.equinox"]
for package in (presets, replay):
    names = [m.name for m in pkgutil.iter_modules(package.__path__)]
    MODULES += [f"{package.__name__}.{n}" for n in names if n[0] != "_" and n != "common"]


def _is_public(module: str, name: str, value: Any) -> bool:
    if name.startswith("_") or not inspect.isfunction(value):
        return False
    home = value.__module__
    if home in ("jaxinit._boundary", "jaxinit._checks", "jaxinit._paths"):
        return False
    if module in ("jaxinit", "jaxinit.signal", "jaxinit.asserts"):
        return home.startswith("jaxinit")
    return home == module


FUNCTIONS: dict[str, Callable[..., Any]] = {}
for module in MODULES:
    for name, value in vars(importlib.import_module(module)).items():
        if _is_public(module, name, value):
            short = module.removeprefix("jaxinit").removeprefix(".")
            FUNCTIONS[f"{short}.{name}".lstrip(".")] = value

PARAMS = {"w": jnp.ones((4, 3)), "b": jnp.zeros(3)}
X = jnp.ones((2, 4))


def apply(params: Any, x: jax.Array) -> jax.Array:
    return x @ params["w"] + params["b"]


USES = jaxinit.trace_params(apply, PARAMS, X)
RULES = [("**", jaxinit.zeros)]
SMALL = study("relu", "xavier_normal", depth=2, width=4, seeds=2)

# What a parameter of that name is given where a call is to be right but for one argument.
GOOD: dict[str, Any] = {
    "key": jax.random.key(0),
    "key_or_seed": 0,
    "shape": (4, 6),
    "params": PARAMS,
    "rules": RULES,
    "uses": USES,
    "base": USES,
    "inputs": (X,),
    "apply_fn": apply,
    "init_fn": lambda _key: PARAMS,
    "path": "a/b",
    "name": "normal",
    "config": {"name": "normal"},
    "initializer": jaxinit.normal,
    "init": jaxinit.normal,
    "scales": [1.0, 2.0, 3.0, 4.0],
    "nonlinearity": "relu",
    "activation": "relu",
    "x": np.ones((4, 4)),
    "array": np.ones((4, 4)),
    "tree": {"a": np.ones((4, 4))},
    "asked": Study("relu", "xavier_normal", depth=2, width=4, seeds=2),
    "seed": 0,
    "q": 1.0,
    "sigma_w": 1.0,
    "num_layers": 2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "residual": "**/w",
    "value": 0.5,
    "sparsity": 0.5,
    "low": 0.0,
    "high": 1.0,
}
GOOD |= {
    "spec": "xavier_normal",
    "result": SMALL,
    "prediction": predict("relu", "xavier_normal", depth=2, width=4),
    "text": to_json([SMALL]),
    "results": [SMALL],
    "studies": [],
    "c": 0.5,
    "sigma_b": 0.1,
    "distribution": asserts.Distribution(1.0),
    "n": 16,
    "std": 1.0,
    "variance": 1.0,
    "expected": asserts.Distribution(1.0),
    "build": lambda _key: PARAMS,
    "net": apply,
    "module": None,
    "model": torch_layers.Linear(2, 3),
    "state": {},
    "library": "flax",
    "beta": 1.0,
    "num_branches": 2,
    "layers_per_branch": 2,
    "width": 4,
    "hidden_size": 4,
    "embed_dim": 4,
    "in1_features": 4,
    "d_model": 4,
    "d_kv": 4,
    "num_heads": 2,
    "d_ff": 4,
    "variant": "B16",
    "policy": "a",
    "values": [0.0],
    "index": 0,
    "mask": [True],
}
STREAMS = {
    "torch_cpu": torch_cpu.manual_seed(0),
    "torch_layers": torch_cpu.manual_seed(0),
    "numpy_legacy": numpy_legacy.seed(0),
    "python_random": python_random.seed(0),
    "tf_stateful": tf_stateful.set_seed(0),
    "numpy_generator": numpy_generator.default_rng(0),
}
# Small studies; and functions by which users' own code runs, whose errors are theirs.
DEFAULTS: dict[str, dict[str, Any]] = {
    "signal.study": {"depth": 2, "width": 4, "seeds": 2},
    "signal.jacobian_singular_values": {"depth": 2, "width": 4, "seeds": 2},
    "signal.predict": {"depth": 2, "width": 4},
    "signal.study_model": {"seeds": 2},
}
SLOW = {"signal.study_model", "signal.study", "signal.jacobian_singular_values"}
FEW = ("None", "str", "set", "nan", "huge", "minus one", "key")
THEIRS = {"apply_fn", "inputs", "params"}
WRONG: dict[str, Any] = {
    "None": None,
    "str": "no such thing",
    "empty str": "",
    "bytes": b"ab",
    "set": {3, 4},
    "bool": True,
    "object": object(),
    "nan": math.nan,
    "inf": math.inf,
    "huge": 10**400,
    "minus one": -1,
    "half": 0.5,
    "list": [],
    "list of None": [None],
    "dict": {},
    "dict of int": {"a": 1},
    "complex": 1j,
    "type": int,
    "array of str": np.array(["a", "b"]),
    "array of objects": np.array([None, object()], object),
    "array of bool": np.zeros((2, 2), bool),
    "empty array": jnp.zeros((0, 3)),
    "array of nan": np.full((2, 2), np.nan),
    "int array": np.arange(6).reshape(2, 3),
    "key": jax.random.key(0),
    "function of nothing": lambda: None,
    "function that gives None": lambda *_args, **_options: None,
}


def good_call(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """Return arguments by name, those that have no default."""
    module = name.split(".")[-2] if "." in name else ""
    known = GOOD | {"stream": STREAMS.get(module)}
    parameters = inspect.signature(function).parameters.values()
    needed = {p.name: known.get(p.name, "x") for p in parameters if p.default is p.empty}
    return needed | DEFAULTS.get(name, {})


def call(function: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Call with arguments by name, those of ``*args`` and ``**options`` unpacked."""
    signature = inspect.signature(function)
    positional, named = [], {}
    for name, value in arguments.items():
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_POSITIONAL:
            positional += value if isinstance(value, tuple) else [value]
        elif kind in (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        ):
            positional.append(value)
        elif kind is inspect.Parameter.KEYWORD_ONLY:
            named[name] = value
    return function(*positional, **named)


def complaint(name: str, arguments: dict[str, Any]) -> str:
    """Return what is wrong with the error of a call, or nothing."""
    function = FUNCTIONS[name]
    short = function.__name__
    try:
        call(function, arguments)
    except (ValueError, TypeError, AssertionError) as error:
        text = str(error)
        if type(error) is AssertionError and short.startswith("assert_"):
            return ""
        if type(error) not in (ValueError, TypeError):
            return f"{type(error).__name__}: {text}"
        form = rf"^([a-z_]+\.)?{short}(: .+)?: .+; got .+\. .*[.?]$"
        return "" if re.match(form, text, re.S) and len(text) < 3000 else text
    except OSError:  # of a path that cannot be written
        return ""
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""


KINDS = sorted(n for n in FUNCTIONS if not n.endswith("halves_of"))


@pytest.mark.parametrize("name", KINDS)
def test_every_public_function_is_a_boundary(name: str) -> None:
    assert hasattr(FUNCTIONS[name], "__wrapped__"), f"{name} has no @boundary"


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", KINDS)
def test_wrong_kinds(name: str) -> None:
    """Each argument in turn is of every wrong kind: it works or there is one clear line."""
    function = FUNCTIONS[name]
    good = good_call(name, function)
    found = [
        f"{argument}={kind}: {text}"
        for argument in inspect.signature(function).parameters
        if not (argument in THEIRS and "apply_fn" in good)
        for kind, wrong in WRONG.items()
        if name not in SLOW or kind in FEW
        if (text := complaint(name, {**good, argument: wrong}))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", KINDS)
def test_wrong_calls(name: str) -> None:
    function = FUNCTIONS[name]
    short = function.__name__
    takes_any = any(
        p.kind is p.VAR_KEYWORD for p in inspect.signature(function).parameters.values()
    )
    if not takes_any:
        with pytest.raises(TypeError) as error:
            function(**good_call(name, function) | {"no_such_option": 1})
        assert re.match(
            rf"^([a-z_]+\.)?{short}: an argument must be one of ", str(error.value)
        )
    required = [
        p
        for p in inspect.signature(function).parameters.values()
        if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
    ]
    if required:
        with pytest.raises(TypeError) as refused:
            function()
        assert re.match(rf"^([a-z_]+\.)?{short}: .+; got ", str(refused.value))


# Calls as they are written, and the one line that they give.
TEXTS = {
    "jaxinit.he_normal()": (
        "kaiming_normal: key and shape must be given; got no arguments. kaiming_normal is the "
        "initializer itself, and no factory of one: pass kaiming_normal, or "
        "functools.partial(kaiming_normal, ...) with options."
    ),
    "jaxinit.lecun_normal(in_axis=-2, out_axis=-1)": (
        "lecun_normal: an argument must be one of key, shape, dtype, gain, layout, "
        "window, out_sharding; got in_axis=-2. Say what each axis is, one letter an axis, in place of "
        'axis numbers: functools.partial(lecun_normal, layout="IO").'
    ),
    "partial(jaxinit.normal, stdd=1)(K, (3, 4))": (
        "normal: an argument must be one of key, shape, dtype, mean, std, window, out_sharding; got "
        "stdd=1. Did you mean 'std'?"
    ),
    "jaxinit.normal(K, (3, 4), stddev=1.0)": (
        "normal: an argument must be one of key, shape, dtype, mean, std, window, out_sharding; got "
        "stddev=1.0. It is called std here."
    ),
    "jaxinit.normal(K, (3, 4), None, 0.0, 1.0)": (
        "normal: it takes 3 arguments by position (key, shape, dtype); got 5. Name the "
        "others: mean=..., std=..., window=..., out_sharding=...."
    ),
    "jaxinit.normal(jnp.zeros(3, 'uint32'), (3, 4))": (
        "normal: a legacy key must have 2 words, as the default key type has; got an array of "
        "3 words. Give a typed key: jax.random.wrap_key_data(key, impl=...)."
    ),
    "jaxinit.normal(jnp.zeros(4, 'uint32'), (3, 4))": (
        "normal: a legacy key must have 2 words, as the default key type has; got an array of "
        "4 words. Give a typed key: jax.random.wrap_key_data(key, impl=...)."
    ),
    "jaxinit.normal(K, (3,), mean=10**400)": (
        "normal: mean must be a finite number; got mean=inf. Give a value in that range."
    ),
    "jaxinit.Fans(10**400, 1)": (
        "Fans: fan_in must be a finite number; got fan_in=inf. Give a value in that range."
    ),
    "jaxinit.normal(K, b'ab')": (
        "normal: shape must be a sequence of non-negative ints; got shape=b'ab'. Write it as "
        "a tuple: (3, 4)."
    ),
    "jaxinit.normal(K, {3, 4})": (
        "normal: shape must be a sequence of non-negative ints; got shape={3, 4}. Write it as "
        "a tuple: (3, 4)."
    ),
    "jaxinit.normal(K, (True, 4))": (
        "normal: shape must be a sequence of non-negative ints; got shape=(True, 4). Write it "
        "as a tuple: (3, 4)."
    ),
    "jaxinit.normal(K, '')": (
        "normal: shape must be a sequence of non-negative ints; got shape=''. Write it as a "
        "tuple: (3, 4)."
    ),
    "jaxinit.normal(K, (2**64, 2))": (
        "normal: no length may be above 2**63 - 1; got shape=(18446744073709551616, 2). Split "
        "the array."
    ),
    "jaxinit.normal(K, (2**40, 2**40))": (
        "normal: an array must have fewer than 2**59 entries to be made; got "
        "shape=(1099511627776, 1099511627776). Ask jax.eval_shape for its shape alone."
    ),
    "jaxinit.kaiming_normal(K, (3, 4), layout='XY')": (
        "kaiming_normal: axes must be letters of IOBDHW, one an axis; got axes='XY'. For a "
        'dense kernel (in, out) write "IO".'
    ),
    "signal.run_studies(3, 'a.json')": (
        "run_studies: studies must be a sequence; got studies=3. See help(run_studies)."
    ),
    "jaxinit.plan(PARAMS, RULES, uses=3)": (
        "plan: uses must be Uses or None; got uses=3. See help(plan)."
    ),
    "jaxinit.plan(PARAMS, [('**', partial(jaxinit.normal, stdd=1))])": (
        "plan: an option of normal must be one of mean, std, window, out_sharding; got stdd=1. Did "
        "you mean 'std'?"
    ),
    "signal.assert_kept(SMALL, layer='é')": (
        "assert_kept: layer must be an int or None; got layer='é'. See help(assert_kept)."
    ),
    "signal.length_map('relu', 1.0, math.nan, 0.0)": (
        "length_map: sigma_w must be a finite number; got sigma_w=nan. Give a value in that "
        "range."
    ),
    "signal.correlation_map('relu', 0.5, 1.0, math.nan, 0.0)": (
        "correlation_map: sigma_w must be a finite number; got sigma_w=nan. Give a value in "
        "that range."
    ),
    "signal.mean_field('relu', 1.0, 1e20)": (
        "mean_field: sigma_b must be a finite number, at least 0 and at most 1e+09; got "
        "sigma_b=1e+20. Give a value in that range."
    ),
    "jaxinit.initialize(K, PARAMS, [('**', lambda *_: None)])": (
        "initialize: an initializer must give the shape and dtype that it is asked for; got "
        "None for b (3,). Change <lambda>."
    ),
}


@pytest.mark.parametrize("text", TEXTS)
def test_texts(text: str) -> None:
    known = globals() | {"K": jax.random.key(0), "partial": functools.partial}
    known |= {"signal": jaxinit.signal}
    with pytest.raises((ValueError, TypeError)) as error:
        eval(text, known)
    assert str(error.value) == TEXTS[text]


def test_huge_shapes_cost_nothing_as_shapes() -> None:
    for function in (jaxinit.identity, jaxinit.normal, jaxinit.lecun_uniform):
        found = jax.eval_shape(lambda k, f=function: f(k, (2**40, 2**40)), GOOD["key"])
        assert found.shape == (2**40, 2**40)


def test_errors_of_users_functions_are_theirs() -> None:
    """An error from a user's own code keeps its text, and a refusal in it its name."""

    def broken(params: Any, x: jax.Array) -> jax.Array:
        raise KeyError("mine")

    def refused(params: Any, x: jax.Array) -> jax.Array:
        return x @ jaxinit.normal(GOOD["key"], (4, 3), std=-1.0)

    with pytest.raises(KeyError, match="mine"):
        jaxinit.trace_params(broken, PARAMS, X)
    with pytest.raises(
        ValueError, match=r"^normal: std must be a finite number, at least 0"
    ):
        jaxinit.trace_params(refused, PARAMS, X)


def test_signature_docstring_and_examples_stay() -> None:
    function = jaxinit.kaiming_normal
    assert function.__name__ == "kaiming_normal"
    assert list(inspect.signature(function).parameters)[:3] == ["key", "shape", "dtype"]
    found = doctest.DocTestFinder().find(kaiming)
    assert any(test.name.endswith(".kaiming_normal") and test.examples for test in found)
