"""What the search for copies finds: training images after a change, and real galaxies that are not copies.

python benchmarks/copies_power.py --data runs/gz2_real/data --resolution 32
"""

import time
from dataclasses import dataclass

import numpy as np
import pandas as pd

from galaxy_diffusion.evaluation.copy_search import NO_COPIES, power_of_search, power_rows, prepare_search
from galaxy_diffusion.evaluation.rings import measure, together
from galaxy_diffusion.evaluation.section import power_table
from gz2_dataset import load_arrays
from gz2_dataset.command_line import run


@dataclass
class Config:
    """What to search."""

    data: str
    """Output folder of python -m gz2_dataset build: train and unlabelled are the galaxies seen, validation helps to set
    the thresholds, and test shows how often they are wrong."""
    resolution: int = 32
    """Side of the images in pixels."""
    changed: int = 100
    """Number of training images per class to change."""


def main(config: Config) -> None:
    parts = {
        split: load_arrays(config.data, split, config.resolution, jpeg=True)
        for split in ("train", "unlabelled", "validation", "test")
    }
    train, validation, test = parts["train"], parts["validation"], parts["test"]

    start = time.process_time()
    seen = together([measure(parts[split].images) for split in ("train", "unlabelled")])
    labels = np.concatenate([train.labels, parts["unlabelled"].labels])
    classes = np.unique(train.labels).tolist()
    search = prepare_search(seen, labels, measure(validation.images), validation.labels, classes)
    prepared = time.process_time()
    alarms = search.gallery.nearest(measure(test.images)).relative <= search.limits(test.labels)
    searched = time.process_time()
    power = pd.concat(
        [
            power_rows(NO_COPIES, alarms, test.labels, train.class_names),
            power_of_search(search, train.images, train.labels, train.class_names, config.changed),
        ]
    )
    print(power_table(power).markdown)
    milliseconds = 1000 * (searched - prepared) / len(test)
    print(f"CPU time: {prepared - start:.0f} s to prepare, {milliseconds:.1f} ms per image searched")


if __name__ == "__main__":
    run(main, Config, __doc__)
