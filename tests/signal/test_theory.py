"""Mean-field theory against reference numbers made with mpmath and against papers."""

import json
import math
import pathlib
import re

import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit._activations import ACTIVATION_NAMES, activation
from jaxinit.signal import (
    Scheme,
    correlation_map,
    critical_line,
    critical_points,
    doubly_critical_points,
    fixed_points,
    length_map,
    mean_field,
    moments,
    predict,
)
from jaxinit.signal.studies.network import Kind

DATA = pathlib.Path(__file__).parent.parent / "data"
GOLDEN = json.loads((DATA / "meanfield.json").read_text())


def named(golden_name):
    if golden_name in ACTIVATION_NAMES:
        return golden_name
    head, _, tail = golden_name.rpartition("_")
    return activation(head, math.sqrt(5) if tail == "sqrt5" else float(tail))


def grid_id(row):
    return f"{row['activation']}-{row['sigma_w2']:.3g}-{row['sigma_b2']:.3g}"


ORDINARY = [row for row in GOLDEN["grid"] if "c_star" in row and row["xi_c"]]


@pytest.mark.parametrize("row", ORDINARY, ids=grid_id)
def test_fixed_points_and_depth_scales(row):
    function = named(row["activation"])
    got = mean_field(function, math.sqrt(row["sigma_w2"]), math.sqrt(row["sigma_b2"]))
    wanted = [row[k] for k in ("q_star", "chi_q", "chi1", "c_star", "chi_c")]
    found = [got.q, got.chi_q, got.chi_1, got.c, got.chi_c]
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(got.xi_q, row["xi_q"], rtol=1e-8)
    np.testing.assert_allclose(got.xi_c, row["xi_c"], rtol=1e-7)
    for c, after in row["cmap"].items():
        there = correlation_map(function, float(c), got.q, got.sigma_w, got.sigma_b)
        assert abs(there[0] - after) < 1e-12


@pytest.mark.parametrize("name", GOLDEN["edge_of_chaos"])
def test_edge_of_chaos(name):
    entry = GOLDEN["edge_of_chaos"][name]
    for row in entry["by_q"]:
        point = critical_line(named(name), float(row["q_star"]))
        np.testing.assert_allclose(point.sigma_w**2, float(row["sigma_w2"]), rtol=1e-12)
        assert abs(point.sigma_b**2 - float(row["sigma_b2"])) < 1e-12
        assert abs(point.chi_q - float(row["chi_q"])) < 1e-12
    for row in entry["by_sigma_b2"]:
        (point,) = critical_points(named(name), math.sqrt(float(row["sigma_b2"])))
        np.testing.assert_allclose(point.sigma_w**2, float(row["sigma_w2"]), rtol=1e-10)
        np.testing.assert_allclose(point.q, float(row["q_star"]), rtol=1e-9)
        assert (point.chi_q < 1) == row["q_stable"]


@pytest.mark.parametrize("name", GOLDEN["doubly_critical"])
def test_doubly_critical_points_by_their_slopes(name):
    """The map itself is ill-conditioned there: q is a double root of it."""
    entry = GOLDEN["doubly_critical"][name]
    (point,) = doubly_critical_points(name)
    np.testing.assert_allclose(point.sigma_w**2, float(entry["sigma_w2"]), rtol=1e-12)
    np.testing.assert_allclose(point.sigma_b**2, float(entry["sigma_b2"]), rtol=1e-11)
    at = moments(name, point.q)
    assert abs(point.sigma_w**2 * at.slope_square - 1) < 1e-12
    assert abs(point.sigma_w**2 * at.growth - 1) < 1e-12


@pytest.mark.parametrize("name", GOLDEN["q0_limit"])
def test_the_edge_starts_at_small_signals(name):
    limit = critical_points(named(name), 0.0)[0]
    wanted = float(GOLDEN["q0_limit"][name]["sigma_w2_at_q0"])
    np.testing.assert_allclose(limit.sigma_w**2, wanted, rtol=1e-12)
    assert limit.q == 0


@pytest.mark.parametrize("name", GOLDEN["scale_invariant"])
def test_scale_invariant_functions(name):
    wanted = float(GOLDEN["scale_invariant"][name]["sigma_w2"])
    (point,) = critical_points(named(name))
    np.testing.assert_allclose(point.sigma_w**2, wanted, rtol=1e-12)
    assert math.isnan(point.q)
    assert critical_points(named(name), 0.1) == ()
    assert fixed_points(named(name), point.sigma_w, 0.0) == ()
    theory = mean_field(named(name), point.sigma_w)
    assert theory.phase == "critical"
    np.testing.assert_allclose(theory.q, wanted, rtol=1e-12)


def test_papers():
    """Values as the papers print them."""
    (tanh,) = critical_points("tanh", math.sqrt(0.05))  # Schoenholz et al. 2017
    assert round(tanh.sigma_w**2, 2) == 1.76
    (gelu,) = doubly_critical_points("gelu")  # Roberts, Yaida, Hanin 2021
    assert (round(gelu.sigma_w**2, 8), round(gelu.sigma_b**2, 8)) == (
        1.98305826,
        0.17292239,
    )
    (relu,) = critical_points("relu")  # He et al. 2015
    assert relu.sigma_w**2 == pytest.approx(2.0, abs=1e-14)
    bias = mean_field("tanh", math.sqrt(1.05), math.sqrt(2.01052133883e-5))
    assert abs(bias.chi_1 - 1) < 1e-10  # Pennington et al. 2017: 1.05 and 2.01e-5


BACKWARD = [row for row in ORDINARY if row["activation"] in ("tanh", "relu", "gelu")][:6]


@pytest.mark.parametrize("row", BACKWARD, ids=grid_id)
def test_gradients_grow_by_chi_1_a_layer(row):
    """The line of theory, far from both ends, against the reference's chi_1."""
    gains = math.sqrt(row["sigma_w2"]), math.sqrt(row["sigma_b2"])
    init = Scheme("reference", "normal", *gains)
    line = predict(named(row["activation"]), init, depth=150, width=10**12)
    median = line.band("log10_grad").median
    growth = (median[100] - median[120]) / 20
    assert growth == pytest.approx(math.log10(row["chi1"]) / 2, abs=2e-6)
    # Without sigma_w^2 it would be another number, unless that is 1.
    assert row["sigma_w2"] == 1 or abs(math.log10(row["sigma_w2"])) > 1e-3


@pytest.mark.parametrize("gain", [0.7, 1.3])
def test_gradients_of_linear_networks(gain):
    """Known in closed form, for each kind of network."""
    init, depth = Scheme("g", "normal", gain, 0.5), 20
    kinds: tuple[tuple[Kind, float], ...] = (
        ("dense", gain**2),
        ("residual", 1 + 0.3**2 * gain**2),
        ("normalized", gain**2 / (gain**2 + 0.5**2)),
    )
    for kind, growth in kinds:
        line = predict(
            "linear", init, depth=depth, width=10**12, kind=kind, branch_scale=0.3
        )
        want = (depth - np.arange(depth + 1)) * math.log10(growth) / 2
        np.testing.assert_allclose(line.band("log10_grad").median, want, atol=1e-9)


def test_gradients_of_a_first_layer_of_another_gain():
    init, depth = Scheme("g", "normal", 1.3, 0.0, 0.5), 7
    line = predict("linear", init, depth=depth, width=10**12).band("log10_grad").median
    want = (depth - 1) * math.log10(1.3) + math.log10(0.5)
    assert line[0] == pytest.approx(want, abs=1e-9)


def test_deep_lines_do_not_leave_the_floats():
    for name, init, growth in (("relu", "lecun_normal", 0.5), ("relu", "normal:3", 4.5)):
        for quantity, at in (("log10_rms", -1), ("log10_grad", 0)):
            line = predict(name, init, depth=1200, width=10**12).band(quantity).median
            assert line[at] == pytest.approx(1200 * math.log10(growth) / 2, rel=1e-6)


def test_known_defects_of_published_gains():
    """What the gains of the field do at depth, as signs of the theory."""
    assert mean_field("tanh", 5 / 3).phase == "chaotic"
    assert mean_field("selu", 1.0).chi_1 == pytest.approx(1.071575, abs=1e-6)
    unit = [p for p in fixed_points("gelu", 1.5335304411955352, 0.0) if p.q > 0.5]
    assert abs(unit[0].q - 1) < 1e-9
    assert not unit[0].stable


def test_several_fixed_points():
    """GELU near its doubly critical point keeps three lengths, the outer two stable."""
    (edge,) = doubly_critical_points("gelu")
    many = fixed_points("gelu", edge.sigma_w * 1.002, edge.sigma_b * 0.97)
    for point in many:
        after = length_map("gelu", point.q, edge.sigma_w * 1.002, edge.sigma_b * 0.97)
        np.testing.assert_allclose(after, point.q, rtol=1e-12)
    assert len(many) == 3
    assert [p.stable for p in many] == [True, False, True]


def test_no_answers_are_said():
    assert critical_points("softplus") == ()
    assert critical_points("squareplus") == ()
    assert doubly_critical_points("tanh") == ()
    blown = mean_field("relu", 1.5, 0.1)
    assert math.isinf(blown.q)
    assert math.isnan(blown.c)
    dead = mean_field("tanh", 0.5)
    assert dead.q == 0
    assert dead.chi_q == pytest.approx(0.25, abs=1e-12)
    assert dead.phase == "ordered"


def test_a_wrong_map_is_told():
    """The tolerances reject a sigma_w that is off by 1e-8."""
    row = ORDINARY[0]
    off = mean_field(row["activation"], math.sqrt(row["sigma_w2"]) * (1 + 1e-8), 0.05**0.5)
    assert abs(off.q - row["q_star"]) > 2e-9


def test_callables_are_as_good_as_names():
    named_one = mean_field("tanh", 1.3, 0.2)
    own = mean_field(jnp.tanh, 1.3, 0.2)
    assert own == named_one


def test_small_and_large_variances():
    tiny = moments("tanh", np.array([0.0, 1e-300, 1e-70, 1e-50]))
    np.testing.assert_allclose(tiny.square[1:], [1e-300, 1e-70, 1e-50], rtol=1e-12)
    assert tiny.square[0] == 0
    huge = moments("hard_tanh", 1e8)
    np.testing.assert_allclose(huge.square, 1.0, atol=1e-4)


REFUSALS = [
    (
        lambda: mean_field("tan", 1.0),
        ValueError,
        "mean_field: activation must be one of " + ", ".join(ACTIVATION_NAMES) + "; got "
        "activation='tan'. Did you mean 'tanh'?",
    ),
    (
        lambda: mean_field("tanh", -1.0),
        ValueError,
        "mean_field: sigma_w must be a finite number, at least 0 and at most 1e+09; got "
        "sigma_w=-1. Give a value in that range.",
    ),
    (
        lambda: mean_field(np.tanh, 1.0),
        TypeError,
        "mean_field: activation must be a function that JAX can differentiate; got a "
        "function in NumPy. Write it with jax.numpy instead of numpy.",
    ),
    (
        lambda: moments("tanh", [-1.0]),
        ValueError,
        "moments: q must be finite, at least 0; got q=-1. It is a variance.",
    ),
    (
        lambda: mean_field(3, 1.0),  # pyright: ignore[reportArgumentType]
        TypeError,
        "mean_field: activation must be a name or a function; got activation=3. Give "
        'for example "tanh" or jax.numpy.tanh.',
    ),
]


@pytest.mark.parametrize(("call", "kind", "text"), REFUSALS)
def test_refusals(call, kind, text):
    with pytest.raises(kind, match=f"^{re.escape(text)}$"):
        call()
