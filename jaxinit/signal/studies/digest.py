"""A digest of a traced program: whether two runs would compute the same."""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import type_error
from jaxinit._jaxpr import programs_in
from jaxinit.signal.studies.conditions import root_key

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
    for array in (*_constants(closed), *data):
        is_key = jnp.issubdtype(jnp.result_type(array), jax.dtypes.prng_key)
        plain = np.asarray(jax.random.key_data(array) if is_key else array)
        found.update(f"{plain.dtype}{plain.shape}".encode())
        found.update(plain.tobytes())
    return found.hexdigest()[:16]


def activation_digest(function: Callable[[Any], Any], shape: tuple[int, ...]) -> str:
    """Return the digest of a function on arrays and of its derivative.

    Args:
        function: The function.
        shape: Of arrays that it takes.

    Returns:
        As :func:`digest_of`.

    Raises:
        TypeError: The function cannot be traced, or gives no array of that shape.
    """
    like = jax.ShapeDtypeStruct(shape, jnp.float32)

    def both(x: jax.Array, gradient: jax.Array) -> Any:
        made, pull = jax.vjp(function, x)
        return made, pull(
            jnp.broadcast_to(gradient.ravel()[0], made.shape).astype(made.dtype)
        )

    rule = "activation must be a function of arrays that JAX can trace and differentiate"
    advice = "Write it with jax.numpy, as a function of every element."
    closed = _traced(rule, f"activation={function!r}", advice, both, like, like)
    _check_shape("activation", shape, closed, advice)
    return digest_of(closed, ())


def initializer_digest(init: Any, shape: tuple[int, ...], dtype: str) -> str:
    """Return the digest of an initializer.

    Args:
        init: The initializer, called with (key, shape, dtype).
        shape: Of the weight.
        dtype: Of the weight.

    Returns:
        As :func:`digest_of`.

    Raises:
        TypeError: The initializer cannot be traced, or gives no array of that shape.
    """

    def draw(key: jax.Array) -> Any:
        return init(key, shape, jnp.dtype(dtype))

    rule = "init must be a function (key, shape, dtype) that JAX can trace"
    advice = "Draw with jaxinit or jax.random."
    closed = _traced(rule, f"init={init!r}", advice, draw, root_key(0))
    _check_shape("init", shape, closed, advice)
    return digest_of(closed, ())


def _traced(
    rule: str, got: str, advice: str, function: Callable[..., Any], *args: Any
) -> Any:
    """Return the jaxpr of what a user's function computes."""
    try:
        return jax.make_jaxpr(function)(*args)
    except TypeError as error:
        first = str(error).partition("\n")[0]
        type_error(rule, f"{got}, which raised {first!r}", advice)


def _check_shape(name: str, shape: tuple[int, ...], closed: Any, advice: str) -> None:
    found = closed.out_avals[0].shape if closed.out_avals else None
    if found != shape:
        rule = f"{name} must return an array of the shape that it is given"
        type_error(rule, f"{found} for {shape}", advice)


def _constants(program: Any) -> Iterator[Any]:
    """Give the constants of a program and of programs inside it, which no text shows."""
    yield from getattr(program, "consts", ())
    for equation in getattr(program, "jaxpr", program).eqns:
        for inner in programs_in(equation):
            yield from _constants(inner)
