"""The population of mock galaxies: the true parameters of galaxy i, which depend only on (seed, i)."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from gz2_dataset.command_line import UserError

KINDS = {"round": 0.28, "in_between": 0.26, "cigar": 0.04, "edge_on": 0.13, "spiral": 0.22, "ambiguous": 0.07}
"""Intended kinds and their shares of the population."""

FIRST_GALAXY_ID = 1_000_001
"""Above the six digits of Kaggle's, so that no drawn galaxy is taken for a real one that a generator has seen."""
IMAGE_SIZE = 424
NATIVE_SCALE = 0.396
"""Pixel of the SDSS camera in arcsec."""


@dataclass(frozen=True)
class Galaxy:
    """True parameters of one mock galaxy; a row of ``mock_truth.csv``.

    Attributes
    ----------
    galaxy_id : int
        GalaxyID, the name of its image.
    kind : str
        A key of `KINDS`.
    subkind : str
        For ambiguous galaxies ``lenticular``, ``irregular``, ``merger`` or ``faint_spiral``; else as ``kind``.
    magnitude : float
        Total r-band AB magnitude.
    redshift : float
        Redshift at which its magnitude and size are plausible.
    g_r, r_i : float
        Colours of the whole (Sersic) or of the disc, in magnitudes.
    bulge_g_r : float
        g - r of the bulge, in magnitudes.
    half_light_radius : float
        Half-light radius along the major axis, of the Sersic profile or of the disc, in arcsec.
    half_light_radius_px : float
        The same in pixels of the 424-pixel image.
    pixel_scale : float
        Pixel of the 424-pixel image in arcsec: 0.02 Petrosian R90, as in Galaxy Zoo 2.
    axis_ratio : float
        Minor over major axis of the light without the PSF and without the bulge, in (0, 1].
    position_angle : float
        Of the major axis, in degrees from the image's x axis (right) towards its second axis (down), in [0, 180).
    sersic_index : float
        Of the whole, or of the bulge where there is a disc.
    disc_fraction : float
        Share of the r-band light in a disc; 0 for a single Sersic profile.
    inclination : float
        Of the disc in degrees (0 face-on, 90 edge-on); NaN without a disc.
    thickness : float
        Scale height over scale length of an edge-on disc, else 0.
    arm_count : int
        Number of spiral arms, 0 for none.
    pitch_angle : float
        Of the arms in degrees; negative where they wind the other way; NaN without arms.
    arm_strength : float
        Share of the disc's light that the arms gather, in [0, 1).
    bar_strength, ring_strength : float
        Share of the disc's light in a bar, contrast of a ring.
    clumpiness : float
        Strength of the irregular star formation, 0 for none.
    dust : float
        Depth of the dust lane, in [0, 1).
    psf_fwhm : float
        Seeing in arcsec.
    """

    galaxy_id: int
    kind: str
    subkind: str
    magnitude: float
    redshift: float
    g_r: float
    r_i: float
    bulge_g_r: float
    half_light_radius: float
    half_light_radius_px: float
    pixel_scale: float
    axis_ratio: float
    position_angle: float
    sersic_index: float
    disc_fraction: float
    inclination: float
    thickness: float
    arm_count: int
    pitch_angle: float
    arm_strength: float
    bar_strength: float
    ring_strength: float
    clumpiness: float
    dust: float
    psf_fwhm: float


def shares_of(text: str) -> dict[str, float]:
    """Shares of the population as an option gives them; kinds that it does not name share the rest as in `KINDS`.

    Raises
    ------
    UserError
        If a kind is unknown, or the shares are no numbers from 0 to 1 that leave something for the others.

    Examples
    --------
    >>> shares_of("cigar=0.52")["round"]
    0.14
    """
    pairs = [pair.partition("=") for pair in text.split(",")]
    try:
        given = {name.strip(): float(share) for name, _, share in pairs}
    except ValueError:
        given = {}
    others = {kind: share for kind, share in KINDS.items() if kind not in given}
    rest = 1 - sum(given.values())
    if not given or not given.keys() < KINDS.keys() or min(given.values()) < 0 or not rest > 0:
        raise UserError(
            f"shares {text!r}: write for instance cigar=0.5, less than 1 in all, of the kinds {', '.join(KINDS)}"
        )
    scale = rest / sum(others.values())
    return {kind: given[kind] if kind in given else share * scale for kind, share in KINDS.items()}


def draw_galaxy(seed: int, index: int, shares: Mapping[str, float] = KINDS) -> Galaxy:
    """Draw the true parameters of mock galaxy ``index``.

    Parameters
    ----------
    seed : int
        Seed of the survey, not negative.
    index : int
        Number of the galaxy, from 0.
    shares : dict of str to float
        Of each kind in `KINDS`.

    Returns
    -------
    Galaxy

    Examples
    --------
    >>> draw_galaxy(0, 5) == draw_galaxy(0, 5)
    True
    """
    rng = np.random.default_rng([seed, index, 0])
    kind = rng.choice(list(KINDS), p=[shares[kind] for kind in KINDS])
    shape = SHAPES[kind](rng)
    blue = rng.random() < shape.pop("blue_fraction")
    g_r = rng.normal(0.36, 0.14) if blue else rng.normal(0.79, 0.10)
    magnitude = 16.85 + shape.pop("fainter", 0.0) - min(rng.gamma(1.8, 0.45), 3.5)
    size_90 = shape.pop("nearer", 1.0) * 6.6 * 10 ** (-0.16 * (magnitude - 16.2) + rng.normal(0, 0.14))
    psf_fwhm = np.clip(rng.normal(1.25, 0.12), 1.0, 1.6)
    size_90 = np.clip(size_90, 3.0, 17.0)
    half_light_radius = (
        np.sqrt(size_90**2 - psf_fwhm**2) * (0.64 - 0.17 * shape["axis_ratio"]) * shape.pop("larger", 1.0)
    )
    pixel_scale = 0.02 * size_90
    parameters = {
        "subkind": kind,
        "disc_fraction": 0.0,
        "inclination": np.nan,
        "thickness": 0.0,
        "arm_count": 0,
        "pitch_angle": np.nan,
        "arm_strength": 0.0,
        "bar_strength": 0.0,
        "ring_strength": 0.0,
        "clumpiness": 0.0,
        "dust": 0.0,
    } | shape
    return Galaxy(
        galaxy_id=FIRST_GALAXY_ID + index,
        kind=str(kind),
        magnitude=magnitude,
        redshift=0.085 * 10 ** (0.13 * (magnitude - 16.8) + rng.normal(0, 0.12)),
        g_r=g_r,
        r_i=0.17 + 0.27 * g_r + rng.normal(0, 0.03),
        bulge_g_r=max(g_r, rng.normal(0.85, 0.1)),
        half_light_radius=half_light_radius,
        half_light_radius_px=half_light_radius / pixel_scale,
        pixel_scale=pixel_scale,
        position_angle=rng.uniform(0, 180),
        psf_fwhm=psf_fwhm,
        **parameters,
    )


def _round(rng: np.random.Generator) -> dict:
    return {"axis_ratio": rng.uniform(0.83, 1.0), "sersic_index": rng.uniform(1.8, 4.5), "blue_fraction": 0.15}


def _in_between(rng: np.random.Generator) -> dict:
    return {"axis_ratio": rng.uniform(0.46, 0.77), "sersic_index": rng.uniform(1.2, 4.0), "blue_fraction": 0.25}


def _cigar(rng: np.random.Generator) -> dict:
    return {
        "fainter": 0.2,
        "axis_ratio": rng.uniform(0.23, 0.36),
        "sersic_index": rng.uniform(0.8, 2.0),
        "blue_fraction": 0.55,
    }


def _edge_on(rng: np.random.Generator) -> dict:
    inclination, thickness = rng.uniform(79, 90), rng.uniform(0.1, 0.38)
    return {
        "fainter": 0.75,
        "sersic_index": rng.uniform(1.0, 2.5),
        "disc_fraction": 1 - max(0.0, rng.normal(0.18, 0.12)),
        "inclination": inclination,
        "thickness": thickness,
        "axis_ratio": edge_on_axis_ratio(inclination, thickness),
        "dust": rng.uniform(0.2, 0.6) * (rng.random() < 0.5),
        "blue_fraction": 0.35,
    }


def _spiral(rng: np.random.Generator) -> dict:
    axis_ratio = rng.uniform(0.5, 1.0)
    barred = rng.random() < 0.35
    return {
        "nearer": 1.25,
        "fainter": -0.15,
        "larger": 1.3,
        "axis_ratio": axis_ratio,
        "inclination": np.degrees(np.arccos(axis_ratio)),
        "sersic_index": rng.uniform(1.0, 3.0),
        "disc_fraction": 1 - np.clip(rng.normal(0.14, 0.08), 0.02, 0.4),
        "arm_count": int(rng.choice([2, 3, 4, 5], p=[0.62, 0.18, 0.12, 0.08])),
        "pitch_angle": rng.uniform(11, 30) * rng.choice([-1, 1]),
        "arm_strength": rng.uniform(0.28, 0.7),
        "bar_strength": barred * rng.uniform(0.06, 0.16),
        "ring_strength": (rng.random() < 0.15) * rng.uniform(0.5, 1.5),
        "clumpiness": rng.uniform(0.3, 1.0),
        "blue_fraction": 0.85,
    }


def _ambiguous(rng: np.random.Generator) -> dict:
    subkind = rng.choice(["lenticular", "irregular", "merger", "faint_spiral"])
    if subkind == "faint_spiral":
        return _spiral(rng) | {"subkind": "faint_spiral", "arm_strength": rng.uniform(0.12, 0.3), "clumpiness": 0.1}
    axis_ratio = rng.uniform(0.38, 0.55) if subkind == "lenticular" else rng.uniform(0.45, 0.9)
    irregular = subkind == "irregular"
    return {
        "subkind": str(subkind),
        "fainter": 0.2,
        "larger": 1.2,
        "axis_ratio": axis_ratio,
        "inclination": np.degrees(np.arccos(axis_ratio)),
        "sersic_index": rng.uniform(1.0, 3.0),
        "disc_fraction": 1.0 if irregular else rng.uniform(0.6, 0.85),
        "clumpiness": rng.uniform(0.8, 1.2) if irregular else 0.15,
        "blue_fraction": 1.0 if irregular else 0.3,
    }


def edge_on_axis_ratio(inclination: float, thickness: float) -> float:
    """Axis ratio, by second moments, of an exponential disc with a sech^2 vertical profile seen at an angle.

    With scale length 1 and scale height h, <x^2> = 3 in the plane and <z^2> = pi^2 h^2 / 12 across it.

    Examples
    --------
    >>> float(round(edge_on_axis_ratio(90.0, 0.2), 3))
    0.105
    """
    tilt = np.radians(inclination)
    return np.sqrt(np.cos(tilt) ** 2 + np.pi**2 * thickness**2 / 36 * np.sin(tilt) ** 2)


SHAPES = {
    "round": _round,
    "in_between": _in_between,
    "cigar": _cigar,
    "edge_on": _edge_on,
    "spiral": _spiral,
    "ambiguous": _ambiguous,
}
