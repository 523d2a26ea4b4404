"""Gains: the factor on the standard deviation that a nonlinearity asks for."""

import functools
import math
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np

from jaxinit._activations import (
    ACTIVATION_NAMES,
    GATED,
    activation,
    canonical_name,
    check_param,
    is_own,
)
from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, type_error, value_error
from jaxinit._gaussian import Resolved, expectation, resolve, resolve_once

Criterion = Literal["forward", "centered", "backward"]
"""Which second moment a gain is to keep."""

_CRITERIA = ("forward", "centered", "backward")
# torch.nn.init.calculate_gain; tanh and selu are its conventions, not moments.
_PYTORCH = {"sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
_PYTORCH |= dict.fromkeys(["linear", "conv1d", "conv2d", "conv3d"], 1.0)
_PYTORCH |= {f"conv_transpose{n}d": 1.0 for n in (1, 2, 3)}

GAIN_NAMES = (*ACTIVATION_NAMES, *GATED)
"""Every name that :func:`calculate_gain` knows."""


@boundary
def calculate_gain(
    nonlinearity: str | Callable[[Any], Any],
    param: float | None = None,
    *,
    criterion: Criterion | None = None,
) -> float:
    r"""Return the gain of a nonlinearity: the factor that makes up for its loss.

    For :math:`z \sim N(0, 1)` the three criteria are

    * ``"forward"``: :math:`1 / \sqrt{E f(z)^2}`, which keeps the mean square of the
      signal (and is what Kaiming initialization means by a gain);
    * ``"centered"``: :math:`1 / \sqrt{Var f(z)}`, for layers that remove the mean;
    * ``"backward"``: :math:`1 / \sqrt{E f'(z)^2}`, which keeps that of the gradient.

    Without a criterion the names that PyTorch knows give PyTorch's constants: 1 for
    ``linear``, ``conv1d`` to ``conv_transpose3d`` and ``sigmoid``, 5/3 for ``tanh``,
    :math:`\sqrt 2` for ``relu``, :math:`\sqrt{2 / (1 + s^2)}` for ``leaky_relu`` and 3/4
    for ``selu``. Those of ``sigmoid``, ``tanh`` and ``selu`` are conventions: a stated
    criterion gives the moments instead. All else is computed, by default forward.

    A gain looks at one layer. Deep networks of GELU or SiLU with it lose or blow up
    their signal; :func:`jaxinit.signal.recommend` says what to do there.

    Args:
        nonlinearity: A name (``"gelu"``, ``"silu"``, ``"elu"``, ``"swiglu"``, ...) or a
            function of one number that JAX can trace. A function in NumPy works too,
            except with ``criterion="backward"``. Kinks and jumps may lie anywhere; a
            feature on one side of which nothing changes is found if it is wider than a
            twentieth of its distance from 0. It must treat every element alone, and is
            read anew at each call: nothing of it is kept.
        param: Slope of ``leaky_relu`` (0.01 if None) and ``prelu`` (0.25), alpha of
            ``elu`` and ``celu`` (1), bound of ``hard_shrink`` and ``soft_shrink`` (0.5).
            As in PyTorch it is ignored for the other names of PyTorch's table.
        criterion: What is to be kept; None as described above. For gated units such as
            ``"swiglu"``, f(a) b with independent a and b, the forward and the centered
            gain are those of the product, and the backward one is that of a fused
            projection, :math:`1 / \sqrt{E f'^2 + E f^2}`.

    Returns:
        The gain, dimensionless and positive.

    Raises:
        ValueError: The name or the criterion is unknown, ``param`` is not a number or
            not in range, or the moment is zero or infinite.
        TypeError: ``nonlinearity`` is neither a name nor a function of one number.

    References:
        K. He et al., "Delving deep into rectifiers", ICCV 2015,
        https://arxiv.org/abs/1502.01852; G. Klambauer et al., "Self-normalizing neural
        networks", 2017, https://arxiv.org/abs/1706.02515.

    Elsewhere:
        Every value and error of ``torch.nn.init.calculate_gain`` (PyTorch 2.13) is
        kept; JAX and Keras have no such function.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> round(jaxinit.calculate_gain("leaky_relu", 0.2), 6)
        1.38675
        >>> round(jaxinit.calculate_gain("gelu"), 6)
        1.53353
        >>> round(jaxinit.calculate_gain(jax.numpy.tanh), 6)
        1.592537
    """
    if criterion is not None:
        check_choice("criterion", criterion, _CRITERIA)
    if callable(nonlinearity):
        if param is not None:
            advice = "Bind it: functools.partial(function, param)."
            value_error("a function takes no param", f"param={param!r}", advice)
        known = resolve if is_own(nonlinearity) else resolve_once
        return _computed_gain(known(nonlinearity), criterion or "forward")
    if not isinstance(nonlinearity, str):
        rule = "nonlinearity must be a name or a function"
        advice = 'Give for example "relu" or jax.numpy.tanh.'
        type_error(rule, f"nonlinearity={nonlinearity!r}", advice)
    name = check_choice("nonlinearity", nonlinearity, GAIN_NAMES)
    if name == "leaky_relu":
        _check_slope(param)
    if criterion is None and name in _PYTORCH:
        return _PYTORCH[name]
    if name in _PYTORCH:
        param = None
    name = canonical_name(name)
    return _named_gain(name, check_param(name, param), criterion or "forward")


def _check_slope(param: object) -> None:
    """Refuse with PyTorch's kind of error what PyTorch refuses as a slope."""
    number = isinstance(param, (int, float, np.number, np.ndarray, jax.Array))
    if param is not None and (isinstance(param, bool) or not number):
        rule = "param, the negative slope, must be a number"
        value_error(rule, f"param={param!r}", "Give a float.")


@functools.lru_cache(maxsize=256)
def _named_gain(name: str, param: float | None, criterion: Criterion) -> float:
    if name in ("linear", "identity") or name.startswith("conv"):
        return 1.0
    if name in ("relu", "leaky_relu", "prelu") and criterion != "centered":
        return math.sqrt(2 / (1 + (param or 0.0) ** 2))
    if name not in GATED:
        return _computed_gain(resolve(activation(name, param)), criterion)
    gate = resolve(activation(GATED[name]))
    kept = expectation(gate, gate.values**2, 1.0)
    if criterion == "backward":
        kept += expectation(gate, _slopes(gate) ** 2, 1.0)
    return float(1 / math.sqrt(kept))


def _computed_gain(resolved: Resolved, criterion: Criterion) -> float:
    if criterion == "backward":
        of, kept = "E f'(z)^2", _slopes(resolved) ** 2
    elif criterion == "centered":
        mean = expectation(resolved, resolved.values, 1.0)
        of, kept = "Var f(z)", (resolved.values - mean) ** 2
    else:
        of, kept = "E f(z)^2", resolved.values**2
    moment = float(expectation(resolved, kept, 1.0))
    # Mass 1e-6 lies so near zero: more than 1 % from there is a diverging integral.
    near = np.where(np.abs(resolved.x) < 1e-6, kept, 0.0)
    diverges = bool(expectation(resolved, near, 1.0) > 0.01 * moment)
    # A constant has no variance but for rounding.
    least = 1e-28 * float(np.max(resolved.values**2)) if criterion == "centered" else 0.0
    if diverges or not max(least, 1e-300) < moment < math.inf:
        rule = f"{of} must be positive and finite to have a gain"
        got = "an infinite one" if diverges or moment > 1 else "zero"
        advice = "Choose another criterion or another function."
        value_error(rule, got, advice)
    return 1 / math.sqrt(moment)


def _slopes(resolved: Resolved) -> np.ndarray:
    if resolved.slopes is None:
        rule = 'criterion="backward" needs a function that JAX can differentiate'
        advice = "Write it with jax.numpy instead of numpy."
        type_error(rule, "a function in NumPy", advice)
    return resolved.slopes
