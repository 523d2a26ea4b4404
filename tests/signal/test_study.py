"""The experiment against exact distributions, a loop in NumPy, and theory."""

import dataclasses
import functools
import json
import math
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit
from jaxinit.signal import (
    Study,
    mean_field,
    predict,
    run_studies,
    study,
)
from jaxinit.signal.studies import batched_runs
from jaxinit.signal.studies.measures import slopes_of
from jaxinit.signal.studies.network import Network, compiled, draw_seeds, measure
from jaxinit.signal.studies.schemes import draw_weight

DATA = pathlib.Path(__file__).parent.parent / "data"
BANDS = json.loads((DATA / "depth_bands.json").read_text())["configs"]
EXACT = {
    ("tanh", "unit_uniform"): BANDS["tanh_sw2=1/3 (U(-1,1)/sqrt n)"],
    ("tanh", "xavier_uniform"): BANDS["tanh_sw2=1 (xavier)"],
    ("relu", "xavier_normal"): BANDS["relu_sw2=1 (xavier)"],
    ("relu", "kaiming_normal"): BANDS["relu_sw2=2 (kaiming)"],
}
OFF = ("relu", f"kaiming_normal:{1.02 * 2**0.5}")
SEEDS = 16
small = functools.partial(study, depth=6, width=32, seeds=8)


def z_scores(result, exact):
    """Of means over seeds, in standard errors of theirs and the reference's."""
    found = []
    for quantity, side in (("log10_std", "forward"), ("log10_grad", "backward")):
        for layer, band in exact[side].items():
            values = result.values[quantity][:, int(layer)].astype(np.float64)
            error = band["sd"] * math.sqrt(1 / len(values) + 1 / exact["seeds"])
            found.append((values.mean() - band["mean"]) / error)
    return np.array(found)


@pytest.fixture(scope="module")
def measured():
    pairs = [*EXACT, OFF]
    found = run_studies([Study(*pair, seeds=SEEDS) for pair in pairs])
    return dict(zip(pairs, found, strict=True))


@pytest.mark.parametrize("pair", EXACT)
def test_bands_of_the_first_experiments(measured, pair):
    """Seven means within 5 standard errors: 6e-7 false alarms each."""
    result, exact = measured[pair], EXACT[pair]
    assert np.abs(z_scores(result, exact)).max() < 5
    for layer, band in exact["forward"].items():
        values = result.values["log10_std"][:, int(layer)].astype(np.float64)
        spread = values.std(ddof=1) / band["sd"]
        assert abs(spread - 1) < 5 / math.sqrt(2 * (SEEDS - 1))
        room = 2 * band["sd"]
        assert values.min() > band["quantiles"]["0.05%"] - room
        assert values.max() < band["quantiles"]["99.95%"] + room


def test_bands_reject_a_gain_off_by_two_percent(measured):
    exact = EXACT["relu", "kaiming_normal"]
    off = measured[OFF]
    assert np.abs(z_scores(off, exact)).max() > 10
    # Same distribution, same seed: the same numbers, scaled by 1.02 a layer.
    true = measured["relu", "kaiming_normal"].values["log10_std"]
    shift = off.values["log10_std"] - true
    np.testing.assert_allclose(
        shift, np.tile(np.arange(101) * math.log10(1.02), (SEEDS, 1)), atol=2e-4
    )


@pytest.mark.parametrize("pair", EXACT)
def test_theory_lies_over_the_exact_distribution(pair):
    """The 1/width correction is good to a tenth of the spread over seeds."""
    prediction, exact = predict(*pair), EXACT[pair]
    for quantity, side in (("log10_std", "forward"), ("log10_grad", "backward")):
        band = prediction.band(quantity)
        for layer, want in exact[side].items():
            at = int(layer)
            assert abs(band.median[at] - want["mean"]) < 0.1 * want["sd"]
            spread = (band.high[at] - band.low[at]) / (2 * 1.6449)
            assert abs(spread / want["sd"] - 1) < 0.1


def test_theory_of_other_activations():
    for name, pair in {
        "tanh_sw2=25/9 (xavier gain 5/3)": ("tanh", "xavier_normal:1.6666666666666667"),
        "gelu_fwd_gain": ("gelu", "forward"),
        "silu_fwd_gain": ("silu", "forward"),
        "linear_sw2=1": ("linear", "lecun_normal"),
    }.items():
        exact, prediction = BANDS[name], predict(*pair)
        for quantity, side in (("log10_std", "forward"), ("log10_grad", "backward")):
            for layer, want in exact[side].items():
                found = prediction.band(quantity).median[int(layer)]
                assert abs(found - want["mean"]) < 0.15 * want["sd"] + 0.002, (name, layer)


def loop(net, gains, sigma_b, key):
    """One seed by NumPy in float64, with the same weights: forward, then by hand back."""
    draws = draw_seeds(key[None], net.input_shape, net.depth, net.width, 0.0)
    x, gradient = (np.asarray(a[0], np.float64) for a in (draws.inputs, draws.end))
    outs, weights, slopes = [x], [], []
    for number, gain in enumerate(gains):
        at = draws.keys[0, number]
        w = draw_weight(net.distribution, at, net.weight_shape, net.dtype, gain)
        w = np.asarray(w, np.float64)
        h = outs[-1] @ w + sigma_b * np.asarray(draws.biases[0, number], np.float64)
        outs.append(np.tanh(h))
        weights.append(w)
        slopes.append(1 - np.tanh(h) ** 2)
    back = [gradient]
    for w, slope in zip(reversed(weights), reversed(slopes), strict=True):
        back.append((back[-1] * slope) @ w.T)
    return np.array(outs), np.array(back[::-1])


@pytest.mark.parametrize("distribution", ["normal", "orthogonal"])
def test_one_seed_against_a_loop_in_numpy(distribution):
    net = Network(jnp.tanh, distribution, depth=5, width=24, batch=3)
    gains = np.array([1.5, 0.7, 1.1, 1.0, 2.0], np.float32)
    key = jax.random.key(5)
    draws = draw_seeds(key[None], net.input_shape, net.depth, net.width, jnp.float32(0))
    (found,) = compiled(measure, (net,), ())(
        draws, jnp.asarray(gains[None]), jnp.array([0.3])
    )
    outs, back = loop(net, gains, 0.3, key)
    wanted = {
        "log10_std": np.log10(outs.std((1, 2))),
        "log10_rms": np.log10((outs**2).mean((1, 2))) / 2,
        "log10_grad": np.log10((back**2).mean((1, 2))) / 2,
        "mean_over_std": outs.mean((1, 2)) / outs.std((1, 2)),
    }
    for quantity, want in wanted.items():
        np.testing.assert_allclose(found[quantity][0], want, atol=3e-5, err_msg=quantity)
    centred = outs - outs.mean((1, 2), keepdims=True)
    kurtosis = (centred**4).mean((1, 2)) / (centred**2).mean((1, 2)) ** 2
    np.testing.assert_allclose(found["kurtosis"][0], kurtosis, rtol=1e-4)


def test_more_seeds_keep_the_first_and_a_run_goes_on():
    few, many = small("tanh", seeds=8), small("tanh", seeds=16)
    for quantity, values in few.values.items():
        np.testing.assert_allclose(many.values[quantity][:8], values, rtol=1e-4, atol=1e-5)
    steps = []
    grown = small("tanh", seeds=16, resume=few, progress=lambda r: steps.append(r.seeds))
    assert grown.seeds == steps[-1] == 16
    np.testing.assert_array_equal(grown.values["log10_std"][:8], few.values["log10_std"])
    np.testing.assert_allclose(
        grown.values["log10_std"], many.values["log10_std"], rtol=1e-4, atol=1e-5
    )
    shorter = small("tanh", seeds=2, resume=few)
    assert shorter.seeds == 2


def test_devices_change_nothing():
    assert jax.local_device_count() == 8
    net = Network(jnp.tanh, "uniform", depth=6, width=32)
    keys = jax.random.split(jax.random.key(0), 8)
    draws = draw_seeds(keys, net.input_shape, net.depth, net.width, jnp.float32(0))
    one, spread = (
        compiled(measure, (net,), devices)(draws, jnp.ones((1, 6)), jnp.array([0.1]))[0]
        for devices in ((), tuple(jax.local_devices()))
    )
    for quantity, values in one.items():
        np.testing.assert_allclose(spread[quantity], values, rtol=1e-5, atol=1e-5)


def test_studies_of_one_law_share_their_weights(monkeypatch):
    """Together they give what each gives alone, up to rounding, from fewer drawings."""
    one = Study("tanh", "normal:1.3,0.2", depth=6, width=32, seeds=3, batch=2)
    asked = [
        one,
        dataclasses.replace(one, activation="relu", kind="residual"),
        dataclasses.replace(one, init="xavier_uniform"),
        dataclasses.replace(one, activation="gelu", init="critical", kind="normalized"),
    ]
    asked.append(dataclasses.replace(asked[0], dtype="bfloat16"))
    asked.append(dataclasses.replace(asked[0], seed=1))
    calls = []
    real = batched_runs.compiled
    monkeypatch.setattr(
        batched_runs,
        "compiled",
        lambda function, nets, *a: calls.append(len(nets)) or real(function, nets, *a),
    )
    together = run_studies(asked)
    assert calls == [3, 1, 1, 1]
    for i in (0, 1):  # of the gang; the others ran alone
        one, found = asked[i], together[i]
        fields = {f.name: getattr(one, f.name) for f in dataclasses.fields(one)}
        alone = study(**fields)
        assert found.settings == alone.settings
        for quantity, values in alone.values.items():
            np.testing.assert_allclose(
                found.values[quantity], values, rtol=1e-4, atol=1e-4, err_msg=quantity
            )


def test_half_precision_shows_underflow():
    deep = functools.partial(study, "tanh", "unit_uniform", depth=60, width=64, seeds=4)
    assert np.isneginf(deep(dtype="float16").band("log10_std").median[-1])
    wide = predict("tanh", "unit_uniform", depth=60, width=64).band("log10_std").median[-1]
    brain = deep(dtype="bfloat16").band("log10_std").median[-1]
    assert abs(brain - wide) < 1


@pytest.mark.parametrize(
    ("kind", "scale"), [("residual", 1.0), ("residual", 0.2), ("normalized", 1.0)]
)
def test_residual_and_normalized_networks_follow_theory(kind, scale):
    args = {"depth": 10, "width": 512, "kind": kind, "branch_scale": scale}
    found = study("tanh", "xavier_normal", seeds=8, **args)
    line = predict("tanh", "xavier_normal", **args)
    for quantity in ("log10_std", "log10_rms", "log10_grad"):
        gap = found.band(quantity).median - line.band(quantity).median
        assert np.abs(gap).max() < 0.05, quantity


def test_a_thousand_delta_orthogonal_layers_keep_their_variance():
    """L. Xiao et al. 2018: a linear-regime CNN of any depth."""
    deep = study(
        "linear", "delta_orthogonal", kind="conv", depth=1000, width=8, size=4, seeds=2
    )
    np.testing.assert_allclose(
        deep.values["log10_rms"], deep.values["log10_rms"][:, :1] * np.ones(1001), atol=2e-3
    )
    np.testing.assert_allclose(
        deep.values["log10_grad"],
        deep.values["log10_grad"][:, -1:] * np.ones(1001),
        atol=2e-3,
    )


def test_convolutions_keep_the_fan():
    found = study("relu", "kaiming_normal", kind="conv", depth=6, width=64, seeds=4)
    assert np.abs(found.band("log10_rms").median).max() < 0.1


def decay(values, first=10, last=50):
    """Decay rate a layer of 1 - correlation, and its standard error by the jackknife."""

    def rate(rows):
        apart = 1 - rows.mean(0)
        return math.log(apart[first] / apart[last]) / (last - first)

    rows = np.asarray(values, np.float64)
    without = [rate(np.delete(rows, i, 0)) for i in range(len(rows))]
    return rate(rows), math.sqrt((len(rows) - 1) * np.var(without))


def test_the_depth_scale_is_the_measured_decay_of_correlation():
    """S. Schoenholz et al. 2017 at (sigma_w^2, sigma_b^2) = (1.5, 0.05); 5 se: 6e-7."""
    args = {"depth": 50, "correlation": 0.2}
    init = f"normal:{1.5**0.5},{0.05**0.5}"
    found = study("tanh", init, width=512, batch=2, seeds=16, **args)
    rate, error = decay(found.values["correlation"])
    line = predict("tanh", init, width=512, **args).band("correlation").median
    assert abs(rate - decay(line[None].repeat(2, 0))[0]) < 5 * error
    # Far down the line decays at the depth scale of theory, 15.79 layers.
    depth_scale = mean_field("tanh", 1.5**0.5, 0.05**0.5).xi_c
    far = predict("tanh", init, depth=150).band("correlation").median
    assert decay(far[None].repeat(2, 0), 130, 150)[0] == pytest.approx(
        1 / depth_scale, rel=1e-3
    )
    # Another sigma_w^2 decays at another rate.
    other = predict("tanh", f"normal:{1.6**0.5},{0.05**0.5}", width=512, **args)
    slower = decay(other.band("correlation").median[None].repeat(2, 0))[0]
    assert abs(rate - slower) > 5 * error
    alone = small("tanh")
    assert np.isnan(alone.values["correlation"]).all()


def test_dead_and_saturated(measured):
    found = measured["relu", "kaiming_normal"].values
    assert np.isnan(found["dead"][:, 0]).all()
    np.testing.assert_allclose(found["dead"][:, 1:].mean(), 0.5, atol=0.02)
    wild = small("tanh", "normal:30")
    assert (wild.values["saturated"][:, 2:] > 0.6).all()
    assert (wild.values["dead"][:, 2:] < 0.95).all()


def test_a_unit_is_saturated_where_its_slope_is_below_a_tenth():
    """That of tanh is at 1.8184; a unit is dead whose slope is 0 for the whole batch."""
    h = jnp.asarray([[[0.0, 1.0, 1.81, -1.82, 3.0], [1.82, 0.0, -1.81, 1.83, -1.0]]])
    assert slopes_of(jnp.tanh, h)["saturated"][1] == pytest.approx(4 / 10)
    signs = jnp.asarray([[[1.0, -1.0, -1.0, -1.0], [1.0, -2.0, -1.0, 1.0]]])
    assert slopes_of(jax.nn.relu, signs)["dead"][1] == 2 / 4


def test_an_initializer_of_ones_own():
    init = functools.partial(jaxinit.normal, mean=0.0, std=1.2 / 32**0.5)
    found, named = small("tanh", init), small("tanh", "normal:1.2")
    np.testing.assert_allclose(
        found.values["log10_std"], named.values["log10_std"], atol=1e-3
    )
    line = predict("tanh", init, depth=6, width=32).band("log10_std").median
    assert np.abs(line - found.values["log10_std"].mean(0)).max() < 0.1
