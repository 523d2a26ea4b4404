"""PyTorch's gains, fans and standard deviations, in PyTorch's operations."""

import math

from jaxinit._checks import check_choice, check_number, check_rank, value_error
from jaxinit._types import Shape

_LINEAR = (
    "linear",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "sigmoid",
)
# torch/nn/init.py, calculate_gain; leaky_relu is computed from its slope.
_GAINS = dict.fromkeys(_LINEAR, 1.0) | {
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
    where = "torch_cpu.calculate_gain"
    check_choice(where, "nonlinearity", nonlinearity, (*_GAINS, "leaky_relu"))
    if nonlinearity != "leaky_relu":
        return _GAINS[nonlinearity]
    slope = 0.01 if param is None else float(check_number(where, "param", param))
    return math.sqrt(2.0 / (1 + slope**2))


def fans(where: str, shape: Shape) -> tuple[int, int]:
    """Return PyTorch's fan_in and fan_out of an ``(out, in, *window)`` shape."""
    lengths = tuple(shape)
    check_rank(where, lengths, 2, "For a bias use uniform or normal with its bounds.")
    if 0 in lengths:
        rule = "shape must have no axis of length 0"
        value_error(where, rule, f"shape={lengths}", "PyTorch fails there, too.")
    window = math.prod(lengths[2:])
    return lengths[1] * window, lengths[0] * window


def xavier_std(where: str, shape: Shape, gain: float) -> float:
    """Return the standard deviation of ``xavier_normal_``."""
    fan_in, fan_out = fans(where, shape)
    return gain * math.sqrt(2.0 / float(fan_in + fan_out))


def kaiming_std(where: str, shape: Shape, a: float, mode: str, nonlinearity: str) -> float:
    """Return the standard deviation of ``kaiming_normal_``."""
    pair = fans(where, shape)
    check_choice(where, "mode", mode, ("fan_in", "fan_out"))
    check_choice(where, "nonlinearity", nonlinearity, (*_GAINS, "leaky_relu"))
    slope = float(check_number(where, "a", a))
    return calculate_gain(nonlinearity, slope) / math.sqrt(pair[mode == "fan_out"])
