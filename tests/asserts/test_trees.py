"""Whole trees."""

import jax
import numpy as np
import pytest

from jaxinit import asserts
from jaxinit.asserts import Distribution
from tests.asserts.oracles import EXPECTED, rejected, tree


def test_a_tree_that_is_right() -> None:
    asserts.assert_tree(tree(), EXPECTED)
    asserts.assert_tree(tree(), {"dense": None, "head": None})
    asserts.assert_tree(tree(), jax.eval_shape(tree))
    asserts.assert_tree(
        tree(), lambda path, _: Distribution(1 / 8) if "kernel" in path else None
    )
    asserts.assert_tree(np.zeros(3), Distribution(0.0))


def test_a_tree_lists_every_leaf_that_fails() -> None:
    wrong = tree()
    wrong["dense"]["bias"][3] = 0.5
    wrong["head"][0] *= 2
    assert rejected(asserts.assert_tree, wrong, EXPECTED) == (
        "assert_tree: 2 of 4 leaves fail (alpha=1e-09 for all):\n"
        "  dense/bias: every value must be 0 in float32;"
        " got largest_difference=0.5.\n"
        "  head/0: columns must be orthogonal and of length 1: no entry of the Gram"
        " matrix over gain**2 more than 1.35e-06 from the identity (8 x 4, float32);"
        " got difference=3."
    )
    wrong = tree()
    wrong["dense"]["kernel"] = wrong["dense"]["kernel"].T.astype(np.float64)[1:]
    wrong["head"] = [wrong["head"][0].T, wrong["head"][1]]
    assert rejected(asserts.assert_tree, wrong, jax.eval_shape(tree)) == (
        "assert_tree: 2 of 4 leaves fail (alpha=1e-09 for all):\n"
        "  dense/kernel: the shape must be (64, 64); got shape=(63, 64).\n"
        "  dense/kernel: the dtype must be float32; got dtype=float64.\n"
        "  head/0: the shape must be (8, 4); got shape=(4, 8)."
    )


def test_a_tree_shares_alpha_among_its_distributions() -> None:
    x = np.full((1,), 4.0)  # 4 standard deviations, P = 6e-5
    distribution = Distribution(1.0)
    rejected(asserts.assert_tree, [x], distribution, alpha=0.01)
    asserts.assert_tree([x] * 1000, distribution, alpha=0.01)


def test_a_tree_of_another_structure() -> None:
    with pytest.raises(ValueError, match=r"structure|key"):
        asserts.assert_tree(tree(), {"dense": EXPECTED["dense"]})
