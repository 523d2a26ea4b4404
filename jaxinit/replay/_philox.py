"""The counter generator Philox-4x32-10.

Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011. A
block of four words is a function of a four-word counter and a two-word key, so blocks
are drawn in any order and in parallel.
"""

import jax
import numpy as np

from jaxinit.replay._uint64 import multiply_wide

Block = tuple[jax.Array, jax.Array, jax.Array, jax.Array]
"""Four uint32 arrays: the four words of each block."""

# Random123, philox.h: PHILOX_M4x32_0, PHILOX_M4x32_1, PHILOX_W32_0, PHILOX_W32_1.
MULTIPLIERS = np.uint32(0xD2511F53), np.uint32(0xCD9E8D57)
WEYL = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10


def philox(counter: Block, key: tuple[jax.Array, jax.Array]) -> Block:
    """Return the block of every counter.

    Args:
        counter: The four words of the counters, lowest first, of one common shape.
        key: The two words of the key.

    Returns:
        The four words of the blocks, of the common shape.
    """
    c0, c1, c2, c3 = counter
    for i in range(ROUNDS):
        k0 = key[0] + np.uint32(i * WEYL[0] & 0xFFFFFFFF)
        k1 = key[1] + np.uint32(i * WEYL[1] & 0xFFFFFFFF)
        high0, low0 = multiply_wide(c0, MULTIPLIERS[0])
        high1, low1 = multiply_wide(c2, MULTIPLIERS[1])
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
    return c0, c1, c2, c3
