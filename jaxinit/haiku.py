"""Haiku's form of an initializer: ``(shape, dtype)``, with the key from Haiku itself.

Imported by who wants it, ``import jaxinit.haiku``; the rest of the package does without.
"""

from collections.abc import Callable
from typing import Any

import jax

from jaxinit import _checks
from jaxinit._boundary import boundary
from jaxinit._types import DTypeLike, Initializer, Shape

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
        _checks.type_error("haiku.initializer", rule, f"init={init!r}", advice)

    def with_key_of_haiku(shape: Shape, dtype: DTypeLike) -> Any:
        return init(hk.next_rng_key(), tuple(shape), dtype)

    return with_key_of_haiku
