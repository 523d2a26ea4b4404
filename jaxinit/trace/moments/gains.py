"""The gain of every weight, and the scale of every weight that is drawn without data."""

import dataclasses
import math
from collections.abc import Collection, Sequence
from typing import Any, NoReturn

from jaxinit._checks import value_error
from jaxinit._gaussian import host_float64
from jaxinit.trace.moments.distribution import gaussian, scalar
from jaxinit.trace.moments.graph import Node, given, parameter
from jaxinit.trace.moments.numbers import Conventions, positions
from jaxinit.trace.moments.reading import Meet, Reading, level_of
from jaxinit.trace.moments.values import Unknown, from_constant, input_value, kind
from jaxinit.trace.use import ParamUse, Stated, planned_moments

_APART = 0.02  # by which mean squares of what enters a weight may differ, relatively
_NEAR_ONE = 1e-3  # what quadrature may leave of a normalisation
_FARTHEST = 1e8  # mean square of an input that a gain is to mend
_NOT_MET = "what enters it is not followed and counts as standard normal"


def with_gains(
    program: Any,
    uses: Sequence[ParamUse],
    own: Sequence[Any],
    data: Sequence[Any],
    stated: Stated,
) -> list[ParamUse]:
    """Return the uses with the gain of every weight, ``1 / sqrt(E x^2)`` of its input.

    Args:
        program: The closed jaxpr of the forward pass, of parameters and then inputs.
        uses: The uses of the parameters.
        own: Shapes and dtypes of the parameters.
        data: Shapes and dtypes of the inputs.
        stated: What rules say of tables, biases and scales.
    """
    if not any(use.role == "weight" for use in uses):
        return list(uses)
    moments = [stated(use) or planned_moments(use) for use in uses]
    meets = _read(program, uses, own, data, moments, {})
    levels = {i: level for i, found in meets.items() if (level := level_of(found))}
    if any(_is_uneven(found) for found in meets.values()):
        # What a weight gives where it is used again depends on all that enters it.
        meets = _read(program, uses, own, data, moments, levels)
    return [
        _with_gain(use, meets.get(i, [])) if use.role == "weight" else use
        for i, use in enumerate(uses)
    ]


def _read(
    program: Any,
    uses: Sequence[ParamUse],
    own: Sequence[Any],
    data: Sequence[Any],
    moments: Sequence[tuple[float, float]],
    levels: dict[int, float],
) -> dict[int, list[Meet]]:
    fans = {
        i: float(use.fans.fan_in)
        for i, use in enumerate(uses)
        if use.role == "weight" and use.fans is not None
    }
    unknown = frozenset(i for i, use in enumerate(uses) if use.role == "unknown")
    after = {i: use.output_factor for i, use in enumerate(uses) if use.output_factor != 1}
    rules = Conventions(levels=levels, fans=fans, unknown=unknown, after=after)
    reading = Reading(rules, [use.path for use in uses])
    with host_float64():
        leaves = zip(uses, own, moments, strict=True)
        nodes = [_leaf(reading, i, *leaf) for i, leaf in enumerate(leaves)]
        nodes += [reading.drawn(input_value(aval), aval) for aval in data]
        reading.run(program, nodes)
    return reading.meets


def _leaf(
    reading: Reading, number: int, use: ParamUse, aval: Any, moments: tuple[float, float]
) -> Node:
    """Return what a parameter is taken for: what its plan draws."""
    shape = tuple(aval.shape)
    if use.role in ("weight", "unknown") and kind(aval.dtype) in "fc":
        return reading.parameter(frozenset({number}), aval)
    mean, std = moments
    if std == 0:
        return given(scalar(mean, shape), aval)
    if kind(aval.dtype) != "f":
        why = f"the parameter {use.path}"
        return reading.drawn(Unknown(why, integers=kind(aval.dtype) in "iu"), aval)
    return reading.drawn(gaussian(shape, mean, std**2, positions(shape)), aval)


def _is_uneven(meets: Sequence[Meet]) -> bool:
    squares = [meet.square for meet in meets]
    return max(squares) > (1 + _APART) * min(squares)


def _with_gain(use: ParamUse, meets: Sequence[Meet]) -> ParamUse:
    if not meets:
        notes = dict.fromkeys((*use.notes, _NOT_MET))
        return dataclasses.replace(use, gain=1.0, notes=tuple(notes))
    level = level_of(meets)
    texts = sorted({note.text for meet in meets for note in meet.notes})
    whole = math.isclose(
        sum(meet.terms for meet in meets), use.fans.fan_in if use.fans else 0
    )
    if _is_uneven(meets) and not whole:
        squares = [meet.square for meet in meets]
        ends = f"{min(squares):.3g} to {max(squares):.3g}"
        texts.append(f"its inputs have mean squares of {ends}; the gain is for their mean")
    if not 1 / _FARTHEST < level < _FARTHEST:
        texts.append(f"its input has a mean square of {level:.3g}, which no gain mends")
        level = 1.0
    gain = 1 / math.sqrt(level)
    gain = 1.0 if abs(gain - 1) < _NEAR_ONE else gain
    notes = tuple(dict.fromkeys((*use.notes, *texts)))
    return dataclasses.replace(use, gain=gain, notes=notes)


def track_scales(
    program: Any,
    paths: Sequence[str],
    leaves: Sequence[Any],
    drawn: Collection[int],
    std: float,
) -> dict[int, float]:
    """Return the scale of every weight that is drawn, from moments without data.

    Args:
        program: The closed jaxpr of the forward pass, of parameters and then inputs.
        paths: The paths of the parameters' leaves, for errors.
        leaves: The leaves; of those that are drawn only shape and dtype count.
        drawn: The numbers of the leaves that are drawn, of variance 1 before their scale.
        std: Standard deviation that outputs are to have.

    Returns:
        The scales, by the number of the leaf.

    Raises:
        ValueError: The moments at the input of a weight are not known.
        TypeError: A constant is traced.
    """

    def refuse(leaf: int, why: str) -> NoReturn:
        rule = "without data, every weight's input needs a mean and variance that follow"
        advice = "Give a batch of data instead of jax.ShapeDtypeStruct."
        value_error(rule, f"{paths[leaf]} behind {why}", advice)

    rules = Conventions(alike=False, std=std, refuse=refuse, mean=False)
    reading = Reading(rules)
    nodes: list[Node] = []
    with host_float64():
        for i, variable in enumerate(program.jaxpr.invars):
            aval = variable.aval
            if i >= len(leaves):
                nodes.append(reading.drawn(input_value(aval), aval))
            elif i in drawn:
                nodes.append(parameter(frozenset({i}), aval))
            else:
                nodes.append(given(from_constant(leaves[i], aval), aval))
        reading.run(program, nodes)
    # Var y = std^2 asks for w of variance std^2 / (n E x^2); inputs of 0 tell nothing.
    return {
        i: std / math.sqrt(meets[0].terms * meets[0].square or meets[0].fan)
        for i, meets in reading.meets.items()
    }
