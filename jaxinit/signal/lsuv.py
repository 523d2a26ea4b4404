"""Data-driven scales: make every layer's output on a real batch have unit variance."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxinit._boundary import boundary
from jaxinit._checks import check_number
from jaxinit._jaxpr import bind
from jaxinit._types import Scalar
from jaxinit.trace.entry import read_forward
from jaxinit.trace.probes.scaling import (
    check_all_met,
    find_scales,
    is_weight,
    labels_of,
    scaled_leaves,
    times,
    wide,
)


@boundary
def lsuv(
    apply_fn: Callable[..., Any],
    params: Any,
    *inputs: Any,
    std: Scalar = 1.0,
    strict: bool = True,
) -> Any:
    """Return the parameters, each weight scaled to an output of that standard deviation.

    Layer-sequential unit variance, in one pass instead of several: the output of a
    product is linear in its weight. Directions are left as they are, so draw the weights
    with :func:`jaxinit.orthogonal` first, as the paper does. Biases keep their values and
    are not counted, being added later. A leaf that is used in parts, or step by step in a
    ``lax.scan`` of at most 64 steps, has the scale of the first.

    Args:
        apply_fn: The forward pass, ``apply_fn(params, *inputs)``; pure.
        params: Pytree of arrays. Leaves of one axis or none (biases, scales) stay.
        *inputs: A batch of data, as the forward pass takes it.
        std: Standard deviation that every output is to have, over the batch and all units.
        strict: Whether a leaf of two axes or more that meets no matrix product or
            convolution is an error (embeddings, leaves inside a while loop) or stays.

    Returns:
        A pytree like ``params``. Pure: works under ``jit``, and under ``vmap`` over seeds.

    Raises:
        ValueError: Leaves were not found in the forward pass, and ``strict`` holds.

    References:
        D. Mishkin, J. Matas, "All you need is a good init", ICLR 2016,
        https://arxiv.org/abs/1511.06422.

    Example:
        >>> import jax, jaxinit
        >>> from jaxinit.signal import lsuv
        >>> x = jax.random.normal(jax.random.key(0), (64, 8))
        >>> params = {"w": jaxinit.orthogonal(jax.random.key(1), (8, 8)), "b": 0.0}
        >>> def forward(params, x):
        ...     return x @ params["w"] + params["b"]
        >>> scaled = lsuv(forward, params, 3 * x, std=2.0)
        >>> round(float(forward(scaled, 3 * x).std()), 3)
        2.0
    """
    std = check_number("std", std, least=0.0)

    def unit_output(eqn: Any, values: list[Any], _place: int) -> tuple[Any, jax.Array]:
        out = bind(eqn, values)[0]
        spread = jnp.std(out.astype(wide(out.dtype)))
        # A dead layer has no scale to find, and stays.
        scale = jnp.where(spread > 0, std / jnp.where(spread > 0, spread, 1), 1)
        return times(out, scale), scale

    forward = read_forward(apply_fn, params, inputs)
    flat, tree = jax.tree.flatten(params)
    own = [flat[i] for i in forward.arrays]
    given = jax.tree.leaves(inputs)
    data = [given[i] for i in forward.moving]
    scales = find_scales(forward.program, own, data, unit_output)
    if strict:
        weights = {i for i, leaf in enumerate(own) if is_weight(leaf)}
        check_all_met(labels_of(params, forward.arrays), weights, scales)
    for i, leaf in zip(forward.arrays, scaled_leaves(own, scales), strict=True):
        flat[i] = leaf
    return jax.tree.unflatten(tree, flat)
