"""Integers of a range, and choices by probability, for all streams that draw them."""

import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import check_int, type_error, value_error
from jaxinit.replay._walks import Bound, Source, leading, multiplied, rejection

_LEAST, _MOST = -(1 << 31), (1 << 31) - 1


def check_bounds(low: int, high: int | None, endpoint: bool = False) -> tuple[int, int]:
    """Return the least and the largest value of a range as NumPy writes it."""
    if high is None:
        low, high = 0, low
    low = check_int("", "low", low, least=_LEAST)
    last = check_int("", "high", high, least=_LEAST) - (not endpoint)
    if not low <= last <= _MOST:
        rule = f"low must be below high, and both within {_LEAST} to {_MOST}"
        value_error("", rule, f"low={low}, high={high}", "Results are int32.")
    return low, last


def integers(
    source: Source, state: Any, size: int, low: int, last: int, bound: Bound
) -> tuple[Any, jax.Array]:
    """Draw int32 from ``low`` to ``last``, each from the first word that is accepted."""
    nothing = low == last and bound is not leading  # Python draws even then
    if size == 0 or nothing:
        return state, jnp.full((size,), low, jnp.int32)
    largest = jnp.uint32(last - low)

    def accept(words: jax.Array) -> jax.Array:
        return bound(words[:, 0], largest)[1]

    share = 0.999 if bound is multiplied and last - low < 1 << 20 else 0.5
    state, words = rejection(source, state, size, 1, share, accept)
    values = bound(words[:, 0], largest)[0].astype(jnp.int32)
    return state, values + np.int32(low)


def check_probabilities(size: int, p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the cumulative sums of probabilities as NumPy forms them."""
    try:
        share = np.asarray(p, np.float64)
    except (TypeError, ValueError):
        type_error("", "p must be a sequence of numbers", f"p={p!r}", "Give a list.")
    if share.shape != (size,) or not np.all(share >= 0) or abs(share.sum() - 1) > 1e-8:
        rule = f"p must be {size} probabilities that sum to 1"
        got = f"p of shape {share.shape} with sum {share.sum():g}"
        value_error("", rule, got, "Divide p by its sum.")
    total = share.cumsum()
    return total / total[-1]


def check_choice_size(a: int, shape: tuple[int, ...], replace: bool, given: bool) -> int:
    """Return the number of choices, refusing what cannot be chosen."""
    size = math.prod(shape)
    if not replace and given:
        rule = "p needs replace=True"
        value_error(
            "", rule, "replace=False with p", "Choose without p, or with replacement."
        )
    if not replace and size > a:
        rule = "without replacement at most a values can be chosen"
        value_error("", rule, f"a={a}, shape={shape}", "Set replace=True.")
    return size
