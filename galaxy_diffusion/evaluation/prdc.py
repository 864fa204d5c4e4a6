"""Do generated images lie where real ones do, and everywhere there? Precision, recall, density and coverage.

References
----------
.. [1] Kynkäänniemi, T. et al. 2019, NeurIPS, 32, 3927 (precision and recall)
.. [2] Naeem, M. F. et al. 2020, ICML, 119, 7176 (density and coverage)
"""

from collections.abc import Callable

import numpy as np
from sklearn.metrics import euclidean_distances

from galaxy_diffusion.evaluation.jackknife import Estimate, jackknife, share_interval, t_interval

NAMES = ("precision", "recall", "density", "coverage")


def prdc(real: np.ndarray, generated: np.ndarray, k: int | None = None, seed: int = 0) -> dict[str, Estimate]:
    """Precision, recall [1]_, density and coverage [2]_ of generated images, with intervals.

    An image's ball reaches to its k-th nearest neighbour in its own set.

    - precision: share of generated images that lie in the ball of a real one (are they realistic?);
    - recall: share of real images that lie in the ball of a generated one (is all the variety there?);
    - density: mean number of real balls around a generated image, over k; may exceed 1;
    - coverage: share of real images whose ball holds a generated image.

    Parameters
    ----------
    real, generated : ndarray, shape (N, D) and (M, D)
        Features; N and M greater than k + 1.
    k : int, optional
        By default the result of `default_k`.
    seed : int
        Seed of the intervals.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> real, collapsed = rng.normal(size=(200, 8)), 0.1 * rng.normal(size=(200, 8))
    >>> figures = prdc(real, collapsed)
    >>> figures["precision"].value, figures["recall"].value
    (1.0, 0.0)
    """
    n_real, n_generated = len(real), len(generated)
    figures = prdc_of_subsets(real, generated, k)
    value, error, freedom = jackknife(figures, n_real, n_generated, seed=seed)
    counted = {"precision": n_generated, "recall": n_real, "coverage": n_real}
    return {
        name: share_interval(value[f], error[f], counted[name])
        if name in counted
        else t_interval(value[f], error[f], freedom, lowest=0.0)
        for f, name in enumerate(NAMES)
    }


def prdc_values(real: np.ndarray, generated: np.ndarray, k: int | None = None) -> dict[str, float]:
    """The values of `prdc`, without their intervals."""
    values = prdc_of_subsets(real, generated, k)(np.arange(len(real)), np.arange(len(generated)))
    return dict(zip(NAMES, values.tolist(), strict=True))


def prdc_of_subsets(
    real: np.ndarray, generated: np.ndarray, k: int | None
) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """The figures `NAMES`, shape (4,), as a function of the indices of the images that take part."""
    k = default_k(len(real), len(generated)) if k is None else k
    real, generated = (np.asarray(features, np.float64) for features in (real, generated))
    among_real, among_generated = euclidean_distances(real), euclidean_distances(generated)
    between = euclidean_distances(real, generated)
    return lambda i, j: prdc_of_distances(
        among_real[np.ix_(i, i)], among_generated[np.ix_(j, j)], between[np.ix_(i, j)], k
    )


def default_k(n_real: int, n_generated: int) -> int:
    """Neighbours that span a ball: 5 as in [2]_, or 3 as in [1]_ where a set has fewer than 100 images."""
    return 5 if min(n_real, n_generated) >= 100 else 3


def prdc_of_distances(among_real: np.ndarray, among_generated: np.ndarray, between: np.ndarray, k: int) -> np.ndarray:
    """The figures `NAMES`, shape (4,), of distances (N, N), (M, M) and (N, M)."""
    # The nearest in its own set is the image itself.
    real_radius = np.partition(among_real, k, axis=1)[:, k, None]
    generated_radius = np.partition(among_generated, k, axis=1)[:, k]
    in_real_ball = between <= real_radius
    return np.array(
        [
            in_real_ball.any(axis=0).mean(),
            (between <= generated_radius).any(axis=1).mean(),
            in_real_ball.sum(axis=0).mean() / k,
            in_real_ball.any(axis=1).mean(),
        ]
    )
