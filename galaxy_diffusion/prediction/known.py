"""The galaxies of a training that are nearest to an image, by what the nets see in both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tqdm.auto import tqdm

from galaxy_diffusion.prediction.ensemble import Ensemble
from gz2_dataset import UserError, load_arrays

COUNT = 5
"""Galaxies that are named for each image."""
PAIRS_AT_ONCE = 2**24


@dataclass(frozen=True)
class Known:
    """Galaxies that are known.

    Attributes
    ----------
    features : sequence of ndarray of float32, shapes (M, D)
        Of each net, as unit vectors.
    image_ids, classes : ndarray of str, shape (M,)
        The class is empty where a galaxy has none.
    """

    features: Sequence[np.ndarray]
    image_ids: np.ndarray
    classes: np.ndarray

    def nearest(self, features: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids, classes and distances of the nearest few of each image, shapes (N, `COUNT`), the nearest first.

        Parameters
        ----------
        features : sequence of ndarray, shapes (N, D)
            Of each net.

        Returns
        -------
        image_ids, classes : ndarray of str
        distances : ndarray of float32
            1 less the cosine of the features, averaged over the nets: 0 for the same image.
        """
        count, units = min(COUNT, len(self.image_ids)), [unit(values) for values in features]
        order = np.zeros((len(units[0]), count), int)
        distances = np.zeros(order.shape, np.float32)
        step = max(1, PAIRS_AT_ONCE // len(self.image_ids))
        for start in range(0, len(order), step):
            rows = slice(start, start + step)
            cosines = [values[rows] @ known.T for values, known in zip(units, self.features, strict=True)]
            distance = 1 - np.mean(cosines, axis=0, dtype=np.float32)
            few = np.argpartition(distance, count - 1, axis=1)[:, :count]
            of_few = np.take_along_axis(distance, few, axis=1)
            by_distance = of_few.argsort(axis=1, kind="stable")
            order[rows] = np.take_along_axis(few, by_distance, axis=1)
            distances[rows] = np.take_along_axis(of_few, by_distance, axis=1)
        return self.image_ids[order], self.classes[order], distances.clip(min=0)


def known_galaxies(data: str, ensemble: Ensemble, batch_size: int) -> Known:
    """The training galaxies of a dataset, as the nets see them.

    Parameters
    ----------
    data : str
        As in `load_arrays`.
    ensemble : Ensemble
    batch_size : int
        Images at a time.

    Raises
    ------
    UserError
        If it has no training galaxies, or shows another part of each image than a net has learned from.
    """
    views = {member.view for member in ensemble.members}
    arrays = {view: load_arrays(data, "train", view.resolution, jpeg=True) for view in views}
    for view, galaxies in arrays.items():
        if galaxies.center_crop != view.center_crop:
            raise UserError(
                f"--known {data}: its crop is {galaxies.center_crop} px and that of the classifier {view.center_crop} "
                "px; give the data that the classifier was trained on"
            )
    first = next(iter(arrays.values()))
    if not len(first):
        raise UserError(f"--known {data}: has no training galaxies")
    pieces = []
    for start in tqdm(range(0, len(first), batch_size), desc="known galaxies", unit="batch", leave=False):
        rows = range(start, min(start + batch_size, len(first)))
        images = [{view: galaxies.images[row] for view, galaxies in arrays.items()} for row in rows]
        pieces.append([unit(values) for values in ensemble(images)[1]])
    names = np.array([*first.class_names, ""])
    features = [np.concatenate(of_net) for of_net in zip(*pieces, strict=True)]
    return Known(features, np.array(first.image_ids), names[first.labels])


def unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (N, D) of length 1; one of zeros stays."""
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(min=1e-12)
