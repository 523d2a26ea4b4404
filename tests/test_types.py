"""The protocols of initializers; pyright checks the assignments here."""

import functools
import inspect

import jax
import jax.numpy as jnp
import pytest

import jaxinit
from jaxinit import Initializer, ShardedInitializer
from jaxinit._types import DTypeLike, Shape

OURS: dict[str, ShardedInitializer] = {
    "zeros": jaxinit.zeros,
    "uniform": jaxinit.uniform,
    "partial": functools.partial(jaxinit.normal, std=2.0),
    "truncated_normal": jaxinit.truncated_normal,
    "xavier_normal": jaxinit.xavier_normal,
    "kaiming_uniform": jaxinit.kaiming_uniform,
    "lecun_truncated_normal": jaxinit.lecun_truncated_normal,
    "orthogonal": jaxinit.orthogonal,
    "identity": jaxinit.identity,
    "sparse": functools.partial(jaxinit.sparse, sparsity=0.5),
    "per_slice": jaxinit.per_slice(jaxinit.lecun_normal, [1.0, 2.0]),
    "rows": jaxinit.rows(jaxinit.normal, [0], 0.0),
    "where": jaxinit.where([[True, False], [False, True]], jaxinit.normal, 0.0),
    "parts": jaxinit.parts([jaxinit.normal, jaxinit.zeros], axis=0),
    "from_config": jaxinit.from_config({"name": "normal", "std": 0.5}),
}


def custom(
    key: jax.Array,
    shape: Shape,
    dtype: DTypeLike | None = None,
) -> jax.Array:
    return jnp.full(shape, 2.0, dtype)


@pytest.mark.parametrize("name", OURS)
def test_ours_take_a_placement(name: str) -> None:
    given: Initializer = OURS[name]
    assert "out_sharding" in inspect.signature(given).parameters
    whole = OURS[name](jax.random.key(0), (2, 2), jnp.float32, out_sharding=None)
    assert whole.shape == (2, 2)


def test_custom_ones_need_take_none() -> None:
    taken: Initializer = custom
    scaled = jaxinit.per_slice(taken, [1.0, 3.0])(jax.random.key(0), (2, 1))
    assert scaled.tolist() == [[2.0], [6.0]]
    params = {"w": jnp.zeros((2, 2))}
    made = jaxinit.initialize(jax.random.key(0), params, [("w", taken)])
    assert made["w"].tolist() == [[2.0, 2.0], [2.0, 2.0]]
