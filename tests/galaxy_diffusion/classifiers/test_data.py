"""Training batches as a DataLoader's workers get them."""

import pickle

import numpy as np
import torch

from galaxy_diffusion.classifiers.data import TrainingBatches
from gz2_dataset import GalaxyArrays


def test_a_worker_started_afresh_gives_the_same_batches():
    """MacOS, Windows and Python 3.14 start workers afresh and pass the batches to them pickled."""
    images = np.random.default_rng(0).integers(0, 256, (12, 4, 4, 3), dtype=np.uint8)
    galaxies = GalaxyArrays(images, np.arange(12) % 3, [str(i) for i in range(12)], [], ("a", "b", "c"))
    batches = TrainingBatches([galaxies], (0.5,) * 3, (0.2,) * 3, 24, seed=0, mixing="mixup")
    here = batches.__getitems__(range(8, 16))  # from one epoch into the next
    there = pickle.loads(pickle.dumps(batches)).__getitems__(range(8, 16))
    assert all(torch.equal(there[name], values) for name, values in here.items())
