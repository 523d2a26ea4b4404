"""muP: initialization and learning rates that transfer to wider models."""

from typing import NamedTuple

from jaxinit._boundary import boundary
from jaxinit._checks import value_error
from jaxinit.models.plan import Rule
from jaxinit.presets.common import by_role, exactly, gaussian
from jaxinit.trace.use import ParamUse, Uses


class MuP(NamedTuple):
    """What muP asks for.

    Attributes:
        rules: For :func:`jaxinit.plan` and :func:`jaxinit.initialize`.
        adam: Factor on Adam's learning rate, by path.
        sgd: Factor on SGD's learning rate, by path.
        output: Factor that the model must put on the product of each output weight, by
            path.
    """

    rules: list[Rule]
    adam: dict[str, float]
    sgd: dict[str, float]
    output: dict[str, float]


@boundary
def mup(uses: Uses, base: Uses, *, zero_readout: bool = False) -> MuP:
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

    Biases and scales count as input weights with ratio of their length.

    Args:
        uses: Traced uses of the model.
        base: Those of the same model at the width where learning rates were tuned.
        zero_readout: Whether output weights start at 0, which the authors advise.

    Returns:
        Rules and multipliers. Attention logits must be scaled by :math:`1/d` instead of
        :math:`1/\sqrt d`.

    Raises:
        ValueError: The two models have different paths.

    References:
        Yang et al., "Tensor Programs V", 2022, https://arxiv.org/abs/2203.03466, table 8.
    """
    if set(uses) != set(base):
        odd = sorted(set(uses) ^ set(base))
        rule = "uses and base must be of one model at two widths"
        value_error("mup", rule, f"paths of one only: {', '.join(odd)}", "Trace both.")
    adam, sgd, output, rules = {}, {}, {}, []
    for path, use in uses.items():
        small = base[path]
        if use.role != "weight" or use.fans is None or small.fans is None:
            ratio = _ratio(use, small)
            adam[path], sgd[path] = 1.0, ratio
            continue
        into, out = (
            use.fans.fan_in / small.fans.fan_in,
            use.fans.fan_out / small.fans.fan_out,
        )
        std = use.fans.fan_in**-0.5
        if into != 1 and out != 1:
            adam[path], sgd[path] = 1 / into, 1.0
        elif into != 1:
            std = 0.0 if zero_readout else small.fans.fan_in**-0.5
            adam[path], sgd[path], output[path] = 1.0, into, 1 / into
        else:
            adam[path], sgd[path] = 1.0, out
        rules.append((exactly(path, "mup"), gaussian(std)))
    rest = by_role(
        "mup", uses, weight=lambda _: gaussian(1.0), embedding=lambda _: gaussian(1.0)
    )
    return MuP([*rules, *rest], adam, sgd, output)


def _ratio(use: ParamUse, small: ParamUse) -> float:
    """Return how many times wider the features of a vector or a table are."""
    mine = use.shape[-1] if use.shape else 1
    theirs = small.shape[-1] if small.shape else 1
    return mine / theirs
