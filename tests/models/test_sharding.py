"""The same bits on every mesh and on any number of processes, in shard-sized memory."""

import os
import pathlib
import socket
import subprocess
import sys
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jaxinit
from jaxinit.models.initialize import initialize
from jaxinit.models.materialize import materialize

KEY = jax.random.key(0)
PARAMS = {
    "table": jax.ShapeDtypeStruct((64, 48), "float32"),
    "layers": [
        {
            "w": jax.ShapeDtypeStruct((48, 64), "bfloat16"),
            "b": jax.ShapeDtypeStruct((64,), "float32"),
        }
    ],
    "q": jax.ShapeDtypeStruct((16, 32), "float32"),
}
RULES = [
    ("**/b", jaxinit.zeros),
    ("q", jaxinit.orthogonal),
    ("table", jaxinit.normal),
    ("**", jaxinit.kaiming_normal),
]


def mesh_of(count: int) -> jax.sharding.Mesh:
    assert jax.device_count() >= 8
    return jax.make_mesh(
        (count,), ("d",), devices=jax.devices()[:count], axis_types=(AxisType.Auto,)
    )


def first_axis(mesh: jax.sharding.Mesh) -> Any:
    return lambda _, shape: NamedSharding(
        mesh, PartitionSpec("d", *(None,) * (len(shape) - 1))
    )


def equal(a: Any, b: Any) -> bool:
    same = jax.tree.map(lambda x, y: np.array_equal(np.asarray(x), np.asarray(y)), a, b)
    return all(jax.tree.leaves(same))


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_bits_do_not_depend_on_the_mesh(count):
    alone = initialize(KEY, PARAMS, RULES)
    spread = initialize(KEY, PARAMS, RULES, out_shardings=first_axis(mesh_of(count)))
    for leaf in jax.tree.leaves(spread):
        assert len(leaf.sharding.device_set) == count
        assert leaf.addressable_shards[0].data.shape[0] == leaf.shape[0] // count
    assert equal(alone, spread)


def test_shardings_as_a_tree_and_as_a_prefix():
    mesh = mesh_of(4)
    rows = NamedSharding(mesh, PartitionSpec("d"))
    columns = NamedSharding(mesh, PartitionSpec(None, "d"))
    alone = initialize(KEY, PARAMS, RULES)
    spread = initialize(
        KEY, PARAMS, RULES, out_shardings={"table": columns, "layers": rows, "q": None}
    )
    assert spread["table"].sharding.is_equivalent_to(columns, 2)
    assert spread["layers"][0]["w"].sharding.is_equivalent_to(rows, 2)
    assert len(spread["q"].sharding.device_set) == 1
    assert equal(alone, spread)


def test_shardings_of_another_structure_are_refused():
    with pytest.raises(ValueError, match="must be a tree like params") as error:
        initialize(KEY, PARAMS, RULES, out_shardings={"other": None})
    assert str(error.value).startswith(
        "initialize: out_shardings must be a tree like params, or a prefix of one; "
    )
    with pytest.raises(TypeError) as caught:
        initialize(
            KEY,
            PARAMS,
            RULES,
            out_shardings=lambda _, shape: "rows" if len(shape) == 1 else None,
        )
    assert str(caught.value) == (
        "initialize: out_shardings must hold shardings, PartitionSpecs or None; got layers/0/b: 'rows'. "
        "Build them with jax.sharding.NamedSharding(mesh, spec)."
    )


def test_materialize_on_a_mesh():
    def init(key):
        keys = jax.random.split(key, 3)
        return {f"w{i}": jax.random.normal(k, (32, 16)) for i, k in enumerate(keys)}

    spread = materialize(init, KEY, out_shardings=first_axis(mesh_of(8)))
    assert all(len(leaf.sharding.device_set) == 8 for leaf in jax.tree.leaves(spread))
    assert equal(jax.jit(init)(KEY), spread)


def test_programs_of_large_leaves_take_shard_sized_memory():
    mesh = mesh_of(8)
    sharding = NamedSharding(mesh, PartitionSpec("d"))
    shape = (1 << 17, 1 << 16)  # 2^33 entries

    def draw(key):
        params = {"w": jax.ShapeDtypeStruct(shape, "bfloat16")}
        rules = [("w", jaxinit.kaiming_normal)]
        return initialize(key, params, rules, out_shardings=sharding)["w"]

    program = jax.jit(draw, out_shardings=sharding).lower(KEY).compile()
    memory = program.memory_analysis()
    assert memory is not None
    shard = (1 << 33) * 2 // 8
    assert memory.output_size_in_bytes == shard
    assert memory.temp_size_in_bytes < shard / 1000
    text = program.as_text() or ""
    for word in ("all-gather", "all-reduce", "all-to-all", "collective-permute"):
        assert word not in text


# --------------------------------------------------------------------- many processes

WORKER = """
import sys
import jax
place, own = "127.0.0.1:{port}", int(sys.argv[1])
jax.distributed.initialize(place, {count}, own, initialization_timeout=60)
import numpy as np
from jax.sharding import AxisType, NamedSharding, PartitionSpec
import jaxinit
from jaxinit.models.initialize import initialize
mesh = jax.make_mesh((jax.device_count(),), ("d",), axis_types=(AxisType.Auto,))
shapes = {{"w": (64, 48), "q": (16, 32)}}
params = {{name: jax.ShapeDtypeStruct(shape, "float32") for name, shape in shapes.items()}}
rules = [("w", jaxinit.kaiming_normal), ("q", jaxinit.orthogonal)]
rows = NamedSharding(mesh, PartitionSpec("d"))
made = initialize(jax.random.key(0), params, rules, out_shardings=rows)
assert jax.process_count() == {count}
for name, leaf in made.items():
    for shard in leaf.addressable_shards:
        start = shard.index[0].start or 0
        np.save(f"{folder}/{{name}}-{{start:04d}}.npy", np.asarray(shard.data))
print("done", len(made["w"].addressable_shards))
"""


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.mark.parametrize("count", [2, 4])
def test_bits_do_not_depend_on_the_number_of_processes(tmp_path: pathlib.Path, count: int):
    script = WORKER.format(port=free_port(), count=count, folder=tmp_path)
    root = str(pathlib.Path(jaxinit.__file__).parent.parent)
    settings = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": root,
        "XLA_FLAGS": f"--xla_force_host_platform_device_count={8 // count}",
    }
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(i)],
            env=settings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for i in range(count)
    ]
    try:
        texts = [worker.communicate(timeout=150)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert [worker.returncode for worker in workers] == [0] * count, texts
    params = {"w": PARAMS["table"], "q": PARAMS["q"]}
    rules = [("w", jaxinit.kaiming_normal), ("q", jaxinit.orthogonal)]
    alone = initialize(KEY, params, rules)
    for name, leaf in alone.items():
        files = sorted(tmp_path.glob(f"{name}-*.npy"))
        assert len(files) == 8
        whole = np.concatenate([np.load(file) for file in files])
        np.testing.assert_array_equal(whole, jnp.asarray(leaf))
