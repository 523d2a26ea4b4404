"""Mixtures of experts."""

import functools

from jaxinit._boundary import boundary
from jaxinit._checks import check_number
from jaxinit._types import Initializer
from jaxinit.initializers.scaled import variance_scaling
from jaxinit.models.rules import Rule
from jaxinit.presets.common import check_globs, check_uses, exactly, gaussian, matched
from jaxinit.trace.use import ParamUse, Uses


@boundary
def moe(
    uses: Uses,
    *,
    experts: str,
    router: str,
    scale: float = 0.1,
    router_std: float | None = None,
) -> list[Rule]:
    r"""Return the rules of Switch Transformer's experts: a tenth of the usual variance.

    .. math:: W \sim \text{truncated normal},\ \mathrm{Var}\, W = s / fan_{in}

    with the fan of one expert, however many are stacked.

    Args:
        uses: What :func:`jaxinit.trace_params` found.
        experts: Glob of the experts' kernels.
        router: Glob of the router's kernel.
        scale: s; the authors found 1 to diverge for large models.
        router_std: Of a normal distribution for the router; 0.02 in flaxformer. None for
            the distribution above.

    Returns:
        Rules for these leaves, to be put in front of those of the model.

    Raises:
        ValueError: A glob matches no weight, or a number is out of range.
        TypeError: ``uses`` are no traced uses, or a glob is no string.

    References:
        Fedus, Zoph and Shazeer, "Switch Transformers", 2021,
        https://arxiv.org/abs/2101.03961, section 2.4 and table 3.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import jaxinit
        >>> from jaxinit.presets import moe
        >>> shapes = {"router": (64, 4), "experts": (4, 64, 32)}
        >>> params = {k: jax.ShapeDtypeStruct(s, "float32") for k, s in shapes.items()}
        >>> def apply(p, x):
        ...     gates = jax.nn.softmax(x @ p["router"])
        ...     outputs = jnp.einsum("bi,eio->beo", x, p["experts"])
        ...     return jnp.einsum("be,beo->bo", gates, outputs)
        >>> x = jax.ShapeDtypeStruct((8, 64), "float32")
        >>> uses = jaxinit.trace_params(apply, params, x)
        >>> made = jaxinit.plan(params, moe(uses, experts="experts", router="router"))
        >>> [round(row.std**2 * 64, 3) for row in made]
        [0.1, 0.1]
    """
    check_uses("uses", uses)
    check_globs(experts=experts, router=router)
    small = float(check_number("scale", scale, least=0))

    def scaled(use: ParamUse) -> Initializer:
        options = {"mode": "fan_in", "distribution": "truncated_normal"}
        return functools.partial(variance_scaling, scale=small, layout=use.fans, **options)  # pyright: ignore[reportArgumentType]

    rules: list[Rule] = []
    for name, glob in (("experts", experts), ("router", router)):
        for use in matched(name, glob, uses).values():
            initializer = scaled(use)
            if name == "router" and router_std is not None:
                std = check_number("router_std", router_std, least=0)
                initializer = gaussian(float(std))
            rules.append((exactly(use.path, "moe"), initializer))
    return rules
