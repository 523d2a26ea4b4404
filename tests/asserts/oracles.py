"""Draws and reference numbers of NumPy and SciPy, and how an assertion is refused."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from jaxinit.asserts import Distribution, Orthogonal

DATA = Path(__file__).parent.parent / "data"
REAL = ("normal", "uniform", "truncated_normal")
RADIUS = 2.2736944686771129  # of the truncated distribution of unit variance
SMALL = (1, 2, 3, 5, 10, 30, 300)


def load(name: str) -> dict:
    return json.loads((DATA / name).read_text())


def draws(distribution: str, shape: tuple[int, ...], seed: int, complex_: bool = False):
    """Return unit-variance draws in float64, by NumPy and SciPy alone."""
    rng = np.random.default_rng(seed)
    if not complex_:
        if distribution == "normal":
            return rng.standard_normal(shape)
        if distribution == "uniform":
            return rng.uniform(-math.sqrt(3), math.sqrt(3), shape)
        u = rng.uniform(stats.norm.cdf(-2), stats.norm.cdf(2), shape)
        return stats.norm.ppf(u) * RADIUS / 2
    turn = np.exp(2j * np.pi * rng.random(shape))
    u = rng.random(shape)
    if distribution == "normal":
        return turn * np.sqrt(-np.log1p(-u))
    if distribution == "uniform":
        return turn * np.sqrt(2 * u)
    square = -np.log1p(-u * -math.expm1(-4))  # |z|^2 of the complex normal, cut at 4
    return turn * np.sqrt(square / ((1 - 5 * math.exp(-4)) / -math.expm1(-4)))


def rejected(check, *args, **kwargs) -> str:
    with pytest.raises(AssertionError) as caught:
        check(*args, **kwargs)
    return str(caught.value)


def orthonormal(rows: int, columns: int, batch: tuple[int, ...] = ()) -> np.ndarray:
    tall = draws("normal", (*batch, max(rows, columns), min(rows, columns)), rows + columns)
    q = np.linalg.qr(tall)[0]
    return q if rows >= columns else np.swapaxes(q, -1, -2)


def tree() -> dict:
    kernel = draws("normal", (64, 64), 21).astype(np.float32)
    return {
        "dense": {"kernel": kernel / 8, "bias": np.zeros(64, np.float32)},
        "head": [orthonormal(8, 4).astype(np.float32), np.ones(4, np.float32)],
    }


EXPECTED = {
    "dense": {"kernel": Distribution(1 / 8), "bias": Distribution(0.0)},
    "head": [Orthogonal(), Distribution(0.0, mean=1.0)],
}
