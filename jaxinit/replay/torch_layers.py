"""``torch.nn`` for models that are made from a seed and never run: use it as ``nn``.

The classes have PyTorch's names, arguments and order of arguments, so a model's own
constructor works as it is: ``class Net(nn.Module)``, ``nn.Sequential``, ``nn.init``,
``model.apply(fn)``, ``for m in model.modules()``. `build` draws what PyTorch would have
drawn and returns the state dict; `jaxinit.replay.layouts` turns it into the parameters
of Flax, NNX, Haiku and Equinox.
"""

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_dtype, type_error, value_error
from jaxinit._types import DTypeLike
from jaxinit.replay import (
    _torch_basic,
    _torch_layer,
    _torch_module,
    _torch_parameter,
    _torch_plain,
    _torch_recurrent,
    _torch_tensors,
    torch_init,
)
from jaxinit.replay._torch_basic import *  # noqa: F403
from jaxinit.replay._torch_layer import *  # noqa: F403
from jaxinit.replay._torch_module import *  # noqa: F403
from jaxinit.replay._torch_module import Module
from jaxinit.replay._torch_plain import *  # noqa: F403
from jaxinit.replay._torch_plan import execute
from jaxinit.replay._torch_record import Device, Tensor, View
from jaxinit.replay._torch_recurrent import *  # noqa: F403
from jaxinit.replay._torch_stream import Stream
from jaxinit.replay._torch_tensors import *  # noqa: F403
from jaxinit.replay._torch_values import (
    computing_in,
    default_dtype,
    is_known,
    values,
)
from jaxinit.replay._torch_writes import Write, recorded

init = torch_init
Parameter = boundary(_torch_parameter.Parameter, "torch_layers.Parameter")

Model = Any
"""A function that makes a model; a module; or lists and dicts of modules, in which None
stands for a module without parameters, such as an activation."""


class _Functional:
    """``torch.nn.functional``: constructors name its functions; only ``pad`` is called."""

    @staticmethod
    def pad(
        x: Tensor, pad: Sequence[int], mode: str = "constant", value: float = 0
    ) -> Tensor:
        """Return a tensor with constants around it; the last axis is first in ``pad``."""
        check_choice("mode", mode, ("constant",))
        pairs = [(0, 0)] * x.ndim
        for i in range(len(pad) // 2):
            pairs[-1 - i] = pad[2 * i], pad[2 * i + 1]
        sides = list(zip(pairs, x.shape, strict=True))
        wide = Tensor(tuple(a + n + b for (a, b), n in sides))
        wide.fill_(value)[tuple(slice(a, a + n) for (a, _), n in sides)] = x
        return wide

    def __getattr__(self, name: str) -> str:
        return f"torch.nn.functional.{name}"


functional, get_default_dtype, device = _Functional(), default_dtype, Device
nn = modules = parameter = sys.modules[__name__]  # for torch.nn.modules.Linear and so on
batchnorm = conv = dropout = instancenorm = linear = normalization = modules
_BatchNorm, _ConvNd, _InstanceNorm, _NormBase = BatchNorm, Conv, InstanceNorm, Norm  # noqa: F405


_DTYPES = {
    **dict.fromkeys(("float", "float32"), np.dtype(np.float32)),
    **dict.fromkeys(("double", "float64"), np.dtype(np.float64)),
    **dict.fromkeys(("half", "float16"), np.dtype(np.float16)),
    **dict.fromkeys(("long", "int64"), np.dtype(np.int64)),
    **dict.fromkeys(("int", "int32"), np.dtype(np.int32)),
    **{name: np.dtype(name) for name in ("bool", "int16", "int8", "uint8")},
    "bfloat16": np.dtype(jnp.bfloat16),
}


def __getattr__(name: str) -> Any:
    """Return a dtype, or a function that is a method of tensors, too: ``torch.sin``."""
    found = _DTYPES.get(name) or (None if name[0] == "_" else getattr(Tensor, name, None))
    if found is None:
        text = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(text)
    return found


class _Tree(Module):
    """The modules of a list or dict."""

    def __init__(self, items: Any) -> None:
        for name, part in items:
            if isinstance(part, (Mapping, Sequence)) and not isinstance(part, str):
                self._modules[name] = _Tree(_items(part))
            elif isinstance(part, Module):
                self._modules[name] = part
            elif isinstance(part, Tensor):
                self._parameters[name] = part
            elif part is not None:
                rule = "model must be a layer, or a list or dict of layers"
                type_error(rule, f"{part!r}", "Use None for a ReLU.")


def _items(model: Any) -> list[tuple[str, Any]]:
    pairs = model.items() if isinstance(model, Mapping) else enumerate(model)
    return [(str(name), part) for name, part in pairs]


@boundary
def as_module(model: Model) -> Module:
    """Return a model in any of its forms as one module."""
    made = model() if callable(model) else model
    if made is None:
        rule = "model must be a layer, or a list or dict of layers"
        type_error(rule, "None", "Let the function return the model.")
    if isinstance(made, Module):
        return made
    if isinstance(made, (Mapping, Sequence)) and not isinstance(made, str):
        return _Tree(_items(made))
    return _Tree([("", made)])


def _history(tensors: list[Tensor]) -> list[Write]:
    """Return all writes that the values of some tensors depend on."""
    writes: list[Write] = []
    seen: set[int] = set()
    while tensors:
        tensor = tensors.pop()
        tensor = tensor.base if isinstance(tensor, View) else tensor
        if id(tensor) not in seen:
            seen.add(id(tensor))
            writes += tensor.writes
            tensors += [w.source for w in tensor.writes if isinstance(w.source, Tensor)]
    return writes


@boundary
def build(
    stream: Stream, model: Model, dtype: DTypeLike | None = None
) -> tuple[Stream, dict[str, jax.Array]]:
    """Return the state dict that PyTorch would have after making the model.

    Args:
        stream: The stream, ``torch_cpu.manual_seed(seed)`` for a model that is made
            right after seeding.
        model: A function without arguments that makes the model, such as its class. All
            that would draw from PyTorch's generator inside is replayed in order,
            also modules that are replaced later. Or a module, or a list (like
            ``nn.Sequential``) or dict of them, nested, with None for what has no
            parameters; all of its modules are drawn in the order in which they were made.
        dtype: float32, bfloat16, float16 or float64; None means JAX's default float.

    Returns:
        The stream after the draws, and the tensors by PyTorch's names in the order of
        ``state_dict()``, but without ``num_batches_tracked``.

    Raises:
        ValueError: A size is out of range, or modules were made between those of the
            model, which PyTorch would have drawn too.
        TypeError: The model holds something that is no module.

    Example:
        >>> from jaxinit.replay import torch_cpu, torch_layers as nn
        >>> def make():
        ...     model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        ...     for m in model.modules():
        ...         if isinstance(m, nn.Linear):
        ...             nn.init.xavier_uniform_(m.weight)
        ...     return model
        >>> _, state = torch_cpu.build(torch_cpu.manual_seed(0), make)
        >>> {name: w.shape for name, w in state.items()}
        {'0.weight': (3, 4), '0.bias': (3,), '2.weight': (2, 3), '2.bias': (2,)}
    """
    kind = check_dtype(dtype)
    check_choice("dtype", kind.name, ("float64", "float32", "bfloat16", "float16"))
    with recorded() as log, computing_in(kind):
        module = as_module(model)
    named = module.state_dict()
    history = {w.order: w for w in (*_history(list(named.values())), *log)}
    writes = [history[order] for order in sorted(history)]
    if not log and writes and writes[-1].order - writes[0].order >= len(writes):
        rule = "nothing may be drawn between the modules of a model that it does not hold"
        advice = "Give build a function that makes the model, so that all is recorded."
        value_error(rule, f"{len(named)} tensors with others between", advice)
    known = {id(t): _known(t, kind) for t in named.values() if is_known(t)}
    drawn = {n: t for n, t in named.items() if id(t) not in known}
    for name, tensor in drawn.items():
        if tensor.dtype is not None and tensor.dtype != kind:
            rule = "all drawn tensors of a model must have the dtype of build"
            got = f"{name} in {tensor.dtype} with dtype={kind}"
            value_error(rule, got, "Leave out the dtype of the tensor.")
    stream, made = execute(stream, writes, list(drawn.values()), kind)
    known |= made
    return stream, {name: known[id(tensor)] for name, tensor in named.items()}


def _known(tensor: Tensor, dtype: np.dtype[Any]) -> jax.Array:
    with computing_in(dtype):
        return jnp.asarray(values(tensor))


__all__ = [
    "Model",
    "Parameter",
    "build",
    "device",
    "functional",
    "get_default_dtype",
    "init",
]
__all__ += _torch_basic.__all__
__all__ += _torch_layer.__all__
__all__ += _torch_module.__all__
__all__ += _torch_plain.__all__
__all__ += _torch_recurrent.__all__
__all__ += _torch_tensors.__all__
