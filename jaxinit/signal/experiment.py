"""Run a study: many seeds of one deep network at initialization."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import check_choice, check_dtype, check_int, check_number, value_error
from jaxinit._types import Initializer
from jaxinit.signal.maps import Nonlinearity, as_function
from jaxinit.signal.network import KINDS, Kind, Network, run_seeds
from jaxinit.signal.result import Result
from jaxinit.signal.schemes import LAWS, Scheme, scheme

_MEMORY = 2**28  # bytes that a chunk of seeds may take
_CHUNK = 4  # seeds at a time on one device: enough work for its threads


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
    """Measure a deep network at initialization over many seeds.

    Standard normal inputs run forward through ``depth`` equal layers, a standard normal
    gradient runs back. Every seed draws its own inputs, weights, biases and gradient.
    One compiled program does all layers of a chunk of seeds; weights exist for one layer
    at a time. On several devices the seeds are spread over them.

    Args:
        activation: A name (``"tanh"``) or a function on arrays.
        init: A scheme, see :func:`jaxinit.signal.scheme`. Schemes of one law use the
            same underlying random numbers under the same ``seed``.
        depth: Layers, at least 1.
        width: Units of each layer, at least 2; channels for ``kind="conv"``.
        seeds: How many seeds, at least 1. More seeds keep the first ones as they are.
        seed: Which seeds: the key of number i is ``fold_in(key(seed), i)``.
        dtype: Of weights, activations and gradients; half precision shows underflow.
        kind: ``"dense"``, ``"residual"``, ``"normalized"`` or ``"conv"``, see
            :class:`jaxinit.signal.Network`.
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
    where = "study"
    check_choice(where, "kind", kind, KINDS)
    check_int(where, "seeds", seeds, least=1)
    check_number(where, "correlation", correlation, least=-1.0, most=1.0)
    function = as_function(where, activation)
    drawn = scheme(init, activation)
    if isinstance(drawn.law, str) and (drawn.law == "delta_orthogonal") > (kind == "conv"):
        rule = "delta_orthogonal needs kind='conv'"
        value_error(where, rule, f"kind={kind!r}", "For dense layers use orthogonal.")
    net = Network(
        function,
        drawn.law,
        kind=kind,
        depth=check_int(where, "depth", depth, least=1),
        width=check_int(where, "width", width, least=2),
        batch=check_int(where, "batch", batch, least=1),
        dtype=check_dtype(where, dtype).name,
        branch_scale=float(check_number(where, "branch_scale", branch_scale)),
        size=check_int(where, "size", size, least=3),
    )
    done = Result(label_of(activation, drawn), settings_of(net, drawn, activation), {})
    done = dataclasses.replace(
        done,
        settings={**done.settings, "seed": int(seed), "correlation": float(correlation)},
    )
    if resume is not None:
        done = continued(done, resume)
    numbers = (drawn.gains(depth), drawn.sigma_b, correlation)
    return _run(net, done, seeds, jax.random.key(seed), numbers, progress)


def _run(
    net: Network,
    done: Result,
    seeds: int,
    root: jax.Array,
    numbers: tuple[Any, ...],
    progress: Callable[[Result], None] | None,
) -> Result:
    first = done.seeds if done.values else 0
    devices, chunk = _spread(net, seeds - first)
    fold = jax.jit(jax.vmap(functools.partial(jax.random.fold_in, root)))
    for start in range(first, seeds, chunk):
        # The last chunk runs some seeds too many, so that one program serves all.
        keys = fold(jnp.arange(start, start + chunk, dtype=jnp.uint32))
        found = jax.device_get(run_seeds(net, keys, *numbers, devices=devices))
        keep = min(chunk, seeds - start)
        part = dataclasses.replace(
            done, values={q: np.asarray(v[:keep]) for q, v in sorted(found.items())}
        )
        done = done.joined(part) if done.values else part
        if progress is not None:
            progress(done)
    return dataclasses.replace(done, values={q: v[:seeds] for q, v in done.values.items()})


def _spread(net: Network, seeds: int) -> tuple[tuple[Any, ...], int]:
    """Return the devices to use and the seeds to run at a time on all of them."""
    devices = jax.local_devices()[: max(seeds, 1)]
    activations = 8 * net.depth * int(np.prod(net.input_shape)) * 4
    weights = 4 * int(np.prod(net.weight_shape)) * 4
    fitting = max(1, _MEMORY // (activations + weights))
    each = min(fitting, _CHUNK, -(-max(seeds, 1) // len(devices)))
    return tuple(devices) if len(devices) > 1 else (), each * len(devices)


def label_of(activation: Nonlinearity, drawn: Scheme) -> str:
    """Return the name of an activation and a scheme together."""
    return f"{name_of(activation)}, {drawn.name}"


def name_of(function: Any) -> str:
    """Return a name for an activation."""
    if isinstance(function, str):
        return function
    return getattr(function, "__name__", type(function).__name__)


def settings_of(net: Network, drawn: Scheme, activation: Nonlinearity) -> dict[str, Any]:
    """Return as plain data all that decides the numbers but the seed."""
    plain = {
        field.name: getattr(net, field.name)
        for field in dataclasses.fields(net)
        if field.name not in ("activation", "law")
    }
    law = drawn.law if isinstance(drawn.law, str) and drawn.law in LAWS else drawn.name
    return {
        "activation": name_of(activation),
        "law": law,
        "init": drawn.name,
        "sigma_w": drawn.sigma_w if drawn.sigma_w == drawn.sigma_w else None,
        "sigma_b": drawn.sigma_b,
        "first_sigma_w": drawn.first_sigma_w,
        **plain,
    }


def continued(fresh: Result, old: Result) -> Result:
    """Return the old result if it is of the settings of the fresh one."""
    differ = [k for k, v in fresh.settings.items() if old.settings.get(k) != v]
    if differ:
        rule = "resume must be a result of the same settings"
        got = f"another {', '.join(differ)}"
        value_error("study", rule, got, "Run it anew, or write it to another file.")
    return old
