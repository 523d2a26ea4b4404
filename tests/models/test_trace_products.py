"""What the tracer says of single products, against a count by differentiation."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from jax import lax

from jaxinit import Fans, Layout, compute_fans
from jaxinit.trace.entry import trace_params
from tests.models.tracing import NHWC, conv, counted_fan_in, counted_fan_out, spec, use_of

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

    def taken_apart(w, x):
        for one in w:
            x = jnp.maximum(x @ one, 0)
        return x

    for f in (unrolled, looped, taken_apart):
        use = use_of(f, (3, 6, 6), spec(4, 6))
        assert use.layout == Layout("BIO"), f
        assert use.fans == Fans(6, 6)


def test_wide_inputs_of_numpy():
    x, rows = np.ones((4, 6)), np.zeros(4, np.int64)
    assert use_of(lambda w, x: x.astype(w.dtype) @ w, (6, 5), x).fans == Fans(6, 5)
    assert use_of(lambda w, rows: w[rows], (6, 5), rows).role == "embedding"


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


@pytest.mark.parametrize(
    ("window", "stride", "fan_in"), [(4, 2, 64), (3, 2, 36), (4, 4, 16)]
)
def test_strided_transposed_convolution_counts_what_an_output_sums(window, stride, fan_in):
    def f(w, x):
        return lax.conv_transpose(x, w, (stride, stride), "SAME")

    shape = (window, window, 16, 8)
    use = use_of(f, shape, spec(1, 12, 12, 16))
    assert (use.layout, use.fans) == (Layout("HWIO"), Fans(fan_in, window**2 * 8))
    w, x = jnp.ones(shape), jnp.ones((1, 12, 12, 16))
    inside = f(w, x)[0, 2 * stride : -2 * stride, 2 * stride : -2 * stride]
    assert float(inside.mean()) == pytest.approx(fan_in)


def test_transposed_convolutions_of_libraries():
    key, x = jax.random.key(0), spec(1, 8, 8, 16)
    linen = nn.ConvTranspose(8, (4, 4), strides=(2, 2), transpose_kernel=True)
    uses = trace_params(linen.apply, jax.eval_shape(linen.init, key, x), x)
    assert uses["params/kernel"].layout == Layout("HWOI")
    assert uses["params/kernel"].fans == Fans(64, 128)
    options = {"stride": 2, "groups": 4, "key": key}
    model = eqx.filter_eval_shape(eqx.nn.ConvTranspose2d, 16, 8, 4, **options)
    use = trace_params(lambda m, x: m(x), model, spec(16, 8, 8))["weight"]
    assert (use.layout, use.fans) == (Layout("OIHW", groups=4), Fans(16, 32))
    graph, state = nnx.split(
        nnx.eval_shape(
            lambda: nnx.ConvTranspose(16, 8, (4, 4), strides=2, rngs=nnx.Rngs(0))
        )
    )
    uses = trace_params(lambda p, x: nnx.merge(graph, p)(x), nnx.to_pure_dict(state), x)
    assert uses["kernel"].fans == Fans(64, 128)


BILINEAR_FORMS = {
    "weight in the middle": (lambda w, x, y: jnp.einsum("bi,ijk,bj->bk", x, w, y), "IIO"),
    "outputs first": (
        lambda w, x, y: jnp.einsum("bi,kij,bj->bk", x, w.transpose(2, 0, 1), y),
        "IIO",
    ),
    "one example": (
        lambda w, x, y: jax.vmap(lambda a, b: jnp.einsum("i,ijk,j->k", a, w, b))(x, y),
        "IIO",
    ),
}


@pytest.mark.parametrize("name", BILINEAR_FORMS)
def test_bilinear_form_counts_all_pairs(name):
    f, axes = BILINEAR_FORMS[name]
    use = use_of(f, (64, 32, 5), spec(7, 64), spec(7, 32))
    assert (use.layout, use.fans) == (Layout(axes), Fans(64 * 32, 5))
    assert use.notes[0] == "a bilinear form: fan_in counts all pairs of its two inputs"


def test_queries_of_several_heads_with_one_key_are_no_bilinear_form():
    def apply(params, x):
        q = jnp.einsum("id,dhe->ihe", x, params["q"])
        return jax.nn.softmax(jnp.einsum("ihe,je->hij", q, x @ params["k"]))

    uses = trace_params(apply, {"q": spec(64, 4, 16), "k": spec(64, 16)}, spec(7, 64))
    assert (uses["q"].layout, uses["q"].fans) == (Layout("IOO"), Fans(64, 64))
    assert uses["k"].fans == Fans(64, 16)
