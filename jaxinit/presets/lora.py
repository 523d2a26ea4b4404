"""LoRA: low-rank updates that start at 0."""

import functools
import math
from typing import Literal

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_int, check_number, value_error
from jaxinit.initializers.kaiming import kaiming_uniform
from jaxinit.models.rules import Rule
from jaxinit.presets.common import ZEROS, check_flag, check_globs, gaussian

LoraVariant = Literal["kaiming", "gaussian"]


@boundary
def lora(
    *,
    a: str,
    b: str,
    variant: LoraVariant = "kaiming",
    rank: int | None = None,
    table_a: str | None = None,
    table_b: str | None = None,
) -> list[Rule]:
    r"""Return LoRA's rules: A as in PyTorch's Linear, B = 0, an update that starts at 0.

    .. math:: W + s\, B A

    A is :math:`U(\pm 1/\sqrt{fan_{in}})`, as the default of PyTorch's Linear. Put them in
    front of the rules of the model, or of ``("**", jaxinit.keep)``. The factor s is that of
    :func:`lora_scaling`.

    Args:
        a: Glob of the matrices that take the input, kept as (in, rank); for (rank, in) pass
            ``uses`` to :func:`jaxinit.plan`, or use the adapter of Equinox.
        b: Glob of the matrices that give the output.
        variant: ``"kaiming"``, or PEFT's ``"gaussian"``: A is :math:`N(0, 1/r^2)`.
        rank: r, for ``"gaussian"``.
        table_a: Glob of the A of embeddings, which is looked up and starts at 0; None for
            none.
        table_b: Glob of their B, :math:`N(0, 1)`; None for none.

    Returns:
        Rules for these leaves only.

    Raises:
        ValueError: The variant is unknown, or lacks its rank.

    References:
        Hu et al., "LoRA: Low-rank adaptation of large language models", 2021, section 4.1,
        with the initialization of the authors' code, ``loralib/layers.py``: the paper says
        "random Gaussian" for A.

    Example:
        >>> from flax import nnx
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.flax import reinitialize
        >>> from jaxinit.presets import lora
        >>> layer = nnx.LoRA(64, 4, 32, rngs=nnx.Rngs(0))
        >>> layer = reinitialize(jax.random.key(0), layer, lora(a="lora_a", b="lora_b"))
        >>> bool((abs(layer.lora_a[...]) < 1 / 8).all()), float(layer.lora_b[...].sum())
        (True, 0.0)
    """
    check_globs(a=a, b=b, table_a=table_a, table_b=table_b)
    check_choice("variant", variant, ("kaiming", "gaussian"))
    if rank is not None:
        check_int("rank", rank, least=1)
    first = functools.partial(kaiming_uniform, a=math.sqrt(5))
    if variant == "gaussian":
        if rank is None:
            rule = "the variant gaussian needs the rank"
            value_error(rule, "rank=None", "Give rank=r of the updates.")
        first = gaussian(1 / rank)
    rules: list[Rule] = [(a, first), (b, ZEROS)]
    if table_a is not None:
        rules.append((table_a, ZEROS))
    if table_b is not None:
        rules.append((table_b, gaussian(1.0)))
    return rules


@boundary
def lora_scaling(alpha: float, rank: int, *, rank_stabilized: bool = False) -> float:
    r"""Return the factor s on the product of LoRA's matrices.

    .. math:: s = \alpha / r \text{ (LoRA)}, \qquad s = \alpha / \sqrt r \text{ (rsLoRA)}

    With the first, outputs and gradients of the update shrink as the rank grows; with the
    second, their size does not depend on it.

    Args:
        alpha: :math:`\alpha`.
        rank: r, at least 1.
        rank_stabilized: Which of the two.

    Returns:
        The factor.

    Raises:
        ValueError: ``rank`` is below 1, or ``alpha`` no finite number.

    References:
        Kalajdzievski, "A rank stabilization scaling factor for fine-tuning with LoRA",
        2023, https://arxiv.org/abs/2312.03732, theorem 3.2.

    Example:
        >>> from jaxinit.presets import lora_scaling
        >>> lora_scaling(16, 64), lora_scaling(16, 64, rank_stabilized=True)
        (0.25, 2.0)
    """
    number = float(check_number("alpha", alpha))
    size = check_int("rank", rank, least=1)
    check_flag("rank_stabilized", rank_stabilized)
    return number / (math.sqrt(size) if rank_stabilized else size)
