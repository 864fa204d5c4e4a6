"""What an astronomer measures on a galaxy: ellipticity, radii, concentration, asymmetry and the like.

photutils [1]_ finds the galaxy in the middle of the luminance and masks its neighbours, statmorph [2]_ measures it
above the sky. The images are stretched to 8 bits, so this is not photometry: faint outskirts count for more than in
linear flux, radii come out larger and Sersic indices smaller. The measures serve to compare images of the same kind:
real with generated ones. The ellipticity is that of the Sersic fit, which neighbours and stretch disturb least.

References
----------
.. [1] Bradley, L. et al. 2025, astropy/photutils (Zenodo)
.. [2] Rodriguez-Gomez, V. et al. 2019, MNRAS, 483, 4140
"""

import warnings
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec

import joblib
import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from galaxy_diffusion.evaluation.luminance import luminance
from galaxy_diffusion.evaluation.spectrum import high_frequency_power
from galaxy_diffusion.shared.image_cache import cached
from galaxy_diffusion.shared.sky import border
from gz2_dataset import UserError
from gz2_dataset.command_line import how_to_install

INSTALL = how_to_install("morphology")
FITTED = {"ellipticity": "sersic_ellip", "sersic_index": "sersic_n"}
"""Measures of the Sersic fit, and their names in statmorph."""
NONPARAMETRIC = {
    "half_light_radius": "rhalf_ellip",
    "petrosian_radius": "rpetro_ellip",
    "concentration": "concentration",
    "asymmetry": "asymmetry",
    "smoothness": "smoothness",
    "gini": "gini",
    "m20": "m20",
}
COLOURS = ("blue_minus_green", "green_minus_red")
SKY = ("sky_level", "sky_noise")
MEASURES = (*FITTED, *NONPARAMETRIC, *COLOURS, *SKY, "high_frequency_power")
FLAGS = ("flag", "flag_sersic")
BAD = 2
"""From this flag on statmorph calls a measurement bad."""

SIGMAS, LEAST, MIN_PIXELS = 1.5, 2.0, 5
"""A source is brighter than the sky by this many times its noise, at least this many grey levels, in this many
pixels."""
DEBLENDING = {"n_levels": 16, "contrast": 0.01, "progress_bar": False}
AT_A_TIME = 64
"""Galaxies between two writes to the cache: an interruption loses no more than these."""
UNUSED = {"niter_bh_mid": 0}
"""The search for the multimode statistic would take 40 % of the time, and nothing here reports it."""
RECIPE = f"{SIGMAS} {LEAST} {MIN_PIXELS} {DEBLENDING} 1"


def is_available() -> bool:
    """Whether photutils and statmorph are installed."""
    return all(map(find_spec, ("photutils", "statmorph")))


def morphology(images: np.ndarray, processes: int | None = None) -> pd.DataFrame:
    """Measure galaxies, in parallel, with results from the cache of `datasets` where they have been measured before.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, S, S, 3)
        The galaxy is in the middle. From 32 pixels on most can be measured.
    processes : int, optional
        By default one per core, with one thread each; does not affect the result.

    Returns
    -------
    DataFrame
        One row per image, with the columns

        - ellipticity (1 - b / a) and sersic_index of the Sersic fit; NaN where ``flag_sersic`` is `BAD` or worse;
        - half_light_radius and petrosian_radius along the major axis in pixels, concentration, asymmetry, smoothness,
          gini and m20; NaN where ``flag`` is `BAD` or worse;
        - blue_minus_green and green_minus_red in magnitudes of the galaxy's channels, like g - r and r - i but from
          stretched channels; NaN without a galaxy or where a channel has no light above the sky;
        - sky_level and sky_noise, median and standard deviation of the luminance along the border, in grey levels;
        - high_frequency_power, see `spectrum`;
        - flag, flag_sersic: statmorph's, from 0 (good) to 4 (no galaxy found, or none that can be measured).

    Raises
    ------
    UserError
        If photutils or statmorph are missing.

    Examples
    --------
    >>> morphology(galaxies.images)["ellipticity"].median()  # doctest: +SKIP
    0.31
    """
    if not is_available():
        raise UserError(f"morphology needs photutils and statmorph; run {INSTALL}")
    recipe = f"{RECIPE} {version('photutils')} {version('statmorph')}"
    values = [np.empty((0, len(MEASURES) + len(FLAGS)))]
    with tqdm(total=len(images), desc="morphology", unit="galaxy") as bar:
        for start in range(0, len(images), AT_A_TIME):
            part = images[start : start + AT_A_TIME]
            values.append(cached(part, "galaxy_morphology", recipe, partial(measure_all, part, processes)))
            bar.update(len(part))
    return pd.DataFrame(np.concatenate(values), columns=[*MEASURES, *FLAGS]).astype(dict.fromkeys(FLAGS, int))


def measure_all(images: np.ndarray, processes: int | None = None) -> np.ndarray:
    """The columns of `morphology`, shape (N, columns), measured now."""
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        rows = joblib.Parallel(n_jobs=processes or -1)(joblib.delayed(measure)(image) for image in images)
    table = pd.DataFrame(rows, columns=[*MEASURES, *FLAGS], dtype=float)
    return table.assign(high_frequency_power=high_frequency_power(images)).to_numpy()


def measure(image: np.ndarray) -> dict[str, float]:
    """Measures and flags of one image, uint8 (S, S, 3)."""
    from astropy.stats import sigma_clipped_stats
    from statmorph import SourceMorphology

    grey = 255 * luminance(image).astype(float)
    edge = border(grey.shape[0])
    _, level, noise = sigma_clipped_stats(grey[edge], sigma=3)
    measures = {"sky_level": level, "sky_noise": noise, "flag": 4, "flag_sersic": 4}
    flux = grey - level
    galaxy, neighbours = segments(flux, max(SIGMAS * noise, LEAST))
    if not galaxy.any():
        return measures
    colours = image[galaxy].sum(axis=0) - galaxy.sum() * np.median(image[edge], axis=0)
    if (colours > 0).all():
        magnitudes = -2.5 * np.log10(colours)
        measures |= dict(zip(COLOURS, (magnitudes[2] - magnitudes[1], magnitudes[1] - magnitudes[0]), strict=True))
    weights = np.full(grey.shape, max(noise, 1.0))
    try:
        with warnings.catch_warnings(action="ignore"):  # the flags say the same
            found = SourceMorphology(flux, galaxy.astype(int), 1, mask=neighbours, weightmap=weights, **UNUSED)
    except Exception:  # any error counts as a fit that has failed
        return measures
    measures |= {"flag": found.flag, "flag_sersic": found.flag_sersic}
    for names, flag in ((FITTED, found.flag_sersic), (NONPARAMETRIC, found.flag)):
        if flag < BAD:
            measures |= {name: found[theirs] for name, theirs in names.items()}
    return measures


def segments(flux: np.ndarray, threshold: float) -> tuple[np.ndarray, np.ndarray]:
    """Masks of the source nearest to the middle and of all others, both empty if there is none."""
    from photutils.segmentation import deblend_sources, detect_sources

    with warnings.catch_warnings(action="ignore"):
        found = detect_sources(flux, threshold, MIN_PIXELS)
        if found is None:
            return np.zeros(flux.shape, bool), np.zeros(flux.shape, bool)
        labels = deblend_sources(flux, found, MIN_PIXELS, **DEBLENDING).data
    rows, columns = np.nonzero(labels)
    middle = (flux.shape[0] - 1) / 2
    nearest = np.hypot(rows - middle, columns - middle).argmin()
    galaxy = labels == labels[rows[nearest], columns[nearest]]
    return galaxy, (labels > 0) & ~galaxy
