"""The shapes of real galaxies of each class in short: quartiles, to lay a single galaxy beside."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from galaxy_diffusion.evaluation.morphology import FITTED, NONPARAMETRIC, measure, morphology
from gz2_dataset import GalaxyArrays
from gz2_dataset.arrays import jpeg_round_trip
from gz2_dataset.aside import written_aside
from gz2_dataset.reading import read_table
from gz2_dataset.splits import hash_of

FILE = "real_shapes.csv"
"""Beside a model: the shapes of galaxies that it has learned from, where they are known."""
SHAPES = {
    "axis_ratio": "Axis ratio",
    "sersic_index": "Sérsic index",
    "concentration": "Concentration",
    "asymmetry": "Asymmetry",
}
MEASURED = 100
"""At most this many galaxies of a class, those with the smallest hash of image_id."""


class Quartiles(NamedTuple):
    """The middle half of a class, and how many galaxies it was taken from."""

    low: float
    median: float
    high: float
    n: int


def shapes_of(measures: pd.DataFrame) -> pd.DataFrame:
    """The columns of `SHAPES` of a table of `morphology`; the axis ratio is 1 - ellipticity.

    Examples
    --------
    >>> table = {"ellipticity": [0.3], "sersic_index": [1.0], "concentration": [3.0], "asymmetry": [0.1]}
    >>> shapes_of(pd.DataFrame(table))["axis_ratio"].tolist()
    [0.7]
    """
    return measures.assign(axis_ratio=1 - measures["ellipticity"])[list(SHAPES)]


def shape_of(image: np.ndarray) -> dict[str, float]:
    """The shapes of a generated image, uint8 (H, H, 3), after the JPEG compression that real ones have.

    A shape that cannot be measured is NaN.
    """
    measures = pd.DataFrame([measure(jpeg_round_trip(image))]).reindex(columns=[*FITTED, *NONPARAMETRIC])
    return shapes_of(measures).astype(float).iloc[0].to_dict()


def class_quartiles(galaxies: GalaxyArrays, measured: int = MEASURED) -> pd.DataFrame:
    """Quartiles of each class's shapes.

    Parameters
    ----------
    galaxies : GalaxyArrays
    measured : int
        At most this many of a class are measured.

    Returns
    -------
    DataFrame
        With the columns class_name, shape, n, low, median and high, a row for each class and shape that was measured.

    Raises
    ------
    UserError
        If photutils or statmorph are missing.
    """
    rows = []
    for name in galaxies.class_names:
        chosen = sorted(galaxies.of_class(name), key=lambda row: hash_of(galaxies.image_ids[row]))[:measured]
        if not chosen:
            continue
        table = shapes_of(morphology(galaxies.images[chosen]))
        for shape, values in table.items():
            if n := int(values.count()):
                rows.append((name, shape, n, *values.quantile([0.25, 0.5, 0.75])))
    return pd.DataFrame(rows, columns=["class_name", "shape", "n", "low", "median", "high"])


def write_quartiles(folder: Path, table: pd.DataFrame) -> None:
    """Write the table of `class_quartiles` into a folder, whole or not at all."""
    with written_aside(folder / FILE) as aside:
        table.to_csv(aside, index=False, float_format="%.4f")


def read_quartiles(path: Path) -> dict[str, dict[str, Quartiles]]:
    """The quartiles of a file, as `to_quartiles` gives them.

    Raises
    ------
    UserError
        If it is not such a table.
    """
    numbers = "low|median|high|n"
    return to_quartiles(read_table(path, "remove it", ("class_name", "shape", *numbers.split("|")), numbers))


def to_quartiles(table: pd.DataFrame) -> dict[str, dict[str, Quartiles]]:
    """The rows of the table of `class_quartiles`, by class and shape."""
    found: dict[str, dict[str, Quartiles]] = {}
    for row in table.itertuples():
        found.setdefault(row.class_name, {})[row.shape] = Quartiles(row.low, row.median, row.high, int(row.n))
    return found
