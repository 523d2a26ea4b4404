"""PyTorch's CPU stream: the values after ``torch.manual_seed(seed)``.

Proved against PyTorch 2.13.0 on x86-64 Linux with AVX-512, CPU capability AVX2 or
AVX512. Each function draws what the function of PyTorch of its name draws from the
default generator into a contiguous CPU tensor.

- float32, bfloat16, float16: every bit. Below 16 values PyTorch computes in double
  precision with the C library, and so does this.
- float64: every bit, where the C library has the same logarithm, sine and cosine.
- `orthogonal` goes through LAPACK, so it agrees to rounding errors only.

A tensor that is not contiguous is filled in the order of its storage: draw the shape of
the storage, and transpose; for `normal` say ``contiguous=False``.

Not this stream: CUDA devices, ``ATEN_CPU_CAPABILITY=default``, and other processors.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_number, check_rank, value_error
from jaxinit._types import DTypeLike, Shape
from jaxinit.replay import (
    _torch_discrete,
    _torch_scales,
    _torch_special,
    _torch_stream,
    _torch_truncated,
    torch_layers,
)
from jaxinit.replay._arguments import (
    Seed,
    check_draw,
    check_range,
    check_seed,
    check_static,
    check_stream,
)
from jaxinit.replay._torch_scales import kaiming_std, xavier_std

Stream = _torch_stream.Stream
build = torch_layers.build
bernoulli, dropout = _torch_discrete.bernoulli, _torch_discrete.dropout
randint, randperm = _torch_discrete.randint, _torch_discrete.randperm
trunc_normal = _torch_truncated.trunc_normal
trunc_normal_inverse = _torch_truncated.trunc_normal_inverse
calculate_gain = _torch_scales.calculate_gain

_DTYPES = "float64", "float32", "bfloat16", "float16"


@boundary
def manual_seed(seed: Seed) -> Stream:
    """Return the stream as it stands after ``torch.manual_seed(seed)``.

    Args:
        seed: An int from -2^63 to 2^64 - 1, or an integer array of rank 0, which may be
            traced and vmapped over. Only its low 32 bits count, as in PyTorch.

    Returns:
        The stream.

    Raises:
        ValueError: The seed is out of range.
        TypeError: The seed is no int.

    Example:
        >>> from jaxinit.replay import torch_cpu
        >>> stream = torch_cpu.manual_seed(0)
        >>> stream, w = torch_cpu.uniform(stream, (2, 2))
        >>> [round(float(x), 4) for x in w.ravel()]  # torch.rand(2, 2)
        [0.4963, 0.7682, 0.0885, 0.132]
    """
    where = "torch_cpu.manual_seed"
    number = check_seed(where, seed, least=-(1 << 63), most=(1 << 64) - 1)
    if isinstance(number, int):
        number = np.uint32(number & 0xFFFFFFFF)
    return _torch_stream.start(jnp.asarray(number))


@boundary
def uniform(
    stream: Stream,
    shape: Shape,
    low: float = 0.0,
    high: float = 1.0,
    dtype: DTypeLike | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``torch.nn.init.uniform_(tensor, low, high)`` draws.

    Args:
        stream: The stream.
        shape: Axis lengths.
        low: Lower bound, a Python number.
        high: Upper bound, at least ``low``.
        dtype: float32, bfloat16, float16 or float64; None means JAX's default float.

    Returns:
        The stream after the draw, and the array.

    Raises:
        ValueError: A bound is not finite, ``high < low``, or the shape is too large.
        TypeError: The dtype is another, or a bound is an array.
    """
    where = "torch_cpu.uniform"
    check_stream(where, stream, Stream)
    lengths, kind = check_draw(where, shape, dtype, _DTYPES, 2)
    low = check_static(where, "low", low)
    high = check_static(where, "high", high)
    if high < low:
        rule = "high must be at least low"
        value_error(where, rule, f"low={low:g}, high={high:g}", "Swap the two.")
    check_range(where, kind, low=low, high=high, width=high - low)
    return _torch_stream.uniform(stream, lengths, (low, high), kind)


@boundary
def normal(
    stream: Stream,
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    dtype: DTypeLike | None = None,
    contiguous: bool = True,
) -> tuple[Stream, jax.Array]:
    """Draw what ``torch.nn.init.normal_(tensor, mean, std)`` draws.

    Args:
        stream: The stream.
        shape: Axis lengths.
        mean: Mean, a Python number.
        std: Standard deviation, at least 0.
        dtype: float32, bfloat16, float16 or float64; None means JAX's default float.
        contiguous: Whether PyTorch's tensor is; if not, PyTorch draws its values one by
            one, and ``shape`` is that of the storage.

    Returns:
        The stream after the draw, and the array.

    Raises:
        ValueError: A number is not finite, ``std < 0``, or the shape is too large.
        TypeError: The dtype is another, or a number is an array.
    """
    where = "torch_cpu.normal"
    check_stream(where, stream, Stream)
    lengths, kind = check_draw(where, shape, dtype, _DTYPES, 2)
    mean = check_static(where, "mean", mean)
    std = check_static(where, "std", std, least=0.0)
    check_range(where, kind, mean=mean, std=std)
    return _torch_stream.normal(stream, lengths, (mean, std), kind, not contiguous)


@boundary
def xavier_uniform(
    stream: Stream, shape: Shape, gain: float = 1.0, dtype: DTypeLike | None = None
) -> tuple[Stream, jax.Array]:
    """Draw what ``torch.nn.init.xavier_uniform_(tensor, gain)`` draws.

    Args:
        stream: The stream.
        shape: Axis lengths in PyTorch's layout ``(out, in, *window)``.
        gain: Factor on the standard deviation.
        dtype: As in `uniform`.

    Returns:
        The stream after the draw, and the array.
    """
    where = "torch_cpu.xavier_uniform"
    lengths, _ = check_draw(where, shape, dtype, _DTYPES, 2)
    gain = check_static(where, "gain", gain, least=0.0)
    bound = math.sqrt(3.0) * xavier_std(where, lengths, gain)
    return uniform(stream, lengths, -bound, bound, dtype)


@boundary
def xavier_normal(
    stream: Stream, shape: Shape, gain: float = 1.0, dtype: DTypeLike | None = None
) -> tuple[Stream, jax.Array]:
    """Draw what ``torch.nn.init.xavier_normal_(tensor, gain)`` draws.

    Args:
        stream: The stream.
        shape: Axis lengths in PyTorch's layout ``(out, in, *window)``.
        gain: Factor on the standard deviation.
        dtype: As in `normal`.

    Returns:
        The stream after the draw, and the array.
    """
    where = "torch_cpu.xavier_normal"
    lengths, _ = check_draw(where, shape, dtype, _DTYPES, 2)
    gain = check_static(where, "gain", gain, least=0.0)
    std = xavier_std(where, lengths, gain)
    return normal(stream, lengths, 0.0, std, dtype)


@boundary
def kaiming_uniform(
    stream: Stream,
    shape: Shape,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    dtype: DTypeLike | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``torch.nn.init.kaiming_uniform_`` draws.

    Args:
        stream: The stream.
        shape: Axis lengths in PyTorch's layout ``(out, in, *window)``.
        a: Negative slope, used with ``leaky_relu`` alone.
        mode: ``"fan_in"`` or ``"fan_out"``.
        nonlinearity: A name that `calculate_gain` knows.
        dtype: As in `uniform`.

    Returns:
        The stream after the draw, and the array.
    """
    where = "torch_cpu.kaiming_uniform"
    lengths, _ = check_draw(where, shape, dtype, _DTYPES, 2)
    bound = math.sqrt(3.0) * kaiming_std(where, lengths, a, mode, nonlinearity)
    return uniform(stream, lengths, -bound, bound, dtype)


@boundary
def kaiming_normal(
    stream: Stream,
    shape: Shape,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    dtype: DTypeLike | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``torch.nn.init.kaiming_normal_`` draws.

    Args:
        stream: The stream.
        shape: Axis lengths in PyTorch's layout ``(out, in, *window)``.
        a: Negative slope, used with ``leaky_relu`` alone.
        mode: ``"fan_in"`` or ``"fan_out"``.
        nonlinearity: A name that `calculate_gain` knows.
        dtype: As in `normal`.

    Returns:
        The stream after the draw, and the array.
    """
    where = "torch_cpu.kaiming_normal"
    lengths, _ = check_draw(where, shape, dtype, _DTYPES, 2)
    std = kaiming_std(where, lengths, a, mode, nonlinearity)
    return normal(stream, lengths, 0.0, std, dtype)


@boundary
def orthogonal(
    stream: Stream, shape: Shape, gain: float = 1.0, dtype: DTypeLike | None = None
) -> tuple[Stream, jax.Array]:
    """Draw what ``torch.nn.init.orthogonal_(tensor, gain)`` draws.

    The normal matrix is PyTorch's in every bit; its QR decomposition goes through the
    LAPACK that JAX brings. No value differs by more than ``4 eps c |gain|``, where c is
    the condition number of the matrix and eps is 2^-24 in float32, 2^-53 in float64. For
    a square matrix of n rows c is about n, but 100 n once in 50 seeds.

    Args:
        stream: The stream.
        shape: Axis lengths, at least two; all but the first are taken as one.
        gain: Factor on the orthogonal matrix.
        dtype: float32 or float64; None means JAX's default float.

    Returns:
        The stream after the draw, and the array.

    Raises:
        ValueError: The shape has fewer than two axes.
        TypeError: The dtype is another.
    """
    where = "torch_cpu.orthogonal"
    check_stream(where, stream, Stream)
    lengths, kind = check_draw(where, shape, dtype, _DTYPES[:2], 2)
    check_rank(where, lengths, 2, "An orthogonal vector has no meaning.")
    gain = check_static(where, "gain", gain)
    if 0 in lengths:
        return stream, jnp.zeros(lengths, kind)
    return _torch_special.orthogonal(stream, np.float64(gain), lengths, kind)


@boundary
def sparse(
    stream: Stream,
    shape: Shape,
    sparsity: float,
    std: float = 0.01,
    dtype: DTypeLike | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``torch.nn.init.sparse_(tensor, sparsity, std)`` draws.

    Args:
        stream: The stream.
        shape: Two axis lengths ``(rows, columns)``.
        sparsity: Share of zeros in each column, from 0 to 1, rounded up.
        std: Standard deviation of the other values.
        dtype: As in `normal`.

    Returns:
        The stream after the draw, and the array.

    Raises:
        ValueError: The shape has not two axes, or ``sparsity`` is out of range.
        TypeError: The dtype is another.
    """
    where = "torch_cpu.sparse"
    check_stream(where, stream, Stream)
    lengths, kind = check_draw(where, shape, dtype, _DTYPES, 2)
    if len(lengths) != 2:
        rule = "shape must have two axes"
        value_error(where, rule, f"shape={lengths}", "Reshape the result instead.")
    share = float(check_number(where, "sparsity", sparsity, least=0.0, most=1.0))
    std = check_static(where, "std", std, least=0.0)
    zeros = math.ceil(share * lengths[0])
    affine, small = np.array([0.0, std]), _torch_stream.is_small((0.0, std), kind)
    return _torch_special.sparse(stream, affine, lengths, zeros, kind, small)


__all__ = [
    "Stream", "bernoulli", "build", "calculate_gain", "dropout", "kaiming_normal",
    "kaiming_uniform", "manual_seed", "normal", "orthogonal", "randint", "randperm",
    "sparse", "trunc_normal", "trunc_normal_inverse", "uniform", "xavier_normal",
    "xavier_uniform",
]  # fmt: skip
