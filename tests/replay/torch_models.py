"""Building a model with ours and with PyTorch."""

import math
import types

from jaxinit.replay import torch_cpu
from tests.replay.golden import from_torch


def build(model, seed, dtype="float32"):
    return torch_cpu.build(torch_cpu.manual_seed(seed), model, dtype)


class Library:
    """PyTorch under the one name that the README's constructors use."""

    def __init__(self, torch):
        self.torch = torch
        inverse = {"trunc_normal_inverse_": self.inverse}
        self.init = types.SimpleNamespace(**{**vars(torch.nn.init), **inverse})

    def inverse(self, tensor, mean=0.0, std=1.0, a=-2.0, b=2.0):
        low, high = ((1 + math.erf((x - mean) / std / 2**0.5)) / 2 for x in (a, b))
        with self.torch.no_grad():
            tensor.uniform_(2 * low - 1, 2 * high - 1).erfinv_()
            return tensor.mul_(std * math.sqrt(2.0)).add_(mean).clamp_(min=a, max=b)

    def __getattr__(self, name):
        if hasattr(self.torch.nn, name):
            return getattr(self.torch.nn, name)
        return getattr(self.torch, name)


def theirs(torch, make, seed):
    torch.manual_seed(seed)
    with torch.no_grad():
        model = make(Library(torch))
    state = {k: v for k, v in model.state_dict().items() if "num_batches" not in k}
    return model, {k: from_torch(v) for k, v in state.items()}
