"""A row a primitive, a column a question: each cell is followed, or says honestly why not."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.ad_checkpoint import checkpoint_name

from jaxinit import Layout, trace_params
from jaxinit._jaxpr import bind, programs_in
from jaxinit._primitives import CONTROL, ELEMENTWISE, IDENTITIES, PRODUCTS
from jaxinit.signal import autoinit
from jaxinit.trace.entry import read_forward, uses_of
from jaxinit.trace.moments.control import RULES as MOMENT_CONTROL
from jaxinit.trace.moments.moves import MOVES
from jaxinit.trace.moments.sums import SUMS
from jaxinit.trace.probes.probes import ProbeWalk
from jaxinit.trace.probes.scaling import find_scales
from jaxinit.trace.roles.rules import RULES as ROLE_RULES

N, M = 8, 16


def spec(*lengths, dtype="float32"):
    return jax.ShapeDtypeStruct(lengths, dtype)


def inside(h):
    return 0.5 + 0.1 * jnp.tanh(h)  # within the domain of every function


UNARY = [
    "abs",
    "acos",
    "asin",
    "asinh",
    "atan",
    "atanh",
    "bessel_i0e",
    "bessel_i1e",
    "cbrt",
    "ceil",
    "cos",
    "cosh",
    "digamma",
    "erf",
    "erf_inv",
    "erfc",
    "exp",
    "exp2",
    "expm1",
    "floor",
    "lgamma",
    "log",
    "log1p",
    "logistic",
    "neg",
    "round",
    "rsqrt",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "tan",
    "tanh",
    "is_finite",
]
BINARY = [
    "add",
    "atan2",
    "div",
    "max",
    "min",
    "mul",
    "nextafter",
    "pow",
    "rem",
    "sub",
    "igamma",
    "igammac",
    "zeta",
]
COMPARED = ["eq", "ge", "gt", "le", "lt", "ne"]


def window(h, kind, start):
    return lax.reduce_window(h, start, kind, (1, 2), (1, 1), "SAME")


def looped(h):
    return lax.scan(lambda c, row: (c, jnp.tanh(row)), 0.0, h)[1]


def unary(function):
    return lambda h: function(inside(h))


def binary(function):
    return lambda h: function(inside(h), 0.5 * inside(h))


def compared(function):
    return lambda h: function(h, 0.5 * h)


ROWS = {
    **{name: unary(getattr(lax, name)) for name in UNARY},
    **{name: binary(getattr(lax, name)) for name in BINARY},
    **{name: compared(getattr(lax, name)) for name in COMPARED},
    "zeta": lambda h: lax.zeta(1 + inside(h), inside(h)),
    "acosh": lambda h: lax.acosh(1 + inside(h)),
    "integer_pow": lambda h: h**3,
    "clamp": lambda h: lax.clamp(-1.0, h, 1.0),
    "select_n": lambda h: jnp.where(h > 0, h, 0.1 * h),
    "and": lambda h: (h > 0) & (h < 1),
    "or": lambda h: (h > 0) | (h < -1),
    "xor": lambda h: (h > 0) ^ (h < 1),
    "not": lambda h: ~(h > 0),
    "regularized_incomplete_beta": lambda h: lax.betainc(inside(h), inside(h), inside(h)),
    "convert_element_type": lambda h: h.astype("bfloat16"),
    "reduce_precision": lambda h: lax.reduce_precision(h, 8, 7),
    "stop_gradient": lax.stop_gradient,
    "optimization_barrier": lax.optimization_barrier,
    "name": lambda h: checkpoint_name(h, "h"),
    "copy": lambda h: jnp.array(h, copy=True),
    "broadcast_in_dim": lambda h: jnp.broadcast_to(h, (2, N, M)),
    "reshape": lambda h: h.reshape(2, N // 2, M),
    "transpose": lambda h: h.reshape(2, N // 2, M).transpose(1, 0, 2),
    "squeeze": lambda h: jnp.squeeze(h.reshape(N, 1, M), 1),
    "rev": lambda h: h[::-1],
    "slice": lambda h: h[:4],
    "split": lambda h: jnp.split(h, 2)[0],
    "unstack": lambda h: jnp.unstack(h.reshape(2, N // 2, M))[1],
    "dynamic_slice": lambda h: lax.dynamic_slice_in_dim(h, jnp.argmax(h[0]) % 2, 4),
    "dynamic_update_slice": lambda h: lax.dynamic_update_slice(h, h[:2], (0, 0)),
    "gather": lambda h: h[np.array([3, 1, 2])],
    "scatter": lambda h: h.at[1].set(0.0),
    "scatter-add": lambda h: jax.ops.segment_sum(h, np.arange(N) % 3, 3),
    "pad": lambda h: jnp.pad(h, ((1, 1), (0, 0))),
    "concatenate": lambda h: jnp.concatenate([h, h * 0.5]),
    "stack": lambda h: jnp.stack([h, h * 0.5]),
    "tile": lambda h: jnp.tile(h, (2, 1)),
    "sort": lambda h: jnp.sort(h, 0),
    "top_k": lambda h: lax.top_k(h.T, 3)[0].T,
    "iota": lambda h: h + lax.broadcasted_iota("float32", (N, M), 1),
    "argmax": lambda h: h * jnp.argmax(h, -1, keepdims=True).astype("float32"),
    "reduce_sum": lambda h: h.sum(0),
    "reduce_max": lambda h: h.max(0),
    "reduce_min": lambda h: h.min(0),
    "reduce_prod": lambda h: inside(h).prod(0),
    "reduce_and": lambda h: (h > 0).all(0),
    "reduce_or": lambda h: (h > 0).any(0),
    "reduce_window_sum": lambda h: window(h, lax.add, 0.0),
    "reduce_window_max": lambda h: window(h, lax.max, -jnp.inf),
    "reduce_window_min": lambda h: window(h, lax.min, jnp.inf),
    "cumsum": lambda h: jnp.cumsum(h, 0),
    "cummax": lambda h: lax.cummax(h, 0),
    "cummin": lambda h: lax.cummin(h, 0),
    "cumprod": lambda h: lax.cumprod(h, 0),
    "cumlogsumexp": lambda h: lax.cumlogsumexp(h, 0),
    "dot_general": lambda h: h @ (h.T @ h),
    "random_bits": lambda h: h * jax.random.bernoulli(jax.random.key(0), 0.5, h.shape),
    "fft": lambda h: jnp.fft.fft(h, axis=0).real,
    "scan": looped,
    "while": lambda h: lax.while_loop(
        lambda c: c[0] < 3, lambda c: (c[0] + 1, jnp.sin(c[1])), (0, h)
    )[1],
    "cond": lambda h: lax.cond(h.sum() > 0, jnp.sin, jnp.cos, h),
    "cholesky": lambda h: jnp.linalg.cholesky(h @ h.T) @ h,
    "pure_callback": lambda h: jax.pure_callback(np.sin, h, h),
    "reduce": lambda h: h * lax.reduce(h, 0.0, lambda a, b: a + b * b, (0, 1)),
}
NOT_MOMENTS = {
    "cumprod": "no distribution of products of a random number of terms",
    "cumlogsumexp": "no rule",
    "fft": "complex numbers",
    "cholesky": "linear algebra",
    "pure_callback": "what it does is not known",
    "reduce": "a function of the user's folds the entries",
    "argmax": "integers that are numbers, not places",
}
"""What the moments call not followed, and why; all else they follow."""


OLDER = {"stack": ["concatenate"], "tile": ["broadcast_in_dim"], "unstack": ["split"]}
"""As what JAX writes an operation before it had a primitive for it."""
if jax.__version_info__ >= (0, 10):
    OLDER = {}


def program(function):
    def apply(p, x):
        return (function(x @ p["w"]).astype("float32") + p["b"]) @ p["v"]

    return apply, {"w": spec(N, M), "b": spec(M), "v": spec(M, 3)}


def names_in(jaxpr):
    own = {equation.primitive.name for equation in jaxpr.eqns}
    inner = [p for equation in jaxpr.eqns for p in programs_in(equation)]
    return own.union(*(names_in(getattr(p, "jaxpr", p)) for p in inner))


def test_what_numpy_writes_out_in_full():
    for function in (
        lambda h: (h - h.mean()) / h.std(),  # with a NaN among its constants
        lambda h: jnp.tanh(h - jnp.median(h, 0)),  # with a table that goes row by row
    ):
        apply, params = program(function)
        with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
            use = trace_params(apply, params, spec(N, N))["v"]
        assert use.role == "weight"
        assert use.gain == 1 or use.notes == ("a sorted entry counts as any entry",)


@pytest.mark.parametrize("name", ROWS)
def test_data_that_passes_through(name):
    apply, params = program(ROWS[name])
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        uses = trace_params(apply, params, spec(N, N))
    closed = uses.forward.program
    names = names_in(closed.jaxpr)
    assert {name, *OLDER.get(name, ())} & names, "the row does not have its primitive"
    assert [uses[k].role for k in "wbv"] == ["weight", "bias", "weight"]
    lost = [note for note in uses["v"].notes if "not followed" in note]
    assert bool(lost) == (name in NOT_MOMENTS), uses["v"].notes
    assert np.isfinite(uses["v"].gain or np.nan)
    walk = ProbeWalk()
    marks = [0, 1, 2, None]  # b, v, w and x
    values = [params["b"], params["v"], params["w"], spec(N, N)]
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        jax.eval_shape(
            lambda *v: walk.run(closed, list(zip(v, marks, strict=True)))[0][0], *values
        )
    assert {use.leaf for use in walk.uses} == {1, 2}


def test_a_rule_that_fails_is_no_note(monkeypatch):
    """A fault of a rule, such as this one that is planted, does not become a remark."""

    def broken(*_):
        return {}["missing"]

    monkeypatch.setitem(MOVES, "rev", broken)
    apply, params = program(ROWS["rev"])
    forward = read_forward(apply, params, (spec(N, N),))
    with pytest.raises(KeyError, match="missing"):
        uses_of(forward)


WEIGHTS = {
    "convert_element_type": lambda w: w.astype("bfloat16").astype("float32"),
    "reduce_precision": lambda w: lax.reduce_precision(w, 8, 7),
    "name": lambda w: checkpoint_name(w, "w"),
    "optimization_barrier": lax.optimization_barrier,
    "transpose": lambda w: w.T.T,
    "reshape": lambda w: w.reshape(2, N // 2, M).reshape(N, M),
    "squeeze": lambda w: jnp.squeeze(w.reshape(N, 1, M), 1),
    "slice": lambda w: w[:, 4:],
    "split": lambda w: jnp.split(w, 2, 1)[1],
    "unstack": lambda w: jnp.unstack(w.reshape(N, 2, M // 2), axis=1)[0],
    "dynamic_slice": lambda w: lax.dynamic_slice_in_dim(w, 2, 4, 1),
    "mul": lambda w: w * 0.25,
    "neg": lambda w: -w,
    "div": lambda w: w / 4.0,
}
NOT_SCALES = dict.fromkeys(("mul", "neg", "div"), "a multiple of a weight is another")


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_pass_through(name):
    def apply(p, x):
        return jnp.tanh(x) @ WEIGHTS[name](p["w"])

    params, x = {"w": spec(N, M)}, spec(4, N)
    uses = trace_params(apply, params, x)
    assert uses["w"].role == "weight"
    assert getattr(uses["w"].fans, "fan_in", 0) == N
    assert uses["w"].gain == pytest.approx(1.5927, rel=1e-3)
    ones = jnp.ones((N, M), jnp.float32), jnp.ones((4, N), jnp.float32)
    closed = jax.make_jaxpr(apply)({"w": ones[0]}, ones[1])
    walk = ProbeWalk()
    jax.eval_shape(lambda w, x: walk.run(closed, [(w, 0), (x, None)])[0][0], *ones)
    assert [use.leaf for use in walk.uses] == [0]

    def rule(eqn, values, _place):
        return bind(eqn, values)[0], jnp.ones(())

    scales = jax.eval_shape(lambda w, x: find_scales(closed, [w], [x], rule), *ones)
    assert (0 in scales) == (name not in NOT_SCALES)
    if name not in NOT_SCALES:
        new = autoinit(apply, {"w": ones[0]}, x, key=jax.random.key(0))
        assert float(new["w"].std()) == pytest.approx(1.5927 / N**0.5, rel=0.3)


def test_weights_of_a_scan():
    def apply(p, x):
        return lax.scan(lambda c, w: (jnp.tanh(c) @ w, None), x, p["w"])[0]

    width = 64
    params, x = {"w": spec(3, width, width)}, spec(4, width)
    uses = trace_params(apply, params, x)
    assert (uses["w"].role, uses["w"].layout) == ("weight", Layout("BIO"))
    assert uses["w"].gain == pytest.approx(1.5927, rel=2e-3)
    ones = {"w": jnp.ones((3, width, width), jnp.float32)}
    for given in (x, jax.random.normal(jax.random.key(1), (256, width), jnp.float32)):
        new = autoinit(apply, ones, given, key=jax.random.key(0))
        assert float(new["w"].std()) == pytest.approx(1.5927 / 8, rel=0.02)


def test_every_primitive_is_of_one_kind_and_known_to_all():
    assert not ELEMENTWISE & PRODUCTS
    assert not ELEMENTWISE & CONTROL
    moments = ELEMENTWISE | PRODUCTS | MOVES.keys() | SUMS.keys() | MOMENT_CONTROL.keys()
    others = {"bitcast_convert_type", "convert_element_type", "iota", "random_bits"}
    # Complex numbers, and keys, have no moments.
    missing = ROLE_RULES.keys() - moments - others
    allowed = {
        "argmax",
        "argmin",
        "complex",
        "conj",
        "cumlogsumexp",
        "cumprod",
        "fft",
        "imag",
        "real",
        "reduce_window",
        "threefry2x32",
    } | {name for name in missing if name.startswith("random_")}
    assert missing <= allowed
    assert (
        ROLE_RULES.keys() & (MOVES.keys() | MOMENT_CONTROL.keys()) >= IDENTITIES | CONTROL
    )
