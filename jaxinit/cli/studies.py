"""``jaxinit study``."""

import argparse
import contextlib
import os
import pathlib
import sys
from typing import Any, NamedTuple, cast

import jax
import numpy as np

from jaxinit._activations import ACTIVATION_NAMES
from jaxinit._checks import check_choice, value_error
from jaxinit.cli.commands import (
    ACTIVATION_HELP,
    Arguments,
    Command,
    activation_of,
    colour,
    cores,
)
from jaxinit.cli.progress import progress
from jaxinit.models.load import load_model, load_object
from jaxinit.signal.report.optional import has, need
from jaxinit.signal.report.plot import FORMATS, plot_models, plot_phases, plot_study
from jaxinit.signal.report.table import Table, model_table, print_table, study_table
from jaxinit.signal.report.theory_table import phase_table
from jaxinit.signal.studies.model_study import prepare
from jaxinit.signal.studies.network import KINDS
from jaxinit.signal.studies.prediction import predict
from jaxinit.signal.studies.result import Prediction
from jaxinit.signal.studies.results_file import Results, diagram_as_data, load, merge
from jaxinit.signal.studies.resume import File, run_models, run_studies
from jaxinit.signal.studies.schemes import SCHEME_NAMES
from jaxinit.signal.studies.study import Study
from jaxinit.signal.studies.width_study import width_study
from jaxinit.signal.tailor import tailor
from jaxinit.signal.theory.maps import Nonlinearity
from jaxinit.signal.theory.phase import phase_diagram

# The first experiments on depth: which of these carries a signal through 100 layers?
_DEFAULT_STUDIES = (
    ("tanh", "unit_uniform"),
    ("tanh", "xavier_uniform"),
    ("relu", "xavier_uniform"),
    ("relu", "kaiming_normal"),
)
_NETWORK = (
    "activation",
    "tailor",
    "depth",
    "width",
    "dtype",
    "kind",
    "branch_scale",
    "theory",
)
_TRAINED = ("steps", "learning_rate")
_MODEL = ("rules", "keep_unknown", "all", "widths", *_TRAINED)
_NOT_OF_MODELS = (*_NETWORK, "sweep")
_SWEEP = "sigma_w=0.5:3:30 sigma_b=0:1:20"


class _Output(NamedTuple):
    """Where results go."""

    picture: pathlib.Path
    file: File

    @property
    def numbers(self) -> pathlib.Path:
        """The JSON file beside the picture."""
        return self.file.path


def _add_study(options: argparse.ArgumentParser) -> None:
    network = options.add_argument_group("a network of equal layers")
    network.add_argument("--activation", metavar="NAME", help=ACTIVATION_HELP)
    network.add_argument(
        "--tailor", help="scale and shift the activation for the depth: tat, dks"
    )
    network.add_argument("--depth", type=int, default=100, help="layers (100)")
    network.add_argument("--width", type=int, default=512, help="units of a layer (512)")
    network.add_argument("--dtype", default="float32", help="float32, bfloat16, ...")
    network.add_argument("--kind", default="dense", help=", ".join(KINDS))
    network.add_argument(
        "--branch-scale", type=float, default=1.0, help="factor on residual branches (1)"
    )
    network.add_argument(
        "--theory", action="store_true", help="show mean-field theory beside it"
    )
    model = options.add_argument_group("your model")
    model.add_argument(
        "--model",
        metavar="package.module:function",
        help="a function without arguments that returns (apply_fn, params, inputs); "
        "with --widths a function of the width",
    )
    model.add_argument(
        "--rules",
        metavar="package.module:name",
        help="rules for jaxinit.auto: pairs (path pattern, initializer or keep)",
    )
    model.add_argument(
        "--keep-unknown",
        action="store_true",
        help="leave weights without an initializer at the values that they have",
    )
    model.add_argument(
        "--widths",
        metavar="64,128,...",
        help="coordinate check: train the model that the function returns for each width",
    )
    model.add_argument("--steps", type=int, default=4, help="of Adam, with --widths (4)")
    model.add_argument(
        "--learning-rate", type=float, default=0.01, help="of Adam, with --widths (0.01)"
    )
    model.add_argument(
        "--all", action="store_true", help="a row for every weight, also for like ones"
    )
    drawn = options.add_argument_group("what is drawn")
    drawn.add_argument(
        "--init", help="a scheme: xavier_normal, normal:1.3,0.2, critical, ..."
    )
    drawn.add_argument(
        "--compare", help="further schemes: kaiming_normal,critical", default=""
    )
    drawn.add_argument("--seeds", type=int, default=32, help="how many seeds (32)")
    drawn.add_argument("--seed", type=int, default=0, help="which seeds (0)")
    options.add_argument(
        "--sweep",
        nargs=2,
        metavar="NAME=FROM:TO:COUNT",
        help=f"a phase diagram by theory instead: {_SWEEP}",
    )
    options.add_argument(
        "--list", action="store_true", help="print names of schemes and activations"
    )
    files = options.add_argument_group("files")
    files.add_argument(
        "--out", help="picture (study.png); numbers are merged into the .json beside it"
    )
    files.add_argument("--format", help=f"of the picture: {', '.join(FORMATS)}")
    files.add_argument(
        "--fresh", action="store_true", help="run anew what the .json file has already"
    )
    files.add_argument(
        "--overwrite", action="store_true", help="replace the files, whatever they hold"
    )
    options.add_argument("--plain", action="store_true", help="no colours, no moving line")


def _study(arguments: Arguments) -> int:
    if arguments.list:
        print("Schemes:", *SCHEME_NAMES, sep="\n  ")
        print("Activations:", *ACTIVATION_NAMES, sep="\n  ")
        return 0
    if arguments.sweep is not None:
        _refuse(arguments, "--sweep", (*_NETWORK[1:], *_MODEL, "model", "init", "compare"))
        return _sweep(arguments)
    if arguments.model is not None:
        _refuse(arguments, "--model", _NOT_OF_MODELS)
        if arguments.widths is not None:
            _refuse(arguments, "--widths", ("keep_unknown", "all", "compare"))
            return _study_widths(arguments)
        _refuse(arguments, "--model without --widths", _TRAINED)
        return _study_model(arguments)
    _refuse(arguments, "a study without --model", _MODEL)
    out = _output(arguments)
    pairs = [(activation_of(name), init) for name, init in _pairs(arguments)]
    if arguments.tailor is not None:
        options = {"method": arguments.tailor}
        pairs = [(tailor(f, arguments.depth, **options), init) for f, init in pairs]
    studies = [_asked(arguments, *pair) for pair in pairs]
    predictions = [_prediction(one) if arguments.theory else None for one in studies]
    _use_all_cores()
    with progress(len(studies), arguments.seeds, terminal=_moving(arguments)) as show:
        results = run_studies(studies, out.file, show)
    if has("matplotlib"):
        plot_study(results, predictions, out.picture)
    _print(arguments, out, study_table(results, predictions))
    return 0


def _study_model(arguments: Arguments) -> int:
    """Print, write and draw the study of a user's model."""
    named = [arguments.init or "", *arguments.compare.split(",")]
    schemes = [name.strip() for name in named if name.strip()] or ["kaiming_normal"]
    out = _output(arguments)
    model = load_model(arguments.model)
    rules = load_object(arguments.rules) if arguments.rules else ()
    plan = {
        "seeds": arguments.seeds,
        "seed": arguments.seed,
        "name": arguments.model,
        "rules": rules,
        "unresolved": "keep" if arguments.keep_unknown else "error",
    }
    studies = [prepare(*model, cast("Any", init), **plan) for init in schemes]
    with progress(len(studies), arguments.seeds, terminal=_moving(arguments)) as show:
        results = run_models(studies, out.file, show)
    if has("matplotlib"):
        plot_models(results, out.picture)
    tables = [model_table(result, every=arguments.all) for result in results]
    _print(arguments, out, *tables)
    return 0


def _study_widths(arguments: Arguments) -> int:
    """Print, write and draw the coordinate check of a user's model."""
    try:
        widths = [int(part) for part in arguments.widths.split(",")]
    except ValueError:
        rule = "--widths must be ints with commas between them"
        value_error(rule, repr(arguments.widths), "Write 64,128,256.")
    out = _output(arguments)
    make = load_object(arguments.model)
    rules = load_object(arguments.rules) if arguments.rules else ()
    terminal = _moving(arguments)
    with progress(len(widths), arguments.seeds, terminal=terminal) as show:
        found = width_study(
            make,
            widths,
            steps=arguments.steps,
            seeds=arguments.seeds,
            seed=arguments.seed,
            init=arguments.init or "kaiming_normal",
            rules=rules,
            learning_rate=arguments.learning_rate,
            name=arguments.model,
            path=out.file,
            progress=show,
        )
    if has("matplotlib"):
        found.plot(out.picture)
    _print(arguments, out, found.table())
    return 0


def _sweep(arguments: Arguments) -> int:
    """Print, write and draw a phase diagram."""
    ranges = dict(_range(text) for text in arguments.sweep)
    if set(ranges) != {"sigma_w", "sigma_b"}:
        rule = "--sweep needs sigma_w and sigma_b"
        value_error(rule, " ".join(arguments.sweep), f"Write {_SWEEP}.")
    out = _output(arguments)
    name = arguments.activation or "tanh"
    activation = activation_of(name)
    diagram = phase_diagram(activation, ranges["sigma_w"], ranges["sigma_b"])
    if arguments.overwrite:
        out.numbers.unlink(missing_ok=True)
    merge(out.numbers, Results(diagrams=(diagram_as_data(diagram, name),)))
    if has("matplotlib"):
        plot_phases(diagram, name, out.picture)
    _print(arguments, out, phase_table(diagram, name))
    return 0


def _range(text: str) -> tuple[str, np.ndarray]:
    """Return a name and the numbers that ``name=from:to:count`` means."""
    name, _, numbers = text.partition("=")
    try:
        start, stop, points = numbers.split(":")
        low, high, count = float(start), float(stop), int(points)
        if not 1 <= count <= 1000:
            raise ValueError
    except ValueError:
        rule = "--sweep must be of the form NAME=FROM:TO:COUNT with 1 to 1000 points"
        value_error(rule, repr(text), f"Write {_SWEEP}.")
    return name, np.linspace(low, high, count)


def _output(arguments: Arguments) -> _Output:
    """Check where results are to go, before anything is run."""
    picture = pathlib.Path(arguments.out or f"study.{arguments.format or 'png'}")
    kind = picture.suffix[1:]
    if arguments.format is not None:
        check_choice("--format", arguments.format, FORMATS)
        if arguments.format != kind:
            got = f"--format {arguments.format} --out {arguments.out}"
            value_error("--format must be the end of --out", got, "Leave one out.")
    if kind not in FORMATS:
        rule = f"--out must end in .{', .'.join(FORMATS)}"
        value_error(rule, repr(arguments.out), "Write study.png.")
    folder = picture.parent
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        rule = "--out must lie in a folder that is there and can be written to"
        value_error(rule, repr(str(picture)), f"Make the folder {folder} first.")
    if not has("matplotlib") and arguments.out is not None:
        need("matplotlib", f"--out {picture}")
    numbers = picture.with_suffix(".json")
    if not arguments.overwrite:
        load(numbers)
        if picture.exists() and not numbers.exists():
            rule = "--out must name a new picture, or one with its .json file beside it"
            advice = "Name another file, or replace it with --overwrite."
            value_error(rule, f"{str(picture)!r} alone", advice)
    settings = arguments.fresh, arguments.overwrite, arguments.command
    return _Output(picture, File(numbers, *settings))


def _print(arguments: Arguments, out: _Output, *tables: Table) -> None:
    """Print tables and where the rest is: last, since a pipe may close meanwhile."""
    for table in tables:
        print_table(table, colour=colour(arguments))
    if has("matplotlib"):
        print(f"Picture in {out.picture}, numbers in {out.numbers}.")
        return
    print(f"Numbers in {out.numbers}.")
    print('No picture: run pip install "jaxinit[study]".', file=sys.stderr)


def _refuse(arguments: Arguments, what: str, names: tuple[str, ...]) -> None:
    """Refuse options that have no effect."""
    parser = argparse.ArgumentParser()
    _add_study(parser)
    foreign = [n for n in names if getattr(arguments, n) != parser.get_default(n)]
    if foreign:
        got = " ".join(f"--{name.replace('_', '-')}" for name in foreign)
        value_error(f"{what} does not take all options", got, "Leave it out.")


def _pairs(arguments: Arguments) -> list[tuple[str, str]]:
    """Return the activations and schemes to study."""
    schemes = [s.strip() for s in _split_schemes(arguments.compare)]
    if arguments.init is not None:
        schemes.insert(0, arguments.init)
    if arguments.activation is None and arguments.tailor is None and not schemes:
        return list(_DEFAULT_STUDIES)
    activation = arguments.activation or "tanh"
    default = "xavier_normal" if activation == "tanh" else "kaiming_normal"
    if arguments.tailor is not None:
        default = "lecun_normal"  # whose weights tailored activations are made for
    elif ":" in activation:
        default = "forward"
    return [(activation, name) for name in schemes or [default]]


def _split_schemes(text: str) -> list[str]:
    """Split at commas, but not before a number: ``normal:1.3,0.2,critical`` has two."""
    found: list[str] = []
    for part in filter(None, text.split(",")):
        if found and part.strip()[:1] in "0123456789.":
            found[-1] += f",{part}"
        else:
            found.append(part)
    return found


def _asked(arguments: Arguments, activation: Nonlinearity, init: str) -> Study:
    return Study(
        activation=activation,
        init=init,
        depth=arguments.depth,
        width=arguments.width,
        seeds=arguments.seeds,
        seed=arguments.seed,
        dtype=arguments.dtype,
        kind=arguments.kind,
        branch_scale=arguments.branch_scale,
    )


def _prediction(asked: Study) -> Prediction:
    return predict(
        asked.activation,
        asked.init,
        depth=asked.depth,
        width=asked.width,
        kind=asked.kind,
        branch_scale=asked.branch_scale,
    )


def _moving(arguments: Arguments) -> bool:
    return sys.stderr.isatty() and not arguments.plain


def _use_all_cores() -> None:
    """Make one device of each core, for the seeds to be spread over."""
    with contextlib.suppress(RuntimeError):  # JAX runs already
        if "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
            jax.config.update("jax_num_cpu_devices", cores())


STUDY = Command(
    "study",
    "Measure how signals and gradients pass through a deep network at initialization.",
    _add_study,
    _study,
)
