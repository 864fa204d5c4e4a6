"""Are generated images copies of what the generator has seen, or of each other?

`copy_search` says when an image is a copy. Galaxies of the test split show how often that is wrong; Fisher's exact test
says whether generated images are copies more often than these.
"""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.ndimage import rotate
from scipy.stats import fisher_exact

from galaxy_diffusion.evaluation.beside_floor import BesideFloor, share_beside_floor
from galaxy_diffusion.evaluation.copy_search import (
    NO_COPIES,
    CopySearch,
    power_of_search,
    power_rows,
    prepare_search,
)
from galaxy_diffusion.evaluation.nearest import Gallery, Nearest
from galaxy_diffusion.evaluation.pair import RealAndGenerated
from galaxy_diffusion.evaluation.rings import measure, together


@dataclass(frozen=True)
class Copies:
    """What a search for copies has found.

    Attributes
    ----------
    pair : RealAndGenerated
        The images searched.
    search : CopySearch
    test_rows : ndarray of int, shape (T,)
        Galaxies of the test split that belong to the classes generated.
    generated, test : Nearest
        The nearest among the galaxies seen, of the generated images and of these test galaxies.
    generated_twins, test_twins : Nearest
        The nearest of each within its own set.
    power : DataFrame
        What the search finds, in the format of `copy_search.power_rows`; the false alarms among ``test`` come first.
    """

    pair: RealAndGenerated
    search: CopySearch
    test_rows: np.ndarray
    generated: Nearest
    test: Nearest
    generated_twins: Nearest
    test_twins: Nearest
    power: pd.DataFrame

    @property
    def limits(self) -> np.ndarray:
        """The relative distance up to which each generated image is a copy, shape (N,)."""
        return self.search.limits(self.pair.generated.labels)

    @property
    def test_limits(self) -> np.ndarray:
        """The same for the test galaxies, shape (T,)."""
        return self.search.limits(self.pair.test.labels[self.test_rows])

    @property
    def is_copy(self) -> np.ndarray:
        """Whether each generated image is a copy of a galaxy seen, bool (N,)."""
        return self.generated.relative <= self.limits

    @property
    def is_duplicate(self) -> np.ndarray:
        """Whether each generated image is a copy of another one, bool (N,)."""
        return self.generated_twins.relative <= self.limits

    def rates(self, rows: np.ndarray) -> dict[str, BesideFloor]:
        """``copy_rate`` and ``duplicate_rate`` of some generated images."""
        n_seen, n_test, limits = len(self.search.gallery.galaxies), len(self.test_rows), self.test_limits
        return {
            "copy_rate": rate(self.is_copy[rows], self.test.relative <= limits, n_seen),
            "duplicate_rate": rate(self.is_duplicate[rows], self.test_twins.relative <= limits, n_test),
        }

    def table(self) -> pd.DataFrame:
        """The rows of copies.csv: for each generated image, the nearest galaxy seen and the nearest generated image."""
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
                "threshold": self.limits,
                "is_copy": self.is_copy,
                "nearest_file_name": names[twins.index],
                "relative_distance_to_it": twins.relative,
                "is_duplicate": self.is_duplicate,
            }
        )

    def in_thresholds(self) -> dict[str, np.ndarray]:
        """Distances of ``generated`` images and ``test`` galaxies to the nearest galaxy seen, over the threshold."""
        return {
            "generated": self.generated.relative / self.limits.clip(1e-6),
            "test": self.test.relative / self.test_limits.clip(1e-6),
        }

    def closest(self, count: int) -> dict[str, tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """The generated images and the test galaxies that are nearest to a galaxy seen.

        Returns
        -------
        dict
            For ``generated`` and, where there are any, ``test``: the images, turned to match the galaxies seen; these
            galaxies, both of shape (count, H, W, 3); and the distances in units of the threshold (count,).
        """
        starts = np.cumsum([0, *(len(rows) for _, rows in self.pair.seen)])
        sides = {
            "generated": (self.pair.generated.images, self.generated),
            "test": (self.pair.test.images[self.test_rows], self.test),
        }
        pairs = {}
        for name, ratio in self.in_thresholds().items():
            if not len(ratio):
                continue
            (images, found), chosen = sides[name], np.argsort(ratio)[:count]
            back = [turned_back(images[i], bool(found.mirrored[i]), float(found.angle[i])) for i in chosen]
            where = np.searchsorted(starts, found.index[chosen], side="right") - 1
            neighbours = [
                part.images[rows[index - starts[p]]]
                for p, index in zip(where, found.index[chosen], strict=True)
                for part, rows in [self.pair.seen[p]]
            ]
            pairs[name] = np.stack(back), np.stack(neighbours), ratio[chosen]
        return pairs


def find_copies(pair: RealAndGenerated) -> Copies:
    """Search for copies of the galaxies seen, and of each other, among the generated images."""
    seen = together([measure(part.images).take(rows) for part, rows in pair.seen])
    labels = np.concatenate([part.labels[rows] for part, rows in pair.seen])
    classes = np.unique(pair.generated.labels).tolist()
    search = prepare_search(seen, labels, measure(pair.validation.images), pair.validation.labels, classes)
    gallery, class_names = search.gallery, pair.generated.class_names

    generated, test_rows = measure(pair.generated.images), np.flatnonzero(np.isin(pair.test.labels, classes))
    test, test_labels = measure(pair.test.images).take(test_rows), pair.test.labels[test_rows]
    of_test = gallery.nearest(test)
    alarms = of_test.relative <= search.limits(test_labels)
    known = np.flatnonzero(~pair.unseen)
    power = power_of_search(search, pair.real.images[known], pair.real.labels[known], class_names)
    return Copies(
        pair,
        search,
        test_rows,
        gallery.nearest(generated),
        of_test,
        Gallery(generated, like=gallery).nearest_others(),
        Gallery(test, like=gallery).nearest_others(),
        pd.concat([power_rows(NO_COPIES, alarms, test_labels, class_names), power], ignore_index=True),
    )


def turned_back(image: np.ndarray, mirrored: bool, angle: float) -> np.ndarray:
    """An image (S, S, 3) turned to match the galaxy that it was found to be nearest to, see `nearest.Nearest`."""
    image = image[::-1] if mirrored else image
    return rotate(image.astype(float), angle, reshape=False, order=1, mode="nearest").round().astype(np.uint8)


def rate(is_copy: np.ndarray, unseen_is_copy: np.ndarray, n_real: int) -> BesideFloor:
    """The share of copies beside the same share of unseen galaxies.

    Parameters
    ----------
    is_copy : ndarray of bool, shape (N,)
        Of the generated images.
    unseen_is_copy : ndarray of bool, shape (M,)
        Of unseen galaxies that the threshold was not taken from: those of the test split.
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
