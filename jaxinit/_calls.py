"""Calls that XLA compiles by themselves on CPUs."""

from collections.abc import Callable
from typing import Any

from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata


def own_call(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return ``function(*arguments)``, not fused with what is around it on CPUs.

    What XLA fuses with an expression is computed in its loops: over the axes of a reshape
    behind it, or anew for every element that needs a scalar before it.

    Args:
        function: A function made by ``jax.jit``, of one result.
        *arguments: Its arguments.

    Returns:
        The result.
    """

    def alone(*arguments: Any) -> Any:
        return set_xla_metadata(function(*arguments), inlineable="false")

    return lax.platform_dependent(*arguments, cpu=alone, default=function)
