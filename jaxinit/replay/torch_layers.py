"""``torch.nn`` for models that are made from a seed and never run: use it as ``nn``.

The classes have PyTorch's names, arguments and order of arguments, so a model's own
constructor works as it is: ``class Net(nn.Module)``, ``nn.Sequential``, ``nn.init``,
``model.apply(fn)``, ``for m in model.modules()``. `build` draws what PyTorch would have
drawn and returns the state dict; `jaxinit.replay.layouts` turns it into the parameters
of Flax, NNX, Haiku and Equinox.
"""

import contextlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_dtype, type_error, value_error
from jaxinit._types import DTypeLike
from jaxinit.replay import (
    _torch_basic,
    _torch_module,
    _torch_plain,
    _torch_record,
    _torch_recurrent,
    torch_init,
)
from jaxinit.replay._torch_basic import *  # noqa: F403
from jaxinit.replay._torch_module import *  # noqa: F403
from jaxinit.replay._torch_module import Module, check_no_dtype
from jaxinit.replay._torch_plain import *  # noqa: F403
from jaxinit.replay._torch_plan import execute
from jaxinit.replay._torch_record import Tensor, View
from jaxinit.replay._torch_recurrent import *  # noqa: F403
from jaxinit.replay._torch_stream import Stream
from jaxinit.replay._torch_writes import Kind, Write, recorded

init = torch_init
Parameter = boundary(_torch_record.Parameter, "torch_layers.Parameter")

Model = Any
"""A function that makes a model; a module; or lists and dicts of modules, in which None
stands for a module without parameters, such as an activation."""


class _Functional:
    """``torch.nn.functional``: constructors may name its functions; they are not called."""

    def __getattr__(self, name: str) -> str:
        return f"torch.nn.functional.{name}"


class no_grad(contextlib.ContextDecorator):  # noqa: N801
    """``torch.no_grad()``, which changes nothing here."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_error: object) -> None:
        pass


functional = _Functional()
nn = modules = parameter = sys.modules[__name__]  # for torch.nn.modules.Linear and so on


def _tensors(name: str, kind: Kind, *numbers: float) -> Callable[..., Tensor]:
    def make(
        *args: Any,
        size: Any = None,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
    ) -> Tensor:
        """Return a tensor, as PyTorch's function of this name does of these sizes."""
        del device
        check_no_dtype(dtype)
        tensor = Tensor(*(args if size is None else (size,))).write(kind, *numbers)
        return tensor.requires_grad_(requires_grad)

    make.__name__ = make.__qualname__ = name
    return boundary(make)


def _like(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def like(tensor: Tensor, **options: Any) -> Tensor:
        """Return a tensor of the shape of another."""
        return make(size=tensor.shape, **options)

    like.__name__ = like.__qualname__ = f"{make.__name__}_like"
    return boundary(like)


zeros, ones = _tensors("zeros", "fill", 0.0), _tensors("ones", "fill", 1.0)
empty = _tensors("empty", "fill", 0.0)
rand, randn = _tensors("rand", "uniform", 0.0, 1.0), _tensors("randn", "normal", 0.0, 1.0)
zeros_like, ones_like, empty_like = _like(zeros), _like(ones), _like(empty)
rand_like, randn_like = _like(rand), _like(randn)
FloatTensor = Tensor
linspace = np.linspace  # for the rates of dropout: these are wanted as numbers


@boundary
def full(size: Any, fill_value: float) -> Tensor:
    """Return a tensor for ``torch.full(size, fill_value)``."""
    return Tensor(size).fill_(fill_value)


@boundary
def normal(mean: float, std: float, size: Any) -> Tensor:
    """Return a tensor for ``torch.normal(mean, std, size)``."""
    return Tensor(size).normal_(mean, std)


@boundary
def tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """Return a tensor of these numbers."""
    del device
    check_no_dtype(dtype)
    return Tensor(np.shape(data)).write("array", source=np.asarray(data))


@boundary
def arange(*bounds: float, dtype: Any = None, device: Any = None) -> Tensor:
    """Return a tensor for ``torch.arange(start, end, step)``."""
    return tensor(np.arange(*bounds), dtype, device)


def _triangle(matrix: Tensor, diagonal: int) -> np.ndarray:
    rows, columns = matrix.shape
    return np.tri(rows, columns, diagonal)


@boundary
def tril(matrix: Tensor, diagonal: int = 0) -> Tensor:
    """Return a matrix with zeros above a diagonal."""
    return matrix.clone().mul_(_triangle(matrix, diagonal))


@boundary
def triu(matrix: Tensor, diagonal: int = 0) -> Tensor:
    """Return a matrix with zeros below a diagonal."""
    return matrix.clone().mul_(1 - _triangle(matrix, diagonal - 1))


@boundary
def eye(n: int, m: int | None = None) -> Tensor:
    """Return a tensor for ``torch.eye(n, m)``."""
    return tensor(np.eye(n, m))


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
    with recorded() as log:
        module = as_module(model)
    named = module.state_dict()
    history = {w.order: w for w in (*_history(list(named.values())), *log)}
    writes = [history[order] for order in sorted(history)]
    if not log and writes and writes[-1].order - writes[0].order >= len(writes):
        rule = "nothing may be drawn between the modules of a model that it does not hold"
        advice = "Give build a function that makes the model, so that all is recorded."
        value_error(rule, f"{len(named)} tensors with others between", advice)
    stream, values = execute(stream, writes, list(named.values()), kind)
    return stream, {name: values[id(tensor)] for name, tensor in named.items()}


__all__ = [
    "FloatTensor", "Model", "Parameter", "Tensor", "arange", "build", "empty",
    "empty_like", "eye", "full", "functional", "init", "no_grad", "normal", "ones",
    "ones_like", "rand", "rand_like", "randn", "randn_like", "tensor", "tril", "triu",
    "zeros", "zeros_like",
]  # fmt: skip
__all__ += _torch_basic.__all__
__all__ += _torch_module.__all__
__all__ += _torch_plain.__all__
__all__ += _torch_recurrent.__all__
