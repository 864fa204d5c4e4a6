"""Pictures of relations between measures: real beside generated galaxies of a class."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from galaxy_diffusion.evaluation.figures import GENERATED, REAL
from galaxy_diffusion.evaluation.morphology_figures import measure_title
from galaxy_diffusion.evaluation.relations import colour
from galaxy_diffusion.shared.drawing import chart, plain

PANELS = (("concentration", "colour"), ("ellipticity", "colour"), ("colour", "colour_gradient"))
TITLES = {"colour": "Blue − red (mag)", "colour_gradient": "Outer − inner blue − red (mag)"}
AT_MOST = 400
"""Points of each kind: more hide each other."""


def scatters(real: pd.DataFrame, generated: pd.DataFrame, name: str) -> bytes:
    """One panel for each of `PANELS`: a point for each galaxy.

    Parameters
    ----------
    real, generated : DataFrame
        Of `morphology.morphology`, joined with `apertures.apertures`.
    name : str
        Title of the class.
    """
    figure = Figure(figsize=(11.6, 3.9), layout="constrained")
    tables = [table.assign(colour=colour(table)) for table in (real, generated)]
    for axes, names in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        known = [table[[*names]].dropna().to_numpy() for table in tables]
        points = [side[np.random.default_rng(0).permutation(len(side))[:AT_MOST]] for side in known]
        for side, colour_of, size in zip(points, ("#7d89a0", GENERATED), (14, 10), strict=True):
            axes.scatter(*side.T, s=size, color=colour_of, alpha=0.55, linewidths=0)
        together = np.concatenate(known)
        if len(together):  # a few outliers of a fit would squeeze all others together
            for limits, column in zip((axes.set_xlim, axes.set_ylim), together.T, strict=True):
                low, high = np.quantile(column, [0.01, 0.99])
                limits(low - 0.1 * (high - low) - 1e-6, high + 0.1 * (high - low) + 1e-6)
        axes.set_xlabel(TITLES.get(names[0], measure_title(names[0])), fontsize=9)
        axes.set_ylabel(TITLES.get(names[1], measure_title(names[1])), fontsize=9)
        axes.grid(color=REAL, linewidth=0.4)
        plain(axes)
    figure.suptitle(f"{name}: {len(real):,} real (grey) and {len(generated):,} generated galaxies (blue)", fontsize=10)
    return chart(figure)
