"""Assertion on a whole tree: every leaf that fails, with its path."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax

from jaxinit import _checks
from jaxinit._boundary import boundary
from jaxinit._paths import path_text
from jaxinit.asserts._arrays import check_array, form, of_distribution
from jaxinit.asserts._distributions import Distribution, check_alpha
from jaxinit.asserts._matrices import Orthogonal, gram
from jaxinit.asserts._report import Finding, settle

Expectation = Distribution | Orthogonal | jax.ShapeDtypeStruct | None
"""What a leaf must be; None leaves it unchecked."""


@boundary
def assert_tree(
    tree: Any,
    expected: Any | Callable[[str, Any], Expectation],
    *,
    alpha: float = 1e-9,
) -> None:
    """Assert the leaves of a tree: distributions, orthogonality, shapes and dtypes.

    Args:
        tree: Any pytree of arrays.
        expected: A pytree of the same structure, or a prefix of it, whose leaves are
            each a :class:`Distribution`, an :class:`Orthogonal`, a
            ``jax.ShapeDtypeStruct`` or None; or a function of the path (as
            ``jaxinit.plan`` prints it, e.g. ``"dense/kernel"``) and the
            leaf that returns one of these.
        alpha: Probability, at most, that a tree which is right is rejected: each leaf
            with a distribution gets its equal share.

    Raises:
        AssertionError: If a leaf fails; the text lists all that do.
        TypeError: If an argument, or a leaf, is of the wrong kind.
        ValueError: If the structures differ, or an argument is out of its range.

    Example:
        >>> import jax
        >>> import jax.numpy as jnp
        >>> from jaxinit import asserts
        >>> kernel = jax.random.normal(jax.random.key(0), (64, 64)) / 8
        >>> params = {"kernel": kernel, "bias": jnp.zeros(64)}
        >>> zeros = asserts.Distribution(std=0.0)
        >>> expected = {"kernel": asserts.Distribution(std=1 / 8), "bias": zeros}
        >>> asserts.assert_tree(params, expected)
    """
    alpha = check_alpha(alpha)
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    paths = [path_text(path) for path, _ in leaves]
    values = [leaf for _, leaf in leaves]
    if callable(expected):
        wanted = [expected(path, leaf) for path, leaf in zip(paths, values, strict=True)]
    else:
        full = jax.tree.broadcast(expected, tree, is_leaf=_is_expectation)
        wanted = jax.tree.leaves(full, is_leaf=_is_expectation)
    distributions = sum(isinstance(want, Distribution) for want in wanted)
    findings: list[Finding] = []
    for path, leaf, want in zip(paths, values, wanted, strict=True):
        with _checks.at(path):
            found = _leaf(leaf, want, alpha / max(distributions, 1))
        findings += [replace(finding, path=path) for finding in found]
    summary = f"{{failed}} of {len(leaves)} leaves fail (alpha={alpha:g} for all):"
    settle("assert_tree", findings, summary)


def _leaf(leaf: Any, want: Any, alpha: float) -> list[Finding]:
    if want is None:
        return []
    check_array(leaf)
    if isinstance(want, Distribution):
        return of_distribution(leaf, want, alpha)
    if isinstance(want, Orthogonal):
        return gram(leaf, want)
    if isinstance(want, jax.ShapeDtypeStruct):
        return form(leaf, want.shape, want.dtype, None)
    rule = "expected must be a Distribution, an Orthogonal, a jax.ShapeDtypeStruct or None"
    advice = "Give one of these for each leaf."
    _checks.type_error(rule, f"{want!r}", advice)


def _is_expectation(node: Any) -> bool:
    return node is None or isinstance(
        node, (Distribution, Orthogonal, jax.ShapeDtypeStruct)
    )
