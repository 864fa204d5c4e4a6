"""Image files read and prepared by threads, a few batches ahead of the nets, so that few images are in memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from galaxy_diffusion.prediction.survey import Survey

BATCHES_AHEAD = 3


def prepared_batches(
    survey: Survey, batches: Iterable[range], prepare: Callable[[bytes], Any], num_workers: int
) -> Iterator[tuple[range, list[Any], list[str]]]:
    """The images of each batch of rows.

    Parameters
    ----------
    survey : Survey
    batches : iterable of range
    prepare : callable
        Makes of a file's bytes what the nets see.
    num_workers : int
        Threads; decoding and resizing release the interpreter lock.

    Yields
    ------
    batch : range
    images : list
        Of the files that could be read, in order.
    problems : list of str
        For each row, what is wrong with its file, or nothing.
    """

    def attempt(row: int) -> tuple[Any, str]:
        try:
            return prepare(survey.read(survey.names[row])), ""
        except Exception as error:  # whatever a strange file does to a decoder, the others are classified
            return None, " ".join(str(error).split()) or type(error).__name__

    pool = ThreadPoolExecutor(num_workers)
    try:
        ahead = deque()
        for batch in batches:
            ahead.append((batch, [pool.submit(attempt, row) for row in batch]))
            if len(ahead) > BATCHES_AHEAD:
                yield collected(*ahead.popleft())
        while ahead:
            yield collected(*ahead.popleft())
    finally:
        pool.shutdown(cancel_futures=True)


def collected(batch: range, futures: list) -> tuple[range, list[Any], list[str]]:
    """The outcome of a batch that is being read."""
    results = [future.result() for future in futures]
    return batch, [image for image, problem in results if not problem], [problem for _, problem in results]
