"""Arrays that depend on each other, sorted and looked-up entries: gains against draws.

Each row's gain is compared with the mean square of what enters the weight, over drawn
weights and inputs. A note says so where the reading takes a shortcut.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from jaxinit import auto, trace_params

N, ROWS, DRAWS = 128, 64, 12
HALF = N // 2


def spec(*shape):
    return jax.ShapeDtypeStruct(shape, "float32")


def halves(h):
    return h[:, :HALF], h[:, HALF:]


def maxout(h):
    a, b = halves(h)
    return jnp.maximum(a, b) - jnp.minimum(a, b)


def pair(h):
    a, b = halves(h)
    return a / jnp.sqrt(a**2 + b**2 + 1e-6)


def product_over_squares(h):
    a, b = halves(h)
    return a * b / (a**2 + b**2 + 1e-6)


def half_of_itself(h):
    a, b = halves(h)
    return a * b - a * b / 2


def gated_sum(h):
    a, b = halves(h)
    return a * jax.nn.sigmoid(a + b)


def twice_one_term(h):
    a, b = halves(h)
    return (a + b) + a


def sum_and_difference(h):
    a, b = halves(h)
    return (jnp.tanh(a) + jnp.tanh(b)) * (jnp.tanh(a) - jnp.tanh(b))


def highway(h):
    a, b = halves(h)
    gate = jax.nn.sigmoid(a)
    return jnp.tanh(b) * gate + a * (1 - gate)


def outer(h):
    return (h[:, :8, None] * h[:, None, 8:16]).reshape(len(h), -1)


def median_of_many(h):
    return h - jnp.median(h, axis=1, keepdims=True) + 0.5


def winners(h):
    return h * (h >= jnp.sort(h, axis=1)[:, -16][:, None])


def best_of_few(h):
    best, _ = lax.top_k(h.reshape(len(h), -1, 8), 2)
    return jax.nn.relu(best).sum(axis=-1)


def beside_their_median(h):
    few = h.reshape(len(h), -1, 4)
    return (few - jnp.median(few, axis=-1, keepdims=True)).reshape(h.shape)


def table(h):
    rows = jnp.linspace(-1.0, 1.0, 17)
    return rows[jnp.clip((h * 4).astype(jnp.int32) + 8, 0, 16)]


def rows_of_a_table(h):
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(9, 8)), jnp.float32)
    found = rows[jnp.clip((h[:, :16] * 2).astype(jnp.int32) + 4, 0, 8)]
    return found.reshape(len(h), -1)


FOLLOWED = {
    "hypot": lambda h: jnp.hypot(*halves(h)),
    "logaddexp": lambda h: jnp.logaddexp(h, jnp.roll(h, 1, axis=1)),
    "maxout": maxout,
    "pair": pair,
    "product over squares": product_over_squares,
    "half of itself": half_of_itself,
    "gated sum": gated_sum,
    "twice one term": twice_one_term,
    "sum and difference": sum_and_difference,
    "highway": highway,
    "outer product": outer,
    "snake": lambda h: h + jnp.sin(3 * h) ** 2 / 3,
    "top k": lambda h: lax.top_k(h, 32)[0],
    "last of top k": lambda h: jnp.where(h >= lax.top_k(h, 16)[0][:, -1:], h, 0.0),
    "top of a sort": lambda h: jnp.sort(h, axis=1)[:, -32:],
    "least": lambda h: h - jnp.sort(h, axis=1)[:, :1],
    "reversed sort": lambda h: jnp.flip(jnp.sort(h, axis=1), axis=1)[:, :32],
    "quantile": lambda h: h / (0.1 + jnp.quantile(jnp.abs(h), 0.75, axis=1, keepdims=True)),
    "median": median_of_many,
    "winners": winners,
    "table": table,
    "rows of a table": rows_of_a_table,
    "digitize": lambda h: jnp.digitize(h, jnp.linspace(-2, 2, 5)).astype(jnp.float32),
    "interp": lambda h: jnp.interp(h, jnp.linspace(-3, 3, 11), jnp.sin(jnp.linspace(-3, 3, 11))),
    "part of a join": lambda h: jnp.concatenate([jax.nn.relu(h), 3 * h], axis=1)[:, :N],
    "row of a stack": lambda h: jnp.stack([jax.nn.relu(h), 3 * h])[0],
}  # fmt: skip


def uses_of(function):
    width = jax.eval_shape(function, spec(ROWS, N)).shape[-1]
    params = {"w": spec(N, N), "v": spec(width, 4)}
    return trace_params(lambda p, x: function(x @ p["w"]) @ p["v"], params, spec(ROWS, N))


@pytest.mark.parametrize("name", FOLLOWED)
def test_gain_is_that_of_draws(name):
    function = FOLLOWED[name]
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        use = uses_of(function)["v"]
        rng, squares = np.random.default_rng(7), []
        run = jax.jit(lambda h: jnp.mean(function(h) ** 2))
        for _ in range(DRAWS):
            w, x = rng.normal(size=(N, N)) / np.sqrt(N), rng.normal(size=(ROWS, N))
            squares.append(float(run(jnp.asarray(x @ w, jnp.float32))))
    assert use.notes == ()
    # Four standard errors of the draws (6e-5 of a false alarm) and 1 % of the tables.
    error = 4 * np.std(squares, ddof=1) / np.sqrt(DRAWS) + 0.01 * np.mean(squares)
    assert use.gain
    assert use.gain**-2 == pytest.approx(np.mean(squares), abs=error)


def three(h):
    a, b, c = jnp.split(h[:, : 3 * (N // 3)], 3, axis=1)
    return (a * b + c) * (a * b - c)


def chosen(h):
    groups = h.reshape(len(h), -1, 4)
    return jnp.take_along_axis(groups, jnp.argmax(groups, -1, keepdims=True), -1)[..., 0]


NOTED = {
    "arrays that depend on each other count as independent": three,
    "chosen ones of few sorted entries count as independent": best_of_few,
    "what data choose counts as any entry": chosen,
    "entries that are written over count as any entries": lambda h: (
        jnp.zeros((len(h), 2 * N)).at[:, ::2].set(h).at[:, 1::2].set(jax.nn.relu(h))
    ),
    "parts of what was joined count as its average": lambda h: jnp.tanh(
        jnp.concatenate([h, 3 * h], axis=1)
    )[:, :N],
}


@pytest.mark.parametrize("note", NOTED)
def test_what_is_left_out_is_said(note):
    with jax.numpy_dtype_promotion("standard"):
        assert uses_of(NOTED[note])["v"].notes == (note,)


def test_a_median_of_few_depends_on_its_entries():
    with jax.numpy_dtype_promotion("standard"):
        (note,) = uses_of(beside_their_median)["v"].notes
    assert note == "arrays that depend on each other count as independent"


def test_a_frequency_counts_only_where_all_of_the_output_enters_a_sine():
    """A SIREN's weight makes up for its 30; that before a snake makes up for nothing."""
    siren = uses_of(lambda h: jnp.sin(30 * h))["w"]
    snake = uses_of(lambda h: h + jnp.sin(30 * h) ** 2 / 30)["w"]
    assert (siren.output_factor, snake.output_factor) == (30, 1)


def test_a_router_keeps_the_size_of_its_experts():
    """The gates of the two best of eight experts, and the sum that they weigh."""

    def apply(p, x):
        gates, _ = lax.top_k(jax.nn.softmax(x @ p["router"], axis=-1), 2)
        both = jnp.stack([x @ p["first"], x @ p["second"]], axis=-1)
        return jnp.sum(both * gates[..., None, :], axis=-1) @ p["out"]

    params = {
        "router": spec(N, 8),
        "first": spec(N, N),
        "second": spec(N, N),
        "out": spec(N, N),
    }
    made = {row.path: row.std for row in auto(apply, params, spec(ROWS, N))}
    rng, squares = np.random.default_rng(3), []
    for _ in range(DRAWS):
        draws = {k: rng.normal(size=s.shape) * made[k] for k, s in params.items()}
        x = jnp.asarray(rng.normal(size=(ROWS, N)), jnp.float32)
        y = apply({k: jnp.asarray(w, jnp.float32) for k, w in draws.items()}, x)
        squares.append(float(jnp.mean(y**2)))
    # And 5 %: the gates sum to 1 over the eight experts, and count as independent.
    error = 4 * np.std(squares, ddof=1) / np.sqrt(DRAWS) + 0.05
    assert np.mean(squares) == pytest.approx(1, abs=error)
