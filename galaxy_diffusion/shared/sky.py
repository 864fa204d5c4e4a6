"""How strong the noise of the sky is in images: the first thing that is lost if a sampler stops too early."""

import numpy as np
from scipy.ndimage import binary_dilation, uniform_filter
from scipy.stats import sigmaclip

SIGMAS, LEAST = 3.0, 2.0
"""A source in the border is brighter than the sky by this many times its noise, and at least this many grey levels."""
OF_CLIPPED = 0.98658
"""Standard deviation of a normal variable of unit variance after clipping at 3 sigma."""
MIN_PIXELS = 20


def sky_amplitude(images: np.ndarray) -> np.ndarray:
    """Standard deviation of the sky's noise in each image, the mean of its channels.

    It is measured where sky is expected, in the outer eighth of an image on each side, without sources: pixels whose
    mean over the channels is above the border's median m by max(3 x 1.4826 median|x - m|, 2), and their neighbours. In
    each channel

        r = (x - <x>) / sqrt(1 - 1 / n),    amplitude = std(r clipped at 3 sigma) / 0.98658,

    where <x> is the mean of the n sky pixels in a square of about a quarter of the image around x: the light of a large
    galaxy that slopes through the border, and patches as wide as the square, do not count.

    Parameters
    ----------
    images : ndarray of uint8 or float, shape (N, S, S, 3)
        In grey levels, 0 to 255; S at least 16. Pixels that are NaN in any channel are left out.

    Returns
    -------
    ndarray of float64, shape (N,)
        In grey levels. NaN where fewer than 20 pixels of sky are left, 0 for a flat image, no values for no images.

    Notes
    -----
    It is right for noise that is independent from pixel to pixel; if neighbours correlate by 0.4, as in resized
    images of SDSS, it is 5 % low. Rounding to uint8 adds 1 / sqrt(12) = 0.29 grey levels in quadrature, which is not
    subtracted. Noise below 0.4 grey levels is lost in the rounding; sky at 0 is cut off.

    Examples
    --------
    >>> sky = np.random.default_rng(0).normal(15, 2.0, (4, 64, 64, 3)).round().astype(np.uint8)
    >>> sky_amplitude(sky).round(1)
    array([2., 2., 2., 2.])
    """
    if not len(images):
        return np.zeros(0)
    edge = border(images.shape[1])
    return np.array([amplitude_of(image.astype(np.float64), edge) for image in images])


def amplitude_of(image: np.ndarray, edge: np.ndarray) -> float:
    """`sky_amplitude` of one image (S, S, 3), with the mask of its border (S, S)."""
    if not len(residuals := residuals_of(image, edge)):
        return np.nan
    return float(np.mean([sigmaclip(channel, SIGMAS, SIGMAS).clipped.std() for channel in residuals.T]) / OF_CLIPPED)


def noise_covariance(images: np.ndarray) -> np.ndarray:
    """Covariance of the sky's noise between the channels of each image, of the residuals r of `sky_amplitude`.

    Parameters
    ----------
    images : ndarray of uint8 or float, shape (N, S, S, 3)
        In grey levels.

    Returns
    -------
    ndarray of float64, shape (N, 3, 3)
        In squared grey levels, of the pixels whose residuals are within 3 sigma in all channels; NaN where fewer than
        20 pixels of sky are left. Rounding to uint8 adds 1 / 12 on the diagonal.

    Examples
    --------
    >>> grey = np.random.default_rng(0).normal(15, 2.0, (1, 64, 64, 1))
    >>> noise_covariance(np.repeat(grey, 3, axis=3))[0].round(0)
    array([[4., 4., 4.],
           [4., 4., 4.],
           [4., 4., 4.]])
    """
    edge = border(images.shape[1])
    found = np.full((len(images), 3, 3), np.nan)
    for i, image in enumerate(images):
        residuals = residuals_of(image.astype(np.float64), edge)
        if len(residuals):
            ends = np.array([sigmaclip(channel, SIGMAS, SIGMAS)[1:] for channel in residuals.T])
            within = ((residuals >= ends[:, 0]) & (residuals <= ends[:, 1])).all(axis=1)
            found[i] = np.cov(residuals[within].T, bias=True) / OF_CLIPPED**2
    return found


def residuals_of(image: np.ndarray, edge: np.ndarray) -> np.ndarray:
    """The residuals r of `sky_amplitude` in the sky pixels of an image (S, S, 3): (n, 3), without rows if too few."""
    nothing = np.empty((0, 3))
    grey = image.mean(axis=2)
    edge = edge & np.isfinite(grey)
    if not edge.any():
        return nothing
    offset = grey - np.median(grey[edge])
    source = offset > max(SIGMAS * 1.4826 * np.median(np.abs(offset[edge])), LEAST)
    sky = edge & ~binary_dilation(source, np.ones((3, 3)))
    window = max(3, len(image) // 4 - 1)
    count = (uniform_filter(sky.astype(float), window, mode="constant") * window**2).round()
    sky &= count > 1
    if sky.sum() < MIN_PIXELS:
        return nothing
    columns = []
    for channel in np.moveaxis(image, 2, 0):
        total = uniform_filter(np.where(sky, channel, 0.0), window, mode="constant") * window**2
        columns.append((channel - total / count.clip(1))[sky] / np.sqrt(1 - 1 / count[sky]))
    return np.stack(columns, axis=1)


def border(side: int) -> np.ndarray:
    """Mask of the outer eighth of an image on each side."""
    width = max(2, side // 8)
    mask = np.ones((side, side), bool)
    mask[width:-width, width:-width] = False
    return mask


def with_noise(images: np.ndarray, amplitudes: np.ndarray, seed: int = 0) -> np.ndarray:
    """Images whose sky is as noisy as is wanted: where it is quieter, independent normal noise is added in quadrature.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, S, S, 3)
    amplitudes : ndarray, shape (N,)
        Wanted `sky_amplitude` of each. Images that are noisier, or whose sky cannot be measured, stay as they are.
    seed : int
        Of the noise; that of an image also depends on its place.

    Returns
    -------
    ndarray of uint8, shape (N, S, S, 3)

    Examples
    --------
    >>> sky = np.random.default_rng(7).normal(40, 1.0, (2, 64, 64, 3)).round().astype(np.uint8)
    >>> sky_amplitude(with_noise(sky, np.array([2.0, 0.5]))).round(1)
    array([2., 1.])
    """
    lacking = np.sqrt(np.nan_to_num(amplitudes**2 - sky_amplitude(images) ** 2).clip(0))
    noisy = images.copy()
    for i in np.flatnonzero(lacking).tolist():
        noise = np.random.default_rng([seed, i]).normal(0, lacking[i], images.shape[1:])
        noisy[i] = (images[i] + noise).round().clip(0, 255)
    return noisy
