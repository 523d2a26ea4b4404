"""Models broadcast and promote as their users write them."""

from collections.abc import Iterator

import jax
import pytest


@pytest.fixture(autouse=True)
def lenient_promotion() -> Iterator[None]:
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
        yield
