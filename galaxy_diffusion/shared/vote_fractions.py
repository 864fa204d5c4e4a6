"""From the logits of a classifier of votes to vote fractions and their intervals.

See `galaxy_diffusion.classifiers.vote_task` for what the logits are.
"""

import numpy as np
from scipy.stats import beta

from gz2_dataset.decision_tree import QUESTION_OF, answers_of

INTERVAL = 0.9
"""Central share of what is predicted that lies within the interval of a fraction."""
LARGEST = 9.0
"""Largest logarithm of a concentration: far beyond what 40 volunteers can tell."""


def concentrations(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Concentration of each answer, and the sum over its question, both of shape (N, 37)."""
    alpha = np.exp(np.clip(logits.astype(np.float64), -LARGEST, LARGEST))
    total = np.stack([alpha[:, answers_of(int(question))].sum(axis=1) for question in QUESTION_OF], axis=1)
    return alpha, total


def intervals(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Expected fraction of each answer, and the ends of the central `INTERVAL` of it, each of shape (N, 37).

    They are those of the fraction that endlessly many volunteers would give, not of the votes of a few.
    """
    alpha, total = concentrations(logits)
    low, high = (beta.ppf(level, alpha, total - alpha) for level in ((1 - INTERVAL) / 2, (1 + INTERVAL) / 2))
    return alpha / total, low, high
