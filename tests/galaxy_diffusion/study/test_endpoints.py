"""The first endpoint does not depend on how common the rare class was in training; F1 does."""

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score

from galaxy_diffusion.shared.class_prior import log_class_shares
from galaxy_diffusion.study.endpoints import FIRST, Question, average_precision
from gz2_dataset import CLASS_NAMES

RARE, OTHER = "cigar_shaped_smooth", "edge_on"
QUESTION = Question(CLASS_NAMES, RARE, OTHER, np.array([8, 8, 1, 4, 8]))
PER_CLASS = np.array([60, 60, 19, 60, 60])
LABELS = np.repeat(np.arange(5), PER_CLASS)


def probabilities(prior: np.ndarray, seed: int = 0) -> np.ndarray:
    """Probabilities of a net that knows the classes moderately well and was trained in this mix."""
    logits = np.random.default_rng(seed).normal(size=(len(LABELS), 5)) + 2 * np.eye(5)[LABELS]
    odds = np.exp(logits) * prior
    return odds / odds.sum(axis=1, keepdims=True)


def measured(question: Question, p: np.ndarray, log_prior: np.ndarray | None) -> dict[tuple[str, str], float]:
    values = question.figures_of(LABELS, p, log_prior)(np.ones((1, len(LABELS))), np.zeros((1, 5)))[0]
    rows = question.rows(PER_CLASS)
    assert len(rows) == len(values)
    return dict(zip(zip(rows["galaxy_class"], rows["metric"], strict=True), values, strict=True))


def test_copies_of_the_rare_class_move_f1_and_neither_the_first_endpoint_nor_what_is_free_of_the_prior():
    """Duplicates of a class, 1 to 20 of each, multiply its odds and teach nothing else."""
    found = []
    for copies in (1, 5, 20):
        prior = np.array([800, 780, 41 * copies, 391, 776]) / 2788
        log_prior = np.tile(np.log(prior / prior.sum()), (len(LABELS), 1))
        found.append(measured(QUESTION, probabilities(prior), log_prior))
    for key in (
        (RARE, FIRST),
        (RARE, "look_alike_precision"),
        ("all", "adjusted_balanced_accuracy"),
        ("macro", "adjusted_f1"),
    ):
        assert found[1][key] == pytest.approx(found[0][key], abs=1e-12)
        assert found[2][key] == pytest.approx(found[0][key], abs=1e-12)
    f1 = [figures[RARE, "f1"] for figures in found]
    assert f1[0] < 0.2 < 0.3 < f1[1] != f1[2]


def test_the_figures_are_scikit_learns():
    prior = np.array([0.3, 0.28, 0.02, 0.14, 0.26])
    p, log_prior = probabilities(prior), np.tile(np.log(prior), (len(LABELS), 1))
    found = measured(QUESTION, p, log_prior)
    rare, other = CLASS_NAMES.index(RARE), CLASS_NAMES.index(OTHER)
    assert found[RARE, FIRST] == pytest.approx(average_precision_score(rare == LABELS, p[:, rare]))
    both = np.isin(LABELS, [rare, other])
    odds = (p[:, rare] / p[:, other])[both]
    expected = average_precision_score(LABELS[both] == rare, odds)
    assert found[RARE, "look_alike_precision"] == pytest.approx(expected)
    adjusted, plain = (p / prior).argmax(axis=1), p.argmax(axis=1)
    assert found["all", "adjusted_balanced_accuracy"] == pytest.approx(balanced_accuracy_score(LABELS, adjusted))
    assert found["macro", "adjusted_f1"] == pytest.approx(f1_score(LABELS, adjusted, average="macro"))
    assert found[RARE, "f1"] == pytest.approx(f1_score(LABELS, plain, average=None, zero_division=0)[rare])
    even = f1_score(LABELS, plain, average=None, sample_weight=1 / PER_CLASS[LABELS], zero_division=0)
    assert found[RARE, "even_f1"] == pytest.approx(even[rare])


def test_without_a_recorded_prior_the_adjusted_figures_are_none():
    found = measured(QUESTION, probabilities(np.ones(5)), None)
    assert {name for (_, name), value in found.items() if np.isnan(value)} == {
        "adjusted_balanced_accuracy",
        "adjusted_f1",
    }


def test_a_question_without_look_alike_and_mix_has_no_figures_of_them():
    found = measured(Question(CLASS_NAMES, RARE), probabilities(np.ones(5)), None)
    assert not {"look_alike_precision", "mix_accuracy"} & {name for _, name in found}


def test_a_class_of_probability_zero_is_ranked_last():
    p = np.zeros((len(LABELS), 5))
    p[np.arange(len(LABELS)), LABELS] = 1
    found = measured(QUESTION, p, np.zeros((len(LABELS), 5)))
    assert set(found.values()) == {1.0}


@pytest.mark.parametrize("ties", [False, True])
def test_average_precision_of_weighted_galaxies(ties):
    rng = np.random.default_rng(3)
    score = rng.integers(0, 4, 50).astype(float) if ties else rng.random(50)
    positive, weights = rng.random(50) < 0.3, rng.integers(0, 4, (6, 50)).astype(float)
    expected = [average_precision_score(positive, score, sample_weight=w) for w in weights]
    np.testing.assert_allclose(average_precision(score, positive, weights), expected)


def test_average_precision_of_nothing_is_zero():
    assert average_precision(np.array([]), np.array([], bool), np.ones((2, 0))).tolist() == [0, 0]
    assert average_precision(np.array([1.0]), np.array([False]), np.ones((2, 1))).tolist() == [0, 0]


def test_the_prior_counts_every_image_and_is_even_where_training_made_it_so():
    n_train = {"a": {"real": 8, "generated": 2}, "b": {"real": 90, "generated": 0}, "c": {"real": 0, "generated": 0}}
    record = {"n_train": n_train, "config": {"oversampling": False}}
    assert np.exp(log_class_shares(record, "abc")) == pytest.approx(np.array([10, 90, 1]) / 101)
    for setting in ("oversampling", "class_weights"):
        even = log_class_shares({**record, "config": {setting: True}}, "abc")
        assert np.exp(even) == pytest.approx([1 / 3] * 3)
    assert log_class_shares({}, "abc") is None
    assert log_class_shares(record, "abd") is None
