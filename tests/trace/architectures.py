"""Small models of many kinds, in plain JAX: a forward pass, shapes, and inputs."""

import jax
import jax.numpy as jnp
from jax import lax

D = 256
IMAGE = ("NHWC", "HWIO", "NHWC")


def layer_norm(x):
    centred = x - x.mean(-1, keepdims=True)
    return centred * lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-6)


def rms_norm(x):
    return x * lax.rsqrt(jnp.square(x).mean(-1, keepdims=True) + 1e-6)


def batch_norm(x):
    axes = tuple(range(x.ndim - 1))
    return (x - x.mean(axes)) * lax.rsqrt(x.var(axes) + 1e-6)


def group_norm(x, groups=8):
    y = x.reshape(*x.shape[:-1], groups, -1)
    mean = y.mean((1, 2, 4), keepdims=True)
    var = jnp.square(y - mean).mean((1, 2, 4), keepdims=True)
    return ((y - mean) * lax.rsqrt(var + 1e-6)).reshape(x.shape)


def conv(x, w, stride=1, padding="VALID", groups=1):
    return lax.conv_general_dilated(
        x, w, (stride, stride), padding, dimension_numbers=IMAGE, feature_group_count=groups
    )


def wrapped(x, size=1):
    """Pad an image with itself, so that each output sums as many terms."""
    return jnp.pad(x, ((0, 0), (size, size), (size, size), (0, 0)), mode="wrap")


def attend(q, k, v, heads, mask=False):
    split = [t.reshape(*t.shape[:-1], heads, -1) for t in (q, k, v)]
    mixed = jax.nn.dot_product_attention(*split, is_causal=mask)
    return mixed.reshape(q.shape)


def square(*names, n=D, m=D):
    return dict.fromkeys(names, (n, m))


def mlp(activation):
    def apply(p, x):
        for name in "abc":
            x = activation(x @ p[name])
        return x @ p["d"]

    return apply, square(*"abcd"), [(16, D)]


def gated_residual(p, x):
    for i in range(2):
        y = rms_norm(x)
        x = x + (jax.nn.silu(y @ p[f"gate{i}"]) * (y @ p[f"up{i}"])) @ p[f"down{i}"]
    return rms_norm(x) @ p["out"]


def both_signs(p, x):
    for name in "ab":
        h = x @ p[name]
        x = jnp.concatenate([jax.nn.relu(h), jax.nn.relu(-h)], -1)
    return x @ p["c"]


def dense_net(p, x):
    for name in "abc":
        x = jnp.concatenate([x, jax.nn.relu(x @ p[name])], -1)
    return x @ p["d"]


def bare_residual(p, x):
    for name in "abc":
        x = x + jax.nn.relu(x @ p[name])
    return x @ p["d"]


def sums(p, x):
    h = jnp.tanh(x @ p["a"] + x @ p["b"])
    return (h @ p["c"] - 2 * jax.nn.relu(h @ p["d"])) @ p["e"]


def resnet(norm):
    def apply(p, x):
        x = conv(x, p["stem"])
        for i in range(2):
            y = conv(wrapped(jax.nn.relu(norm(x))), p[f"a{i}"])
            x = x + conv(wrapped(jax.nn.relu(norm(y))), p[f"b{i}"])
        return jax.nn.relu(x).mean((1, 2)) @ p["head"]

    kernels = dict.fromkeys(("a0", "b0", "a1", "b1"), (3, 3, D, D))
    return apply, {"stem": (1, 1, 3, D), **kernels, "head": (D, 64)}, [(4, 6, 6, 3)]


def unet(p, x):
    first = jax.nn.relu(conv(wrapped(x), p["first"]))
    down = jax.nn.relu(conv(first, p["down"], 2))
    middle = jax.nn.relu(conv(wrapped(down), p["middle"]))
    up = jnp.repeat(jnp.repeat(middle, 2, 1), 2, 2)
    return conv(jnp.concatenate([first, up], -1), p["last"])


def mixer(p, x):
    for i in range(2):
        y = layer_norm(x).swapaxes(1, 2)
        y = jax.nn.gelu(y @ p[f"tokens{i}"]) @ p[f"back{i}"]
        x = x + y.swapaxes(1, 2)
        x = x + jax.nn.gelu(layer_norm(x) @ p[f"up{i}"]) @ p[f"down{i}"]
    return layer_norm(x).mean(1) @ p["head"]


def convnext(p, x):
    x = conv(x, p["stem"])
    y = layer_norm(conv(wrapped(x, 3), p["depthwise"], groups=D))
    return x + jax.nn.gelu(y @ p["up"]) @ p["down"]


def gpt(p, ids):
    x = p["table"][ids] + p["positions"]
    for i in range(2):
        q, k, v = jnp.split(layer_norm(x) @ p[f"qkv{i}"], 3, -1)
        x = x + attend(q, k, v, 4, mask=True) @ p[f"o{i}"]
        x = x + jax.nn.gelu(layer_norm(x) @ p[f"up{i}"]) @ p[f"down{i}"]
    return layer_norm(x) @ p["table"].T


def rotated(x):
    speeds = 10.0 ** -jnp.arange(x.shape[-1] // 2, dtype=x.dtype)
    turns = jnp.arange(x.shape[1], dtype=x.dtype)[:, None] * speeds
    a, b = jnp.split(x, 2, -1)
    cos, sin = jnp.cos(turns), jnp.sin(turns)
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1)


def llama(p, ids):
    x = p["table"][ids]
    for i in range(2):
        y = rms_norm(x)
        q, k, v = rotated(y @ p[f"q{i}"]), rotated(y @ p[f"k{i}"]), y @ p[f"v{i}"]
        q, k, v = (t.reshape(*t.shape[:-1], -1, 64) for t in (q, k, v))
        mixed = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        x = x + mixed.reshape(x.shape) @ p[f"o{i}"]
        y = rms_norm(x)
        x = x + (jax.nn.silu(y @ p[f"gate{i}"]) * (y @ p[f"up{i}"])) @ p[f"down{i}"]
    return rms_norm(x) @ p["head"]


def post_norm(p, x):
    for i in range(2):
        q, k, v = (x @ p[f"{name}{i}"] for name in "qkv")
        x = layer_norm(x + attend(q, k, v, 4) @ p[f"o{i}"])
        x = layer_norm(x + jax.nn.relu(x @ p[f"up{i}"]) @ p[f"down{i}"])
    return x @ p["head"]


def dense_experts(p, x):
    shares = jax.nn.softmax(x @ p["router"])
    hidden = jax.nn.relu(jnp.einsum("td,edf->tef", x, p["up"]))
    made = jnp.einsum("tef,efd->ted", hidden, p["down"])
    return jnp.einsum("te,ted->td", shares, made) @ p["head"]


def ragged_experts(p, x):
    sizes = jnp.full(4, x.shape[0] // 4)
    hidden = jax.nn.relu(lax.ragged_dot(x, p["up"], sizes))
    return lax.ragged_dot(hidden, p["down"], sizes)


def cross_attention(p, x, y):
    q, k, v = layer_norm(x) @ p["q"], layer_norm(y) @ p["k"], layer_norm(y) @ p["v"]
    x = x + attend(q, k, v, 4) @ p["o"]
    return x + jax.nn.relu(layer_norm(x) @ p["up"]) @ p["down"]


def lstm(p, x):
    def step(state, row):
        h, c = state
        i, f, g, o = jnp.split(row @ p["w"] + h @ p["u"], 4, -1)
        c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

    zeros = jnp.zeros((x.shape[0], D))
    (h, _), _ = lax.scan(step, (zeros, zeros), x.swapaxes(0, 1))
    return h @ p["head"]


def gru(p, x):
    def step(h, row):
        r = jax.nn.sigmoid(row @ p["wr"] + h @ p["ur"])
        z = jax.nn.sigmoid(row @ p["wz"] + h @ p["uz"])
        new = jnp.tanh(row @ p["wn"] + r * (h @ p["un"]))
        return (1 - z) * new + z * h, h

    h, _ = lax.scan(step, jnp.zeros((x.shape[0], D)), x.swapaxes(0, 1))
    return h @ p["head"]


def dcgan(p, z):
    x = (z @ p["first"]).reshape(-1, 4, 4, D)
    for name in ("a", "b"):
        x = lax.conv_transpose(
            jax.nn.relu(batch_norm(x)), p[name], (2, 2), "SAME", dimension_numbers=IMAGE
        )
    return jnp.tanh(x)


def kan(p, x):
    for name in "ab":
        basis = jnp.stack([jnp.sin(x), jnp.cos(x), jnp.sin(2 * x), jax.nn.silu(x)], -1)
        x = jnp.einsum("nik,iko->no", basis, p[name])
    return x


def film(p, x, y):
    h = x @ p["a"]
    h = jax.nn.relu(h * (1 + y @ p["scale"]) + y @ p["shift"])
    return h @ p["b"]


def graph(p, x, edges):
    for i in range(2):
        sent = jax.nn.relu(x @ p[f"message{i}"])[edges[0]]
        total = jax.ops.segment_sum(sent, edges[1], x.shape[0])
        x = jax.nn.relu(x @ p[f"own{i}"] + total @ p[f"other{i}"])
    return x @ p["head"]


def highway(p, x):
    for i in range(2):
        gate = jax.nn.sigmoid(x @ p[f"gate{i}"])
        x = gate * jax.nn.relu(x @ p[f"w{i}"]) + (1 - gate) * x
    return x @ p["head"]


def maxout(p, x):
    for i in range(2):
        x = jnp.maximum(x @ p[f"a{i}"], x @ p[f"b{i}"])
    return x @ p["head"]


def squeeze_excite(p, x):
    h = jax.nn.relu(batch_norm(conv(x, p["a"])))
    gate = jax.nn.sigmoid(jax.nn.relu(h.mean((1, 2)) @ p["down"]) @ p["up"])
    return conv(wrapped(h * gate[:, None, None]), p["b"])


def point_net(p, x):
    h = jax.nn.relu(x @ p["a"])
    top = jnp.broadcast_to(h.max(1, keepdims=True), h.shape)
    return jnp.concatenate([h, top], -1) @ p["b"]


def fourier(p, x):
    h = x @ p["waves"]
    h = jnp.concatenate([jnp.cos(h), jnp.sin(h)], -1)
    return jax.nn.silu(h @ p["a"]) @ p["b"]


def dropped(p, x):
    kept = jax.random.bernoulli(jax.random.key(0), 0.7, x.shape)
    h = jnp.where(kept, jax.nn.relu(x @ p["a"]) / 0.7, 0)
    return jax.nn.relu(h @ p["b"]) @ p["c"]


def stacked(p, x):
    def layer(x, w):
        return x + jax.nn.gelu(layer_norm(x) @ w["up"]) @ w["down"], None

    x, _ = lax.scan(layer, x, {"up": p["up"], "down": p["down"]})
    return layer_norm(x) @ p["head"]


def split_inputs(p, x, y):
    h = jax.nn.relu(x @ p["w"][:D] + y @ p["w"][D:])
    return h @ p["v"]


def many(names, count=2, n=D, m=D):
    return {f"{name}{i}": (n, m) for name in names for i in range(count)}


BLOCK = {**many(("up",), m=2 * D), **many(("down",), n=2 * D)}
ARCHITECTURES = {
    "MLP, relu": mlp(jax.nn.relu),
    "MLP, exact gelu": mlp(lambda x: jax.nn.gelu(x, approximate=False)),
    "MLP, tanh": mlp(jnp.tanh),
    "MLP, sine": mlp(lambda x: jnp.sin(3 * x)),
    "squared relu": (
        lambda p, x: jax.nn.relu(x @ p["a"]) ** 2 @ p["b"],  # deeper, it is unstable
        square("a", "b"),
        [(16, D)],
    ),
    "MLP, sigmoid": mlp(jax.nn.sigmoid),
    "gated residual": (
        gated_residual,
        {**many(("gate", "up"), m=512), **many(("down",), n=512), "out": (D, D)},
        [(16, D)],
    ),
    "both signs": (both_signs, {"a": (D, D), "b": (2 * D, D), "c": (2 * D, D)}, [(16, D)]),
    "dense net": (
        dense_net,
        {name: ((i + 1) * D, D) for i, name in enumerate("abcd")},
        [(16, D)],
    ),
    "bare residual": (bare_residual, square(*"abcd"), [(16, D)]),
    "sums": (sums, square(*"abcde"), [(16, D)]),
    "ResNet, batch norm": resnet(batch_norm),
    "ResNet, group norm": resnet(group_norm),
    "ResNet, no norm": resnet(lambda x: x),
    "U-Net": (
        unet,
        {
            "first": (3, 3, 64, D),
            "down": (2, 2, D, D),
            "middle": (3, 3, D, D),
            "last": (1, 1, 2 * D, D),
        },
        [(2, 8, 8, 64)],
    ),
    "Mixer": (
        mixer,
        {
            **many(("tokens", "back")),
            **many(("up",), m=512),
            **many(("down",), n=512),
            "head": (D, 64),
        },
        [(1, D, D)],
    ),
    "ConvNeXt": (
        convnext,
        {
            "stem": (2, 2, 64, D),
            "depthwise": (7, 7, 1, D),
            "up": (D, 512),
            "down": (512, D),
        },
        [(4, 9, 9, 64)],
    ),
    "GPT-2": (
        gpt,
        {
            "table": (512, D),
            "positions": (16, D),
            **many(("qkv",), m=3 * D),
            **many(("o",)),
            **BLOCK,
        },
        [(2, 16, "int32", 512)],
    ),
    "Llama": (
        llama,
        {
            "table": (512, D),
            **many(("q", "o")),
            **many(("k", "v"), m=64),
            **many(("gate",), m=2 * D),
            **BLOCK,
            "head": (D, D),
        },
        [(2, 16, "int32", 512)],
    ),
    "post-norm transformer": (
        post_norm,
        {**many("qkvo"), **BLOCK, "head": (D, D)},
        [(2, 16, D)],
    ),
    "dense experts": (
        dense_experts,
        {"router": (D, 8), "up": (8, D, D), "down": (8, D, D), "head": (D, D)},
        [(16, D)],
    ),
    "ragged experts": (ragged_experts, {"up": (4, D, D), "down": (4, D, D)}, [(16, D)]),
    "cross attention": (
        cross_attention,
        {**square(*"qkvo"), "up": (D, 512), "down": (512, D)},
        [(2, 8, D), (2, 12, D)],
    ),
    "LSTM": (lstm, {"w": (D, 4 * D), "u": (D, 4 * D), "head": (D, D)}, [(8, 6, D)]),
    "GRU": (gru, {**square("wr", "ur", "wz", "uz", "wn", "un", "head")}, [(8, 6, D)]),
    "DCGAN decoder": (
        dcgan,
        {"first": (64, 16 * D), "a": (4, 4, D, D), "b": (4, 4, D, 64)},
        [(8, 64)],
    ),
    "KAN": (kan, {"a": (D, 4, D), "b": (D, 4, D)}, [(16, D)]),
    "FiLM": (film, square("a", "b", "scale", "shift"), [(16, D), (16, D)]),
    "graph network": (
        graph,
        {**many(("message", "own", "other")), "head": (D, D)},
        [(16, D), (2, 40, "int32", 16)],
    ),
    "highway": (highway, {**many(("gate", "w")), "head": (D, D)}, [(16, D)]),
    "maxout": (maxout, {**many("ab"), "head": (D, D)}, [(16, D)]),
    "squeeze and excite": (
        squeeze_excite,
        {"a": (1, 1, 64, D), "down": (D, 64), "up": (64, D), "b": (3, 3, D, D)},
        [(4, 6, 6, 64)],
    ),
    "PointNet": (point_net, {"a": (3, D), "b": (2 * D, D)}, [(4, 16, 3)]),
    "Fourier features": (
        fourier,
        {"waves": (4, D), "a": (2 * D, D), "b": (D, D)},
        [(16, 4)],
    ),
    "dropout": (dropped, square(*"abc"), [(16, D)]),
    "stacked layers": (
        stacked,
        {"up": (3, D, 512), "down": (3, 512, D), "head": (D, D)},
        [(16, D)],
    ),
    "inputs in parts": (split_inputs, {"w": (2 * D, D), "v": (D, D)}, [(16, D), (16, D)]),
}


def shapes_of(sizes):
    return {name: jax.ShapeDtypeStruct(size, "float32") for name, size in sizes.items()}


def data_of(kinds, key):
    """Return normal inputs of mean square 1, or integers below a bound."""
    made = []
    for k, kind in zip(jax.random.split(key, len(kinds)), kinds, strict=True):
        if "int32" in kind:
            made.append(jax.random.randint(k, kind[:-2], 0, kind[-1], "int32"))
        else:
            x = jax.random.normal(k, kind, "float32")
            made.append(x / jnp.sqrt(jnp.square(x).mean()))
    return made
