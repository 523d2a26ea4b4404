"""Theory reads a user's activation anew at each call, and keeps nothing of it."""

import dataclasses
import gc
import weakref
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest

from jaxinit._gaussian import Once, resolve
from jaxinit.signal import (
    correlation_map,
    critical_line,
    fixed_points,
    jacobian_singular_values,
    length_map,
    mean_field,
    moments,
    predict,
    recommend,
    study,
    tailor,
)
from jaxinit.signal.studies.network import Network, compiled, measure


class Leaky:
    """An activation that can be changed."""

    def __init__(self, slope: float) -> None:
        self.slope = slope

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.tanh(x) * self.slope + 0.1 * x


READERS: dict[str, Callable[[Any], Any]] = {
    "moments": lambda f: float(moments(f, 1.0).square),
    "length_map": lambda f: float(length_map(f, 1.0, 1.5, 0.1)),
    "correlation_map": lambda f: correlation_map(f, 0.5, 1.0, 1.5, 0.1),
    "critical_line": lambda f: float(critical_line(f, 0.5).sigma_w),
    "fixed_points": lambda f: fixed_points(f, 2.0, 0.1)[-1].q,
    "mean_field": lambda f: str(mean_field(f, 2.0, 0.1)),
    "predict": lambda f: float(
        predict(f, "lecun_normal", depth=2, width=8).band("log10_std").median[-1]
    ),
    "study": lambda f: float(
        study(f, "lecun_normal", depth=2, width=8, seeds=1).band("log10_std").median[-1]
    ),
    "study_init": lambda f: float(
        study("tanh", initializer(f), depth=2, width=8, seeds=1)
        .band("log10_std")
        .median[-1]
    ),
    "jacobian_singular_values": lambda f: float(
        jacobian_singular_values(f, "orthogonal", depth=2, width=8, seeds=1).max()
    ),
}


def initializer(f: Leaky) -> Callable[..., jax.Array]:
    return lambda key, shape, dtype: f(jax.random.normal(key, shape, dtype))


@pytest.mark.parametrize("name", READERS)
def test_a_changed_activation_is_read_anew(name: str) -> None:
    read, activation = READERS[name], Leaky(1.0)
    first = read(activation)
    activation.slope = 0.5
    second = read(activation)
    assert second == read(Leaky(0.5)) != first
    activation.slope = 1.0
    assert read(activation) == first


@pytest.mark.parametrize("name", [*READERS, "recommend", "tailor"])
def test_an_activation_is_not_kept_alive(name: str) -> None:
    more: dict[str, Callable[[Any], Any]] = {
        "recommend": lambda f: recommend(f, depth=4, width=8).activation,
        "tailor": lambda f: str(tailor(f, 8).input_scale),
    }
    activation = Leaky(1.0)
    (READERS | more)[name](activation)
    gone = weakref.ref(activation)
    del activation
    gc.collect()
    assert gone() is None


def test_one_call_resolves_a_function_once() -> None:
    once = Once(Leaky(1.0))
    assert resolve(once) is resolve(once)
    assert resolve(once) is not resolve(Once(once.function))
    assert resolve(jnp.tanh) is resolve(jnp.tanh)


def test_programs_of_named_networks_are_shared() -> None:
    named = Network(jnp.tanh, "normal", depth=2, width=8)
    custom = dataclasses.replace(named, activation=Once(jnp.tanh))
    assert compiled(measure, (named,), ()) is compiled(measure, (named,), ())
    assert compiled(measure, (custom,), ()) is not compiled(measure, (custom,), ())
