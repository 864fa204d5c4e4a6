"""A place for the files of the cases."""

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Where each case of a test writes its files over those of the case before."""
    return tmp_path_factory.mktemp("fuzzing")
