"""``auto``: a plan from the computation itself."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast, get_args

from jaxinit._checks import check_choice, type_error
from jaxinit._paths import PyTree
from jaxinit._types import Initializer
from jaxinit.initializers.constant import ones, zeros
from jaxinit.initializers.lecun import lecun_normal, lecun_truncated_normal, lecun_uniform
from jaxinit.initializers.orthogonal import orthogonal
from jaxinit.initializers.plain import normal
from jaxinit.initializers.xavier import (
    xavier_normal,
    xavier_truncated_normal,
    xavier_uniform,
)
from jaxinit.models.plan import Plan, make_plan
from jaxinit.models.rules import Rule, check_rules
from jaxinit.models.wrappers import InParts
from jaxinit.trace.entry import trace_params
from jaxinit.trace.use import ParamUse

Scheme = Literal[
    "kaiming_normal",
    "kaiming_uniform",
    "kaiming_truncated_normal",
    "xavier_normal",
    "xavier_uniform",
    "xavier_truncated_normal",
    "lecun_normal",
    "lecun_uniform",
    "lecun_truncated_normal",
    "orthogonal",
]
SCHEMES: tuple[Scheme, ...] = get_args(Scheme)

# Kaiming's distribution with a computed gain is LeCun's distribution times that gain.
_BY_GAIN: dict[str, Callable[..., Any]] = {
    "kaiming_normal": lecun_normal,
    "kaiming_uniform": lecun_uniform,
    "kaiming_truncated_normal": lecun_truncated_normal,
    "xavier_normal": xavier_normal,
    "xavier_uniform": xavier_uniform,
    "xavier_truncated_normal": xavier_truncated_normal,
    "lecun_normal": lecun_normal,
    "lecun_uniform": lecun_uniform,
    "lecun_truncated_normal": lecun_truncated_normal,
}
_POSITION_STD = 0.02  # BERT, GPT-2 and ViT alike

Choice = tuple[Initializer, str, str] | str
"""An initializer, the text of its distribution and of the rule; or why there is none."""


def auto(
    apply_fn: Callable[..., Any],
    params: PyTree,
    *inputs: PyTree,
    scheme: Scheme | Callable[[ParamUse], Initializer] = "kaiming_normal",
    rules: Sequence[Rule] = (),
) -> Plan:
    r"""Make a plan from how the forward pass uses each parameter.

    Weights follow the scheme, with fans and gain as the computation has them:

    .. math:: \sigma = gain / \sqrt{fan_{in}} \text{ (Kaiming)}, \quad
        \sigma = gain \sqrt{2 / (fan_{in} + fan_{out})} \text{ (Xavier)}, \quad
        \sigma = 1 / \sqrt{fan_{in}} \text{ (LeCun)}

    where the gain is that of the very expression between the weight before and this one,
    and 1 behind an input, a normalisation or a softmax. Weights that are kept in one array
    side by side (q, k and v; gates) have the fans of one of them. A number that multiplies
    a weight in the model is divided out. The rest:

    * tables that are looked up: normal with :math:`\sigma = 1/\sqrt{features}`, as in Flax;
    * position tables, class tokens: normal with :math:`\sigma = 0.02`, as in BERT and ViT;
      the learned first state of a loop: 0;
    * biases and scales: the value with which they change nothing, 0 or 1 mostly.

    Args:
        apply_fn: As in :func:`jaxinit.trace_params`.
        params: As in :func:`jaxinit.trace_params`.
        *inputs: As in :func:`jaxinit.trace_params`.
        scheme: The name of a scheme for the weights; ``"orthogonal"`` takes the gain too.
            Or a function from a :class:`jaxinit.ParamUse` to an initializer.
        rules: Rules as :func:`jaxinit.plan` takes them, which come first.

    Returns:
        The plan, for :func:`jaxinit.initialize`.

    Raises:
        ValueError: Leaves that no rule matches and whose use gives no initializer: unknown
            or unused ones, a weight behind a learned activation. All are listed with the
            reason.
        TypeError: As :func:`jaxinit.trace_params` and :func:`jaxinit.plan`.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import jaxinit
        >>> def apply(params, x):
        ...     hidden = jnp.tanh(x @ params["w1"].T + params["b1"])
        ...     return hidden @ params["w2"]
        >>> shapes = {"w1": (64, 8), "b1": (64,), "w2": (64, 1)}
        >>> params = {k: jax.ShapeDtypeStruct(s, "float32") for k, s in shapes.items()}
        >>> x = jax.ShapeDtypeStruct((4, 8), "float32")
        >>> made = jaxinit.auto(apply, params, x)
        >>> for row in made:
        ...     print(row.path, row.distribution.text, round(row.std, 4), row.rule)
        b1 zeros 0.0 bias
        w1 kaiming_normal(gain=1) 0.3536 input
        w2 kaiming_normal(gain=1.593) 0.1991 tanh after weight w1
    """
    where = "auto"
    if not callable(scheme):
        check_choice(where, "scheme", scheme, SCHEMES)
    checked = check_rules(where, rules)
    uses = trace_params(apply_fn, params, *inputs)
    fallback = functools.partial(_by_use, scheme)
    return make_plan(where, params, checked, uses, fallback)


def _by_use(scheme: str | Callable[[ParamUse], Initializer], use: ParamUse) -> Choice:
    if use.role == "weight":
        return _weight(scheme, use)
    if use.role in ("bias", "scale"):
        function = zeros if use.neutral == 0 else ones
        return cast("Initializer", function), function.__name__, use.role
    if use.role == "embedding":
        return _embedding(use)
    return f"{use.role}: {use.reason}"


def _embedding(use: ParamUse) -> Choice:
    if use.reason == "the state that a loop starts from":
        return cast("Initializer", zeros), "zeros", use.reason
    std = _POSITION_STD
    if use.reason in ("", "looked up by a product") and use.fans is not None:
        std = use.fans.fan_out**-0.5
    initializer = cast("Initializer", functools.partial(normal, std=std))
    return initializer, f"normal(std={std:.4g})", use.reason or "embedding"


def _weight(scheme: str | Callable[[ParamUse], Initializer], use: ParamUse) -> Choice:
    between = use.after or ""
    if use.nonlinearity not in (None, "linear"):
        between = f"{use.nonlinearity} after {between}"
    if callable(scheme):
        initializer = scheme(use)
        if not callable(initializer):
            advice = "Return for example partial(jaxinit.lecun_normal, layout=use.fans)."
            got = f"{initializer!r} for {use.path}"
            type_error("auto", "scheme must return an initializer", got, advice)
        return initializer, getattr(initializer, "__name__", "scheme"), between
    needs_gain = not scheme.startswith("lecun")
    if needs_gain and use.gain is None:
        return "; ".join(use.notes) or "no gain"
    gain = (use.gain or 1.0) if needs_gain else 1.0
    text = f"{scheme}(gain={gain:.4g})" if needs_gain else scheme
    if use.factor != 1:
        text += f" / {use.factor:.4g}"
    gain /= abs(use.factor)
    if scheme == "orthogonal":
        return _orthogonal(use, gain, text, between)
    if use.fans is None:
        return "its fans are not known"
    initializer = functools.partial(_BY_GAIN[scheme], gain=gain, layout=use.fans)
    return cast("Initializer", initializer), text, between


def _orthogonal(use: ParamUse, gain: float, text: str, between: str) -> Choice:
    if use.layout is None or use.layout.groups != 1:
        return "orthogonal needs a weight of one role an axis and no groups"
    if not set("IDHW") & set(use.layout.axes) or "O" not in use.layout.axes:
        return "orthogonal needs an input and an output axis"
    initializer: Any = functools.partial(orthogonal, gain=gain, layout=use.layout)
    if use.splits:
        axes = [
            i
            for i in use.layout.positions("O")
            if use.shape[i] == sum(use.splits) or use.shape[i] == len(use.splits)
        ]
        if not axes:
            return "its parts do not lie along one axis"
        sizes = (
            use.splits if use.shape[axes[0]] == sum(use.splits) else (1,) * len(use.splits)
        )
        initializer = InParts(initializer, axes[0], sizes)
    return initializer, text, between
