"""``torch.nn.init`` on the tensors of a model that is being made.

Each function notes what PyTorch's function of this name would draw into the tensor, and
returns the tensor. `torch_cpu` has the same initializers as draws from a stream.
"""

from collections.abc import Callable
from typing import Any

import jax

from jaxinit._boundary import boundary
from jaxinit._checks import check_int, type_error, value_error
from jaxinit.replay import _torch_rules as rules
from jaxinit.replay._signatures import bound, signature
from jaxinit.replay._torch_record import Tensor

calculate_gain = boundary(rules.calculate_gain, "torch_cpu.calculate_gain")


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    return rules.fans(tensor.shape)


def _calculate_correct_fan(tensor: Tensor, mode: str) -> int:
    return rules.fans(tensor.shape)[mode == "fan_out"]


def _plain(number: Any) -> Any:
    """Return an array of one number as that number: it is recorded, and not traced."""
    return float(number) if isinstance(number, jax.Array) else number


def _noted(rule: Callable[..., rules.Draw], options: str) -> Callable[..., Tensor]:
    """Return the function of ``torch.nn.init`` that draws by a rule, of these options."""

    def note(*args: Any, **options: Any) -> Tensor:
        given = bound(note, args, options)
        tensor, generator = given.pop("tensor"), given.pop("generator")
        if generator is not None:
            advice = "Leave it out: the draws are of the stream that build takes."
            type_error("generator must be None", f"{generator!r}", advice)
        kind, numbers = rule(tensor.shape, *map(_plain, given.values()))
        return tensor.write(kind, *numbers)

    note.__name__ = note.__qualname__ = f"{rule.__name__}_"
    note.__doc__ = f"Note ``torch.nn.init.{note.__name__}``."
    vars(note)["__signature__"] = signature(f"tensor, {options}, generator=None")
    return boundary(note)


_KAIMING = "a=0.0, mode='fan_in', nonlinearity='leaky_relu'"
_TRUNCATED = "mean=0.0, std=1.0, a=-2.0, b=2.0"
uniform_ = _noted(rules.uniform, "a=0.0, b=1.0")
normal_ = _noted(rules.normal, "mean=0.0, std=1.0")
xavier_uniform_ = _noted(rules.xavier_uniform, "gain=1.0")
xavier_normal_ = _noted(rules.xavier_normal, "gain=1.0")
kaiming_uniform_ = _noted(rules.kaiming_uniform, _KAIMING)
kaiming_normal_ = _noted(rules.kaiming_normal, _KAIMING)
orthogonal_ = _noted(rules.orthogonal, "gain=1.0")
sparse_ = _noted(rules.sparse, "sparsity, std=0.01")
trunc_normal_ = _noted(rules.trunc_normal, _TRUNCATED)
"""Note ``torch.nn.init.trunc_normal_`` of PyTorch 2.13 and later."""
trunc_normal_inverse_ = _noted(rules.trunc_normal_inverse, _TRUNCATED)
"""Note ``trunc_normal_`` of timm, and of PyTorch up to 2.12: by inverse function."""


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
        value_error(rule, f"shape={tensor.shape}", "Give a matrix.")
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
    check_int("groups", groups, least=1)
    if not 3 <= tensor.ndim <= 5 or tensor.shape[0] % groups:
        rule = "tensor must have three to five axes, the first divisible by groups"
        got = f"shape={tensor.shape}, groups={groups}"
        value_error(rule, got, "Give the weight of a convolution.")
    tensor.zero_()
    middle = tuple(n // 2 for n in tensor.shape[2:])
    for rows in tensor.chunk(groups):
        rows[(slice(None), slice(None), *middle)].diagonal().fill_(1.0)
    return tensor


# PyTorch's older names, which it still has.
uniform, normal, constant, eye, dirac = uniform_, normal_, constant_, eye_, dirac_
xavier_uniform, xavier_normal, sparse = xavier_uniform_, xavier_normal_, sparse_
kaiming_uniform, kaiming_normal = kaiming_uniform_, kaiming_normal_
orthogonal = orthogonal_

__all__ = [
    "calculate_gain", "constant", "constant_", "dirac", "dirac_", "eye", "eye_",
    "kaiming_normal", "kaiming_normal_", "kaiming_uniform", "kaiming_uniform_", "normal",
    "normal_", "ones_", "orthogonal", "orthogonal_", "sparse", "sparse_", "trunc_normal_",
    "trunc_normal_inverse_", "uniform", "uniform_", "xavier_normal", "xavier_normal_",
    "xavier_uniform", "xavier_uniform_", "zeros_",
]  # fmt: skip
