"""Table and picture of a user's model, read off their data."""

import numpy as np
import pytest

from jaxinit.signal.report.plot import plot_models
from jaxinit.signal.report.table import model_table
from jaxinit.signal.studies.result import Result

PATHS = ["net/a/kernel", "net/layers/kernel (step 0)", "net/layers/kernel (step 1)"]


def result(init, log10_std, log10_grad, weights=PATHS, remarks=()):
    settings = {
        "model": "pkg:gpt",
        "init": init,
        "weights": list(weights),
        "remarks": list(remarks),
    }
    spread = np.array([[-0.1], [0.0], [0.1]])
    values = {
        "log10_std": np.asarray(log10_std) + spread,
        "log10_grad": np.asarray(log10_grad) + spread,
        "mean": np.zeros((3, len(weights))),
    }
    return Result(f"pkg:gpt, {init}", settings, values)


GOOD = result("kaiming_normal", [0.0, 0.5, 1.0], [-1.0, -0.5, 0.0])
BAD = result(
    "lecun_normal", [0.0, -4.0, -5.0], [3.5, 3.2, 0.0], remarks=["Not measured: q."]
)


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """A function that draws results and returns the figure."""
    import matplotlib.figure

    figure = matplotlib.figure.Figure
    kept, save = [], figure.savefig
    monkeypatch.setattr(
        figure, "savefig", lambda self, *a, **k: kept.append(self) or save(self, *a, **k)
    )

    def draw(*results):
        plot_models(results, tmp_path / "models.png")
        assert (tmp_path / "models.png").read_bytes()[:4] == b"\x89PNG"
        return kept.pop()

    return draw


def test_picture(drawn):
    made = drawn(GOOD, BAD)
    assert made.get_suptitle() == "pkg:gpt: median and 5-95 % band of 3 seeds"
    (legend,) = made.legends
    assert [t.get_text() for t in legend.get_texts()] == ["kaiming_normal", "lecun_normal"]
    titles = (
        "Forward: standard deviation of each product",
        "Backward: rms gradient with respect to it",
    )
    for axes, title, quantity in zip(
        made.axes, titles, ("log10_std", "log10_grad"), strict=True
    ):
        assert axes.get_title("left") == title
        assert axes.get_xlabel() == "weight, in order of use"
        assert axes.get_yscale() == "log"
        assert axes.get_xlim() == (0.5, 3.5)
        assert [*axes.get_xticks()] == [1, 2, 3]
        names = [label.get_text() for label in axes.get_xticklabels()]
        assert names == ["a/kernel", "layers/kernel (step 0)", "layers/kernel (step 1)"]
        assert len(axes.lines) == 2
        assert len({line.get_color() for line in axes.lines}) == 2
        for one, line, band in zip((GOOD, BAD), axes.lines, axes.collections, strict=True):
            assert line.get_label() == one.settings["init"]
            np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
            middle = 10.0 ** one.values[quantity][1]
            np.testing.assert_allclose(line.get_ydata(), middle, rtol=1e-6)
            corners = band.get_paths()[0].vertices
            for edge, sign in ((corners[:, 1].min(), -1), (corners[:, 1].max(), 1)):
                extreme = middle.min() if sign < 0 else middle.max()
                np.testing.assert_allclose(edge, extreme * 10 ** (sign * 0.09), rtol=1e-6)


def test_picture_of_many_weights_with_long_names(drawn):
    paths = [f"net/{'block/' * 8}kernel (step {i})" for i in range(60)]
    made = drawn(result("lecun_normal", np.zeros(60), np.zeros(60), [*paths[:59], "net/w"]))
    axes = made.axes[0]
    assert [*axes.get_xticks()] == list(range(1, 61, 3))
    names = [label.get_text() for label in axes.get_xticklabels()]
    assert names[1] == "block/block/block/...ck/kernel (step 3)"
    assert max(map(len, names)) <= 40


def test_table():
    made = model_table(GOOD, every=True)
    assert made.title == "pkg:gpt, kaiming_normal: medians of 3 seeds"
    assert made.rows[1] == (
        "net/layers/kernel (step 0)",
        "3.2",
        "2.6 to 3.9",
        "0.32",
        "0.26 to 0.39",
    )
    assert made.verdicts == ("Signal stable, gradient stable.",)
    assert made.notes == ()


def test_like_weights_share_a_row_with_their_range():
    assert model_table(GOOD).rows == (
        ("net/a/kernel", "1.0", "0.81 to 1.2", "0.10", "0.081 to 0.12"),
        (
            "net/layers/kernel (step *) (2)",
            "3.2 to 10",
            "2.6 to 12",
            "0.32 to 1.0",
            "0.26 to 1.2",
        ),
    )
    text = str(model_table(BAD)).splitlines()
    assert text[1].startswith("Signal vanishes at net/layers/kernel (step 0)")
    assert text[-1] == "Not measured: q."


def test_table_names_where_a_signal_is_lost():
    assert model_table(BAD).verdicts == (
        "Signal vanishes at net/layers/kernel (step 0) and 1 more, "
        "gradient explodes at net/layers/kernel (step 0) and 1 more.",
    )
    odd = result("orthogonal", [np.nan, -np.inf, 4.0], [-np.inf, 0.0, 0.0])
    assert model_table(odd).verdicts == (
        "Signal vanishes at net/layers/kernel (step 0) and explodes at "
        "net/layers/kernel (step 1) and is not a number at net/a/kernel, gradient vanishes "
        "at net/a/kernel.",
    )


def test_results_show_themselves(tmp_path):
    assert repr(BAD) == (
        "<Result pkg:gpt, lecun_normal: 3 seeds, 3 weights; log10_std, log10_grad, mean>"
    )
    assert BAD.table() == model_table(BAD)
    made = BAD.plot(tmp_path / "model.svg")
    assert made.get_suptitle().startswith("pkg:gpt")
    assert b"<svg" in (tmp_path / "model.svg").read_bytes()
