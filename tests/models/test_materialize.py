"""``materialize`` gives what ``jax.jit`` gives of the same function, whatever is in it."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.experimental import io_callback
from jax.sharding import AxisType, NamedSharding, SingleDeviceSharding
from jax.sharding import PartitionSpec as P

from jaxinit import fused_key, materialize

KEY = jax.random.key(3)
SCALAR = jax.ShapeDtypeStruct((), "float32")


def assert_same(init: Callable[..., Any], *args: Any) -> Any:
    """Check structure, types (weak ones too) and bits; return what ``materialize`` gave."""
    expected, made = jax.jit(init)(*args), materialize(init, *args)
    assert jax.tree.structure(made) == jax.tree.structure(expected)
    for x, y in zip(jax.tree.leaves(made), jax.tree.leaves(expected), strict=True):
        assert _kind(x) == _kind(y)
        assert _raw(x).tobytes() == _raw(y).tobytes()
    return made


def _kind(x: jax.Array) -> tuple[Any, ...]:
    return x.dtype, x.shape, getattr(x, "weak_type", None)


def _raw(x: jax.Array) -> np.ndarray:
    is_key = jnp.issubdtype(x.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(x) if is_key else x)


def mesh_of(*lengths: int) -> jax.sharding.Mesh:
    return jax.make_mesh(lengths, ("x", "y"), axis_types=(AxisType.Auto,) * 2)


def normal(key: jax.Array, *shape: int) -> jax.Array:
    return jax.random.normal(key, shape or (3,))


def _partly_old_bits(key: jax.Array) -> Any:
    with jax.threefry_partitionable(False):
        parts = jax.random.split(key, 3)
        old = normal(key, 5), jax.random.key_data(parts), normal(parts[1])
    return old, normal(key, 5), normal(jax.random.split(key, 3)[1])


def _ensemble(key: jax.Array) -> Any:
    keys = jax.random.split(key, 3)
    layers = eqx.filter_vmap(lambda k: eqx.nn.MLP(4, 3, 8, 1, key=k))(keys)
    return eqx.filter(layers, eqx.is_array)


def _by_device(key: jax.Array) -> Any:
    def own(key: jax.Array) -> jax.Array:
        return normal(jax.random.fold_in(key, lax.axis_index("x")), 1, 3)

    mesh = mesh_of(4, 2)
    split = jax.shard_map(own, mesh=mesh, in_specs=P(), out_specs=P("x"))
    return split(key), split(fused_key(key)), normal(key)


def _through_references(key: jax.Array) -> Any:
    total, place = jax.new_ref(jnp.zeros(3)), jax.new_ref(key)

    def draw() -> jax.Array:
        place[...], own = jax.random.split(place[...])
        return normal(own)

    def add(i: jax.Array, _: None) -> None:
        total[...] = total[...] + normal(jax.random.fold_in(key, i))

    lax.fori_loop(0, 3, add, None)
    return draw(), draw(), total[...]


PROGRAMS: dict[str, Callable[[jax.Array], Any]] = {
    "one constant in several leaves": lambda k: [jnp.zeros(4)] * 2 + [normal(k)],
    "one draw in several leaves": lambda k: [w := normal(k), w, w.T, w * 2],
    "weak types": lambda k: [jnp.full(3, 2.0), jnp.full(3, 2), normal(k)],
    "bits of two kinds": _partly_old_bits,
    "keys with an axis of one": lambda k: normal(jax.random.split(k, (2, 1))[1, 0]),
    "an ensemble": _ensemble,
    "a draw by each device": _by_device,
    "references": _through_references,
    "constants that compare equal": lambda k: [normal(k) * c for c in (0.0, -0.0, 1.0, 1)],
    "keys": lambda k: [k, fused_key(k), jax.random.split(k), jax.random.PRNGKey(1)],
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_equal_to_jit(name):
    assert_same(PROGRAMS[name], KEY)


def test_weak_types_of_arguments_decide_dtypes():
    weak = jax.jit(lambda: 2.0)()
    assert weak.weak_type

    def init(key, scale):
        return scale + 1, scale * jnp.ones(3, jnp.bfloat16), scale * normal(key)

    assert assert_same(init, KEY, weak)[1].dtype == jnp.bfloat16


@pytest.mark.parametrize("is_ordered", [True, False])
def test_calls_of_the_host_run_in_their_order(is_ordered):
    calls: list[int] = []

    def count() -> np.float32:
        calls.append(0)
        return np.float32(len(calls))

    def init(key):
        io_callback(count, SCALAR, ordered=is_ordered)  # whose result nothing needs
        late = jnp.ones(3) * io_callback(count, SCALAR, ordered=is_ordered)
        late = lax.fori_loop(0, 3, lambda _, x: x + 1, late)
        return late, jnp.ones(2) * io_callback(count, SCALAR, ordered=is_ordered)

    late, early = materialize(init, KEY)
    assert len(calls) == 3
    assert {int(late[0]) - 3, int(early[0])} <= {1, 2, 3}
    if is_ordered:
        assert (int(late[0]), int(early[0])) == (5, 3)


def test_prints_are_left_out(capfd):
    def init(key):
        jax.debug.print("printed", ordered=True)
        return normal(key)

    materialize(init, KEY)
    jax.effects_barrier()
    assert "printed" not in capfd.readouterr().out


def _all(key: jax.Array) -> Any:
    return {"drawn": normal(key, 8), "filled": jnp.zeros(8), "made": jnp.eye(8)}


def test_results_lie_where_the_arguments_do():
    device = jax.devices()[3]
    for leaf in jax.tree.leaves(materialize(_all, jax.device_put(KEY, device))):
        assert leaf.sharding == SingleDeviceSharding(device)
    whole = NamedSharding(mesh_of(4, 2), P())
    for leaf in jax.tree.leaves(materialize(_all, jax.device_put(KEY, whole))):
        assert leaf.sharding.is_equivalent_to(whole, leaf.ndim)


def test_out_shardings_come_before_the_devices_of_the_key():
    place = NamedSharding(mesh_of(4, 2), P("x"))
    key = jax.device_put(KEY, jax.devices()[3])
    for leaf in jax.tree.leaves(materialize(_all, key, out_shardings=place)):
        assert leaf.sharding.is_equivalent_to(place, leaf.ndim)


def test_an_ensemble_lies_where_its_keys_do():
    spread = NamedSharding(mesh_of(4, 2), P("x"))
    keys = jax.device_put(jax.random.split(KEY, 4), spread)
    made = materialize(jax.vmap(normal), keys)
    assert made.sharding.is_equivalent_to(spread, 2)
    np.testing.assert_array_equal(made, jax.vmap(normal)(keys))


def test_one_constant_in_two_places():
    mesh = mesh_of(4, 2)
    places = [NamedSharding(mesh, P("x")), NamedSharding(mesh, P("y"))]
    made = materialize(lambda: [jnp.zeros(8)] * 2, out_shardings=places)
    assert [leaf.sharding for leaf in made] == places


def test_inside_other_transformations():
    """There it is the function itself, whatever of it is known."""
    expected = np.asarray(jax.jit(normal)(KEY))
    scaled = np.arange(3.0)[:, None] * expected
    scales = jnp.arange(3.0)
    found = [
        jax.jit(lambda k: materialize(normal, k))(KEY),
        jax.jit(lambda k: materialize(lambda: normal(k)))(KEY),
        jax.jit(lambda: materialize(normal, KEY))(),
        jax.jit(lambda k: materialize(lambda k, _: normal(k), k, SCALAR))(KEY),
        jax.vmap(lambda s: materialize(lambda k: normal(k) * s, KEY))(scales)[1],
        jax.jacfwd(lambda s: materialize(lambda k: normal(k) * s, KEY))(2.0),
    ]
    for x in found:
        np.testing.assert_array_equal(x, expected)
    mapped = jax.vmap(lambda s: s * materialize(normal, KEY))(scales)
    np.testing.assert_array_equal(mapped, scaled)
    assert jax.eval_shape(lambda: materialize(normal, KEY)).shape == (3,)
    grads = [jax.grad(lambda s, run=run: run(s))(2.0) for run in (_inner, _outer)]
    assert grads == [7.0, 7.0]


@jax.custom_jvp
def _seven(x: jax.Array) -> jax.Array:
    return x


_seven.defjvp(lambda primals, tangents: (primals[0], 7 * tangents[0]))


def _inner(s: jax.Array) -> jax.Array:
    return materialize(lambda: _seven(s))


def _outer(s: jax.Array) -> jax.Array:
    return materialize(_seven, s)


def test_placements_under_jit():
    mesh = mesh_of(4, 2)
    place = NamedSharding(mesh, P("x"))
    made = jax.jit(lambda k: materialize(_all, k, out_shardings=place))(KEY)
    for leaf in jax.tree.leaves(made):
        assert leaf.sharding.is_equivalent_to(place, leaf.ndim)


def test_a_shape_where_values_are_needed():
    with pytest.raises(ValueError, match="got x, y, which need input 1, given as a shape"):
        materialize(lambda k, x: {"w": normal(k), "x": x, "y": x + 1}, KEY, SCALAR)
    with pytest.raises(ValueError, match="got the result, which need input 0"):
        materialize(normal, jax.ShapeDtypeStruct((), KEY.dtype))
