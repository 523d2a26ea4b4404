"""Orthogonal matrices, and convolutions made of one.

A Haar matrix is the product of the Householder reflections that the QR factorization of a
normal matrix would find. What is left of that matrix after each step is again normal, so
every reflection can be drawn outright, and nothing has to be factorized.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinit._bits import random_bits
from jaxinit._checks import (
    check_dtype,
    check_key,
    check_number,
    check_shape,
    is_traced,
    value_error,
)
from jaxinit._distribution import Descriptor, described
from jaxinit._layout import Layout, resolve_layout, single_axis
from jaxinit._moments import Moments
from jaxinit._placement import check_out_sharding, handed_over, mesh_context, placed
from jaxinit._samples import complex_normal, normal, rounded_product
from jaxinit._scale import range_of, wide_dtype, word_bits
from jaxinit._types import DTypeLike, Key, OutSharding, Scalar, Shape


@dataclasses.dataclass(frozen=True)
class Frames:
    """A batch of matrices with orthonormal rows or columns, and how they are laid out.

    Attributes:
        shape: Axis lengths of the result.
        dtype: Dtype of the result.
        sharding: Placement of the result, or None.
        order: The axes of the result in the order batch, rows, columns.
        batch: How many of them are batch axes.
        rows: How many are rows.
        centre: For axes that are no part of the matrix, the one index that holds it.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    sharding: OutSharding
    order: tuple[int, ...]
    batch: int
    rows: int
    centre: tuple[tuple[int, int], ...] = ()


def _moments(
    shape: Shape,
    is_complex: bool,
    *,
    gain: Any,
    layout: Any,
    share: float = 1.0,
    name: str = "orthogonal",
) -> Moments:
    """Return the moments of Haar matrices that fill a share of the entries."""
    roles = resolve_layout(tuple(shape), layout)
    inner = "IDHW" if share == 1 else "I"
    rows = math.prod(shape[a] for a in roles.positions(inner))
    columns = math.prod(shape[a] for a in roles.positions("O"))
    size, limit = max(rows, columns, 1), float(gain)
    # E |u|^4 of an entry of a Haar matrix: 3 / (n (n + 2)), unitary 2 / (n (n + 1)).
    kurtosis = 2 * size / (size + 1) if is_complex else 3 * size / (size + 2)
    std = limit * math.sqrt(share / size)
    return Moments(std, 0.0, kurtosis / share if std else None, -limit, limit, name)


def _delta_moments(shape: Shape, is_complex: bool, *, gain: Any, layout: Any) -> Moments:
    name = "delta_orthogonal"
    roles = resolve_layout(tuple(shape), layout)
    window = max(1, math.prod(shape[a] for a in roles.positions("DHW")))
    share = 1 / window
    return _moments(shape, is_complex, gain=gain, layout=layout, share=share, name=name)


@described(Descriptor(_moments, gain="gain", layout="axes"))
def orthogonal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    gain: Scalar = 1.0,
    layout: str | Layout | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw orthogonal matrices, all of them equally likely (the Haar measure).

    The weight is taken as a matrix of inputs (with the window) by outputs. Its rows, or its
    columns if they are fewer, are orthonormal:

    .. math:: W^T W = gain^2 I \text{ if } n_{in} \ge n_{out}, \quad W W^T = gain^2 I
        \text{ else}

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths, two or more. A zero length gives an empty array.
        dtype: A float dtype, real or complex (unitary matrices); None for JAX's default.
            Computed in float32 (float64 for float64) and rounded once.
        gain: Factor on the matrix, at least 0, dimensionless. May be traced.
        layout: The role of each axis; None for ``"IO"`` with window axes in front. ``B``
            axes hold independent matrices; ``I`` and window axes together are the rows.
        out_sharding: Where the result is to live. Values do not depend on the mesh, but
            every device holds a whole matrix while it is made, which they may put together
            from draws of each.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: ``layout`` does not fit ``shape`` or has groups, ``gain`` is negative,
            or ``dtype`` cannot hold the entries.
        TypeError: An argument is of the wrong kind.

    References:
        Saxe, McClelland and Ganguli, "Exact solutions to the nonlinear dynamics of learning
        in deep linear neural networks", ICLR 2014. Stewart, "The efficient generation of
        random orthogonal matrices", SIAM J. Numer. Anal. 17, 1980, section 3.

    Elsewhere:
        The distribution of ``torch.nn.init.orthogonal_``, whose rows are outputs; of
        ``jax.nn.initializers.orthogonal``, which knows no batch and no bfloat16; and of
        Keras' Orthogonal. The numbers differ from all.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.orthogonal(jax.random.key(0), (12, 64, 32), layout="BIO")
        >>> gram = jax.numpy.einsum("bio,bij->boj", w, w)
        >>> bool(abs(gram - jax.numpy.eye(32)[None]).max() < 1e-5)
        True
    """
    lengths = check_shape(shape)
    roles = resolve_layout(lengths, layout)
    for letters, name in (("IDHW", "an input"), ("O", "an output")):
        if not roles.positions(letters):
            got = f"layout={roles.axes!r}"
            value_error(f"layout needs {name} axis", got, 'Write "IO".')
    _check_no_groups(roles)
    batch, rows = roles.positions("B"), roles.positions("IDHW")
    order = (*batch, *rows, *roles.positions("O"))
    result = check_dtype(dtype, allow_complex=True)
    sharding = check_out_sharding(out_sharding, lengths)
    frames = Frames(lengths, result, sharding, order, len(batch), len(rows))
    return _draw_frames(key, frames, gain)


@described(Descriptor(_delta_moments, gain="gain", layout="axes"))
def delta_orthogonal(
    key: Key,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    gain: Scalar = 1.0,
    layout: str | Layout | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Draw a convolution that is an orthogonal matrix at its centre and 0 elsewhere.

    .. math:: W_c = gain\, H \, [c = \lfloor (k - 1) / 2 \rfloor]

    With stride 1, ``SAME`` padding and at least as many outputs as inputs, the layer keeps
    the length of every signal, so that nets of thousands of layers can be trained.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        shape: Axis lengths of the kernel, three to five.
        dtype: A float dtype, real or complex (unitary matrices); None for JAX's default.
            Computed in float32 (float64 for float64) and rounded once.
        gain: Factor on the matrix, at least 0, dimensionless. May be traced.
        layout: The role of each axis: one ``I``, one ``O``, the rest window; None for
            ``"IO"`` with window axes in front.
        out_sharding: Where the result is to live. Values do not depend on the mesh, but
            every device holds a whole matrix while it is made, which they may put together
            from draws of each.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: The rank is not 3, 4 or 5, ``layout`` does not fit, or ``dtype`` cannot
            hold the entries.
        TypeError: An argument is of the wrong kind.

    References:
        Xiao et al., "Dynamical isometry and a mean field theory of CNNs", ICML 2018,
        section 2.4.

    Elsewhere:
        ``jax.nn.initializers.delta_orthogonal``, which refuses fewer outputs than inputs;
        here the columns are orthonormal then, and only what they span keeps its length.
        PyTorch and Keras have none.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.delta_orthogonal(jax.random.key(0), (3, 3, 8, 16))
        >>> round(float((w**2).sum()), 3), round(float((w[1, 1] ** 2).sum()), 3)
        (8.0, 8.0)
    """
    lengths = check_shape(shape)
    if not 3 <= len(lengths) <= 5:
        rule = "shape must have 3, 4 or 5 axes"
        value_error(rule, f"shape={lengths}", "For a dense layer use orthogonal.")
    roles = resolve_layout(lengths, layout)
    _check_no_groups(roles)
    order = tuple(single_axis(roles, letter, "IODHW") for letter in "IO")
    centre = tuple((axis, (lengths[axis] - 1) // 2) for axis in roles.positions("DHW"))
    result = check_dtype(dtype, allow_complex=True)
    sharding = check_out_sharding(out_sharding, lengths)
    frames = Frames(lengths, result, sharding, order, 0, 1, centre)
    return _draw_frames(key, frames, gain)


def _check_no_groups(layout: Layout) -> None:
    if layout.groups != 1:
        rule = "layout must have no groups"
        advice = "Draw one weight a group, with a B axis, and join them."
        value_error(rule, f"groups={layout.groups}", advice)


def _draw_frames(key: Key, frames: Frames, gain: Scalar) -> jax.Array:
    factor = check_number("gain", gain, least=0)
    if isinstance(factor, float):
        _check_entries(frames, factor)
    number = (
        np.asarray(factor, wide_dtype(frames.dtype)) if not is_traced(factor) else factor
    )
    number = number if is_traced(key) else handed_over(number)
    with mesh_context(frames.sharding):
        return _program(frames, check_key(key), number)


def _check_entries(frames: Frames, gain: float) -> None:
    """Refuse entries, of size ``gain / sqrt(n)``, that the dtype rounds to 0."""
    least, most, *_ = range_of(frames.dtype)
    lengths = [frames.shape[axis] for axis in frames.order[frames.batch :]]
    largest = max(math.prod(lengths[: frames.rows]), math.prod(lengths[frames.rows :]), 1)
    size = gain / math.sqrt(largest)
    if gain != 0 and not least < size <= gain <= most:
        rule = f"entries of size gain / sqrt({largest}) must fit {frames.dtype.name}"
        got = f"gain={gain:g}, of which it holds {least:.3g} to {most:g}"
        value_error(rule, got, "Use a wider dtype.")


@functools.partial(jax.jit, static_argnames="frames")
def _program(frames: Frames, key: Key, gain: float | jax.Array) -> jax.Array:
    lengths = tuple(frames.shape[axis] for axis in frames.order)
    batch, matrix = lengths[: frames.batch], lengths[frames.batch :]
    rows, columns = math.prod(matrix[: frames.rows]), math.prod(matrix[frames.rows :])
    tall, thin = max(rows, columns), min(rows, columns)

    def values(key: Key, gain: jax.Array) -> jax.Array:
        if 0 in frames.shape:
            return jnp.zeros(frames.shape, frames.dtype)
        q = haar(key, (*batch, tall, thin), frames.dtype)
        q = jnp.swapaxes(q, -1, -2) if rows < columns else q
        if frames.dtype.kind == "c":
            q = lax.complex(rounded_product(gain, q.real), rounded_product(gain, q.imag))
        else:
            q = rounded_product(gain, q)
        q = q.reshape(lengths)
        in_place = q.transpose(tuple(np.argsort(frames.order)))
        in_place = jnp.expand_dims(in_place, tuple(axis for axis, _ in frames.centre))
        for axis, index in frames.centre:
            along = lax.broadcasted_iota(jnp.int32, frames.shape, axis)
            in_place = jnp.where(along == index, in_place, jnp.zeros_like(in_place))
        return in_place.astype(frames.dtype)

    factor = jnp.asarray(gain, wide_dtype(frames.dtype))
    return placed(values, frames.sharding)(key, factor)


def haar(key: Key, shape: tuple[int, ...], dtype: np.dtype[Any]) -> jax.Array:
    """Return matrices with orthonormal columns, of no more columns than rows.

    Args:
        key: One typed key.
        shape: Batch, rows, columns; no length is 0.
        dtype: What the matrices are for; complex ones are unitary.

    Returns:
        The matrices, in the float dtype that is computed in.
    """
    bits = word_bits(dtype)
    if dtype.kind == "c":
        g = lax.complex(*complex_normal(*random_bits(key, shape, bits, 2)))
        q, r = _one_by_one(_qr, g)
        diagonal = jnp.diagonal(r, axis1=-2, axis2=-1)
        phase = diagonal / lax.complex(jnp.abs(diagonal), jnp.zeros_like(diagonal.real))
        return q * phase[..., None, :]
    return _product_of_reflections(normal(random_bits(key, shape, bits, 1)[0]))


def _product_of_reflections(g: jax.Array) -> jax.Array:
    """Return the Q, with positive R, of a matrix whose step ``k`` finds column ``k`` of g.

    Reflection ``k`` is ``1 - tau v v^T`` with ``v_k = 1``, and takes the lower part ``z``
    of the column to ``-sign(z_k) |z| e_k``.
    """
    rows, columns = g.shape[-2:]
    row = lax.broadcasted_iota(jnp.int32, (rows, columns), 0)
    column = lax.broadcasted_iota(jnp.int32, (rows, columns), 1)
    z = jnp.where(row >= column, g, 0)
    head = jnp.diagonal(g, axis1=-2, axis2=-1)
    sign = jnp.where(head < 0, -1, 1).astype(g.dtype)
    signed_norm = sign * jnp.sqrt(_sum_of_rows(rounded_product(z, z)))
    # Of one row nothing is left to reflect: the last step of a square matrix is a sign.
    single = jnp.arange(columns) == rows - 1
    tau = jnp.where(single, 0, (head + signed_norm) / signed_norm)
    v = z / jnp.where(single, 1, head + signed_norm)[..., None, :]
    q = _one_by_one(lax.linalg.householder_product, v, tau)
    return q * jnp.where(single, sign, -sign)[..., None, :]


def _sum_of_rows(x: jax.Array) -> jax.Array:
    """Return the sum over the next to last axis, always added up in one and the same order.

    XLA adds up a batch in another order than one matrix, and vmap would not equal a loop.
    """
    fold = 8
    while (rows := x.shape[-2]) > 1:
        front = [(0, 0)] * (x.ndim - 2)
        x = jnp.pad(x, [*front, (0, -rows % fold), (0, 0)])
        parts = x.reshape(*x.shape[:-2], -1, fold, x.shape[-1])
        x = parts[..., 0, :]
        for part in range(1, fold):
            x = x + parts[..., part, :]
        x = lax.optimization_barrier(x)  # else XLA would repeat each sum for every next one
    return x[..., 0, :]


def _qr(g: jax.Array) -> tuple[jax.Array, jax.Array]:
    q, r = lax.linalg.qr(g, full_matrices=False)
    return q, r


def _one_by_one(f: Callable[..., Any], *arrays: jax.Array) -> Any:
    """Return f of every matrix, also under vmap, one after the other.

    LAPACK calls on whole batches, several in one program, have been seen to wait for each
    other for ever on the CPU (JAX 0.10.2, two threads).
    """
    single = jax.custom_batching.sequential_vmap(f)
    batch = arrays[0].ndim - 2
    for _ in range(batch):
        single = _mapped(single)
    return single(*arrays)


def _mapped(f: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arrays: lax.map(lambda row: f(*row), arrays)
