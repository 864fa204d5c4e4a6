"""Work on many small things in threads, for work that releases the interpreter lock: reading, hashing, decoding."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

THINGS_A_TASK = 64


def in_threads(function: Callable[[Any], Any], things: Sequence[Any]) -> Iterator[Any]:
    """``map(function, things)`` on all cores, in order; a task is 64 things, as handing over costs time.

    Examples
    --------
    >>> list(in_threads(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        tasks = [things[start : start + THINGS_A_TASK] for start in range(0, len(things), THINGS_A_TASK)]
        for results in pool.map(lambda task: [function(thing) for thing in task], tasks):
            yield from results
