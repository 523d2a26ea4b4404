"""``torch.nn.init`` on the tensors of a model that is being made.

Each function notes what PyTorch's function of this name would draw into the tensor, and
returns the tensor. `torch_cpu` has the same initializers as draws from a stream.
"""

import math

from jaxinit._boundary import boundary
from jaxinit._checks import check_int, check_number, check_rank, value_error
from jaxinit.replay._torch_record import Tensor
from jaxinit.replay._torch_scales import calculate_gain as _gain
from jaxinit.replay._torch_scales import fans, kaiming_std, xavier_std

calculate_gain = _gain


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    return fans("init", tensor.shape)


@boundary
def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0) -> Tensor:
    """Note ``torch.nn.init.uniform_``."""
    if b < a:
        rule = "b must be at least a"
        value_error("init.uniform_", rule, f"a={a:g}, b={b:g}", "Swap the two.")
    return tensor.write("uniform", a, b)


@boundary
def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Note ``torch.nn.init.normal_``."""
    check_number("init.normal_", "std", std, least=0.0)
    return tensor.write("normal", mean, std)


@boundary
def trunc_normal_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Tensor:
    """Note ``torch.nn.init.trunc_normal_`` of PyTorch 2.13 and later."""
    return tensor.write("trunc_normal", mean, std, a, b)


@boundary
def trunc_normal_inverse_(
    tensor: Tensor, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0
) -> Tensor:
    """Note ``trunc_normal_`` of timm, and of PyTorch up to 2.12: by inverse function."""
    return tensor.write("trunc_normal_inverse", mean, std, a, b)


@boundary
def constant_(tensor: Tensor, val: float) -> Tensor:
    """Note ``torch.nn.init.constant_``."""
    return tensor.fill_(val)


@boundary
def ones_(tensor: Tensor) -> Tensor:
    """Note ``torch.nn.init.ones_``."""
    return tensor.fill_(1.0)


@boundary
def zeros_(tensor: Tensor) -> Tensor:
    """Note ``torch.nn.init.zeros_``."""
    return tensor.fill_(0.0)


@boundary
def eye_(tensor: Tensor) -> Tensor:
    """Note ``torch.nn.init.eye_``.

    Args:
        tensor: A tensor of two axes.

    Returns:
        The tensor.

    Raises:
        ValueError: It has another number of axes.
    """
    if tensor.ndim != 2:
        rule = "tensor must have two axes"
        value_error("init.eye_", rule, f"shape={tensor.shape}", "Give a matrix.")
    tensor.zero_().diagonal().fill_(1.0)
    return tensor


@boundary
def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Note ``torch.nn.init.dirac_``.

    Args:
        tensor: The weight of a convolution, of three to five axes.
        groups: The number of groups, a divisor of the first length.

    Returns:
        The tensor.

    Raises:
        ValueError: The shape or ``groups`` is out of range.
    """
    check_int("init.dirac_", "groups", groups, least=1)
    if not 3 <= tensor.ndim <= 5 or tensor.shape[0] % groups:
        rule = "tensor must have three to five axes, the first divisible by groups"
        got = f"shape={tensor.shape}, groups={groups}"
        value_error("init.dirac_", rule, got, "Give the weight of a convolution.")
    tensor.zero_()
    middle = tuple(n // 2 for n in tensor.shape[2:])
    for rows in tensor.chunk(groups):
        rows[(slice(None), slice(None), *middle)].diagonal().fill_(1.0)
    return tensor


@boundary
def xavier_uniform_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Note ``torch.nn.init.xavier_uniform_``."""
    bound = math.sqrt(3.0) * xavier_std("init.xavier_uniform_", tensor.shape, gain)
    return uniform_(tensor, -bound, bound)


@boundary
def xavier_normal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Note ``torch.nn.init.xavier_normal_``."""
    return normal_(tensor, 0.0, xavier_std("init.xavier_normal_", tensor.shape, gain))


@boundary
def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> Tensor:
    """Note ``torch.nn.init.kaiming_uniform_``."""
    std = kaiming_std("init.kaiming_uniform_", tensor.shape, a, mode, nonlinearity)
    bound = math.sqrt(3.0) * std
    return uniform_(tensor, -bound, bound)


@boundary
def kaiming_normal_(
    tensor: Tensor,
    a: float = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
) -> Tensor:
    """Note ``torch.nn.init.kaiming_normal_``."""
    where = "init.kaiming_normal_"
    return normal_(tensor, 0.0, kaiming_std(where, tensor.shape, a, mode, nonlinearity))


@boundary
def orthogonal_(tensor: Tensor, gain: float = 1.0) -> Tensor:
    """Note ``torch.nn.init.orthogonal_``."""
    check_rank("init.orthogonal_", tensor.shape, 2, "Flatten fewer axes.")
    return tensor.write("orthogonal", gain)


@boundary
def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01) -> Tensor:
    """Note ``torch.nn.init.sparse_``."""
    check_number("init.sparse_", "sparsity", sparsity, least=0.0, most=1.0)
    return tensor.write("sparse", sparsity, std)


__all__ = [
    "calculate_gain", "constant_", "dirac_", "eye_", "kaiming_normal_",
    "kaiming_uniform_", "normal_", "ones_", "orthogonal_", "sparse_", "trunc_normal_",
    "trunc_normal_inverse_", "uniform_", "xavier_normal_", "xavier_uniform_", "zeros_",
]  # fmt: skip
