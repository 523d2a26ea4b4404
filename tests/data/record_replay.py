"""Record the draws in replay_golden.json: ``python record_replay.py torch numpy tf``.

Each argument records one set; the sets not named are kept as they are. The manifest of
a set is its library, version and platform; each case carries the SHA-256 of its bytes.
"""

import hashlib
import json
import math
import platform
import sys
from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("replay_golden.json")
ABOUT = (
    "Draws recorded from the libraries named; float values as hex of the exact float64 "
    "value, sha256 over the C-order bytes of the array in its dtype."
)
PLATFORM = f"{platform.system().lower()} {platform.machine().replace('_', '-')} CPU"
TORCH_SHAPES = [[2, 2], [3, 5], [4, 4], [17], [33, 7], [64, 32, 3, 3], [1000, 1001]]
TORCH_NARROW_SHAPES = [[3, 5], [4, 4], [17], [33, 7]]  # tails of every kind
NUMPY_SHAPES = [[2, 2], [5], [33, 7], [311], [313], [100, 101]]
TF_SHAPES = [[2, 2], [5], [33, 7], [64, 32], [1000, 11]]
BOUND = math.sqrt(6 / 8)


def case(stream, function, seed, args, array):
    array = np.ascontiguousarray(array)
    wide = array.astype(np.float64).ravel()
    return {
        "stream": stream,
        "fn": function,
        "seed": seed,
        "shape": list(array.shape),
        "args": args,
        "dtype": array.dtype.name,
        "first": [float(x).hex() for x in wide[:16]],
        "last": [float(x).hex() for x in wide[-4:]],
        "sum": float(wide.sum()).hex(),
        "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
    }


def record_torch():
    import ml_dtypes
    import torch

    init, nn = torch.nn.init, torch.nn
    cases = []

    def add(function, seed, shape, args, dtype="float32"):
        torch.manual_seed(seed)
        tensor = torch.empty(shape, dtype=getattr(torch, dtype))
        getattr(init, function)(tensor, **args)
        if dtype == "bfloat16":
            array = tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        else:
            array = tensor.numpy()
        cases.append(case("torch_cpu", function, seed, args, array))

    for seed in (0, 42):
        for shape in TORCH_SHAPES:
            add("uniform_", seed, shape, {"a": -0.5, "b": 2.0})
            add("normal_", seed, shape, {"mean": 0.25, "std": 2.0})
            if len(shape) > 1:
                add("xavier_uniform_", seed, shape, {"gain": 1.5})
                add("xavier_normal_", seed, shape, {})
                add("kaiming_uniform_", seed, shape, {"a": math.sqrt(5)})
                options = {"mode": "fan_out", "nonlinearity": "relu"}
                add("kaiming_normal_", seed, shape, options)
        for shape in ([3, 5], [33, 7], [64, 100]):
            add("trunc_normal_", seed, shape, {"std": 0.5})
            add("trunc_normal_", seed, shape, {"std": 2.0, "a": -1.0, "b": 3.0})
            add("orthogonal_", seed, shape, {"gain": 2.0})
        for dtype in ("bfloat16", "float16"):
            for shape in TORCH_NARROW_SHAPES:
                add("uniform_", seed, shape, {"a": -0.5, "b": 2.0}, dtype)
                add("normal_", seed, shape, {"mean": 0.25, "std": 2.0}, dtype)
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(3, 8, 3),
            nn.ReLU(),
            nn.ConvTranspose2d(8, 4, 2, stride=2),
            nn.Flatten(),
            nn.Linear(100, 10),
            nn.Embedding(7, 5),
            nn.LSTM(5, 6),
            nn.MultiheadAttention(8, 2),
        )
        text = (
            "Conv2d(3,8,3),ReLU,ConvTranspose2d(8,4,2,stride=2),Flatten,Linear(100,10),"
            "Embedding(7,5),LSTM(5,6),MultiheadAttention(8,2)"
        )
        for name, tensor in model.state_dict().items():
            function = f"Sequential:{name}"
            array = tensor.numpy()
            cases.append(case("torch_cpu", function, seed, {"model": text}, array))
    return f"torch {torch.__version__}", cases


def record_numpy():
    cases = []
    uniform = {"low": -BOUND, "high": BOUND}
    normal = {"loc": 0.0, "scale": 2.0}
    for seed in (0, 42):
        for shape in NUMPY_SHAPES:

            def add(function, args, draw, stream="numpy_legacy", seed=seed):
                make = np.random.default_rng if "gen" in stream else np.random.RandomState
                array = draw(make(seed))
                cases.append(case(stream, function, seed, args, array))

            def plain(random, shape=shape):
                return random.random_sample(shape)

            def bounded(random, shape=shape):
                return random.uniform(**uniform, size=shape)

            def scaled(random, shape=shape):
                return random.normal(**normal, size=shape)

            add("uniform", uniform, bounded)
            add("uniform->float32", uniform, lambda r, f=bounded: f(r).astype(np.float32))
            add("normal", normal, scaled)
            add("normal->float32", normal, lambda r, f=scaled: f(r).astype(np.float32))
            add("rand", {}, plain)

            def standard(random, shape=shape):
                return random.standard_normal(shape)

            add("randn->float32", {}, lambda r, f=standard: f(r).astype(np.float32))
            new = "numpy_generator"
            add("random_f32", {}, lambda r, s=shape: r.random(s, np.float32), new)
            add("random", {}, lambda r, s=shape: r.random(s), new)
            add("standard_normal", {}, standard, new)
    return f"numpy {np.__version__}", cases


def record_tf():
    import keras
    import tensorflow as tf

    cases = []
    laws = {
        "uniform": {"minval": -1.5, "maxval": 2.0},
        "normal": {"mean": 0.5, "stddev": 2.0},
        "truncated_normal": {"mean": 0.0, "stddev": 1.0},
    }
    for seed in ([0, 0], [42, 7]):
        for shape in TF_SHAPES:
            for law, args in laws.items():
                draw = getattr(tf.random, f"stateless_{law}")
                array = draw(shape, seed, **args).numpy()
                cases.append(case("tf_stateless", law, seed, args, array))
    for name in (
        "GlorotUniform",
        "GlorotNormal",
        "HeUniform",
        "HeNormal",
        "LecunNormal",
        "RandomNormal",
        "RandomUniform",
    ):
        for shape in ([2, 2], [3, 3, 4, 8]):
            draw = getattr(keras.initializers, name)(seed=0)
            array = np.asarray(draw(shape))
            cases.append(case("keras_tensorflow", name, 0, {}, array))
    return f"tensorflow {tf.__version__} keras {keras.__version__}", cases


STATEFUL = [
    (seed, [("uniform", [5], {}), ("normal", [3], {"mean": 1.0, "stddev": 3.0})])
    for seed in (0, 1, 42, 2**31 - 1, 2**33 + 5)
]
for _, draws in STATEFUL:
    draws.append(("truncated_normal", [6], {}))
    draws.append(("uniform", [2, 2], {"minval": -1.0, "maxval": 3.0}))
STATEFUL.append((
    1,
    [("uniform", [n], {"seed": 5}) for n in (5, 3)]
    + [("normal", [3], {"seed": 5}), ("uniform", [3], {})]
    + [("truncated_normal", [n], {"seed": 2}) for n in (6, 7)]
    + [("normal", [3], {"seed": 5})],
))
STATEFUL.append((0, [("uniform", [3], {"seed": s}) for s in (0, 2**31 - 1)]))


def record_stateful():
    import tensorflow as tf

    sequences = []
    for seed, draws in STATEFUL:
        tf.random.set_seed(seed)
        recorded = []
        for function, shape, args in draws:
            array = getattr(tf.random, function)(shape, **args).numpy()
            values = [float(x).hex() for x in array.ravel()]
            recorded.append({
                "fn": function,
                "shape": shape,
                "args": args,
                "values": values,
            })
        sequences.append({"seed": seed, "draws": recorded})
    about = f"Sequences of eager ops after tf.random.set_seed: TensorFlow {tf.__version__}"
    file = FILE.with_name("replay_tf_stateful.json")
    file.write_text(json.dumps({"_about": about, "sequences": sequences}) + "\n")


RECORDERS = {"torch": record_torch, "numpy": record_numpy, "tf": record_tf}


def main(names):
    if "stateful" in names:
        record_stateful()
    sets = json.loads(FILE.read_text())["sets"]
    for i, (name, record) in enumerate(RECORDERS.items()):
        if name in names:
            library, cases = record()
            sets[i] = {"library": library, "platform": PLATFORM, "cases": cases}
    FILE.write_text(json.dumps({"_about": ABOUT, "sets": sets}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
