"""Models on meshes whose axes are part of the types, as ``jax.make_mesh`` makes them."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax
from jax.sharding import AxisType, NamedSharding, PartitionSpec, reshard

from jaxinit import Fans
from jaxinit.trace.entry import trace_params

P = PartitionSpec
MESH = jax.make_mesh((2, 2), ("x", "y"), axis_types=(AxisType.Explicit,) * 2)
PARAMS = {
    name: jax.device_put(jnp.ones(shape), NamedSharding(MESH, P(*axes)))
    for name, shape, axes in [
        ("w", (8, 16), ("x", "y")),
        ("b", (16,), ("y",)),
        ("v", (16, 4), ("y", None)),
    ]
}
X = jax.device_put(jnp.ones((4, 8)), NamedSharding(MESH, P("x", None)))


def by_types(params, x):
    hidden = jnp.dot(x, params["w"], out_sharding=P("x", "y")) + params["b"]
    return jnp.dot(jax.nn.relu(hidden), params["v"], out_sharding=P("x", None))


def by_gathering(params, x):
    def product(w, x):
        rows = lax.all_gather(w, "x", axis=0, tiled=True)
        return x @ lax.all_gather(rows, "y", axis=1, tiled=True)

    specs = (P("x", "y"), P("x", None))
    sharded = jax.shard_map(
        product, in_specs=specs, out_specs=P("x", None), check_vma=False
    )
    hidden = sharded(params["w"], x) + reshard(params["b"], P(None))
    return jax.nn.relu(hidden) @ reshard(params["v"], P(None, None))


def by_sums(params, x):
    def product(w, x, b):
        return lax.psum(x @ w, "x") + b

    specs = (P("x", "y"), P(None, "x"), P("y"))
    sharded = jax.shard_map(product, in_specs=specs, out_specs=P(None, "y"))
    hidden = sharded(params["w"], reshard(x, P(None, "x")), params["b"])
    return jnp.dot(jax.nn.relu(hidden), params["v"], out_sharding=P(None, None))


@pytest.mark.parametrize("apply", [by_types, by_gathering, by_sums])
@pytest.mark.parametrize("given", ["arrays", "shapes", "traced"])
def test_explicit_mesh(apply, given):
    params, x = PARAMS, X
    if given == "shapes":
        params, x = jax.tree.map(
            lambda a: jax.ShapeDtypeStruct(a.shape, a.dtype, sharding=a.sharding),
            (params, x),
        )
    found = []

    def trace(params, x):
        found.append(trace_params(apply, params, x))
        return x

    with jax.set_mesh(MESH):
        _ = jax.eval_shape(trace, params, x) if given == "traced" else trace(params, x)
    (uses,) = found
    assert uses["w"].fans == Fans(8, 16)
    assert uses["b"].role == "bias"
    assert uses["v"].fans == Fans(16, 4)
    assert uses["v"].nonlinearity == "relu"
