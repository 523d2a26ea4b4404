"""What presets are made of: rules for single leaves, and the weight beside a bias."""

import functools
from collections.abc import Callable
from typing import Any, cast

from jaxinit._types import Initializer
from jaxinit.initializers.constant import ones, zeros
from jaxinit.initializers.plain import normal, truncated_normal, uniform
from jaxinit.models.rules import OptionalMatch, Rule, optional
from jaxinit.trace.use import ParamUse, Uses

# A model may lack biases or norms, and the rules of a preset may stand behind others.
BIASES = optional("**/{bias,b,offset,beta}")
SCALES = optional("**/{scale,gamma}")


def bounded(limit: float) -> Initializer:
    """Return the initializer of U(-limit, limit)."""
    return cast("Initializer", functools.partial(uniform, low=-limit, high=limit))


def gaussian(std: float) -> Initializer:
    """Return the initializer of N(0, std^2)."""
    return cast("Initializer", functools.partial(normal, std=std))


def cut_gaussian(std: float) -> Initializer:
    """Return N(0, std^2) cut at two std, whose own standard deviation is 0.88 std."""
    options = {"std": std, "low": -2 * std, "high": 2 * std}
    return cast("Initializer", functools.partial(truncated_normal, **options))


def exactly(path: str, name: str) -> OptionalMatch:
    """Return a match for one path, shown under a name."""

    def match(other: str, _: Any) -> bool:
        return other == path

    match.__name__ = name
    return optional(match)


def parent(path: str) -> str:
    """Return the path of the container."""
    return path.rpartition("/")[0]


def weight_beside(uses: Uses, path: str) -> ParamUse | None:
    """Return the weight in the same container as a bias, None if there is not just one."""
    home = parent(path)
    found = [
        use for use in uses.values() if parent(use.path) == home and use.role == "weight"
    ]
    return found[0] if len(found) == 1 else None


LayerLaw = Callable[[ParamUse], Initializer]


def by_role(
    name: str,
    uses: Uses,
    *,
    weight: LayerLaw,
    embedding: LayerLaw,
    bias: LayerLaw | None = None,
) -> list[Rule]:
    """Return one rule a leaf, by its traced role.

    Args:
        name: What plans call the rule.
        uses: Traced uses.
        weight: The distribution of a weight.
        embedding: The distribution of a table that is looked up.
        bias: The distribution of a bias, given the use of the weight beside it; None for
            the neutral value, which biases of norms have in any case.

    Returns:
        The rules. Leaves of unknown or no use have none: write rules of your own for them.
    """
    rules: list[Rule] = []
    for path, use in uses.items():
        beside = weight_beside(uses, path)
        if use.role == "weight" and use.fans is not None:
            initializer = weight(use)
        elif use.role == "embedding":
            initializer = embedding(use)
        elif use.role == "bias" and bias is not None and beside is not None:
            initializer = bias(beside)
        elif use.role in ("bias", "scale"):
            initializer = cast("Initializer", zeros if use.neutral == 0 else ones)
        else:
            continue
        rules.append((exactly(path, name), initializer))
    return rules


def fan_in(use: ParamUse) -> float:
    """Return the fan of a weight that has one."""
    return use.fans.fan_in if use.fans is not None else 1.0
