"""Presets on real models, against PyTorch's own layers or a closed form."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

import jaxinit.equinox
from jaxinit.models.audit import audit
from jaxinit.models.initialize import initialize
from jaxinit.models.plan import Plan, plan
from jaxinit.presets import depth, layers, rl, transformers
from jaxinit.presets.mup import mup
from jaxinit.presets.siren import siren
from jaxinit.trace.entry import trace_params
from jaxinit.trace.use import Uses

KEY = jax.random.key(0)


def spec(*shape: int, dtype: str = "float32") -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def traced(model: nn.Module, *inputs: Any) -> tuple[Any, Uses]:
    params = jax.eval_shape(model.init, KEY, *inputs)["params"]
    uses = trace_params(lambda p, *x: model.apply({"params": p}, *x), params, *inputs)
    return params, uses


class Convolutional(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.relu(nn.LayerNorm()(nn.Conv(64, (3, 3), feature_group_count=4)(x)))
        return nn.Dense(400)(x.reshape(x.shape[0], -1))


class GPT(nn.Module):
    @nn.compact
    def __call__(self, tokens: Any) -> Any:
        x = (
            nn.Embed(500, 64, name="wte")(tokens)
            + nn.Embed(8, 64, name="wpe")(jnp.arange(8))[None]
        )
        for i in range(4):
            y = nn.LayerNorm(name=f"ln1_{i}")(x)
            x = x + nn.MultiHeadDotProductAttention(4, name=f"attention_{i}")(y, y)
            y = nn.LayerNorm(name=f"ln2_{i}")(x)
            y = nn.gelu(nn.Dense(256, name=f"c_fc_{i}")(y))
            x = x + nn.Dense(64, name=f"c_proj_{i}")(y)
        return nn.Dense(500, name="head")(nn.LayerNorm(name="ln")(x))


TOKENS = spec(2, 8, dtype="int32")


# --------------------------------------------------------------------- layer defaults


def test_pytorch_layers_have_the_laws_of_torch():
    params, uses = traced(Convolutional(), spec(2, 8, 8, 32))
    made = plan(params, layers.pytorch(uses))
    # (fan_in, layer): 3 * 3 * 32 / 4 and 8 * 8 * 64
    for name, fan in (("Conv_0", 72), ("Dense_0", 4096)):
        for leaf in ("kernel", "bias"):
            assert made[f"{name}/{leaf}"].std == pytest.approx((3 * fan) ** -0.5)
            assert made[f"{name}/{leaf}"].distribution.kurtosis == 1.8
    assert made["LayerNorm_0/scale"].distribution.text == "ones"
    assert made["LayerNorm_0/bias"].distribution.text == "zeros"
    assert not audit(initialize(KEY, params, made), made).off


@pytest.mark.parity
def test_pytorch_layers_against_torch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    params, uses = traced(Convolutional(), spec(2, 8, 8, 32))
    made = plan(params, layers.pytorch(uses))
    theirs = {
        "Conv_0": torch.nn.Conv2d(32, 64, 3, groups=4),
        "Dense_0": torch.nn.Linear(4096, 400),
        "LayerNorm_0": torch.nn.LayerNorm(64),
    }
    for row in made:
        layer, _, leaf = row.path.partition("/")
        name = "bias" if leaf == "bias" else "weight"
        values = getattr(theirs[layer], name).detach().numpy().astype(np.float64)
        assert values.size == math.prod(row.shape)
        if row.std == 0:
            assert (values == row.distribution.mean).all()
            continue
        bound = 3**0.5 * (row.std or 0)
        assert abs(values).max() <= bound * (1 + 1e-6)
        # Uniform: kurtosis 1.8; five standard errors, a false alarm in 2e6 checks.
        assert abs(values.std() / row.std - 1) < 5 * math.sqrt(0.8 / values.size) / 2


@pytest.mark.parity
def test_pytorch_attention_bilinear_and_cells_against_torch():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    attention = torch.nn.MultiheadAttention(64, 4)
    apart = torch.nn.MultiheadAttention(64, 4, kdim=64, vdim=65)
    params = {"q": spec(64, 64), "out": spec(64, 64), "b": spec(64)}
    for packed, module, weight in (
        (True, attention, attention.in_proj_weight),
        (False, apart, apart.q_proj_weight),
    ):
        made = plan(
            params,
            layers.pytorch_attention(
                in_kernels="q", out_kernels="out", biases="b", embed_dim=64, packed=packed
            ),
        )
        assert made["q"].std == pytest.approx(float(weight.detach().std()), rel=0.05)
        assert made["out"].std == pytest.approx(
            float(module.out_proj.weight.detach().std()), rel=0.05
        )
        assert not module.out_proj.bias.any()
    cell = torch.nn.LSTM(32, 64)
    (row,) = plan(
        {"w": spec(32, 256)}, layers.pytorch_recurrent(arrays="w", hidden_size=64)
    )
    for name in ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0"):
        assert row.std == pytest.approx(float(getattr(cell, name).detach().std()), rel=0.12)
    bilinear = torch.nn.Bilinear(30, 40, 50)
    (row, _) = plan(
        {"w": spec(50, 30, 40), "z": spec(50)},
        layers.pytorch_bilinear(weight="w", bias="z", in1_features=30),
    )
    assert row.std == pytest.approx(float(bilinear.weight.detach().std()), rel=0.03)


def test_flax_layers_are_those_of_flax():
    params, uses = traced(GPT(), TOKENS)
    made = plan(params, layers.flax(uses))
    theirs = GPT().init(KEY, jnp.zeros((2, 8), jnp.int32))["params"]
    assert not audit(theirs, made, false_alarm=1e-7).off
    # That check must be able to fail: Keras' defaults are others.
    other = plan(params, layers.keras(uses))
    assert audit(theirs, other).off


def test_haiku_layers_are_those_of_haiku():
    net = hk.transform(
        lambda x: hk.Linear(64)(jnp.tanh(hk.Conv2D(32, 3)(x)).reshape(2, -1))
    )
    params = jax.eval_shape(net.init, KEY, spec(2, 8, 8, 16))
    uses = trace_params(lambda p, x: net.apply(p, None, x), params, spec(2, 8, 8, 16))
    made = plan(params, layers.haiku(uses))
    theirs = net.init(KEY, jnp.zeros((2, 8, 8, 16)))
    assert not audit(theirs, made).off
    assert audit(theirs, plan(params, layers.flax(uses))).off


def test_equinox_layers_are_those_of_equinox():
    module = eqx.nn.MLP(64, 32, 256, 2, key=KEY)
    apply_fn, params = jaxinit.equinox.forward(module)
    uses = trace_params(apply_fn, params, spec(64))
    made = plan(params, layers.equinox(uses))
    assert not audit(params, made).off
    assert audit(params, plan(params, layers.haiku(uses))).off


# ------------------------------------------------------------------------ transformers


def test_gpt2_on_a_real_model():
    params, _ = traced(GPT(), TOKENS)
    rules = transformers.gpt2(num_layers=4, residual="{c_proj_*,attention_*/out}/kernel")
    made = plan(params, rules)
    small = 0.02 / math.sqrt(8)
    for i in range(4):
        assert made[f"c_proj_{i}/kernel"].std == pytest.approx(small)
        assert made[f"attention_{i}/out/kernel"].std == pytest.approx(small)
        assert made[f"attention_{i}/query/kernel"].std == 0.02
    assert made["wte/embedding"].std == 0.02
    assert made["ln/scale"].distribution.text == "ones"
    assert not audit(initialize(KEY, params, made), made).off


def test_t5_formulas():
    names = {"q": (64, 64), "k": (64, 64), "o": (64, 64), "wi": (64, 256), "wo": (256, 64)}
    params = {name: {"kernel": spec(*shape)} for name, shape in names.items()}
    params |= {
        "relative": {"embedding": spec(32, 4)},
        "shared": {"embedding": spec(99, 64)},
    }
    params["norm"] = {"weight": spec(64)}
    rules = transformers.t5(
        d_model=64,
        d_kv=16,
        num_heads=4,
        d_ff=256,
        query="q/*",
        key_value="{k,v}/*",
        output="o/*",
        wi="wi/*",
        wo="wo/*",
        relative_bias="relative/*",
        factor=2.0,
    )
    made = plan(params, rules)
    stds = {row.path.split("/")[0]: row.std for row in made}
    wanted = {
        "q": 1 / 32,
        "k": 1 / 8,
        "o": 1 / 8,
        "wi": 1 / 8,
        "wo": 1 / 16,
        "relative": 1 / 8,
    }
    for name, std in wanted.items():
        assert stds[name] == pytest.approx(2 * std)
    assert stds["shared"] == 2.0
    assert made["norm/weight"].distribution.mean == 2.0


def test_vit_variants():
    params = {
        "patch": {"kernel": spec(16, 16, 3, 64), "bias": spec(64)},
        "block": {
            "qkv": {"kernel": spec(64, 192), "bias": spec(192)},
            "mlp": {"kernel": spec(64, 256), "bias": spec(256)},
        },
        "position": {"table": spec(1, 197, 64)},
        "head": {"kernel": spec(64, 10), "bias": spec(10)},
    }
    globs: Any = {
        "head": "head/*",
        "mlp": "**/mlp/bias",
        "patch": "patch/kernel",
        "tables": "position/*",
    }
    made = plan(params, transformers.vit(variant="jax", **globs, head_bias=-2.3))
    assert made["head/kernel"].distribution.text == "zeros"
    assert made["head/bias"].distribution.mean == -2.3
    assert made["block/mlp/bias"].std == 1e-6
    assert made["patch/kernel"].std == pytest.approx((16 * 16 * 3) ** -0.5)
    assert made["block/mlp/kernel"].std == pytest.approx((2 / 320) ** 0.5)
    made = plan(params, transformers.vit(variant="timm", **globs))
    assert made["block/mlp/kernel"].std == 0.02
    rules = transformers.vit(variant="moco", **globs, qkv="**/qkv/kernel")
    drawn = initialize(KEY, params, rules)["block"]["qkv"]["kernel"]
    assert float(abs(drawn).max()) == pytest.approx((6 / 128) ** 0.5, rel=1e-3)
    with pytest.raises(ValueError, match="variant must be one of jax, timm, moco") as error:
        transformers.vit(variant="tim", **globs)  # pyright: ignore[reportArgumentType]
    assert str(error.value) == (
        "vit: variant must be one of jax, timm, moco; got variant='tim'. "
        "Did you mean 'timm'?"
    )


# --------------------------------------------------------------------- depth and width

DEEPNORM = {  # Wang et al., 2022, evaluated with mpmath
    6: (1.8612097182, 0.3799178428),
    12: (2.2133638394, 0.3194715521),
    100: (3.7606030931, 0.1880301547),
    1000: (6.6874030498, 0.1057371263),
}


@pytest.mark.parametrize("number", DEEPNORM)
def test_deepnorm_constants(number):
    found = depth.deepnorm_constants(0, number)
    assert found[2:] == pytest.approx(DEEPNORM[number], rel=1e-9)
    assert found[:2] == (1.0, 1.0)
    assert depth.deepnorm_constants(number, 0)[:2] == pytest.approx(
        DEEPNORM[number], rel=1e-9
    )


def test_deepnorm_of_two_stacks():
    wanted = (1.4179381407, 0.4969892408, 2.0597671439, 0.3432945240)
    assert depth.deepnorm_constants(6, 6) == pytest.approx(wanted, rel=1e-9)


def test_deepnorm_fixup_and_t_fixup_on_a_model():
    params, _ = traced(GPT(), TOKENS)
    xavier = (2 / (64 + 256)) ** 0.5
    made = plan(
        params, depth.deepnorm(beta=0.5, scaled="{c_*,attention_*/{value,out}}/kernel")
    )
    assert made["c_fc_0/kernel"].std == pytest.approx(0.5 * xavier)
    made = plan(
        params,
        depth.fixup(
            num_branches=16,
            layers_per_branch=2,
            inner="c_fc_*/*",
            last="c_proj_*/*",
            classifier="head/*",
        ),
    )
    assert made["c_fc_0/kernel"].std == pytest.approx(0.25 * (2 / 64) ** 0.5)
    assert made["c_proj_3/kernel"].std == 0
    assert made["head/kernel"].std == 0
    made = plan(
        params, depth.t_fixup(num_layers=4, width=64, decoder="c_*/kernel", tables="w?e/*")
    )
    assert made["c_fc_0/kernel"].std == pytest.approx(36**-0.25 * xavier)
    assert made["wte/embedding"].std == pytest.approx(36**-0.25 / 8)


class Wide(nn.Module):
    width: int

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = nn.relu(nn.Dense(self.width, name="first")(x))
        x = nn.relu(nn.Dense(self.width, name="middle")(x))
        return nn.Dense(10, name="last")(x)


def test_mup_table():
    params, uses = traced(Wide(512), spec(2, 16))
    _, base = traced(Wide(64), spec(2, 16))
    found = mup(uses, base)
    made = plan(params, found.rules)
    assert made["first/kernel"].std == pytest.approx(16**-0.5)
    assert made["middle/kernel"].std == pytest.approx(512**-0.5)
    assert made["last/kernel"].std == pytest.approx(64**-0.5)
    kernels = [f"{name}/kernel" for name in ("first", "middle", "last")]
    assert [found.adam[path] for path in kernels] == [1, 1 / 8, 1]
    assert [found.sgd[path] for path in kernels] == [8, 1, 8]
    assert found.output == {"last/kernel": 1 / 8}
    assert (found.adam["middle/bias"], found.sgd["middle/bias"]) == (1, 8)
    assert plan(params, mup(uses, base, zero_readout=True).rules)["last/kernel"].std == 0
    with pytest.raises(ValueError, match="one model at two widths"):
        mup(uses, traced(Convolutional(), spec(2, 8, 8, 32))[1])


def test_mup_keeps_the_size_of_the_output_change():
    """One Adam-like step moves the output as much at every width; plainly it would not."""

    def change(size: int, *, with_mup: bool) -> float:
        params, uses = traced(Wide(size), spec(2, 16))
        found = mup(uses, traced(Wide(64), spec(2, 16))[1])
        x = jax.random.normal(KEY, (64, 16))
        moves = []
        for seed in range(4):
            w = initialize(jax.random.key(seed), params, found.rules)
            factor = found.output["last/kernel"] if with_mup else 1.0

            def output(w: Any, factor: float = factor) -> Any:
                scaled = {**w, "last": jax.tree.map(lambda v: v * factor, w["last"])}
                return Wide(size).apply({"params": scaled}, x)

            gradient = jax.grad(lambda w, f=output: (f(w)[:, 0] - 1).mean())(w)
            rates = {p: (found.adam[p] if with_mup else 1.0) for p in uses}
            step = {
                layer: {
                    leaf: w[layer][leaf] - 0.01 * rates[f"{layer}/{leaf}"] * jnp.sign(g)
                    for leaf, g in leaves.items()
                }
                for layer, leaves in gradient.items()
            }
            moves.append(float(jnp.abs(output(step) - output(w))[:, 0].mean()))
        return float(np.mean(moves))

    assert change(1024, with_mup=True) / change(128, with_mup=True) < 2
    assert change(1024, with_mup=False) / change(128, with_mup=False) > 4


# ------------------------------------------------------------------------------- fields


class Field(nn.Module):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        for i in range(3):
            x = jnp.sin(30 * nn.Dense(256, name=f"layer_{i}")(x))
        return nn.Dense(1, name="last")(x)


def test_siren_on_a_real_field():
    params, uses = traced(Field(), spec(5, 2))
    made = plan(params, siren(uses))
    assert made["layer_0/kernel"].std == pytest.approx(1 / (2 * 3**0.5))
    for name in ("layer_1", "layer_2", "last"):
        assert made[f"{name}/kernel"].std == pytest.approx((2 / 256) ** 0.5 / 30)
        assert made[f"{name}/bias"].std == pytest.approx((3 * 256) ** -0.5)
    assert not audit(initialize(KEY, params, made), made).off


def test_orthogonal_heads():
    params = {name: {"kernel": spec(64, n), "bias": spec(n)} for name, n in HEADS.items()}
    made = plan(params, rl.orthogonal_rl(policy="policy/kernel", value="value/kernel"))
    drawn = initialize(KEY, params, made)
    for name, gain in {"trunk": 2**0.5, "policy": 0.01, "value": 1.0}.items():
        w = np.asarray(drawn[name]["kernel"], np.float64)
        gram = w.T @ w
        np.testing.assert_allclose(gram, gain**2 * np.eye(len(gram)), atol=1e-5 * gain**2)


HEADS = {"trunk": 64, "policy": 4, "value": 1}


def test_every_preset_covers_a_model():
    params, uses = traced(GPT(), TOKENS)
    by_use: list[Callable[[Uses], Any]] = [
        layers.pytorch,
        layers.keras,
        layers.flax,
        layers.haiku,
        layers.equinox,
        siren,
    ]
    for preset in by_use:
        assert isinstance(plan(params, preset(uses)), Plan)
