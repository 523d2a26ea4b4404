"""Speed of the replayed streams: ``python benchmarks/bench_replay.py [--quick]``.

Each line compares a compiled replay with what it stands beside, in one process and in
turn, as medians: jax.random's words, or the library that is replayed where it is
installed. Rates are in millions of values a second of wall time.
"""

import argparse
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit.replay import (
    _mt19937,
    keras_tensorflow,
    numpy_generator,
    numpy_legacy,
    tf_stateless,
    torch_cpu,
)

try:
    import torch
except ImportError:
    torch = None


def compiled(function, *args):
    """Return a compiled call, its wall and its processor seconds of compilation."""
    wall, processor = time.perf_counter(), time.process_time()
    program = jax.jit(function).lower(*args).compile()
    spent = time.perf_counter() - wall, time.process_time() - processor
    return (lambda: jax.block_until_ready(program(*args))), *spent


def rates(count, repeats, *calls):
    """Return the median rate of each call; the calls take turns."""
    times = [[] for _ in calls]
    for call in calls:
        call()
    for _ in range(repeats):
        for call, own in zip(calls, times, strict=True):
            start = time.perf_counter()
            call()
            own.append(time.perf_counter() - start)
    return [count / statistics.median(own) / 1e6 for own in times]


def compare(name, count, repeats, function, args, other, other_name):
    call, wall, processor = compiled(function, *args)
    if other is None:
        (ours,) = rates(count, repeats, call)
        beside = ""
    else:
        ours, theirs = rates(count, repeats, call, other)
        beside = f"{other_name} {theirs:7.1f}   ratio {ours / theirs:5.2f}"
    compile_ = f"compile {wall:4.1f} s wall, {processor:4.1f} s processor"
    print(f"{name:38s} {ours:7.1f} M/s   {compile_}   {beside}", flush=True)


def torch_call(method, seeds, size):
    if torch is None:
        return None
    tensor = torch.empty(size)

    def call():
        for seed in range(seeds):
            torch.manual_seed(seed)
            getattr(tensor, method)()

    return call


def numpy_call(method, seeds, size):
    def call():
        for seed in range(seeds):
            getattr(np.random.RandomState(seed), method)(size)

    return call


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    quick = parser.parse_args().quick
    million, repeats = (10**5, 5) if quick else (10**6, 11)
    key = jax.random.key(0)
    bits, _, _ = compiled(lambda k: jax.random.bits(k, (million,)), key)
    pair = jnp.asarray([0, 1])
    compare(
        "tf_stateless uniform",
        million,
        repeats,
        lambda s: tf_stateless.stateless_uniform((million,), s),
        (pair,),
        bits,
        "jax.random.bits",
    )
    seed = jnp.uint32(1)
    for law in ("normal", "truncated_normal"):
        draw = getattr(tf_stateless, f"stateless_{law}")
        compare(
            f"tf_stateless {law}",
            million,
            repeats,
            lambda s, draw=draw: draw((million,), s),
            (pair,),
            None,
            "",
        )
    window = _mt19937.window_from_seed(seed)
    compare(
        "MT19937 words",
        10 * million,
        repeats,
        lambda w: _mt19937.temper(_mt19937.draw(w, 10 * million)[1]),
        (window,),
        lambda: np.random.RandomState(0).randint(0, 2**32, 10 * million, np.uint32),
        "NumPy",
    )
    stream = torch_cpu.manual_seed(seed)
    for law in ("uniform", "normal"):
        draw = getattr(torch_cpu, law)
        compare(
            f"torch_cpu {law}",
            million,
            repeats,
            lambda s, draw=draw: draw(s, (million,), dtype="float32")[1],
            (stream,),
            torch_call(f"{law}_", 1, million),
            "PyTorch",
        )
    old = numpy_legacy.seed(seed)
    for law in ("rand", "randn"):
        draw = getattr(numpy_legacy, law)
        compare(
            f"numpy_legacy {law}",
            million,
            repeats,
            lambda s, draw=draw: draw(s, (million,), "float32")[1],
            (old,),
            numpy_call(law, 1, million),
            "NumPy",
        )
    new = numpy_generator.default_rng(seed)
    compare(
        "numpy_generator random float32",
        million,
        repeats,
        lambda s: numpy_generator.random(s, (million,), "float32")[1],
        (new,),
        lambda: np.random.default_rng(0).random(million, np.float32),
        "NumPy",
    )
    compare(
        "torch_cpu normal below 16 values",
        9,
        repeats,
        lambda s: torch_cpu.normal(s, (9,), dtype="float32")[1],
        (stream,),
        None,
        "",
    )
    compare(
        "keras_tensorflow glorot_uniform",
        512 * 512,
        repeats,
        lambda k: keras_tensorflow.glorot_uniform(k, (512, 512)),
        (seed,),
        None,
        "",
    )
    seeds, size = (10 if quick else 100), 10**5
    many = jnp.arange(seeds, dtype=jnp.uint32)

    def of_torch(law):
        def one(seed):
            draw = getattr(torch_cpu, law)
            return draw(torch_cpu.manual_seed(seed), (size,), dtype="float32")[1]

        return jax.vmap(one)

    def of_numpy(law):
        def one(seed):
            draw = getattr(numpy_legacy, law)
            return draw(numpy_legacy.seed(seed), (size,), "float32")[1]

        return jax.vmap(one)

    for law in ("uniform", "normal"):
        other = torch_call(f"{law}_", seeds, size)
        name = f"{seeds} seeds, torch_cpu {law}"
        args = seeds * size, 5, of_torch(law), (many,), other, "PyTorch"
        compare(name, *args)
    for law in ("rand", "randn"):
        other = numpy_call(law, seeds, size)
        name = f"{seeds} seeds, numpy_legacy {law}"
        args = seeds * size, 5, of_numpy(law), (many,), other, "NumPy"
        compare(name, *args)


if __name__ == "__main__":
    main()
