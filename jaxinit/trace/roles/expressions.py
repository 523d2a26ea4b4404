"""Elementwise expressions of one value, as data that can be evaluated.

Between two weights a model computes some function of one number, entry by entry. It is kept
here as a small graph over ``VALUE``, whatever names or wrappers the model's code used.
"""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


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


def _cases(which: Any, *cases: Any) -> Any:
    if len(cases) == 2:
        return jnp.where(which, cases[1], cases[0])
    return jnp.select([which == i for i in range(len(cases))], list(cases))


def _numpy_cases(which: Any, *cases: Any) -> Any:
    if len(cases) == 2:
        return np.where(which, cases[1], cases[0])
    return np.select([which == i for i in range(len(cases))], list(cases))


def _same(value: Any) -> Any:
    return value


def _erf(value: Any) -> Any:
    return np.vectorize(math.erf, otypes=[float])(value)


def _erfc(value: Any) -> Any:
    return np.vectorize(math.erfc, otypes=[float])(value)


# The primitives that act on each entry alone, as a JAX function and as a NumPy one.
# Roundings to a narrower float are left out.
_PAIRS: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "abs": (jnp.abs, np.abs),
    "add": (jnp.add, np.add),
    "add_any": (jnp.add, np.add),
    "and": (jnp.logical_and, np.logical_and),
    "atan2": (jnp.arctan2, np.arctan2),
    "cbrt": (jnp.cbrt, np.cbrt),
    "ceil": (jnp.ceil, np.ceil),
    "clamp": (lambda a, x, b: jnp.clip(x, a, b), lambda a, x, b: np.clip(x, a, b)),
    "copy": (_same, _same),
    "copy_p": (_same, _same),
    "cos": (jnp.cos, np.cos),
    "cosh": (jnp.cosh, np.cosh),
    "div": (jnp.true_divide, np.true_divide),
    "eq": (jnp.equal, np.equal),
    "erf": (jax.lax.erf, _erf),
    "erfc": (jax.lax.erfc, _erfc),
    "exp": (jnp.exp, np.exp),
    "exp2": (jnp.exp2, np.exp2),
    "expm1": (jnp.expm1, np.expm1),
    "floor": (jnp.floor, np.floor),
    "ge": (jnp.greater_equal, np.greater_equal),
    "gt": (jnp.greater, np.greater),
    "integer_pow": (jnp.power, lambda x, y: np.asarray(x, float) ** y),
    "is_finite": (jnp.isfinite, np.isfinite),
    "le": (jnp.less_equal, np.less_equal),
    "log": (jnp.log, np.log),
    "log1p": (jnp.log1p, np.log1p),
    "logistic": (jax.nn.sigmoid, lambda x: 0.5 * (1 + np.tanh(np.asarray(x) / 2))),
    "lt": (jnp.less, np.less),
    "max": (jnp.maximum, np.maximum),
    "min": (jnp.minimum, np.minimum),
    "mul": (jnp.multiply, np.multiply),
    "ne": (jnp.not_equal, np.not_equal),
    "neg": (jnp.negative, np.negative),
    "not": (jnp.logical_not, np.logical_not),
    "or": (jnp.logical_or, np.logical_or),
    "pow": (jnp.power, np.power),
    "reduce_precision": (_same, _same),
    "rem": (jnp.fmod, np.fmod),
    "round": (jnp.round, np.round),
    "rsqrt": (jax.lax.rsqrt, lambda x: 1 / np.sqrt(x)),
    "select_n": (_cases, _numpy_cases),
    "sign": (jnp.sign, np.sign),
    "sin": (jnp.sin, np.sin),
    "sinh": (jnp.sinh, np.sinh),
    "sqrt": (jnp.sqrt, np.sqrt),
    "square": (jnp.square, np.square),
    "stop_gradient": (_same, _same),
    "sub": (jnp.subtract, np.subtract),
    "tan": (jnp.tan, np.tan),
    "tanh": (jnp.tanh, np.tanh),
    "xor": (jnp.logical_xor, np.logical_xor),
}
_PAIRS |= {
    name: (getattr(jnp, f"arc{name[1:]}"), getattr(np, f"arc{name[1:]}"))
    for name in ("acos", "acosh", "asin", "asinh", "atan", "atanh")
}
FUNCTIONS = {name: pair[0] for name, pair in _PAIRS.items()}
_ON_HOST = {name: pair[1] for name, pair in _PAIRS.items()}

_WITH_OPTION = {"integer_pow": "y"}


def apply(
    name: str, arguments: tuple[Expression, ...], params: dict[str, Any]
) -> Expression:
    """Return the node of a primitive, or its number where all arguments are numbers."""
    option = params[_WITH_OPTION[name]] if name in _WITH_OPTION else None
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
        result = _computed(expression, np.asarray(value, np.float64), _ON_HOST)
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
