"""What each axis of a weight is, and the fans that follow.

A layout gives one letter an axis: ``I`` what the layer sums over, ``O`` what it makes,
``B`` a batch of weights that do not mix (stacked layers, experts), ``D``, ``H``, ``W`` the
window of a convolution. Letters may repeat: ``"IOO"`` takes a model to (heads, head size).
"""

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Literal

from jaxinit._boundary import boundary
from jaxinit._checks import (
    check_choice,
    check_int,
    check_number,
    check_rank,
    check_shape,
    type_error,
    value_error,
)
from jaxinit._types import Shape

LETTERS = "IOBDHW"
WINDOW = frozenset("DHW")


@boundary
@dataclasses.dataclass(frozen=True)
class Fans:
    """How many products meet in one output, and how many outputs one input reaches.

    Attributes:
        fan_in: Terms that are summed into one output value. Above zero.
        fan_out: Output values that one input value enters. Above zero.

    Raises:
        ValueError: A fan is not a finite number above zero.

    Example:
        >>> from jaxinit import Fans, compute_fans
        >>> Fans(fan_in=9 * 64, fan_out=9 * 128).fan_in
        576
        >>> fan_in, fan_out = compute_fans((3, 3, 64, 128))
        >>> fan_in, fan_out
        (576, 1152)
    """

    fan_in: float
    fan_out: float

    def __iter__(self) -> Iterator[float]:
        """Return ``fan_in`` and ``fan_out``, in this order."""
        return iter((self.fan_in, self.fan_out))

    def __post_init__(self) -> None:
        for name in ("fan_in", "fan_out"):
            value = check_number(name, getattr(self, name))
            if not isinstance(value, float) or value <= 0:
                advice = "Count the terms that one output sums."
                value_error(f"{name} must be above 0", f"{name}={value}", advice)


@boundary
@dataclasses.dataclass(frozen=True)
class Layout:
    """The role of every axis of a weight.

    Attributes:
        axes: One letter an axis, of ``I``, ``O``, ``B``, ``D``, ``H``, ``W``.
        groups: Feature groups of a convolution, 1 for none. Each group of outputs sees its
            own group of inputs.
        grouped: Which letter counts the channels of all groups; the other counts those of
            one. ``"O"`` for kernels as JAX, Flax, Haiku and PyTorch's Conv keep them,
            ``"I"`` for PyTorch's ConvTranspose and Keras' DepthwiseConv.

    Raises:
        ValueError: A letter is unknown, or ``groups`` is below 1.
        TypeError: ``axes`` is not a string, or ``groups`` not an int.

    Example:
        A depthwise kernel (3, 3, 1, 64) sums 9 terms, not 9 * 64:

        >>> from jaxinit import Layout, compute_fans
        >>> compute_fans((3, 3, 1, 64), Layout("HWIO", groups=64))
        Fans(fan_in=9, fan_out=9)
    """

    axes: str
    groups: int = 1
    grouped: Literal["I", "O"] = "O"

    def __post_init__(self) -> None:
        rule = f"axes must be letters of {LETTERS}, one an axis"
        got = f"axes={self.axes!r}"
        advice = 'For a dense kernel (in, out) write "IO".'
        if not isinstance(self.axes, str):
            type_error(rule, got, advice)
        if not set(self.axes) <= set(LETTERS):
            value_error(rule, got, advice)
        check_int("groups", self.groups, least=1)
        check_choice("grouped", self.grouped, ("I", "O"))

    def positions(self, letters: str) -> tuple[int, ...]:
        """Return the axes whose letter is one of ``letters``, in order."""
        return tuple(i for i, letter in enumerate(self.axes) if letter in letters)


def default_layout(rank: int) -> Layout:
    """Return the layout of JAX, Flax, Haiku and Keras: window in front, then ``IO``."""
    return Layout(("D" * rank + "HWIO")[-rank:])


def resolve_layout(shape: tuple[int, ...], layout: str | Layout | None) -> Layout:
    """Return the layout of a weight of that shape, checked against its rank."""
    if layout is None:
        advice = (
            "For a bias use zeros, or a plain distribution with an explicit std; to "
            "scale by the weight's fans pass layout=Fans(fan_in, fan_out)."
        )
        check_rank(shape, 2, advice)
        return default_layout(len(shape))
    if isinstance(layout, str):
        layout = Layout(layout)
    if not isinstance(layout, Layout):
        rule = "layout must say what each axis is, as a string or a Layout"
        type_error(rule, f"layout={layout!r}", 'For a dense kernel write "IO".')
    if len(layout.axes) != len(shape):
        rule = "layout needs one letter an axis"
        got = f"layout={layout.axes!r} for shape={shape}"
        value_error(rule, got, f"Give {len(shape)} letters.")
    return layout


def single_axis(layout: Layout, letter: str, letters: str) -> int:
    """Return the one axis of that letter, in a layout of none but ``letters``."""
    found = layout.positions(letter)
    if len(found) == 1 and set(layout.axes) <= set(letters):
        return found[0]
    rest = ", ".join(x for x in letters if x not in "IO")
    rule = f"layout must have one I and one O, the rest one of {rest}"
    value_error(rule, f"layout={layout.axes!r}", "Reshape the weight to that form.")


@boundary
def compute_fans(shape: Shape, layout: str | Layout | Fans | None = None) -> Fans:
    """Return the fans of a weight of that shape.

    ``fan_in`` is the product of the ``I`` and window axes, ``fan_out`` that of the ``O``
    and window axes; ``B`` axes count in neither. With groups, the letter that counts the
    channels of all groups is divided by their number.

    Args:
        shape: Axis lengths of the weight.
        layout: The role of each axis, as letters or a ``Layout``; None for ``"IO"`` with
            window axes in front, which needs two axes or more. ``Fans`` are returned as
            they are.

    Returns:
        The fans. Of a weight with no elements, at least 1, so that nothing is divided by 0.

    Raises:
        ValueError: The layout does not fit the shape, or groups do not divide the channels.
        TypeError: ``shape`` or ``layout`` is of the wrong kind.

    Elsewhere:
        PyTorch and JAX take ``fan_out`` of a grouped convolution ``groups`` times too
        large, and PyTorch swaps the fans of ConvTranspose (its kernels are ``"IOHW"``).
        JAX's ``batch_axis`` is ``B`` here.

    Example:
        >>> from jaxinit import compute_fans
        >>> compute_fans((3, 3, 64, 128))
        Fans(fan_in=576, fan_out=1152)
        >>> compute_fans((128, 64, 3, 3), "OIHW")
        Fans(fan_in=576, fan_out=1152)
        >>> compute_fans((12, 768, 12, 64), "BIOO")  # twelve stacked query kernels
        Fans(fan_in=768, fan_out=768)
    """
    lengths = check_shape(shape)
    return resolve_fans(lengths, layout)


def resolve_fans(shape: tuple[int, ...], layout: str | Layout | Fans | None) -> Fans:
    """Return the fans of a weight of checked shape."""
    if isinstance(layout, Fans):
        return layout
    return _fans_of(shape, resolve_layout(shape, layout))


@functools.lru_cache(maxsize=4096)
def _fans_of(shape: tuple[int, ...], layout: Layout) -> Fans:
    for fan, letters in (("fan_in", "IDHW"), ("fan_out", "ODHW")):
        if not layout.positions(letters):
            rule = f"{fan} needs an axis that is one of {', '.join(letters)}"
            advice = "State the fans outright: layout=Fans(fan_in, fan_out)."
            value_error(rule, f"layout={layout.axes!r}", advice)
    count = dict.fromkeys(LETTERS, 1)
    for letter, length in zip(layout.axes, shape, strict=True):
        count[letter] *= length
    if count[layout.grouped] % layout.groups:
        rule = f"groups must divide the length of the {layout.grouped!r} axes"
        got = f"groups={layout.groups} for {count[layout.grouped]} channels"
        value_error(rule, got, "Give the layer's own number of groups.")
    count[layout.grouped] //= layout.groups
    window = math.prod(count[letter] for letter in WINDOW)
    return Fans(max(1, count["I"] * window), max(1, count["O"] * window))
