"""What the page shows: each of its buttons as a method that takes what a visitor has chosen."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from galaxy_diffusion.evaluation.morphology import INSTALL, is_available
from galaxy_diffusion.evaluation.quartiles import FILE as SHAPES_FILE
from galaxy_diffusion.evaluation.quartiles import Quartiles, class_quartiles, read_quartiles, shape_of, to_quartiles
from galaxy_diffusion.prediction.ensemble import Ensemble, load_ensemble
from galaxy_diffusion.prediction.probabilities import predict
from galaxy_diffusion.sampling.contact_sheets import tile
from galaxy_diffusion.shared.seen_images import file_of_model
from gz2_dataset import UserError

from .artist import Artist
from .novelty import SeenGalaxies, load_seen_galaxies
from .panels import novelty_panel, probability_panel, shape_panel
from .snippets import between_snippet, classify_snippet, dream_snippet, novelty_snippet, vary_snippet
from .uploads import SHOWN, picture_of, read_upload, with_crop_drawn

STRIP = 8
"""Galaxies in the strip from noise to galaxy."""


@dataclass(frozen=True)
class Studio:
    """What the page works with.

    Attributes
    ----------
    model : str
        Folder, Hub id, or name of a model that comes with the project.
    data : str, optional
        The data of the model's training.
    classifiers : sequence of str
        Folders of classifiers.
    artist : Artist
    real : dict
        Quartiles of real shapes, by class and shape; empty where they are not known.
    seen : SeenGalaxies, optional
    ensemble : Ensemble, optional
    """

    model: str
    data: str | None
    classifiers: Sequence[str]
    artist: Artist
    real: dict[str, dict[str, Quartiles]]
    seen: SeenGalaxies | None
    ensemble: Ensemble | None

    def dream(self, class_name: str, seed: int, guidance_scale: float, scheduler: str) -> Iterator[tuple]:
        """The galaxy after each step; at the end also the strip, its shape and the code, which are empty until then."""
        frames = []
        for frame in self.artist.dream(class_name, seed, guidance_scale, scheduler):
            frames.append(frame)
            yield enlarged(frame), None, None, None
        chosen = np.linspace(0, len(frames) - 1, STRIP).round().astype(int)
        strip = Image.fromarray(tile(np.stack(frames)[None, chosen]))
        shape = f"<p>Shapes are measured where statmorph is installed: {INSTALL}</p>"
        if is_available():
            shape = shape_panel(shape_of(frames[-1]), self.real.get(class_name), class_name)
        code = dream_snippet(self.model, class_name, seed, guidance_scale, scheduler)
        yield enlarged(frames[-1]), strip, shape, code

    def is_it_new(self, class_name: str, seed: int) -> tuple:
        """The galaxy, its nearest training galaxies, their distances, the code."""
        if self.seen is None or self.data is None:
            raise UserError(NO_DATA)
        found = self.seen.nearest(self.artist.draw(class_name, seed), class_name)
        neighbours = [
            (enlarged(neighbour.image), f"{neighbour.image_id}: {neighbour.relative:.2f}")
            for neighbour in found.neighbours
        ]
        code = novelty_snippet(self.model, self.data, class_name, seed)
        return enlarged(found.image), neighbours, novelty_panel(found), code

    def between(self, first_class: str, first_seed: int, last_class: str, last_seed: int) -> tuple:
        """The galaxies on the way, and the code."""
        ends = (first_class, first_seed), (last_class, last_seed)
        frames = self.artist.between(*ends)
        return [enlarged(frame) for frame in frames], between_snippet(self.model, *ends)

    def vary(self, path: str | None, class_name: str, seed: int, strength: float) -> tuple:
        """The picture with its crop, the variations, the code."""
        name, content = read_upload(path)
        artist, pixels = self.artist, picture_of(content)
        images = [enlarged(image) for image in artist.vary(pixels, class_name, seed, strength)]
        code = vary_snippet(self.model, name, class_name, seed, strength, artist.center_crop)
        return with_crop_drawn(pixels, artist.center_crop), images, code

    def classify(self, path: str | None) -> tuple:
        """The picture with its crop, the probabilities, the code."""
        if (ensemble := self.ensemble) is None:
            raise UserError(NO_CLASSIFIER)
        name, content = read_upload(path)
        view = ensemble.members[0].view
        pixels = picture_of(content, view.stretch)
        prediction = predict(ensemble([ensemble.prepare(content)])[0])
        panel = probability_panel(prediction, ensemble.class_names, len(ensemble.members))
        picture = with_crop_drawn(pixels, view.center_crop)
        return picture, panel, classify_snippet(self.classifiers, name)

    @property
    def about(self) -> str:
        """The model's card without its header, and what the page is for."""
        card = file_of_model(self.model, "README.md")
        text = card.read_text(encoding="utf-8") if card else "This model has no card."
        text = text.split("---\n", 2)[-1] if text.startswith("---") else text
        lines = text.partition("## Training")[0].splitlines()
        return "\n".join([ABOUT, "", *(line for line in lines if not line.startswith("!["))])  # pictures are not served


NO_DATA = """\
Whether a galaxy is new can only be seen beside the galaxies that the model has learned from, and this page has not
been given them: `python app.py --data DATA`, where DATA is the data of the model's training, built by
`python -m gz2_dataset build`."""
NO_CLASSIFIER = """\
This page has not been given a classifier. Train one, or better several seeds, with `train_classifier.py`, then
`python app.py --classifiers runs/seed0 runs/seed1 runs/seed2`."""
ABOUT = """\
These galaxies do not exist. A diffusion model draws them; it was trained to give more examples of a rare class to a
classifier. They are 8-bit colour pictures: shapes and colours may be compared, fluxes may not be measured, and how
common a kind is among them says nothing about the sky. The same class, seed, guidance and sampler give the same
galaxy."""


def make_studio(model: str, data: str | None = None, classifiers: Sequence[str] = ()) -> Studio:
    """Load everything that the page shows.

    Raises
    ------
    UserError
        If the model, the data or a classifier cannot be loaded.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    artist = Artist(model, device)
    seen = load_seen_galaxies(data, model, artist.resolution) if data else None
    ensemble = load_ensemble(classifiers, device) if classifiers else None
    if file := file_of_model(model, SHAPES_FILE):
        real = read_quartiles(file)
    else:
        real = to_quartiles(class_quartiles(seen.seen)) if seen and is_available() else {}
    return Studio(model, data, classifiers, artist, real, seen, ensemble)


def enlarged(image: np.ndarray) -> Image.Image:
    """A galaxy (H, W, 3) as large as the page shows it."""
    return Image.fromarray(image).resize((SHOWN, SHOWN), Image.Resampling.BICUBIC)
