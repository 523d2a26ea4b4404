"""PyTorch's truncated normals, of today and of before; public through `torch_cpu`."""

import functools
import math

import jax
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import value_error
from jaxinit._types import DTypeLike, Shape
from jaxinit.replay import _torch_special, _torch_stream
from jaxinit.replay._arguments import check_draw, check_static, check_stream
from jaxinit.replay._torch_stream import Stream

_DTYPES = "float64", "float32", "bfloat16", "float16"


@functools.partial(boundary, name="torch_cpu.trunc_normal")
def trunc_normal(
    stream: Stream,
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    low: float = -2.0,
    high: float = 2.0,
    dtype: DTypeLike | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``torch.nn.init.trunc_normal_(tensor, mean, std, low, high)`` draws.

    PyTorch 2.13 draws the whole tensor again until every value has once been within the
    bounds, which are absolute, not in standard deviations. For older releases see
    `trunc_normal_inverse`.

    Args:
        stream: The stream.
        shape: Axis lengths.
        mean: Mean of the normal distribution before truncation.
        std: Its standard deviation, above 0.
        low: Lower bound, PyTorch's ``a``.
        high: Upper bound, PyTorch's ``b``, above ``low``. The bounds must hold more than
            0.3 of the distribution: for less PyTorch takes another way, which depends on
            the last bit of a vectorised logarithm.
        dtype: As in `normal`.

    Returns:
        The stream after the draw, and the array.

    Raises:
        ValueError: A number is not finite, or the bounds hold 0.3 of it or less.
        TypeError: The dtype is another, or a number is an array.
    """
    where = "torch_cpu.trunc_normal"
    check_stream(where, stream, Stream)
    lengths, kind = check_draw(where, shape, dtype, _DTYPES, 2)
    mean = check_static(where, "mean", mean)
    std = check_static(where, "std", std, least=0.0)
    low, high = check_static(where, "low", low), check_static(where, "high", high)
    if not (std > 0 and low < high):
        rule = "std must be above 0 and low below high"
        got = f"std={std:g}, low={low:g}, high={high:g}"
        value_error(where, rule, got, "Give bounds that leave room.")
    share = _share(mean, std, low, high)
    if share <= 0.3:
        rule = "the bounds must hold more than 0.3 of the normal distribution"
        got = f"a share of {share:.3g}"
        value_error(where, rule, got, "PyTorch's values cannot be replayed there.")
    small = _torch_stream.is_small((mean, std), kind)
    affine = np.array([mean, std]), np.array([low, high])
    return _torch_special.trunc_normal(stream, *affine, lengths, kind, small)


@functools.partial(boundary, name="torch_cpu.trunc_normal_inverse")
def trunc_normal_inverse(
    stream: Stream,
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    low: float = -2.0,
    high: float = 2.0,
    dtype: DTypeLike | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``trunc_normal_`` of timm, and of PyTorch up to 2.12, draws.

    Uniform numbers go through the inverse distribution function. They are exact; the
    inverse of the error function is correctly rounded, which PyTorch's is but for 3 values
    in 10,000. These differ by one unit in its last place, which can be two of the result,
    or more where the mean is added and cancels.

    Args:
        stream: The stream.
        shape: Axis lengths.
        mean: As in `trunc_normal`.
        std: As in `trunc_normal`.
        low: Lower bound, PyTorch's ``a``.
        high: Upper bound, PyTorch's ``b``, above ``low``.
        dtype: As in `normal`.

    Returns:
        The stream after the draw, and the array.

    Raises:
        ValueError: A number is not finite, or the bounds are not in order.
        TypeError: The dtype is another, or a number is an array.
    """
    check_stream("", stream, Stream)
    lengths, kind = check_draw("", shape, dtype, _DTYPES, 2)
    mean, low = check_static("", "mean", mean), check_static("", "low", low)
    std, high = check_static("", "std", std, least=0.0), check_static("", "high", high)
    if not (std > 0 and low < high):
        rule = "std must be above 0 and low below high"
        got = f"std={std:g}, low={low:g}, high={high:g}"
        value_error("", rule, got, "Give bounds that leave room.")
    numbers = mean, std, low, high
    bounds = _torch_special.uniform_bounds(*numbers)
    affine = np.array(bounds), np.array(numbers)
    return _torch_special.trunc_normal_inverse(stream, *affine, lengths, kind)


def _share(mean: float, std: float, low: float, high: float) -> float:
    def below(x: float) -> float:
        return (1.0 + math.erf((x - mean) / std / math.sqrt(2.0))) / 2.0

    return below(high) - below(low)
