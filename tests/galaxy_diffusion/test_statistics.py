"""Intervals cover what they claim, tests reject no more than they may, and figures are scikit-learn's."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm
from sklearn.metrics import accuracy_score, precision_recall_fscore_support

from galaxy_diffusion.statistics import bootstrap, confusion_matrices, holm, mcnemar, scores
from galaxy_diffusion.study import read_runs
from gz2_dataset import UserError

CONFUSION = np.array(
    [
        [0.90, 0.05, 0.00, 0.00, 0.05],
        [0.05, 0.88, 0.01, 0.03, 0.03],
        [0.00, 0.05, 0.60, 0.33, 0.02],
        [0.00, 0.02, 0.05, 0.91, 0.02],
        [0.04, 0.03, 0.00, 0.03, 0.90],
    ]
)
"""Chance of each prediction (column) for a galaxy of each class (row): a classifier like the paper's."""


def draw(rng, labels, shape=()):
    """Predictions of classifiers that err as `CONFUSION` says."""
    uniform = rng.random((*shape, len(labels)))
    return (uniform[..., None] > CONFUSION[labels].cumsum(axis=1)[:, :-1]).sum(axis=-1)


@pytest.mark.parametrize(
    ("per_class", "at_least"),
    [((100, 100, 100, 100, 100), 0.92), ((100, 100, 25, 100, 100), 0.90)],
    ids=["as in the paper", "a class of 25, where percentiles are a little too narrow"],
)
def test_the_95_percent_interval_covers_the_truth_95_times_of_100(per_class, at_least):
    rng = np.random.default_rng(1)
    labels = np.repeat(np.arange(5), per_class)
    truth = scores(CONFUSION * np.array(per_class)[:, None])
    covered = np.zeros_like(truth)
    simulations = 600
    for _ in range(simulations):
        low, high = bootstrap(labels, draw(rng, labels, (1, 1)), 5, replicates=500).interval()
        covered += (low[0] <= truth) & (truth <= high[0])
    cigar, macro = covered[2] / simulations, covered[5] / simulations
    assert (np.concatenate([cigar, macro]) >= at_least).all()
    assert (np.concatenate([cigar, macro]) <= 0.98).all()


def test_the_paired_difference_of_equal_classifiers_is_rarely_significant():
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(5), 100)
    simulations, rejected, mcnemar_rejected = 400, np.zeros((7, 3)), 0
    for _ in range(simulations):
        original = draw(rng, labels)
        augmented = np.where(rng.random(len(labels)) < 0.8, original, draw(rng, labels))
        arms = np.stack([original, augmented])[:, None]
        difference = bootstrap(labels, arms, 5, replicates=500).difference()
        low, high = difference.interval()
        rejected += ((low > 0) | (high < 0))[0]
        mcnemar_rejected += mcnemar(labels, arms)[2] < 0.05
    assert (rejected[[2, 5, 6]] / simulations).max() <= 0.07
    assert mcnemar_rejected / simulations <= 0.07


def test_pairing_makes_the_difference_surer_than_two_separate_figures():
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(5), 100)
    original = draw(rng, labels)
    augmented = np.where(rng.random(len(labels)) < 0.95, original, labels)
    boot = bootstrap(labels, np.stack([original, augmented])[:, None], 5)
    spread = boot.replicates[:, :, 5, 2].std(axis=0)
    assert boot.difference().replicates[:, 0, 5, 2].std() < 0.5 * np.hypot(*spread)
    assert boot.difference().p_value()[0, 6, 0] < 0.05


def test_an_improvement_as_the_papers_in_cigar_recall_is_found():
    labels = np.repeat([0, 1], 100)
    original, augmented = labels.copy(), labels.copy()
    original[151:] = 0
    augmented[100:130] = 0
    boot = bootstrap(labels, np.stack([original, augmented])[:, None], 2)
    low, high = boot.difference().interval()
    assert boot.value[:, 1, 1] == pytest.approx([0.51, 0.70])
    assert 0 < low[0, 1, 1] < 0.19 < high[0, 1, 1]


def test_the_spread_over_seeds_is_in_the_interval():
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1], 200)
    shares = rng.normal(0.7, 0.05, 60).clip(0, 1)
    runs = np.stack([np.where(rng.random(400) < share, labels, 1 - labels) for share in shares])[None]
    boot = bootstrap(labels, runs, 2)
    accuracy = (runs[0] == labels).mean(axis=1)
    from_the_seeds_alone = accuracy.std(ddof=1) / np.sqrt(len(shares))
    low, high = boot.interval()
    assert boot.value[0, 3, 1] == pytest.approx(accuracy.mean())
    assert (high - low)[0, 3, 1] / (2 * norm.ppf(0.975)) > from_the_seeds_alone
    one_seed = bootstrap(labels, runs[:, :1].repeat(60, axis=1), 2)
    assert np.diff(one_seed.interval(), axis=0)[0, 0, 3, 1] == pytest.approx(4 * np.sqrt(0.7 * 0.3 / 400), rel=0.15)


@pytest.mark.parametrize("present", [range(5), [0, 3], [2]])
def test_figures_are_those_of_scikit_learn_also_with_empty_classes(present):
    rng = np.random.default_rng(5)
    labels, predictions = rng.choice(list(present), 60), rng.choice([0, 1, 3], 60)
    ours = scores(confusion_matrices(labels, predictions, 5))
    options = {"labels": range(5), "zero_division": 0}
    np.testing.assert_allclose(ours[:5].T, precision_recall_fscore_support(labels, predictions, **options)[:3])
    np.testing.assert_allclose(
        ours[5], precision_recall_fscore_support(labels, predictions, average="macro", **options)[:3]
    )
    np.testing.assert_allclose(ours[6], accuracy_score(labels, predictions))


def test_the_replicates_are_those_of_resampled_galaxies():
    """Drawing counts of interchangeable galaxies is the same as drawing galaxies, here done one by one."""
    rng = np.random.default_rng(6)
    labels = np.repeat(np.arange(5), 20)
    predictions = draw(rng, labels)
    slow = []
    for _ in range(2000):
        drawn = np.concatenate([rng.choice(np.flatnonzero(labels == c), 19) for c in range(5)])
        slow.append(scores(confusion_matrices(labels[drawn], predictions[drawn], 5)))
    fast = bootstrap(labels, predictions[None, None], 5, replicates=20_000).replicates[:, 0]
    np.testing.assert_allclose(fast.mean(axis=0), np.mean(slow, axis=0), atol=0.01)
    np.testing.assert_allclose(fast.std(axis=0), np.std(slow, axis=0), atol=0.01)


def test_the_order_of_galaxies_plays_no_part():
    rng = np.random.default_rng(7)
    labels = np.repeat(np.arange(5), 30)
    arms = draw(rng, labels, (2, 3))
    order = rng.permutation(len(labels))
    straight, shuffled = bootstrap(labels, arms, 5, 200), bootstrap(labels[order], arms[:, :, order], 5, 200)
    np.testing.assert_array_equal(straight.replicates, shuffled.replicates)
    assert mcnemar(labels, arms) == mcnemar(labels[order], arms[:, :, order])


def test_mcnemar_counts_galaxies_not_runs():
    labels = np.zeros(10, int)
    original, augmented = np.ones((3, 10), int), np.ones((3, 10), int)
    augmented[:, :6] = 0
    original[:2, 6] = 0
    augmented[0, 6] = 0
    gained, lost, p = mcnemar(labels, np.stack([original, augmented]))
    assert (gained, lost) == (6, 1)
    assert p == pytest.approx(2 * (1 + 7) / 2**7)
    assert mcnemar(labels, np.stack([original, original]))[2] == 1


def test_holm_is_the_textbook_example_and_never_below_the_raw_values():
    p_values = np.array([0.01, 0.04, 0.03, 0.005])
    assert holm(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([])).size == 0
    assert holm(np.array([0.9, 0.8])).max() <= 1


def write_run(folder: Path, arm: str, seed: int, galaxies: dict[str, tuple[str, str]]):
    path = folder / arm / f"seed{seed}"
    path.mkdir(parents=True)
    rows = [(i, label, prediction, 0.5, 0.5) for i, (label, prediction) in galaxies.items()]
    pd.DataFrame(rows, columns=["image_id", "label", "prediction", "p_edge_on", "p_spiral"]).to_csv(
        path / "predictions.csv", index=False
    )


def test_runs_are_paired_by_image_id_and_common_seeds(tmp_path):
    galaxies = {"10": ("edge_on", "spiral"), "9": ("spiral", "spiral")}
    write_run(tmp_path, "original", 0, galaxies)
    write_run(tmp_path, "original", 1, galaxies)
    write_run(tmp_path, "augmented", 1, {"9": ("spiral", "edge_on"), "10": ("edge_on", "edge_on")})
    runs = read_runs(tmp_path)
    assert (runs.arms, runs.seeds, runs.class_names) == (("original", "augmented"), (1,), ("edge_on", "spiral"))
    assert runs.labels.tolist() == [0, 1]
    assert runs.predictions[:, 0].tolist() == [[1, 1], [0, 0]]
    assert runs.galaxies_per_class.tolist() == [1, 1]


@pytest.mark.parametrize(
    "augmented",
    [
        {"9": ("spiral", "spiral"), "11": ("edge_on", "edge_on")},
        {"9": ("spiral", "spiral")},
        {"9": ("spiral", "spiral"), "10": ("spiral", "edge_on")},
    ],
    ids=["another galaxy", "a galaxy missing", "another label"],
)
def test_arms_tested_on_other_galaxies_are_refused(tmp_path, augmented):
    write_run(tmp_path, "original", 0, {"9": ("spiral", "spiral"), "10": ("edge_on", "edge_on")})
    write_run(tmp_path, "augmented", 0, augmented)
    with pytest.raises(UserError, match=r"augmented/seed0/predictions\.csv: other galaxies"):
        read_runs(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "cannot be read"),
        ("image_id,label\n1,a\n", "no column prediction"),
        ("image_id,label,prediction,p_a\n", "no galaxy"),
        ("image_id,label,prediction,p_a\n1,a,a,1\n1,a,a,1\n", "one galaxy twice"),
        ("image_id,label,prediction,p_a\n1,a,b,1\n", "no probability column of class 'b'"),
    ],
)
def test_a_damaged_file_of_predictions_is_named(tmp_path, text, message):
    path = tmp_path / "original" / "seed0" / "predictions.csv"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    with pytest.raises(UserError, match=rf"predictions\.csv: .*{message}"):
        read_runs(tmp_path)


def test_arms_without_a_common_seed_are_refused(tmp_path):
    write_run(tmp_path, "original", 0, {"9": ("spiral", "spiral")})
    write_run(tmp_path, "augmented", 1, {"9": ("spiral", "spiral")})
    with pytest.raises(UserError, match="no seed in common"):
        read_runs(tmp_path)
