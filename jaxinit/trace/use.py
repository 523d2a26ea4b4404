"""How a model uses each of its parameters, as plain data."""

import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

from jaxinit._groups import grouped, wildcard
from jaxinit._layout import Fans, Layout
from jaxinit._table import table

Role = Literal["weight", "embedding", "bias", "scale", "unused", "unknown"]
"""What a parameter does: see :class:`ParamUse`."""


@dataclasses.dataclass(frozen=True)
class ParamUse:
    """How the forward pass uses one parameter.

    Attributes:
        path: The parameter's path in the tree.
        shape: Its axis lengths.
        dtype: The name of its dtype.
        role: ``"weight"`` if the data is multiplied with it and summed (a matrix product or
            a convolution); ``"embedding"`` if rows of it are chosen or it stands where data
            stands (a position table, a class token, a first state); ``"bias"`` if it is
            added to features; ``"scale"`` if it multiplies features; ``"unused"`` if no
            output depends on it; ``"unknown"`` if none of these could be shown, and
            ``reason`` says why.
        layout: The role of each axis; None where one axis has two roles, or none is known.
            Of an embedding, ``I`` axes are looked up.
        fans: The fans of one part, see ``splits``. Of an embedding, ``fan_in`` is 1.
        after: What feeds it: ``"input"``, ``"weight a/b"``, ``"normalisation"``,
            ``"softmax"``, ``"residual addition"``, ...; None where nothing does.
        nonlinearity: The name of what is done to each entry in between: ``"linear"``,
            ``"relu"``, ..., or ``"custom"``; None where it is not known.
        gain: ``1 / sqrt(E x^2)`` of what enters the weight, all in all: sums, products of
            branches, concatenations and factors counted. Every product with a weight is
            taken to give independent entries of variance 1, every input to have variance 1,
            every table its standard deviation of :func:`jaxinit.auto`; averages over
            positions are taken to keep the scale. None for what is no weight.
        activation: The expression itself, a function of an array.
        factor: A number that the weight is multiplied with before use.
        output_factor: A number that its product is multiplied with and that the weight's
            scale is to make up for: the frequency of a sine (SIREN), about one over the
            root of ``fan_in`` (NTK parametrization).
        dot_size: Of a weight whose output meets another signal's in dot products, as
            queries and keys do: how many entries each sums.
        neutral: Of a scale or a bias, the value with which it changes nothing.
        splits: Sizes of the parts, where several weights are kept in one along an output
            axis (q, k and v; gates), else None.
        reason: Of the role, what more there is to say.
        notes: What the gain and the fans leave out, and where the gain is approximate.
        others: Further uses of the same parameter that differ from this one.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    role: Role
    layout: Layout | None = None
    fans: Fans | None = None
    after: str | None = None
    nonlinearity: str | None = None
    gain: float | None = None
    activation: Callable[[Any], Any] | None = dataclasses.field(
        default=None, repr=False, compare=False
    )
    factor: float = 1.0
    output_factor: float = 1.0
    dot_size: int | None = None
    neutral: float | None = None
    splits: tuple[int, ...] | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()
    others: tuple["ParamUse", ...] = ()


STATE = "the state that a loop starts from"
LOW_RANK = "second factor of a low-rank update"
_POSITION_STD = 0.02  # BERT, GPT-2 and ViT alike


def table_std(use: ParamUse) -> float:
    """Return the standard deviation that a plan gives to an embedding by its use.

    Tables that are looked up: 1 / sqrt(features). What stands where data stands: 0.02, or 0
    for the state that a loop starts from.
    """
    if use.reason == STATE:
        return 0.0
    if use.reason in ("", "looked up by a product") and use.fans is not None:
        return use.fans.fan_out**-0.5
    return _POSITION_STD


def planned_moments(use: ParamUse) -> tuple[float, float]:
    """Return mean and standard deviation that a plan gives to what is no weight."""
    if use.role in ("bias", "scale"):
        return float(use.neutral or 0), 0.0
    return 0.0, table_std(use)


Stated = Callable[[ParamUse], tuple[float, float] | None]
"""Mean and standard deviation that a rule gives to a parameter; None where none does."""


class Uses(Mapping[str, ParamUse]):
    """The use of every parameter of a model, by path; ``print`` shows a table."""

    def __init__(self, uses: tuple[ParamUse, ...], forward: Any = None) -> None:
        self._by_path = {use.path: use for use in uses}
        self.forward = forward  # the traced pass, from which gains can be read again

    def __getitem__(self, path: str) -> ParamUse:
        return self._by_path[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_path)

    def __len__(self) -> int:
        return len(self._by_path)

    def table(self, *, every: bool = False) -> str:
        """Return the table, like parameters in one line, or ``every`` one in its own."""
        head = ("path", "shape", "role", "layout", "fan_in", "fan_out", "after", "gain", "")
        groups = grouped(self.values(), lambda use: use.path, _likeness)
        if every:
            groups = [(use.path, [use]) for use in self.values()]
        return table([head, *(_row(path, group) for path, group in groups)])

    def __str__(self) -> str:
        """Return the table, like parameters in one line."""
        return self.table()

    def __repr__(self) -> str:
        return f"<Uses of {len(self)} parameters>"


def _likeness(use: ParamUse) -> tuple[object, ...]:
    """Return what two parameters must have in common to share a line."""
    gain = None if use.gain is None else f"{use.gain:.4g}"
    after = re.sub(r"\d+", "*", use.after or "")
    same = (use.shape, use.dtype, use.role, use.layout, use.fans, after, gain)
    return (*same, use.nonlinearity, use.reason, use.notes, use.splits, len(use.others))


def _row(path: str, group: Sequence[ParamUse]) -> tuple[str, ...]:
    use = group[0]
    fans = (
        ("", "") if use.fans is None else (f"{use.fans.fan_in:g}", f"{use.fans.fan_out:g}")
    )
    between = use.nonlinearity or ""
    if use.gain is not None:
        between = f"{between} {use.gain:.4g}"
    extra = [use.reason] if use.reason else []
    if use.splits:
        extra.append(f"{len(use.splits)} parts")
    if use.others:
        extra.append("also " + ", ".join(other.role for other in use.others))
    if len(group) > 1:
        extra.insert(0, f"{len(group)} alike")
    return (
        path,
        str(use.shape),
        use.role,
        layout_text(use.layout),
        *fans,
        wildcard([one.after or "" for one in group]),
        between,
        "; ".join([*extra, *use.notes]),
    )


def layout_text(layout: Layout | None) -> str:
    """Return the layout in short."""
    if layout is None:
        return ""
    return layout.axes if layout.groups == 1 else f"{layout.axes}/{layout.groups}"
