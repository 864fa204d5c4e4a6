"""Can a simple probe tell generated galaxies of a class from real ones? If so, a classifier can learn just that.

A logistic regression learns to separate real from generated images by some features. The area under its ROC curve, on
images that it has not learned from (five folds), is 0.5 if it cannot tell them apart and 1 if it always can. The floor
is its result on real galaxies divided into two sets of the same sizes.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from scipy.stats import rankdata
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn.functional import adaptive_avg_pool2d

from galaxy_diffusion.evaluation.beside_floor import BesideFloor
from galaxy_diffusion.evaluation.floors import MIN_IMAGES, Sets, compare
from galaxy_diffusion.evaluation.jackknife import LEVEL, Estimate
from galaxy_diffusion.evaluation.spectrum import spectra_of_planes

COMPONENTS, FOLDS, REPLICATES = 32, 5, 1000
AT_MOST = 500
"""At most this many images per class and side; more change only the third digit and take long."""
SIDE = 16
YCBCR = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]], np.float32)


def probe(real: np.ndarray, generated: np.ndarray, sets: Sets, name: str, seed: int = 0) -> dict[str, BesideFloor]:
    """``probe_auc_NAME`` of a class beside its floor.

    Parameters
    ----------
    real, generated : ndarray, shape (N, D) and (M, D)
        Features.
    sets : Sets
        What is compared with what.
    name : str
        Name of the features.
    seed : int
        Seed of folds and resampling.
    """
    key = f"probe_auc_{name}"
    cut = Sets(*(rows[:AT_MOST] for rows in (sets.reference, sets.others, sets.generated)))
    cut = cut.cut(
        AT_MOST, cut.sizes[1]
    )  # one set of generated images: the probe's interval takes its training as given
    if min(cut.sizes) < MIN_IMAGES:
        return {}
    learned_from = np.concatenate([real[np.concatenate([cut.reference, cut.others])], generated[cut.generated]])
    shorten = components(learned_from, seed)
    real, generated = shorten(real), shorten(generated)
    estimate, value = partial(estimate_auc, seed=seed), partial(auc_of_probe, seed=seed)
    return compare(
        lambda i, j: {key: estimate(i, j)}, lambda i, j: {key: value(i, j)}, real, generated, [cut], key, seed
    )


def components(features: np.ndarray, seed: int = 0) -> Callable[[np.ndarray], np.ndarray]:
    """Standardised principal components of features (N, D), found without knowing which image is generated."""
    count = min(COMPONENTS, features.shape[1], len(features) // 2)
    return make_pipeline(StandardScaler(), PCA(count, random_state=seed), StandardScaler()).fit(features).transform


def auc_of_probe(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> float:
    """Area under the ROC curve of a cross-validated probe on features (N, D) and (M, D)."""
    return auc(*probe_scores(real, generated, seed))


def estimate_auc(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> Estimate:
    """`auc_of_probe` with a percentile bootstrap over the images; the probe is not trained anew."""
    first, second = probe_scores(real, generated, seed)
    rng = np.random.default_rng(seed)
    drawn = [auc(rng.choice(first, len(first)), rng.choice(second, len(second))) for _ in range(REPLICATES)]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = auc(first, second)
    return Estimate(value, float(min(low, value)), float(max(high, value)))


def probe_scores(real: np.ndarray, generated: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores of how generated each image looks to a probe that has not learned from it, shapes (N,) and (M,)."""
    features = np.concatenate([real, generated]).astype(float)
    is_generated = np.arange(len(features)) >= len(real)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_predict(LogisticRegression(C=0.1), features, is_generated, cv=folds, method="decision_function")
    return scores[~is_generated], scores[is_generated]


def auc(negative: np.ndarray, positive: np.ndarray) -> float:
    """Probability that a positive score is above a negative one, ties counting half.

    `sklearn.metrics.roc_auc_score` gives the same but takes 10 to 30 times as long, for each of `REPLICATES`.
    """
    ranks = rankdata(np.concatenate([negative, positive]))[len(negative) :]
    return float((ranks.mean() - (len(positive) + 1) / 2) / len(negative))


def pixel_features(images: np.ndarray) -> np.ndarray:
    """Images of at most 16 x 16 pixels, float32 (N, 768), of uint8 images (N, S, S, 3)."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float()
    return adaptive_avg_pool2d(pixels, min(SIDE, images.shape[1])).flatten(1).numpy()


def spectrum_features(images: np.ndarray) -> np.ndarray:
    """Logarithms of the radial power spectra of Y, Cb and Cr, (N, 3 S // 2): where JPEG and upsampling leave traces."""
    planes = np.moveaxis(images @ YCBCR.T, -1, 0)
    return np.log10(np.concatenate([spectra_of_planes(plane) for plane in planes], axis=1) + 1e-9)
