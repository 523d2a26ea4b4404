"""Every public function: whatever it is given, it works or says in one line what is wrong."""

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
import jaxinit.replay
from jaxinit import asserts, presets, replay
from jaxinit.replay import numpy_generator, numpy_legacy, torch_cpu, torch_layers
from jaxinit.signal import Study, predict, study, to_json

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
    "init_fn": lambda key: PARAMS,
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
    "build": lambda: PARAMS,
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
}
STREAMS = {
    "torch_cpu": torch_cpu.manual_seed(0),
    "torch_layers": torch_cpu.manual_seed(0),
    "numpy_legacy": numpy_legacy.seed(0),
    "numpy_generator": numpy_generator.default_rng(0),
}
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
    return {p.name: known.get(p.name, "x") for p in parameters if p.default is p.empty}


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
    try:
        call(function, arguments)
    except (ValueError, TypeError, AssertionError) as error:
        text = str(error)
        short = function.__name__
        if type(error) is AssertionError and name.split(".")[-1].startswith("assert_"):
            return ""
        if type(error) not in (ValueError, TypeError):
            return f"{type(error).__name__}: {text}"
        form = rf"^([a-z_]+\.)?{short}(: .+)?: .+; got .+\. .*[.?]$"
        if "as its help says" in text:
            return "VAGUE " + text + " | " + repr(error.__cause__)[:100]
        return "" if re.match(form, text, re.S) and len(text) < 3000 else text
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return ""
