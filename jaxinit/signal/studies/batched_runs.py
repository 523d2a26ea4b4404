"""The run of several studies: those of one distribution share their weights' draws."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.signal.studies.network import Network, run_seeds
from jaxinit.signal.studies.result import Result

_MEMORY = 2**28  # bytes that a chunk of seeds may take
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


def run(
    jobs: Sequence[Job], progress: Callable[[int, Result], None] | None = None
) -> list[Result]:
    """Run the seeds that are missing.

    Args:
        jobs: The studies, in any order.
        progress: Called after each chunk of seeds with the number of a job and its result
            so far.

    Returns:
        The results, each of the seeds that its job asks for.
    """
    results = [job.done for job in jobs]
    for numbers in _gangs(jobs):
        for parts in _chunks([jobs[i] for i in numbers]):
            for i, values in zip(numbers, parts, strict=True):
                part = dataclasses.replace(results[i], values=values)
                results[i] = results[i].joined(part) if results[i].values else part
                if progress is not None:
                    progress(i, results[i])
    return [result.first(job.seeds) for job, result in zip(jobs, results, strict=True)]


def _gangs(jobs: Sequence[Job]) -> list[list[int]]:
    """Return which jobs run together, in the order of their first one."""
    found: dict[Any, list[int]] = {}
    for number, job in enumerate(jobs):
        # Narrow weights are rounded at their own scale; they share no drawing.
        alone = number if jnp.dtype(job.net.dtype).itemsize < 4 else None
        same = (job.net.drawn, job.seed, job.correlation, job.first, job.seeds, alone)
        found.setdefault(same, []).append(number)
    return list(found.values())


def _chunks(gang: Sequence[Job]) -> Iterator[list[dict[str, np.ndarray]]]:
    """Run the jobs of a gang; yield for each chunk of seeds the values of each job."""
    lead, nets = gang[0], tuple(job.net for job in gang)
    gains = np.array([job.gains for job in gang], np.float32)
    sigma_b = np.array([job.sigma_b for job in gang], np.float32)
    root = jax.random.key(lead.seed)
    devices, chunk = _spread(nets, lead.seeds - lead.first)
    fold = jax.jit(jax.vmap(functools.partial(jax.random.fold_in, root)))
    for start in range(lead.first, lead.seeds, chunk):
        # The last chunk runs some seeds too many, so that one program serves all.
        keys = fold(jnp.arange(start, start + chunk, dtype=jnp.uint32))
        found = run_seeds(nets, keys, gains, sigma_b, lead.correlation, devices=devices)
        keep = min(chunk, lead.seeds - start)
        yield [
            {q: np.asarray(v[:keep]) for q, v in sorted(values.items())}
            for values in jax.device_get(found)
        ]


def _spread(nets: Sequence[Network], seeds: int) -> tuple[tuple[Any, ...], int]:
    """Return the devices to use and the seeds to run at a time on all of them."""
    devices, net = jax.local_devices()[: max(seeds, 1)], nets[0]
    activations = 8 * len(nets) * net.depth * int(np.prod(net.input_shape)) * 4
    weights = 4 * int(np.prod(net.weight_shape)) * 4
    fitting = max(1, _MEMORY // (activations + weights))
    each = min(fitting, _CHUNK, -(-max(seeds, 1) // len(devices)))
    return tuple(devices) if len(devices) > 1 else (), each * len(devices)
