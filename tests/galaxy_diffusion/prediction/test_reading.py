"""Images are prepared ahead of the nets, but only a few, and one that fails does not take others with it."""

import threading

import pytest
from astropy.table import Table

from galaxy_diffusion.prediction.reading import BATCHES_AHEAD, prepared_batches
from galaxy_diffusion.prediction.survey import Survey

NAMES = [str(i) for i in range(1000)]


def survey(read) -> Survey:
    return Survey(Table({"file_name": NAMES}), NAMES, read, "")


def batches(size: int) -> list[range]:
    return [range(start, min(start + size, len(NAMES))) for start in range(0, len(NAMES), size)]


def test_few_images_are_in_memory_however_many_there_are():
    lock, read = threading.Lock(), []

    def noted(name: str) -> bytes:
        with lock:
            read.append(name)
        return name.encode()

    done = 0
    for batch, images, problems in prepared_batches(survey(noted), batches(7), bytes.decode, 3):
        assert images == [NAMES[row] for row in batch]
        assert problems == [""] * len(batch)
        done += len(batch)
        assert len(read) <= done + BATCHES_AHEAD * 7
    assert sorted(read) == sorted(NAMES)


@pytest.mark.parametrize("error", [OSError("torn\nfile"), ValueError(), RuntimeError("odd decoder")])
def test_whatever_a_file_does_the_others_are_read(error):
    def read(name: str) -> bytes:
        if name == "3":
            raise error
        return name.encode()

    _, images, problems = next(prepared_batches(survey(read), batches(5), bytes.decode, 2))
    assert images == ["0", "1", "2", "4"]
    assert [bool(problem) for problem in problems] == [False, False, False, True, False]
    assert "\n" not in problems[3]
