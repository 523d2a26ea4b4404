"""Threefry keys whose random bits are computed by our own unrolled expression.

JAX lowers threefry as a loop over whole arrays. A fused key is the same key under another
implementation, registered through ``jax.extend.random``: the same bits, computed element by
element, so that whatever ``jax.random`` makes of them is one loop without temporaries.
"""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinit._bits import (
    FUSED_TAG,
    THREEFRY,
    guarded,
    index_bits,
    is_threefry,
    stream_index,
    threefry_2x32,
)
from jaxinit._boundary import boundary
from jaxinit._calls import own_call
from jaxinit._checks import is_traced, type_error, value_error
from jaxinit._types import Key

_UNSIGNED = {8: jnp.uint8, 16: jnp.uint16, 32: jnp.uint32, 64: jnp.uint64}


@boundary
def fused_key(key_or_seed: Key | int | np.integer[Any]) -> Key:
    """Return a threefry key for which all of ``jax.random`` compiles to fast fused code.

    The result is the same key as a type of its own: ``jax.random.split``, ``fold_in``,
    ``bits`` and every sampler made of them give the bits of the plain key without
    temporaries, and on CPU faster: bits and uniform arrays four times, normal ones, where
    JAX's own inverse error function takes as long as the bits, twice. Only
    ``jax.random.categorical``, whose maximum XLA seeks entry by entry, may take longer. A
    model's own initialization, dropout or sampling needs no other change. Of what JAX
    itself computes behind the bits the last bit of rounding may differ, where the compiler
    fuses it in another way.

    Args:
        key_or_seed: A threefry key or an array of them, typed or legacy ``uint32`` with two
            words on the last axis; or a seed: an int from 0 to 2**32 - 1, with 64-bit mode
            to 2**63 - 1, or an integer array of rank 0, as ``jax.random.key`` takes it. A
            fused key is returned as it is.

    Returns:
        The key, or an array of keys of the same shape. ``jax.random.key_data`` gives its
        words, which ``jax.random.wrap_key_data`` makes a plain key again, so checkpoints
        of one kind serve the other. ``jax.export`` takes such words as arguments, since
        types of keys beyond JAX's own cannot be serialized.

    Raises:
        ValueError: The key is of another kind than threefry, or the seed is out of range,
            where ``jax.random.key`` would drop its upper bits.
        TypeError: The argument is neither a key nor a whole number.

    Note:
        ``jax.random.poisson`` takes JAX's own kind of threefry keys only. With
        ``jax_threefry_partitionable`` off, plain keys have other bits, and a fused key
        follows them through JAX's own code: as plain, but no faster.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> key = jaxinit.fused_key(0)
        >>> x, y = jax.random.bits(key, (3,)), jax.random.bits(jax.random.key(0), (3,))
        >>> bool((x == y).all())
        True
    """
    value = key_or_seed
    if isinstance(value, (jax.Array, np.ndarray)):
        if jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            return _fused_typed(value)  # pyright: ignore[reportArgumentType]
        if value.dtype == np.uint32 and value.shape[-1:] == (2,):
            return jax.random.wrap_key_data(jnp.asarray(value), impl=FUSED_IMPLEMENTATION)
        if value.shape != () or not jnp.issubdtype(value.dtype, jnp.integer):
            got = f"an array of dtype {value.dtype.name} and shape {value.shape}"
            type_error(*_RULE, got, _ADVICE)
        if is_traced(value):
            return jax.random.key(value, impl=FUSED_IMPLEMENTATION)
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        seed = operator.index(value)
    except TypeError:
        type_error(*_RULE, f"key_or_seed={value!r}", _ADVICE)
    x64 = jax.dtypes.canonicalize_dtype(np.int64) == np.int64
    most = 2**63 - 1 if x64 else 2**32 - 1
    if not 0 <= seed <= most:
        rule = f"a seed must be from 0 to {most}, with 64-bit mode {'on' if x64 else 'off'}"
        size = f"{seed}" if abs(seed) < 2**64 else f"an int of {seed.bit_length()} bits"
        value_error(rule, f"key_or_seed={size}", "Give another seed, or a key.")
    return jax.random.key(seed, impl=FUSED_IMPLEMENTATION)


_RULE = ("key_or_seed must be a threefry key or an int",)
_ADVICE = "Make a key with jax.random.key(0)."


def fused(key: Key) -> Key:
    """Return typed threefry keys as fused ones, and other typed keys as they are."""
    return (
        jax.random.wrap_key_data(jax.random.key_data(key), impl=FUSED_IMPLEMENTATION)
        if (is_threefry(key) and not is_fused(key))
        else key
    )


def is_fused(key: Key) -> bool:
    """Whether typed keys are fused ones."""
    return str(jax.random.key_impl(key)) == FUSED_TAG


def unfused(key: Key) -> Key:
    """Return fused keys as JAX's own threefry keys, and other typed keys as they are."""
    return _plain(jax.random.key_data(key)) if is_fused(key) else key


def _fused_typed(key: Key) -> Key:
    if not is_threefry(key):
        got = f"a key of kind {jax.random.key_impl(key)}"
        value_error("only threefry keys can be fused", got, _ADVICE)
    return fused(key)


def _plain(data: jax.Array) -> Key:
    return jax.random.wrap_key_data(data, impl=THREEFRY)


def _as_jax_does(shape: tuple[int, ...]) -> bool:
    """Whether JAX's own code is used: for old bits, or if an export leaves a size open."""
    partitionable = jax.config.jax_threefry_partitionable  # pyright: ignore[reportAttributeAccessIssue]
    return not (partitionable and all(isinstance(length, int) for length in shape))


# As JAX calls these: data of one key, which ``vmap`` maps over arrays of keys. What they
# call is compiled, since eager splits and folds run them as they are; they themselves are
# plain functions, by whose names keys are pickled.


def _seed(seed: jax.Array) -> jax.Array:
    return _seeded(seed)


@jax.jit
def _seeded(seed: jax.Array) -> jax.Array:
    if seed.dtype.itemsize < 8:
        return jnp.stack([jnp.uint32(0), seed.astype(jnp.uint32)])
    high = lax.shift_right_logical(seed, seed.dtype.type(32))
    return jnp.stack([high.astype(jnp.uint32), seed.astype(jnp.uint32)])


def _split(data: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    if _as_jax_does(shape):
        return jax.random.key_data(jax.random.split(_plain(data), shape))
    return _parts_alone(data, shape)


@functools.partial(jax.jit, static_argnums=1)
def _parts_alone(data: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    return own_call(jax.jit(functools.partial(_parts, shape)), data)


def _parts(shape: tuple[int, ...], data: jax.Array) -> jax.Array:
    return _side_by_side(threefry_2x32((data[0], data[1]), stream_index(shape)), shape)


def _fold_in(data: jax.Array, message: Any) -> jax.Array:
    return _folded_alone(data, message)


@jax.jit
def _folded_alone(data: jax.Array, message: Any) -> jax.Array:
    return own_call(_folded, data, jnp.asarray(message).astype(jnp.uint32))


@jax.jit
def _folded(data: jax.Array, message: jax.Array) -> jax.Array:
    # A loop over messages may count them, so that an index may come from here as well.
    counter = (jnp.uint32(0), guarded(message))
    return _side_by_side(threefry_2x32((data[0], data[1]), counter), ())


def _side_by_side(words: Sequence[jax.Array], shape: tuple[int, ...]) -> jax.Array:
    """Return two words on a last axis, computed once and by one loop, as no stack is."""
    wide = [jnp.broadcast_to(jnp.expand_dims(w, -1), (*shape, 2)) for w in words]
    is_first = lax.broadcasted_iota(jnp.uint8, (*shape, 2), len(shape)) == 0
    return jnp.where(is_first, *wide)


def _random_bits(data: jax.Array, bits: int, shape: tuple[int, ...]) -> jax.Array:
    if _as_jax_does(shape):
        return jax.random.bits(_plain(data), shape, _UNSIGNED[bits])
    return _bits_of_index(data, bits, shape)


@functools.partial(jax.jit, static_argnums=(1, 2))
def _bits_of_index(data: jax.Array, bits: int, shape: tuple[int, ...]) -> jax.Array:
    words = index_bits((data[0], data[1]), *stream_index(shape), bits)
    return jnp.broadcast_to(words, shape)


FUSED_IMPLEMENTATION = jax.extend.random.define_prng_impl(
    key_shape=(2,),
    seed=_seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="threefry2x32_fused",
    tag=FUSED_TAG,
)
"""The implementation, as ``jax.random.key`` and ``wrap_key_data`` take it."""
