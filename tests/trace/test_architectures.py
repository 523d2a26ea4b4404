"""Models drawn by ``auto`` and measured: no theory is believed here.

Where the notes of a weight name no approximation, its product's output has mean square 1.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit import auto, trace_params
from jaxinit.trace.probes.probes import ProbeWalk
from tests.trace.architectures import ARCHITECTURES, data_of, shapes_of

SEEDS = 8
QUICKLY: dict[str, str | bool] = {"xla_backend_optimization_level": "0"}  # it runs once
BOUND = 0.15


def _draws(generator, row):
    """Return normal draws, one a seed: other tests show that plans are drawn as stated."""
    mean, std = row.distribution.mean, row.std
    assert not std or row.distribution.name == "normal"
    z = generator.standard_normal((SEEDS, *row.shape), "float32") if std else 0
    return np.broadcast_to(np.asarray(mean + std * z, "float32"), (SEEDS, *row.shape))


def measured(name):
    """Return the mean square of each weight's output over seeds, and the uses."""
    apply, sizes, kinds = ARCHITECTURES[name]
    params = shapes_of(sizes)
    data = data_of(kinds, jax.random.key(0))
    with jax.numpy_rank_promotion("allow"):
        uses = trace_params(apply, params, *data)
        plan = auto(None, params, uses=uses)
        closed = uses.forward.program
    generator = np.random.default_rng(0)
    drawn = {row.path: _draws(generator, row) for row in plan}
    paths = sorted(sizes)
    found = []

    def one(tree):
        walk = ProbeWalk()
        leaves = [tree[path] for path in paths]
        marks = [i if uses[p].role == "weight" else None for i, p in enumerate(paths)]
        walk.run(
            closed, list(zip([*leaves, *data], [*marks, *[None] * len(data)], strict=True))
        )
        found[:] = [paths[use.leaf] for use in walk.uses]
        return [jnp.square(out).mean() for out in walk.outs]

    program = jax.jit(lambda trees: jax.lax.map(one, trees)).lower(drawn)
    squares = np.asarray(program.compile(QUICKLY)(drawn)).mean(1)
    by_path = {}
    for path, square in zip(found, squares, strict=True):
        by_path.setdefault(path, []).append(float(square))
    return by_path, uses


def off(squares, uses):
    """Return the weights whose output is off and whose notes do not say so."""
    found = set()
    for path, several in squares.items():
        # A loop may start from 0.
        mean = np.mean([square for square in several if square > 0])
        if not uses[path].notes and abs(mean - 1) > BOUND:
            found.add(path)
    return found


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_outputs_have_mean_square_one(name):
    squares, uses = measured(name)
    assert set(squares) == {path for path, use in uses.items() if use.role == "weight"}
    assert not off(squares, uses)


def test_the_check_rejects_what_is_off_without_a_note():
    squares, uses = measured("gated residual")
    # silu without its partner's gate: what elementwise gains of one branch would give
    wrong = squares | {"down0": [9 * square for square in squares["down0"]]}
    assert off(wrong, uses) == {"down0"}
    noted = dataclasses.replace(uses["down0"], notes=("a note",))
    assert not off(wrong, dict(uses) | {"down0": noted})
