"""Pictures of studies and of phase diagrams."""

import contextlib
import io
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from jaxinit.signal.report.files import write_file
from jaxinit.signal.report.optional import need
from jaxinit.signal.report.table import headline
from jaxinit.signal.studies.bands import Band, Banded, Measured
from jaxinit.signal.theory.phase import PhaseDiagram

# Okabe and Ito, "Color universal design", 2008: distinct under any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_NAMES, _LETTERS = 24, 40  # of names below an axis, and of each
_STYLE = {
    "font.size": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 13,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "savefig.facecolor": "white",
}


FORMATS = ("png", "pdf", "svg")
"""Kinds of pictures, by the end of a file's name."""

Path = str | pathlib.Path | None


@contextlib.contextmanager
def figure(path: Path, columns: int, width: float, height: float) -> Iterator[Any]:
    """Give a new figure, which needs no window, and its axes; write it at the end."""
    matplotlib = need("matplotlib", "the picture")
    with matplotlib.rc_context(_STYLE):
        made = need("matplotlib.figure", "the picture").Figure(
            figsize=(width, height), dpi=150, layout="constrained"
        )
        yield made, made.subplots(1, columns, squeeze=False)[0]
        if path is not None:
            path = pathlib.Path(path)
            picture = io.BytesIO()
            made.savefig(picture, format=path.suffix[1:] or "png")
            write_file(path, picture.getvalue())


def plot_study(
    results: Sequence[Measured],
    predictions: Sequence[Banded | None],
    path: Path = None,
) -> Any:
    """Draw standard deviations and gradients by layer, with bands.

    Args:
        results: What was measured: lines, and bands from 5 % to 95 % of the seeds.
        predictions: What theory says: dashed lines.
        path: The file to write, or None.

    Returns:
        The figure.
    """
    with figure(path, 2, 11, 4.6) as (made, (left, right)):
        _draw_study(made, left, right, results, predictions)
    return made


def _draw_study(
    made: Any,
    left: Any,
    right: Any,
    results: Sequence[Measured],
    predictions: Sequence[Banded | None],
) -> None:
    for number, (result, prediction) in enumerate(zip(results, predictions, strict=True)):
        colour = COLOURS[number % len(COLOURS)]
        marker = MARKERS[number % len(MARKERS)]
        for axes, quantity in ((left, "log10_std"), (right, "log10_grad")):
            _line(axes, result.band(quantity), colour, marker, result.label)
            if prediction is not None:
                median = prediction.band(quantity).median
                axes.plot(powers(median), color="black", lw=1, ls=(0, (4, 3)), zorder=4)
    left.set_title("Forward: standard deviation of the activations")
    right.set_title("Backward: rms gradient with respect to them")
    depth = results[0].settings["depth"]
    for axes in (left, right):
        axes.set_yscale("log")
        axes.set_xlim(0, depth)
        axes.set_xlabel("layer")
        _room(axes)
    handles, labels = left.get_legend_handles_labels()
    if any(p is not None for p in predictions):
        line = need("matplotlib.lines", "the picture").Line2D
        handles.append(line([], [], color="black", lw=1, ls=(0, (4, 3))))
        labels.append("mean-field theory, with its 1/width correction")
    legend(made, handles, labels)
    title = f"{headline(results[0].settings)}: median and 5-95 % band"
    made.suptitle(f"{title} of {results[0].seeds} seeds", x=0.01, ha="left")


def plot_models(results: Sequence[Measured], path: Path = None) -> Any:
    """Draw what a user's model does at each weight, with bands.

    Args:
        results: What :func:`jaxinit.signal.study_model` measured of one model.
        path: The file to write, or None.

    Returns:
        The figure.
    """
    with figure(path, 2, 11, 6) as (made, (left, right)):
        for number, result in enumerate(results):
            style = COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]
            label = result.settings["init"]
            _line(left, result.band("log10_std"), *style, label, first=1)
            _line(right, result.band("log10_grad"), *style, label, first=1)
        left.set_title("Forward: standard deviation of each product")
        right.set_title("Backward: rms gradient with respect to it")
        names = _short(results[0].settings["weights"])
        every = -(-len(names) // _NAMES)
        ticks = range(1, len(names) + 1, every)
        for axes in (left, right):
            axes.set_yscale("log")
            axes.set_xlim(0.5, len(names) + 0.5)
            axes.set_xlabel("weight, in order of use")
            axes.set_xticks(ticks, names[::every], rotation=90, fontsize=8)
            _room(axes)
        handles, labels = left.get_legend_handles_labels()
        legend(made, handles, labels)
        title = f"{results[0].settings['model']}: median and 5-95 % band"
        made.suptitle(f"{title} of {results[0].seeds} seeds", x=0.01, ha="left")
    return made


def legend(made: Any, handles: Any, labels: Sequence[str]) -> None:
    """Put the legend below, in one row where it fits, else in rows of equal length."""
    inches = [0.1 * len(label) + 0.6 for label in labels]
    rows = math.ceil(sum(inches) / made.get_figwidth())
    columns = min(math.ceil(len(labels) / rows), int(made.get_figwidth() / max(inches)))
    made.legend(handles, labels, loc="outside lower center", ncols=max(columns, 1))


def _short(paths: Sequence[str]) -> list[str]:
    """Return paths without the start that all share, with dots where still too long."""
    parts = [path.split("/") for path in paths]
    most = min(map(len, parts)) - 1
    shared = next((i for i in range(most) if len({p[i] for p in parts}) > 1), most)
    names = ["/".join(p[shared:]) for p in parts]
    keep = (_LETTERS - 3) // 2
    return [n if len(n) <= _LETTERS else f"{n[:keep]}...{n[-keep:]}" for n in names]


def _line(
    axes: Any, band: Band, colour: str, marker: str, label: str, *, first: int = 0
) -> None:
    layers = first + np.arange(len(band.median))
    every = max(1, len(layers) // 8)
    axes.fill_between(
        layers, powers(band.low), powers(band.high), color=colour, alpha=0.25, lw=0
    )
    axes.plot(
        layers,
        powers(band.median),
        color=colour,
        lw=2,
        marker=marker,
        markevery=every,
        ms=6,
        label=label,
    )


def powers(log10: np.ndarray) -> np.ndarray:
    """Return what can be drawn on a log axis; the rest is left out."""
    usable = np.abs(log10) < 300
    return 10.0 ** np.where(usable, log10, math.nan)


def _room(axes: Any) -> None:
    """Keep a flat line in a frame of at least four powers of ten."""
    low, high = (math.log10(y) for y in axes.get_ylim())
    if high - low < 4:
        middle = (high + low) / 2
        low, high = middle - 2, middle + 2
    axes.set_ylim(10.0**low, 10.0**high)


def plot_phases(diagram: PhaseDiagram, name: str, path: Path = None) -> Any:
    """Draw a phase diagram: depth scale as colour, the edge of chaos over it.

    Args:
        diagram: The numbers.
        name: What the activation is called.
        path: The file to write, or None.

    Returns:
        The figure.
    """
    with figure(path, 1, 7.5, 5) as (made, (axes,)):
        colours = need("matplotlib.colors", "the picture")
        shown = np.ma.masked_invalid(np.clip(diagram.xi_c, 1, 1000))
        mesh = axes.pcolormesh(
            diagram.sigma_w,
            diagram.sigma_b,
            shown,
            norm=colours.LogNorm(1, 1000),
            cmap="viridis",
            shading="nearest",
        )
        axes.set_facecolor("#DDDDDD")
        axes.grid(visible=False)
        edge_w, edge_b = diagram.edge
        style = {"color": "white", "lw": 4, "marker": "o", "ms": 7, "markevery": [0]}
        axes.plot(edge_w, edge_b, **style)
        axes.plot(edge_w, edge_b, **{**style, "color": COLOURS[1], "lw": 2, "ms": 5})
        axes.set_xlim(diagram.sigma_w.min(), diagram.sigma_w.max())
        axes.set_ylim(diagram.sigma_b.min(), diagram.sigma_b.max())
        axes.set_xlabel("sigma_w: standard deviation of the weights x sqrt(fan_in)")
        axes.set_ylabel("sigma_b: standard deviation of the biases")
        axes.set_title(f"{name}: over how many layers two inputs can be distinguished")
        bar = made.colorbar(mesh, ax=axes, extend="both")
        bar.set_label("depth scale of correlations, in layers")
        line = need("matplotlib.lines", "the picture").Line2D
        patch = need("matplotlib.patches", "the picture").Patch
        handles = [line([], [], color=COLOURS[1], lw=2, marker="o", ms=5)]
        labels = ["edge of chaos, chi_1 = 1"]
        if np.isnan(diagram.xi_c).any():
            handles.append(patch(color="#DDDDDD"))
            labels.append("signals vanish or explode")
        legend(made, handles, labels)
    return made
