"""Is the sky of generated images as noisy as that of real ones, in each channel and between them?"""

import numpy as np

from galaxy_diffusion.evaluation.jackknife import LEVEL, Estimate
from galaxy_diffusion.shared.sky import noise_covariance

REPLICATES = 1000
CHANNELS = ("red", "green", "blue")


def amplitude_ratio(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> Estimate:
    """Median sky amplitude of generated images over that of real ones, with a percentile bootstrap over both sets.

    Parameters
    ----------
    real, generated : ndarray, shape (N,) and (M,)
        Of `shared.sky.sky_amplitude`; NaN are left out.
    seed : int
        Of the bootstrap.

    Returns
    -------
    Estimate
        NaN where a set is empty or the real sky has no noise.

    Examples
    --------
    >>> amplitude_ratio(np.array([2.0, 2.2, 2.4]), np.array([1.0, 1.1, 1.2])).value
    0.5
    """
    rng = np.random.default_rng(seed)
    real, generated = (values[np.isfinite(values)] for values in (real, generated))
    if not (len(real) and len(generated) and np.median(real) > 0):
        return Estimate(np.nan, np.nan, np.nan)
    first, second = (np.median(rng.choice(values, (REPLICATES, len(values))), axis=1) for values in (real, generated))
    low, high = np.quantile(second[first > 0] / first[first > 0], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(np.median(generated) / np.median(real)), float(low), float(high))


def channel_noise(images: np.ndarray) -> dict[str, np.ndarray]:
    """The sky's noise in each channel in grey levels, and its correlation between channels, of each image.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, S, S, 3)

    Returns
    -------
    dict of ndarray, shape (N,)
        ``noise_red``, ..., ``noise_correlation_red_green``, ...; NaN where the sky cannot be measured, correlations
        also where a channel has no noise.

    Examples
    --------
    >>> grey = np.random.default_rng(0).normal(15, 2.0, (1, 64, 64, 1)).round().astype(np.uint8)
    >>> channel_noise(np.repeat(grey, 3, axis=3))["noise_correlation_red_blue"].round(2)
    array([1.])
    """
    covariance = noise_covariance(images)
    noise = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    with np.errstate(invalid="ignore"):
        correlation = covariance / (noise[:, :, None] * noise[:, None, :])
    pairs = [(i, j) for i in range(3) for j in range(i)]
    return {f"noise_{name}": noise[:, i] for i, name in enumerate(CHANNELS)} | {
        f"noise_correlation_{CHANNELS[j]}_{CHANNELS[i]}": correlation[:, i, j] for i, j in pairs
    }
