"""What the tracer says of small forward passes, against a count by differentiation."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxinit import Fans, Layout, compute_fans
from jaxinit.models.trace.entry import trace_params
from jaxinit.models.use import ParamUse


def spec(*shape: int, dtype: str = "float32") -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def use_of(f: Callable[..., Any], shape: tuple[int, ...], *inputs: Any) -> ParamUse:
    return trace_params(lambda p, *x: f(p["w"], *x), {"w": spec(*shape)}, *inputs)["w"]


def counted_fan_in(f: Callable[..., Any], shape: tuple[int, ...], x: np.ndarray) -> int:
    """Count the entries of the weight that the busiest output depends on."""
    w = jnp.ones(shape, "float32")
    jacobian = jax.jacrev(lambda w: f(w, jnp.asarray(x)).reshape(-1))(w)
    return int((np.asarray(jacobian).reshape(jacobian.shape[0], -1) != 0).sum(1).max())


def counted_fan_out(f: Callable[..., Any], shape: tuple[int, ...], x: np.ndarray) -> int:
    """Count the outputs that the busiest entry of the data reaches."""
    w = jnp.ones(shape, "float32")
    jacobian = jax.jacrev(lambda x: f(w, x).reshape(-1))(jnp.asarray(x))
    return int((np.asarray(jacobian).reshape(jacobian.shape[0], -1) != 0).sum(0).max())


def conv(w: Any, x: Any, numbers: tuple[str, str, str], groups: int = 1, **kw: Any) -> Any:
    options = {"window_strides": (1,) * (len(numbers[0]) - 2), "padding": "SAME"} | kw
    return lax.conv_general_dilated(
        x, w, dimension_numbers=numbers, feature_group_count=groups, **options
    )


NHWC = ("NHWC", "HWIO", "NHWC")
PRODUCTS = [
    ("dense", lambda w, x: x @ w, (6, 5), (1, 6), Layout("IO")),
    ("torch", lambda w, x: x @ w.T, (5, 6), (1, 6), Layout("OI")),
    ("vector", lambda w, x: x @ w, (6,), (1, 6), Layout("I")),
    (
        "heads",
        lambda w, x: jnp.einsum("bi,iho->bho", x, w),
        (6, 2, 3),
        (1, 6),
        Layout("IOO"),
    ),
    (
        "back",
        lambda w, x: jnp.einsum("bho,hoi->bi", x, w),
        (2, 3, 5),
        (1, 2, 3),
        Layout("IIO"),
    ),
    (
        "experts",
        lambda w, x: jnp.einsum("ebi,eio->ebo", x, w),
        (3, 4, 5),
        (3, 1, 4),
        Layout("BIO"),
    ),
    (
        "odd order",
        lambda w, x: jnp.einsum("ebi,oei->ebo", x, w),
        (5, 3, 4),
        (3, 1, 4),
        Layout("OBI"),
    ),
    (
        "reshaped",
        lambda w, x: x @ w.reshape(6, 2, 5).transpose(0, 2, 1).reshape(6, 10),
        (6, 10),
        (1, 6),
        Layout("IO"),
    ),
    ("merged", lambda w, x: x @ w.reshape(6, 5), (2, 3, 5), (1, 6), Layout("IIO")),
    ("conv", lambda w, x: conv(w, x, NHWC), (3, 3, 2, 4), (1, 5, 5, 2), Layout("HWIO")),
    (
        "conv1d",
        lambda w, x: conv(w, x, ("NWC", "WIO", "NWC")),
        (3, 2, 4),
        (1, 5, 2),
        Layout("WIO"),
    ),
    (
        "conv3d",
        lambda w, x: conv(w, x, ("NDHWC", "DHWIO", "NDHWC")),
        (3, 3, 3, 2, 2),
        (1, 3, 3, 3, 2),
        Layout("DHWIO"),
    ),
    (
        "torch conv",
        lambda w, x: conv(w, x, ("NCHW", "OIHW", "NCHW")),
        (4, 2, 3, 3),
        (1, 2, 5, 5),
        Layout("OIHW"),
    ),
    (
        "grouped",
        lambda w, x: conv(w, x, NHWC, groups=2),
        (3, 3, 2, 6),
        (1, 5, 5, 4),
        Layout("HWIO", groups=2),
    ),
    (
        "depthwise",
        lambda w, x: conv(w, x, NHWC, groups=4),
        (3, 3, 1, 4),
        (1, 5, 5, 4),
        Layout("HWIO", groups=4),
    ),
    (
        "flipped, in and out swapped",
        lambda w, x: conv(jnp.flip(w, (0, 1)).swapaxes(2, 3), x, NHWC),
        (3, 3, 4, 2),
        (1, 5, 5, 2),
        Layout("HWOI"),
    ),
]


@pytest.mark.parametrize(("name", "f", "shape", "data", "layout"), PRODUCTS)
def test_layout_and_fans(name, f, shape, data, layout):
    x = np.random.default_rng(0).normal(size=data).astype(np.float32)
    use = use_of(f, shape, spec(*data))
    assert use.role == "weight"
    assert use.layout == layout
    assert use.fans is not None
    assert use.fans.fan_in == counted_fan_in(f, shape, x)
    batch = shape[layout.axes.index("B")] if "B" in layout.axes else 1
    if batch == 1:
        assert use.fans.fan_out == counted_fan_out(f, shape, x)
    if set("IDHW") & set(layout.axes) and "O" in layout.axes:
        assert use.fans == compute_fans(shape, layout)


def test_counts_reject_a_wrong_layout():
    x = np.ones((1, 6), np.float32)
    f = PRODUCTS[0][1]
    assert counted_fan_in(f, (6, 5), x) != compute_fans((6, 5), "OI").fan_in
    assert counted_fan_out(f, (6, 5), x) != compute_fans((6, 5), "OI").fan_out


WRAPPERS = {
    "jit": jax.jit,
    "remat": jax.checkpoint,
    "jit of remat": lambda f: jax.jit(jax.checkpoint(f)),
    "custom_jvp": lambda f: _custom_jvp(f),  # noqa: PLW0108
    "custom_vjp": lambda f: _custom_vjp(f),  # noqa: PLW0108
    "cond": lambda f: lambda w, x: lax.cond(x.sum() > 0, f, lambda w, x: f(w, 2 * x), w, x),
    "bfloat16": lambda f: lambda w, x: f(w.astype("bfloat16"), x.astype("bfloat16")),
    "scaled": lambda f: lambda w, x: f(w * 0.5, x),
    "barrier": lambda f: lambda w, x: f(*lax.optimization_barrier((w, x))),
    "scan over data": lambda f: (
        lambda w, x: lax.scan(lambda c, x: (c, f(w, x[None])), 0, x)[1]
    ),
    "while": lambda f: (
        lambda w, x: lax.fori_loop(
            0, 3, lambda _, y: y + f(w, x), jnp.zeros((4, 5), x.dtype)
        )
    ),
    "vmap": lambda f: jax.vmap(lambda w, x: f(w, x[None])[0], (None, 0)),
}


def _custom_jvp(f):
    g = jax.custom_jvp(f)
    g.defjvp(lambda primals, tangents: jax.jvp(f, primals, tangents))
    return g


def _custom_vjp(f):
    g = jax.custom_vjp(f)
    g.defvjp(lambda w, x: jax.vjp(f, w, x), lambda pull, t: pull(t))
    return g


@pytest.mark.parametrize("name", WRAPPERS)
def test_followed_through(name):
    f = WRAPPERS[name](lambda w, x: x @ w)
    use = use_of(f, (6, 5), spec(4, 6))
    assert (use.role, use.layout) == ("weight", Layout("IO"))
    assert use.fans == Fans(6, 5)
    assert use.factor == (0.5 if name == "scaled" else 1.0)
    assert not use.others


def test_scan_makes_a_stack():
    def f(w, x):
        return lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, w)[0]

    use = use_of(f, (3, 6, 6), spec(4, 6))
    assert use.layout == Layout("BIO")
    assert use.fans == Fans(6, 6)
    assert use.nonlinearity == "tanh"


def test_unrolled_stack_and_computed_index():
    def unrolled(w, x):
        for i in range(3):
            x = jnp.maximum(x @ w[i], 0)
        return x

    def looped(w, x):
        return lax.fori_loop(0, 3, lambda i, x: jnp.maximum(x @ w[i], 0), x)

    for f in (unrolled, looped):
        use = use_of(f, (3, 6, 6), spec(4, 6))
        assert use.layout == Layout("BIO"), f
        assert use.fans == Fans(6, 6)


def test_vmapped_models_are_a_stack():
    def one(params, x):
        return jnp.tanh(x @ params["a"]) @ params["b"]

    params = {"a": spec(3, 6, 7), "b": spec(3, 7, 2)}
    uses = trace_params(jax.vmap(one, (0, None)), params, spec(4, 6))
    assert uses["a"].layout == Layout("BIO")
    assert uses["a"].fans == Fans(6, 7)
    assert uses["b"].layout == Layout("BIO")


def test_vmapped_convolution_is_a_stack():
    def one(w, x):
        return conv(w, x, NHWC)

    use = use_of(jax.vmap(one), (3, 3, 3, 2, 4), spec(3, 1, 5, 5, 2))
    assert use.layout == Layout("BHWIO")
    assert use.fans == Fans(18, 36)


def test_shard_map_sees_whole_axes():
    mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    spec_of = jax.sharding.PartitionSpec

    def f(w, x):
        def local(w, x):
            return lax.psum(x @ w, "d")

        specs = (spec_of("d", None), spec_of(None, "d"))
        return jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=spec_of())(w, x)

    use = use_of(f, (6, 5), spec(4, 6))
    assert use.layout == Layout("IO")
    assert use.fans == Fans(6, 5)


# ------------------------------------------------------------------------ fused weights


def test_fused_weight_cut_behind_the_product():
    def f(w, x):
        q, k, v = jnp.split(x @ w, 3, axis=-1)
        return q * jnp.tanh(k) + v

    use = use_of(f, (6, 15), spec(4, 6))
    assert use.splits == (5, 5, 5)
    assert use.fans == Fans(6, 5)


def test_fused_weight_cut_behind_reshape_and_bias():
    def apply(params, x):
        y = (x @ params["w"] + params["b"]).reshape(4, 3, 5)
        return y[:, 0] * y[:, 1] + y[:, 2]

    uses = trace_params(apply, {"w": spec(6, 15), "b": spec(15)}, spec(4, 6))
    assert uses["w"].splits == (1, 1, 1)
    assert uses["w"].fans == Fans(6, 5)
    assert uses["b"].role == "bias"


def test_fused_weight_cut_before_the_product():
    def f(w, x):
        a, b = jnp.split(w, 2, axis=1)
        return (x @ a) * (x @ b)

    use = use_of(f, (6, 10), spec(4, 6))
    assert use.splits == (5, 5)
    assert use.fans == Fans(6, 5)
    assert use.layout == Layout("IO")


def test_fused_gates_of_a_sum():
    def apply(params, x, h):
        a, b = jnp.split(x @ params["w"] + h @ params["u"], 2, axis=-1)
        return jax.nn.sigmoid(a) * jnp.tanh(b)

    uses = trace_params(apply, {"w": spec(3, 8), "u": spec(4, 8)}, spec(2, 3), spec(2, 4))
    assert uses["w"].splits == uses["u"].splits == (4, 4)
    assert uses["u"].fans == Fans(4, 4)


def test_parts_along_the_inputs_count_together():
    def f(w, x):
        return x[:, :4] @ w[:4] + x[:, 4:] @ w[4:]

    use = use_of(f, (6, 5), spec(2, 6))
    assert use.splits is None
    assert use.fans == Fans(6, 5)
    assert use.notes == ("used in parts along its inputs; fan_in counts all",)


def test_kernels_laid_side_by_side():
    def apply(params, x):
        w = jnp.concatenate([params["a"], params["b"]], axis=1)
        b = jnp.concatenate([params["c"], params["d"]])
        return x @ w + b.reshape(1, -1)

    params = {"a": spec(6, 2), "b": spec(6, 3), "c": spec(2), "d": spec(3)}
    uses = trace_params(apply, params, spec(4, 6))
    assert uses["a"].fans == Fans(6, 2)
    assert uses["b"].fans == Fans(6, 3)
    assert [uses[k].role for k in "cd"] == ["bias", "bias"]


# ----------------------------------------------------------------------- other roles


def test_embedding_lookup():
    use = use_of(lambda w, i: jnp.tanh(w[i]), (30, 8), spec(2, 5, dtype="int32"))
    assert (use.role, use.layout, use.fans) == ("embedding", Layout("IO"), Fans(1, 8))


def test_embedding_by_one_hot_product():
    def f(w, i):
        return jax.nn.one_hot(i, 30) @ w

    use = use_of(f, (30, 8), spec(2, 5, dtype="int32"))
    assert use.role == "embedding"
    assert use.reason == "looked up by a product"


def test_tied_embedding_keeps_both_uses():
    def f(w, i):
        return jnp.tanh(w[i]) @ w.T

    use = use_of(f, (30, 8), spec(2, 5, dtype="int32"))
    assert use.role == "embedding"
    (other,) = use.others
    assert (other.role, other.layout, other.fans) == ("weight", Layout("OI"), Fans(8, 30))
    assert other.nonlinearity == "tanh"


def test_position_table_and_class_token():
    def apply(params, x):
        y = x @ params["w"]
        token = jnp.broadcast_to(params["token"], (2, 1, 4))
        return jnp.concatenate([token, y], axis=1) + params["position"]

    params = {"w": spec(3, 4), "token": spec(1, 1, 4), "position": spec(1, 6, 4)}
    uses = trace_params(apply, params, spec(2, 5, 3))
    assert uses["token"].role == "embedding"
    assert uses["token"].reason == "joined to the data"
    assert uses["position"].role == "embedding"
    assert uses["position"].reason == "added at every position"


def test_bias_and_scale_have_neutral_values():
    def apply(params, x):
        y = x @ params["w"] + params["b"]
        y = y * params["s"] / params["d"]
        return y * (1 + params["gemma"]) * jnp.exp(params["log"]) - params["c"]

    params = {"w": spec(3, 4)} | {k: spec(4) for k in ("b", "s", "d", "gemma", "log", "c")}
    uses = trace_params(apply, params, spec(2, 3))
    assert {k: (uses[k].role, uses[k].neutral) for k in params if k != "w"} == {
        "b": ("bias", 0.0),
        "s": ("scale", 1.0),
        "d": ("scale", 1.0),
        "gemma": ("scale", 0.0),
        "log": ("scale", 0.0),
        "c": ("bias", 0.0),
    }


def test_stored_statistics_of_a_batch_norm():
    def apply(params, x):
        y = x @ params["w"] - params["mean"]
        y = y * (lax.rsqrt(params["var"] + 1e-5) * params["scale"])
        return jnp.maximum(y, 0) @ params["v"]

    params = {"w": spec(3, 4), "v": spec(4, 2)} | {
        k: spec(4) for k in ("mean", "var", "scale")
    }
    uses = trace_params(apply, params, spec(2, 3))
    assert uses["var"].role == "scale"
    assert uses["var"].neutral == 1.0
    assert uses["mean"].neutral == 0.0
    assert uses["v"].after == "normalisation"
    assert uses["v"].nonlinearity == "relu"


def test_learned_first_state():
    def apply(params, x):
        def step(h, x):
            return jnp.tanh(h @ params["u"] + x @ params["w"]), None

        return lax.scan(step, params["h"], x)[0]

    params = {"u": spec(4, 4), "w": spec(4, 4), "h": spec(4)}
    uses = trace_params(apply, params, spec(5, 4))
    assert uses["h"].role == "embedding"
    assert uses["h"].reason == "the state that a loop starts from"
    assert uses["u"].nonlinearity == "tanh"
    assert uses["u"].after == "addition"


def test_unused():
    uses = trace_params(
        lambda p, x: x @ p["w"], {"w": spec(3, 4), "old": spec(5)}, spec(2, 3)
    )
    assert uses["old"].role == "unused"
    assert uses["old"].reason == "no output depends on it"


def test_experts_chosen_by_the_data_are_weights():
    def f(w, x, i):
        return jnp.einsum("bd,bdf->bf", jnp.tanh(x), w[i])

    use = use_of(f, (4, 16, 8), spec(3, 16), spec(3, dtype="int32"))
    assert (use.role, use.layout, use.fans) == ("weight", Layout("BIO"), Fans(16, 8))
    assert use.reason == "chosen by the data"


def test_products_of_two_tables_stay_tables():
    def apply(params, i, j):
        return jnp.einsum("bd,bd->b", params["u"][i], params["v"][j])

    tokens = spec(3, dtype="int32")
    uses = trace_params(apply, {"u": spec(30, 8), "v": spec(40, 8)}, tokens, tokens)
    assert [use.role for use in uses.values()] == ["embedding", "embedding"]


def test_bias_behind_a_scale_that_makes_features():
    def apply(params, x):
        return jnp.tanh(x[:, :, None] * params["w"] + params["b"])

    uses = trace_params(apply, {"w": spec(16, 8), "b": spec(8)}, spec(3, 16))
    assert uses["b"].role == "bias"


# --------------------------------------------------------------------- never silently wrong

UNKNOWN = {
    "weight norm": (
        lambda w, x: x @ (w / jnp.linalg.norm(w, axis=0)),
        "reduced by reduce_sum before use",
    ),
    "product with itself transposed": (
        lambda w, x: x @ (w @ w.T),
        "multiplied with another parameter",
    ),
    "standardised": (
        lambda w, x: x @ ((w - w.mean(0)) / w.std(0)),
        "reduced by reduce_sum before use",
    ),
    "positive by exp": (
        lambda w, x: x @ jnp.exp(w),
        "passed through a nonlinear function before the product",
    ),
    "masked by an array": (
        lambda w, x: x @ (w * np.tri(6, dtype=np.float32)),
        "combined with a constant array before use",
    ),
    "sum of products by hand": (
        lambda w, x: (x[:, :, None] * w).sum(1),
        "multiplied with the signal and summed, so perhaps a weight",
    ),
    "returned": (lambda w, x: (x.sum(), w), "returned without meeting the data"),
    "returned after exp": (
        lambda w, x: (x.sum(), jnp.exp(w)),
        "returned without meeting the data",
    ),
    "sorted": (lambda w, x: x @ jnp.sort(w, axis=0), "enters sort, which is not followed"),
    "compared": (lambda w, x: jnp.maximum(x, w), "enters max together with the data"),
    "solved": (
        lambda w, x: jnp.linalg.solve(w, x.T),
        None,
    ),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_unknown_says_why(name):
    f, reason = UNKNOWN[name]
    use = use_of(f, (6, 6), spec(6, 6))
    assert use.role == "unknown"
    assert use.reason
    if reason is not None:
        assert use.reason == reason


def test_low_rank_correction_is_unknown_only_where_it_must_be():
    def apply(params, x):
        return x @ params["w"] + x @ (params["a"] @ params["b"])

    params = {"w": spec(6, 5), "a": spec(6, 2), "b": spec(2, 5)}
    uses = trace_params(apply, params, spec(4, 6))
    assert [uses[k].role for k in ("w", "a", "b")] == ["weight", "unknown", "unknown"]


def test_slope_of_a_learned_activation():
    def apply(params, x):
        y = x @ params["w"]
        y = jnp.where(y > 0, y, params["slope"] * y)
        return y @ params["v"]

    params = {"w": spec(3, 4), "slope": spec(), "v": spec(4, 2)}
    uses = trace_params(apply, params, spec(2, 3))
    assert uses["slope"].role == "unknown"
    assert uses["slope"].reason == "shapes the activation, whose gain depends on its value"
    assert uses["v"].gain is None
    assert uses["v"].nonlinearity == "learned"


def test_running_average_is_no_bias():
    def apply(params, x):
        mean = x.mean(0)
        return 0.9 * params["mean"] + 0.1 * mean

    use = trace_params(apply, {"mean": spec(3)}, spec(8, 3))["mean"]
    assert use.role == "unknown"


def test_norm_over_a_scaled_signal_keeps_the_scale():
    def norm(x):
        return (x - x.mean(-1, keepdims=True)) * lax.rsqrt(x.var(-1, keepdims=True) + 1e-6)

    def apply(params, x):
        y = norm(x @ params["w"]) * params["s"]
        return norm(y) @ params["v"]

    params = {"w": spec(3, 4), "s": spec(4), "v": spec(4, 2)}
    uses = trace_params(apply, params, spec(2, 3))
    assert uses["s"].role == "scale"
    assert uses["v"].after == "normalisation"


# ------------------------------------------------------------- the expression in between


def between(f: Callable[..., Any]) -> ParamUse:
    def apply(params, x):
        return f(x @ params["w"] + params["b"]) @ params["v"]

    params = {"w": spec(6, 6), "b": spec(6), "v": spec(6, 2)}
    return trace_params(apply, params, spec(3, 6))["v"]


def gauss_hermite_gain(f: Callable[..., Any]) -> float:
    nodes, weights = np.polynomial.hermite_e.hermegauss(180)
    values = np.asarray(f(jnp.asarray(nodes, jnp.float32)), np.float64)
    return float(1 / np.sqrt(weights @ values**2 / weights.sum()))


SMOOTH = {
    "tanh": jnp.tanh,
    "silu": jax.nn.silu,
    "gelu": functools.partial(jax.nn.gelu, approximate=False),
    "gelu_tanh": functools.partial(jax.nn.gelu, approximate=True),
    "sigmoid": jax.nn.sigmoid,
    "softplus": jax.nn.softplus,
    "mish": jax.nn.mish,
    "sin": jnp.sin,
    "custom": lambda x: jnp.sin(x) + 0.3 * jnp.tanh(2 * x) * x,
}


@pytest.mark.parametrize("name", SMOOTH)
def test_gain_of_the_expression(name):
    use = between(SMOOTH[name])
    assert use.nonlinearity == name
    assert use.after == "weight w"
    assert use.gain == pytest.approx(gauss_hermite_gain(SMOOTH[name]), rel=1e-4)


KINKED = {
    "relu": (jax.nn.relu, 2**0.5),
    "leaky_relu": (lambda x: jax.nn.leaky_relu(x, 0.2), (2 / 1.04) ** 0.5),
    "3 relu": (lambda x: 3 * jnp.maximum(x, 0), 2**0.5 / 3),
    "linear": (lambda x: x, 1.0),
    "0.125 linear": (lambda x: x / 8, 8.0),
    "hard_tanh": (jax.nn.hard_tanh, 1.392036),
    "relu_squared": (lambda x: jax.nn.relu(x) ** 2, 0.816497),
    "selu": (jax.nn.selu, 1.0),
    "relu6": (jax.nn.relu6, 1.414214),
    "hard_swish": (jax.nn.hard_swish, 1.736657),
}


@pytest.mark.parametrize("name", KINKED)
def test_gain_of_kinked_expressions(name):
    f, gain = KINKED[name]
    use = between(f)
    assert use.nonlinearity == name
    assert use.gain == pytest.approx(gain, rel=2e-6)


def test_traced_activation_can_be_called():
    use = between(SMOOTH["custom"])
    assert use.activation is not None
    x = jnp.linspace(-3, 3, 7)
    np.testing.assert_allclose(use.activation(x), SMOOTH["custom"](x), rtol=1e-6)


def softmax_mix(y: Any) -> Any:
    return jax.nn.softmax(y) * 1.0


ORIGINS = {
    "normalisation": lambda y: (
        (y - y.mean(-1, keepdims=True)) / (y.std(-1, keepdims=True) + 1e-6)
    ),
    "softmax": jax.nn.softmax,
    "log-softmax": jax.nn.log_softmax,
    "residual addition": lambda y: y + jnp.tanh(y) * jax.nn.softmax(y),
    "product": lambda y: y * jax.nn.sigmoid(y[:, ::-1] @ jnp.ones((6, 6))),
    "maximum pooling": lambda y: lax.reduce_window(
        y, -jnp.inf, lax.max, (1, 1), (1, 1), "SAME"
    ),
}


@pytest.mark.parametrize("name", ORIGINS)
def test_what_stands_between_is_named(name):
    assert between(ORIGINS[name]).after == name


def test_residual_stream_is_said():
    def apply(params, x):
        h = x @ params["a"]
        h = h + jnp.maximum(h @ params["b"], 0) @ params["c"]
        return jnp.maximum(h, 0) @ params["d"]

    params = {k: spec(6, 6) for k in "abcd"}
    uses = trace_params(apply, params, spec(3, 6))
    assert [uses[k].after for k in "abcd"] == [
        "input",
        "weight a",
        "weight b",
        "residual addition",
    ]
    assert [uses[k].nonlinearity for k in "abcd"] == ["linear", "linear", "relu", "relu"]


def test_dropout_is_noted_and_not_counted():
    def apply(params, x, key):
        y = jnp.maximum(x @ params["w"], 0)
        kept = jax.random.bernoulli(key, 0.9, y.shape)
        return jnp.where(kept, y / 0.9, 0.0) @ params["v"]

    key = jax.eval_shape(lambda: jax.random.key(0))
    uses = trace_params(apply, {"w": spec(6, 6), "v": spec(6, 6)}, spec(3, 6), key)
    assert uses["v"].nonlinearity == "relu"
    assert uses["v"].notes == (
        "a mask or dropout stands between, which the gain leaves out",
    )


def test_mean_pooling_is_said():
    use = between(lambda y: jnp.maximum(y, 0)).gain
    assert use == pytest.approx(2**0.5)

    def apply(params, x):
        y = jnp.maximum(jnp.einsum("bti,io->bto", x, params["w"]), 0)
        return y.mean(1) @ params["v"]

    uses = trace_params(apply, {"w": spec(6, 6), "v": spec(6, 6)}, spec(3, 5, 6))
    assert uses["v"].after == "reduction of weight w"
    assert uses["v"].notes == ("fed by a sum, mean or extreme, whose scale is not known",)


def test_nothing_is_allocated():
    huge = spec(1 << 20, 1 << 20)
    use = use_of(lambda w, x: x @ w, (1 << 20, 1 << 20), huge)
    assert use.fans == Fans(1 << 20, 1 << 20)


def test_table_prints():
    text = str(trace_params(lambda p, x: x @ p["w"], {"w": spec(3, 4)}, spec(2, 3)))
    assert text == (
        "path  shape   role    layout  fan_in  fan_out  after  gain\n"
        "----  ------  ------  ------  ------  -------  -----  --------\n"
        "w     (3, 4)  weight  IO      3       4        input  linear 1"
    )


def test_errors():
    with pytest.raises(TypeError) as error:
        trace_params(3, {"w": spec(2)})  # pyright: ignore[reportArgumentType]
    assert str(error.value) == (
        "trace_params: apply_fn must be a function; got 3. "
        "Give the function apply_fn(params, *inputs)."
    )
    with pytest.raises(TypeError) as error:
        trace_params(lambda p: p, {"w": "text"})
    assert str(error.value) == (
        "trace_params: params must hold arrays; got 1 other leaves. "
        "Give the model's parameters, or shapes of them by jax.eval_shape."
    )
