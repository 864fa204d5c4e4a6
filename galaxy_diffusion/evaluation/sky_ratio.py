"""Is the sky of generated images as noisy as that of real ones?"""

import numpy as np

from galaxy_diffusion.evaluation.jackknife import LEVEL, Estimate

REPLICATES = 1000


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
