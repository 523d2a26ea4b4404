"""Cold start of whole models, from shapes to ready arrays, each in a fresh process.

A program that is compiled is kept, so every measurement is a process of its own.
"""

import functools
import resource
import statistics
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

from benchmarks._timing import Row, fresh_process, summary_with_cpu, wall_and_cpu
from jaxinit.cli.commands import cores


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


def measure(method: str, layers: int, width: int) -> tuple[float, float, float]:
    """Return wall and CPU seconds, and memory beyond the parameters relative to theirs."""
    if method == "torch":
        return *measure_torch(layers, width), 0.0
    import jax
    import jax.numpy as jnp

    import jaxinit

    model = gpt(layers, width, width // 64)
    tokens = jnp.zeros((1, 8), jnp.int32)
    fused = method.endswith("fused key")
    key = jax.block_until_ready(jaxinit.fused_key(0) if fused else jax.random.key(0))

    def initialize(shapes: Any) -> Any:
        small = functools.partial(jaxinit.normal, std=0.02)
        rules = [("**/bias", jaxinit.zeros), ("**/scale", jaxinit.ones), ("**", small)]
        return jaxinit.initialize(key, shapes, rules)

    def shapes() -> Any:
        return jax.eval_shape(model.init, key, tokens)

    known = shapes() if method == "initialize, shapes known" else None
    ways = {
        "jit init": lambda: jax.jit(model.init)(key, tokens),
        "eager init": lambda: model.init(key, tokens),
        "materialize": lambda: jaxinit.materialize(model.init, key, tokens),
        "initialize": lambda: initialize(shapes()),
        "initialize, shapes known": lambda: initialize(known),
        "trace": lambda: jaxinit.trace_params(model.apply, shapes(), tokens) and None,
    }
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    made: list[Any] = []
    way = ways[method.removesuffix(", fused key")]
    taken = wall_and_cpu(lambda: made.append(jax.block_until_ready(way())))
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(made))
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    return *taken, (peak - size) / max(size, 1)


def measure_torch(layers: int, width: int) -> tuple[float, float]:
    """Return wall and CPU seconds of the constructor of the same model."""
    import torch  # pyright: ignore[reportMissingImports]
    from transformers import GPT2Config, GPT2LMHeadModel  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(cores())
    shape = GPT2Config(n_layer=layers, n_embd=width, n_head=width // 64)
    return wall_and_cpu(lambda: GPT2LMHeadModel(shape) and None)


_CODE = "from benchmarks.bench_models import measure; print(*measure({!r}, {}, {}))"

_PAIRS = (
    ("materialize", "jit init", "jax.jit(model.init)", 4.0),
    ("initialize", "jit init", "jax.jit(model.init)", 8.0),
    ("initialize, shapes known", "jit init", "jax.jit(model.init)", None),
    ("trace", "jit init", "jax.jit(model.init)", None),
    ("jit init, fused key", "jit init", "the same, plain key", 1.2),
    ("eager init, fused key", "eager init", "the same, plain key", 1.6),
    ("initialize", "torch", "transformers' GPT2LMHeadModel", 1.3),
)
"""Ours, what it is compared with, what that is called, and the goal of 12 x 768."""


def run(quick: bool) -> Iterator[Row]:
    """Yield the ways to start GPT-2 against those without us."""
    has_torch = find_spec("torch") and find_spec("transformers")
    pairs = [pair for pair in _PAIRS if pair[1] != "torch" or has_torch]
    methods = sorted({method for pair in pairs for method in pair[:2]})
    for layers, width in [(2, 64)] if quick else [(12, 768), (48, 768), (96, 256)]:
        runs: dict[str, list[list[float]]] = {method: [] for method in methods}
        for _ in range(1 if quick else 3):
            for method, found in runs.items():
                found.append(fresh_process(_CODE.format(method, layers, width)))
        taken = {m: [(wall, cpu) for wall, cpu, _ in found] for m, found in runs.items()}
        for ours, theirs, against, goal in pairs:
            extra = statistics.median(r[2] for r in runs[ours])
            yield summary_with_cpu(
                f"{ours}, GPT-2 of {layers} x {width}",
                taken[ours],
                taken[theirs],
                against=against,
                goal=goal if (layers, width) == (12, 768) else None,
                note="" if ours == "trace" else f"memory {extra:.1%} beyond the parameters",
            )
