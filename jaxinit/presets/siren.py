"""SIREN, for coordinate networks."""

import math

from jaxinit._boundary import boundary
from jaxinit._checks import check_number
from jaxinit._types import Initializer
from jaxinit.models.rules import Rule
from jaxinit.presets.common import bounded, by_role, fan_in, gaussian
from jaxinit.trace.use import ParamUse, Uses


@boundary
def siren(uses: Uses, *, omega: float = 30.0) -> list[Rule]:
    r"""Return SIREN's rules, for networks of sines.

    .. math:: y = \sin(\omega (W x + b))

    The first layer, fed by the input, is :math:`U(\pm 1/n)`, all others
    :math:`U(\pm \sqrt{6/n} / \omega)`; biases as PyTorch leaves them, :math:`U(\pm 1/\sqrt
    n)`.

    Args:
        uses: What :func:`jaxinit.trace_params` found.
        omega: :math:`\omega`, above 0.

    Returns:
        One rule a leaf.

    Raises:
        ValueError: ``omega`` is not above 0.

    References:
        Sitzmann et al., "Implicit neural representations with periodic activation
        functions", 2020, section 3.2, and the authors' code for the biases.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import jaxinit
        >>> from jaxinit.presets import siren
        >>> shapes = {"first": (2, 64), "second": (64, 64)}
        >>> params = {k: jax.ShapeDtypeStruct(s, "float32") for k, s in shapes.items()}
        >>> def field(p, x):
        ...     return jnp.sin(30 * (jnp.sin(30 * (x @ p["first"])) @ p["second"]))
        >>> x = jax.ShapeDtypeStruct((5, 2), "float32")
        >>> uses = jaxinit.trace_params(field, params, x)
        >>> [row.distribution.text for row in jaxinit.plan(params, siren(uses))]
        ['uniform(low=-0.5, high=0.5)', 'uniform(low=-0.01021, high=0.01021)']
    """
    frequency = float(check_number("omega", omega, least=1e-30))

    def weight(use: ParamUse) -> Initializer:
        if use.after == "input":
            return bounded(1 / fan_in(use))
        return bounded(math.sqrt(6 / fan_in(use)) / frequency)

    def bias(use: ParamUse) -> Initializer:
        return bounded(fan_in(use) ** -0.5)

    return by_role(
        "siren", uses, weight=weight, bias=bias, embedding=lambda _: gaussian(1.0)
    )
