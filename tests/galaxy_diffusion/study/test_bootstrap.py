"""Intervals cover what they claim, tests reject no more than they may, and figures are scikit-learn's."""

import warnings

import numpy as np
import pytest
from scipy.stats import beta, binom, norm
from scipy.stats import t as student
from sklearn.metrics import accuracy_score, balanced_accuracy_score, precision_recall_fscore_support

from galaxy_diffusion.study.bootstrap import (
    Bootstrap,
    bootstrap,
    confusion_matrices,
    holm,
    scores,
)

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


def figures_of(labels, predictions, n_classes=5, mix=None):
    """`scores` of one run, for `bootstrap`."""
    return lambda weights, doubt: scores(confusion_matrices(labels, predictions, n_classes, weights, doubt), mix)


def resampled(labels, runs, n_classes=5, mix=None, **options) -> Bootstrap:
    """The scores of several runs; predictions (runs, N)."""
    return bootstrap(labels, [figures_of(labels, run, n_classes, mix) for run in runs], n_classes, **options)


def scores_of(labels, predictions, n_classes=5, mix=None):
    return figures_of(labels, predictions, n_classes, mix)(np.ones((1, len(labels))), np.zeros((1, n_classes)))[0]


def difference(labels: np.ndarray, first: np.ndarray, second: np.ndarray, replicates: int = 500) -> Bootstrap:
    """The second arm minus the first; predictions (seeds, N)."""
    seeds = len(first)
    groups = [0] * seeds + [1] * seeds
    boot = resampled(labels, np.concatenate([first, second]), replicates=replicates, groups=groups)
    return (boot[range(seeds, 2 * seeds)] - boot[range(seeds)]).over_seeds()


@pytest.mark.slow
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
        low, high = resampled(labels, draw(rng, labels, (1,)), replicates=500).interval()
        covered += (low[0] <= truth) & (truth <= high[0])
    cigar, macro = covered[2] / simulations, covered[5] / simulations
    assert (np.concatenate([cigar, macro]) >= at_least).all()
    assert (np.concatenate([cigar, macro]) <= 0.98).all()


def paired_arms(rng, labels, seeds, helped=0.0):
    """An arm, and one that differs in every fifth galaxy and is also right in a share ``helped`` of the cigars."""
    original = draw(rng, labels, (seeds,))
    augmented = np.where(rng.random((seeds, len(labels))) < 0.8, original, draw(rng, labels, (seeds,)))
    return original, np.where((labels == 2) & (rng.random((seeds, len(labels))) < helped), labels, augmented)


@pytest.mark.slow
@pytest.mark.parametrize(("helped", "seeds"), [(0.0, 1), (0.4, 1), (0.4, 3)])
def test_the_interval_of_a_known_difference_covers_it_95_times_of_100(helped, seeds):
    """The truth is the difference of the figures of both arms' chances: the classifiers of a seed are drawn anew."""
    rng = np.random.default_rng(20)
    labels = np.repeat(np.arange(5), 100)
    better = CONFUSION.copy()
    better[2] = (1 - helped) * CONFUSION[2] + helped * np.eye(5)[2]
    truth = scores(100 * better) - scores(100 * CONFUSION)
    simulations, covered = 300, 0
    for _ in range(simulations):
        low, high = difference(labels, *paired_arms(rng, labels, 1, helped)).interval()
        covered = covered + ((low <= truth) & (truth <= high))
    fewest, most = binom.ppf([0.0005, 0.9995], simulations, 0.95)
    for row, column in ((2, 1), (2, 2), (5, 2), (6, 0)):  # cigar recall and F1, macro F1, accuracy
        assert fewest - 0.02 * simulations <= covered[row, column] <= most


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 0.2])
def test_the_interval_covers_a_known_difference_where_galaxies_are_hard_and_seeds_lucky(spread):
    """A galaxy is right if its ease, the seed's luck, the arm's effect and noise sum to more than 0."""
    rng, labels, seeds, simulations, covered = np.random.default_rng(24), np.repeat(range(5), 60), 4, 200, 0
    total = np.sqrt(1 + spread**2 + 0.5**2)
    truth = norm.cdf(0.9 / total) - norm.cdf(0.5 / total)
    for _ in range(simulations):
        ease, luck = rng.normal(size=300), rng.normal(0, spread, (2, seeds, 1))
        sums = np.array([0.5, 0.9])[:, None, None] + ease + luck + rng.normal(0, 0.5, (2, seeds, 300))
        low, high = difference(labels, *np.where(sums > 0, labels, (labels + 1) % 5), replicates=300).interval()
        covered += low[2, 1] <= truth <= high[2, 1]
    assert 0.89 <= covered / simulations <= 0.99


@pytest.mark.slow
@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_the_interval_covers_a_known_difference_where_generators_are_lucky(spread):
    """As above; a draw has its own generator, whose luck all seeds of the arm with its images share."""
    rng, labels, draws, seeds, simulations = np.random.default_rng(25), np.repeat(range(5), 60), 4, 2, 200
    covered, blind = 0, 0
    truth = norm.cdf(0.9 / np.sqrt(1 + spread**2 + 0.1**2 + 0.5**2)) - norm.cdf(0.5 / np.sqrt(1 + 0.1**2 + 0.5**2))
    of_draw = np.repeat(range(draws), seeds)
    for _ in range(simulations):
        ease, luck = rng.normal(size=300), rng.normal(0, 0.1, (2, draws * seeds, 1))
        luck[1] += rng.normal(0, spread, draws)[of_draw][:, None]
        sums = np.array([0.5, 0.9])[:, None, None] + ease + luck + rng.normal(0, 0.5, (2, draws * seeds, 300))
        pair = np.where(sums > 0, labels, (labels + 1) % 5)
        boot = resampled(labels, pair.reshape(-1, 300), replicates=300)
        boot = boot[range(draws * seeds, 2 * draws * seeds)] - boot[range(draws * seeds)]
        for of, name in ((boot.over_trainings(of_draw), "with"), (boot.over_seeds(), "without")):
            low, high = of.interval()
            inside = low[2, 1] <= truth <= high[2, 1]
            covered, blind = (covered + inside, blind) if name == "with" else (covered, blind + inside)
    assert 0.89 <= covered / simulations <= 0.99
    if spread:
        assert blind < covered  # seeds that share a generator are not independent


def test_one_draw_is_its_seeds_and_each_draw_counts_once():
    rng = np.random.default_rng(26)
    boot = Bootstrap(rng.normal(size=3), rng.normal(size=(50, 3)).astype(np.float32))
    assert np.array_equal(boot.over_trainings([7, 7, 7]).replicates, boot.over_seeds().replicates)
    assert boot.over_trainings([0, 0, 1]).value == pytest.approx((boot.value[:2].mean() + boot.value[2]) / 2)


@pytest.mark.slow
def test_on_no_difference_the_tests_reject_in_5_of_100():
    rng = np.random.default_rng(2)
    labels = np.repeat(np.arange(5), 100)
    simulations, rejected = 400, 0
    for _ in range(simulations):
        rejected = rejected + (difference(labels, *paired_arms(rng, labels, seeds=1)).p_value() < 0.05)
    fewest = binom.ppf(0.0005, simulations, 0.05)
    for row, column in ((2, 1), (2, 2), (5, 2), (6, 0)):
        assert rejected[row, column] >= fewest
    assert (rejected[[2, 5, 6]] / simulations).max() <= 0.07


def test_pairing_makes_the_difference_surer_than_two_separate_figures():
    rng = np.random.default_rng(3)
    labels = np.repeat(np.arange(5), 100)
    original = draw(rng, labels)
    augmented = np.where(rng.random(len(labels)) < 0.95, original, labels)
    boot = resampled(labels, np.stack([original, augmented]))
    paired = (boot[[1]] - boot[[0]]).over_seeds()
    assert paired.replicates[:, 5, 2].std() < 0.5 * np.hypot(*boot.replicates[:, :, 5, 2].std(axis=0))
    assert paired.p_value()[6, 0] < 0.05


def test_an_improvement_as_the_papers_in_cigar_recall_is_found():
    labels = np.repeat([0, 1], 100)
    original, augmented = labels.copy(), labels.copy()
    original[151:] = 0
    augmented[100:130] = 0
    boot = resampled(labels, np.stack([original, augmented]), 2)
    low, high = (boot[[1]] - boot[[0]]).over_seeds().interval()
    assert boot.value[:, 1, 1] == pytest.approx([0.51, 0.70])
    assert 0 < low[1, 1] < 0.19 < high[1, 1]


@pytest.mark.slow
def test_the_spread_over_seeds_is_in_the_interval():
    rng = np.random.default_rng(4)
    labels = np.repeat([0, 1], 200)
    shares = rng.normal(0.7, 0.05, 60).clip(0, 1)
    runs = np.stack([np.where(rng.random(400) < share, labels, 1 - labels) for share in shares])
    boot = resampled(labels, runs, 2).over_seeds()
    accuracy = (runs == labels).mean(axis=1)
    from_the_seeds_alone = accuracy.std(ddof=1) / np.sqrt(len(shares))
    low, high = boot.interval()
    assert boot.value[3, 0] == pytest.approx(accuracy.mean())
    assert (high - low)[3, 0] / (2 * norm.ppf(0.975)) == pytest.approx(from_the_seeds_alone, rel=0.1)
    one_seed = resampled(labels, runs[:1].repeat(60, axis=0), 2).over_seeds()
    assert np.diff(one_seed.interval(), axis=0)[0, 3, 0] == pytest.approx(4 * np.sqrt(0.7 * 0.3 / 400), rel=0.15)


@pytest.mark.parametrize("present", [range(5), [0, 3], [2]])
def test_figures_are_those_of_scikit_learn_also_with_empty_classes(present):
    rng = np.random.default_rng(5)
    labels, predictions = rng.choice(list(present), 60), rng.choice([0, 1, 3], 60)
    ours = scores_of(labels, predictions)
    options = {"labels": range(5), "zero_division": 0}
    np.testing.assert_allclose(ours[:5].T, precision_recall_fscore_support(labels, predictions, **options)[:3])
    np.testing.assert_allclose(
        ours[5], precision_recall_fscore_support(labels, predictions, average="macro", **options)[:3]
    )
    assert ours[6, 0] == pytest.approx(accuracy_score(labels, predictions))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scikit-learn's, on predictions of classes without galaxies
        assert ours[6, 1] == pytest.approx(balanced_accuracy_score(labels, predictions))


def test_mix_accuracy_is_the_accuracy_on_galaxies_in_that_mix():
    """Predictions copied as often as their class is frequent have that accuracy."""
    rng = np.random.default_rng(21)
    labels = np.repeat(np.arange(5), 10)
    predictions, mix = draw(rng, labels), np.array([8, 7, 1, 4, 0])
    natural = np.repeat(np.arange(50), mix[labels])
    ours = scores_of(labels, predictions, mix=mix)
    assert ours[6, 2] == pytest.approx((labels == predictions)[natural].mean())
    assert ours[6, 0] == pytest.approx((labels == predictions).mean())


@pytest.mark.slow
def test_the_detectable_difference_is_found_in_80_of_100():
    rng, simulations, n = np.random.default_rng(23), 300, 100
    labels = np.repeat(np.arange(5), n)
    detectable = [difference(labels, *paired_arms(rng, labels, 1, 0.3)).detectable()[2, 1] for _ in range(20)]
    effect = np.mean(detectable)
    helped = effect / (1 - CONFUSION[2, 2])
    found = [
        difference(labels, *paired_arms(rng, labels, 1, helped)).p_value()[2, 1] < 0.05 for _ in range(simulations)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.08)


@pytest.mark.parametrize("law", [norm(), student(2)], ids=["normal", "Student's t of three seeds"])
def test_what_is_detectable_follows_from_the_law_that_the_test_uses(law):
    replicates = 0.3 + 0.05 * law.ppf(np.linspace(0, 1, 20_001)[1:-1])[:, None]
    expected = 0.05 * (law.ppf(0.975) + law.ppf(0.8))
    assert Bootstrap(np.array([0.3]), replicates).detectable()[0] == pytest.approx(expected, rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("sign", [-1, 1])
def test_arms_that_differ_by_the_margin_are_called_equivalent_in_at_most_5_of_100(sign):
    """With many galaxies, arms that do not differ are found equivalent in most cases. Recall is of one class."""
    rng, labels, margin, simulations = np.random.default_rng(25), np.repeat(range(5), (9, 9, 300, 9, 9)), 0.06, 300
    called = {0.0: 0, margin: 0}
    for truth in called:
        helped = truth / (1 - CONFUSION[2, 2])
        for _ in range(simulations):
            arms = paired_arms(rng, labels, 1, helped)[::sign]
            called[truth] += difference(labels, *arms).p_equivalence(margin)[2, 1] < 0.05
    assert called[margin] <= binom.ppf(0.9995, simulations, 0.05)
    assert called[0.0] >= 0.5 * simulations


@pytest.mark.parametrize("right", [0, 19])
def test_where_all_are_right_or_all_wrong_the_interval_is_that_of_jeffreys(right):
    labels = np.repeat([0, 1], [19, 50])
    predictions = np.where(np.arange(69) < 19 - right, 1, labels)
    boot = resampled(labels, np.stack([predictions, predictions]), 2, groups=[0, 0])
    low, high = boot.over_seeds().interval()
    end = beta.ppf(0.975, 0.5, 19.5)
    assert (low[0, 1], high[0, 1]) == pytest.approx((0, end) if right == 0 else (1 - end, 1), abs=0.01)
    assert high[0, 2] - low[0, 2] > 0.05, "F1 follows"
    apart = resampled(labels, np.stack([predictions, predictions]), 2)
    low, high = (apart[[1]] - apart[[0]]).over_seeds().interval()
    assert low[0, 1] < -0.5 * end < 0.5 * end < high[0, 1], "two arms that both know nothing are not surely alike"


def test_large_test_sets_are_resampled_in_pieces(monkeypatch):
    labels = np.repeat([0, 1], 40)
    predictions = draw(np.random.default_rng(8), labels)
    whole = resampled(labels, predictions[None], replicates=3000).over_seeds().interval()
    monkeypatch.setattr("galaxy_diffusion.study.bootstrap.CHUNK", 7 * len(labels))
    pieces = resampled(labels, predictions[None], replicates=3000).over_seeds().interval()
    np.testing.assert_allclose(whole, pieces, atol=0.03)


def test_the_replicates_are_those_of_resampled_galaxies():
    """Weights of galaxies are the same as drawing galaxies, here done one by one."""
    rng = np.random.default_rng(6)
    labels = np.repeat(np.arange(5), 20)
    predictions = draw(rng, labels)
    slow = []
    for _ in range(2000):
        drawn = np.concatenate([rng.choice(np.flatnonzero(labels == c), 19) for c in range(5)])
        slow.append(scores_of(labels[drawn], predictions[drawn]))
    fast = resampled(labels, predictions[None], replicates=20_000).replicates[:, 0]
    np.testing.assert_allclose(fast.mean(axis=0), np.mean(slow, axis=0), atol=0.01)
    np.testing.assert_allclose(fast.std(axis=0), np.std(slow, axis=0), atol=0.01)


def test_holm_is_the_textbook_example_and_never_below_the_raw_values():
    p_values = np.array([0.01, 0.04, 0.03, 0.005])
    assert holm(p_values) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm(np.array([])).size == 0
    assert holm(np.array([0.9, 0.8])).max() <= 1
