"""``torch.nn.Module`` and its containers, for models that are made but never run."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

import jax
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_int, type_error
from jaxinit.replay._torch_record import Parameter, Tensor

__all__ = [
    "Layer",
    "Module",
    "ModuleDict",
    "ModuleList",
    "ParameterDict",
    "ParameterList",
    "Plain",
    "Sequential",
]


class Module:
    """``torch.nn.Module``: parameters, buffers and modules by name, in PyTorch's order.

    A model's own class keeps its ``__init__`` as it is with PyTorch; ``forward`` is not
    used and may stay.
    """

    training = True
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__.startswith("jaxinit.replay."):
            boundary(cls, f"torch_layers.{cls.__name__}")

    def __new__(cls, *_args: Any, **_options: Any) -> Self:
        """Prepare the tables, as ``super().__init__()`` does in PyTorch."""
        self = super().__new__(cls)
        self.__dict__.update(_parameters={}, _buffers={}, _modules={})
        return self

    def __init__(self) -> None:
        pass

    def __setattr__(self, name: str, value: Any) -> None:
        tables = self._tables()
        kind = "_parameters" if isinstance(value, Parameter) else None
        kind = "_modules" if isinstance(value, Module) else kind
        if kind is None:
            kind = next((t for t in tables if name in tables[t]), None)
        if kind is None:
            self.__dict__[name] = value
            return
        for table in tables:
            if table != kind:
                tables[table].pop(name, None)
        self.__dict__.pop(name, None)
        tables[kind][name] = value

    def __getattr__(self, name: str) -> Any:
        for table in self._tables().values():
            if name in table:
                return table[name]
        text = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(text)

    def __delattr__(self, name: str) -> None:
        for table in (*self._tables().values(), self.__dict__):
            if table.pop(name, self) is not self:
                return
        raise AttributeError(name)

    def _tables(self) -> dict[str, dict[str, Any]]:
        return {t: self.__dict__[t] for t in ("_parameters", "_buffers", "_modules")}

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Give the module a parameter, or None in its place."""
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Give the module a buffer, a tensor or an array; not persistent, it is dropped."""
        if isinstance(tensor, (np.ndarray, jax.Array)):
            tensor = Tensor(tensor.shape).copy_(tensor)
        if persistent or tensor is None:
            self._buffers[name] = tensor
        else:
            self.__dict__[name] = tensor

    def add_module(self, name: str, module: "Module | None") -> None:
        """Give the module a module, or None in its place."""
        self._modules[name] = module

    register_module = add_module

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """Yield the module and all inside it, from the outside in, each once."""
        seen: set[int] = set()
        for name, module in self._walk(prefix):
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def _walk(self, prefix: str) -> Iterator[tuple[str, "Module"]]:
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module._walk(f"{prefix}.{name}" if prefix else name)

    def modules(self) -> Iterator["Module"]:
        """Yield the module and all inside it, from the outside in."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """Yield the modules right inside this one."""
        return ((n, m) for n, m in self._modules.items() if m is not None)

    def children(self) -> Iterator["Module"]:
        """Yield the modules right inside this one."""
        return (module for _, module in self.named_children())

    def apply(self, fn: Callable[["Module"], object]) -> Self:
        """Call ``fn`` on all modules inside, and last on the module itself."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _named(self, *tables: str) -> Iterator[tuple[str, Any]]:
        for prefix, module in self._walk(""):
            for table in tables:
                for name, value in module.__dict__[table].items():
                    if value is not None:
                        yield f"{prefix}.{name}" if prefix else name, value

    def named_parameters(self, recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters by their dotted names, each once."""
        seen: set[int] = set()
        for name, value in self._named("_parameters"):
            if id(value) not in seen and (recurse or "." not in name):
                seen.add(id(value))
                yield name, value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, each once."""
        return (value for _, value in self.named_parameters(recurse))

    def state_dict(self) -> dict[str, Tensor]:
        """Return parameters and persistent buffers by their dotted names."""
        return dict(self._named("_parameters", "_buffers"))

    def get_submodule(self, target: str) -> "Module":
        """Return the module of a dotted name."""
        module = self
        for name in target.split(".") if target else ():
            module = getattr(module, name)
        return module

    def train(self, mode: bool = True) -> Self:
        """Return the module; what it computes does not matter here."""
        self.__dict__["training"] = mode
        return self

    def eval(self) -> Self:
        """Return the module; what it computes does not matter here."""
        return self.train(False)

    def requires_grad_(self, _requires_grad: bool = True) -> Self:
        """Return the module; gradients do not matter here."""
        return self

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self._modules.items())
        return f"{type(self).__name__}({inside})"


class Plain(Module):
    """A module without parameters; all arguments are accepted and none matters."""

    def __init__(self, *_args: Any, **_options: Any) -> None:
        super().__init__()


class _Group(Module):
    """What the containers of modules share."""

    def _add(self, items: Iterable[tuple[str, Any]]) -> None:
        for name, module in items:
            if module is not None and not isinstance(module, Module):
                rule = "it must hold modules"
                type_error(type(self).__name__, rule, f"{module!r}", "Use None for a ReLU.")
            self._modules[name] = module

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._modules.values())

    def _key(self, index: Any) -> str:
        return list(self._modules)[index]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(*self._slice(list(self._modules.values())[index]))
        return self._modules[self._key(index)]

    def _slice(self, modules: list[Any]) -> tuple[Any, ...]:
        return tuple(modules)

    def __setitem__(self, index: Any, module: Any) -> None:
        self._add([(self._key(index), module)])

    def append(self, module: Any) -> Self:
        """Add a module at the end."""
        self._add([(str(len(self)), module)])
        return self

    def extend(self, modules: Iterable[Any]) -> Self:
        """Add modules at the end."""
        for module in modules:
            self.append(module)
        return self


class Sequential(_Group):
    """``torch.nn.Sequential``: of modules, or of a dict of them."""

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            self._add((str(k), v) for k, v in modules[0].items())
        else:
            self._add((str(i), m) for i, m in enumerate(modules))


class ModuleList(_Group):
    """``torch.nn.ModuleList``."""

    def __init__(self, modules: Iterable[Any] = ()) -> None:
        super().__init__()
        self._add((str(i), m) for i, m in enumerate(modules))

    def _slice(self, modules: list[Any]) -> tuple[Any, ...]:
        return (modules,)

    def insert(self, index: int, module: Any) -> None:
        """Put a module before a place."""
        modules = list(self)
        modules.insert(index, module)
        self._add((str(i), m) for i, m in enumerate(modules))


class ModuleDict(_Group):
    """``torch.nn.ModuleDict``."""

    def __init__(self, modules: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def _key(self, index: Any) -> str:
        return index

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, name: str) -> bool:
        return name in self._modules

    def update(self, modules: Mapping[str, Any]) -> None:
        """Add modules by name."""
        self._add((str(k), v) for k, v in modules.items())

    def keys(self) -> Any:
        """Return the names."""
        return self._modules.keys()

    def values(self) -> Any:
        """Return the modules."""
        return self._modules.values()

    def items(self) -> Any:
        """Return the modules with their names."""
        return self._modules.items()


class ParameterList(Module):
    """``torch.nn.ParameterList``."""

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        self.extend(values)

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[Parameter]:
        return iter(self._parameters.values())

    def __getitem__(self, index: int) -> Parameter:
        return list(self._parameters.values())[index]

    def append(self, value: Any) -> Self:
        """Add a parameter at the end."""
        made = value if isinstance(value, Parameter) else Parameter(value)
        self._parameters[str(len(self))] = made
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add parameters at the end."""
        for value in values:
            self.append(value)
        return self


class ParameterDict(Module):
    """``torch.nn.ParameterDict``."""

    def __init__(self, parameters: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        for name, value in (parameters or {}).items():
            self[name] = value

    def __len__(self) -> int:
        return len(self._parameters)

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __getitem__(self, name: str) -> Parameter:
        return self._parameters[name]

    def __setitem__(self, name: str, value: Any) -> None:
        made = value if isinstance(value, Parameter) else Parameter(value)
        self._parameters[name] = made


class Layer(Module):
    """A module of PyTorch with parameters of its own."""

    def _check(self, dtype: Any, **sizes: Any) -> None:
        """Check that sizes are at least 1 and that no dtype is asked for."""
        where = type(self).__name__
        for name, size in sizes.items():
            check_int(where, name, size, least=1)
        if dtype is not None:
            rule = "all tensors of a model have one dtype, which build takes"
            type_error(where, rule, f"dtype={dtype!r}", "Give dtype to build instead.")
