"""Generated images of a class beside real ones: what Inception sees, the sky's noise and the finest structure."""

from dataclasses import dataclass

import numpy as np

from galaxy_diffusion.evaluation.distances import kernel_distance, kid
from galaxy_diffusion.evaluation.features import inception_features
from galaxy_diffusion.evaluation.floors import MIN_IMAGES, SPLITS, Sets, split
from galaxy_diffusion.evaluation.jackknife import Estimate, jackknife, t_interval
from galaxy_diffusion.evaluation.prdc import prdc, prdc_values
from galaxy_diffusion.evaluation.sky_ratio import amplitude_ratio
from galaxy_diffusion.evaluation.spectrum import high_frequency_power
from galaxy_diffusion.shared.sky import sky_amplitude
from gz2_dataset.crop import prepare_image


@dataclass(frozen=True)
class Figures:
    """Figures of generated images of a class beside real ones.

    Attributes
    ----------
    kid : Estimate
        In Inception's features.
    recall : Estimate or None
        In the same features; None if there are fewer than `MIN_IMAGES` images on either side.
    sky_amplitude : Estimate
        Generated over real, as of `sky.amplitude_ratio`.
    high_frequency_power : Estimate
        Mean of `spectrum.high_frequency_power`, generated less real.
    n_real, n_generated : int
    n_recall : int
        Generated images behind the recall, which depends on their number: as many as there are real ones for the floor.
    """

    kid: Estimate
    recall: Estimate | None
    sky_amplitude: Estimate
    high_frequency_power: Estimate
    n_real: int
    n_generated: int
    n_recall: int


@dataclass(frozen=True)
class Measured:
    """Images: Inception's features (N, D), sky amplitude (N,) and high-frequency power (N,)."""

    features: np.ndarray
    sky: np.ndarray
    power: np.ndarray

    def __len__(self) -> int:
        return len(self.sky)

    def __getitem__(self, rows: np.ndarray) -> "Measured":
        return Measured(*(values[rows] for values in vars(self).values()))


def measure(images: np.ndarray, side: int) -> Measured:
    """Measure images, uint8 (N, H, H, 3), after a Lanczos resize to ``side`` pixels if they are larger."""
    images = np.stack([prepare_image(image, side, len(image)) for image in images])
    return Measured(inception_features(images), sky_amplitude(images), high_frequency_power(images))


def beside_real(generated: Measured, real: Measured, sets: Sets) -> Figures:
    """All generated images beside the reference of ``sets``, with 95 % intervals."""
    reference, n_recall = real[sets.reference], sets.sizes[1]
    n_real, n = len(reference), len(generated)
    recall = None
    if min(n_real, n_recall) >= MIN_IMAGES:
        recall = prdc(reference.features, generated.features[:n_recall])["recall"]
    power = jackknife(lambda i, j: power_difference(reference[i], generated[j]), n_real, n)
    return Figures(
        kid(reference.features, generated.features),
        recall,
        amplitude_ratio(reference.sky, generated.sky),
        t_interval(*power),
        n_real,
        n,
        n_recall,
    )


def floor(real: Measured, sets: Sets) -> Figures:
    """What real galaxies get, split at random into two sets of these sizes: mean, lowest and highest of the splits."""
    rng, figures = np.random.default_rng(0), []
    for _ in range(SPLITS):
        first, second = (real[rows] for rows in split(sets, rng))
        recall = prdc_values(first.features, second.features)["recall"]
        sky = np.nanmedian(second.sky) / np.nanmedian(first.sky)
        figures.append([kernel_distance(first.features, second.features), recall, sky, power_difference(first, second)])
    summary = zip(np.mean(figures, axis=0), np.min(figures, axis=0), np.max(figures, axis=0), strict=True)
    return Figures(*(Estimate(*map(float, values)) for values in summary), *sets.sizes, sets.sizes[1])


def power_difference(first: Measured, second: Measured) -> float:
    """Mean high-frequency power of the second less that of the first; flat images have none."""
    return float(np.nanmean(second.power) - np.nanmean(first.power))
