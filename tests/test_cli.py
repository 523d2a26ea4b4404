"""The command: what it prints, what it writes, and how it refuses."""

import json
import subprocess
import sys

import pytest

from jaxinit import cli
from jaxinit.signal.report import optional
from jaxinit.signal.studies import batched_runs

SMALL = ["--depth", "6", "--width", "16", "--seeds", "3", "--plain"]


def run(*arguments):
    return cli.main(arguments)


def test_default_study(tmp_path, capsys):
    out = tmp_path / "study.png"
    assert run("study", *SMALL, "--theory", "--out", str(out)) == 0
    text = capsys.readouterr().out
    for name in ("tanh, unit_uniform", "relu, kaiming_normal", "theory", "gradient kept"):
        assert name in text
    assert out.read_bytes()[:4] == b"\x89PNG"
    found = json.loads(out.with_suffix(".json").read_text())["results"]
    assert len(found) == 4
    assert len(found[0]["values"]["log10_std"]) == 3


def test_an_interrupted_study_goes_on(tmp_path, capsys, monkeypatch):
    out = tmp_path / "deep.png"
    args = ("study", "--activation", "relu", "--init", "he_normal", "--out", str(out))
    assert run(*args, *SMALL) == 0
    first = json.loads(out.with_suffix(".json").read_text())["results"][0]["values"]
    calls = []
    real = batched_runs.run_seeds
    monkeypatch.setattr(
        batched_runs, "run_seeds", lambda *a, **k: calls.append(1) or real(*a, **k)
    )
    assert run(*args, *SMALL) == 0
    assert not calls
    more = [a if a != "3" else "5" for a in SMALL]
    assert run(*args, *more) == 0
    assert calls
    second = json.loads(out.with_suffix(".json").read_text())["results"][0]["values"]
    assert second["log10_std"][:3] == first["log10_std"]
    assert len(second["log10_std"]) == 5
    calls.clear()
    assert run(*args, *SMALL, "--fresh") == 0
    assert calls
    assert "5 seeds" in capsys.readouterr().out


def test_what_was_done_before_an_interruption_is_kept(tmp_path, capsys, monkeypatch):
    out = tmp_path / "deep.png"
    args = (
        "study",
        "--init",
        "xavier_normal",
        "--compare",
        "orthogonal",
        "--out",
        str(out),
    )
    real, calls = batched_runs.run_seeds, []

    def stop(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(batched_runs, "run_seeds", stop)
    assert run(*args, *SMALL) == 130
    (kept,) = json.loads(out.with_suffix(".json").read_text())["results"]
    assert kept["label"] == "tanh, xavier_normal"
    assert run(*args, *SMALL) == 0
    assert len(calls) == 3
    assert len(json.loads(out.with_suffix(".json").read_text())["results"]) == 2
    capsys.readouterr()


def test_interruption_is_one_line(tmp_path, capsys, monkeypatch):
    def stop(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "run_studies", stop)
    assert run("study", *SMALL, "--out", str(tmp_path / "a.png")) == 130
    assert capsys.readouterr().err == (
        "jaxinit: interrupted; the same command goes on from there\n"
    )


def test_compare(tmp_path, capsys):
    out = str(tmp_path / "a.png")
    schemes = "normal:1.3,0.2,critical,lecun_normal"
    assert (
        run("study", "--activation", "gelu", "--compare", schemes, *SMALL, "--out", out)
        == 0
    )
    text = capsys.readouterr().out
    for name in ("gelu, normal:1.3,0.2", "gelu, critical", "gelu, lecun_normal"):
        assert name in text


def test_sweep(tmp_path, capsys):
    out = tmp_path / "phase.png"
    sweep = ("--sweep", "sigma_w=0.5:3:6", "sigma_b=0:1:4")
    assert run("study", *sweep, "--plain", "--out", str(out)) == 0
    assert "depth scale" in capsys.readouterr().out
    found = json.loads(out.with_suffix(".json").read_text())
    assert len(found["xi_c"]) == 4
    assert len(found["xi_c"][0]) == 6
    assert out.exists()


def test_recommend(capsys):
    assert run("recommend", "gelu", "--depth", "50", "--plain") == 0
    text = capsys.readouterr().out
    assert "doubly critical" in text
    assert "jaxinit.lecun_normal(key, shape, gain=1.40821)" in text


def test_rich_tables(capsys):
    pytest.importorskip("rich")
    assert run("recommend", "relu") == 0
    assert "kaiming_normal" in capsys.readouterr().out


REFUSALS = [
    (("study", "--depth", "many"), "argument --depth: invalid int value: 'many'"),
    (("study", "--activation", "tan"), "Did you mean 'tanh'?"),
    (("study", "--activation", "tanh", "--init", "xavir"), "study: init must be one of"),
    (("study", "--seeds", "0"), "study: seeds must be an int, at least 1"),
    (("study", "--depth", "0"), "depth must be an int, at least 1"),
    (("study", "--dtype", "int8"), "study: dtype must be one of"),
    (("study", "--kind", "deep"), "kind must be one of dense"),
    (("study", "--out", "a.pdf"), "study: --out must end in .png; got 'a.pdf'"),
    (("study", "--sweep", "sigma_w=1", "sigma_b=0:1:2"), "must be of the form"),
    (("study", "--sweep", "sigma_w=1:2:3", "sigma=0:1:2"), "needs sigma_w and sigma_b"),
    (("recommend", "geluu"), "recommend: activation must be one of"),
    (("paint",), "invalid choice: 'paint'"),
    ((), "the following arguments are required: COMMAND"),
]


@pytest.mark.parametrize(("arguments", "text"), REFUSALS)
def test_bad_options_give_one_line_and_status_2(
    arguments, text, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    try:
        status = run(*arguments)
    except SystemExit as exit_:
        status = exit_.code
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.count("\n") == 1
    assert text in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []


def test_without_optional_packages(tmp_path, capsys, monkeypatch):
    for module in (cli, optional):
        monkeypatch.setattr(module, "has", lambda _name: False)
    from jaxinit.signal.report import table

    monkeypatch.setattr(table, "has", lambda _name: False)
    monkeypatch.chdir(tmp_path)
    assert run("study", "--depth", "6", "--width", "16", "--seeds", "3") == 0
    captured = capsys.readouterr()
    assert "relu, kaiming_normal" in captured.out
    assert captured.err == 'No picture: run pip install "jaxinit[study]".\n'
    assert not (tmp_path / "study.png").exists()
    assert run("study", "--out", "other.png") == 2
    assert capsys.readouterr().err == (
        "jaxinit: --out other.png needs matplotlib, which is not installed. "
        'Run: pip install "jaxinit[study]"\n'
    )


def test_the_command_runs_in_a_process_of_its_own():
    args = [sys.executable, "-m", "jaxinit", "recommend", "relu", "--plain"]
    done = subprocess.run(args, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "kaiming_normal" in done.stdout
