"""A study of a user's own model: the signal behind every weight, forward and backward."""

import collections
import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.extend.core as jex
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_int, check_seed, value_error
from jaxinit._paths import PyTree
from jaxinit.initializers.plain import normal
from jaxinit.models.auto import SCHEMES, Unresolved
from jaxinit.models.initialize import initialize
from jaxinit.models.rules import Rule
from jaxinit.signal.studies.conditions import (
    fixed_conditions,
    fold_each,
    root_key,
    seed_keys,
)
from jaxinit.signal.studies.digest import digest_of
from jaxinit.signal.studies.measures import log10_rms, moments_of
from jaxinit.signal.studies.model_program import TracedModel, trace_model
from jaxinit.signal.studies.result import Result
from jaxinit.signal.studies.study import continued
from jaxinit.trace.entry import is_array
from jaxinit.trace.probes.probes import ProbeWalk, Use
from jaxinit.trace.probes.products import STEPS

_MEMORY = 2**28  # bytes that a chunk of seeds may take
_QUANTITIES = ("log10_grad", "log10_std", "mean")
"""What is measured of a model, in this order."""


@boundary
def study_model(
    apply_fn: Callable[..., Any],
    params: PyTree,
    *inputs: PyTree,
    init: str = "kaiming_normal",
    seeds: int = 32,
    seed: int = 0,
    name: str = "model",
    rules: Sequence[Rule] = (),
    unresolved: Unresolved = "error",
    resume: Result | None = None,
    progress: Callable[[Result], None] | None = None,
) -> Result:
    """Measure the signal through a model at initialization, weight by weight.

    Each seed draws all parameters anew by the plan of :func:`jaxinit.auto`, runs the model
    forward on the inputs given, and runs reverse mode back from a standard normal gradient
    with respect to every floating-point output. Measured is what each matrix product or
    convolution with a weight gives, before any bias, and the gradient with respect to that.
    A ``jax.lax.scan`` that weights go into, as flax.linen.scan and nnx.scan make one of a
    stack of layers, is unrolled, so that every step has its own numbers. One compiled
    program does a chunk of seeds; all of them, if memory allows.

    Args:
        apply_fn: The forward pass, ``apply_fn(params, *inputs)``; pure.
        params: Its parameters: a tree of arrays or ``jax.ShapeDtypeStruct``. Leaves whose
            use is unknown, unused ones and integers keep the values that they have here.
        *inputs: Its further arguments, with values. The same ones serve all seeds.
        init: The scheme of :func:`jaxinit.auto` for the weights.
        seeds: How many seeds, at least 1.
        seed: Which seeds, from 0 to 2**64 - 1: the key of number i is
            ``fold_in(key(seed), i)``.
        name: What to call the model.
        rules: Rules of :func:`jaxinit.auto`, which come before the scheme.
        unresolved: As for :func:`jaxinit.auto`: ``"keep"`` leaves a weight for which the
            scheme has no initializer at the value that it has.
        resume: A result of the same settings whose seeds need not be run again.
        progress: Called after each chunk of seeds with the result so far.

    Returns:
        ``log10_std``, ``mean`` and ``log10_grad`` (of the root mean square gradient), each
        of shape (seeds, uses of weights in order). ``settings["weights"]`` has their
        paths: ``path (step 3)`` inside a scan, where steps count from 0 as slices of what
        is scanned over do, ``path (step 1.3)`` in a scan inside a scan, ``path (use 2)``
        for a second use. ``settings["remarks"]`` says which weights were not measured
        (inside a while loop, a branch, a custom derivative, ``shard_map``, or scans of
        more than 64 steps, those inside one another multiplied) and which leaves were
        not drawn. ``settings["digest"]`` stands for all that is computed: it tells a model
        that has changed from the one of an earlier result.

    Raises:
        ValueError: An argument is out of range, no weight can be measured, the outputs have
            no floating point, ``resume`` is of other settings, or :func:`jaxinit.auto` has
            no initializer for a leaf.
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
    made = prepare(
        apply_fn,
        params,
        inputs,
        init,
        seeds=seeds,
        seed=seed,
        name=name,
        rules=rules,
        unresolved=unresolved,
    )
    return made.run(resume, progress).first(seeds)


class ModelStudy(NamedTuple):
    """A study of a model, ready to run.

    Attributes:
        start: Label and settings, without values yet.
        program: The closed jaxpr of one seed, from its key and the data.
        data: The inputs' arrays.
        seeds: How many to run.
        seed_size: Bytes that one of them takes, about.
        quantities: What the program gives, in this order.
    """

    start: Result
    program: Any
    data: list[Any]
    seeds: int
    seed_size: int
    quantities: tuple[str, ...] = _QUANTITIES

    @fixed_conditions()
    def run(
        self,
        resume: Result | None = None,
        progress: Callable[[Result], None] | None = None,
    ) -> Result:
        """Return the result of at least these seeds, those of ``resume`` among them."""
        seeds = self.seeds
        done = self.start if resume is None else continued(self.start, resume)
        chunk = max(1, min(seeds - done.seeds, _MEMORY // self.seed_size))
        root = self.start.settings["seed"]
        one = jex.jaxpr_as_fun(self.program)
        many = jax.jit(jax.vmap(one, in_axes=(0, *[None] * len(self.data))))
        for start in range(done.seeds, seeds, chunk):
            # The last chunk runs some seeds too many, so that one program serves all.
            keys = seed_keys(root, start, chunk)
            found = jax.device_get(many(keys, *self.data))
            fresh = [np.asarray(values[: seeds - start]) for values in found]
            values = dict(zip(self.quantities, fresh, strict=True))
            part = dataclasses.replace(done, values=values)
            done = done.joined(part) if done.values else part
            if progress is not None:
                progress(done)
        return done


@fixed_conditions()
def prepare(
    apply_fn: Callable[..., Any],
    params: PyTree,
    inputs: tuple[PyTree, ...],
    init: str,
    *,
    seeds: int,
    seed: int,
    name: str,
    rules: Sequence[Rule] = (),
    unresolved: Unresolved = "error",
) -> ModelStudy:
    """Trace a model, and return the study of it; arguments as in :func:`study_model`."""
    check_choice("init", init, SCHEMES)
    check_int("seeds", seeds, least=1)
    seed = check_seed(seed)
    traced = trace_model(apply_fn, params, inputs, init, rules, unresolved)
    model, paths, remarks = traced
    probe = ProbeWalk()
    own = [leaf for leaf in jax.tree.leaves(params) if is_array(leaf)]
    shapes = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in own]
    ends = jax.eval_shape(functools.partial(model.run, probe), shapes, model.data)
    lost = lost_weights(name, model, paths, probe, ends)
    if lost:
        remarks.append(f"Not measured: {lost}.")
    measure = functools.partial(_measure, model, probe.outs)
    program = jax.make_jaxpr(measure)(root_key(0), model.data)
    settings = {
        "model": name,
        "init": init,
        "seed": seed,
        "weights": use_labels(paths, probe.uses),
        "remarks": remarks,
        "digest": digest_of(program, model.data),
    }
    start = Result(f"{name}, {init}", settings, {})
    size = _size([*shapes, *probe.outs, *probe.outs])
    return ModelStudy(start, program, model.data, seeds, size)


def lost_weights(
    name: str,
    model: TracedModel,
    paths: list[str],
    probe: ProbeWalk,
    ends: Sequence[Any],
) -> str:
    """Return which weights are not measured and why; refuse if none is."""
    met = {use.leaf for use in probe.uses}
    missed = sorted({i for i in model.marks if i is not None} - met | probe.cut)
    lost = ", ".join(f"{paths[i]} (in {probe.lost.get(i, 'no product')})" for i in missed)
    if met and ends:
        return lost
    if not ends:
        rule = "the model must return floating-point arrays"
        advice = "Return what the model predicts, before any rounding."
        value_error(rule, f"none in {name}", advice)
    rule = "the model must have a weight that meets its input in a product"
    got = f"none in {name}" + (f"; not reached: {lost}" if lost else "")
    advice = (
        "Weights in while loops, branches, custom derivatives and scans of more than "
        f"{STEPS} steps are not measured."
    )
    value_error(rule, got, advice)


def use_labels(paths: list[str], uses: Sequence[Use]) -> list[str]:
    """Name each use by path and step, and number the second and later of a name."""
    seen: collections.Counter[Use] = collections.Counter()
    labels = []
    for use in uses:
        seen[use] += 1
        steps = [f"step {'.'.join(map(str, use.steps))}"] if use.steps else []
        number = [f"use {seen[use]}"] if seen[use] > 1 else []
        details = ", ".join(steps + number)
        labels.append(paths[use.leaf] + (f" ({details})" if details else ""))
    return labels


def _size(arrays: Sequence[Any]) -> int:
    return sum(int(np.prod(x.shape)) * x.dtype.itemsize for x in arrays)


def _measure(
    model: TracedModel, shapes: Sequence[Any], key: jax.Array, data: list[Any]
) -> tuple[jax.Array, ...]:
    """Return the quantities of one seed, each in order of use."""
    draw, end = fold_each(key, jnp.arange(2, dtype=jnp.uint32))
    assert model.plan is not None
    made = initialize(draw, model.params, model.plan)
    own = [leaf for leaf in jax.tree.leaves(made) if is_array(leaf)]

    def forward(probes: list[jax.Array]) -> tuple[list[jax.Array], list[jax.Array]]:
        walk = ProbeWalk(probes)
        ends = model.run(walk, own, data)
        return ends, walk.outs

    zeros = [jnp.zeros(out.shape, out.dtype) for out in shapes]
    ends, pull, outs = jax.vjp(forward, zeros, has_aux=True)
    ends_keys = fold_each(end, jnp.arange(len(ends), dtype=jnp.uint32))
    cotangents = [
        normal(k, out.shape, out.dtype) for k, out in zip(ends_keys, ends, strict=True)
    ]
    (gradients,) = pull(cotangents)
    return (
        jnp.stack([log10_rms(gradient) for gradient in gradients]),
        jnp.stack([moments_of(out)["log10_std"] for out in outs]),
        jnp.stack([jnp.mean(out.astype(jnp.float32)) for out in outs]),
    )
