"""The coordinate check: do the sizes of signals stay the same as a model gets wider?"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._boundary import boundary
from jaxinit._checks import check_int, check_seed, type_error, value_error
from jaxinit._paths import PyTree
from jaxinit.initializers.plain import normal
from jaxinit.models.initialize import initialize
from jaxinit.models.rules import Rule
from jaxinit.signal.report.table import Table
from jaxinit.signal.report.widths import plot_widths, width_table
from jaxinit.signal.studies.adam import Adam
from jaxinit.signal.studies.bands import Band
from jaxinit.signal.studies.conditions import fixed_conditions, fold_each, root_key
from jaxinit.signal.studies.digest import digest_of
from jaxinit.signal.studies.measures import log10_rms
from jaxinit.signal.studies.model_program import TracedModel, trace_model
from jaxinit.signal.studies.model_study import ModelStudy, lost_weights, use_labels
from jaxinit.signal.studies.result import Result
from jaxinit.signal.studies.resume import File, Progress, run_models
from jaxinit.trace.entry import is_array
from jaxinit.trace.probes.probes import ProbeWalk
from jaxinit.trace.probes.products import Marked

_QUANTITY = "log10_rms"
_LARGEST = 45.0  # powers of ten, beyond those of float32
_FLAT = 0.1  # an exponent below which a size counts as independent of the width
_ERRORS = 3.0  # standard errors that an exponent must be beyond it


class Optimizer(Protocol):
    """What optax calls a gradient transformation."""

    @property
    def init(self) -> Callable[[Any], Any]:
        """From parameters to the state."""
        ...

    @property
    def update(self) -> Callable[..., tuple[Any, Any]]:
        """From gradients, state and parameters to updates and the next state."""
        ...


@dataclasses.dataclass(frozen=True, repr=False)
class WidthStudy:
    """How large the output of each weight is, against width and step.

    Attributes:
        label: Name of the model and of what it was drawn with.
        widths: The widths, ascending.
        weights: Paths of the weights, in order of use.
        sizes: log10 of the root mean square of each weight's output, of shape (widths,
            seeds, steps + 1, weights); step 0 is at initialization.
    """

    label: str
    widths: tuple[int, ...]
    weights: tuple[str, ...]
    sizes: np.ndarray

    def __repr__(self) -> str:
        _, seeds, steps, weights = self.sizes.shape
        of = f"widths {self.widths}, {seeds} seeds, {steps - 1} steps, {weights} weights"
        return f"<WidthStudy {self.label}: {of}>"

    @property
    def exponents(self) -> np.ndarray:
        """The power of the width that sizes grow with, (seeds, steps + 1, weights)."""
        x = np.log10(np.array(self.widths, np.float64))
        x = x - x.mean()
        # A weight at zero, as a readout may start, gives nothing at any width: flat.
        sizes = np.clip(self.sizes.astype(np.float64), -_LARGEST, _LARGEST)
        return np.tensordot(x, sizes, axes=1) / (x @ x)

    def band(self, low: float = 0.05, high: float = 0.95) -> Band:
        """Return median and quantiles of the exponents over seeds, (steps + 1, weights)."""
        return Band(*np.quantile(self.exponents, [0.5, low, high], axis=0))

    @property
    def growing(self) -> np.ndarray:
        """Whether a size grows with the width, beyond chance, (steps + 1, weights)."""
        found = self.exponents
        error = found.std(0, ddof=1) / len(found) ** 0.5 if len(found) > 1 else 0.0
        # Not "above": a size that is NaN or infinite counts as growing.
        return ~(found.mean(0) - _ERRORS * error <= _FLAT)

    @property
    def verdicts(self) -> tuple[str, ...]:
        """A sentence for each weight whose output grows, or one that none does."""
        middle, growing = self.band().median, self.growing
        found = []
        for number, path in enumerate(self.weights):
            at = np.nonzero(growing[:, number])[0]
            if at.size:
                power = middle[at[-1], number]
                step = f"from step {at[0]} on" if at[-1] > at[0] else f"at step {at[0]}"
                found.append(f"{path}: grows like width^{power:.2g} {step}.")
        return tuple(found) or ("No output of a weight grows with the width.",)

    def table(self) -> Table:
        """Return the table of exponents; ``print`` shows it."""
        names = self.label, self.widths, self.weights
        return width_table(*names, self.band(), self.verdicts)

    def plot(self, path: str | pathlib.Path | None = None) -> Any:
        """Draw sizes against width, a panel a step.

        Args:
            path: A file to write, ending in .png, .pdf or .svg; None for none.

        Returns:
            The matplotlib figure.
        """
        return plot_widths(self.label, self.widths, self.weights, self.sizes, path)


@boundary
def width_study(
    make: Callable[[int], Sequence[Any]],
    widths: Sequence[int],
    *,
    steps: int = 4,
    seeds: int = 8,
    seed: int = 0,
    init: str = "kaiming_normal",
    rules: Sequence[Rule] = (),
    optimizer: Optimizer | None = None,
    learning_rate: float = 0.01,
    loss: Callable[[Any], jax.Array] | None = None,
    name: str = "model",
    path: str | pathlib.Path | File | None = None,
    progress: Progress | None = None,
) -> WidthStudy:
    """Train a model of several widths for a few steps, and measure how sizes grow.

    Under muP (:func:`jaxinit.presets.mup`) the output of no weight grows with the width;
    under standard parametrization with Adam it does, from the first step on, and that is
    why learning rates do not transfer to wider models.

    Args:
        make: From a width to ``(apply_fn, params, inputs)``: the forward pass
            ``apply_fn(params, *inputs)``, its parameters (a tree of arrays or of
            ``jax.ShapeDtypeStruct``, drawn anew for each seed by :func:`jaxinit.auto`; or a
            function from a key to them), and its further arguments. A fourth item is the
            optimizer for that width.
        widths: At least two.
        steps: Optimizer steps, all on the same inputs.
        seeds: How many seeds, run together.
        seed: Which.
        init: The scheme of :func:`jaxinit.auto`.
        rules: Rules of :func:`jaxinit.auto`, which come first.
        optimizer: An optax transformation, where ``make`` gives none; None for Adam.
        learning_rate: That of Adam, if no optimizer is given.
        loss: From what the model returns to a number; None for the mean square distance
            from a fixed standard normal target.
        name: What to call the model.
        path: A file of results to go on from and to write, as :func:`run_studies` has it.
        progress: Called when there is something new.

    Returns:
        The sizes and their exponents.

    Raises:
        ValueError: An argument is out of range, or the widths have different weights.
        TypeError: ``make`` returns something else.

    References:
        The coordinate check of G. Yang et al., "Tensor Programs V", 2022, section D.1.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxinit.signal import width_study
        >>> def make(width):
        ...     def apply(p, x):
        ...         return jax.nn.relu(jax.nn.relu(x @ p["a"]) @ p["b"]) @ p["c"]
        ...     shapes = {"a": (8, width), "b": (width, width), "c": (width, 1)}
        ...     S = jax.ShapeDtypeStruct
        ...     params = {k: S(shape, "float32") for k, shape in shapes.items()}
        ...     return apply, params, jnp.ones((4, 8))
        >>> found = width_study(make, [32, 64, 128], steps=2)
        >>> found.growing.any(axis=1).tolist()
        [False, True, True]
    """
    ordered = sorted(check_int("width", w, least=1) for w in widths)
    if len(set(ordered)) < 2 or len(set(ordered)) < len(ordered):
        rule = "widths must be at least two different ones"
        value_error(rule, f"widths={list(widths)}", "Give [64, 128, 256], say.")
    default = optimizer if optimizer is not None else Adam(float(learning_rate))
    plan = _Plan(
        check_int("steps", steps, least=0),
        check_int("seeds", seeds, least=1),
        check_seed(seed),
        init,
        rules,
        default,
        loss or _distance,
        name,
    )
    studies = [_prepare(make, width, plan) for width in ordered]
    results = run_models(studies, path, progress)
    paths = [result.settings["weights"] for result in results]
    if any(found != paths[0] for found in paths):
        rule = "make must return the same model at every width"
        value_error(rule, "weights of other paths", "Change lengths of axes alone.")
    shape = (results[0].seeds, plan.steps + 1, len(paths[0]))
    sizes = np.stack([result.values[_QUANTITY].reshape(shape) for result in results])
    return WidthStudy(f"{name}, {init}", tuple(ordered), tuple(paths[0]), sizes)


class _SizeWalk(ProbeWalk):
    """A walk whose outputs have the factor on them that the model puts there."""

    def operation(self, equation: Any, values: list[Marked]) -> list[Marked]:
        """Run one operation; follow a product through a multiplication with one number."""
        found = super().operation(equation, values)
        name = equation.primitive.name
        operands = [value for value, _ in values]
        if name == "convert_element_type" or (
            name in ("mul", "div") and min(jnp.size(x) for x in operands) == 1
        ):
            at = [i for i, out in enumerate(self.outs) if any(out is x for x in operands)]
            for i in at[-1:]:
                self.outs[i] = found[0][0]
        return found


@dataclasses.dataclass(frozen=True)
class _Plan:
    """What all widths share."""

    steps: int
    seeds: int
    seed: int
    init: str
    rules: Sequence[Rule]
    optimizer: Optimizer
    loss: Callable[[Any], jax.Array]
    name: str


def _distance(outputs: Any) -> jax.Array:
    """Return the mean square distance of outputs from a fixed random target."""
    leaves = [x for x in jax.tree.leaves(outputs) if jnp.issubdtype(x.dtype, jnp.floating)]
    keys = fold_each(root_key(1), jnp.arange(len(leaves), dtype=jnp.uint32))
    targets = [normal(key, x.shape, x.dtype) for key, x in zip(keys, leaves, strict=True)]
    squares = [jnp.mean((x - t) ** 2) for x, t in zip(leaves, targets, strict=True)]
    return jnp.sum(jnp.stack([s.astype(jnp.float32) for s in squares]))


@fixed_conditions()
def _prepare(make: Callable[[int], Sequence[Any]], width: int, plan: _Plan) -> ModelStudy:
    """Return the study of one width, ready to run."""
    made = make(width)
    if not isinstance(made, Sequence) or len(made) not in (3, 4) or not callable(made[0]):
        rule = "make must return (apply_fn, params, inputs), or an optimizer behind them"
        type_error(rule, type(made).__name__, "Return a tuple of these.")
    apply_fn, params, inputs, *own = made
    inputs = tuple(inputs) if isinstance(inputs, (tuple, list)) else (inputs,)
    optimizer = own[0] if own else plan.optimizer
    draws = callable(params)
    shapes = jax.eval_shape(params, root_key(0)) if draws else params
    leaves = [leaf for leaf in jax.tree.leaves(shapes) if is_array(leaf)]
    if not all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves):
        rule = "parameters that are trained must be floats"
        got = ", ".join(sorted({str(leaf.dtype) for leaf in leaves}))
        value_error(rule, got, "Close over the others.")
    init = None if draws else plan.init
    traced = trace_model(apply_fn, shapes, inputs, init, plan.rules)
    model, paths, remarks = traced
    probe = ProbeWalk()
    structs = [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in leaves]
    ends = jax.eval_shape(functools.partial(model.run, probe), structs, model.data)
    lost = lost_weights(plan.name, model, paths, probe, ends)
    remarks += [f"Not measured: {lost}."] if lost else []

    def draw(key: jax.Array) -> PyTree:
        if draws:
            return params(key)
        assert model.plan is not None
        return initialize(key, params, model.plan)

    objective = _objective(apply_fn, inputs, plan.loss)
    measure = functools.partial(_train, model, draw, objective, optimizer, plan.steps)
    program = jax.make_jaxpr(measure)(root_key(0), model.data)
    settings = {
        "model": plan.name,
        "init": plan.init if not draws else "function",
        "seed": plan.seed,
        "width": width,
        "steps": plan.steps,
        "weights": use_labels(paths, probe.uses),
        "remarks": remarks,
        "digest": digest_of(program, model.data),
    }
    start = Result(f"{plan.name}, {settings['init']}, width {width}", settings, {})
    size = 4 * 8 * sum(int(np.prod(s.shape)) for s in structs) + 1
    return ModelStudy(start, program, model.data, plan.seeds, size, (_QUANTITY,))


def _objective(
    apply_fn: Callable[..., Any],
    inputs: tuple[PyTree, ...],
    loss: Callable[[Any], jax.Array],
) -> Callable[[PyTree, list[Any]], jax.Array]:
    """Return the loss as a function of the parameters and of the inputs' arrays."""
    given, structure = jax.tree.flatten(inputs)
    moving = [i for i, leaf in enumerate(given) if is_array(leaf)]

    def objective(params: PyTree, data: list[Any]) -> jax.Array:
        now = list(given)
        for i, value in zip(moving, data, strict=True):
            now[i] = value
        return loss(apply_fn(params, *jax.tree.unflatten(structure, now)))

    return objective


def _train(
    model: TracedModel,
    draw: Callable[[jax.Array], PyTree],
    objective: Callable[[PyTree, list[Any]], jax.Array],
    optimizer: Optimizer,
    steps: int,
    key: jax.Array,
    data: list[Any],
) -> tuple[jax.Array]:
    """Return the sizes of one seed, step by step and weight by weight, flat."""

    def step(carry: tuple[Any, Any], _: None) -> tuple[tuple[Any, Any], jax.Array]:
        params, state = carry
        walk = _SizeWalk()
        model.run(walk, [x for x in jax.tree.leaves(params) if is_array(x)], data)
        sizes = jnp.stack([log10_rms(out) for out in walk.outs])
        gradients = jax.grad(objective)(params, data)
        updates, state = optimizer.update(gradients, state, params)
        params = jax.tree.map(lambda p, u: p + u.astype(p.dtype), params, updates)
        return (params, state), sizes

    params = draw(key)
    start = params, optimizer.init(params)
    _, sizes = jax.lax.scan(step, start, None, length=steps + 1)
    return (sizes.reshape(-1),)
