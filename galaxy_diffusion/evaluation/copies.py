"""Are generated images copies of what the generator has seen, or of each other?

An image is a copy when it is nearer to a training image (see `nearest`) than all but one in a hundred galaxies
that the generator has not seen. Galaxies of the validation split set that threshold, those of the test split say how
often it is wrong, and Fisher's exact test whether generated images lie under it more often than they do.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import torch
from scipy.stats import fisher_exact

from galaxy_diffusion.evaluation.beside_floor import BesideFloor, share_beside_floor
from galaxy_diffusion.evaluation.nearest import Nearest, nearest, thumbnails
from galaxy_diffusion.evaluation.pair import RealAndGenerated
from galaxy_diffusion.shared.symmetry import turn

FALSE_POSITIVES = 0.01
"""Share of unseen galaxies that may pass for copies, where there are enough of them to tell."""


@dataclass(frozen=True)
class Copies:
    """What a search for copies has found.

    Attributes
    ----------
    pair : RealAndGenerated
        The images searched.
    generated, test : Nearest
        Of the generated images and of the test galaxies among the galaxies seen.
    generated_twins, test_twins : Nearest
        Of the same among themselves.
    threshold : float
        Relative distance of which an image is a copy, or nearer.
    false_positives : float
        Share of unseen galaxies that are to be expected there.
    """

    pair: RealAndGenerated
    generated: Nearest
    test: Nearest
    generated_twins: Nearest
    test_twins: Nearest
    threshold: float
    false_positives: float

    @property
    def is_copy(self) -> np.ndarray:
        """Whether each generated image is a copy of a galaxy seen, bool (N,)."""
        return self.generated.relative <= self.threshold

    def rates(self, rows: np.ndarray) -> dict[str, BesideFloor]:
        """``copy_rate`` and ``duplicate_rate`` of some generated images."""
        n_seen, n_test = sum(len(seen) for _, seen in self.pair.seen), len(self.pair.test)
        limit = self.threshold
        return {
            "copy_rate": rate(self.is_copy[rows], self.test.relative <= limit, n_seen),
            "duplicate_rate": rate(
                self.generated_twins.relative[rows] <= limit, self.test_twins.relative <= limit, n_test
            ),
        }

    def table(self) -> pd.DataFrame:
        """The rows of copies.csv: of each generated image the nearest galaxy seen and the nearest generated image."""
        images, found, twins = self.pair.generated, self.generated, self.generated_twins
        names = np.array(images.image_ids)
        seen_ids = np.array([part.image_ids[row] for part, rows in self.pair.seen for row in rows])
        return pd.DataFrame(
            {
                "file_name": names,
                "label": np.array(images.class_names)[images.labels],
                "image_id": seen_ids[found.index],
                "distance": found.distance,
                "relative_distance": found.relative,
                "is_copy": self.is_copy,
                "nearest_file_name": names[twins.index],
                "relative_distance_to_it": twins.relative,
                "is_duplicate": twins.relative <= self.threshold,
            }
        )

    def closest(self, count: int) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The generated images and the test galaxies that are nearest to a galaxy seen.

        Returns
        -------
        dict
            Of ``generated`` and ``test``: images, turned towards the galaxies seen, these galaxies, both of shape
            (count, H, W, 3), and relative distances (count,).
        """
        starts = np.cumsum([0, *(len(rows) for _, rows in self.pair.seen)])
        pairs = {}
        for name, galaxies, found in (
            ("generated", self.pair.generated, self.generated),
            ("test", self.pair.test, self.test),
        ):
            chosen = np.argsort(found.relative)[:count]
            images = torch.from_numpy(galaxies.images[chosen]).permute(0, 3, 1, 2)
            turned = turn(images, torch.from_numpy(found.symmetry[chosen])).permute(0, 2, 3, 1).numpy()
            where = np.searchsorted(starts, found.index[chosen], side="right") - 1
            neighbours = [
                part.images[rows[index - starts[p]]]
                for p, index in zip(where, found.index[chosen], strict=True)
                for part, rows in [self.pair.seen[p]]
            ]
            pairs[name] = turned, np.stack(neighbours), found.relative[chosen]
        return pairs


def find_copies(pair: RealAndGenerated) -> Copies:
    """Search for copies of the galaxies seen, and of each other, among the generated images."""
    seen = torch.cat([thumbnails(part.images)[rows] for part, rows in pair.seen])
    generated, validation, test = (thumbnails(g.images) for g in (pair.generated, pair.validation, pair.test))
    threshold, false_positives = copy_threshold(nearest(validation, seen).relative)
    return Copies(
        pair,
        nearest(generated, seen),
        nearest(test, seen),
        nearest(generated, generated, same=True),
        nearest(test, test, same=True),
        threshold,
        false_positives,
    )


def copy_threshold(unseen: np.ndarray) -> tuple[float, float]:
    """Relative distance under which an image is a copy, and the share of unseen galaxies under it to be expected.

    Parameters
    ----------
    unseen : ndarray, shape (N,)
        Relative distances of galaxies that the generator has not seen, those of the validation split.

    Returns
    -------
    threshold : float
        The r-th smallest of them, with r / (N + 1) at most `FALSE_POSITIVES`, but r at least 1.
    false_positives : float
        r / (N + 1).
    """
    rank = max(1, int(FALSE_POSITIVES * (len(unseen) + 1)))
    return float(np.sort(unseen)[rank - 1]), rank / (len(unseen) + 1)


def rate(is_copy: np.ndarray, unseen_is_copy: np.ndarray, n_real: int) -> BesideFloor:
    """The share of copies beside that of unseen galaxies.

    Parameters
    ----------
    is_copy : ndarray of bool, shape (N,)
        Of the generated images.
    unseen_is_copy : ndarray of bool, shape (M,)
        Of unseen galaxies that the threshold was not taken from, those of the test split.
    n_real : int
        Images that they may be copies of.

    Returns
    -------
    BesideFloor
        With ``n_real`` as given, and ``n_floor`` (unseen galaxies) and ``p_value`` (Fisher's exact test, one-sided:
        more copies among the generated than among the unseen).
    """
    copies, floor = int(is_copy.sum()), int(unseen_is_copy.sum())
    n, m = len(is_copy), len(unseen_is_copy)
    p_value = fisher_exact([[copies, n - copies], [floor, m - floor]], alternative="greater").pvalue
    return replace(share_beside_floor(is_copy, unseen_is_copy), n_real=n_real, n_floor=m, p_value=float(p_value))
