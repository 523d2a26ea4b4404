"""A ported model computes what PyTorch's does, from the seed alone."""

import re
from importlib import import_module

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit.replay import layouts, torch_cpu
from jaxinit.replay import torch_layers as nn

LIBRARIES = ("linen", "nnx", "haiku", "equinox")


def built(model, library, seed=3):
    _, state = torch_cpu.build(torch_cpu.manual_seed(seed), model, "float32")
    return layouts.port(model, state, library)


@pytest.fixture
def torch(torch):
    torch.manual_seed(3)
    return torch


def inputs(*shape):
    return np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)


def agree(ours, theirs):
    theirs = theirs.detach().numpy()
    np.testing.assert_allclose(np.asarray(ours), theirs, rtol=0, atol=3e-6)


@pytest.mark.parity
def test_linen_convolutions_and_dense(torch):
    linen = import_module("flax.linen")
    model = [nn.Conv2d(4, 6, (3, 2), groups=2), None, nn.ConvTranspose2d(6, 5, 3), None]
    model.append(nn.Linear(5, 7))
    tree = built(model, "linen")
    t = torch.nn
    theirs = t.Sequential(
        t.Conv2d(4, 6, (3, 2), groups=2), t.ReLU(), t.ConvTranspose2d(6, 5, 3, stride=2)
    )
    dense = t.Linear(5, 7)
    x = inputs(2, 4, 8, 9)
    expected = dense(theirs(torch.tensor(x)).permute(0, 2, 3, 1))
    y = jnp.asarray(x).transpose(0, 2, 3, 1)
    conv = linen.Conv(6, (3, 2), padding="VALID", feature_group_count=2)
    y = jax.nn.relu(conv.apply({"params": tree["0"]}, y))
    up = linen.ConvTranspose(5, (3, 3), strides=(2, 2), padding="VALID")
    y = up.apply({"params": tree["2"]}, y)
    y = linen.Dense(7).apply({"params": tree["4"]}, y)
    agree(y, expected)


@pytest.mark.parity
@pytest.mark.parametrize("cell", ["LSTM", "GRU", "RNN"])
def test_linen_recurrent(torch, cell):
    linen = import_module("flax.linen")
    tree = built(getattr(nn, cell)(5, 6), "linen")[""]
    theirs, _ = getattr(torch.nn, cell)(5, 6, batch_first=True)(
        torch.tensor(inputs(2, 7, 5))
    )
    kinds = {
        "LSTM": linen.OptimizedLSTMCell,
        "GRU": linen.GRUCell,
        "RNN": linen.SimpleCell,
    }
    layer = linen.RNN(kinds[cell](6))
    y = layer.apply({"params": {"cell": tree}}, inputs(2, 7, 5))
    agree(y, theirs)


@pytest.mark.parity
def test_linen_attention_embedding_and_norms(torch):
    linen = import_module("flax.linen")
    model = [nn.Embedding(11, 8), nn.LayerNorm(8), nn.MultiheadAttention(8, 2)]
    model.append(nn.BatchNorm(8))
    tree = built(model, "linen")
    t = torch.nn
    embed, norm = t.Embedding(11, 8), t.LayerNorm(8)
    attention = t.MultiheadAttention(8, 2, batch_first=True)
    batch = t.BatchNorm1d(8).eval()
    index = np.array([[1, 4, 9], [0, 10, 2]])
    h = norm(embed(torch.tensor(index)))
    h, _ = attention(h, h, h)
    expected = batch(h.transpose(1, 2)).transpose(1, 2)
    y = linen.Embed(11, 8).apply({"params": tree["0"]}, index)
    y = linen.LayerNorm(epsilon=1e-5).apply({"params": tree["1"]}, y)
    heads = linen.MultiHeadDotProductAttention(2)
    y = heads.apply({"params": tree["2"]}, y)
    stats = {k: tree["3"].pop(k) for k in ("mean", "var")}
    variables = {"params": tree["3"], "batch_stats": stats}
    y = linen.BatchNorm(use_running_average=True).apply(variables, y)
    agree(y, expected)


@pytest.mark.parity
def test_nnx(torch):
    nnx = import_module("flax.nnx")
    model = [nn.Conv1d(3, 4, 3), nn.Linear(4, 8), nn.MultiheadAttention(8, 2)]
    model.append(nn.LSTM(8, 5))
    tree = built(model, "nnx")
    t = torch.nn
    conv, dense = t.Conv1d(3, 4, 3), t.Linear(4, 8)
    attention = t.MultiheadAttention(8, 2, batch_first=True)
    lstm = t.LSTM(8, 5, batch_first=True)
    x = inputs(2, 3, 9)
    h = dense(conv(torch.tensor(x)).transpose(1, 2))
    h, _ = attention(h, h, h)
    expected, _ = lstm(h)

    rngs = nnx.Rngs(0)
    parts = (
        nnx.Conv(3, 4, (3,), padding="VALID", rngs=rngs),
        nnx.Linear(4, 8, rngs=rngs),
        nnx.MultiHeadAttention(2, 8, decode=False, rngs=rngs),
        nnx.OptimizedLSTMCell(8, 5, rngs=rngs),
    )

    def fill(module, tree):
        for name, value in tree.items():
            if isinstance(value, dict):
                fill(getattr(module, name), value)
            else:
                variable = getattr(module, name)
                assert variable.shape == value.shape
                setattr(module, name, type(variable)(value))

    for i, module in enumerate(parts):
        fill(module, tree[str(i)])
    y = parts[0](jnp.asarray(x).transpose(0, 2, 1))
    y = nnx.RNN(parts[3])(parts[2](parts[1](y)))
    agree(y, expected)


@pytest.mark.parity
def test_haiku(torch):
    hk = import_module("haiku")
    model = [nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 5, 2), nn.Linear(5, 8)]
    model += [nn.LayerNorm(8), nn.MultiheadAttention(8, 2), nn.LSTM(8, 6)]
    tree = built(model, "haiku")
    t = torch.nn
    conv, up, dense = t.Conv2d(3, 4, 3), t.ConvTranspose2d(4, 5, 2, 2), t.Linear(5, 8)
    norm, attention = t.LayerNorm(8), t.MultiheadAttention(8, 2, batch_first=True)
    lstm = t.LSTM(8, 6, batch_first=True)
    x = inputs(2, 3, 4, 5)
    h = up(conv(torch.tensor(x))).permute(0, 2, 3, 1).reshape(2, -1, 5)
    h = norm(dense(h))
    h, _ = attention(h, h, h)
    expected, _ = lstm(h)

    def forward(x):
        h = hk.Conv2D(4, 3, padding="VALID", name="l0")(x.transpose(0, 2, 3, 1))
        h = hk.Conv2DTranspose(5, 2, stride=2, padding="VALID", name="l1")(h)
        h = hk.Linear(8, name="l2")(h.reshape(2, -1, 5))
        h = hk.LayerNorm(-1, True, True, name="l3")(h)
        init = hk.initializers.Constant(0)
        h = hk.MultiHeadAttention(2, 4, w_init=init, model_size=8, name="l4")(h, h, h)
        core = hk.LSTM(6, name="l5")
        start = jax.tree.map(lambda x: x.astype("float32"), core.initial_state(2))
        return hk.dynamic_unroll(core, h, start, time_major=False)[0]

    params = {}
    for name, part in tree.items():
        if name in ("4", "5"):
            params |= {f"l{name}/{k}": v for k, v in part.items()}
        else:
            params[f"l{name}"] = part
    y = hk.without_apply_rng(hk.transform(forward)).apply(params, jnp.asarray(x))
    agree(y, expected)


@pytest.mark.parity
def test_equinox(torch):
    eqx = import_module("equinox")
    model = [nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(6, 4, 2, groups=2)]
    model += [nn.Linear(4, 8), nn.MultiheadAttention(8, 2), nn.LSTM(8, 5)]
    model.append(nn.GRU(5, 6))
    tree = built(model, "equinox")
    t = torch.nn
    conv = t.Conv2d(4, 6, 3, groups=2)
    up = t.ConvTranspose2d(6, 4, 2, 2, groups=2)
    dense, attention = t.Linear(4, 8), t.MultiheadAttention(8, 2, batch_first=True)
    lstm, gru = t.LSTM(8, 5, batch_first=True), t.GRU(5, 6, batch_first=True)
    x = inputs(4, 4, 5)
    h = up(conv(torch.tensor(x)[None])).permute(0, 2, 3, 1).reshape(1, -1, 4)
    h = dense(h)
    h, _ = attention(h, h, h)
    expected, _ = gru(lstm(h)[0])

    key = jax.random.key(0)
    e = eqx.nn
    parts = (
        e.Conv2d(4, 6, 3, groups=2, key=key),
        e.ConvTranspose2d(6, 4, 2, 2, groups=2, key=key),
        e.Linear(4, 8, key=key),
        e.MultiheadAttention(
            2,
            8,
            use_query_bias=True,
            use_key_bias=True,
            use_value_bias=True,
            use_output_bias=True,
            key=key,
        ),
        e.LSTMCell(8, 5, key=key),
        e.GRUCell(5, 6, key=key),
    )

    def fill(module, tree):
        for name, value in tree.items():
            old = getattr(module, name)
            new = fill(old, value) if isinstance(value, dict) else value
            if not isinstance(value, dict):
                assert old.shape == new.shape
            module = eqx.tree_at(lambda m, n=name: getattr(m, n), module, new)
        return module

    filled = [fill(p, tree[str(i)]) for i, p in enumerate(parts)]
    y = filled[1](filled[0](jnp.asarray(x))).transpose(1, 2, 0).reshape(-1, 4)
    y = jax.vmap(filled[2])(y)
    y = filled[3](y, y, y)
    state = jnp.zeros(5, "float32"), jnp.zeros(5, "float32")
    hidden, outputs = jnp.zeros(6, "float32"), []
    for row in y:
        state = filled[4](row, state)
        hidden = filled[5](state[0], hidden)
        outputs.append(hidden)
    agree(jnp.stack(outputs)[None], expected)


@pytest.mark.parametrize("library", LIBRARIES)
def test_shapes_and_values_only_move(library):
    model = {"a": nn.Linear(3, 4), "b": [nn.Conv1d(3, 4, 2), None, nn.Embedding(5, 6)]}
    tree = built(model, library)
    assert list(tree) == ["a", "b.0", "b.2"]
    _, state = torch_cpu.build(torch_cpu.manual_seed(3), model, "float32")
    ours = np.concatenate([np.ravel(x) for x in jax.tree.leaves(tree)])
    theirs = np.concatenate([np.ravel(x) for x in state.values()])
    np.testing.assert_array_equal(np.sort(ours), np.sort(theirs))


def test_several_cells_have_an_entry_each():
    tree = built([nn.LSTM(3, 4, num_layers=2, bidirectional=True)], "linen")
    assert sorted(tree) == ["0.l0", "0.l0_reverse", "0.l1", "0.l1_reverse"]


@pytest.mark.parametrize("library", ["linen", "equinox"])
@pytest.mark.parametrize("cell", ["LSTM", "GRU"])
def test_a_cell_has_the_layout_of_its_layer(library, cell):
    layer, single = getattr(nn, cell)(3, 4), getattr(nn, f"{cell}Cell")(3, 4)
    whole, alone = built(layer, library), built(single, library)
    assert jax.tree.structure(whole) == jax.tree.structure(alone)
    for a, b in zip(jax.tree.leaves(whole), jax.tree.leaves(alone), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_linear_layer_of_gpt2_has_inputs_first():
    conv = nn.Conv1D(6, 4)
    _, state = torch_cpu.build(torch_cpu.manual_seed(0), conv, "float32")
    kernel = layouts.port(conv, state, "linen")[""]["kernel"]
    np.testing.assert_array_equal(kernel, state["weight"])
    weight = layouts.port(conv, state, "equinox")[""]["weight"]
    np.testing.assert_array_equal(weight, state["weight"].T)


def test_modules_inside_modules_and_parameters_of_their_own():
    def make():
        model = nn.Module()
        model.position = nn.Parameter(nn.randn(1, 5, 8))
        model.layers = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2)
        model.norm, model.act = nn.RMSNorm(8), nn.PReLU()
        return model

    tree = built(make, "linen")
    assert list(tree[""]) == ["position"]
    assert sorted(tree["layers.layers.1.self_attn"]) == ["key", "out", "query", "value"]
    assert tree["layers.layers.0.linear1"]["kernel"].shape == (8, 16)
    assert list(tree["norm"]) == ["scale"]
    assert tree["act"]["negative_slope"].shape == ()


def test_what_no_parameters_can_equal_is_refused():
    text = (
        "layouts.port: haiku has no layer that equals PyTorch's GRU here; got a GRU "
        "with a bias inside its reset gate. Write that layer by hand."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        built(nn.GRU(2, 3), "haiku")
    with pytest.raises(ValueError, match="groups=2"):
        built(nn.ConvTranspose1d(2, 2, 3, groups=2), "linen")
    with pytest.raises(ValueError, match="proj_size=2"):
        built(nn.LSTM(3, 4, proj_size=2), "equinox")
    with pytest.raises(ValueError, match="track_running_stats=True"):
        built(nn.InstanceNorm2d(3, track_running_stats=True), "linen")
    with pytest.raises(ValueError, match="add_bias_kv=True"):
        built(nn.MultiheadAttention(4, 2, add_bias_kv=True), "nnx")


def test_unknown_library():
    text = (
        "layouts.port: library must be one of linen, nnx, haiku, equinox; got "
        "library='flax'. Choose one of these."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(text)}$"):
        built(nn.Linear(2, 3), "flax")
