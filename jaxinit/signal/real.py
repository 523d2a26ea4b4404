"""A study of a user's own model: the signal behind every weight, forward and backward."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._checks import check_choice, check_int, value_error
from jaxinit.models.auto import SCHEMES, Scheme
from jaxinit.models.initialize import initialize
from jaxinit.models.paths import PyTree
from jaxinit.models.trace.entry import is_array
from jaxinit.signal.network import log10_rms, moments_of
from jaxinit.signal.probes import ProbeWalk, TracedModel, trace_model
from jaxinit.signal.result import Result

_MEMORY = 2**28  # bytes that a chunk of seeds may take


def study_model(
    apply_fn: Callable[..., Any],
    params: PyTree,
    *inputs: PyTree,
    init: Scheme = "kaiming_normal",
    seeds: int = 32,
    seed: int = 0,
    name: str = "model",
    progress: Callable[[Result], None] | None = None,
) -> Result:
    """Measure the signal through a model at initialization, weight by weight.

    Each seed draws all parameters anew by the plan of :func:`jaxinit.auto`, runs the model
    forward on the inputs given, and runs reverse mode back from a standard normal gradient
    with respect to every floating-point output. Measured is what each matrix product or
    convolution with a weight gives, before any bias, and the gradient with respect to that.
    One compiled program does a chunk of seeds; all of them, if memory allows.

    Args:
        apply_fn: The forward pass, ``apply_fn(params, *inputs)``; pure.
        params: Its parameters: a tree of arrays or ``jax.ShapeDtypeStruct``. Leaves whose
            use is unknown, unused ones and integers keep the values that they have here.
        *inputs: Its further arguments, with values. The same ones serve all seeds.
        init: The scheme of :func:`jaxinit.auto` for the weights.
        seeds: How many seeds, at least 1.
        seed: Which seeds: the key of number i is ``fold_in(key(seed), i)``.
        name: What to call the model.
        progress: Called after each chunk of seeds with the result so far.

    Returns:
        ``log10_std``, ``mean`` and ``log10_grad`` (of the root mean square gradient), each
        of shape (seeds, uses of weights in order). ``settings["weights"]`` has their
        paths, ``path [2]`` for a second use; ``settings["remarks"]`` says which weights
        were not measured (inside a scan, a loop, a branch or a custom derivative) and
        which leaves were not drawn.

    Raises:
        ValueError: An argument is out of range, no weight can be measured, the outputs have
            no floating point, or :func:`jaxinit.auto` has no initializer for a leaf.
        TypeError: As :func:`jaxinit.trace_params`.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxinit.signal import study_model
        >>> def apply(params, x):
        ...     return jnp.tanh(x @ params["w1"]) @ params["w2"]
        >>> shapes = {"w1": (8, 64), "w2": (64, 4)}
        >>> params = {k: jax.ShapeDtypeStruct(s, "float32") for k, s in shapes.items()}
        >>> result = study_model(apply, params, jnp.ones((2, 8)), seeds=3)
        >>> result.settings["weights"], result.values["log10_std"].shape
        (['w1', 'w2'], (3, 2))
    """
    where = "study"
    check_choice(where, "init", init, SCHEMES)
    check_int(where, "seeds", seeds, least=1)
    check_int(where, "seed", seed, least=0)
    model, paths, remarks = trace_model(where, apply_fn, params, inputs, init)
    probe = ProbeWalk()
    own = [leaf for leaf in jax.tree.leaves(params) if is_array(leaf)]
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in own]
    ends = jax.eval_shape(functools.partial(model.run, probe), shapes, model.data)
    missed = {i for i in model.marks if i is not None} - set(probe.leaves)
    lost = [f"{paths[i]} (in {probe.lost.get(i, 'no product')})" for i in sorted(missed)]
    if not probe.leaves or not ends:
        rule = "the model must have a weight that meets its input in a product"
        if not ends:
            rule = "the model must return floating-point arrays"
        got = f"none in {name}" + (f"; not reached: {', '.join(lost)}" if lost else "")
        advice = "Only weights outside of scans, loops and branches are measured."
        value_error(where, rule, got, advice)
    if lost:
        remarks.append(f"Not measured: {', '.join(lost)}.")
    weights = _labels([paths[i] for i in probe.leaves])
    settings = {
        "model": name,
        "init": init,
        "seed": seed,
        "weights": weights,
        "remarks": remarks,
    }
    size = _size([*shapes, *probe.outs, *probe.outs])
    done = Result(f"{name}, {init}", settings, {})
    zeros = [jnp.zeros(out.shape, out.dtype) for out in probe.outs]
    fitting = max(1, min(seeds, _MEMORY // size))
    return _run(model, zeros, done, (seeds, seed, fitting), progress)


def _labels(paths: list[str]) -> list[str]:
    """Number the second and later uses of a path."""
    counts = [paths[: i + 1].count(path) for i, path in enumerate(paths)]
    return [
        path if count == 1 else f"{path} [{count}]"
        for path, count in zip(paths, counts, strict=True)
    ]


def _size(arrays: Sequence[Any]) -> int:
    return sum(int(np.prod(x.shape)) * x.dtype.itemsize for x in arrays)


def _run(
    model: TracedModel,
    zeros: list[jax.Array],
    done: Result,
    numbers: tuple[int, int, int],
    progress: Callable[[Result], None] | None,
) -> Result:
    seeds, seed, fitting = numbers
    chunk = min(seeds, fitting)
    root = jax.random.key(seed)
    fold = jax.jit(jax.vmap(functools.partial(jax.random.fold_in, root)))
    one = functools.partial(_measure, model)
    program = jax.jit(jax.vmap(one, in_axes=(0, None, None)))
    for start in range(0, seeds, chunk):
        # The last chunk runs some seeds too many, so that one program serves all.
        keys = fold(jnp.arange(start, start + chunk, dtype=jnp.uint32))
        found = jax.device_get(program(keys, model.data, zeros))
        keep_now = min(chunk, seeds - start)
        values = {q: np.asarray(v[:keep_now]) for q, v in sorted(found.items())}
        part = dataclasses.replace(done, values=values)
        done = done.joined(part) if done.values else part
        if progress is not None:
            progress(done)
    return done


def _measure(
    model: TracedModel, key: jax.Array, data: list[Any], zeros: list[jax.Array]
) -> dict[str, jax.Array]:
    """Return what is measured of one seed, in order of use."""
    draw, end = jax.random.split(key)
    made = initialize(draw, model.params, model.plan)
    own = [leaf for leaf in jax.tree.leaves(made) if is_array(leaf)]

    def forward(probes: list[jax.Array]) -> tuple[list[jax.Array], list[jax.Array]]:
        walk = ProbeWalk(probes)
        ends = model.run(walk, own, data)
        return ends, walk.outs

    ends, pull, outs = jax.vjp(forward, zeros, has_aux=True)
    ends_keys = jax.random.split(end, len(ends))
    cotangents = [
        jax.random.normal(k, out.shape, out.dtype)
        for k, out in zip(ends_keys, ends, strict=True)
    ]
    (gradients,) = pull(cotangents)
    return {
        "log10_std": jnp.stack([moments_of(out)["log10_std"] for out in outs]),
        "mean": jnp.stack([jnp.mean(out.astype(jnp.float32)) for out in outs]),
        "log10_grad": jnp.stack([log10_rms(gradient) for gradient in gradients]),
    }
