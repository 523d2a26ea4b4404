"""muP: initialization and learning rates that transfer to wider models."""

import functools
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from jaxinit._boundary import boundary
from jaxinit._checks import check_choice, check_number, value_error
from jaxinit._paths import path_text
from jaxinit.models.rules import Rule
from jaxinit.presets.common import by_role, check_flag, check_uses, exactly, gaussian
from jaxinit.trace.use import ParamUse, Uses

Optimizer = Literal["adam", "sgd"]


class Transformation(NamedTuple):
    """A gradient transformation as optax has them: ``init`` and ``update``."""

    init: Callable[[Any], Any]
    update: Callable[..., Any]


class MuP(NamedTuple):
    """What muP asks for.

    Attributes:
        rules: For :func:`jaxinit.plan` and :func:`jaxinit.initialize`.
        adam: Factor on Adam's learning rate, by path.
        sgd: Factor on SGD's learning rate, by path.
        output: Factor that the model must put on the product with each output weight, by
            path; a table that also gives the logits is one.
    """

    rules: list[Rule]
    adam: dict[str, float]
    sgd: dict[str, float]
    output: dict[str, float]

    @boundary
    def scale_updates(self, optimizer: Optimizer) -> Any:
        """Return the learning rates as an optax transformation, to be put last in a chain.

        With weight decay as ``optax.adamw`` has it, the decay is scaled too. For a decay
        that does not depend on the width, put ``optax.add_decayed_weights(-rate * decay)``
        behind this.

        Args:
            optimizer: What comes before it: ``"adam"`` for all whose step does not depend
                on the size of the gradient, or ``"sgd"``.

        Returns:
            A transformation that multiplies each update by the factor of its path. Updates
            that ``optax.masked`` has taken out are left out.

        Raises:
            ValueError: The optimizer is unknown, or updates have paths that were not
                traced.

        Example:
            >>> import functools
            >>> import jax
            >>> import jaxinit
            >>> import optax
            >>> from jaxinit.presets import mup
            >>> S = functools.partial(jax.ShapeDtypeStruct, dtype="float32")
            >>> def apply(p, x):
            ...     x = jax.nn.relu(jax.nn.relu(x @ p["first"]) @ p["hidden"])
            ...     return x @ p["last"]
            >>> def uses(n):
            ...     params = {"first": S((4, n)), "hidden": S((n, n)), "last": S((n, 1))}
            ...     return jaxinit.trace_params(apply, params, S((2, 4)))
            >>> found = mup(uses(256), uses(64))
            >>> optimizer = optax.chain(optax.adam(1e-3), found.scale_updates("adam"))
            >>> updates = {name: jax.numpy.ones(()) for name in ("first", "hidden", "last")}
            >>> scaled, _ = found.scale_updates("adam").update(updates, ())
            >>> {name: float(value) for name, value in scaled.items()}
            {'first': 1.0, 'hidden': 0.25, 'last': 1.0}
        """
        check_choice("optimizer", optimizer, ("adam", "sgd"))
        factors = self.adam if optimizer == "adam" else self.sgd
        return Transformation(lambda _: (), functools.partial(_scaled, factors))


def _scaled(
    factors: dict[str, float], updates: Any, state: Any, params: Any = None
) -> tuple[Any, Any]:
    del params  # which optax passes to all of them
    paths = [path_text(path) for path, _ in jax.tree_util.tree_leaves_with_path(updates)]
    unknown = [path for path in paths if path not in factors]
    if unknown:
        rule = "updates must have the paths of the traced uses"
        advice = "Trace the tree that is trained."
        value_error(rule, ", ".join(unknown[:8]), advice, where="scale_updates")

    def scale(path: Any, update: Any) -> Any:
        return update * jnp.asarray(factors[path_text(path)], update.dtype)

    return jax.tree_util.tree_map_with_path(scale, updates), state


@boundary
def mup(
    uses: Uses, base: Uses, *, zero_readout: bool = False, table_std: float = 1.0
) -> MuP:
    r"""Return muP's initialization and multipliers, relative to a base model.

    A weight whose inputs and outputs both grow with the width is hidden, one whose inputs
    alone grow is an output weight, all else counts as input. With :math:`m` the ratio of
    the fans (table 8 in ratio form; the base model is as it would be without muP, LeCun):

    ======  ============================  =========  ========
    weight  variance                      Adam       SGD
    ======  ============================  =========  ========
    input   :math:`1/fan_{in}`            1          :math:`m_{out}`
    hidden  :math:`1/fan_{in}`            1/m        1
    output  :math:`1/fan_{in,base}`, product times :math:`1/m`  1  :math:`m`
    ======  ============================  =========  ========

    Biases and scales count as input weights with ratio of their length. A table that is
    looked up and also gives the logits (tied) is drawn and trained as an input weight, and
    its product is multiplied by 1/m, as ``MuSharedReadout`` does.

    The factors of :attr:`MuP.output` go into the model: ``logits * found.output[path]``.
    Attention logits must be scaled by :math:`1/d` instead of :math:`1/\sqrt d`. Then one
    learning rate, tuned on the base model, serves all widths::

        found = mup(uses, base)
        params = jaxinit.initialize(key, params, found.rules)
        optimizer = optax.chain(optax.adam(rate), found.scale_updates("adam"))

    Args:
        uses: Traced uses of the model.
        base: Those of the same model at the width where learning rates were tuned.
        zero_readout: Whether output weights start at 0, which the authors advise.
        table_std: Standard deviation of tables that are looked up.

    Returns:
        Rules and multipliers; :meth:`MuP.scale_updates` puts the latter into optax.

    Raises:
        ValueError: The two models have different paths.
        TypeError: ``uses`` or ``base`` are no traced uses.

    References:
        Yang et al., "Tensor Programs V", 2022, https://arxiv.org/abs/2203.03466, table 8;
        for tied tables the authors' ``mup/layer.py``.

    Example:
        >>> import jax
        >>> import jaxinit
        >>> from jaxinit.presets import mup
        >>> S = jax.ShapeDtypeStruct
        >>> def apply(p, tokens):
        ...     return jax.nn.relu(p["table"][tokens] @ p["body"]) @ p["table"].T
        >>> def uses(n):
        ...     params = {"body": S((n, n), "float32"), "table": S((100, n), "float32")}
        ...     return jaxinit.trace_params(apply, params, S((5,), "int32"))
        >>> found = mup(uses(512), uses(128), table_std=0.02)
        >>> found.adam
        {'body': 0.25, 'table': 1.0}
        >>> found.output
        {'table': 0.25}
    """
    check_uses("uses", uses)
    check_uses("base", base)
    check_flag("zero_readout", zero_readout)
    std = float(check_number("table_std", table_std, least=0))
    if set(uses) != set(base):
        odd = sorted(set(uses) ^ set(base))
        rule = "uses and base must be of one model at two widths"
        value_error(rule, f"paths of one only: {', '.join(odd)}", "Trace both.")
    adam: dict[str, float] = {}
    sgd: dict[str, float] = {}
    output: dict[str, float] = {}
    rules: list[Rule] = []
    for path, use in uses.items():
        small = base[path]
        if use.role != "weight" or use.fans is None or small.fans is None:
            adam[path], sgd[path] = 1.0, _ratio(use, small)
            tied = _readout(use, small)
            if tied != 1:
                output[path] = 1 / tied
            continue
        into = use.fans.fan_in / small.fans.fan_in
        out = use.fans.fan_out / small.fans.fan_out
        spread = use.fans.fan_in**-0.5
        if into != 1 and out != 1:
            adam[path], sgd[path] = 1 / into, 1.0
        elif into != 1:
            spread = 0.0 if zero_readout else small.fans.fan_in**-0.5
            adam[path], sgd[path], output[path] = 1.0, into, 1 / into
        else:
            adam[path], sgd[path] = 1.0, out
        rules.append((exactly(path, "mup"), gaussian(spread)))
    rest = by_role(
        "mup", uses, weight=lambda _: gaussian(1.0), embedding=lambda _: gaussian(std)
    )
    return MuP([*rules, *rest], adam, sgd, output)


def _ratio(use: ParamUse, small: ParamUse) -> float:
    """Return how many times wider the features of a vector or a table are."""
    mine = use.shape[-1] if use.shape else 1
    theirs = small.shape[-1] if small.shape else 1
    return mine / theirs


def _readout(use: ParamUse, small: ParamUse) -> float:
    """Return how much wider the inputs are of the logits that a tied table gives, or 1."""
    mine = [
        other.fans.fan_in for other in use.others if other.fans and other.role == "weight"
    ]
    theirs = [
        other.fans.fan_in for other in small.others if other.fans and other.role == "weight"
    ]
    return max(mine) / max(theirs) if mine and theirs else 1.0
