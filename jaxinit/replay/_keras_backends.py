"""The three draws of Keras' initializers, on each of its backends."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import check_choice
from jaxinit._types import Shape
from jaxinit.replay import _torch_stream, tf_stateless
from jaxinit.replay._arguments import Seed, check_seed

_FLOAT32 = np.dtype(np.float32)
_MODULUS = (1 << 31) - 2  # keras/src/backend/tensorflow/random.py, _cast_seed

Draw = Callable[[tuple[int, ...], Seed, float, float], jax.Array]


@dataclasses.dataclass(frozen=True)
class Backend:
    """Draws from a seed; the numbers are bounds, or mean and standard deviation."""

    uniform: Draw
    normal: Draw
    truncated_normal: Draw


def backend(name: str) -> Backend:
    """Return the draws of a backend of this name."""
    return _BACKENDS[check_choice("backend", name, _BACKENDS)]


def _reduced(seed: Seed, most: int, modulus: int) -> int | jax.Array:
    """Return a seed within a modulus, of Python's sign: never negative."""
    if isinstance(seed, jax.Array):
        if modulus < 1 << 31:  # no bit is lost, whatever the seed's width and sign
            check_seed(seed, least=-(1 << 63), most=(1 << 64) - 1)
        else:
            check_seed(seed, least=0, most=most)
        if seed.dtype.itemsize < 4:
            seed = seed.astype(jnp.int32)
        if modulus >> 31:
            return seed.astype(jnp.uint32)
        return jnp.remainder(seed, jnp.asarray(modulus, seed.dtype)).astype(jnp.uint32)
    least = 0 if most == (1 << 32) - 1 else -(1 << 63)
    return check_seed(seed, least=least, most=most) % modulus


def _tensorflow(draw: Callable[..., jax.Array]) -> Draw:
    def drawn(shape: tuple[int, ...], seed: Seed, *numbers: float) -> jax.Array:
        number = _reduced(seed, (1 << 63) - 1, _MODULUS)
        pair = (number, 0)
        if isinstance(number, jax.Array):
            pair = jnp.stack([number, jnp.zeros_like(number)])
        return draw(shape, pair, *numbers)

    return drawn


def _key(seed: Seed) -> jax.Array:
    number = _reduced(seed, (1 << 32) - 1, 1 << 32)
    low = jnp.asarray(np.uint32(number) if isinstance(number, int) else number)
    return jax.random.wrap_key_data(jnp.stack([low, jnp.uint32(0)]), impl="threefry2x32")


def _jax_uniform(shape: Shape, seed: Seed, low: float, high: float) -> jax.Array:
    return jax.random.uniform(_key(seed), shape, jnp.float32, low, high)


def _jax_normal(shape: Shape, seed: Seed, mean: float, std: float) -> jax.Array:
    return _scaled(jax.random.normal(_key(seed), shape, jnp.float32), mean, std)


def _jax_truncated(shape: Shape, seed: Seed, mean: float, std: float) -> jax.Array:
    sample = jax.random.truncated_normal(_key(seed), -2.0, 2.0, shape, jnp.float32)
    return _scaled(sample, mean, std)


def _scaled(sample: jax.Array, mean: float, std: float) -> jax.Array:
    """Return ``sample * std + mean``, rounded after each operation."""
    product = jax.lax.reduce_precision(sample * np.float32(std), 8, 23)
    return product + np.float32(mean)


def _torch_start(seed: Seed) -> _torch_stream.Stream:
    number = _reduced(seed, (1 << 64) - 1, 1 << 32)
    low = np.uint32(number) if isinstance(number, int) else number
    return _torch_stream.start(jnp.asarray(low))


def _torch_uniform(shape: Shape, seed: Seed, low: float, high: float) -> jax.Array:
    sizes = tuple(shape)
    unit = _torch_stream.uniform(_torch_start(seed), sizes, (0.0, 1.0), _FLOAT32)[1]
    return _scaled(unit, low, high - low)


def _torch_normal(shape: Shape, seed: Seed, mean: float, std: float) -> jax.Array:
    sizes = tuple(shape)
    return _torch_stream.normal(_torch_start(seed), sizes, (mean, std), _FLOAT32)[1]


def _torch_truncated(shape: Shape, seed: Seed, mean: float, std: float) -> jax.Array:
    """Draw four normals a value, and take the first that lies within (-2, 2)."""
    four = _torch_normal((*shape, 4), seed, 0.0, 1.0)
    first = jnp.argmax((four > -2) & (four < 2), axis=-1, keepdims=True)
    return _scaled(jnp.take_along_axis(four, first, -1)[..., 0], mean, std)


_BACKENDS = {
    "tensorflow": Backend(
        _tensorflow(tf_stateless.stateless_uniform),
        _tensorflow(tf_stateless.stateless_normal),
        _tensorflow(tf_stateless.stateless_truncated_normal),
    ),
    "jax": Backend(_jax_uniform, _jax_normal, _jax_truncated),
    "torch": Backend(_torch_uniform, _torch_normal, _torch_truncated),
}
