"""Placement asked for, or there already, is placement given."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec, SingleDeviceSharding

from jaxinit import initialize, kaiming_normal, keep, materialize, zeros

KEY = jax.random.key(0)
RULES = [("**/b", zeros), ("**", kaiming_normal)]
SHAPES = {"w": (8, 16), "l": {"b": (8,)}}


def mesh_of(kind: AxisType) -> jax.sharding.Mesh:
    return jax.make_mesh((4,), ("d",), devices=jax.devices()[:4], axis_types=(kind,))


def tree_of(f: Any) -> Any:
    return jax.tree.map(f, SHAPES, is_leaf=lambda x: isinstance(x, tuple))


def same(a: Any, b: Any) -> bool:
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(np.array_equal(np.asarray(x), np.asarray(y)) for x, y in pairs)


ALONE = initialize(KEY, tree_of(lambda s: jax.ShapeDtypeStruct(s, "float32")), RULES)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
@pytest.mark.parametrize("initializer", [kaiming_normal, jax.nn.initializers.he_normal()])
def test_leaves_keep_the_placement_that_they_have(kind, initializer):
    place = NamedSharding(mesh_of(kind), PartitionSpec("d"))
    rules = [("**/b", zeros), ("w", initializer)]
    as_arrays = tree_of(lambda s: jax.device_put(jnp.ones(s), place))
    as_shapes = tree_of(lambda s: jax.ShapeDtypeStruct(s, "float32", sharding=place))
    for params in (as_arrays, as_shapes):
        made = initialize(KEY, params, rules)
        for leaf in jax.tree.leaves(made):
            assert leaf.sharding.is_equivalent_to(place, leaf.ndim)
            assert leaf.addressable_shards[0].data.shape[0] == leaf.shape[0] // 4
        if initializer is kaiming_normal:
            assert same(made, ALONE)


def test_a_leaf_stays_on_its_device():
    third = SingleDeviceSharding(jax.devices()[3])
    made = initialize(KEY, tree_of(lambda s: jax.device_put(jnp.ones(s), third)), RULES)
    assert {leaf.sharding for leaf in jax.tree.leaves(made)} == {third}
    assert same(made, ALONE)


def test_out_shardings_wins_over_what_a_leaf_has():
    mesh = mesh_of(AxisType.Auto)
    rows, columns = (NamedSharding(mesh, PartitionSpec(*s)) for s in (("d",), (None, "d")))
    params = {"w": jax.device_put(jnp.ones((8, 16)), rows)}
    made = initialize(KEY, params, RULES[1:], out_shardings=columns)
    assert made["w"].sharding.is_equivalent_to(columns, 2)
    moved = initialize(KEY, params, [("**", keep)], out_shardings=columns)
    assert moved["w"].sharding.is_equivalent_to(columns, 2)
    assert initialize(KEY, params, [("**", keep)])["w"] is params["w"]


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_inside_jit_on_a_mesh_in_context(kind):
    mesh = mesh_of(kind)
    params = tree_of(lambda s: jax.ShapeDtypeStruct(s, "float32"))
    rules = [*RULES[:1], ("w", jax.nn.initializers.he_normal())]
    with jax.set_mesh(mesh):
        spec = PartitionSpec("d")
        for given, chosen in (
            (RULES, spec),
            (rules, spec),
            (rules, NamedSharding(mesh, spec)),
        ):
            run = jax.jit(
                lambda k, r=given, s=chosen: initialize(k, params, r, out_shardings=s)
            )
            made = run(KEY)
            assert made["w"].sharding.is_equivalent_to(NamedSharding(mesh, spec), 2)
            if given is RULES:
                assert same(made, ALONE)
        eager = initialize(KEY, params, RULES, out_shardings=spec)
        assert eager["w"].sharding.is_equivalent_to(NamedSharding(mesh, spec), 2)


def test_shardings_by_rule():
    place = NamedSharding(mesh_of(AxisType.Auto), PartitionSpec(None, "d"))
    params = tree_of(lambda s: jax.ShapeDtypeStruct(s, "float32"))
    made = initialize(KEY, params, RULES, out_shardings=[("w", place)])
    assert made["w"].sharding.is_equivalent_to(place, 2)
    assert len(made["l"]["b"].sharding.device_set) == 1
    with pytest.raises(ValueError) as error:
        initialize(KEY, params, RULES, out_shardings=[("v", place)])
    assert str(error.value).startswith(
        "initialize: every rule must match a leaf; got match='v', which matches none of "
    )
    made = materialize(
        lambda k: {"w": jax.random.normal(k, (8, 16))}, KEY, out_shardings=place
    )
    assert made["w"].sharding.is_equivalent_to(place, 2)


def test_wrong_specs():
    params = tree_of(lambda s: jax.ShapeDtypeStruct(s, "float32"))
    spec = PartitionSpec("d")

    def error_of(out_shardings: Any) -> str:
        with pytest.raises(ValueError) as error:
            initialize(KEY, params, RULES, out_shardings=out_shardings)
        return str(error.value)

    assert error_of(spec) == (
        "initialize: a PartitionSpec needs a mesh in context; got PartitionSpec('d',) for "
        "l/b. Enter one with jax.set_mesh(mesh), or give a NamedSharding."
    )
    mesh = mesh_of(AxisType.Auto)
    assert error_of(NamedSharding(mesh, PartitionSpec(None, "d"))) == (
        "initialize: a PartitionSpec must not be longer than the shape; got "
        "PartitionSpec(None, 'd') for l/b (8,). Give one entry for each axis, or fewer."
    )
    with jax.set_mesh(mesh):
        assert error_of(PartitionSpec("x")) == (
            "initialize: a PartitionSpec must name axes of the mesh, d; got axis 'x' for "
            "l/b. Use one of these names."
        )
        assert error_of([("w", PartitionSpec("d", "d"))]) == (
            "initialize: a PartitionSpec must name every axis of the mesh once; got "
            "PartitionSpec('d', 'd') for w. Leave one of them out."
        )
    uneven = NamedSharding(mesh, PartitionSpec("d"))
    with pytest.raises(ValueError) as error:
        materialize(lambda: {"b": jnp.zeros(5)}, out_shardings=uneven)
    assert str(error.value) == (
        "materialize: a PartitionSpec must divide every axis of the shape evenly; got "
        "PartitionSpec('d',) for b (5,), whose axis 0 is to lie on 4 devices. Leave that "
        "axis whole, or make its length a multiple."
    )


def test_leaves_lie_where_the_key_does():
    params = tree_of(lambda s: jax.ShapeDtypeStruct(s, "float32"))
    whole = NamedSharding(mesh_of(AxisType.Auto), PartitionSpec())
    for home in (SingleDeviceSharding(jax.devices()[3]), whole):
        made = initialize(jax.device_put(KEY, home), params, RULES)
        assert same(made, ALONE)
        for leaf in jax.tree.leaves(made):
            assert leaf.sharding.is_equivalent_to(home, leaf.ndim)
    with jax.set_mesh(mesh_of(AxisType.Auto)):
        for leaf in jax.tree.leaves(initialize(KEY, params, RULES)):
            assert leaf.sharding.is_equivalent_to(whole, leaf.ndim)
    place = NamedSharding(mesh_of(AxisType.Auto), PartitionSpec("d"))
    key = jax.device_put(KEY, jax.devices()[5])
    for leaf in jax.tree.leaves(initialize(key, params, RULES, out_shardings=place)):
        assert leaf.sharding.is_equivalent_to(place, leaf.ndim)
