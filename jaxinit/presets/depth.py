"""Schemes that let residual networks be deep: DeepNorm, Fixup, T-Fixup."""

import functools
import math
from typing import NamedTuple

from jaxinit._boundary import boundary
from jaxinit._checks import check_int, check_number
from jaxinit.initializers.lecun import lecun_normal
from jaxinit.initializers.xavier import xavier_normal
from jaxinit.models.rules import Rule
from jaxinit.presets.common import BIASES, ZEROS, check_globs, gaussian, neutral_vectors


class DeepNorm(NamedTuple):
    """Constants of DeepNorm: ``norm(alpha * x + branch(x))``, Xavier with gain ``beta``.

    Attributes:
        encoder_alpha: On the residual stream of the encoder, 1 without one.
        encoder_beta: Gain of its scaled kernels.
        decoder_alpha: The same for the decoder.
        decoder_beta: The same for the decoder.
    """

    encoder_alpha: float
    encoder_beta: float
    decoder_alpha: float
    decoder_beta: float


@boundary
def deepnorm_constants(encoder_layers: int, decoder_layers: int) -> DeepNorm:
    r"""Return DeepNorm's constants for N encoder and M decoder layers.

    One stack of N: :math:`\alpha = (2N)^{1/4}`, :math:`\beta = (8N)^{-1/4}`. Both: encoder
    :math:`\alpha = 0.81 (N^4 M)^{1/16}`, :math:`\beta = 0.87 (N^4 M)^{-1/16}`; decoder
    :math:`\alpha = (3M)^{1/4}`, :math:`\beta = (12M)^{-1/4}`.
    (torchscale's code has 1.15 for
    0.87, its reciprocal; the paper is followed here.)

    Args:
        encoder_layers: N, 0 for a decoder alone.
        decoder_layers: M, 0 for an encoder alone.

    Returns:
        The constants, 1 for a stack that is not there.

    Raises:
        ValueError: A number is negative.

    References:
        Wang et al., "DeepNet: Scaling transformers to 1,000 layers", 2022,
        https://arxiv.org/abs/2203.00555, figure 2.

    Example:
        >>> from jaxinit.presets import deepnorm_constants
        >>> round(deepnorm_constants(0, 12).decoder_beta, 6)
        0.319472
    """
    n = check_int("encoder_layers", encoder_layers, least=0)
    m = check_int("decoder_layers", decoder_layers, least=0)
    if n and m:
        root = (n**4 * m) ** (1 / 16)
        return DeepNorm(0.81 * root, 0.87 / root, (3 * m) ** 0.25, (12 * m) ** -0.25)
    alone = [((2 * k) ** 0.25, (8 * k) ** -0.25) if k else (1.0, 1.0) for k in (n, m)]
    return DeepNorm(*alone[0], *alone[1])


@boundary
def deepnorm(*, beta: float, scaled: str) -> list[Rule]:
    r"""Return DeepNorm's rules for one stack.

    Args:
        beta: :math:`\beta` of :func:`deepnorm_constants`.
        scaled: Glob of the value, output and feed-forward kernels.

    Returns:
        Rules for a whole model: Xavier with gain :math:`\beta` there, with gain 1
        elsewhere; biases 0, scales 1.

    Raises:
        ValueError: ``beta`` is negative.

    References:
        Wang et al., 2022, https://arxiv.org/abs/2203.00555, figure 2.

    Example:
        >>> from jaxinit.presets import deepnorm, deepnorm_constants
        >>> beta = deepnorm_constants(0, 12).decoder_beta
        >>> rules = deepnorm(beta=beta, scaled="**/{fc1,fc2,value,out}/kernel")
    """
    beta = float(check_number("beta", beta, least=0))
    check_globs(scaled=scaled)
    low = functools.partial(xavier_normal, gain=beta)
    return [
        *neutral_vectors(),
        (scaled, low),
        ("**", xavier_normal),
    ]


@boundary
def fixup(
    *, num_branches: int, layers_per_branch: int, inner: str, last: str, classifier: str
) -> list[Rule]:
    r"""Return Fixup's rules for a residual network without norms.

    Args:
        num_branches: L, the number of residual branches.
        layers_per_branch: m, the weights in a branch, at least 2.
        inner: Glob of all weights of the branches but the last ones: Kaiming times
            :math:`L^{-1/(2m - 2)}`.
        last: Glob of the last weight of each branch: 0.
        classifier: Glob of the classifier's arrays: 0.

    Returns:
        Rules for a whole model; scalar biases 0, scalar multipliers 1, other weights
        Kaiming.

    Raises:
        ValueError: A number is too small.

    References:
        Zhang, Dauphin and Ma, "Fixup initialization", ICLR 2019, section 3; their code has
        ``fan_out`` in the Kaiming distribution, here it is ``fan_in``.

    Example:
        >>> from jaxinit.presets import fixup
        >>> globs = {"inner": "**/conv1/kernel", "last": "**/conv2/kernel"}
        >>> sizes = {"num_branches": 16, "layers_per_branch": 2}
        >>> rules = fixup(**sizes, **globs, classifier="head/*")
    """
    check_globs(inner=inner, last=last, classifier=classifier)
    branches = check_int("num_branches", num_branches, least=1)
    layers = check_int("layers_per_branch", layers_per_branch, least=2)
    factor = branches ** (-1 / (2 * layers - 2))
    he = math.sqrt(2)
    return [
        (classifier, ZEROS),
        (last, ZEROS),
        *neutral_vectors(),
        (inner, functools.partial(lecun_normal, gain=he * factor)),
        ("**", functools.partial(lecun_normal, gain=he)),
    ]


@boundary
def t_fixup(
    *,
    num_layers: int,
    width: int,
    tables: str,
    encoder: str | None = None,
    decoder: str | None = None,
) -> list[Rule]:
    r"""Return T-Fixup's rules for a transformer without norms and warm-up.

    Args:
        num_layers: N, layers of the encoder and of the decoder.
        width: d, the size of the model.
        tables: Glob of the embeddings: :math:`N(0, d^{-1})` times :math:`(9N)^{-1/4}`.
        encoder: Glob of the encoder's value, output and feed-forward kernels: Xavier times
            :math:`0.67 N^{-1/4}`; None without an encoder.
        decoder: Glob of the decoder's, all of its attentions': Xavier times
            :math:`(9N)^{-1/4}`; None without a decoder.

    Returns:
        Rules for a whole model; other kernels Xavier, biases 0.

    Raises:
        ValueError: A number is below 1.

    References:
        Huang et al., "Improving transformer optimization through better initialization",
        ICML 2020, section 3.2. Their code has another factor sqrt(2) on v, which makes up
        for fairseq's own gain there.

    Example:
        >>> from jaxinit.presets import t_fixup
        >>> scaled = "**/{value,out,fc1,fc2}/kernel"
        >>> rules = t_fixup(num_layers=6, width=512, tables="**/embedding", decoder=scaled)
    """
    check_globs(encoder=encoder, decoder=decoder, tables=tables)
    layers = check_int("num_layers", num_layers, least=1)
    check_int("width", width, least=1)
    low, high = 0.67 * layers**-0.25, (9 * layers) ** -0.25
    rules: list[Rule] = [BIASES, (tables, gaussian(width**-0.5 * high))]
    for glob, gain in ((encoder, low), (decoder, high)):
        if glob is not None:
            scaled = functools.partial(xavier_normal, gain=gain)
            rules.append((glob, scaled))
    return [*rules, ("**", xavier_normal)]
