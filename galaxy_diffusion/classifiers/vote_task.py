r"""A classifier of votes: how many volunteers give each answer of the decision tree, with the uncertainty of that.

For each question the net predicts one concentration for each answer, :math:`\alpha_a = e^{z_a}`. The votes of those who
were asked are Dirichlet-multinomial distributed [1]_: their fractions are Dirichlet distributed around
:math:`\alpha_a / \sum \alpha`, the closer the larger the sum is, and the votes are drawn with these fractions. The loss
is the negative logarithm of that probability, summed over the questions; a question that nobody was asked adds nothing.

References
----------
.. [1] Walmsley, M. et al. 2022, MNRAS, 509, 3966; concentrations there lie between 1 and 101
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import betabinom
from transformers import EvalPrediction

from galaxy_diffusion.classifiers.vote_card import vote_card
from galaxy_diffusion.shared.vote_fractions import INTERVAL, LARGEST, concentrations, intervals
from gz2_dataset import VOTE_COLUMNS, GalaxyArrays, UserError
from gz2_dataset.aside import written_aside
from gz2_dataset.decision_tree import NAMES, QUESTION_OF, answers_of, counts, fractions

ASKED = 5
"""A question is judged on galaxies of which at least this many volunteers were asked it."""


class VoteTask:
    """The votes of each galaxy.

    Parameters
    ----------
    train : GalaxyArrays
        With votes.
    volunteers : float
        How many looked at each galaxy: what the fractions in the data are fractions of.

    Raises
    ------
    UserError
        If the data has no votes.
    """

    names, best = VOTE_COLUMNS, ("loss", False)

    def __init__(self, train: GalaxyArrays, volunteers: float):
        if train.votes is None:
            raise UserError("target votes: the data has no vote fractions of Galaxy Zoo 2; give --target classes")
        self.volunteers = volunteers
        self.mean = np.nanmean(fractions(train.votes), axis=0)

    def targets(self, galaxies: GalaxyArrays) -> np.ndarray:
        """What is learned of each galaxy: its votes as counts, float32 (N, 37)."""
        assert galaxies.votes is not None
        return counts(galaxies.votes, self.volunteers).astype(np.float32)

    @staticmethod
    def loss(votes: torch.Tensor, logits: torch.Tensor, *_, **__) -> torch.Tensor:
        """Mean over the galaxies of the negative log-probability of their votes; both arguments of shape (B, 37)."""
        votes, concentrations = votes.float(), logits.float().clamp(-LARGEST, LARGEST).exp()
        question = torch.as_tensor(QUESTION_OF - 1, device=logits.device)

        def summed(values: torch.Tensor) -> torch.Tensor:
            return values.new_zeros(len(values), len(NAMES)).index_add(1, question, values)

        asked, total = summed(votes), summed(concentrations)
        of_answers = (votes + concentrations).lgamma() - concentrations.lgamma() - (votes + 1).lgamma()
        log_probability = (asked + 1).lgamma() + total.lgamma() - (asked + total).lgamma() + summed(of_answers)
        return -log_probability.sum(dim=1).mean()

    def figures(self, outcome: EvalPrediction) -> dict[str, float]:
        """Mean error over the questions, for `Trainer`."""
        found = judged(outcome.label_ids, outcome.predictions, self.mean).values()  # pyright: ignore[reportArgumentType]
        return {"error": float(np.mean([of_question["error"] for of_question in found]))} if found else {}

    def results(self, test: GalaxyArrays, logits: np.ndarray, parts: Mapping[str, Any]) -> dict[str, Any]:
        """What metrics.json says of each question, and of the number of training galaxies."""
        return {
            "questions": judged(self.targets(test), logits, self.mean),
            "n_train": {"votes": {name: len(part) for name, part in parts.items()}},
            "n_test": len(test),
        }

    def save_predictions(self, path: Path, galaxies: GalaxyArrays, logits: np.ndarray) -> None:
        """Write image_id and, of each answer, the fraction ``CLASS``, its interval and what the volunteers said.

        Parameters
        ----------
        path : Path
            CSV with image_id and, for each answer such as Class1.1, the columns Class1.1 (share of those asked who are
            expected to give it), Class1.1_low, Class1.1_high (90 % interval) and Class1.1_votes (empty if nobody was
            asked).
        galaxies : GalaxyArrays
        logits : ndarray, shape (N, 37)
        """
        assert galaxies.votes is not None
        mean, low, high = intervals(logits)
        columns = {"": mean, "_low": low, "_high": high, "_votes": fractions(galaxies.votes)}
        table = {f"{name}{end}": of[:, i] for i, name in enumerate(VOTE_COLUMNS) for end, of in columns.items()}
        with written_aside(path) as aside:
            pd.DataFrame({"image_id": galaxies.image_ids, **table}).to_csv(aside, index=False)

    def card(self, name: str, results: dict[str, Any]) -> str:
        return vote_card(name, results)

    def summary(self, results: dict[str, Any]) -> str:
        """One line for the terminal."""
        found = results["questions"].values()
        error, baseline = (np.mean([of_question[key] for of_question in found]) for key in ("error", "baseline"))
        return f"mean error of a vote fraction {error:.3f}, of the mean of the training galaxies {baseline:.3f}"


def judged(votes: np.ndarray, logits: np.ndarray, mean: np.ndarray) -> dict[str, dict[str, float]]:
    """How well the votes of each question are predicted.

    Parameters
    ----------
    votes : ndarray, shape (N, 37)
        As counts.
    logits : ndarray, shape (N, 37)
    mean : ndarray, shape (37,)
        Mean fraction of each answer among the training galaxies.

    Returns
    -------
    dict
        By question: ``error``, the mean distance of the predicted from the given fraction over galaxies and answers;
        ``low`` and ``high``, its 95 % interval over galaxies; ``baseline``, that of the mean; ``coverage``, the share
        of votes within the central 90 % of what was predicted for as many volunteers, ties divided at random; ``n``,
        galaxies. Questions that too few were asked are left out.
    """
    (alpha, total), found = concentrations(logits), {}
    rng = np.random.default_rng(0)
    for question, name in NAMES.items():
        places = answers_of(question)
        given = votes[:, places]
        asked = given.sum(axis=1)
        rows = asked >= ASKED
        if rows.sum() < 2:
            continue
        given, asked = given[rows], asked[rows, None]
        expected = (alpha / total)[rows, places]
        errors = np.abs(expected - given / asked).mean(axis=1)
        spread = 1.96 * errors.std(ddof=1) / np.sqrt(len(errors))
        whole, n = given.round(), asked.round()
        of_others = total[rows, places] - alpha[rows, places]
        below, upto = (betabinom.cdf(k, n, alpha[rows, places], of_others) for k in (whole - 1, whole))
        position = below + rng.random(whole.shape) * (upto - below)
        found[name] = {
            "error": float(errors.mean()),
            "low": float(errors.mean() - spread),
            "high": float(errors.mean() + spread),
            "baseline": float(np.abs(mean[places] - given / asked).mean()),
            "coverage": float((np.abs(position - 0.5) <= INTERVAL / 2).mean()),
            "n": int(rows.sum()),
        }
    return found
