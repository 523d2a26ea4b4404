"""Equinox: layouts by layer type, rules of every form, modules as pure functions."""

import dataclasses
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

import jaxinit
from jaxinit.equinox import forward, reinitialize
from tests.adapters import has_std, spec

KEY = jax.random.key(0)
NEW = jax.random.key(1)
RULES = [("**/weight*", jaxinit.lecun_normal), ("**", jaxinit.keep)]


@pytest.fixture(autouse=True)
def lenient_promotion():
    with jax.numpy_dtype_promotion("standard"):
        yield


# What one output sums: by hand from the definition of each layer.
LAYERS: dict[str, tuple[Any, dict[str, int]]] = {
    "Linear": (lambda k: eqx.nn.Linear(64, 100, key=k), {"weight": 64}),
    "Conv1d": (lambda k: eqx.nn.Conv1d(32, 16, 5, key=k), {"weight": 160}),
    "grouped Conv2d": (lambda k: eqx.nn.Conv2d(32, 64, 3, groups=4, key=k), {"weight": 72}),
    "Conv3d": (lambda k: eqx.nn.Conv3d(8, 16, 3, key=k), {"weight": 216}),
    "ConvTranspose2d": (
        lambda k: eqx.nn.ConvTranspose2d(16, 32, 3, key=k),
        {"weight": 144},
    ),
    "strided ConvTranspose2d": (  # 4 * 4 taps, of which each output meets 2 * 2
        lambda k: eqx.nn.ConvTranspose2d(32, 64, 4, 2, groups=2, key=k),
        {"weight": 64},
    ),
    "GRUCell": (
        lambda k: eqx.nn.GRUCell(32, 64, key=k),
        {"weight_ih": 32, "weight_hh": 64},
    ),
    "LSTMCell": (
        lambda k: eqx.nn.LSTMCell(32, 64, key=k),
        {"weight_ih": 32, "weight_hh": 64},
    ),
    "MultiheadAttention": (
        lambda k: eqx.nn.MultiheadAttention(4, 64, output_size=32, key=k),
        {f"{name}_proj/weight": 64 for name in ("query", "key", "value", "output")},
    ),
    "stacked Conv1d": (
        lambda k: eqx.filter_vmap(lambda k: eqx.nn.Conv1d(32, 16, 3, key=k))(
            jax.random.split(k, 5)
        ),
        {"weight": 96},
    ),
}


def leaf(tree: Any, path: str) -> Any:
    for name in path.split("/"):
        tree = tree[int(name)] if name.isdigit() else getattr(tree, name)
    return tree


@pytest.mark.parametrize("name", LAYERS)
def test_layouts_are_those_of_the_layers(name):
    build, fans = LAYERS[name]
    module = reinitialize(NEW, build(KEY), RULES)
    for path, fan in fans.items():
        weight = leaf(module, path)
        assert has_std(weight, fan**-0.5), path
        assert not has_std(weight, 1.3 * fan**-0.5), path


@pytest.mark.parametrize("kind", [eqx.nn.GRUCell, eqx.nn.LSTMCell])
def test_xavier_of_gates_has_the_fans_of_one_gate(kind):
    rules = [("weight_ih", jaxinit.xavier_normal), ("**", jaxinit.keep)]
    cell = reinitialize(NEW, kind(32, 64, key=KEY), rules)
    assert has_std(cell.weight_ih, (2 / (32 + 64)) ** 0.5)


def test_by_type():
    mlp = eqx.nn.MLP(784, 10, 512, 1, use_final_bias=False, key=KEY)
    fields = {"weight": jaxinit.kaiming_normal, "bias": jaxinit.zeros}
    new = reinitialize(NEW, mlp, {eqx.nn.Linear: fields})
    assert jax.tree.structure(new) == jax.tree.structure(mlp)
    assert has_std(new.layers[1].weight, 0.0625)
    assert has_std(new.layers[0].weight, (2 / 784) ** 0.5)
    assert not new.layers[0].bias.any()
    # The same by path, and by a plan from the computation: equal keys, equal values.
    by_path = [("**/bias", jaxinit.zeros), ("**/weight", jaxinit.kaiming_normal)]
    again = reinitialize(NEW, mlp, by_path)
    assert bool((again.layers[1].weight == new.layers[1].weight).all())
    made = jaxinit.auto(*forward(mlp), spec(784))
    assert has_std(reinitialize(NEW, mlp, made).layers[1].weight, 0.0625)


def test_the_nearest_type_counts_and_a_bound_layout_stays():
    class Head(eqx.nn.Linear):
        pass

    head: Any = Head
    net = [eqx.nn.Linear(64, 64, key=KEY), head(64, 64, key=KEY)]
    he = partial(jaxinit.kaiming_normal, layout=jaxinit.Fans(1, 1))
    new = reinitialize(
        NEW, net, {eqx.nn.Linear: {"weight": he}, Head: {"weight": jaxinit.zeros}}
    )
    assert has_std(new[0].weight, 2**0.5)
    assert not new[1].weight.any()
    assert bool((new[1].bias == net[1].bias).all())


def test_orthogonal_takes_the_layout():
    linear = eqx.nn.Linear(32, 8, key=KEY)
    new = reinitialize(NEW, linear, {eqx.nn.Linear: {"weight": jaxinit.orthogonal}})
    gram = new.weight @ new.weight.T
    assert float(abs(gram - jnp.eye(8)).max()) < 1e-5


@pytest.mark.parametrize("channels", [(8, 16), (16, 16)])
def test_audit_knows_delta_orthogonal(channels):
    conv = eqx.nn.Conv2d(channels[0], channels[1], 3, key=KEY)
    fields = {"weight": partial(jaxinit.delta_orthogonal, gain=1.0)}
    conv = reinitialize(NEW, conv, {eqx.nn.Conv2d: fields})
    apply_fn, params = forward(conv)
    x = spec(channels[0], 9, 9, dtype=params.weight.dtype.name)
    uses = jaxinit.trace_params(apply_fn, params, x)
    found = jaxinit.audit(params, uses)["weight"]
    assert not found.is_off
    assert found.remark == "orthogonal" or channels[0] == channels[1]  # or LeCun, too
    # One entry beside the centre, and it is no such weight.
    wrong = eqx.tree_at(lambda p: p.weight, params, params.weight.at[0, 0, 0, 0].set(1.0))
    assert jaxinit.audit(wrong, uses)["weight"].remark != "orthogonal"


def test_abstract_modules():
    shapes = eqx.filter_eval_shape(lambda k: eqx.nn.MLP(8, 4, 64, 2, key=k), KEY)
    rules = [("**/bias", jaxinit.zeros), ("**/weight", jaxinit.lecun_normal)]
    module = reinitialize(NEW, shapes, rules)
    assert module(jnp.ones(8)).shape == (4,)
    assert has_std(module.layers[1].weight, 64**-0.5)


class Convolutional(eqx.Module):
    conv: eqx.nn.Conv2d
    norm: eqx.nn.BatchNorm
    dropout: eqx.nn.Dropout
    head: eqx.nn.Linear

    def __init__(self, key):
        self.conv = eqx.nn.Conv2d(3, 8, 3, key=key)
        self.norm = eqx.nn.BatchNorm(8, "batch", mode="batch")
        self.dropout = eqx.nn.Dropout(0.5)
        self.head = eqx.nn.Linear(8 * 36, 10, key=key)

    def __call__(self, x, state, *, key):
        x, state = self.norm(self.conv(x), state)
        return self.head(self.dropout(x, key=key).reshape(-1)), state


def test_forward_handles_state_keys_and_batches():
    module, state = eqx.nn.make_with_state(Convolutional)(KEY)
    apply_fn, params = forward(module, state=state, axis_name="batch")
    x = spec(4, 3, 8, 8, dtype=params.head.weight.dtype.name)
    uses = jaxinit.trace_params(apply_fn, params, x)
    roles = {path: use.role for path, use in uses.items()}
    assert roles["norm/weight"] == "scale"
    assert uses["head/weight"].after == "normalisation"
    assert uses["conv/weight"].layout == jaxinit.Layout("OIHW")
    for _ in range(2):  # the state is not used up
        assert apply_fn(params, jnp.ones(x.shape, x.dtype)).shape == (4, 10)
    assert not jaxinit.audit(params, uses).off


def test_options_of_the_call():
    apply_fn, params = forward(eqx.nn.Dropout(0.5), inference=True)
    assert bool((apply_fn(params, jnp.ones(99)) == 1).all())
    assert not bool((apply_fn(params, jnp.ones(99), inference=False) == 1).all())


@jax.tree_util.register_pytree_node_class
@dataclasses.dataclass(frozen=True)
class NamedArray:
    """As Haliax has them: a box of one array, whose shape is a dict of named axes."""

    array: Any
    axes: tuple[str, ...]

    @property
    def shape(self) -> dict[str, int]:
        return dict(zip(self.axes, self.array.shape, strict=True))

    dtype = property(lambda self: self.array.dtype)

    def tree_flatten(self) -> Any:
        return (self.array,), self.axes

    @classmethod
    def tree_unflatten(cls, axes: tuple[str, ...], children: Any) -> "NamedArray":
        return cls(children[0], axes)


class NamedLinear(eqx.Module):
    weight: NamedArray
    bias: NamedArray

    def __call__(self, x: NamedArray) -> NamedArray:
        out = x.array @ self.weight.array + self.bias.array
        return NamedArray(out, (*x.axes[:-1], self.weight.axes[-1]))


def test_named_arrays():
    weight = NamedArray(jnp.ones((64, 128)), ("in", "out"))
    module = NamedLinear(weight, NamedArray(jnp.ones(128), ("out",)))
    rules = [("bias/*", jaxinit.zeros), ("weight/*", jaxinit.lecun_normal)]
    new = reinitialize(NEW, module, rules)
    assert new.weight.axes == ("in", "out")
    assert has_std(new.weight.array, 1 / 8)
    fields = {"weight": jaxinit.kaiming_normal, "bias": jaxinit.zeros}
    by_type = reinitialize(NEW, module, {NamedLinear: fields})
    assert has_std(by_type.weight.array, 2**0.5 / 8)
    assert not by_type.bias.array.any()
    apply_fn, params = forward(new)
    uses = jaxinit.trace_params(apply_fn, params, NamedArray(spec(5, 64), ("batch", "in")))
    assert uses["weight/0"].fans == jaxinit.Fans(64, 128)
    assert not jaxinit.audit(params, uses).off
    with pytest.raises(ValueError, match=r"Did you mean 'weight/\*\*'\?"):
        reinitialize(NEW, module, [("weight", jaxinit.zeros), ("**", jaxinit.keep)])


ERRORS: dict[str, tuple[Any, type[Exception], str]] = {
    "no types": (
        {3: 4},
        TypeError,
        "equinox.reinitialize: rules by type must map layer types to initializers by name; got 3: 4. "
        'Write {equinox.nn.Linear: {"weight": initializer}}.',
    ),
    "a type that is not there": (
        {eqx.nn.Conv2d: {"weight": jaxinit.zeros}},
        ValueError,
        "equinox.reinitialize: every type must fit a layer of the model; got none for Conv2d. "
        "Remove it, or check the model.",
    ),
    "a name that is not there": (
        {eqx.nn.Linear: {"kernel": jaxinit.zeros}},
        ValueError,
        "equinox.reinitialize: a layer must have the arrays that are named; "
        "got 'kernel' for Linear at the root. It has weight.",
    ),
    "a bias that no layer has": (
        {eqx.nn.Linear: {"bias": jaxinit.zeros}},
        ValueError,
        "equinox.reinitialize: every name must be that of an array of some layer; "
        "got none for Linear 'bias'. Remove it.",
    ),
}


@pytest.mark.parametrize("name", ERRORS)
def test_errors(name):
    rules, kind, text = ERRORS[name]
    with pytest.raises(kind) as error:
        reinitialize(KEY, eqx.nn.Linear(3, 4, use_bias=False, key=KEY), rules)
    assert str(error.value) == text


def test_an_unknown_layer_is_asked_for_its_layout():
    class Heads(eqx.Module):
        w: jax.Array

        def __call__(self, x):
            return jnp.einsum("i,hij->hj", x, self.w)

    module = Heads(jnp.ones((4, 64, 8)))
    rules = [("w", jaxinit.lecun_normal)]
    with pytest.raises(ValueError, match="needs a layout") as error:
        reinitialize(KEY, module, rules)
    assert str(error.value) == (
        "equinox.reinitialize: a weight of three axes or more needs a layout; got none for "
        'w (4, 64, 8). Bind one, partial(initializer, layout="HWIO"), or pass '
        "uses=jaxinit.trace_params(*forward(model), inputs) to read it from the model."
    )
    uses = jaxinit.trace_params(*forward(module), spec(64))
    assert has_std(reinitialize(KEY, module, rules, uses=uses).w, 64**-0.5)
    with pytest.raises(TypeError) as error:
        reinitialize(KEY, module, rules, uses={})  # pyright: ignore[reportArgumentType]
    assert str(error.value) == (
        "equinox.reinitialize: uses must be traced uses; got uses={}. "
        "Make them with jaxinit.trace_params(*forward(model), inputs)."
    )
