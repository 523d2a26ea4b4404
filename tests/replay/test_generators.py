"""Raw words of the generators: published vectors first, then NumPy's words."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit.replay import _mt19937, _pcg64
from jaxinit.replay._native import native
from jaxinit.replay._philox import philox

EDGES = (1, 17, 0, 623, 624, 625, 1249)


def words(*values):
    return tuple(jnp.uint32(v) for v in values)


@pytest.mark.parametrize(
    ("counter", "key", "block"),
    [  # Random123, kat_vectors, philox 4x32 10
        (
            (0, 0, 0, 0),
            (0, 0),
            (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8),
        ),
        (
            (0xFFFFFFFF,) * 4,
            (0xFFFFFFFF,) * 2,
            (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
        ),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_philox_known_answers(counter, key, block):
    result = native(philox)(words(*counter), words(*key))
    assert tuple(int(x) for x in result) == block


def test_mt19937_of_the_default_seed():
    # ISO C++, [rand.predef]: the 10000th word of a default-constructed mt19937.
    window = _mt19937.window_from_seed(jnp.uint32(5489))
    _, raw = jax.jit(_mt19937.draw, static_argnums=1)(window, 10000)
    assert int(_mt19937.temper(raw[-1])) == 4123659995


def test_mt19937_seeded_by_an_array():
    # Matsumoto and Nishimura, mt19937ar.out: init_by_array {0x123, 0x234, 0x345, 0x456}.
    key = np.array([0x123, 0x234, 0x345, 0x456], np.uint32)
    window = _mt19937.window_from_array(jnp.asarray(key))
    _, raw = _mt19937.draw(window, 5)
    known = [1067595299, 955945823, 477289528, 4107218783, 4228976476]
    assert _mt19937.temper(raw).tolist() == known


@pytest.mark.parametrize("length", [1, 623, 700])
def test_mt19937_keys_of_other_lengths(length):
    key = np.arange(length, dtype=np.uint32) * np.uint32(2654435761)
    window = _mt19937.window_from_array(jnp.asarray(key))
    _, raw = _mt19937.draw(window, 3)
    known = np.random.RandomState(key.tolist()).randint(0, 2**32, 3, dtype=np.uint32)
    np.testing.assert_array_equal(_mt19937.temper(raw), known)


@pytest.mark.parametrize("seed", [42, 2**32 - 1])
def test_mt19937_goes_on_where_it_stopped(seed):
    window = _mt19937.window_from_seed(jnp.uint32(seed))
    parts = []
    for n in EDGES:
        window, raw = _mt19937.draw(window, n)
        parts.append(np.asarray(_mt19937.temper(raw)))
    ours = np.concatenate(parts)
    known = np.random.RandomState(seed).randint(0, 2**32, ours.size, dtype=np.uint32)
    np.testing.assert_array_equal(ours, known)


def test_mt19937_a_million_words():
    window = _mt19937.window_from_seed(jnp.uint32(7))
    _, raw = jax.jit(_mt19937.draw, static_argnums=1)(window, 10**6)
    known = np.random.RandomState(7).randint(0, 2**32, 10**6, dtype=np.uint32)
    np.testing.assert_array_equal(_mt19937.temper(raw), known)


@pytest.mark.parametrize("seed", [0, 42, 2**32, 2**70 + 3, 2**128 - 1])
def test_seed_sequence(seed):
    entropy = [seed >> 32 * i & 0xFFFFFFFF for i in range(-(-seed.bit_length() // 32))]
    ours = _pcg64.seed_sequence(jnp.asarray(np.array(entropy or [0], np.uint32)))
    known = np.random.SeedSequence(seed).generate_state(8)
    np.testing.assert_array_equal(ours, known)


def test_seed_sequence_of_long_entropy():
    entropy = np.arange(7, dtype=np.uint32)
    known = np.random.SeedSequence(entropy.tolist()).generate_state(8)
    np.testing.assert_array_equal(_pcg64.seed_sequence(jnp.asarray(entropy)), known)


@pytest.mark.parametrize("count", [1, 1024, 1025])
def test_pcg64_words(count):
    # NumPy's own published set, pcg64-testset-1.csv, has this seed and first word.
    generator = np.random.PCG64(0xDEADBEAF)
    known = generator.random_raw(count + 2)
    assert known[0] == 0x60D24054E17A0698

    @native
    def draw(count, state, step):
        output = _pcg64.draw(state, step, count)
        halves = (output >> 32).astype(jnp.uint32), output.astype(jnp.uint32)
        return _pcg64.advance(state, step, jnp.int32(count)), _joined(*halves)

    entropy = jnp.asarray([0xDEADBEAF], dtype=jnp.uint32)
    state, step = native(_pcg64.start)(_pcg64.seed_sequence(entropy))
    state, output = draw(count, state, step)
    np.testing.assert_array_equal(output, known[:count])
    np.testing.assert_array_equal(draw(2, state, step)[1], known[count:])


def _joined(high, low):
    return np.asarray(high).astype(np.uint64) << np.uint64(32) | np.asarray(low)


def test_products_of_128_bits():
    random = np.random.RandomState(1)
    a, b = random.randint(0, 2**63, (2, 1000), dtype=np.uint64) * np.uint64(2)
    a[:3] = 0, 2**64 - 1, 2**32
    product = [int(x) * int(y) >> 64 for x, y in zip(a, b, strict=True)]
    with jax.enable_x64(True):
        assert _pcg64.multiply_high(jnp.asarray(a), jnp.asarray(b)).tolist() == product
