"""``audit``: its bound, what it flags and lets pass, and what it prints."""

import functools
import json
from typing import Any

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit
import jaxinit.equinox
from jaxinit import Fans
from jaxinit._samples import TRUNCATED_STD
from jaxinit.models.audit import audit, normal_quantile
from jaxinit.trace.entry import trace_params
from tests.models.tracing import spec

KEY = jax.random.key(0)
S = jax.ShapeDtypeStruct


def product(params: Any, x: Any) -> Any:
    return x @ params["w"]


USES = trace_params(product, {"w": S((100, 40), "float32")}, S((2, 100), "float32"))


def of_ratio(ratio: float) -> dict[str, Any]:
    """Return a weight of mean 0 whose root mean square is that much of lecun's."""
    w = np.random.default_rng(0).normal(size=(100, 40))
    w -= w.mean()
    return {"w": jnp.asarray(w / w.std() * 0.1 * ratio, "float32")}


@pytest.mark.parametrize("sign", [-1, 1])
def test_the_bound_is_that_of_a_standard_deviation(sign):
    """The bound z sqrt((3 - 1) / n) / 2, no wider: twice of it would let the first pass."""
    bound = 4.8916 * (2 / 4000) ** 0.5 / 2  # z of 1e-6 two-sided, from a table
    assert normal_quantile(0.5e-6) == pytest.approx(4.8916, abs=1e-4)
    (off,) = audit(of_ratio(1 + sign * 1.5 * bound), USES, target="lecun")
    (right,) = audit(of_ratio(1 + sign * 0.9 * bound), USES, target="lecun")
    assert (off.is_off, right.is_off) == (True, False)
    assert off.bound == right.bound == pytest.approx(bound, rel=1e-4)
    (wide,) = audit(of_ratio(1 + sign * 1.5 * bound), USES, target="lecun", tolerance=0.1)
    assert not wide.is_off


def test_false_alarms_are_as_rare_as_is_said():
    """400 draws at a false-alarm probability of 0.05: 20 expected, at most 42 (1e-6)."""
    draw = jax.jit(jax.vmap(lambda key: jaxinit.lecun_normal(key, (100, 40))))
    arrays = np.asarray(draw(jax.random.split(KEY, 400)))
    flagged = sum(
        audit({"w": w}, USES, target="lecun", false_alarm=0.05)["w"].is_off for w in arrays
    )
    # At most by the mean and the size each at 0.05, less what rounding lets pass.
    assert 5 <= flagged <= 75


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float32"])
def test_narrow_leaves_under_strict_promotion(dtype):
    uses = trace_params(product, {"w": S((100, 40), dtype)}, S((2, 100), dtype))
    good = {"w": jaxinit.lecun_normal(KEY, (100, 40), dtype)}
    wrong = {"w": jaxinit.normal(KEY, (100, 40), dtype)}
    with jax.numpy_dtype_promotion("strict"):
        assert not audit(good, uses).off
        assert audit(wrong, uses)["w"].is_off


# --------------------------------------------------------------- right by accident


@functools.cache
def truncated() -> np.ndarray:
    return np.asarray(jaxinit.truncated_normal(KEY, (9 * 256 * 128,))) / TRUNCATED_STD


@pytest.mark.parametrize("width", [32, 64, 256])
@pytest.mark.parametrize("share", [2, 3, 4])
def test_transposed_kernel_is_flagged_at_any_width(width, share):
    """Fans of the wrong axes: off by the root of 2 or 3, the value of another scheme."""
    model = nn.ConvTranspose(width // share, (3, 3), transpose_kernel=True)
    x = spec(1, 8, 8, width)
    shapes = jax.eval_shape(model.init, KEY, x)
    kernel = shapes["params"]["kernel"]
    params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, "float32"), shapes)
    # As Flax draws it: of the fan_in that the last axis but one has.
    size = (9 * kernel.shape[-2]) ** -0.5
    params["params"]["kernel"] = np.resize(truncated(), kernel.shape) * size
    (finding,) = audit(params, trace_params(model.apply, shapes, x)).off
    assert finding.path == "params/kernel"
    assert finding.mend == 'partial(jaxinit.lecun_truncated_normal, layout="HWOI")'


class Decoder(nn.Module):
    """Flax's decoder, whose middle layer has the value of He's scheme by accident."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.relu(nn.Conv(64, (3, 3))(nn.relu(nn.Conv(64, (3, 3))(x))))
        x = nn.relu(nn.ConvTranspose(32, (3, 3), transpose_kernel=True)(x))
        return nn.Conv(3, (3, 3))(x)


def test_one_value_of_another_scheme_is_flagged_where_the_model_has_none_such():
    x = spec(1, 8, 8, 32)
    uses = trace_params(Decoder().apply, jax.eval_shape(Decoder().init, KEY, x), x)
    found = audit(jaxinit.materialize(Decoder().init, KEY, x), uses)
    (finding,) = found.off
    assert finding.path == "params/ConvTranspose_0/kernel"
    assert finding.remark == (
        "lecun with fans of 288 to 576, as its shape looks, and not 576 to 288"
    )
    assert finding.ratio == pytest.approx(2**0.5, rel=0.02)
    # The same value is right where the whole model follows that scheme.
    shapes = jax.eval_shape(Decoder().init, KEY, x)
    made = jaxinit.auto(Decoder().apply, shapes, x)
    assert not audit(jaxinit.initialize(KEY, shapes, made), uses).off


# ------------------------------------------------------------------ choices that pass


def layers(stds: Any, shapes: Any, apply: Any, *inputs: Any) -> Any:
    draw = np.random.default_rng(0).normal
    params = {
        name: np.asarray(draw(size=shape) * std, "float32")
        for (name, shape), std in zip(shapes.items(), stds, strict=True)
    }
    return audit(params, trace_params(apply, params, *inputs))


def chain(params: Any, x: Any) -> Any:
    for name in sorted(params):
        x = jnp.tanh(x @ params[name])
    return x


SHAPES = {"a": (64, 256), "b": (256, 400), "c": (400, 64), "d": (64, 90)}


def test_one_fixed_value_for_leaves_of_different_fans_is_a_choice():
    assert not layers([0.01] * 4, SHAPES, chain, spec(2, 64)).off
    # A value that is not round, or that one leaf has alone, is no choice.
    assert len(layers([0.01234] * 4, SHAPES, chain, spec(2, 64)).off) == 4
    alone = layers([0.01, 256**-0.5, 400**-0.5, 64**-0.5], SHAPES, chain, spec(2, 64))
    assert [finding.path for finding in alone.off] == ["a"]
    # Nor is one that leaves of the same fans share: a wrong formula gives it to all.
    same = dict.fromkeys("abcd", (64, 64))
    assert len(layers([0.01] * 4, same, chain, spec(2, 64)).off) == 4


def test_zeros_pass_where_they_leave_nothing_without_a_signal():
    def coupling(params: Any, x: Any) -> Any:
        h = jnp.tanh(x[:, :32] @ params["in"])
        return x[:, 32:] * jnp.exp(h @ params["scale"]) + h @ params["shift"]

    shapes = {"in": (32, 64), "scale": (64, 32), "shift": (64, 32)}
    assert not layers([32**-0.5, 0, 0], shapes, coupling, spec(2, 64)).off
    found = layers([0, 32**-0.5, 32**-0.5], shapes, coupling, spec(2, 64))
    assert [(f.path, f.remark) for f in found.off] == [
        ("in", "all zeros, and the next weight is fed by nothing else")
    ]
    assert len(layers([0, 0, 0], shapes, coupling, spec(2, 64)).off) == 3

    def residual(params: Any, x: Any) -> Any:
        x = x + jnp.tanh(x @ params["in"]) @ params["zero"]
        return x @ params["head"]

    shapes = {"in": (64, 256), "zero": (256, 64), "head": (64, 10)}
    assert not layers([64**-0.5, 0, 64**-0.5], shapes, residual, spec(2, 64)).off

    def lora(params: Any, x: Any) -> Any:
        return jnp.tanh(x @ params["w"] + (x @ params["a"]) @ params["b"]) @ params["v"]

    shapes = {"w": (64, 64), "a": (64, 4), "b": (4, 64), "v": (64, 3)}
    assert not layers([0.125, 0.125, 0, 0.125], shapes, lora, spec(2, 64)).off


def test_queries_as_t5_draws_them():
    def attention(params: Any, x: Any) -> Any:
        q, k, v = ((x @ params[n]).reshape(5, 4, 32) for n in "qkv")
        scores = jax.nn.softmax(jnp.einsum("ihd,jhd->hij", q, k))
        return jnp.einsum("hij,jhd->ihd", scores, v).reshape(5, 128) @ params["o"]

    shapes = dict.fromkeys("qkvo", (128, 128))
    stds = [(128 * 32) ** -0.5, *[128**-0.5] * 3]
    assert not layers(stds, shapes, attention, spec(5, 128)).off
    found = layers([128**-0.5] * 3 + [(128 * 32) ** -0.5], shapes, attention, spec(5, 128))
    assert [finding.path for finding in found.off] == ["o"]


def test_factors_behind_the_product():
    def ntk(params: Any, x: Any) -> Any:
        for name in sorted(params):
            x = jax.nn.relu(x @ params[name] / params[name].shape[0] ** 0.5)
        return x

    assert not layers([1.0] * 4, SHAPES, ntk, spec(2, 64)).off

    def siren(params: Any, x: Any) -> Any:
        for name in sorted(params):
            x = jnp.sin(30 * (x @ params[name]))
        return x

    shapes = {"a": (3, 256), "b": (256, 256), "c": (256, 256)}
    shaped = {name: S(shape, "float32") for name, shape in shapes.items()}
    uses = trace_params(siren, shaped, spec(4, 3))
    bounds = {"a": 1 / 3, "b": (6 / 256) ** 0.5 / 30, "c": (6 / 256) ** 0.5 / 30}
    published = {
        name: jaxinit.uniform(key, shape, low=-bounds[name], high=bounds[name])
        for key, (name, shape) in zip(jax.random.split(KEY, 3), shapes.items(), strict=True)
    }
    assert not audit(published, uses).off
    made = jaxinit.auto(siren, shaped, spec(4, 3), uses=uses)
    assert made["b"].std == pytest.approx(1.5209 / 16 / 30, rel=1e-3)


RECURRENT = {
    "GRUCell": (lambda k: eqx.nn.GRUCell(32, 64, key=k), (spec(32), spec(64))),
    "LSTMCell": (
        lambda k: eqx.nn.LSTMCell(32, 64, key=k),
        (spec(32), (spec(64), spec(64))),
    ),
}


@pytest.mark.parametrize("name", RECURRENT)
def test_equinox_cells(name):
    build, inputs = RECURRENT[name]
    apply, params = jaxinit.equinox.forward(jaxinit.materialize(build, KEY))
    assert not audit(params, trace_params(apply, params, *inputs)).off


def test_delta_orthogonal_is_orthogonal():
    conv = nn.Conv(64, (3, 3), kernel_init=jaxinit.delta_orthogonal)
    x = jnp.zeros((1, 8, 8, 32))
    params = jaxinit.materialize(conv.init, KEY, x)
    (kernel,) = (f for f in audit(params, trace_params(conv.apply, params, x)) if f.ratio)
    assert (kernel.is_off, kernel.remark) == (False, "orthogonal")


# ------------------------------------------------------------------------ what it says


class Stack(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        for _ in range(12):
            x = nn.tanh(nn.Dense(64)(x))
        return nn.Einsum((64, 4, 16), "bi,iho->bho")(x)


@functools.cache
def stack() -> Any:
    params = jaxinit.materialize(Stack().init, KEY, spec(2, 64))
    return params, trace_params(Stack().apply, params, spec(2, 64))


def test_verdict_comes_first_and_its_rules_mend():
    params, uses = stack()
    found = audit(params, uses)
    text = str(found)
    assert text.startswith(
        "1 of 26 leaves are off:\n  params/Einsum_0/kernel: 0.4967 of lecun, as if fan_in "
    )
    assert '    ("params/Einsum_0/kernel", partial(jaxinit.lecun_truncated_normal' in text
    assert "# kernel_init=partial(jaxinit.lecun_truncated_normal" in text
    names: dict[str, Any] = {"key": KEY, "params": params}
    exec(found.rules, names)
    mended = names["params"]
    assert not audit(mended, uses).off
    kept = "params", "Dense_3", "kernel"
    before, after = (functools.reduce(lambda t, n: t[n], kept, t) for t in (params, mended))
    np.testing.assert_array_equal(before, after)


def test_like_leaves_share_a_line():
    params, uses = stack()
    found = audit(params, uses)
    assert "params/Dense_*/kernel" in found.table()
    assert len(found.table().splitlines()) == 6
    assert len(found.table(every=True).splitlines()) == 28
    (line,) = (x for x in found.table().splitlines() if "Dense_*/kernel" in x)
    assert "  12  " in line
    assert " to " in line
    assert "params/Dense_*/bias" in str(uses)
    assert len(uses.table(every=True).splitlines()) == 28
    made = jaxinit.plan(params, [("**", jaxinit.normal)])
    assert len(str(made).splitlines()) == 6


def test_json_holds_every_finding():
    params, uses = stack()
    data = json.loads(audit(params, uses).to_json())
    assert (data["off"], data["leaves"], len(data["findings"])) == (1, 26, 26)
    (flagged,) = (f for f in data["findings"] if f["is_off"])
    assert flagged["path"] == "params/Einsum_0/kernel"
    broken = {"w": jnp.full((100, 40), jnp.nan)}
    assert json.loads(audit(broken, USES).to_json())["findings"][0]["measured"] is None


def test_a_model_without_a_flaw_says_so():
    params = {"w": jaxinit.lecun_normal(KEY, (100, 40))}
    found = audit(params, USES)
    assert str(found).startswith("None of 1 leaves is off.\n\n")
    assert found.rules == ""


def test_globs_match_what_is_flagged_and_nothing_else():
    shapes = {f"layer_{i}": (64, 64) for i in range(4)}
    stds = [0.125, 0.3, 0.3, 0.125]
    found = layers(stds, shapes, chain, spec(2, 64))
    assert '("layer_1", ' in found.rules
    assert '("layer_2", ' in found.rules
    assert "layer_*" not in found.rules
    found = layers([0.3] * 4, shapes, chain, spec(2, 64))
    assert '("layer_*", ' in found.rules


def test_fans_that_no_layout_gives_are_written_out():
    def apply(params: Any, x: Any) -> Any:
        a, b = jnp.split(x @ params["w"], 2, axis=-1)
        return a * jnp.tanh(b)

    params = {"w": jaxinit.normal(KEY, (64, 128))}
    uses = trace_params(apply, params, spec(2, 64))
    assert uses["w"].fans == Fans(64, 64)
    (finding,) = audit(params, uses).off
    assert finding.mend.endswith("layout=jaxinit.Fans(64, 64))")
