"""Generated images beside the real ones of their generator: who has seen what, and what is compared with what."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from PIL import Image

from galaxy_diffusion.evaluation.floors import Sets, choose_sets, of_all_classes
from galaxy_diffusion.shared.image_folder import load_generated, read_metadata
from galaxy_diffusion.shared.seen_images import refuse_if_seen
from gz2_dataset import GalaxyArrays, UserError, load_arrays
from gz2_dataset.arrays import concatenate

T = TypeVar("T")


class Both(NamedTuple, Generic[T]):
    """A quantity of the real galaxies, in the order of `RealAndGenerated.real`, and of the generated images."""

    real: T
    generated: T


@dataclass(frozen=True)
class RealAndGenerated:
    """Images of one size, by default all passed through the same JPEG compression.

    Attributes
    ----------
    generated : GalaxyArrays
        Their image_ids are file names.
    validation, test : GalaxyArrays
        Galaxies that the generator has not seen.
    seen : list of (GalaxyArrays, ndarray)
        Galaxies that it has seen, including those without a class (-1): arrays and rows of each.
    """

    generated: GalaxyArrays
    validation: GalaxyArrays
    test: GalaxyArrays
    seen: list[tuple[GalaxyArrays, np.ndarray]]

    @property
    def class_names(self) -> list[str]:
        """Classes that have been generated."""
        return [self.generated.class_names[label] for label in np.unique(self.generated.labels)]

    @cached_property
    def real(self) -> GalaxyArrays:
        """All real galaxies of the classes generated: first those of validation and test, then the seen ones."""
        wanted = np.unique(self.generated.labels)
        parts = [(part, np.arange(len(part))) for part in (self.validation, self.test)] + self.seen
        return concatenate([part.take(rows[np.isin(part.labels[rows], wanted)]) for part, rows in parts])

    @cached_property
    def unseen(self) -> np.ndarray:
        """Which rows of ``real`` the generator has not seen, bool (N,)."""
        held_out = {*self.validation.image_ids, *self.test.image_ids}
        return np.array([image_id in held_out for image_id in self.real.image_ids])

    def sets(self, seed: int) -> dict[str, list[Sets]]:
        """What is compared with what, for ``all`` and each class: rows of ``real`` and ``generated``."""
        by_class = {}
        for name in self.class_names:
            real = self.real.of_class(name)
            unseen = self.unseen[real]
            by_class[name] = [choose_sets(real[unseen], real[~unseen], self.rows(name), seed)]
        return {"all": of_all_classes([sets for (sets,) in by_class.values()]), **by_class}

    def both(self, measure: Callable[[GalaxyArrays], T]) -> Both[T]:
        """Measure real galaxies and generated images in the same way."""
        return Both(measure(self.real), measure(self.generated))

    def of_class(self, name: str, both: Both) -> Both:
        """The rows of a class, in arrays or tables of all images."""
        label = self.real.class_names.index(name)
        return Both(both.real[self.real.labels == label], both.generated[self.generated.labels == label])

    def unseen_rows(self, name: str) -> np.ndarray:
        """Rows of ``real`` that the generator has not seen, of a class or of ``all``."""
        rows = np.arange(len(self.real)) if name == "all" else self.real.of_class(name)
        return rows[self.unseen[rows]]

    def rows(self, name: str) -> np.ndarray:
        """Rows of the generated images of a class, or of ``all``."""
        return np.arange(len(self.generated)) if name == "all" else self.generated.of_class(name)


def load_real_and_generated(real: str, generated: str, jpeg: bool = True) -> RealAndGenerated:
    """Load generated images and the data of their generator.

    Parameters
    ----------
    real : str
        As in `gz2_dataset.load`.
    generated : str
        Output folder of generate.py. Its ``seen_images.csv`` says which galaxies the generator has seen.
    jpeg : bool
        Pass real images through the JPEG compression of the generated ones.

    Raises
    ------
    UserError
        If the generator has seen a galaxy of the validation or test split, none of the data's galaxies, or another crop
        of them; if one of these splits is empty; or if there are no generated images.
    """
    if not (rows := read_metadata(generated)):
        raise UserError(f"{generated}: no images; make some with generate.py")
    with Image.open(Path(generated) / rows[0]["file_name"]) as image:
        resolution = image.width
    train, unlabelled, validation, test = (
        load_arrays(real, split, resolution, jpeg) for split in ("train", "unlabelled", "validation", "test")
    )
    for name, galaxies in {"validation": validation, "test": test}.items():
        if not len(galaxies):
            raise UserError(f"{real}: the {name} split is empty, so nothing is new to the generator; build it again")
    listed = refuse_if_seen(generated, {"validation": validation, "test": test})
    seen = [(part, rows) for part in (train, unlabelled) if len(rows := listed.rows(part))]
    if listed.is_nothing:
        print(f"{generated}: its generator is said to have seen nothing; treated as if it had seen the train split")
        seen = [(train, np.arange(len(train)))]
    if not seen:
        raise UserError(
            f"{real}: the generator of {generated} has seen none of its galaxies; give the generator's data"
        )
    images = load_generated(generated, train.class_names, resolution, train.center_crop)
    return RealAndGenerated(images, validation, test, seen)
