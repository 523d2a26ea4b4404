"""``keras.initializers`` on each backend of Keras: the very numbers, by Keras' names.

An initializer is called with a shape, as in Keras, and draws the same numbers at every
call. An initializer without a seed takes the next number of Python's generator; that is
possible in `keras_models.build`, which says how the generator was seeded.
"""

import copy
import inspect
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_number, check_rank, check_shape, value_error
from jaxinit._types import Shape
from jaxinit.replay._arguments import Seed
from jaxinit.replay._keras_backends import Backend
from jaxinit.replay._keras_backends import backend as backend_of
from jaxinit.replay._keras_session import next_seed


class Initializer:
    """What all initializers share."""

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__module__ == __name__:
            name = f"keras_initializers.{cls.__name__}"
            boundary(cls, name)
            cls.__call__ = boundary(cls.__call__, name)

    def __call__(self, shape: Shape, backend: str = "tensorflow") -> jax.Array:
        """Return the float32 array that Keras' initializer returns.

        Args:
            shape: Axis lengths.
            backend: ``"tensorflow"``, ``"jax"`` or ``"torch"``.

        Returns:
            The array.
        """
        return self._draw(check_shape(shape), backend_of(backend))

    def _draw(self, shape: tuple[int, ...], draws: Backend) -> jax.Array:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Return the options, as Keras' ``get_config`` does: a seed taken is not one."""
        names = inspect.signature(type(self)).parameters
        return {n: getattr(self, "given_seed" if n == "seed" else n) for n in names}

    def clone(self) -> Any:
        """Return another with the same options; without a seed, it takes a new one."""
        return type(self)(**self.get_config())


class Constant(Initializer):
    """``keras.initializers.Constant``."""

    def __init__(self, value: float = 0.0) -> None:
        self.value = value

    def _draw(self, shape: tuple[int, ...], draws: Backend) -> jax.Array:
        del draws
        return jnp.full(shape, self.value, jnp.float32)


class Zeros(Constant):
    """``keras.initializers.Zeros``."""

    def __init__(self) -> None:
        super().__init__(0.0)


class Ones(Constant):
    """``keras.initializers.Ones``."""

    def __init__(self) -> None:
        super().__init__(1.0)


class Identity(Initializer):
    """``keras.initializers.Identity``."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    def _draw(self, shape: tuple[int, ...], draws: Backend) -> jax.Array:
        del draws
        if len(shape) != 2:
            value_error("shape must have two axes", f"shape={shape}", "Give a matrix.")
        return jnp.float32(self.gain) * jnp.eye(*shape, dtype=jnp.float32)


class RandomInitializer(Initializer):
    """What the random initializers share: a seed."""

    def __init__(self, seed: Seed | None = None) -> None:
        self.given_seed = seed
        self.seed = next_seed() if seed is None else seed


class RandomUniform(RandomInitializer):
    """``keras.initializers.RandomUniform``."""

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: Seed | None = None
    ) -> None:
        self.minval, self.maxval = minval, maxval
        super().__init__(seed)

    def _draw(self, shape: tuple[int, ...], draws: Backend) -> jax.Array:
        return draws.uniform(shape, self.seed, self.minval, self.maxval)


class RandomNormal(RandomInitializer):
    """``keras.initializers.RandomNormal``."""

    def __init__(
        self, mean: float = 0.0, stddev: float = 0.05, seed: Seed | None = None
    ) -> None:
        check_number("stddev", stddev, least=0.0)
        self.mean, self.stddev = mean, stddev
        super().__init__(seed)

    def _draw(self, shape: tuple[int, ...], draws: Backend) -> jax.Array:
        return draws.normal(shape, self.seed, self.mean, self.stddev)


class TruncatedNormal(RandomNormal):
    """``keras.initializers.TruncatedNormal``, cut at two standard deviations."""

    def _draw(self, shape: tuple[int, ...], draws: Backend) -> jax.Array:
        return draws.truncated_normal(shape, self.seed, self.mean, self.stddev)


# keras/src/initializers/random_initializers.py: the standard deviation of a standard
# normal that is cut at two.
_CUT_STD = 0.87962566103423978


class VarianceScaling(RandomInitializer):
    """``keras.initializers.VarianceScaling``."""

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Seed | None = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
    ) -> None:
        if not check_number("scale", scale) > 0:
            value_error("scale must be above 0", f"scale={scale}", "Give 1 or 2.")
        check_choice("mode", mode, ("fan_in", "fan_out", "fan_avg"))
        kinds = "uniform", "truncated_normal", "untruncated_normal", "normal"
        check_choice("distribution", distribution, kinds)
        self.scale, self.mode, self.distribution = scale, mode, distribution
        self.input_axes, self.output_axes = input_axes, output_axes
        super().__init__(seed)

    def with_axes(self, inputs: Sequence[int], outputs: Sequence[int]) -> "VarianceScaling":
        """Return this initializer, of the same seed, for kernels with these axes."""
        other = copy.copy(self)
        other.input_axes, other.output_axes = inputs, outputs
        return other

    def _fan(self, shape: tuple[int, ...]) -> float:
        if self.input_axes is not None and self.output_axes is not None:
            fan_in = math.prod(shape[i] for i in self.input_axes)
            fan_out = math.prod(shape[i] for i in self.output_axes)
        elif len(shape) < 2:
            fan_in = fan_out = math.prod(shape)
        else:
            window = math.prod(shape[:-2])
            fan_in, fan_out = shape[-2] * window, shape[-1] * window
        fans = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2.0}
        return max(1.0, fans[self.mode])

    def _draw(self, shape: tuple[int, ...], draws: Backend) -> jax.Array:
        scale = self.scale / self._fan(shape)
        if self.distribution == "uniform":
            limit = math.sqrt(3.0 * scale)
            return draws.uniform(shape, self.seed, -limit, limit)
        if self.distribution == "untruncated_normal":
            return draws.normal(shape, self.seed, 0.0, math.sqrt(scale))
        return draws.truncated_normal(shape, self.seed, 0.0, math.sqrt(scale) / _CUT_STD)


class _Named(VarianceScaling):
    """A variance scaling whose options are its name."""

    fixed: tuple[float, str, str]

    def __init__(self, seed: Seed | None = None) -> None:
        super().__init__(*self.fixed, seed=seed)


def _named(name: str, scale: float, mode: str, distribution: str) -> type[_Named]:
    about = f"``keras.initializers.{name}``: {distribution}, of variance {scale} / {mode}."
    fixed = scale, mode, distribution
    return type(name, (_Named,), {"__doc__": about, "__module__": __name__, "fixed": fixed})


GlorotUniform = _named("GlorotUniform", 1.0, "fan_avg", "uniform")
GlorotNormal = _named("GlorotNormal", 1.0, "fan_avg", "truncated_normal")
LecunUniform = _named("LecunUniform", 1.0, "fan_in", "uniform")
LecunNormal = _named("LecunNormal", 1.0, "fan_in", "truncated_normal")
HeUniform = _named("HeUniform", 2.0, "fan_in", "uniform")
HeNormal = _named("HeNormal", 2.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """``keras.initializers.Orthogonal``.

    The normal matrix is Keras' in every bit; its QR decomposition is that of the LAPACK
    which JAX brings, so the result agrees to rounding errors.
    """

    def __init__(self, gain: float = 1.0, seed: Seed | None = None) -> None:
        self.gain = gain
        super().__init__(seed)

    def _draw(self, shape: tuple[int, ...], draws: Backend) -> jax.Array:
        check_rank(shape, 2, "An orthogonal vector has no meaning.")
        rows, columns = math.prod(shape[:-1]), shape[-1]
        flat = max(rows, columns), min(rows, columns)
        q, r = jnp.linalg.qr(draws.normal(flat, self.seed, 0.0, 1.0))
        q = q * jnp.sign(jnp.diagonal(r))
        q = q.T if rows < columns else q
        return jnp.float32(self.gain) * q.reshape(shape)


random_uniform, random_normal = RandomUniform, RandomNormal
truncated_normal, variance_scaling = TruncatedNormal, VarianceScaling
glorot_uniform, glorot_normal = GlorotUniform, GlorotNormal
lecun_uniform, lecun_normal = LecunUniform, LecunNormal
he_uniform, he_normal = HeUniform, HeNormal
OrthogonalInitializer, IdentityInitializer = Orthogonal, Identity
orthogonal, identity, constant, ones, zeros = Orthogonal, Identity, Constant, Ones, Zeros

__all__ = [  # pyright: ignore[reportUnsupportedDunderAll]
    name
    for name, value in vars().items()
    if name[0] != "_" and isinstance(value, type) and issubclass(value, Initializer)
]
_BY_NAME = {name: globals()[name] for name in reversed(__all__)}
_BY_NAME |= {"uniform": RandomUniform, "normal": RandomNormal, "zero": Zeros, "one": Ones}
del _BY_NAME["Initializer"], _BY_NAME["RandomInitializer"]
__all__ += ["get"]


@boundary
def get(identifier: Any) -> Any:
    """Return the initializer that Keras' ``initializers.get`` returns.

    Args:
        identifier: A name in Keras' spelling, such as ``"glorot_uniform"``, an
            initializer, a class of one, or a function ``(shape, dtype)``.

    Returns:
        The initializer; one made from a name has taken a seed.

    Raises:
        ValueError: No initializer has this name.
    """
    if isinstance(identifier, Initializer):
        return identifier
    if isinstance(identifier, dict):
        name = identifier.get("class_name")
        if not isinstance(name, type):
            name = _BY_NAME[check_choice("class_name", name, _BY_NAME)]
        return name(**identifier.get("config", {}))
    if callable(identifier):
        return identifier() if isinstance(identifier, type) else identifier
    return _BY_NAME[check_choice("identifier", identifier, _BY_NAME)]()
