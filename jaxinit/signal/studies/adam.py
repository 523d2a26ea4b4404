"""Adam, for studies that are given no optimizer; in the form that optax has."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_FIRST, _SECOND, _SMALL = 0.9, 0.999, 1e-8


class AdamState(NamedTuple):
    """The averages of gradients and of their squares, and the steps done."""

    steps: jax.Array
    mean: Any
    square: Any


class Adam(NamedTuple):
    """Adam with the constants of D. Kingma and J. Ba 2015.

    Attributes:
        rate: The learning rate.
    """

    rate: float

    def init(self, params: Any) -> AdamState:
        """Return the state before the first step."""
        zeros = jax.tree.map(jnp.zeros_like, params)
        return AdamState(jnp.zeros((), jnp.int32), zeros, zeros)

    def update(
        self, gradients: Any, state: AdamState, params: Any = None
    ) -> tuple[Any, AdamState]:
        """Return what is to be added to the parameters, and the next state."""
        del params
        count = state.steps + 1
        steps = count.astype(jnp.float32)

        def average(decay: float, old: Any, new: Any) -> Any:
            return jax.tree.map(lambda o, n: decay * o + (1 - decay) * n, old, new)

        mean = average(_FIRST, state.mean, gradients)
        squares = jax.tree.map(jnp.square, gradients)
        square = average(_SECOND, state.square, squares)

        def step(m: jax.Array, s: jax.Array) -> jax.Array:
            decays = (_FIRST, _SECOND)
            first, second = ((1 - decay**steps).astype(m.dtype) for decay in decays)
            return -self.rate * (m / first) / (jnp.sqrt(s / second) + _SMALL)

        return jax.tree.map(step, mean, square), AdamState(count, mean, square)
