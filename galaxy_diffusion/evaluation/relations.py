"""Do generated galaxies have the relations between measures that real ones have, and fill the same parameter space?

Each measure may be distributed as it should be while two of them do not belong together: a red disc, a compact galaxy
of low concentration. Measures are put on the scale of the real galaxies compared (their median is 0, half the range
from the 16th to the 84th percentile is 1) and cut at `CUT`; the vectors of all measures are then turned and scaled so
that those of real galaxies have no correlation and unit variance, and a generated galaxy off their relations is far.
Galaxies on which a measurement fails take no part.

energy_distance
    2 E|x - y| - E|x - x'| - E|y - y'| of these vectors [1]_, unbiased: 0 on average for two samples of one
    distribution, however few they are.
probe_auc_morphology
    A classifier two-sample test [2]_: `probe` with these vectors and their squares, so that it sees relations too.
correlation_colour_concentration, correlation_colour_ellipticity
    Spearman's rank correlation in generated galaxies minus that in real ones. Ellipticity stands for inclination.
cells_filled
    Of the cells of ellipticity x colour x half-light radius, `BINS` quantiles of the real galaxies each, in which there
    are real galaxies: the share in which there are generated ones.

References
----------
.. [1] Székely, G. J. & Rizzo, M. L. 2013, J. Statistical Planning and Inference, 143, 1249
.. [2] Lopez-Paz, D. & Oquab, M. 2017, ICLR
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from scipy.spatial.distance import cdist
from scipy.stats import rankdata
from sklearn.decomposition import PCA
from sklearn.preprocessing import RobustScaler

from galaxy_diffusion.evaluation.beside_floor import BesideFloor
from galaxy_diffusion.evaluation.distances import kernel_discrepancy
from galaxy_diffusion.evaluation.floors import MIN_IMAGES, Sets, compare
from galaxy_diffusion.evaluation.jackknife import Estimate, jackknife, t_interval
from galaxy_diffusion.evaluation.morphology import COLOURS, FITTED, NONPARAMETRIC
from galaxy_diffusion.evaluation.probe import probe

VECTOR = (*FITTED, *NONPARAMETRIC, *COLOURS)
"""Measures of the joint tests; those of the sky have figures of their own."""
COLUMNS = (*VECTOR, "colour")
WITH_COLOUR = ("concentration", "ellipticity")
CELLS = ("ellipticity", "colour", "half_light_radius")
BINS, CUT = 4, 5.0


def compare_relations(
    real: pd.DataFrame, generated: pd.DataFrame, classes: Sequence[Sets], description: str = "compare", seed: int = 0
) -> dict[str, BesideFloor]:
    """All figures of this module beside their floors; the probe only where ``classes`` is a single class.

    Parameters
    ----------
    real, generated : DataFrame
        Of `morphology.morphology`.
    classes : sequence of Sets
        As for `floors.compare`.
    description, seed
        As for `floors.compare`.

    Returns
    -------
    dict of BesideFloor
        Numbers of images are those that could be measured. Empty if these are too few, or a measure is the same in all.
    """
    tables = [table.assign(colour=colour(table))[[*COLUMNS]].to_numpy(float) for table in (real, generated)]
    classes = [measured(sets, *(np.isfinite(table).all(axis=1) for table in tables)) for sets in classes]
    known = tables[0][np.concatenate([np.concatenate([s.reference, s.others]) for s in classes])]
    if min(np.sum([sets.sizes for sets in classes], axis=0)) < MIN_IMAGES or not np.ptp(known, axis=0).all():
        return {}
    scaler = RobustScaler(quantile_range=(16, 84)).fit(known)
    scaler.scale_ = scaler.scale_ / 2
    scaled = [scaler.transform(table).clip(-CUT, CUT) for table in (*tables, known)]
    edges = np.quantile(scaled[2], np.arange(1, BINS) / BINS, axis=0)
    vectors = [np.nan_to_num(table[:, : len(VECTOR)]) for table in scaled]
    whiten = PCA(whiten=True, random_state=seed).fit(vectors[2]).transform
    first, second = (np.hstack([t, whiten(v)]) for t, v in zip(scaled[:2], vectors[:2], strict=True))
    estimate, value = partial(estimates, edges=edges, seed=seed), partial(values, edges=edges)
    unbiased = partial(unbiased_estimates, seed=seed)
    found = compare(estimate, value, first, second, classes, f"relations, {description}", seed, unbiased)
    if len(classes) == 1:
        real, generated = (
            np.hstack([white, white**2]) for white in (first[:, len(COLUMNS) :], second[:, len(COLUMNS) :])
        )
        found |= probe(real, generated, classes[0], "morphology", seed)
    return found


def colour(table: pd.DataFrame) -> pd.Series:
    """Blue minus red in magnitudes, like g - i but from stretched channels."""
    return table[COLOURS[0]] + table[COLOURS[1]]


def measured(sets: Sets, real: np.ndarray, generated: np.ndarray) -> Sets:
    """The images of ``sets`` that could be measured, as bool arrays over all real and all generated images say."""
    sides = ((sets.reference, real), (sets.others, real), (sets.generated, generated))
    return Sets(*(rows[known[rows]] for rows, known in sides))


def values(real: np.ndarray, generated: np.ndarray, edges: np.ndarray) -> dict[str, float]:
    """All figures but the probe, of scaled measures with their vectors behind them."""
    return {"energy_distance": energy_distance(real, generated)} | dict(
        zip(names(), of_size(real, generated, edges).tolist(), strict=True)
    )


def estimates(real: np.ndarray, generated: np.ndarray, edges: np.ndarray, seed: int = 0) -> dict[str, Estimate]:
    """`values` with intervals."""
    value, error, freedom = jackknife(
        lambda i, j: of_size(real[i], generated[j], edges), len(real), len(generated), seed=seed
    )
    found = {name: t_interval(v, e, freedom) for name, v, e in zip(names(), value, error, strict=True)}
    cells = found["cells_filled"]
    found["cells_filled"] = Estimate(cells.value, max(cells.low, 0.0), min(cells.high, 1.0))
    return unbiased_estimates(real, generated, seed) | found


def unbiased_estimates(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> dict[str, Estimate]:
    """Those of the `estimates` that do not depend on the number of images."""
    difference = discrepancy(real, generated)
    return {"energy_distance": t_interval(*jackknife(difference, len(real), len(generated), seed=seed))}


def names() -> list[str]:
    """Figures in the order of `of_size`."""
    return [*(f"correlation_colour_{name}" for name in WITH_COLOUR), "cells_filled"]


def of_size(real: np.ndarray, generated: np.ndarray, edges: np.ndarray) -> np.ndarray:
    tint = COLUMNS.index("colour")
    pairs = [(tint, COLUMNS.index(name)) for name in WITH_COLOUR]
    differences = [correlation(*generated.T[[i, j]]) - correlation(*real.T[[i, j]]) for i, j in pairs]
    return np.array([*differences, cells_filled(real, generated, edges)])


def energy_distance(real: np.ndarray, generated: np.ndarray) -> float:
    """Unbiased energy distance of the vectors in the last columns."""
    return discrepancy(real, generated)(np.arange(len(real)), np.arange(len(generated)))


def discrepancy(real: np.ndarray, generated: np.ndarray):
    return kernel_discrepancy(real[:, len(COLUMNS) :], generated[:, len(COLUMNS) :], minus_distance)


def minus_distance(first: np.ndarray, second: np.ndarray | None = None) -> np.ndarray:
    """The kernel whose discrepancy is the energy distance."""
    return -cdist(first, first if second is None else second)


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Spearman's rank correlation, 0 where one side is constant: scipy's without its p value, which takes longest."""
    ranks = [rankdata(side) - (len(side) + 1) / 2 for side in (first, second)]
    spread = np.sqrt(np.prod([(side**2).sum() for side in ranks]))
    return float(ranks[0] @ ranks[1] / spread) if spread else 0.0


def cells_filled(real: np.ndarray, generated: np.ndarray, edges: np.ndarray) -> float:
    """Share of the cells with real galaxies in which there are generated ones."""
    first, second = (occupied(table, edges) for table in (real, generated))
    return len(first & second) / len(first)


def occupied(table: np.ndarray, edges: np.ndarray) -> set[int]:
    """Numbers of the cells in which there is a galaxy; ``edges`` (BINS - 1, columns) lie between the bins."""
    columns = [COLUMNS.index(name) for name in CELLS]
    bins = [np.searchsorted(edges[:, column], table[:, column]) for column in columns]
    return set(np.ravel_multi_index(bins, (BINS,) * len(bins)).tolist())
