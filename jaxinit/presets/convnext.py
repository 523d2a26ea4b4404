"""ConvNeXt."""

import functools

from jaxinit._boundary import boundary
from jaxinit._checks import check_number
from jaxinit._types import Initializer
from jaxinit.initializers.truncated import truncated_normal
from jaxinit.models.rules import Rule
from jaxinit.presets.common import check_globs, fixed, neutral_vectors


@boundary
def convnext(
    *,
    layer_scale: str | None,
    value: float = 1e-6,
    head: str | None = None,
    head_scale: float = 1.0,
) -> list[Rule]:
    r"""Return ConvNeXt's rules: kernels of one small std, branches scaled by 1e-6.

    Convolutions and linear layers are :math:`N(0, 0.02^2)` cut at :math:`\pm 2`, which is a
    hundred standard deviations; biases 0, scales of norms 1.

    Args:
        layer_scale: Glob of the vectors on the branches; None without them.
        value: Their value.
        head: Glob of the classifier's kernel, for a ``head_scale``.
        head_scale: Factor on it, 0.001 for fine-tuning in the authors' code.

    Returns:
        Rules for a whole model.

    Raises:
        ValueError: A number is out of range.
        TypeError: A glob is no string.

    References:
        Liu et al., "A ConvNet for the 2020s", 2022, https://arxiv.org/abs/2201.03545,
        appendix A.1, and ``_init_weights`` in the authors' ``models/convnext.py``.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.presets import convnext
        >>> params = {"dwconv/kernel": (7, 7, 1, 96), "gamma": (96,)}
        >>> params = {k: jax.ShapeDtypeStruct(s, "float32") for k, s in params.items()}
        >>> rules = convnext(layer_scale="gamma")
        >>> [row.distribution.mean for row in jaxinit.plan(params, rules)]
        [0.0, 1e-06]
    """
    check_globs(layer_scale=layer_scale, head=head)
    small = float(check_number("value", value))
    factor = float(check_number("head_scale", head_scale, least=0))

    def cut(std: float) -> Initializer:
        options = {"std": 0.02 * std, "low": -2 * std, "high": 2 * std}
        bound = functools.partial(truncated_normal, **options)
        return bound if std else fixed(0.0)

    rules: list[Rule] = [] if layer_scale is None else [(layer_scale, fixed(small))]
    rules += neutral_vectors()
    if head is not None:
        rules.append((head, cut(factor)))
    return [*rules, ("**", cut(1.0))]
