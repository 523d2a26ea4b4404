"""Layers of Flax linen, Flax NNX, Haiku and Equinox, built and run with our initializers.

Each kernel is held to the standard deviation that the fans of its layer call for, with a
false-alarm probability of 1e-9 (see ``jaxinit.asserts``), and each layer is run under jit.
"""

import subprocess
import sys
import textwrap
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxinit
from jaxinit.asserts import (
    Distribution,
    assert_array,
    assert_distribution,
    assert_orthogonal,
    assert_tree,
)

KEY = jax.random.key(7)


def ones(*shape: int) -> jax.Array:
    return jnp.ones(shape, np.float32)


def held(
    kernel: jax.Array, shape: tuple[int, ...], std: float, distribution: str = "normal"
) -> None:
    """Assert shape and distribution, and that the draw is large enough to show 20 %."""
    assert_array(kernel, shape, np.float32)
    assert_distribution(kernel, Distribution(std, distribution=distribution))
    for wrong in (0.8, 1.25):
        with pytest.raises(AssertionError):
            assert_distribution(
                kernel, Distribution(wrong * std, distribution=distribution)
            )


# --- Flax linen -------------------------------------------------------------------------


def linen() -> Any:
    from flax import linen

    return linen


def test_linen_dense() -> None:
    nn = linen()
    init = partial(jaxinit.kaiming_normal, nonlinearity="relu")
    layer = nn.Dense(300, kernel_init=init, bias_init=jaxinit.zeros)
    x = ones(5, 200)
    params = jax.jit(layer.init)(KEY, x)["params"]
    held(params["kernel"], (200, 300), (2 / 200) ** 0.5)
    assert_tree(params["bias"], Distribution(0.0))
    assert jax.jit(layer.apply)({"params": params}, x).shape == (5, 300)


def test_linen_dense_in_bfloat16() -> None:
    nn = linen()
    layer = nn.Dense(512, kernel_init=jaxinit.xavier_uniform, param_dtype=jnp.bfloat16)
    kernel = layer.init(KEY, jnp.ones((1, 512), jnp.bfloat16))["params"]["kernel"]
    assert_array(kernel, (512, 512), jnp.bfloat16)
    assert_distribution(kernel, Distribution(512**-0.5, distribution="uniform"))


@pytest.mark.parametrize("groups", [1, 4])
def test_linen_conv(groups: int) -> None:
    nn = linen()
    # Flax' grouped kernel is (window, input / groups, output): its fan_in is its own.
    layer = nn.Conv(
        64, (3, 3), feature_group_count=groups, kernel_init=jaxinit.kaiming_normal
    )
    x = ones(2, 8, 8, 32)
    params = jax.jit(layer.init)(KEY, x)["params"]
    held(params["kernel"], (3, 3, 32 // groups, 64), (2 / (9 * 32 / groups)) ** 0.5)
    assert jax.jit(layer.apply)({"params": params}, x).shape == (2, 8, 8, 64)


def test_linen_attention() -> None:
    nn = linen()
    # Flax draws (model, heads * size) and (heads * size, model), then splits the heads.
    layer = nn.MultiHeadDotProductAttention(
        num_heads=8, qkv_features=256, out_features=128, kernel_init=jaxinit.lecun_normal
    )
    x = ones(2, 5, 128)
    params = jax.jit(layer.init)(KEY, x)["params"]
    for name in ("query", "key", "value"):
        held(params[name]["kernel"], (128, 8, 32), 128**-0.5)
    held(params["out"]["kernel"], (8, 32, 128), 256**-0.5)
    assert jax.jit(layer.apply)({"params": params}, x).shape == (2, 5, 128)


def test_linen_scan() -> None:
    nn = linen()
    init = partial(jaxinit.orthogonal, gain=2**0.5)

    class Block(nn.Module):
        @nn.compact
        def __call__(self, x, _):
            return nn.relu(nn.Dense(64, kernel_init=init)(x)), None

    stack = nn.scan(
        Block, variable_axes={"params": 0}, split_rngs={"params": True}, length=6
    )()
    x = ones(2, 64)
    params = jax.jit(stack.init)(KEY, x, None)["params"]
    kernel = params["Dense_0"]["kernel"]
    assert_array(kernel, (6, 64, 64), np.float32)
    assert_orthogonal(kernel, 2**0.5)
    assert float(jnp.abs(kernel[0] - kernel[1]).max()) > 0.1  # each layer its own
    y, _ = jax.jit(stack.apply)({"params": params}, x, None)
    assert y.shape == (2, 64)


# --- Flax NNX ---------------------------------------------------------------------------


def test_nnx() -> None:
    from flax import nnx

    class Net(nnx.Module):
        def __init__(self, rngs):
            init = partial(jaxinit.kaiming_uniform, nonlinearity="relu")
            self.conv = nnx.Conv(16, 64, kernel_size=(3, 3), kernel_init=init, rngs=rngs)
            self.dense = nnx.Linear(
                64, 300, kernel_init=jaxinit.lecun_truncated_normal, rngs=rngs
            )

        def __call__(self, x):
            return self.dense(nnx.relu(self.conv(x)).mean(axis=(1, 2)))

    net = Net(nnx.Rngs(KEY))
    held(net.conv.kernel[...], (3, 3, 16, 64), (2 / 144) ** 0.5, "uniform")
    held(net.dense.kernel[...], (64, 300), 64**-0.5, "truncated_normal")
    assert nnx.jit(lambda net, x: net(x))(net, ones(2, 8, 8, 16)).shape == (2, 300)

    @nnx.jit
    def make():
        return nnx.state(Net(nnx.Rngs(KEY)))

    same = jax.tree.map(lambda a, b: bool((a == b).all()), make(), nnx.state(net))
    assert all(jax.tree.leaves(same))


# --- Haiku ------------------------------------------------------------------------------


def test_haiku() -> None:
    import haiku as hk

    from jaxinit.haiku import initializer

    def forward(x):
        he = initializer(partial(jaxinit.kaiming_normal, nonlinearity="relu"))
        up = initializer(partial(jaxinit.kaiming_normal, layout="HWOI"))
        x = hk.Conv2D(32, 3, w_init=he, b_init=initializer(jaxinit.zeros))(x)
        x = hk.Conv2DTranspose(8, 3, w_init=up)(jax.nn.relu(x))
        glorot = initializer(jaxinit.xavier_uniform)
        return hk.Linear(200, w_init=glorot)(x.reshape(x.shape[0], -1))

    net = hk.transform(forward)
    x = ones(2, 6, 6, 16)
    params = jax.jit(net.init)(KEY, x)
    held(params["conv2_d"]["w"], (3, 3, 16, 32), (2 / 144) ** 0.5)
    assert_tree(params["conv2_d"]["b"], Distribution(0.0))
    held(params["conv2_d_transpose"]["w"], (3, 3, 8, 32), (2 / (9 * 32)) ** 0.5)
    held(params["linear"]["w"], (288, 200), (2 / 488) ** 0.5, "uniform")
    assert jax.jit(net.apply)(params, KEY, x).shape == (2, 200)
    other = net.init(jax.random.key(8), x)
    assert float(jnp.abs(other["linear"]["w"] - params["linear"]["w"]).max()) > 0.01


def test_haiku_with_a_legacy_key_and_another_dtype() -> None:
    import haiku as hk

    from jaxinit.haiku import initializer

    def forward():
        first = hk.get_parameter("a", (64, 64), jnp.bfloat16, initializer(jaxinit.normal))
        second = hk.get_parameter("b", (64, 64), jnp.bfloat16, initializer(jaxinit.normal))
        return first, second

    net = hk.transform(forward)
    params = net.init(jax.random.PRNGKey(0))["~"]
    assert_array(params["a"], (64, 64), jnp.bfloat16)
    assert_distribution(params["a"], Distribution(1.0))
    assert float(jnp.abs(params["a"] - params["b"]).max()) > 1  # one key each


def test_haiku_refuses_what_is_no_function() -> None:
    from jaxinit.haiku import initializer

    with pytest.raises(TypeError) as caught:
        initializer(0.1)  # pyright: ignore[reportArgumentType]
    assert str(caught.value) == (
        "haiku.initializer: init must be a function of (key, shape, dtype); got init=0.1."
        " Give an initializer such as jaxinit.kaiming_normal."
    )


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", textwrap.dedent(code)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_haiku_missing_is_said_clearly() -> None:
    done = run_python("""
        import sys
        sys.modules["haiku"] = None  # as if it were not installed
        import jaxinit
        try:
            import jaxinit.haiku
        except ModuleNotFoundError as error:
            print(error)
    """)
    assert done.stdout == (
        "jaxinit.haiku: Haiku must be installed; got no module named 'haiku'."
        " Run: pip install dm-haiku\n"
    ), done.stderr


# --- Equinox ----------------------------------------------------------------------------


def test_equinox() -> None:
    import equinox as eqx

    net: Any = eqx.nn.Sequential([
        eqx.nn.Conv2d(16, 64, 3, dtype=np.float32, key=KEY),
        eqx.nn.Lambda(jnp.ravel),
        eqx.nn.Linear(256, 300, dtype=np.float32, key=KEY),
    ])
    first, second = jax.random.split(KEY)
    # Equinox' kernels are (output, input, window) and (output, input).
    conv = jaxinit.kaiming_normal(first, net[0].weight.shape, np.float32, layout="OIHW")
    dense = jaxinit.lecun_uniform(second, net[2].weight.shape, np.float32, layout="OI")
    net = eqx.tree_at(lambda n: (n[0].weight, n[2].weight), net, (conv, dense))
    held(net[0].weight, (64, 16, 3, 3), (2 / 144) ** 0.5)
    held(net[2].weight, (300, 256), 256**-0.5, "uniform")
    assert eqx.filter_jit(net)(ones(16, 4, 4)).shape == (300,)
