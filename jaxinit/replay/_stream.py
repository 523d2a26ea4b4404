"""The state of a Mersenne stream, as a value."""

import dataclasses

import jax


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class MersenneStream:
    """Where a stream of draws stands: a pytree, which each draw takes and returns.

    A stream is a value. A draw does not change the one that it is given; it returns the
    next. The number of words drawn so far needs no place in it.

    Attributes:
        window: The last 624 raw words of the generator, uint32 of shape ``(624,)``.
        spare: The words from which the last pair of normals was made, uint32 of rank 1,
            if its second value is still to be given out; else None. Which, is static.
    """

    window: jax.Array
    spare: jax.Array | None = None
