"""Haiku: initializers in its form, parameters drawn anew, and transforms as pure functions.

Imported by who wants it, ``import jaxinit.haiku``; the rest of the package does without.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax

from jaxinit import _checks
from jaxinit._boundary import boundary
from jaxinit._types import DTypeLike, Initializer, Key, Shape
from jaxinit.models.by_layer import neutral_state, redraw
from jaxinit.models.placement import OutShardings
from jaxinit.models.plan import Plan
from jaxinit.models.rules import Rule
from jaxinit.trace.use import Uses

try:
    import haiku as hk
except ModuleNotFoundError as error:
    if error.name != "haiku":
        raise
    _MISSING = (
        "jaxinit.haiku: Haiku must be installed; got no module named 'haiku'."
        " Run: pip install dm-haiku"
    )
    raise ModuleNotFoundError(_MISSING, name="haiku") from None

HaikuInitializer = Callable[[Shape, DTypeLike], jax.Array]
"""What Haiku's modules take as ``w_init``, ``b_init``, ``embed_init``, ..."""


@boundary
def initializer(init: Initializer) -> HaikuInitializer:
    """Return an initializer in Haiku's form.

    Each call takes one key from ``hk.next_rng_key()``, as Haiku's own random initializers
    do, so the parameters of a module differ from one another and depend on the key given
    to ``init``. Constant initializers take a key too, which they do not look at: a module
    all of whose parameters are constant then still needs one.

    Args:
        init: Any function of the form ``(key, shape, dtype)``: one of this package, or a
            ``functools.partial`` of it that binds options. Haiku's layout of a kernel is
            the default one, input before output; only its transposed convolutions are
            ``(..., output, input)``: bind ``layout="HWOI"`` there.

    Returns:
        A function of ``shape`` and ``dtype``, to be called inside ``hk.transform``.

    Raises:
        TypeError: If ``init`` is not callable.

    Example:
        >>> from functools import partial
        >>> import haiku as hk
        >>> import jax
        >>> import jax.numpy as jnp
        >>> import jaxinit
        >>> from jaxinit.haiku import initializer
        >>> he = initializer(partial(jaxinit.kaiming_normal, nonlinearity="relu"))
        >>> net = hk.transform(lambda x: hk.Linear(64, w_init=he)(x))
        >>> params = net.init(jax.random.key(0), jnp.ones((1, 200)))
        >>> round(float(params["linear"]["w"].std()), 1)  # sqrt(2 / 200)
        0.1
    """
    if not callable(init):
        rule = "init must be a function of (key, shape, dtype)"
        advice = "Give an initializer such as jaxinit.kaiming_normal."
        _checks.type_error(rule, f"init={init!r}", advice)

    def with_key_of_haiku(shape: Shape, dtype: DTypeLike) -> Any:
        return init(hk.next_rng_key(), tuple(shape), dtype)

    return with_key_of_haiku


@boundary
def reinitialize(
    key: Key,
    params: Any,
    rules: Sequence[Rule] | Plan,
    *,
    uses: Uses | None = None,
    out_shardings: OutShardings = None,
) -> Any:
    """Return Haiku's parameters drawn anew.

    Args:
        key: One typed key, or a legacy ``uint32`` key.
        params: What ``init`` of a transform gave, or its shapes from ``jax.eval_shape``.
        rules: Pairs (match, initializer) as :func:`jaxinit.plan` takes them, over paths
            such as ``linear/w`` (globs may leave out the quotes of ``'mlp/~/linear_0'/w``);
            or a plan.
        uses: What :func:`jaxinit.trace_params` found, for the layouts: Haiku's parameters
            do not show which kernels belong to transposed or depthwise convolutions.
        out_shardings: As in :func:`jaxinit.initialize`.

    Returns:
        New parameters of the same structure.

    Raises:
        ValueError: As :func:`jaxinit.initialize`; or a weight of three axes or more has
            neither a ``layout`` nor a traced use.
        TypeError: As :func:`jaxinit.initialize`.

    Example:
        >>> import haiku as hk
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.haiku import forward, reinitialize
        >>> net = hk.transform(lambda x: hk.Conv2DTranspose(8, 3)(x))
        >>> x = jax.ShapeDtypeStruct((1, 9, 9, 32), "float32")
        >>> apply_fn, params = forward(net, x)
        >>> uses = jaxinit.trace_params(apply_fn, params, x)
        >>> rules = [("**/b", jaxinit.zeros), ("**/w", jaxinit.lecun_normal)]
        >>> params = reinitialize(jax.random.key(0), params, rules, uses=uses)
        >>> w = params["conv2_d_transpose"]["w"]  # (3, 3, 8, 32): output before input
        >>> round(float(w.std()) * (9 * 32) ** 0.5, 1)
        1.0
    """
    return redraw(key, params, rules, [], uses=uses, out_shardings=out_shardings)


@boundary
def forward(
    net: hk.Transformed | hk.TransformedWithState,
    *inputs: Any,
    state: Any = None,
    **options: Any,
) -> tuple[Callable[..., Any], Any]:
    r"""Return ``(apply_fn, params)``, for ``trace_params``, ``auto`` and ``lsuv``.

    Args:
        net: What ``hk.transform`` or ``hk.transform_with_state`` gave.
        *inputs: Inputs of the network, as arrays or shapes.
        state: The state of ``transform_with_state``; None for running means of 0 and
            variances of 1.
        **options: Keyword arguments of the network, such as ``is_training=True``, which
            Haiku needs here; ``partial(apply_fn, is_training=False)`` then changes them.

    Returns:
        A pure function of (params, \\*inputs), and the shapes of the parameters. Random
        numbers come from a fixed key, and the new state is dropped.

    Raises:
        TypeError: ``net`` is no transform.

    Example:
        >>> import haiku as hk
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.haiku import forward
        >>> def network(x, skip):
        ...     y = hk.LayerNorm(-1, True, True)(hk.Linear(32)(x))
        ...     return hk.Linear(1)(x + y if skip else y)
        >>> x = jax.ShapeDtypeStruct((8, 32), "float32")
        >>> apply_fn, params = forward(hk.transform(network), x, skip=False)
        >>> jaxinit.trace_params(apply_fn, params, x)["linear_1/w"].after
        'normalisation'
    """
    if not isinstance(net, (hk.Transformed, hk.TransformedWithState)):
        rule = "net must be what hk.transform or hk.transform_with_state gave"
        advice = "Write forward(hk.transform(network), inputs)."
        _checks.type_error(rule, f"{type(net).__name__}", advice)
    key = jax.random.key(0)
    made = jax.eval_shape(lambda *x: net.init(key, *x, **options), *inputs)
    if isinstance(net, hk.Transformed):
        return lambda params, *x, **more: net.apply(params, key, *x, **options | more), made
    params, shapes = made
    fixed = neutral_state(shapes) if state is None else state

    def apply_fn(params: Any, *x: Any, **more: Any) -> Any:
        return net.apply(params, fixed, key, *x, **options | more)[0]

    return apply_fn, params


__all__ = [
    "HaikuInitializer",
    "forward",
    "initializer",
    "reinitialize",
]
