"""PyTorch's CPU stream against PyTorch itself."""

import math

import numpy as np
import pytest

from jaxinit.replay import torch_cpu
from tests.replay.golden import X64, assert_same_bits, from_torch

DTYPES = ("float32", "bfloat16", "float16", *(("float64",) if X64 else ()))
SIZES = (1, 2, 15, 16, 17, 31, 624, 625)


@pytest.mark.parity
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_function_live(torch, dtype):
    init, kind = torch.nn.init, getattr(torch, dtype)
    pairs = {
        "uniform": ({"low": -0.5, "high": 2.0}, lambda x: x.uniform_(-0.5, 2.0)),
        "normal": ({"mean": 0.25, "std": 2.0}, lambda x: x.normal_(0.25, 2.0)),
        "xavier_uniform": ({"gain": 1.5}, lambda x: init.xavier_uniform_(x, 1.5)),
        "kaiming_normal": (
            {"mode": "fan_out", "nonlinearity": "relu"},
            lambda x: init.kaiming_normal_(x, mode="fan_out", nonlinearity="relu"),
        ),
        "trunc_normal": (
            {"std": 2.0, "low": -1.0, "high": 3.0},
            lambda x: init.trunc_normal_(x, 0, 2.0, -1.0, 3.0),
        ),
        "sparse": ({"sparsity": 0.3}, lambda x: init.sparse_(x, 0.3)),
    }
    for shape in ((3, 5), (17, 1), (33, 7)):
        torch.manual_seed(42)
        stream = torch_cpu.manual_seed(42)
        for function, (options, fill) in pairs.items():
            known = torch.empty(shape, dtype=kind)
            fill(known)
            draw = getattr(torch_cpu, function)
            stream, w = draw(stream, shape, dtype=dtype, **options)
            known = from_torch(known)
            assert_same_bits(w, known)


@pytest.mark.parity
def test_sizes_live(torch):
    torch.manual_seed(5)
    stream = torch_cpu.manual_seed(5)
    for size in (*SIZES, 10**6):
        stream, w = torch_cpu.normal(stream, (size,), 0.1, 0.02, "float32")
        assert_same_bits(w, from_torch(torch.empty(size).normal_(0.1, 0.02)))
        stream, w = torch_cpu.uniform(stream, (size,), -0.3, 0.1, "float32")
        assert_same_bits(w, from_torch(torch.empty(size).uniform_(-0.3, 0.1)))


@pytest.mark.parity
@pytest.mark.parametrize("seed", [-1, 2**32, 2**32 + 5, -(2**63), 2**64 - 1])
def test_seeds_live(torch, seed):
    torch.manual_seed(seed)
    _, w = torch_cpu.uniform(torch_cpu.manual_seed(seed), (5,), dtype="float32")
    assert_same_bits(w, from_torch(torch.rand(5)))


def old_trunc_normal(tensor, mean, std, a, b):
    """Fill a tensor as ``trunc_normal_`` of PyTorch 2.12 and of timm does."""
    low, high = ((1 + math.erf((x - mean) / std / math.sqrt(2))) / 2 for x in (a, b))
    tensor.uniform_(2 * low - 1, 2 * high - 1).erfinv_()
    return tensor.mul_(std * math.sqrt(2.0)).add_(mean).clamp_(min=a, max=b)


@pytest.mark.parity
def test_trunc_normal_by_the_inverse_live(torch):
    torch.manual_seed(5)
    stream = torch_cpu.manual_seed(5)
    for args in ((0.0, 0.02, -2.0, 2.0), (0.0, 1.0, -2.0, 2.0), (0.5, 1.0, -0.3, 0.7)):
        stream, w = torch_cpu.trunc_normal_inverse(stream, (10**5,), *args, dtype="float32")
        known = from_torch(old_trunc_normal(torch.empty(10**5), *args))
        unit = np.spacing(np.maximum(np.abs(known - args[0]), np.abs(known)))
        assert np.all(np.abs(w - known) <= 2 * unit)
        assert np.mean(np.asarray(w) != known) < 1e-3


@pytest.mark.parity
@pytest.mark.parametrize("dtype", DTYPES)
def test_integers_masks_and_strided_tensors_live(torch, dtype):
    kind = getattr(torch, dtype)
    torch.manual_seed(5)
    stream = torch_cpu.manual_seed(5)
    for _ in range(2):
        stream, x = torch_cpu.randperm(stream, 50)
        np.testing.assert_array_equal(x, torch.randperm(50))
        for bounds in ((-4, 9), (0, 2**28 - 1), (0, 2**28), (-(2**31), 2**31 - 1)):
            stream, x = torch_cpu.randint(stream, (50,), *bounds)
            np.testing.assert_array_equal(x, torch.randint(*bounds, (50,)))
        stream, x = torch_cpu.bernoulli(stream, (50,), 0.3, dtype)
        assert_same_bits(x, from_torch(torch.empty(50, dtype=kind).bernoulli_(0.3)))
        for p in (0.1, 0.0, 1.0):
            stream, x = torch_cpu.dropout(stream, (50,), p, dtype)
            ones = torch.ones(50, dtype=kind)
            assert_same_bits(x, from_torch(torch.nn.functional.dropout(ones, p)))
        stream, x = torch_cpu.normal(stream, (7, 9), 0.1, 0.3, dtype, contiguous=False)
        assert_same_bits(
            x.T, from_torch(torch.empty(7, 9, dtype=kind).t().normal_(0.1, 0.3))
        )
        stream, x = torch_cpu.uniform(stream, (7, 9), 0.1, 0.3, dtype)
        assert_same_bits(
            x.T, from_torch(torch.empty(7, 9, dtype=kind).t().uniform_(0.1, 0.3))
        )
        stream, x = torch_cpu.normal(stream, (3,), 0.1, 0.3, dtype)
        assert_same_bits(x, from_torch(torch.empty(3, dtype=kind).normal_(0.1, 0.3)))


@pytest.mark.parity
def test_subnormal_values_live(torch):
    torch.manual_seed(5)
    stream = torch_cpu.manual_seed(5)
    for low, high in ((0, 1e-38), (-1e-40, 1e-40), (1e-41, 3e-38), (-3e-39, 0)):
        stream, x = torch_cpu.uniform(stream, (1000,), low, high, "float32")
        assert_same_bits(x, from_torch(torch.empty(1000).uniform_(low, high)))
    for low, high in ((1e-40, 1e-3), (-1e-3, 1e-42), (-1.0, -1e-39)):
        wide = torch.empty(1000, dtype=torch.bfloat16)
        stream, x = torch_cpu.uniform(stream, (1000,), low, high, "bfloat16")
        assert_same_bits(x, from_torch(wide.uniform_(low, high)))
        stream, x = torch_cpu.normal(stream, (1000,), low, abs(high), "bfloat16")
        assert_same_bits(x, from_torch(wide.normal_(low, abs(high))))
    for std in (1e-39, 1e-37, 1e-43):
        for size in (10, 1000):
            stream, x = torch_cpu.normal(stream, (size,), 0.0, std, "float32")
            assert_same_bits(x, from_torch(torch.empty(size).normal_(0, std)))


@pytest.mark.parity
def test_signed_zeros_live(torch):
    torch.manual_seed(5)
    stream = torch_cpu.manual_seed(5)
    for size in (5, 40):
        for mean, std in ((-0.0, 0.0), (0.0, 0.0), (-0.0, 1e-42)):
            stream, x = torch_cpu.normal(stream, (size,), mean, std, "float32")
            assert_same_bits(x, from_torch(torch.empty(size).normal_(mean, std)))
        for low, high in ((-0.0, 1e-44), (-1e-44, -0.0), (-0.0, 0.0)):
            stream, x = torch_cpu.uniform(stream, (size,), low, high, "float32")
            assert_same_bits(x, from_torch(torch.empty(size).uniform_(low, high)))


@pytest.mark.parity
@pytest.mark.parametrize("shape", [(64, 64), (5, 5), (33, 7), (64, 100)])
def test_orthogonal_within_its_bound_live(torch, shape):
    for seed in range(10):
        torch.manual_seed(seed)
        known = from_torch(torch.nn.init.orthogonal_(torch.empty(shape)))
        stream = torch_cpu.manual_seed(seed)
        _, matrix = torch_cpu.normal(stream, shape, dtype="float32")
        _, w = torch_cpu.orthogonal(stream, shape, dtype="float32")
        bound = 4 * 2.0**-24 * np.linalg.cond(matrix)
        assert np.max(np.abs(w - known)) <= bound
