"""A file is there whole, or as it was before."""

import pytest

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
