"""Recurrent cells whose gates are drawn each on its own."""

import functools
from collections.abc import Sequence
from typing import Any, Literal

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_number, value_error
from jaxinit.initializers.composed import parts
from jaxinit.initializers.orthogonal import orthogonal
from jaxinit.initializers.xavier import xavier_uniform
from jaxinit.models.rules import Rule
from jaxinit.presets.common import ZEROS, check_flag, check_globs, fixed

KernelLayout = Literal["IO", "OI"]


@boundary
def lstm(
    *,
    kernel: str | None = None,
    recurrent: str | None = None,
    bias: str | None = None,
    forget: str | None = None,
    gates: str | None = "ifgo",
    forget_bias: float = 1.0,
    layout: KernelLayout = "IO",
) -> list[Rule]:
    r"""Return the usual rules of an LSTM: Xavier, orthogonal, an open forget gate.

    Each gate is a weight of its own: input kernels are Xavier uniform with the fans of one
    gate, recurrent ones orthogonal gate by gate, biases 0 and that of the forget gate 1.

    Keras and ``nnx.OptimizedLSTMCell`` draw one semi-orthogonal matrix for all gates, whose
    blocks are not orthogonal; linen draws gate by gate.

    Args:
        kernel: Glob of the kernels from the input; None for none.
        recurrent: Glob of those from the state; None for none.
        bias: Glob of the biases; None for none. Of two bias vectors a cell, give one here,
            and make the other 0.
        forget: For gates that are arrays of their own, glob of the forget gate's bias.
        gates: The order of the gates in one array: ``"ifgo"`` in PyTorch, Keras, Flax and
            Equinox, ``"igfo"`` in Haiku, whose cells add 1 themselves. None for gates that
            are arrays of their own, as in ``linen.LSTMCell``.
        forget_bias: The bias of the forget gate.
        layout: ``"OI"`` for kernels kept as (out, in), as in Equinox.

    Returns:
        Rules for these leaves, to be put in front of those of the model.

    Raises:
        ValueError: ``gates`` are not i, f, g and o in some order, or ``forget`` does not go
            with them.
        TypeError: A glob is no string.

    References:
        Jozefowicz, Zaremba and Sutskever, "An empirical exploration of recurrent network
        architectures", 2015, for the forget gate; Glorot and Bengio, 2010; Saxe et al.,
        2014.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.presets import lstm
        >>> shapes = {"kernel": (8, 16), "recurrent": (4, 16), "bias": (16,)}
        >>> params = {k: jax.ShapeDtypeStruct(s, "float32") for k, s in shapes.items()}
        >>> rules = lstm(kernel="kernel", recurrent="recurrent", bias="bias")
        >>> new = jaxinit.initialize(jax.random.key(0), params, rules)
        >>> new["bias"].reshape(4, 4).mean(axis=1).tolist()  # i, f, g, o
        [0.0, 1.0, 0.0, 0.0]
    """
    check_globs(kernel=kernel, recurrent=recurrent, bias=bias, forget=forget)
    check_choice("layout", layout, ("IO", "OI"))
    opened = float(check_number("forget_bias", forget_bias))
    if gates is not None and (not isinstance(gates, str) or sorted(gates) != list("fgio")):
        rule = "gates must be the letters i, f, g and o in their order, or None"
        value_error(rule, f"gates={gates!r}", 'Write gates="ifgo".')
    if forget is not None and gates is not None:
        rule = "forget is for gates that are arrays of their own"
        value_error(rule, f"gates={gates!r} too", "Leave out one of the two.")
    rules: list[Rule] = [] if forget is None else [(forget, fixed(opened))]
    biases = None if gates is None else [opened if g == "f" else 0.0 for g in gates]
    return [*rules, *_cell(kernel, recurrent, bias, biases, layout)]


@boundary
def gru(
    *,
    kernel: str | None = None,
    recurrent: str | None = None,
    bias: str | None = None,
    is_fused: bool = True,
    layout: KernelLayout = "IO",
) -> list[Rule]:
    """Return the usual rules of a GRU: Xavier, orthogonal, biases 0, each gate on its own.

    Args:
        kernel: Glob of the kernels from the input; None for none.
        recurrent: Glob of those from the state; None for none.
        bias: Glob of the biases; None for none.
        is_fused: Whether the three gates stand in one array, as in Keras, NNX and Equinox;
            in ``linen.GRUCell`` they do not.
        layout: ``"OI"`` for kernels kept as (out, in), as in Equinox.

    Returns:
        Rules for these leaves, to be put in front of those of the model.

    Raises:
        ValueError: The layout is unknown.
        TypeError: A glob is no string.

    References:
        Glorot and Bengio, 2010; Saxe et al., "Exact solutions to the nonlinear dynamics of
        learning in deep linear neural networks", 2014.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.presets import gru
        >>> params = {"weight_hh": jax.ShapeDtypeStruct((12, 4), "float32")}
        >>> rules = gru(recurrent="weight_hh", layout="OI")
        >>> w = jaxinit.initialize(jax.random.key(0), params, rules)["weight_hh"]
        >>> bool(abs(w[:4] @ w[:4].T - jax.numpy.eye(4)).max() < 1e-5)
        True
    """
    check_globs(kernel=kernel, recurrent=recurrent, bias=bias)
    check_choice("layout", layout, ("IO", "OI"))
    check_flag("is_fused", is_fused)
    return _cell(kernel, recurrent, bias, [0.0] * 3 if is_fused else None, layout)


def _cell(
    kernel: str | None,
    recurrent: str | None,
    bias: str | None,
    biases: Sequence[float] | None,
    layout: str,
) -> list[Rule]:
    """Return the rules of a cell; of fused gates where there is a bias for each."""
    rules: list[Rule] = []
    for glob, function in ((kernel, xavier_uniform), (recurrent, orthogonal)):
        if glob is not None:
            one: Any = functools.partial(function, layout=layout)
            fused = parts([one] * len(biases), axis=layout.index("O")) if biases else one
            rules.append((glob, fused))
    if bias is not None:
        rules.append((bias, parts(list(biases)) if biases else ZEROS))
    return rules
