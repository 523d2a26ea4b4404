"""The strict world that every test runs in."""

import atexit
import contextlib
import ctypes
import gc
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_force_host_platform_device_count=8"
)
os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("MALLOC_ARENA_MAX", "2")  # of workers: glibc gives little back
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # One folder for all workers, which inherit the name of it.
    folder = tempfile.mkdtemp(prefix="jaxinit-tests-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = folder
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"  # small ones recur most

import jax
import pytest

jax.config.update("jax_numpy_dtype_promotion", "strict")

collect_ignore = ["oracles"]  # scripts that made constants, with needs of their own


_MOST, _STEP = 900e6, 200e6
"""Bytes of memory above which a worker drops its programs, and growth until it does again."""


def _forget() -> None:
    jax.clear_caches()
    gc.collect()
    with contextlib.suppress(OSError, AttributeError):  # glibc alone has it
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _memory() -> float:
    """Return the resident bytes of this process; 0 where there is no /proc."""
    with contextlib.suppress(OSError):
        pages = int(pathlib.Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0.0


@pytest.fixture(scope="session")
def _limit() -> list[float]:
    return [_MOST]


@pytest.fixture(autouse=True, scope="module")
def _no_programs_of_other_modules() -> Iterator[None]:
    """Drop what was compiled for a module, or a worker grows to several gigabytes."""
    yield
    _forget()


@pytest.fixture(autouse=True)
def _little_memory(_limit: list[float]) -> Iterator[None]:
    """Drop it earlier where one module compiles very much."""
    yield
    if _memory() > _limit[0]:
        _forget()
        _limit[0] = max(_MOST, _memory() + _STEP)
