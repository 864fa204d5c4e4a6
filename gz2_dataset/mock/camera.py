"""From a mock galaxy to its SDSS-like cutout: neighbours, seeing, sky noise, Lupton colours, and the two JPEGs."""

import io

import numpy as np
from astropy.visualization import make_lupton_rgb
from PIL import Image

from gz2_dataset.mock.light import add_points, band_fluxes, blur, ellipse_radius, galaxy_light
from gz2_dataset.mock.population import IMAGE_SIZE, NATIVE_SCALE, Galaxy

SKY_NOISE = np.array([0.011, 0.022, 0.027], np.float32)
"""Standard deviation of the sky's noise in g, r, i, in nanomaggies per pixel."""
SKY_ERROR = 0.15
"""Typical error of the subtracted sky, in units of the noise; near a bright star it can be much larger."""
BAND_SHIFT = 0.15
"""Misalignment of the bands in pixels: it gives small galaxies their coloured sides."""
COLOUR_SCALES = np.array([7.8, 5.7, 4.9], np.float32)
"""Weights of g, r, i in the colours of the SDSS (Lupton et al. 2004)."""
STRETCH, SOFTENING = 2.9, 7.0
TILE_QUALITY, CUTOUT_QUALITY = 85, 75
"""JPEG qualities of the survey's image tiles, and of the cutouts made from them."""

NEIGHBOURS = 18.0
"""Stars and galaxies brighter than FAINTEST in r, per arcmin^2."""
FAINTEST, BRIGHTEST = 22.7, 14.5
STAR_SHARE, DWARF_SHARE = 0.4, 0.4
"""Share of the stars among neighbours, and of red dwarfs among stars."""
STAR_SLOPE, GALAXY_SLOPE = 0.33, 0.45
"""d log10(N) / d magnitude of the number counts."""


def photograph(galaxy: Galaxy, rng: np.random.Generator) -> bytes:
    """The cutout of a mock galaxy as volunteers would see it.

    Parameters
    ----------
    galaxy : Galaxy
        True parameters.
    rng : numpy.random.Generator
        For neighbours, noise, and what the parameters leave open.

    Returns
    -------
    bytes
        A JPEG of 424 x 424 pixels, quality 75, 4:2:0.
    """
    light = expose(galaxy, rng)
    buffer = io.BytesIO()
    cutout(light, galaxy.pixel_scale).save(buffer, "JPEG", quality=CUTOUT_QUALITY, subsampling="4:2:0")
    return buffer.getvalue()


def native_size(pixel_scale: float) -> int:
    """Pixels of 0.396 arcsec across a frame a little larger than the cutout; a multiple of 16, for fast transforms."""
    return int(np.ceil((IMAGE_SIZE * pixel_scale / NATIVE_SCALE + 4) / 16)) * 16


def expose(galaxy: Galaxy, rng: np.random.Generator) -> np.ndarray:
    """The sky around a galaxy as the camera records it.

    Returns
    -------
    ndarray of float32, shape (3, size, size)
        g, r, i in nanomaggies per pixel of 0.396 arcsec.
    """
    light = galaxy_light(galaxy, native_size(galaxy.pixel_scale), rng)
    add_neighbours(light, rng)
    light = blur(light, galaxy.psf_fwhm, rng.normal(0, BAND_SHIFT, (3, 2)))
    sky = rng.standard_normal(light.shape, dtype=np.float32)
    sky += np.clip(SKY_ERROR * rng.standard_t(1.5, (3, 1, 1)), -1, 4)
    return light + sky * SKY_NOISE[:, None, None]


def add_neighbours(light: np.ndarray, rng: np.random.Generator) -> None:
    """Add stars and small galaxies, by the number counts of the sky, to ``light`` of shape (3, size, size)."""
    size = light.shape[-1]
    count = rng.poisson(NEIGHBOURS * (size * NATIVE_SCALE / 60) ** 2)
    x, y = rng.uniform(-size / 2, size / 2, (2, count))
    star, dwarf = rng.random(count) < STAR_SHARE, rng.random(count) < DWARF_SHARE
    slope = np.where(star, STAR_SLOPE, GALAXY_SLOPE)
    magnitude = np.maximum(FAINTEST + np.log10(1 - rng.random(count)) / slope, BRIGHTEST)
    star_g_r = np.where(dwarf, rng.normal(1.3, 0.12, count), rng.normal(0.42, 0.25, count))
    g_r = np.where(star, star_g_r, rng.normal(0.7, 0.35, count))
    r_i = np.where(star & dwarf, rng.uniform(0.45, 1.1, count), 0.05 + 0.35 * g_r)
    flux = band_fluxes(magnitude[:, None], g_r[:, None], r_i[:, None]).astype(np.float32)
    for band in range(3):
        add_points(light[band], x[star], y[star], flux[star, band])
    scale_length = 10 ** (0.33 - 0.09 * (magnitude - 20.5) + rng.normal(0, 0.2, count))
    axis_ratio, angle = rng.uniform(0.25, 1, count), rng.uniform(0, 180, count)
    for k in np.flatnonzero(~star):
        stamp_size = 2 * int(min(6 * scale_length[k], size / 2)) + 8
        stamp = np.exp(-ellipse_radius(stamp_size, axis_ratio[k], angle[k]) / np.float32(scale_length[k]))
        paste(light, stamp / stamp.sum() * flux[k][:, None, None], x[k], y[k])


def paste(light: np.ndarray, stamp: np.ndarray, x: float, y: float) -> None:
    """Add ``stamp`` (3, s, s) with its centre at the pixel nearest to (x, y) from the centre of ``light``."""
    size, side = light.shape[-1], stamp.shape[-1]
    left, top = round(x + (size - side) / 2), round(y + (size - side) / 2)
    rows, columns = slice(max(top, 0), max(top + side, 0)), slice(max(left, 0), max(left + side, 0))
    target = light[:, rows, columns]
    target += stamp[:, rows.start - top :, columns.start - left :][:, : target.shape[1], : target.shape[2]]


def cutout(light: np.ndarray, pixel_scale: float) -> Image.Image:
    """The colour image of 424 x 424 pixels that Galaxy Zoo 2 would cut out of the survey's JPEG tiles.

    Parameters
    ----------
    light : ndarray, shape (3, size, size)
        g, r, i in nanomaggies per pixel of 0.396 arcsec.
    pixel_scale : float
        Of the cutout, in arcsec.

    Returns
    -------
    PIL.Image.Image
        RGB.
    """
    blue, green, red = light * COLOUR_SCALES[:, None, None]
    with np.errstate(invalid="ignore"):  # astropy divides 0 by 0 where all three bands are below the sky
        colours = make_lupton_rgb(red, green, blue, stretch=STRETCH, Q=SOFTENING)
    tile = io.BytesIO()
    Image.fromarray(colours).save(tile, "JPEG", quality=TILE_QUALITY, subsampling="4:2:2")
    centre, half = light.shape[-1] / 2, IMAGE_SIZE * pixel_scale / NATIVE_SCALE / 2
    box = (centre - half, centre - half, centre + half, centre + half)
    return Image.open(tile).resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BICUBIC, box=box)
