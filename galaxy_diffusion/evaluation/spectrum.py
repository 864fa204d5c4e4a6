"""How much of an image is coarse and how much is fine: its radial power spectrum."""

import numpy as np

from galaxy_diffusion.evaluation.luminance import luminance


def power_spectra(images: np.ndarray) -> np.ndarray:
    """Mean power at each spatial frequency of images.

    A Hann window suppresses the edges of the image. The spectrum is divided by its sum over the image's frequency
    plane, so that brightness and contrast do not matter.

    Parameters
    ----------
    images : ndarray of uint8, shape (N, S, S, 3)
        S at least 8.

    Returns
    -------
    ndarray of float64, shape (N, S // 2)
        Mean share of the power in one cell of the plane, at 1, 2, ... S // 2 cycles per image; 0 for a flat image.

    Examples
    --------
    >>> noise = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    >>> power_spectra(noise).shape
    (1, 16)
    """
    return spectra_of_planes(luminance(images))


def spectra_of_planes(planes: np.ndarray) -> np.ndarray:
    """`power_spectra` of single planes, shape (N, S, S)."""
    side = planes.shape[-1]
    window = np.outer(np.hanning(side + 1)[:-1], np.hanning(side + 1)[:-1])
    weights = window / window.sum()
    centred = planes - (planes * weights).sum(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(centred * window)) ** 2
    cycles = np.fft.fftfreq(side, 1 / side)
    ring = np.round(np.hypot(*np.meshgrid(cycles, cycles))).astype(int)
    inside = (ring > 0) & (ring <= side // 2)
    cells = np.bincount(ring[inside], minlength=side // 2 + 1)[1:]
    sums = np.stack([np.bincount(ring[inside], p[inside], side // 2 + 1)[1:] for p in power])
    total = sums.sum(axis=1, keepdims=True)
    return np.divide(sums / cells, total, out=np.zeros_like(sums), where=total > 0)


def high_frequency_power(images: np.ndarray) -> np.ndarray:
    """Logarithm (base 10) of the share of an image's power above half the Nyquist frequency, shape (N,).

    NaN for a flat image.
    """
    spectra = power_spectra(images)
    cells = np.arange(1, spectra.shape[1] + 1)
    shares = (spectra * cells)[:, len(cells) // 2 :].sum(axis=1) / (spectra * cells).sum(axis=1).clip(1e-30)
    return np.log10(np.where(shares > 0, shares, np.nan))
