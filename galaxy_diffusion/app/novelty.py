"""Is a generated galaxy new? The training galaxies that are most like it, and how near is too near."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from galaxy_diffusion.evaluation.copies import turned_back
from galaxy_diffusion.evaluation.copy_search import CopySearch, Threshold, prepare_search
from galaxy_diffusion.evaluation.rings import measure
from galaxy_diffusion.shared.seen_images import read_seen_images, refuse_other_crop
from gz2_dataset import GalaxyArrays, UserError, load_arrays
from gz2_dataset.arrays import concatenate, jpeg_round_trip

NEIGHBOURS = 4


@dataclass(frozen=True)
class Neighbour:
    """A training galaxy.

    Attributes
    ----------
    image : ndarray of uint8, shape (H, W, 3)
    image_id, class_name : str
        The name is empty for a galaxy without a class.
    relative : float
        Distance as in `nearest.Nearest`: 1 where it is no nearer than others.
    """

    image: np.ndarray
    image_id: str
    class_name: str
    relative: float


@dataclass(frozen=True)
class Novelty:
    """What is nearest to a generated image.

    Attributes
    ----------
    image : ndarray of uint8, shape (H, W, 3)
        The image, turned to match the nearest.
    neighbours : sequence of Neighbour
        The nearest first.
    threshold : Threshold
        Of the image's class.
    n : int
        Training galaxies that were searched.
    """

    image: np.ndarray
    neighbours: Sequence[Neighbour]
    threshold: Threshold
    n: int

    @property
    def is_copy(self) -> bool:
        """Whether the nearest is nearer than the threshold."""
        return self.neighbours[0].relative <= self.threshold.relative


@dataclass(frozen=True)
class SeenGalaxies:
    """The galaxies that a model has learned from, and others of the same data that it has not seen.

    Attributes
    ----------
    seen, held_out : GalaxyArrays
    """

    seen: GalaxyArrays
    held_out: GalaxyArrays

    @cached_property
    def search(self) -> CopySearch:
        """Thresholds of all classes; computed when it is first asked for."""
        classes = range(len(self.seen.class_names))
        of_seen, of_others = measure(self.seen.images), measure(self.held_out.images)
        return prepare_search(of_seen, self.seen.labels, of_others, self.held_out.labels, classes)

    def nearest(self, image: np.ndarray, class_name: str) -> Novelty:
        """The nearest training galaxies of a generated image (H, W, 3) of a class.

        Raises
        ------
        UserError
            If the data has no such class.
        """
        if class_name not in self.seen.class_names:
            raise UserError(f"class {class_name!r}: is not one of {', '.join(self.seen.class_names)}")
        image = jpeg_round_trip(image)
        few = min(NEIGHBOURS, len(self.seen))
        found = self.search.gallery.nearest_few(measure(image[None]), few)
        neighbours = [
            Neighbour(self.seen.images[row], self.seen.image_ids[row], self.class_of(row), float(relative))
            for row, relative in zip(found.index[0].tolist(), found.relative[0], strict=True)
        ]
        turned = turned_back(image, bool(found.mirrored[0, 0]), float(found.angle[0, 0]))
        threshold = self.search.thresholds[self.seen.class_names.index(class_name)]
        return Novelty(turned, neighbours, threshold, len(self.seen))

    def class_of(self, row: int) -> str:
        """The name of a seen galaxy's class, or nothing."""
        label = int(self.seen.labels[row])
        return self.seen.class_names[label] if label >= 0 else ""


def load_seen_galaxies(data: str, model: str, resolution: int) -> SeenGalaxies:
    """Those galaxies of a dataset that a model has learned from, with the JPEG compression of generated images.

    Parameters
    ----------
    data : str
        As in `gz2_dataset.load`.
    model : str
        With ``seen_images.csv`` and ``run.json``.
    resolution : int
        Side of the model's images in pixels.

    Raises
    ------
    UserError
        If the model does not say what it has seen, has seen another crop, or none of these galaxies.
    """
    parts = [load_arrays(data, split, resolution, jpeg=True) for split in ("train", "unlabelled")]
    refuse_other_crop(model, parts[0].center_crop)
    listed = read_seen_images(model)
    seen = concatenate([part.take(listed.rows(part)) for part in parts])
    if not len(seen):
        raise UserError(f"{data}: {model} has seen none of its galaxies; give the data of its training")
    validation = load_arrays(data, "validation", resolution, jpeg=True)
    return SeenGalaxies(seen, validation)
