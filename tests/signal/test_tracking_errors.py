"""What does not follow without data is refused."""

import math

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jaxinit.signal import autoinit
from tests.signal.shapes import KEY, reject, shape, zeros


def test_error_texts():
    tree = {"w": zeros(4, 4), "s": jnp.ones(4, jnp.float32)}

    def apply(p, x, y):
        return (x * p["s"][None] + y) @ p["w"]

    reject(
        TypeError,
        "autoinit: inputs must be all arrays or all jax.ShapeDtypeStruct; got 1 of 2 leaves "
        "as jax.ShapeDtypeStruct. Let apply_fn hold what is fixed, such as masks and flags.",
        apply,
        tree,
        shape(2, 4),
        zeros(2, 4),
        key=KEY,
    )
    text = (
        "autoinit: without data, std and leaves that are not drawn must be known now; got "
        "traced values of {}. Let the traced function hold them instead of taking them."
    )
    text = text.format("s, std")

    def draw(p, key, std):
        return autoinit(apply, p, shape(2, 4), shape(2, 4), key=key, std=std)

    with pytest.raises(TypeError) as caught:
        jax.jit(draw)(tree, KEY, 1.0)
    assert str(caught.value).splitlines()[0] == text  # JAX adds lines of its own
    text = (
        "autoinit: without data, constants of the forward pass must be known now; got a "
        "traced one of shape (4, 4). Call autoinit outside of the transformation that "
        "traces it."
    )

    def hold(c, key):
        return autoinit(lambda w, x: (x * c) @ w, zeros(4, 4), shape(4, 4), key=key)

    with pytest.raises(TypeError) as caught:
        jax.jit(hold)(jnp.ones((4, 4), jnp.float32), KEY)
    assert str(caught.value).splitlines()[0] == text


BEHIND = (
    "autoinit: without data, every weight's input needs a mean and variance that follow; "
    "got w behind {}. Give a batch of data instead of jax.ShapeDtypeStruct."
)
UNKNOWN = {
    "the operation cumprod": (lambda x: lax.cumprod(x, 1), shape(3, 4)),
    "a complex array": (lambda x: jnp.abs(jnp.fft.fft(x)), shape(3, 4)),
    "the operation while": (
        lambda x: lax.while_loop(lambda c: c.sum() < 9, lambda c: c + 1, x),
        shape(3, 4),
    ),
    "the operation cond": (
        lambda x: lax.cond(x.sum() > 0, jnp.sin, jnp.cos, x),
        shape(3, 4),
    ),
    "the operation log, which gives NaN": (jnp.log, shape(3, 4)),
    "the operation reduce_sum, which a few large terms dominate": (
        lambda x: jax.nn.softmax(4 * x),
        shape(3, 2000),
    ),
    "a scan of 600 steps": (
        lambda x: lax.scan(lambda c, _: (jnp.sin(c), None), x, None, 600)[0],
        shape(3, 4),
    ),
    "an input of dtype int32": (
        lambda x: x.astype(jnp.float32),
        shape(3, 4, dtype=jnp.int32),
    ),
    "an input of dtype bool": (lambda x: jnp.where(x, 1.0, 0.0), shape(3, 4, dtype=bool)),
}


@pytest.mark.parametrize("why", UNKNOWN)
def test_what_is_unknown_is_refused_with_the_weight_behind_it(why):
    function, given = UNKNOWN[why]
    width = jax.eval_shape(function, given).shape[-1]

    def apply(p, x):
        return function(x) @ p["w"]

    reject(ValueError, BEHIND.format(why), apply, {"w": zeros(width, 3)}, given, key=KEY)


def test_what_is_unknown_behind_the_last_weight_does_no_harm():
    def apply(w, x):
        return lax.top_k(x @ w, 2), jnp.argmax(x @ w)

    assert jnp.isfinite(autoinit(apply, zeros(4, 4), shape(2, 4), key=KEY)).all()


def test_a_dead_input_and_a_weight_used_twice():
    def apply(p, x):
        y = jnp.tanh(x @ p["twice"])
        return y @ p["twice"], (0 * x) @ p["dead"]

    tree = {"twice": zeros(200, 200), "dead": zeros(200, 200)}
    new = autoinit(apply, tree, shape(4, 200), key=KEY)
    for w in new.values():
        assert abs(float(w.var()) * 200 - 1) < 5 * math.sqrt(2 / 40000)
