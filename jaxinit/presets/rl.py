"""Reinforcement learning: orthogonal trunk and heads, as PPO's usual code has them."""

import functools
import math

from jaxinit._boundary import boundary
from jaxinit._checks import check_number
from jaxinit._types import Initializer
from jaxinit.initializers.orthogonal import orthogonal
from jaxinit.models.rules import Rule
from jaxinit.presets.common import check_globs, fixed, neutral_vectors


@boundary
def orthogonal_rl(
    *,
    policy: str,
    value: str | None = None,
    log_std: str | None = None,
    gain: float = math.sqrt(2),
    policy_gain: float = 0.01,
) -> list[Rule]:
    """Return the rules of PPO's usual code: orthogonal trunk and heads, biases 0.

    Args:
        policy: Glob of the policy head's kernel.
        value: Glob of the value head's kernel, whose gain is 1; None without one.
        log_std: Glob of the learned logarithm of a continuous policy's standard deviation,
            which starts at 0; None without one.
        gain: Gain of all other kernels.
        policy_gain: Gain of the policy head.

    Returns:
        Rules for a whole model; scales of norms are 1, their biases 0.

    Raises:
        ValueError: A gain is negative.

    References:
        Huang et al., "The 37 implementation details of proximal policy optimization", 2022,
        detail 2, and for continuous actions detail 2 of these.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.presets import orthogonal_rl
        >>> params = {name: jax.ShapeDtypeStruct((64, 4), "float32") for name in "pv"}
        >>> rules = orthogonal_rl(policy="p", value="v")[:-1]
        >>> [row.distribution.text for row in jaxinit.plan(params, rules)]
        ['orthogonal(gain=0.01)', 'orthogonal(gain=1)']
    """
    check_globs(policy=policy, value=value, log_std=log_std)

    def of(name: str, factor: float) -> Initializer:
        checked = float(check_number(name, factor, least=0))
        return functools.partial(orthogonal, gain=checked)

    rules = [*neutral_vectors(), (policy, of("policy_gain", policy_gain))]
    if value is not None:
        rules.append((value, of("value", 1.0)))
    if log_std is not None:
        rules.append((log_std, fixed(0.0)))
    return [*rules, ("**", of("gain", gain))]
