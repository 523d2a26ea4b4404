"""Fused keys: the plain key's bits in whatever draws, and everywhere JAX takes a key."""

import copy
import pickle
import re
import subprocess
import sys
from typing import Any

import equinox as eqx
import flax.linen as nn
import haiku as hk
import jax
import jax.extend.core
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxinit
from jaxinit import fused_key
from jaxinit._fused import fused, is_fused, unfused
from jaxinit._fused_program import with_fused_keys

KEY = jax.random.key(42)
FUSED = fused_key(KEY)
QUICKLY: dict[str, str | bool] = {"xla_backend_optimization_level": "0"}  # it runs once
LOGITS = jnp.log(jnp.array([0.2, 0.3, 0.5]))
MEAN, COV = jnp.zeros(2), jnp.array([[2.0, 0.5], [0.5, 1.0]])

SAMPLERS = {
    "ball": lambda k: jax.random.ball(k, 3, shape=(20,)),
    "bernoulli": lambda k: jax.random.bernoulli(k, 0.3, (50,)),
    "beta": lambda k: jax.random.beta(k, 2.0, 3.0, (20,)),
    "binomial": lambda k: jax.random.binomial(k, 10.0, 0.3, (20,)),
    "bits": lambda k: jax.random.bits(k, (7, 3)),
    "categorical": lambda k: jax.random.categorical(k, LOGITS, shape=(50,)),
    "cauchy": lambda k: jax.random.cauchy(k, (20,)),
    "chisquare": lambda k: jax.random.chisquare(k, 3.0, shape=(20,)),
    "choice": lambda k: jax.random.choice(k, 50, (20,), replace=False),
    "dirichlet": lambda k: jax.random.dirichlet(k, jnp.ones(3), (20,)),
    "double_sided_maxwell": lambda k: jax.random.double_sided_maxwell(k, 0.0, 1.0, (20,)),
    "exponential": lambda k: jax.random.exponential(k, (20,)),
    "f": lambda k: jax.random.f(k, 3.0, 4.0, shape=(20,)),
    "gamma": lambda k: jax.random.gamma(k, 2.5, (20,)),
    "generalized_normal": lambda k: jax.random.generalized_normal(k, 2.0, (20,)),
    "geometric": lambda k: jax.random.geometric(k, 0.3, (20,)),
    "gumbel": lambda k: jax.random.gumbel(k, (20,)),
    "laplace": lambda k: jax.random.laplace(k, (20,)),
    "loggamma": lambda k: jax.random.loggamma(k, 2.5, (20,)),
    "logistic": lambda k: jax.random.logistic(k, (20,)),
    "lognormal": lambda k: jax.random.lognormal(k, shape=(20,)),
    "maxwell": lambda k: jax.random.maxwell(k, (20,)),
    "multinomial": lambda k: jax.random.multinomial(k, 10, jnp.array([0.2, 0.3, 0.5])),
    "multivariate_normal": lambda k: jax.random.multivariate_normal(k, MEAN, COV, (20,)),
    "normal": lambda k: jax.random.normal(k, (20, 3)),
    "complex normal": lambda k: jax.random.normal(k, (20,), jnp.complex64),
    "bfloat16 normal": lambda k: jax.random.normal(k, (20,), jnp.bfloat16),
    "tanh of normal": lambda k: jnp.tanh(jax.random.normal(k, (64, 32))),
    "orthogonal": lambda k: jax.random.orthogonal(k, 4),
    "pareto": lambda k: jax.random.pareto(k, 2.0, (20,)),
    "permutation": lambda k: jax.random.permutation(k, 50),
    "rademacher": lambda k: jax.random.rademacher(k, (20,)),
    "randint": lambda k: jax.random.randint(k, (20,), 0, 1000),
    "rayleigh": lambda k: jax.random.rayleigh(k, 1.0, (20,)),
    "t": lambda k: jax.random.t(k, 3.0, (20,)),
    "triangular": lambda k: jax.random.triangular(k, 0.0, 0.5, 1.0, (20,)),
    "truncated_normal": lambda k: jax.random.truncated_normal(k, -2.0, 2.0, (20,)),
    "uniform": lambda k: jax.random.uniform(k, (20,)),
    "wald": lambda k: jax.random.wald(k, 1.0, (20,)),
    "weibull_min": lambda k: jax.random.weibull_min(k, 1.0, 2.0, (20,)),
}


def assert_equal(x: object, y: object) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(_raw(a), _raw(b)), x, y)


def _raw(x: jax.Array) -> np.ndarray:
    is_key = jnp.issubdtype(jnp.asarray(x).dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(x) if is_key else x)


def assert_rounded_alike(x: jax.Array, y: jax.Array) -> None:
    """The bits are equal; what JAX makes of them may be fused in another way."""
    assert x.dtype == y.dtype
    if jnp.issubdtype(x.dtype, jnp.inexact):
        wide = "complex128" if jnp.iscomplexobj(x) else "float64"
        found, wanted = np.asarray(x).astype(wide), np.asarray(y).astype(wide)
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)
    else:
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_of_jax(name: str) -> None:
    with jax.numpy_dtype_promotion("standard"):
        programs = [jax.jit(SAMPLERS[name]).lower(key) for key in (FUSED, KEY)]
        fused, plain = (p.compile(QUICKLY) for p in programs)
        assert_rounded_alike(fused(FUSED), plain(KEY))


def test_poisson_is_for_plain_keys_in_jax_itself() -> None:
    with pytest.raises(NotImplementedError, match="only implemented for the threefry2x32"):
        jax.random.poisson(FUSED, 3.0, (4,))
    found = jax.random.poisson(unfused(FUSED), 3.0, (4,))
    assert_equal(found, jax.random.poisson(KEY, 3.0, (4,)))


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_bits(bits: int, x64: bool) -> None:
    with jax.enable_x64(x64):
        dtype = f"uint{bits if x64 else min(bits, 32)}"
        for shape in [(), (1,), (0, 3), (5, 3), (2, 3, 4)]:
            found = jax.random.bits(FUSED, shape, dtype)
            assert found.dtype == dtype
            assert_equal(found, jax.random.bits(KEY, shape, dtype))


def test_split_and_fold_in() -> None:
    for shape in [1, 3, (2, 3), (0,)]:
        children = jax.random.split(FUSED, shape)
        assert is_fused(children)
        assert_equal(children, jax.random.split(KEY, shape))
    for data in (0, 7, 2**32 - 1, np.int64(3), jnp.uint32(9), True):
        assert_equal(jax.random.fold_in(FUSED, data), jax.random.fold_in(KEY, data))
    assert_equal(jax.random.clone(FUSED), KEY)


@pytest.mark.parametrize("x64", [False, True])
def test_seeds(x64: bool) -> None:
    with jax.enable_x64(x64):
        for seed in (0, 5, 2**31, 2**32 - 1, *([2**40 + 3, 2**63 - 1] if x64 else [])):
            assert_equal(fused_key(seed), jax.random.key(seed))
        for seed in (np.uint8(200), np.uint32(7), jnp.int32(4)):
            assert_equal(fused_key(seed), jax.random.key(seed))
        traced = jax.jit(fused_key)(jnp.int32(-5))
        assert_equal(traced, jax.jit(jax.random.key)(jnp.int32(-5)))


WRONG = [
    (
        -1,
        ValueError,
        "a seed must be from 0 to 4294967295, with 64-bit mode off; got key_or",
    ),
    (
        2**32,
        ValueError,
        "a seed must be from 0 to 4294967295, with 64-bit mode off; got key",
    ),
    (
        10**400,
        ValueError,
        "a seed must be from 0 to .*; got key_or_seed=an int of 1329 bits",
    ),
    (0.5, TypeError, "key_or_seed must be a threefry key or an int; got key_or_seed=0.5"),
    (True, TypeError, "key_or_seed must be a threefry key or an int; got key_or_seed=True"),
    ("0", TypeError, "key_or_seed must be a threefry key or an int; got key_or_seed='0'"),
    (None, TypeError, "key_or_seed must be a threefry key or an int; got key_or_seed=None"),
    (np.ones(3, np.uint32), TypeError, "got an array of dtype uint32 and shape"),
    (
        jax.random.key(0, impl="rbg"),
        ValueError,
        "only threefry keys can be fused; got a key",
    ),
]


@pytest.mark.parametrize(("value", "kind", "text"), WRONG, ids=lambda v: str(v)[:20])
def test_wrong_arguments(value: object, kind: type, text: str) -> None:
    with jax.enable_x64(False), pytest.raises(kind, match=f"^fused_key: .*{text}"):
        fused_key(value)  # pyright: ignore[reportArgumentType]


def test_there_and_back() -> None:
    assert fused_key(FUSED) is FUSED
    assert_equal(fused_key(jax.random.PRNGKey(42)), KEY)
    assert_equal(fused_key(jax.random.key_data(KEY)), KEY)
    many = jax.random.split(KEY, (3, 2))
    assert fused_key(many).shape == (3, 2)
    assert is_fused(fused_key(many))
    plain = jax.random.wrap_key_data(jax.random.key_data(FUSED))
    assert plain.dtype == KEY.dtype
    assert_equal(plain, KEY)
    assert unfused(FUSED).dtype == KEY.dtype
    other = jax.random.key(0, impl="rbg")
    assert fused(other) is other
    assert unfused(other) is other


def test_transforms() -> None:
    def draw(key: jax.Array) -> jax.Array:
        return jax.random.bits(key, (6,))

    keys, others = jax.random.split(FUSED, 4), jax.random.split(KEY, 4)
    looped = jnp.stack([draw(k) for k in others])
    assert_equal(jax.vmap(draw)(keys), looped)
    assert_equal(jax.jit(jax.vmap(draw))(keys), looped)
    assert_equal(jax.lax.map(draw, keys), looped)
    folded = jax.vmap(lambda i: draw(jax.random.fold_in(FUSED, i)))(jnp.arange(4))
    assert_equal(folded, [draw(jax.random.fold_in(KEY, i)) for i in range(4)])
    nested = jax.vmap(lambda k: jax.vmap(draw)(jax.random.split(k)))
    assert_equal(nested(keys), nested(others))

    def step(key: jax.Array, _: None) -> tuple[jax.Array, jax.Array]:
        key, sub = jax.random.split(key)
        return key, draw(sub)

    assert_equal(jax.lax.scan(step, FUSED, length=3), jax.lax.scan(step, KEY, length=3))
    donating = jax.jit(step, static_argnums=1, donate_argnums=0)
    assert_equal(donating(fused_key(42), None), step(KEY, None))
    gradient = jax.grad(lambda s: (s * jax.random.normal(FUSED, (3,))).sum())(2.0)
    assert jnp.allclose(gradient, jax.random.normal(KEY, (3,)).sum())


def test_no_temporaries_and_no_loops() -> None:
    program = jax.jit(lambda k: jax.random.normal(k, (1 << 20,), jnp.bfloat16))
    lowered = program.lower(FUSED)
    assert "while" not in lowered.as_text()
    analysis = lowered.compile().memory_analysis()
    assert analysis is not None
    assert analysis.temp_size_in_bytes < 4096


def test_keys_are_derived_once_not_for_every_sample() -> None:
    def draw(key: jax.Array) -> jax.Array:
        return jax.random.normal(jax.random.split(jax.random.fold_in(key, 3))[1], (64,))

    compiled = jax.jit(draw).lower(FUSED).compile()
    entry = str(compiled.as_text()).partition("ENTRY")[2]
    assert re.search(r"= u32\[2\]\S* call\(", entry)
    assert re.search(r"= u32\[2,2\]\S* call\(", entry)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_sharded_without_collectives(kind: AxisType) -> None:
    mesh = jax.make_mesh((4, 2), ("x", "y"), axis_types=(kind, kind))
    placed = NamedSharding(mesh, P("x", "y"))
    with jax.set_mesh(mesh):
        program = jax.jit(lambda k: jax.random.bits(k, (64, 32)), out_shardings=placed)
        if kind == AxisType.Explicit:
            program = jax.jit(lambda k: jax.random.bits(k, (64, 32), out_sharding=placed))
        found = program(FUSED)
        text = program.lower(FUSED).compile().as_text() or ""
    assert found.sharding.is_equivalent_to(placed, 2)
    assert_equal(found, jax.random.bits(KEY, (64, 32)))
    assert not re.search("all-gather|all-reduce|all-to-all|collective-permute", text)
    keys = jax.device_put(jax.random.split(FUSED, 8), NamedSharding(mesh, P("x")))
    assert_equal(jax.random.key_data(keys), jax.random.split(KEY, 8))


def test_export_for_every_platform() -> None:
    def draw(words: jax.Array) -> jax.Array:
        return jnp.tanh(jax.random.normal(fused_key(words), (8, 4)))

    words = jax.ShapeDtypeStruct((2,), jnp.uint32)
    exported = jax.export.export(jax.jit(draw), platforms=("cpu", "cuda", "tpu"))(words)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert_equal(exported.call(words_of_key()), jax.jit(draw)(words_of_key()))


def test_export_with_a_size_left_open() -> None:
    (size,) = jax.export.symbolic_shape("n")

    def draw(words: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        key = fused_key(words)
        return jax.random.key_data(jax.random.split(key, x.shape)), x + jax.random.normal(
            key, x.shape
        )

    shapes = (
        jax.ShapeDtypeStruct((2,), jnp.uint32),
        jax.ShapeDtypeStruct((size,), "float32"),
    )
    made = jax.export.export(jax.jit(draw))(*shapes).call(words_of_key(), jnp.zeros(5))
    assert_equal(made[0], jax.random.split(KEY, 5))
    assert_rounded_alike(made[1], jax.random.normal(KEY, (5,)))


def test_pickled_and_copied() -> None:
    try:
        pickle.dumps(KEY)
    except TypeError:
        pytest.skip("this JAX cannot pickle its own keys")
    for other in (pickle.loads(pickle.dumps(FUSED)), copy.deepcopy(FUSED)):
        assert is_fused(other)
        assert_equal(other, KEY)


def words_of_key() -> jax.Array:
    return jax.random.key_data(KEY)


@pytest.mark.parametrize(
    "name", ["normal", "kaiming_uniform", "orthogonal", "variance_scaling"]
)
def test_our_initializers_treat_it_as_threefry(name: str) -> None:
    init = getattr(jaxinit, name)
    assert_equal(init(FUSED, (6, 8)), init(KEY, (6, 8)))
    assert_equal(init(FUSED, (6, 8), "complex64"), init(KEY, (6, 8), "complex64"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_models_of_every_library() -> None:
    with jax.numpy_dtype_promotion("standard"):
        _compare_models()


def _compare_models() -> None:
    x = jnp.ones((2, 4))
    dense = nn.Dense(3)
    assert_alike(dense.init(FUSED, x), dense.init(KEY, x))
    module = hk.transform(lambda x: hk.dropout(hk.next_rng_key(), 0.5, hk.Linear(3)(x)))
    assert_alike(module.init(FUSED, x), module.init(KEY, x))
    params = module.init(KEY, x)
    assert_alike(module.apply(params, FUSED, x), module.apply(params, KEY, x))
    layer, other = eqx.nn.MLP(4, 3, 8, 2, key=FUSED), eqx.nn.MLP(4, 3, 8, 2, key=KEY)
    assert_alike(eqx.filter(layer, eqx.is_array), eqx.filter(other, eqx.is_array))
    states = [nnx.state(nnx.Linear(4, 3, rngs=nnx.Rngs(k))) for k in (FUSED, KEY)]
    assert_alike(*states)
    drops = [nnx.Dropout(0.5, rngs=nnx.Rngs(dropout=k))(x) for k in (FUSED, KEY)]
    assert_alike(*drops)
    noisy = [optax.add_noise(0.1, 0.5, k) for k in (FUSED, KEY)]
    updates = [t.update({"w": x}, t.init({"w": x}))[0] for t in noisy]
    assert_alike(*updates)


def assert_alike(x: object, y: object) -> None:
    jax.tree.map(assert_rounded_alike, x, y)


def test_bits_of_old_threefry_are_followed() -> None:
    with jax.threefry_partitionable(False):
        assert_equal(jax.random.bits(FUSED, (5,)), jax.random.bits(KEY, (5,)))
        assert_equal(jax.random.split(FUSED, 3), jax.random.split(KEY, 3))
        assert_equal(jax.random.fold_in(FUSED, 3), jax.random.fold_in(KEY, 3))
        old = jax.random.bits(FUSED, (5,))
    assert not np.array_equal(old, jax.random.bits(FUSED, (5,)))


# A program with fused keys in place of plain ones ------------------------------------------


def _init(key: jax.Array, seed: jax.Array) -> dict[str, Any]:
    """Return draws through loops, branches, calls and custom derivatives."""
    raw, key = jax.random.split(key)
    first = jax.random.normal(raw, (8, 4))
    keys = jax.random.split(key, 3)
    _, stacked = jax.lax.scan(lambda k, _: (jax.random.fold_in(k, 1), k), key, length=3)
    drawn = jax.vmap(lambda k: jax.nn.relu(jax.random.normal(k, (4,))))(stacked)
    chosen = jax.lax.cond(
        first[0, 0] > 0, lambda k: k, lambda k: jax.random.fold_in(k, 2), key
    )
    legacy = jax.random.split(jax.random.PRNGKey(seed))[0]
    count = jax.lax.while_loop(
        lambda c: c[1] > 0.1, lambda c: (c[0], jax.random.uniform(c[0]) * c[1]), (raw, 1.0)
    )[1]
    return {
        "first": first,
        "each": jnp.stack([jax.random.uniform(k, (2,)) for k in keys]),
        "drawn": drawn,
        "chosen": chosen,
        "legacy": jax.random.uniform(legacy, (3,)),
        "count": count,
        "poisson": jax.random.poisson(key, 3.0, (5,)),
    }


def test_a_program_with_fused_keys() -> None:
    seed = jnp.int32(5)
    program = with_fused_keys(jax.make_jaxpr(_init)(KEY, seed))
    structure = jax.tree.structure(jax.eval_shape(_init, KEY, seed))
    run = jax.jit(jax.extend.core.jaxpr_as_fun(program))
    made = jax.tree.unflatten(structure, run(KEY, seed))
    assert made["chosen"].dtype == KEY.dtype
    expected = jax.jit(_init)(KEY, seed)
    assert_equal(made.pop("chosen"), expected.pop("chosen"))
    assert_alike(made, expected)
    text = str(jax.make_jaxpr(run)(KEY, seed))
    assert "threefry2x32" not in text
    drawn = drawing_keys(program.jaxpr)
    assert len(drawn) > 5
    assert {kind.partition("[")[0] for kind in drawn} == {"key<fused_fry>"}


_OF_KEYS = ("random_bits", "random_split", "random_fold_in")


def drawing_keys(jaxpr: Any) -> list[str]:
    """Return the types of all keys that bits or keys are drawn from, in programs inside as well."""
    inner = jax.tree.leaves([list(e.params.values()) for e in jaxpr.eqns])
    programs = [getattr(p, "jaxpr", p) for p in inner]
    own = [e.invars[0].aval.str_short() for e in jaxpr.eqns if e.primitive.name in _OF_KEYS]
    return own + [k for p in programs if hasattr(p, "eqns") for k in drawing_keys(p)]


# Compilers ----------------------------------------------------------------------------------

HARD = [
    "jnp.tanh(jax.random.normal(k, (64, 32)))",
    "jax.random.gamma(k, 2.5, (64,)) * jnp.cos(jax.random.normal(k, (64,)))",
    "jax.vmap(lambda i: jnp.tanh(jax.random.normal(jax.random.fold_in(k, i), (8,))))(jnp.arange(64))",
    "jax.vmap(lambda s: jnp.tanh(jax.random.normal(s, (8, 3))))(jax.random.split(k, (8, 4)).reshape(-1))",
    "jnp.exp(jax.random.truncated_normal(k, -2.0, 2.0, (64, 32))) + jax.random.categorical(k, jnp.zeros((64, 32)))[:, None]",
    "jnp.tanh(jax.random.normal(k, (64, 32), jnp.complex64))",
]


def test_functions_of_draws_compile() -> None:
    """LLVM of JAX 0.12 took for ever over threefry and tanh in one loop."""
    lines = "\n".join(f"print(jax.jit(lambda k: {draw})(key).shape)" for draw in HARD)
    code = (
        "import jax, jax.numpy as jnp, jaxinit\n"
        "jax.config.update('jax_enable_compilation_cache', False)\n"
        f"key = jaxinit.fused_key(0)\n{lines}"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert len(run.stdout.splitlines()) == len(HARD)
