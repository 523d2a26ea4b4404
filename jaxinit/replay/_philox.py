"""The counter generator Philox-4x32-10.

Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A
block of four words is a function of a four-word counter and a two-word key, so blocks
are drawn in any order and in parallel.
"""

import jax
import jax.numpy as jnp
import numpy as np

Block = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
"""Four uint32 arrays: the four words of each block."""

# Random123, philox.h: PHILOX_M4x32_0, PHILOX_M4x32_1, PHILOX_W32_0, PHILOX_W32_1.
MULTIPLIERS = np.uint32(0xD2511F53), np.uint32(0xCD9E8D57)
WEYL = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
ROUNDS = 10


def _multiply_wide(a: jax.Array, b: np.uint32) -> tuple[jax.Array, jax.Array]:
    """Return the halves (high, low) of the product of two uint32."""
    product = a.astype(jnp.uint64) * b.astype(np.uint64)
    return (product >> 32).astype(jnp.uint32), product.astype(jnp.uint32)


def philox(counter: Block, key: tuple[jax.Array, jax.Array]) -> Block:
    """Return the block of every counter.

    Args:
        counter: The four words of the counters, lowest first, of one common shape.
        key: The two words of the key.

    Returns:
        The four words of the blocks, of the common shape. Runs with 64-bit types.
    """

    def step(i: jax.Array, words: Block) -> Block:
        c0, c1, c2, c3 = words
        i = jnp.asarray(i, jnp.uint32)
        k0, k1 = key[0] + i * WEYL[0], key[1] + i * WEYL[1]
        high0, low0 = _multiply_wide(c0, MULTIPLIERS[0])
        high1, low1 = _multiply_wide(c2, MULTIPLIERS[1])
        return high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0

    # A loop, as XLA would compile ten rounds anew for each of the four words.
    return jax.lax.fori_loop(0, ROUNDS, step, counter)
