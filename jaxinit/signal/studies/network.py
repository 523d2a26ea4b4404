"""The experiment: one compiled program of all layers for many seeds.

Weights are drawn inside a scan over layers, and again on the way back, so memory does not
grow with depth times width squared: to keep them costs more in page faults than to draw
them again. Gradients come from JAX's reverse mode: each layer's output takes an added
zero, whose cotangent is the gradient there. Several networks whose weights differ by a
factor run through one drawing of them.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, PartitionSpec

from jaxinit._boundary import boundary
from jaxinit._gaussian import Once
from jaxinit.initializers.plain import normal
from jaxinit.signal.studies.conditions import fold_each
from jaxinit.signal.studies.measures import quantities
from jaxinit.signal.studies.schemes import Distribution, draw_weight

Kind = Literal["dense", "residual", "normalized", "conv"]
KINDS = ("dense", "residual", "normalized", "conv")


@boundary
@dataclasses.dataclass(frozen=True)
class Network:
    """A deep network of equal layers; hashable.

    Attributes:
        activation: Function on arrays: the library's own, or a user's as ``Once``.
        distribution: Distribution of the weights at gain 1, or an initializer.
        kind: ``"dense"``: f(Wx + b). ``"residual"``: x + s f(Wx + b).
            ``"normalized"``: f(LayerNorm(Wx + b)). ``"conv"``: f of a periodic 3 x 3
            convolution of a square picture.
        depth: Number of layers.
        width: Units of a layer; for ``"conv"`` channels.
        batch: Inputs.
        dtype: Name of the dtype of weights, activations and gradients.
        branch_scale: The s of ``"residual"``.
        size: Side of the picture, for ``"conv"``.
    """

    activation: Callable[[Any], Any]
    distribution: Distribution | Any
    kind: Kind = "dense"
    depth: int = 100
    width: int = 512
    batch: int = 1
    dtype: str = "float32"
    branch_scale: float = 1.0
    size: int = 8

    @property
    def is_named(self) -> bool:
        """Whether all of it is the library's own, and none a user's function."""
        return isinstance(self.distribution, str) and not isinstance(self.activation, Once)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of a batch of inputs."""
        picture = (self.size, self.size) if self.kind == "conv" else ()
        return (self.batch, *picture, self.width)

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of one layer's weight."""
        window = (3, 3) if self.kind == "conv" else ()
        return (*window, self.width, self.width)

    @property
    def drawn(self) -> tuple[Any, ...]:
        """What must be equal for networks to run through the same weights."""
        named = isinstance(self.distribution, str)
        return (
            self.distribution if named else id(self.distribution),
            self.weight_shape,
            self.input_shape,
            self.depth,
            self.dtype,
        )


class Draws(NamedTuple):
    """All random numbers of a seed but the weights, which are drawn layer by layer."""

    inputs: jax.Array
    """Shape of a batch of inputs, N(0, 1)."""
    end: jax.Array
    """Gradient with respect to the last layer, of the same shape, N(0, 1)."""
    biases: jax.Array
    """Shape (depth, width), N(0, 1)."""
    keys: jax.Array
    """One key a layer."""


@functools.partial(jax.jit, static_argnames=("shape", "depth", "width"))
def draw_seeds(
    keys: jax.Array, shape: tuple[int, ...], depth: int, width: int, correlation: Any
) -> Draws:
    """Return the draws of many seeds; one program for all networks of these shapes."""

    def one(key: jax.Array) -> Draws:
        keys = fold_each(key, jnp.arange(3, dtype=jnp.uint32))
        both = normal(keys[0], (2, *shape), jnp.float32)
        x, end = both[0], both[1]
        if shape[0] > 1:
            mixed = correlation * x[0] + jnp.sqrt(1 - correlation**2) * x[1]
            x = x.at[1].set(mixed)
        biases = normal(keys[1], (depth, width), jnp.float32)
        return Draws(
            x, end, biases, fold_each(keys[2], jnp.arange(depth, dtype=jnp.uint32))
        )

    return jax.vmap(one)(keys)


def layer(
    net: Network, x: jax.Array, key: jax.Array, gain: jax.Array, bias: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return a layer's output and what went into its activation."""
    weight = draw_weight(net.distribution, key, net.weight_shape, net.dtype, gain)
    return _after(net, x, _linear(net, x, weight), bias)


def layers(
    nets: tuple[Network, ...],
    xs: jax.Array,
    key: jax.Array,
    gains: jax.Array,
    biases: jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Return the same of one layer of several networks, each over the first axis."""
    if len(nets) == 1:
        out, h = layer(nets[0], xs[0], key, gains[0], biases[0])
        return out[None], h[None]
    weight = draw_weight(
        nets[0].distribution, key, nets[0].weight_shape, nets[0].dtype, 1.0
    )
    # One product for all networks, whose inputs are further rows of a batch.
    rows = jnp.reshape(xs, (-1, *xs.shape[2:]))
    products = jnp.reshape(_linear(nets[0], rows, weight), (*xs.shape[:-1], -1))
    each = zip(nets, xs, products, gains.astype(xs.dtype), biases, strict=True)
    pairs = [_after(net, x, gain * h, bias) for net, x, h, gain, bias in each]
    outs, before = zip(*pairs, strict=True)
    return jnp.stack(outs), jnp.stack(before)


def _linear(net: Network, x: jax.Array, weight: jax.Array) -> jax.Array:
    if net.kind != "conv":
        return x @ weight
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="wrap")
    return jax.lax.conv_general_dilated(
        padded, weight, (1, 1), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def _after(
    net: Network, x: jax.Array, h: jax.Array, bias: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return a layer's output and what went into its activation, from the product."""
    h = h + jnp.reshape(bias.astype(net.dtype), (1,) * (h.ndim - 1) + (-1,))
    if net.kind == "normalized":
        centred = h - h.mean(-1, keepdims=True)
        h = centred * jax.lax.rsqrt(jnp.mean(centred**2, -1, keepdims=True))
    out = net.activation(h)
    if net.kind == "residual":
        out = x + jnp.asarray(net.branch_scale, net.dtype) * out
    return out, h


def one_seed(
    nets: tuple[Network, ...], draws: Draws, gains: jax.Array, sigma_b: jax.Array
) -> list[dict[str, jax.Array]]:
    """Return all quantities of one seed of each network, each of shape (depth + 1,).

    Args:
        nets: Networks of equal ``drawn``.
        draws: What all of them share.
        gains: Shape (networks, depth).
        sigma_b: Shape (networks,).
    """
    x0 = draws.inputs.astype(nets[0].dtype)

    @jax.checkpoint
    def step(xs: jax.Array, at: tuple[Any, ...]) -> tuple[jax.Array, Any]:
        key, gain, bias, zero = at
        outs, before = layers(nets, xs, key, gain, sigma_b[:, None] * bias)
        return outs + zero, jax.lax.stop_gradient((outs, before))

    def forward(xs: jax.Array, zeros: jax.Array) -> tuple[jax.Array, Any]:
        return jax.lax.scan(step, xs, (draws.keys, gains.T, draws.biases, zeros))

    # Made from x0: a plain constant is one for all devices, and so would its gradient be.
    many = jnp.broadcast_to(x0, (len(nets), *x0.shape))
    zeros = jnp.broadcast_to(0 * many, (nets[0].depth, *many.shape))
    end = jnp.broadcast_to(draws.end.astype(x0.dtype), many.shape)
    _, pull, (outs, before) = jax.vjp(forward, many, zeros, has_aux=True)
    at_input, at_layers = pull(end)
    outs = jnp.concatenate([many[None], outs])
    gradients = jnp.concatenate([at_input[None], at_layers])
    return [
        quantities(net.activation, outs[:, j], before[:, j], gradients[:, j])
        for j, net in enumerate(nets)
    ]


def compiled(
    function: Callable[..., Any], nets: tuple[Network, ...], *static: Any
) -> Callable[..., Any]:
    """Return a function of networks, with them bound, as a program of arrays.

    That of named networks is shared. With a user's function in them it is the caller's
    alone, since what JAX has in a cache is neither read again nor let go.
    """
    make = _shared if all(net.is_named for net in nets) else _shared.__wrapped__
    return make(function, nets, *static)


@functools.lru_cache(maxsize=256)
def _shared(function: Callable[..., Any], *static: Any) -> Callable[..., Any]:
    return jax.jit(functools.partial(function, *static))


def measure(
    nets: tuple[Network, ...],
    devices: tuple[Any, ...],
    draws: Draws,
    gains: jax.Array,
    sigma_b: jax.Array,
) -> list[dict[str, jax.Array]]:
    """Return all quantities, each of shape (seeds, depth + 1), seeds over ``devices``."""
    many = jax.vmap(functools.partial(one_seed, nets), in_axes=(0, None, None))
    if len(devices) > 1:
        axis = (AxisType.Auto,)
        mesh = jax.make_mesh((len(devices),), ("seed",), axis_types=axis, devices=devices)
        apart, same = PartitionSpec("seed"), PartitionSpec()
        # Unchecked: some primitives that activations use (polynomial, in JAX 0.12) have
        # no rule for values of which some differ between devices and some do not.
        many = jax.shard_map(
            many,
            mesh=mesh,
            in_specs=(apart, same, same),
            out_specs=apart,
            check_vma=False,
        )
    return many(draws, gains, sigma_b)
