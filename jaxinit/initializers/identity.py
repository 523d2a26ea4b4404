"""Identity matrices and Dirac kernels."""

import math
from typing import Any

import jax

from jaxinit._checks import (
    check_any_dtype,
    check_int,
    check_number,
    check_rank,
    check_shape,
    value_error,
)
from jaxinit._distribution import Descriptor, described
from jaxinit._layout import Layout, resolve_layout, single_axis
from jaxinit._moments import Moments, fixed_moments
from jaxinit._placement import check_out_sharding
from jaxinit._types import DTypeLike, Key, OutSharding, Scalar, Shape
from jaxinit.initializers.constant import Pattern, check_unused_key, filled, rounded


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
