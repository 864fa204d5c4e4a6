"""Threads give what a plain loop gives, in its order."""

import pytest

from gz2_dataset import parallel
from gz2_dataset.parallel import in_threads


@pytest.mark.parametrize("cores", [None, 1, 3, 200])
@pytest.mark.parametrize("count", [0, 1, 2, 63, 64, 65, 500])
def test_it_is_what_map_gives(monkeypatch, cores, count):
    monkeypatch.setattr(parallel.os, "cpu_count", lambda: cores)
    assert list(in_threads(str, range(count))) == list(map(str, range(count)))


def test_a_failure_comes_through():
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda i: 1 / i, range(-5, 5)))
