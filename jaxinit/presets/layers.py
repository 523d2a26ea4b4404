"""The layer defaults of PyTorch, Keras, Flax, Haiku and Equinox, for any model.

Which leaf is a weight, and what its fans are, comes from the computation: a model in Flax
gets the very distributions that the same model in PyTorch has. Read in the sources of
torch 2.13.0, keras 3.15.1, flax 0.12.8, dm-haiku 0.0.17 and equinox 0.13.8.
"""

import functools

from jaxinit._boundary import boundary
from jaxinit._checks import check_int
from jaxinit._types import Initializer
from jaxinit.initializers.constant import ones, zeros
from jaxinit.initializers.lecun import lecun_truncated_normal
from jaxinit.initializers.xavier import xavier_uniform
from jaxinit.models.rules import Rule
from jaxinit.presets.common import (
    bounded,
    by_role,
    check_flag,
    check_globs,
    check_uses,
    cut_gaussian,
    fan_in,
    gaussian,
)
from jaxinit.trace.use import ParamUse, Uses


@boundary
def pytorch(uses: Uses) -> list[Rule]:
    r"""Return rules for the defaults of PyTorch's layers.

    Linear, Conv1-3d and ConvTranspose1-3d: weight and bias
    :math:`U(\pm 1/\sqrt{fan_{in}})`, which is ``kaiming_uniform_(a=sqrt(5))``; Embedding
    :math:`N(0, 1)`; norms 1 and 0. For recurrent cells and attention put
    :func:`pytorch_recurrent` and :func:`pytorch_attention` in front. PyTorch takes the
    outputs of a ConvTranspose for its inputs; here the inputs are the inputs.

    Args:
        uses: What :func:`jaxinit.trace_params` found.

    Returns:
        One rule a leaf.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.presets import pytorch
        >>> params = {"w": jax.ShapeDtypeStruct((100, 5), "float32")}
        >>> params["b"] = jax.ShapeDtypeStruct((5,), "float32")
        >>> x = jax.ShapeDtypeStruct((2, 100), "float32")
        >>> uses = jaxinit.trace_params(lambda p, x: x @ p["w"] + p["b"], params, x)
        >>> [row.distribution.text for row in jaxinit.plan(params, pytorch(uses))]
        ['uniform(low=-0.1, high=0.1)', 'uniform(low=-0.1, high=0.1)']
    """

    def distribution(use: ParamUse) -> Initializer:
        return bounded(fan_in(use) ** -0.5)

    return by_role(
        "pytorch",
        uses,
        weight=distribution,
        bias=distribution,
        embedding=lambda _: gaussian(1.0),
    )


@boundary
def pytorch_recurrent(*, arrays: str, hidden_size: int) -> list[Rule]:
    r"""Return the rule for the defaults of PyTorch's RNN, LSTM and GRU.

    All arrays are :math:`U(\pm 1/\sqrt{hidden})`.
    PyTorch has two bias vectors a cell; a cell with one, like Equinox's, has half the
    variance.

    Args:
        arrays: Glob of the arrays of the cell.
        hidden_size: Length of its state.

    Returns:
        One rule.

    Raises:
        ValueError: ``hidden_size`` is below 1.

    Example:
        >>> from jaxinit.presets import pytorch_recurrent
        >>> rules = pytorch_recurrent(arrays="lstm/*", hidden_size=100)
    """
    check_globs(arrays=arrays)
    hidden = check_int("hidden_size", hidden_size, least=1)
    return [(arrays, bounded(hidden**-0.5))]


@boundary
def pytorch_attention(
    *, in_kernels: str, out_kernels: str, biases: str, embed_dim: int, packed: bool = True
) -> list[Rule]:
    r"""Return rules for the defaults of PyTorch's MultiheadAttention.

    With equal sizes PyTorch packs q, k and v into one (3 E, E) matrix, whose Xavier bound
    is :math:`\sqrt{6 / 4E}`; with ``kdim`` or ``vdim`` they are on their own, with
    :math:`\sqrt{6 / 2E}`. The output is a Linear with bias 0.

    Args:
        in_kernels: Glob of the query, key and value kernels.
        out_kernels: Glob of the output kernel.
        biases: Glob of all biases.
        embed_dim: E.
        packed: Which of the two.

    Returns:
        Three rules.

    Raises:
        ValueError: ``embed_dim`` is below 1.

    Example:
        >>> from jaxinit.presets import pytorch_attention
        >>> names = {"in_kernels": "**/{query,key,value}/kernel"}
        >>> names |= {"out_kernels": "**/out/kernel", "biases": "**/bias"}
        >>> rules = pytorch_attention(**names, embed_dim=512)
    """
    check_globs(in_kernels=in_kernels, out_kernels=out_kernels, biases=biases)
    check_flag("packed", packed)
    embed_dim = check_int("embed_dim", embed_dim, least=1)
    bound = (6 / ((4 if packed else 2) * embed_dim)) ** 0.5
    return [
        (biases, zeros),
        (in_kernels, bounded(bound)),
        (out_kernels, bounded(embed_dim**-0.5)),
    ]


@boundary
def pytorch_bilinear(*, weight: str, bias: str, in1_features: int) -> list[Rule]:
    r"""Return rules for the defaults of PyTorch's Bilinear.

    Weight and bias are :math:`U(\pm 1/\sqrt{in_1})`.

    Args:
        weight: Glob of the weight.
        bias: Glob of the bias.
        in1_features: Length of the first input.

    Returns:
        Two rules.

    Raises:
        ValueError: ``in1_features`` is below 1.

    Example:
        >>> from jaxinit.presets import pytorch_bilinear
        >>> rules = pytorch_bilinear(weight="mix/w", bias="mix/b", in1_features=30)
    """
    check_globs(weight=weight, bias=bias)
    distribution = bounded(check_int("in1_features", in1_features, least=1) ** -0.5)
    return [(weight, distribution), (bias, distribution)]


@boundary
def keras(uses: Uses) -> list[Rule]:
    r"""Return rules for the defaults of Keras' layers.

    Kernels ``glorot_uniform``, biases 0, Embedding :math:`U(\pm 0.05)`, norms 1 and 0. A
    recurrent kernel is orthogonal there: put a rule for it in front.

    Args:
        uses: What :func:`jaxinit.trace_params` found.

    Returns:
        One rule a leaf.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.presets import keras
        >>> params = {"w": jax.ShapeDtypeStruct((100, 50), "float32")}
        >>> x = jax.ShapeDtypeStruct((2, 100), "float32")
        >>> uses = jaxinit.trace_params(lambda p, x: x @ p["w"], params, x)
        >>> [row.distribution.text for row in jaxinit.plan(params, keras(uses))]
        ['xavier_uniform(layout=100:50)']
    """

    def weight(use: ParamUse) -> Initializer:
        return functools.partial(xavier_uniform, layout=use.fans)

    return by_role("keras", uses, weight=weight, embedding=lambda _: bounded(0.05))


@boundary
def flax(uses: Uses) -> list[Rule]:
    r"""Return rules for the defaults of Flax' layers, linen and NNX.

    Kernels truncated LeCun, biases 0, Embed :math:`N(0, 1/features)`, norms 1 and 0. A
    recurrent kernel is orthogonal there: put a rule for it in front.

    Args:
        uses: What :func:`jaxinit.trace_params` found.

    Returns:
        One rule a leaf.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.presets import flax
        >>> params = {"w": jax.ShapeDtypeStruct((100, 50), "float32")}
        >>> x = jax.ShapeDtypeStruct((2, 100), "float32")
        >>> uses = jaxinit.trace_params(lambda p, x: x @ p["w"], params, x)
        >>> [row.distribution.text for row in jaxinit.plan(params, flax(uses))]
        ['lecun_truncated_normal(layout=100:50)']
    """

    def weight(use: ParamUse) -> Initializer:
        return functools.partial(lecun_truncated_normal, layout=use.fans)

    def table(use: ParamUse) -> Initializer:
        return gaussian(use.fans.fan_out**-0.5 if use.fans is not None else 1.0)

    return by_role("flax", uses, weight=weight, embedding=table)


@boundary
def haiku(uses: Uses) -> list[Rule]:
    r"""Return rules for the defaults of Haiku's layers.

    Weights :math:`N(0, 1/fan_{in})` cut at two standard deviations and not scaled back, so
    that their own is :math:`0.88/\sqrt{fan_{in}}`; biases 0; Embed the same distribution
    with std 1.

    Args:
        uses: What :func:`jaxinit.trace_params` found.

    Returns:
        One rule a leaf.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.presets import haiku
        >>> params = {"w": jax.ShapeDtypeStruct((100, 50), "float32")}
        >>> x = jax.ShapeDtypeStruct((2, 100), "float32")
        >>> uses = jaxinit.trace_params(lambda p, x: x @ p["w"], params, x)
        >>> [row.distribution.text for row in jaxinit.plan(params, haiku(uses))]
        ['truncated_normal(std=0.1, low=-0.2, high=0.2)']
    """

    def weight(use: ParamUse) -> Initializer:
        return cut_gaussian(fan_in(use) ** -0.5)

    return by_role("haiku", uses, weight=weight, embedding=lambda _: cut_gaussian(1.0))


@boundary
def equinox(uses: Uses) -> list[Rule]:
    r"""Return rules for the defaults of Equinox' layers.

    Weights and biases :math:`U(\pm 1/\sqrt{fan_{in}})`, Embedding :math:`N(0, 1)`, norms 1
    and 0. For recurrent cells put :func:`pytorch_recurrent` in front.

    Args:
        uses: What :func:`jaxinit.trace_params` found.

    Returns:
        One rule a leaf.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.presets import equinox
        >>> params = {"w": jax.ShapeDtypeStruct((100, 50), "float32")}
        >>> x = jax.ShapeDtypeStruct((2, 100), "float32")
        >>> uses = jaxinit.trace_params(lambda p, x: x @ p["w"], params, x)
        >>> [row.distribution.text for row in jaxinit.plan(params, equinox(uses))]
        ['uniform(low=-0.1, high=0.1)']
    """
    return pytorch(check_uses("uses", uses))


@boundary
def norms(*, scales: str, biases: str) -> list[Rule]:
    """Return rules for the norms of all these libraries: scale 1, bias 0.

    Args:
        scales: Glob of the scales.
        biases: Glob of the biases.

    Returns:
        Two rules.

    Example:
        >>> from jaxinit.presets import norms
        >>> rules = norms(scales="**/norm/scale", biases="**/norm/bias")
    """
    check_globs(scales=scales, biases=biases)
    return [(scales, ones), (biases, zeros)]
