"""Truncated normals of PyTorch: by the inverse function, and by accepting uniform values."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxinit.replay import torch_cpu
from jaxinit.replay import torch_layers as nn
from tests.replay.golden import assert_same_bits, from_torch
from tests.replay.torch_models import Library, build

NARROW = [(0.0, 1.0, 5.0, 6.0), (0.5, 2.0, -0.1, 0.3), (-3.0, 1.0, 0.0, 2.0)]


def test_bounds_that_hold_little_recorded():
    stream, w = torch_cpu.trunc_normal(
        torch_cpu.manual_seed(0), (5,), *NARROW[0], dtype="float32"
    )
    known = "5386c2", "59ac98", "416dc8", "487330", "48e0bc"  # of PyTorch 2.13
    assert w.tolist() == [float.fromhex(f"0x1.{x}p+2") for x in known]
    _, after = torch_cpu.uniform(stream, (1,), dtype="float32")
    assert float(after[0]) == float.fromhex("0x1.db3c38p-2")


@pytest.mark.parity
@pytest.mark.filterwarnings("ignore:mean is more than 2 std")
@pytest.mark.parametrize("bounds", NARROW)
@pytest.mark.parametrize("size", [7, 20000])
def test_bounds_that_hold_little_live(torch, bounds, size):
    torch.manual_seed(size)
    known = torch.empty(size)
    torch.nn.init.trunc_normal_(known, *bounds)
    draw = nn.Parameter(size, lambda p: nn.init.trunc_normal_(p, *bounds))
    stream, state = build([draw], size)
    assert_same_bits(state["0"], from_torch(known))
    _, after = torch_cpu.uniform(stream, (3,), dtype="float32")
    assert_same_bits(after, from_torch(torch.rand(3)))


@pytest.mark.parity
def test_inverse_normal_live(torch):
    known = Library(torch)
    torch.manual_seed(3)
    with torch.no_grad():
        tensor = known.inverse(torch.empty(100000), 0.5, 1.5, -2.0, 3.0).numpy()

    def draw(parameter):
        nn.init.trunc_normal_inverse_(parameter, 0.5, 1.5, -2.0, 3.0)

    _, state = build(lambda: [nn.Parameter(100000, draw)], 3)
    ours = np.asarray(state["0"])
    steps = np.abs(ours.view(np.int32) - tensor.view(np.int32))
    assert np.mean(steps > 0) < 0.001
    np.testing.assert_allclose(ours, tensor, rtol=0, atol=2.5e-7)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_farthest_truncated_normals_are_the_bounds(dtype):
    # A uniform number of -1 has no inverse; PyTorch clamps its infinity to the bound.
    def fill(parameter):
        parameter[1:].uniform_(-1.0, -1.0).erfinv_().mul_(0.02).add_(0.5).clamp_(-2.0, 2.0)

    state = build(lambda: [nn.Parameter(20000, fill)], 0, dtype)[1]
    assert set(state["0"].tolist()) == {0.0, -2.0}
    _, w = torch_cpu.trunc_normal_inverse(
        torch_cpu.manual_seed(0), (20000,), std=0.02, dtype="bfloat16"
    )
    assert float(jnp.max(jnp.abs(w))) == 2.0
