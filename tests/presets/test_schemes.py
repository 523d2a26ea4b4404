"""Presets on small models of the kind that they were made for, against their sources."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

import jaxinit
from jaxinit import presets
from jaxinit.flax import forward, reinitialize
from tests.adapters import has_std, spec

KEY = jax.random.key(0)


@pytest.fixture(autouse=True)
def lenient_promotion():
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield


# -------------------------------------------------------------------------------- LoRA


def test_lora():
    layer = nnx.LoRALinear(256, 64, lora_rank=16, rngs=nnx.Rngs(0))
    before: Any = layer.kernel[...]
    bias: Any = layer.bias
    x = jax.random.normal(KEY, (3, 256))
    rules = [*presets.lora(a="**/lora_a", b="**/lora_b"), ("**", jaxinit.keep)]
    reinitialize(KEY, layer, rules)
    a = np.asarray(layer.lora.lora_a[...])
    # loralib: kaiming_uniform_(lora_A, a=sqrt(5)), which is U(+-1 / sqrt(in)).
    assert 0.99 / 16 < abs(a).max() <= 1 / 16
    assert has_std(a, 1 / math.sqrt(3 * 256), 1.8)
    assert not layer.lora.lora_b[...].any()
    assert bool((layer.kernel[...] == before).all())
    np.testing.assert_array_equal(layer(x), x @ before + bias[...])  # no change yet
    rules = presets.lora(a="**/lora_a", b="**/lora_b", variant="gaussian", rank=16)
    reinitialize(KEY, layer, [*rules, ("**", jaxinit.keep)])
    assert has_std(layer.lora.lora_a[...], 1 / 16)  # PEFT: std = 1 / r


def test_lora_of_tables_starts_on_the_other_side():
    params = {"lora_a": spec(500, 8), "lora_b": spec(8, 64)}
    rules = presets.lora(a="x", b="x", table_a="lora_a", table_b="lora_b")[2:]
    made = jaxinit.plan(params, rules)
    assert [row.std for row in made] == [0.0, 1.0]


@pytest.mark.parametrize("rank", [4, 64])
def test_rs_lora_keeps_the_size_of_the_update(rank):
    """With B of entries of one size, s B A x does not depend on the rank (theorem 3.2)."""
    scale = presets.lora_scaling(16, rank, rank_stabilized=True)
    a, b = jax.random.normal(KEY, (256, rank)) / 16, jnp.ones((rank, 512)) * 0.1
    size = float((scale * (jax.random.normal(KEY, (64, 256)) @ a @ b)).std())
    assert size == pytest.approx(16 * 0.1, rel=0.25)


# ------------------------------------------------------------------- residual branches


class Block(nn.Module):
    kind: str

    @nn.compact
    def __call__(self, x: Any) -> Any:
        y = nn.Dense(32)(nn.relu(nn.Dense(64)(x)))
        if self.kind == "scalar":
            return x + self.param("alpha", nn.initializers.ones, ()) * y
        if self.kind == "vector":
            return x + self.param("gamma", nn.initializers.ones, (32,)) * y
        return x + nn.LayerNorm(name="last")(y)


BRANCHES = {
    "rezero": ("scalar", presets.rezero(scalars="alpha"), 0.0),
    "skipinit": ("scalar", presets.skipinit(scalars="alpha"), 0.0),
    "zero_gamma": ("norm", presets.zero_gamma(scales="last/scale"), 0.0),
    "layer_scale": ("vector", presets.layer_scale(scales="gamma", value=1e-5), 1e-5),
    "CaiT of 24": ("vector", presets.layer_scale(scales="gamma", depth=24), 1e-5),
    "CaiT of 18": ("vector", presets.layer_scale(scales="gamma", depth=18), 0.1),
    "CaiT of 36": ("vector", presets.layer_scale(scales="gamma", depth=36), 1e-6),
}


@pytest.mark.parametrize("name", BRANCHES)
def test_branches_start_at_next_to_nothing(name):
    kind, rules, size = BRANCHES[name]
    x = jax.random.normal(KEY, (8, 32))
    apply_fn, params = forward(Block(kind), x)
    uses = jaxinit.trace_params(apply_fn, params, x)
    new = jaxinit.initialize(KEY, params, [*rules, *presets.pytorch(uses)])
    moved = float(abs(apply_fn(new, x) - x).max())
    assert moved == 0 if size == 0 else 0.01 * size < moved < 5 * size
    # Without the rules in front the branch is there.
    plain = jaxinit.initialize(KEY, params, presets.pytorch(uses))
    assert float(abs(apply_fn(plain, x) - x).max()) > 0.1


class DiT(nn.Module):
    """The authors' models.py at small size, with its names."""

    @nn.compact
    def __call__(self, x: Any, t: Any, y: Any) -> Any:
        def modulate(x, shift, scale):
            return x * (1 + scale[:, None]) + shift[:, None]

        x = nn.Conv(64, (2, 2), strides=(2, 2), name="x_embedder")(x).reshape(2, 16, 64)
        t = nn.Dense(64, name="t_mlp_2")(nn.silu(nn.Dense(64, name="t_mlp_0")(t)))
        c = t + nn.Embed(11, 64, name="y_embedder")(y)
        chunks = nn.Dense(6 * 64, name="adaLN_modulation")(nn.silu(c))
        shift, scale, gate, shift2, scale2, gate2 = jnp.split(chunks, 6, axis=-1)
        norm = nn.LayerNorm(use_scale=False, use_bias=False)
        h = modulate(norm(x), shift, scale)
        q, k, v = jnp.split(nn.Dense(3 * 64, name="qkv")(h), 3, axis=-1)
        h = jax.nn.softmax(q @ k.swapaxes(1, 2) / 8) @ v
        x = x + gate[:, None] * nn.Dense(64, name="proj")(h)
        h = modulate(norm(x), shift2, scale2)
        h = nn.Dense(64, name="fc2")(nn.gelu(nn.Dense(256, name="fc1")(h)))
        x = x + gate2[:, None] * h
        shift, scale = jnp.split(
            nn.Dense(2 * 64, name="final_adaLN_modulation")(nn.silu(c)), 2, axis=-1
        )
        return nn.Dense(16, name="final_linear")(modulate(norm(x), shift, scale))


def test_dit():
    inputs = (spec(2, 8, 8, 4), spec(2, 256), spec(2, dtype="int32"))
    apply_fn, params = forward(DiT(), *inputs)
    uses = jaxinit.trace_params(apply_fn, params, *inputs)
    rules = presets.dit(
        uses,
        modulation="**/*adaLN_modulation/*",
        final="final_linear/*",
        timestep="t_mlp_*/kernel",
    )
    made = jaxinit.plan(params, rules)
    for name in ("adaLN_modulation", "final_adaLN_modulation", "final_linear"):
        assert made[f"{name}/kernel"].distribution.text == "zeros"
        assert made[f"{name}/bias"].distribution.text == "zeros"

    def xavier(fan_in: int, fan_out: int) -> float:
        return math.sqrt(2 / (fan_in + fan_out))

    stds = {
        "x_embedder": xavier(2 * 2 * 4, 64),  # w.view([w.shape[0], -1])
        "qkv": xavier(64, 3 * 64),  # one nn.Linear
        "proj": xavier(64, 64),
        "fc1": xavier(64, 256),
        "t_mlp_0": 0.02,
        "t_mlp_2": 0.02,
    }
    for name, std in stds.items():
        assert made[f"{name}/kernel"].std == pytest.approx(std), name
    assert made["y_embedder/embedding"].std == 0.02
    new = jaxinit.initialize(KEY, params, made)
    data = jax.random.normal(KEY, (2, 8, 8, 4)), jnp.ones((2, 256)), jnp.array([1, 2])
    assert not apply_fn(new, *data).any()  # the model says 0 at first


# ------------------------------------------------------------------------ other models


class Experts(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        init = nn.initializers.ones
        first = self.param("wi", init, (8, 64, 128))
        second = self.param("wo", init, (8, 128, 64))
        gates = jax.nn.softmax(nn.Dense(8, use_bias=False, name="router")(x))
        hidden = nn.relu(jnp.einsum("bi,eih->beh", x, first))
        return jnp.einsum("be,beo->bo", gates, jnp.einsum("beh,eho->beo", hidden, second))


def test_moe():
    x = spec(4, 64)
    apply_fn, params = forward(Experts(), x)
    uses = jaxinit.trace_params(apply_fn, params, x)
    rules = presets.moe(uses, experts="w{i,o}", router="router/kernel")
    new = jaxinit.initialize(KEY, params, rules)
    for name, fan in (("wi", 64), ("wo", 128)):
        # Switch Transformer, section 2.4: sigma = sqrt(s / n), s = 0.1.
        assert has_std(new[name], math.sqrt(0.1 / fan))
        assert abs(new[name]).max() < 2.3 * math.sqrt(0.1 / fan)  # cut at 2 / 0.88
    assert has_std(new["router"]["kernel"], math.sqrt(0.1 / 64))
    rules = presets.moe(uses, experts="w?", router="router/*", scale=1, router_std=0.02)
    made = jaxinit.plan(params, rules)
    assert made["wi"].std == pytest.approx(1 / 8)
    assert made["router/kernel"].std == 0.02
    with pytest.raises(ValueError) as error:
        presets.moe(uses, experts="expert*", router="router/*")
    assert str(error.value) == (
        "moe: experts must match a weight; got experts='expert*', which matches none. "
        "Print the uses to see paths and roles."
    )


class ConvNeXt(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.LayerNorm()(nn.Conv(32, (4, 4), strides=(4, 4), name="stem")(x))
        y = nn.Conv(32, (7, 7), feature_group_count=32, name="dwconv")(x)
        y = nn.gelu(nn.Dense(128, name="pwconv1")(nn.LayerNorm()(y)))
        y = nn.Dense(32, name="pwconv2")(y)
        x = x + self.param("gamma", nn.initializers.zeros, (32,)) * y
        return nn.Dense(100, name="head")(nn.LayerNorm()(x.mean(axis=(1, 2))))


def test_convnext():
    x = spec(1, 32, 32, 3)
    _, params = forward(ConvNeXt(), x)
    rules = presets.convnext(layer_scale="gamma", head="head/kernel", head_scale=0.001)
    made = jaxinit.plan(params, rules)
    for name in ("stem", "dwconv", "pwconv1", "pwconv2"):
        assert made[f"{name}/kernel"].std == pytest.approx(0.02)
        assert made[f"{name}/bias"].distribution.text == "zeros"
    assert made["head/kernel"].std == pytest.approx(2e-5)
    assert made["LayerNorm_0/scale"].distribution.text == "ones"
    new = jaxinit.initialize(KEY, params, made)
    np.testing.assert_allclose(new["gamma"], 1e-6, rtol=1e-6)
    assert has_std(new["pwconv1"]["kernel"], 0.02)
    assert float(abs(new["pwconv1"]["kernel"]).max()) > 0.06  # not cut at two stds


class Mamba(nn.Module):
    """The authors' mamba_simple.py at small size, with its names; the scan is a loop."""

    rank: int = 4
    states: int = 16

    @nn.compact
    def __call__(self, tokens: Any) -> Any:
        x = nn.Embed(50, 64, name="embedding")(tokens)
        init, inner = nn.initializers.ones, 128
        a_log = self.param("A_log", init, (inner, self.states))
        skip = self.param("D", init, (inner,))
        h, z = jnp.split(nn.Dense(2 * inner, use_bias=False, name="in_proj")(x), 2, -1)
        h = nn.Conv(inner, (4,), feature_group_count=inner, padding="CAUSAL", name="conv")(
            h
        )
        h = nn.silu(h)
        sizes = [self.rank, self.rank + self.states]
        project = nn.Dense(self.rank + 2 * self.states, use_bias=False, name="x_proj")
        dt, b, c = jnp.split(project(h), sizes, -1)
        dt = jax.nn.softplus(nn.Dense(inner, name="dt_proj")(dt))
        a = -jnp.exp(a_log)
        state, out = jnp.zeros((x.shape[0], inner, self.states)), []
        for i in range(x.shape[1]):
            decay = jnp.exp(dt[:, i, :, None] * a)
            state = decay * state + (dt * h)[:, i, :, None] * b[:, i, None]
            out.append((state * c[:, i, None]).sum(-1))
        y = (jnp.stack(out, 1) + skip * h) * nn.silu(z)
        return nn.Dense(64, use_bias=False, name="out_proj")(y)


def test_mamba():
    tokens = spec(2, 3, dtype="int32")
    apply_fn, params = forward(Mamba(), tokens)
    uses = jaxinit.trace_params(apply_fn, params, tokens)
    rules = presets.mamba(
        uses,
        dt_kernel="dt_proj/kernel",
        dt_bias="dt_proj/bias",
        a_log="A_log",
        skip="D",
        dt_rank=4,
        out="out_proj/kernel",
        num_layers=24,
    )
    made = jaxinit.plan(params, rules)
    new = jaxinit.initialize(KEY, params, made)
    step = jax.nn.softplus(new["dt_proj"]["bias"])
    assert 1e-3 * 0.999 <= float(step.min()) < 2e-3
    assert 0.05 < float(step.max()) <= 0.1 * 1.001
    # Log-uniform: the mean of log10 is -2, its std 2 / sqrt(12), of 128 entries.
    assert float(jnp.log10(step).mean()) == pytest.approx(-2, abs=5 * 0.58 / 128**0.5)
    np.testing.assert_allclose(
        new["A_log"], np.log(np.tile(np.arange(1, 17), (128, 1))), rtol=1e-6
    )
    assert bool((new["D"] == 1).all())
    bounds = {
        "in_proj/kernel": 64**-0.5,
        "conv/kernel": 4**-0.5,
        "conv/bias": 4**-0.5,
        "x_proj/kernel": 128**-0.5,
        "dt_proj/kernel": 4**-0.5,
        "out_proj/kernel": 128**-0.5 / 24**0.5,
    }
    for path, bound in bounds.items():
        assert made[path].std == pytest.approx(bound / 3**0.5), path
    assert made["embedding/embedding"].std == 0.02
    # The descriptor of the bias is that of its draws.
    draw: Any = made["dt_proj/bias"].initializer
    many = draw(KEY, (200_000,))
    assert float(many.std()) == pytest.approx(made["dt_proj/bias"].std, rel=0.01)
    assert float(many.mean()) == pytest.approx(
        made["dt_proj/bias"].distribution.mean, rel=0.01
    )
    assert bool(jnp.isfinite(apply_fn(new, jnp.zeros((2, 3), jnp.int32))).all())


def test_mamba_step_bias_in_bfloat16_is_the_rounded_float32():
    bias: Any = presets.mamba(
        jaxinit.Uses(()), dt_kernel="k", dt_bias="b", a_log="a", skip="d", dt_rank=1
    )[1][1]
    wide, narrow = bias(KEY, (500,), jnp.float32), bias(KEY, (500,), jnp.bfloat16)
    assert bool((wide.astype(jnp.bfloat16) == narrow).all())


class ActorCritic(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.tanh(nn.LayerNorm(name="norm")(nn.Dense(64, name="trunk")(x)))
        log_std = self.param("log_std", nn.initializers.ones, (4,))
        return nn.Dense(4, name="actor")(x), log_std, nn.Dense(1, name="critic")(x)


def test_orthogonal_rl_with_norms():
    _, params = forward(ActorCritic(), spec(2, 64))
    rules = presets.orthogonal_rl(
        policy="actor/kernel", value="critic/kernel", log_std="log_std"
    )
    new = jaxinit.initialize(KEY, params, rules)
    for name, gain in {"trunk": 2**0.5, "actor": 0.01, "critic": 1.0}.items():
        w = np.asarray(new[name]["kernel"], np.float64)
        np.testing.assert_allclose(w.T @ w, gain**2 * np.eye(w.shape[1]), atol=1e-5)
        assert not new[name]["bias"].any()
    assert bool((new["norm"]["scale"] == 1).all())
    assert not new["log_std"].any()
