"""Parameters that meet each other, or constants, before they meet the data.

Weight normalisation, masks, noise, low-rank updates: the parameter that stands entry for
entry where the result stands stays followed, with a note of what else was done to it.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from jaxinit.trace.roles.atoms import NEW, Atom, lengths
from jaxinit.trace.roles.expressions import VALUE, Expression, apply
from jaxinit.trace.roles.merging import PRODUCTS, SUMS
from jaxinit.trace.roles.values import (
    UNKNOWN_CONSTANT,
    Constant,
    Factors,
    Opaque,
    Pack,
    Value,
    View,
    Walk,
    give_up,
    leaves_of,
    views_of,
)

SCALE_FREE = "divided by what is computed from itself, so its scale may not matter"
MASKED = "multiplied by a constant array before use (a mask?), which its fans leave out"
SHIFTED = "a constant array is added to it before use"
CHOSEN = "its entries are chosen by a constant array"
FOLDED = "enters what is added together with other parameters"
_LINEAR = frozenset({"neg", "copy", "copy_p", "mul", "div", "reduce_precision"})

AsData = Callable[[Walk, str, Value, Value], Value]
"""What takes a parameter for data, because another one is added to it as a bias."""


def without_data(
    walk: Walk, name: str, values: Sequence[Value], params: dict[str, Any], as_data: AsData
) -> Value:
    """Return the result of an operation on parameters and constants alone."""
    made = [value for value in values if not isinstance(value, Constant)]
    if any(isinstance(value, Pack) for value in made):
        return _of_pack(walk, name, values, params, as_data)
    if name == "stop_gradient" and made:
        return made[0]
    if any(isinstance(value, Opaque) for value in made):
        return _with_opaque(walk, name, values)
    if name == "select_n" and not views_of(values[0]):
        return _selected(walk, values)
    fixed = [value for value in values if isinstance(value, Constant)]
    if any(value.expression is None for value in fixed):
        return _with_array(walk, name, values, made) if made else UNKNOWN_CONSTANT
    if any(isinstance(value, Factors) for value in made):
        return _of_several(walk, name, values, as_data)
    views = [view for value in made for view in views_of(value)]
    if any(_bare(view) != _bare(views[0]) for view in views):
        return _of_several(walk, name, values, as_data)
    arguments = []
    for value in values:
        if isinstance(value, Constant) and value.expression is not None:
            arguments.append(value.expression)
        elif isinstance(value, View):
            arguments.append(value.through)
    node = apply(name, tuple(arguments), params)
    if not views:
        return Constant(node)
    first = views[0]
    if first.beside and (name not in _LINEAR or len(views) > 1):
        return give_up(walk, values, "passed through a function after a sum of parameters")
    return first if first.inner else dataclasses.replace(first, through=node)


def _bare(view: View) -> View:
    """Return the view as if nothing had been done to its entries."""
    return dataclasses.replace(view, through=VALUE)


def _of_pack(
    walk: Walk, name: str, values: Sequence[Value], params: dict[str, Any], as_data: AsData
) -> Value:
    packs = [value for value in values if isinstance(value, Pack)]
    others = [value for value in values if not isinstance(value, (Pack, Constant))]
    if len(packs) > 1 or others:
        return give_up(walk, values, "combined with another parameter before use")
    parts = []
    for part in packs[0].parts:
        one = [part if isinstance(value, Pack) else value for value in values]
        result = without_data(walk, name, one, params, as_data)
        if not isinstance(result, View):
            return Opaque(leaves_of(values), "combined with a constant array before use")
        parts.append(result)
    return Pack(tuple(parts), packs[0].axis)


def _with_array(
    walk: Walk, name: str, values: Sequence[Value], made: Sequence[Value]
) -> Value:
    """Follow a parameter that a constant array multiplies or is added to."""
    (first, *more) = made
    divides = name == "div" and first is values[1]
    if more or divides or name not in SUMS | PRODUCTS:
        return give_up(walk, values, "combined with a constant array before use")
    note = SHIFTED if name in SUMS else MASKED
    if isinstance(first, Factors):
        head, *rest = first.parts
        return Factors((head.noted(note), *rest))
    return first.noted(note) if isinstance(first, View) else first


def _with_opaque(walk: Walk, name: str, values: Sequence[Value]) -> Value:
    """Follow a parameter that meets what was computed from parameters."""
    opaque = [value for value in values if isinstance(value, Opaque)]
    others = [value for value in values if isinstance(value, (View, Factors))]
    reason = opaque[0].reason
    if len(others) != 1 or len(values) != 2 or name not in SUMS | PRODUCTS:
        return give_up(walk, values, reason)
    (other,) = others
    parts = other.parts if isinstance(other, Factors) else (other,)
    whole = [part for part in parts if not part.is_spread()]
    if not whole:
        return give_up(walk, values, reason)
    head = whole[0]
    if head.leaf in opaque[0].leaves:
        note = SCALE_FREE if name in PRODUCTS else "shifted by what is computed from itself"
    else:
        paths = ", ".join(walk.paths[leaf] for leaf in sorted(opaque[0].leaves)[:3])
        what = "multiplied with" if name in PRODUCTS else "added to"
        note = f"{what} what is computed from {paths}"
    changed = dataclasses.replace(head.noted(note), touched=head.touched | opaque[0].leaves)
    if name == "div" and other is values[1]:
        changed = inverted(changed)
    if isinstance(other, Factors):
        return Factors(tuple(changed if part is head else part for part in parts))
    return changed


def _selected(walk: Walk, values: Sequence[Value]) -> Value:
    """Follow parameters of which a constant mask chooses the entries."""
    cases = [value for value in values[1:] if not isinstance(value, Constant)]
    views = [case for case in cases if isinstance(case, View) and not case.is_spread()]
    if not cases:
        return UNKNOWN_CONSTANT
    if len(views) != len(cases):
        return give_up(walk, values, "chosen by a constant array before use")
    first, *more = (view.noted(MASKED) for view in views)
    more = tuple(view for view in more if view.leaf != first.leaf)
    return dataclasses.replace(first, beside=(*first.beside, *more))


def factors_of(value: Value) -> tuple[View, ...]:
    """Return the parameters that a product of parameters is made of."""
    return value.parts if isinstance(value, Factors) else views_of(value)


def _of_several(walk: Walk, name: str, values: Sequence[Value], as_data: AsData) -> Value:
    """Return what several parameters make, entry by entry."""
    reason = "combined with another parameter before use"
    if len(values) != 2 or name not in SUMS | PRODUCTS:
        return give_up(walk, values, reason)
    left, right = values
    if name in SUMS:
        return _sum(walk, name, left, right, as_data)
    parts = factors_of(left), factors_of(right)
    if isinstance(left, Constant) or isinstance(right, Constant):
        return (
            Factors(parts[0] + parts[1]) if name == "mul" or parts[0] else UNKNOWN_CONSTANT
        )
    if {part.leaf for part in parts[0]} & {part.leaf for part in parts[1]}:
        return give_up(walk, values, reason)
    if name == "div":
        parts = parts[0], tuple(inverted(part) for part in parts[1])
    return Factors(parts[0] + parts[1])


def _sum(walk: Walk, name: str, left: Value, right: Value, as_data: AsData) -> Value:
    one, other = dominant(left), dominant(right)
    if isinstance(left, Constant) or isinstance(right, Constant):
        return left if isinstance(right, Constant) else right
    folded = _folded(left, right)
    if folded is not None:
        return folded
    if one is None or other is None:
        return give_up(walk, [left, right], "combined with another parameter before use")
    spread = one.is_spread(), other.is_spread()
    if all(spread):
        return give_up(walk, [left, right], "combined with another parameter before use")
    if any(spread):
        data, bias = (other, one) if spread[0] else (one, other)
        if data.leaf in bias.touched:  # w * scale - mean(w) * scale
            return data.noted("shifted by what is computed from itself")
        return as_data(walk, name, data, bias)
    if one.leaf == other.leaf:
        turned = one.dims != other.dims
        note = ("added to itself with its axes in another order",) if turned else ()
        return one.noted(*other.notes, *note)
    return dataclasses.replace(one, beside=(*one.beside, other))


def _folded(left: Value, right: Value) -> Value | None:
    """Return a shift from which a product of parameters is taken: beta - mean * scale."""
    shift, product = (left, right) if isinstance(left, View) else (right, left)
    if not isinstance(shift, View) or not isinstance(product, Factors):
        return None
    if shift.is_spread() or any(part.is_spread() for part in product.parts):
        return None
    if len(product.parts) < 2 or any(len(own_axes(part)) > 1 for part in product.parts):
        return None
    beside = tuple(part.noted(FOLDED) for part in product.parts)
    return dataclasses.replace(shift, beside=(*shift.beside, *beside))


def own_axes(view: View) -> list[int]:
    """Return the axes along which the parameter varies."""
    return [
        i
        for i, dim in enumerate(view.common)
        if any(a.axis >= 0 and a.size > 1 for a in dim)
    ]


def dominant(value: Value) -> View | None:
    """Return the one parameter of a product that is not repeated along any axis."""
    if isinstance(value, View):
        return value
    if not isinstance(value, Factors):
        return None
    whole = [part for part in value.parts if not part.is_spread()]
    if len(whole) > 1:  # gates of learned masks are functions of a parameter
        whole = [part for part in whole if part.through is VALUE]
    if len(whole) != 1:
        return None
    rest = tuple(part for part in value.parts if part is not whole[0])
    touched = any(whole[0].leaf in part.touched for part in rest)
    head = whole[0].noted(SCALE_FREE) if touched else whole[0]
    return dataclasses.replace(head, factors=(*head.factors, *rest))


def inverted(view: View) -> View:
    """Return the view of one over the parameter."""
    one = Expression("number", number=1.0)
    return dataclasses.replace(view, through=apply("div", (one, view.through), {}))


def chain(left: View, right: View, sides: Sequence[Any]) -> View | None:
    """Return the product of two parameters, summed over an axis of both, as one value."""
    if left.beside or right.beside or left.leaf == right.leaf or sides[0].batch:
        return None
    if left.is_spread() or right.is_spread():
        return None
    pairs = list(zip((left, right), sides, strict=True))
    own = [[view.dims[i] for i in side.free] for view, side in pairs]
    gaps = [[(Atom(NEW, -1, n),) for n in lengths(tuple(dims))] for dims in own]
    inner = [tuple(view.dims[i] for i in side.contracted) for view, side in pairs]
    second = dataclasses.replace(right, dims=(*gaps[0], *own[1]), inner=inner[1])
    first = dataclasses.replace(left, dims=(*own[0], *gaps[1]), inner=inner[0])
    return dataclasses.replace(first, beside=(second,))
