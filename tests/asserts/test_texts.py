"""What is said of failures and of bad arguments."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit import asserts
from jaxinit.asserts import Distribution
from tests.asserts.oracles import rejected


def test_texts_of_failures() -> None:
    x = np.full((100,), 2.0, np.float32)
    assert rejected(asserts.assert_mean, x, std=1.0) == (
        "assert_mean: the mean must be in [-0.654469, 0.654469] (expected 0, normal distribution in"
        " float32, n=100, alpha=1e-09); got mean=2."
    )
    assert rejected(asserts.assert_variance, x, 0.01, distribution="uniform") == (
        "assert_variance: the variance must be in [0.00470954, 0.016118] (expected 0.01,"
        " uniform distribution in float32, n=100, alpha=1e-09); got variance=4."
    )
    distribution = Distribution(1.0, distribution="other", kurtosis=2)
    assert rejected(asserts.assert_distribution, 3 * x, distribution).splitlines()[1] == (
        "assert_distribution: the variance must be in [0.360868, 1.81985] (expected 1, other distribution of"
        " kurtosis 2 in float32, n=100, alpha=5e-10); got variance=36."
    )
    assert rejected(asserts.assert_mean, x.astype(np.complex64), std=1.0) == (
        "assert_mean: the mean must be within 0.499398 of 0 (expected 0, normal distribution in"
        " complex64, n=100, alpha=1e-09); got distance=2."
    )
    assert rejected(asserts.assert_array, x, (3, None), jnp.bfloat16, rank=2) == (
        "assert_array: the rank must be 2; got rank=1.\n"
        "assert_array: the shape must be (3, None); got shape=(100,).\n"
        "assert_array: the dtype must be bfloat16; got dtype=float32."
    )


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (
            lambda: Distribution(-1.0),
            ValueError,
            "Distribution: std must be a finite number, at least 0; got std=-1."
            " Give a value in that range.",
        ),
        (
            lambda: Distribution(1.0, distribution="norml"),
            ValueError,
            "Distribution: distribution must be one of normal, uniform, truncated_normal, other;"
            " got distribution='norml'. Did you mean 'normal'?",
        ),
        (
            lambda: Distribution(1.0, kurtosis=3.0),
            ValueError,
            'Distribution: kurtosis goes with distribution="other", and only with it;'
            " got distribution='normal', kurtosis=3.0. Give both, or neither.",
        ),
        (
            lambda: asserts.assert_mean(np.zeros(3), std=1.0, alpha=1.5),
            ValueError,
            "assert_mean: alpha is a probability between 0 and 1; got alpha=1.5."
            " 1e-9 is the default.",
        ),
        (
            lambda: asserts.assert_mean([1.0], std=1.0),  # pyright: ignore[reportArgumentType]
            TypeError,
            "assert_mean: x must be a jax.Array or a numpy.ndarray; got x of type list."
            " Pass an array.",
        ),
        (
            lambda: asserts.assert_variance(np.zeros((0, 3)), 1.0),
            ValueError,
            "assert_variance: x must have at least one element; got x of shape (0, 3)."
            " Without a draw there is nothing to test.",
        ),
        (
            lambda: asserts.assert_orthogonal(np.zeros(3)),
            ValueError,
            "assert_orthogonal: shape needs at least 2 axes; got shape=(3,). Matrices are"
            " in the last two axes; reshape a kernel as its layer uses it.",
        ),
        (
            lambda: asserts.assert_orthogonal(np.eye(3), 0.0),
            ValueError,
            "assert_orthogonal: gain must be a number above 0 that is known; got gain=0.0."
            " Give the length that each vector is to have.",
        ),
        (
            lambda: asserts.assert_tree({"a": np.zeros(3)}, {"a": 0.5}),
            TypeError,
            "assert_tree: a: expected must be a Distribution, an Orthogonal, a"
            " jax.ShapeDtypeStruct or None; got 0.5. Give one of these for each leaf.",
        ),
        (
            lambda: jax.jit(lambda s: Distribution(s).std)(1.0),
            TypeError,
            "Distribution: std must be known before the program runs; got a traced std."
            " A bound is computed from it; give a Python float.",
        ),
    ],
)
def test_texts_of_bad_arguments(call, error: type[Exception], text: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == text


def test_integers_are_refused() -> None:
    with pytest.raises(
        TypeError, match=r"^assert_distribution: x must have one of the dtypes float64"
    ):
        asserts.assert_distribution(np.arange(3), Distribution(1.0))
