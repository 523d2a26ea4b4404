"""Draws of several blocks: where blocks end, the state after them, and many seeds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxinit.replay import (
    _mt19937,
    _rows,
    _ziggurat,
    numpy_generator,
    numpy_legacy,
    python_random,
    tf_stateless,
    torch_cpu,
)
from tests.replay.golden import assert_same_bits

BLOCK = 48 * 624  # the words that are drawn at a time
SIZES = 1, 625, BLOCK // 2 + 1, 70001


@pytest.mark.parametrize("share", [0.5, np.pi / 4, 0.975, 0.999])
@pytest.mark.parametrize("count", [1, 2, 17, 1024, 10**6])
def test_enough_tries_fail_once_in_10_to_the_20(count, share):
    tries = _rows.enough(count, share)
    assert scipy.stats.binom.logcdf(count - 1, tries, share) < -20 * np.log(10)


@pytest.mark.parametrize("count", [1, 1024, 16384, 10**6])
def test_the_ziggurat_has_room_but_once_in_10_to_the_20(count):
    starts = _rows.enough(count, 0.975)
    below = _ziggurat._LIMITS / 2.0**52  # the share of words of a layer that succeed
    shares = 1 - below.mean(), (1 - below[0]) / 256
    for room, share in zip(_ziggurat.rooms(starts), shares, strict=True):
        assert scipy.stats.binom.logsf(room, starts, share) < -20 * np.log(10)


@pytest.mark.parametrize("used", [0, 1, 623, 624, 625, 1248, 1500])
def test_the_window_after_any_number_of_used_words(used):
    window = _mt19937.window_from_seed(jnp.uint32(3))
    raw, after = _mt19937.ahead(window, 1500)
    everything = np.concatenate([window, raw])
    assert_same_bits(after(used), everything[used : used + 624])
    assert_same_bits(jax.jit(after)(used), everything[used : used + 624])


def test_numpy_draws_end_and_go_on_at_any_place():
    stream, random = numpy_legacy.seed(5), np.random.RandomState(5)
    for size in SIZES:
        stream, x = numpy_legacy.rand(stream, (size,), "float32")
        assert_same_bits(x, random.rand(size).astype(np.float32))
        stream, x = numpy_legacy.randn(stream, (size,), "float32")
        assert_same_bits(x, random.randn(size).astype(np.float32))
        stream, x = numpy_legacy.randint(stream, (size,), 100)
        assert_same_bits(x, random.randint(100, size=size).astype(np.int32))


def test_a_generator_goes_on_at_any_place():
    stream, random = numpy_generator.default_rng(5), np.random.default_rng(5)
    for size in SIZES[::2]:
        stream, x = numpy_generator.standard_normal(stream, (size,), "float32")
        assert_same_bits(x, random.standard_normal(size).astype(np.float32))
        stream, x = numpy_generator.integers(stream, (size,), 1000)
        assert_same_bits(x, random.integers(1000, size=size).astype(np.int32))


def torch_uniform(stream, size):
    return torch_cpu.uniform(stream, (size,), dtype="float32")


def torch_normal(stream, size):
    return torch_cpu.normal(stream, (size,), dtype="float32")


def python_gauss(stream, size):
    return python_random.gauss(stream, (size,), dtype="float32")


def legacy_randn(stream, size):
    return numpy_legacy.randn(stream, (size,), "float32")


@pytest.mark.parametrize(
    ("draw", "start"),
    [
        (torch_uniform, torch_cpu.manual_seed),
        (torch_normal, torch_cpu.manual_seed),
        (python_gauss, python_random.seed),
    ],
)
def test_one_draw_is_two_that_follow_each_other(draw, start):
    whole, size = 16 * 6300, 16 * 3150  # each of several blocks
    stream, one = draw(start(3), size)
    _, two = draw(stream, size)
    assert_same_bits(np.concatenate([one, two]), draw(start(3), whole)[1])


@pytest.mark.parametrize(
    ("draw", "start"),
    [(torch_normal, torch_cpu.manual_seed), (legacy_randn, numpy_legacy.seed)],
)
def test_many_seeds_at_once_over_several_blocks(draw, start):
    def one(seed):
        stream, first = draw(start(seed), 32001)
        return first, stream.window

    seeds = jnp.arange(4, dtype=jnp.uint32).reshape(2, 2)
    together = jax.jit(jax.vmap(jax.vmap(one)))(seeds)
    for i, j in ((0, 0), (0, 1), (1, 1)):
        for alone, many in zip(one(seeds[i, j]), together, strict=True):
            assert_same_bits(many[i, j], alone)


def test_without_compilation():
    stream = torch_cpu.manual_seed(3)

    def draw():
        return torch_uniform(stream, 7)[1], tf_stateless.stateless_uniform((7,), (0, 1))

    with jax.disable_jit():
        known = draw()
    for ours, theirs in zip(draw(), known, strict=True):
        assert_same_bits(ours, theirs)
