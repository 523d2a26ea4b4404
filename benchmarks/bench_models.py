"""Cold start of whole models, from shapes to ready arrays, each in a fresh process.

A program that is compiled is kept, so every measurement is a process of its own.
"""

import functools
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from benchmarks._timing import Row, summary


def gpt(layers: int, width: int, heads: int) -> Any:
    import jax.numpy as jnp
    from flax import linen as nn

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            y = nn.LayerNorm(name="ln_1")(x)
            q, k, v = jnp.split(nn.Dense(3 * width, name="c_attn")(y), 3, axis=-1)
            q, k, v = (t.reshape(*t.shape[:-1], heads, -1) for t in (q, k, v))
            y = nn.dot_product_attention(q, k, v).reshape(x.shape)
            x = x + nn.Dense(width, name="c_proj")(y)
            y = nn.gelu(nn.Dense(4 * width, name="c_fc")(nn.LayerNorm(name="ln_2")(x)))
            return x + nn.Dense(width, name="mlp_proj")(y)

    class GPT(nn.Module):
        @nn.compact
        def __call__(self, tokens: Any) -> Any:
            table = nn.Embed(50257, width, name="wte")
            positions = nn.Embed(1024, width, name="wpe")(jnp.arange(tokens.shape[1]))
            x = table(tokens) + positions[None]
            for _ in range(layers):
                x = Block()(x)
            return table.attend(nn.LayerNorm(name="ln_f")(x))

    return GPT()


def measure(method: str, layers: int, width: int) -> dict[str, float]:
    if method == "torch":
        return measure_torch(layers, width)
    import jax
    import jax.numpy as jnp

    import jaxinit

    model = gpt(layers, width, width // 64)
    tokens = jnp.zeros((1, 8), jnp.int32)
    key = jax.block_until_ready(jax.random.key(0))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    if method == "jit init":
        made = jax.jit(model.init)(key, tokens)
    elif method == "materialize":
        made = jaxinit.materialize(model.init, key, tokens)
    else:
        params = jax.eval_shape(model.init, key, tokens)
        if method == "trace":
            jaxinit.trace_params(model.apply, params, tokens)
            return {"seconds": time.perf_counter() - start, "extra": 0.0}
        shapes = time.perf_counter() - start
        small = functools.partial(jaxinit.normal, std=0.02)
        rules = [("**/bias", jaxinit.zeros), ("**/scale", jaxinit.ones), ("**", small)]
        made = jaxinit.initialize(key, params, rules)
        if method == "initialize, shapes known":
            start += shapes
    made = jax.block_until_ready(made)
    seconds = time.perf_counter() - start
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(made))
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return {"seconds": seconds, "extra": (peak - size) / size}


def measure_torch(layers: int, width: int) -> dict[str, float]:
    import torch  # pyright: ignore[reportMissingImports]

    start = time.perf_counter()
    made = [torch.nn.Embedding(50257, width), torch.nn.Embedding(1024, width)]
    for _ in range(layers):
        sizes = [(width, 3 * width), (width, width), (width, 4 * width), (4 * width, width)]
        made += [torch.nn.Linear(*size) for size in sizes]
        made += [torch.nn.LayerNorm(width), torch.nn.LayerNorm(width)]
    for module in made:
        if isinstance(module, (torch.nn.Linear, torch.nn.Embedding)):
            torch.nn.init.normal_(module.weight, std=0.02)
    return {"seconds": time.perf_counter() - start, "extra": 0.0}


def in_fresh_process(*arguments: Any) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.bench_models", *map(str, arguments)]
    found = subprocess.run(
        command, check=True, capture_output=True, text=True, env=os.environ
    )
    return json.loads(found.stdout.splitlines()[-1])


def run(quick: bool) -> Iterator[Row]:
    """Yield our ways to start GPT-2 against its own compiled init, and against torch."""
    ours = ["materialize", "initialize", "initialize, shapes known", "trace"]
    methods = ["jit init", *ours] + (["torch"] if find_spec("torch") else [])
    for layers, width in [(12, 768)] if quick else [(12, 768), (48, 768), (96, 256)]:
        runs: dict[str, list[dict[str, float]]] = {method: [] for method in methods}
        for _ in range(1 if quick else 3):
            for method, found in runs.items():
                found.append(in_fresh_process(method, layers, width))
        taken = {method: [r["seconds"] for r in found] for method, found in runs.items()}
        for method in ours:
            extra = statistics.median(r["extra"] for r in runs[method])
            yield summary(
                f"{method}, GPT-2 of {layers} x {width}",
                taken[method],
                taken["jit init"],
                against="jax.jit(model.init)",
                goal=None if method == "trace" else 4.0,
                note=f"peak memory {extra:.1%} beyond the parameters",
            )
        if "torch" in taken:
            name = f"initialize, GPT-2 of {layers} x {width}"
            yield summary(name, taken["initialize"], taken["torch"], against="torch layers")


if __name__ == "__main__":
    own, depth, units = sys.argv[1:]
    print(json.dumps(measure(own, int(depth), int(units))))
