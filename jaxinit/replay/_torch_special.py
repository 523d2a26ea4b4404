"""The initializers of PyTorch that are more than one draw and a scale."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay import _mt19937
from jaxinit.replay._arguments import check_range
from jaxinit.replay._exact import is_small, narrow, product
from jaxinit.replay._native import native
from jaxinit.replay._torch_discrete import swaps
from jaxinit.replay._torch_stream import (
    Stream,
    normal,
    normal_of,
    uniform,
    uniform_from_words,
    uniform_of,
    words_of_uniform,
)
from jaxinit.replay._torch_writes import Kind


@native
@functools.partial(jax.jit, static_argnums=(3, 4, 5))
def trunc_normal(
    stream: Stream,
    moments: jax.Array,
    bounds: jax.Array,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    small: bool,
) -> tuple[Stream, jax.Array]:
    """Draw whole tensors until each place has once been within the bounds."""
    low, high = narrow(bounds, dtype, small)

    def outside(values: jax.Array) -> jax.Array:
        return (values < low) | (values > high)

    def body(state: tuple[Stream, jax.Array]) -> tuple[Stream, jax.Array]:
        stream, values = state
        stream, fresh = normal_of(stream, moments, shape, dtype, small, False)
        return stream, jnp.where(outside(values), fresh, values)

    # The first draw is the loop's too, so that it is compiled once.
    start = stream, jnp.full(shape, jnp.inf, dtype)
    return jax.lax.while_loop(lambda s: jnp.any(outside(s[1])), body, start)


@native
@functools.partial(jax.jit, static_argnums=(2, 3, 4))
def trunc_normal_uniform(
    stream: Stream,
    numbers: jax.Array,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    small: bool,
) -> tuple[Stream, jax.Array]:
    """Draw uniform tensors until the density has accepted a value in each place."""
    mean, std, low, high = numbers
    peak = -0.5 * ((jnp.clip(mean, low, high) - mean) / std) ** 2
    bounds, unit = jnp.stack([low, high]), np.array([0.0, 1.0])

    def body(state: tuple[Stream, jax.Array, jax.Array]) -> tuple[Any, ...]:
        stream, values, pending = state
        stream, fresh = uniform_of(stream, bounds, shape, dtype, small)
        stream, chance = uniform_of(stream, unit, shape, dtype, False)
        density = stepped(fresh, -mean, "add", dtype)
        density = stepped(density, std, "divide", dtype)
        density = stepped(density, density, "scale", dtype)
        density = stepped(density, jnp.float64(-0.5), "scale", dtype)
        density = stepped(density, -peak, "add", dtype)
        chance = narrow(jnp.log(chance.astype(jnp.float64)), dtype)
        return stream, jnp.where(pending, fresh, values), pending & (chance > density)

    start = stream, jnp.zeros(shape, dtype), jnp.full(shape, True)
    return jax.lax.while_loop(lambda s: jnp.any(s[2]), body, start)[:2]


@native
@functools.partial(jax.jit, static_argnums=(2, 3))
def orthogonal(
    stream: Stream, gain: jax.Array, shape: tuple[int, ...], dtype: np.dtype[Any]
) -> tuple[Stream, jax.Array]:
    """Draw a normal matrix and make it orthogonal by QR, the diagonal of R positive."""
    rows, columns = shape[0], math.prod(shape[1:])
    plain = np.array([0.0, 1.0])
    stream, matrix = normal_of(stream, plain, (rows, columns), dtype, False, False)
    wide = rows < columns
    q, r = jnp.linalg.qr(matrix.T if wide else matrix)
    q = q * jnp.sign(jnp.diagonal(r))
    values = (q.T if wide else q) * gain.astype(dtype)
    return stream, values.reshape(shape)


@native
@functools.partial(jax.jit, static_argnums=(2, 3, 4, 5))
def sparse(
    stream: Stream,
    moments: jax.Array,
    shape: tuple[int, ...],
    zeros: int,
    dtype: np.dtype[Any],
    small: bool,
) -> tuple[Stream, jax.Array]:
    """Draw normals, then shuffle the row numbers of each column as ``randperm`` does."""
    rows, columns = shape
    stream, values = normal_of(stream, moments, shape, dtype, small, False)
    steps = max(rows - 1, 0)
    if not steps or not columns:
        return stream, jnp.zeros_like(values) if zeros else values
    window, raw = _mt19937.draw(stream.window, steps * columns)
    words = _mt19937.temper(raw).reshape(columns, steps)
    jump = swaps(words, rows)
    place = np.arange(columns)

    def swap(i: jax.Array, order: jax.Array) -> jax.Array:
        other = i + jump[:, i]
        here, there = order[:, i], order[place, other]
        return order.at[place, other].set(here).at[:, i].set(there)

    order = jnp.broadcast_to(jnp.arange(rows), (columns, rows))
    order = jax.lax.fori_loop(0, min(zeros, steps), swap, order)
    values = values.at[order[:, :zeros].T, place].set(0)
    return dataclasses.replace(stream, window=window), values


def _below(mean: float, std: float, a: float, b: float) -> tuple[float, float]:
    low, high = ((1 + math.erf((x - mean) / std / math.sqrt(2.0))) / 2 for x in (a, b))
    return low, high


def share(mean: float, std: float, a: float, b: float) -> float:
    """Return which share of a normal distribution is within bounds."""
    low, high = _below(mean, std, a, b)
    return high - low


def uniform_bounds(mean: float, std: float, a: float, b: float) -> tuple[float, float]:
    """Return the bounds of the uniform numbers behind a truncated normal."""
    low, high = _below(mean, std, a, b)
    return 2 * low - 1, 2 * high - 1


@native
@functools.partial(jax.jit, static_argnums=(3, 4))
def trunc_normal_inverse(
    stream: Stream,
    bounds: jax.Array,
    numbers: jax.Array,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
) -> tuple[Stream, jax.Array]:
    """Draw uniform numbers and apply the inverse of the distribution function."""
    count = words_of_uniform(math.prod(shape), dtype)
    window, raw = _mt19937.draw(stream.window, count)
    unit = uniform_from_words(_mt19937.temper(raw), bounds, dtype, False)
    values = inverse_values(unit, jnp.asarray(numbers), dtype)
    return dataclasses.replace(stream, window=window), values.reshape(shape)


def check_numbers(kind: Kind, numbers: tuple[float, ...], dtype: np.dtype[Any]) -> None:
    """Check that the numbers of a draw are not too large or small for the dtype."""
    if kind == "uniform":
        low, high = numbers
        check_range(dtype, low=low, high=high, width=high - low)
    elif kind == "sparse":
        check_range(dtype, std=numbers[1])
    elif kind != "orthogonal":
        check_range(dtype, mean=numbers[0], std=numbers[1])


def draw(
    stream: Stream,
    shape: tuple[int, ...],
    kind: Kind,
    numbers: tuple[float, ...],
    dtype: np.dtype[Any],
    serial: bool = False,
) -> tuple[Stream, jax.Array]:
    """Draw one tensor of any kind; see `_torch_stream.normal` for ``serial``."""
    if kind == "orthogonal":
        if 0 in shape:
            return stream, jnp.zeros(shape, dtype)
        return orthogonal(stream, np.float64(numbers[0]), shape, dtype)
    first, second = (0.0, numbers[1]) if kind == "sparse" else numbers[:2]
    small, pair = is_small((first, second), dtype), np.array([first, second])
    if kind == "uniform":
        return uniform(stream, shape, (first, second), dtype)
    if kind == "sparse":
        zeros = math.ceil(numbers[0] * shape[0])
        return sparse(stream, pair, shape, zeros, dtype, small)
    if kind == "trunc_normal" and share(*numbers) <= 0.3:  # as PyTorch decides it
        small = is_small((numbers[2], numbers[3]), dtype)
        return trunc_normal_uniform(stream, np.array(numbers), shape, dtype, small)
    if kind == "trunc_normal":
        bounds = np.array(numbers[2:])
        return trunc_normal(stream, pair, bounds, shape, dtype, small)
    if kind == "trunc_normal_inverse":
        bounds = np.array(uniform_bounds(*numbers))
        return trunc_normal_inverse(stream, bounds, np.array(numbers), shape, dtype)
    return normal(stream, shape, (first, second), dtype, serial)


def inverse_values(unit: jax.Array, numbers: jax.Array, dtype: np.dtype[Any]) -> jax.Array:
    """Return truncated normals of uniform numbers on (-1, 1), step by step as PyTorch."""
    mean, std, low, high = numbers
    values = stepped(unit, mean, "erfinv", dtype)
    values = stepped(values, std * math.sqrt(2.0), "scale", dtype)
    values = stepped(values, mean, "add", dtype)
    return stepped(values, jnp.stack([low, high]), "clamp", dtype)


_STEPS: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    # The inverse error function of -1 is infinite, which ``product`` does not take.
    "scale": lambda old, by: jnp.where(jnp.isinf(old), old * by, product(old, by)),
    "divide": jnp.divide,
    "add": jnp.add,
    "clamp": lambda old, bounds: jnp.clip(old, bounds[0], bounds[1]),
    "erfinv": lambda old, _: jax.lax.erf_inv(old),
}


def stepped(
    old: jax.Array, number: jax.Array, kind: str, dtype: np.dtype[Any]
) -> jax.Array:
    """Return one operation with a number, rounded once from double precision."""
    wide = np.float64 if dtype == np.float64 else np.float32
    other = number.astype(wide).astype(jnp.float64)
    result = _STEPS[kind](old.astype(jnp.float64), other)
    if dtype != np.float64:
        # By bits, not by conversion: LLVM makes a fused operation of two converted ones.
        result = jax.lax.reduce_precision(result, 8, 23)
    return narrow(result, dtype)
