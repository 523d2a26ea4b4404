"""Assertions on initialized weights, whose bounds come from the sampling distribution.

In the manner of chex: each ``assert_*`` raises an ``AssertionError`` or does nothing,
works eagerly and, in a function wrapped by ``chex.chexify``, under ``jax.jit``, and is
silenced by ``chex.disable_asserts``. An array that spans processes goes the second way.
There is no tolerance to choose: each takes the probability ``alpha`` with which it may
reject weights that are right.
"""

from jaxinit.asserts._arrays import assert_array as assert_array
from jaxinit.asserts._arrays import assert_distribution as assert_distribution
from jaxinit.asserts._arrays import assert_mean as assert_mean
from jaxinit.asserts._arrays import assert_variance as assert_variance
from jaxinit.asserts._distributions import Distribution as Distribution
from jaxinit.asserts._distributions import mean_limits as mean_limits
from jaxinit.asserts._distributions import variance_limits as variance_limits
from jaxinit.asserts._matrices import Orthogonal as Orthogonal
from jaxinit.asserts._matrices import assert_orthogonal as assert_orthogonal
from jaxinit.asserts._trees import assert_tree as assert_tree

# The same under the names that they had first.
Law = Distribution
assert_law = assert_distribution

__all__ = [
    "Distribution",
    "Law",
    "Orthogonal",
    "assert_array",
    "assert_distribution",
    "assert_law",
    "assert_mean",
    "assert_orthogonal",
    "assert_tree",
    "assert_variance",
    "mean_limits",
    "variance_limits",
]
