"""Keras' layers as what decides their weights: seeds that they take, and shapes."""

import functools
import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, TypeVar

import jax
import jax.numpy as jnp

from jaxinit._boundary import boundary
from jaxinit._checks import check_int, shown, type_error, value_error
from jaxinit.replay._keras_session import current, unique_name
from jaxinit.replay._keras_tensor import (
    KerasTensor,
    Shape,
    connected,
    mapped,
    sizes,
    tensors,
    tensors_of,
)
from jaxinit.replay._signatures import constructor
from jaxinit.replay.keras_initializers import Initializer, get

LayerT = TypeVar("LayerT", bound="Layer")

_FREE = frozenset({
    "activity_regularizer", "autocast", "batch_input_shape", "batch_size", "dtype",
    "implementation", "input_dim", "input_length", "input_shape", "name", "sparse",
    "trainable", "virtual_batch_size", "zero_output_for_mask",
})  # fmt: skip
"""Options of all layers that change no weight, besides regularizers and constraints."""
_NOT_REPLAYED = frozenset({"lora_rank", "quantization_config", "weights"})
"""Options that change which weights there are."""
_COUNTS = frozenset({
    "depth_multiplier", "filters", "groups", "head_dim", "input_dim", "key_dim",
    "num_heads", "num_key_value_heads", "num_query_heads", "output_dim",
    "power_iterations", "units",
})  # fmt: skip


class Weight(KerasTensor):
    """A weight: its path in the model, its shape, and what draws it."""

    def __init__(
        self, path: str, shape: Shape, dtype: Any, draw: Callable[..., Any], trained: bool
    ) -> None:
        super().__init__(shape, dtype)
        self.path, self.trainable, self._draw = path, trained, draw

    @property
    def name(self) -> str:
        """The name in the layer."""
        return self.path.rpartition("/")[2]

    def draw(self, backend: str) -> jax.Array:
        """Return the weight."""
        if "backend" in inspect.signature(self._draw).parameters:
            made = self._draw(self.shape, backend=backend)
        else:  # a function of the user's own
            made = self._draw(self.shape, dtype="float32")
        if isinstance(made, KerasTensor):
            rule, got = "an initializer must return an array", f"a tensor for {self.path}"
            type_error(rule, got, "Compute it with NumPy or JAX.")
        return jnp.asarray(made, self.dtype)


class _List(list[Any]):
    """A list in a layer: the layers that are added to it are the layer's."""

    def __init__(self, owner: "Layer", items: Sequence[Any]) -> None:
        super().__init__(owner.track(item) for item in items)
        self.owner = owner

    def append(self, item: Any) -> None:
        super().append(self.owner.track(item))

    def insert(self, index: Any, item: Any) -> None:
        super().insert(index, self.owner.track(item))

    def extend(self, items: Any) -> None:
        super().extend(self.owner.track(item) for item in items)


class _Dict(dict[Any, Any]):
    """A dict in a layer: the layers that are put into it are the layer's."""

    def __init__(self, owner: "Layer", items: dict[Any, Any]) -> None:
        super().__init__({key: owner.track(item) for key, item in items.items()})
        self.owner = owner

    def __setitem__(self, key: Any, item: Any) -> None:
        super().__setitem__(key, self.owner.track(item))


def _scoped(build: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(build)
    def scoped(self: "Layer", *args: Any, **options: Any) -> None:
        with self.scope():
            build(self, *args, **options)
        self.built = True
        vars(self).setdefault("shapes", args or tuple(options.values()))

    return scoped


class Layer:
    """What all layers share: a name, weights, and layers inside.

    A subclass may have a ``build(input_shape)``, which calls ``add_weight``, and a
    ``call(inputs)`` of other layers and of `keras_models.ops`, as in Keras.

    Args:
        **options: Keras' options; those that change no weight are accepted.

    Raises:
        TypeError: An option is not one of Keras', or needs weights of another dtype.
    """

    axes: ClassVar[int] = 0
    takes: ClassVar[tuple[str, ...]] = ()
    """The arguments whose shapes count, where there is more than the first."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "build" in vars(cls):
            cls.build = _scoped(vars(cls)["build"])
        if cls.__module__.startswith("jaxinit.replay."):
            if "signature" in vars(cls):
                taken = vars(cls)["signature"]
                cls.__init__ = constructor(f"{taken}{', ' if taken else ''}**options")
            part = "models" if cls.__module__.endswith("models") else "layers"
            boundary(cls, f"keras_{part}.{cls.__name__}")

    def __init__(self, *_args: Any, **options: Any) -> None:
        for option in options:
            if option not in _FREE and not option.endswith(("_regularizer", "_constraint")):
                advice = "See help(keras_layers) for what is known."
                type_error("an option must be one of Keras'", option, advice)
        if options.get("dtype") not in (None, "float32"):
            rule = "weights are float32"
            got = f"dtype={options['dtype']!r}"
            type_error(rule, got, "Leave dtype out, and convert the weights.")
        size, shape = options.get("input_dim"), options.get("input_shape")
        self._start_track()
        vars(self).update(
            name=options.get("name") or unique_name(type(self).__name__),
            input_shape=shape if size is None else (size,),
            built=False,
            parent=None,
        )

    def _start_track(self) -> list[Any]:
        return vars(self).setdefault("_tracked", [])

    def __getattr__(self, name: str) -> Any:
        text = f"{type(self).__name__!r} object has no attribute {name!r}"
        raise AttributeError(text)

    def __setattr__(self, name: str, value: Any) -> None:
        vars(self)[name] = self.track(value)

    def track(self, value: Any) -> Any:
        """Make a layer or a weight, or those in a container, this layer's."""
        if isinstance(value, (Layer, Weight)):
            if not any(value is known for known in self._start_track()):
                self._tracked.append(value)
        elif isinstance(value, list):
            return _List(self, value)
        elif isinstance(value, dict):
            return _Dict(self, value)
        elif type(value) is tuple:
            return tuple(map(self.track, value))
        return value

    def _make(self, given: dict[str, Any]) -> None:
        """Take all arguments as attributes: checked, and initializers made in order."""
        options = given.pop("options")
        Layer.__init__(self, **options)
        vars(self)["given"] = given | options
        for name, value in given.items():
            if name not in _NOT_REPLAYED:
                vars(self)[name] = self._checked(name, value)
            elif value is not None and value is not False:
                rule, got = f"{name} cannot be replayed", f"{name}={shown(value)}"
                value_error(rule, got, "Leave it out.")
        self._start()

    def _checked(self, name: str, value: Any) -> Any:
        """Return an argument as its name says that it is to be."""
        if name in _COUNTS:
            return check_int(name, value, least=1)
        if name.endswith("_initializer"):
            return get(value)
        if name in ("kernel_size", "pool_size", "strides", "dilation_rate"):
            given = self.pool_size if value is None else value
            return sizes(name, given, self.axes)
        if name == "output_padding" and value is not None:
            return sizes(name, value, self.axes, 0)
        if name == "data_format" and value not in (None, "channels_last"):
            rule = "data_format must be channels_last"
            advice = "The weights are the same: describe the model with channels last."
            value_error(rule, f"data_format={value!r}", advice)
        return value

    def _start(self) -> None:
        """Do what is to be done last in the constructor."""

    def get_config(self) -> dict[str, Any]:
        """Return the options that make the layer once more, as Keras' copies are made."""
        given = vars(self).get("given", {})
        return {key: _config(value) for key, value in given.items()} | {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """Return a layer of these options."""
        return cls(**config)

    def again(self, name: str | None = None) -> Any:
        """Return the layer made once more from its options."""
        return self.from_config(self.get_config() | {"name": name or self.name})

    def remade(self, name: str | None = None) -> Any:
        """Return the layer made once more, and built if it was, as Keras loads layers."""
        made = self.again(name)
        if self.built and not made.built and "shapes" in vars(self):
            made.build(*self.shapes)
        return made

    def scope(self) -> Any:
        """Let what is built inside have this layer's path."""
        if vars(self).get("parent") is None:
            vars(self)["parent"] = current().path
        return current().inside(f"{self.parent}{self.name}/")

    def add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool = True,
        *,
        name: str | None = None,
        **_options: Any,
    ) -> Weight:
        """Give the layer a weight, as Keras' ``add_weight`` does."""
        if not isinstance(shape, (list, tuple, type(None))):
            rule, got = "the shape comes first, a sequence of ints", f"shape={shown(shape)}"
            advice = "Write add_weight(shape=..., name=...)."
            type_error(rule, got, advice, where="add_weight")
        if None in (shape or ()):
            rule = "the lengths that a weight depends on must be known"
            got = f"{name} of shape {shape}"
            advice = "Give keras.Input all lengths but the batch's."
            value_error(rule, got, advice, where=type(self).__name__)
        whole = dtype is not None and "float" not in str(dtype)
        dtype = {"int": "int32", None: "float32"}.get(dtype, dtype)
        if not whole and dtype != "float32":
            rule, got = "weights are float32, or whole numbers", f"dtype={dtype!r}"
            advice = "Leave dtype out, and convert the weights."
            type_error(rule, got, advice, where="add_weight")
        draw = get(initializer or ("zeros" if whole else "glorot_uniform"))
        path = f"{current().path if self.parent is None else self.parent}{self.name}/"
        path += name or unique_name("Variable")
        return self.track(Weight(path, tuple(shape or ()), dtype, draw, trainable))

    add_variable = add_weight

    def weigh(
        self, name: str, shape: Any, initializer: Any, trainable: bool = True
    ) -> None:
        """Give the layer a weight, as an attribute of the same name."""
        made = self.add_weight(shape, initializer, None, trainable, name=name)
        vars(self)[name] = made

    def add_bias(self, *shape: int | None) -> None:
        """Give the layer a bias, if it has one."""
        if self.use_bias:
            self.weigh("bias", shape, self.bias_initializer)

    def build(self, *_shapes: Any) -> None:
        """Make the weights for inputs of these shapes."""

    def compute_output_shape(self, *shapes: Any) -> Any:
        """Return the shape of the output."""
        if type(self).call is Layer.call:
            return shapes[0]
        with self.scope():
            made = self.call(*(tensors_of(shape) for shape in shapes))
        return mapped(lambda x: x.shape, made)

    def call(self, *inputs: Any, **options: Any) -> Any:
        """Return a tensor of the output's shape."""
        return tensors_of(self.compute_output_shape(*self._shapes(inputs, options)))

    def _shapes(self, inputs: Any, options: dict[str, Any]) -> list[Any]:
        """Return the shapes of the inputs that decide those of weights and output."""
        named = dict(zip(self.takes, inputs, strict=False)) | options
        taken = [named[name] for name in self.takes if name in named]
        taken = taken or [*inputs, *options.values()][:1]
        return [x.shape for x in tensors(taken)]

    def _own(self, method: Callable[..., Any], inputs: Any, options: Any) -> list[Any]:
        """Return the shapes as a user's own build or compute_output_shape takes them."""
        parameters = inspect.signature(method).parameters.values()
        if any(p.kind is p.VAR_POSITIONAL for p in parameters):
            return self._shapes(inputs, options)
        given = [x for x in (*inputs, *options.values()) if any(tensors(x))]
        return [mapped(lambda x: x.shape, x) for x in given][: len(parameters)]

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        """Build the layer at its first call, and return a tensor of the output's shape."""
        turned = mapped(_turned, (inputs, options))
        args, named = turned
        names = inspect.signature(self.call).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in names.values()):
            free = {"training", "mask"} - names.keys()
            named = {key: value for key, value in named.items() if key not in free}
        if not any(tensors(turned)):
            rule = "a layer must be called on keras.Input or on the output of a layer"
            where, advice = type(self).__name__, "Start from keras.Input."
            type_error(rule, f"{inputs}", advice, where=where)
        with self.scope():
            if not self.built:
                self.built = True
                self.build(*self._own(self.build, args, named))
            own = type(self).compute_output_shape, type(self).build
            if not any(f.__module__.startswith("jaxinit.replay.") for f in own):
                shapes = self._own(self.compute_output_shape, args, named)
                made = tensors_of(self.compute_output_shape(*shapes))
            else:
                made = self.call(*args, **named)
        made = mapped(lambda x: KerasTensor(x.shape, x.dtype), made)
        vars(self).setdefault("input", args[0] if args else next(tensors(named)))
        vars(self).setdefault("output", made)
        return connected(self, args, named, made)

    def summary(self, *_args: Any, **_options: Any) -> None:
        """Do nothing: what a model computes does not matter here."""

    compile = summary

    @property
    def sublayers(self) -> list[Any]:
        """The layers inside, in Keras' order."""
        return [x for x in self._start_track() if isinstance(x, Layer)]

    @property
    def weights(self) -> list[Weight]:
        """The weights, in Keras' order: first what is trained, then the layers inside."""
        own = [x for x in self._start_track() if isinstance(x, Weight)]
        own.sort(key=lambda weight: not weight.trainable)
        found = [*own, *(w for layer in self.sublayers for w in layer.weights)]
        return list({id(weight): weight for weight in found}.values())


def _turned(x: Any) -> KerasTensor:
    return x if isinstance(x, KerasTensor) else KerasTensor(x.shape, x.dtype)


def cloned(initializer: Any) -> Any:
    """Return a clone of an initializer; a function of the user's own is as it is."""
    known = isinstance(initializer, Initializer)
    return initializer.clone() if known else initializer


def _config(value: Any) -> Any:
    """Return what makes an initializer or a layer again; other values as they are."""
    if isinstance(value, Initializer):
        return {"class_name": type(value), "config": value.get_config()}
    if isinstance(value, (list, tuple)):
        return type(value)(_config(item) for item in value)
    return value.remade() if isinstance(value, Layer) else value


def kind(
    base: type[LayerT], name: str, signature: str | None = None, axes: int = 0
) -> type[LayerT]:
    """Return the layer of Keras of this name; ``2D`` in it says how many axes it has."""
    digit = re.search(r"([123])D", name)
    axes = axes or (int(digit[1]) if digit else 0)
    about = f"``keras.layers.{name}``."
    members: Any = {"__doc__": about, "__module__": base.__module__, "axes": axes}
    members |= {} if signature is None else {"signature": signature}
    made: Any = type(name, (base,), members)
    return made


def kinds(base: type[LayerT], *calls: str) -> list[type[LayerT]]:
    """Return layers of Keras from what their calls look like.

    One name without arguments stands for layers of one to three axes, as their base is.
    """
    if len(calls) == 1 and "(" not in calls[0]:
        calls = tuple(f"{calls[0]}{n}D" for n in (1, 2, 3))
    parts = [call.partition("(") for call in calls]
    return [kind(base, name, rest[:-1] if whole else None) for name, whole, rest in parts]
