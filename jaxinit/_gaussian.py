r"""Expectations of a nonlinearity of Gaussian numbers, on the host in float64.

A function of one number is resolved once: the line is cut at powers of two and at the
kinks and jumps that bisection finds, and each piece is halved until a polynomial
through 16 Gauss-Legendre nodes gives the function back. These nodes serve every
variance from 1e-60 up, so an expectation is then one dot product with a density.
Nothing here is traced: it gives floats also while a caller is being traced.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, NoReturn, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import shown, type_error, value_error

_F = TypeVar("_F", bound=Callable[..., Any])
Function = Callable[[Any], Any]
"""A function of one number, or one that acts on every element of an array."""

_ORDER = 16
_CHUNK = 8192  # points a call: one shape, hence one compilation a function
_LEAST = -110  # the innermost piece ends at 2**-110, about 1e-33
_TOLERANCE = 1e-12  # of the polynomial against the function, relative in the piece
_NOISE = 2e-15  # rounding of the argument, for functions that cancel near zero
_NARROWEST = 2.0**-48  # relative width at which a piece is taken for a jump
_MOST_PIECES = 4096  # reached only by functions that are themselves noisy

_NOT_OF_ARRAYS = (TypeError, ValueError, LookupError, AttributeError, AssertionError)
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_ORDER)
_CHILD_NODES = np.concatenate([(_NODES - 1) / 2, (_NODES + 1) / 2])
_FROM_VALUES = np.linalg.inv(np.polynomial.legendre.legvander(_NODES, _ORDER - 1))
_TO_ENDS = (
    np.polynomial.legendre.legvander(np.array([-1.0, 1.0]), _ORDER - 1) @ _FROM_VALUES
)
_TO_END_SLOPES = (
    np.polynomial.legendre.legval(
        np.array([-1.0, 1.0]), np.polynomial.legendre.legder(np.eye(_ORDER))
    ).T
    @ _FROM_VALUES
)
_TO_CHILDREN = np.polynomial.legendre.legvander(_CHILD_NODES, _ORDER - 1) @ np.linalg.inv(
    np.polynomial.legendre.legvander(_NODES, _ORDER - 1)
)


class Resolved(NamedTuple):
    """A function at quadrature nodes that resolve it; all arrays are float64."""

    function: Function
    reach: int  # resolved for |x| <= 2**reach
    at_zero: float
    x: np.ndarray
    weights: np.ndarray
    values: np.ndarray
    slopes: np.ndarray | None  # None where JAX cannot differentiate the function
    breaks: np.ndarray  # positions of kinks and jumps


@contextlib.contextmanager
def host_float64() -> Iterator[None]:
    """Compute now, in float64 and on a CPU where there is one."""
    try:
        place = jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:
        place = contextlib.nullcontext()
    with jax.ensure_compile_time_eval(), jax.enable_x64(True), place:
        yield


class Once:
    """A user's function for the length of one call, and what has been found out of it.

    The function may be changed between two calls, and is not to be kept alive: so nothing
    of it is in a cache, and JAX traces this object instead of one that it has seen.
    """

    def __init__(self, function: Function) -> None:
        self.function = function
        self.found: dict[Any, Any] = {}

    def __call__(self, x: Any) -> Any:
        """Return ``function(x)``."""
        return self.function(x)

    def __repr__(self) -> str:
        return repr(self.function)


def remembered(of: _F) -> _F:
    """Decorate a function of an activation and numbers: it is computed once for the same.

    Args:
        of: The function.

    Returns:
        The same with a memory: a cache for the library's own activations; for a
        :class:`Once` its own, which goes with it.
    """
    shared = functools.lru_cache(maxsize=64)(of)

    @functools.wraps(of)
    def recall(function: Any, *numbers: Any) -> Any:
        if not isinstance(function, Once):
            return shared(function, *numbers)
        place = (of, *numbers)
        if place not in function.found:
            function.found[place] = of(function, *numbers)
        return function.found[place]

    return recall  # pyright: ignore[reportReturnType]


@remembered
def _compiled(function: Function) -> Function:
    def value_and_slope(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return jax.jvp(
            lambda t: _as_array(function(t)).astype(jnp.float64),
            (x,),
            (jnp.ones_like(x),),
        )

    return jax.jit(jax.vmap(value_and_slope))


def evaluate(function: Function, x: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """Return values and slopes at ``x``; no slopes for a function in NumPy."""
    flat = np.asarray(x, np.float64).reshape(-1)
    try:
        values, slopes = _evaluate(function, flat, _compiled(function))
    except (
        jax.errors.ConcretizationTypeError,
        jax.errors.TracerArrayConversionError,
        jax.errors.UnexpectedTracerError,
    ):
        rule = "the function must be computable now, from plain numbers"
        advice = "Close over floats instead of traced values, and use jnp.where for if."
        value_error(rule, "one that is not", advice)
    if not np.isfinite(values).all():
        bad = np.argmin(np.isfinite(values))
        rule = "the function must be finite wherever its inputs may lie"
        advice = "Clip it, or treat that case with jnp.where."
        value_error(rule, f"f({flat[bad]:.4g})={values[bad]}", advice)
    values = values.reshape(np.shape(x))
    if slopes is None:
        return values, None
    # Derivative rules may give NaN or inf at a kink; it has no weight of its own.
    slopes = np.where(np.isfinite(slopes), slopes, 0.0)
    return values, slopes.reshape(np.shape(x))


def _evaluate(
    function: Function, x: np.ndarray, compiled: Function
) -> tuple[np.ndarray, np.ndarray | None]:
    values, slopes = np.empty_like(x), np.empty_like(x)
    try:
        for start in range(0, x.size, _CHUNK):
            part = slice(start, min(start + _CHUNK, x.size))
            with host_float64():
                padded = np.pad(x[part], (0, _CHUNK - (part.stop - start)), mode="edge")
                f, g = jax.device_get(compiled(padded))
            if np.shape(f) != (_CHUNK,):
                _not_scalar(np.shape(f)[1:])
            values[part], slopes[part] = f[: part.stop - start], g[: part.stop - start]
    except jax.errors.TracerArrayConversionError:
        values = np.asarray(function(x))
        if values.shape != x.shape:
            _not_scalar(values.shape)
        return values.astype(np.float64), None
    return values, slopes


def _as_array(value: Any) -> jax.Array:
    """Return what a function gave as an array, if it is a real number."""
    rule = "the function must give one real number for one number"
    advice = "Write it with jax.numpy, element by element."
    if not isinstance(value, (jax.Array, np.ndarray, int, float, np.number)):
        type_error(rule, shown(value), advice)
    array = jnp.asarray(value)
    if array.dtype.kind == "c":
        type_error(rule, f"a result of dtype {array.dtype.name}", advice)
    return array


def _not_scalar(shape: tuple[int, ...]) -> NoReturn:
    rule = "the function must give one number for one number"
    type_error(rule, f"a result of shape {shape}", "Apply it per element.")


def _nodes(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return 16 nodes in each piece, shape (pieces, 16)."""
    middle, half = (right + left) / 2, (right - left) / 2
    return middle[:, None] + half[:, None] * _NODES


def _misfit(values: np.ndarray, fine: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Return per piece whether the polynomial misses the function."""
    size = np.maximum(np.abs(values).max(1), np.abs(fine).max(1))
    error = np.abs(values @ _TO_CHILDREN.T - fine).max(1)
    return error > _TOLERANCE * size + noise


class _Pieces(NamedTuple):
    left: np.ndarray
    right: np.ndarray
    values: np.ndarray  # (pieces, 16)
    slopes: np.ndarray | None
    breaks: np.ndarray


def _refine(
    evaluate_at: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray | None]],
    edges: np.ndarray,
) -> _Pieces:
    """Halve the pieces between ``edges`` until polynomials fit, level by level."""
    left, right = edges[:-1], edges[1:]
    values, slopes = evaluate_at(_nodes(left, right))
    done: list[tuple[np.ndarray, ...]] = []
    breaks: list[np.ndarray] = []
    total = 0
    while left.size:
        middle = (left + right) / 2
        halves = np.concatenate([_nodes(left, middle), _nodes(middle, right)], axis=1)
        fine, fine_slopes = evaluate_at(halves)
        reach = np.maximum(np.abs(left), np.abs(right))
        missed = _misfit(values, fine, _NOISE * reach)
        if slopes is not None and fine_slopes is not None:
            missed |= _misfit(slopes, fine_slopes, 4 * _NOISE * (1 + reach))
        narrow = missed & (right - left <= _NARROWEST * reach)
        breaks.append(middle[narrow])
        missed &= ~narrow
        total += left.size
        if total > _MOST_PIECES:
            missed[:] = False
        kept = ~missed
        columns = (left, right, values) if slopes is None else (left, right, values, slopes)
        done.append(tuple(column[kept] for column in columns))
        left, middle, right = left[missed], middle[missed], right[missed]
        left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
        values = _stack_halves(fine[missed])
        if slopes is not None and fine_slopes is not None:
            slopes = _stack_halves(fine_slopes[missed])
    joined = [np.concatenate(column) for column in zip(*done, strict=True)]
    order = np.argsort(joined[0])
    found = np.sort(np.concatenate(breaks))
    left, right, values = (column[order] for column in joined[:3])
    slopes = None if slopes is None else joined[3][order]
    return _Pieces(left, right, values, slopes, found)


def _stack_halves(fine: np.ndarray) -> np.ndarray:
    return np.concatenate([fine[:, :_ORDER], fine[:, _ORDER:]])


def _kinks(pieces: _Pieces) -> np.ndarray:
    """Return the edges where value, slope or curvature of both sides differ."""
    columns = [pieces.values]
    if pieces.slopes is not None:
        columns.append(pieces.slopes)
    differ = np.zeros(pieces.left.size - 1, bool)
    width = pieces.right - pieces.left
    for column in columns:
        size = np.abs(column).max(1)
        noise = 40 * _NOISE * (1 + np.abs(pieces.left[1:]))
        least = 1e-9 * np.maximum(size[1:], size[:-1]) + noise
        ends, steepness = column @ _TO_ENDS.T, column @ _TO_END_SLOPES.T
        differ |= np.abs(ends[1:, 0] - ends[:-1, 1]) > least
        least_width = np.minimum(width[1:], width[:-1])
        right = steepness[1:, 0] * (least_width / width[1:])
        gap = np.abs(right - steepness[:-1, 1] * (least_width / width[:-1]))
        differ |= gap > 100 * least
    return pieces.right[:-1][differ]


@remembered
def resolve(function: Function, reach: int = 5) -> Resolved:
    """Return the function resolved for ``|x| <= 2**reach``; for the same one, the same."""
    octaves = 2.0 ** np.arange(_LEAST, reach + 1)
    edges = np.concatenate([-octaves[::-1], [0.0], octaves])
    evaluate_at = functools.partial(evaluate, function)
    pieces = _refine(evaluate_at, edges)
    if pieces.breaks.size:
        pieces = _refine(evaluate_at, np.union1d(edges, pieces.breaks))
    half = (pieces.right - pieces.left) / 2
    return Resolved(
        function,
        reach,
        float(evaluate(function, np.zeros(1))[0][0]),
        _nodes(pieces.left, pieces.right).reshape(-1),
        (half[:, None] * _WEIGHTS).reshape(-1),
        pieces.values.reshape(-1),
        None if pieces.slopes is None else pieces.slopes.reshape(-1),
        np.union1d(_kinks(pieces), [0.0]),
    )


def resolve_once(function: Function) -> Resolved:
    """Return the same, keeping neither the function nor anything that is known of it."""
    _check_elementwise(function)
    return resolve(function if isinstance(function, Once) else Once(function))


def _check_elementwise(function: Function) -> None:
    """Refuse a function that mixes the elements of an array, such as softmax."""
    rule = "the function must act on every element of an array on its own"
    advice = "Softmax, normalisation and gated units have no gain of this kind."
    x = np.array([-1.25, 0.5, 2.0])
    try:
        with host_float64():
            whole = np.asarray(function(jnp.asarray(x)))
    except _NOT_OF_ARRAYS:  # a function of single numbers, perhaps
        whole = None
    try:
        with host_float64():
            single = [np.asarray(function(jnp.asarray(v))) for v in x]
    except (LookupError, ValueError, AssertionError) as error:
        text = str(error).splitlines()[0].rstrip(".")
        type_error(rule, f"{type(error).__name__}: {text}", advice)
    if any(np.shape(v) for v in single):
        _not_scalar(np.shape(single[0]))
    if whole is not None and (
        whole.shape != x.shape or not np.allclose(whole, single, equal_nan=True)
    ):
        type_error(rule, "one that gives other values for an array", advice)


def resolve_for(function: Function, variance: float) -> Resolved:
    """Return the function resolved to 16 standard deviations or more."""
    reach = max(5, math.ceil(math.log2(16 * math.sqrt(max(variance, 1e-300)))))
    return resolve(function, reach)


def density(x: np.ndarray, variance: np.ndarray | float) -> np.ndarray:
    """Return the N(0, variance) density at ``x``, shape ``(*variance, x)``."""
    q = np.asarray(variance, np.float64)[..., None]
    return np.exp(-0.5 * x * x / q) / np.sqrt(2 * np.pi * q)


def expectation(resolved: Resolved, of: np.ndarray, variance: Any) -> Any:
    """Return the mean of ``of``, given at the nodes, over N(0, variance)."""
    return density(resolved.x, variance) @ (of * resolved.weights)


def correlated(
    resolved: Resolved, variance: float, correlation: float
) -> tuple[float, float]:
    """Return E f(u)f(v) and E f'(u)f'(v) for one variance and one correlation.

    The inner integral, over v given u, is cut at the kinks of f and around the
    conditional mean; the outer one is refined like any function of one number.
    """
    sigma, tau = math.sqrt(variance), math.sqrt(variance * (1 - correlation**2))
    offsets = np.array([-12, -7, -4, -2, -0.7, 0.7, 2, 4, 7, 12.0])
    has_slopes = resolved.slopes is not None

    def smoothed(u: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        flat = u.reshape(-1)
        f, g = evaluate(resolved.function, flat)
        centre = correlation * flat[:, None]
        if tau == 0:
            inner_f, inner_g = evaluate(resolved.function, centre[:, 0])
        else:
            kinks = np.clip(
                (resolved.breaks[None, :] - centre) / tau, offsets[0], offsets[-1]
            )
            frame = np.broadcast_to(offsets, (flat.size, offsets.size))
            cuts = np.sort(np.concatenate([frame, kinks], axis=1), axis=1)
            middle, half = (cuts[:, 1:] + cuts[:, :-1]) / 2, np.diff(cuts) / 2
            z = middle[..., None] + half[..., None] * _NODES
            mass = half[..., None] * _WEIGHTS * np.exp(-0.5 * z * z)
            mass /= math.sqrt(2 * math.pi)
            at = centre[..., None] + tau * z
            values, slopes = evaluate(resolved.function, at)
            inner_f = (mass * values).sum((1, 2))
            inner_g = None if slopes is None else (mass * slopes).sum((1, 2))
        product = (f * inner_f).reshape(u.shape)
        if g is None or inner_g is None:
            return product, None
        return product, (g * inner_g).reshape(u.shape)

    steps = sigma * 2.0 ** np.arange(-24, 4)
    breaks = resolved.breaks[np.abs(resolved.breaks) < steps[-1]]
    edges = np.union1d(np.concatenate([-steps[::-1], steps]), breaks)
    edges = edges[np.concatenate([[True], np.diff(edges) > 1e-13 * sigma])]
    pieces = _refine(smoothed, edges)
    half = (pieces.right - pieces.left) / 2
    mass = density(_nodes(pieces.left, pieces.right), variance)
    mass = mass * half[:, None] * _WEIGHTS
    forward = float((mass * pieces.values).sum())
    if not has_slopes or pieces.slopes is None:
        return forward, math.nan
    return forward, float((mass * pieces.slopes).sum())
