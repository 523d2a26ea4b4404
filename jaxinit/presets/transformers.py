"""Schemes of transformer models: GPT-2, T5, ViT."""

import math
from typing import Literal

import jax

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_int, check_number
from jaxinit._types import DTypeLike, Key, Shape
from jaxinit.initializers.lecun import lecun_truncated_normal
from jaxinit.initializers.xavier import xavier_uniform
from jaxinit.models.rules import Rule, optional
from jaxinit.presets.common import (
    BIASES,
    SCALES,
    ZEROS,
    bounded,
    check_globs,
    fixed,
    gaussian,
    neutral_vectors,
)


@boundary
def gpt2(*, num_layers: int, residual: str, std: float = 0.02) -> list[Rule]:
    r"""Return GPT-2's rules: a fixed std, smaller where branches join the stream.

    .. math:: W \sim N(0, \sigma^2), \qquad
        W_{residual} \sim N(0, \sigma^2 / 2L)

    Args:
        num_layers: L, the number of blocks; each adds to the stream twice.
        residual: Glob of the output kernels of attention and MLP, such as
            ``"**/c_proj/kernel"``.
        std: :math:`\sigma`.

    Returns:
        Rules for a whole model: residual kernels, biases 0, scales 1, all else.

    Raises:
        ValueError: ``num_layers`` is below 1.

    References:
        Radford et al., "Language models are unsupervised multitask learners", 2019, section
        2.3, and the code of nanoGPT and of Hugging Face for the factor 2.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.presets import gpt2
        >>> kernel = jax.ShapeDtypeStruct((8, 8), "float32")
        >>> params = {"fc": kernel, "proj": kernel}
        >>> rules = gpt2(num_layers=8, residual="proj")
        >>> [row.std for row in jaxinit.plan(params, rules)]
        [0.02, 0.005]
    """
    layers = check_int("num_layers", num_layers, least=1)
    check_globs(residual=residual)
    std = float(check_number("std", std, least=0))
    return [
        (residual, gaussian(std / math.sqrt(2 * layers))),
        *neutral_vectors(),
        ("**", gaussian(std)),
    ]


@boundary
def t5(
    *,
    d_model: int,
    d_kv: int,
    num_heads: int,
    d_ff: int,
    query: str,
    key_value: str,
    output: str,
    wi: str,
    wo: str,
    relative_bias: str,
    factor: float = 1.0,
) -> list[Rule]:
    r"""Return T5's rules: q carries the factor that its attention leaves out.

    Attention has no :math:`1/\sqrt{d_{kv}}`.

    Args:
        d_model: Width d of the model.
        d_kv: Size of a head.
        num_heads: Number of heads.
        d_ff: Width of the feed-forward layer.
        query: Glob of q: :math:`(d\, d_{kv})^{-1/2}`.
        key_value: Glob of k and v: :math:`d^{-1/2}`.
        output: Glob of the attention output: :math:`(h\, d_{kv})^{-1/2}`.
        wi: Glob of the first feed-forward kernels: :math:`d^{-1/2}`.
        wo: Glob of the last one: :math:`d_{ff}^{-1/2}`.
        relative_bias: Glob of the relative position table: :math:`d^{-1/2}`.
        factor: ``initializer_factor``, on all of them.

    Returns:
        Rules for a whole model; scales are ``factor``, tables and heads N(0, factor^2).

    Raises:
        ValueError: A size is below 1, or ``factor`` negative.

    References:
        Raffel et al., 2020; ``T5PreTrainedModel._init_weights`` of Hugging Face's
        transformers.

    Example:
        >>> from jaxinit.presets import t5
        >>> globs = {"query": "**/q/kernel", "key_value": "**/{k,v}/kernel"}
        >>> globs |= {"output": "**/o/kernel", "wi": "**/wi*/kernel", "wo": "**/wo/kernel"}
        >>> globs |= {"relative_bias": "**/relative_attention_bias/embedding"}
        >>> rules = t5(d_model=512, d_kv=64, num_heads=8, d_ff=2048, **globs)
    """
    d_model = check_int("d_model", d_model, least=1)
    d_kv = check_int("d_kv", d_kv, least=1)
    num_heads = check_int("num_heads", num_heads, least=1)
    d_ff = check_int("d_ff", d_ff, least=1)
    factor = float(check_number("factor", factor, least=0))
    check_globs(query=query, key_value=key_value, output=output)
    check_globs(wi=wi, wo=wo, relative_bias=relative_bias)
    return [
        (query, gaussian(factor * (d_model * d_kv) ** -0.5)),
        (key_value, gaussian(factor * d_model**-0.5)),
        (output, gaussian(factor * (num_heads * d_kv) ** -0.5)),
        (wi, gaussian(factor * d_model**-0.5)),
        (wo, gaussian(factor * d_ff**-0.5)),
        (relative_bias, gaussian(factor * d_model**-0.5)),
        (optional("**/{scale,weight}"), fixed(factor)),
        ("**", gaussian(factor)),
    ]


VitVariant = Literal["jax", "timm", "moco"]


@boundary
def vit(
    *,
    variant: VitVariant,
    head: str,
    mlp: str,
    patch: str,
    tables: str,
    qkv: str | None = None,
    head_bias: float = 0.0,
) -> list[Rule]:
    r"""Return timm's rules for vision transformers.

    Args:
        variant: ``"jax"``: kernels Xavier uniform, MLP biases :math:`N(0, 10^{-12})`, patch
            convolution LeCun, head 0. ``"timm"``: all kernels :math:`N(0, 0.02^2)`,
            since its bounds of :math:`\pm 2` cut nothing.
            ``"moco"``: Xavier uniform, fused qkv with the fans of one of the three.
        head: Glob of the classifier's arrays.
        mlp: Glob of the MLP's biases.
        patch: Glob of the patch convolution's kernel.
        tables: Glob of position table and class token: :math:`N(0, 0.02^2)`. (timm
            gives its class token :math:`10^{-6}`: put a rule for it in front.)
        qkv: For ``"moco"``, glob of fused kernels, kept as (in, 3 out).
        head_bias: The classifier's bias, ``"jax"`` only.

    Returns:
        Rules for a whole model.

    Raises:
        ValueError: The variant is unknown.

    References:
        Dosovitskiy et al., 2021; Chen, Xie and He, 2021;
        ``timm/models/vision_transformer.py``.

    Example:
        >>> from jaxinit.presets import vit
        >>> globs = {"head": "head/*", "mlp": "**/mlp/*/bias", "patch": "patch/kernel"}
        >>> rules = vit(variant="jax", **globs, tables="{position,cls}")
    """
    check_choice("variant", variant, ("jax", "timm", "moco"))
    check_globs(head=head, mlp=mlp, patch=patch, tables=tables, qkv=qkv)
    head_bias = float(check_number("head_bias", head_bias))
    common: list[Rule] = [(tables, gaussian(0.02)), SCALES]
    if variant == "timm":
        return [*common, BIASES, ("**", gaussian(0.02))]
    xavier = xavier_uniform
    if variant == "moco":
        fused: list[Rule] = [] if qkv is None else [(qkv, _one_of_three)]
        return [*common, *fused, BIASES, ("**", xavier)]

    lecun = lecun_truncated_normal
    return [
        *common,
        (optional(f"{head.rpartition('/')[0]}/{{bias,b}}"), fixed(head_bias)),
        (head, ZEROS),
        (patch, lecun),
        (mlp, gaussian(1e-6)),
        BIASES,
        ("**", xavier),
    ]


def _one_of_three(key: Key, shape: Shape, dtype: DTypeLike | None = None) -> jax.Array:
    return bounded(math.sqrt(6 / (shape[0] + shape[1] / 3)))(key, shape, dtype)
