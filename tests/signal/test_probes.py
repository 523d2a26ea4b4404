"""Weights inside scans: every step against a loop written by hand, and jax.vjp of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit.trace.probes.probes import ProbeWalk
from jaxinit.trace.probes.products import fan_in

rng = np.random.default_rng(0)
X = rng.standard_normal((2, 3)).astype(np.float32)
P = {
    name: rng.standard_normal(shape).astype(np.float32)
    for name, shape in {"v": (3, 3), "w": (4, 3, 3), "z": (2, 3, 3, 3)}.items()
}


def layer(x, w):
    h = jnp.tanh(x @ w)
    return h, h.sum()


def stacked(p, x):
    return jax.lax.scan(layer, x, p["w"])


def stacked_by_hand(p, x, note, order=range(4)):
    sums = [jnp.zeros((), x.dtype)] * 4
    for i in order:
        x = jnp.tanh(note(x @ p["w"][i]))
        sums[i] = x.sum()
    return x, jnp.stack(sums)


def backwards(p, x):
    return jax.lax.scan(layer, x, p["w"], reverse=True)


def backwards_by_hand(p, x, note):
    return stacked_by_hand(p, x, note, range(3, -1, -1))


def recurrent(p, x):
    def step(h, row):
        h = jnp.tanh(row @ p["v"] + h @ p["w"][1])
        return h, h

    return jax.lax.scan(step, jnp.ones(3, x.dtype), x)


def recurrent_by_hand(p, x, note):
    h, rows = jnp.ones(3, x.dtype), []
    for row in x:
        a = note(row @ p["v"])
        h = jnp.tanh(a + note(h @ p["w"][1]))
        rows.append(h)
    return h, jnp.stack(rows)


def carried(p, x):
    """The weight itself goes from step to step, and turns its axes on the way."""

    def step(carry, _):
        x, w, n = carry
        return (jnp.sin(x @ w), w.T, n + 1), n

    (x, _, n), steps = jax.lax.scan(step, (x, p["v"], 0), length=3)
    return x, n, steps


def carried_by_hand(p, x, note):
    w = p["v"]
    for _ in range(3):
        x, w = jnp.sin(note(x @ w)), w.T
    return x, 3, jnp.arange(3)


def counted(p, x):
    w = jnp.asarray(p["w"])
    return (jax.lax.fori_loop(0, 4, lambda i, x: jnp.tanh(x @ w[i]), x),)


def counted_by_hand(p, x, note):
    return (stacked_by_hand(p, x, note)[0],)


def nested(p, x):
    def outer(x, z):
        x, inner_sums = jax.lax.scan(layer, x, z, reverse=True)
        return x @ p["v"], inner_sums

    return jax.lax.scan(outer, x, p["z"])


def nested_by_hand(p, x, note):
    rows = []
    for z in p["z"]:
        sums = [jnp.zeros((), x.dtype)] * 3
        for i in (2, 1, 0):
            x = jnp.tanh(note(x @ z[i]))
            sums[i] = x.sum()
        x = note(x @ p["v"])
        rows.append(jnp.stack(sums))
    return x, jnp.stack(rows)


def halved_first(p, x):
    """A scan that returns the weights, each changed a little, and one that uses them."""
    _, halves = jax.lax.scan(lambda n, w: (n, w / 2), 0, p["w"])
    return jax.lax.scan(layer, x, halves)


def halved_first_by_hand(p, x, note):
    return stacked_by_hand({"w": p["w"] / 2}, x, note)


def key_by_key(p, x):
    """Keys are sliced and stacked as numbers are."""

    def step(x, at):
        key, w = at
        return x @ w + jax.random.normal(key, x.shape, x.dtype), jax.random.split(key)[1]

    x, keys = jax.lax.scan(step, x, (jax.random.split(jax.random.key(1), 4), p["w"]))
    return x, jax.random.key_data(keys)


def key_by_key_by_hand(p, x, note):
    keys = jax.random.split(jax.random.key(1), 4)
    for key, w in zip(keys, p["w"], strict=True):
        x = note(x @ w) + jax.random.normal(key, x.shape, x.dtype)
    return x, jax.random.key_data(jax.vmap(jax.random.split)(keys)[:, 1])


def remat(p, x):
    return jax.lax.scan(jax.checkpoint(layer), x, p["w"])


FOUR = [("w", (i,)) for i in range(4)]
CASES = {
    "stacked": (stacked, stacked_by_hand, FOUR),
    "backwards": (backwards, backwards_by_hand, FOUR[::-1]),
    "recurrent": (
        recurrent,
        recurrent_by_hand,
        [("v", (0,)), ("w", (0,)), ("v", (1,)), ("w", (1,))],
    ),
    "carried": (carried, carried_by_hand, [("v", (i,)) for i in range(3)]),
    "counted": (counted, counted_by_hand, FOUR),
    "nested": (
        nested,
        nested_by_hand,
        [u for i in (0, 1) for u in [*(("z", (i, j)) for j in (2, 1, 0)), ("v", (i,))]],
    ),
    "halved first": (halved_first, halved_first_by_hand, FOUR),
    "keys": (key_by_key, key_by_key_by_hand, FOUR),
    "remat": (remat, stacked_by_hand, FOUR),
}


def walked(function, probes=None):
    closed = jax.make_jaxpr(function)(P, X)
    walk = ProbeWalk(probes)
    values = [*map(jnp.asarray, P.values()), jnp.asarray(X)]
    found = walk.run(closed, list(zip(values, [0, 1, 2, None], strict=True)))
    return [out for out, _ in found], walk


def assert_same(function, by_hand, uses):
    _, walk = walked(function)
    names = list(P)
    assert [(names[leaf], steps) for leaf, steps in walk.uses] == uses
    assert not walk.lost

    def probed(probes):
        outs, walk = walked(function, probes)
        return outs, walk.outs

    def looped(probes):
        outs, left = [], list(probes)

        def note(out):
            outs.append(out)
            return out + left.pop(0)

        return [*map(jnp.asarray, by_hand(P, X, note))], outs

    zeros = [jnp.zeros_like(out) for out in walk.outs]
    ends, pull, outs = jax.vjp(probed, zeros, has_aux=True)
    hand_ends, hand_pull, hand_outs = jax.vjp(looped, zeros, has_aux=True)
    run = jax.tree.leaves(function(P, X))  # by JAX's own scan
    for one in (hand_ends, run):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), ends, [*one])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), outs, hand_outs)

    def cotangent(out):
        if not jnp.issubdtype(out.dtype, jnp.floating):
            return np.zeros(out.shape, jax.dtypes.float0)
        return jnp.cos(jnp.arange(out.size, dtype=out.dtype)).reshape(out.shape)

    gradients = [p([cotangent(out) for out in ends])[0] for p in (pull, hand_pull)]
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), *gradients)


@pytest.mark.parametrize("name", CASES)
def test_scans_are_what_a_loop_is(name):
    assert_same(*CASES[name])


@pytest.mark.parametrize(
    ("by_hand", "uses"), [(backwards_by_hand, FOUR), (stacked_by_hand, FOUR[::-1])]
)
def test_the_comparison_rejects_another_order(by_hand, uses):
    with pytest.raises(AssertionError):
        assert_same(stacked, by_hand, uses)


def lost_of(function):
    outs, walk = walked(function)
    for a, b in zip(outs, jax.tree.leaves(function(P, X)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert not walk.uses
    return {list(P)[leaf]: reason for leaf, reason in walk.lost.items()}


def test_what_is_not_entered():
    def long(p, x):
        return jax.lax.scan(lambda x, _: (jnp.tanh(x @ p["v"]), None), x, length=65)[0]

    def deep(p, x):
        def outer(x, _):
            return jax.lax.scan(lambda x, _: (jnp.tanh(x @ p["v"]), None), x, length=7)

        return jax.lax.scan(outer, x, length=10)[0]

    def empty(p, x):
        return jax.lax.scan(layer, x, p["w"][:0])

    def swapped(p, x):
        def step(pair, _):
            return pair[::-1], pair[0]

        _, both = jax.lax.scan(step, (p["v"], p["w"][0]), length=2)
        return jnp.einsum("bi,sij->sbj", x, both)

    over = "steps, over the limit of 64"
    assert lost_of(long) == {"v": f"a scan of 65 {over}"}
    assert lost_of(deep) == {"v": f"a scan of 10 x 7 {over}"}
    assert lost_of(empty) == {"w": "scan"}
    assert lost_of(swapped) == {"v": "scan", "w": "scan"}


def test_as_many_steps_as_the_limit():
    def long(p, x):
        return jax.lax.scan(lambda x, _: (jnp.tanh(x @ p["v"]), None), x, length=64)[0]

    _, walk = walked(long)
    assert [steps for _, steps in walk.uses] == [(i,) for i in range(64)]


def test_parts_of_a_stack():
    def looped(p, x):
        for w in p["w"]:  # a primitive of its own in newer JAX
            x = x @ w
        return x

    assert walked(looped)[1].uses == [(1, ())] * 4


def test_a_scan_without_weights_stays_one():
    def f(p, x):
        x = jax.lax.scan(lambda x, _: (jnp.tanh(x), None), x, length=1000)[0]
        return x @ p["v"]

    closed, walk = jax.make_jaxpr(f)(P, X), ProbeWalk()

    def again(p, x):
        leaves = [0, 1, 2, None]
        return walk.run(closed, list(zip([*p.values(), x], leaves, strict=True)))[0][0]

    names = [eqn.primitive.name for eqn in jax.make_jaxpr(again)(P, X).jaxpr.eqns]
    assert names.count("scan") == 1
    assert names.count("tanh") == 0
    assert walk.uses == [(0, ())]


def test_other_programs_inside_are_run_as_they_are():
    mesh = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = jax.sharding.PartitionSpec()

    def sharded(p, x):
        body = jax.shard_map(lambda x, w: x @ w, mesh=mesh, in_specs=spec, out_specs=spec)
        return body(x, p["v"])

    def placed(p, x):
        sharding = jax.sharding.NamedSharding(mesh, spec)
        return x @ jax.lax.with_sharding_constraint(p["v"], sharding)

    def chosen(p, x):
        return jax.lax.cond(x[0, 0] > 0, lambda: x @ p["v"], lambda: x)

    @jax.custom_jvp
    def by_hand(x, w):
        return x @ w

    by_hand.defjvp(lambda at, dots: (by_hand(*at), dots[0] @ at[1]))
    assert lost_of(lambda p, x: by_hand(x, p["v"])) == {"v": "custom_jvp_call"}
    assert walked(placed)[1].uses == [(0, ())]
    assert lost_of(sharded) == {"v": "shard_map"}
    assert lost_of(chosen) == {"v": "cond"}


@pytest.mark.parametrize(
    ("layout", "shape"), [("HWIO", (3, 2, 4, 7)), ("OIHW", (7, 4, 3, 2))]
)
def test_terms_of_a_convolution(layout, shape):
    def convolved(x, w):
        return jax.lax.conv_general_dilated(
            x, w, (1, 1), "SAME", dimension_numbers=("NHWC", layout, "NHWC")
        )

    program = jax.make_jaxpr(convolved)(jnp.zeros((1, 5, 5, 4)), jnp.zeros(shape))
    assert fan_in(program.eqns[-1], shape, 1) == 3 * 2 * 4
