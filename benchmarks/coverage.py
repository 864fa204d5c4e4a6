"""How often the 95 % intervals of a paired difference contain the truth, on simulated classifiers.

    python benchmarks/coverage.py --output runs/benchmarks/coverage.md

A galaxy is classified right if its ease, the luck of the training's seed, the arm's effect and noise sum to more than
0. The truth is the difference of recall over all galaxies and all seeds.
"""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.stats import norm
from tqdm.auto import tqdm

from galaxy_diffusion.study.bootstrap import Figures, bootstrap, confusion_matrices, scores
from gz2_dataset.aside import write_whole
from gz2_dataset.command_line import run
from gz2_dataset.markdown import markdown_table

CLASSES = 5
EFFECTS = np.array([0.5, 0.9])
NOISE = 0.5


@dataclass
class Config:
    """Settings of the simulation."""

    output: Path
    """Markdown file for the table."""
    seeds: list[int] = field(default_factory=lambda: [1, 2, 3, 5])
    """Trainings of each arm."""
    spreads: list[float] = field(default_factory=lambda: [0.0, 0.1, 0.2, 0.4])
    """Standard deviations of a seed's luck, in units of the standard deviation of the galaxies' ease."""
    galaxies: int = 60
    """Test galaxies of a class."""
    simulations: int = 1000
    """Studies for each figure."""
    replicates: int = 500
    """Replicates of the bootstrap in each study."""


def main(config: Config) -> None:
    rows = []
    for seeds in config.seeds:
        shares = [coverage(config, seeds, spread) for spread in tqdm(config.spreads, desc=f"{seeds} seeds")]
        rows.append([str(seeds), *(f"{100 * share:.1f} %" for share in shares)])
    table = markdown_table(["seeds", *(f"spread {spread:g}" for spread in config.spreads)], rows)
    write_whole(config.output, f"{table}\n")
    print(table)


def coverage(config: Config, seeds: int, spread: float) -> float:
    """Share of the simulated studies whose interval contains the true difference of a class's recall."""
    rng = np.random.default_rng([seeds, round(1000 * spread)])
    labels = np.repeat(np.arange(CLASSES), config.galaxies)
    before, after = norm.cdf(EFFECTS / np.sqrt(1 + spread**2 + NOISE**2))
    held = 0
    for _ in range(config.simulations):
        ease, luck = rng.normal(size=len(labels)), rng.normal(0, spread, (2, seeds, 1))
        sums = EFFECTS[:, None, None] + ease + luck + rng.normal(0, NOISE, (2, seeds, len(labels)))
        predictions = np.where(sums > 0, labels, (labels + 1) % CLASSES).reshape(2 * seeds, -1)
        boot = bootstrap(labels, [recalls(labels, run) for run in predictions], CLASSES, replicates=config.replicates)
        low, high = (boot[range(seeds, 2 * seeds)] - boot[range(seeds)]).over_seeds().interval()
        held += low[2] <= after - before <= high[2]
    return held / config.simulations


def recalls(labels: np.ndarray, predictions: np.ndarray) -> Figures:
    """How the recall of each class follows from the weights of the galaxies."""
    return lambda weights, doubt: scores(confusion_matrices(labels, predictions, CLASSES, weights, doubt))[
        :, :CLASSES, 1
    ]


if __name__ == "__main__":
    run(main, Config, __doc__.partition("\n")[0])
