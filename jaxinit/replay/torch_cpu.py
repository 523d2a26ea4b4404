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

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._types import DTypeLike, Shape
from jaxinit.replay import _torch_discrete, _torch_stream, torch_init, torch_layers
from jaxinit.replay import _torch_rules as rules
from jaxinit.replay._arguments import Seed, check_draw, check_seed, check_stream
from jaxinit.replay._torch_special import check_numbers, draw

Stream = _torch_stream.Stream
build, calculate_gain = torch_layers.build, torch_init.calculate_gain
bernoulli, dropout = _torch_discrete.bernoulli, _torch_discrete.dropout
randint, randperm = _torch_discrete.randint, _torch_discrete.randperm

_DTYPES = "float64", "float32", "bfloat16", "float16"


def _drawn(
    stream: Stream,
    shape: Shape,
    dtype: DTypeLike | None,
    rule: Callable[..., rules.Draw],
    *args: Any,
    allowed: tuple[str, ...] = _DTYPES,
    serial: bool = False,
) -> tuple[Stream, jax.Array]:
    check_stream(stream, Stream)
    lengths, kind = check_draw(shape, dtype, allowed, 2)
    what, numbers = rule(lengths, *args)
    check_numbers(what, numbers, kind)
    return draw(stream, lengths, what, numbers, kind, serial)


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
    number = check_seed(seed, least=-(1 << 63), most=(1 << 64) - 1)
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
    return _drawn(stream, shape, dtype, rules.uniform, low, high)


@boundary
def normal(
    stream: Stream,
    shape: Shape,
    mean: float = 0.0,
    std: float = 1.0,
    dtype: DTypeLike | None = None,
    contiguous: bool = True,
) -> tuple[Stream, jax.Array]:
    """Draw what ``torch.nn.init.normal_(tensor, mean, std)`` draws; see `uniform`.

    Args:
        stream: The stream.
        shape: Axis lengths.
        mean: Mean, a Python number.
        std: Standard deviation, at least 0.
        dtype: As in `uniform`.
        contiguous: Whether PyTorch's tensor is; if not, PyTorch draws its values one by
            one, and ``shape`` is that of the storage.

    Returns:
        The stream after the draw, and the array.
    """
    return _drawn(stream, shape, dtype, rules.normal, mean, std, serial=not contiguous)


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
    return _drawn(stream, shape, dtype, rules.xavier_uniform, gain)


@boundary
def xavier_normal(
    stream: Stream, shape: Shape, gain: float = 1.0, dtype: DTypeLike | None = None
) -> tuple[Stream, jax.Array]:
    """Draw what ``torch.nn.init.xavier_normal_`` draws; see `xavier_uniform`."""
    return _drawn(stream, shape, dtype, rules.xavier_normal, gain)


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
    return _drawn(stream, shape, dtype, rules.kaiming_uniform, a, mode, nonlinearity)


@boundary
def kaiming_normal(
    stream: Stream,
    shape: Shape,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    dtype: DTypeLike | None = None,
) -> tuple[Stream, jax.Array]:
    """Draw what ``torch.nn.init.kaiming_normal_`` draws; see `kaiming_uniform`."""
    return _drawn(stream, shape, dtype, rules.kaiming_normal, a, mode, nonlinearity)


@boundary
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
    bounds, which are absolute, not in standard deviations. Where they hold 0.3 of the
    distribution or less, it draws uniform values and accepts each by a logarithm, whose
    last bit depends on the machine: there one value in 10^7 may differ, in bfloat16 and
    float16 one in 10^5. For older releases see `trunc_normal_inverse`.

    Args:
        stream: The stream.
        shape: Axis lengths.
        mean: Mean of the normal distribution before truncation.
        std: Its standard deviation, above 0.
        low: Lower bound, PyTorch's ``a``.
        high: Upper bound, PyTorch's ``b``, above ``low``.
        dtype: As in `normal`.

    Returns:
        The stream after the draw, and the array.

    Raises:
        ValueError: A number is not finite, ``std`` not above 0, or the bounds no interval.
        TypeError: The dtype is another, or a number is an array.
    """
    return _drawn(stream, shape, dtype, rules.trunc_normal, mean, std, low, high)


@boundary
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

    The arguments are those of `trunc_normal`; the bounds may hold any share. Uniform
    numbers go through the inverse distribution function. They are exact; the inverse of
    the error function is correctly rounded, which PyTorch's is but for 3 values in
    10,000. These differ by one unit in its last place, which can be two of the result, or
    more where the mean is added and cancels.

    Returns:
        The stream after the draw, and the array.
    """
    return _drawn(stream, shape, dtype, rules.trunc_normal_inverse, mean, std, low, high)


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
    allowed = _DTYPES[:2]
    return _drawn(stream, shape, dtype, rules.orthogonal, gain, allowed=allowed)


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
    """
    return _drawn(stream, shape, dtype, rules.sparse, sparsity, std)


__all__ = [
    "Stream", "bernoulli", "build", "calculate_gain", "dropout", "kaiming_normal",
    "kaiming_uniform", "manual_seed", "normal", "orthogonal", "randint", "randperm",
    "sparse", "trunc_normal", "trunc_normal_inverse", "uniform", "xavier_normal",
    "xavier_uniform",
]  # fmt: skip
