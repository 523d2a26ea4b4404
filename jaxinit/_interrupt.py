"""Ctrl-C while the command still imports JAX: one line instead of a traceback.

Only a process that was started as ``jaxinit`` or ``python -m jaxinit`` is touched, and
only until :func:`jaxinit.cli.run` takes over.
"""

import os
import pathlib
import signal
import sys
from typing import Any


def _started_as_command() -> bool:
    name = pathlib.PurePath(sys.argv[0]).stem if sys.argv else ""
    pairs = zip(sys.orig_argv, sys.orig_argv[1:], strict=False)
    return name == "jaxinit" or (name == "-m" and ("-m", "jaxinit") in pairs)


def _stop(*_: Any) -> None:
    os.write(2, b"jaxinit: interrupted\n")
    os._exit(130)


if _started_as_command():
    signal.signal(signal.SIGINT, _stop)
