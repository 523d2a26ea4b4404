"""``jaxinit recommend`` and ``jaxinit audit``."""

import argparse

from jaxinit.cli.commands import (
    ACTIVATION_HELP,
    Arguments,
    Command,
    activation_of,
    colour,
)
from jaxinit.models.command import audit_command
from jaxinit.signal.recommend import recommend
from jaxinit.signal.report.table import print_table
from jaxinit.signal.report.theory_table import recommendation_table


def _add_recommend(options: argparse.ArgumentParser) -> None:
    options.add_argument("activation", help=ACTIVATION_HELP)
    options.add_argument("--depth", type=int, default=100, help="layers (100)")
    options.add_argument("--width", type=int, default=512, help="units of a layer (512)")
    options.add_argument("--plain", action="store_true", help="no colours")


def _recommend(arguments: Arguments) -> int:
    activation = activation_of(arguments.activation)
    advice = recommend(activation, arguments.depth, width=arguments.width)
    print_table(recommendation_table(advice), colour=colour(arguments))
    return 0


def _add_audit(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "model",
        metavar="package.module:function",
        help="a function without arguments that returns (apply_fn, params, inputs)",
    )
    options.add_argument(
        "--target", default="usual", help="a scheme that every weight must follow (usual)"
    )
    options.add_argument(
        "--tolerance",
        type=float,
        default=0.0,
        help="share by which a standard deviation may differ beyond chance (0)",
    )
    options.add_argument("--all", action="store_true", help="every leaf in its own line")
    options.add_argument("--json", action="store_true", help="the findings as JSON")


def _audit(arguments: Arguments) -> int:
    report = audit_command(
        arguments.model, target=arguments.target, tolerance=arguments.tolerance
    )
    if arguments.json and report.findings is not None:
        print(report.findings.to_json())
    else:
        print(report.text(every=arguments.all))
    return report.exit_code


RECOMMEND = Command(
    "recommend",
    "Recommend an initialization for a deep network of one activation, by theory.",
    _add_recommend,
    _recommend,
)
AUDIT = Command(
    "audit",
    "Compare the weights of your model with what their use asks for.",
    _add_audit,
    _audit,
)
