"""The light of mock galaxies and their neighbours in g, r, i, before and after the seeing, in nanomaggies per pixel."""

from functools import lru_cache

import galsim
import numpy as np
from scipy import fft, ndimage

from gz2_dataset.mock.population import NATIVE_SCALE, Galaxy

CORE = 12
"""Pixels across the centre of a profile that are sampled more finely."""
FINER = 8
MOFFAT_BETA = 3.0


def band_fluxes(magnitude: float, g_r: float, r_i: float) -> np.ndarray:
    """Fluxes in g, r, i, in nanomaggies, shape (3,), from the r magnitude and two colours."""
    return 10 ** (-0.4 * (magnitude - 22.5 + g_r * np.array([1, 0, 0]) - r_i * np.array([0, 0, 1])))


def sersic(size: int, index: float, radius: float, axis_ratio: float, angle: float, x=0.0, y=0.0) -> np.ndarray:
    """A Sersic profile of unit flux on the native pixel grid, without seeing.

    Parameters
    ----------
    size : int
        Pixels across the image.
    index : float
        Sersic index, 0.3 to 6.2.
    radius : float
        Half-light radius along the major axis, in arcsec.
    axis_ratio : float
        In (0, 1].
    angle : float
        Of the major axis, in degrees from x (columns) towards y (rows).
    x, y : float
        Offset of its centre from the image's centre, in pixels.

    Returns
    -------
    ndarray of float32, shape (size, size)
    """
    profile = galsim.Sersic(round(index, 1), half_light_radius=radius * np.sqrt(axis_ratio))
    profile = profile.shear(q=axis_ratio, beta=angle * galsim.degrees)
    image = profile.drawImage(
        nx=size, ny=size, scale=NATIVE_SCALE, offset=(x, y), method="no_pixel", dtype=np.float32
    ).array
    # Only the cusp varies within a pixel; there, pixels are means over a finer grid.
    centre = (size - 1) / 2
    corner = np.round([centre + y - CORE / 2, centre + x - CORE / 2]).astype(int)
    offset = np.array([centre + x, centre + y]) - (corner[::-1] + (CORE - 1) / 2)
    fine = profile.drawImage(
        nx=CORE * FINER, ny=CORE * FINER, scale=NATIVE_SCALE / FINER, offset=tuple(offset * FINER), method="no_pixel"
    ).array.reshape(CORE, FINER, CORE, FINER)
    (top, left), (bottom, right) = np.clip(corner, 0, size), np.clip(corner + CORE, 0, size)
    inside = fine.sum((1, 3))[top - corner[0] : bottom - corner[0], left - corner[1] : right - corner[1]]
    image[top:bottom, left:right] = inside
    return image


@lru_cache(maxsize=64)
def seeing(size: int, fwhm: float) -> np.ndarray:
    """Fourier transform of seeing and pixel, shape (size, size // 2 + 1), in the layout of `scipy.fft.rfft2`."""
    kernel = galsim.Convolve(galsim.Moffat(beta=MOFFAT_BETA, fwhm=fwhm), galsim.Pixel(NATIVE_SCALE))
    return _transform(kernel, size).real.copy()  # pyright: ignore[reportAttributeAccessIssue]


def _transform(profile: galsim.GSObject, size: int) -> np.ndarray:
    image = profile.drawKImage(nx=size, ny=size, scale=2 * np.pi / (size * NATIVE_SCALE)).array
    return np.fft.ifftshift(image)[:, : size // 2 + 1].astype(np.complex64)


def blur(light: np.ndarray, fwhm: float, shifts: np.ndarray | None = None) -> np.ndarray:
    """Convolve with the seeing.

    Parameters
    ----------
    light : ndarray, shape (bands, size, size)
        Size even.
    fwhm : float
        In arcsec; rounded to 0.1 arcsec.
    shifts : ndarray, shape (bands, 2), optional
        Displacement (y, x) of each band in pixels.

    Returns
    -------
    ndarray of float32, shape (bands, size, size)
    """
    size = light.shape[-1]
    waves = fft.rfft2(light.astype(np.float32, copy=False)) * seeing(size, round(fwhm, 1))
    if shifts is not None:
        rows = np.exp(-2j * np.pi * shifts[:, :1] * fft.fftfreq(size)).astype(np.complex64)
        columns = np.exp(-2j * np.pi * shifts[:, 1:] * fft.rfftfreq(size)).astype(np.complex64)
        waves *= rows[:, :, None] * columns[:, None, :]
    return fft.irfft2(waves, s=(size, size))


def galaxy_light(galaxy: Galaxy, size: int, rng: np.random.Generator) -> np.ndarray:
    """The light of a galaxy alone, without seeing.

    Parameters
    ----------
    galaxy : Galaxy
        True parameters.
    size : int
        Pixels across, of 0.396 arcsec; even.
    rng : numpy.random.Generator
        For what the parameters leave open, such as the positions of star-forming regions.

    Returns
    -------
    ndarray of float32, shape (3, size, size)
        g, r, i in nanomaggies per pixel.
    """
    angle = galaxy.position_angle
    if galaxy.disc_fraction == 0:
        profile = sersic(size, galaxy.sersic_index, galaxy.half_light_radius, galaxy.axis_ratio, angle)
        fluxes = band_fluxes(galaxy.magnitude, galaxy.g_r, galaxy.r_i)
        return _redder_inside(profile, galaxy, size) * fluxes[:, None, None]
    disc_flux = band_fluxes(galaxy.magnitude, galaxy.g_r, galaxy.r_i) * galaxy.disc_fraction
    disc = edge_on_disc(galaxy, size, angle) if galaxy.thickness else face_on_disc(galaxy, size, angle, rng)
    light = disc * disc_flux[:, None, None].astype(np.float32)
    if galaxy.disc_fraction < 1:
        flux = band_fluxes(galaxy.magnitude, galaxy.bulge_g_r, 0.4) * (1 - galaxy.disc_fraction)
        bulge_ratio = max(0.6, galaxy.axis_ratio)
        radius = galaxy.half_light_radius * (0.08 + 0.4 * (1 - galaxy.disc_fraction))
        light += sersic(size, galaxy.sersic_index, radius, bulge_ratio, angle) * flux[:, None, None].astype(np.float32)
    if galaxy.subkind == "merger":
        distance = galaxy.half_light_radius / NATIVE_SCALE * rng.uniform(1.2, 2.2)
        turn = rng.uniform(0, 2 * np.pi)
        other = sersic(size, rng.uniform(1, 3), galaxy.half_light_radius * rng.uniform(0.4, 0.8), rng.uniform(0.4, 1),
                       rng.uniform(0, 180), distance * np.cos(turn), distance * np.sin(turn))  # fmt: skip
        share = rng.uniform(0.2, 0.5)
        light = (1 - share) * light + share * light.sum((1, 2))[:, None, None] * other
    return light


def _redder_inside(profile: np.ndarray, galaxy: Galaxy, size: int) -> np.ndarray:
    """A profile in three bands with the colour gradient of early-type galaxies: 0.06 mag per factor of e in radius."""
    radius = ellipse_radius(size, galaxy.axis_ratio, galaxy.position_angle) * NATIVE_SCALE / galaxy.half_light_radius
    gradient = np.exp(0.06 * np.log(np.clip(radius, 0.5, 4.5)))
    return np.stack([profile * gradient, profile, profile / gradient])


def plane_coordinates(size: int, axis_ratio: float, angle: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates in the plane of an inclined disc, in pixels, along its line of nodes and across, float32."""
    axis = np.arange(size, dtype=np.float32) - (size - 1) / 2
    cos, sin = np.float32(np.cos(np.radians(angle))), np.float32(np.sin(np.radians(angle)))
    along = axis[None, :] * cos + axis[:, None] * sin
    across = axis[:, None] * cos - axis[None, :] * sin
    return along, across / np.float32(axis_ratio)


def ellipse_radius(size: int, axis_ratio: float, angle: float) -> np.ndarray:
    """Elliptical radius in pixels, measured along the major axis."""
    return np.hypot(*plane_coordinates(size, axis_ratio, angle))


def edge_on_disc(galaxy: Galaxy, size: int, angle: float) -> np.ndarray:
    """A disc seen from the side, of unit flux before dust, in three bands, shape (3, size, size)."""
    scale_length = galaxy.half_light_radius / 1.678
    profile = galsim.InclinedExponential(
        inclination=galaxy.inclination * galsim.degrees, scale_radius=scale_length, scale_h_over_r=galaxy.thickness
    ).rotate(angle * galsim.degrees)
    # The Gaussian keeps the razor-thin disc from ringing on the pixel grid.
    profile = galsim.Convolve(profile, galsim.Gaussian(sigma=0.6 * NATIVE_SCALE))
    disc = np.fft.fftshift(fft.irfft2(_transform(profile, size), s=(size, size)))
    along, across = plane_coordinates(size, 1.0, angle)
    along, across = along * (NATIVE_SCALE / scale_length), across * NATIVE_SCALE
    lane = np.exp(-0.5 * (across / (0.25 * galaxy.thickness * scale_length + 0.3)) ** 2 - 0.5 * (along / 2.5) ** 2)
    depth = galaxy.dust * np.array([1.0, 0.8, 0.6], np.float32)
    return disc * (1 - depth[:, None, None] * lane)


def face_on_disc(galaxy: Galaxy, size: int, angle: float, rng: np.random.Generator) -> np.ndarray:
    """An exponential disc with logarithmic arms, bar, ring and star-forming regions, each band of unit flux.

    The arms are overdensities around theta = ln(r) / tan(pitch) + 2 pi k / arm_count, strongest in the blue; a random
    field in the same coordinates, drawn out along the arms, makes them patchy.

    Returns
    -------
    ndarray of float32, shape (3, size, size)
    """
    scale_length = galaxy.half_light_radius / 1.678 / NATIVE_SCALE
    x, y = plane_coordinates(size, galaxy.axis_ratio, angle)
    log_radius = 0.5 * np.log((x**2 + y**2) / np.float32(scale_length**2) + np.float32(1e-3))
    radius = np.exp(log_radius)
    bar_end = 0.9 if galaxy.bar_strength else 0.45
    pitch = galaxy.pitch_angle if galaxy.arm_count else rng.uniform(12, 30)
    turn = rng.uniform(0, 2 * np.pi)
    spiral_angle = np.arctan2(y, x) - log_radius / np.float32(np.tan(np.radians(pitch))) - np.float32(turn)
    texture = _texture(spiral_angle, log_radius, 0.6, rng)
    disc = np.exp(-radius - np.maximum(radius - 3.0, 0) * 1.5)
    pattern = np.zeros_like(disc)
    if galaxy.arm_count:
        wander, lopsided = rng.uniform(0.2, 0.7), rng.uniform(0, 0.6)
        phase = galaxy.arm_count * spiral_angle + wander * _texture(spiral_angle, log_radius, 2.5, rng)
        sharpness = rng.uniform(1.2, 3.0)
        ridge = np.exp(sharpness * (np.cos(phase) - 1)) / np.i0(sharpness) * np.exp(sharpness)
        window = 1 / (1 + np.exp(-(radius - bar_end) / 0.12)) * np.exp(-((radius / rng.uniform(3.5, 5.0)) ** 4))
        one_sided = 1 + lopsided * np.cos(spiral_angle + rng.uniform(0, 2 * np.pi))
        pattern += galaxy.arm_strength * window * (ridge * one_sided - 1)
    patches = np.exp(galaxy.clumpiness * texture - 0.5 * galaxy.clumpiness**2)
    ring = galaxy.ring_strength * np.exp(-0.5 * ((radius - bar_end * 1.3) / 0.15) ** 2)
    young = np.maximum(1 + pattern, 0.05) * patches + ring
    knots = _knots(galaxy, size, angle, scale_length, turn, pitch, rng)
    bands = []
    for blue in (1.0, 0.75, 0.55):
        light = disc * ((1 - blue) + blue * young) * np.exp(np.float32(0.25 * (blue - 0.75)) * radius)
        light /= light.sum()
        light = light * (1 - 0.09 * blue**2 * galaxy.clumpiness) + knots * (0.09 * blue**2 * galaxy.clumpiness)
        if galaxy.bar_strength:
            share = galaxy.bar_strength * (1.6 - blue)
            light = light * (1 - share) + share * _bar(x, y, bar_end * scale_length, turn)
        bands.append(light)
    return np.stack(bands)


def _texture(
    spiral_angle: np.ndarray, log_radius: np.ndarray, coarseness: float, rng: np.random.Generator
) -> np.ndarray:
    """A random field of unit variance, periodic in the spiral angle, with structures drawn out along the arms."""
    field = ndimage.gaussian_filter(rng.standard_normal((64, 32)), coarseness, mode=("wrap", "nearest"))
    field = (field / field.std()).astype(np.float32)
    coordinates = np.stack([(spiral_angle * (64 / (2 * np.pi))) % 64, (log_radius + 3.5) * 6.0])
    return ndimage.map_coordinates(field, coordinates, order=1, mode="grid-wrap")


def _bar(x: np.ndarray, y: np.ndarray, length: float, turn: float) -> np.ndarray:
    """A bar of unit flux in the plane of the disc, with the arms starting at its ends."""
    along = x * np.cos(turn) + y * np.sin(turn)
    across = y * np.cos(turn) - x * np.sin(turn)
    bar = np.exp(-((along / length) ** 4) - np.abs(across / (0.28 * length)) ** 1.5).astype(np.float32)
    return bar / bar.sum()


def _knots(galaxy: Galaxy, size: int, angle: float, scale_length: float, turn: float, pitch: float,
           rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    """Star-forming regions as points along the arms (anywhere without arms), of unit flux together."""
    count = rng.poisson(40)
    radius = rng.gamma(3.0, 0.55, count)
    arms = max(galaxy.arm_count, 1)
    theta = turn + np.log(radius) / np.tan(np.radians(pitch)) + 2 * np.pi / arms * rng.integers(arms, size=count)
    theta += rng.normal(0, 0.25 if galaxy.arm_count else 3.0, count)
    x, y = radius * np.cos(theta) * scale_length, radius * np.sin(theta) * scale_length * galaxy.axis_ratio
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    flux = np.exp(rng.normal(0, 0.9, count)) * np.exp(-0.4 * radius)
    knots = np.zeros((size, size), np.float32)
    add_points(knots, x * cos - y * sin, x * sin + y * cos, flux / max(flux.sum(), 1e-9))
    return knots


def add_points(image: np.ndarray, x: np.ndarray, y: np.ndarray, flux: np.ndarray) -> None:
    """Add point sources at (x, y) pixels from the centre, each shared by four pixels; what lies outside is left out."""
    centre = (image.shape[-1] - 1) / 2
    left, top = np.floor(x + centre).astype(int), np.floor(y + centre).astype(int)
    right_share, bottom_share = x + centre - left, y + centre - top
    for down, right in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = np.abs(1 - down - bottom_share) * np.abs(1 - right - right_share)
        inside = (
            (left + right >= 0) & (left + right < image.shape[1]) & (top + down >= 0) & (top + down < image.shape[0])
        )
        np.add.at(image, (top[inside] + down, left[inside] + right), (flux * share)[inside])
