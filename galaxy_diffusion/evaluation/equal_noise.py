"""Galaxies compared at equal sky noise: what is measured on a quiet sky differs from that on a noisy one by itself.

statmorph subtracts the asymmetry and smoothness of the sky, so that quieter images seem more asymmetric [1]_. Noise is
therefore added to the quieter side of a class until the skies of both sides agree, and what has changed is measured
again. It is independent from pixel to pixel, which that of resized survey images is not quite.

References
----------
.. [1] Lotz, J. M., Primack, J. & Madau, P. 2004, AJ, 128, 163
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from galaxy_diffusion.evaluation.pair import Both, RealAndGenerated
from galaxy_diffusion.shared.sky import sky_amplitude, with_noise


def at_equal_noise(
    pair: RealAndGenerated,
    measured: Both[pd.DataFrame],
    measure: Callable[[np.ndarray], pd.DataFrame],
    seed: int = 0,
) -> Both[pd.DataFrame]:
    """Measures of all galaxies after `equally_noisy`, class by class.

    Parameters
    ----------
    pair : RealAndGenerated
    measured : Both of DataFrame
        The measures as they are.
    measure : callable
        Measures images, as ``measured`` was; it is given those that have changed.
    seed : int
        Of the noise.
    """
    images = Both(pair.real.images.copy(), pair.generated.images.copy())
    for name in pair.class_names:
        rows = Both(pair.real.of_class(name), pair.rows(name))
        found = equally_noisy(images.real[rows.real], images.generated[rows.generated], seed)
        images.real[rows.real], images.generated[rows.generated] = found
    tables = []
    for before, after, table in zip((pair.real, pair.generated), images, measured, strict=True):
        changed = np.flatnonzero((before.images != after).any(axis=(1, 2, 3)))
        new = table.copy()
        if len(changed):
            new.iloc[changed] = measure(after[changed]).to_numpy()
        tables.append(new)
    return Both(*tables)


def equally_noisy(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two sets of images with the same distribution of `shared.sky.sky_amplitude`.

    An image of the set with the lower median gets the amplitude that has the same rank in the other set, if it is
    higher than its own.

    Parameters
    ----------
    real, generated : ndarray of uint8, shape (N, S, S, 3) and (M, S, S, 3)
    seed : int

    Returns
    -------
    real, generated : ndarray of uint8
        As they are where the sky of a set cannot be measured.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> quiet, noisy = (rng.normal(40, sd, (9, 64, 64, 3)).round().astype(np.uint8) for sd in (1.0, 2.0))
    >>> [round(float(np.median(sky_amplitude(side))), 1) for side in equally_noisy(quiet, noisy)]
    [2.0, 2.0]
    """
    sets = [real, generated]
    amplitudes = [sky_amplitude(images) for images in sets]
    known = [values[np.isfinite(values)] for values in amplitudes]
    if not all(map(len, known)):
        return real, generated
    quieter = int(np.median(known[1]) < np.median(known[0]))
    own = amplitudes[quieter]
    wanted = np.full(len(own), np.nan)
    ranks = (rankdata(own[np.isfinite(own)]) - 0.5) / len(known[quieter])
    wanted[np.isfinite(own)] = np.quantile(known[1 - quieter], ranks)
    sets[quieter] = with_noise(sets[quieter], wanted, seed)
    return sets[0], sets[1]
