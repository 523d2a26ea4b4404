"""Double precision inside the functions, whatever JAX's 64-bit mode is."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import is_traced, value_error


def _platform() -> str:
    """Return the platform on which JAX would run now."""
    device = jax.config.jax_default_device  # pyright: ignore[reportAttributeAccessIssue]
    if device is None:
        return jax.default_backend()
    return device if isinstance(device, str) else device.platform


def native(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the draw, a decorator: it computes with JAX's 64-bit types.

    The function takes and returns arrays of 32 bits and fewer, or float64 if 64-bit mode
    is on. It is exact on CPU, where the logarithm, sine and cosine of doubles are the C
    library's; with another default device the draw runs on CPU and its result is moved.
    Inside a program for a GPU the doubles are the GPU's own; a TPU has none.
    """

    @functools.wraps(function)
    def run(*args: Any) -> Any:
        platform = _platform()
        traced = any(is_traced(x) for x in jax.tree.leaves(args))
        if platform == "cpu" or (traced and platform in ("gpu", "cuda", "rocm")):
            with jax.enable_x64(True):
                return function(*args)
        if traced:
            rule = "a replayed draw needs exact doubles"
            advice = "Draw outside of jit: then it runs on CPU and the result is moved."
            value_error(rule, f"a program for {platform}", advice)
        cpu = jax.local_devices(backend="cpu")[0]
        with jax.enable_x64(True), jax.default_device(cpu):
            results = function(*jax.tree.map(_on_host, args))
        return jax.tree.map(lambda x: jnp.asarray(np.asarray(x)), results)

    return run


def _on_host(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, jax.Array) else value
