"""Is a generated galaxy of the class that it was made for? Judged by an independent classifier and by its axis ratio.

The classifier was trained only on real galaxies. Its verdict is the class that is most likely if all are equally common
(see `shared.class_prior`). The axis ratio agrees where it lies in the central 95 % of the training galaxies of the
class. The floor is how often both agree for real galaxies that neither generator nor classifier has learned from: for a
perfect generator they would agree equally often.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from galaxy_diffusion.evaluation.features import FeatureNet, configured_net, extract
from galaxy_diffusion.evaluation.pair import RealAndGenerated
from galaxy_diffusion.shared.class_prior import log_class_shares
from galaxy_diffusion.shared.classifier_folder import class_names_of, read_classifier, read_results
from galaxy_diffusion.shared.image_cache import cached
from gz2_dataset import GalaxyArrays, UserError
from gz2_dataset.crop import recorded_crop

LOWEST = 0.05
"""Share of the real galaxies of a class that look less like it than a generated one has to."""
CENTRAL = [0.025, 0.975]
"""Quantiles of the training galaxies between which an axis ratio agrees."""


@dataclass(frozen=True)
class Classifier:
    """A classifier of train_classifier.py that has learned only from real galaxies.

    Attributes
    ----------
    net : FeatureNet
        Returns logits (B, classes).
    log_shares : ndarray, shape (classes,)
        Logarithm of each class's share of what it was trained on.
    """

    net: FeatureNet
    log_shares: np.ndarray | None

    def agrees(self, galaxies: GalaxyArrays) -> np.ndarray:
        """Whether each galaxy looks like its class, bool (N,)."""
        return self.predict(galaxies.images) == galaxies.labels

    def predict(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """The most likely class of each image if all classes are equally common, int (N,)."""
        return self.adjusted_logits(images, batch_size).argmax(axis=1)

    def looks_like(self, galaxies: GalaxyArrays, known: GalaxyArrays) -> np.ndarray:
        """Whether galaxies look as much like their class as all but the `LOWEST` of real ones of it, bool (N,).

        Demanding that the class is the most likely one would throw out as many good images as real galaxies on which
        the classifier errs, the hard ones, and let pass others that are less typical than any real galaxy.

        Parameters
        ----------
        galaxies : GalaxyArrays
        known : GalaxyArrays
            Real galaxies that the classifier has not learned from. Of a class without any, the class has to be the most
            likely.
        """
        odds, of_known = (self.odds(part) for part in (galaxies, known))
        looks = odds > 0
        for label in np.unique(known.labels):
            lowest = np.quantile(of_known[known.labels == label], LOWEST)
            looks = np.where(galaxies.labels == label, odds >= lowest, looks)
        return looks

    def odds(self, galaxies: GalaxyArrays) -> np.ndarray:
        """How much more likely each galaxy's class is than the likeliest other, as a logarithm, shape (N,)."""
        logits, rows = self.adjusted_logits(galaxies.images), np.arange(len(galaxies))
        own = logits[rows, galaxies.labels]
        logits[rows, galaxies.labels] = -np.inf
        return own - logits.max(axis=1)

    def adjusted_logits(self, images: np.ndarray, batch_size: int = 64) -> np.ndarray:
        """Logits (N, classes) if all classes are equally common."""
        recipe = f"{self.net.fingerprint} logits"
        logits = cached(images, "galaxy_features", recipe, lambda: extract(images, self.net, batch_size))
        return logits - self.log_shares


def load_independent(folder: Path, pair: RealAndGenerated) -> Classifier:
    """Load a classifier that may judge generated images.

    Parameters
    ----------
    folder : Path
        Output folder of train_classifier.py.
    pair : RealAndGenerated
        The images that it is to judge.

    Raises
    ------
    UserError
        If it was trained with generated images, on other classes or another crop of each image, or on data with
        another test split, so that it may have learned from the real galaxies behind the floor.
    """
    folder = Path(folder)
    model = read_classifier(folder)
    record = read_results(folder)
    if record["config"]["augment_with"]:
        raise UserError(f"{folder}: was trained with generated images and cannot judge them; give one trained without")
    if class_names_of(model) != pair.test.class_names:
        raise UserError(
            f"{folder}: does not know the classes {', '.join(pair.test.class_names)}; train one on this data"
        )
    if record["data_fingerprint"]["test"] != pair.test.fingerprint:
        raise UserError(f"{folder}: was trained on data with another test split; train one on the generator's data")
    if recorded_crop(record) != pair.test.center_crop:
        raise UserError(f"{folder}: was trained on another crop of each image; train one on the generator's data")
    name = f"{model.config.architecture}_galaxies"
    net = configured_net(name, model.timm_model.eval(), model.config.pretrained_cfg)
    return Classifier(net, log_class_shares(record, pair.test.class_names))


def axis_ratio_agrees(
    train: pd.DataFrame, train_labels: np.ndarray, new: pd.DataFrame, labels: np.ndarray
) -> np.ndarray:
    """Whether galaxies are as elongated as the central 95 % of the training galaxies of their class.

    Parameters
    ----------
    train, new : DataFrame
        Of `morphology.morphology`.
    train_labels, labels : ndarray of int, shapes (N,) and (M,)

    Returns
    -------
    ndarray of bool, shape (M,)
        False where the ellipticity could not be measured, of the galaxy or of its whole class.
    """
    agrees = np.zeros(len(new), bool)
    for label in np.unique(labels):
        low, high = train["ellipticity"][train_labels == label].quantile(CENTRAL)
        agrees |= (labels == label) & new["ellipticity"].between(low, high).to_numpy()
    return agrees
