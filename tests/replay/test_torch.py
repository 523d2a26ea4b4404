"""PyTorch's CPU stream against recorded draws, and against PyTorch where installed."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit.replay import numpy_legacy, torch_cpu
from jaxinit.replay import torch_layers as nn
from jaxinit.replay._native import native
from jaxinit.replay._torch_floats import box_muller
from tests.replay.golden import (
    X64,
    assert_recorded,
    assert_same_bits,
    cases,
    from_torch,
    name,
)

RENAMED = {"a": "low", "b": "high"}
DRAWS = [c for c in cases("torch_cpu") if c["fn"].endswith("_")]
LAYERS = [c for c in cases("torch_cpu") if c["fn"].startswith("Sequential")]
SMALL = ([2, 2], [4, 4], [17], [33, 7], [3, 5])
EXACT = [c for c in DRAWS if c["fn"] != "orthogonal_" and c["shape"] in SMALL]
LARGE = [c for c in DRAWS if c["shape"] == [1000, 1001] and c["seed"] == 42]
DTYPES = ("float32", "bfloat16", "float16", *(("float64",) if X64 else ()))
SIZES = (1, 2, 15, 16, 17, 31, 624, 625)


def replay(case):
    stream = torch_cpu.manual_seed(case["seed"])
    function = case["fn"].removesuffix("_")
    args = dict(case["args"])
    if function in ("uniform", "trunc_normal"):
        args = {RENAMED.get(str(k), str(k)): v for k, v in args.items()}
    draw = getattr(torch_cpu, function)
    return draw(stream, case["shape"], dtype=case["dtype"], **args)[1]


@pytest.mark.parametrize("case", EXACT, ids=name)
def test_recorded(case):
    assert_recorded(replay(case), case)


@pytest.mark.parametrize("case", LARGE[:2], ids=name)
def test_recorded_a_million(case):
    assert_recorded(replay(case), case)


@pytest.mark.parametrize("case", [c for c in DRAWS if c["fn"] == "orthogonal_"], ids=name)
def test_orthogonal_recorded(case):
    w = np.asarray(replay(case)).ravel()
    for part, recorded in ((w[:16], case["first"]), (w[-4:], case["last"])):
        known = np.array([float.fromhex(x) for x in recorded])
        np.testing.assert_allclose(part, known, rtol=0, atol=2e-6)


@pytest.mark.parametrize("seed", [0, 42])
def test_model_recorded(seed):
    model = [nn.Conv2d(3, 8, 3), None, nn.ConvTranspose2d(8, 4, 2), None]
    model += [nn.Linear(100, 10), nn.Embedding(7, 5), nn.LSTM(5, 6)]
    model.append(nn.MultiheadAttention(8, 2))
    _, state = torch_cpu.build(torch_cpu.manual_seed(seed), model, "float32")
    known = [c for c in LAYERS if c["seed"] == seed]
    assert [f"Sequential:{k}" for k in state] == [c["fn"] for c in known]
    for w, case in zip(state.values(), known, strict=True):
        assert_recorded(w, case)


def test_seeds_may_be_traced():
    def draw(seed):
        stream = torch_cpu.manual_seed(seed)
        stream, a = torch_cpu.normal(stream, (3,), 0.5, 2.0, "float32")
        stream, b = torch_cpu.normal(stream, (4, 9), dtype="float32")
        stream, c = torch_cpu.xavier_uniform(stream, (3, 5), dtype="bfloat16")
        return a, b, c

    together = jax.jit(jax.vmap(draw))(jnp.asarray([0, 7]))
    for i, seed in enumerate((0, 7)):
        for ours, alone in zip(together, draw(seed), strict=True):
            assert_same_bits(ours[i], alone)


def test_without_compilation():
    words = np.random.RandomState(3).randint(0, 2**32, (4, 16), dtype=np.uint32)
    args = words, np.float64(0.25), np.float64(0.02), np.dtype(np.float32), False
    known = native(jax.jit(box_muller, static_argnums=(3, 4)))(*args)
    with jax.disable_jit():
        for ours, compiled in zip(native(box_muller)(*args), known, strict=True):
            assert_same_bits(ours, compiled)


def test_a_model_is_its_layers_one_after_another():
    parts = [nn.Linear(3, 4), nn.Embedding(2, 3), nn.GRU(2, 3)]
    end, whole = torch_cpu.build(torch_cpu.manual_seed(1), parts, "float32")
    stream = torch_cpu.manual_seed(1)
    for i, part in enumerate(parts):
        stream, state = torch_cpu.build(stream, part, "float32")
        for key, w in state.items():
            assert_same_bits(whole[f"{i}.{key}"], w)
    assert_same_bits(end.window, stream.window)


def test_empty_shapes_draw_nothing():
    stream = torch_cpu.manual_seed(1)
    for draw in (torch_cpu.uniform, torch_cpu.normal, torch_cpu.trunc_normal):
        after, w = draw(stream, (0, 3))
        assert w.shape == (0, 3)
        assert_same_bits(after.window, stream.window)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


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


def test_integers_and_masks_without_torch():
    # PyTorch's own arithmetic on the words that NumPy gives of the same generator.
    words = np.random.RandomState(3).randint(0, 2**32, 40, dtype=np.uint32)
    stream = torch_cpu.manual_seed(3)
    _, x = torch_cpu.randint(stream, (40,), -3, 17)
    np.testing.assert_array_equal(x, (words % 20).astype(np.int64) - 3)
    order = list(range(10))
    for i in range(9):
        j = i + int(words[i]) % (10 - i)
        order[i], order[j] = order[j], order[i]
    assert torch_cpu.randperm(stream, 10)[1].tolist() == order
    number = (words[::2].astype(np.uint64) << np.uint64(32) | words[1::2]) % 2**53
    _, mask = torch_cpu.dropout(stream, (4, 5), 0.3, "float32")
    kept = (number * 2.0**-53 < 0.7).reshape(4, 5)
    assert_same_bits(mask, np.where(kept, np.float32(1) / np.float32(0.7), np.float32(0)))
    _, x = torch_cpu.bernoulli(stream, (20,), 0.3, "bfloat16")
    np.testing.assert_array_equal(x, number * 2.0**-53 < 0.3)


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


START = torch_cpu.manual_seed(0)


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: torch_cpu.manual_seed(2**64),
            ValueError,
            "torch_cpu.manual_seed: seed must be an int from -9223372036854775808 to "
            "18446744073709551615; got seed=18446744073709551616. Give a seed in that "
            "range.",
        ),
        (
            lambda: torch_cpu.uniform(START, (2,), 1.0, 0.0),
            ValueError,
            "torch_cpu.uniform: high must be at least low; got low=1, high=0. Swap the "
            "two.",
        ),
        (
            lambda: torch_cpu.normal(START, (2,), dtype="float8_e5m2"),
            TypeError,
            "torch_cpu.normal: dtype must be one of float64, float32, bfloat16, float16;"
            " got dtype=float8_e5m2. Draw float32 and convert the result.",
        ),
        (
            lambda: torch_cpu.xavier_normal(START, (5,)),
            ValueError,
            "torch_cpu.xavier_normal: shape needs at least 2 axes; got shape=(5,). For "
            "a bias use uniform or normal with its bounds.",
        ),
        (
            lambda: torch_cpu.kaiming_uniform(START, (5, 0)),
            ValueError,
            "torch_cpu.kaiming_uniform: shape must have no axis of length 0; got "
            "shape=(5, 0). PyTorch fails there, too.",
        ),
        (
            lambda: torch_cpu.kaiming_normal(START, (5, 2), mode="fan_avg"),
            ValueError,
            "torch_cpu.kaiming_normal: mode must be one of fan_in, fan_out; got "
            "mode='fan_avg'. Did you mean 'fan_in'?",
        ),
        (
            lambda: torch_cpu.calculate_gain("gelu"),
            ValueError,
            "torch_cpu.calculate_gain: nonlinearity must be one of linear, conv1d, "
            "conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d, "
            "sigmoid, tanh, relu, selu, leaky_relu; got nonlinearity='gelu'. Did you "
            "mean 'selu'?",
        ),
        (
            lambda: torch_cpu.trunc_normal(START, (2,), std=0.0),
            ValueError,
            "torch_cpu.trunc_normal: std must be above 0 and low below high; got std=0,"
            " low=-2, high=2. Give bounds that leave room.",
        ),
        (
            lambda: torch_cpu.normal(numpy_legacy.seed(0), (2,)),  # pyright: ignore[reportArgumentType]
            TypeError,
            "torch_cpu.normal: stream must come from torch_cpu.manual_seed(seed); got one "
            "from numpy_legacy.seed(seed). The streams of different libraries are not "
            "exchangeable.",
        ),
        (
            lambda: torch_cpu.uniform(START, (2,), -3e38, 3e38, "float32"),
            ValueError,
            "torch_cpu.uniform: width must be at most 3.4e38 in size; got width=6e+38. "
            "Draw with another scale, and scale the result.",
        ),
        (
            lambda: torch_cpu.dropout(START, (2,), 1.5),
            ValueError,
            "torch_cpu.dropout: p must be a finite number, at least 0 and at most 1; got "
            "p=1.5. Give a value in that range.",
        ),
        (
            lambda: torch_cpu.sparse(START, (2,), 0.5),
            ValueError,
            "torch_cpu.sparse: shape must have two axes; got shape=(2,). Reshape the "
            "result instead.",
        ),
        (
            lambda: nn.Conv2d(4, 6, 3, groups=4),
            ValueError,
            "torch_layers.Conv2d: groups must divide in_channels and out_channels; got groups=4 with"
            " 4 and 6. Choose a common divisor.",
        ),
        (
            lambda: nn.Conv2d(4, 6, (3, 3, 3)),
            ValueError,
            "torch_layers.Conv2d: kernel_size must be an int or 2 ints; got kernel_size=(3, 3, 3). "
            "Give one length for each axis.",
        ),
        (
            lambda: nn.Linear(0, 3),
            ValueError,
            "torch_layers.Linear: in_features must be an int, at least 1; got in_features=0. Give 1 "
            "or more.",
        ),
        (
            lambda: nn.Embedding(3, 2, padding_idx=3),
            ValueError,
            "torch_layers.Embedding: padding_idx must be the number of a row; got padding_idx=3 with"
            " 3 rows. Give None for no such row.",
        ),
        (
            lambda: nn.MultiheadAttention(5, 2),
            ValueError,
            "torch_layers.MultiheadAttention: num_heads must divide embed_dim; got embed_dim=5, "
            "num_heads=2. Choose a divisor.",
        ),
        (
            lambda: torch_cpu.build(START, [3]),  # pyright: ignore[reportArgumentType]
            TypeError,
            "torch_layers.build: model must be a layer, or a list or dict of layers; "
            "got 3. Use None for a ReLU.",
        ),
    ],
)
def test_errors(call, kind, text):
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == text
