"""The most probable galaxies of each class as one self-contained HTML page."""

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files

import jinja2
import numpy as np
from PIL import Image

from galaxy_diffusion.prediction.probabilities import Prediction
from galaxy_diffusion.prediction.survey import Survey
from galaxy_diffusion.shared.names import class_title
from gz2_dataset.arrays import encode_jpeg
from gz2_dataset.markdown import one_line

SIDE = 128
"""Of the pictures, in pixels."""


@dataclass(frozen=True)
class Galaxy:
    """A galaxy on the page; ``picture`` is a JPEG file in base 64."""

    name: str
    probability: float
    spread: float
    picture: str


@dataclass(frozen=True)
class Gallery:
    """The most probable galaxies of a class, and how many are most probably of it."""

    title: str
    count: int
    galaxies: Sequence[Galaxy]


def render(
    survey: Survey,
    prediction: Prediction,
    readable: np.ndarray,
    class_names: Sequence[str],
    picture_of: Callable[[bytes, int], np.ndarray],
    page_images: int,
    images: str,
    models: Sequence[str],
) -> str:
    """The page.

    Parameters
    ----------
    survey : Survey
    prediction : Prediction
        Of the images that could be read.
    readable : ndarray of int, shape (N,)
        Their rows in the survey.
    class_names : sequence of str
    picture_of : callable
        Makes of a file's bytes a picture of so many pixels.
    page_images : int
        Galaxies of each class.
    images : str
    models : sequence of str
        Where images and classifiers came from, for the heading.
    """

    def most_probable(label: int) -> Iterator[Galaxy]:
        order = np.argsort(-prediction.mean[:, label], kind="stable")[:page_images]
        for place in order.tolist():
            name = survey.names[int(readable[place])]
            try:
                pixels = picture_of(survey.read(name), SIDE)
            except OSError:  # it is gone by now
                continue
            picture = base64.b64encode(encode_jpeg(Image.fromarray(pixels))).decode()
            yield Galaxy(one_line(name), prediction.mean[place, label], prediction.std[place, label], picture)

    counts = np.bincount(prediction.label, minlength=len(class_names)).tolist()
    galleries = [
        Gallery(class_title(name), counts[label], list(most_probable(label))) for label, name in enumerate(class_names)
    ]
    template = files("galaxy_diffusion.prediction").joinpath("page.html").read_text(encoding="utf-8")
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    return environment.from_string(template).render(
        galleries=galleries,
        total=len(survey),
        unreadable=len(survey) - len(readable),
        images=one_line(images),
        models=models,
    )
