"""Record digests of whole models.

``python record_models.py torch`` makes replay_models.json; it needs torchvision, timm
and transformers. ``KERAS_BACKEND=jax python record_models.py keras`` records the set of
one backend in replay_keras.json. Run it with the repository's root on the path.
"""

import json
import sys
import zlib
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def crc(array):
    return zlib.crc32(np.ascontiguousarray(array).tobytes())


def record_torch():
    import timm
    import torch
    import torchvision
    import transformers

    sizes = {"vocab_size": 500}
    gpt2 = transformers.GPT2Config(n_layer=3, n_embd=48, n_head=4, n_positions=64, **sizes)
    sizes |= {"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    sizes |= {"intermediate_size": 96, "max_position_embeddings": 64}
    bert = transformers.BertConfig(**sizes)
    vision = [
        "resnet18",
        "resnet50",
        "vgg11_bn",
        "mobilenet_v2",
        "vit_b_16",
        "convnext_tiny",
    ]
    makers = {name: getattr(torchvision.models, name) for name in vision}
    makers["vit_tiny"] = lambda: timm.create_model("vit_tiny_patch16_224")
    makers["gpt2"] = lambda: transformers.GPT2Model(gpt2)
    makers["bert"] = lambda: transformers.BertModel(bert)
    models = {}
    for name, make in makers.items():
        torch.manual_seed(42)
        model = make()
        after = torch.rand(1).item().hex()
        tensors = {}
        for key, tensor in model.state_dict().items():
            if not key.endswith("num_batches_tracked"):
                array = tensor.detach().contiguous().numpy()
                digest = crc(array)
                total = float(array.astype(np.float64).sum()).hex()
                tensors[key] = [digest, total] if name == "vit_tiny" else digest
        models[name] = {"seed": 42, "after": after, "tensors": tensors}
    libraries = {
        m.__name__: m.__version__ for m in (torch, torchvision, timm, transformers)
    }
    about = (
        "CRC-32 of the C-order bytes of every tensor of a model that its library made "
        "after torch.manual_seed(42), in the order of the state dict and without "
        "num_batches_tracked; for vit_tiny also the sum. 'after' is the next torch.rand(1)."
    )
    whole = {"_about": about, "libraries": libraries, "models": models}
    (HERE / "replay_models.json").write_text(
        json.dumps(whole, separators=(",", ":")) + "\n"
    )


NAMES = [
    "GlorotUniform",
    "GlorotNormal",
    "HeUniform",
    "HeNormal",
    "LecunUniform",
    "LecunNormal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Orthogonal",
]
OPTIONS = [
    (
        "VarianceScaling",
        {"scale": 0.5, "mode": "fan_out", "distribution": "untruncated_normal"},
    ),
    ("VarianceScaling", {"scale": 0.5, "mode": "fan_avg", "distribution": "uniform"}),
    ("RandomUniform", {"minval": -1.5, "maxval": 2.0}),
    ("RandomNormal", {"mean": 0.3, "stddev": 2.0}),
    ("TruncatedNormal", {"mean": 0.3, "stddev": 2.0}),
    ("Orthogonal", {"gain": 2.0}),
]
SEEDS = {
    "tensorflow": [42, -1, 2**31 - 2, 2**31, 2**32 + 5, -(2**40)],
    "jax": [42, 2**31, 2**32 - 1],
    "torch": [42, 2**31, 2**32 + 5],
}


def record_keras():
    import keras

    from tests.replay.keras_sources import MODELS

    backend = keras.backend.backend()
    plain = [(n, {}, (7, 9), s) for n in NAMES for s in SEEDS[backend]]
    plain += [(n, {}, (3, 3, 4, 8), 42) for n in NAMES]
    plain += [(n, {}, (5,), 42) for n in NAMES if n != "Orthogonal"]
    plain += [(n, options, (20, 6), 3) for n, options in OPTIONS]
    drawn = []
    for name, options, shape, seed in plain:
        draw = getattr(keras.initializers, name)(**options, seed=seed)
        array = keras.ops.convert_to_numpy(draw(shape))
        first = [float(x).hex() for x in array.ravel()[:2]]
        drawn.append([name, options, list(shape), seed, crc(array), first])
    models = {}
    for name, make in MODELS.items():
        keras.backend.clear_session()
        keras.utils.set_random_seed(42)
        model = make(keras)
        known = {}
        for weight, array in zip(model.weights, model.get_weights(), strict=True):
            first = [float(x).hex() for x in array.ravel()[:2]]
            known[weight.path] = [crc(array), first]
        models[name] = known
    file = HERE / "replay_keras.json"
    about = (
        "For each backend of Keras: draws of initializers (name, options, shape, seed) and "
        "the weights of models by path, made after set_random_seed(42); of each the "
        "CRC-32 of its bytes in C order, and the first two values."
    )
    whole = json.loads(file.read_text()) if file.exists() else {"_about": about}
    whole[backend] = {"keras": keras.__version__, "initializers": drawn, "models": models}
    file.write_text(json.dumps(whole, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    {"torch": record_torch, "keras": record_keras}[sys.argv[1]]()
