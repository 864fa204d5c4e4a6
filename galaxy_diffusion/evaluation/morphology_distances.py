"""How far the measures of generated galaxies are from those of real ones: Wasserstein and Kolmogorov-Smirnov distances.

The Wasserstein distance of a measure is in units of the real galaxies' spread (half the range from the 16th to the 84th
percentile): 1 means that its distribution is off by as much as real galaxies scatter. The Kolmogorov-Smirnov distance
is the largest difference of the two cumulative distributions, regardless of units. Galaxies on which a measurement
fails cannot take part; their number is given beside each figure, and their share is a figure of its own.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from scipy.stats import wasserstein_distance

from galaxy_diffusion.evaluation.beside_floor import BesideFloor
from galaxy_diffusion.evaluation.floors import MIN_IMAGES, Sets, compare
from galaxy_diffusion.evaluation.jackknife import Estimate, jackknife, t_interval
from galaxy_diffusion.evaluation.morphology import BAD, FLAGS, MEASURES
from galaxy_diffusion.evaluation.pair import RealAndGenerated

KINDS = ("wasserstein", "ks")


def compare_morphology(
    real: pd.DataFrame, generated: pd.DataFrame, classes: Sequence[Sets], description: str = "compare", seed: int = 0
) -> dict[str, BesideFloor]:
    """``wasserstein_MEASURE`` and ``ks_MEASURE`` beside their floors.

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
        As `floors.compare` gives them, with ``failed_real`` and ``failed_generated``. Measures that fail on all but a
        few galaxies are left out.
    """
    compared = [np.concatenate([getattr(s, side) for s in classes]) for side in ("reference", "generated")]
    measured = [table.iloc[rows].notna().mean() for table, rows in zip((real, generated), compared, strict=True)]
    sizes = np.sum([sets.sizes for sets in classes], axis=0)
    spread = real.iloc[np.concatenate([np.concatenate([s.reference, s.others]) for s in classes])].quantile(
        [0.16, 0.84]
    )
    spread = (spread.loc[0.84] - spread.loc[0.16]) / 2

    def enough(*shares: float) -> bool:
        return min(shares * sizes) >= MIN_IMAGES

    names = [name for name in MEASURES if spread[name] > 0 and enough(*(share[name] for share in measured))]
    tables = [(table[names] / spread[names]).to_numpy() for table in (real, generated)]
    distances = partial(distances_of, names=names)
    figures = compare(partial(estimates, names=names), distances, *tables, classes, description, seed)  # pyright: ignore[reportCallIssue]
    failed = {key: [1 - side[key.partition("_")[2]] for side in measured] for key in figures}
    return {
        key: dataclasses.replace(
            figure,
            failed_real=round(figure.n_real * failed[key][0]),
            failed_generated=round(figure.n_generated * failed[key][1]),
        )
        for key, figure in figures.items()
    }


def failures(table: pd.DataFrame) -> np.ndarray:
    """Whether a galaxy's measures or its Sersic fit are bad, bool (N,)."""
    return (table[list(FLAGS)].max(axis=1) >= BAD).to_numpy()


def distances_of(real: np.ndarray, generated: np.ndarray, names: Sequence[str]) -> dict[str, float]:
    """Distances of measures, shapes (N, measures) and (M, measures), NaN where one has failed."""
    found = {}
    for name, first, second in zip(names, real.T, generated.T, strict=True):
        first, second = first[np.isfinite(first)], second[np.isfinite(second)]
        found[f"wasserstein_{name}"] = float(wasserstein_distance(first, second))
        found[f"ks_{name}"] = ks_distance(first, second)
    return found


def ks_distance(first: np.ndarray, second: np.ndarray) -> float:
    """Largest difference of two samples' cumulative distributions: scipy's without the p value, which takes longest."""
    values = np.concatenate([first, second])
    shares = (np.searchsorted(np.sort(sample), values, side="right") / len(sample) for sample in (first, second))
    return float(np.abs(np.subtract(*shares)).max())


def estimates(real: np.ndarray, generated: np.ndarray, names: Sequence[str]) -> dict[str, Estimate]:
    """`distances_of` with intervals."""
    value, error, freedom = jackknife(
        lambda i, j: np.array([*distances_of(real[i], generated[j], names).values()]), len(real), len(generated)
    )
    keys = [f"{kind}_{name}" for name in names for kind in KINDS]
    found = {key: t_interval(v, e, freedom, lowest=0.0) for key, v, e in zip(keys, value, error, strict=True)}
    return {
        key: dataclasses.replace(f, high=min(f.high, 1.0)) if key.startswith("ks_") else f for key, f in found.items()
    }


def morphology_table(pair: RealAndGenerated, real: pd.DataFrame, generated: pd.DataFrame) -> pd.DataFrame:
    """The rows of morphology.csv: one per image, real ones first, with its source, class and measures."""
    parts = []
    for source, galaxies, table in (("real", pair.real, real), ("generated", pair.generated, generated)):
        about = {
            "image": galaxies.image_ids,
            "source": source,
            "label": np.array(galaxies.class_names)[galaxies.labels],
        }
        if source == "real":
            about["seen"] = ~pair.unseen
        parts.append(pd.DataFrame(about).join(table))
    return pd.concat(parts, ignore_index=True)
