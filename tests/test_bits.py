"""Random words against published vectors, ``jax.random`` and NumPy."""

import jax
import jax.extend.random
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit
from jaxinit import _bits as _words

KEY = jax.random.key(42)
SHAPES = [(), (1,), (7,), (0, 3), (5, 3), (2, 3, 4), (1, 129), (33, 1, 2)]

# Random123, tests/kat_vectors, threefry2x32 with 20 rounds: counter, key, result.
KNOWN = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x6B200159, 0x99BA4EFE)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0x1CB996FC, 0xBB002BE7)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xC4923A9C, 0x483DF7A0)),
]


@pytest.mark.parametrize(("counter", "key", "result"), KNOWN)
def test_known_answers(
    counter: tuple[int, int], key: tuple[int, int], result: tuple[int, int]
) -> None:
    words = _words.threefry_2x32(
        (jnp.uint32(key[0]), jnp.uint32(key[1])),
        (jnp.uint32(counter[0]), jnp.uint32(counter[1])),
    )
    assert tuple(int(w) for w in words) == result


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_words_of_jax(shape: tuple[int, ...]) -> None:
    (words,) = _words.random_bits(KEY, shape, 32, 1)
    np.testing.assert_array_equal(words, jax.random.bits(KEY, shape, jnp.uint32))


@pytest.mark.parametrize("bits", [32, 64])
def test_words_of_jax_in_64_bit_mode(bits: int) -> None:
    with jax.enable_x64(True):
        (words,) = _words.random_bits(KEY, (6, 7), bits, 1)
        expected = jax.random.bits(KEY, (6, 7), f"uint{bits}")
        assert words.dtype == expected.dtype
        np.testing.assert_array_equal(words, expected)


@pytest.mark.parametrize("kind", ["threefry2x32", "rbg"])
def test_inner_streams_are_no_keys_of_users(kind: str) -> None:
    """What splits and folds of the same key draw is not drawn again inside."""
    key = jax.random.key(3, impl=kind)
    streams = _words.random_bits(key, (4, 5), 32, 3)
    numbers = range(8)
    others = [
        key,
        *jax.random.split(key, 8),
        *[jax.random.fold_in(key, i) for i in numbers],
    ]
    theirs = [jax.random.bits(k, (4, 5), jnp.uint32) for k in others]
    for i, words in enumerate(streams):
        rest = [*streams[:i], *streams[i + 1 :], *theirs]
        assert not any(np.array_equal(words, other) for other in rest)


@pytest.mark.parametrize("kind", ["rbg", "unsafe_rbg"])
def test_other_keys_give_the_words_of_jax(kind: str) -> None:
    key = jax.random.key(3, impl=kind)
    (words,) = _words.random_bits(key, (4, 5), 32, 1)
    np.testing.assert_array_equal(words, jax.random.bits(key, (4, 5), jnp.uint32))


def test_custom_key_implementation() -> None:
    def seed(s: jax.Array) -> jax.Array:
        return jnp.stack([jnp.asarray(s, jnp.uint32), jnp.uint32(1)])

    def split(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jnp.zeros((*shape, 2), jnp.uint32) + key.astype(jnp.uint32)

    def random_bits(key: jax.Array, width: int, shape: tuple[int, ...]) -> jax.Array:
        count = jnp.arange(np.prod(shape, dtype=int), dtype=jnp.uint32).reshape(shape)
        return (count + key[0]) * jnp.uint32(2654435761)

    impl = jax.extend.random.define_prng_impl(
        key_shape=(2,),
        seed=seed,
        split=split,
        random_bits=random_bits,
        fold_in=lambda key, data: key + jnp.asarray(data, jnp.uint32),
        name="counting",
        tag="count",
    )
    key = jax.random.key(5, impl=impl)
    (words,) = _words.random_bits(key, (4,), 32, 1)
    np.testing.assert_array_equal(words, jax.random.bits(key, (4,), jnp.uint32))
    assert jaxinit.normal(key, (4,), "float32").shape == (4,)


HUGE = [
    (32768, 262144),
    (2**20, 2**18),
    (3, 2**32 - 5, 2),
    (5, 2**31, 9, 11),
    (2**32, 7),
    (2**32 + 4096,),
    (3 * 2**31,),
    (3, 2**33 + 1, 5),
]


@pytest.mark.parametrize("shape", HUGE, ids=str)
def test_index_of_huge_arrays(shape: tuple[int, ...]) -> None:
    """Windows of an index space that is never allocated, carries between words included."""
    total = int(np.prod([int(n) for n in shape], dtype=object))
    starts = [0, 2**32 - 3, 2**32, 3 * 2**32 - 2, total // 2, total - 5]
    index = [s + i for s in starts if s < total for i in range(5) if s + i < total]
    coordinates: list[list[tuple[int, int]]] = [[] for _ in shape]
    for flat in index:
        rest = flat
        for axis in reversed(range(len(shape))):
            rest, along = divmod(rest, shape[axis])
            coordinates[axis].append(divmod(along, 2**32))
    high, low = _words.linear_index(
        shape, [tuple(jnp.asarray(c, jnp.uint32).T) for c in coordinates]
    )
    high, low = np.asarray(high, np.uint64), np.asarray(low, np.uint64)
    assert [int(w) for w in (high << 32) | low] == index


def test_words_past_the_first_counter_word() -> None:
    """Against JAX's own block function, at indices beyond 2^32."""
    key = _words.key_words(KEY)
    high = jnp.asarray([0, 1, 1, 7, 2**32 - 1], jnp.uint32)
    low = jnp.asarray([5, 0, 2**32 - 1, 9, 3], jnp.uint32)
    words = _words.index_bits(key, high, low, 32)
    pair = jax.extend.random.threefry2x32_p.bind(*key, high, low)
    np.testing.assert_array_equal(words, pair[0] ^ pair[1])


@pytest.mark.parametrize("shape", [(32768, 262144), (2**32 + 4096,)], ids=str)
def test_a_huge_array_lowers(shape: tuple[int, ...]) -> None:
    program = jax.jit(lambda key: jaxinit.normal(key, shape, "float32"))
    assert program.eval_shape(KEY).shape == shape
    text = program.lower(KEY).as_text()
    assert f"{'x'.join(map(str, shape))}xf32" in text
    # An axis too long for 32 bits counts in 64.
    assert ("iota" in text and "ui64" in text) == (len(shape) == 1)
