"""``torch.nn.Module`` and its containers, for models that are made but never run."""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, Self

import jax
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import type_error
from jaxinit.replay._signatures import constructor
from jaxinit.replay._torch_parameter import Parameter
from jaxinit.replay._torch_record import Device, Tensor, View, constant

__all__ = [
    "Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Plain",
    "Sequential",
]  # fmt: skip


class Module:
    """``torch.nn.Module``: parameters, buffers and modules by name, in PyTorch's order.

    A model's own class keeps its ``__init__`` as it is with PyTorch; ``forward`` is not
    used and may stay.
    """

    __signature__: ClassVar[inspect.Signature]
    signature: ClassVar[str]
    training = True
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__.startswith("jaxinit.replay."):
            if "signature" in vars(cls):
                cls.__init__ = constructor(vars(cls)["signature"])
                del cls.signature  # a user's module may have one of its own
            boundary(cls, f"torch_layers.{cls.__name__}")
        # For help, which would show the arguments of __new__.
        taken = [*inspect.signature(cls.__init__).parameters.values()]
        cls.__signature__ = inspect.Signature(taken[1:])

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
            tensor = constant(tensor)
        elif isinstance(tensor, View):
            tensor = tensor.clone()
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
        """Yield the modules right inside this one, each once."""
        first = {id(m): n for n, m in reversed(self._modules.items())}
        for name, module in self._modules.items():
            if module is not None and first[id(module)] == name:
                yield name, module

    def children(self) -> Iterator["Module"]:
        """Yield the modules right inside this one."""
        return (module for _, module in self.named_children())

    def apply(self, fn: Callable[["Module"], object]) -> Self:
        """Call ``fn`` on all modules inside, and last on the module itself."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _named(self, *tables: str, prefix: str = "") -> Iterator[tuple[str, Any]]:
        for path, module in self._walk(prefix):
            for table in tables:
                for name, value in module.__dict__[table].items():
                    if value is not None:
                        yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield the parameters by their dotted names, each once."""
        seen: set[int] = set()
        own = {id(p) for p in self._parameters.values()}
        for name, value in self._named("_parameters", prefix=prefix):
            if id(value) not in seen and (recurse or id(value) in own):
                seen.add(id(value))
                yield name, value

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield the parameters, each once."""
        return (value for _, value in self.named_parameters(recurse=recurse))

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the buffers by their dotted names."""
        return self._named("_buffers")

    def state_dict(self) -> dict[str, Tensor]:
        """Return parameters and persistent buffers by their dotted names."""
        return dict(self._named("_parameters", "_buffers"))

    def register_forward_hook(self, *_args: Any, **_options: Any) -> None:
        """Ignore a function that PyTorch would call later."""

    register_forward_pre_hook = register_full_backward_hook = register_forward_hook
    register_load_state_dict_pre_hook = register_state_dict_post_hook = (
        register_forward_hook
    )
    _register_load_state_dict_pre_hook = _register_state_dict_hook = register_forward_hook

    def get_submodule(self, target: str) -> "Module":
        """Return the module of a dotted name."""
        module = self
        for name in target.split(".") if target else ():
            module = getattr(module, name)
        return module

    def to(self, device: Any = None, **_options: Any) -> Self:
        """Return the module: devices and gradients do not matter, build takes the dtype."""
        if not isinstance(device, str | int | Device | None):
            rule, got = "a device must be its name", f"device={device!r}"
            type_error(rule, got, "Give dtype to build instead.", where="Module.to")
        return self

    cuda = cpu = train = eval = requires_grad_ = to

    def __repr__(self) -> str:
        inside = ", ".join(f"{k}={v!r}" for k, v in self._modules.items())
        return f"{type(self).__name__}({inside})"


class Plain(Module):
    """A module without parameters; all arguments are accepted and none matters."""

    def __init__(self, *_args: Any, **_options: Any) -> None:
        super().__init__()


class _Group(Module):
    """What the containers share: modules, or parameters, by their names."""

    _table: ClassVar[str] = "_modules"

    @property
    def _held(self) -> dict[str, Any]:
        return vars(self)[self._table]

    def _add(self, items: Iterable[tuple[Any, Any]]) -> None:
        for name, value in items:
            made = value
            if self._table == "_parameters":
                made = value if isinstance(value, Parameter) else Parameter(value)
            elif value is not None and not isinstance(value, Module):
                rule = "it must hold modules"
                type_error(rule, f"{value!r}", "Use None for a ReLU.")
            self._held[str(name)] = made

    def __len__(self) -> int:
        return len(self._held)

    def __getitem__(self, key: Any) -> Any:
        return self._held[key]

    def __delitem__(self, key: Any) -> None:
        del self._held[key]

    def pop(self, key: Any) -> Any:
        """Take one out and return it."""
        value = self[key]
        del self[key]
        return value


class _List(_Group):
    """What the containers by number share."""

    def __init__(self, modules: Iterable[Any] = ()) -> None:
        super().__init__()
        self._add(enumerate(modules))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._held.values())

    def __getitem__(self, index: Any) -> Any:
        found = list(self._held.values())[index]
        return self._like(found) if isinstance(index, slice) else found

    def _like(self, values: list[Any]) -> Self:
        return type(self)(values)

    def __setitem__(self, index: int, value: Any) -> None:
        self._add([(list(self._held)[index], value)])

    def __delitem__(self, index: Any) -> None:
        values = list(self)
        del values[index]
        self._held.clear()
        self._add(enumerate(values))

    def append(self, value: Any) -> Self:
        """Add one at the end."""
        self._add([(len(self), value)])
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several at the end."""
        for value in values:
            self.append(value)
        return self

    __iadd__ = extend

    def insert(self, index: int, value: Any) -> None:
        """Put one before a place."""
        values = list(self)
        values.insert(index, value)
        self._add(enumerate(values))


class Sequential(_List):
    """``torch.nn.Sequential``: of modules, or of a dict of them."""

    def __init__(self, *modules: Any) -> None:
        named = len(modules) == 1 and isinstance(modules[0], Mapping)
        super().__init__(() if named else modules)
        self._add(modules[0].items() if named else ())

    def _like(self, values: list[Any]) -> Self:
        return type(self)(*values)


class ModuleList(_List):
    """``torch.nn.ModuleList``."""


class ParameterList(_List):
    """``torch.nn.ParameterList``."""

    _table = "_parameters"


class _Dict(_Group):
    """What the containers by name share."""

    def __init__(self, modules: Mapping[str, Any] | Iterable[Any] | None = None) -> None:
        super().__init__()
        self.update(modules or {})

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def __setitem__(self, name: str, value: Any) -> None:
        self._add([(name, value)])

    def update(self, modules: Mapping[str, Any] | Iterable[Any]) -> None:
        """Add some by name, from a dict or from pairs."""
        self._add(dict(modules).items())

    def keys(self) -> Any:
        """Return the names."""
        return self._held.keys()

    def values(self) -> Any:
        """Return what the container holds."""
        return self._held.values()

    def items(self) -> Any:
        """Return what the container holds, with the names."""
        return self._held.items()


class ModuleDict(_Dict):
    """``torch.nn.ModuleDict``."""


class ParameterDict(_Dict):
    """``torch.nn.ParameterDict``."""

    _table = "_parameters"
