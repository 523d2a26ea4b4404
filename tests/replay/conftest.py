"""Tests marked ``parity`` run where PyTorch is: also those that need its numbers alone."""

from importlib.util import find_spec

import pytest


def pytest_collection_modifyitems(items):
    if find_spec("torch") is None:
        for item in items:
            if item.get_closest_marker("parity"):
                item.add_marker(pytest.mark.skip(reason="PyTorch is not installed"))


@pytest.fixture
def torch():
    return pytest.importorskip("torch")
