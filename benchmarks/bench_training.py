"""Does theory say what trains? Deep nets on scikit-learn's digits, many seeds at once.

Nets of 50 layers learn by plain stochastic gradient descent from initializations that
carry the signal and from such that lose it or blow up the gradient. Writes
``training.png``, the loss by step, beside the rows. Needs scikit-learn.
"""

import functools
import math
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jaxinit
from benchmarks._timing import Row
from jaxinit.signal import predict, scheme, tailor
from jaxinit.signal.report.plot import COLOURS, figure
from jaxinit.signal.report.table import verdict
from jaxinit.signal.studies.schemes import draw_weight
from jaxinit.signal.theory.maps import as_function

CASES = (
    ("tanh", "unit_uniform"),
    ("tanh", "tailored, orthogonal"),
    ("tanh", "xavier_normal"),
    ("tanh", "kaiming_normal"),
    ("tanh", "orthogonal"),
    ("relu", "xavier_normal"),
    ("relu", "kaiming_normal"),
    ("relu", "tailored, orthogonal"),
)
DEPTH, WIDTH, BATCH, RATE = 50, 64, 128, 0.01


class Params(NamedTuple):
    """A deep net: equal layers, and a readout to ten classes."""

    weights: jax.Array
    readout: jax.Array


def digits() -> tuple[jax.Array, jax.Array]:
    """Return pictures of mean square 1, shape (1797, 64), and their classes."""
    from sklearn.datasets import load_digits  # pyright: ignore[reportMissingImports]

    found = load_digits()
    x = found.data - found.data.mean()
    x = x / np.sqrt((x**2).mean())
    return jnp.asarray(x, jnp.float32), jnp.asarray(found.target, jnp.int32)


def _function_of(activation: str, name: str) -> Callable[..., jax.Array]:
    """Return the activation, scaled and shifted for the depth where that is the case."""
    is_tailored = name.startswith("tailored")
    return tailor(activation, DEPTH) if is_tailored else as_function(activation)


def _scheme_of(name: str) -> str:
    # As Martens et al. 2021 do: what Gaussian weights give spreads with depth.
    return name.removeprefix("tailored, ")


def init(key: jax.Array, activation: str, name: str) -> Params:
    """Return the parameters of one seed."""
    drawn = scheme(_scheme_of(name), activation)
    keys = jax.random.split(key, DEPTH + 1)
    draw = functools.partial(
        draw_weight,
        drawn.distribution,
        shape=(WIDTH, WIDTH),
        dtype=jnp.float32,
        gain=drawn.sigma_w,
    )
    weights = jax.lax.map(lambda k: draw(key=k), keys[1:])
    return Params(weights, jaxinit.xavier_normal(keys[0], (WIDTH, 10), jnp.float32))


def loss(
    params: Params, x: jax.Array, y: jax.Array, activation: Callable[..., jax.Array]
) -> jax.Array:
    """Return the mean cross entropy."""
    f = activation
    x, _ = jax.lax.scan(lambda h, w: (f(h @ w), None), x, params.weights)
    scores = jax.nn.log_softmax(x @ params.readout)
    return -jnp.mean(jnp.take_along_axis(scores, y[:, None], axis=1))


@functools.partial(jax.jit, static_argnames=("activation", "name", "steps"))
def train(
    keys: jax.Array, x: jax.Array, y: jax.Array, activation: str, name: str, steps: int
) -> jax.Array:
    """Return the loss on each step's batch, shape (seeds, steps)."""
    function = _function_of(activation, name)

    def one(key: jax.Array) -> jax.Array:
        def step(params: Params, key: jax.Array) -> tuple[Params, jax.Array]:
            at = jax.random.randint(key, (BATCH,), 0, len(x))
            value, slope = jax.value_and_grad(loss)(params, x[at], y[at], function)
            return jax.tree.map(lambda p, g: p - RATE * g, params, slope), value

        init_key, steps_key = jax.random.split(key)
        start = init(init_key, activation, name)
        return jax.lax.scan(step, start, jax.random.split(steps_key, steps))[1]

    return jax.vmap(one)(keys)


def run(quick: bool) -> Iterator[Row]:
    """Train every case and yield its final loss; draw all loss curves."""
    try:
        x, y = digits()
    except ImportError:
        yield Row("training", math.nan, "loss", note="needs scikit-learn")
        return
    seeds, steps = (2, 20) if quick else (8, 600)
    keys = jax.random.split(jax.random.key(0), seeds)
    curves: dict[tuple[str, str], Any] = {}
    for activation, name in CASES:
        start = time.perf_counter()
        found = np.asarray(train(keys, x, y, activation, name, steps))
        found = np.where(np.isfinite(found), found, 1e3)
        curves[activation, name] = found
        function = _function_of(activation, name)
        lines = predict(function, _scheme_of(name), depth=DEPTH, width=WIDTH)
        said = verdict(lines.band("log10_std").median, lines.band("log10_grad").median)
        last = float(np.median(found[:, -max(1, steps // 10) :]))
        note = f"theory: {said}; chance 2.30; {time.perf_counter() - start:.0f} s"
        yield Row(f"{activation}, {name}", last, "loss", note=note)
    if not quick:
        draw(curves, pathlib.Path("training.png"))


def draw(curves: dict[tuple[str, str], np.ndarray], path: pathlib.Path) -> None:
    """Draw the loss by step, median and the band over seeds, one panel an activation."""
    with figure(path, 2, 11, 4.4) as (made, panels):
        for panel, activation in zip(panels, ("tanh", "relu"), strict=True):
            for number, (case, found) in enumerate(curves.items()):
                if case[0] != activation:
                    continue
                smooth = np.array([
                    np.convolve(r, np.ones(15) / 15, "valid") for r in found
                ])
                low, middle, high = np.quantile(smooth, [0.05, 0.5, 0.95], axis=0)
                steps = np.arange(len(middle))
                colour = COLOURS[number % len(COLOURS)]
                panel.fill_between(steps, low, high, color=colour, alpha=0.25, lw=0)
                panel.plot(steps, middle, color=colour, lw=2, label=case[1])
            panel.axhline(math.log(10), color="black", lw=1, ls=":")
            panel.annotate(
                "chance", (0, math.log(10)), xytext=(4, 4), textcoords="offset points"
            )
            panel.set_title(f"{activation}, {DEPTH} layers of {WIDTH} on digits")
            panel.set_ylim(0, 3.5)
            panel.set_xlabel("step of gradient descent")
            panel.legend(loc="upper right")
        panels[0].set_ylabel("cross entropy")
        made.suptitle("Loss curves: median and 5-95 % band over seeds", x=0.01, ha="left")
