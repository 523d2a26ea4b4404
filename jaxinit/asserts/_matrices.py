"""Assertion on orthogonality."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit import _checks
from jaxinit._boundary import boundary
from jaxinit.asserts._arrays import check_array
from jaxinit.asserts._distributions import check_float, widened
from jaxinit.asserts._moments import Array
from jaxinit.asserts._report import Finding, Value, settle

SIDES = ("shorter", "rows", "columns")


@boundary
@dataclass(frozen=True)
class Orthogonal:
    """A matrix, or a batch of them, in the last two axes: orthonormal times ``gain``.

    Attributes:
        gain: The length of each vector, above 0.
        vectors: ``"rows"``, ``"columns"``, or the ``"shorter"`` of the two lists, which
            is what a matrix that is not square can have.
    """

    gain: float = 1.0
    vectors: str = "shorter"

    def __post_init__(self) -> None:
        gain = _checks.check_number("gain", self.gain)
        if not isinstance(gain, float) or gain <= 0:
            rule = "gain must be a number above 0 that is known"
            advice = "Give the length that each vector is to have."
            _checks.value_error(rule, f"gain={self.gain}", advice)
        object.__setattr__(self, "gain", gain)
        _checks.check_choice("vectors", self.vectors, SIDES)


@boundary
def assert_orthogonal(x: Array, gain: float = 1.0, *, vectors: str = "shorter") -> None:
    """Assert that the matrices in the last two axes have orthogonal vectors.

    The Gram matrix over ``gain**2`` may differ from the identity, in any entry, by what
    rounding explains: ``eps`` of the dtype for one rounding of the entries (a bound, by
    Cauchy-Schwarz), and ``4 eps sqrt(size)`` of float32 or float64 for the factorization.
    A kernel with window axes is reshaped first, as its initializer saw it.

    Args:
        x: Shape ``(..., rows, columns)``; leading axes are a batch. Real or complex.
        gain: The length of each vector.
        vectors: ``"rows"``, ``"columns"``, or the ``"shorter"`` of the two lists.

    Raises:
        AssertionError: If an entry differs by more.
        TypeError: If an argument is of the wrong kind.
        ValueError: If an argument is out of its range.

    Example:
        >>> import jax
        >>> from jaxinit import asserts
        >>> q = jax.random.orthogonal(jax.random.key(0), 64, (8,))
        >>> asserts.assert_orthogonal(q)
    """
    check_array(x)
    settle("assert_orthogonal", gram(x, Orthogonal(gain, vectors)))


def gram(x: Array, expected: Orthogonal) -> list[Finding]:
    """Return the finding on the Gram matrices of the last two axes."""
    check_float("x", x.dtype)
    advice = "Matrices are in the last two axes; reshape a kernel as its layer uses it."
    _checks.check_rank(x.shape, 2, advice)
    if x.size == 0:
        return []
    rows, columns = x.shape[-2:]
    by_rows = expected.vectors == "rows" or (
        expected.vectors == "shorter" and rows < columns
    )
    worst = _worst(np.asarray(x) if not _checks.is_traced(x) else x, expected.gain, by_rows)
    most = tolerance(x.dtype, max(rows, columns), expected.gain)
    kind = "rows" if by_rows else "columns"
    rule = (
        f"{kind} must be orthogonal and of length {expected.gain:g}: no entry of the"
        f" Gram matrix over gain**2 more than {most:.3g} from the identity"
        f" ({rows} x {columns}, {x.dtype.name})"
    )
    return [Finding(worst <= most, rule, {"difference": worst})]


def _worst(x: Array, gain: float, by_rows: bool) -> Value:
    """Return the largest entry of the Gram matrix less the identity."""
    if isinstance(x, np.ndarray):
        m = x.astype(np.promote_types(widened(x.dtype), np.float64)) / gain
        m = np.swapaxes(m, -1, -2) if by_rows else m
        product = np.swapaxes(m, -1, -2).conj() @ m
        return np.max(np.abs(product - np.eye(m.shape[-1])))
    m = x.astype(widened(x.dtype)) / gain
    m = jnp.swapaxes(m, -1, -2) if by_rows else m
    product = jnp.matmul(
        jnp.swapaxes(m, -1, -2).conj(), m, precision=jax.lax.Precision.HIGHEST
    )
    return jnp.max(jnp.abs(product - jnp.eye(m.shape[-1], dtype=m.dtype)))


def tolerance(dtype: np.dtype, size: int, gain: float) -> float:
    """Return how far rounding can take an entry of the Gram matrix."""
    single = jnp.finfo(np.float32)
    info = jnp.finfo(dtype)
    work = min(float(info.eps), float(single.eps))
    most = 4 * work * math.sqrt(size)
    if dtype.name in _checks.NARROW_FLOATS:
        eps = float(info.eps)
        most += eps * (1 + eps / 4)
        most += float(info.smallest_subnormal) / gain * math.sqrt(size)  # flat near 0
    return most
