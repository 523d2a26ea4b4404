"""Residual branches that start at nothing, or next to it: scalars, scales, modulations."""

import math
from typing import cast

from jaxinit._boundary import boundary
from jaxinit._checks import check_int, check_number, value_error
from jaxinit._layout import Fans
from jaxinit._types import Initializer
from jaxinit.models.rules import Rule
from jaxinit.presets.common import (
    ZEROS,
    bound_xavier,
    by_role,
    check_globs,
    check_uses,
    fixed,
    gaussian,
)
from jaxinit.trace.use import ParamUse, Uses


@boundary
def rezero(*, scalars: str) -> list[Rule]:
    r"""Return ReZero's rule: the scalar in front of each branch is 0.

    .. math:: x + \alpha f(x), \qquad \alpha = 0

    Args:
        scalars: Glob of the scalars, one a branch.

    Returns:
        One rule, to be put in front of those of the model.

    References:
        Bachlechner et al., "ReZero is all you need", 2020, https://arxiv.org/abs/2003.04887,
        equation 2.

    Example:
        >>> import jaxinit
        >>> from jaxinit.presets import rezero
        >>> rules = [*rezero(scalars="**/alpha"), ("**", jaxinit.xavier_normal)]
    """
    check_globs(scalars=scalars)
    return [(scalars, ZEROS)]


@boundary
def skipinit(*, scalars: str) -> list[Rule]:
    """Return SkipInit's rule: the scalar at the end of each branch is 0.

    It takes the place of batch normalisation in the branches of convolutional networks,
    whose weights are Kaiming's.

    Args:
        scalars: Glob of the scalars, one a branch.

    Returns:
        One rule, to be put in front of those of the model.

    References:
        De and Smith, "Batch normalization biases residual blocks towards the identity
        function in deep networks", 2020, https://arxiv.org/abs/2002.10444, section 4.

    Example:
        >>> import jaxinit
        >>> from jaxinit.presets import skipinit
        >>> rules = [*skipinit(scalars="**/alpha"), ("**", jaxinit.kaiming_normal)]
    """
    check_globs(scalars=scalars)
    return [(scalars, ZEROS)]


@boundary
def zero_gamma(*, scales: str) -> list[Rule]:
    """Return the rule of ResNets whose blocks start as the identity.

    Args:
        scales: Glob of the scales of the last normalisation in each branch: 0.

    Returns:
        One rule, to be put in front of those of the model.

    References:
        Goyal et al., "Accurate, large minibatch SGD", 2017,
        https://arxiv.org/abs/1706.02677, section 5.1.

    Example:
        >>> from jaxinit.presets import zero_gamma
        >>> rules = zero_gamma(scales="**/norm2/scale")
    """
    check_globs(scales=scales)
    return [(scales, ZEROS)]


@boundary
def layer_scale(
    *, scales: str, value: float | None = None, depth: int | None = None
) -> list[Rule]:
    r"""Return LayerScale's rule: a vector of one small value scales each branch.

    .. math:: x + \lambda \odot f(x), \qquad \lambda = (\epsilon, \ldots, \epsilon)

    Args:
        scales: Glob of the vectors.
        value: :math:`\epsilon`; timm and DINOv2 have 1e-5, ConvNeXt 1e-6.
        depth: Number of layers, in place of a value: CaiT's 0.1 up to 18 layers, 1e-5 up to
            24, 1e-6 above.

    Returns:
        One rule, to be put in front of those of the model.

    Raises:
        ValueError: Not one of ``value`` and ``depth`` is given, or it is out of range.

    References:
        Touvron et al., "Going deeper with image transformers", 2021,
        https://arxiv.org/abs/2103.17239, section 2.

    Example:
        >>> from jaxinit.presets import layer_scale
        >>> rules = layer_scale(scales="**/ls{1,2}/gamma", depth=24)
    """
    check_globs(scales=scales)
    if (value is None) == (depth is None):
        got = f"value={value} and depth={depth}"
        value_error("one of value and depth must be given", got, "Give value=1e-5.")
    if value is not None:
        return [(scales, fixed(float(check_number("value", value))))]
    layers = check_int("depth", depth, least=1)
    found = next(
        v for most, v in ((18, 0.1), (24, 1e-5), (math.inf, 1e-6)) if layers <= most
    )
    return [(scales, fixed(found))]


@boundary
def dit(
    uses: Uses,
    *,
    modulation: str,
    final: str,
    timestep: str | None = None,
) -> list[Rule]:
    """Return the rules of diffusion transformers (DiT) with adaLN-Zero.

    Kernels are Xavier uniform (that of the patches like a Linear, without the window in
    its fan_out; fused q, k and v as the one matrix that they are), biases 0, tables
    N(0, 0.02^2). The authors fill the position table with sines and do not train it: put
    ``("**/pos_embed", jaxinit.keep)`` in front.

    Args:
        uses: What :func:`jaxinit.trace_params` found.
        modulation: Glob of all arrays of the layers that give shift, scale and gate, those
            of the final layer too: 0.
        final: Glob of the arrays of the last linear layer: 0.
        timestep: Glob of the kernels of the MLP on the time step: N(0, 0.02^2). None
            without one.

    Returns:
        Rules for a whole model.

    Raises:
        TypeError: ``uses`` are no traced uses, or a glob is no string.

    References:
        Peebles and Xie, "Scalable diffusion models with transformers", 2023,
        https://arxiv.org/abs/2212.09748, section 3.2, and ``initialize_weights`` in the
        authors' ``models.py``.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.presets import dit
        >>> shapes = {"inner": (8, 8), "modulation": (8, 16), "outer": (8, 8)}
        >>> params = {k: jax.ShapeDtypeStruct(s, "float32") for k, s in shapes.items()}
        >>> def apply(p, x, c):
        ...     shift, gate = jax.numpy.split(c @ p["modulation"], 2, axis=-1)
        ...     return (x + gate * ((x + shift) @ p["inner"])) @ p["outer"]
        >>> x = jax.ShapeDtypeStruct((2, 8), "float32")
        >>> uses = jaxinit.trace_params(apply, params, x, x)
        >>> rules = dit(uses, modulation="modulation", final="outer")
        >>> [row.distribution.text for row in jaxinit.plan(params, rules)]
        ['xavier_uniform(layout=8:8)', 'zeros', 'zeros']
    """
    check_uses("uses", uses)
    check_globs(modulation=modulation, final=final, timestep=timestep)

    def weight(use: ParamUse) -> Initializer:
        return bound_xavier(_as_linear(use))

    front: list[Rule] = [(modulation, ZEROS), (final, ZEROS)]
    if timestep is not None:
        front.append((timestep, gaussian(0.02)))
    small = gaussian(0.02)
    return [*front, *by_role("dit", uses, weight=weight, embedding=lambda _: small)]


def _as_linear(use: ParamUse) -> Fans:
    """Return the fans of the matrix (inputs, outputs) that the whole array is."""
    fans = cast("Fans", use.fans)
    if use.layout is None:
        return fans
    outputs = math.prod(use.shape[i] for i in use.layout.positions("O"))
    return Fans(fans.fan_in, max(1, outputs))
