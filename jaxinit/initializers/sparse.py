"""Normal weights with exactly so many zeros to each input."""

import dataclasses
import functools
import math
from fractions import Fraction
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinit._bits import inner_key, random_bits
from jaxinit._checks import (
    check_dtype,
    check_entries,
    check_key,
    check_number,
    check_rank,
    check_shape,
    is_traced,
    type_error,
    value_error,
)
from jaxinit._distribution import Descriptor, described
from jaxinit._draw import Draw
from jaxinit._layout import Layout, resolve_layout
from jaxinit._moments import Moments, scaled_moments
from jaxinit._placement import check_out_sharding, handed_over, mesh_context, placed
from jaxinit._samples import normal, rounded_product
from jaxinit._scale import check_scale
from jaxinit._types import DTypeLike, Key, OutSharding, Scalars, Shape


@dataclasses.dataclass(frozen=True)
class SparseDraw:
    """A normal draw and how many outputs of each input are to be 0.

    Attributes:
        draw: The normal draw.
        outputs: Its axes of outputs.
        zeros: How many of their elements are 0.
    """

    draw: Draw
    outputs: tuple[int, ...]
    zeros: int


def _zeros(sparsity: float, count: int) -> int:
    """Return how many of ``count`` outputs are 0.

    In exact arithmetic of the share as it is written: 0.1 of 10 is 1, not 2.
    """
    return math.ceil(Fraction(repr(sparsity)) * count)


def _moments(
    shape: Shape, _complex: bool, *, sparsity: Any, std: Any, layout: Any
) -> Moments:
    roles = resolve_layout(tuple(shape), layout)
    count = math.prod(shape[a] for a in roles.positions("O"))
    kept = 1 - _zeros(float(sparsity), count) / max(count, 1)
    kurtosis = 3 / kept if kept else None
    root = math.sqrt(kept)
    return scaled_moments(Moments(1.0, 0.0, kurtosis), np.asarray(std, float) * root)


@described(Descriptor(_moments, layout="axes"))
def sparse(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    sparsity: float,
    std: Scalars = 0.01,
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
        std: Standard deviation of the others, at least 0: a number, or an array that
            broadcasts to ``shape``. May be traced.
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
    lengths = check_shape(shape)
    roles = resolve_layout(lengths, layout)
    share = check_number("sparsity", sparsity, least=0, most=1)
    if not isinstance(share, float):
        rule = "sparsity must be known when the program is compiled"
        type_error(rule, "a traced array", "Give a Python float.")
    scale = check_entries("std", std, lengths, least=0)
    outputs = roles.positions("O")
    if not outputs:
        rule = "layout needs an output axis, along which zeros are counted"
        value_error(rule, f"layout={roles.axes!r}", 'Write "IO".')
    check_rank(lengths, 2, "Give (in, out).")
    sharding = check_out_sharding(out_sharding, lengths)
    draw = Draw("normal", lengths, check_dtype(dtype), sharding)
    check_scale(draw.dtype, 0.0, scale, draw.limit)
    zeros = _zeros(share, math.prod(lengths[a] for a in outputs))
    number = scale if is_traced(scale) else np.asarray(scale, draw.wide)
    number = number if is_traced(key) else handed_over(number)
    with mesh_context(sharding):
        plan = SparseDraw(draw, outputs, zeros)
        return _program(plan, check_key(key), number)


@functools.partial(jax.jit, static_argnames="plan")
def _program(plan: SparseDraw, key: Key, scale: jax.Array) -> jax.Array:
    draw = plan.draw

    def values(key: Key, scale: jax.Array) -> jax.Array:
        (bits,) = random_bits(key, draw.shape, draw.bits, 1)
        drawn = rounded_product(jnp.asarray(scale, draw.wide), normal(bits))
        if plan.zeros > 0 and 0 not in draw.shape:
            (ranks,) = random_bits(inner_key(key, 0), draw.shape, 32, 1)
            drawn = jnp.where(lowest(ranks, plan.outputs, plan.zeros), 0, drawn)
        return drawn.astype(draw.dtype)

    return placed(values, draw.sharding)(key, scale)


def lowest(words: jax.Array, axes: tuple[int, ...], count: int) -> jax.Array:
    """Return where the ``count`` lowest words along some axes are; of equals the first.

    The threshold of every row is searched for all rows at once: guessed as if words were
    spread evenly, which they are, with a bisection now and then.

    Args:
        words: An array of ``uint32``.
        axes: The axes that make a row.
        count: How many, from 1 to the length of a row.

    Returns:
        An array of bools of the same shape, of which so many are true in every row.
    """
    length = math.prod(words.shape[axis] for axis in axes)

    def counted(where: jax.Array) -> jax.Array:
        return jnp.sum(where, axes, keepdims=True, dtype=jnp.int32)

    def open_rows(low: jax.Array, high: jax.Array, above: jax.Array) -> jax.Array:
        return (above != count) & (low != high)

    def narrow(state: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
        step, low, high, below, above = state
        inside = (above - below + 1).astype(jnp.float32)
        share = (jnp.float32(count) + 0.5 - below.astype(jnp.float32)) / inside
        width = high - low
        spread = jnp.minimum(share * width.astype(jnp.float32), 2.0**32 - 256)
        even = spread.astype(jnp.uint32)
        guess = low + jnp.minimum(jnp.where(step % 4 == 3, width // 2, even), width - 1)
        found = counted(words <= guess)
        still, enough = open_rows(low, high, above), found >= count
        down, up = still & enough, still & ~enough
        return (
            step + 1,
            jnp.where(up, guess + 1, low),
            jnp.where(down, guess, high),
            jnp.where(up, found, below),
            jnp.where(down, found, above),
        )

    none = jnp.zeros_like(counted(words == 0))
    start = (
        jnp.int32(0),
        none.astype(jnp.uint32),
        jnp.full_like(none, 2**32 - 1, jnp.uint32),
        none,
        jnp.full_like(none, length),
    )
    _, _, most, below, above = lax.while_loop(
        lambda s: jnp.any(open_rows(s[1], s[2], s[4])), narrow, start
    )

    def equals_before(end: jax.Array) -> jax.Array:
        place = jnp.zeros(words.shape, jnp.int32)
        for axis in axes:
            along = lax.broadcasted_iota(jnp.int32, words.shape, axis)
            place = place * words.shape[axis] + along
        return (words == most) & (place < end)

    # Only where the last word is not alone: how far along the row its equals count.
    wanted = count - below

    def halve(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        first, last = state
        middle = first + (last - first) // 2
        enough = counted(equals_before(middle)) >= wanted
        still = first < last
        return (
            jnp.where(still & ~enough, middle + 1, first),
            jnp.where(still & enough, middle, last),
        )

    whole = jnp.full_like(none, length)
    _, end = lax.while_loop(
        lambda s: jnp.any(s[0] < s[1]), halve, (jnp.where(above > count, 0, whole), whole)
    )
    return (words < most) | equals_before(end)
