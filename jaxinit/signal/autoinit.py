"""Fresh weights whose variance follows from each layer's input, with data or without."""

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxinit._boundary import boundary
from jaxinit._checks import (
    check_choice,
    check_dtype,
    check_number,
    is_traced,
    listed,
    type_error,
    value_error,
)
from jaxinit._draw import DISTRIBUTIONS, UNIFORM_LIMIT, Distribution, Draw, execute
from jaxinit._jaxpr import bind
from jaxinit._types import Key, Scalar
from jaxinit.models.keys import leaf_keys
from jaxinit.trace.entry import read_forward, roles_of
from jaxinit.trace.moments.gains import track_scales
from jaxinit.trace.probes.products import fan_in
from jaxinit.trace.probes.scaling import (
    Rule,
    check_all_met,
    find_scales,
    is_weight,
    labels_of,
    scaled_leaves,
    times,
    wide,
)
from jaxinit.trace.use import ParamUse


@boundary
def autoinit(
    apply_fn: Callable[..., Any],
    params: Any,
    *inputs: Any,
    key: Key,
    std: Scalar = 1.0,
    distribution: Distribution = "normal",
    strict: bool = True,
) -> Any:
    r"""Return parameters with weights drawn anew to the scale that their inputs ask for.

    .. math:: \operatorname{Var}(W) = std^2 / (n_{in} (\mu^2 + \nu))

    where :math:`\mu` and :math:`\nu` are the mean and the variance of the layer's input.
    Over the draws, each output then has mean 0 and, over the batch and all units, mean
    square :math:`std^2`. An input of mean other than 0 (after a sigmoid or a ReLU) counts
    in full; the output's mean over the batch is then another number for each unit.

    With inputs that are arrays, both are measured at each layer's input: the batch is sent
    through the network once, and each layer is reached by the output of the new weights
    before it. So any operation is allowed in between and no independence is assumed, but
    the scales depend on the batch and, in narrow layers, on the weights drawn.

    With inputs that are ``jax.ShapeDtypeStruct``, both follow from the computation alone,
    as in the paper: inputs have mean 0 and variance 1, each output of a weight is a new
    normal number, and arrays that come of different weights are independent. What follows
    is evaluated at quadrature nodes in float64, whatever its formula, and known to 1 % of
    its mean square or better; sums, normalisations, softmax, pools and constant masks have
    rules. Batch sizes in the shapes count where sums run over them. So all scales are
    those of wide layers. What is left out: in attention, keys and values come of the same
    input, so with far more positions than features the mixed values are larger than said;
    after a mean other than 0, outputs of one unit are alike over the batch, so that means
    over positions keep more; entries of a normalised row count as independent once a slice
    takes them apart, as do the entries of a recurrent state and its earlier ones once
    weights stand in between. An operation without a rule (``while``, ``cumprod``, linear
    algebra, integers or masks as inputs) is an error only if a weight comes after it.
    Integers may choose rows of a table. Other distributions of the input can be made
    inside ``apply_fn``, as ``3 + 2 * x``.

    In both, a convolution's sum counts what each window really holds, padding included;
    the paper takes the whole fan.

    Args:
        apply_fn: The forward pass, ``apply_fn(params, *inputs)``; pure.
        params: Pytree of arrays. Of weights only shape and dtype count. What
            :func:`jaxinit.trace_params` finds to be a bias becomes 0; all else (scales of
            normalisations, plain numbers) stays. A ``jax.ShapeDtypeStruct`` will do for
            weights and biases, and for a scale, which becomes its neutral value.
        *inputs: A batch of data, as the forward pass takes it; or the shapes of one, every
            leaf a ``jax.ShapeDtypeStruct``, random keys included.
        key: One key; a leaf's own is derived from its path, as by
            :func:`jaxinit.path_key`.
        std: Standard deviation that outputs are to have. 0 gives weights of 0.
        distribution: ``"normal"``, ``"uniform"`` or ``"truncated_normal"`` (cut at two
            standard deviations of the uncut distribution), each of the variance above.
        strict: Whether a leaf of two axes or more that is no bias and meets no matrix
            product or convolution is an error (embeddings, leaves inside a while loop) or
            stays.

    Returns:
        A pytree like ``params``. Pure: works under ``jit``, and under ``vmap`` over keys.
        Without data only weights, biases and the key may be traced.
        A weight used twice, in parts, or step by step in a ``lax.scan`` of at most 64
        steps has the scale of its first product; what used it before that
        saw variance 1. A layer whose input is all 0, or not finite, gets
        :math:`std^2 / n_{in}`.

    Raises:
        ValueError: Leaves were not found in the forward pass and ``strict`` holds, two
            leaves have the same path, ``std`` is negative, ``distribution`` is unknown, a
            leaf that is not drawn is a shape, or, without data, the moments at the input
            of a weight do not follow.
        TypeError: A weight is no float or complex array, ``key`` is no key, only some of
            the inputs are shapes, or, without data, values that are needed are traced.

    References:
        G. Bingham, R. Miikkulainen, "AutoInit: analytic signal-preserving weight
        initialization for neural networks", AAAI 2023, https://arxiv.org/abs/2109.08958.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from jaxinit.signal import autoinit
        >>> x = 3 + jax.random.normal(jax.random.key(0), (64, 400))
        >>> def forward(params, x):
        ...     return x @ params["w"] + params["b"]
        >>> params = {"w": jnp.zeros((400, 500)), "b": jnp.ones(500)}
        >>> new = autoinit(forward, params, x, key=jax.random.key(1))
        >>> expected = 1 / (400 * (x**2).mean())
        >>> bool(abs(new["w"].var() / expected - 1) < 0.02), float(new["b"].max())
        (True, 0.0)

        Without data, where ``E relu(z)^2 = 1/2``:

        >>> def forward(params, x):
        ...     return jax.nn.relu(x) @ params["w"] + params["b"]
        >>> shape = jax.ShapeDtypeStruct((1, 400), jnp.float32)
        >>> new = autoinit(forward, params, shape, key=jax.random.key(1))
        >>> round(400 * float(new["w"].var()), 1)
        2.0
    """
    std = check_number("std", std, least=0.0)
    check_choice("distribution", distribution, DISTRIBUTIONS)
    given = jax.tree.leaves(inputs)
    without_data = _are_shapes(given)
    forward = read_forward(apply_fn, params, inputs)
    uses, paths, program = roles_of(forward), forward.paths, forward.program
    keys = leaf_keys(key, paths)
    flat, tree = jax.tree.flatten(params)
    own = [flat[i] for i in forward.arrays]
    data = [given[i] for i in forward.moving]
    biases = {i for i, use in enumerate(uses) if use.role == "bias"}
    # Which leaves are weights is known before anything is computed.
    found = jax.eval_shape(lambda f, x: find_scales(program, f, x, _unscaled), own, data)
    if strict:
        weights = {i for i, leaf in enumerate(own) if is_weight(leaf)}
        labels = labels_of(params, forward.arrays)
        check_all_met(labels, weights - biases, found)
    fresh = list(own)
    for i in biases:
        fresh[i] = jnp.zeros_like(own[i])
    for i in found:
        fresh[i] = _unit_draw(distribution, keys[i], own[i])
    _give_values(fresh, uses)
    if without_data:
        # Zeros made under jit are traced; these are known.
        known = [np.zeros(v.shape) if i in biases else v for i, v in enumerate(fresh)]
        _check_known_now(paths, known, found, std)
        scales = track_scales(program, paths, known, set(found), float(std))
        scales = {i: jnp.asarray(scale) for i, scale in scales.items()}
    else:
        scales = find_scales(program, fresh, data, _from_input(std))
    drawn = [jnp.asarray(v) if isinstance(v, np.ndarray) else v for v in fresh]
    for i, leaf in zip(forward.arrays, scaled_leaves(drawn, scales), strict=True):
        flat[i] = leaf
    return jax.tree.unflatten(tree, flat)


def _is_shape(leaf: Any) -> bool:
    return isinstance(leaf, jax.ShapeDtypeStruct)


def _are_shapes(given: Sequence[Any]) -> bool:
    """Whether the inputs are shapes; some of them is an error."""
    shapes = [_is_shape(leaf) for leaf in given]
    if any(shapes) and not all(shapes):
        rule = "inputs must be all arrays or all jax.ShapeDtypeStruct"
        got = f"{sum(shapes)} of {len(shapes)} leaves as jax.ShapeDtypeStruct"
        advice = "Let apply_fn hold what is fixed, such as masks and flags."
        type_error(rule, got, advice)
    return bool(shapes) and all(shapes)


def _give_values(leaves: list[Any], uses: Sequence[ParamUse]) -> None:
    """Fill in the scales of normalisations that came as shapes; refuse other shapes."""
    missing = []
    for i, (use, leaf) in enumerate(zip(uses, leaves, strict=True)):
        if _is_shape(leaf) and use.neutral is not None:
            leaves[i] = np.full(leaf.shape, use.neutral, leaf.dtype)
        elif _is_shape(leaf):
            missing.append(use.path)
    if missing:
        rule = "leaves that are not drawn must have values"
        got = f"only shapes of {listed(missing)}"
        value_error(rule, got, "Give arrays for these.")


def _check_known_now(
    paths: Sequence[str], leaves: Sequence[Any], drawn: Collection[int], std: Any
) -> None:
    names = [
        path for i, path in enumerate(paths) if is_traced(leaves[i]) and i not in drawn
    ]
    if is_traced(std):
        names.append("std")
    if names:
        rule = "without data, std and leaves that are not drawn must be known now"
        got = f"traced values of {listed(names)}"
        advice = "Let the traced function hold them instead of taking them."
        type_error(rule, got, advice)


def _unscaled(eqn: Any, values: list[Any], _place: int) -> tuple[Any, jax.Array]:
    return bind(eqn, values)[0], jnp.ones(())


def _unit_draw(distribution: Distribution, key: Key, leaf: Any) -> jax.Array:
    dtype = check_dtype(leaf.dtype, allow_complex=True)
    draw = Draw(distribution, leaf.shape, dtype)
    # The real uniform sample is that of [-1, 1), the others have variance 1.
    real_uniform = distribution == "uniform" and not draw.is_complex
    return execute(draw, key, 0.0, UNIFORM_LIMIT if real_uniform else 1.0)


def _from_input(std: Any) -> Rule:
    """Return the rule that scales a weight of unit variance by what it meets."""

    def rule(eqn: Any, values: list[Any], place: int) -> tuple[Any, jax.Array]:
        root = _root_of_sum(eqn, values[1 - place], values[place], place)
        # An input that is 0, or not finite, has no scale to tell.
        known = (root > 0) & jnp.isfinite(root)
        fan = fan_in(eqn, values[place].shape, place)
        scale = std / jnp.where(known, root, math.sqrt(fan))
        drawn = [*values]
        drawn[place] = times(values[place], scale)
        return bind(eqn, drawn)[0], scale

    return rule


def _root_of_sum(eqn: Any, x: Any, weight: Any, place: int) -> jax.Array:
    """Return the root of the mean over outputs of the squared inputs that each one sums."""
    real = wide(jnp.finfo(weight.dtype).dtype)
    size = jnp.abs(x).astype(real)
    peak = jnp.max(size, initial=0)
    peak = jnp.where(peak > 0, peak, 1)  # squares then neither overflow nor vanish
    return peak * jnp.sqrt(_mean_sum(eqn, jnp.square(size / peak), weight, place))


def _mean_sum(eqn: Any, squares: jax.Array, weight: Any, place: int) -> jax.Array:
    """Return the mean over outputs of what each one sums where every weight is 1."""
    if eqn.primitive.name != "conv_general_dilated":
        return fan_in(eqn, weight.shape, place) * jnp.mean(squares)
    # The same convolution with ones sums exactly what each window holds.
    highest = (lax.Precision.HIGHEST, lax.Precision.HIGHEST)
    params = eqn.params | {"preferred_element_type": squares.dtype, "precision": highest}
    ones = jnp.ones_like(weight, squares.dtype)
    pair = [squares, ones] if place == 1 else [ones, squares]
    return jnp.mean(bind(eqn.replace(params=params), pair)[0])
