"""A digest of a traced program: whether two runs would compute the same."""

import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np

_ADDRESS = re.compile(r"0x[0-9a-f]+")  # of a function; another in every process


def digest_of(closed: Any, data: Sequence[Any]) -> str:
    """Return 16 hexadecimal digits that depend on a program, its constants and its data.

    Args:
        closed: A closed jaxpr.
        data: Arrays that it will be given, or numbers.

    Returns:
        The first digits of a SHA-256. Another version of JAX may give others.
    """
    found = hashlib.sha256(_ADDRESS.sub("", str(closed)).encode())
    for array in (*_constants(closed.consts, closed.jaxpr), *data):
        is_key = jnp.issubdtype(jnp.result_type(array), jax.dtypes.prng_key)
        plain = np.asarray(jax.random.key_data(array) if is_key else array)
        found.update(f"{plain.dtype}{plain.shape}".encode())
        found.update(plain.tobytes())
    return found.hexdigest()[:16]


def _constants(consts: Sequence[Any], jaxpr: Any) -> Iterator[Any]:
    """Give the constants of a program and of programs inside it, which no text shows."""
    yield from consts
    for eqn in jaxpr.eqns:
        for value in eqn.params.values():
            for part in value if isinstance(value, (tuple, list)) else (value,):
                if isinstance(part, jex.ClosedJaxpr):
                    yield from _constants(part.consts, part.jaxpr)
                elif isinstance(part, jex.Jaxpr):
                    yield from _constants((), part)
