"""What the numbers of a study must not depend on: settings of JAX, and the kind of key."""

import contextlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

KEY_KIND = "threefry2x32"
"""The generator of every study, whatever the default of JAX is."""


@contextlib.contextmanager
def fixed_conditions() -> Iterator[None]:
    """Run what is inside, or the function that is decorated, under one set of settings."""
    # A vanished or exploded signal is a result here, which debug_nans would refuse.
    with (
        jax.threefry_partitionable(True),
        jax.debug_nans(False),
        jax.debug_infs(False),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def root_key(seed: int) -> jax.Array:
    """Return the key of a seed of 64 bits, with 64-bit mode on or off."""
    data = np.array([seed >> 32, seed & 0xFFFFFFFF], np.uint32)
    return jax.random.wrap_key_data(jnp.asarray(data), impl=KEY_KIND)


def seed_keys(seed: int, start: int, count: int) -> jax.Array:
    """Return the keys of the seeds ``start`` to ``start + count - 1``."""
    numbers = np.arange(start, start + count, dtype=np.uint32)
    return fold_each(root_key(seed), jnp.asarray(numbers))


@jax.jit
def fold_each(key: jax.Array, numbers: jax.Array) -> jax.Array:
    """Return one key a number: those of ``jax.random.split``, for 0, 1, 2, ...."""
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, numbers)
