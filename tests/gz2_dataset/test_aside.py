"""A file is there whole, or as it was before."""

import os
import runpy

import pytest
from safetensors.numpy import save_file

from gz2_dataset import aside
from gz2_dataset.aside import written_aside


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "table.csv"
    with written_aside(path) as aside:
        aside.write_text("half")
        assert not path.exists()
        aside.write_text("whole")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_failure_leaves_the_earlier_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("earlier")

    def write_half() -> None:
        with written_aside(path) as aside:
            aside.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write_half()
    assert path.read_text() == "earlier"
    assert list(tmp_path.iterdir()) == [path]


def test_writers_that_look_at_the_suffix_find_it(tmp_path):
    with written_aside(tmp_path / "array.npz") as aside:
        assert aside.suffix == ".npz"
        aside.touch()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_weights_and_tables_may_be_read_by_whom_the_umask_lets(tmp_path):
    """The library safetensors lets only the owner read what it writes."""
    before = os.umask(0o027)
    try:
        module = runpy.run_path(aside.__file__)  # which reads the umask when it is imported
        module["write_whole"](tmp_path / "table.csv", "x")
        save_file({}, tmp_path / "weights.safetensors")
        module["as_umask_says"](tmp_path)
    finally:
        os.umask(before)
    assert [oct(path.stat().st_mode & 0o777) for path in sorted(tmp_path.iterdir())] == ["0o640", "0o640"]
