"""Speed of the replayed streams against ``jax.random``'s words or the replayed library."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._timing import Row, paired, seconds
from jaxinit.replay import _mt19937, numpy_generator, numpy_legacy, tf_stateless, torch_cpu

try:
    import torch  # pyright: ignore[reportMissingImports]
except ImportError:
    torch = None

Call = Callable[[], Any]


def compiled(function: Callable[..., Any], *args: Any) -> tuple[Call, str]:
    """Return a compiled call and how long it took to compile."""
    start = time.process_time()
    program = jax.jit(function).lower(*args).compile()
    spent = time.process_time() - start
    return lambda: program(*args), f"compiled in {spent:.1f} CPU-s"


def row(
    name: str,
    count: int,
    function: Callable[..., Any],
    args: tuple[Any, ...],
    other: Call | None,
    against: str,
    *,
    goal: float | None = None,
    pairs: int = 11,
) -> Row:
    """Return the paired row, or that of ours alone where the library is missing."""
    call, note = compiled(function, *args)
    if other is None:
        seconds(call, 2)
        taken = seconds(call, pairs)
        return Row(name, taken, note=f"{count / taken / 1e6:.1f} M/s. {note}")
    return paired(
        name, call, other, against=against, goal=goal, note=note, samples=count, pairs=pairs
    )


def of_torch(method: str, seeds: int, size: int) -> Call | None:
    """Return a host call that seeds PyTorch and fills a row of one array, for each seed."""
    if torch is None:
        return None
    empty, start = torch.empty, torch.manual_seed

    def call() -> None:
        rows = empty(seeds, size)
        for seed in range(seeds):
            start(seed)
            getattr(rows[seed], method)()

    return call


def of_numpy(method: str, seeds: int, size: int) -> Call:
    """Return the same for NumPy's legacy stream."""

    def call() -> None:
        rows = np.empty((seeds, size), np.float32)
        for seed in range(seeds):
            rows[seed] = getattr(np.random.RandomState(seed), method)(size)

    return call


def run(quick: bool) -> Iterator[Row]:
    """Yield one stream after another, then many seeds at once."""
    million = 10**5 if quick else 10**6
    seed, pair = jnp.uint32(1), jnp.asarray([0, 1])
    shape = (million,)
    bits, _ = compiled(lambda k: jax.random.bits(k, shape), jax.random.key(0))
    for law in ("uniform", "normal", "truncated_normal"):
        draw = getattr(tf_stateless, f"stateless_{law}")
        other, goal = (bits, 0.5) if law == "uniform" else (None, None)
        name = f"tf_stateless {law}"
        yield row(
            name,
            million,
            lambda s, f=draw: f(shape, s),
            (pair,),
            other,
            "jax bits",
            goal=goal,
        )
    window = _mt19937.window_from_seed(seed)
    yield row(
        "MT19937 words",
        10 * million,
        lambda w: _mt19937.temper(_mt19937.draw(w, 10 * million)[1]),
        (window,),
        lambda: np.random.RandomState(0).randint(0, 2**32, 10 * million, np.uint32),
        "NumPy",
    )
    streams: tuple[tuple[str, Any, Any, dict[str, Call | None], str], ...] = (
        (
            "torch_cpu",
            torch_cpu,
            torch_cpu.manual_seed,
            {law: of_torch(f"{law}_", 1, million) for law in ("uniform", "normal")},
            "PyTorch",
        ),
        (
            "numpy_legacy",
            numpy_legacy,
            numpy_legacy.seed,
            {law: of_numpy(law, 1, million) for law in ("rand", "randn")},
            "NumPy",
        ),
        (
            "numpy_generator",
            numpy_generator,
            numpy_generator.default_rng,
            {"random": lambda: np.random.default_rng(0).random(million, np.float32)},
            "NumPy",
        ),
    )
    for name, module, start, laws, against in streams:
        for law, other in laws.items():
            draw = getattr(module, law)
            yield row(
                f"{name} {law}",
                million,
                lambda s, f=draw: f(s, shape, dtype="float32")[1],
                (start(seed),),
                other,
                against,
            )
    for size in (10**4, 10**5):
        yield from many_seeds(10 if quick else 100, size)


def many_seeds(count: int, size: int) -> Iterator[Row]:
    """Yield the time of many seeds under vmap against a loop on the host, to one array."""
    numbers = jnp.arange(count, dtype=jnp.uint32)
    for name, module, start, laws, host, against in (
        (
            "torch_cpu",
            torch_cpu,
            torch_cpu.manual_seed,
            ("uniform", "normal"),
            of_torch,
            "PyTorch",
        ),
        (
            "numpy_legacy",
            numpy_legacy,
            numpy_legacy.seed,
            ("rand", "randn"),
            of_numpy,
            "NumPy",
        ),
    ):
        for law in laws:
            draw = getattr(module, law)

            def one(seed: jax.Array, draw: Any = draw, start: Any = start) -> jax.Array:
                return draw(start(seed), (size,), dtype="float32")[1]

            method = f"{law}_" if host is of_torch else law
            yield row(
                f"{count} seeds of {size}, {name} {law}",
                count * size,
                jax.vmap(one),
                (numbers,),
                host(method, count, size),
                against,
                goal=1.0,
                pairs=5,
            )
