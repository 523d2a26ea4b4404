"""What is measured of a network's signal, layer by layer."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

QUANTITIES = (
    "log10_std",
    "log10_rms",
    "log10_grad",
    "mean_over_std",
    "kurtosis",
    "dead",
    "saturated",
    "correlation",
)
"""What is measured at each layer, the input being layer 0.

Of the activations: log10 of standard deviation and of root mean square, mean over
standard deviation, kurtosis. ``log10_grad``: of the root mean square of the gradient with
respect to them, for a standard normal one at the end. ``dead``: share of units whose slope
is zero for all inputs. ``saturated``: share of slopes below a tenth. ``correlation``:
cosine of the first two inputs before the activation; NaN for one input.
"""


def quantities(
    activation: Callable[[Any], Any],
    outs: jax.Array,
    before: jax.Array,
    gradients: jax.Array,
) -> dict[str, jax.Array]:
    """Return all quantities of one network and seed, each of shape (depth + 1,).

    Args:
        activation: Function on arrays.
        outs: The inputs and what each layer gave, shape (depth + 1, batch, ...).
        before: What went into each activation, shape (depth, batch, ...).
        gradients: With respect to each of ``outs``.
    """
    measured = jax.vmap(moments_of)(outs)
    measured["log10_grad"] = jax.vmap(log10_rms)(gradients)
    measured |= slopes_of(activation, before)
    if outs.shape[1] > 1:
        cosines = jax.vmap(_cosine)(before)
        measured["correlation"] = jnp.concatenate([_cosine(outs[0])[None], cosines])
    else:
        measured["correlation"] = jnp.full(len(outs), jnp.nan, jnp.float32)
    return measured


def log10_rms(x: jax.Array) -> jax.Array:
    """Return log10 of the root mean square, also where squares would underflow."""
    x = x.astype(jnp.float32)
    scale = jnp.max(jnp.abs(x))
    safe = jnp.where(scale > 0, scale, 1)
    mean_square = jnp.mean((x / safe) ** 2)
    return jnp.where(scale > 0, jnp.log10(safe) + jnp.log10(mean_square) / 2, -jnp.inf)


def moments_of(x: jax.Array) -> dict[str, jax.Array]:
    """Return the moments of one layer's activations over inputs and units."""
    x = x.astype(jnp.float32)
    scale = jnp.max(jnp.abs(x))
    y = x / jnp.where(scale > 0, scale, 1)
    mean = jnp.mean(y)
    variance = jnp.mean((y - mean) ** 2)
    return {
        "log10_std": log10_rms(x - jnp.mean(y) * jnp.where(scale > 0, scale, 1)),
        "log10_rms": log10_rms(x),
        "mean_over_std": mean / jnp.sqrt(variance),
        "kurtosis": jnp.mean((y - mean) ** 4) / variance**2,
    }


def slopes_of(activation: Callable[[Any], Any], before: jax.Array) -> dict[str, jax.Array]:
    """Return the shares of dead and of saturated units for each layer."""

    def one_layer(h: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = h.astype(jnp.float32)
        slope = jnp.abs(jax.jvp(activation, (h,), (jnp.ones_like(h),))[1])
        dead = jnp.all(slope == 0, axis=tuple(range(h.ndim - 1)))
        return jnp.mean(dead.astype(jnp.float32)), jnp.mean(
            (slope < 0.1).astype(jnp.float32)
        )

    dead, saturated = jax.vmap(one_layer)(before)
    none = jnp.full(1, jnp.nan, jnp.float32)
    return {
        "dead": jnp.concatenate([none, dead]),
        "saturated": jnp.concatenate([none, saturated]),
    }


def _cosine(h: jax.Array) -> jax.Array:
    """Return the cosine between the first two of a batch."""
    a, b = (row / jnp.max(jnp.abs(row)) for row in h[:2].astype(jnp.float32))
    return jnp.sum(a * b) / jnp.sqrt(jnp.sum(a**2) * jnp.sum(b**2))
