"""Work on many small things in threads, for work that releases the interpreter lock: reading, hashing, decoding."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

THINGS_A_TASK = 64


def in_threads(function: Callable[[Any], Any], things: Sequence[Any]) -> Iterator[Any]:
    """``map(function, things)`` on all cores, in order; a task is up to 64 things, because handing one over takes time.

    Examples
    --------
    >>> list(in_threads(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    cores = os.cpu_count() or 1
    size = min(THINGS_A_TASK, -(-len(things) // cores) or 1)
    with ThreadPoolExecutor(cores) as pool:
        tasks = [things[start : start + size] for start in range(0, len(things), size)]
        for results in pool.map(lambda task: [function(thing) for thing in task], tasks):
            yield from results
