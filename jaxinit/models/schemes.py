"""The field's usual schemes, and which of them a model's weights are seen to follow."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np

from jaxinit._layout import Fans, compute_fans
from jaxinit._samples import TRUNCATED_STD
from jaxinit.trace.roles.parameters import SCALE_FREE
from jaxinit.trace.use import LOW_RANK, ParamUse

_FORMULAS: dict[str, Callable[[float, float, float], float]] = {
    "lecun": lambda fan_in, _, __: fan_in**-0.5,
    "kaiming with its gain": lambda fan_in, _, gain: gain * fan_in**-0.5,
    "kaiming for relu": lambda fan_in, _, __: (2 / fan_in) ** 0.5,
    "kaiming for relu, fan_out": lambda _, fan_out, __: (2 / fan_out) ** 0.5,
    "xavier": lambda fan_in, fan_out, _: (2 / (fan_in + fan_out)) ** 0.5,
    "xavier with its gain": lambda i, o, gain: gain * (2 / (i + o)) ** 0.5,
    "pytorch layers": lambda fan_in, _, __: (3 * fan_in) ** -0.5,
    "haiku layers": lambda fan_in, _, __: TRUNCATED_STD * fan_in**-0.5,
}
_FIXED = {"0.02": 0.02, "0.02 truncated": 0.02 * TRUNCATED_STD}
_OF_CHOICE = frozenset({"lecun", "kaiming with its gain", "xavier", "xavier with its gain"})
_GATES = (3, 4)  # of a GRU and of an LSTM
_ALIKE = 3  # leaves of one std and of different fans, from which on it is a choice
_UNIFORM_BELOW = 2.1  # between the kurtosis of a uniform and of a truncated normal
SHARED = "a fixed value that others share"


@dataclasses.dataclass(frozen=True)
class Weight:
    """A weight as it is used and as it was measured.

    Attributes:
        use: How the model uses it.
        std: The root mean square of its entries.
        kurtosis: Their kurtosis.
        bound: How far ``std / target`` may be from 1.
        orthogonal: The standard deviation if it is orthogonal, else None.
    """

    use: ParamUse
    std: float
    kurtosis: float
    bound: float
    orthogonal: float | None = None

    @property
    def factor(self) -> float:
        """The number that its scale makes up for."""
        return abs(self.use.factor * self.use.output_factor)

    def fits(self, std: float, error: float = 0.0) -> bool:
        """Whether it was measured to have that standard deviation, but for chance."""
        return abs(self.std / std - 1) <= math.hypot(self.bound, error)

    @property
    def wrong_fans(self) -> Fans | None:
        """What one takes its fans for who looks at its shape alone, if that is wrong."""
        if len(self.use.shape) < 2:
            return None
        guess = compute_fans(self.use.shape)
        return None if guess == self.use.fans else guess


def usual_stds(use: ParamUse, fans: Fans, factor: float = 1.0) -> dict[str, float]:
    """Return the standard deviation that each of the usual schemes gives a weight."""
    gain = use.gain or 1.0
    stds = {
        name: formula(float(fans.fan_in), float(fans.fan_out), gain) / factor
        for name, formula in _FORMULAS.items()
    }
    if use.dot_size:  # T5's queries: dot products of d entries are not divided by sqrt(d)
        stds["lecun over the root of the head size"] = stds["lecun"] * use.dot_size**-0.5
    if use.splits and len(use.splits) in _GATES:  # PyTorch's U(-1/sqrt(h), 1/sqrt(h))
        stds["pytorch cells"] = (3 * fans.fan_out) ** -0.5
    if use.output_factor != 1 and "sine" in " ".join(use.notes):
        # Sitzmann et al., 2020, section 3.2: the first layer is U(-1/n, 1/n).
        stds["siren's first layer"] = 3**-0.5 / fans.fan_in
    return stds


class Habits:
    """What the weights of a model have in common.

    Attributes:
        weights: The weights.
        support: How many weights each scheme explains, with the right fans.
        mistaken: How many it explains with fans that are guessed from shapes.
    """

    def __init__(self, weights: Sequence[Weight]) -> None:
        self.weights = weights
        self.support = dict.fromkeys(_FORMULAS, 0)
        self.mistaken = dict.fromkeys(_FORMULAS, 0)
        for weight in weights:
            for name in self._fitting(weight, weight.use.fans):
                self.support[name] += 1
            for name in self._fitting(weight, weight.wrong_fans or weight.use.fans):
                self.mistaken[name] += 1

    def _fitting(self, weight: Weight, fans: Fans | None) -> list[str]:
        if fans is None or weight.std == 0:
            return []
        stds = usual_stds(weight.use, fans, weight.factor)
        return [name for name in _FORMULAS if weight.fits(stds[name])]

    @property
    def usual(self) -> str:
        """The scheme that explains most weights."""
        return max(self.support, key=lambda name: self.support[name])

    def candidates(self, weight: Weight) -> dict[str, float]:
        """Return every target that lets the weight pass."""
        use, fans = weight.use, weight.use.fans
        if fans is None:
            return {}
        stds = usual_stds(use, fans, weight.factor) | _FIXED
        if weight.orthogonal is not None:
            stds["orthogonal"] = weight.orthogonal
        if self._is_shared(weight):
            stds[SHARED] = weight.std
        return stds

    def mistake(self, weight: Weight) -> str | None:
        """Return the scheme that the weight has by wrong fans, if that explains it better.

        A wrong fan can give the very value of another scheme. It is taken for wrong where
        the scheme with the wrong fans explains more of the model than the right reading,
        or as much and the right reading is nothing that the model asks for.
        """
        wrong = weight.wrong_fans
        if wrong is None or weight.use.fans is None:
            return None
        right = self._fitting(weight, weight.use.fans)
        by_mistake = self._fitting(weight, wrong)
        others = self.candidates(weight).keys() - _FORMULAS.keys()
        if not right or not by_mistake or any(self._passes(weight, n) for n in others):
            return None
        if "pytorch layers" in right and weight.kurtosis < _UNIFORM_BELOW:
            return None  # bounds of 1 / sqrt(n) are theirs
        best = max(by_mistake, key=lambda name: self.mistaken[name])
        more = self.mistaken[best] - max(self.support[name] for name in right)
        is_choice = bool(_OF_CHOICE & set(right))
        return best if more > 0 or (more == 0 and not is_choice) else None

    def _passes(self, weight: Weight, name: str) -> bool:
        return weight.fits(self.candidates(weight)[name])

    def _is_shared(self, weight: Weight) -> bool:
        """Whether weights of different fans, which no scheme explains, have this std."""
        if weight.std == 0:
            return False
        # Both are measured, each with an error of its own.
        near = [w for w in self.weights if w.fits(weight.std, weight.bound)]
        same = [w for w in near if not self._fitting(w, w.use.fans)]
        fans = [float(w.use.fans.fan_in) for w in same if w.use.fans is not None]
        if len(fans) < _ALIKE or max(fans) < 1.5 * min(fans):
            return False
        value = float(np.median([w.std for w in same]))
        return any(_is_round(value / unit, weight.bound) for unit in (1.0, TRUNCATED_STD))


def _is_round(value: float, bound: float) -> bool:
    """Whether a number of one digit, or 1.5 or 2.5, is that near, but for the exponent."""
    digits = value / 10.0 ** math.floor(math.log10(value))
    return any(abs(n / digits - 1) <= min(bound, 0.01) for n in (*range(1, 11), 1.5, 2.5))


def is_dead_end(use: ParamUse, uses: Sequence[ParamUse]) -> bool:
    """Whether a weight of zeros leaves another one without a signal."""
    if use.reason == LOW_RANK:
        return False
    fed = f"weight {use.path}"
    return any(
        other.after == fed and other.role == "weight" and other.reason != LOW_RANK
        for other in uses
    )


def is_scale_free(use: ParamUse) -> bool:
    """Whether the weight is normalised before use."""
    return SCALE_FREE in use.notes


def kind_of(kurtosis: float) -> str:
    """Return the distribution that has that kurtosis: in the name of an initializer."""
    known = {"uniform": 1.8, "truncated_normal": 2.365, "normal": 3.0}
    return min(known, key=lambda name: abs(known[name] - kurtosis))
