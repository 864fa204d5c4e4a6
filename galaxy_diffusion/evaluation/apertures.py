"""What apertures and point sources say of an image: the galaxy's colour gradient, and how wide a star is.

Both are measured on stretched 8-bit images: they compare images of the same kind, real with generated ones.
"""

import warnings
from functools import partial
from importlib.metadata import version

import joblib
import numpy as np
import pandas as pd

from galaxy_diffusion.evaluation.luminance import luminance
from galaxy_diffusion.evaluation.morphology import LEAST, SIGMAS, segments
from galaxy_diffusion.shared.image_cache import cached
from galaxy_diffusion.shared.sky import border

MEASURES = ("colour_gradient", "point_source_width")
BRIGHT, ROUND, MARGIN = 8.0, 1.6, 2
"""A point source has a peak of so many times the noise, an elongation below this, and lies so many pixels inside."""
RECIPE = f"{SIGMAS} {LEAST} {BRIGHT} {ROUND} {MARGIN} 2"


def apertures(images: np.ndarray, radii: np.ndarray, processes: int | None = None) -> pd.DataFrame:
    """Measure images, in parallel, with results from the cache of `datasets` where they have been measured before.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, S, S, 3)
        The galaxy is in the middle.
    radii : ndarray, shape (N,)
        Half-light radius of each galaxy in pixels, of `morphology.morphology`.
    processes : int, optional
        By default one per core.

    Returns
    -------
    DataFrame
        One row per image, with the columns

        - colour_gradient: blue minus red in magnitudes between one and two half-light radii, minus that within one; NaN
          without a radius, where two of them leave the image, or where a channel has no light above the sky;
        - point_source_width: full width at half maximum of a circular Gaussian in pixels, of the narrowest of the
          image's round and bright sources off the galaxy, as others are galaxies; NaN where there is none.
    """
    recipe = f"{RECIPE} {version('photutils')} {np.asarray(radii).tobytes()!r}"
    rows = cached(images, "galaxy_apertures", recipe, partial(measure_all, images, radii, processes))
    return pd.DataFrame(rows, columns=[*MEASURES])


def measure_all(images: np.ndarray, radii: np.ndarray, processes: int | None = None) -> np.ndarray:
    """The columns of `apertures`, shape (N, 2), measured now."""
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        rows = joblib.Parallel(n_jobs=processes or -1)(
            joblib.delayed(measure)(image, radius) for image, radius in zip(images, radii, strict=True)
        )
    return np.array(rows, float).reshape(-1, len(MEASURES))


def measure(image: np.ndarray, radius: float) -> tuple[float, float]:
    """The columns of `apertures` of one image, uint8 (S, S, 3)."""
    grey = 255 * luminance(image).astype(float)
    edge = border(len(grey))
    level = np.median(grey[edge])
    noise = 1.4826 * np.median(np.abs(grey[edge] - level))
    _, others = segments(grey - level, max(SIGMAS * noise, LEAST))
    return colour_gradient(image, radius, others), point_source_width(grey - level, others, max(noise, LEAST / SIGMAS))


def colour_gradient(image: np.ndarray, radius: float, masked: np.ndarray) -> float:
    """Blue minus red of the light around the middle from ``radius`` to twice as far, minus that within it, in mag."""
    from photutils.aperture import CircularAnnulus, CircularAperture

    middle = (len(image) - 1) / 2
    if not 0 < 2 * radius <= middle:
        return np.nan
    places = (CircularAperture((middle, middle), radius), CircularAnnulus((middle, middle), radius, 2 * radius))
    light = image - np.median(image[border(len(image))], axis=0)
    blue, red = ([float(place.do_photometry(light[..., c], mask=masked)[0][0]) for place in places] for c in (2, 0))
    if min(*blue, *red) <= 0:
        return np.nan
    inner, outer = -2.5 * np.log10(np.divide(blue, red))
    return outer - inner


def point_source_width(flux: np.ndarray, sources: np.ndarray, noise: float) -> float:
    """Full width at half maximum of the narrowest of the round and bright ones among sources (a mask), in pixels."""
    from photutils.psf import fit_fwhm
    from photutils.segmentation import SegmentationImage, SourceCatalog
    from scipy.ndimage import label

    islands, count = label(sources)
    if not count:
        return np.nan
    widths, inside = [], len(flux) - 1 - MARGIN
    with warnings.catch_warnings(action="ignore"):
        for source in SourceCatalog(flux, SegmentationImage(islands)):
            x, y = source.centroid
            if not (source.max_value > BRIGHT * noise and source.elongation.value < ROUND):
                continue
            if not (MARGIN <= x <= inside and MARGIN <= y <= inside):
                continue
            size = 2 * int(np.ceil(max(source.fwhm.value, 1.5))) + 1
            others = (islands != source.label) & (islands > 0)
            widths += np.atleast_1d(
                fit_fwhm(flux, xypos=(x, y), fwhm=source.fwhm.value, fit_shape=size, mask=others)
            ).tolist()
    widths = [width for width in widths if 0 < width < len(flux) / 4]
    return min(widths, default=np.nan)
