"""``auto``: a plan from the computation itself."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, cast

import jax.numpy as jnp

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, is_traced, listed, type_error, value_error
from jaxinit._distribution import descriptor_of, distribution_of, unwrapped
from jaxinit._layout import Fans
from jaxinit._paths import PyTree, flatten, has_values, is_array
from jaxinit._types import Initializer
from jaxinit.initializers.composed import parts
from jaxinit.initializers.constant import ones, zeros
from jaxinit.initializers.named import BY_NAME
from jaxinit.initializers.plain import normal
from jaxinit.models.plan import Plan, distribution_if_known, make_plan
from jaxinit.models.rules import CheckedRule, Keep, Rule, assign, check_rules, keep
from jaxinit.trace.entry import as_stated, read_forward, uses_of
from jaxinit.trace.use import LOW_RANK, ParamUse, Stated, Uses, table_std

SCHEMES = tuple(
    name
    for name, function in BY_NAME.items()
    if (found := descriptor_of(function)) is not None and found.gain and not found.is_fixed
)
"""Every initializer whose scale a gain decides, by each of its names."""

Unresolved = Literal["error", "keep"]
Choice = tuple[Initializer | Keep, str, str] | str
"""An initializer, the text of its distribution and of the rule; or why there is none."""


@boundary
def auto(
    apply_fn: Callable[..., Any] | None,
    params: PyTree,
    *inputs: PyTree,
    scheme: str | Initializer | Callable[[ParamUse], Initializer] = "kaiming_normal",
    rules: Sequence[Rule] = (),
    uses: Uses | None = None,
    unresolved: Unresolved = "error",
) -> Plan:
    r"""Make a plan from how the forward pass uses each parameter.

    Weights follow the scheme, with fans and gain as the computation has them:

    .. math:: \sigma = gain / \sqrt{fan_{in}} \text{ (Kaiming)}, \quad
        \sigma = gain \sqrt{2 / (fan_{in} + fan_{out})} \text{ (Xavier)}, \quad
        \sigma = 1 / \sqrt{fan_{in}} \text{ (LeCun)}

    where the gain is that of the very expression between the weight before and this one,
    and 1 behind an input, a normalisation or a softmax. Weights that are kept in one array
    side by side (q, k and v; gates) have the fans of one of them. A number that multiplies
    a weight in the model is divided out, and so are the frequency of a sine behind it
    (SIREN) and a factor of about :math:`1/\sqrt{fan_{in}}` behind it. The rest:

    * tables that are looked up: normal with :math:`\sigma = 1/\sqrt{features}`, as in Flax;
    * position tables, class tokens: normal with :math:`\sigma = 0.02`, as in BERT and ViT;
      the learned first state of a loop: 0;
    * biases and scales: the value with which they change nothing, 0 or 1 mostly;
    * the second factor of a low-rank update (LoRA): 0;
    * what no output depends on stays as it is, or is 0 where only its shape is given.

    Args:
        apply_fn: As in :func:`jaxinit.trace_params`; may be None where ``uses`` are given.
        params: As in :func:`jaxinit.trace_params`.
        *inputs: As in :func:`jaxinit.trace_params`.
        scheme: What draws the weights: an initializer whose scale a gain decides, or its
            name: ``"he_normal"``, ``"orthogonal"``, ... It gets the layout, and the gain
            unless that is bound. Or a function from a :class:`jaxinit.ParamUse` to an
            initializer.
        rules: Rules as :func:`jaxinit.plan` takes them, which come first. What they give
            to tables, biases and scales counts in the gains of the weights behind.
        uses: What :func:`jaxinit.trace_params` found for this model before. Nothing is
            traced then, and no inputs are needed.
        unresolved: What is done with a leaf that no rule matches and whose use gives no
            initializer, such as one of the role ``"unknown"``: ``"error"`` lists them all,
            ``"keep"`` leaves the values that they have.

    Returns:
        The plan, for :func:`jaxinit.initialize`.

    Raises:
        ValueError: Leaves are unresolved, all of them listed with the reason; a leaf that
            is to be kept has no values; ``uses`` are those of other paths.
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
    if not callable(scheme):
        check_choice("scheme", scheme, SCHEMES)
    check_choice("unresolved", unresolved, ("error", "keep"))
    checked = check_rules(rules)
    paths, leaves, _ = flatten(params)
    stated = _stated(checked, paths, leaves)
    if uses is None:
        uses = _traced(apply_fn, params, inputs, stated)
    elif not isinstance(uses, Uses):
        advice = "Give what jaxinit.trace_params returned, or None."
        type_error("uses must be traced uses", f"uses={uses!r}", advice)
    else:
        _check_paths(uses, paths, leaves)
        uses = as_stated(uses, stated)
    valued = {path for path, leaf in zip(paths, leaves, strict=True) if has_values(leaf)}

    def fallback(use: ParamUse) -> Choice:
        if use.role == "unused":
            if use.path in valued:
                return keep, "keep", "unused"
            return zeros, "zeros", "unused"
        choice = _by_use(scheme, use)
        if isinstance(choice, str) and unresolved == "keep":
            return keep, "keep", choice
        return choice

    return make_plan(params, checked, uses, fallback)


def _traced(
    apply_fn: Any, params: PyTree, inputs: tuple[PyTree, ...], stated: Stated
) -> Uses:
    if apply_fn is None:
        advice = "Give the function apply_fn(params, *inputs), or uses=..."
        type_error("apply_fn must be a function", "None without uses", advice)
    return uses_of(read_forward(apply_fn, params, inputs), stated)


def _stated(
    rules: Sequence[CheckedRule[Initializer | Keep]],
    paths: Sequence[str],
    leaves: Sequence[Any],
) -> Stated:
    """Return what gives the mean and the standard deviation of leaves that rules draw."""
    arrays = {p: x for p, x in zip(paths, leaves, strict=True) if is_array(x)}
    assigned = assign(rules, list(arrays), list(arrays.values()))
    by_path = dict(zip(arrays, assigned, strict=True))

    def stated(use: ParamUse) -> tuple[float, float] | None:
        rule, leaf = by_path[use.path], arrays[use.path]
        if rule is None:
            return None
        if not isinstance(rule.value, Keep):
            found = distribution_if_known(rule.value, use.shape, use.dtype)
            if found.mean is None or found.std is None or isinstance(found.mean, complex):
                return None
            return found.mean, found.std
        is_float = jnp.issubdtype(leaf.dtype, jnp.floating)
        if not has_values(leaf) or is_traced(leaf) or not leaf.size or not is_float:
            return None
        values = jnp.asarray(leaf, jnp.float32)
        return float(values.mean()), float(values.std())

    return stated


def _check_paths(uses: Uses, paths: Sequence[str], leaves: Sequence[Any]) -> None:
    shapes = {
        path: tuple(leaf.shape)
        for path, leaf in zip(paths, leaves, strict=True)
        if is_array(leaf)
    }
    other = [path for path in uses if shapes.get(path) != uses[path].shape]
    other += [path for path in shapes if path not in uses]
    if other:
        rule = "uses must be those of the same parameters"
        value_error(rule, f"differences at {listed(other)}", "Trace these.")


def _by_use(scheme: str | Callable[..., Any], use: ParamUse) -> Choice:
    if use.role == "weight":
        if use.reason == LOW_RANK:
            return zeros, "zeros", use.reason
        return _weight(scheme, use)
    if use.role in ("bias", "scale"):
        function = zeros if use.neutral == 0 else ones
        return function, function.__name__, use.role
    if use.role == "embedding":
        return _embedding(use)
    return f"{use.role}: {use.reason}"


def _embedding(use: ParamUse) -> Choice:
    std = table_std(use)
    if std == 0:
        return zeros, "zeros", use.reason
    initializer = functools.partial(normal, std=std)
    return initializer, f"normal(std={std:.4g})", use.reason or "embedding"


def _weight(scheme: str | Callable[..., Any], use: ParamUse) -> Choice:
    between = use.after or ""
    if use.nonlinearity not in (None, "linear"):
        between = f"{use.nonlinearity} after {between}"
    if callable(scheme) and descriptor_of(scheme) is None:
        initializer: Any = scheme(use)
        if not callable(initializer):
            advice = "Return for example partial(jaxinit.lecun_normal, layout=use.fans)."
            got = f"{initializer!r} for {use.path}"
            type_error("scheme must return an initializer", got, advice)
        name = str(getattr(initializer, "__name__", "scheme"))
        return cast("Initializer", initializer), name, between
    chosen: Callable[..., Any] = scheme if callable(scheme) else BY_NAME[scheme]
    return _scaled(chosen, scheme if isinstance(scheme, str) else "", use, between)


def _scaled(chosen: Callable[..., Any], name: str, use: ParamUse, between: str) -> Choice:
    """Return an initializer with the gain and the layout of a weight's use."""
    function, bound = unwrapped(chosen)
    descriptor = descriptor_of(chosen)
    if descriptor is None:
        return "the scheme has no descriptor"
    text = name or function.__name__
    options: dict[str, Any] = {}
    if descriptor.gain is not None and descriptor.gain not in bound:
        gain = 1.0
        if not descriptor.is_linear:
            if use.gain is None:
                return "; ".join(use.notes) or "no gain"
            gain = use.gain
            text += f"(gain={gain:.4g})"
        factor = abs(use.factor * use.output_factor)
        options = descriptor.with_gain(gain / factor)
        if factor != 1:
            text += f" / {factor:.4g}"
    if descriptor.layout == "fans":
        if use.fans is None:
            return "its fans are not known"
        options["layout"] = use.fans
        return _by_parts(chosen, options, use), text, between
    if descriptor.layout == "axes":
        return _by_axes(functools.partial(chosen, **options), text, use, between)
    return functools.partial(chosen, **options), text, between


def _by_parts(
    chosen: Callable[..., Any], options: dict[str, Any], use: ParamUse
) -> Initializer:
    """Return an initializer by fans; parts of unequal sizes have fans of their own."""
    whole = functools.partial(chosen, **options)
    fans, sizes = use.fans, use.splits or ()
    total = sum(sizes)
    if fans is None or use.layout is None or len(set(sizes)) < 2:
        return whole
    axes = [i for i in use.layout.positions("O") if use.shape[i] == total]
    own = [Fans(fans.fan_in, fans.fan_out * size / total) for size in sizes]
    made = [functools.partial(chosen, **{**options, "layout": one}) for one in own]
    stds = {distribution_of(one, use.shape).std for one in made}
    if not axes or len(stds) < 2:  # the scheme takes the inputs alone
        return whole
    return parts(made, sizes=sizes, axis=axes[0])


def _by_axes(chosen: Callable[..., Any], text: str, use: ParamUse, between: str) -> Choice:
    """Return an initializer that needs the role of every axis, part by part if fused."""
    name = unwrapped(chosen)[0].__name__
    if use.layout is None or use.layout.groups != 1:
        return f"{name} needs a weight of one role an axis and no groups"
    if not set("IDHW") & set(use.layout.axes) or "O" not in use.layout.axes:
        return f"{name} needs an input and an output axis"
    initializer: Any = functools.partial(chosen, layout=use.layout)
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
        initializer = parts([initializer] * len(sizes), sizes=sizes, axis=axes[0])
    try:
        distribution_of(initializer, use.shape)
    except ValueError as error:
        return str(error)
    return initializer, text, between
