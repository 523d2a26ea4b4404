"""One row for each initializer: what the generic tests are run with."""

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax

import jaxinit
from tests.distributions import NORMAL, TRUNCATED, UNIFORM, Distribution

Draw = Callable[..., jax.Array]

REAL_DTYPES = (
    "float32",
    "bfloat16",
    "float16",
    "float8_e3m4",
    "float8_e4m3",
    "float8_e4m3b11fnuz",
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float4_e2m1fn",
)


@dataclasses.dataclass(frozen=True)
class Case:
    """An initializer, the options and shape to test it with, and what it should give.

    Attributes:
        name: Name in jaxinit.
        options: Options to bind.
        shape: A shape that suits it.
        distribution: Distribution of the values over ``std``; None if they are not independent draws.
        std: Standard deviation on ``shape``.
        mean: Mean.
        numbers: Options that may be traced.
        elementwise: Whether every value depends on its own index only.
        random: Whether the key matters.
        complex: Whether complex dtypes are drawn.
    """

    name: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    shape: tuple[int, ...] = (64, 96)
    distribution: Distribution | None = None
    std: float = 1.0
    mean: float = 0.0
    numbers: tuple[str, ...] = ()
    elementwise: bool = True
    random: bool = True
    complex: bool = True

    @property
    def init(self) -> Draw:
        """The function with its options bound."""
        return functools.partial(getattr(jaxinit, self.name), **self.options)


def _scaled(prefix: str, std: float, *numbers: str) -> list[Case]:
    return [
        Case(
            f"{prefix}_{distribution_name}",
            {},
            (64, 96),
            distribution,
            std,
            numbers=numbers,
        )
        for distribution_name, distribution in (
            ("uniform", UNIFORM),
            ("normal", NORMAL),
            ("truncated_normal", TRUNCATED),
        )
    ]


CASES = [
    Case("zeros", random=False),
    Case("ones", random=False),
    Case("constant", {"value": 0.5}, random=False, numbers=("value",)),
    Case("identity", random=False, numbers=("gain",)),
    Case("dirac", shape=(3, 3, 8, 16), random=False),
    Case("bilinear", shape=(4, 4, 8, 16), random=False),
    Case("class_prior", {"prior": 0.01}, random=False),
    Case(
        "log_uniform",
        {"low": 1e-3, "high": 0.1, "activation": "softplus"},
        complex=False,
    ),
    Case(
        "uniform",
        {"low": -2.0, "high": 2.0},
        distribution=UNIFORM,
        std=2 / math.sqrt(3),
        numbers=("low", "high"),
        complex=False,
    ),
    Case("normal", {"std": 1.5}, distribution=NORMAL, std=1.5, numbers=("mean", "std")),
    Case(
        "truncated_normal",
        {},
        distribution=TRUNCATED,
        std=0.8796256610342397504,
        numbers=("mean", "std", "low", "high"),
    ),
    Case(
        "variance_scaling",
        {"scale": 2.0, "mode": "fan_out", "distribution": "uniform"},
        distribution=UNIFORM,
        std=math.sqrt(2 / 96),
        numbers=("scale",),
    ),
    *_scaled("xavier", math.sqrt(2 / 160), "gain"),
    *_scaled("kaiming", math.sqrt(2 / 64), "a"),
    *_scaled("lecun", math.sqrt(1 / 64), "gain"),
    Case("orthogonal", {}, (64, 96), numbers=("gain",), elementwise=False),
    Case("delta_orthogonal", {}, (3, 8, 16), numbers=("gain",), elementwise=False),
    Case(
        "sparse",
        {"sparsity": 0.1, "std": 1.0},
        numbers=("std",),
        elementwise=False,
        complex=False,
    ),
]
BY_NAME = {case.name: case for case in CASES}
RANDOM = [case for case in CASES if case.random]
LAWFUL = [case for case in CASES if case.distribution is not None]
ELEMENTWISE = [case for case in CASES if case.elementwise]
