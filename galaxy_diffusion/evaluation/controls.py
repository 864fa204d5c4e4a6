"""Copies made on purpose: training images with changes that a search for copies should see through."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image
from scipy import ndimage

from gz2_dataset.arrays import jpeg_round_trip
from gz2_dataset.images import decode

Change = Callable[[np.ndarray], np.ndarray]
NOISE = 4.0
"""Standard deviation in grey levels, twice that of the sky of SDSS composites."""


def as_pixels(values: np.ndarray) -> np.ndarray:
    return values.round().clip(0, 255).astype(np.uint8)


def shifted(image: np.ndarray, pixels: float = 1.0) -> np.ndarray:
    return as_pixels(ndimage.shift(image.astype(float), (0, pixels, 0), order=3, mode="nearest"))


def turned(image: np.ndarray, degrees: float = 10.0) -> np.ndarray:
    return as_pixels(ndimage.rotate(image.astype(float), degrees, reshape=False, order=3, mode="nearest"))


def zoomed(image: np.ndarray, factor: float = 1.15) -> np.ndarray:
    middle = (len(image) - 1) / 2
    start = (middle - middle / factor, middle - middle / factor, 0)
    scale = (1 / factor, 1 / factor, 1)
    return as_pixels(ndimage.affine_transform(image.astype(float), scale, start, order=3, mode="nearest"))


def dimmed(image: np.ndarray, share: float = 0.2) -> np.ndarray:
    return as_pixels((1 - share) * image)


def blurred(image: np.ndarray, pixels: float = 1.0) -> np.ndarray:
    return as_pixels(ndimage.gaussian_filter(image.astype(float), (pixels, pixels, 0)))


def noisy(image: np.ndarray) -> np.ndarray:
    """Add noise that depends only on the image."""
    rng = np.random.default_rng(int(image.sum(dtype=np.int64)))
    return as_pixels(image + rng.normal(0, NOISE, image.shape))


def recompressed(image: np.ndarray) -> np.ndarray:
    buffer = BytesIO()
    Image.fromarray(image).save(buffer, "JPEG", quality=75, subsampling=2)
    return decode(buffer.getvalue())


CHANGES: dict[str, Change] = {
    "unchanged": lambda image: image,
    "mirrored": lambda image: np.ascontiguousarray(image[:, ::-1]),
    "shifted by 1 pixel": shifted,
    "turned by 10 degrees": turned,
    "dimmed by 20 %": dimmed,
    "zoomed in by 15 %": zoomed,
    "zoomed out by 15 %": lambda image: zoomed(image, 1 / 1.15),
    "shifted, turned by 25 degrees, zoomed and dimmed": lambda image: shifted(turned(zoomed(dimmed(image)), 25)),
    "noise of 4 grey levels": noisy,
    "JPEG of quality 75": recompressed,
    "blurred by 1 pixel": blurred,
}
"""Each takes and returns uint8 (S, S, 3). Pixels are those of the images compared."""


def changed(images: np.ndarray, change: Change) -> np.ndarray:
    """Images (N, S, S, 3) after a change and the JPEG compression that generated images are stored with."""
    return np.stack([jpeg_round_trip(change(image)) for image in images])
