"""Has a generator learned or memorised? Two of them, trained on disjoint halves of the galaxies, with the same seeds.

Two nets that have learned the same distribution take the same noise to the same galaxy, though they have no training
galaxy in common; nets that have memorised take it to different ones, each of its own half [1]_.

partners_agree
    How often an image is nearer to its partner, the other net's image of the same class and seed, than to another image
    of the other net of this class: 0.5 for images that have nothing to do with each other, 1 for the same ones. Near
    are pixels that correlate. Read it only for nets whose images are galaxies: untrained ones give back
    the noise, and agree.
own_half_nearest
    How often the nearest training galaxy of its class is in the half that its own net has learned from, whatever its
    shift, turn, zoom and brightness (see `nearest`): 0.5 for what is learned, 1 for what is memorised.

References
----------
.. [1] Kadkhodaie, Z. et al. 2024, ICLR (arXiv:2310.02557)
"""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist

from galaxy_diffusion.evaluation.beside_floor import BesideFloor, Metrics
from galaxy_diffusion.evaluation.floors import MIN_IMAGES
from galaxy_diffusion.evaluation.jackknife import share_interval
from galaxy_diffusion.evaluation.nearest import Gallery
from galaxy_diffusion.evaluation.rings import measure
from gz2_dataset import GalaxyArrays


def two_generators(generated: Sequence[GalaxyArrays], halves: Sequence[GalaxyArrays], seed: int = 0) -> Metrics:
    """Both figures, over ``all`` images and of each class, beside 0.5.

    Parameters
    ----------
    generated : two GalaxyArrays
        Images of the two nets; those of one row have the same class and seed.
    halves : two GalaxyArrays
        The training galaxies of each net, none of them in both. The larger half of a class is cut to the smaller.
    seed : int
        Of the cut.

    Returns
    -------
    dict of dict of BesideFloor
        ``n_real`` is the number of training galaxies in a half. Classes with fewer than 10 images or training galaxies
        are left out.
    """
    found: dict[str, list[np.ndarray]] = {}
    counts: dict[str, int] = {}
    rng = np.random.default_rng(seed)
    for label in np.unique(generated[0].labels):
        images = [side.images[side.labels == label] for side in generated]
        known = [half.images[rng.permutation(np.flatnonzero(half.labels == label))] for half in halves]
        size = min(map(len, known))
        if min(size, len(images[0])) < MIN_IMAGES:
            continue
        name = generated[0].class_names[label]
        galleries = [half[:size] for half in known]
        found[name] = [partners_nearer(*images), own_half_nearer(images, galleries)]
        counts[name] = size
    if len(found) > 1:
        found = {"all": [np.concatenate(parts) for parts in zip(*found.values(), strict=True)], **found}
        counts["all"] = sum(counts.values())
    titles = ("partners_agree", "own_half_nearest")
    return {
        name: {title: beside_half(values, counts[name]) for title, values in zip(titles, figures, strict=True)}
        for name, figures in found.items()
    }


def partners_nearer(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """For each image, the share of the other net's other images that are farther than its partner, shape (N,).

    Parameters
    ----------
    first, second : ndarray of uint8, shape (N, S, S, 3)
        Images of one class; those of one row are partners. Images that are as far count half.
    """
    one, other = (images.reshape(len(images), -1).astype(float) for images in (first, second))
    distance = cdist(one, other, "correlation")
    partner = np.diagonal(distance)
    both = [
        (np.sign(side - partner[:, None]) + 1).sum(axis=1) - 1  # the partner itself counts as one that is as far
        for side in (distance, distance.T)
    ]
    return np.mean(both, axis=0) / (2 * (len(first) - 1))


def own_half_nearer(images: Sequence[np.ndarray], halves: Sequence[np.ndarray]) -> np.ndarray:
    """Of each image of both nets, whether the nearest training galaxy is in its net's half (1, 0, or 0.5), (2 N,)."""
    described = [measure(half) for half in halves]
    together = Gallery(measure(np.concatenate(halves)))
    galleries = [Gallery(half, like=together) for half in described]
    nearer = []
    for net, drawn in enumerate(images):
        own, other = (galleries[side].nearest(measure(drawn)).distance for side in (net, 1 - net))
        nearer.append((np.sign(other - own) + 1) / 2)
    return np.concatenate(nearer)


def beside_half(values: np.ndarray, n_real: int) -> BesideFloor:
    """The mean of shares with an interval, beside 0.5."""
    share = share_interval(float(values.mean()), float(values.std(ddof=1) / np.sqrt(len(values))), len(values))
    return BesideFloor(share.value, share.low, share.high, n_real, len(values), 0.5)
