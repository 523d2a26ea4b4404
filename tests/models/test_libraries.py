"""Models that others wrote: Flax (linen and NNX), Haiku, Equinox."""

from collections import Counter
from typing import Any

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx

import jaxinit
import jaxinit.equinox
import jaxinit.flax
from jaxinit import Fans, Layout
from jaxinit.models.audit import audit
from jaxinit.models.auto import auto
from jaxinit.models.initialize import initialize
from jaxinit.models.materialize import materialize
from jaxinit.trace.entry import trace_params
from jaxinit.trace.use import Uses

KEY = jax.random.key(0)


def spec(*shape: int, dtype: str = "float32") -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def linen_uses(model: nn.Module, *inputs: Any) -> Uses:
    params = jax.eval_shape(model.init, KEY, *inputs)
    return trace_params(model.apply, params, *inputs)


def roles(uses: Uses) -> Counter[str]:
    return Counter(use.role for use in uses.values())


class Block(nn.Module):
    @nn.compact
    def __call__(self, x: Any, _: Any = None) -> tuple[Any, None]:
        y = nn.LayerNorm()(x)
        x = x + nn.MultiHeadDotProductAttention(4)(y, y)
        y = nn.gelu(nn.Dense(64)(nn.LayerNorm()(x)))
        return x + nn.Dense(16)(y), None


class Transformer(nn.Module):
    scanned: bool = False

    @nn.compact
    def __call__(self, tokens: Any) -> Any:
        table = nn.Embed(50, 16, name="tokens")
        x = table(tokens) + nn.Embed(8, 16, name="positions")(jnp.arange(8))[None]
        if self.scanned:
            layers = nn.scan(
                nn.remat(Block),
                variable_axes={"params": 0},
                split_rngs={"params": True},
                length=3,
            )
            x, _ = layers(name="layers")(x, None)
        else:
            x, _ = Block(name="layers")(x)
        return table.attend(nn.LayerNorm()(x))


@pytest.mark.parametrize("scanned", [False, True])
def test_linen_transformer(scanned):
    uses = linen_uses(Transformer(scanned), spec(2, 8, dtype="int32"))
    stack = "B" if scanned else ""
    attention = "params/layers/MultiHeadDotProductAttention_0/"
    for name in ("query", "key", "value"):
        use = uses[f"{attention}{name}/kernel"]
        assert (use.layout, use.fans) == (Layout(stack + "IOO"), Fans(16, 16))
        assert (use.after, use.gain) == ("normalisation", 1.0)
    use = uses[f"{attention}out/kernel"]
    assert (use.layout, use.after) == (Layout(stack + "IIO"), "attention")
    use = uses["params/layers/Dense_1/kernel"]
    assert (use.layout, use.fans) == (Layout(stack + "IO"), Fans(64, 16))
    assert (use.after, use.nonlinearity) == (
        "weight params/layers/Dense_0/kernel",
        "gelu_tanh",
    )
    table = uses["params/tokens/embedding"]
    assert table.role == "embedding"
    assert [other.role for other in table.others] == ["weight"]
    assert roles(uses) == {"weight": 6, "bias": 9, "scale": 3, "embedding": 2}


WRONG = {
    "ConvTranspose(transpose_kernel=True)": (
        nn.ConvTranspose(128, (3, 3), transpose_kernel=True),
        spec(1, 8, 8, 32),
        "HWOI",
        (32 / 128) ** 0.5,
    ),
    "DenseGeneral(batch_dims)": (
        nn.DenseGeneral(128, batch_dims=(0,)),
        spec(16, 4, 64),
        "BIO",
        16**-0.5,
    ),
    "Einsum": (nn.Einsum((64, 4, 16), "bi,iho->bho"), spec(2, 64), "IOO", 0.5),
    "ConvLocal": (nn.ConvLocal(64, (3,)), spec(1, 22, 32), "BIO", 20**-0.5),
}


@pytest.mark.parametrize("name", WRONG)
def test_audit_catches_wrong_layers(name):
    model, x, axes, ratio = WRONG[name]
    if name == "ConvLocal":
        model = nn.ConvLocal(64, (3,), padding="VALID")
    uses = linen_uses(model, x)
    (use,) = (use for use in uses.values() if use.role == "weight")
    assert use.layout == Layout(axes)
    params = materialize(model.init, KEY, x)
    assert use.fans is not None
    found = audit(params, uses)[use.path]
    assert found.is_off
    assert f"{found.remark.split()[0]}" == f"{found.measured * use.fans.fan_in**0.5:.4g}"
    assert found.measured * use.fans.fan_in**0.5 == pytest.approx(ratio, rel=0.03)


RIGHT = {
    "Dense": (nn.Dense(128), spec(2, 64)),
    "Conv": (nn.Conv(64, (3, 3)), spec(1, 8, 8, 32)),
    "grouped Conv": (nn.Conv(64, (3, 3), feature_group_count=4), spec(1, 8, 8, 32)),
    "ConvTranspose": (nn.ConvTranspose(128, (3, 3)), spec(1, 8, 8, 32)),
    "DenseGeneral": (nn.DenseGeneral((8, 16)), spec(4, 64)),
    "LSTM": (nn.RNN(nn.LSTMCell(64)), spec(2, 5, 32)),
    "OptimizedLSTM": (nn.RNN(nn.OptimizedLSTMCell(64)), spec(2, 5, 32)),
    "GRU": (nn.RNN(nn.GRUCell(64)), spec(2, 5, 32)),
    "transformer": (Transformer(), spec(2, 8, dtype="int32")),
    "scanned transformer": (Transformer(scanned=True), spec(2, 8, dtype="int32")),
}


@pytest.mark.parametrize("name", RIGHT)
def test_audit_is_quiet_on_right_layers(name):
    model, x = RIGHT[name]
    uses = linen_uses(model, x)
    assert not {"unknown", "unused"} & set(roles(uses))
    found = audit(materialize(model.init, KEY, x), uses)
    assert not found.off, str(found)


def test_audit_of_a_plan():
    model, x = RIGHT["transformer"]
    params = jax.eval_shape(model.init, KEY, x)
    made = auto(model.apply, params, x)
    assert not audit(initialize(KEY, params, made), made).off
    wrong = jax.tree.map(lambda w: w * 1.6, initialize(KEY, params, made))
    off = {finding.path for finding in audit(wrong, made).off}
    kernels = {row.path for row in made if row.use and row.use.role == "weight"}
    assert kernels <= off
    assert audit(wrong, made, tolerance=0.7).off == ()


def test_auto_makes_a_transformer_whose_signal_keeps_its_size():
    model, x = RIGHT["transformer"]
    params = jax.eval_shape(model.init, KEY, x)
    made = auto(model.apply, params, x, rules=[("**/positions/*", jaxinit.zeros)])
    assert made["params/positions/embedding"].distribution.text == "zeros"
    assert made["params/tokens/embedding"].std == pytest.approx(0.25)
    use = made["params/layers/Dense_1/kernel"]
    assert use.std == pytest.approx(1.53358 / 8, rel=1e-4)
    logits = model.apply(initialize(KEY, params, made), jnp.zeros((2, 8), jnp.int32))
    assert bool(jnp.isfinite(logits).all())


def test_haiku_residual_network():
    net = hk.transform_with_state(lambda x: hk.nets.ResNet50(10)(x, is_training=True))
    x = spec(2, 64, 64, 3)
    params, state = jax.eval_shape(net.init, KEY, x)
    uses = trace_params(lambda p, s, x: net.apply(p, s, None, x)[0], params, state, x)
    assert roles(uses) == {"weight": 54, "bias": 54, "scale": 53}
    between = Counter((use.after, use.nonlinearity) for use in uses.values() if use.layout)
    assert between["normalisation", "relu"] == 32
    assert between["residual addition", "relu"] == 14


def test_haiku_depthwise_network_at_evaluation():
    net = hk.transform_with_state(lambda x: hk.nets.MobileNetV1(num_classes=10)(x, False))
    train = hk.transform_with_state(lambda x: hk.nets.MobileNetV1(num_classes=10)(x, True))
    x = spec(2, 64, 64, 3)
    params, state = jax.eval_shape(train.init, KEY, x)
    uses = trace_params(lambda p, s, x: net.apply(p, s, None, x)[0], params, state, x)
    assert roles(uses) == {"weight": 28, "bias": 28, "scale": 27}
    depthwise = [use for use in uses.values() if use.layout and use.layout.groups > 1]
    assert len(depthwise) == 13
    assert {use.fans.fan_in for use in depthwise if use.fans} == {9}
    assert {use.after for use in depthwise} == {"normalisation"}


EQUINOX = {
    "Linear": (lambda k: eqx.nn.Linear(32, 64, key=k), spec(32), {"weight": "OI"}),
    "Conv2d": (
        lambda k: eqx.nn.Conv2d(8, 16, 3, groups=2, key=k),
        spec(8, 9, 9),
        {"weight": "OIHW"},
    ),
    "ConvTranspose2d": (
        lambda k: eqx.nn.ConvTranspose2d(8, 16, 3, 2, key=k),
        spec(8, 9, 9),
        {"weight": "OIHW"},
    ),
    "MLP": (
        lambda k: eqx.nn.MLP(8, 4, 64, 2, key=k),
        spec(8),
        {f"layers/{i}/weight": "OI" for i in range(3)},
    ),
    "MultiheadAttention": (
        lambda k: eqx.nn.MultiheadAttention(4, 64, key=k),
        (spec(5, 64), spec(5, 64), spec(5, 64)),
        {f"{name}_proj/weight": "OI" for name in ("query", "key", "value", "output")},
    ),
    "GRUCell": (
        lambda k: eqx.nn.GRUCell(32, 64, key=k),
        (spec(32), spec(64)),
        {"weight_ih": "OI", "weight_hh": "OI"},
    ),
}


@pytest.mark.parametrize("name", EQUINOX)
def test_equinox(name):
    build, inputs, axes = EQUINOX[name]
    inputs = inputs if isinstance(inputs, tuple) else (inputs,)
    module = build(KEY)
    apply_fn, params = jaxinit.equinox.forward(module)
    uses = trace_params(apply_fn, params, *inputs)
    weights = {
        p: use.layout.axes for p, use in uses.items() if use.role == "weight" and use.layout
    }
    assert weights == axes
    if name == "GRUCell":
        assert uses["weight_hh"].splits == (64, 64, 64)
    if name == "ConvTranspose2d":  # its bound counts the window that strides leave out
        (finding,) = audit(params, uses).off
        assert finding.ratio is not None
        assert uses["weight"].fans == Fans(18, 144)
    else:
        assert not audit(params, uses).off


class NnxModel(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.table = nnx.Embed(10, 16, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(4, 16, decode=False, rngs=rngs)
        self.norm = nnx.BatchNorm(16, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.head = nnx.Linear(16, 8, rngs=rngs)

    def __call__(self, tokens: Any) -> Any:
        x = self.dropout(nnx.relu(self.norm(self.attention(self.table(tokens)))))
        return self.head(x)


def test_nnx():
    module = nnx.eval_shape(lambda: NnxModel(nnx.Rngs(0)))
    apply_fn, params = jaxinit.flax.forward(module)
    uses = trace_params(apply_fn, params, spec(2, 5, dtype="int32"))
    assert roles(uses) == {"weight": 5, "bias": 6, "scale": 1, "embedding": 1}
    assert (uses["head/kernel"].after, uses["head/kernel"].nonlinearity) == (
        "normalisation",
        "relu",
    )
    made = auto(apply_fn, params, spec(2, 5, dtype="int32"))
    real = NnxModel(nnx.Rngs(0))
    before = real.head.kernel[...]
    jaxinit.flax.reinitialize(KEY, real, made)
    assert real.head.kernel[...].shape == before.shape
    assert not bool((real.head.kernel[...] == before).all())
    assert real(jnp.zeros((2, 5), jnp.int32)).shape == (2, 5, 8)


# ------------------------------------------------------------------------- materialize


def close(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        if hasattr(x, "dtype"):
            assert x.dtype == y.dtype
            np.testing.assert_allclose(
                np.asarray(x, np.float64), np.asarray(y, np.float64), rtol=3e-7, atol=1e-9
            )
        else:
            assert x is y


@pytest.mark.parametrize(
    "name", ["LSTM", "transformer", "scanned transformer", "grouped Conv"]
)
def test_materialize_linen(name):
    model, x = RIGHT[name]
    data = jnp.zeros(x.shape, x.dtype)
    close(materialize(model.init, KEY, x), jax.jit(model.init)(KEY, data))


def test_materialize_compiles_once_for_equal_draws():
    traced = []

    def init(key):
        keys = jax.random.split(key, 12)
        traced.append(1)
        return {f"w{i}": jax.random.normal(k, (30, 30)) * 0.1 for i, k in enumerate(keys)}

    counts = []

    def listen(event: str, duration_secs: float, **kwargs: Any) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            counts.append(event)

    jax.monitoring.register_event_duration_secs_listener(listen)
    made = materialize(init, jax.random.key(5))
    compiled = len(counts)
    close(made, jax.jit(init)(jax.random.key(5)))
    assert len(traced) == 2
    assert compiled <= 6  # the draw, and the steps that split the keys


def test_materialize_leaves_data_dependent_values_right():
    net = hk.transform_with_state(
        lambda x: hk.BatchNorm(True, True, 0.9)(hk.Linear(4)(x), is_training=True)
    )
    x = jax.random.normal(KEY, (8, 3))
    close(materialize(net.init, KEY, x), jax.jit(net.init)(KEY, x))
    with pytest.raises(
        ValueError, match="may depend only on arguments that have values"
    ) as e:
        materialize(net.init, KEY, spec(8, 3))
    assert "batch_norm/~/mean_ema'/average" in str(e.value)
    assert str(e.value).endswith("given as a shape. Give the array itself.")


def test_materialize_other_frameworks():
    build = EQUINOX["MLP"][0]
    close(materialize(build, KEY), build(KEY))
    made = jaxinit.flax.materialize_nnx(NnxModel, KEY)
    real = NnxModel(nnx.Rngs(KEY))
    for kind in (nnx.Param, nnx.BatchStat):
        close(nnx.state(made, kind), nnx.state(real, kind))


def test_materialize_with_our_initializers():
    model = nn.Dense(32, kernel_init=jaxinit.kaiming_normal, bias_init=jaxinit.zeros)
    x = jnp.zeros((1, 16))
    close(materialize(model.init, KEY, x), model.init(KEY, x))


def test_materialize_under_vmap():
    model = nn.Dense(32)
    keys = jax.random.split(KEY, 3)
    x = jnp.zeros((1, 16))
    many = jax.vmap(lambda key: materialize(model.init, key, x))(keys)
    assert many["params"]["kernel"].shape == (3, 16, 32)


def test_materialize_errors():
    with pytest.raises(TypeError) as error:
        materialize(3)  # pyright: ignore[reportArgumentType]
    assert str(error.value) == (
        "materialize: init_fn must be a function; got 3. "
        "Give for example model.init, and its arguments behind it."
    )
