"""The words that signatures are written in."""

from collections.abc import Sequence
from typing import Any, Protocol

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from jax.typing import DTypeLike

Key = jax.Array
"""One typed key, ``jax.random.key(0)``, or a legacy ``uint32`` key."""

Shape = Sequence[int]
"""Axis lengths: any sequence of non-negative ints."""

Scalar = float | int | np.number | np.ndarray | jax.Array
"""A number, or an array of rank 0, which may be traced."""

Scalars = Scalar | Sequence[Any]
"""A number, or an array of numbers that broadcasts to the shape of the result."""

OutSharding = NamedSharding | PartitionSpec | None
"""Where a result is to live; None leaves that to JAX."""


class Initializer(Protocol):
    """A pure function from a key, a shape and a dtype to an array.

    Whatever has this form can be used as an initializer, a function of your own too.
    """

    def __call__(self, key: Key, shape: Shape, dtype: DTypeLike | None = None) -> jax.Array:
        """Return an array of exactly ``shape`` and ``dtype``."""
        ...


class ShardedInitializer(Initializer, Protocol):
    """An initializer that also takes the placement of its result, as all of these do."""

    def __call__(
        self,
        key: Key,
        shape: Shape,
        dtype: DTypeLike | None = None,
        *,
        out_sharding: OutSharding = None,
    ) -> jax.Array:
        """Return an array of exactly ``shape`` and ``dtype``, placed as asked for."""
        ...
