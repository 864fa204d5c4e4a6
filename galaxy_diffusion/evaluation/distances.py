"""How far the distribution of generated images is from that of real ones: Fréchet and kernel distances of features.

References
----------
.. [1] Heusel, M. et al. 2017, NeurIPS, 30, 6626 (Fréchet Inception distance)
.. [2] Bińkowski, M. et al. 2018, ICLR (kernel Inception distance)
"""

from collections.abc import Callable

import numpy as np
from sklearn.metrics.pairwise import polynomial_kernel

from galaxy_diffusion.evaluation.jackknife import GROUPS, Estimate, distance_estimate, jackknife, t_interval
from galaxy_diffusion.evaluation.prdc import prdc, prdc_values


def fid(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> Estimate:
    """Fréchet distance of two sets of features, with an interval; called FID only in Inception's features.

    It depends on the number of images: with few, two samples of one distribution are far apart.

    Parameters
    ----------
    real, generated : ndarray, shape (N, D) and (M, D)
        Features; N and M at least 3.
    seed : int
        Of the interval.

    Examples
    --------
    >>> fid(inception_features(real), inception_features(generated)).value  # doctest: +SKIP
    41.3
    """
    return distance_estimate(frechet_distance, np.asarray(real), np.asarray(generated), seed)


def frechet_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """Squared Fréchet distance of the Gaussians with the means and covariances of two sets of features [1]_.

    It is |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)). With C = A^T A, the trace of the root is the sum of the singular
    values of A1 A2^T, a matrix no larger than the number of images: no root of a singular matrix is needed.

    Parameters
    ----------
    real, generated : ndarray, shape (N, D) and (M, D)
        N and M at least 2.
    """
    real, generated = np.asarray(real, np.float64), np.asarray(generated, np.float64)
    first, second = covariance_factor(real), covariance_factor(generated)
    shared = first @ second.T if len(first) <= len(second) else second @ first.T
    trace_of_root = np.sqrt(np.linalg.eigvalsh(shared @ shared.T).clip(0)).sum()
    shift = real.mean(axis=0) - generated.mean(axis=0)
    return float(shift @ shift + (first**2).sum() + (second**2).sum() - 2 * trace_of_root)


def covariance_factor(features: np.ndarray) -> np.ndarray:
    """A matrix A (at most D rows) such that A^T A is the unbiased covariance of features (N, D)."""
    centred = (features - features.mean(axis=0)) / np.sqrt(len(features) - 1)
    return np.asarray(np.linalg.qr(centred, mode="r")) if len(centred) > centred.shape[1] else centred


def kid(
    real: np.ndarray,
    generated: np.ndarray,
    num_subsets: int = GROUPS,
    subset_size: int | None = None,
    seed: int = 0,
) -> Estimate:
    """Squared maximum mean discrepancy with the kernel (x.y / D + 1)^3, unbiased [2]_, with an interval.

    Unbiased means that it is 0 on average, and negative half of the time, for two samples of one distribution, however
    few they are. The usual estimate averages over random subsets, which only approximates the estimate over all images.

    Parameters
    ----------
    real, generated : ndarray, shape (N, D) and (M, D)
        Features, of Inception for the actual KID; N and M at least 3.
    num_subsets : int
        Number of subsets of each set that are left out in turn for the interval.
    subset_size : int, optional
        At most this many images of each set, drawn at random, are used where time is short; by default all.
    seed : int

    Examples
    --------
    >>> kid(inception_features(real), inception_features(generated))  # doctest: +SKIP
    Estimate(value=0.021, low=0.018, high=0.024)
    """
    if subset_size is not None:
        rng = np.random.default_rng(seed)
        real, generated = (rng.permutation(features)[:subset_size] for features in (real, generated))
    discrepancy = kernel_discrepancy(real, generated)
    return t_interval(*jackknife(discrepancy, len(real), len(generated), num_subsets, seed))


def kernel_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """The value of `kid`, without its interval."""
    return kernel_discrepancy(real, generated)(np.arange(len(real)), np.arange(len(generated)))


def kernel_discrepancy(
    real: np.ndarray, generated: np.ndarray, kernel: Callable[..., np.ndarray] = polynomial_kernel
) -> Callable[[np.ndarray, np.ndarray], float]:
    """The discrepancy as a function of the indices of the images that take part."""
    real, generated = (np.asarray(features, np.float64) for features in (real, generated))
    among_real, among_generated, between = kernel(real), kernel(generated), kernel(real, generated)
    for among in (among_real, among_generated):
        np.fill_diagonal(among, 0.0)

    def discrepancy(i: np.ndarray, j: np.ndarray) -> float:
        first, second = np.zeros(len(real)), np.zeros(len(generated))
        first[i], second[j] = 1 / len(i), 1 / len(j)
        return float(
            first @ among_real @ first * len(i) / (len(i) - 1)
            + second @ among_generated @ second * len(j) / (len(j) - 1)
            - 2 * first @ between @ second
        )

    return discrepancy


def estimates(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> dict[str, Estimate]:
    """The figures in Inception's features, (N, D) and (M, D), that depend on the number of images, with intervals.

    These are fid, precision, recall, density and coverage.
    """
    return {"fid": fid(real, generated, seed)} | prdc(real, generated, seed=seed)


def unbiased_estimates(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> dict[str, Estimate]:
    """The figure that does not depend on it: kid."""
    return {"kid": kid(real, generated, seed=seed)}


def values(real: np.ndarray, generated: np.ndarray) -> dict[str, float]:
    """The values of `estimates` and `unbiased_estimates`, without their intervals."""
    distances = {"fid": frechet_distance(real, generated), "kid": kernel_distance(real, generated)}
    return distances | prdc_values(real, generated)
