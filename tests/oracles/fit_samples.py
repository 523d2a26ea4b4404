"""Fit the rational functions in ``jaxinit/_samples.py``; prints them and their errors.

    python tests/oracles/fit_samples.py

Each is a minimax fit of the relative error by Lawson's iteration: a linearized least
squares problem in 50 digits whose weights grow where the error is large.
"""

from collections.abc import Callable

import mpmath as mp

mp.mp.dps = 50


def normal_quantile_ratio(w: mp.mpf) -> mp.mpf:
    """Return z / x where z is the quantile of (1 + x) / 2 and w = -log(1 - x^2)."""
    if w < mp.mpf("1e-18"):
        return mp.sqrt(mp.pi / 2)
    x = mp.sqrt(-mp.expm1(-w))
    tail = mp.exp(-w) / (2 * (1 + x))  # (1 - x) / 2
    z = mp.sqrt(2 * w)
    for _ in range(60):  # Newton on log of the survival function
        survival = mp.erfc(z / mp.sqrt(2)) / 2
        step = mp.log(survival / tail) * survival / mp.npdf(z)
        z += step
        if abs(step) < mp.mpf(10) ** -45:
            break
    return z / x


def truncated_quantile_ratio(s: mp.mpf) -> mp.mpf:
    """Return unit-variance z / x on [-2, 2], where s = 1 - x^2 in [0, 1]."""
    bound = mp.mpf(2)
    mass = mp.erf(bound / mp.sqrt(2))
    std = mp.sqrt(1 - 2 * bound * mp.npdf(bound) / mass)
    x = mp.sqrt(1 - s)
    if x == 0:
        return mp.sqrt(mp.pi / 2) * mass / std
    return mp.sqrt(2) * mp.erfinv(x * mass) / (x * std)


def central_quantile_ratio(s: mp.mpf) -> mp.mpf:
    """Return z / x, where s = 0.85^2 - x^2."""
    x = mp.sqrt(mp.mpf("0.7225") - s)
    return mp.sqrt(mp.pi / 2) if x == 0 else mp.sqrt(2) * mp.erfinv(x) / x


def tail_quantile(r: mp.mpf) -> mp.mpf:
    """Return z, where r = sqrt(-log(1 - Phi(z)))."""
    log_tail = -r * r
    z = mp.sqrt(2) * r - mp.mpf("0.3")
    for _ in range(200):  # Newton on the log of the survival function
        survival = mp.erfc(z / mp.sqrt(2)) / 2
        step = (mp.log(survival) - log_tail) * survival / mp.npdf(z)
        z += step
        if abs(step) < mp.mpf(10) ** -40:
            break
    return z


def log_ratio(f: mp.mpf) -> mp.mpf:
    """Return log(1 + f) / f."""
    return mp.mpf(1) if f == 0 else mp.log1p(f) / f


def fit(
    f: Callable[[mp.mpf], mp.mpf],
    low: float,
    high: float,
    degrees: tuple[int, int],
    nodes: int = 160,
    rounds: int = 40,
) -> tuple[list[mp.mpf], list[mp.mpf], mp.mpf]:
    """Return numerator, denominator (constant term 1) and largest relative error."""
    p, q = degrees
    half = (mp.mpf(high) - low) / 2
    xs = [low + half * (1 - mp.cos(mp.pi * (i + 0.5) / nodes)) for i in range(nodes)]
    ys = [f(x) for x in xs]
    weight = [mp.mpf(1)] * nodes
    scale = [1 / y for y in ys]
    best = None
    for _ in range(rounds):
        rows = mp.matrix(nodes, p + 1 + q)
        rhs = mp.matrix(nodes, 1)
        for i, (x, y) in enumerate(zip(xs, ys, strict=True)):
            s = mp.sqrt(weight[i]) * scale[i]
            for j in range(p + 1):
                rows[i, j] = s * x**j
            for j in range(1, q + 1):
                rows[i, p + j] = -s * y * x**j
            rhs[i] = s * y
        c = mp.qr_solve(rows, rhs)[0]
        num = [c[j] for j in range(p + 1)]
        den = [mp.mpf(1)] + [c[p + j] for j in range(1, q + 1)]
        bottom = [mp.polyval(den[::-1], x) for x in xs]
        errs = [
            abs(mp.polyval(num[::-1], x) / b / y - 1)
            for x, y, b in zip(xs, ys, bottom, strict=True)
        ]
        worst = max(errs)
        if best is None or worst < best[2]:
            best = (num, den, worst)
        scale = [1 / (y * abs(b)) for y, b in zip(ys, bottom, strict=True)]
        weight = [w * e for w, e in zip(weight, errs, strict=True)]
        total = sum(weight) / nodes
        weight = [w / total for w in weight]
    assert best is not None
    return best


def show(name: str, fitted: tuple[list[mp.mpf], list[mp.mpf], mp.mpf], digits: int) -> None:
    num, den, worst = fitted
    print(f"{name}: relative error {mp.nstr(worst, 3)}")
    print("  P:", ", ".join(mp.nstr(c, digits) for c in num))
    print("  Q:", ", ".join(mp.nstr(c, digits) for c in den))


if __name__ == "__main__":
    root2 = mp.sqrt(2)
    show(
        "log, 32-bit",
        fit(log_ratio, float(1 / root2 - 1), float(root2 - 1), (7, 0)),
        10,
    )
    show("normal, 32-bit", fit(normal_quantile_ratio, 0, 22.3, (5, 5)), 10)
    show("truncated, 32-bit", fit(truncated_quantile_ratio, 0, 1, (4, 4), 80), 10)
    show("wide, 32-bit", fit(normal_quantile_ratio, 0, 90, (7, 7)), 10)
    show("central, 64-bit", fit(central_quantile_ratio, 0, 0.7225, (7, 7), 80), 20)
    show("middle, 64-bit", fit(lambda d: tail_quantile(d + 1.6), 0, 3.4, (7, 7), 80), 20)
    show("far, 64-bit", fit(lambda d: tail_quantile(d + 5), 0, 22, (7, 7), 80), 20)
