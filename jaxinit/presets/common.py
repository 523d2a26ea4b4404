"""What presets are made of: rules for single leaves, and the weight beside a bias."""

import functools
from collections.abc import Callable
from typing import Any

from jaxinit._checks import type_error, value_error
from jaxinit._globs import compile_glob
from jaxinit._layout import Fans
from jaxinit._paths import matches
from jaxinit._types import Initializer, ShardedInitializer
from jaxinit.initializers.constant import constant, ones, zeros
from jaxinit.initializers.plain import normal, uniform
from jaxinit.initializers.truncated import truncated_normal
from jaxinit.initializers.xavier import xavier_uniform
from jaxinit.models.rules import OptionalMatch, Rule, optional
from jaxinit.trace.use import ParamUse, Uses

ZEROS = zeros
ONES = ones
# A model may lack biases or norms, and the rules of a preset may stand behind others.
BIASES: Rule = (optional("**/{bias,b,offset,beta}"), ZEROS)
SCALES: Rule = (optional("**/{scale,gamma}"), ONES)


def neutral_vectors() -> list[Rule]:
    """Return the rules of biases and scales by their usual names, which may be absent."""
    return [BIASES, SCALES]


def bounded(limit: float) -> ShardedInitializer:
    """Return the initializer of U(-limit, limit)."""
    return functools.partial(uniform, low=-limit, high=limit)


def gaussian(std: float) -> ShardedInitializer:
    """Return the initializer of N(0, std^2)."""
    return functools.partial(normal, std=std)


def cut_gaussian(std: float) -> ShardedInitializer:
    """Return N(0, std^2) cut at two std, whose own standard deviation is 0.88 std."""
    options = {"std": std, "low": -2 * std, "high": 2 * std}
    return functools.partial(truncated_normal, **options)


def fixed(value: float) -> ShardedInitializer:
    """Return the initializer of one value."""
    return functools.partial(constant, value=value)


def check_uses(name: str, uses: object) -> Uses:
    """Return the uses, which are not to be confused with parameters or a model."""
    if not isinstance(uses, Uses):
        rule = f"{name} must be traced uses"
        advice = "Make them with jaxinit.trace_params(apply_fn, params, inputs)."
        type_error(rule, f"{name}={uses!r}"[:120], advice)
    return uses


def check_flag(name: str, value: object) -> bool:
    """Return True or False, given as such."""
    if not isinstance(value, bool):
        rule = f"{name} must be True or False"
        type_error(rule, f"{name}={value!r}", "Give one of the two.")
    return value


def check_globs(**globs: object) -> None:
    """Refuse what is no pattern over paths; None stands for no such leaves."""
    for name, glob in globs.items():
        if glob is None:
            continue
        if not isinstance(glob, str):
            advice = 'Give a path, or a pattern such as "**/out/kernel".'
            type_error(f"{name} must be a glob", f"{name}={glob!r}", advice)
        compile_glob(glob)


def matched(name: str, glob: str, uses: Uses) -> dict[str, ParamUse]:
    """Return the weights of known fans that a glob matches, at least one."""
    found = {
        path: use
        for path, use in uses.items()
        if use.fans is not None and use.role == "weight" and matches(glob, path)
    }
    if not found:
        got = f"{name}={glob!r}, which matches none"
        advice = "Print the uses to see paths and roles."
        value_error(f"{name} must match a weight", got, advice)
    return found


def bound_xavier(fans: Fans) -> ShardedInitializer:
    """Return Xavier's uniform initializer for these fans."""
    return functools.partial(xavier_uniform, layout=fans)


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


LayerDistribution = Callable[[ParamUse], Initializer]


def by_role(
    name: str,
    uses: Uses,
    *,
    weight: LayerDistribution,
    embedding: LayerDistribution,
    bias: LayerDistribution | None = None,
) -> list[Rule]:
    """Return one rule a leaf, by its traced role.

    Args:
        name: The preset, as plans and errors call it.
        uses: Traced uses.
        weight: The distribution of a weight.
        embedding: The distribution of a table that is looked up.
        bias: The distribution of a bias, given the use of the weight beside it; None for
            the neutral value, which biases of norms have in any case.

    Returns:
        The rules. Leaves of unknown or no use have none: add rules for them.
    """
    rules: list[Rule] = []
    for path, use in check_uses("uses", uses).items():
        beside = weight_beside(uses, path)
        if use.role == "weight" and use.fans is not None:
            initializer = weight(use)
        elif use.role == "embedding":
            initializer = embedding(use)
        elif use.role == "bias" and bias is not None and beside is not None:
            initializer = bias(beside)
        elif use.role in ("bias", "scale"):
            initializer = zeros if use.neutral == 0 else ones
        else:
            continue
        rules.append((exactly(path, name), initializer))
    return rules


def fan_in(use: ParamUse) -> float:
    """Return the fan of a weight that has one."""
    return use.fans.fan_in if use.fans is not None else 1.0
