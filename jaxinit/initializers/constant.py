"""Weights without chance: constants, identities and Dirac kernels."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinit._checks import (
    NARROW_FLOATS,
    check_any_dtype,
    check_int,
    check_key,
    check_number,
    check_rank,
    check_shape,
    is_traced,
    type_error,
    value_error,
)
from jaxinit._distribution import Descriptor, described
from jaxinit._layout import Layout, resolve_layout, single_axis
from jaxinit._moments import Moments, fixed_moments
from jaxinit._placement import check_out_sharding, handed_over, mesh_context, placed
from jaxinit._types import DTypeLike, Key, OutSharding, Scalar, Shape


@dataclasses.dataclass(frozen=True)
class Pattern:
    """Where an array is not zero.

    Attributes:
        shape: Axis lengths.
        dtype: Dtype of the result.
        sharding: Placement of the result, or None.
        pair: Two axes whose coordinates must agree, or None.
        period: The second coordinate of the pair counts modulo this.
        fixed: Axes whose coordinate must be the given one.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    sharding: OutSharding
    pair: tuple[int, int] | None = None
    period: int = 1
    fixed: tuple[tuple[int, int], ...] = ()


def filled(pattern: Pattern, value: Any) -> jax.Array:
    """Return the value, broadcast, where the pattern holds, and 0 elsewhere."""
    with mesh_context(pattern.sharding):
        return _fill(pattern, handed_over(value))


@functools.partial(jax.jit, static_argnames="pattern")
def _fill(pattern: Pattern, value: jax.Array) -> jax.Array:
    """Return the value, broadcast, where the pattern holds, and 0 elsewhere."""
    wide = max(pattern.shape, default=0) > 2**32
    word = jnp.uint64 if wide else jnp.uint32

    def along(axis: int) -> jax.Array:
        return lax.broadcasted_iota(word, pattern.shape, axis)

    def values(value: jax.Array) -> jax.Array:
        result = jnp.broadcast_to(value.astype(pattern.dtype), pattern.shape)
        zero = jnp.zeros_like(result)
        if pattern.pair is not None:
            first, second = pattern.pair
            with jax.enable_x64(True) if wide else contextlib.nullcontext():
                agree = along(first) == along(second) % word(pattern.period)
            result = jnp.where(agree, result, zero)
        for axis, index in pattern.fixed:
            with jax.enable_x64(True) if wide else contextlib.nullcontext():
                there = along(axis) == word(index)
            result = jnp.where(there, result, zero)
        return result

    return placed(values, pattern.sharding)(value)


def _constant_moments(_shape: Shape, _complex: bool, *, value: Any = 0.0) -> Moments:
    return fixed_moments(value)


@described(Descriptor(_constant_moments, is_fixed=True))
def zeros(
    key: Key | None,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: OutSharding = None,
) -> jax.Array:
    """Return zeros, as biases mostly begin.

    Args:
        key: Not used; any key, or None.
        shape: Axis lengths; any rank.
        dtype: Any dtype; None for JAX's default float.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: ``shape`` has a negative length.
        TypeError: An argument is of the wrong kind.

    Elsewhere:
        ``torch.nn.init.zeros_`` and ``jax.nn.initializers.zeros``.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> jaxinit.zeros(jax.random.key(0), (3,)).tolist()
        [0.0, 0.0, 0.0]
    """
    return _constant(key, shape, dtype, 0.0, out_sharding)


@described(Descriptor(functools.partial(_constant_moments, value=1.0), is_fixed=True))
def ones(
    key: Key | None,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    out_sharding: OutSharding = None,
) -> jax.Array:
    """Return ones, as scales mostly begin.

    Args:
        key: Not used; any key, or None.
        shape: Axis lengths; any rank.
        dtype: Any dtype; None for JAX's default float.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: ``shape`` has a negative length.
        TypeError: An argument is of the wrong kind.

    Elsewhere:
        ``torch.nn.init.ones_`` and ``jax.nn.initializers.ones``.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> jaxinit.ones(jax.random.key(0), (3,)).tolist()
        [1.0, 1.0, 1.0]
    """
    return _constant(key, shape, dtype, 1.0, out_sharding)


@described(Descriptor(_constant_moments, is_fixed=True))
def constant(
    key: Key | None,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    value: Scalar | complex | Sequence[Any],
    out_sharding: OutSharding = None,
) -> jax.Array:
    """Return one value everywhere, or an array spread over the shape.

    Args:
        key: Not used; any key, or None.
        shape: Axis lengths; any rank.
        dtype: Any dtype; None for JAX's default float. The value is rounded to it once.
        value: A number, or an array that broadcasts to ``shape``. May be traced.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: ``value`` does not broadcast to ``shape``, or ``dtype`` cannot hold it.
        TypeError: An argument is of the wrong kind.

    Elsewhere:
        ``torch.nn.init.constant_`` (``val``) and ``jax.nn.initializers.constant``.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> jaxinit.constant(jax.random.key(0), (2, 2), value=[0.5, 2.0]).tolist()
        [[0.5, 2.0], [0.5, 2.0]]
    """
    return _constant(key, shape, dtype, value, out_sharding)


def _identity_moments(shape: Shape, _complex: bool, *, gain: Any, layout: Any) -> Moments:
    axes = "B" * (len(shape) - 2) + "IO"
    roles = resolve_layout(tuple(shape), layout or Layout(axes))
    pair = [shape[a] for a in roles.positions("IO")]
    return fixed_moments(gain, min(pair) / max(1, math.prod(pair)))


@described(Descriptor(_identity_moments, gain="gain", layout="axes", is_fixed=True))
def identity(
    key: Key | None,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    gain: Scalar = 1.0,
    layout: str | Layout | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Return the weights of a linear layer that hands its input on.

    .. math:: W_{io} = gain \, [i = o]

    A rectangular weight keeps the first inputs, and gives 0 for outputs beyond them.

    Args:
        key: Not used; any key, or None.
        shape: Axis lengths, two or more. By default the last two are (in, out) and those in
            front a batch.
        dtype: Any dtype; None for JAX's default float.
        gain: Value on the diagonal, dimensionless. May be traced.
        layout: The role of each axis: one ``I``, one ``O``, the rest ``B``.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: ``layout`` does not fit ``shape``, or ``dtype`` cannot hold the gain.
        TypeError: An argument is of the wrong kind.

    Elsewhere:
        ``torch.nn.init.eye_`` takes two axes only and has no gain; Keras' Identity takes
        two axes. JAX has none. For a convolution use ``dirac``.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> jaxinit.identity(jax.random.key(0), (2, 3)).tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """
    check_unused_key(key)
    lengths = check_shape(shape)
    check_rank(lengths, 2, "Give (in, out).")
    roles = layout if layout is not None else Layout("B" * (len(lengths) - 2) + "IO")
    roles = resolve_layout(lengths, roles)
    pair = single_axis(roles, "I", "IOB"), single_axis(roles, "O", "IOB")
    result = check_any_dtype(dtype)
    number = check_number("gain", gain)
    pattern = Pattern(
        lengths,
        result,
        check_out_sharding(out_sharding, lengths),
        pair,
        period=max(1, lengths[pair[1]]),
    )
    return filled(pattern, rounded("gain", number, result))


def _dirac_moments(shape: Shape, _complex: bool, *, groups: Any, layout: Any) -> Moments:
    roles = resolve_layout(tuple(shape), layout)
    inputs, outputs = (math.prod(shape[a] for a in roles.positions(x)) for x in "IO")
    count = max(int(groups), roles.groups)
    held = min(inputs, outputs // count) * count
    return fixed_moments(1.0, held / max(1, math.prod(shape)))


@described(Descriptor(_dirac_moments, layout="axes", is_fixed=True))
def dirac(
    key: Key | None,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    groups: int = 1,
    layout: str | Layout | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Return the kernel of a convolution that hands its input on.

    .. math:: W_{c\,i\,o} = [c = \lfloor k / 2 \rfloor]\,[i = o \bmod (n_{out} / groups)]

    Each group of outputs repeats the first inputs of its own group. With stride 1 and
    ``SAME`` padding an odd window returns the input itself.

    Args:
        key: Not used; any key, or None.
        shape: Axis lengths of the kernel, three to five.
        dtype: Any dtype; None for JAX's default float.
        groups: Feature groups of the convolution, at least 1.
        layout: The role of each axis: one ``I``, one ``O``, the rest window; None for
            ``"IO"`` with window axes in front. A ``Layout`` may state the groups itself.
        out_sharding: Where the result is to live, as in ``jax.nn.initializers``.

    Returns:
        An array of exactly ``shape`` and ``dtype``.

    Raises:
        ValueError: The rank is not 3, 4 or 5, ``layout`` does not fit, or ``groups`` do not
            divide the outputs.
        TypeError: An argument is of the wrong kind.

    References:
        Zagoruyko and Komodakis, "DiracNets", 2017, section 2, for the idea.

    Elsewhere:
        ``torch.nn.init.dirac_``, the same up to its layout, ``"OIHW"``. The centre of an
        even window is ``k // 2``, where ``delta_orthogonal`` takes ``(k - 1) // 2``.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> w = jaxinit.dirac(jax.random.key(0), (3, 3, 8, 16))
        >>> int(w.sum()), bool((w[1, 1] == jaxinit.identity(None, (8, 16))).all())
        (8, True)
    """
    check_unused_key(key)
    lengths = check_shape(shape)
    if not 3 <= len(lengths) <= 5:
        rule = "shape must have 3, 4 or 5 axes"
        value_error(rule, f"shape={lengths}", "For a dense layer use identity.")
    roles = resolve_layout(lengths, layout)
    first = single_axis(roles, "I", "IODHW")
    second = single_axis(roles, "O", "IODHW")
    count = check_int("groups", groups, least=1)
    if roles.groups != 1 and count not in {1, roles.groups}:
        got = f"groups={count} and layout.groups={roles.groups}"
        value_error("groups must be stated once", got, "Leave one out.")
    count = max(count, roles.groups)
    if lengths[second] % count:
        got = f"groups={count} for {lengths[second]} outputs"
        value_error("groups must divide the outputs", got, "Use the layer's own.")
    result = check_any_dtype(dtype)
    window = roles.positions("DHW")
    pattern = Pattern(
        lengths,
        result,
        check_out_sharding(out_sharding, lengths),
        (first, second),
        period=max(1, lengths[second] // count),
        fixed=tuple((axis, lengths[axis] // 2) for axis in window),
    )
    return filled(pattern, result.type(1))


def _constant(
    key: Key | None,
    shape: Shape,
    dtype: DTypeLike | None,
    value: Any,
    out_sharding: OutSharding,
) -> jax.Array:
    check_unused_key(key)
    lengths = check_shape(shape)
    result = check_any_dtype(dtype)
    fill_value = rounded("value", value, result)
    try:
        fits = np.broadcast_shapes(fill_value.shape, lengths) == lengths
    except ValueError:
        fits = False
    if not fits:
        got = f"value of shape {fill_value.shape} for shape={lengths}"
        value_error("value must broadcast to shape", got, "Give one number.")
    sharding = check_out_sharding(out_sharding, lengths)
    return filled(Pattern(lengths, result, sharding), fill_value)


def check_unused_key(key: Key | None) -> None:
    """Refuse what is neither a key nor None."""
    if key is not None:
        check_key(key)


def rounded(name: str, value: Any, dtype: np.dtype[Any]) -> Any:
    """Return the value in the dtype, refusing one that the dtype cannot hold."""
    if is_traced(value):
        return value
    try:
        exact = np.asarray(value)
    except ValueError:
        exact = np.asarray(None)
    if not (
        np.issubdtype(exact.dtype, np.number) or jnp.issubdtype(exact.dtype, np.floating)
    ):
        rule = f"{name} must be a number or an array of numbers"
        type_error(rule, f"{name}={value!r}", "Give a float.")
    if dtype.kind == "c" or exact.dtype.kind != "c":
        wide = exact.astype(np.complex128 if dtype.kind == "c" else np.float64)
        with np.errstate(all="ignore"):
            result = _once(wide, dtype)
            back = result.astype(wide.dtype)
        whole = jnp.issubdtype(dtype, np.integer) or dtype == np.bool_
        held = (back == wide) if whole else np.isfinite(back) & ((back != 0) | (wide == 0))
        if bool(np.all(held)):
            return result
    rule = f"{name} must be a finite number that {dtype.name} can hold"
    shown = f"{exact.item():g}" if exact.size == 1 else f"an array of shape {exact.shape}"
    value_error(rule, f"{name}={shown}", "Use a wider dtype.")


def _once(wide: np.ndarray, dtype: np.dtype[Any]) -> np.ndarray:
    """Return float64 values rounded once: NumPy reaches narrow floats by way of float32.

    Rounded to odd there, a value on its way keeps the side of every tie that it is on.

    Args:
        wide: The values.
        dtype: What they are rounded to.

    Returns:
        The values in the dtype.
    """
    if dtype.name not in NARROW_FLOATS:
        return wide.astype(dtype)
    near = wide.astype(np.float32)
    inward = np.where(np.abs(near) > np.abs(wide), np.nextafter(near, np.float32(0)), near)
    sticky = (inward != wide) & np.isfinite(near)
    odd = inward.view(np.uint32) | sticky.astype(np.uint32)
    return odd.view(np.float32).astype(dtype)
