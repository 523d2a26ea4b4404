"""What the tests of the adapters share."""

import math
from typing import Any

import jax
import numpy as np


def spec(*shape: int, dtype: str = "float32") -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(shape, dtype)


def has_std(array: Any, std: float, kurtosis: float = 3.0) -> bool:
    """Whether the root mean square is ``std`` within 5 standard errors (6e-7 a check)."""
    values = np.asarray(array, np.float64)
    bound = 5 * math.sqrt((kurtosis - 1) / values.size) / 2
    assert bound < 0.2, "too few entries to tell a wrong fan"
    return abs(math.sqrt((values**2).mean()) / std - 1) < bound
