"""The parameters of a PyTorch model."""

from typing import Any

import jax
import numpy as np

from jaxinit._checks import type_error
from jaxinit.replay._torch_record import Tensor


class Parameter(Tensor):
    """A parameter: ``nn.Parameter(data)``, or a shape and what fills it.

    Args:
        data: A tensor, as `zeros`, `ones`, `randn`, ... make; an array, whose values
            are taken; or a shape.
        init: For a shape: a function of `torch_layers.init`, or any function that
            writes into the parameter; or a number. None leaves zeros.
        requires_grad: Does not matter here.

    Raises:
        TypeError: ``init`` is given beside a tensor or an array.

    Example:
        >>> from jaxinit.replay import torch_cpu, torch_layers as nn
        >>> position = nn.Parameter((1, 4, 8), lambda p: nn.init.normal_(p, std=0.02))
        >>> _, state = torch_cpu.build(torch_cpu.manual_seed(0), {"position": position})
        >>> state["position"].shape
        (1, 4, 8)
    """

    def __init__(self, data: Any, init: Any = None, requires_grad: bool = True) -> None:
        filled = isinstance(data, (Tensor, np.ndarray, jax.Array))
        kind = data.dtype if isinstance(data, Tensor) else None
        super().__init__(data.shape if filled else data, dtype=kind)
        self.requires_grad = requires_grad
        if filled and init is not None and not isinstance(init, bool):
            rule = "init fills a parameter that is given as a shape"
            type_error(rule, f"{data!r} with init", "Give its shape instead.")
        if filled:
            self.copy_(data)
        elif callable(init):
            init(self)
        else:
            self.fill_(0.0 if init is None or isinstance(init, bool) else init)
