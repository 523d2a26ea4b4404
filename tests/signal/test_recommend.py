"""Recommendations, phase diagrams, Jacobians and assertions."""

import dataclasses
import functools
import re
from typing import Any

import numpy as np
import pytest

from jaxinit.signal import (
    Scheme,
    assert_kept,
    assert_predicted,
    jacobian_singular_values,
    mean_field,
    phase_diagram,
    predict,
    recommend,
    study,
)

recommended = functools.cache(recommend)
"""For 100 layers; several tests look at the same recommendation."""


@pytest.mark.parametrize(
    ("activation", "start"),
    [
        ("relu", "kaiming_normal"),
        ("tanh", "critical:"),
        ("selu", "critical:"),
        ("gelu", "critical"),
        ("mish", "critical"),
    ],
)
def test_what_is_recommended_keeps(activation, start):
    advice = recommended(activation)
    assert advice.best.scheme.name.startswith(start)
    assert advice.best.loss < 1.2
    assert advice.best.chi_1 == pytest.approx(1, abs=1e-5)
    assert all(advice.best.loss <= other.loss + 0.3 for other in advice.others)


def test_what_is_wrong_with_published_gains():
    """Reference means over seeds at layer 100: 3.21 for GELU, 3.92 for tanh, 1.44 for SELU."""
    others = {c.scheme.name: c for c in recommended("gelu").others}
    assert others["kaiming_normal"].log10_std[-1] == pytest.approx(3.21, abs=0.02)
    others = {c.scheme.name: c for c in recommended("tanh").others}
    assert others["kaiming_normal"].log10_grad[0] == pytest.approx(3.92, abs=0.05)
    others = {c.scheme.name: c for c in recommended("selu").others}
    assert others["lecun_normal"].log10_grad[0] == pytest.approx(1.44, abs=0.03)


def test_recommendations_hold_in_the_experiment():
    advice = recommend("tanh", depth=30, width=128)
    result = study("tanh", advice.best.scheme, depth=30, width=128, seeds=16)
    assert_kept(result)
    assert_kept(result, quantity="log10_grad")


def test_no_edge_is_said():
    for name in ("softplus", "sigmoid"):
        advice = recommend(name)
        assert "no usable edge of chaos" in advice.why


def test_calls_are_python() -> None:
    for advice in (recommend("gelu", depth=20, width=8), recommend("relu", width=8)):
        names: dict[str, Any] = {}
        exec("\n".join(advice.calls), names)
        assert names["weight"].shape == (8, 8)
        std = advice.best.scheme.sigma_w / 8**0.5
        assert abs(names["weight"].std() / std - 1) < 0.45  # 5 standard errors of 64 values


@pytest.mark.parametrize("name", ["tanh", "gelu", "relu", "hard_tanh"])
def test_phase_diagram_is_mean_field_at_every_point(name):
    diagram = phase_diagram(name, np.linspace(0.5, 3, 4), np.linspace(0, 0.8, 3))
    for i, sigma_b in enumerate(diagram.sigma_b):
        for j, sigma_w in enumerate(diagram.sigma_w):
            point = mean_field(name, sigma_w, sigma_b)
            np.testing.assert_allclose(diagram.q[i, j], point.q, rtol=1e-9)
            np.testing.assert_allclose(diagram.c[i, j], point.c, atol=1e-6)
            if np.isfinite(point.xi_c):
                np.testing.assert_allclose(diagram.xi_c[i, j], point.xi_c, rtol=1e-5)


def test_edge_of_the_diagram():
    edge_w, edge_b = phase_diagram("tanh", [1.0], [0.0]).edge
    at = np.interp(0.05**0.5, edge_b, edge_w)
    assert at == pytest.approx(1.327010, abs=1e-4)
    assert phase_diagram("relu", [1.0], [0.0]).edge[0][0] == pytest.approx(2**0.5)


def test_dynamical_isometry():
    """Variance of squared singular values: L (mu2 / mu1^2 - 1 - s1), Pennington 2017."""
    orthogonal = jacobian_singular_values(
        "linear", "orthogonal", depth=30, width=64, seeds=2
    )
    np.testing.assert_allclose(orthogonal, 0, atol=1e-3)
    gauss = jacobian_singular_values("linear", "lecun_normal", depth=4, width=256, seeds=8)
    squares = 10 ** (2 * gauss)
    assert squares.mean() == pytest.approx(1, abs=0.1)
    # Free probability: the second moment of a product of L Gaussian matrices is L + 1.
    assert (squares**2).mean() == pytest.approx(5, rel=0.15)
    spread = {}
    for distribution in ("orthogonal", "normal"):
        small = Scheme(distribution, distribution, 1.001, first_sigma_w=0.05)
        values = jacobian_singular_values("tanh", small, depth=30, width=64, seeds=1)
        spread[distribution] = values.max() - values.min()
    assert spread["orthogonal"] < 0.5
    assert spread["normal"] > 4


def test_jacobian_is_the_gradient():
    """The rms gradient over many ends is the root mean square of the singular values."""
    values = jacobian_singular_values("tanh", "normal:1.5,0.1", depth=6, width=64, seeds=4)
    found = study("tanh", "normal:1.5,0.1", depth=6, width=64, seeds=4)
    rms = np.log10((10 ** (2 * values)).mean(1)) / 2
    np.testing.assert_allclose(found.values["log10_grad"][:, 0], rms, atol=0.3)


def test_a_product_that_underflows_is_kept():
    values = jacobian_singular_values("tanh", "unit_uniform", depth=200, width=32, seeds=1)
    assert np.isfinite(values).all()
    assert -56 < values.max() < -40


@pytest.fixture(scope="module")
def kept():
    return study("relu", "kaiming_normal", depth=20, width=128, seeds=16)


def test_assertions_pass_and_reject(kept):
    assert_kept(kept)
    assert_kept(kept, quantity="log10_grad", layer=0)
    line = predict("relu", "kaiming_normal", depth=20, width=128)
    assert_predicted(kept, line)
    assert_predicted(kept, line, quantity="log10_grad")
    values = {**kept.values, "log10_std": kept.values["log10_std"] - 0.1 * np.arange(21)}
    planted = dataclasses.replace(kept, values=values)
    text = "relu, kaiming_normal: log10_std keeps within 1 of its start for 0% of 16 seeds"
    with pytest.raises(AssertionError, match=re.escape(text)):
        assert_kept(planted)
    with pytest.raises(AssertionError, match=r"log10_std at layer 20 is .* from theory"):
        assert_predicted(planted, line)
    assert_kept(planted, layer=3)


def test_refusals():
    with pytest.raises(
        ValueError, match=r"^phase_diagram: sigma_w and sigma_b must be finite"
    ):
        phase_diagram("tanh", [-1.0, 1.0], [0.0])
    with pytest.raises(ValueError, match=r"^recommend: activation must be one of"):
        recommend("geluu")
    with pytest.raises(ValueError, match=r"^recommend: depth must be an int, at least 1"):
        recommend("gelu", 0)
    with pytest.raises(ValueError, match=r"^assert_kept: quantity must be one of"):
        assert_kept(study(depth=2, width=8, seeds=1), quantity="std")
    with pytest.raises(ValueError, match=r"^jacobian_singular_values: kind must be one of"):
        jacobian_singular_values(kind="conv")
