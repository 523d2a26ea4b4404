"""Small forward passes, what the tracer says of them, and counts of their fans."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinit.trace.entry import trace_params
from jaxinit.trace.use import ParamUse


def spec(*shape: int, dtype: str = "float32") -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def use_of(f: Callable[..., Any], shape: tuple[int, ...], *inputs: Any) -> ParamUse:
    return trace_params(lambda p, *x: f(p["w"], *x), {"w": spec(*shape)}, *inputs)["w"]


def counted_fan_in(f: Callable[..., Any], shape: tuple[int, ...], x: np.ndarray) -> int:
    """Count the entries of the weight that the busiest output depends on."""
    w = np.ones(shape, "float32")
    jacobian = jax.jit(jax.jacrev(lambda w: f(w, jnp.asarray(x)).reshape(-1)))(w)
    return int((np.asarray(jacobian).reshape(jacobian.shape[0], -1) != 0).sum(1).max())


def counted_fan_out(f: Callable[..., Any], shape: tuple[int, ...], x: np.ndarray) -> int:
    """Count the outputs that the busiest entry of the data reaches."""
    w = np.ones(shape, "float32")
    jacobian = jax.jit(jax.jacrev(lambda x: f(w, x).reshape(-1)))(jnp.asarray(x))
    return int((np.asarray(jacobian).reshape(jacobian.shape[0], -1) != 0).sum(0).max())


def conv(w: Any, x: Any, numbers: tuple[str, str, str], groups: int = 1, **kw: Any) -> Any:
    options = {"window_strides": (1,) * (len(numbers[0]) - 2), "padding": "SAME"} | kw
    return lax.conv_general_dilated(
        x, w, dimension_numbers=numbers, feature_group_count=groups, **options
    )


NHWC = ("NHWC", "HWIO", "NHWC")
