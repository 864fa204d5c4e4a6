"""When is an image a copy? When it is nearer to a galaxy seen than all but one in a hundred real galaxies.

These real galaxies, none of them a copy, belong to the image's class: those held out and, because a small class has
few, those seen, each compared with all others seen. What the search can find at all is measured on training images
changed on purpose (see `controls`): "no copies" says no more than that.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from galaxy_diffusion.evaluation.controls import CHANGES, changed
from galaxy_diffusion.evaluation.jackknife import share_interval
from galaxy_diffusion.evaluation.nearest import Gallery
from galaxy_diffusion.evaluation.rings import Galaxies, measure

FALSE_POSITIVES = 0.01
"""Share of the galaxies that are not copies that may pass for one, where there are enough of them to tell."""
CALIBRATED, CHANGED = 500, 40
"""At most this many galaxies seen of a class set the threshold, and at most this many are changed to test the
search."""
NO_COPIES = "another galaxy"
"""In place of a change: galaxies that are not copies, for false alarms."""


@dataclass(frozen=True)
class Threshold:
    """Relative distance up to which an image of a class is a copy.

    Attributes
    ----------
    relative : float
    false_positives : float
        Expected share of galaxies within that distance that are not copies.
    n : int
        Galaxies that the threshold was taken from.
    """

    relative: float
    false_positives: float
    n: int


def copy_threshold(no_copies: np.ndarray) -> Threshold:
    """The r-th smallest of the relative distances of galaxies that are not copies, shape (N,), N at least 1.

    r is the largest number with r / (N + 1), the expected share of false positives, at most `FALSE_POSITIVES`, but at
    least 1.
    """
    rank = max(1, int(FALSE_POSITIVES * (len(no_copies) + 1)))
    return Threshold(float(np.sort(no_copies)[rank - 1]), rank / (len(no_copies) + 1), len(no_copies))


@dataclass(frozen=True)
class CopySearch:
    """The galaxies seen, and how near to one of them is too near.

    Attributes
    ----------
    gallery : Gallery
    thresholds : dict of int to Threshold
        By label.
    """

    gallery: Gallery
    thresholds: dict[int, Threshold]

    def limits(self, labels: np.ndarray) -> np.ndarray:
        """The threshold of each image of labels (N,), shape (N,)."""
        return np.array([self.thresholds[label].relative for label in labels.tolist()])


def prepare_search(
    seen: Galaxies, labels: np.ndarray, held_out: Galaxies, held_out_labels: np.ndarray, classes: Sequence[int]
) -> CopySearch:
    """Set the thresholds of some classes.

    Parameters
    ----------
    seen : Galaxies
        Galaxies that images may be copies of, including those without a class (-1).
    labels : ndarray of int, shape (M,)
    held_out : Galaxies
        Galaxies that the generator has not seen.
    held_out_labels : ndarray of int, shape (N,)
    classes : sequence of int
        A class without any real galaxy takes the threshold of all others together.
    """
    gallery, rng = Gallery(seen), np.random.default_rng(0)
    distances = {}
    for label in classes:
        rows = np.sort(rng.permutation(np.flatnonzero(labels == label))[:CALIBRATED])
        others = gallery.nearest(held_out.take(np.flatnonzero(held_out_labels == label)))
        distances[label] = np.concatenate([gallery.nearest_others(rows).relative, others.relative])
    everybody = np.concatenate([*distances.values()])
    return CopySearch(gallery, {c: copy_threshold(d if len(d) else everybody) for c, d in distances.items()})


def power_of_search(
    search: CopySearch, images: np.ndarray, labels: np.ndarray, class_names: Sequence[str], count: int = CHANGED
) -> pd.DataFrame:
    """How many training images the search finds after each change of `CHANGES`.

    Parameters
    ----------
    search : CopySearch
    images : ndarray of uint8, shape (M, S, S, 3)
        Of galaxies seen.
    labels : ndarray of int, shape (M,)
    class_names : sequence of str
    count : int
        At most this many galaxies of each of the search's classes are changed.

    Returns
    -------
    DataFrame
        In the format of `power_rows`, over all classes and by class.
    """
    rng = np.random.default_rng(0)
    rows = [rng.permutation(np.flatnonzero(labels == label))[:count] for label in search.thresholds]
    rows = np.sort(np.concatenate(rows))
    images, labels = images[rows], labels[rows]
    limits = search.limits(labels)
    tables = []
    for name, change in CHANGES.items():
        found = search.gallery.nearest(measure(changed(images, change))).relative <= limits
        tables.append(power_rows(name, found, labels, class_names))
    return pd.concat(tables, ignore_index=True)


def power_rows(change: str, found: np.ndarray, labels: np.ndarray, class_names: Sequence[str]) -> pd.DataFrame:
    """How many images are found after a change, among ``all`` and in each class, with Wilson's interval.

    Parameters
    ----------
    change : str
    found : ndarray of bool, shape (N,)
    labels : ndarray of int, shape (N,)
    class_names : sequence of str

    Returns
    -------
    DataFrame
        With the columns change, label, n, found, share, low and high; no rows for no images.
    """
    groups = {"all": found, **{class_names[label]: found[labels == label] for label in np.unique(labels)}}
    rows = []
    for name, of_group in groups.items():
        if len(of_group):
            share = share_interval(of_group.mean(), 0.0, len(of_group))
            rows.append((change, name, len(of_group), int(of_group.sum()), share.value, share.low, share.high))
    return pd.DataFrame(rows, columns=["change", "label", "n", "found", "share", "low", "high"])
