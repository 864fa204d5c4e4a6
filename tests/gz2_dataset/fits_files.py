"""FITS files of galaxies whose numbers and position are known."""

from io import BytesIO

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

SKY, NOISE = 10.0, 1.0
RA, DEC = 150.1, 2.2
GRI = (0.5, 0.8, 1.0)
"""How bright a galaxy is in each band: red."""


def galaxy(flux: float, bands: tuple[float, ...] = GRI, seed: int = 0, side: int = 64) -> np.ndarray:
    """Counts of an exponential disc on a noisy sky, float32 (bands, side, side)."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    noise = np.random.default_rng(seed).normal(SKY, NOISE, (len(bands), side, side))
    return (flux * np.exp(-np.hypot(x, y) / 4) * np.array(bands)[:, None, None] + noise).astype(np.float32)


def wcs_of(side: int) -> fits.Header:
    """A gnomonic projection whose centre is at `RA`, `DEC`."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.crval, wcs.wcs.crpix = ["RA---TAN", "DEC--TAN"], [RA, DEC], [(side + 1) / 2] * 2
    wcs.wcs.cdelt = [-1e-4, 1e-4]
    return wcs.to_header()


def fits_bytes(data: np.ndarray, packed: bool = False, **keywords) -> bytes:
    """A FITS file of an image or cube, tile-compressed if wanted."""
    header = wcs_of(data.shape[-1])
    header.update(keywords)
    hdus = [fits.PrimaryHDU(), fits.CompImageHDU(data, header)] if packed else [fits.PrimaryHDU(data, header)]
    file = BytesIO()
    fits.HDUList(hdus).writeto(file)
    return file.getvalue()
