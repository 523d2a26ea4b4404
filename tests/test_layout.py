"""Fans against a count of the products in real convolutions and einsums."""

import math

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from jaxinit import Fans, Layout, compute_fans


def counted(f, x: jax.Array, centre: tuple[int, ...]) -> tuple[float, float]:
    """Return terms summed into one output, and outputs that one inner input reaches.

    With ones everywhere an output is the number of its terms, and the gradient of the sum of
    the outputs is the number of outputs that an input enters.
    """
    out = f(x)
    fan_out = jax.grad(lambda v: f(v).sum())(x)[centre]
    return float(out.max()), float(fan_out)


CONVOLUTIONS = [
    # spatial, kernel layout, kernel shape, groups, depthwise style
    ("W", "WIO", (5, 6, 8), 1),
    ("HW", "HWIO", (3, 5, 4, 6), 1),
    ("HW", "HWIO", (3, 3, 2, 12), 4),
    ("HW", "HWIO", (3, 3, 1, 16), 8),
    ("HW", "OIHW", (12, 2, 3, 3), 4),
    ("DHW", "DHWIO", (3, 2, 3, 4, 5), 1),
    ("DHW", "OIDHW", (6, 3, 2, 3, 2), 2),
]


@pytest.mark.parametrize(("window", "axes", "shape", "groups"), CONVOLUTIONS)
def test_convolutions(window: str, axes: str, shape: tuple[int, ...], groups: int) -> None:
    inputs = shape[axes.index("I")] * groups
    x = jnp.ones((1, *[11] * len(window), inputs))

    def conv(x: jax.Array) -> jax.Array:
        layouts = (f"N{window}C", axes, f"N{window}C")
        return lax.conv_general_dilated(
            x,
            jnp.ones(shape),
            (1,) * len(window),
            "VALID",
            dimension_numbers=layouts,
            feature_group_count=groups,
        )

    fans = compute_fans(shape, Layout(axes, groups=groups))
    centre = (0, *[5] * len(window), 0)
    assert counted(conv, x, centre) == (fans.fan_in, fans.fan_out)


EINSUMS = [
    ("bi,io->bo", (6, 4), "IO"),
    ("bi,oi->bo", (4, 6), "OI"),
    ("bi,ihd->bhd", (6, 2, 5), "IOO"),
    ("bhd,hdo->bo", (2, 5, 6), "IIO"),
    ("nbi,nio->nbo", (3, 6, 4), "BIO"),
    ("bei,eijk->bejk", (3, 4, 2, 5), "BIOO"),
    ("bhi,iho->bho", (6, 3, 4), "IBO"),
]


@pytest.mark.parametrize(("spec", "shape", "axes"), EINSUMS)
def test_einsums(spec: str, shape: tuple[int, ...], axes: str) -> None:
    left, kernel = spec.split("->", maxsplit=1)[0].split(",")
    lengths = dict(zip(kernel, shape, strict=True)) | {"b": 1}
    if "b" in kernel:
        lengths["b"] = shape[kernel.index("b")]
    x = jnp.ones([lengths[c] for c in left])
    fans = compute_fans(shape, axes)
    found = counted(lambda v: jnp.einsum(spec, v, jnp.ones(shape)), x, (0,) * x.ndim)
    assert found == (fans.fan_in, fans.fan_out)


@pytest.mark.parametrize("rank", range(2, 8))
def test_default_is_the_layout_of_flax(rank: int) -> None:
    shape = (2, 3, 2, 2, 3, 5, 7)[-rank:]
    window = math.prod(shape[:-2])
    assert compute_fans(shape) == Fans(window * shape[-2], window * shape[-1])


def test_pytorch_conv_transpose() -> None:
    """(in, out / groups, height, width), as torch.nn.ConvTranspose2d keeps it."""
    layout = Layout("IOHW", groups=4, grouped="I")
    assert compute_fans((64, 16, 3, 3), layout) == Fans(16 * 9, 16 * 9)


def test_keras_depthwise() -> None:
    """(height, width, channels, multiplier), every channel on its own."""
    grouped = compute_fans((3, 3, 64, 2), Layout("HWIO", groups=64, grouped="I"))
    assert grouped == compute_fans((3, 3, 64, 2), "HWBO") == Fans(9, 18)


def test_fans_are_returned_as_they_are() -> None:
    assert compute_fans((), Fans(3, 0.5)) == Fans(3, 0.5)


def test_no_elements() -> None:
    assert compute_fans((0, 3)) == Fans(1, 3)
    assert compute_fans((0, 0, 4), "BIO") == Fans(1, 4)


ERRORS = [
    (
        lambda: compute_fans((3,)),
        "compute_fans: shape needs at least 2 axes; got shape=(3,). For a bias use zeros, or a "
        "plain distribution with an explicit std; to scale by the weight's fans pass "
        "layout=Fans(fan_in, fan_out).",
    ),
    (
        lambda: compute_fans((3, 4), "HWIO"),
        "compute_fans: layout needs one letter an axis; got layout='HWIO' for shape=(3, 4). "
        "Give 2 letters.",
    ),
    (
        lambda: compute_fans((3, 4), "IX"),
        "compute_fans: axes must be letters of IOBDHW, one an axis; got axes='IX'. For a dense "
        'kernel (in, out) write "IO".',
    ),
    (
        lambda: compute_fans((3,), "O"),
        "compute_fans: fan_in needs an axis that is one of I, D, H, W; got layout='O'. State "
        "the fans outright: layout=Fans(fan_in, fan_out).",
    ),
    (
        lambda: compute_fans((3,), "I"),
        "compute_fans: fan_out needs an axis that is one of O, D, H, W; got layout='I'. State "
        "the fans outright: layout=Fans(fan_in, fan_out).",
    ),
    (
        lambda: compute_fans((3, 3, 2, 10), Layout("HWIO", groups=4)),
        "compute_fans: groups must divide the length of the 'O' axes; got groups=4 for 10 "
        "channels. Give the layer's own number of groups.",
    ),
    (
        lambda: Layout("IO", groups=0),
        "Layout: groups must be an int, at least 1; got groups=0. Give 1 or more.",
    ),
    (
        lambda: Layout("IO", grouped="B"),  # pyright: ignore[reportArgumentType]
        "Layout: grouped must be one of I, O; got grouped='B'. Choose one of these.",
    ),
    (
        lambda: Fans(0, 3),
        "Fans: fan_in must be above 0; got fan_in=0.0. Count the terms that one output sums.",
    ),
    (
        lambda: Fans(3, math.nan),
        "Fans: fan_out must be a finite number; got fan_out=nan. Give a value in that range.",
    ),
]


@pytest.mark.parametrize(
    ("call", "text"), ERRORS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_errors(call, text: str) -> None:
    with pytest.raises(ValueError) as caught:
        call()
    assert str(caught.value) == text


KINDS = [
    (
        lambda: compute_fans((3, 4), 5),  # pyright: ignore[reportArgumentType]
        "compute_fans: layout must say what each axis is, as a string or a Layout; got layout=5. For a "
        'dense kernel write "IO".',
    ),
    (
        lambda: Layout(["I", "O"]),  # pyright: ignore[reportArgumentType]
        "Layout: axes must be letters of IOBDHW, one an axis; got axes=['I', 'O']. For a dense "
        'kernel (in, out) write "IO".',
    ),
    (
        lambda: Layout("IO", groups=2.0),  # pyright: ignore[reportArgumentType]
        "Layout: groups must be an int, at least 1; got groups=2.0. Give a plain int.",
    ),
    (
        lambda: Fans("3", 4),  # pyright: ignore[reportArgumentType]
        "Fans: fan_in must be a finite number; got fan_in='3'. Give a float.",
    ),
]


@pytest.mark.parametrize(
    ("call", "text"), KINDS, ids=lambda v: v if isinstance(v, str) else ""
)
def test_errors_of_kind(call, text: str) -> None:
    with pytest.raises(TypeError) as caught:
        call()
    assert str(caught.value) == text
