"""The arithmetic of the benchmarks and their command line; no figure is measured here."""

import json
import time
from collections.abc import Iterator

import jax
import numpy as np
import pytest

import jaxinit
from benchmarks import __main__ as command
from benchmarks import _timing, bench_device, bench_draw
from benchmarks._timing import Row, fresh_process, paired, summary


def test_a_ratio_above_one_means_that_ours_is_faster() -> None:
    row = paired(
        "sleep",
        lambda: time.sleep(0.001),
        lambda: time.sleep(0.02),
        against="a slower sleep",
        pairs=3,
        samples=100,
    )
    assert row.ratio is not None
    assert row.ratio > 2
    assert row.theirs is not None
    assert row.ours < row.theirs
    assert "M/s" in row.note


def test_cpu_time_is_compared_too() -> None:
    row = paired(
        "work",
        lambda: sum(range(1000)),
        lambda: sum(range(20_000)),
        against="more",
        pairs=5,
    )
    assert row.cpu_ratio is not None
    assert row.cpu_ratio > 2


def test_the_median_is_that_of_paired_ratios() -> None:
    row = summary("x", [1.0, 10.0, 100.0], [2.0, 30.0, 400.0], against="y", goal=3.5)
    assert row.ratio == 3.0  # of 2, 3 and 4; the ratio of the medians is 3 by chance only
    assert row.quartiles == (2.5, 3.5)
    assert row.reached is False
    row = summary("x", [1.0, 10.0, 1.0], [5.0, 10.0, 1.0], against="y")
    assert row.ratio == 1.0
    assert row.theirs == 5.0
    assert row.reached is None


def test_a_goal_without_a_ratio_is_an_upper_bound() -> None:
    assert Row("temporaries", 0, "bytes", goal=4096).reached
    assert Row("temporaries", 5000, "bytes", goal=4096).reached is False


def test_pairs_take_turns() -> None:
    order: list[str] = []
    paired("x", lambda: order.append("a"), lambda: order.append("b"), against="y", pairs=4)
    assert "".join(order) == "aabb" + "ab" + "ba" + "ab" + "ba"


def test_a_fresh_process_reports_numbers() -> None:
    assert fresh_process("print(1.5, 2)") == [1.5, 2.0]


def test_the_command(monkeypatch, capsys, tmp_path) -> None:
    def run(quick: bool) -> Iterator[Row]:
        assert quick
        yield summary("a draw", [0.001], [0.005], against="another", goal=4.0, note="Fast.")
        yield Row("memory", 0, "bytes", "another", 3 * 2**20, goal=4096)

    monkeypatch.setattr(bench_draw, "run", run)
    path = tmp_path / "rows.jsonl"
    command.main(["--quick", "--json", str(path), "draw"])
    table = capsys.readouterr().out
    assert "1 ms  another" in table
    assert "5.00x" in table
    assert "4 reached" in table
    assert "3 MiB" in table
    about, first, second = map(json.loads, path.read_text().splitlines())
    assert about["quick"] is True
    assert (first["benchmark"], first["ratio"], first["reached"]) == ("draw", 5.0, True)
    assert second["theirs"] == 3 * 2**20


def test_an_unknown_name_ends_with_status_2(capsys) -> None:
    with pytest.raises(SystemExit) as caught:
        command.main(["drew"])
    assert caught.value.code == 2
    assert "no benchmark 'drew'; choose from draw" in capsys.readouterr().err


def test_a_donated_array_gets_the_same_draw() -> None:
    key = jax.random.key(0)
    call = bench_draw._into_donated(jaxinit.normal, key, (8, 8), np.float32)
    want = np.asarray(jaxinit.normal(key, (8, 8), np.float32))
    for _ in range(2):
        np.testing.assert_array_equal(np.asarray(call()), want)


def test_the_script_for_accelerators_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """At a tiny size on a CPU, so that it works when a device is there for minutes."""
    monkeypatch.setattr(bench_device, "DTYPES", ("bfloat16",))
    monkeypatch.setattr(bench_device, "KINDS", ("fused",))
    monkeypatch.setattr(bench_device, "DRAWS", {"normal": jaxinit.normal})
    monkeypatch.setattr(bench_device, "THEIRS", {"normal": jax.nn.initializers.normal(1.0)})
    rows = {row.name: row for row in bench_device.run(quick=True)}
    near = [row for name, row in rows.items() if "against the CPU" in name]
    assert len(near) == 2
    assert all(row.reached for row in near)
    drawn = rows["normal, bfloat16, fused, 16384 values"]
    assert drawn.against == "a plain fill"
    assert "GB/s written, 0 B of temporaries" in drawn.note


def test_distance_in_units_of_the_last_place() -> None:
    x = np.array([1.0, -2.0, 0.5], np.float32)
    assert bench_device._ulp(x, x) == 0
    assert bench_device._ulp(x, np.nextafter(x, 9 * np.abs(x))) == 1


@pytest.mark.parametrize("name", command.NAMES)
def test_every_benchmark_named_is_there(name: str) -> None:
    module = __import__(f"benchmarks.bench_{name}", fromlist=["run"])
    assert callable(module.run)


def test_figures_are_written_with_their_unit() -> None:
    shown = [command._figure(value, "s") for value in (2.5, 2.5e-3, 2.5e-6)]
    assert shown == ["2.5 s", "2.5 ms", "2.5 us"]
    assert command._figure(None, "s") == ""
    assert _timing.seconds(lambda: None) >= 0
