"""Normal weights with exactly so many zeros to each input."""

import dataclasses
import functools
import math
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._bits import random_bits
from jaxinit._checks import (
    check_dtype,
    check_key,
    check_number,
    check_out_sharding,
    check_shape,
    mesh_context,
    type_error,
)
from jaxinit._distribution import Descriptor, Moments, described
from jaxinit._draw import Draw, check_scale, placed
from jaxinit._layout import Layout, resolve_layout
from jaxinit._samples import normal
from jaxinit._types import DTypeLike, Key, OutSharding, Scalar, Shape


@dataclasses.dataclass(frozen=True)
class SparseDraw:
    """A normal draw and how many outputs of each input are to be 0.

    Attributes:
        draw: The normal draw.
        order: Its axes, those of outputs last.
        outputs: How many axes are outputs.
        zeros: How many of their elements are 0.
    """

    draw: Draw
    order: tuple[int, ...]
    outputs: int
    zeros: int


def _zeros(sparsity: float, count: int) -> int:
    """Return how many of ``count`` outputs are 0.

    In exact arithmetic of the share as it is written: 0.1 of 10 is 1, not 2.
    """
    return math.ceil(Fraction(repr(sparsity)) * count)


def _moments(
    shape: Shape, _complex: bool, *, sparsity: Any, std: Any, layout: Any
) -> Moments:
    roles = resolve_layout("sparse", tuple(shape), layout)
    count = math.prod(shape[a] for a in roles.positions("O"))
    kept = 1 - _zeros(float(sparsity), count) / max(count, 1)
    kurtosis = 3 / kept if kept else None
    return Moments(float(std) * math.sqrt(kept), 0.0, kurtosis)


@described(Descriptor(_moments, layout="axes"))
def sparse(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    sparsity: float,
    std: Scalar = 0.01,
    layout: str | Layout | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw normal weights of which a fixed share is 0 for every input unit.

    .. math:: W \sim N(0, std^2), \text{ then } \lceil sparsity \cdot n_{out} \rceil
        \text{ outputs of each input are set to 0}

    Args:
        key: One typed key, or a legacy ``uint32`` key. It decides values and zeros alike.
        shape: Axis lengths, two or more. A zero length gives an empty array.
        dtype: A real float dtype; None for JAX's default. Values are computed in float32
            (float64 for float64) and rounded once.
        sparsity: Share of the outputs of each input that is 0, from 0 to 1.
        std: Standard deviation of the others, at least 0. May be traced.
        layout: The role of each axis; None for ``"IO"`` with window axes in front. ``O``
            axes together are what zeros are counted along.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: ``sparsity`` is not from 0 to 1, ``std`` is negative, ``layout`` does
            not fit ``shape``, or ``dtype`` cannot hold the scale.
        TypeError: An argument is of the wrong kind; ``sparsity`` must not be traced.

    References:
        Martens, "Deep learning via Hessian-free optimization", ICML 2010, section 5.

    Elsewhere:
        The distribution of ``torch.nn.init.sparse_``, whose (out, in) columns are the
        inputs here, and which draws its zeros from the global generator. JAX and Keras
        have none.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.sparse(jax.random.key(0), (5, 8), sparsity=0.25)
        >>> (w == 0).sum(axis=1).tolist()
        [2, 2, 2, 2, 2]
    """
    where = "sparse"
    lengths = check_shape(where, shape)
    roles = resolve_layout(where, lengths, layout)
    share = check_number(where, "sparsity", sparsity, least=0, most=1)
    if not isinstance(share, float):
        rule = "sparsity must be known when the program is compiled"
        type_error(where, rule, "a traced array", "Give a Python float.")
    scale = check_number(where, "std", std, least=0)
    sharding = check_out_sharding(where, out_sharding)
    draw = Draw("normal", lengths, check_dtype(where, dtype), sharding)
    check_scale(where, draw, 0.0, scale, draw.limit)
    outputs = roles.positions("O")
    order = tuple(a for a in range(len(lengths)) if a not in outputs) + outputs
    count = math.prod(lengths[a] for a in outputs)
    plan = SparseDraw(draw, order, len(outputs), _zeros(share, count))
    with mesh_context(sharding):
        return _program(plan, check_key(where, key), scale)


@functools.partial(jax.jit, static_argnames="plan")
def _program(plan: SparseDraw, key: Key, scale: float | jax.Array) -> jax.Array:
    draw = plan.draw
    ordered = tuple(draw.shape[a] for a in plan.order)
    split = len(ordered) - plan.outputs
    units = math.prod(ordered[:split]), math.prod(ordered[split:])

    def values(key: Key, scale: jax.Array) -> jax.Array:
        value_key, mask_key = jax.random.split(key)
        drawn = scale * normal(random_bits(value_key, draw.shape, draw.bits, 1)[0])
        if plan.zeros == 0 or 0 in draw.shape:
            return drawn.astype(draw.dtype)
        # The outputs with the lowest words are 0; of equal words the first is the lower.
        words = random_bits(mask_key, units, 32, 1)[0]
        chosen = jnp.argsort(words, axis=1, stable=True)[:, : plan.zeros]
        rows = jnp.arange(units[0])[:, None]
        kept = jnp.ones(units, bool).at[rows, chosen].set(False)
        kept = kept.reshape(ordered).transpose(tuple(np.argsort(plan.order)))
        return jnp.where(kept, drawn, 0).astype(draw.dtype)

    number = jnp.asarray(scale, draw.compute_dtype)
    return placed(values, draw.sharding)(key, number)
