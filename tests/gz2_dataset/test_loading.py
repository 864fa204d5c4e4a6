"""Raw folders that are built when they are read."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gz2_dataset.loading import build_in_cache

from ..conftest import write_class_list


@pytest.fixture
def builds(monkeypatch) -> list[Path]:
    """The folders that are built; nothing is built but the file by which it is known."""
    outputs = []

    def quick(raw: Path, output: Path) -> None:
        outputs.append(output)
        output.mkdir(parents=True)
        (output / "build.json").touch()

    monkeypatch.setattr("gz2_dataset.loading.build", quick)
    return outputs


def test_images_added_behind_a_link_are_another_dataset(builds, tmp_path):
    raw = write_class_list(tmp_path / "real", {"ring": 1})
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked/ring").symlink_to(raw / "images")
    first = build_in_cache(tmp_path / "linked")
    assert build_in_cache(tmp_path / "linked") == first
    (raw / "images/new.jpg").touch()
    assert build_in_cache(tmp_path / "linked") != first
    assert len(builds) == 2


def test_runs_that_start_at_once_build_once(builds, tmp_path):
    raw = write_class_list(tmp_path / "raw", {"ring": 1})
    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(build_in_cache, [raw] * 4))) == 1
    assert len(builds) == 1
