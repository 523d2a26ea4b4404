"""What holds for every initializer, over one registry."""

import contextlib
import inspect
import logging
import re
import subprocess
import sys
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxinit
from jaxinit.initializers.named import ALIASES, BY_NAME
from tests import registry
from tests.registry import CASES, Case

KEY = jax.random.key(7)
each = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
DTYPES = ("float32", "bfloat16")
each_random = pytest.mark.parametrize("case", registry.RANDOM, ids=lambda c: c.name)


def _known_kinds() -> list[str]:
    """Return the kinds of keys, beside threefry and rbg, that this JAX has."""
    known = []
    for kind in ("philox2x32", "philox4x32", "threefry4x32"):
        with contextlib.suppress(ValueError):
            jax.random.key(0, impl=kind)
            known.append(kind)
    return known


KEYS = _known_kinds()


def bits(x: jax.Array) -> np.ndarray:
    """Return the bytes of an array, so that equality means equality of bits."""
    return np.atleast_1d(np.asarray(x)).view(np.uint8)


def assert_same_bits(x: jax.Array, y: jax.Array) -> None:
    assert x.shape == y.shape
    assert x.dtype == y.dtype
    np.testing.assert_array_equal(bits(x), bits(y))


def mesh_of(kind: AxisType) -> Mesh:
    assert len(jax.devices()) == 8, "the suite runs on eight CPU devices"
    return jax.make_mesh((4, 2), ("x", "y"), axis_types=(kind, kind))


def specs(rank: int) -> list[P]:
    front = [None] * (rank - 2)
    return [P(*front, "x", "y"), P(*front, None, "y"), P(*front, ("x", "y"), None)]


def test_registry_is_complete() -> None:
    public = {
        name
        for name, f in vars(jaxinit).items()
        if inspect.isfunction(f)
        and list(inspect.signature(f).parameters)[:3] == ["key", "shape", "dtype"]
    }
    assert public == set(registry.BY_NAME) | set(ALIASES)
    assert public == set(BY_NAME)
    for alias, name in ALIASES.items():
        assert getattr(jaxinit, alias) is getattr(jaxinit, name)


@each
def test_one_form(case: Case) -> None:
    parameters = inspect.signature(getattr(jaxinit, case.name)).parameters
    names = list(parameters)
    assert names[:3] == ["key", "shape", "dtype"]
    assert names[-1] == "out_sharding"
    assert parameters["dtype"].default is None
    assert all(parameters[n].kind is inspect.Parameter.KEYWORD_ONLY for n in names[3:])


@each
@pytest.mark.parametrize("dtype", registry.REAL_DTYPES)
def test_real_dtypes(case: Case, dtype: str) -> None:
    if dtype.startswith("float4") and case.name in {
        "orthogonal",
        "delta_orthogonal",
        "bilinear",
    }:
        pytest.skip("entries of 1/sqrt(96) round to 0 in four bits")
    options = {}
    options |= {"a": 0.0, "layout": jaxinit.Fans(1, 1)} if "kaiming" in case.name else {}
    init = case.init
    if case.distribution is not None and "layout" in inspect.signature(init).parameters:
        options["layout"] = jaxinit.Fans(4, 4)
    if dtype.startswith("float4") and case.name in {"normal", "sparse"}:
        options["std"] = 0.9
    value = init(KEY, case.shape, dtype, **options)
    assert value.shape == case.shape
    assert value.dtype == dtype
    # Drawn in float32 and rounded once.
    wide = np.asarray(init(KEY, case.shape, "float32", **options))
    assert_same_bits(value, jnp.asarray(wide.astype(value.dtype)))


@each
def test_default_dtype(case: Case) -> None:
    assert case.init(KEY, case.shape).dtype == jnp.zeros(()).dtype
    with jax.enable_x64(True):
        assert case.init(KEY, case.shape).dtype == jnp.float64


@pytest.mark.parametrize("case", [c for c in CASES if c.complex], ids=lambda c: c.name)
def test_complex_dtypes(case: Case) -> None:
    value = case.init(KEY, case.shape, "complex64")
    assert value.dtype == jnp.complex64
    if case.random:
        assert float(jnp.abs(value.imag).max()) > 0
    with jax.enable_x64(True):
        assert case.init(KEY, case.shape, "complex128").dtype == jnp.complex128


@pytest.mark.parametrize("case", [c for c in CASES if not c.complex], ids=lambda c: c.name)
def test_complex_refused(case: Case) -> None:
    with pytest.raises(TypeError, match=f"^{case.name}: dtype must be one of float64"):
        case.init(KEY, case.shape, "complex64")


def wide_and_narrow(case: Case, key: jax.Array) -> list[jax.Array]:
    """Return one draw in two dtypes, which compile together in little more than one's time."""
    return [case.init(key, case.shape, dtype) for dtype in DTYPES]


@each
def test_jit_is_eager(case: Case) -> None:
    jitted = jax.jit(lambda key: wide_and_narrow(case, key))(KEY)
    for inside, outside in zip(jitted, wide_and_narrow(case, KEY), strict=True):
        assert_same_bits(inside, outside)


@each
def test_jit_is_eager_in_64_bits(case: Case) -> None:
    with jax.enable_x64(True):
        jitted = jax.jit(lambda key: case.init(key, case.shape))(KEY)
        assert_same_bits(jitted, case.init(KEY, case.shape))


@each
def test_vmap_is_a_loop(case: Case) -> None:
    keys = jax.random.split(KEY, 5)
    stacked = jax.jit(jax.vmap(lambda key: wide_and_narrow(case, key)))(keys)
    looped = zip(*[wide_and_narrow(case, key) for key in keys], strict=True)
    for batch, rows in zip(stacked, looped, strict=True):
        assert_same_bits(batch, jnp.stack(rows))


@pytest.mark.parametrize(
    ("case", "option"),
    [(c, n) for c in CASES for n in c.numbers],
    ids=lambda v: v.name if isinstance(v, Case) else v,
)
def test_vmap_over_numbers(case: Case, option: str) -> None:
    offsets = {"low": -2.5, "high": 1.5}
    values = jnp.array([0.0, 0.123, 0.5, 0.71]) + offsets.get(option, 0.5)

    def draws(value: jax.Array | float) -> list[jax.Array]:
        return [case.init(KEY, case.shape, d, **{option: value}) for d in DTYPES]

    stacked = jax.jit(jax.vmap(draws))(values)
    for i, value in enumerate(values):
        for row, single in zip(stacked, draws(float(value)), strict=True):
            assert_same_bits(row[i], single)


@each_random
def test_what_follows_changes_no_bit(case: Case) -> None:
    """Compilers fuse a product with the sum behind it, without rounding it."""
    dtypes = ["float32", "complex64"] if case.complex else ["float32"]
    drawn = [case.init(KEY, case.shape, d) for d in dtypes]
    added = jax.jit(lambda k: [case.init(k, case.shape, d) + 1 for d in dtypes])(KEY)
    for x, y in zip(drawn, added, strict=True):
        assert_same_bits(x + 1, y)


WINDOWED = [case for case in registry.ELEMENTWISE if case.random]


@pytest.mark.parametrize("case", WINDOWED, ids=lambda c: c.name)
def test_window(case: Case) -> None:
    """A block drawn alone is that block of the whole, whose fans are the whole's."""
    start, lengths = (5, 17), (7, 30)
    for key in (KEY, jax.random.key(7, impl="rbg")):
        whole = case.init(key, case.shape)[5:12, 17:47]
        assert_same_bits(case.init(key, case.shape, window=(start, lengths)), whole)

    def block(key: jax.Array, row: jax.Array) -> jax.Array:
        return case.init(key, case.shape, window=((row, 17), lengths))

    rows = jnp.array([0, 5, 57])
    traced = jax.jit(jax.vmap(block, (None, 0)))(KEY, rows)
    for row, found in zip(rows.tolist(), traced, strict=True):
        assert_same_bits(found, case.init(KEY, case.shape)[row : row + 7, 17:47])


@each
def test_no_transfer_that_nobody_asked_for(case: Case) -> None:
    plain = case.init(KEY, case.shape)
    with jax.transfer_guard("disallow"):
        guarded = case.init(KEY, case.shape)
    assert_same_bits(plain, guarded)


@pytest.mark.parametrize(
    ("case", "option"),
    [(c, n) for c in CASES for n in c.numbers if n in {"gain", "std", "mean", "scale"}],
    ids=lambda v: v.name if isinstance(v, Case) else v,
)
def test_gradient_in_numbers(case: Case, option: str) -> None:
    def total(v: jax.Array) -> jax.Array:
        return (case.init(KEY, case.shape, **{option: v}) ** 2).sum()

    slope = jax.grad(total)(jnp.float32(1.25))
    step = 1 / 64
    steps = [float(total(jnp.float32(1.25 + s))) for s in (-step, step)]
    np.testing.assert_allclose(slope, (steps[1] - steps[0]) / (2 * step), rtol=2e-3)


def _larger(case: Case) -> tuple[int, ...]:
    """Return a shape that a mesh divides, and large only where that costs nothing."""
    if not case.elementwise:
        return case.shape
    return (*case.shape[:-2], case.shape[-2] * 8, case.shape[-1] * 4)


@each
@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=lambda k: k.name)
def test_sharded_is_unsharded(case: Case, kind: AxisType) -> None:
    shape = _larger(case)
    plain = case.init(KEY, shape)
    mesh = mesh_of(kind)
    for spec in specs(len(shape))[: 3 if kind == AxisType.Auto else 1]:
        sharding = NamedSharding(mesh, spec)
        placed = case.init(KEY, shape, out_sharding=sharding)
        assert placed.sharding.is_equivalent_to(sharding, len(shape))
        assert_same_bits(plain, placed)
    spec = P(*[None] * (len(shape) - 2), "x", "y")
    with jax.set_mesh(mesh):
        assert_same_bits(plain, case.init(KEY, shape, out_sharding=spec))
        program = jax.jit(lambda k: case.init(k, shape, out_sharding=spec))
        assert_same_bits(plain, program(KEY))
        if case.elementwise:
            _assert_no_waste(program.lower(KEY).compile(), 4096)


@each
def test_sharded_by_jit(case: Case) -> None:
    shape = _larger(case)
    mesh = mesh_of(AxisType.Auto)
    for spec in specs(len(shape))[:2]:
        sharding = NamedSharding(mesh, spec)
        program = jax.jit(lambda k: case.init(k, shape), out_shardings=sharding)
        assert_same_bits(case.init(KEY, shape), program(KEY))
        if case.elementwise:
            _assert_no_waste(program.lower(KEY).compile(), 4096)


def _assert_no_waste(compiled: jax.stages.Compiled, most: float) -> None:
    text = compiled.as_text()
    assert text is not None
    assert not re.search("all-gather|all-reduce|all-to-all|collective-permute", text)
    analysis = compiled.memory_analysis()
    assert analysis is not None
    assert analysis.temp_size_in_bytes < most


@pytest.mark.parametrize("case", registry.ELEMENTWISE, ids=lambda c: c.name)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_no_temporaries(case: Case, dtype: str) -> None:
    shape = (3, 64, 256, 128) if case.name in {"dirac", "bilinear"} else (1024, 4096)
    program = jax.jit(lambda key: case.init(key, shape, dtype))
    _assert_no_waste(program.lower(KEY).compile(), 4096)


@each
def test_no_recompilation(case: Case, caplog: pytest.LogCaptureFixture) -> None:
    shape = (*case.shape[:-1], 200 + 2 * CASES.index(case))
    options = [{}] + [{n: 0.75} for n in case.numbers if n not in {"low", "high"}]
    for option in options:
        case.init(KEY, shape, **option)
    with jax.log_compiles(True), caplog.at_level(logging.WARNING):
        for option in options:
            other = dict.fromkeys(option, 0.5)
            case.init(jax.random.fold_in(KEY, 1), list(shape), **other)
    compiled = [r.message for r in caplog.records if r.message.startswith("Compiling")]
    assert not [m for m in compiled if "program" in m or "fill" in m]
    # The log is what is looked at: it must show a program that is new.
    with jax.log_compiles(True), caplog.at_level(logging.WARNING):
        case.init(KEY, (*shape[:-1], shape[-1] + 1))
    compiled = [r.message for r in caplog.records if r.message.startswith("Compiling")]
    assert [m for m in compiled if "program" in m or "fill" in m]


@each
def test_terabyte_shape_costs_nothing(case: Case) -> None:
    shape = (*case.shape[:-2], 2**20, 2**18)
    result = jax.eval_shape(lambda: case.init(KEY, shape))
    assert result.shape == shape


@each
def test_lowers_for_every_platform(case: Case) -> None:
    program = jax.jit(lambda data: case.init(jax.random.wrap_key_data(data), case.shape))
    words = jax.ShapeDtypeStruct((2,), jnp.uint32)
    exported = jax.export.export(program, platforms=("cpu", "cuda", "tpu"))(words)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    assert exported.out_avals[0].shape == case.shape
    if case.elementwise:
        assert_one_pass(exported.mlir_module())


def assert_one_pass(program: str) -> None:
    """Assert what a program shows before it is compiled: each element comes by itself."""
    for operation in ("sort", "while", "gather", "scatter", "custom_call", "all_"):
        assert f"stablehlo.{operation}" not in program, operation
    # Below 2^32 elements no accelerator has to emulate integers of 64 bits.
    assert not re.search(r"tensor<([0-9x]+x)?u?i64>", program)


def test_one_pass_is_refused_where_it_is_none() -> None:
    """The check above rejects what it is there to reject."""

    def lowered(f: Callable[..., jax.Array], x: jax.Array) -> str:
        return jax.jit(f).lower(x).as_text()

    x = jnp.arange(8.0)
    wasteful = [jnp.sort, lambda x: jax.lax.fori_loop(0, x[0].astype(int), jnp.add, x)]
    programs = [lowered(f, x) for f in wasteful]
    with jax.enable_x64(True):
        programs.append(lowered(lambda x: x << 3, jnp.arange(8, dtype=jnp.uint64)))
    for program in programs:
        with pytest.raises(AssertionError):
            assert_one_pass(program)


def test_fused_keys_make_one_pass() -> None:
    words = jax.ShapeDtypeStruct((2,), jnp.uint32)
    for sampler in (jax.random.uniform, jax.random.normal, jax.random.bits):
        program = jax.jit(lambda data, f=sampler: f(jaxinit.fused_key(data), (64, 96)))
        exported = jax.export.export(program, platforms=("cpu", "cuda", "tpu"))(words)
        assert_one_pass(exported.mlir_module())


@each
def test_empty_shapes(case: Case) -> None:
    front = case.shape[:-2]
    for tail in ((0, 3), (3, 0), (0, 0)):
        value = case.init(KEY, (*front, *tail))
        assert value.shape == (*front, *tail)
        assert value.size == 0


def _share_equal(x: jax.Array, y: jax.Array) -> float:
    """Return how many of the values that are not 0 are equal."""
    return float(((x == y) & (x != 0)).sum() / (x != 0).sum())


@each_random
def test_key_matters(case: Case) -> None:
    value = case.init(KEY, case.shape)
    assert_same_bits(value, case.init(jax.random.key(7), case.shape))
    assert _share_equal(value, case.init(jax.random.key(8), case.shape)) < 0.1


@each_random
def test_legacy_key(case: Case) -> None:
    assert_same_bits(
        case.init(KEY, case.shape), case.init(jax.random.PRNGKey(7), case.shape)
    )


@each_random
def test_other_keys(case: Case) -> None:
    key = jax.random.key(7, impl="rbg")
    value = case.init(key, case.shape)
    jitted = jax.jit(lambda k: case.init(k, case.shape))(key)
    assert_same_bits(value, jitted)
    assert _share_equal(value, case.init(KEY, case.shape)) < 0.1


@pytest.mark.parametrize(
    "case",
    [
        registry.BY_NAME[n]
        for n in ("uniform", "normal", "lecun_normal", "orthogonal", "sparse")
    ],
    ids=lambda c: c.name,
)
@pytest.mark.parametrize("kind", KEYS)
def test_every_key_but_rbg(case: Case, kind: str) -> None:
    """A loop under vmap, and the same values on every mesh, where JAX can place them."""
    keys = jax.random.split(jax.random.key(7, impl=kind), 3)
    stacked = jax.jit(jax.vmap(lambda key: case.init(key, case.shape)))(keys)
    assert_same_bits(stacked, jnp.stack([case.init(key, case.shape) for key in keys]))
    if not kind.startswith("philox"):
        spec = P(*[None] * (len(case.shape) - 2), "x", "y")
        sharding = NamedSharding(mesh_of(AxisType.Auto), spec)
        assert_same_bits(case.init(keys[0], case.shape, out_sharding=sharding), stacked[0])


@pytest.mark.skipif(not KEYS, reason="this JAX has no Philox keys")
def test_jax_cannot_place_philox_draws_on_several_devices() -> None:
    """Its product of two words has no rule there; once it has, place them above."""
    sharding = NamedSharding(mesh_of(AxisType.Auto), P("x", "y"))
    draw = jax.jit(lambda key: jax.random.bits(key, (64, 96)), out_shardings=sharding)
    with pytest.raises(jax.errors.JaxRuntimeError):
        draw(jax.random.key(7, impl="philox2x32"))


def test_vmap_is_no_loop_for_rbg() -> None:
    """What does not hold for other keys: JAX draws a batch of rbg keys from the first."""
    keys = jax.random.split(jax.random.key(7, impl="rbg"), 4)
    stacked = jax.vmap(lambda key: jaxinit.normal(key, (8, 8)))(keys)
    looped = jnp.stack([jaxinit.normal(key, (8, 8)) for key in keys])
    assert not np.array_equal(stacked, looped)


@each_random
def test_scan_and_shard_map(case: Case) -> None:
    keys = jax.random.split(KEY, 8)
    looped = jnp.stack([case.init(key, case.shape) for key in keys])
    scanned = jax.lax.scan(lambda c, k: (c, case.init(k, case.shape)), None, keys)[1]
    assert_same_bits(scanned, looped)
    mesh = jax.make_mesh((8,), ("seed",), axis_types=(AxisType.Auto,))
    mapped = jax.shard_map(
        jax.vmap(lambda key: case.init(key, case.shape)),
        mesh=mesh,
        in_specs=P("seed"),
        out_specs=P("seed"),
    )
    assert_same_bits(mapped(keys), looped)


@pytest.mark.parametrize("then", ["jnp.tanh(init(k))", "init(k) * jnp.cos(init(k2))"])
def test_a_function_of_draws_compiles(then: str) -> None:
    """LLVM of JAX 0.12 took for ever over threefry and tanh in one loop."""
    code = (
        "import functools, jax, jax.numpy as jnp, jaxinit\n"
        "init = functools.partial(jaxinit.normal, shape=(64, 32))\n"
        f"made = jax.jit(lambda k, k2: {then})(*jax.random.split(jax.random.key(0)))\n"
        "print(made.shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.strip() == "(64, 32)"
