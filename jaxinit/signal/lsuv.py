"""Data-driven scales: make every layer's output on a real batch have unit variance.

The forward pass is read as a jaxpr and run once, operation by operation. Where a weight
meets its input, in a matrix product or a convolution, the output is linear in the weight:
so the scale that the output lacks is known at once, goes into the weight, and the pass
goes on with the right output. No layer is run twice.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.extend.core as jex
import jax.numpy as jnp

from jaxinit._checks import check_number, listed, value_error
from jaxinit._types import Scalar

_LINEAR = ("dot_general", "conv_general_dilated")
# What a weight may pass through on its way to the product and stay that weight.
_SHAPERS = (
    "broadcast_in_dim",
    "convert_element_type",
    "copy",
    "expand_dims",
    "reshape",
    "rev",
    "squeeze",
    "transpose",
)
_INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")


class _Run:
    """One pass: which leaf each value is, and the scales found so far."""

    def __init__(self, std: Any) -> None:
        self.std = std
        self.scales: dict[int, jax.Array] = {}

    def evaluate(
        self, jaxpr: Any, constants: list[Any], values: list[Any], leaves: list[int | None]
    ) -> tuple[list[Any], list[int | None]]:
        """Run a jaxpr; return its results, and for each the leaf that it is, or None."""
        at: dict[Any, tuple[Any, int | None]] = {}
        at.update({v: (c, None) for v, c in zip(jaxpr.constvars, constants, strict=True)})
        triples = zip(jaxpr.invars, values, leaves, strict=True)
        at.update({variable: (value, leaf) for variable, value, leaf in triples})

        def read(atom: Any) -> tuple[Any, int | None]:
            return (atom.val, None) if isinstance(atom, jex.Literal) else at[atom]

        for eqn in jaxpr.eqns:
            found = self._equation(eqn, [read(atom) for atom in eqn.invars])
            for variable, pair in zip(eqn.outvars, found, strict=True):
                at[variable] = pair
        ends = [read(atom) for atom in jaxpr.outvars]
        return [self._scaled(*end) for end in ends], [leaf for _, leaf in ends]

    def _scaled(self, value: Any, leaf: int | None) -> Any:
        """Return a value as it is now: a weight whose scale is known, with that scale."""
        if leaf is None or leaf not in self.scales:
            return value
        return _times(value, self.scales[leaf])

    def _equation(
        self, eqn: Any, pairs: list[tuple[Any, int | None]]
    ) -> list[tuple[Any, int | None]]:
        name = eqn.primitive.name
        inner = next((eqn.params[key] for key in _INNER if key in eqn.params), None)
        if inner is not None and name not in ("scan", "while"):
            closed = getattr(inner, "jaxpr", inner)
            constants = list(getattr(inner, "consts", ()))
            values, leaves = [v for v, _ in pairs], [leaf for _, leaf in pairs]
            results, marks = self.evaluate(closed, constants, values, leaves)
            # A leaf that comes out carries its scale already.
            return [
                (r, None if m in self.scales else m)
                for r, m in zip(results, marks, strict=True)
            ]
        if name in _SHAPERS and pairs[0][1] is not None:
            return [(_bind(eqn, [v for v, _ in pairs])[0], pairs[0][1])]
        results = _bind(eqn, [self._scaled(*pair) for pair in pairs])
        weights = [leaf for _, leaf in pairs if leaf is not None]
        if name in _LINEAR and len(weights) == 1 and weights[0] not in self.scales:
            out = results[0]
            spread = jnp.std(out.astype(_wide(out.dtype)))
            # A dead layer has no scale to find, and stays.
            scale = jnp.where(spread > 0, self.std / jnp.where(spread > 0, spread, 1), 1)
            self.scales[weights[0]] = scale
            results = [_times(out, scale)]
        return [(result, None) for result in results]


def _wide(dtype: Any) -> Any:
    return dtype if dtype.itemsize >= 4 else jnp.dtype(jnp.float32)


def _times(value: jax.Array, scale: jax.Array) -> jax.Array:
    """Return the product, computed wide and rounded once."""
    wide = _wide(value.dtype)
    return (value.astype(wide) * scale.astype(wide)).astype(value.dtype)


def _bind(eqn: Any, values: list[Any]) -> list[Any]:
    found = eqn.primitive.get_bind_params(eqn.params)
    # A pair until JAX 0.9, then the options alone.
    functions, options = found if isinstance(found, tuple) else ((), found)
    with eqn.ctx.manager:
        results = eqn.primitive.bind(*functions, *values, **options)
    return list(results) if eqn.primitive.multiple_results else [results]


def lsuv(
    apply_fn: Callable[..., Any],
    params: Any,
    *inputs: Any,
    std: Scalar = 1.0,
    strict: bool = True,
) -> Any:
    """Return the parameters, each weight scaled to an output of that standard deviation.

    Layer-sequential unit variance, in one pass instead of several: the output of a
    product is linear in its weight. Directions are left as they are, so draw the weights
    with :func:`jaxinit.orthogonal` first, as the paper does. Biases keep their values and
    are not counted, being added later.

    Args:
        apply_fn: The forward pass, ``apply_fn(params, *inputs)``; pure.
        params: Pytree of arrays. Leaves of one axis or none (biases, scales) stay.
        *inputs: A batch of data, as the forward pass takes it.
        std: Standard deviation that every output is to have, over the batch and all units.
        strict: Whether a leaf of two axes or more that meets no matrix product or
            convolution is an error (embeddings, leaves inside ``lax.scan``) or stays.

    Returns:
        A pytree like ``params``. Pure: works under ``jit``, and under ``vmap`` over seeds.

    Raises:
        ValueError: Leaves were not found in the forward pass, and ``strict`` holds.

    References:
        D. Mishkin, J. Matas, "All you need is a good init", ICLR 2016,
        https://arxiv.org/abs/1511.06422.

    Example:
        >>> import jax, jaxinit
        >>> from jaxinit.signal import lsuv
        >>> x = jax.random.normal(jax.random.key(0), (64, 8))
        >>> params = {"w": jaxinit.orthogonal(jax.random.key(1), (8, 8)), "b": 0.0}
        >>> def forward(params, x):
        ...     return x @ params["w"] + params["b"]
        >>> scaled = lsuv(forward, params, 3 * x, std=2.0)
        >>> round(float(forward(scaled, 3 * x).std()), 3)
        2.0
    """
    std = check_number("lsuv", "std", std, least=0.0)
    flat, tree = jax.tree.flatten(params)
    closed = jax.make_jaxpr(apply_fn)(params, *inputs)
    arguments = jax.tree.leaves((params, *inputs))
    is_weight = [jnp.ndim(leaf) >= 2 for leaf in flat]
    marks = [i if weight else None for i, weight in enumerate(is_weight)]
    run = _Run(std)
    rest: list[int | None] = [None] * (len(arguments) - len(flat))
    run.evaluate(
        closed.jaxpr, closed.consts, list(map(jnp.asarray, arguments)), marks + rest
    )
    paths = [
        jax.tree_util.keystr(path)
        for path, _ in jax.tree_util.tree_leaves_with_path(params)
    ]
    missed = [
        paths[i] for i, weight in enumerate(is_weight) if weight and i not in run.scales
    ]
    if missed and strict:
        rule = "every weight must meet its input in a matrix product or a convolution"
        advice = "Leave such leaves as they are with strict=False."
        value_error("lsuv", rule, f"leaves that do not: {listed(missed)}", advice)
    scaled = [
        _times(leaf, run.scales[i]) if i in run.scales else leaf
        for i, leaf in enumerate(flat)
    ]
    return jax.tree.unflatten(tree, scaled)
