"""The run of several studies: those of one distribution share their weights' draws."""

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import value_error
from jaxinit.signal.studies.conditions import fixed_conditions, seed_keys
from jaxinit.signal.studies.measures import QUANTITIES
from jaxinit.signal.studies.network import Network, compiled, draw_seeds, measure
from jaxinit.signal.studies.result import Result

_MEMORY = 2**28  # bytes that a chunk of seeds may take
_MOST = 2**33  # bytes that one seed may take, and the results of all
_CHUNK = 4  # seeds at a time on one device: enough work for its threads


class Job(NamedTuple):
    """One study, checked and ready to run."""

    net: Network
    gains: tuple[float, ...]
    """sigma_w of each layer."""
    sigma_b: float
    correlation: float
    seed: int
    seeds: int
    """How many there are to be in the end."""
    done: Result
    """What is there already; its values are empty at first."""

    @property
    def first(self) -> int:
        """The first seed to run."""
        return self.done.seeds


@fixed_conditions()
def run(
    jobs: Sequence[Job], progress: Callable[[int, Result], None] | None = None
) -> list[Result]:
    """Run the seeds that are missing.

    Args:
        jobs: The studies, in any order.
        progress: Called after each chunk of seeds with the number of a job and its result
            so far.

    Returns:
        The results, each of at least the seeds that its job asks for.
    """
    results = [job.done for job in jobs]
    for numbers in _groups(jobs):
        for parts in _chunks([jobs[i] for i in numbers]):
            for i, values in zip(numbers, parts, strict=True):
                part = dataclasses.replace(results[i], values=values)
                results[i] = results[i].joined(part) if results[i].values else part
                if progress is not None:
                    progress(i, results[i])
    return results


def _groups(jobs: Sequence[Job]) -> list[list[int]]:
    """Return which jobs run together, in the order of their first one."""
    found: dict[Any, list[int]] = {}
    for number, job in enumerate(jobs):
        # Narrow weights are rounded at their own scale; they share no drawing.
        alone = number if jnp.dtype(job.net.dtype).itemsize < 4 else None
        same = (job.net.drawn, job.seed, job.correlation, job.first, job.seeds, alone)
        found.setdefault(same, []).append(number)
    return list(found.values())


def _chunks(group: Sequence[Job]) -> Iterator[list[dict[str, np.ndarray]]]:
    """Run the jobs of a group; yield for each chunk of seeds the values of each job."""
    lead, nets = group[0], tuple(job.net for job in group)
    gains = jnp.array([job.gains for job in group], jnp.float32)
    sigma_b = jnp.array([job.sigma_b for job in group], jnp.float32)
    devices, chunk = _spread(nets, lead.seeds - lead.first)
    program, net = compiled(measure, nets, devices), nets[0]
    sizes = net.input_shape, net.depth, net.width
    for start in range(lead.first, lead.seeds, chunk):
        # The last chunk runs some seeds too many, so that one program serves all.
        keys = seed_keys(lead.seed, start, chunk)
        draws = draw_seeds(keys, *sizes, jnp.float32(lead.correlation))
        found = program(draws, gains, sigma_b)
        keep = min(chunk, lead.seeds - start)
        yield [
            {q: np.asarray(v[:keep]) for q, v in sorted(values.items())}
            for values in jax.device_get(found)
        ]


def _spread(nets: Sequence[Network], seeds: int) -> tuple[tuple[Any, ...], int]:
    """Return the devices to use and the seeds to run at a time on all of them."""
    devices, net = jax.local_devices()[: max(seeds, 1)], nets[0]
    fitting = max(1, _MEMORY // seed_size(net, len(nets)))
    each = min(fitting, _CHUNK, -(-max(seeds, 1) // len(devices)))
    return tuple(devices) if len(devices) > 1 else (), each * len(devices)


def seed_size(net: Network, count: int = 1) -> int:
    """Return the bytes that one seed of so many networks takes, about."""
    activations = 8 * count * net.depth * math.prod(net.input_shape) * 4
    return activations + 4 * math.prod(net.weight_shape) * 4


def check_size(net: Network, seeds: int) -> None:
    """Refuse a study that no machine runs."""
    results = 4 * len(QUANTITIES) * seeds * (net.depth + 1)
    for what, size in (("one seed", seed_size(net)), ("the results", results)):
        if size > _MOST:
            got = (
                f"depth={net.depth}, width={net.width}, batch={net.batch}, "
                f"seeds={seeds}, of which {what} would take {size / 2**30:.4g} GiB"
            )
            rule = f"{what} of a study must fit in {_MOST / 2**30:g} GiB"
            value_error(rule, got, "Ask for less.")
