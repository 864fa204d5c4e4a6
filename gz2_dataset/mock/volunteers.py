"""Simulated Galaxy Zoo 2 volunteers: each follows the decision tree by what can be seen of a mock galaxy."""

import numpy as np

from gz2_dataset.mock.population import Galaxy

QUESTIONS = range(1, 12)
VOLUNTEERS = 40
TYPICAL_MAGNITUDE = 16.5


def vote_fractions(galaxy: Galaxy, rng: np.random.Generator) -> np.ndarray:
    """Vote fractions of about 40 volunteers, as in ``training_solutions_rev1.csv``.

    Every volunteer answers question 1, then what the GZ2 tree (Willett et al. 2013, fig. 1) asks next. An answer's
    value is the share of all volunteers who gave it, which is Kaggle's product of the fractions along the way: the
    answers of a question add up to the value of the answer that leads to it. Question 6 is normalised to 1, as Kaggle
    does.

    Parameters
    ----------
    galaxy : Galaxy
        True parameters.
    rng : numpy.random.Generator
        For the volunteers' answers.

    Returns
    -------
    ndarray of float64, shape (37,)
        In the order of `VOTE_COLUMNS`, in [0, 1].

    Examples
    --------
    >>> from gz2_dataset.mock.population import draw_galaxy
    >>> votes = vote_fractions(draw_galaxy(0, 0), np.random.default_rng(0))
    >>> float(round(votes[:3].sum(), 6))
    1.0
    """
    chance = answer_probabilities(galaxy, leaning=rng.normal(0, 0.7))
    count = {}

    def ask(question: int, volunteers: int) -> None:
        count[question] = rng.multinomial(volunteers, chance[question])

    ask(1, max(20, rng.poisson(VOLUNTEERS)))
    smooth, features, _ = count[1]
    ask(7, smooth)
    ask(2, features)
    edge_on, not_edge_on = count[2]
    ask(9, edge_on)
    ask(3, not_edge_on)
    ask(4, not_edge_on)
    ask(5, not_edge_on)
    ask(10, count[4][0])
    ask(11, count[4][0])
    ask(6, smooth + features)
    ask(8, count[6][0])
    everybody, asked_odd = count[1].sum(), max(smooth + features, 1)
    return np.concatenate([count[q] / (asked_odd if q in (6, 8) else everybody) for q in QUESTIONS])


def answer_probabilities(galaxy: Galaxy, leaning: float = 0.0) -> dict[int, np.ndarray]:
    """Probability of each answer of each question, given that the question is asked.

    Parameters
    ----------
    galaxy : Galaxy
    leaning : float
        How much more readily than usual these volunteers see features, on the logit scale.

    Returns
    -------
    dict of int to ndarray
        Question (1 to 11) to probabilities that add up to 1.
    """
    seen = observed_axis_ratio(galaxy)
    sharpness = clarity(galaxy)
    arms = galaxy.arm_strength * sharpness
    thin = galaxy.disc_fraction * _logistic((0.47 - seen) / 0.035)
    barred = _logistic(30 * (galaxy.bar_strength - 0.07)) * 0.9
    structure = 8.0 * arms + 4.2 * thin + 1.7 * galaxy.clumpiness + 1.8 * (galaxy.subkind == "merger")
    features = _logistic(structure - 2.0 + leaning)
    spiral = _logistic(-2.0 + 9.5 * arms)
    edge_on = _logistic((0.47 - seen) / 0.04)
    odd = 0.75 if galaxy.subkind in ("merger", "irregular") else 0.08
    odd = max(odd, 0.5 * min(galaxy.ring_strength, 1))
    bulge = 1 - galaxy.disc_fraction
    round_, cigar = _logistic((seen - 0.80) / 0.03), _logistic((0.415 - seen) / 0.025)
    pitch = 20.0 if np.isnan(galaxy.pitch_angle) else abs(galaxy.pitch_angle)
    arm_number = np.full(6, 0.03)
    arm_number[min(galaxy.arm_count, 5) - 1 if galaxy.arm_count else 5] += 0.6
    arm_number[5] += 0.2
    oddities = {
        "merger": [0.02, 0.01, 0.2, 0.1, 0.05, 0.6, 0.02],
        "irregular": [0.02, 0.01, 0.2, 0.6, 0.07, 0.08, 0.02],
    }
    usual = [0.1 + 3 * galaxy.ring_strength, 0.05, 0.15, 0.1, 0.4, 0.1, 0.1 + 3 * galaxy.dust]
    return {
        1: np.array([(1 - features) * 0.975, features * 0.975, 0.025]),
        2: np.array([edge_on, 1 - edge_on]),
        3: np.array([barred, 1 - barred]),
        4: np.array([spiral, 1 - spiral]),
        5: _near(bulge, [0.0, 0.12, 0.35, 0.7], 0.1),
        6: np.array([odd, 1 - odd]),
        7: np.array([round_, max(1 - round_ - cigar, 0.0), cigar]) / max(round_ + cigar, 1.0),
        8: _normalised(oddities.get(galaxy.subkind, usual)),
        9: _normalised([0.15 + 4 * bulge, 0.06, 0.5 * (1 - bulge) ** 4]),
        10: _near(pitch, [12.0, 19.0, 28.0], 4.0),
        11: _normalised(arm_number),
    }


def observed_axis_ratio(galaxy: Galaxy) -> float:
    """Axis ratio after the seeing, which adds its second moment to those of both axes."""
    seeing = (0.6 * galaxy.psf_fwhm / galaxy.half_light_radius) ** 2
    return np.sqrt((galaxy.axis_ratio**2 + seeing) / (1 + seeing))


def clarity(galaxy: Galaxy) -> float:
    """How well structure is seen, in (0, 1): it grows with size relative to the seeing and with brightness."""
    resolution = galaxy.half_light_radius / galaxy.psf_fwhm
    return _logistic(1.5 * (resolution - 0.9) - 0.5 * (galaxy.magnitude - TYPICAL_MAGNITUDE))


def _logistic(x: float) -> float:
    return 1 / (1 + np.exp(-x))


def _near(value: float, answers: list[float], width: float) -> np.ndarray:
    """Probabilities of answers that are values on a scale: normal in the distance, plus a few errors."""
    return _normalised(np.exp(-0.5 * ((value - np.array(answers)) / width) ** 2) + 0.04)


def _normalised(weights: list[float] | np.ndarray) -> np.ndarray:
    return np.asarray(weights) / np.sum(weights)
