"""Where results live: asked for is given, or refused in one line."""

import jax
import numpy as np
import pytest
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

import jaxinit

KEY = jax.random.key(7)
KINDS = [AxisType.Auto, AxisType.Explicit]


def mesh_of(kind: AxisType) -> Mesh:
    return jax.make_mesh((4, 2), ("x", "y"), axis_types=(kind, kind))


REFUSED = [
    (
        (50257, 8),
        P("y"),
        "out_sharding must divide every axis of the shape evenly; got out_sharding=PartitionSpec('y',) for shape=(50257, 8), whose axis 0 is to lie on 2 devices. Leave that axis whole, or make its length a multiple.",
    ),
    (
        (4, 8),
        P(("x", "y")),
        "out_sharding must divide every axis of the shape evenly; got out_sharding=PartitionSpec(('x', 'y'),) for shape=(4, 8), whose axis 0 is to lie on 8 devices. Leave that axis whole, or make its length a multiple.",
    ),
    (
        (8, 8),
        P("x", None, "y"),
        "out_sharding must have no more entries than shape has axes; got out_sharding=PartitionSpec('x', None, 'y') for shape=(8, 8). Leave out the last entries.",
    ),
    (
        (8, 8),
        P("z"),
        "out_sharding must name axes of the mesh: x, y; got 'z'. Name one of these, or None.",
    ),
    (
        (8, 8),
        P("xx"),
        "out_sharding must name axes of the mesh: x, y; got 'xx'. Did you mean 'x'?",
    ),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("shape", "spec", "text"), REFUSED, ids=lambda v: str(v)[:20])
@pytest.mark.parametrize("name", ["normal", "orthogonal", "ones", "identity"])
def test_refused(
    name: str, shape: tuple[int, ...], spec: P, text: str, kind: AxisType
) -> None:
    init = getattr(jaxinit, name)
    with jax.set_mesh(mesh_of(kind)), pytest.raises(ValueError) as caught:
        init(KEY, shape, out_sharding=spec)
    assert str(caught.value) == f"{name}: {text}"


def test_uneven_named_sharding_is_refused_as_by_jit() -> None:
    sharding = NamedSharding(mesh_of(AxisType.Auto), P("y"))
    with pytest.raises(ValueError, match=r"^normal: out_sharding must divide every axis"):
        jaxinit.normal(KEY, (50257, 8), out_sharding=sharding)
    with pytest.raises(ValueError, match="dimension size is 50257"):
        jax.jit(lambda k: jaxinit.normal(k, (50257, 8)), out_shardings=sharding)(KEY)


@pytest.mark.parametrize("name", ["normal", "orthogonal", "sparse", "ones"])
def test_memory_kind(name: str) -> None:
    options = {"sparsity": 0.5} if name == "sparse" else {}
    init = getattr(jaxinit, name)
    sharding = NamedSharding(mesh_of(AxisType.Auto), P("x"), memory_kind="pinned_host")
    found = init(KEY, (8, 6), out_sharding=sharding, **options)
    assert found.sharding.memory_kind == "pinned_host"
    np.testing.assert_array_equal(found, init(KEY, (8, 6), **options))


@pytest.mark.parametrize("kind", KINDS)
def test_a_window_is_placed(kind: AxisType) -> None:
    whole = jaxinit.normal(KEY, (50257, 8))
    window = ((32, 0), (64, 8))
    sharding = NamedSharding(mesh_of(kind), P("x", "y"))
    found = jaxinit.normal(KEY, (50257, 8), window=window, out_sharding=sharding)
    assert found.sharding.is_equivalent_to(sharding, 2)
    np.testing.assert_array_equal(found, whole[32:96])


def test_each_device_draws_its_window() -> None:
    mesh = mesh_of(AxisType.Auto)
    whole = jaxinit.normal(KEY, (64, 6))

    def block() -> jax.Array:
        row = jax.lax.axis_index("x") * 16
        return jaxinit.normal(KEY, (64, 6), window=((row, 0), (16, 6)))

    mapped = jax.shard_map(block, mesh=mesh, in_specs=(), out_specs=P("x"))
    np.testing.assert_array_equal(jax.jit(mapped)(), whole)
    with pytest.raises(ValueError, match="must not name an axis that shard_map maps over"):
        jax.shard_map(
            lambda: jaxinit.normal(KEY, (64, 6), out_sharding=P("x")),
            mesh=mesh,
            in_specs=(),
            out_specs=P("x"),
        )()
