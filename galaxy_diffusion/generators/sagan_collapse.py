"""Whether a training has collapsed: a generator that repeats itself, or a discriminator that no longer teaches."""

from collections.abc import Callable

import numpy as np
from sklearn.metrics import euclidean_distances

from gz2_dataset import GalaxyArrays

PER_CLASS = 64
"""Images per class that are compared: so many real ones, and so many generated."""

LOWEST_DIVERSITY = 0.3
"""A class whose diversity is below this has collapsed.

If a share s of the images repeats others, their diversity is about 1 - s, so this value is reached where some 70 % of
a class are repeats; a constant generator has 0. Real galaxies compared with others of their class have about 1. The gap
leaves room for generated ones that differ as much in shape, but lack the noise of the sky.
"""

HIGHEST_SATURATION = 0.98
"""Above this saturation the discriminator is sure of nearly every image: it has stopped learning and teaching."""

HIGHEST_LOSS = 1.98
"""Above this loss the discriminator cannot tell real from generated images.

Scores that are the same for every image, however high, have a hinge loss of at least 2, and so have scores that do not
depend on whether an image is real. This is reached where real and generated images lie less than a hundredth of the
hinge's margin apart.
"""


def nearest_distances(images: np.ndarray) -> np.ndarray:
    """Root mean square difference in grey levels from each image to the nearest other, shape (N,).

    Parameters
    ----------
    images : ndarray of uint8, shape (N, H, W, 3), N at least 2
    """
    rows = images.reshape(len(images), -1).astype(np.float64)
    distances = euclidean_distances(rows) / np.sqrt(rows.shape[1])
    np.fill_diagonal(distances, np.inf)
    return distances.min(axis=1)


class Diversity:
    """Compares how far generated images of a class lie apart with how far equally many real ones do.

    Parameters
    ----------
    galaxies : GalaxyArrays
        Real ones; the first `PER_CLASS` of each class are used. Classes with fewer than two are left out.
    """

    def __init__(self, galaxies: GalaxyArrays):
        self.class_names = galaxies.class_names
        rows = {label: galaxies.of_class(name)[:PER_CLASS] for label, name in enumerate(self.class_names)}
        self.counts = {label: len(found) for label, found in rows.items() if len(found) > 1}
        self.real = {label: nearest_distances(galaxies.images[rows[label]]).mean() for label in self.counts}

    def __call__(self, draw: Callable[[list[int], list[int]], np.ndarray], seed: int) -> dict[str, float]:
        """Mean distance to the nearest other image of the class, generated over real.

        Parameters
        ----------
        draw : callable
            Makes images, ndarray of uint8, shape (N, H, W, 3), from N labels and N seeds.
        seed : int
            The first of the seeds.

        Returns
        -------
        dict
            ``diversity/CLASS``, and ``diversity``: the lowest.
        """
        ratios = {}
        for label, count in self.counts.items():
            images = draw([label] * count, [seed + i for i in range(count)])
            ratios[f"diversity/{self.class_names[label]}"] = float(
                nearest_distances(images).mean() / max(self.real[label], 1e-6)
            )
        return {"diversity": min(ratios.values()), **ratios}


def collapsed(record: dict[str, float]) -> list[str]:
    """What has collapsed, according to the last figures of a training; empty where nothing has.

    Examples
    --------
    >>> collapsed({"diversity/spiral": 0.1, "diversity/edge_on": 0.9, "saturation": 0.4, "loss": 1.2})
    ['spiral: diversity 0.10 of the real galaxies']
    """
    found = [
        f"{name.removeprefix('diversity/')}: diversity {value:.2f} of the real galaxies"
        for name, value in record.items()
        if name.startswith("diversity/") and value < LOWEST_DIVERSITY
    ]
    if record["saturation"] > HIGHEST_SATURATION:
        found.append(f"discriminator: sure of {record['saturation']:.0%} of the images")
    if record["loss"] > HIGHEST_LOSS:
        found.append(f"discriminator: tells nothing apart, hinge loss {record['loss']:.2f}")
    return found
