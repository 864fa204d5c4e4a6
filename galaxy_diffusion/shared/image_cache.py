"""Arrays that depend only on images, kept in the cache of `datasets` under a hash of the images."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np

from gz2_dataset.aside import written_aside


def cached(images: np.ndarray, name: str, recipe: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """What ``compute`` makes of the images, taken from the cache if it has been computed before.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, 3)
    name : str
        Folder in the cache.
    recipe : str
        Everything else that the result depends on, such as a hash of weights or versions of packages.
    compute : callable
        Makes the array.

    Examples
    --------
    >>> means = cached(images, "means", "", lambda: images.mean(axis=(1, 2, 3)))  # doctest: +SKIP
    """
    digest = hashlib.sha256(np.ascontiguousarray(images).data)
    digest.update(f"{images.shape} {recipe}".encode())
    path = Path(datasets.config.HF_DATASETS_CACHE) / name / f"{digest.hexdigest()[:32]}.npy"
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError):  # absent or cut
        with written_aside(path) as aside:
            np.save(aside, compute())
    return np.load(path)
