"""Mock galaxies in the Kaggle layout: images, volunteers' votes, and the truth behind them."""

import dataclasses
import importlib.util
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
from tqdm import tqdm

from gz2_dataset.command_line import UserError, how_to_install
from gz2_dataset.mock.population import KINDS, Galaxy, draw_galaxy, shares_of
from gz2_dataset.mock.volunteers import vote_fractions
from gz2_dataset.reading import read_json
from gz2_dataset.sources.kaggle import KAGGLE_CSV, KAGGLE_IMAGES, MOCK_TRUTH
from gz2_dataset.votes import VOTE_COLUMNS

RECIPE_JSON = "mock.json"


def write_mock_survey(
    output_dir: Path, num_images: int, seed: int, processes: int | None = None, shares: str | None = None
) -> None:
    """Draw mock galaxies into the layout of Kaggle's Galaxy Zoo challenge.

    Writes ``training_solutions_rev1.csv`` (GalaxyID and 37 vote fractions), ``images_training_rev1/<GalaxyID>.jpg``
    (424 x 424 pixels), ``mock_truth.csv`` (the fields of `gz2_dataset.mock.population.Galaxy`) and ``mock.json``
    (num_images, seed and, if given, shares). The folder appears when it is complete. A finished one of the same recipe
    is left as it is.

    Parameters
    ----------
    output_dir : Path
        Folder to write; must not exist or be empty.
    num_images : int
        Number of galaxies, at least 1. Galaxy i depends only on (seed, i).
    seed : int
        Not negative.
    processes : int, optional
        Worker processes; by default one per core. The result does not depend on it.
    shares : str, optional
        Such as ``"cigar=0.5"``; see `population.shares_of`.

    Raises
    ------
    UserError
        If the folder holds something else, a number is out of range, or GalSim or astropy are missing.

    Examples
    --------
    >>> write_mock_survey(Path("mock"), num_images=2000, seed=0)  # doctest: +SKIP
    """
    output_dir = Path(output_dir)
    if num_images < 1 or seed < 0:
        raise UserError(f"num_images {num_images}, seed {seed}: give num_images >= 1 and seed >= 0")
    recipe = {"num_images": num_images, "seed": seed} | ({"shares": shares} if shares else {})
    of_kind = shares_of(shares) if shares else KINDS
    if is_finished(output_dir, recipe):
        return
    if not all(map(importlib.util.find_spec, ("galsim", "astropy"))):
        raise UserError(f"mock galaxies need GalSim and astropy; run {how_to_install('mock')}")
    partial = output_dir.absolute().with_name(f".{output_dir.absolute().name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    images = partial / KAGGLE_IMAGES
    images.mkdir(parents=True)
    try:
        truth, votes = [], []
        drawn = draw_all(images, num_images, seed, processes, of_kind)
        for galaxy, fractions in tqdm(drawn, total=num_images, unit="galaxy"):
            truth.append(galaxy)
            votes.append(fractions)
        truth, votes = pd.DataFrame(truth), pd.DataFrame(votes, columns=VOTE_COLUMNS)
        votes.insert(0, "GalaxyID", truth["galaxy_id"])
        votes.to_csv(partial / KAGGLE_CSV, index=False, float_format="%.6f")
        truth.to_csv(partial / MOCK_TRUTH, index=False, float_format="%.6g")
        (partial / RECIPE_JSON).write_text(json.dumps(recipe) + "\n", encoding="utf-8")
        os.replace(partial, output_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def is_finished(output_dir: Path, recipe: dict) -> bool:
    """Whether ``output_dir`` is the finished survey of ``recipe``; raises UserError if it holds anything else."""
    if not output_dir.exists() or (output_dir.is_dir() and not any(output_dir.iterdir())):
        return False
    found = output_dir / RECIPE_JSON
    if found.is_file() and read_json(found, "remove the folder") == recipe and (output_dir / KAGGLE_CSV).exists():
        return True
    raise UserError(f"{output_dir}: not the finished mock of {recipe}; remove it or give another --output")


def draw_all(images: Path, num_images: int, seed: int, processes: int | None, shares: Mapping[str, float]):
    """Draw galaxies in parallel, each process with one thread; yields in the order of the galaxies."""
    with joblib.parallel_config("loky", inner_max_num_threads=1):
        workers = joblib.Parallel(n_jobs=processes or -1, return_as="generator")
        yield from workers(joblib.delayed(draw_one)(images, seed, index, shares) for index in range(num_images))


def draw_one(images: Path, seed: int, index: int, shares: Mapping[str, float] = KINDS) -> tuple[dict, np.ndarray]:
    """Write the image of galaxy ``index``; returns its true parameters and its 37 vote fractions."""
    from gz2_dataset.mock.camera import photograph

    galaxy = draw_galaxy(seed, index, shares)
    jpeg = photograph(galaxy, np.random.default_rng([seed, index, 1]))
    (images / f"{galaxy.galaxy_id}.jpg").write_bytes(jpeg)
    return dataclasses.asdict(galaxy), volunteers_of(galaxy, seed, index)


def simulated_votes(seed: int, index: int) -> np.ndarray:
    """The 37 vote fractions of galaxy ``index``, without drawing it."""
    return volunteers_of(draw_galaxy(seed, index), seed, index)


def volunteers_of(galaxy: Galaxy, seed: int, index: int) -> np.ndarray:
    return vote_fractions(galaxy, np.random.default_rng([seed, index, 2]))
