"""Keras' symbolic tensors, and the operations on them: shapes, as JAX infers them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import check_int, type_error, value_error
from jaxinit.replay._keras_session import Call, current, next_seed

Shape = tuple[int | None, ...]

FREE = 45 << 24
"""In place of a length that is not known; a length half as large or more is not known."""


def _free(shape: Shape) -> tuple[int, ...]:
    return tuple(FREE if n is None else n for n in shape)


class KerasTensor:
    """What a layer returns: a shape, whose first length is the batch's, and a dtype.

    A source is what ``keras.Input`` returns.
    """

    def __init__(self, shape: Shape, dtype: Any = None, source: bool = False) -> None:
        self.source = source
        known = (None if n is None or n >= FREE // 2 else int(n) for n in shape)
        self.shape: Shape = tuple(known)
        self.dtype = np.dtype("float32" if dtype in (None, "string") else dtype)

    def __getitem__(self, index: Any) -> Any:
        return symbolic(lambda x: x[index], self)

    def __add__(self, other: Any) -> Any:
        return symbolic(jnp.add, self, other)

    __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __add__

    def __truediv__(self, other: Any) -> Any:
        return symbolic(jnp.true_divide, self, other)

    __rtruediv__ = __pow__ = __truediv__

    def __neg__(self) -> Any:
        return symbolic(jnp.negative, self)

    def __matmul__(self, other: Any) -> Any:
        return symbolic(jnp.matmul, self, other)


def mapped(change: Callable[[Any], Any], value: Any) -> Any:
    """Return a structure with its tensors, and arrays, changed."""
    if isinstance(value, (KerasTensor, np.ndarray, jax.Array)):
        return change(value)
    if isinstance(value, dict):
        return {key: mapped(change, item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        items = [mapped(change, item) for item in value]
        return items if isinstance(value, list) else tuple(items)
    return value


def tensors(value: Any) -> Iterator[KerasTensor]:
    """Yield the tensors in a structure, in Keras' order."""
    if isinstance(value, KerasTensor):
        yield value
    elif isinstance(value, (list, tuple, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from tensors(item)


def tensors_of(shapes: Any) -> Any:
    """Return tensors of a shape, or of each in a list of shapes."""
    if isinstance(shapes, dict):
        return {key: tensors_of(shape) for key, shape in shapes.items()}
    if any(isinstance(n, (list, tuple)) for n in shapes):
        return [tensors_of(shape) for shape in shapes]
    return KerasTensor(tuple(shapes))


def connected(op: Callable[..., Any], args: Any, options: Any, made: Any) -> Any:
    """Note that a layer, or an operation, made tensors of others, and return them."""
    call = Call(op, args, options, list(tensors([args, options])), made)
    current().calls.update((id(x), call) for x in tensors(made))
    return made


def symbolic(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Return the tensors that a function of JAX makes of some."""
    leaves, structure = jax.tree.flatten((args, options))
    given = [x for x in leaves if isinstance(x, KerasTensor)]

    def run(values: list[Any]) -> Any:
        rest = iter(values)
        filled = [next(rest) if isinstance(x, KerasTensor) else x for x in leaves]
        args, options = jax.tree.unflatten(structure, filled)
        return function(*args, **options)

    shapes = [jax.ShapeDtypeStruct(_free(x.shape), x.dtype) for x in given]
    try:
        with jax.numpy_dtype_promotion("standard"):
            made = jax.eval_shape(run, shapes)
    except (TypeError, ValueError) as error:
        rule = "an operation must fit the shapes of its tensors"
        got = ", ".join(str(x.shape) for x in given) or f"{args}"
        text = str(error).partition("\n")[0].replace(str(FREE), "None").rstrip(".")
        value_error(rule, got, f"{text}.", where="keras_models.ops")
    result = jax.tree.map(lambda x: KerasTensor(x.shape, x.dtype), made)
    again = lambda *args, **options: symbolic(function, *args, **options)  # noqa: E731
    return connected(again, args, options, result)


def _shape(x: Any) -> tuple[int, ...]:
    return _free(x.shape)


def _cast(x: Any, dtype: Any) -> Any:
    return symbolic(lambda x: jnp.asarray(x).astype(dtype), x)


def _no_protocol(owner: object, name: str) -> None:
    """Refuse names by which Python, copies and pages of help ask what an object can do."""
    if name.startswith("__"):
        text = f"{type(owner).__name__!r} object has no attribute {name!r}"
        raise AttributeError(text)


class Ops:
    """``keras.ops``, as far as NumPy's names and those of ``jax.nn`` and ``jax.lax`` go."""

    shape = staticmethod(_shape)
    cast = staticmethod(_cast)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        _no_protocol(self, name)
        name = {"convert_to_tensor": "asarray"}.get(name, name)
        places = jnp, jax.nn, jax.lax, jnp.linalg, jax.scipy.special
        found = next((vars(p)[name] for p in places if name in vars(p)), None)
        if found is None:
            rule, got = "an operation must be one that JAX has too", f"ops.{name}"
            advice = "Write it with others, or give the layer a compute_output_shape."
            value_error(rule, got, advice, where="keras_models.ops")
        return lambda *args, **options: symbolic(found, *args, **options)


class Named:
    """A part of Keras whose functions matter nothing: a call returns what it is given."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        _no_protocol(self, name)

        def call(value: Any = None, *_args: Any, **_options: Any) -> Any:
            given = isinstance(value, KerasTensor)
            return symbolic(lambda x: x, value) if given else value

        return call


class SeedGenerator:
    """``keras.random.SeedGenerator``: it takes a seed, if it is given none."""

    def __init__(self, seed: int | None = None, **_options: Any) -> None:
        self.seed = next_seed() if seed is None else seed


class Random:
    """``keras.random``: what a model draws while it runs is a tensor of some shape."""

    SeedGenerator = SeedGenerator

    def __getattr__(self, name: str) -> Callable[..., KerasTensor]:
        _no_protocol(self, name)

        def draw(shape: Any, *args: Any, seed: Any = None, **options: Any) -> KerasTensor:
            del args
            if seed is None and not current().drawn:
                current().drawn = True
                next_seed()
            shape = shape.shape if isinstance(shape, KerasTensor) else shape
            if not isinstance(shape, (list, tuple)):
                type_error(f"{name} needs a shape or a tensor", f"{shape!r}", "Give one.")
            return KerasTensor(tuple(shape), options.get("dtype"))

        return draw


def sizes(
    name: str, value: int | Sequence[int], axes: int, least: int = 1
) -> tuple[int, ...]:
    """Return one length an axis."""
    lengths = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(lengths) != axes:
        rule = f"{name} must be an int or {axes} ints"
        value_error(rule, f"{name}={value}", "Give one length for each axis.")
    return tuple(check_int(name, n, least=least) for n in lengths)


def strided(
    name: str, lengths: Shape, window: Sequence[int], strides: Sequence[int], padding: str
) -> Shape:
    """Return the lengths after a convolution or a pooling."""
    result: list[int | None] = []
    for n, k, stride in zip(lengths, window, strides, strict=True):
        if n is None:
            result.append(None)
            continue
        out = (n - k) // stride + 1 if padding == "valid" else -(-n // stride)
        if out < 1:
            rule = "the output must have a length of at least 1 on each axis"
            got = f"{out} from a length of {n} with a window of {k}"
            value_error(rule, got, "Make the input larger.", where=f"build: {name}")
        result.append(out)
    return tuple(result)
