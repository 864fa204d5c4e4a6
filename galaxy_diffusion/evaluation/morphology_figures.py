"""Pictures of morphology: histograms of each measure and power spectra, real beside generated galaxies."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from galaxy_diffusion.evaluation.figures import GENERATED, REAL
from galaxy_diffusion.evaluation.morphology import MEASURES
from galaxy_diffusion.shared.drawing import chart, plain

TITLES = {
    "ellipticity": "Ellipticity (1 − b/a)",
    "sersic_index": "Sersic index",
    "half_light_radius": "Half-light radius (px)",
    "petrosian_radius": "Petrosian radius (px)",
    "gini": "Gini",
    "m20": "M20",
    "blue_minus_green": "Blue − green (mag)",
    "green_minus_red": "Green − red (mag)",
    "sky_level": "Sky level (grey levels)",
    "sky_noise": "Sky noise (grey levels)",
    "high_frequency_power": "log share of power above Nyquist / 2",
}
COLUMNS, BINS = 5, 25


def measure_title(measure: str) -> str:
    return TITLES.get(measure, measure.capitalize())


def histograms(real: pd.DataFrame, generated: pd.DataFrame, name: str) -> bytes:
    """One panel per measure: its distribution in real and in generated galaxies of a class.

    Parameters
    ----------
    real, generated : DataFrame
        Of `morphology.morphology`.
    name : str
        Title of the class.
    """
    rows = -(-len(MEASURES) // COLUMNS)
    figure = Figure(figsize=(11.6, 2.1 * rows + 0.4), layout="constrained")
    panels = figure.subplots(rows, COLUMNS).ravel()
    for axes, measure in zip(panels, MEASURES, strict=False):
        values = [table[measure].dropna().to_numpy() for table in (real, generated)]
        together = np.concatenate(values)
        # A few outliers of a fit would squeeze all others into one bin; they are counted in the outermost bins.
        low, high = np.quantile(together, [0.01, 0.99]) if len(together) else (0.0, 1.0)
        bins = np.linspace(low, high, BINS + 1)
        for known, colour, filled in zip(values, (REAL, GENERATED), (True, False), strict=True):
            if len(known):
                weights = np.full(len(known), 1 / len(known))
                style = {"color": colour, "histtype": "stepfilled" if filled else "step", "linewidth": 1.6}
                axes.hist(known.clip(bins[0], bins[-1]), bins, weights=weights, **style)
        axes.set_title(measure_title(measure), fontsize=9)
        axes.set_yticks([])
        plain(axes)
        axes.tick_params(labelsize=8)
    for axes in panels[len(MEASURES) :]:
        axes.axis("off")
    figure.suptitle(f"{name}: {len(real):,} real (grey) and {len(generated):,} generated galaxies (blue)", fontsize=10)
    return chart(figure)


def power_figure(spectra: Mapping[str, tuple[np.ndarray, np.ndarray]]) -> bytes:
    """Mean power spectra of real and generated galaxies with the range from the 16th to the 84th percentile.

    Parameters
    ----------
    spectra : dict
        By class title: real and generated spectra of `spectrum.power_spectra`, (N, F) and (M, F).
    """
    columns = min(3, len(spectra))
    rows = -(-len(spectra) // columns)
    figure = Figure(figsize=(0.6 + 3.8 * columns, 0.4 + 2.9 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, (name, pair) in zip(panels, spectra.items(), strict=False):
        for label, known, colour in zip(("real", "generated"), pair, ("#7d89a0", GENERATED), strict=True):
            frequency = np.arange(1, known.shape[1] + 1)
            low, middle, high = np.quantile(known.clip(1e-12), [0.16, 0.5, 0.84], axis=0)
            axes.fill_between(frequency, low, high, color=colour, alpha=0.25, linewidth=0)
            axes.plot(frequency, middle, color=colour, linewidth=1.6, label=f"{label} ({len(known):,})")
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
        axes.set_title(name, fontsize=10)
        axes.set_xlabel("Cycles per image", fontsize=9)
        axes.legend(frameon=False, fontsize=8)
        plain(axes)
    for axes in panels[len(spectra) :]:
        axes.axis("off")
    panels[0].set_ylabel("Share of power", fontsize=9)
    return chart(figure)
