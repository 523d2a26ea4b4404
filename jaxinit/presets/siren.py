"""Schemes of single fields: SIREN for coordinate networks, orthogonal heads for RL."""

import functools
import math
from typing import cast

from jaxinit._boundary import boundary
from jaxinit._checks import check_number
from jaxinit._types import Initializer
from jaxinit.initializers.constant import zeros
from jaxinit.initializers.orthogonal import orthogonal
from jaxinit.models.plan import Rule
from jaxinit.presets.common import BIASES, bounded, by_role, fan_in, gaussian
from jaxinit.trace.use import ParamUse, Uses


@boundary
def siren(uses: Uses, *, omega: float = 30.0) -> list[Rule]:
    r"""Return SIREN's rules: :math:`y = \sin(\omega (W x + b))`.

    The first layer, fed by the input, is :math:`U(\pm 1/n)`, all others
    :math:`U(\pm \sqrt{6/n} / \omega)`; biases as PyTorch leaves them, :math:`U(\pm 1/\sqrt
    n)`.

    Args:
        uses: What :func:`jaxinit.trace_params` found.
        omega: :math:`\omega`, above 0.

    Returns:
        One rule a leaf.

    Raises:
        ValueError: ``omega`` is negative.

    References:
        Sitzmann et al., "Implicit neural representations with periodic activation
        functions", 2020, section 3.2, and the authors' code for the biases.
    """
    frequency = float(check_number("siren", "omega", omega, least=1e-30))

    def weight(use: ParamUse) -> Initializer:
        if use.after == "input":
            return bounded(1 / fan_in(use))
        return bounded(math.sqrt(6 / fan_in(use)) / frequency)

    def bias(use: ParamUse) -> Initializer:
        return bounded(fan_in(use) ** -0.5)

    return by_role(
        "siren", uses, weight=weight, bias=bias, embedding=lambda _: gaussian(1.0)
    )


@boundary
def orthogonal_rl(
    *, policy: str, value: str, gain: float = math.sqrt(2), policy_gain: float = 0.01
) -> list[Rule]:
    """Return the rules of PPO's usual code: orthogonal trunk and heads, biases 0.

    Args:
        policy: Glob of the policy head's kernel.
        value: Glob of the value head's kernel, whose gain is 1.
        gain: Gain of all other kernels.
        policy_gain: Gain of the policy head.

    Returns:
        Rules for a whole model.

    References:
        Huang et al., "The 37 implementation details of proximal policy optimization", 2022,
        detail 2.
    """

    def of(factor: float) -> Initializer:
        return cast("Initializer", functools.partial(orthogonal, gain=factor))

    return [
        (BIASES, cast("Initializer", zeros)),
        (policy, of(policy_gain)),
        (value, of(1.0)),
        ("**", of(gain)),
    ]
