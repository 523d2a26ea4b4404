"""What PyTorch's initializers draw: for a shape, the kind of a draw and its numbers."""

import math

from jaxinit._checks import check_choice, check_number, check_rank, value_error
from jaxinit.replay._arguments import check_static
from jaxinit.replay._torch_writes import Kind

Shape = tuple[int, ...]
Draw = tuple[Kind, tuple[float, ...]]

_LINEAR = "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d"
# torch/nn/init.py, calculate_gain; leaky_relu is computed from its slope.
_GAINS = dict.fromkeys((*_LINEAR, "conv_transpose3d", "sigmoid"), 1.0) | {
    "tanh": 5.0 / 3,
    "relu": math.sqrt(2.0),
    "selu": 3.0 / 4,
}


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Return PyTorch's gain for a nonlinearity, as a Python float.

    Args:
        nonlinearity: A name that ``torch.nn.init.calculate_gain`` knows.
        param: The negative slope of ``leaky_relu``; None means 0.01.

    Returns:
        The gain.
    """
    check_choice("nonlinearity", nonlinearity, (*_GAINS, "leaky_relu"))
    if nonlinearity != "leaky_relu":
        return _GAINS[nonlinearity]
    slope = 0.01 if param is None else float(check_number("param", param))
    return math.sqrt(2.0 / (1 + slope**2))


def fans(shape: Shape) -> tuple[int, int]:
    """Return PyTorch's fan_in and fan_out of an ``(out, in, *window)`` shape."""
    check_rank(shape, 2, "For a bias use uniform or normal with its bounds.")
    if 0 in shape:
        rule = "shape must have no axis of length 0"
        value_error(rule, f"shape={shape}", "PyTorch fails there, too.")
    window = math.prod(shape[2:])
    return shape[1] * window, shape[0] * window


def uniform(_: Shape, low: float = 0.0, high: float = 1.0) -> Draw:
    """Draw between two bounds."""
    low, high = check_static("low", low), check_static("high", high)
    if high < low:
        rule, got = "high must be at least low", f"low={low:g}, high={high:g}"
        value_error(rule, got, "Swap the two.")
    return "uniform", (low, high)


def normal(_: Shape, mean: float = 0.0, std: float = 1.0) -> Draw:
    """Draw of a mean and a standard deviation."""
    mean, std = check_static("mean", mean), check_static("std", std, least=0.0)
    return "normal", (mean, std)


def _xavier(shape: Shape, gain: float) -> float:
    gain, pair = check_static("gain", gain, least=0.0), fans(shape)
    return gain * math.sqrt(2.0 / float(sum(pair)))


def xavier_uniform(shape: Shape, gain: float = 1.0) -> Draw:
    """Draw with a scale from both fans."""
    bound = math.sqrt(3.0) * _xavier(shape, gain)
    return uniform(shape, -bound, bound)


def xavier_normal(shape: Shape, gain: float = 1.0) -> Draw:
    """Draw with a scale from both fans."""
    return normal(shape, 0.0, _xavier(shape, gain))


def _kaiming(shape: Shape, a: float, mode: str, nonlinearity: str) -> float:
    pair = fans(shape)
    check_choice("mode", mode, ("fan_in", "fan_out"))
    check_choice("nonlinearity", nonlinearity, (*_GAINS, "leaky_relu"))
    slope = float(check_number("a", a))
    return calculate_gain(nonlinearity, slope) / math.sqrt(pair[mode == "fan_out"])


def kaiming_uniform(
    shape: Shape, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Draw:
    """Draw with a scale from one fan."""
    bound = math.sqrt(3.0) * _kaiming(shape, a, mode, nonlinearity)
    return uniform(shape, -bound, bound)


def kaiming_normal(
    shape: Shape, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu"
) -> Draw:
    """Draw with a scale from one fan."""
    return normal(shape, 0.0, _kaiming(shape, a, mode, nonlinearity))


def trunc_normal_inverse(
    _: Shape, mean: float = 0.0, std: float = 1.0, low: float = -2.0, high: float = 2.0
) -> Draw:
    """Draw within bounds, by the inverse of the distribution function."""
    mean, low = check_static("mean", mean), check_static("low", low)
    std, high = check_static("std", std, least=0.0), check_static("high", high)
    if not (std > 0 and low < high):
        rule = "std must be above 0 and low below high"
        got = f"std={std:g}, low={low:g}, high={high:g}"
        value_error(rule, got, "Give bounds that leave room.")
    return "trunc_normal_inverse", (mean, std, low, high)


def trunc_normal(
    shape: Shape, mean: float = 0.0, std: float = 1.0, low: float = -2.0, high: float = 2.0
) -> Draw:
    """Draw within bounds, again and again."""
    return "trunc_normal", trunc_normal_inverse(shape, mean, std, low, high)[1]


def orthogonal(shape: Shape, gain: float = 1.0) -> Draw:
    """Draw a normal matrix and make it orthogonal."""
    check_rank(shape, 2, "An orthogonal vector has no meaning.")
    return "orthogonal", (check_static("gain", gain),)


def sparse(shape: Shape, sparsity: float, std: float = 0.01) -> Draw:
    """Draw normals, and some zeros in each column."""
    if len(shape) != 2:
        rule = "shape must have two axes"
        value_error(rule, f"shape={shape}", "Reshape the result instead.")
    share = float(check_number("sparsity", sparsity, least=0.0, most=1.0))
    return "sparse", (share, check_static("std", std, least=0.0))
