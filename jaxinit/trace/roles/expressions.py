"""Elementwise expressions of one value, as data that can be evaluated.

Between two weights a model computes some function of one number, entry by entry. It is kept
here as a small graph over ``VALUE``, whatever names or wrappers the model's code used.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxinit._primitives import FUNCTIONS, ON_HOST, OPTIONS


@dataclasses.dataclass(frozen=True, eq=False)
class Expression:
    """One node: the value itself, a number, or an operation on other nodes.

    Attributes:
        operation: ``"value"``, ``"number"``, or the name of a JAX primitive.
        arguments: The nodes that it takes.
        option: The primitive's one parameter that matters, if any.
        number: The number of a ``"number"``.
    """

    operation: str
    arguments: tuple["Expression", ...] = ()
    option: Any = None
    number: Any = None

    def __call__(self, value: Any) -> Any:
        """Return the expression's result at ``value``, an array of floats."""
        return evaluate(self, value)


VALUE = Expression("value")


def number(value: Any) -> Expression:
    """Return the constant expression of one number."""
    item = np.asarray(value).item()
    return Expression("number", number=item)


def apply(
    name: str, arguments: tuple[Expression, ...], params: dict[str, Any]
) -> Expression:
    """Return the node of a primitive, or its number where all arguments are numbers."""
    option = params[OPTIONS[name]] if name in OPTIONS else None
    return Expression(name, arguments, option)


def constant_of(expression: Expression | None) -> float | None:
    """Return the number of an expression that the value does not enter."""
    if expression is None or expression.operation == "number":
        return None if expression is None else expression.number
    return on_host(expression, np.zeros(())).item()


def evaluate(expression: Expression, value: Any) -> Any:
    """Return the expression at ``value``, by ``jax.numpy`` in the value's own dtype."""
    with jax.numpy_dtype_promotion("standard"):  # conditions may multiply numbers
        return jnp.broadcast_to(_computed(expression, value, FUNCTIONS), jnp.shape(value))


def on_host(expression: Expression, value: np.ndarray) -> np.ndarray:
    """Return the expression at ``value``, by NumPy in float64, infinities and all."""
    with np.errstate(all="ignore"):
        result = _computed(expression, np.asarray(value, np.float64), ON_HOST)
    return np.broadcast_to(result, np.shape(value))


def _computed(
    expression: Expression, value: Any, functions: dict[str, Callable[..., Any]]
) -> Any:
    done: dict[int, Any] = {id(VALUE): value}
    for node in _in_order(expression):
        if node is VALUE:
            continue
        if node.operation == "number":
            done[id(node)] = node.number
            continue
        inputs = [done[id(argument)] for argument in node.arguments]
        if node.option is not None:
            inputs.append(node.option)
        done[id(node)] = functions[node.operation](*inputs)
    return done[id(expression)]


def _in_order(expression: Expression) -> list[Expression]:
    """Return all nodes once, arguments before those that take them."""
    order: list[Expression] = []
    seen: set[int] = set()
    stack = [(expression, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif id(node) not in seen:
            seen.add(id(node))
            stack.append((node, True))
            stack.extend((argument, False) for argument in node.arguments)
    return order


def numbers_in(expression: Expression) -> list[float]:
    """Return the real numbers that the expression is made of."""
    numbers = [n.number for n in _in_order(expression) if n.operation == "number"]
    return [float(x) for x in numbers if isinstance(x, (int, float))]


def contains(expression: Expression, names: tuple[str, ...]) -> bool:
    """Whether one of the operations occurs."""
    return any(node.operation in names for node in _in_order(expression))


def contains_only(expression: Expression, names: frozenset[str]) -> bool:
    """Whether no other operation occurs."""
    return all(node.operation in names for node in _in_order(expression))


def is_same(one: Expression, other: Expression) -> bool:
    """Whether two expressions are the same operations on the same numbers."""
    if one is other:
        return True
    first, second = _in_order(one), _in_order(other)
    if len(first) != len(second):
        return False
    place = {id(node): i for i, node in enumerate(first)}
    other_place = {id(node): i for i, node in enumerate(second)}
    return all(
        a.operation == b.operation
        and a.option == b.option
        and a.number == b.number
        and [place[id(n)] for n in a.arguments] == [other_place[id(n)] for n in b.arguments]
        for a, b in zip(first, second, strict=True)
    )


def linear_factor(through: Expression) -> float | None:
    """Return the number that the expression multiplies by, None if it does more."""
    if through is VALUE:
        return 1.0
    points = np.array([-2.0, -0.5, 0.0, 1.0, 3.0])
    values = on_host(through, points)
    factor = float(values[3])
    if not np.isfinite(values).all() or factor == 0:
        return None
    if not np.allclose(values, factor * points, rtol=1e-5, atol=0):
        return None
    return factor
