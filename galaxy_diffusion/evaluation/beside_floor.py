"""A figure of generated images beside its floor, which real images get in their place: an entry of fidelity.json."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from galaxy_diffusion.evaluation.jackknife import LEVEL, Estimate, share_interval
from galaxy_diffusion.shared.run_folder import write_json
from gz2_dataset import UserError
from gz2_dataset.kinds import made
from gz2_dataset.reading import read_json


@dataclass(frozen=True)
class BesideFloor:
    """A figure with its 95 % interval, its floor, and the numbers of images behind both.

    Attributes
    ----------
    value, low, high : float
    n_real, n_generated : int
        Images compared.
    floor, floor_low, floor_high : float or None
        What real images get in place of the generated ones, with its range or interval; None where there is none.
    failed_real, failed_generated : int, optional
        How many of the images compared could not be measured, where measurements can fail.
    n_floor : int, optional
        Images behind the floor, where they are not the ``n_real`` images.
    p_value : float, optional
        P value of a test of the figure against its floor.
    """

    value: float
    low: float
    high: float
    n_real: int
    n_generated: int
    floor: float | None
    floor_low: float | None = None
    floor_high: float | None = None
    failed_real: int | None = None
    failed_generated: int | None = None
    n_floor: int | None = None
    p_value: float | None = None


Metrics = dict[str, dict[str, BesideFloor]]
"""Figures by set (``all`` or a class) and metric."""
ALWAYS = ("floor", "floor_low", "floor_high")
"""Keys that are written even if they are None."""
FEWEST, REPLICATES = 10, 1000
"""A median over fewer images says nothing; and resamplings of its bootstrap."""


def share_beside_floor(happened: np.ndarray, among_real: np.ndarray) -> BesideFloor:
    """The share of generated images for which something is true, beside that of real ones, with Wilson's intervals.

    Parameters
    ----------
    happened : ndarray of bool, shape (N,)
        Whether it is true of each generated image; N at least 1.
    among_real : ndarray of bool, shape (M,)
        The same for real images that the generator has not seen. Without any, the floor is None.

    Examples
    --------
    >>> found = share_beside_floor(np.arange(10) < 5, np.arange(40) < 4)
    >>> found.value, found.floor
    (0.5, 0.1)
    """
    share = share_interval(happened.mean(), 0.0, len(happened))
    floor = share_interval(among_real.mean(), 0.0, len(among_real)) if len(among_real) else None
    return BesideFloor(
        **asdict(share),
        n_real=len(among_real),
        n_generated=len(happened),
        floor=floor and floor.value,
        floor_low=floor and floor.low,
        floor_high=floor and floor.high,
    )


def median_beside_floor(generated: np.ndarray, real: np.ndarray, seed: int = 0) -> BesideFloor | None:
    """The median of a measure over generated images beside that over real ones, with percentile bootstraps of both.

    Parameters
    ----------
    generated, real : ndarray, shape (N,) and (M,)
        The measure of each image; the real ones are some that the generator has not seen. NaN are left out.
    seed : int
        Of the bootstrap.

    Returns
    -------
    BesideFloor or None
        None where either side has fewer than `FEWEST` images that could be measured.

    Examples
    --------
    >>> found = median_beside_floor(np.full(20, 3.0), np.full(30, 2.0))
    >>> found.value, found.floor, found.n_real
    (3.0, 2.0, 30)
    """
    sides = [values[np.isfinite(values)] for values in (generated, real)]
    if min(map(len, sides)) < FEWEST:
        return None
    rng = np.random.default_rng(seed)

    def median(values: np.ndarray) -> Estimate:
        replicates = np.median(rng.choice(values, (REPLICATES, len(values))), axis=1)
        low, high = np.quantile(replicates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Estimate(float(np.median(values)), float(low), float(high))

    found, floor = map(median, sides)
    counts = len(sides[1]), len(sides[0])
    return BesideFloor(found.value, found.low, found.high, *counts, floor.value, floor.low, floor.high)


def write_metrics(path: Path, metrics: Metrics) -> None:
    """Write fidelity.json, whole or not at all."""
    write_json(
        path,
        {
            name: {
                metric: {key: value for key, value in asdict(figure).items() if value is not None or key in ALWAYS}
                for metric, figure in figures.items()
            }
            for name, figures in metrics.items()
        },
    )


def read_metrics(path: Path) -> Metrics:
    """Read fidelity.json.

    Raises
    ------
    UserError
        If it is missing, damaged, or from another program.
    """
    try:
        return {
            name: {metric: made(BesideFloor, figure) for metric, figure in figures.items()}
            for name, figures in read_json(path, "run evaluate_images.py again").items()
        }
    except (TypeError, AttributeError) as error:
        raise UserError(f"{path}: no finished evaluation ({error}); run evaluate_images.py again") from None
