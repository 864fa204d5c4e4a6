"""Unlabelled galaxies that join a class, chosen by a classifier that has learned from the real galaxies alone.

A generator that learns from unlabelled galaxies too knows more than the training split says. A rival with the same
knowledge adds the best of these galaxies themselves: those that the classifier finds most probable (pseudo-labels
[1]_), or those that look most like galaxies of the class (retrieval [2]_).

References
----------
.. [1] Lee, D.-H. 2013, ICML Workshop on Challenges in Representation Learning
.. [2] Burg, M. F. et al. 2023, TMLR, arXiv:2304.10253
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.special import log_softmax
from torch.nn.functional import normalize
from transformers import TimmWrapperForImageClassification

from galaxy_diffusion.classifiers.data import GalaxyBatches
from galaxy_diffusion.shared.classifier_folder import read_classifier, read_results
from gz2_dataset import GalaxyArrays, UserError
from gz2_dataset.crop import recorded_crop

BATCH = 64


def load_teacher(
    folder: Path, train: GalaxyArrays, test: GalaxyArrays, resolution: int
) -> TimmWrapperForImageClassification:
    """Load a classifier that may choose for another one.

    Parameters
    ----------
    folder : Path
        Output folder of train_classifier.py.
    train, test : GalaxyArrays
        The splits that both learn from and are tested on.
    resolution : int

    Raises
    ------
    UserError
        If it has learned from anything but these training galaxies, at this resolution, or has not been trained to the
        end.
    """
    model, record = read_classifier(folder), read_results(folder)
    learned = record["data_fingerprint"], recorded_crop(record), record["config"]["resolution"]
    if learned != ({"train": train.fingerprint, "test": test.fingerprint}, train.center_crop, resolution):
        raise UserError(
            f"{folder}: has not learned from the real training galaxies of this data, and from them alone, at "
            f"{resolution} px; give a --teacher that has, such as the arm original"
        )
    return model


def pseudo_labelled(
    teacher: TimmWrapperForImageClassification, unlabelled: GalaxyArrays, counts: dict[str, int]
) -> GalaxyArrays:
    """The unlabelled galaxies that most probably belong to each class.

    Parameters
    ----------
    teacher : TimmWrapperForImageClassification
        Of the classes of the galaxies.
    unlabelled : GalaxyArrays
    counts : dict of str to int
        Galaxies wanted, by class; a galaxy joins the first class that takes it.

    Returns
    -------
    GalaxyArrays
        With these classes as labels.

    Raises
    ------
    UserError
        If there are too few galaxies.
    """
    refuse_too_few(unlabelled, counts)
    return most(unlabelled, log_softmax(look(teacher, unlabelled)[1].astype(float), axis=1), counts)


def retrieved(
    teacher: TimmWrapperForImageClassification, unlabelled: GalaxyArrays, train: GalaxyArrays, counts: dict[str, int]
) -> GalaxyArrays:
    """The unlabelled galaxies nearest to a training galaxy of each class, by the angle between their features.

    Parameters, results and errors are those of `pseudo_labelled`; ``train`` holds the training galaxies.
    """
    refuse_too_few(unlabelled, counts)
    features, known = look(teacher, unlabelled)[0], look(teacher, train)[0]
    cosine = np.full((len(unlabelled), len(train.class_names)), -np.inf)
    for name in counts:
        members = known[train.of_class(name)]
        cosine[:, train.class_names.index(name)] = (features @ members.T).max(axis=1, initial=-np.inf)
    return most(unlabelled, cosine, counts)


@torch.inference_mode()
def look(teacher: TimmWrapperForImageClassification, galaxies: GalaxyArrays) -> tuple[np.ndarray, np.ndarray]:
    """Features before the last layer, scaled to length 1, shape (N, D), and logits, shape (N, classes)."""
    device = torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    net, pretrained = teacher.to(device).timm_model, teacher.config.pretrained_cfg  # pyright: ignore[reportArgumentType]
    batches = GalaxyBatches([galaxies], pretrained["mean"], pretrained["std"])
    rows = []
    for start in range(0, len(galaxies), BATCH):
        pixels = batches.__getitems__(range(start, min(start + BATCH, len(galaxies))))["pixel_values"].to(device)
        features = net.forward_head(net.forward_features(pixels), pre_logits=True)
        rows.append((normalize(features).cpu().numpy(), net.get_classifier()(features).cpu().numpy()))
    features, logits = zip(*rows, strict=True)
    return np.concatenate(features), np.concatenate(logits)


def refuse_too_few(unlabelled: GalaxyArrays, counts: dict[str, int]) -> None:
    if (wanted := sum(counts.values())) > len(unlabelled):
        raise UserError(f"{wanted} unlabelled galaxies wanted, but the data has {len(unlabelled)}; ask for fewer")


def most(unlabelled: GalaxyArrays, scores: np.ndarray, counts: dict[str, int]) -> GalaxyArrays:
    """The galaxies with the largest scores, shape (N, classes), of each class; see `pseudo_labelled`."""
    rows, labels = np.zeros(0, int), np.zeros(0, np.int64)
    for name, count in counts.items():
        label = unlabelled.class_names.index(name)
        order = np.argsort(-scores[:, label], kind="stable")
        rows = np.append(rows, order[~np.isin(order, rows)][:count])
        labels = np.append(labels, np.full(count, label))
    return replace(unlabelled.take(rows), labels=labels)
