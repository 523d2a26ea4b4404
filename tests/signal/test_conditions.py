"""What the numbers of a study depend on, and what they do not."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit
from jaxinit.signal import (
    Study,
    jacobian_singular_values,
    predict,
    recommend,
    run_studies,
    study,
    study_model,
)
from jaxinit.signal.studies.conditions import root_key


def small(activation: Any = "tanh", init: Any = "normal:1.1,0.1", **options: Any) -> Any:
    return study(activation, init, **{"depth": 3, "width": 8, "seeds": 2, **options})


def own(key, shape, dtype):
    """An initializer whose draws follow the settings of JAX."""
    return jax.random.normal(key, shape, dtype) / 3


@pytest.fixture(scope="module")
def plain():
    return small(), small(init=own), model()


def model() -> Any:
    params = {"w": jax.ShapeDtypeStruct((8, 8), "float32")}
    return study_model(lambda p, x: jnp.tanh(x @ p["w"]), params, jnp.ones((2, 8)), seeds=2)


SETTINGS = {
    "jax_threefry_partitionable": False,
    "jax_default_prng_impl": "rbg",
    "jax_debug_nans": True,
    "jax_debug_infs": True,
    "jax_numpy_rank_promotion": "raise",
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_of_jax_change_no_number(name, plain):
    before = getattr(jax.config, name)
    jax.config.update(name, SETTINGS[name])
    try:
        found = small(), small(init=own), model()
        dying = small(init="normal:1e-30", depth=6, dtype="float16")
        recommend("tanh", 5)
        predict("relu", "lecun_normal", depth=5)
        jacobian_singular_values(depth=2, width=4, seeds=1)
    finally:
        jax.config.update(name, before)
    assert np.isneginf(dying.values["log10_std"]).any()
    for one, other in zip(plain, found, strict=True):
        assert one.settings == other.settings
        for quantity, values in one.values.items():
            np.testing.assert_array_equal(values, other.values[quantity], quantity)


def test_all_bits_of_a_seed_count():
    seeds = (0, 1, 2**32, 2**32 + 1, 2**63, 2**64 - 1)
    firsts = {float(small(seed=s).values["log10_std"][0, -1]) for s in seeds}
    assert len(firsts) == len(seeds)
    for seed in seeds[:2]:
        key = jax.random.key(seed, impl="threefry2x32")
        assert (jax.random.key_data(root_key(seed)) == jax.random.key_data(key)).all()
    with jax.enable_x64(True):
        wide = jax.random.key_data(jax.random.key(2**32 + 5, impl="threefry2x32"))
        assert (jax.random.key_data(root_key(2**32 + 5)) == wide).all()


@pytest.mark.parametrize("seed", [-1, 2**64, 0.9, "0", True, None])
@pytest.mark.parametrize(
    "call",
    [
        small,
        lambda seed: run_studies([Study(seed=seed)]),
        lambda seed: jacobian_singular_values(seed=seed),
        lambda seed: study_model(
            lambda p, x: x @ p, jnp.ones((2, 2)), jnp.ones(2), seed=seed
        ),
    ],
)
def test_a_seed_is_an_int_of_64_bits(call, seed):
    kind = ValueError if type(seed) is int else TypeError
    with pytest.raises(kind, match=r"seed must be an int from 0 to 2\*\*64 - 1; got seed="):
        call(seed=seed)


def labelled(activation, init):
    return Study(activation, init, depth=3, width=8, seeds=2)


def test_functions_of_one_name_are_told_apart_in_a_file(tmp_path):
    path = tmp_path / "a.json"
    pairs: list[tuple[Any, Any]] = [
        (lambda x: jnp.sin(2 * x), own),
        (lambda x: jnp.cos(2 * x), own),
        (jnp.tanh, functools.partial(jaxinit.normal, std=np.float32(0.1))),
        (jnp.tanh, functools.partial(jaxinit.normal, std=np.float32(0.2))),
        (jnp.tanh, functools.partial(jaxinit.normal, std=0.3)),
    ]
    found = [run_studies([labelled(*pair)], path)[0] for pair in pairs]
    assert found[0].label == found[1].label
    ends = {float(one.values["log10_std"][0, -1]) for one in found}
    assert len(ends) == len(pairs)
    again = [run_studies([labelled(*pair)], str(path))[0] for pair in pairs]
    for one, other in zip(found, again, strict=True):
        np.testing.assert_allclose(
            one.values["log10_std"], other.values["log10_std"], rtol=1e-6
        )
        assert other.runs == again[0].runs or other.runs[0]["seeds"] == "0 to 1"
    # The same function by another name is the same study.
    (named,) = run_studies([labelled("tanh", pairs[4][1])], path)
    assert len(named.runs) == 1


def test_a_function_that_has_changed_is_run_anew():
    table = np.ones(8, np.float32)

    def scaled(x):
        return jnp.tanh(x * table)

    before = small(scaled)
    table[:] = 3
    after = small(scaled)
    assert before.settings != after.settings
    assert np.abs(before.values["log10_std"] - after.values["log10_std"]).max() > 0.1


def test_slopes_count_in_the_digest():
    def with_slope(slope):
        @jax.custom_jvp
        def f(x):
            return x

        f.defjvp(lambda x, v: (x[0], slope * v[0]))
        return f

    one, other = (small(with_slope(s)) for s in (1.0, 2.0))
    assert one.settings["activation_digest"] != other.settings["activation_digest"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"init": lambda *_: None}, r"init must return .*; got None for \(8, 8\)"),
        ({"init": lambda *_: jnp.ones(3)}, r"got \(3,\) for \(8, 8\)"),
        ({"activation": lambda x: x[..., 0]}, "activation must return an array of the"),
        ({"activation": float}, "a function of arrays that JAX can trace"),
        ({"init": lambda k, s, _: jnp.ones(s) * float(k)}, "that JAX can trace"),
    ],
)
def test_functions_are_checked_at_once(arguments, text):
    with pytest.raises(TypeError, match=f"study: .*{text}"):
        study(**{"activation": "tanh", "depth": 3, "width": 8, **arguments})
