"""What the numbers of a study must not depend on: settings of JAX, and the kind of key."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

P = ParamSpec("P")
R = TypeVar("R")

KEY_KIND = "threefry2x32"
"""The generator of every study, whatever the default of JAX is."""


@contextlib.contextmanager
def _conditions() -> Iterator[None]:
    # A vanished or exploded signal is a result here, which debug_nans would refuse.
    with (
        jax.threefry_partitionable(True),
        jax.debug_nans(False),
        jax.debug_infs(False),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def fixed_conditions(function: Callable[P, R]) -> Callable[P, R]:
    """Return the function, run under the same settings of JAX for every user."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with _conditions():
            return function(*args, **kwargs)

    return run


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
