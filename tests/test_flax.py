"""Flax: NNX modules in place, linen variables as new, models as pure functions."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxinit
from jaxinit.flax import forward, reinitialize
from tests.adapters import has_std, spec

KEY = jax.random.key(0)
RULES = [
    ("**/bias", jaxinit.zeros),
    (jaxinit.optional("**/scale"), jaxinit.ones),
    ("**/kernel", jaxinit.lecun_normal),
]


@pytest.fixture(autouse=True)
def lenient():
    with jax.numpy_dtype_promotion("standard"):
        yield


# --------------------------------------------------------------------------------- NNX


class Net(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(16, 32, (3, 3), feature_group_count=4, rngs=rngs)
        self.up = nnx.ConvTranspose(32, 8, (4, 4), 2, transpose_kernel=True, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.dropout = nnx.Dropout(0.1, rngs=rngs)
        self.attention = nnx.MultiHeadAttention(8, 8, 64, decode=False, rngs=rngs)
        self.expand = nnx.Einsum("...x,xyz->...yz", (8, 16, 6), None, rngs=rngs)
        self.reduce = nnx.LinearGeneral((16, 6), 10, axis=(-2, -1), rngs=rngs)

    def __call__(self, x: Any) -> Any:
        x = self.dropout(self.norm(self.up(self.conv(x))))
        x = self.attention(x.reshape(x.shape[0], -1, 8))
        return self.reduce(self.expand(x))


FANS = {  # what one output sums
    "conv": 3 * 3 * 4,
    "up": 32 * 2 * 2,  # of 4 * 4 taps each output meets 2 * 2
    "attention/query": 8,
    "attention/out": 64,
    "expand": 8,
    "reduce": 96,
}


def test_nnx_layouts_are_those_of_the_layers():
    module = nnx.eval_shape(lambda: Net(nnx.Rngs(0)))
    assert reinitialize(KEY, module, RULES) is module
    for name, fan in FANS.items():
        layer: Any = module
        for step in name.split("/"):
            layer = getattr(layer, step)
        assert has_std(layer.kernel[...], fan**-0.5), name
        assert not has_std(layer.kernel[...], 1.3 * fan**-0.5), name
    # What was abstract and no parameter has values, too: the module runs.
    assert bool((module.norm.var[...] == 1).all())
    assert not bool((module.norm.mean[...] != 0).any())
    assert bool(jnp.isfinite(module(jnp.ones((2, 8, 8, 16)))).all())


def test_nnx_by_type():
    module = Net(nnx.Rngs(0))
    before = module.conv.kernel[...]
    reinitialize(KEY, module, {nnx.LinearGeneral: {"kernel": jaxinit.lecun_normal}})
    assert has_std(module.attention.query.kernel[...], 8**-0.5)
    assert bool((module.conv.kernel[...] == before).all())
    with pytest.raises(ValueError) as error:
        reinitialize(KEY, module, {nnx.Linear: {"kernel": jaxinit.zeros}})
    assert str(error.value) == (
        "flax.reinitialize: every type must fit a layer of the model; got none for Linear. "
        "Remove it, or check the model."
    )


@pytest.mark.parametrize("kind", [nnx.OptimizedLSTMCell, nnx.GRUCell])
def test_nnx_gates_have_the_fans_of_one(kind):
    cell = kind(64, 32, rngs=nnx.Rngs(0))
    reinitialize(KEY, cell, {nnx.Linear: {"kernel": jaxinit.xavier_normal}})
    assert has_std(cell.dense_i.kernel[...], (2 / (64 + 32)) ** 0.5)
    assert has_std(cell.dense_h.kernel[...], (2 / (32 + 32)) ** 0.5)


@pytest.mark.parametrize("axis", [0, 1])
def test_nnx_stacks(axis):
    @nnx.vmap(in_axes=0, out_axes=axis)
    def make(key):
        return nnx.Linear(16, 64, rngs=nnx.Rngs(key))

    stack = make(jax.random.split(KEY, 6))
    reinitialize(KEY, stack, {nnx.Linear: {"kernel": jaxinit.xavier_normal}})
    assert has_std(stack.kernel[...], (2 / 80) ** 0.5)
    reinitialize(KEY, stack, {nnx.Linear: {"kernel": jaxinit.orthogonal}})
    for one in jnp.moveaxis(stack.kernel[...], axis, 0):
        assert float(abs(one @ one.T - jnp.eye(16)).max()) < 1e-5


def test_nnx_partitioned_metadata_stays():
    mesh = jax.make_mesh((2, 2), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    init = nnx.with_partitioning(nnx.initializers.lecun_normal(), (None, "model"))
    with jax.set_mesh(mesh):
        module = nnx.eval_shape(
            lambda: nnx.Linear(16, 32, kernel_init=init, rngs=nnx.Rngs(0))
        )
        metadata = module.kernel.get_metadata()
        reinitialize(KEY, module, RULES)
        assert module.kernel.get_metadata() == metadata
        there: Any = module.kernel[...].sharding
        assert there.spec == P(None, "model")  # where it was to be
        assert metadata["out_sharding"] == (None, "model")


def test_nnx_variables_that_are_no_parameters():
    module = Net(nnx.Rngs(0))
    with pytest.raises(ValueError) as error:
        reinitialize(KEY, module, [("**/mean", jaxinit.zeros), *RULES])
    assert str(error.value) == (
        "flax.reinitialize: rules are for parameters; got match='**/mean', "
        "which fits only norm/mean (BatchStat). Set that variable yourself."
    )
    cache = nnx.eval_shape(
        lambda: nnx.Sequential(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), nnx.Cache(jnp.ones(3)))
    )
    with pytest.raises(ValueError, match="must have values") as error:
        reinitialize(KEY, cache, RULES)
    assert str(error.value) == (
        "flax.reinitialize: variables that are no parameters must have values; got only shapes "
        "for layers/1. Build the module with nnx.jit, or set them first."
    )


def test_nnx_forward_takes_options():
    class Noisy(nnx.Module):
        def __init__(self, rngs):
            self.dropout = nnx.Dropout(0.5, rngs=rngs)

        def __call__(self, x, *, deterministic):
            return self.dropout(x, deterministic=deterministic)

    apply_fn, params = forward(Noisy(nnx.Rngs(0)), deterministic=True)
    assert bool((apply_fn(params, jnp.ones(99)) == 1).all())
    assert not bool((apply_fn(params, jnp.ones(99), deterministic=False) == 1).all())


# ------------------------------------------------------------------------------- linen


class Linen(nn.Module):
    @nn.compact
    def __call__(self, x: Any, train: bool = True) -> Any:
        init = nn.with_partitioning(
            nn.initializers.lecun_normal(), (None, None, None, "model")
        )
        x = nn.Conv(8, (3, 3), kernel_init=init, name="conv")(x)
        x = nn.BatchNorm(use_running_average=not train, name="norm")(x)
        x = nn.Dropout(0.1, deterministic=not train)(x)
        x = x.reshape(x.shape[0], -1, 8)
        x = nn.MultiHeadDotProductAttention(8, qkv_features=64, name="attention")(x, x)
        return nn.Dense(4, name="head")(x)


X = spec(2, 8, 8, 16)


def test_linen():
    apply_fn, params = forward(Linen(), X)
    uses = jaxinit.trace_params(apply_fn, params, X)
    assert uses["attention/out/kernel"].fans == jaxinit.Fans(64, 8)
    variables = Linen().init({"params": KEY, "dropout": KEY}, jnp.ones(X.shape))
    new = reinitialize(KEY, variables, RULES, uses=uses)
    assert jax.tree.structure(new) == jax.tree.structure(variables)
    assert isinstance(new["params"]["conv"]["kernel"], nn.Partitioned)
    assert new["params"]["conv"]["kernel"].names == (None, None, None, "model")
    assert has_std(new["params"]["attention"]["query"]["kernel"], 8**-0.5)
    assert has_std(new["params"]["attention"]["out"]["kernel"], 64**-0.5)
    for tree in (new, new["params"]):  # whole variables, or the parameters alone
        assert apply_fn(tree, jnp.ones(X.shape), train=False).shape == (2, 64, 4)
    assert not jaxinit.audit(new["params"], uses).off
    # Parameters alone give the same values.
    alone = reinitialize(KEY, variables["params"], RULES, uses=uses)
    same = jax.tree.map(lambda a, b: bool((a == b).all()), alone, new["params"])
    assert all(jax.tree.leaves(same))


def test_complex_parameters():
    """As netket has them: E |w|^2 is what the fans ask for."""

    class Wave(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            x = nn.Dense(128, param_dtype=jnp.complex64)(x)
            return nn.Dense(64, param_dtype=jnp.complex64)(x * x).sum(-1)

    x = spec(4, 64, dtype="complex64")
    apply_fn, params = forward(Wave(), x)
    uses = jaxinit.trace_params(apply_fn, params, x)
    for rules in (RULES[:1] + RULES[2:], jaxinit.auto(apply_fn, params, x)):
        new = reinitialize(KEY, params, rules)
        kernel = new["Dense_0"]["kernel"]
        assert kernel.dtype == jnp.complex64
        assert has_std(abs(kernel), 1 / 8)
        assert float(abs(kernel.imag).max()) > 0.1
        assert not jaxinit.audit(new, uses).off
        made = jaxinit.plan(params, rules) if isinstance(rules, list) else rules
        assert not jaxinit.audit(new, made).off


def test_attention_on_a_mesh():
    """Flax leaves placement to the compiler, which needs a mesh of Auto axes."""
    mesh = jax.make_mesh((8,), ("model",), axis_types=(AxisType.Auto,))

    def place(path: str, shape: tuple[int, ...]) -> NamedSharding:
        del path
        return NamedSharding(mesh, P("model") if shape[0] % 8 == 0 else P())

    model = nn.MultiHeadDotProductAttention(8, qkv_features=64)
    x = jax.random.normal(KEY, (2, 5, 64))
    apply_fn, params = forward(model, x, x)
    uses = jaxinit.trace_params(apply_fn, params, x, x)
    rules = RULES[:1] + RULES[2:]
    placed = reinitialize(KEY, params, rules, uses=uses, out_shardings=place)
    assert placed["query"]["kernel"].sharding.spec == P("model")
    alone = reinitialize(KEY, params, rules, uses=uses)
    np.testing.assert_array_equal(placed["out"]["kernel"], alone["out"]["kernel"])
    expected = apply_fn(alone, x, x)
    for run in (apply_fn, jax.jit(apply_fn)):
        np.testing.assert_allclose(run(placed, x, x), expected, atol=1e-5)

    # On a mesh of Explicit axes, jax.make_mesh's default, the model runs in auto_axes.
    explicit = jax.make_mesh((8,), ("model",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(explicit):
        there = jax.device_put(placed, jax.tree.map(lambda _: P("model"), placed))
        run = jax.jit(jax.sharding.auto_axes(apply_fn, out_sharding=P()))
        np.testing.assert_allclose(run(there, x, x), expected, atol=1e-5)


def test_linen_errors():
    _, params = forward(Linen(), X)
    with pytest.raises(ValueError, match="needs a layout"):
        reinitialize(KEY, {"params": params}, RULES)
    shapes = jax.eval_shape(Linen().init, KEY, X)
    with pytest.raises(ValueError) as error:
        reinitialize(KEY, shapes, [("**/var", jaxinit.ones), *RULES])
    assert str(error.value) == (
        "flax.reinitialize: rules are for parameters; got match='**/var', "
        "which fits only norm/var (batch_stats). Set that variable yourself."
    )
    with pytest.raises(ValueError) as error:
        forward(nn.Dense(3))
    assert str(error.value) == (
        "flax.forward: a linen module needs its inputs to know its parameters; got none. "
        "Write forward(model, x), where x may be a jax.ShapeDtypeStruct."
    )
    with pytest.raises(TypeError) as error:
        reinitialize(KEY, nn.Dense(3), RULES)
    assert str(error.value) == (
        "flax.reinitialize: model must be an NNX module, or linen's variables; got Dense. "
        "For a linen module, pass what its init gave."
    )
    with pytest.raises(TypeError) as error:
        forward(3)
    assert str(error.value) == (
        "flax.forward: module must be an NNX module; got int. "
        "Give an nnx.Module that is built, or abstract."
    )
