"""Batches of a stream read ahead while the net works, and two streams interleaved."""

from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from fractions import Fraction
from typing import Any

from gz2_dataset.galaxy_stream import LANES, Galaxy

IMAGES_AHEAD = 256


def interleaved(position: int, share: float | Fraction) -> tuple[bool, int]:
    """Which of two streams a position of their mixture is taken from (True: the second), and the position in it.

    The mixture consists of runs of `LANES` images; ``share`` of the runs come from the second stream. Both streams are
    read from end to end. A process that takes every second, fourth or eighth position of the mixture also takes every
    second, fourth or eighth position of each stream.

    Examples
    --------
    >>> [interleaved(position, 0.5) for position in (7, 8, 15, 16)]
    [(False, 7), (True, 0), (True, 7), (False, 8)]
    """
    run, place = divmod(position, LANES)
    before = int(share * run)
    second = int(share * (run + 1)) > before
    return second, (before if second else run - before) * LANES + place


class ReadAhead:
    """Reads the next batches while the net works on one.

    Parameters
    ----------
    submit : callable
        Begins to read the batch of a key and returns the futures of its galaxies.
    """

    def __init__(self, submit: Callable[[Any], list[Future[Galaxy]]]):
        self.submit, self.under_way = submit, {}

    def take(self, keys: Sequence[Hashable]) -> list[Galaxy]:
        """The galaxies of the first key's batch; those of the other keys are started, all others forgotten."""
        self.under_way = {key: self.under_way.get(key) or self.submit(key) for key in keys}
        return [future.result() for future in self.under_way[keys[0]]]
