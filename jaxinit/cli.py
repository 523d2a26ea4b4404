"""The command ``jaxinit``: argument parsing and printing only."""

import argparse
import contextlib
import os
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, NoReturn, cast

import jax
import numpy as np

from jaxinit._boundary import boundary
from jaxinit.models.command import audit_command
from jaxinit.models.load import load_model
from jaxinit.signal.recommend import recommend
from jaxinit.signal.report.optional import MissingPackageError, has, need
from jaxinit.signal.report.plot import plot_models, plot_phases, plot_study
from jaxinit.signal.report.table import (
    model_table,
    phase_table,
    print_table,
    recommendation_table,
    study_table,
)
from jaxinit.signal.studies.model_study import prepare
from jaxinit.signal.studies.network import KINDS
from jaxinit.signal.studies.prediction import predict
from jaxinit.signal.studies.result import Prediction
from jaxinit.signal.studies.resume import Progress, run_models, run_studies
from jaxinit.signal.studies.study import Study
from jaxinit.signal.theory.phase import phase_diagram, phases_to_json

Arguments = argparse.Namespace

# The first experiments on depth: which of these carries a signal through 100 layers?
_DEFAULT_STUDIES = (
    ("tanh", "unit_uniform"),
    ("tanh", "xavier_uniform"),
    ("relu", "xavier_uniform"),
    ("relu", "kaiming_normal"),
)

_NOT_OF_MODELS = (
    "activation",
    "depth",
    "width",
    "dtype",
    "kind",
    "branch_scale",
    "theory",
    "sweep",
)


class Command(NamedTuple):
    """A subcommand: its name, one line of help, its options, and what it does."""

    name: str
    help: str
    add_options: Callable[[argparse.ArgumentParser], None]
    run: Callable[[Arguments], int]


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status: 0, or 2 for what cannot be done."""
    parser = _Parser(prog="jaxinit", description="Weight initialization for JAX.")
    choices = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        options = choices.add_parser(
            command.name, help=command.help, description=command.help
        )
        command.add_options(options)
        options.set_defaults(run=boundary(command.run, command.name))
    arguments = parser.parse_args(argv)
    try:
        return arguments.run(arguments)
    except (ValueError, TypeError, MissingPackageError, OSError) as error:
        ours = isinstance(error, (MissingPackageError, OSError)) or "; got " in str(error)
        if not ours:
            raise
        print(f"jaxinit: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("jaxinit: interrupted; the same command goes on from there", file=sys.stderr)
        return 130


def _use_all_cores() -> None:
    """Make one device of each core, for the seeds to be spread over."""
    with contextlib.suppress(RuntimeError):  # JAX runs already
        if "host_platform_device_count" not in os.environ.get("XLA_FLAGS", ""):
            jax.config.update("jax_num_cpu_devices", len(os.sched_getaffinity(0)))


def _add_study(options: argparse.ArgumentParser) -> None:
    options.add_argument("--activation", help="tanh, relu, gelu, ...; with --init")
    options.add_argument(
        "--init", help="a scheme: xavier_normal, normal:1.3,0.2, critical, ..."
    )
    options.add_argument(
        "--compare", help="schemes to compare: kaiming_normal,critical", default=""
    )
    options.add_argument("--depth", type=int, default=100, help="layers (100)")
    options.add_argument("--width", type=int, default=512, help="units of a layer (512)")
    options.add_argument("--seeds", type=int, default=32, help="how many seeds (32)")
    options.add_argument("--seed", type=int, default=0, help="which seeds (0)")
    options.add_argument("--dtype", default="float32", help="float32, bfloat16, ...")
    options.add_argument("--kind", default="dense", help=", ".join(KINDS))
    options.add_argument(
        "--branch-scale", type=float, default=1.0, help="of residual branches (1)"
    )
    options.add_argument(
        "--theory", action="store_true", help="lay mean-field theory over it"
    )
    options.add_argument(
        "--model",
        metavar="package.module:function",
        help="a model of your own: a function without arguments that returns "
        "(apply_fn, params, inputs); with --init and --compare",
    )
    options.add_argument(
        "--sweep",
        nargs=2,
        metavar="NAME=FROM:TO:COUNT",
        help="phase diagram by theory: sigma_w=0.5:3:30 sigma_b=0:1:20",
    )
    options.add_argument(
        "--out", default="study.png", help="picture; numbers go to .json beside"
    )
    options.add_argument(
        "--fresh", action="store_true", help="do not go on from that .json"
    )
    options.add_argument("--plain", action="store_true", help="no colours, no progress bar")


def _study(arguments: Arguments) -> int:
    out = pathlib.Path(arguments.out)
    if out.suffix != ".png":
        message = f"study: --out must end in .png; got {arguments.out!r}. Write study.png."
        raise ValueError(message)
    if not has("matplotlib") and arguments.out != "study.png":
        need("matplotlib", f"--out {out}")
    numbers = out.with_suffix(".json")
    if arguments.model is not None:
        return _study_model(arguments, out, numbers)
    if arguments.sweep is not None:
        return _sweep(arguments, out, numbers)
    studies = [_asked(arguments, *pair) for pair in _pairs(arguments)]
    predictions = [_prediction(one) if arguments.theory else None for one in studies]
    if arguments.fresh:
        numbers.unlink(missing_ok=True)
    _use_all_cores()
    with _progress(len(studies), arguments.seeds, arguments.plain) as progress:
        results = run_studies(studies, numbers, progress)
    print_table(study_table(results, predictions), plain=arguments.plain)
    if has("matplotlib"):
        plot_study(results, predictions, out)
    _say_where(out, numbers)
    return 0


def _study_model(arguments: Arguments, out: pathlib.Path, numbers: pathlib.Path) -> int:
    """Print, write and draw the study of a user's own model."""
    foreign = [f"--{n.replace('_', '-')}" for n in _NOT_OF_MODELS if _given(arguments, n)]
    if foreign:
        message = (
            "study: --model brings its own layers; "
            f"got {' '.join(foreign)} too. Leave it out."
        )
        raise ValueError(message)
    named = [arguments.init or "", *arguments.compare.split(",")]
    schemes = [name.strip() for name in named if name.strip()] or ["kaiming_normal"]
    model = load_model("study", arguments.model)
    plan = {"seeds": arguments.seeds, "seed": arguments.seed, "name": arguments.model}
    studies = [prepare(*model, cast("Any", init), **plan) for init in schemes]
    if arguments.fresh:
        numbers.unlink(missing_ok=True)
    with _progress(len(studies), arguments.seeds, arguments.plain) as progress:
        results = run_models(studies, numbers, progress)
    for result in results:
        print_table(model_table(result), plain=arguments.plain)
    if has("matplotlib"):
        plot_models(results, out)
    _say_where(out, numbers)
    return 0


def _given(arguments: Arguments, name: str) -> bool:
    """Whether an option of the study has another value than its default."""
    parser = argparse.ArgumentParser()
    _add_study(parser)
    return getattr(arguments, name) != parser.get_default(name)


def _sweep(arguments: Arguments, out: pathlib.Path, numbers: pathlib.Path) -> int:
    """Print, write and draw a phase diagram."""
    ranges = dict(_range(text) for text in arguments.sweep)
    if set(ranges) != {"sigma_w", "sigma_b"}:
        got = " ".join(arguments.sweep)
        message = (
            f"study: --sweep needs sigma_w and sigma_b; got {got}. "
            "Write sigma_w=0.5:3:30 sigma_b=0:1:20."
        )
        raise ValueError(message)
    name = arguments.activation or "tanh"
    diagram = phase_diagram(name, ranges["sigma_w"], ranges["sigma_b"])
    numbers.write_text(phases_to_json(diagram, name))
    print_table(phase_table(diagram, name), plain=arguments.plain)
    if has("matplotlib"):
        plot_phases(diagram, name, out)
    _say_where(out, numbers)
    return 0


def _range(text: str) -> tuple[str, np.ndarray]:
    """Return a name and the numbers that ``name=from:to:count`` means."""
    name, _, numbers = text.partition("=")
    try:
        start, stop, count = numbers.split(":")
        return name, np.linspace(float(start), float(stop), max(int(count), 1))
    except ValueError:
        message = (
            f"study: --sweep must be of the form NAME=FROM:TO:COUNT; got {text!r}. "
            "Write sigma_w=0.5:3:30 sigma_b=0:1:20."
        )
        raise ValueError(message) from None


def _say_where(out: pathlib.Path, numbers: pathlib.Path) -> None:
    if has("matplotlib"):
        print(f"Picture in {out}, numbers in {numbers}.")
        return
    print(f"Numbers in {numbers}.")
    print('No picture: run pip install "jaxinit[study]".', file=sys.stderr)


def _add_recommend(options: argparse.ArgumentParser) -> None:
    options.add_argument("activation", help="tanh, relu, gelu, ...")
    options.add_argument("--depth", type=int, default=100, help="layers (100)")
    options.add_argument("--width", type=int, default=512, help="units of a layer (512)")
    options.add_argument("--plain", action="store_true", help="no colours")


def _recommend(arguments: Arguments) -> int:
    advice = recommend(arguments.activation, arguments.depth, width=arguments.width)
    print_table(recommendation_table(advice), plain=arguments.plain)
    return 0


def _pairs(arguments: Arguments) -> list[tuple[str, str]]:
    """Return the activations and schemes to study."""
    schemes = [s.strip() for s in _split_schemes(arguments.compare)]
    if arguments.init is not None:
        schemes.insert(0, arguments.init)
    if arguments.activation is None and not schemes:
        return list(_DEFAULT_STUDIES)
    activation = arguments.activation or "tanh"
    default = "kaiming_normal" if activation != "tanh" else "xavier_normal"
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


def _asked(arguments: Arguments, activation: str, init: str) -> Study:
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


@contextlib.contextmanager
def _progress(studies: int, seeds: int, plain: bool) -> Iterator[Progress | None]:
    """Give a function that moves a progress bar; nothing where there is no terminal."""
    if plain or not has("rich") or not sys.stderr.isatty():
        yield None
        return
    console = need("rich.console", "the progress bar").Console(stderr=True)
    with need("rich.progress", "the progress bar").Progress(console=console) as bar:
        task = bar.add_task("starting", total=studies * seeds)

        finished = [0] * studies

        def show(number: int, label: str, done: int) -> None:
            finished[number] = done
            bar.update(task, description=label, completed=sum(finished))

        yield show


def _add_audit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="package.module:function",
        help="a function without arguments that returns (apply_fn, params, inputs)",
    )


def _audit(arguments: Arguments) -> int:
    report = audit_command(arguments.model)
    print(report)
    return report.exit_code


COMMANDS = (
    Command(
        "study",
        "Measure how signals and gradients pass through a deep network at initialization.",
        _add_study,
        _study,
    ),
    Command(
        "recommend",
        "Say what to initialize a deep network of one activation with, and why.",
        _add_recommend,
        _recommend,
    ),
    Command(
        "audit",
        "Compare the weights of your own model with what their use asks for.",
        _add_audit,
        _audit,
    ),
)
"""The subcommands."""
