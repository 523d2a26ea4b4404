"""A study: what it asks for, checked at once, and its run."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxinit._boundary import boundary
from jaxinit._checks import (
    check_choice,
    check_dtype,
    check_int,
    check_number,
    check_seed,
    value_error,
)
from jaxinit._types import Initializer
from jaxinit.signal.studies.batched_runs import Job, check_size, run
from jaxinit.signal.studies.conditions import fixed_conditions
from jaxinit.signal.studies.digest import activation_digest, initializer_digest
from jaxinit.signal.studies.network import KINDS, Kind, Network
from jaxinit.signal.studies.result import Result
from jaxinit.signal.studies.results_file import differences
from jaxinit.signal.studies.schemes import DISTRIBUTIONS, Scheme, scheme
from jaxinit.signal.theory.maps import Nonlinearity, for_one_call


@boundary
@dataclasses.dataclass(frozen=True)
class Study:
    """What a study measures: a deep network at initialization over many seeds.

    Standard normal inputs run forward through ``depth`` equal layers, a standard normal
    gradient runs back. Every seed draws its own inputs, weights, biases and gradient.

    Attributes:
        activation: A name (``"tanh"``) or a function on arrays.
        init: A scheme, see :func:`jaxinit.signal.scheme`. Schemes of one distribution use
            the same underlying random numbers under the same ``seed``.
        depth: Layers, at least 1.
        width: Units of each layer, at least 2; channels for ``kind="conv"``.
        seeds: How many seeds, at least 1. More seeds keep the first ones as they are.
        seed: Which seeds, from 0 to 2**64 - 1: the key of number i is
            ``fold_in(key(seed), i)``, of threefry keys whatever the default of JAX is.
        dtype: Of weights, activations and gradients; half precision shows underflow.
        kind: ``"dense"``, ``"residual"``, ``"normalized"`` or ``"conv"``, see
            :class:`jaxinit.signal.Network`.
        batch: Inputs of each seed; from 2 on their correlation is measured.
        correlation: Of the first two inputs, from -1 to 1.
        branch_scale: Factor on the branch of ``kind="residual"``.
        size: Side of the picture of ``kind="conv"``.
    """

    activation: Nonlinearity = "tanh"
    init: str | Scheme | Initializer = "xavier_uniform"
    depth: int = 100
    width: int = 512
    seeds: int = 32
    seed: int = 0
    dtype: str = "float32"
    kind: Kind = "dense"
    batch: int = 1
    correlation: float = 0.5
    branch_scale: float = 1.0
    size: int = 8


@boundary
def study(
    activation: Nonlinearity = "tanh",
    init: str | Scheme | Initializer = "xavier_uniform",
    *,
    depth: int = 100,
    width: int = 512,
    seeds: int = 32,
    seed: int = 0,
    dtype: str = "float32",
    kind: Kind = "dense",
    batch: int = 1,
    correlation: float = 0.5,
    branch_scale: float = 1.0,
    size: int = 8,
    resume: Result | None = None,
    progress: Callable[[Result], None] | None = None,
) -> Result:
    """Run one :class:`Study`, of which these arguments are the attributes.

    One compiled program does all layers of a chunk of seeds; weights exist for one layer
    at a time. On several devices the seeds are spread over them. To compare several
    studies, :func:`run_studies` is faster: those of one distribution share their weights.

    Args:
        activation: A name (``"tanh"``) or a function on arrays.
        init: A scheme, see :func:`jaxinit.signal.scheme`.
        depth: Layers, at least 1.
        width: Units of each layer, at least 2; channels for ``kind="conv"``.
        seeds: How many seeds, at least 1.
        seed: Which seeds.
        dtype: Of weights, activations and gradients.
        kind: ``"dense"``, ``"residual"``, ``"normalized"`` or ``"conv"``.
        batch: Inputs of each seed; from 2 on their correlation is measured.
        correlation: Of the first two inputs, from -1 to 1.
        branch_scale: Factor on the branch of ``kind="residual"``.
        size: Side of the picture of ``kind="conv"``.
        resume: A result of the same settings whose seeds need not be run again.
        progress: Called after each chunk of seeds with the result so far.

    Returns:
        Every quantity for every seed and layer.

    Raises:
        ValueError: An argument is out of range, or ``resume`` is of other settings.
        TypeError: An argument is of the wrong kind.

    Example:
        >>> from jaxinit.signal import study
        >>> result = study("relu", "kaiming_normal", depth=8, width=64, seeds=4)
        >>> result.band("log10_std").median.shape
        (9,)
    """
    asked = Study(
        activation=activation,
        init=init,
        depth=depth,
        width=width,
        seeds=seeds,
        seed=seed,
        dtype=dtype,
        kind=kind,
        batch=batch,
        correlation=correlation,
        branch_scale=branch_scale,
        size=size,
    )
    job = job_of(asked)
    if resume is not None:
        job = job._replace(done=continued(job.done, resume))
    report = None if progress is None else lambda _number, result: progress(result)
    return run([job], report)[0].first(job.seeds)


@fixed_conditions()
def job_of(asked: Study) -> Job:
    """Check a study, and return what is to be run."""
    check_choice("kind", asked.kind, KINDS)
    seeds = check_int("seeds", asked.seeds, least=1)
    correlation = check_number("correlation", asked.correlation, least=-1.0, most=1.0)
    seed = check_seed(asked.seed)
    function = for_one_call(asked.activation)
    drawn = scheme(asked.init, asked.activation)
    delta = isinstance(drawn.distribution, str) and drawn.distribution == "delta_orthogonal"
    if delta and asked.kind != "conv":
        rule = "delta_orthogonal needs kind='conv'"
        value_error(rule, f"kind={asked.kind!r}", "For dense layers use orthogonal.")
    net = Network(
        function,
        drawn.distribution,
        kind=asked.kind,
        depth=check_int("depth", asked.depth, least=1),
        width=check_int("width", asked.width, least=2),
        batch=check_int("batch", asked.batch, least=1),
        dtype=check_dtype(asked.dtype).name,
        branch_scale=float(check_number("branch_scale", asked.branch_scale)),
        size=check_int("size", asked.size, least=3),
    )
    check_size(net, seeds)
    digests = {"activation_digest": activation_digest(function, net.input_shape[-2:])}
    if callable(drawn.distribution):
        shape = net.weight_shape
        drawn_digest = initializer_digest(drawn.distribution, shape, net.dtype)
        digests["init_digest"] = drawn_digest
    settings = {
        **_settings(net, drawn, asked.activation),
        **digests,
        "seed": seed,
        "correlation": float(correlation),
    }
    empty = Result(label_of(asked.activation, drawn), settings, {})
    gains = tuple(drawn.gains(net.depth))
    return Job(net, gains, drawn.sigma_b, float(correlation), seed, seeds, empty)


def continued(fresh: Result, old: Result) -> Result:
    """Return the old result if it is of the same settings as the fresh one."""
    differ = differences(fresh, old)
    if differ:  # a digest may differ for the sake of another setting, which says more
        differ = [name for name in differ if not name.endswith("digest")] or differ
        rule = "resume must be a result of the same settings"
        got = f"another {', '.join(differ)}"
        value_error(rule, got, "Run it anew, or write it to another file.")
    return old


def label_of(activation: Nonlinearity, drawn: Scheme) -> str:
    """Return the name of an activation and a scheme together."""
    return f"{name_of(activation)}, {drawn.name}"


def name_of(function: Any) -> str:
    """Return a name for an activation."""
    if isinstance(function, str):
        return function
    return getattr(function, "__name__", type(function).__name__)


def _settings(net: Network, drawn: Scheme, activation: Nonlinearity) -> dict[str, Any]:
    """Return as plain data all that decides the numbers but the seed."""
    plain = {
        field.name: getattr(net, field.name)
        for field in dataclasses.fields(net)
        if field.name not in ("activation", "distribution")
    }
    distribution = (
        drawn.distribution
        if isinstance(drawn.distribution, str) and drawn.distribution in DISTRIBUTIONS
        else drawn.name
    )
    return {
        "activation": name_of(activation),
        "distribution": distribution,
        "init": drawn.name,
        "sigma_w": drawn.sigma_w if drawn.sigma_w == drawn.sigma_w else None,
        "sigma_b": drawn.sigma_b,
        "first_sigma_w": drawn.first_sigma_w,
        **plain,
    }
