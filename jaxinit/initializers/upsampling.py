"""Kernels of transposed convolutions that interpolate."""

import math
from typing import Any

import jax
import numpy as np

from jaxinit._checks import check_any_dtype, check_int, check_shape, value_error
from jaxinit._distribution import Descriptor, described
from jaxinit._layout import Layout, resolve_layout, single_axis
from jaxinit._moments import Moments, fixed_moments
from jaxinit._placement import check_out_sharding
from jaxinit._types import DTypeLike, Key, OutSharding, Shape
from jaxinit.initializers.constant import Pattern, check_unused_key, filled, rounded


def _hat(length: int) -> np.ndarray:
    """Return linear interpolation by the factor that a window of that length is for."""
    factor = (length + 1) // 2
    centre = factor - 1 if length % 2 else factor - 0.5
    return 1 - np.abs(np.arange(length) - centre) / factor


def _window(lengths: tuple[int, ...], roles: Layout) -> np.ndarray:
    """Return the kernel of one channel, with length 1 along all other axes."""
    axes = roles.positions("DHW")
    kernel = np.ones((1,) * len(lengths))
    for axis in axes:
        shape = [lengths[axis] if a == axis else 1 for a in range(len(lengths))]
        kernel = kernel * _hat(lengths[axis]).reshape(shape)
    return kernel


def _moments(shape: Shape, _complex: bool, *, groups: Any, layout: Any) -> Moments:
    roles = resolve_layout(tuple(shape), layout)
    inputs, outputs = (math.prod(shape[a] for a in roles.positions(x)) for x in "IO")
    count = max(int(groups), roles.groups)
    held = min(inputs, outputs // count) * count
    return fixed_moments(_window(tuple(shape), roles), held / max(1, inputs * outputs))


@described(Descriptor(_moments, layout="axes", is_fixed=True))
def bilinear(
    key: Key | None,
    shape: Shape,
    dtype: DTypeLike | None = None,
    *,
    groups: int = 1,
    layout: str | Layout | None = None,
    out_sharding: OutSharding = None,
) -> jax.Array:
    r"""Return the kernel of a transposed convolution that interpolates linearly.

    .. math:: W_{x y\,i\,o} = h(x)\,h(y)\,[i = o \bmod (n_{out} / groups)], \qquad
        h(x) = 1 - |x - c| / f, \quad f = \lceil k / 2 \rceil

    with c the centre of the window. A stride of f then enlarges every channel f times, as
    the first guess of a decoder. One window axis gives linear, three trilinear
    interpolation.

    Args:
        key: Not used; any key, or None.
        shape: Axis lengths of the kernel, three to five. For a factor f a window is
            ``2 * f`` long, or ``2 * f - 1``.
        dtype: A float dtype, real or complex; None for JAX's default.
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
        Long, Shelhamer and Darrell, "Fully convolutional networks for semantic
        segmentation", CVPR 2015, section 3.3.

    Elsewhere:
        ``mxnet.init.Bilinear``; Caffe's ``bilinear`` filler. PyTorch, JAX and Keras have
        none.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> jaxinit.bilinear(None, (4, 1, 1))[:, 0, 0].tolist()
        [0.25, 0.75, 0.75, 0.25]
    """
    check_unused_key(key)
    lengths = check_shape(shape)
    if not 3 <= len(lengths) <= 5:
        advice = "Give (window..., in, out)."
        value_error("shape must have 3, 4 or 5 axes", f"shape={lengths}", advice)
    roles = resolve_layout(lengths, layout)
    pair = tuple(single_axis(roles, letter, "IODHW") for letter in "IO")
    count = max(check_int("groups", groups, least=1), roles.groups)
    outputs = lengths[pair[1]]
    if outputs % count:
        got = f"groups={count} for {outputs} outputs"
        value_error("groups must divide the outputs", got, "Use the layer's own.")
    result = check_any_dtype(dtype)
    place = check_out_sharding(out_sharding, lengths)
    period = max(1, outputs // count)
    pattern = Pattern(lengths, result, place, (pair[0], pair[1]), period=period)
    return filled(pattern, rounded("value", _window(lengths, roles), result))
