"""The key of every leaf, derived from its path on the host.

The key of a leaf is ``fold_in(fold_in(key, high), low)`` with the two halves of the 64-bit
hash of its path. For threefry keys that are known it is computed here with NumPy, so that a
model of a thousand leaves compiles nothing; the bits are those of ``jax.random.fold_in``.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._bits import is_threefry, threefry_2x32
from jaxinit._boundary import boundary
from jaxinit._checks import check_key, is_traced
from jaxinit._paths import path_hash
from jaxinit._types import Key


class HostKeys(NamedTuple):
    """A key or an array of keys as words on the host.

    A program that takes the words makes the keys itself: wrapping each of a thousand keys
    by a call of JAX takes longer than drawing a small leaf.

    Attributes:
        data: The words of every key, on one more axis.
        impl: What generator the keys are for, as ``jax.random.key_impl`` says it.
    """

    data: Any
    impl: Any


def typed(key: Key | HostKeys) -> Key:
    """Return the typed keys."""
    return wrap(jax.device_put(key.data), key.impl) if isinstance(key, HostKeys) else key


def wrap(data: jax.Array, impl: Any) -> Key:
    """Return words as typed keys."""
    return jax.random.wrap_key_data(data, impl=impl)


@boundary
def path_key(key: Key, path: str) -> Key:
    """Return the key that a leaf gets from :func:`jaxinit.initialize`.

    Args:
        key: The key of the whole model: one typed key, or a legacy ``uint32`` key.
        path: The path of the leaf, as a plan prints it.

    Returns:
        The leaf's own key: ``fold_in`` with the upper, then with the lower 32 bits of the
        first eight bytes of the path's SHA-256.

    Raises:
        ValueError: ``key`` is an array of several keys.
        TypeError: ``key`` is no key.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> key = jax.random.key(0)
        >>> params = {"dense": {"kernel": jax.ShapeDtypeStruct((3, 4), "float32")}}
        >>> whole = jaxinit.initialize(key, params, [("**", jaxinit.lecun_normal)])
        >>> one = jaxinit.lecun_normal(jaxinit.path_key(key, "dense/kernel"), (3, 4))
        >>> bool((one == whole["dense"]["kernel"]).all())
        True
    """
    return leaf_keys(key, [path])[0]


def leaf_keys(key: Key, paths: Sequence[str]) -> list[Key]:
    """Return the key of every path.

    Args:
        key: The key of the whole.
        paths: Path texts.

    Returns:
        One typed key a path.
    """
    return [typed(own) for own in leaf_key_words(key, paths)]


def leaf_key_words(key: Key, paths: Sequence[str]) -> list[Key | HostKeys]:
    """Return the key of every path as :func:`leaf_keys`, on the host where it is known."""
    key = check_key(key)
    if not paths:
        return []
    hashes = [path_hash(path) for path in paths]
    words = np.array([divmod(h, 1 << 32) for h in hashes], np.uint32)
    if is_traced(key):
        folded = jax.vmap(_fold_twice, (None, 0))(key, jnp.asarray(words))
        return [folded[i] for i in range(len(paths))]
    if is_threefry(key):
        kind = jax.random.key_impl(key)
        with jax.ensure_compile_time_eval():  # a known key may be used under jit
            data = np.broadcast_to(np.asarray(jax.random.key_data(key)), words.shape)
        for half in words.T:
            data = fold_in(data, half)
        return [HostKeys(row, kind) for row in data]
    return [_fold_twice(key, row) for row in words]


def _fold_twice(key: Key, words: np.ndarray | jax.Array) -> Key:
    return jax.random.fold_in(jax.random.fold_in(key, words[0]), words[1])


def fold_in(keys: np.ndarray, data: np.ndarray) -> np.ndarray:
    """Return what ``jax.random.fold_in`` makes of threefry keys, in NumPy.

    Args:
        keys: Key data, shape ``(n, 2)``, uint32.
        data: One word a key, shape ``(n,)``, uint32.

    Returns:
        The new key data, shape ``(n, 2)``.
    """
    return threefry_block(keys, np.zeros_like(data), data)


def threefry_block(keys: np.ndarray, high: np.ndarray, low: np.ndarray) -> np.ndarray:
    """Return one block of Threefry-2x32 a key, as two words.

    Args:
        keys: Key data, shape ``(n, 2)``, uint32.
        high: First word of the counter, shape ``(n,)``, uint32.
        low: Second word.

    Returns:
        The words, shape ``(n, 2)``.
    """
    return np.stack(threefry_2x32((keys[:, 0], keys[:, 1]), (high, low)), axis=1)
