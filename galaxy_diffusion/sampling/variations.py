"""The real galaxies that variations start from: only those that the generator has learned from."""

from dataclasses import dataclass

import numpy as np

from galaxy_diffusion.shared.seen_images import read_seen_images, refuse_other_crop
from gz2_dataset import GalaxyArrays, UserError, load_arrays
from gz2_dataset.splits import hash_of


@dataclass(frozen=True)
class Originals:
    """Galaxies to vary.

    Attributes
    ----------
    galaxies : GalaxyArrays
    order : dict of str to ndarray of int64
        Indices of each class's galaxies, ordered by the hash of image_id.
    """

    galaxies: GalaxyArrays
    order: dict[str, np.ndarray]

    def index(self, class_name: str, seed: int) -> int:
        """Which galaxy the image of a seed starts from: one after another, then from the first again."""
        return int(self.order[class_name][seed % len(self.order[class_name])])

    def image_id(self, class_name: str, seed: int) -> str:
        """The image_id of that galaxy."""
        return self.galaxies.image_ids[self.index(class_name, seed)]

    def images(self, batch: list[tuple[str, int]]) -> np.ndarray:
        """The galaxies for pairs of class and seed as the pipeline takes them: float32 (B, H, W, 3) in [0, 1]."""
        return self.galaxies.images[[self.index(*pair) for pair in batch]].astype(np.float32) / 255


def load_originals(data: str, model: str, class_names: list[str], resolution: int) -> Originals:
    """The train galaxies of a dataset, refused unless the model has learned from all of them.

    A galaxy that the model has not seen may be one that it, or a classifier, will be judged by; variations of it would
    leak it into the training set.

    Parameters
    ----------
    data : str
        As in `gz2_dataset.load`.
    model : str
        Folder of train_ddpm.py or Hub id, with seen_images.csv and run.json.
    class_names : list of str
        The classes to vary.
    resolution : int
        Side of the model's images in pixels.

    Raises
    ------
    UserError
        If the model does not say what it has seen, has not seen one of the galaxies or has seen another crop, or if a
        class has no galaxies.
    """
    seen, galaxies = read_seen_images(model), load_arrays(data, "train", resolution)
    refuse_other_crop(model, galaxies.center_crop)
    for image_id, digest in zip(galaxies.image_ids, galaxies.digests, strict=True):
        if digest not in seen.digests:
            raise UserError(
                f"{data}: galaxy {image_id} is not one that {model} has learned from, so it may be one to judge by; "
                "give the data of the training"
            )
    order = {
        name: np.array(sorted(galaxies.of_class(name), key=lambda row: hash_of(galaxies.image_ids[row])), np.int64)
        for name in galaxies.class_names
    }
    for name in class_names:
        if not len(order.get(name, ())):
            raise UserError(f"{data}: has no train galaxy of class {name!r}; take it out of --num_images")
    return Originals(galaxies, order)
