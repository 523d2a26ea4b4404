"""Mamba: selective state spaces."""

import dataclasses
import math
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_int, check_number, value_error
from jaxinit._distribution import Distribution
from jaxinit._layout import WINDOW
from jaxinit._types import DTypeLike, Initializer, Key, Shape
from jaxinit.initializers.plain import uniform
from jaxinit.models.rules import Rule
from jaxinit.presets.common import (
    ONES,
    ZEROS,
    bounded,
    by_role,
    check_globs,
    check_uses,
    exactly,
    fan_in,
    fixed,
    gaussian,
    matched,
)
from jaxinit.trace.use import ParamUse, Uses

_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(64)


@dataclasses.dataclass(frozen=True)
class StepBias:
    """A bias b for which softplus(b) is log-uniform between two steps, at least a floor."""

    low: float
    high: float
    floor: float

    def __call__(self, key: Key, shape: Shape, dtype: DTypeLike | None = None) -> jax.Array:
        """Return the biases, computed in float32 or wider and rounded once."""
        final = jnp.dtype(dtype or jax.dtypes.canonicalize_dtype(np.float64))
        wide = final if final.itemsize >= 4 else jnp.dtype(np.float32)
        draw = uniform(key, shape, wide, low=math.log(self.low), high=math.log(self.high))
        step = jnp.maximum(jnp.exp(draw), jnp.asarray(self.floor, wide))
        return (step + jnp.log(-jnp.expm1(-step))).astype(final)

    def describe(self, _: tuple[int, ...], __: Any = None) -> Distribution:
        """Return the distribution, its moments by quadrature."""
        ends = math.log(self.low), math.log(self.high)
        middle, half = (ends[0] + ends[1]) / 2, (ends[1] - ends[0]) / 2
        steps = np.maximum(np.exp(middle + half * _NODES), self.floor)
        values, chances = steps + np.log(-np.expm1(-steps)), _WEIGHTS / 2
        mean = float(chances @ values)
        square = float(chances @ (values - mean) ** 2)
        kurtosis = float(chances @ (values - mean) ** 4) / square**2 if square else None
        text = f"inverse softplus of log_uniform({self.low:g}, {self.high:g})"
        return Distribution(text, math.sqrt(square), mean, kurtosis)


@dataclasses.dataclass(frozen=True)
class LogCount:
    """The logarithms of 1, 2, ..., N along the last axis."""

    def __call__(self, key: Key, shape: Shape, dtype: DTypeLike | None = None) -> jax.Array:
        """Return them, the same for every key."""
        del key
        final = jnp.dtype(dtype or jax.dtypes.canonicalize_dtype(np.float64))
        row = np.log(np.arange(1, shape[-1] + 1, dtype=np.float64))
        return jnp.broadcast_to(jnp.asarray(row, final), tuple(shape))

    def describe(self, shape: tuple[int, ...], _: Any = None) -> Distribution:
        """Return what it is."""
        return Distribution(f"log(1..{shape[-1]})", is_fixed=True)


@boundary
def mamba(
    uses: Uses,
    *,
    dt_kernel: str,
    dt_bias: str,
    a_log: str,
    skip: str,
    dt_rank: int,
    out: str | None = None,
    num_layers: int | None = None,
    residuals_per_layer: int = 1,
    dt_init: Literal["random", "constant"] = "random",
    dt_min: float = 1e-3,
    dt_max: float = 0.1,
    dt_scale: float = 1.0,
    dt_floor: float = 1e-4,
) -> list[Rule]:
    r"""Return Mamba's rules.

    The bias of the step is such that softplus of it is log-uniform in ``[dt_min, dt_max]``;
    :math:`A = -\exp(A_{log})` is :math:`-1, -2, \ldots, -N` (S4D-Real). Other kernels and
    the bias of the convolution are PyTorch's defaults, other biases 0, tables
    :math:`N(0, 0.02^2)`.

    Args:
        uses: What :func:`jaxinit.trace_params` found.
        dt_kernel: Glob of the kernel from rank to step:
            :math:`U(\pm s\, r^{-1/2})`, or this bound itself for ``dt_init="constant"``.
        dt_bias: Glob of its bias.
        a_log: Glob of :math:`A_{log}`, states on the last axis.
        skip: Glob of D: 1.
        dt_rank: r.
        out: Glob of the output projections, which are divided by
            :math:`\sqrt{\text{residuals} \cdot L}`; needs ``num_layers``. None for no such
            division.
        num_layers: L.
        residuals_per_layer: 1; 2 with an MLP in each layer.
        dt_init: Which of the two.
        dt_min: Smallest step.
        dt_max: Largest step.
        dt_scale: s.
        dt_floor: The step is not below it.

    Returns:
        Rules for a whole model.

    Raises:
        ValueError: A number is out of range, or one of ``out`` and ``num_layers`` comes
            without the other.
        TypeError: ``uses`` are no traced uses, or a glob is no string.

    References:
        Gu and Dao, "Mamba: Linear-time sequence modeling with selective state spaces",
        2023, https://arxiv.org/abs/2312.00752, section 3.6 and appendix E.2, and the
        authors' ``mamba_simple.py`` and ``_init_weights``.

    Example:
        >>> import jax
        >>> from jaxinit.presets.mamba import StepBias
        >>> bias = StepBias(0.001, 0.1, 0.0001)(jax.random.key(0), (1000,))
        >>> step = jax.nn.softplus(bias)
        >>> bool(((step > 0.0009) & (step < 0.101)).all())
        True
    """
    check_uses("uses", uses)
    check_globs(dt_kernel=dt_kernel, dt_bias=dt_bias, a_log=a_log, skip=skip, out=out)
    check_choice("dt_init", dt_init, ("random", "constant"))
    low = float(check_number("dt_min", dt_min, least=1e-30))
    high = float(check_number("dt_max", dt_max, least=low))
    floor = float(check_number("dt_floor", dt_floor, least=0))
    scale = float(check_number("dt_scale", dt_scale, least=0))
    bound = scale * check_int("dt_rank", dt_rank, least=1) ** -0.5
    rules: list[Rule] = [
        (dt_kernel, bounded(bound) if dt_init == "random" else fixed(bound)),
        (dt_bias, StepBias(low, high, floor)),
        (a_log, LogCount()),
        (skip, ONES),
    ]
    if (out is None) != (num_layers is None):
        got = f"out={out!r} and num_layers={num_layers!r}"
        value_error("out and num_layers go together", got, "Give both, or none.")
    each = check_int("residuals_per_layer", residuals_per_layer, least=1)
    if out is not None:
        layers = check_int("num_layers", num_layers, least=1)
        rules += _divided(uses, out, math.sqrt(layers * each))

    def weight(use: ParamUse) -> Initializer:
        return bounded(fan_in(use) ** -0.5)

    def bias(beside: ParamUse) -> Initializer:
        convolves = beside.layout is not None and set(beside.layout.axes) & WINDOW
        return weight(beside) if convolves else ZEROS

    def table(_: ParamUse) -> Initializer:
        return gaussian(0.02)

    return [*rules, *by_role("mamba", uses, weight=weight, embedding=table, bias=bias)]


def _divided(uses: Uses, glob: str, factor: float) -> list[Rule]:
    """Return PyTorch's default for a Linear, divided by a factor."""
    return [
        (exactly(path, "mamba"), bounded(fan_in(use) ** -0.5 / factor))
        for path, use in matched("out", glob, uses).items()
    ]
