"""Singular values of the input-output Jacobian of a deep network at initialization."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_int, check_seed
from jaxinit._types import Initializer
from jaxinit.signal.studies.conditions import fixed_conditions, seed_keys
from jaxinit.signal.studies.network import Kind, Network, compiled, draw_seeds, layer
from jaxinit.signal.studies.schemes import Scheme, scheme
from jaxinit.signal.theory.maps import Nonlinearity, for_one_call


@boundary
def jacobian_singular_values(
    activation: Nonlinearity = "tanh",
    init: str | Scheme | Initializer = "orthogonal",
    *,
    depth: int = 100,
    width: int = 128,
    seeds: int = 4,
    seed: int = 0,
    kind: Kind = "dense",
    branch_scale: float = 1.0,
) -> np.ndarray:
    """Return log10 of the singular values of d output / d input, at one random input.

    A network is a dynamical isometry if all are near 1: then every direction of a
    gradient keeps its length. Orthogonal weights near the edge of chaos do that for
    tanh, Gaussian weights for nothing: there the variance of the squared singular
    values grows like the depth (J. Pennington, S. Schoenholz, S. Ganguli, "Resurrecting
    the sigmoid in deep learning through dynamical isometry", 2017).

    Args:
        activation: A name or a function on arrays.
        init: As for :func:`jaxinit.signal.study`.
        depth: Layers, at least 1.
        width: Units of a layer; the Jacobian is width by width.
        seeds: How many networks, at least 1.
        seed: Which.
        kind: ``"dense"``, ``"residual"`` or ``"normalized"``.
        branch_scale: Factor on the branch of residual networks.

    Returns:
        An array of shape (seeds, width), falling along each row. The product is rescaled
        at every layer, so that it neither underflows nor overflows; a value smaller than
        1e-7 of the largest is rounding.

    Raises:
        ValueError: An argument is out of range or unknown.
    """
    check_choice("kind", kind, ("dense", "residual", "normalized"))
    drawn = scheme(init, activation)
    net = Network(
        for_one_call(activation),
        drawn.distribution,
        kind=kind,
        depth=check_int("depth", depth, least=1),
        width=check_int("width", width, least=2),
        branch_scale=branch_scale,
    )
    count = check_int("seeds", seeds, least=1)
    with fixed_conditions():
        keys = seed_keys(check_seed(seed), 0, count)
        found, program = [], compiled(_product, (net,))
        for key in keys:
            gains = jnp.asarray(drawn.gains(depth), jnp.float32)
            product, log10_scale = program(key, gains, jnp.float32(drawn.sigma_b))
            values = np.linalg.svd(np.asarray(product, np.float64), compute_uv=False)
            with np.errstate(divide="ignore"):
                found.append(np.log10(values) + float(log10_scale))
    return np.array(found)


def _product(
    nets: tuple[Network], key: jax.Array, gains: jax.Array, sigma_b: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return the Jacobian over a power of ten, and the logarithm of that power."""
    net = nets[0]
    draws = draw_seeds(key[None], net.input_shape, net.depth, net.width, jnp.float32(0))
    draws = jax.tree.map(lambda leaf: leaf[0], draws)

    def step(carry: tuple[Any, ...], at: tuple[Any, ...]) -> tuple[Any, None]:
        x, rows, scale = carry
        key, gain, bias = at

        def one(x: jax.Array) -> jax.Array:
            return layer(net, x[None], key, gain, bias)[0][0]

        out, push = jax.linearize(one, x)
        rows = jax.vmap(push)(rows)
        size = jnp.max(jnp.abs(rows))
        safe = jnp.where(size > 0, size, 1)
        return (out, rows / safe, scale + jnp.log10(safe)), None

    start = (draws.inputs[0], jnp.eye(net.width, dtype=jnp.float32), jnp.float32(0))
    across = (draws.keys, gains, sigma_b * draws.biases)
    (_, rows, scale), _ = jax.lax.scan(step, start, across)
    return rows, scale
