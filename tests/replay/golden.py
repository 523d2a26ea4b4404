"""Recorded draws: reading them, and comparing in bits."""

import hashlib
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

FILE = Path(__file__).parent.parent / "data" / "replay_golden.json"
X64 = bool(jax.config.read("jax_enable_x64"))


def cases(stream):
    """Return the recorded cases of one stream, in their order."""
    sets = json.loads(FILE.read_text())["sets"]
    return [c for s in sets for c in s["cases"] if c["stream"] == stream]


def name(case):
    """Return a short name of a case for test reports."""
    shape = "x".join(str(n) for n in case["shape"])
    dtype = "" if case["dtype"] == "float32" else f"-{case['dtype']}"
    return f"{case['fn']}-{shape}-{case['seed']}{dtype}"


def assert_recorded(array, case):
    """Check shape, dtype, first values, and the hash of all bytes."""
    array = np.ascontiguousarray(np.asarray(array))
    assert array.dtype.name == case["dtype"]
    assert list(array.shape) == case["shape"]
    first = [float.fromhex(x) for x in case["first"]]
    assert array.ravel()[: len(first)].tolist() == first
    assert hashlib.sha256(array.tobytes()).hexdigest() == case["sha256"]


def assert_same_bits(ours, theirs):
    """Check that two arrays are equal in dtype, shape and every bit."""
    ours, theirs = np.asarray(ours), np.asarray(theirs)
    assert ours.dtype == theirs.dtype
    assert ours.shape == theirs.shape
    wrong = np.flatnonzero(ours.view(_bits(ours)) != theirs.view(_bits(theirs)))
    where = wrong[:5].tolist()
    assert wrong.size == 0, f"{wrong.size} of {ours.size} values differ, at {where}"


def _bits(array):
    return {2: np.uint16, 4: np.uint32, 8: np.uint64}[array.dtype.itemsize]


def from_torch(tensor):
    """Return a tensor as a NumPy array, bfloat16 by its bits."""
    import torch  # pyright: ignore[reportMissingImports]

    tensor = tensor.detach().contiguous()
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(jnp.bfloat16)
    return tensor.numpy()
