"""Metrics that need nothing but images: each row of `METRICS` is measured by evaluate_images.py, and printed."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from galaxy_diffusion.evaluation.sky_ratio import channel_noise


@dataclass(frozen=True)
class Metric:
    """What is compared of real and of generated images.

    Attributes
    ----------
    measure : callable
        From uint8 images (N, S, S, 3) to what is compared of each, arrays (N, ...) by the name of the figure.
    distance : callable, optional
        From such an array of the real and one of the generated images, (N, ...) and (M, ...), to a number that is not
        negative. Without it the medians of both stand side by side.
    titles : dict of str to str
        How figures are printed whose names with spaces do not read well.
    """

    measure: Callable[[np.ndarray], dict[str, np.ndarray]]
    distance: Callable[[np.ndarray, np.ndarray], float] | None = None
    titles: dict[str, str] = field(default_factory=dict)


METRICS = (
    Metric(
        channel_noise,
        titles={
            "noise_correlation_red_green": "Noise correlation, red and green",
            "noise_correlation_red_blue": "Noise correlation, red and blue",
            "noise_correlation_green_blue": "Noise correlation, green and blue",
        },
    ),
)
TITLES = {
    "fid": "FID",
    "kid": "KID",
    "copy_rate": "Copies",
    "duplicate_rate": "Duplicates",
    "correlation_colour_concentration": "Colour–concentration correlation",
    "correlation_colour_ellipticity": "Colour–ellipticity correlation",
    "gini": "Gini",
    "m20": "M20",
}


def metric_title(metric: str) -> str:
    """A figure as tables and pictures name it.

    Examples
    --------
    >>> metric_title("kid"), metric_title("frechet_dinov2"), metric_title("half_light_radius")
    ('KID', 'Fréchet distance (dinov2)', 'Half light radius')
    """
    name, _, net = metric.partition("_")
    if name == "frechet":
        return f"Fréchet distance ({net})"
    if metric.startswith("probe_auc_"):
        return f"Probe AUC ({metric.removeprefix('probe_auc_').replace('_before_jpeg', ' before JPEG')})"
    titles = {name: title for row in METRICS for name, title in row.titles.items()}
    return (TITLES | titles).get(metric, metric.replace("_", " ").capitalize())
