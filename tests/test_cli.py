"""The command: what it prints, what it writes, and how it refuses."""

import json
import math
import os
import pathlib
import re
import subprocess
import sys

import pytest

import jaxinit
from jaxinit import cli
from jaxinit.cli import progress, studies
from jaxinit.signal.report import optional
from jaxinit.signal.studies import batched_runs

SMALL = ["--depth", "6", "--width", "16", "--seeds", "3", "--plain"]


def run(*arguments):
    return cli.main(arguments)


def test_default_study(tmp_path, capsys):
    out = tmp_path / "study.png"
    assert run("study", *SMALL, "--theory", "--out", str(out)) == 0
    text = capsys.readouterr().out
    for name in ("tanh, unit_uniform", "relu, kaiming_normal", "theory", "gradient stable"):
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
    real = batched_runs.draw_seeds
    monkeypatch.setattr(
        batched_runs, "draw_seeds", lambda *a, **k: calls.append(1) or real(*a, **k)
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
    real, calls = batched_runs.draw_seeds, []

    def stop(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*arguments, **options)

    monkeypatch.setattr(batched_runs, "draw_seeds", stop)
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

    monkeypatch.setattr(studies, "run_studies", stop)
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
    (found,) = json.loads(out.with_suffix(".json").read_text())["phase_diagrams"]
    assert len(found["xi_c"]) == 4
    assert len(found["xi_c"][0]) == 6
    assert out.exists()
    # A study joins it in the file, and the same diagram takes its own place.
    assert run("study", "--init", "orthogonal", *SMALL, "--out", str(out)) == 0
    assert run("study", *sweep, "--plain", "--out", str(out)) == 0
    whole = json.loads(out.with_suffix(".json").read_text())
    assert (len(whole["results"]), whole["phase_diagrams"]) == (1, [found])


def test_recommend(capsys):
    assert run("recommend", "gelu", "--depth", "50", "--plain") == 0
    text = capsys.readouterr().out
    assert "doubly critical" in text
    assert max(map(len, text.splitlines())) <= 80
    code = text[text.index("import jax") :]
    made = {}
    exec(code, made)
    assert made["weight"].shape == made["first_weight"].shape == (512, 512)
    for name, std in (("weight", 1.40821 / 512**0.5), ("bias", 0.415839)):
        size = made[name].size
        assert float(made[name].std()) == pytest.approx(std, rel=5 / (2 * size) ** 0.5)


def test_version_and_names(capsys):
    with pytest.raises(SystemExit) as stopped:
        run("--version")
    assert stopped.value.code == 0
    assert capsys.readouterr().out == f"jaxinit {jaxinit.__version__}\n"
    assert run("study", "--list") == 0
    lines = capsys.readouterr().out.split()
    assert {"kaiming_normal", "critical", "gelu"} <= set(lines)


def test_functions_by_name(tmp_path, capsys):
    assert run("recommend", "jax.numpy:sin", "--plain") == 0
    assert "sin over 100 layers" in capsys.readouterr().out
    out = str(tmp_path / "a.png")
    assert run("study", "--activation", "jax.numpy:sin", *SMALL, "--out", out) == 0
    assert "sin, forward: signal stable" in capsys.readouterr().out


def test_progress_without_a_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "_PAUSE", 0.0)
    out = str(tmp_path / "a.png")
    assert run("study", "--init", "orthogonal", *SMALL, "--out", out) == 0
    assert re.fullmatch(
        r"jaxinit: 3 of 3 seeds, \d+ s: tanh, orthogonal\n", capsys.readouterr().err
    )


REFUSALS = [
    (("study", "--depth", "many"), "argument --depth: invalid int value: 'many'"),
    (("study", "--activation", "tan"), "Did you mean 'tanh'?"),
    (("study", "--activation", "tanh", "--init", "xavir"), "study: init must be one of"),
    (("study", "--seeds", "0"), "study: seeds must be an int, at least 1"),
    (("study", "--depth", "0"), "depth must be an int, at least 1"),
    (("study", "--dtype", "int8"), "study: dtype must be one of"),
    (("study", "--kind", "deep"), "kind must be one of dense"),
    (("study", "--out", "a.gif"), "study: --out must end in .png, .pdf, .svg; got 'a.gif'"),
    (("study", "--out", "no/a.png"), "must lie in a folder that is there"),
    (("study", "--out", "a.png", "--format", "pdf"), "--format must be the end of --out"),
    (("study", "--format", "gif"), "study: --format must be one of png, pdf, svg"),
    (("study", "--depth", "1000000000"), "one seed of a study must fit in 8 GiB"),
    (("study", "--seeds", str(10**15)), "the results of a study must fit in 8 GiB"),
    (("study", "--seed", str(2**64)), "seed must be an int from 0 to 2**64 - 1"),
    (
        ("study", "--seeds", str(10**20)),
        "study: seeds must be an int, at least 1 and below 2**63",
    ),
    (("study", "--seed", "-1"), "seed must be an int from 0 to 2**64 - 1"),
    (("study", "--init", "normal:1e300"), "at most 1e+30"),
    (("study", "--rules", "a:b"), "does not take all options; got --rules"),
    (("study", "--activation", "numpy:sin"), "a function of arrays that JAX can trace"),
    (("study", "--sweep", "sigma_w=1:2:0", "sigma_b=0:1:2"), "with 1 to 1000 points"),
    (("study", "--sweep", "sigma_w=1:2:3", "sigma_b=0:1:2", "--depth", "3"), "--depth"),
    (("recommend", "relu", "--depth", str(10**9)), "depth must be at most 100000"),
    (("audit", "sys:exit"), "sys:exit must return a model; got an exit with status None"),
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
    for module in (studies, optional):
        monkeypatch.setattr(module, "has", lambda _name: False)
    monkeypatch.setattr(progress, "_PAUSE", math.inf)
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


@pytest.fixture
def held(tmp_path, monkeypatch, capsys):
    """A folder with the results of three seeds of one study."""
    monkeypatch.chdir(tmp_path)
    assert run("study", "--init", "orthogonal", *SMALL) == 0
    capsys.readouterr()
    return tmp_path


def results():
    return json.loads(pathlib.Path("study.json").read_text())["results"]


def test_a_file_merges_studies(held, capsys):
    (first,) = results()
    assert run("study", "--init", "lecun_normal", *SMALL) == 0
    assert results()[0] == first
    assert [one["label"] for one in results()] == ["tanh, orthogonal", "tanh, lecun_normal"]
    fewer = [a if a != "3" else "1" for a in SMALL]
    assert run("study", "--init", "orthogonal", *fewer) == 0
    assert "medians of 1 seeds" in capsys.readouterr().out
    assert results()[0] == first
    assert run("study", "--init", "orthogonal", *fewer, "--fresh") == 0
    assert len(results()[0]["values"]["log10_std"]) == 1
    assert len(results()) == 2
    assert run("study", "--init", "orthogonal", *fewer, "--overwrite") == 0
    assert len(results()) == 1


def test_a_file_names_its_runs_and_can_be_compared_by_lines(held):
    more = [a if a != "3" else "5" for a in SMALL]
    before = pathlib.Path("study.json").read_text().splitlines()
    assert run("study", "--init", "orthogonal", *more) == 0
    after = pathlib.Path("study.json").read_text().splitlines()
    (one,) = results()
    first, second = one["runs"]
    assert (first["seeds"], second["seeds"]) == ("0 to 2", "3 to 4")
    assert first["command"] == f"jaxinit study --init orthogonal {' '.join(SMALL)}"
    for name in ("date", "jaxinit", "jax", "key", "device"):
        assert second[name]
    assert first["key"] == "threefry2x32"
    assert one["values"]["dead"][0][0] is None  # NaN
    # Only a comma behind what was a last line is new.
    assert {line.rstrip(",") for line in before} <= {line.rstrip(",") for line in after}


BROKEN = {
    "binary data": lambda _: b"\xff\xfe\x00\x01",
    "one that is cut short": lambda text: text[: len(text) // 2],
    "one that is cut short ": lambda text: text[: len(text) // 2 // 7],
    "'[1, 2]'": lambda _: b"[1, 2]",
    "'{\"a\": 1}'": lambda _: b'{"a": 1}',
    "format 3 (this version of jaxinit reads 2)": lambda text: text.replace(
        b": 2", b": 3", 1
    ),
    "JSON of which an entry is missing or of another kind": lambda text: text.replace(
        b'"label"', b'"name"'
    ),
}


@pytest.mark.parametrize("got", BROKEN)
def test_another_file_is_named_and_left_alone(got, held, capsys):
    path = held / "study.json"
    path.write_bytes(BROKEN[got](path.read_bytes()))
    before = path.read_bytes()
    assert run("study", "--init", "orthogonal", *SMALL) == 2
    assert capsys.readouterr().err == (
        f"jaxinit: study: study.json must be a results file of jaxinit; got {got.strip()}. "
        "Move it away, name another file, or replace it with overwrite (--overwrite).\n"
    )
    assert path.read_bytes() == before
    assert run("study", "--init", "orthogonal", *SMALL, "--overwrite") == 0
    assert len(results()) == 1


def test_a_picture_of_something_else_is_left_alone(held, capsys):
    (held / "holiday.png").write_text("sun")
    assert run("study", *SMALL, "--out", "holiday.png") == 2
    assert "got 'holiday.png' alone" in capsys.readouterr().err
    assert (held / "holiday.png").read_text() == "sun"


def test_a_full_disk_loses_nothing(held, capsys, monkeypatch):
    before = (held / "study.json").read_bytes()

    def full(self, *_args):
        raise OSError(28, "No space left on device", str(self))

    monkeypatch.setattr(pathlib.Path, "replace", full)
    assert run("study", "--init", "lecun_normal", *SMALL) == 2
    err = capsys.readouterr().err
    assert err.startswith("jaxinit: ")
    assert err.endswith("No space left on device\n")
    assert (held / "study.json").read_bytes() == before
    assert sorted(path.name for path in held.iterdir()) == ["study.json", "study.png"]


def test_no_link_is_followed_on_the_way(held):
    target = held / "target"
    target.write_text("precious")
    for name in ("study.json.part", f".study.json.{os.getpid()}.part"):
        (held / name).symlink_to(target)
    assert run("study", "--init", "lecun_normal", *SMALL) == 2
    assert target.read_text() == "precious"
    assert len(results()) == 1


def process(code, *arguments, **options):
    args = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(args, text=True, stderr=subprocess.PIPE, **options)


INTERRUPTED = """
import _thread, sys, threading, time
sys.argv = ["jaxinit", "study", "--depth", "300", "--width", "256", "--plain"]
from jaxinit import cli
from jaxinit.signal.studies import batched_runs
real = batched_runs.draw_seeds
def draw_seeds(*args, **options):
    found = real(*args, **options)
    _thread.interrupt_main()
    return found
batched_runs.draw_seeds = draw_seeds
cli.run()
"""


def test_interruption_of_a_process(tmp_path):
    """While a program runs in threads: status 130 and one line, no crash."""
    there = process(INTERRUPTED, cwd=tmp_path)
    _, err = there.communicate()
    assert there.returncode == 130
    assert err == "jaxinit: interrupted; the same command goes on from there\n"


@pytest.mark.parametrize("name", ["-m", "/bin/jaxinit"])
def test_interruption_of_the_start(name):
    code = (
        "import sys, signal, os\n"
        f"sys.argv, sys.orig_argv = [{name!r}], ['python', '-m', 'jaxinit']\n"
        "sys.modules['jax'] = None\n"  # so that no more than the first import runs
        "try: import jaxinit\n"
        "except ImportError: os.kill(os.getpid(), signal.SIGINT)\n"
    )
    there = process(code)
    _, err = there.communicate()
    assert (there.returncode, err) == (130, "jaxinit: interrupted\n")


def test_a_pipe_that_closes(tmp_path):
    code = "import sys; from jaxinit import cli; sys.argv[0] = 'jaxinit'; cli.run()"
    args = ("study", "--init", "orthogonal", *SMALL)
    there = process(code, *args, stdout=subprocess.PIPE, cwd=tmp_path)
    assert there.stdout is not None
    there.stdout.close()
    _, err = there.communicate()
    assert (there.returncode, err) == (0, "")
    assert (tmp_path / "study.png").exists()
