"""Flax: linen variables and NNX modules.

Linen's ``init`` and ``apply`` are pure functions of trees, so everything in ``jaxinit``
takes them as they are. What is here is for NNX, whose modules are objects.
"""

from collections.abc import Callable, Sequence
from typing import Any

try:
    from flax import nnx
except ModuleNotFoundError as error:  # say what to install, not only what is missing
    text = "jaxinit.flax needs flax: pip install flax"
    raise ModuleNotFoundError(text, name="flax") from error

import jax

from jaxinit._checks import check_key, type_error
from jaxinit._types import Key
from jaxinit.models.initialize import initialize
from jaxinit.models.materialize import materialize
from jaxinit.models.placement import OutShardings
from jaxinit.models.plan import Plan
from jaxinit.models.rules import Rule


def reinitialize(
    key: Key,
    module: nnx.Module,
    rules: Sequence[Rule] | Plan,
    *,
    out_shardings: OutShardings = None,
) -> None:
    """Draw the parameters of an NNX module anew, in place.

    Only ``nnx.Param`` variables are touched. Paths are the attribute names:
    ``blocks/0/linear/kernel``.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        module: The module; its parameters may be abstract (``nnx.eval_shape``).
        rules: As in :func:`jaxinit.initialize`.
        out_shardings: As in :func:`jaxinit.initialize`.

    Raises:
        ValueError: As :func:`jaxinit.initialize`.
        TypeError: ``module`` is no NNX module, or as :func:`jaxinit.initialize`.

    Example:
        >>> from flax import nnx
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.flax import reinitialize
        >>> module = nnx.Linear(256, 128, rngs=nnx.Rngs(0))
        >>> rules = [("bias", jaxinit.zeros), ("kernel", jaxinit.kaiming_normal)]
        >>> reinitialize(jax.random.key(1), module, rules)
        >>> round(float(module.kernel[...].std()) * 128**0.5, 1)
        1.0
    """
    _check_module("reinitialize", module)
    state = nnx.state(module, nnx.Param)
    nnx.update(module, initialize(key, state, rules, out_shardings=out_shardings))


def forward(module: nnx.Module) -> tuple[Callable[..., Any], Any]:
    r"""Return ``(apply_fn, params)``, for ``trace_params``, ``auto`` and ``audit``.

    Args:
        module: An NNX module that can be called; may be abstract.

    Returns:
        A pure function of (state of the parameters, \\*inputs), and that state.

    Raises:
        TypeError: ``module`` is no NNX module.

    Example:
        >>> from flax import nnx
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.flax import forward
        >>> module = nnx.eval_shape(lambda: nnx.Linear(256, 128, rngs=nnx.Rngs(0)))
        >>> apply_fn, params = forward(module)
        >>> x = jax.ShapeDtypeStruct((2, 256), "float32")
        >>> uses = jaxinit.trace_params(apply_fn, params, x)
        >>> uses["kernel"].fans
        Fans(fan_in=256, fan_out=128)
    """
    _check_module("forward", module)
    graph, params, rest = nnx.split(module, nnx.Param, ...)
    rest = jax.tree.map(_zeros_if_abstract, rest)

    def apply_fn(params: Any, *inputs: Any) -> Any:
        # Fresh variables, which the module may change while it is traced.
        others = jax.tree.map(lambda leaf: leaf, rest)
        return nnx.merge(graph, params, others)(*inputs)  # pyright: ignore[reportCallIssue]

    return apply_fn, params


def _zeros_if_abstract(leaf: Any) -> Any:
    """Return something to compute with: counters and dropout keys need no values."""
    if not isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf
    if jax.numpy.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return jax.random.key(0)
    return jax.numpy.zeros(leaf.shape, leaf.dtype)


def materialize_nnx(
    build: Callable[[nnx.Rngs], nnx.Module],
    key: Key,
    *,
    out_shardings: OutShardings = None,
) -> Any:
    """Build an NNX module with its own initializers, fast: see :func:`jaxinit.materialize`.

    Args:
        build: A function from ``nnx.Rngs`` to a module.
        key: One typed key, which the ``Rngs`` are made of.
        out_shardings: As in :func:`jaxinit.materialize`; paths are those of the state.

    Returns:
        The module that ``build(nnx.Rngs(key))`` gives, up to rounding.

    Raises:
        TypeError: ``build`` gives no NNX module.

    Example:
        >>> from flax import nnx
        >>> import jax
        >>> from jaxinit.flax import materialize_nnx
        >>> key = jax.random.key(0)
        >>> module = materialize_nnx(lambda rngs: nnx.Linear(8, 4, rngs=rngs), key)
        >>> same = nnx.Linear(8, 4, rngs=nnx.Rngs(key))
        >>> bool(jax.numpy.allclose(module.kernel[...], same.kernel[...], rtol=1e-6))
        True
    """
    typed = check_key("materialize_nnx", key)
    graphs: list[Any] = []

    def state_of(key: Key) -> Any:
        module = build(nnx.Rngs(key))
        _check_module("materialize_nnx", module)
        graph, state = nnx.split(module)
        graphs.append(graph)
        return state

    state = materialize(state_of, typed, out_shardings=out_shardings)
    return nnx.merge(graphs[-1], state)


def _check_module(where: str, module: object) -> None:
    if not isinstance(module, nnx.Module):
        rule = "module must be an NNX module"
        advice = "For linen, pass its variables to jaxinit.initialize."
        type_error(where, rule, f"{type(module).__name__}", advice)
