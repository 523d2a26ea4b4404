"""Initializers by name and as plain data."""

import functools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit
from jaxinit import Fans, Layout, from_config, get, get_config
from jaxinit._distribution import distribution_of
from jaxinit.initializers.named import BY_NAME, KERAS
from tests.registry import CASES, Case

KEY = jax.random.key(0)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_config_goes_there_and_back(case: Case) -> None:
    config = get_config(case.init)
    made = from_config(json.loads(json.dumps(config)))
    np.testing.assert_array_equal(made(KEY, case.shape), case.init(KEY, case.shape))
    assert get_config(made) == config


@pytest.mark.parametrize(
    "layout", ["OI", Layout("HWIO", groups=4), Layout("OI", 2, "I"), Fans(3.0, 5.0)]
)
def test_layouts_in_a_config(layout: Any) -> None:
    config = get_config(functools.partial(jaxinit.kaiming_normal, layout=layout))
    made: Any = from_config(json.loads(json.dumps(config)))
    expected = layout if isinstance(layout, (Layout, Fans)) else "OI"
    assert made.keywords["layout"] == expected


WRONG = {
    "scale": (
        {"name": "variance_scaling", "scale": -1},
        "from_config: scale must be a finite number, at least 0; got scale=-1. Give a value "
        "in that range.",
    ),
    "mode": (
        {"name": "kaiming_normal", "mode": "bogus"},
        "from_config: mode must be one of fan_in, fan_out, fan_avg, fan_geo_avg; got "
        "mode='bogus'. Choose one of these.",
    ),
    "std": (
        {"name": "normal", "std": "x"},
        "from_config: std must be a finite number, at least 0; got std='x'. Give a float.",
    ),
    "layout": (
        {"name": "lecun_normal", "layout": "XY"},
        "from_config: axes must be letters of IOBDHW, one an axis; got axes='XY'. For a dense "
        'kernel (in, out) write "IO".',
    ),
    "layout data": (
        {"name": "lecun_normal", "layout": {"axis": "IO"}},
        "from_config: layout must have axes, groups, grouped; got {'axis': 'IO'}. Leave the "
        "others out.",
    ),
    "bounds": (
        {"name": "truncated_normal", "low": 2.0, "high": 1.0},
        "from_config: high must be above low; got low=2, high=1. Give a wider interval.",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_values_are_checked_at_once(name: str) -> None:
    config, text = WRONG[name]
    with pytest.raises((ValueError, TypeError)) as error:
        from_config(config)
    assert str(error.value) == text


def test_unknown_activation_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"^from_config: nonlinearity must be one of "):
        from_config({"name": "kaiming_normal", "nonlinearity": "nope"})


def test_what_is_no_data() -> None:
    with pytest.raises(ValueError) as error:
        get_config(functools.partial(jaxinit.kaiming_normal, nonlinearity=jnp.tanh))
    assert str(error.value) == (
        "get_config: option nonlinearity must be plain data; got nonlinearity=tanh. Bind it "
        "after from_config."
    )
    with pytest.raises(TypeError) as error_2:
        get_config(jax.nn.initializers.zeros)
    assert str(error_2.value) == (
        "get_config: initializer must be one of this library, perhaps with options bound; "
        "got zeros. Give for example jaxinit.lecun_normal."
    )


def test_names_of_keras() -> None:
    """Standard deviations and bounds of Keras 3's defaults, from its source."""
    expected = {
        "GlorotNormal": (2 / 160) ** 0.5,
        "HeNormal": (2 / 64) ** 0.5,
        "LecunNormal": (1 / 64) ** 0.5,
        "RandomNormal": 0.05,
        "random_normal": 0.05,
        "random_uniform": 0.1 / 12**0.5,
        "TruncatedNormal": 0.05 * 0.8796256610342398,
        "VarianceScaling": (1 / 64) ** 0.5,
    }
    for name, std in expected.items():
        assert distribution_of(get(name), (64, 96)).std == pytest.approx(std, rel=1e-9)
    assert distribution_of(get("GlorotNormal"), (64, 96)).name == "truncated_normal"
    assert distribution_of(get("glorot_normal"), (64, 96)).name == "normal"
    for name in KERAS:
        assert get(name)(KEY, (4, 4)).shape == (4, 4)
    assert not set(KERAS) & set(BY_NAME)
    assert from_config({"name": "RandomNormal", "std": 0.1}).keywords == {"std": 0.1}  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    "value", [0.5, 3, np.arange(4.0), [1.0, 2.0, 3.0, 4.0], jnp.ones(4)]
)
def test_a_number_or_an_array_is_a_constant(value: Any) -> None:
    made = get(value)(None, (3, 4))
    np.testing.assert_array_equal(made, np.broadcast_to(np.asarray(value, float), (3, 4)))


def test_fans_unpack() -> None:
    fan_in, fan_out = jaxinit.compute_fans((3, 3, 64, 128))
    assert (fan_in, fan_out) == (576, 1152)
    with pytest.raises(TypeError) as error:
        Fans(True, 3)
    assert (
        str(error.value)
        == "Fans: fan_in must be a finite number; got fan_in=True. Give a float."
    )
