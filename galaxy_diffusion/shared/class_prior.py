"""How common each class was in the training of a classifier: the prior that its probabilities carry.

A net trained where cigars are one galaxy in a hundred hardly ever says cigar, whatever it sees. Its logits less the
logarithm of each class's share are those of a net trained where all classes are equally common (logit adjustment, Menon
et al. 2021, ICLR, arXiv:2007.07314).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def log_class_shares(record: Mapping[str, Any], class_names: Sequence[str]) -> np.ndarray | None:
    """Logarithm of each class's share of what a classifier was trained on.

    Parameters
    ----------
    record : dict
        The classifier's metrics.json.
    class_names : sequence of str

    Returns
    -------
    ndarray, shape (classes,), or None
        Equal shares where training made the classes weigh the same, by oversampling or weights; a class without images
        counts as one. None where the record does not say how many images there were.

    Examples
    --------
    >>> record = {"n_train": {"cigar": {"real": 10, "generated": 0}, "spiral": {"real": 80, "generated": 10}}}
    >>> np.exp(log_class_shares(record, ["cigar", "spiral"]))
    array([0.1, 0.9])
    """
    n_train, config = record.get("n_train", {}), record.get("config", {})
    if not set(class_names) <= n_train.keys():
        return None
    counts = np.array([sum(n_train[name].values()) for name in class_names], float).clip(1)
    if config.get("oversampling") or config.get("class_weights"):
        counts[:] = 1
    return np.log(counts / counts.sum())
