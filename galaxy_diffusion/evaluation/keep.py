"""Which generated images to keep: not a copy, of the class they were made for, and shaped like real galaxies of it.

Nothing here has seen a test galaxy: the thresholds of a copy (see `copies`) and of looking like the class come from
validation galaxies, the classifier and the shapes from training galaxies.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.covariance import LedoitWolf

from galaxy_diffusion.evaluation.label_agreement import axis_ratio_agrees
from galaxy_diffusion.evaluation.morphology_distances import failures
from galaxy_diffusion.evaluation.pair import Both, RealAndGenerated

SHAPE = ("ellipticity", "half_light_radius", "concentration", "asymmetry", "gini", "m20", "blue_minus_green")
"""Measures in which a generated galaxy has to lie among the training galaxies of its class."""
QUANTILE = 0.99
MIN_TRAIN = 20


def shape_agreement(pair: RealAndGenerated, shapes: Both[pd.DataFrame]) -> dict[str, Both[np.ndarray]]:
    """Whether each galaxy could be measured and is shaped like the training galaxies of its class.

    Parameters
    ----------
    pair : RealAndGenerated
    shapes : Both of DataFrame
        Of `morphology.morphology`.

    Returns
    -------
    dict of str to Both of ndarray of bool
        ``morphology_failed``, ``axis_ratio_agreement`` and ``morphology_agreement``.
    """
    train = shapes.real[~pair.unseen], pair.real.labels[~pair.unseen]
    return {
        "morphology_failed": Both(*map(failures, shapes)),
        "axis_ratio_agreement": Both(
            axis_ratio_agrees(*train, shapes.real, pair.real.labels),
            axis_ratio_agrees(*train, shapes.generated, pair.generated.labels),
        ),
        "morphology_agreement": Both(
            within_class(*train, shapes.real, pair.real.labels),
            within_class(*train, shapes.generated, pair.generated.labels),
        ),
    }


def within_class(train: pd.DataFrame, train_labels: np.ndarray, new: pd.DataFrame, labels: np.ndarray) -> np.ndarray:
    """Whether galaxies lie within the morphology of the training galaxies of their class.

    The Mahalanobis distance from the training galaxies in the measures `SHAPE`, with the covariance of Ledoit and Wolf,
    is at most as large as for 99 in 100 training galaxies, each measured from all the others. (Galaxies that are among
    the training galaxies themselves are a little nearer.)

    Parameters
    ----------
    train, new : DataFrame
        Of `morphology.morphology`.
    train_labels, labels : ndarray of int, shapes (N,) and (M,)

    Returns
    -------
    ndarray of bool, shape (M,)
        False where a measure has failed; True for all galaxies of a class with fewer than `MIN_TRAIN` measured training
        galaxies, which say nothing.
    """
    within = np.ones(len(new), bool)
    for label in np.unique(labels):
        known = train.loc[train_labels == label, list(SHAPE)].dropna().to_numpy()
        if len(known) >= MIN_TRAIN:
            of_class = labels == label
            within[of_class] = within_range(known, new.loc[of_class, list(SHAPE)].to_numpy())
    return within


def within_range(known: np.ndarray, new: np.ndarray) -> np.ndarray:
    """`within_class` for measures (N, D) and (M, D) of one class."""
    spread = known.std(axis=0).clip(1e-9)
    known, new = known / spread, new / spread
    own = [mahalanobis(np.delete(known, i, axis=0), known[i : i + 1])[0] for i in range(len(known))]
    measured = np.isfinite(new).all(axis=1)
    inside = np.zeros(len(new), bool)
    if measured.any():
        inside[measured] = mahalanobis(known, new[measured]) <= np.quantile(own, QUANTILE)
    return inside


def mahalanobis(known: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Squared Mahalanobis distances (M,) of points (M, D) from the distribution of points (N, D)."""
    return LedoitWolf().fit(known).mahalanobis(new)


@dataclass(frozen=True)
class Passed:
    """How many images there are, and how many pass each test of `Verdicts` and all of them."""

    generated: int
    no_copy: int
    label: int
    morphology: int
    kept: int


@dataclass(frozen=True)
class Verdicts:
    """Which tests each generated image passes, bool (N,) each.

    Attributes
    ----------
    no_copy : ndarray
        It is not a copy of a galaxy that the generator has seen.
    label : ndarray
        It looks like the class that it was made for, to the classifier (`Classifier.looks_like`) or, without one, in
        its axis ratio.
    morphology : ndarray
        As `within_class` says.
    """

    no_copy: np.ndarray
    label: np.ndarray
    morphology: np.ndarray

    @property
    def kept(self) -> np.ndarray:
        return self.no_copy & self.label & self.morphology

    def counts(self, rows: np.ndarray) -> Passed:
        """How many of some images there are, and how many pass each test and all of them."""
        tests = (self.no_copy, self.label, self.morphology, self.kept)
        return Passed(len(rows), *(int(passed[rows].sum()) for passed in tests))

    def by_file(self, file_names: list[str]) -> dict[str, dict[str, bool]]:
        """The outcome of each test by file name, as `image_folder.write_verdicts` takes it."""
        return {
            file: {name: bool(passed[i]) for name, passed in vars(self).items()} for i, file in enumerate(file_names)
        }
